"""
Does mixup help on this table?
==============================

    python examples/quickstart.py                             # a table of scikit-learn
    python examples/quickstart.py table.csv --target column   # your own table

The script puts half of the rows aside as test rows. On the other half it chooses the
strength of mixing (``alpha``) by cross-validation. Then it compares these models on the
test rows: the model with the chosen alpha, the same model without mixing (alpha 0), and
two models of scikit-learn.
"""

import argparse
import csv
import sys
import time
import warnings
from difflib import get_close_matches
from math import ceil
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from sklearn import datasets
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skmix import MixupClassifierCV, MixupRegressorCV, default_net
from skmix._dtypes import ColumnReader

ALPHAS = (0, 0.2, 1)
# A quarter of the nets of the default net, to be quick.
OF_FILES = {"module__k": 2}
OF_SCIKIT_LEARN = OF_FILES | {"module__d_embedding": 1, "batch_size": 64}
TABLES = ("breast_cancer", "diabetes", "digits", "iris", "wine")  # of scikit-learn
TAKEN = "digits"
WHY = """It was taken because mixing helps on it.
On the other tables of scikit-learn mixing makes no clear difference:
docs/quickstart.md has their answers."""
N_FOLDS = 4
FEWEST = 5  # rows of a class
MANY = 20  # different whole numbers that are still read as classes


def main(argv=None):
    args = read_arguments(argv)
    start = time.perf_counter()
    torch.set_num_threads(1)  # small nets are fastest on one thread
    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = lambda message, *_: print(f"Note: {message}")
        try:
            X, y, classify = read(args)
            parts = split(X, y, classify, args)
        except (OSError, ValueError, TypeError) as error:
            print(f"Cannot use this table: {error}", file=sys.stderr)
            raise SystemExit(2) from None
        settings = OF_FILES if args.file else OF_SCIKIT_LEARN
        answer = compare(*parts, classify, settings, args.n_jobs)
    print(f"\n{answer['verdict']}\n\n{answer['models'].round(4).to_string()}\n")
    print(next_steps(answer["alpha"], classify))
    draw(answer, classify).savefig("quickstart.png", dpi=150)
    print(f"\nSaved quickstart.png; {time.perf_counter() - start:.0f} s in all.")
    return answer


def read_arguments(argv):
    parser = argparse.ArgumentParser(description="Does mixup help on this table?")
    parser.add_argument("file", nargs="?", type=Path, help="CSV or Parquet file")
    parser.add_argument("--target", help="column to predict (default: the last one)")
    parser.add_argument("--drop", default="", help="columns to leave out: a,b")
    parser.add_argument("--table", choices=TABLES, default=TAKEN, help="if no file")
    parser.add_argument("--task", choices=["classification", "regression"])
    many = "rows to search on at most (default: 2000; of tables of scikit-learn 450)"
    parser.add_argument("--n-rows", type=int, help=many)
    parser.add_argument("--seed", type=int, default=0, help="which rows are test rows")
    parser.add_argument("--n-jobs", type=int, help="processes (default: 1)")
    args = parser.parse_args(argv)
    if args.n_rows is None:
        args.n_rows = 450 if args.file is None else 2000
    if args.n_rows < 20:
        parser.error("--n-rows must be at least 20")
    return args


# The table.


def read(args):
    """Return the columns, the target, and whether the task is classification."""
    if args.file is None:
        table = getattr(datasets, f"load_{args.table}")(as_frame=True).frame
        why = WHY if (args.table, args.seed) == (TAKEN, 0) else ""
        print(f"The table {args.table!r} of scikit-learn. {why}".rstrip())
    else:
        table = read_file(args.file)
    target = table.columns[-1] if args.target is None else args.target
    dropped = [name.strip() for name in args.drop.split(",") if name.strip()]
    for name in [target, *dropped]:
        check_name(name, table.columns)
    if target in dropped:
        raise ValueError(f"{target!r} is the target and cannot be left out.")
    table = table.replace([np.inf, -np.inf], np.nan)
    if unlabelled := int(table[target].isna().sum()):
        print(f"{unlabelled} rows without a {target!r} are left out.")
        table = table.dropna(subset=[target])
    if len(table) < 40:
        raise ValueError(f"Got {len(table)} rows, but expected at least 40.")
    y, classify = read_target(table[target], args.task)
    if classify:
        table, y = without_rare(table, y, args.n_rows)
    X = table.drop(columns=[target, *dropped])
    if X.shape[1] == 0:
        raise ValueError("no columns are left to predict by.")
    return read_columns(X, args), y, classify


