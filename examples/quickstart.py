"""
Does mixup help on this table?
==============================

Half of the rows are put aside. On the others a grid search over ``alpha``
compares a net trained on mixed rows with the same net trained without mixing
(``alpha=0``), by the log loss of its probabilities in cross-validation. Both are
then judged on the rows put aside: accuracy, log loss, and calibration, which is
whether rows predicted with a confidence of 80 % are right 80 % of the time.
"""

import argparse
import threading
from collections import Counter
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from joblib import parallel_config
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import GridSearchCV, StratifiedKFold, train_test_split
from tqdm import tqdm

from skmix import MixupClassifier

ALPHAS = [0, 0.1, 0.2, 0.4, 1.0]
N_FOLDS = 5


def main(argv=None):
    args, X, y = read_arguments(argv)
    torch.set_num_threads(1)  # small nets are faster without
    X_search, X_held_out, y_search, y_held_out = train_test_split(
        X, y, test_size=0.5, stratify=y, random_state=0
    )
    print(
        f"{args.table or 'breast cancer'}: {X.shape[1]} columns, {len(np.unique(y))} "
        f"classes, {len(X_search)} rows to search on, {len(X_held_out)} held out"
    )
    search = search_alpha(X_search, y_search, n_jobs=args.n_jobs)
    best = search.best_params_["alpha"]
    bare = clone(search.estimator).set_params(alpha=0)
    models = {0: bare.fit(X_search, y_search)} if best != 0 else {}
    models[best] = search.best_estimator_
    scores = {a: judge(model, X_held_out, y_held_out) for a, model in models.items()}

    # One row a fold, one column an alpha.
    losses = -pd.DataFrame(search.cv_results_).filter(regex="^split").T
    losses.columns = ALPHAS
    report(losses, best, scores)
    draw(losses, scores).savefig("quickstart.png", dpi=150)
    print("\nSaved quickstart.png")


def search_alpha(X, y, *, n_jobs):
    """Fit each alpha on each fold of the table as it is, and the best on all rows."""
    clf, grid = MixupClassifier(random_state=0), {"alpha": ALPHAS}
    folds = StratifiedKFold(N_FOLDS, shuffle=True, random_state=0)
    n_fits = len(ALPHAS) * N_FOLDS
    with parallel_config("loky", inner_max_num_threads=1), progress(n_fits) as marks:
        score = partial(negative_log_loss, marks=marks)
        search = GridSearchCV(clf, grid, scoring=score, cv=folds, n_jobs=n_jobs)
        return search.fit(X, y)


def negative_log_loss(model, X, y, *, marks):
    """Score as "neg_log_loss" does, and leave a mark that one more fit is done."""
    loss = log_loss(y, model.predict_proba(X), labels=model.classes_)
    with open(marks, "ab") as file:
        file.write(b".")
    return -loss


@contextmanager
def progress(total):
    """Yield a file of which every byte, whichever process writes it, is one step."""
    finished = threading.Event()

    def watch():
        while bar.n < total and not finished.wait(0.5):
            if steps := marks.stat().st_size - bar.n:
                bar.update(steps)

    with TemporaryDirectory() as folder, tqdm(total=total, unit="fit") as bar:
        marks = Path(folder, "marks")
        marks.touch()
        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            yield marks
        finally:
            finished.set()
            watcher.join()


