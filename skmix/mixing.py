"""How two rows become one, and which share of the loss is the own row's.

`mixing` of the skmix estimators is a name, a function of one's own, or an object of
this module. Whichever it is, `bound` makes of it, once a fit, a function
``f(x, x_partner, lam, y, y_partner, rng) -> (x_mixed, weight_of_own_row)`` for the
place where rows are mixed: the columns of a table at the input, units inside a layer.
An object that is to learn something from the training rows before has a method
``bind(table, layer)``, which is called once a fit with a `skmix.plan.Table` and returns
that function; `layer` is None at the input. It may have two attributes: ``task``,
"classifier" or "regressor" if it is for one of these alone, and ``interpolates = True``
if the default regressor is to mix by it behind its embedding, as by mixup.

What these functions are given and give back, for a batch of B rows:

x, x_partner : torch.Tensor of shape (B, ...), or a mapping, list or tuple of such
    Rows and their partners, as the net gets them.
lam : torch.Tensor of shape (1, 1, ...) or (B, 1, ...)
    Of as many dimensions as `x` (2 for several tensors), so that ``lam * x`` is right
    whether it was drawn once for the batch or once for each row.
y, y_partner : torch.Tensor of shape (B,)
    Targets as the net gets them: class indices, int64 (0.0 and 1.0 for a net with a
    single output), or numbers.
rng : numpy.random.Generator
    Seeded for each step.
x_mixed
    Like `x`.
weight_of_own_row : float, or array or tensor of 1 or of B entries
    From 0 to 1: the loss is ``weight * loss(y) + (1 - weight) * loss(y_partner)``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
import torch
from scipy.special import betainc

from skmix.checks import (
    check_above_0,
    check_at_least_0,
    check_bound,
    check_rule,
    check_share,
)
from skmix.columns import (
    as_numpy,
    beside,
    columns_of,
    dense,
    each,
    kept,
    mutual_information,
    on,
    take_columns,
)


def mixup(x, x_partner, lam, y=None, y_partner=None, rng=None):
    """Interpolate: ``lam * x + (1 - lam) * x_partner`` (Zhang et al. 2018).

    Integer codes and booleans have no in-between: each cell keeps its own value with
    probability `lam` and takes the partner's otherwise, the expectation of which is the
    mix of their one-hot codes.

    Parameters
    ----------
    x, x_partner, lam, y, y_partner, rng
        As in `skmix.mixing`; `y` and `y_partner` are not looked at, and `rng` only if
        there are codes.

    Returns
    -------
    x_mixed
        Like `x`.
    weight_of_own_row : torch.Tensor
        `lam`.

    References
    ----------
    H. Zhang, M. Cisse, Y. N. Dauphin, D. Lopez-Paz, "mixup: Beyond Empirical Risk
    Minimization", ICLR 2018, https://arxiv.org/abs/1710.09412

    Examples
    --------
    >>> import torch
    >>> from skmix.mixing import mixup
    >>> x, x_partner = torch.tensor([[0.0, 4.0]]), torch.tensor([[1.0, 0.0]])
    >>> mixup(x, x_partner, torch.tensor([[0.75]]))
    (tensor([[0.2500, 3.0000]]), tensor([[0.7500]]))
    """

    def mix(own, other):
        weight = beside(lam, own)
        if own.is_floating_point():
            return other.lerp(own, weight)
        keep = torch.as_tensor(rng.random(own.shape), device=own.device) < weight
        return torch.where(keep, own, other)

    return each(mix, x, x_partner), lam


def lerp_steps(x, x_partner, lam):
    """Interpolate the rows of several steps at once, in the place of `x_partner`.

    Parameters
    ----------
    x, x_partner : torch.Tensor of shape (S * B, ...), floating
    lam : ndarray of shape (S,) or (S * B,)
        One for each step or each row.

    Returns
    -------
    mixed : torch.Tensor of shape (S * B, ...)
    """
    # Rows that share a `lam` form a group: (S * B, ...) -> (n_groups, -1)
    groups, others = (part.reshape(len(lam), -1) for part in (x, x_partner))
    weight = torch.as_tensor(lam).reshape(-1, 1).to(x.device, x.dtype)
    return others.lerp_(groups, weight).reshape(x.shape)


# Swapping columns whole: CutMix, and its kin.


@dataclass(frozen=True)
class CutMix:
    """Swap columns whole, ``mixing="cutmix"``.

    At the input each column of the table is taken from one of the two rows, all that is
    made of it (its one-hot columns, the indicator of missing values) with it. The own
    row's weight in the loss is the share of columns kept. Inside a layer it is the
    units of the last axis that are swapped, the same ones for whatever stands before
    it.

    Of f columns ``lam * f`` are kept, rounded up or down such that it is right on
    average. Which ones is drawn for each row with ``lam_per="row"``, else for each
    batch.

    References
    ----------
    S. Yun et al., "CutMix: Regularization Strategy to Train Strong Classifiers with
    Localizable Features", ICCV 2019, https://arxiv.org/abs/1905.04899; for tables
    A. Kadra, M. Lindauer, F. Hutter, J. Grabocka, "Well-tuned Simple Nets Excel on
    Tabular Datasets", NeurIPS 2021, https://arxiv.org/abs/2106.11189

    Examples
    --------
    >>> from skmix import MixupClassifier
    >>> MixupClassifier(mixing="cutmix", alpha=1.0)  # as mixing=skmix.mixing.CutMix()
    MixupClassifier(alpha=1.0, mixing='cutmix')
    """

    interpolates: ClassVar[bool] = False

    def bind(self, table, layer=None):
        """Return the function that mixes rows at the input, or behind a layer."""
        columns = table.columns if layer is None else None

        def cutmix(x, x_partner, lam, y, y_partner, rng):
            if layer is None:
                owner, n_columns = columns_of(x, columns)
                keep = kept(lam, n_columns, rng, on_average=True)
                mixed = each(partial(take_columns, keep), x, x_partner, owner)
            else:
                keep = kept(lam, x.shape[-1], rng, on_average=True)
                between = keep.reshape(-1, *[1] * (x.ndim - 2), x.shape[-1])
                mixed = torch.where(on(between, x), x, x_partner)
            return mixed, keep.mean(axis=1)

        return cutmix


@dataclass(frozen=True, eq=False)
class FeatMix:
    """Swap columns whole and weigh labels by what the columns tell (Feat-Mix).

    As `CutMix` at the input, but the own row's weight in the loss is the sum of the
    importances of the columns kept, divided by that of all. Of f columns
    ``floor(lam * f)`` are kept.

    Parameters
    ----------
    importances : array-like of shape (n_features,), mapping of names, or None, \
            default=None
        Of the columns of the table, not negative; columns that are a group of one-hot
        columns count as one, by the sum of theirs. By default it is the mutual
        information of each column with the target, estimated by scikit-learn on at most
        10,000 training rows. (That knows nothing of row weights.)

    References
    ----------
    J. Chen, J. Yan, Q. Chen, D. Z. Chen, J. Wu, J. Sun, "Can a Deep Learning Model be a
    Sure Bet for Tabular Prediction?" (ExcelFormer), KDD 2024,
    https://arxiv.org/abs/2301.02819

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from skmix import MixupClassifier
    >>> from skmix.mixing import FeatMix
    >>> X, y = load_wine(return_X_y=True)
    >>> clf = MixupClassifier(mixing=FeatMix(), lam_per="row", random_state=0)
    >>> clf.fit(X, y).score(X, y) > 0.9
    True
    """

    importances: Any = None
    interpolates: ClassVar[bool] = False

    def bind(self, table, layer=None):
        """Return the function that mixes rows at the input."""
        if layer is not None:
            raise ValueError(
                f"Got FeatMix behind the layer {layer!r}, but its importances are "
                "those of columns: expected layers='input'. (Units of a layer are "
                "swapped by mixing='cutmix'.)"
            )
        importances = self._importances(table)

        def feat_mix(x, x_partner, lam, y, y_partner, rng):
            owner, n_columns = columns_of(x, table.columns)
            keep = kept(lam, n_columns, rng, on_average=False)
            mixed = each(partial(take_columns, keep), x, x_partner, owner)
            return mixed, keep @ importances

        return feat_mix

    def _importances(self, table):
        """Return importances of the table's columns that sum to 1."""
        _, n_columns = columns_of(table.X, table.columns)
        given, read_as = self.importances, table.read_as
        if given is None:
            given, read_as = mutual_information(table, n_columns), None
        read_as = np.arange(n_columns) if read_as is None else read_as
        if isinstance(given, Mapping):
            names = table.names or ()
            if set(given) != set(names):
                raise ValueError(
                    f"Got importances of {sorted(map(str, given))}, but expected one "
                    f"for each column: {', '.join(names) or '(none has a name)'}."
                )
            given = [given[name] for name in names]
        try:
            given = np.asarray(given, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"Got importances={self.importances!r}, but expected numbers."
            ) from error
        fine = given.shape == read_as.shape and (given >= 0).all()
        if not fine or not np.isfinite(given.sum()):
            raise ValueError(
                f"Got importances={self.importances!r}, but expected "
                f"({len(read_as)},): one of at least 0 for each column."
            )
        given = np.bincount(read_as, given, minlength=n_columns)  # groups count as one
        if given.sum() == 0:
            given = np.ones(n_columns)
        return given / given.sum()


