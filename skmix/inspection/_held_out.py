"""What settings predict of rows held out, in the folds of a repeated cross-validation.

Members of a search are trained side by side, and so are a user's nets where that is the
same as fits one by one. Any other model is fitted setting by setting, as it is.
"""

import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from scipy import sparse
from sklearn.metrics import check_scoring

from skmix._base import BaseMixup, draw_seed, of_kind
from skmix._default_net import TabularNeuralNet
from skmix._estimators import MixupClassifier, MixupRegressor
from skmix._estimators_cv import MixupClassifierCV, MixupRegressorCV
from skmix._long_runs.checkpoints import Folder
from skmix._preparation import Samples, rows_of
from skmix._selection import seeds_of_folds
from skmix._tables.dtypes import as_frame
from skmix._tables.targets import check_labels
from skmix._training.epoch import Diverged
from skmix._training.skorch_compat import may_watch_validation, named_callbacks
from skmix._validation import (
    check_groups,
    check_no_target_missing,
    check_number_targets,
    check_sample_weight,
    check_seed,
    check_single_target,
    is_number,
    warn,
)
from skmix.inspection._folds import check_length, folds_in
from skmix.inspection._models import (
    is_classifier,
    is_search,
    mixup_of,
    seeded,
    steps_before,
    table_for,
    with_params,
)
from skmix.inspection._settings import Setting

NOTHING_KEPT = Folder()
SEARCHES: dict[type, type] = {
    MixupClassifier: MixupClassifierCV,
    MixupRegressor: MixupRegressorCV,
}


class Data(NamedTuple):
    """A user's rows; those of weight 0 are in no `Fold`.

    Attributes
    ----------
    X : table
    y : ndarray of shape (n,)
        As given.
    target : ndarray of shape (n,)
        Indices of classes (those of rows of positive weight), or numbers.
    n_classes : int
        0 for numbers.
    weight, groups : ndarray of shape (n,) or None
    """

    X: Any
    y: np.ndarray
    target: np.ndarray
    n_classes: int
    weight: np.ndarray | None
    groups: np.ndarray | None

    @property
    def samples(self) -> Samples:
        """The rows as the model is fitted on them."""
        return Samples(self.X, self.y, self.weight, self.groups)

    @property
    def classes(self) -> np.ndarray:
        """The labels of rows of positive weight, sorted."""
        return np.unique(self.y if self.weight is None else self.y[self.weight > 0])

    @classmethod
    def of(cls, model: Any, X: Any, y: Any, sample_weight: Any, groups: Any) -> "Data":
        """Check what a user passes for a model."""
        task = "Classifier" if is_classifier(model) else "Regressor"
        check_single_target(y, task, type(mixup_of(model)).__name__)
        check_no_target_missing(y)
        if task == "Regressor":
            check_number_targets(y)
        y = np.asarray(y)
        weight = check_sample_weight(sample_weight, y)
        groups = None if groups is None else check_groups(groups, y)
        if weight is not None and not weight.any():
            raise ValueError("Got sample_weight of 0 for all rows, but expected some.")
        X = table_for(model, X)
        check_length(X, y)
        if task == "Regressor":
            return cls(X, y, y.astype(np.float64), 0, weight, groups)
        check_labels(y)
        counted = y if weight is None else y[weight > 0]
        classes = np.unique(counted)
        target = np.searchsorted(classes, y).clip(max=len(classes) - 1)
        return cls(X, y, target, len(classes), weight, groups)


class Fold(NamedTuple):
    """Rows to train on, rows held out, and the seed of the nets."""

    train: np.ndarray
    test: np.ndarray
    seed: int


class Repeat(NamedTuple):
    """All folds of a cross-validation, and the seed that theirs are made from."""

    seed: int
    folds: list[Fold]