def judge(model, X, y):
    """Score a fitted model on rows that it has not seen."""
    proba = model.predict_proba(X)
    confidence, predicted = proba.max(axis=1), model.classes_[proba.argmax(axis=1)]
    rows = pd.DataFrame({"confidence": confidence, "accuracy": predicted == y})
    by_bin = rows.groupby(np.minimum(confidence * 15 // 1, 14))  # 15 bins
    bins = by_bin.mean().assign(share=by_bin.size() / len(y))
    gap = (bins["confidence"] - bins["accuracy"]).abs()
    of_truth = proba[np.arange(len(y)), np.searchsorted(model.classes_, y)]
    return {
        "accuracy": accuracy_score(y, predicted),
        "log loss": log_loss(y, proba, labels=model.classes_),
        "calibration error": (gap * bins["share"]).sum(),
        "bins": bins,
        "losses": -np.log(of_truth.clip(np.finfo(float).eps)),  # as log_loss clips
    }


def report(losses, best, scores):
    cv = pd.DataFrame({"log loss": losses.mean(), "standard error": losses.sem()})
    held_out = pd.DataFrame(scores).drop(["bins", "losses"]).T.astype(float)
    print(f"\n{N_FOLDS}-fold cross-validation\n{cv.rename_axis('alpha').round(4)}\n")
    if best == 0:
        print("Best alpha: 0. Mixing did not help on this table.")
    else:
        cut = losses[0] - losses[best]
        print(f"Best alpha: {best:g}. Fold by fold, it cuts the log loss of alpha=0 by")
        print(f"{cut.mean():.4f} on average, with a standard error of {cut.sem():.4f}")
        print("(the best of several alphas, so a little too good).")
    print(f"\nRows held out\n{held_out.rename_axis('alpha').round(4)}")
    if best != 0:
        cut = pd.Series(scores[0]["losses"] - scores[best]["losses"])
        clear = abs(cut.mean()) > 2 * cut.sem()
        answer = ("yes" if cut.mean() > 0 else "no, it hurt") if clear else "unclear"
        print(f"\nDid mixing help? {answer}: row by row, it cuts the log loss by")
        print(f"{cut.mean():.4f} on average, with a standard error of {cut.sem():.4f}.")


def draw(losses, scores):
    """Draw the search on the left, the calibration on the right."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 5.5), layout="constrained")
    style = {"fmt": "o-", "c": "0.4", "capsize": 4, "label": f"{N_FOLDS}-fold mean"}
    left.errorbar(range(len(ALPHAS)), losses.mean(), losses.sem(), zorder=1, **style)
    right.axline((1, 1), slope=1, ls="--", c="0.6", label="right as often as confident")
    for alpha, score in scores.items():
        color = "tab:orange" if alpha else "tab:blue"
        label = f"alpha={alpha:g}, log loss {score['log loss']:.3f} on rows held out"
        left.scatter(ALPHAS.index(alpha), score["log loss"], 120, color, label=label)
        label = f"alpha={alpha:g}, calibration error {score['calibration error']:.3f}"
        x, y, share = score["bins"].to_numpy(float).T
        right.scatter(x, y, 20 + 400 * share, color, alpha=0.7, label=label)
    left.set_xticks(range(len(ALPHAS)), ALPHAS)
    left.set(xlabel="alpha (0: no mixing)", ylabel="log loss", title="Which alpha?")
    right.set(xlabel="confidence", ylabel="accuracy (area: share of the rows)")
    right.set(title="Are its probabilities right?")
    for ax in (left, right):
        ax.grid(alpha=0.3)
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), frameon=False)
    return figure


def read_arguments(argv):
    parser = argparse.ArgumentParser(description="Does mixup help on this table?")
    files = "CSV or Parquet file (default: scikit-learn's breast cancer table)"
    parser.add_argument("table", nargs="?", type=Path, help=files)
    parser.add_argument("--target", help="column of labels (default: the last one)")
    parser.add_argument("--n-jobs", type=int, default=2, help="fits at a time")
    args = parser.parse_args(argv)
    if args.table is None:
        return args, *load_breast_cancer(return_X_y=True, as_frame=True)
    try:
        return args, *read_table(args.table, args.target)
    except (OSError, ValueError) as error:
        parser.error(f"cannot use {args.table}: {error}")


def read_table(path, target):
    """Read columns, as numbers or strings, and labels."""
    read = pd.read_parquet if path.suffix == ".parquet" else pd.read_csv
    table = read(path).replace([np.inf, -np.inf], np.nan)
    target = table.columns[-1] if target is None else target
    if target not in table.columns:
        raise ValueError(f"no column {target!r}, only {', '.join(table.columns)}")
    table = table.dropna(subset=[target])
    X, y = table.drop(columns=target), table[target].to_numpy()
    numbers = X.select_dtypes("number").columns
    X = X.astype({name: float if name in numbers else str for name in X.columns})
    y = y if pd.api.types.is_numeric_dtype(y) else y.astype(str)
    if len(counts := Counter(y)) < 2 or min(counts.values()) < 4:
        raise ValueError(f"{target!r} needs two labels, and four rows of each label")
    return X, y


if __name__ == "__main__":
    main()
