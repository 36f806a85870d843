"""The methods of the literature, row by row from the papers' formulas, in float64.

Nothing here imports skmix. Each function takes rows and partners of shape (n, d), one
`lam` a row, labels, and a generator for what the method draws beside; it returns the
mixed rows and the own row's share of the loss. `per_row` tells whether what is drawn is
drawn for each row, or once for the batch.
"""

import math

import numpy as np
from scipy.stats import beta


def mixup(x, partner, lam, y, y_partner, rng, per_row):
    mixed = np.empty_like(x)
    for i in range(len(x)):
        for c in range(x.shape[1]):
            mixed[i, c] = lam[i] * x[i, c] + (1 - lam[i]) * partner[i, c]
    return mixed, lam.copy()


def cutmix(x, partner, lam, y, y_partner, rng, per_row, owner=None):
    owner = range(x.shape[1]) if owner is None else owner
    f = max(owner) + 1
    ranks, extra = drawn_masks(f, len(x), rng, per_row, extra=True)
    mixed, share = np.empty_like(x), np.empty(len(x))
    for i in range(len(x)):
        n_kept = math.floor(lam[i] * f + extra[i])
        share[i] = n_kept / f
        for c in range(x.shape[1]):
            kept = ranks[i][owner[c]] < n_kept
            mixed[i, c] = x[i, c] if kept else partner[i, c]
    return mixed, share


def feat_mix(x, partner, lam, y, y_partner, rng, per_row, importances, owner=None):
    owner = range(x.shape[1]) if owner is None else owner
    f = max(owner) + 1
    ranks, _ = drawn_masks(f, len(x), rng, per_row, extra=False)
    mixed, share = np.empty_like(x), np.empty(len(x))
    for i in range(len(x)):
        n_kept = math.floor(lam[i] * f)
        kept = [c for c in range(f) if ranks[i][c] < n_kept]
        share[i] = sum(importances[c] for c in kept) / sum(importances)
        for c in range(x.shape[1]):
            mixed[i, c] = x[i, c] if owner[c] in kept else partner[i, c]
    return mixed, share


def drawn_masks(f, n, rng, per_row, extra):
    """Ranks of the columns for each row, and a uniform number, as documented."""
    m = n if per_row else 1
    ranks = rng.permuted(np.tile(np.arange(f), (m, 1)), axis=1)
    numbers = rng.random((m, 1)) if extra else np.zeros((m, 1))
    repeat = 1 if per_row else n
    return np.repeat(ranks, repeat, axis=0), np.repeat(numbers[:, 0], repeat)


def remix(x, partner, lam, y, y_partner, rng, per_row, counts, kappa, tau):
    mixed, share = mixup(x, partner, lam, y, y_partner, rng, per_row)
    for i in range(len(x)):
        ratio = counts[int(y[i])] / counts[int(y_partner[i])]
        if ratio >= kappa and lam[i] < tau:
            share[i] = 0
        elif ratio <= 1 / kappa and 1 - lam[i] < tau:
            share[i] = 1
    return mixed, share


def own_major(x, partner, lam, y, y_partner, rng, per_row):
    larger = np.array([max(each, 1 - each) for each in lam])
    return mixup(x, partner, larger, y, y_partner, rng, per_row)


def prob(x, partner, lam, y, y_partner, rng, per_row, p):
    coins = rng.random((len(x) if per_row else 1, 1))[:, 0]
    coins = coins if per_row else np.repeat(coins, len(x))
    lam = np.array(
        [each if coin < p else 1 for each, coin in zip(lam, coins, strict=True)]
    )
    return mixup(x, partner, lam, y, y_partner, rng, per_row)