class HeldOut(NamedTuple):
    """Predictions of S settings for the rows that F folds hold out.

    Attributes
    ----------
    tests : list of ndarray of shape (n_test,), int
    predicted : list of ndarray of shape (S, n_test) or (S, n_test, n_classes)
        For each fold; NaN where training diverged.
    scores : ndarray of shape (S, F) or None
        Those of a scorer of the user.
    chosen : ndarray of shape (S, F), object
        The alpha that each model was trained by, which "auto" chooses.
    n_repeats : int
        The folds are sorted, repeat by repeat.
    test_per_train : float
    """

    tests: list[np.ndarray]
    predicted: list[np.ndarray]
    scores: np.ndarray | None
    chosen: np.ndarray
    n_repeats: int
    test_per_train: float

    def disjoint(self, f: int) -> list[int]:
        """Return the other folds of a fold's repeat that hold out none of its rows."""
        n_folds = len(self.tests) // self.n_repeats
        start = f // n_folds * n_folds
        others = (g for g in range(start, start + n_folds) if g != f)
        return [g for g in others if not np.isin(self.tests[g], self.tests[f]).any()]

    @property
    def repeats_are_alike(self) -> bool:
        """Whether each repeat holds out the same rows, fold by fold."""
        n_folds = len(self.tests) // self.n_repeats
        pairs = zip(self.tests, self.tests[:n_folds] * self.n_repeats, strict=True)
        return self.n_repeats > 1 and all(np.array_equal(*pair) for pair in pairs)


# Folds.


def repeated_folds(
    model: Any, data: Data, cv: Any, n_repeats: int, random_state: Any
) -> list[Repeat]:
    """Return the folds of each repeat, with other seeds in each.

    An int as `cv` is shuffled folds, other ones in each repeat, stratified by classes,
    and with each group in one fold.

    Raises
    ------
    ValueError
        If there are fewer rows than the folds need.
    """
    random = check_seed(random_state)
    if isinstance(cv, Iterable) and not hasattr(cv, "split"):
        cv = list(cv)  # for each repeat
    classify, repeats = is_classifier(model), []
    for _ in range(n_repeats):
        seed = int(random.randint(np.iinfo(np.int32).max))
        pairs = folds_in(cv, data.samples, classify=classify, seed=seed)
        # (As a search draws them that is given such a generator.)
        own_seed = draw_seed(np.random.RandomState(seed))
        seeds = seeds_of_folds(own_seed, len(pairs))
        folds = [Fold(*pair, own) for pair, own in zip(pairs, seeds, strict=True)]
        repeats.append(Repeat(seed, folds))
    return repeats


# Predictions.


def predictions(
    model: Any,
    settings: list[Setting],
    data: Data,
    repeats: list[Repeat],
    *,
    scoring: Any = None,
    n_jobs: int | None = None,
    advance: Callable[[int, int], Any] = lambda done, more: None,
    folder: Folder = NOTHING_KEPT,
) -> HeldOut:
    """Train all settings in all folds, and predict the rows held out.

    ``advance(done, more)`` is told of steps of work that are done and to be done. What
    is done is kept in a folder, and found again.
    """
    side_by_side = _search_of(model, settings)
    if side_by_side is None:
        work = [
            delayed(_one_by_one_or_kept)(model, settings, data, fold, scoring, folder)
            for fold in _flat(repeats)
        ]
    else:
        at_once = repeats
        if steps_before(model) is not None:
            at_once = [Repeat(fold.seed, [fold]) for fold in _flat(repeats)]
        own = scoring, folder
        work = [
            delayed(_side_by_side)(model, side_by_side, settings, data, repeat, *own)
            for repeat in at_once
        ]
    advance(0, len(work))
    parts = []
    for part in Parallel(n_jobs=n_jobs, return_as="generator")(work):
        parts.append(part)
        advance(1, 0)
    found = parts if side_by_side is None else [p for part in parts for p in part]
    sizes = np.array([(len(f.test), len(f.train)) for f in _flat(repeats)])
    n_test, n_train = sizes.mean(axis=0)
    return HeldOut(
        tests=[fold.test for fold in _flat(repeats)],
        predicted=[part[0] for part in found],
        scores=None if scoring is None else np.stack([part[1] for part in found], 1),
        chosen=np.stack([part[2] for part in found], axis=1),
        n_repeats=len(repeats),
        test_per_train=float(n_test / n_train),
    )


def _flat(repeats: list[Repeat]) -> list[Fold]:
    return [fold for repeat in repeats for fold in repeat.folds]


def _fitted_steps(model: Any, data: Data, fold: Fold) -> tuple[Any, Any, Any]:
    """Return the skmix estimator, and the table as the steps before pass it on.

    They are fitted once a fold, on the rows to train on.
    """
    train, test = rows_of(data.X, fold.train), rows_of(data.X, fold.test)
    before = steps_before(seeded(model, fold.seed))
    if before is not None:
        train = before.fit_transform(train, data.y[fold.train])
        test = before.transform(test)
    return mixup_of(model), as_frame(train), as_frame(test)