@dataclass(frozen=True)
class Mixup:
    """Interpolate, but for columns that have no in-between.

    Parameters
    ----------
    swapped : sequence of names or positions, default=()
        Columns of the table that are taken whole from one of the two rows, the own one
        with probability `lam`: numbers that are codes, yes or no, and categories, whose
        one-hot columns are interpolated otherwise.
    rounded : sequence of names or positions, default=()
        Columns of numbers that become the nearest value found in training: counts and
        grades.

    Examples
    --------
    >>> import numpy as np
    >>> from skmix import MixupClassifier
    >>> from skmix.mixing import Mixup
    >>> X = np.column_stack([np.linspace(0, 1, 100), np.arange(100) % 2])
    >>> clf = MixupClassifier(mixing=Mixup(swapped=[1]), random_state=0)
    >>> clf.fit(X, X[:, 0] > 0.5).score(X, X[:, 0] > 0.5) > 0.9
    True
    """

    swapped: tuple = ()
    rounded: tuple = ()
    interpolates: ClassVar[bool] = False  # as columns, that is

    def bind(self, table, layer=None):
        """Return the function that mixes rows at the input."""
        if layer is not None:
            raise ValueError(
                f"Got Mixup behind the layer {layer!r}, but `swapped` and `rounded` "
                "are columns: expected layers='input'."
            )
        if isinstance(table.X, Mapping) and table.columns is None:
            raise ValueError(
                "Got Mixup for X as a dict, whose integers are swapped as it is; "
                "expected a table."
            )
        X = table.X
        owner, n_columns = columns_of(X, table.columns)
        swapped = np.zeros(n_columns, dtype=bool)
        swapped[self._found(self.swapped, table, n_columns)] = True
        rounded = self._found(self.rounded, table, n_columns)
        self._check_numeric(rounded, owner, table)
        if isinstance(X, Mapping):
            values = {name: _values_of(rounded, X[name], owner[name]) for name in X}
        else:
            values = _values_of(rounded, X, owner)

        def mixup_by_column(x, x_partner, lam, y, y_partner, rng):
            mixed, _ = mixup(x, x_partner, lam, y, y_partner, rng)
            weight = np.broadcast_to(as_numpy(lam).reshape(-1, 1), (len(y), 1))
            keep = rng.random((len(y), n_columns)) < weight
            taken = each(partial(take_columns, keep), x, x_partner, owner)
            mask = np.atleast_2d(swapped)
            mixed = each(partial(take_columns, mask), taken, mixed, owner)
            return each(_snapped, mixed, values), lam

        return mixup_by_column

    def _found(self, wanted, table, n_columns):
        """Numbers of columns, by the names or positions that the user has for them."""
        known = list(table.names or ())
        read_as = np.arange(n_columns) if table.read_as is None else table.read_as
        single = wanted is None or isinstance(wanted, str | Integral)
        wanted = [wanted] if single else list(wanted)
        found = [known.index(name) if name in known else name for name in wanted]
        unknown = [
            name
            for name in found
            if not isinstance(name, Integral)
            or isinstance(name, bool)
            or not 0 <= name < len(read_as)
        ]
        if unknown:
            raise ValueError(
                f"Got columns {unknown} in {self}, but expected names among "
                f"{', '.join(map(repr, known[:20])) or '(none are known)'}, or "
                f"positions from 0 to {len(read_as) - 1}."
            )
        return read_as[np.array(found, dtype=int)]

    def _check_numeric(self, rounded, owner, table):
        """Refuse to round what is no number."""
        if table.numeric is None:
            return
        parts = [(owner, table.numeric)]
        if isinstance(owner, Mapping):
            parts = [(owner[name], table.numeric[name]) for name in owner]
        numbers = {number for of, numeric in parts for number in of[numeric]}
        codes = set(rounded) - numbers
        if codes:
            raise ValueError(
                f"Got {self}, which rounds columns that hold categories, but expected "
                "numbers in `rounded`. Categories may be `swapped`."
            )


