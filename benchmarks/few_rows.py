"""Whether mixing pays where rows are few, which `alpha="auto"` then takes for granted.

Training rows are drawn twice from each table of a folder, and of each rule of
`noise_free.py`, whose labels have no noise. `MixupClassifier` is fitted to them with
mixing (alpha 0.2), without (alpha 0) and at its default ("auto"), all with smoothed
labels; and at its default with labels as they are.

    python benchmarks/few_rows.py --data DIR      # measures
    python benchmarks/few_rows.py --report        # writes results/few_rows.json
    python benchmarks/few_rows.py --markdown      # prints the table of few_rows.json

Each fit is a line of results/few_rows.jsonl, and what is there is not measured again;
delete it to start afresh, as after a change of the library. Tables with fewer than two
rows a class are left out.
"""

import os
from itertools import product

os.environ["OMP_NUM_THREADS"] = "1"

import noise_free
import numpy as np
import pandas as pd
from common import (
    MAX_ROWS,
    PACKAGES,
    RESULTS,
    Table,
    about,
    measure_all,
    parser_of,
    read_report,
    records_in,
    rows_of,
    sample_of,
    spread,
    table_lines,
    tables_or_exit,
    write_report,
)
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

from skmix import MixupClassifier, default_net

OUT = RESULTS / "few_rows.json"
SCRATCH = OUT.with_suffix(".jsonl")
SIZES, SEEDS = (50, 100, 140, 200), (0, 1)
SETTINGS = {  # alpha, and label smoothing
    "0": (0, "auto"),
    "0.2": (0.2, "auto"),
    "auto": ("auto", "auto"),
    "labels as they are": ("auto", 0.0),
}
RATIOS = (("0.2", "0"), ("auto", "0"), ("auto", "labels as they are"))
KEY = ("table", "rows", "seed", "setting")
LEAST = 1e-3  # of log losses, so that ratios of perfect predictions mean something


def drawn(table, n_rows, seed):
    """Return training and test rows, `X_train, y_train, X_test, y_test`."""
    if isinstance(table, Table):
        X, y = sample_of(table, MAX_ROWS)
        train, test = train_test_split(
            np.arange(len(y)), train_size=n_rows, stratify=y, random_state=seed
        )
    else:
        X, y = noise_free.drawn(table, seed)
        train, test = np.split(np.arange(len(y)), [n_rows])
    return X.iloc[train], y[train], X.iloc[test], y[test]


def measure(unit):
    table, n_rows, seed, setting = unit
    X, y, X_test, y_test = drawn(table, n_rows, seed)
    alpha, smoothing = SETTINGS[setting]
    net = default_net("classifier").set_params(criterion__label_smoothing=smoothing)
    clf = MixupClassifier(net, alpha=alpha, random_state=seed).fit(X, y)
    n_classes = 1 + max(y.max(), y_test.max())
    proba = spread(clf.predict_proba(X_test), clf.classes_, n_classes)
    loss = log_loss(y_test, proba, labels=np.arange(n_classes))
    key = dict(zip(KEY, key_of(unit), strict=True))
    return key | {"noise": isinstance(table, Table), "loss": loss}


def key_of(unit):
    table, *others = unit
    return (getattr(table, "name", table), *others)


def units_of(tables):
    """Return the fits of all tables that have rows enough for their classes."""
    classes = {t: len(np.unique(sample_of(t, MAX_ROWS)[1])) for t in tables}
    every = product([*tables, *noise_free.TABLES], SIZES, SEEDS, SETTINGS)
    return [unit for unit in every if 2 * classes.get(unit[0], 2) <= unit[1]]


def summarise(records):
    """Return ratios of losses for each kind of table and size."""
    frame = pd.DataFrame(records)
    logs = np.log(frame["loss"].clip(lower=LEAST))
    by = ["noise", "rows", "table"]
    cells = frame.assign(log=logs).pivot_table("log", by, "setting")
    rows = []
    for (noise, n_rows), group in cells.groupby(["noise", "rows"]):
        row = {"noise": bool(noise), "rows": n_rows, "tables": len(group)}
        for one, other in RATIOS:
            ratio = group[one] - group[other]
            row[f"{one} / {other}"] = np.exp(ratio.mean())
            row[f"{one} / {other}, error"] = ratio.sem()
            row[f"{one} / {other}, worst"] = np.exp(ratio.max())
        rows.append(row)
    return rows_of(pd.DataFrame(rows).sort_values(["noise", "rows"], ascending=[0, 1]))


def markdown(summary):
    names = [f"{one} / {other}" for one, other in RATIOS]
    rows = [["tables", "training rows"]]
    for name in names:
        rows[0] += [name, "worst"]
    for row in summary:
        kind = "real" if row["noise"] else "without noise"
        cells = [f"{row['tables']} {kind}", str(row["rows"])]
        for name in names:
            ratio, error = row[name], row[f"{name}, error"]
            cells += [f"{ratio:.3f} ± {error:.3f}", f"{row[f'{name}, worst']:.2f}"]
        rows.append(cells)
    return "\n".join(table_lines(rows))


def main():
    parser = parser_of(__doc__)
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--report", action="store_true", help="write the JSON")
    parser.add_argument("--markdown", action="store_true", help="print its table")
    args = parser.parse_args()
    if args.report:
        summary = summarise(records_in(SCRATCH))
        write_report(
            OUT, about(*PACKAGES) | {"repeats": len(SEEDS), "summary": summary}
        )
    if args.markdown:
        print(markdown(read_report(OUT)["summary"]))
    if not (args.report or args.markdown):
        known = {tuple(r[name] for name in KEY) for r in records_in(SCRATCH)}
        tables = [t for t in tables_or_exit(args.data) if t.task == "classification"]
        units = [unit for unit in units_of(tables) if key_of(unit) not in known]
        measure_all(units, args.jobs, SCRATCH, measure)


if __name__ == "__main__":
    main()