def warped(x, partner, lam, y, y_partner, rng, per_row, tau_max, tau_std, of_targets):
    if of_targets:
        x, partner, rows, partners = targets(y), targets(y_partner), x, partner
    else:
        rows, partners = x, partner
    apart = [np.sum((a - b) ** 2) for a, b in zip(x, partner, strict=True)]
    mean = sum(apart) / len(apart)
    warp = np.empty(len(x))
    for i in range(len(x)):
        # tau^-1 = tau_max * exp(-(d / mean(d) - 1) / (2 tau_std^2))
        tau = 1 / (tau_max * math.exp(-(apart[i] / mean - 1) / (2 * tau_std**2)))
        warp[i] = beta.cdf(lam[i], tau, tau)
    return mixup(rows, partners, warp, y, y_partner, rng, per_row)


def targets(y):
    """Numbers, or one-hot labels, of shape (n, 1) or (n, n_classes)."""
    return y[:, None] if y.dtype.kind == "f" else np.eye(10)[y]


def noisy(x, partner, lam, y, y_partner, rng, per_row, additive, multiplicative):
    mixed, share = mixup(x, partner, lam, y, y_partner, rng, per_row)
    factor, term = rng.beta(2, 5, 2)
    u, z = rng.uniform(-1, 1, x.shape), rng.standard_normal(x.shape)
    for i in range(len(x)):
        for c in range(x.shape[1]):
            mixed[i, c] *= 1 + multiplicative * factor * u[i, c]
            mixed[i, c] += additive * term * z[i, c]
    return mixed, share


# Partners, by uniform numbers: the first row whose cumulated probability is above.


def same_class(i, u, y, weight):
    n = len(y)
    chance = [float(y[j] == y[i]) for j in range(n)]
    if weight is None:
        chance[i] = 0  # itself
    return pick(chance, weight, u, order=sorted(range(n), key=lambda j: y[j]), else_=i)


def other_class(i, u, y, weight):
    chance = [float(label != y[i]) for label in y]
    order = sorted(range(len(y)), key=lambda j: y[j])
    return pick(chance, weight, u, order=order, else_=i)


def lisa(i, coin, u, y, groups, weight, p):
    n = len(y)
    label = [float(y[j] == y[i] and groups[j] != groups[i]) for j in range(n)]
    group = [float(y[j] != y[i] and groups[j] == groups[i]) for j in range(n)]
    by_label = coin < p if any(label) and any(group) else any(label)
    if by_label:
        order = sorted(range(n), key=lambda j: (y[j], groups[j]))
        return pick(label, weight, u, order=order, else_=i)
    order = sorted(range(n), key=lambda j: (groups[j], y[j]))
    return pick(group, weight, u, order=order, else_=i)


def nearest(i, u, x, k, weight):
    apart = [
        (sum((a - b) ** 2 for a, b in zip(row, x[i], strict=True)), j)
        for j, row in enumerate(x)
    ]
    near = [j for _, j in sorted(apart) if j != i][:k]
    weights = [1.0 if weight is None else weight[j] for j in near]
    return pick(weights, None, u, order=range(len(near)), names=near)


def pick(chance, weight, u, order, else_=None, names=None):
    chance = [c * (1.0 if weight is None else weight[j]) for j, c in enumerate(chance)]
    total = math.fsum(chance)
    if total == 0:
        return else_
    below = 0.0
    for j in order:
        below += chance[j]
        if u * total < below:
            return j if names is None else names[j]
    raise AssertionError("u is below 1")


def similar_target(i, y, weight, bandwidth):
    """Probabilities of all rows to be the partner of row i (C-Mixup, equation 6)."""
    chance = []
    for j in range(len(y)):
        kernel = math.exp(-((y[i] - y[j]) ** 2) / (2 * bandwidth**2))
        chance.append(kernel * (1.0 if weight is None else weight[j]))
    total = math.fsum(chance)
    return [c / total for c in chance]


def cross_entropy(logits, label):
    shifted = [each - max(logits) for each in logits]
    return math.log(math.fsum(map(math.exp, shifted))) - shifted[label]


def squared_error(output, number):
    return (output[0] - number) ** 2