def _values_of(rounded, X, owner):
    """The values that occur in the first of the columns made of each rounded one."""
    found = {}
    for column in rounded:
        made_of_it = np.flatnonzero(owner == column)
        if len(made_of_it):
            first = made_of_it[0]
            found[int(first)] = torch.from_numpy(np.unique(dense(X[:, [first]])))
    return _Values(found)


class _Values(dict):
    """Values of columns, by their numbers; no structure to be walked through."""


def _snapped(x, values):
    for column, known in values.items():
        known = known.to(x.device, x.dtype)
        cell = x[:, column].contiguous()
        above = torch.searchsorted(known, cell).clamp(1, max(1, len(known) - 1))
        high, low = known[above.clamp(max=len(known) - 1)], known[above - 1]
        x[:, column] = torch.where(cell - low <= high - cell, low, high)
    return x


# Other weights for labels, or for pairs; each stands on another mixing.


@dataclass(frozen=True)
class Remix:
    """Give the label of a mixed row to the rarer class (Remix).

    Rows are interpolated by `lam`; the own row's weight in the loss is 0 where its
    class has at least `kappa` times as many rows as the partner's and ``lam < tau``, 1
    where the partner's has as many times more and ``1 - lam < tau``, and `lam` else.

    Parameters
    ----------
    kappa : float, default=3.0
        At least 1.
    tau : float, default=0.5
        From 0 to 1.

    Notes
    -----
    Row weights count in the sizes of classes, and so does ``class_weight``: with
    "balanced" all classes are of one size, and it is the label of the own row that
    `lam` weighs.

    References
    ----------
    H.-P. Chou, S.-C. Chang, J.-Y. Pan, W. Wei, D.-C. Juan, "Remix: Rebalanced Mixup",
    ECCV Workshops 2020, equation 8, https://arxiv.org/abs/2007.03943

    Examples
    --------
    >>> from skmix import MixupClassifier
    >>> from skmix.mixing import Remix
    >>> MixupClassifier(mixing=Remix(kappa=5.0), lam_per="row")
    MixupClassifier(lam_per='row', mixing=Remix(kappa=5.0, tau=0.5))
    """

    kappa: float = 3.0
    tau: float = 0.5
    task: ClassVar[str] = "classifier"
    interpolates: ClassVar[bool] = True

    def bind(self, table, layer=None):
        """Return the function that mixes rows at the input, or behind a layer."""
        check_above_0("kappa", self.kappa)
        if self.kappa < 1:
            raise ValueError(f"Got kappa={self.kappa!r}, but expected at least 1.")
        check_share("tau", self.tau)
        labels = np.asarray(table.y).ravel().astype(np.int64)
        sizes = torch.from_numpy(np.bincount(labels, table.weight).astype(np.float64))

        def remix(x, x_partner, lam, y, y_partner, rng):
            mixed, _ = mixup(x, x_partner, lam, y, y_partner, rng)
            own, other = (sizes.to(t.device)[t.long().ravel()] for t in (y, y_partner))
            share = torch.as_tensor(lam).to(own).reshape(-1).expand(len(own))
            rarer = (other >= self.kappa * own) & (1 - share < self.tau)
            common = (own >= self.kappa * other) & (share < self.tau)
            return mixed, share.masked_fill(common, 0).masked_fill(rarer, 1)

        return remix


