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

import argparse
import datetime
import json
import os
import sys
import time
from functools import cache
from itertools import product
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import pandas as pd
import sklearn
import skorch
import torch
from sklearn.metrics import log_loss, root_mean_squared_error
from sklearn.model_selection import KFold, StratifiedKFold, train_test_split
from sklearn.preprocessing import LabelEncoder
from tqdm import tqdm

import skmix
from skmix import MixupClassifier, MixupRegressor

REPOSITORY = Path(__file__).resolve().parent.parent
RESULTS = REPOSITORY / "benchmarks" / "results" / "defaults.json"
TASKS = ("classification", "regression")
MAX_ROWS = 2_000
MIN_ROWS_OF_CLASS = 6
TIE = 0.005  # relative difference below which two scores count as equal
SETTINGS = [
    {"alpha": alpha, "lam_per": lam_per}
    for alpha in (0.0, 0.1, 0.2, 0.4, 1.0)
    for lam_per in ("batch", "row")[: 2 if alpha == 0.2 else 1]
]
CELLS = {
    "alpha": "{alpha:g}",
    "lam_per": "{lam_per}",
    "won / tied / lost": "{wins} / {ties} / {losses}",
    "loss against alpha 0": "{ratio:.3f} ± {ratio_error:.3f}",
    "accuracy": "{accuracy:.3f}",
    "ECE": "{ece:.3f}",
    "epochs": "{n_iter:.0f}",
    "CPU s a fit": "{fit_cpu_s:.2f}",
}


@cache
def read_table(path, classify):
    """Return columns and coded targets of at most 2,000 rows of a table.

    Classes of fewer than six rows and columns without a value are left out.
    """
    X = pd.read_parquet(path)
    y = X.pop("target")
    if classify:
        X, y = keep_common(X, y.astype(str))
    else:
        y = y.to_numpy(float)
    if len(y) > MAX_ROWS:
        options = {"random_state": 0, "stratify": y if classify else None}
        rows, _ = train_test_split(np.arange(len(y)), train_size=MAX_ROWS, **options)
        rows.sort()
        X, y = X.iloc[rows].reset_index(drop=True), y[rows]
        if classify:
            X, y = keep_common(X, y)
    X = X.loc[:, X.nunique() > 0]
    return X, y


def keep_common(X, y):
    y = LabelEncoder().fit_transform(y)
    common = np.bincount(y)[y] >= MIN_ROWS_OF_CLASS
    return X[common].reset_index(drop=True), LabelEncoder().fit_transform(y[common])


def measure(X, y, classify, random_state, **setting):
    """Fit all folds; return mean scores, ECE over the folds together, and costs."""
    kind, split = MixupRegressor, KFold
    if classify:
        kind, split = MixupClassifier, StratifiedKFold
    folds, confidence, hit = [], np.zeros(len(y)), np.zeros(len(y))
    for train, test in split(3, shuffle=True, random_state=0).split(X, y):
        model = kind(random_state=random_state, **setting)
        start = time.process_time()
        model.fit(X.iloc[train], y[train])
        fold = {"fit_cpu_s": time.process_time() - start, "n_iter": model.n_iter_}
        if classify:
            proba = model.predict_proba(X.iloc[test])
            confidence[test] = proba.max(axis=1)
            hit[test] = proba.argmax(axis=1) == y[test]
            fold["loss"] = log_loss(y[test], proba, labels=model.classes_)
            fold["accuracy"] = hit[test].mean()
        else:
            prediction = model.predict(X.iloc[test])
            fold["loss"] = root_mean_squared_error(y[test], prediction)
        folds.append(fold)
    ece = {"ece": calibration_error(confidence, hit)} if classify else {}
    return pd.DataFrame(folds).mean().to_dict() | ece


def calibration_error(confidence, hit, n_bins=15):
    """Expected calibration error: equal-width bins of the largest probability."""
    bins = np.minimum((confidence * n_bins).astype(int), n_bins - 1)
    return np.abs(np.bincount(bins, hit - confidence)).sum() / len(hit)


def measure_all(tables, seeds, scratch):
    """Measure what the scratch file does not hold yet; return all of it as a frame."""
    lines = scratch.read_text().splitlines() if scratch.exists() else []
    done = {key_of(record): record for record in map(json.loads, lines)}
    wanted = list(product(seeds, SETTINGS, tables))
    records = []
    for seed, setting, path in tqdm(wanted, smoothing=0):
        task = path.parent.name
        record = {"task": task, "table": path.stem, "random_state": seed, **setting}
        if key_of(record) not in done:
            X, y = read_table(path, task == "classification")
            scores = measure(X, y, task == "classification", seed, **setting)
            record |= {"rows": len(y), **scores}
            with scratch.open("a") as file:
                file.write(json.dumps(record) + "\n")
        records.append(done.get(key_of(record), record))
    return pd.DataFrame(records)


def key_of(record):
    return tuple(record[k] for k in ("table", "random_state", "alpha", "lam_per"))


def summarise(scores):
    """Compare each setting with alpha 0, over the tables of each task.

    `ratio` is the geometric mean over tables of the loss divided by that of alpha
    0, and `ratio_error` its relative standard error (tables being the sample).
    """
    unmixed = scores[scores["alpha"] == 0].set_index("table")["loss"]
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


def records_of(frame):
    """Return a frame's rows as dicts that are fit for JSON."""
    return json.loads(frame.to_json(orient="records", double_precision=5))


def markdown(summary):
    """Return one table for each task."""
    lines = []
    for task in TASKS:
        skipped = () if task == "classification" else ("accuracy", "ECE")
        cells = {head: cell for head, cell in CELLS.items() if head not in skipped}
        lines += [f"{task.title()}:", "", row_of(cells), row_of(["---"] * len(cells))]
        for row in (row for row in summary if row["task"] == task):
            known = {k: np.nan if v is None else v for k, v in row.items()}
            lines.append(row_of(cell.format(**known) for cell in cells.values()))
        lines.append("")
    return "\n".join(lines)


def row_of(cells):
    return "| " + " | ".join(cells) + " |"


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=REPOSITORY.parent / "shared/data")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--seeds", type=int, default=1, help="random states to average")
    parser.add_argument("--markdown", action="store_true", help="print tables of --out")
    arguments = parser.parse_args()
    if arguments.markdown:
        print(markdown(json.loads(arguments.out.read_text())["summary"]))
        return
    tables = [p for t in TASKS for p in sorted(arguments.data.glob(f"{t}/*.parquet"))]
    if not tables:
        sys.exit(
            f"Found no tables in {arguments.data}. Pass --data DIR, a folder with "
            "classification/*.parquet and regression/*.parquet: one table a file, its "
            "last column called target."
        )
    torch.set_num_threads(1)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    seeds = list(range(arguments.seeds))
    records = measure_all(tables, seeds, arguments.out.with_suffix(".jsonl"))
    keys = ["task", "table", "rows", "alpha", "lam_per"]
    scores = records.groupby(keys).mean().drop(columns="random_state").reset_index()
    summary = records_of(summarise(scores))
    modules = (np, pd, sklearn, skorch, torch, skmix)
    result = {
        "date": datetime.date.today().isoformat(),
        "versions": {module.__name__: module.__version__ for module in modules},
        "random_states": seeds,
        "summary": summary,
        "tables": records_of(scores),
    }
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    print(markdown(summary))


if __name__ == "__main__":
    main()
