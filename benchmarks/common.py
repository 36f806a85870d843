"""What several benchmarks need: tables, folds, scores, resumed runs, reports, Markdown.

A benchmark cuts each table of a folder to a sample of rows, fits models in folds of it,
and appends a line of JSON for each fit to a scratch file, so that an interrupted run
goes on where it stopped. The report, a JSON of means, is made of these lines, and the
tables of a page in docs/ are made of the report.
"""

import argparse
import datetime
import json
import logging
import os
import sys
import warnings
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import lru_cache
from importlib.metadata import version
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import pandas as pd
import torch
from sklearn import metrics
from sklearn.datasets import fetch_openml
from sklearn.model_selection import KFold, StratifiedKFold, train_test_split
from sklearn.preprocessing import LabelEncoder
from skorch import NeuralNetClassifier
from skorch.utils import to_tensor
from tqdm import tqdm

RESULTS = Path(__file__).resolve().parent / "results"
TASKS = ("classification", "regression")
PACKAGES = ("skmix", "numpy", "scikit-learn", "torch")
MAX_ROWS = 2_000  # of a table, if a benchmark does not say otherwise
MIN_ROWS_OF_CLASS = 6
N_FOLDS = 3
N_BINS = 15
TIE = 0.001  # relative difference up to which two scores count as equal


# Tables: the same rows and folds for every model.


class Table(NamedTuple):
    name: str
    task: str
    where: Path | int  # a Parquet file, or the number of a data set of OpenML


def tables_in(folder: Path) -> list[Table]:
    paths = [p for task in TASKS for p in sorted(folder.glob(f"{task}/*.parquet"))]
    return [Table(path.stem, path.parent.name, path) for path in paths]


def tables_or_exit(folder: Path | None) -> list[Table]:
    """Return the tables in a folder; say what a folder holds where there are none."""
    tables = tables_in(folder) if folder else []
    if not tables:
        sys.exit(
            "Found no tables. Pass --data DIR, a folder with classification/*.parquet "
            "and regression/*.parquet: one table a file, its last column called target."
        )
    return tables


def table_of_openml(number: int) -> Table:
    _, y = read(number)
    task = TASKS[pd.api.types.is_numeric_dtype(y)]
    return Table(f"openml-{number}", task, number)


def read(where: Path | int) -> tuple[pd.DataFrame, pd.Series]:
    """Return all columns and the target of a table."""
    if isinstance(where, int):
        return fetch_openml(data_id=where, as_frame=True, return_X_y=True)
    X = pd.read_parquet(where)
    return X, X.pop("target")