@dataclass(frozen=True)
class OwnMajor:
    """Keep the own row the major part: ``max(lam, 1 - lam)``.

    So no row of a batch is missing among the major parts, and a pair and its mirror
    image are not nearly the same. It is what fastai does.

    Parameters
    ----------
    mixing : str, callable or object, default="mixup"
        What is done with that weight.

    Examples
    --------
    >>> from skmix import MixupClassifier
    >>> from skmix.mixing import OwnMajor
    >>> MixupClassifier(mixing=OwnMajor(), lam_per="row")
    MixupClassifier(lam_per='row', mixing=OwnMajor(mixing='mixup'))
    """

    mixing: Any = "mixup"

    @property
    def interpolates(self):
        return is_interpolating(self.mixing)

    def bind(self, table, layer=None):
        """Return the function that mixes rows at the input, or behind a layer."""
        mix = bound(self.mixing, table, layer)

        def own_major(x, x_partner, lam, y, y_partner, rng):
            return mix(x, x_partner, torch.maximum(lam, 1 - lam), y, y_partner, rng)

        return own_major


@dataclass(frozen=True)
class Prob:
    """Mix with probability `p` only, and leave rows as they are otherwise.

    It is decided for each row with ``lam_per="row"``, for each batch else.

    Parameters
    ----------
    p : float, default=0.5
        From 0 to 1.
    mixing : str, callable or object, default="mixup"
        What is done then.

    Examples
    --------
    >>> from skmix import MixupClassifier
    >>> from skmix.mixing import Prob
    >>> MixupClassifier(mixing=Prob(0.5, "cutmix"), alpha=1.0)
    MixupClassifier(alpha=1.0, mixing=Prob(p=0.5, mixing='cutmix'))
    """

    p: float = 0.5
    mixing: Any = "mixup"

    @property
    def interpolates(self):
        return is_interpolating(self.mixing)

    def bind(self, table, layer=None):
        """Return the function that mixes rows at the input, or behind a layer."""
        check_share("p", self.p)
        mix = bound(self.mixing, table, layer)

        def prob(x, x_partner, lam, y, y_partner, rng):
            mixes = torch.from_numpy(rng.random(len(lam)) < self.p)
            mixed, share = mix(x, x_partner, lam, y, y_partner, rng)

            def where(mixed, x):
                mask = mixes.reshape(-1, *[1] * (x.ndim - 1)).to(x.device)
                return torch.where(mask, mixed, x)

            share = torch.as_tensor(share).reshape(-1)
            share = torch.where(mixes.to(share.device), share, torch.ones_like(share))
            return each(where, mixed, x), share

        return prob


