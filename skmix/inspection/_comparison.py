"""What settings are worth, fold by fold: metrics, choices inside the folds, a table."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from skmix._intervals import joint_intervals
from skmix.inspection._held_out import Data, HeldOut
from skmix.inspection._metrics import (
    CLASS_METRICS,
    ECE,
    LOG_LOSS,
    NUMBER_METRICS,
    SIGNED_ECE,
    Metric,
)
from skmix.inspection._settings import CHOSEN, MIXING, Setting, Settings, alpha_name
from skmix.networks import apply_temperature, fit_temperature

CALIBRATED = {  # of probabilities after temperature scaling, by the metric before it
    metric: Metric(f"{metric.name}_calibrated", False, metric.of)
    for metric in (LOG_LOSS, ECE)
}


class Comparison(NamedTuple):
    """What became of the candidates.

    Attributes
    ----------
    metric : Metric
        The one that choices are made by.
    candidate : str
        The one that stands for mixing.
    table, scores, chosen : pandas.DataFrame
        As in `skmix.inspection.MixupEffect`.
    """

    metric: Metric
    candidate: str
    table: pd.DataFrame
    scores: pd.DataFrame
    chosen: pd.DataFrame


class Row(NamedTuple):
    """A candidate of the table, and which setting stands for it in each fold."""

    name: str
    setting_of: np.ndarray  # of shape (F,); -1 where a fold cannot choose


def compare(
    settings: Settings, data: Data, held_out: HeldOut, scoring: str | None
) -> Comparison:
    """Compare settings by what they predict of rows held out.

    `scoring` is the name of the user's score, if there is one.
    """
    metrics, values = _metrics(data, held_out, scoring)
    rows, chosen = _rows(settings, metrics[0], values[0], held_out)
    names = [row.name for row in rows]
    tables, scores = [], []
    for metric, of_setting in zip(metrics, values, strict=True):
        of_row = np.stack([_taken(of_setting, row.setting_of) for row in rows])
        tables.append(_table(metric, names, of_row, held_out))
        scores.append(_long(metric, names, of_row, held_out.n_repeats))
    table = pd.concat(tables).set_index(["candidate", "metric"])
    return Comparison(
        metric=metrics[0],
        candidate=CHOSEN if CHOSEN in names else names[1],
        table=table.loc[[(name, metric.name) for name in names for metric in metrics]],
        scores=pd.concat(scores, ignore_index=True),
        chosen=chosen,
    )


def _metrics(
    data: Data, held_out: HeldOut, scoring: str | None
) -> tuple[list[Metric], list[np.ndarray]]:
    """Return metrics, that of the verdict first, and their values, (S, F) each."""
    known = CLASS_METRICS if data.n_classes else NUMBER_METRICS
    metrics, values = list(known), [_values(m, data, held_out) for m in known]
    if data.n_classes:
        calibrated = _calibrated(data, held_out)
        for before, after in CALIBRATED.items():
            place = metrics.index(before) + 1
            metrics.insert(place, after)
            values.insert(place, _values(before, data, calibrated))
    if held_out.scores is not None:
        kept = [k for k, metric in enumerate(metrics) if metric.name != scoring]
        metrics = [Metric(str(scoring), True, metrics[0].of)] + [
            metrics[k] for k in kept
        ]
        values = [held_out.scores] + [values[k] for k in kept]
    return metrics, values


def _values(metric: Metric, data: Data, held_out: HeldOut) -> np.ndarray:
    """Return a metric of each setting in each fold; NaN where training diverged."""
    values = np.full((len(held_out.predicted[0]), len(held_out.tests)), np.nan)
    for f, (test, predicted) in enumerate(
        zip(held_out.tests, held_out.predicted, strict=True)
    ):
        weight = None if data.weight is None else data.weight[test]
        for s, of_setting in enumerate(predicted):
            if np.isfinite(of_setting).all():
                values[s, f] = metric.of(data.target[test], of_setting, weight)
    return values


def _calibrated(data: Data, held_out: HeldOut) -> HeldOut:
    """Divide log-probabilities by the best temperature of the repeat's other folds."""
    calibrated = [np.full_like(predicted, np.nan) for predicted in held_out.predicted]
    for f, of_fold in enumerate(calibrated):
        others = held_out.disjoint(f)
        if not others:
            continue
        rows = np.concatenate([held_out.tests[g] for g in others])
        weight = None if data.weight is None else data.weight[rows]
        for s in range(len(of_fold)):
            proba = np.concatenate([held_out.predicted[g][s] for g in others])
            if np.isfinite(proba).all() and np.isfinite(held_out.predicted[f][s]).all():
                temperature = fit_temperature(proba, data.target[rows], weight)
                of_fold[s] = apply_temperature(held_out.predicted[f][s], temperature)
    return held_out._replace(predicted=calibrated)


