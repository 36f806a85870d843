"""Whether mixing ruins tables whose labels follow a rule of the columns, without noise.

Each table is drawn from a rule, and fitted in three folds by `MixupClassifier()`, which
may mix or not, with mixing (alpha 0.2) and without (alpha 0). There a mixed row often
has another label than its parents tell.

    python benchmarks/noise_free.py              # measures
    python benchmarks/noise_free.py --report     # writes results/noise_free.json
    python benchmarks/noise_free.py --markdown   # prints the table of noise_free.json

Each fit is a line of results/noise_free.jsonl, and what is there is not measured again;
delete it to start afresh, as after a change of the library.
"""

import os
import time
from itertools import product

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import pandas as pd
from common import (
    N_FOLDS,
    PACKAGES,
    RESULTS,
    about,
    fold_of,
    measure_all,
    parser_of,
    read_report,
    records_in,
    rows_of,
    table_lines,
    write_report,
)
from sklearn.metrics import accuracy_score, log_loss

from skmix import MixupClassifier

OUT = RESULTS / "noise_free.json"
SCRATCH = OUT.with_suffix(".jsonl")
N_ROWS = 1_500
ALPHAS = ("auto", 0.2, 0)


def checkerboard(rng):
    X = rng.uniform(0, 4, (N_ROWS, 2))
    return X, np.floor(X).sum(axis=1) % 2


def rings(rng):
    X = rng.normal(size=(N_ROWS, 2))
    return X, np.floor(2 * np.linalg.norm(X, axis=1)) % 2


def comparison_of_sums(rng):
    X = rng.normal(size=(N_ROWS, 6))
    return X, X[:, :2].sum(axis=1) > X[:, 2:4].sum(axis=1)


def comparison_of_products(rng):
    X = rng.integers(1, 6, (N_ROWS, 4))
    return X, np.sign(X[:, 0] * X[:, 1] - X[:, 2] * X[:, 3]) + 1


def xor_of_categories(rng):
    X = rng.integers(0, 4, (N_ROWS, 4))
    return _categories(X), (X[:, 0] > 1) ^ (X[:, 1] % 2 == 1) ^ (X[:, 2] == 0)


def three_in_a_row(rng):
    X = rng.integers(0, 3, (N_ROWS, 9))
    board = X.reshape(-1, 3, 3) == 1
    diagonals = [board[:, [0, 1, 2], [0, 1, 2]], board[:, [0, 1, 2], [2, 1, 0]]]
    lines = [*np.moveaxis(board, 1, 0), *np.moveaxis(board, 2, 0), *diagonals]
    return _categories(X), np.any([line.all(axis=1) for line in lines], axis=0)


def _categories(X):
    return pd.DataFrame(X.astype(str), dtype="category")


TABLES = {
    rule.__name__.replace("_", " "): rule
    for rule in (
        checkerboard,
        rings,
        comparison_of_sums,
        comparison_of_products,
        xor_of_categories,
        three_in_a_row,
    )
}


def drawn(name, seed):
    """Return the frame and the labels of a rule."""
    X, y = TABLES[name](np.random.default_rng(seed))
    return pd.DataFrame(X).rename(columns="x{}".format), np.asarray(y, dtype=int)


def measure(job):
    name, fold, alpha = job
    X, y = drawn(name, seed=0)
    train, test = fold_of(X, y, True, fold)
    start = time.process_time()
    clf = MixupClassifier(alpha=alpha, random_state=0).fit(X.iloc[train], y[train])
    fit_s = time.process_time() - start
    proba = clf.predict_proba(X.iloc[test])
    return {
        **{"table": name, "fold": fold, "alpha": alpha, "fit_s": fit_s},
        "alpha_": clf.alpha_,
        "loss": log_loss(y[test], proba, labels=clf.classes_),
        "accuracy": accuracy_score(y[test], clf.classes_[proba.argmax(axis=1)]),
    }


def summarise(records):
    """Return means over the folds: loss and accuracy for each alpha, and the choice."""
    frame = pd.DataFrame(records).astype({"alpha": str})
    means = frame.pivot_table(index="table", columns="alpha", sort=False)
    chosen = frame[frame["alpha"] == "auto"].groupby("table")["alpha_"]
    rows = pd.DataFrame({"table": means.index})
    for alpha, kind in ((a, k) for a in map(str, ALPHAS) for k in ("loss", "accuracy")):
        rows[f"{kind}, {alpha}"] = means[kind, alpha].to_numpy()
    rows["folds mixed"] = (
        chosen.apply(lambda a: int((a > 0).sum())).loc[means.index].to_numpy()
    )
    return rows_of(rows)


def markdown(summary):
    head = ["rule", "log loss: auto", "alpha 0.2", "alpha 0", "accuracy: auto"]
    head += ["alpha 0.2", "alpha 0", "folds in which auto mixed"]
    rows = [head]
    for row in summary:
        losses, accuracies = (
            [row[f"{kind}, {alpha}"] for alpha in ALPHAS]
            for kind in ("loss", "accuracy")
        )
        cells = [f"{loss:.4f}" for loss in losses] + [f"{a:.3f}" for a in accuracies]
        rows.append([row["table"], *cells, f"{row['folds mixed']} of {N_FOLDS}"])
    return "\n".join(table_lines(rows))


def main():
    parser = parser_of(__doc__, tables=False)
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--report", action="store_true", help="write the JSON")
    parser.add_argument("--markdown", action="store_true", help="print its table")
    args = parser.parse_args()
    if args.report:
        report = about(*PACKAGES) | {"rows": N_ROWS}
        write_report(OUT, report | {"summary": summarise(records_in(SCRATCH))})
    if args.markdown:
        print(markdown(read_report(OUT)["summary"]))
    if not (args.report or args.markdown):
        known = {(r["table"], r["fold"], r["alpha"]) for r in records_in(SCRATCH)}
        wanted = product(TABLES, range(N_FOLDS), ALPHAS)
        units = [unit for unit in wanted if unit not in known]
        measure_all(units, args.jobs, SCRATCH, measure)


if __name__ == "__main__":
    main()