@lru_cache(maxsize=1)
def sample_of(table: Table, max_rows: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Return columns and coded targets of at most `max_rows` rows of a table.

    Classes of fewer than six rows and columns without a value are left out.
    """
    X, y = read(table.where)
    classify = table.task == "classification"
    X, y = keep_common(X, y.astype(str)) if classify else (X, y.to_numpy(float))
    if len(y) > max_rows:
        options = {"random_state": 0, "stratify": y if classify else None}
        rows, _ = train_test_split(np.arange(len(y)), train_size=max_rows, **options)
        rows.sort()
        X, y = X.iloc[rows].reset_index(drop=True), y[rows]
        if classify:
            X, y = keep_common(X, y)
    return X.loc[:, X.nunique() > 0], y


def keep_common(X: pd.DataFrame, y: Any) -> tuple[pd.DataFrame, np.ndarray]:
    y = LabelEncoder().fit_transform(y)
    common = np.bincount(y)[y] >= MIN_ROWS_OF_CLASS
    return X[common].reset_index(drop=True), LabelEncoder().fit_transform(y[common])


def folds_of(
    X: pd.DataFrame, y: np.ndarray, classify: bool
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield training and test rows of each fold."""
    kind = StratifiedKFold if classify else KFold
    return kind(N_FOLDS, shuffle=True, random_state=0).split(X, y)


def fold_of(
    X: pd.DataFrame, y: np.ndarray, classify: bool, fold: int
) -> tuple[np.ndarray, np.ndarray]:
    return next(islice(folds_of(X, y, classify), fold, None))


# Scores of predictions.


def spread(proba: np.ndarray, classes: np.ndarray, n_classes: int) -> np.ndarray:
    """Give classes that were not trained on probability 0; normalise in float64."""
    full = np.zeros((len(proba), n_classes))
    full[:, np.asarray(classes, dtype=int)] = proba
    return full / full.sum(axis=1, keepdims=True)


def loss_of(model: Any, X: pd.DataFrame, y: np.ndarray) -> float:
    """Return the log loss of a fitted classifier, or the RMSE of a regressor."""
    if not hasattr(model, "classes_"):
        return metrics.root_mean_squared_error(y, model.predict(X))
    return metrics.log_loss(y, model.predict_proba(X), labels=model.classes_)


def scores_of_classes(y: np.ndarray, proba: np.ndarray) -> dict[str, Any]:
    n_classes = proba.shape[1]
    predicted = proba.argmax(axis=1)
    of_truth = proba[np.arange(len(y)), y]
    bins = bins_of(proba.max(axis=1), predicted == y)
    score = proba[:, 1] if n_classes == 2 else proba
    options = {"multi_class": "ovr", "labels": np.arange(n_classes)}
    return {
        "ll": -np.log(of_truth.clip(1e-15, 1)).mean(),
        "bacc": metrics.balanced_accuracy_score(y, predicted),
        "acc": metrics.accuracy_score(y, predicted),
        "auc": metrics.roc_auc_score(y, score, **options),
        "brier": ((proba - np.eye(n_classes)[y]) ** 2).sum(axis=1).mean(),
        "ece": calibration_error(bins),
        "bins": bins,
    }


def bins_of(confidence: np.ndarray, hit: np.ndarray) -> list[list[float]]:
    """Rows, sums of confidence and hits in equal-width bins of the confidence."""
    bins = np.minimum((confidence * N_BINS).astype(int), N_BINS - 1)
    weights = (None, confidence, hit)
    return [np.bincount(bins, w, minlength=N_BINS).tolist() for w in weights]


def calibration_error(bins: Any) -> float:
    """Expected calibration error, of one fold's bins or of a sum of several."""
    rows, confidence, hits = np.asarray(bins)
    return np.abs(hits - confidence).sum() / rows.sum()


def counts(differences: pd.Series) -> tuple[int, int, int]:
    """Numbers of tables won, tied and lost, by relative differences of losses."""
    won, lost = int((differences < -TIE).sum()), int((differences > TIE).sum())
    return won, int((differences.abs() <= TIE).sum()), lost


def compared(fits: pd.DataFrame, name: str, default: str) -> pd.DataFrame:
    """Compare each setting with the default one, over the tables of each task.

    `fits` has a row for each table and setting, with ``task``, ``table``, ``loss``,
    ``fit_s`` and, of classifiers, perhaps ``bacc``; its column `name` names settings.
    """
    summary = []
    for (task, setting), rows in fits.groupby(["task", name], sort=False):
        rows = rows.set_index("table")
        of_default = (fits["task"] == task) & (fits[name] == default)
        others = fits[of_default].set_index("table").loc[rows.index]
        log = np.log(rows["loss"] / others["loss"])
        row = {"task": task, name: setting, "tables": len(rows)}
        row |= {"ratio": np.exp(log.mean()), "ratio_error": log.sem()}
        row["wins"], _, row["losses"] = counts(log)
        if "bacc" in fits:
            row["bacc"] = (rows["bacc"] - others["bacc"]).mean()
        row["time"] = np.exp(np.log(rows["fit_s"] / others["fit_s"]).mean())
        summary.append(row)
    return pd.DataFrame(summary)


# Runs: what the scratch file holds is not measured again.


def records_in(scratch: Path) -> list[dict[str, Any]]:
    """Return the records of a scratch file, one a line; none if there is no file."""
    lines = scratch.read_text().splitlines() if scratch.exists() else []
    return [json.loads(line) for line in lines]


def last_records(
    scratch: Path, key_of: Callable[[dict[str, Any]], Hashable]
) -> dict[Any, dict[str, Any]]:
    """Return the last record of each key."""
    return {key_of(record): record for record in records_in(scratch)}


def append(scratch: Path, records: Iterable[dict[str, Any]]) -> None:
    scratch.parent.mkdir(parents=True, exist_ok=True)
    with scratch.open("a") as file:
        file.writelines(json.dumps(record) + "\n" for record in records)


def quiet_worker() -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    logging.disable(logging.INFO)


def measure_all(
    units: Iterable[Any], jobs: int, scratch: Path, measure: Callable[[Any], Any]
) -> None:
    """Append what is measured of each unit to the scratch file; exit if some failed.

    `measure` returns one record, or a list of records.
    """
    context = get_context("spawn")
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=quiet_worker)
    failed = 0
    try:
        futures = {pool.submit(measure, unit): unit for unit in units}
        for future in tqdm(as_completed(futures), total=len(futures), smoothing=0):
            if error := future.exception():
                failed += 1
                what = f"{futures[future]}: {type(error).__name__}: {error}"
                tqdm.write(what, file=sys.stderr)
            else:
                found = future.result()
                append(scratch, found if isinstance(found, list) else [found])
    finally:
        pool.shutdown(cancel_futures=True)
    if failed:
        sys.exit(f"{failed} of {len(futures)} fits failed.")