def read_file(path):
    if path.suffix == ".parquet":
        table = pd.read_parquet(path)
    else:
        try:
            with path.open(encoding="utf-8-sig", newline="") as file:
                header = file.readline()
            fields = {s: len(next(csv.reader([header], delimiter=s))) for s in ",;\t|"}
            sep = max(fields, key=fields.get)
            table = pd.read_csv(path, sep=sep, encoding="utf-8-sig", low_memory=False)
        except UnicodeDecodeError as error:
            raise ValueError(
                f"{path} is not written in UTF-8 ({error}). Save it as UTF-8, for "
                "example by pandas.read_csv(path, encoding='cp1252').to_csv(new_path)."
            ) from error
        except StopIteration:
            raise ValueError(f"{path} is empty.") from None
    return table.set_axis(table.columns.astype(str), axis=1)


def check_name(name, names):
    if name not in names:
        close = get_close_matches(name, names, n=3) or list(names[:20])
        raise ValueError(
            f"no column {name!r}. Did you mean {', '.join(map(repr, close))}?"
        )


def read_target(column, task):
    """Return the target and whether the task is classification; print the choice."""
    name, frame = column.name, column.to_frame()
    try:
        as_classes = task == "classification"
        reader = None if as_classes else ColumnReader.fit(frame)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"the target {name!r} is neither classes nor numbers. {error}"
        ) from None
    numeric = reader is not None and reader.categories[0] is None
    if task == "regression" and not numeric:
        raise ValueError(
            f"the target {name!r} holds words, so use no --task regression."
        )
    boolean = pd.api.types.is_bool_dtype(column.dtype)
    if not numeric or boolean:
        if task is None:
            print(f"{name!r} has {column.nunique()} different values: classes.")
        number = pd.api.types.is_numeric_dtype(column.dtype)
        return column.to_numpy() if number else column.astype(str).to_numpy(), True
    numbers = reader.transform(frame)[:, 0]
    whole = np.array_equal(numbers, numbers.round())
    few = whole and len(np.unique(numbers)) <= MANY
    if task is None:
        what = f"{len(np.unique(numbers))} different {'whole ' * whole}numbers"
        as_what = "classes" if few else "numbers"
        other = "regression" if few else "classification"
        print(f"{name!r} has {what}: taken as {as_what} (else: --task {other}).")
    if few and task is None:
        return numbers.astype(int), True
    if np.ptp(numbers) == 0:
        raise ValueError(f"the target {name!r} is {numbers[0]:g} in all rows.")
    return numbers, False


def without_rare(table, y, n_rows):
    """Leave out classes with too few rows for the search."""
    fewest = ceil(FEWEST * max(1, len(y) / 2 / n_rows))
    labels, counts = np.unique(y, return_counts=True)
    kept = labels[counts >= fewest]
    if len(kept) < 2:
        raise ValueError(
            f"the target has {len(labels)} classes, {len(kept)} of them with {fewest} "
            "rows or more, but expected at least 2 of these. For numbers: --task "
            "regression."
        )
    if len(kept) < len(labels):
        rows = np.isin(y, kept)
        print(
            f"{len(labels) - len(kept)} classes of fewer than {fewest} rows are left "
            f"out, {(~rows).sum()} rows in all."
        )
        table, y = table[rows], y[rows]
    return table, y