def _one_by_one_or_kept(
    model: Any,
    settings: list[Setting],
    data: Data,
    fold: Fold,
    scoring: Any,
    folder: Folder,
) -> tuple[np.ndarray, Any, np.ndarray]:
    """Do `_one_by_one`, unless its result is kept."""
    work = model, settings, data, fold, scoring
    if folder.path is None:
        return _one_by_one(*work)
    rows = np.r_[fold.train, fold.test]
    table = list(data.samples.take(rows))
    own = seeded(model, fold.seed), settings, scoring
    checkpoint = folder.checkpoint("effect", table, data.classes, fold, *own)
    if (found := checkpoint.read()) is None:
        predicted, scores, alphas = _one_by_one(*work)
        # An alpha that is no number is that of its setting.
        numbers = [float(alpha) if is_number(alpha) else None for alpha in alphas]
        found = predicted, list(scores), numbers
        checkpoint.write(found)
    predicted, scores, numbers = found
    pairs = zip(numbers, settings, strict=True)
    chosen = [own.alpha if alpha is None else alpha for alpha, own in pairs]
    return predicted, scores, np.array(chosen, dtype=object)


def _one_by_one(
    model: Any, settings: list[Setting], data: Data, fold: Fold, scoring: Any
) -> tuple[np.ndarray, Any, np.ndarray]:
    """Fit each setting to a fold as it is; return predictions, scores and alphas."""
    estimator, X_train, X_test = _fitted_steps(model, data, fold)
    y_train, y_test = data.y[fold.train], data.y[fold.test]
    weight = rows_of(data.weight, fold.train)
    groups = rows_of(data.groups, fold.train)
    rows = X_train, y_train, weight
    found: list[Any] = [None] * len(settings)
    of_test = rows_of(data.weight, fold.test)
    for k, fitted in _fits(estimator, settings, rows, groups, fold.seed):
        if fitted is None:
            found[k] = _undefined(data, fold), np.nan, settings[k].alpha
            continue
        score = np.nan
        if scoring is not None:
            score = _scored(fitted, scoring, X_test, y_test, of_test)
        found[k] = _predicted(fitted, X_test, data), score, fitted.alpha_
    predicted, scores, alphas = zip(*found, strict=True)
    return np.array(predicted), scores, np.array(alphas, dtype=object)


def _fits(
    estimator: Any, settings: list[Setting], rows: Any, groups: Any, seed: int
) -> Iterator[tuple[int, Any]]:
    """Yield the number of each setting, and its fit; None where training diverged.

    An alpha that "auto" has tried is not explored again for its own setting.
    """
    auto = None
    by_itself = [k for k, setting in enumerate(settings) if setting.alpha == "auto"]
    others = [k for k in range(len(settings)) if k not in by_itself]
    for k in (*by_itself, *others):
        setting = settings[k]
        own = {"alpha": setting.alpha, "random_state": seed, "verbose": 0}
        try:
            if auto and not setting.params and setting.alpha in auto.explored_alphas_:
                yield k, auto.refit_at(setting.alpha, *rows, groups=groups)
                continue
            fitted = with_params(estimator, **(own | setting.params))
            fitted.fit(*rows, groups=groups)
        except Diverged as error:
            warn(f"{setting.name} has diverged: {error}")
            yield k, None
            continue
        if k in by_itself and not setting.params:
            auto = fitted
        yield k, fitted


def _scored(
    fitted: Any, scoring: Any, X: Any, y: np.ndarray, weight: np.ndarray | None
) -> float:
    """Return a score of the user, with weights if it takes some."""
    scorer = check_scoring(fitted, scoring)
    if weight is not None:
        try:
            return float(scorer(fitted, X, y, sample_weight=weight))
        except TypeError as error:
            if "sample_weight" not in str(error):
                raise
    return float(scorer(fitted, X, y))


def _undefined(data: Data, fold: Fold) -> np.ndarray:
    shape = (len(fold.test), data.n_classes) if data.n_classes else (len(fold.test),)
    return np.full(shape, np.nan)


def _predicted(fitted: Any, X: Any, data: Data) -> np.ndarray:
    """Return numbers, or probabilities with a column for each class of the table."""
    if not data.n_classes:
        return np.asarray(fitted.predict(X))
    proba = fitted.predict_proba(X)
    spread = np.zeros((len(proba), data.n_classes))
    spread[:, np.searchsorted(data.classes, fitted.classes_)] = proba
    return spread


# Side by side, by a search.


