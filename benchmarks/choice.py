"""How to choose among alphas by rows held out: rules compared on rows put aside.

`MixupClassifierCV` is fitted to a fold of each table as `quality.py` does; what
each rule would predict is made of the nets that it keeps. The losses are of rows
that no net and no rule has seen.

    python benchmarks/choice.py --data DIR       # measures, on the first fold
    python benchmarks/choice.py --report         # writes results/choice.json
    python benchmarks/choice.py --table          # prints the table of choice.json

Each fit is a line of results/choice.jsonl, and what is there is not measured again;
delete it to start afresh, as after a change of the library.
"""

import os
import time
from functools import partial

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import pandas as pd
from common import (
    MAX_ROWS,
    PACKAGES,
    RESULTS,
    about,
    append,
    counts,
    fold_of,
    parser_of,
    quiet_worker,
    read_report,
    records_in,
    sample_of,
    spread,
    table_lines,
    tables_or_exit,
    versions_of,
    write_report,
)
from tqdm import tqdm

from skmix import MixupClassifierCV
from skmix.networks import apply_temperature, fit_temperature

SCRATCH, OUT = RESULTS / "choice.jsonl", RESULTS / "choice.json"
DEFAULT = "blend, tempered"


def measure(table, fold):
    """Fit once; return the log loss of each rule, of rows put aside."""
    X, y = sample_of(table, MAX_ROWS)
    train, test = fold_of(X, y, True, fold)
    start = time.process_time()
    search = MixupClassifierCV(store_cv_results=True, random_state=0)
    search.fit(X.iloc[train], y[train])
    seconds = time.process_time() - start
    by_candidate = predictions(search, X.iloc[test], y.max() + 1)
    loss = partial(log_loss, y[test])
    losses = {
        rule: loss(np.tensordot(shares, by_candidate, axes=1))
        for rule, shares in rules(search).items()
    }
    shares, temperature = search.alpha_weights_, search.temperature_
    blend = np.tensordot(shares, by_candidate, axes=1)
    losses |= {"blend": loss(blend)}
    losses |= {DEFAULT: loss(apply_temperature(blend, temperature))}
    best = apply_temperature(
        by_candidate[search.best_index_], temperature_of_best(search, y[train])
    )
    losses |= {"best, tempered": loss(best)}
    proba = spread(search.predict_proba(X.iloc[test]), search.classes_, y.max() + 1)
    losses |= {"blend, tempered, and a net on all rows": loss(proba)}
    return {
        **{"set": table.name, "fold": fold, "seconds": seconds, "losses": losses},
        **{"alpha": search.alpha_, "temperature": temperature},
        "shares": shares.tolist(),
        "versions": versions_of(*PACKAGES),
    }


def predictions(search, X, n_classes):
    """What the members of each candidate predict together, (C, n, n_classes).

    Zeros for candidates that are not kept.
    """
    kept = search.alpha_weights_ > 0
    proba = np.zeros((len(kept), len(X), n_classes))
    *members, _ = search.estimators_  # the last one is trained on all rows
    members = np.reshape(members, (kept.sum(), search.n_splits_))
    for c, of_candidate in zip(np.flatnonzero(kept), members, strict=True):
        together = np.mean([m.predict_proba(X) for m in of_candidate], axis=0)
        proba[c] = spread(together, search.classes_, n_classes)
    return proba


def temperature_of_best(search, y):
    """The temperature of the best candidate alone, by rows held out."""
    rows = np.concatenate(search.fold_rows_)
    proba = [of_fold[search.best_index_] for of_fold in search.fold_predictions_]
    labels = np.searchsorted(search.classes_, y[rows])
    return fit_temperature(np.concatenate(proba), labels)


def rules(search):
    """The share of each candidate by each rule, among candidates that are kept."""
    kept = np.flatnonzero(search.alpha_weights_)
    mean = search.cv_results_["mean_test_score"][kept]
    error = search.cv_results_["std_test_score"][kept] / np.sqrt(search.n_splits_ - 1)
    alphas, best = search.gains_["alpha"][kept], mean.argmax()
    near = np.flatnonzero(mean >= mean[best] - error[best])
    clear = search.gains_["low"][kept][best] > 0
    chosen = {
        "alpha 0": alphas.argmin(),
        "best": best,
        "least alpha within a standard error": near[alphas[near].argmin()],
        "best if its interval is above 0, else 0": best if clear else alphas.argmin(),
    }
    one_hot = np.eye(len(search.alpha_weights_))
    return {rule: one_hot[kept[c]] for rule, c in chosen.items()} | {
        "mean of all": one_hot[kept].mean(axis=0)
    }


def log_loss(y, proba):
    return -np.log(proba[np.arange(len(y)), y].clip(1e-15)).mean()


def report(records):
    losses = pd.DataFrame([record["losses"] for record in records])
    logs = np.log(losses.div(losses[DEFAULT], axis=0))
    rows = []
    for rule in losses:
        ratio = round(float(np.exp(logs[rule].mean())), 4)
        tally = [*counts(np.expm1(logs[rule]))]
        rows.append({"rule": rule, "ratio": ratio, "won, tied, lost": tally})
        rows[-1]["error"] = round(float(logs[rule].sem()), 4)
    return {
        **about(),
        "versions": records[0]["versions"],
        "fits": len(records),
        "rules": rows,
        "losses": [
            {"set": r["set"], "fold": r["fold"], "alpha": r["alpha"]}
            | {"temperature": round(r["temperature"], 3)}
            | {rule: round(loss, 5) for rule, loss in r["losses"].items()}
            for r in records
        ],
    }


def markdown(result):
    head = ["rule", "log loss, ratio", "standard error", "better / tied / worse"]
    rows = [head]
    for row in result["rules"]:
        tally = " / ".join(map(str, row["won, tied, lost"]))
        ratio, error = f"{row['ratio']:.4f}", f"{row['error']:.4f}"
        rows.append([row["rule"], ratio, error, tally])
    return "\n".join(table_lines(rows))


def main():
    parser = parser_of(__doc__)
    parser.add_argument("--folds", type=int, nargs="+", default=[0])
    parser.add_argument(
        "--sets", nargs="+", metavar="NAME", help="of tables, if not all"
    )
    parser.add_argument("--report", action="store_true", help="write the JSON")
    parser.add_argument("--table", action="store_true", help="print its table")
    arguments = parser.parse_args()
    if arguments.report:
        write_report(OUT, report(records_in(SCRATCH)))
    if arguments.table:
        print(markdown(read_report(OUT)))
    if arguments.report or arguments.table:
        return
    quiet_worker()
    known = {(r["set"], r["fold"]) for r in records_in(SCRATCH)}
    tables = [t for t in tables_or_exit(arguments.data) if t.task == "classification"]
    tables = [t for t in tables if arguments.sets is None or t.name in arguments.sets]
    wanted = [(table, fold) for fold in arguments.folds for table in tables]
    for table, fold in tqdm([w for w in wanted if (w[0].name, w[1]) not in known]):
        append(SCRATCH, [measure(table, fold)])


if __name__ == "__main__":
    main()