@dataclass(frozen=True)
class Warped:
    """Mix like rows more than unlike ones (similarity kernel mixup).

    With ``d`` the squared distance of a pair, divided by its mean over the batch, `lam`
    becomes ``I(lam; tau, tau)``, the distribution function of Beta(tau, tau), and
    ``tau = exp((d - 1) / (2 * tau_std**2)) / tau_max``. So unlike pairs are hardly
    mixed, and pairs of the mean distance have ``tau = 1 / tau_max``.

    Parameters
    ----------
    tau_max : float, default=1.0
        Above 0; the greater, the more pairs are mixed.
    tau_std : float, default=0.5
        Above 0; the smaller, the more distance decides.
    distance : {"rows", "targets"}, default="rows"
        Of what: of what is mixed (columns, or hidden states), or, as in the paper for
        regression, of targets.
    mixing : str, callable or object, default="mixup"
        What is done with the warped weights.

    Notes
    -----
    ``alpha=1``, `lam` uniform, is the paper's. `tau` is kept within 1e-4 and 1e4.
    Labels that differ are ``sqrt(2)`` apart, as their one-hot codes are, and so are
    codes in a row.

    References
    ----------
    Q. Bouniot, P. Mozharovskyi, F. d'Alché-Buc, "Tailoring Mixup to Data for
    Calibration", ICLR 2025, https://arxiv.org/abs/2311.01434

    Examples
    --------
    >>> from skmix import MixupClassifier
    >>> from skmix.mixing import Warped
    >>> MixupClassifier(mixing=Warped(tau_std=0.7), alpha=1.0).mixing.tau_max
    1.0
    """

    tau_max: float = 1.0
    tau_std: float = 0.5
    distance: str = "rows"
    mixing: Any = "mixup"

    @property
    def interpolates(self):
        return is_interpolating(self.mixing)

    def bind(self, table, layer=None):
        """Return the function that mixes rows at the input, or behind a layer."""
        check_above_0("tau_max", self.tau_max)
        check_above_0("tau_std", self.tau_std)
        if self.distance not in ("rows", "targets"):
            raise ValueError(
                f"Got distance={self.distance!r}, but expected 'rows' or 'targets'."
            )
        mix = bound(self.mixing, table, layer)

        def warped(x, x_partner, lam, y, y_partner, rng):
            pair = (x, x_partner) if self.distance == "rows" else (y, y_partner)
            apart = as_numpy(_squared_distance(*pair))
            apart = apart / (apart.mean() or 1) if apart.any() else np.ones(len(apart))
            with np.errstate(over="ignore"):
                tau = np.exp((apart - 1) / (2 * self.tau_std**2)) / self.tau_max
            tau = tau.clip(1e-4, 1e4)
            warp = betainc(tau, tau, as_numpy(lam).ravel())
            warp = torch.from_numpy(warp).to(lam).reshape(-1, *lam.shape[1:])
            return mix(x, x_partner, warp, y, y_partner, rng)

        return warped