def _search_of(model: Any, settings: list[Setting]) -> BaseMixup | None:
    """Return an unfitted search that trains what fits one by one would train.

    None if there is none: for `priors`, which members do not know, for a net of the
    default kind that holds out rows to stop by and is calibrated, for a net that
    watches validation rows, for an alpha that is no number, and for subclasses, which
    may do anything.
    """
    estimator = mixup_of(model)
    if is_search(model):  # of which the members alone are asked
        members = {"estimator": estimator.net_to_fit(), "ensemble": True}
        search: BaseMixup = with_params(estimator, **members)
        return search
    kind = SEARCHES.get(type(estimator))
    if kind is None or not all(is_number(setting.alpha) for setting in settings):
        return None
    if estimator.get_params(deep=False).get("priors") is not None:
        return None
    net = estimator.net_to_fit()
    watching = any(
        may_watch_validation(callback) for _, callback in named_callbacks(net)
    )
    if isinstance(net, TabularNeuralNet) or net.train_split or watching:
        return None
    search = of_kind(estimator, kind, ensemble=True)
    return search


def _side_by_side(
    model: Any,
    search: BaseMixup,
    settings: list[Setting],
    data: Data,
    repeat: Repeat,
    scoring: Any,
    folder: Folder,
) -> list[tuple[np.ndarray, Any, np.ndarray]]:
    """Train alphas and folds as one net; return for each fold what `_one_by_one` does.

    Settings with other parameters of the net are trained one after the other.
    """
    folds = repeat.folds
    X, y, weight, groups, pairs = _table_of(model, data, folds)
    by_params = defaultdict(list)
    for k, setting in enumerate(settings):
        by_params[setting.name if setting.params else ""].append(k)
    found: list[list[Any]] = [[None] * len(settings) for _ in folds]
    scores = np.full((len(folds), len(settings)), np.nan)
    for numbers in by_params.values():
        alphas = sorted({float(settings[k].alpha) for k in numbers})
        own = {"alphas": alphas, "cv": pairs, "random_state": _random_state(repeat)}
        own |= {"scoring": scoring, "store_cv_results": True, "verbose": 0}
        own["checkpoint"] = folder
        fitted = with_params(search, **(own | settings[numbers[0]].params))
        with _quiet():
            fitted.fit(X, y, weight, groups=groups)
        trained = fitted.cv_results_["param_alpha"].tolist()
        for k in numbers:
            c = trained.index(settings[k].alpha)
            for f, of_fold in enumerate(fitted.fold_predictions_):
                found[f][k] = of_fold[c]
                scores[f, k] = fitted.cv_results_[f"split{f}_test_score"][c]
    trained_by = np.array([setting.alpha for setting in settings], dtype=object)
    return [(np.array(found[f]), scores[f], trained_by) for f in range(len(folds))]


def _random_state(repeat: Repeat) -> Any:
    """Return what gives each fold of a search its own seed; an int is that of all."""
    if len(repeat.folds) == 1:
        return repeat.folds[0].seed
    return np.random.RandomState(repeat.seed)


def _table_of(model: Any, data: Data, folds: list[Fold]) -> tuple[Any, ...]:
    """Return the rows for a search, and its folds, by their row numbers.

    Steps of a Pipeline are fitted to the training rows of a fold, so that each fold has
    a table of its own: its training rows, and below them those held out.
    """
    if steps_before(model) is None:
        pairs = [(fold.train, fold.test) for fold in folds]
        return data.X, data.y, data.weight, data.groups, pairs
    (fold,) = folds
    _, X_train, X_test = _fitted_steps(model, data, fold)
    rows = np.r_[fold.train, fold.test]
    n_train = len(fold.train)
    pairs = [(np.arange(n_train), np.arange(n_train, len(rows)))]
    per_row = (rows_of(values, rows) for values in (data.y, data.weight, data.groups))
    return _below(X_train, X_test), *per_row, pairs


def _below(X: Any, other: Any) -> Any:
    """Put the rows of a table below those of another, of the same kind."""
    if isinstance(X, pd.DataFrame):
        return pd.concat([X, other], ignore_index=True)
    if sparse.issparse(X):
        return sparse.vstack([X, other], format="csr")
    return np.concatenate([X, other])


@contextmanager
def _quiet() -> Iterator[None]:
    """Let a search be silent about what nobody asks it for."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "One fold cannot tell", UserWarning)
        warnings.filterwarnings("ignore", "Members are trained one by one", UserWarning)
        yield
