"""Measure what serves balanced accuracy: priors, or weights of the classes.

Every classification table of a folder is cut to a sample of rows, and fitted in three
folds by `MixupClassifier` from random state 0, on one thread:

- ``as it is``: the most probable class is predicted;
- ``priors``: the same fit, under ``priors="uniform"``;
- ``class_weight``: another fit, with ``class_weight="balanced"``.

    python benchmarks/priors.py --data DIR    # measures, and writes results/priors.json
    python benchmarks/priors.py --markdown    # prints the table of priors.json

An interrupted run goes on where it stopped: folds in the scratch file (priors.jsonl)
are not measured again; delete it to start afresh.
"""

import os
from itertools import product

os.environ["OMP_NUM_THREADS"] = "1"

import pandas as pd
from common import (
    MAX_ROWS,
    N_FOLDS,
    PACKAGES,
    RESULTS,
    TIE,
    about,
    append,
    fold_of,
    last_records,
    parser_of,
    quiet_worker,
    read_report,
    rows_of,
    sample_of,
    scores_of_classes,
    spread,
    table_lines,
    tables_or_exit,
    write_report,
)
from tqdm import tqdm

from skmix import MixupClassifier

OUT = RESULTS / "priors.json"
KEPT = ("ll", "bacc", "acc")
HEAD = (
    "decision",
    "balanced accuracy",
    "tables better / worse",
    "accuracy",
    "log loss",
)


def measure(table, fold):
    """Fit a fold with and without class weights; return a record for each decision."""
    X, y = sample_of(table, MAX_ROWS)
    train, test = fold_of(X, y, True, fold)
    ways = {
        "as it is": MixupClassifier(random_state=0),
        "class_weight": MixupClassifier(class_weight="balanced", random_state=0),
    }
    for model in ways.values():
        model.fit(X.iloc[train], y[train])
    found = {name: model.predict_proba(X.iloc[test]) for name, model in ways.items()}
    model = ways["as it is"].set_params(priors="uniform")
    found["priors"] = model.predict_proba(X.iloc[test])
    records = []
    for name, proba in found.items():
        proba = spread(proba, model.classes_, y.max() + 1)
        scores = scores_of_classes(y[test], proba)
        record = {"table": table.name, "fold": fold, "decision": name}
        records.append(record | {k: scores[k] for k in KEPT})
    return records


def summarise(scores):
    """Return means over tables, and on how many each decision is better or worse."""
    of_tables = scores.groupby(["decision", "table"])[list(KEPT)].mean()
    gain = of_tables["bacc"] - of_tables["bacc"].xs("as it is").reindex(
        of_tables.index, level="table"
    )
    summary = of_tables.groupby("decision").mean()
    summary["better"] = (gain > TIE).groupby("decision").sum()
    summary["worse"] = (gain < -TIE).groupby("decision").sum()
    return summary.reset_index()


def markdown(summary):
    rows = [[*HEAD]]
    for row in summary:
        cells = f"{row['bacc']:.3f}", f"{row['better']} / {row['worse']}"
        rows.append([row["decision"], *cells, f"{row['acc']:.3f}", f"{row['ll']:.3f}"])
    return "\n".join(table_lines(rows))


def main():
    parser = parser_of(__doc__)
    parser.add_argument("--markdown", action="store_true", help="print the table")
    arguments = parser.parse_args()
    if arguments.markdown:
        print(markdown(read_report(OUT)["summary"]))
        return
    quiet_worker()
    scratch = OUT.with_suffix(".jsonl")
    known = {key[:2] for key in last_records(scratch, key_of)}
    tables = [t for t in tables_or_exit(arguments.data) if t.task == "classification"]
    for table, fold in tqdm([*product(tables, range(N_FOLDS))], smoothing=0):
        if (table.name, fold) not in known:
            append(scratch, measure(table, fold))
    scores = pd.DataFrame(last_records(scratch, key_of).values())
    summary = rows_of(summarise(scores))
    result = about(*PACKAGES, "skorch") | {"rows": MAX_ROWS, "summary": summary}
    write_report(OUT, result | {"scores": rows_of(scores)})
    print(markdown(summary))


def key_of(record):
    return record["table"], record["fold"], record["decision"]


if __name__ == "__main__":
    main()
