"""Does mixing help here? A verdict by paired, repeated cross-validation."""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import joblib
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from skmix._estimators_cv import MixupClassifierCV, MixupRegressorCV
from skmix._long_runs.checkpoints import Folder
from skmix._long_runs.progress import progress_bar
from skmix._validation import check_integer, check_n_jobs, check_option
from skmix.inspection._comparison import CALIBRATED, Comparison, compare
from skmix.inspection._held_out import Data, HeldOut, predictions, repeated_folds
from skmix.inspection._metrics import CLASS_METRICS, NUMBER_METRICS, Metric
from skmix.inspection._settings import (
    CHOSEN,
    MIXING,
    Setting,
    Settings,
    alpha_name,
    baseline,
    settings_of,
)

Verdict = Literal["helps", "hurts", "no evidence"]
KNOWN = (*CLASS_METRICS, *NUMBER_METRICS, *CALIBRATED.values())
METRICS = {metric.name for metric in KNOWN}
WORDS = {"log_loss": "log loss", "rmse": "root mean squared error"}


@dataclass(frozen=True, repr=False, eq=False)
class MixupEffect:
    """What mixing changed in paired folds; made by `mixup_effect`.

    Attributes
    ----------
    verdict : {"helps", "hurts", "no evidence"}
        Whether the interval of `candidate` in `metric` leaves out 0, and on which side.
        Where each fold chose alpha 0, there is no difference, and "no evidence".
    metric : str
        What the verdict is about: "log_loss", "rmse", or the user's scoring.
    greater_is_better : bool
        Whether more of `metric` is better.
    candidate : str
        Whom the verdict is about: the row of `table` with the alpha that the model is
        given, or with the one that is chosen inside the folds.
    table : pandas.DataFrame
        A row for each candidate and metric, by the index levels ``candidate`` and
        ``metric``. Columns: ``mean`` over the folds; ``difference`` to alpha 0, and its
        95 % interval from ``low`` to ``high``, which holds for all candidates of a
        metric jointly (NaN where the folds cannot tell); ``folds_better`` and
        ``n_folds``, how many folds were better than alpha 0, of how many. The metrics
        ``log_loss_calibrated`` and ``ece_calibrated`` are of probabilities after
        temperature scaling by the other folds of a repeat; all others are of those that
        the estimators predict. (Members of a search are not calibrated one by one.)
    scores : pandas.DataFrame
        What `table` summarises, a row for each ``candidate``, ``metric``, ``repeat``
        and ``fold``.
    chosen : pandas.DataFrame
        Which setting was taken in each ``repeat`` and ``fold``, for each ``family``:
        that of mixing, and each other one.
    from_search_only : bool
        Whether it comes from one search, without repeats and other regularizers.

    See Also
    --------
    mixup_effect : Measures it.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skmix import MixupClassifierCV, default_net
    >>> from skmix.inspection import MixupEffect
    >>> X, y = load_iris(return_X_y=True)
    >>> net = default_net("classifier").set_params(max_epochs=2, module__k=1)
    >>> search = MixupClassifierCV(net, store_cv_results=True, random_state=0)
    >>> effect = MixupEffect.from_search(search.fit(X, y), y)
    >>> effect.metric, effect.greater_is_better
    ('log_loss', False)
    """

    verdict: Verdict
    metric: str
    greater_is_better: bool
    candidate: str
    table: pd.DataFrame
    scores: pd.DataFrame
    chosen: pd.DataFrame
    from_search_only: bool = False

    @classmethod
    def from_search(
        cls, search: Any, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> "MixupEffect":
        """Return the effect that a fitted search has measured, without more training.

        Its folds serve both to choose an alpha and, in the other folds, to judge the
        choice. What it cannot tell: other regularizers, and how results vary between
        repeats of the folds.

        Parameters
        ----------
        search : MixupClassifierCV or MixupRegressorCV
            Fitted with ``store_cv_results=True``.
        y : array-like of shape (n_samples,)
            The targets that it was fitted on.
        sample_weight : array-like of shape (n_samples,), default=None
            The weights that it was fitted with.

        Returns
        -------
        effect : MixupEffect

        Raises
        ------
        TypeError
            If it is no search of skmix.
        ValueError
            If the search kept no predictions, if targets do not fit them, or if it
            compared no alpha above 0.
        NotFittedError
            Before its `fit`.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from skmix import MixupClassifierCV, default_net
        >>> from skmix.inspection import MixupEffect
        >>> X, y = load_iris(return_X_y=True)
        >>> net = default_net("classifier").set_params(max_epochs=2, module__k=1)
        >>> search = MixupClassifierCV(net, store_cv_results=True, random_state=0)
        >>> MixupEffect.from_search(search.fit(X, y), y).candidate
        'chosen alpha'
        """
        alphas = _stored_alphas(search)
        settings = Settings(
            baseline(),
            [Setting(MIXING, alpha_name(alpha), alpha, {}) for alpha in alphas[1:]],
            with_baseline=True,
        )
        no_columns = np.zeros((len(np.asarray(y)), 0))
        data = Data.of(search, no_columns, y, sample_weight, None)
        _check_belongs(search, data)
        scores = None
        if search.scoring is not None:
            folds = range(search.n_splits_)
            results = [search.cv_results_[f"split{f}_test_score"] for f in folds]
            scores = np.stack(results, axis=1)
        alpha_of = np.array(alphas, dtype=object)
        n_test = float(np.mean([len(test) for test in search.fold_rows_]))
        n_rows = len(data.y) if data.weight is None else np.count_nonzero(data.weight)
        held_out = HeldOut(
            tests=search.fold_rows_,
            predicted=search.fold_predictions_,
            scores=scores,
            chosen=np.repeat(alpha_of[:, None], search.n_splits_, axis=1),
            n_repeats=1,
            test_per_train=n_test / max(1.0, n_rows - n_test),
        )
        name = None if scores is None else _name_of(search.scoring)
        return _effect(compare(settings, data, held_out, name), from_search_only=True)

    def __repr__(self) -> str:
        return f"{_first_sentence(self)}\n{_second_sentence(self)}"

    def _repr_html_(self) -> str:
        table = self.table.drop(columns="n_folds").to_html(float_format="{:.4f}".format)
        return f"<p>{'<br>'.join(repr(self).splitlines())}</p>{table}"


def mixup_effect(
    estimator: Any,
    X: Any,
    y: ArrayLike,
    *,
    alphas: Any = None,
    against: Any = None,
    scoring: Any = None,
    cv: Any = 5,
    n_repeats: int = 2,
    sample_weight: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    random_state: int | np.random.RandomState | None = None,
    n_jobs: int | None = None,
    verbose: int = 0,
    checkpoint: str | os.PathLike[str] | None = None,
) -> MixupEffect:
    """Say whether mixing helps on a table, by paired and repeated cross-validation.

    In each fold a model is trained with mixing, and at alpha 0 from the same seed. What
    is estimated is the mean difference on fresh rows between nets that are trained on
    tables of this kind, of the size of the training folds.

    Parameters
    ----------
    estimator : MixupClassifier, MixupRegressor, their CV variants, or a Pipeline
        Unfitted or fitted; it stays as it is. A Pipeline ends in one of these, and the
        steps before are fitted in each fold. Of a search the members are compared,
        without the blend of several alphas, and without its `priors`.
    X : {array-like, CSR matrix or array} of shape (n_samples, n_features), or dict
        A table as `fit` takes it.
    y : array-like of shape (n_samples,)
        Targets.
    alphas : sequence of float, default=None
        What to compare with alpha 0. None stands for the model's own: its ``alpha``,
        as it is, or its ``alphas``. Of several alphas each fold takes the one that was
        best in the other folds of its repeat; 0 may be taken, too, if it is among
        them, as it always is for a search.
    against : str, list of str, or mapping, default=None
        Other regularizers, at alpha 0: a mapping from names to grids of parameters, as
        in ``{"dropout": {"estimator__module__dropout": [0.2, 0.4]}}``. For the default
        nets "dropout", "label_smoothing" and "weight_decay" are names of grids. Each
        has at most as many settings as there are alphas above 0, and chooses among
        them as mixing does among alphas.
    scoring : str or callable, default=None
        What the verdict is about, a score of which more is better, as in scikit-learn.
        None is the log loss of a classifier, and the root mean squared error of a
        regressor. A function gets the last step of a Pipeline, and the columns that
        come out of the steps before.
    cv : int, splitter or iterable, default=5
        An int is shuffled folds, stratified by classes, which keep groups together if
        `groups` are given. Other folds are used as they are: if each repeat has the
        same ones, repeats average over seeds, and count as one for the intervals.
    n_repeats : int, default=2
        How often the cross-validation is repeated, with other folds and other seeds.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights for training and for all metrics.
    groups : array-like of shape (n_samples,), default=None
        A group for each row, for the folds and for pairings that look at them.
    random_state : int, RandomState instance or None, default=None
        Seeds folds and nets; the ``random_state`` of the model is not used.
    n_jobs : int, default=None
        Processes, as in joblib. The result is the same for each number.
    verbose : {0, 1}, default=0
        1 shows a bar with the time left, where the standard error is a terminal, or in
        a notebook.
    checkpoint : str or path-like, default=None
        A folder that keeps what is done, as in `MixupClassifierCV`: the folds that are
        predicted, and of nets that are trained side by side also what they are
        between. It needs an int as `random_state`. That of the model is not used.

    Returns
    -------
    effect : MixupEffect
        Its ``verdict`` is "helps", "hurts" or "no evidence".

    Raises
    ------
    ValueError, TypeError
        If there is no alpha above 0, if a family in `against` has too many settings, if
        there is one class only, or if there are too few rows for the folds.

    Notes
    -----
    Members of a search, and a user's nets that watch no validation rows, are trained
    side by side as one vectorized net, all others one by one. A default net in a search
    is trained for the number of epochs that is best on average over the folds, with and
    without mixing, so that both losses are a little lower than on fresh rows.

    The choice in a fold looks at the rows that this fold holds out only through nets
    of other folds, which were trained on them; so it is not made by them, and costs no
    further training.

    Intervals are those of `MixupClassifierCV.gains_`; docs/inspection.md says how they
    were chosen, and how often they are right.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from skmix import MixupClassifier, default_net
    >>> from skmix.inspection import mixup_effect
    >>> X, y = load_wine(return_X_y=True)
    >>> net = default_net("classifier").set_params(max_epochs=2, module__k=1)
    >>> model = MixupClassifier(net, alpha=0.2)
    >>> effect = mixup_effect(model, X, y, cv=3, n_repeats=1, random_state=0)
    >>> effect.verdict in ("helps", "hurts", "no evidence")
    True
    >>> effect.table.loc["alpha=0.2"].index.tolist()[:3]
    ['log_loss', 'log_loss_calibrated', 'brier']
    """
    check_option("verbose", verbose, (0, 1))
    data = Data.of(estimator, X, y, sample_weight, groups)
    with advancing(bool(verbose)) as advance:
        return measured_effect(
            estimator,
            data,
            alphas=alphas,
            against=against,
            scoring=scoring,
            cv=cv,
            n_repeats=n_repeats,
            random_state=random_state,
            n_jobs=n_jobs,
            checkpoint=checkpoint,
            advance=advance,
        )


@contextmanager
def advancing(shown: bool) -> Iterator[Callable[[int, int], Any]]:
    """Show a bar; the function adds steps that are done, and steps to be done."""
    with progress_bar(shown=shown, total=0, unit="fit") as bar:

        def advance(done: int, more: int) -> None:
            bar.total += more
            bar.update(done)

        yield advance


def measured_effect(
    estimator: Any,
    data: Data,
    *,
    alphas: Any,
    against: Any,
    scoring: Any,
    cv: Any,
    n_repeats: int,
    random_state: Any,
    n_jobs: int | None,
    checkpoint: Any = None,
    advance: Callable[[int, int], Any] = lambda done, more: None,
) -> MixupEffect:
    """Do what `mixup_effect` does, and tell `advance` of steps done and to be done."""
    check_integer("n_repeats", n_repeats, at_least=1)
    check_n_jobs(n_jobs)
    folder = Folder.of(checkpoint, random_state)
    settings = settings_of(estimator, alphas, against)
    repeats = repeated_folds(estimator, data, cv, n_repeats, random_state)
    options = {"scoring": scoring, "n_jobs": n_jobs, "advance": advance}
    options["folder"] = folder
    held_out = predictions(estimator, settings.all, data, repeats, **options)
    name = None if scoring is None else _name_of(scoring)
    return _effect(compare(settings, data, held_out, name))


def _name_of(scoring: Any) -> str:
    """Return the name of a user's score, which is no name of a loss of this table."""
    if isinstance(scoring, str):
        return scoring
    name = getattr(scoring, "__name__", "score")
    return f"{name} (scoring)" if name in METRICS else name


# A fitted search.


def _stored_alphas(search: Any) -> list[float]:
    """Return the alphas that a search kept predictions of, 0 first."""
    if not isinstance(search, MixupClassifierCV | MixupRegressorCV):
        raise TypeError(
            f"Got {type(search).__name__}, but expected a fitted MixupClassifierCV or "
            "MixupRegressorCV; of a Pipeline take the last step, pipeline[-1]. For any "
            "other model there is mixup_effect."
        )
    check_is_fitted(search, "cv_results_")
    if not hasattr(search, "fold_predictions_"):
        raise ValueError(
            "Got a search that kept no predictions of its candidates. Fit it with "
            "store_cv_results=True."
        )
    alphas: list[float] = search.cv_results_["param_alpha"].tolist()
    if len(alphas) < 2:
        raise ValueError("Got a search without an alpha above 0: nothing to compare.")
    return alphas


def _check_belongs(search: Any, data: Data) -> None:
    """Refuse targets that a search was not fitted on."""
    counted = data.target if data.weight is None else data.target[data.weight > 0]
    classes = getattr(search, "classes_", data.classes)
    if (
        not np.array_equal(data.classes, classes)
        or joblib.hash(np.asarray(counted)) != search.target_hash_
    ):
        raise ValueError(
            f"Got {len(data.y)} targets that are not those that the search was fitted "
            "on. Pass the y of its fit in the same order, and its sample_weight."
        )


def _effect(comparison: Comparison, *, from_search_only: bool = False) -> MixupEffect:
    metric, candidate = comparison.metric, comparison.candidate
    return MixupEffect(
        verdict=_verdict(comparison.table.loc[(candidate, metric.name)], metric),
        metric=metric.name,
        greater_is_better=metric.greater_is_better,
        candidate=candidate,
        table=comparison.table,
        scores=comparison.scores,
        chosen=comparison.chosen,
        from_search_only=from_search_only,
    )


def _verdict(row: pd.Series, metric: Metric) -> Verdict:
    """Return what an interval of the difference says."""
    low, high = row["low"], row["high"]
    if not metric.greater_is_better:
        low, high = -high, -low
    if low > 0:
        return "helps"
    return "hurts" if high < 0 else "no evidence"


# Two sentences.


def _first_sentence(effect: MixupEffect) -> str:
    """Say what mixing does to the metric, by how much, and by how many folds."""
    row = effect.table.loc[(effect.candidate, effect.metric)]
    begin = {
        "helps": "Mixing helps",
        "hurts": "Mixing hurts",
        "no evidence": "No evidence that mixing helps or hurts",
    }[effect.verdict]
    n_folds = int(row["n_folds"])
    if not n_folds:
        word = _word_of(effect)
        return f"{begin}: no fold could compare the {word} with that of alpha 0."
    if effect.verdict == "no evidence" and set(_taken(effect)) == {"0"}:
        return (
            "Mixing is not worth it here: alpha 0, no mixing, was chosen in all of the "
            f"{n_folds} folds{_if_mixed(effect)}."
        )
    return (
        f"{begin}: over {n_folds} folds {_change(effect, row)}, with "
        f"{_what_mixed(effect)}."
    )


def _word_of(effect: MixupEffect) -> str:
    return WORDS.get(effect.metric, f"score {effect.metric!r}")


def _if_mixed(effect: MixupEffect) -> str:
    """Say what the best alpha above 0 would do, if the table has one."""
    of_metric = effect.table.xs(effect.metric, level="metric")
    whole = of_metric["n_folds"] == of_metric["n_folds"].max()
    fixed = [
        name
        for name in of_metric.index[whole]
        if name.startswith("alpha=") and name != "alpha=0" and "auto" not in name
    ]
    change = of_metric.loc[fixed, "difference"]
    gain = (change if effect.greater_is_better else -change).dropna()
    if gain.empty:
        return ""
    best = str(gain.idxmax())
    mixed = best.replace("alpha=", "alpha ")
    return f"; at {mixed} {_change(effect, of_metric.loc[best])}"


def _change(effect: MixupEffect, row: pd.Series) -> str:
    """Say by how much a row of the table differs from alpha 0."""
    lower = row["difference"] <= 0
    way = "lower" if lower else "higher"
    low, high = (-row["high"], -row["low"]) if lower else (row["low"], row["high"])
    interval = f"95 % interval {low:.2g} to {high:.2g}"
    if np.isnan(low):
        interval = "no interval: the folds cannot tell how much it varies"
    return (
        f"the {_word_of(effect)} is {way} by {abs(row['difference']):.3g} than at "
        f"alpha 0 ({interval})"
    )


def _taken(effect: MixupEffect) -> list[str]:
    """Return the alphas that mixing took, fold by fold."""
    mixing = effect.chosen[effect.chosen["family"] == MIXING]
    names: list[str] = mixing["setting"].dropna().tolist()
    return [name.removeprefix("alpha=") for name in names]


def _what_mixed(effect: MixupEffect) -> str:
    """Say which alpha the verdict is about."""
    by_itself = "auto" in effect.candidate
    if effect.candidate != CHOSEN and not by_itself:
        return effect.candidate.replace("alpha=", "alpha ")
    counts = Counter(_taken(effect)).most_common()
    parts = ", ".join(f"{name} in {n}" for name, n in counts)
    how = "by the estimator in each fold" if by_itself else "inside the folds"
    return f"the alpha chosen {how} ({parts})"


def _second_sentence(effect: MixupEffect) -> str:
    """Say whether another regularizer did better."""
    families = [f for f in effect.chosen["family"].unique() if f != MIXING]
    if effect.from_search_only:
        return (
            "This is what one search tells: it compared no other regularizers, and "
            "did not repeat its folds."
        )
    if not families:
        return "No other regularizer was compared."
    of_metric = effect.table.xs(effect.metric, level="metric")["difference"]
    gain = of_metric if effect.greater_is_better else -of_metric
    best = gain[families].idxmax() if gain[families].notna().any() else None
    if best is None or not gain[best] > gain[effect.candidate]:
        return f"No other regularizer did better ({', '.join(families)})."
    row = effect.table.loc[(best, effect.metric)]
    way = "better" if gain[best] > 0 else "worse"
    clearly = "clearly" if row["low"] > 0 or row["high"] < 0 else "not clearly"
    return (
        f"{best!r} did better than mixing on average; it is {way} than alpha 0 by "
        f"{abs(gain[best]):.3g}, {clearly}."
    )