def read_columns(X, args):
    """Read columns as skmix does: as numbers, or as at most 250 categories."""
    try:
        reader = ColumnReader.fit(X)
    except (ValueError, TypeError) as error:
        wrong = [name for name in X.columns if not readable(X[[name]])]
        drop = ",".join(filter(None, [args.drop, *wrong]))
        target = f" --target {args.target!r}" if args.target else ""
        command = f"python examples/quickstart.py {args.file}{target} --drop {drop!r}"
        raise ValueError(f"{error}\n\nTo leave them out:\n\n    {command}") from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # `fit` has warned already
        numbers = reader.transform(X)
    columns = {}
    for j, name in enumerate(X.columns):
        if reader.categories[j] is None:
            columns[name] = numbers[:, j]
        else:
            words = X[name].astype(object).map(str, na_action="ignore")
            frequent = words.value_counts().index[:250]
            columns[name] = pd.Categorical(words.where(words.isin(frequent)))
    return pd.DataFrame(columns, index=X.index)


def readable(column):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            ColumnReader.fit(column)
        except (ValueError, TypeError):
            return False
    return True


def split(X, y, classify, args):
    """Split off half of the rows as test rows, and sample the rows of the search."""
    options, n_rows = {"random_state": args.seed}, args.n_rows
    parts = train_test_split(
        X, y, stratify=y if classify else None, **options, test_size=0.5
    )
    X_search, X_aside, y_search, y_aside = parts
    if len(X_search) > n_rows:
        options |= {"train_size": n_rows, "stratify": y_search if classify else None}
        X_search, _, y_search, _ = train_test_split(X_search, y_search, **options)
    print(
        f"{len(X):,} rows of {X.shape[1]} columns: {len(X_search):,} to search on "
        f"(at most {n_rows:,}: --n-rows), {len(X_aside):,} put aside as test rows."
    )
    return X_search, X_aside, y_search, y_aside


# The answer.


def compare(X, X_aside, y, y_aside, classify, settings, n_jobs):
    """Fit all models, and score them on the test rows."""
    kind, task = (
        (MixupClassifierCV, "classifier")
        if classify
        else (MixupRegressorCV, "regressor")
    )
    net = default_net(task).set_params(**settings)
    options = {"cv": N_FOLDS, "ensemble": True, "random_state": 0}
    options |= {"n_jobs": n_jobs, "verbose": 1}
    print("Searching. The bar shows the epochs; training may stop early.")
    search = kind(net, alphas=ALPHAS, **options).fit(X, y)
    alpha, models = search.alpha_, {f"skmix, alpha {search.alpha_:g}": search}
    if alpha != 0:
        models["skmix, alpha 0 (no mixing)"] = kind(net, alphas=(0,), **options).fit(
            X, y
        )
    models |= {name: model.fit(X, y) for name, model in others(classify).items()}
    judge = judge_classes if classify else judge_numbers
    losses, scores = {}, {}
    for name, model in models.items():
        losses[name], scores[name] = judge(model, X_aside, np.asarray(y_aside))
    return {
        "alpha": alpha,
        "verdict": verdict(alpha, list(losses.values()), classify),
        "models": pd.DataFrame(scores).T,
        "losses": losses,
    }


def others(classify):
    """Return two models of scikit-learn with default settings."""
    words = make_column_selector(dtype_include="category")
    columns = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore", min_frequency=2), words),
        remainder=make_pipeline(
            SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler()
        ),
    )
    linear = LogisticRegression(max_iter=2000) if classify else RidgeCV()
    trees = (
        HistGradientBoostingClassifier if classify else HistGradientBoostingRegressor
    )
    return {
        type(linear).__name__: make_pipeline(columns, linear),
        "HistGradientBoosting": trees(random_state=0),
    }


