"""How sure differences are: intervals over folds, and standard errors over rows."""

from typing import NamedTuple

import numpy as np
from scipy import stats

CONFIDENCE = 0.95
# Of what Nadeau and Bengio add for shared rows: docs/inspection.md has the measurement.
SHARED = 0.4
TOGETHER = 0.8  # of the correlation that few folds show between two candidates
ROUNDING = 1e-12  # of the size of a score
N_DRAWS = 2**14


class Intervals(NamedTuple):
    """Mean differences of C candidates, and the bounds of their intervals.

    Attributes
    ----------
    mean, low, high : ndarray of shape (C,)
        NaN where folds cannot tell.
    """

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


def joint_intervals(
    differences: np.ndarray,
    n_repeats: int = 1,
    test_per_train: float = 0.25,
    *,
    scale: np.ndarray | float | None = None,
) -> Intervals:
    """Return 95 % intervals of mean differences that hold for all candidates at once.

    The estimand is the mean difference on fresh rows between models trained on tables
    of this kind, of the size of the training folds.

    Parameters
    ----------
    differences : ndarray of shape (C, F)
        Scores of C candidates minus those of the baseline, of any metric, in F folds:
        all folds of the first repeat of a cross-validation, then those of the second.
        NaN leaves a fold out for a candidate.
    n_repeats : int, default=1
        How often the cross-validation was repeated, on other folds and with other
        seeds.
    test_per_train : float, default=0.25
        Rows that a fold holds out for each row that it trains on; 0.25 in five folds.
    scale : float or ndarray of shape (C,), default=None
        Size of the scores that were subtracted. Differences that vary by less than its
        last digits do not vary. None is the largest difference of each candidate.

    Returns
    -------
    intervals : Intervals
        ``(mean, low, high)``. The bounds are NaN if there is one fold, or if all folds
        agree to the last digit. The mean is NaN if there is no fold.

    Notes
    -----
    Folds share training rows, and repeats share test rows too, so that F folds tell
    less than F tables would. The variance of a mean is taken as
    ``var * (1 / F + 0.4 * test_per_train)``. Nadeau and Bengio [1]_ have 1 in place of
    0.4, and intervals that are too wide for nets; 0 is the plain t test. The 0.4 was
    chosen on simulated tables and confirmed on others: docs/inspection.md.

    Student's t has ``F - n_repeats`` degrees of freedom. Its quantile is that of the
    largest of C correlated ones [2]_, by draws with a fixed seed. A correlation is
    shrunk to 0.8 of that between the candidates' differences over the folds. The
    quantile lies between that of one candidate and Bonferroni's.

    References
    ----------
    .. [1] C. Nadeau, Y. Bengio, "Inference for the Generalization Error", Machine
       Learning 52, 2003, equation 9
    .. [2] C. W. Dunnett, "A Multiple Comparison Procedure for Comparing Several
       Treatments with a Control", Journal of the American Statistical Association 50,
       1955

    Examples
    --------
    >>> import numpy as np
    >>> from skmix._intervals import joint_intervals
    >>> accuracies = np.array([[0.82, 0.86, 0.84, 0.85, 0.83]])
    >>> baseline = np.array([0.80, 0.81, 0.81, 0.82, 0.79])
    >>> mean, low, high = joint_intervals(accuracies - baseline)
    >>> print(mean.round(3), low.round(3), high.round(3))
    [0.034] [0.017] [0.051]
    """
    differences = np.asarray(differences, dtype=np.float64)
    known = ~np.isnan(differences)
    n_folds = known.sum(axis=1)
    mean, spread, residuals = _moments(differences, known)
    if scale is None:
        scale = np.abs(np.where(known, differences, 0)).max(axis=1, initial=0)
    low, high = np.full_like(mean, np.nan), np.full_like(mean, np.nan)
    told = np.flatnonzero((n_folds > 1) & (spread > ROUNDING * scale))
    if len(told):
        n_folds = n_folds[told]
        freedom = np.maximum(n_folds - n_repeats, 1)
        chance = _joint_chance(residuals[told], freedom.min())
        error = spread[told] * np.sqrt(1 / n_folds + SHARED * test_per_train)
        half = stats.t.isf(chance / 2, freedom) * error
        low[told], high[told] = mean[told] - half, mean[told] + half
    return Intervals(mean, low, high)


def _moments(
    differences: np.ndarray, known: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return mean and spread of each candidate, and residuals, 0 where unknown."""
    n_folds = known.sum(axis=1)
    total = np.where(known, differences, 0).sum(axis=1)
    mean = np.where(n_folds > 0, total / np.maximum(n_folds, 1), np.nan)
    residuals = np.where(known, differences - mean[:, None], 0)
    variance = (residuals**2).sum(axis=1) / np.maximum(n_folds - 1, 1)
    return mean, np.sqrt(variance), residuals


def _joint_chance(residuals: np.ndarray, freedom: int) -> float:
    """Return how often one t value may be too large, so that the largest seldom is.

    In `CONFIDENCE` of all cases none of the candidates is beyond its quantile.
    """
    most = 1 - CONFIDENCE
    n_candidates = len(residuals)
    if n_candidates == 1:
        return most
    units = residuals / np.linalg.norm(residuals, axis=1, keepdims=True)
    correlation = TOGETHER * units @ units.T + (1 - TOGETHER) * np.eye(n_candidates)
    rng = np.random.default_rng(0)
    divisor = np.sqrt(rng.chisquare(freedom, N_DRAWS) / freedom)
    normal = rng.standard_normal((n_candidates, N_DRAWS))
    drawn = np.abs(np.linalg.cholesky(correlation) @ normal).max(axis=0) / divisor
    largest = np.quantile(drawn, CONFIDENCE)
    chance = 2 * stats.t.sf(largest, freedom)
    return float(np.clip(chance, most / n_candidates, most))


def clearly_higher(
    losses: np.ndarray,
    others: np.ndarray,
    weight: np.ndarray | None = None,
    *,
    n_errors: float,
) -> bool:
    """Whether losses are higher than others of the same rows, and not by chance.

    Parameters
    ----------
    losses, others : ndarray of shape (n,)
    weight : ndarray of shape (n,), default=None
    n_errors : float
        Standard errors that the difference must exceed. Few rows need more, such that
        the chance of a mistake, by Student's t, is the same.

    Returns
    -------
    higher : bool
        Whether the (weighted) mean of their differences is so far above 0. One row
        alone, or the weight of one, cannot tell.
    """
    weight = np.ones(len(losses)) if weight is None else weight
    share = weight / weight.sum()
    n_rows = 1 / np.sum(share**2)  # of equal weight, which would tell as much
    if n_rows < 1 + 1e-9:
        return False
    difference = losses - others
    mean = share @ difference
    variance = np.sum((share * (difference - mean)) ** 2) * n_rows / (n_rows - 1)
    quantile = stats.t.ppf(stats.norm.cdf(n_errors), n_rows - 1)
    return bool(mean > quantile * np.sqrt(variance))
