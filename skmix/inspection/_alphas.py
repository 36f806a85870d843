"""Scores by alpha with intervals, from the results of any search."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GroupShuffleSplit
from sklearn.pipeline import Pipeline

from skmix._estimators_cv import MixupClassifierCV, MixupRegressorCV
from skmix._intervals import joint_intervals
from skmix._validation import is_number

# Shares that ShuffleSplit and GroupShuffleSplit hold out if they are not told.
DEFAULT_TEST, DEFAULT_OF_GROUPS = 0.1, 0.2


class ScoresByAlpha(NamedTuple):
    """Scores of a search, or gains over alpha 0.

    Attributes
    ----------
    table : DataFrame
        One row for each metric and alpha: ``metric``, ``alpha``, ``mean``, ``low`` and
        ``high``. An alpha is a float, or the words for another one.
    relative : bool
        Whether these are gains over alpha 0, which is among the candidates.
    """

    table: pd.DataFrame
    relative: bool


def scores_by_alpha(search: Any, parameter: str | None = None) -> ScoresByAlpha:
    """Return the scores of each alpha, for every metric of a fitted search.

    Arguments are those of `AlphaDisplay.from_estimator`.
    """
    results = _results(search)
    by_alpha = _by_alpha(results, parameter)
    alphas = list(by_alpha)
    relative = 0.0 in alphas
    tables = []
    for metric, name in _metrics(search).items():
        of_all = _scores(results, metric)
        scores = np.array([_best(of_all, numbers) for numbers in by_alpha.values()])
        differences = scores - scores[alphas.index(0.0)] if relative else scores
        size = np.nanmax(np.abs(scores), axis=1, initial=0)
        told = joint_intervals(differences, *_design_of(search), scale=size)
        columns = {"metric": name, "alpha": alphas} | told._asdict()
        tables.append(pd.DataFrame(columns))
    return ScoresByAlpha(pd.concat(tables, ignore_index=True), relative)


def _results(search: Any) -> Any:
    """Return the results of a search, or of the one that a Pipeline ends in."""
    if not hasattr(_last(search), "cv_results_"):
        raise NotFittedError(
            f"Got {type(_last(search)).__name__} without cv_results_, but expected a "
            "fitted search: a MixupClassifierCV, a MixupRegressorCV, a GridSearchCV or "
            "a RandomizedSearchCV. Call its fit."
        )
    return _last(search).cv_results_


def _last(model: Any) -> Any:
    return model.steps[-1][1] if isinstance(model, Pipeline) else model


def _by_alpha(results: Any, parameter: str | None) -> dict[Any, list[int]]:
    """Return the numbers of the candidates of each alpha, numbers in their order."""
    params = results["params"]
    names = sorted({name for of_one in params for name in of_one})
    likely = [n for n in names if n == "alpha" or n.endswith("__alpha")]
    found = likely if parameter is None else [n for n in names if n == parameter]
    if len(found) != 1:
        wanted = "one called alpha" if parameter is None else repr(parameter)
        raise ValueError(
            f"Got a search over {', '.join(names)}, of which {len(found)} may be "
            f"alpha, but expected {wanted}. Name it, as in "
            "parameter='mixupclassifier__alpha'."
        )
    by_alpha: dict[Any, list[int]] = {}
    for candidate, of_one in enumerate(params):
        if found[0] in of_one:  # one of several grids may leave it out
            by_alpha.setdefault(_key(of_one[found[0]]), []).append(candidate)
    numbers = sorted(filter(is_number, by_alpha))
    others = [alpha for alpha in by_alpha if not is_number(alpha)]
    return {alpha: by_alpha[alpha] for alpha in numbers + others}


def _key(alpha: Any) -> Any:
    """Return a number, or the words for another alpha."""
    return float(alpha) if is_number(alpha) else text_of(alpha)


def text_of(alpha: Any) -> str:
    """Return the words for an alpha."""
    if is_number(alpha):
        return f"{alpha:g}"
    return str(getattr(alpha, "__name__", alpha))


def _metrics(search: Any) -> dict[str, str]:
    """Return the metrics of a search by their name in its results, with plain words."""
    last = _last(search)
    ends = [key for key in last.cv_results_ if key.startswith("mean_test_")]
    found = [key.removeprefix("mean_test_") for key in ends]
    if found != ["score"]:
        return {metric: metric for metric in found}
    words = "score"
    if isinstance(last.scoring, str):
        words = last.scoring
    elif isinstance(last, MixupClassifierCV | MixupRegressorCV):
        classify = isinstance(last, MixupClassifierCV)
        words = "log loss, negated" if classify else "RMSE, negated"
    return {"score": words}


def _scores(results: Any, metric: str) -> np.ndarray:
    """Return the scores of C candidates in F folds, (C, F)."""
    folds: list[Any] = []
    while (key := f"split{len(folds)}_test_{metric}") in results:
        folds.append(results[key])
    return np.asarray(folds, dtype=np.float64).T


def _best(scores: np.ndarray, candidates: list[int]) -> np.ndarray:
    """Return the scores of the best of several candidates; NaN if all have failed."""
    mean = scores[candidates].mean(axis=1)
    known = np.where(np.isnan(mean), -np.inf, mean)
    return np.asarray(scores[candidates[int(known.argmax())]])


def _design_of(search: Any) -> tuple[int, float]:
    """Return how often folds were repeated, and rows held out per row to train on."""
    last = _last(search)
    if hasattr(last.cv, "train_size"):  # ShuffleSplit and its kin
        return 1, _test_per_train(last.cv)
    n_repeats = getattr(last.cv, "n_repeats", 1)
    n_folds = last.n_splits_ / n_repeats
    return n_repeats, 1 / (n_folds - 1) if n_folds > 1 else np.nan


def _test_per_train(cv: Any) -> float:
    """Return the ratio of a splitter at random; 1 where it depends on the table.

    Sizes are shares of the rows or numbers of rows, and one that is not given is the
    complement of the other.
    """
    test, train = cv.test_size, cv.train_size
    if test is None and train is None:
        test = DEFAULT_OF_GROUPS if isinstance(cv, GroupShuffleSplit) else DEFAULT_TEST
    shares = [isinstance(size, float) for size in (test, train) if size is not None]
    if test is not None and train is not None and len(set(shares)) == 1:
        return float(test / train)
    if shares == [True]:
        return float(test / (1 - test) if train is None else (1 - train) / train)
    return 1.0