def _squared_distance(x, x_partner):
    """Sum over all cells of a row, where codes that differ are 1 apart each way."""
    if isinstance(x, torch.Tensor):
        if x.is_floating_point():
            apart = (x - x_partner) ** 2
        else:
            apart = 2.0 * (x != x_partner)
        return apart.detach().reshape(len(x), -1).double().sum(dim=1)
    keys = x if hasattr(x, "items") else range(len(x))
    return sum(_squared_distance(x[key], x_partner[key]) for key in keys)


@dataclass(frozen=True)
class NoisyFeatures:
    """Mix, and add noise to the mixed numbers (noisy feature mixup).

    ``x_mixed`` becomes ``(1 + m * b * u) * x_mixed + a * c * z`` with u uniform from -1
    to 1 and z standard normal for each number, and b and c from Beta(2, 5) for each
    batch. At the input, numbers of a table are noised, one-hot columns and indicators
    of missing values are not.

    Parameters
    ----------
    additive : float, default=0.4
        `a`, at least 0: the size of noise that is added, in the unit of the columns.
    multiplicative : float, default=0.2
        `m`, at least 0: the size of noise relative to the number.
    mixing : str, callable or object, default="mixup"
        How rows are mixed before.

    Notes
    -----
    With ``layers=["input", ...]`` it is the paper's, which mixes at a layer drawn for
    each batch.

    References
    ----------
    S. H. Lim, N. B. Erichson, F. Utrera, W. Xu, M. W. Mahoney, "Noisy Feature Mixup",
    ICLR 2022, https://arxiv.org/abs/2110.02180

    Examples
    --------
    >>> from skmix import MixupClassifier
    >>> from skmix.mixing import NoisyFeatures
    >>> MixupClassifier(mixing=NoisyFeatures(), layers=["input", "embedding"]).alpha
    0.2
    """

    additive: float = 0.4
    multiplicative: float = 0.2
    mixing: Any = "mixup"

    @property
    def interpolates(self):
        return is_interpolating(self.mixing)

    def bind(self, table, layer=None):
        """Return the function that mixes rows at the input, or behind a layer."""
        check_at_least_0("additive", self.additive)
        check_at_least_0("multiplicative", self.multiplicative)
        mix = bound(self.mixing, table, layer)
        numeric = table.numeric if layer is None else None

        def noise(x, where, sizes, rng):
            if not x.is_floating_point():
                return x
            u, z = rng.uniform(-1, 1, x.shape), rng.standard_normal(x.shape)
            factor, term = 1 + sizes[0] * u, sizes[1] * z
            if where is not None:
                factor[:, ~where], term[:, ~where] = 1, 0
            factor, term = (torch.from_numpy(part).to(x) for part in (factor, term))
            return factor * x + term

        def noisy(x, x_partner, lam, y, y_partner, rng):
            mixed, share = mix(x, x_partner, lam, y, y_partner, rng)
            sizes = rng.beta(2, 5, 2) * [self.multiplicative, self.additive]
            if numeric is None:
                return each(lambda part: noise(part, None, sizes, rng), mixed), share
            noised = each(lambda p, where: noise(p, where, sizes, rng), mixed, numeric)
            return noised, share

        return noisy


NAMED = {"mixup": mixup, "cutmix": CutMix()}
WRAPPERS = (OwnMajor, Prob, Warped, NoisyFeatures)  # which stand on another mixing


def named(mixing):
    """Return what a name stands for, and anything else as it is."""
    return NAMED.get(mixing) if isinstance(mixing, str) else mixing


def is_interpolating(mixing):
    """Whether a mixing makes rows in between, which are mixed as well in a layer."""
    mixing = named(mixing)
    return mixing is mixup or bool(getattr(mixing, "interpolates", False))