def _rows(
    settings: Settings, metric: Metric, values: np.ndarray, held_out: HeldOut
) -> tuple[list[Row], pd.DataFrame]:
    """Return the candidates of the table, and which settings were taken where."""
    n_folds, every = len(held_out.tests), settings.all
    rows = [Row(every[0].name, np.zeros(n_folds, dtype=int))]
    taken = []
    sign = 1 if metric.greater_is_better else -1
    for family in settings.families:
        own = [k for k, setting in enumerate(every) if setting.family == family]
        choices = np.array(settings.choices(family))
        found = _choice(sign * values[choices], held_out)
        setting_of = np.where(found < 0, -1, choices[found])
        if family == MIXING:
            alone = [Row(every[k].name, np.full(n_folds, k)) for k in own]
            rows += alone
            if len(choices) > 1:
                rows.append(Row(CHOSEN, setting_of))
        else:
            rows.append(Row(family, setting_of))
        taken.append(_where_taken(family, setting_of, every, held_out))
    return rows, pd.concat(taken, ignore_index=True)


def _choice(scores: np.ndarray, held_out: HeldOut) -> np.ndarray:
    """Return for each fold the best setting in the other folds of its repeat, (F,).

    `scores`, of shape (S, F), are better if higher. A choice of one is that one, and
    -1 says that there are no other folds to choose by: none that hold out other rows.
    """
    n_settings, n_all = scores.shape
    if n_settings == 1:
        return np.zeros(n_all, dtype=int)
    chosen = np.full(n_all, -1)
    for f in range(n_all):
        known = scores[:, held_out.disjoint(f)]
        known = known[:, np.isfinite(known).any(axis=0)]
        if known.shape[1]:
            # A setting that has diverged in one of them is not taken.
            mean = np.where(np.isfinite(known), known, -np.inf).mean(axis=1)
            chosen[f] = mean.argmax()
    return chosen


def _where_taken(
    family: str, setting_of: np.ndarray, every: list[Setting], held_out: HeldOut
) -> pd.DataFrame:
    repeat, fold = _repeats(len(setting_of), held_out.n_repeats)
    names: list[str | None] = []
    for f, k in enumerate(setting_of):
        setting = every[k] if k >= 0 else None
        by_itself = setting is not None and isinstance(setting.alpha, str)
        if setting is not None and by_itself:
            names.append(alpha_name(held_out.chosen[k, f]))
        else:
            names.append(None if setting is None else setting.name)
    columns = {"family": family, "repeat": repeat, "fold": fold, "setting": names}
    return pd.DataFrame(columns)


def _repeats(n_all: int, n_repeats: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the number of the repeat, and of the fold in it, of each fold."""
    repeat, fold = np.divmod(np.arange(n_all), n_all // n_repeats)
    return repeat, fold


def _taken(of_setting: np.ndarray, setting_of: np.ndarray) -> np.ndarray:
    """Return the values of the settings that stand for a candidate in the folds."""
    values = of_setting[setting_of, np.arange(len(setting_of))]
    return np.where(setting_of < 0, np.nan, values)


def _table(
    metric: Metric, names: list[str], of_row: np.ndarray, held_out: HeldOut
) -> pd.DataFrame:
    """Summarise one metric, (candidates, F), that of alpha 0 first."""
    difference = of_row - of_row[0]
    size = np.nanmax(np.abs(of_row[1:]), axis=1, initial=0)
    told, n_repeats = difference[1:], held_out.n_repeats
    if held_out.repeats_are_alike:  # they differ by seeds alone, and are one repeat
        told = told.reshape(len(told), n_repeats, -1).mean(axis=1)
        n_repeats = 1
    mean, low, high = joint_intervals(
        told, n_repeats, held_out.test_per_train, scale=size
    )
    known = np.isfinite(difference)
    scores = np.where(known, of_row, np.nan)
    return pd.DataFrame(
        {
            "candidate": names,
            "metric": metric.name,
            "mean": [
                row[k].mean() if k.any() else np.nan
                for row, k in zip(scores, known, strict=True)
            ],
            "difference": np.r_[0.0, mean],
            "low": np.r_[0.0, low],
            "high": np.r_[0.0, high],
            "folds_better": _is_better(metric, of_row).sum(axis=1),
            "n_folds": known.sum(axis=1),
        }
    )


def _is_better(metric: Metric, of_row: np.ndarray) -> np.ndarray:
    """Whether candidates are better than alpha 0, the first one, (candidates, F)."""
    if metric is SIGNED_ECE:
        of_row = -np.abs(of_row)  # best at 0
    elif not metric.greater_is_better:
        of_row = -of_row
    return np.asarray(of_row > of_row[0])


def _long(
    metric: Metric, names: list[str], of_row: np.ndarray, n_repeats: int
) -> pd.DataFrame:
    n_all = of_row.shape[1]
    repeat, fold = _repeats(n_all, n_repeats)
    return pd.DataFrame(
        {
            "candidate": np.repeat(names, n_all),
            "metric": metric.name,
            "repeat": np.tile(repeat, len(names)),
            "fold": np.tile(fold, len(names)),
            "score": of_row.ravel(),
        }
    )
