"""Intervals of differences."""

import numpy as np
from scipy import stats


def joint_intervals(differences, n_repeats=1, test_per_train=0.25):
    d = np.asarray(differences, float)
    C, F = d.shape
    if not C:
        return np.zeros((3, 0))
    k = np.isfinite(d)
    n = k.sum(1)
    F = np.maximum(n, 2)
    mean = np.array([r[q].mean() if q.any() else np.nan for r, q in zip(d, k)])
    sd = np.array([r[q].std(ddof=1) if q.sum() > 1 else np.nan for r, q in zip(d, k)])
    half = stats.t.ppf(1 - 0.025 / C, F - 1) * sd * np.sqrt(1 / F + 0.1)
    half[~(sd > 1e-12)] = np.nan
    return mean, mean - half, mean + half