def check_mixing(mixing, task):
    """Refuse what is no mixing for a task, "classifier" or "regressor"."""
    arguments = ("x", "x_partner", "lam", "y", "y_partner", "rng")
    given_back = "(x_mixed, weight_of_own_row)"
    check_rule("mixing", mixing, NAMED, arguments, given_back, ("table", "layer"))
    wanted = getattr(mixing, "task", task)
    if wanted != task:
        raise ValueError(
            f"Got mixing={mixing!r} for a {task}, but it is one for a {wanted}."
        )
    if isinstance(mixing, WRAPPERS):
        check_mixing(mixing.mixing, task)


def bound(mixing, table, layer=None):
    """Return the function of a mixing for the rows of a table and a place.

    Parameters
    ----------
    mixing : str, callable or object with a method `bind`
        "mixup", a name of `NAMED`, or one's own.
    table : skmix.plan.Table
    layer : str, default=None
        Name of the layer; None for the input.

    Returns
    -------
    mix : callable
        As in `skmix.mixing`.
    """
    mixing = named(mixing)
    if mixing is mixup:
        return mixup
    own = mixing.bind(table, layer) if hasattr(mixing, "bind") else mixing
    check_bound("mixing", mixing, own)
    if type(mixing).__module__ == __name__:
        return own

    def mix(x, x_partner, lam, y, y_partner, rng):
        # (Clean rows, and further passes of the step, need `x` as it is.)
        given = (each(torch.clone, part) for part in (x, x_partner, lam, y, y_partner))
        return _checked(own(*given, rng), x, len(y))

    return mix


def _checked(given, x, n_rows):
    """Return what a user's own mixing gave, as rows like `x` and a weight."""
    if not isinstance(given, tuple) or len(given) != 2:
        raise ValueError(
            f"Got {type(given).__name__} from the mixing, but expected a tuple of two: "
            "(x_mixed, weight_of_own_row)."
        )
    mixed, weight = given
    got, expected = _form(mixed), _form(x)
    if got != expected:
        raise ValueError(
            f"Got mixed rows {got} from the mixing, but expected {expected}, as `x` "
            "has."
        )
    if not isinstance(weight, torch.Tensor):
        try:
            weight = torch.from_numpy(np.array(weight, dtype=np.float64))
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"Got the weight {weight!r} from the mixing, but expected a number, or "
                "an array or tensor of numbers."
            ) from error
    weight = weight.detach()
    if weight.numel() not in (1, n_rows):
        raise ValueError(
            f"Got a weight of shape {tuple(weight.shape)} from the mixing, but "
            f"expected one number, or one for each of the {n_rows} rows."
        )
    weight = weight.reshape(-1).double()
    if not ((weight >= 0) & (weight <= 1)).all():
        raise ValueError(
            f"Got weights from {weight.min():.3g} to {weight.max():.3g} from the "
            "mixing, but expected the own row's share of the loss, from 0 to 1."
        )
    return mixed, weight


def _form(x):
    """Shapes and dtypes of a structure of tensors."""
    if isinstance(x, torch.Tensor):
        return f"{tuple(x.shape)} {x.dtype}"
    if hasattr(x, "items"):
        return {name: _form(part) for name, part in x.items()}
    if isinstance(x, list | tuple):
        return [_form(part) for part in x]
    return type(x).__name__


def mix_step(mix, x, x_partner, y, y_partner, draw):
    """Mix the rows of one step.

    Parameters
    ----------
    mix : callable
        As `bound` returns it.
    x, x_partner, y, y_partner
        As in `skmix.mixing`.
    draw : skmix.plan.Draw

    Returns
    -------
    x_mixed
        Like `x`.
    share : ndarray or torch.Tensor of shape (1,) or (B,)
        The own row's share of the loss.
    """
    tensor = isinstance(x, torch.Tensor)
    if mix is mixup and tensor and x.is_floating_point():
        return mixup(x, x_partner, draw.lam)[0], draw.lam
    lam = torch.as_tensor(draw.lam)
    lam = beside(lam, x) if tensor else lam.reshape(-1, 1)
    rng = np.random.default_rng(int(draw.seed[0]))
    mixed, share = mix(x, x_partner, lam, y, y_partner, rng)
    if mix is mixup:  # which gives it in the dtype of `x`
        share = draw.lam
    return mixed, share if isinstance(share, np.ndarray) else share.reshape(-1)
