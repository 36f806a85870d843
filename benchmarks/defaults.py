"""Choose the defaults of `alpha` and `lam_per` by measurement.

Every table of a folder is fitted in three folds by the default estimator, unmixed
(alpha 0) and at each setting of `alpha` and `lam_per`, from the same random states.
What comes out is each setting against alpha 0.

    python benchmarks/defaults.py --data DIR --out FILE

DIR holds ``classification/*.parquet`` and ``regression/*.parquet``, one table a file,
the target in a last column called ``target``. An interrupted run goes on where it
stopped: rows already in the scratch file (FILE with the suffix .jsonl) are not
measured again; delete it to start afresh, as after a change of the library. Two runs
on parts of a folder may share one.
`--markdown` measures nothing, and prints the tables of FILE for docs/defaults.md.
"""

import os
import time
from itertools import product
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import pandas as pd
import torch
from common import (
    MAX_ROWS,
    PACKAGES,
    RESULTS,
    TASKS,
    about,
    append,
    bins_of,
    calibration_error,
    folds_of,
    last_records,
    loss_of,
    parser_of,
    read_report,
    rows_of,
    sample_of,
    tables_or_exit,
    titled,
    write_report,
)
from tqdm import tqdm

from skmix import MixupClassifier, MixupRegressor

OUT = RESULTS / "defaults.json"
TIE = 0.005  # relative difference below which two scores count as equal
ALPHAS = (0, 0.1, 0.2, 0.4, 1, "auto")
SETTINGS = [
    {"alpha": alpha, "lam_per": lam_per}
    for alpha in ALPHAS
    for lam_per in ("batch", "row")[: 2 if alpha == 0.2 else 1]
]
CELLS = {
    "alpha": "{alpha}",
    "lam_per": "{lam_per}",
    "won / tied / lost": "{wins} / {ties} / {losses}",
    "loss against alpha 0": "{ratio:.3f} ± {ratio_error:.3f}",
    "accuracy": "{accuracy:.3f}",
    "ECE": "{ece:.3f}",
    "epochs": "{n_iter:.0f}",
    "CPU s a fit": "{fit_cpu_s:.2f}",
}


def measure(X, y, classify, random_state, **setting):
    """Fit all folds; return mean scores, ECE over the folds together, and costs."""
    kind = MixupClassifier if classify else MixupRegressor
    folds, confidence, hit = [], np.zeros(len(y)), np.zeros(len(y))
    for train, test in folds_of(X, y, classify):
        model = kind(random_state=random_state, **setting)
        start = time.process_time()
        model.fit(X.iloc[train], y[train])
        fold = {"fit_cpu_s": time.process_time() - start, "n_iter": model.n_iter_}
        fold["loss"] = loss_of(model, X.iloc[test], y[test])
        if classify:
            proba = model.predict_proba(X.iloc[test])
            confidence[test] = proba.max(axis=1)
            hit[test] = proba.argmax(axis=1) == y[test]
            fold["accuracy"] = hit[test].mean()
        folds.append(fold)
    ece = {"ece": calibration_error(bins_of(confidence, hit))} if classify else {}
    return pd.DataFrame(folds).mean().to_dict() | ece


def measure_missing(tables, seeds, scratch):
    """Measure what the scratch file does not hold yet; return all of it as a frame."""
    known = last_records(scratch, key_of)
    records = []
    for seed, setting, table in tqdm([*product(seeds, SETTINGS, tables)], smoothing=0):
        record = {"task": table.task, "table": table.name, "random_state": seed}
        record |= setting
        if key_of(record) not in known:
            X, y = sample_of(table, MAX_ROWS)
            scores = measure(X, y, table.task == "classification", seed, **setting)
            record |= {"rows": len(y), **scores}
            append(scratch, [record])
        records.append(known.get(key_of(record), record))
    return pd.DataFrame(records).astype({"alpha": str})


def key_of(record):
    return tuple(record[k] for k in ("table", "random_state", "alpha", "lam_per"))


def summarise(scores):
    """Compare each setting with alpha 0, over the tables of each task.

    `ratio` is the geometric mean over tables of the loss divided by that of alpha
    0, and `ratio_error` its relative standard error (tables being the sample).
    """
    unmixed = scores[scores["alpha"].isin(["0", "0.0"])].set_index("table")["loss"]
    log = np.log(scores["loss"] / scores["table"].map(unmixed))
    scores = scores.assign(
        log=log, wins=log < -TIE, ties=log.abs() <= TIE, losses=log > TIE
    )
    groups = scores.groupby(["task", "alpha", "lam_per"])
    summary = groups[["wins", "ties", "losses"]].sum()
    summary["ratio"] = np.exp(groups["log"].mean())
    summary["ratio_error"] = groups["log"].sem()
    means = groups[["accuracy", "ece", "n_iter", "fit_cpu_s"]].mean()
    return summary.join(means).reset_index()


def markdown(summary):
    """Return one table for each task."""
    lines = []
    for task in TASKS:
        skipped = () if task == "classification" else ("accuracy", "ECE")
        cells = {head: cell for head, cell in CELLS.items() if head not in skipped}
        table = [[*cells]]
        for row in (row for row in summary if row["task"] == task):
            known = {k: np.nan if v is None else v for k, v in row.items()}
            if row["alpha"] != "auto":
                known["alpha"] = f"{float(row['alpha']):g}"
            table.append([cell.format(**known) for cell in cells.values()])
        lines += titled(task.title(), table)
    return "\n".join(lines)


def main():
    parser = parser_of(__doc__)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--seeds", type=int, default=1, help="random states to average")
    parser.add_argument("--markdown", action="store_true", help="print tables of --out")
    arguments = parser.parse_args()
    if arguments.markdown:
        print(markdown(read_report(arguments.out)["summary"]))
        return
    torch.set_num_threads(1)
    seeds, tables = list(range(arguments.seeds)), tables_or_exit(arguments.data)
    records = measure_missing(tables, seeds, arguments.out.with_suffix(".jsonl"))
    keys = ["task", "table", "rows", "alpha", "lam_per"]
    scores = records.groupby(keys).mean().drop(columns="random_state").reset_index()
    summary = rows_of(summarise(scores))
    result = about(*PACKAGES, "pandas", "skorch") | {"random_states": seeds}
    result |= {"summary": summary, "tables": rows_of(scores)}
    write_report(arguments.out, result)
    print(markdown(summary))


if __name__ == "__main__":
    main()
