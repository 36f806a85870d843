"""How much of a comparison is the luck of a random state.

`quality.py` fits each model from random state 0. Here the estimators of skmix and
CatBoost are fitted from two others, too, on the same rows and folds. The report takes
random state 0 from quality.json, so measure that first.

    python benchmarks/seeds.py --data DIR      # measures
    python benchmarks/seeds.py --report        # writes results/seeds.json
    python benchmarks/seeds.py --markdown      # prints the table of seeds.json

Each fit is a line of results/seeds.jsonl, and what is there is not measured again;
delete it to start afresh, as after a change of the library.
"""

import os
from functools import partial
from itertools import product

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import pandas as pd
from common import (
    MAX_ROWS,
    N_FOLDS,
    RESULTS,
    TASKS,
    about,
    counts,
    listed,
    measure_all,
    parser_of,
    read_report,
    records_in,
    rows_of,
    table_lines,
    tables_or_exit,
    versions_line,
    write_report,
)
from quality import LOSS, TITLES, Unit, measure, versions_of_model

OUT = RESULTS / "seeds.json"
SCRATCH = OUT.with_suffix(".jsonl")
STATES = (1, 2)
PAIRS = (("ours", "cat"), ("ours-cv", "cat"), ("ours", "ours-plain"))
MODELS = sorted({model for pair in PAIRS for model in pair})
KEY = ("set", "fold", "random_state", "model")


def measure_state(unit):
    table, fold, state, model = unit
    record = measure(Unit(table, MAX_ROWS, fold, model), state)
    kept = ("task", "bacc_even", "bacc", "fit_s", LOSS[table.task])
    found = {name: record[name] for name in kept if name in record}
    return dict(zip(KEY, key_of(unit), strict=True)) | found


def key_of(unit):
    table, *others = unit
    return (table.name, *others)


def summarise(records, of_state_0):
    """Return ratios of losses for each pair and state, and for all states together.

    A table has a ratio of mean losses over its folds for each state; for all states it
    has their geometric mean.
    """
    whole = [score for score in of_state_0 if len(score["folds"]) == N_FOLDS]
    frame = pd.DataFrame([score | {"random_state": 0} for score in whole] + records)
    rows = []
    for task, (model, other) in product(TASKS, PAIRS):
        losses = frame[frame["task"] == task].pivot_table(
            index=["set", "random_state"], columns="model", values=LOSS[task]
        )
        logs = np.log(losses[model] / losses[other]).unstack()
        for state, log in [*logs.items(), ("all", logs.mean(axis=1))]:
            row = {"task": task, "model": model, "other": other, "state": str(state)}
            row |= {"tables": len(log), "ratio": np.exp(log.mean())}
            row |= {"error": log.sem(), "counts": counts(log)}
            rows.append(row)
    return rows_of(pd.DataFrame(rows))


def markdown(report):
    states = [*map(str, (0, *STATES)), "all"]
    rows = [["", *(f"random state {state}" for state in states[:-1]), "all"]]
    for task, (model, other) in product(TASKS, PAIRS):
        cells = {
            row["state"]: row
            for row in report["summary"]
            if (row["task"], row["model"], row["other"]) == (task, model, other)
        }
        name = f"{TITLES[LOSS[task]]}: {model} / {other}"
        rows.append([name, *(cell_of(cells[state], state) for state in states)])
    return f"{report['date']}. Run: {versions_line(report)}.\n\n" + "\n".join(
        table_lines(rows)
    )


def cell_of(row, state):
    error = f" ± {row['error']:.3f}" if state == "all" else ""
    return f"{row['ratio']:.3f}{error} ({' / '.join(map(str, row['counts']))})"


def main():
    parser = parser_of(__doc__)
    states, folds = partial(listed, STATES, int), partial(listed, range(N_FOLDS), int)
    parser.add_argument("--states", type=states, default=STATES, help="1,2")
    parser.add_argument("--folds", type=folds, default=[*range(N_FOLDS)], help="0,1,2")
    parser.add_argument("--task", choices=TASKS)
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--report", action="store_true", help="write the JSON")
    parser.add_argument("--markdown", action="store_true", help="print its table")
    args = parser.parse_args()
    if args.report:
        versions = {k: v for m in MODELS for k, v in versions_of_model(m).items()}
        of_state_0 = read_report(RESULTS / "quality.json")["scores"]
        summary = summarise(records_in(SCRATCH), of_state_0)
        write_report(OUT, about() | {"versions": versions, "summary": summary})
    if args.markdown:
        print(markdown(read_report(OUT)))
    if not (args.report or args.markdown):
        known = {tuple(r[name] for name in KEY) for r in records_in(SCRATCH)}
        tables = [t for t in tables_or_exit(args.data) if args.task in (None, t.task)]
        wanted = product(args.states, args.folds, tables, MODELS)
        units = [(t, fold, state, m) for state, fold, t, m in wanted]
        units = [unit for unit in units if key_of(unit) not in known]
        measure_all(units, args.jobs, SCRATCH, measure_state)


if __name__ == "__main__":
    main()