# Reports: the JSON of a benchmark.


def versions_of(*packages: str) -> dict[str, str]:
    return {name: version(name) for name in packages}


def about(*packages: str) -> dict[str, Any]:
    """Return the date and the versions that a report begins with."""
    return {
        "date": datetime.date.today().isoformat(),
        "versions": versions_of(*packages),
    }


def rows_of(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a frame's rows as dicts that are fit for JSON."""
    return json.loads(frame.to_json(orient="records", double_precision=5))


def rounded(result: dict[str, Any], digits: int) -> dict[str, Any]:
    """Return a result with that many digits of each number that is no integer."""
    text = json.dumps(result)
    return json.loads(text, parse_float=lambda x: float(f"{float(x):.{digits}g}"))


def read_report(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text("utf-8"))


def write_report(path: Path, result: dict[str, Any]) -> None:
    path.write_text(json.dumps(result, indent=1) + "\n", "utf-8")


def dump(result: dict[str, Any]) -> str:
    """JSON with one line for each entry, and for each mean."""
    entries = []
    for name, value in result.items():
        if name in ("scores", "reruns"):
            lines = ",\n  ".join(map(json.dumps, value))
            entries.append(f'"{name}": [\n  {lines}\n ]')
        else:
            entries.append(f'"{name}": {json.dumps(value)}')
    return "{\n " + ",\n ".join(entries) + "\n}\n"


# Markdown.


def row_of(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def table_lines(rows: list[list[str]]) -> list[str]:
    """Return the lines of a table, of rows of cells; the first row is the head."""
    head, *body = rows
    return [*map(row_of, [head, ["---"] * len(head), *body])]


def titled(title: str, rows: list[list[str]]) -> list[str]:
    return [f"{title}:", "", *table_lines(rows), ""] if rows else []


def versions_line(result: dict[str, Any]) -> str:
    return ", ".join(f"{name} {number}" for name, number in result["versions"].items())


def number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


# Command lines.


def parser_of(doc: str, *, tables: bool = True) -> argparse.ArgumentParser:
    """Return a parser that shows the first line of a docstring and takes --data."""
    parser = argparse.ArgumentParser(description=doc.partition("\n")[0])
    if tables:
        data = os.environ.get("SKMIX_DATA")
        help = "folder of tables"
        parser.add_argument("--data", type=Path, default=data, help=help)
    return parser


def listed(
    allowed: Collection[Any], kind: Callable[[str], Any], text: str
) -> list[Any]:
    """Read items separated by commas; for argparse."""
    items = [kind(item) for item in text.split(",")]
    if unknown := set(items) - set(allowed):
        names = ", ".join(map(str, allowed))
        raise argparse.ArgumentTypeError(f"{unknown.pop()!r} is none of {names}")
    return items


# Mixup without skmix.


class MixedNet(NeuralNetClassifier):
    """Mixup as one would write it into a skorch net by hand."""

    rng = np.random.default_rng(0)

    def __init__(self, *args, alpha=0.2, **kwargs):
        super().__init__(*args, **kwargs)
        self.alpha = alpha

    def train_step_single(self, batch, **fit_params):
        if not self.alpha:
            return super().train_step_single(batch, **fit_params)
        self.module_.train()
        X, y = (to_tensor(part, device=self.device) for part in batch)
        lam = self.rng.beta(self.alpha, self.alpha)
        partner = torch.randperm(len(X), device=X.device)
        y_pred = self.infer(torch.lerp(X[partner], X, lam), **fit_params)
        own = self.get_loss(y_pred, y, X=X, training=True)
        other = self.get_loss(y_pred, y[partner], X=X, training=True)
        loss = lam * own + (1 - lam) * other
        loss.backward()
        return {"loss": loss, "y_pred": y_pred}