def judge_classes(model, X, y):
    """Return the log loss of each row, and scores."""
    proba = model.predict_proba(X)
    confidence, right = proba.max(axis=1), model.classes_[proba.argmax(axis=1)] == y
    of_truth = proba[np.arange(len(y)), np.searchsorted(model.classes_, y)]
    losses = -np.log(of_truth.clip(np.finfo(np.float32).tiny))
    # The gap between confidence and accuracy, in 15 bins of confidence.
    rows = pd.DataFrame({"gap": confidence - right, "bin": confidence * 15 // 1})
    gap = rows.groupby("bin")["gap"].sum().abs().sum() / len(y)
    scores = {"log loss": losses.mean(), "accuracy": right.mean()}
    return losses, scores | {"calibration error": gap}


def judge_numbers(model, X, y):
    """Return the squared error of each row, and scores."""
    losses = (model.predict(X) - y) ** 2
    return losses, {"RMSE": losses.mean() ** 0.5, "R2": 1 - losses.mean() / y.var()}


def verdict(alpha, losses, classify):
    """Say in one sentence whether mixing helps on the test rows."""
    if alpha == 0:
        return "Mixing does not help here: the search chose alpha 0, no mixing."
    mixed, plain = losses[:2]
    what = "log loss" if classify else "RMSE"
    # A difference of roots is the difference of squares, divided by the sum of roots.
    scale = 1 if classify else mixed.mean() ** 0.5 + plain.mean() ** 0.5
    gain = (plain - mixed) / (scale or 1)
    mean, half = gain.mean(), 1.96 * gain.std(ddof=1) / len(gain) ** 0.5
    low, high = abs(mean) - half, abs(mean) + half
    found = f"{abs(mean):.3g} (95 % interval {low:.2g} to {high:.2g})"
    if low <= 0:
        way = "lower" if mean > 0 else "higher"
        return (
            f"No clear difference: with alpha {alpha:g} the {what} is {way} by {found}."
        )
    if mean > 0:
        return f"Mixing (alpha {alpha:g}) lowers the {what} by {found}: it helps here."
    return f"Mixing (alpha {alpha:g}) raises the {what} by {found}: it hurts here."


def next_steps(alpha, classify):
    name = "MixupClassifier" if classify else "MixupRegressor"
    predict = "predict_proba" if classify else "predict"
    return (
        f"To use it:\n\n    from skmix import {name}\n"
        f"    model = {name}(alpha={alpha:g}).fit(X, y)\n"
        f"    model.{predict}(X_new)\n\n"
        f"This is one net. {name}CV() is better and takes longer. The models of skmix "
        f"above\nare ensembles of {N_FOLDS} nets, which are smaller, to be quick."
    )


def draw(answer, classify):
    """Draw the mean loss of each model on the test rows, with an interval."""
    figure, ax = plt.subplots(figsize=(9, 3.6), layout="constrained")
    for place, (name, losses) in enumerate(answer["losses"].items()):
        half = 1.96 * losses.std(ddof=1) / len(losses) ** 0.5
        mean, low, high = losses.mean(), losses.mean() - half, losses.mean() + half
        if not classify:
            mean, low, high = np.sqrt([mean, max(low, 0), high])
        ours, plain = name.startswith("skmix"), "no mixing" in name
        ax.errorbar(
            mean,
            place,
            xerr=[[mean - low], [high - mean]],
            fmt="o" if ours else "s",
            ms=9,
            c="black" if ours else "0.55",
            mfc="white" if plain else None,
            capsize=4,
        )
        ax.annotate(
            f"{mean:.3g}",
            (mean, place),
            (0, 9),
            textcoords="offset points",
            ha="center",
        )
    ax.set_yticks(range(len(answer["losses"])), answer["losses"])
    ax.set_ylim(len(answer["losses"]) - 0.5, -0.7)
    what = "log loss" if classify else "root mean squared error"
    ax.set_xlabel(f"{what} on test rows, with 95 % interval  (left is better)")
    ax.grid(axis="x", alpha=0.3)
    figure.suptitle(answer["verdict"], fontsize=11)
    return figure


if __name__ == "__main__":
    main()
