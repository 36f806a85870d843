"""Variants of mixing from the literature, by the names of their papers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.random import Generator
from scipy.special import betainc
from sklearn.feature_selection import mutual_info_classif, mutual_info_regression

from skmix._mixing.mixup import bound, is_interpolating, mixup
from skmix._tables.columns import (
    TrainingSet,
    as_numpy,
    columns_of,
    each,
    kept,
    take_columns,
)
from skmix._validation import (
    FARTHEST,
    check_above_0,
    check_at_least_0,
    check_share,
)

MI_ROWS, MI_COLUMNS = 10_000, 5_000  # at most, to estimate mutual information
FEW_ROWS = 8  # too few to estimate it

Mix = Callable[..., tuple[Any, Any]]


def _within_interpolates(mixing: Any) -> bool:
    """Whether the mixing that this one stands on interpolates rows."""
    return is_interpolating(mixing.mixing)


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
        One for each column of the table, not negative. By default the mutual
        information of each column with the target, which scikit-learn estimates on at
        most 10,000 training rows, without row weights.

    References
    ----------
    J. Chen, J. Yan, Q. Chen, D. Z. Chen, J. Wu, J. Sun, "Can a Deep Learning Model be a
    Sure Bet for Tabular Prediction?" (ExcelFormer), KDD 2024,
    https://arxiv.org/abs/2301.02819

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from skmix import MixupClassifier, default_net
    >>> from skmix.mixing import FeatMix
    >>> X, y = load_wine(return_X_y=True)
    >>> net = default_net("classifier").set_params(max_epochs=10)  # quick
    >>> options = {"alpha": 0.2, "mixing": FeatMix(), "lam_per": "row"}
    >>> clf = MixupClassifier(net, random_state=0, **options)
    >>> clf.fit(X, y).score(X, y) > 0.9
    True
    """

    importances: Any = None

    def bind(self, table: TrainingSet, layer: str | None = None) -> Mix:
        """Return the function that mixes rows at the input.

        Parameters
        ----------
        table : TrainingSet
            The rows that the net is trained on.
        layer : str, default=None
            Name of the submodule whose output is mixed; None is the input, and any
            other one is refused.

        Returns
        -------
        mix : callable
            ``f(x, x_partner, lam, y, y_partner, rng)``, as `skmix.mixing` says.

        Raises
        ------
        ValueError
            Behind a layer, whose units are no columns.
        """
        if layer is not None:
            raise ValueError(
                f"Got FeatMix behind the layer {layer!r}, but its importances are "
                "those of columns: expected layers='input'. (Units of a layer are "
                "swapped by mixing='cutmix'.)"
            )
        importances = self._importances(table)

        def feat_mix(
            x: Any, x_partner: Any, lam: Any, y: Any, y_partner: Any, rng: Generator
        ) -> tuple[Any, Any]:
            owner, n_columns = columns_of(x, table.columns)
            keep = kept(lam, n_columns, rng, on_average=False)
            mixed = each(partial(take_columns, keep), x, x_partner, owner)
            return mixed, keep @ importances

        return feat_mix

    def _importances(self, table: TrainingSet) -> np.ndarray:
        """Return importances of the table's columns that sum to 1."""
        _, n_columns = columns_of(table.X, table.columns)
        given = self.importances
        if given is None:
            given = mutual_information(table, n_columns)
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
        fine = given.shape == (n_columns,) and (given >= 0).all()
        if not fine or not np.isfinite(given.sum()):
            raise ValueError(
                f"Got importances={self.importances!r}, but expected "
                f"({n_columns},): one of at least 0 for each column."
            )
        if given.sum() == 0:
            given = np.ones(n_columns)
        return given / given.sum()


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

    def bind(self, table: TrainingSet, layer: str | None = None) -> Mix:
        """Return the function that mixes rows at the input, or behind a layer.

        Parameters
        ----------
        table : TrainingSet
            The rows that the net is trained on.
        layer : str, default=None
            Name of the submodule whose output is mixed; None is the input.

        Returns
        -------
        mix : callable
            ``f(x, x_partner, lam, y, y_partner, rng)``, as `skmix.mixing` says.
        """
        check_above_0("kappa", self.kappa)
        if self.kappa < 1:
            raise ValueError(f"Got kappa={self.kappa!r}, but expected at least 1.")
        check_share("tau", self.tau)
        labels = np.asarray(table.y).ravel().astype(np.int64)
        sizes = torch.from_numpy(np.bincount(labels, table.weight).astype(np.float64))

        def remix(
            x: Any, x_partner: Any, lam: Any, y: Any, y_partner: Any, rng: Generator
        ) -> tuple[Any, Any]:
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

    interpolates = property(_within_interpolates)

    def bind(self, table: TrainingSet, layer: str | None = None) -> Mix:
        """Return the function that mixes rows at the input, or behind a layer.

        Parameters
        ----------
        table : TrainingSet
            The rows that the net is trained on.
        layer : str, default=None
            Name of the submodule whose output is mixed; None is the input.

        Returns
        -------
        mix : callable
            ``f(x, x_partner, lam, y, y_partner, rng)``, as `skmix.mixing` says.
        """
        mix = bound(self.mixing, table, layer)

        def own_major(
            x: Any, x_partner: Any, lam: Any, y: Any, y_partner: Any, rng: Generator
        ) -> tuple[Any, Any]:
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

    interpolates = property(_within_interpolates)

    def bind(self, table: TrainingSet, layer: str | None = None) -> Mix:
        """Return the function that mixes rows at the input, or behind a layer.

        Parameters
        ----------
        table : TrainingSet
            The rows that the net is trained on.
        layer : str, default=None
            Name of the submodule whose output is mixed; None is the input.

        Returns
        -------
        mix : callable
            ``f(x, x_partner, lam, y, y_partner, rng)``, as `skmix.mixing` says.
        """
        check_share("p", self.p)
        mix = bound(self.mixing, table, layer)

        def prob(
            x: Any, x_partner: Any, lam: Any, y: Any, y_partner: Any, rng: Generator
        ) -> tuple[Any, Any]:
            mixes = torch.from_numpy(rng.random(len(lam)) < self.p)
            mixed, share = mix(x, x_partner, lam, y, y_partner, rng)

            def where(mixed: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
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

    interpolates = property(_within_interpolates)

    def bind(self, table: TrainingSet, layer: str | None = None) -> Mix:
        """Return the function that mixes rows at the input, or behind a layer.

        Parameters
        ----------
        table : TrainingSet
            The rows that the net is trained on.
        layer : str, default=None
            Name of the submodule whose output is mixed; None is the input.

        Returns
        -------
        mix : callable
            ``f(x, x_partner, lam, y, y_partner, rng)``, as `skmix.mixing` says.
        """
        check_above_0("tau_max", self.tau_max)
        check_above_0("tau_std", self.tau_std)
        if self.distance not in ("rows", "targets"):
            raise ValueError(
                f"Got distance={self.distance!r}, but expected 'rows' or 'targets'."
            )
        mix = bound(self.mixing, table, layer)

        def warped(
            x: Any, x_partner: Any, lam: Any, y: Any, y_partner: Any, rng: Generator
        ) -> tuple[Any, Any]:
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


def _squared_distance(x: Any, x_partner: Any) -> Any:
    """Sum over all cells of a row, where codes that differ are 1 apart each way."""
    if isinstance(x, Mapping):
        return sum(_squared_distance(x[key], x_partner[key]) for key in x)
    if x.is_floating_point():  # in double, since squares of 1e20 are no float32
        apart = x.detach().double() - x_partner.detach().double()
        apart = apart.clamp(-FARTHEST, FARTHEST) ** 2
    else:
        apart = 2.0 * (x != x_partner)
    return apart.reshape(len(x), -1).double().sum(dim=1)


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
    >>> MixupClassifier(mixing=NoisyFeatures(), layers=["input", "embedding"]).mixing
    NoisyFeatures(additive=0.4, multiplicative=0.2, mixing='mixup')
    """

    additive: float = 0.4
    multiplicative: float = 0.2
    mixing: Any = "mixup"

    interpolates = property(_within_interpolates)

    def bind(self, table: TrainingSet, layer: str | None = None) -> Mix:
        """Return the function that mixes rows at the input, or behind a layer.

        Parameters
        ----------
        table : TrainingSet
            The rows that the net is trained on.
        layer : str, default=None
            Name of the submodule whose output is mixed; None is the input.

        Returns
        -------
        mix : callable
            ``f(x, x_partner, lam, y, y_partner, rng)``, as `skmix.mixing` says.
        """
        check_at_least_0("additive", self.additive)
        check_at_least_0("multiplicative", self.multiplicative)
        mix = bound(self.mixing, table, layer)
        numeric = table.numeric if layer is None else None

        def noise(x: Any, where: Any, sizes: Any, rng: Generator) -> torch.Tensor:
            if not x.is_floating_point():
                return x
            u, z = rng.uniform(-1, 1, x.shape), rng.standard_normal(x.shape)
            factor, term = 1 + sizes[0] * u, sizes[1] * z
            if where is not None:
                factor[:, ~where], term[:, ~where] = 1, 0
            factor, term = (torch.from_numpy(part).to(x) for part in (factor, term))
            return factor * x + term

        def noisy(
            x: Any, x_partner: Any, lam: Any, y: Any, y_partner: Any, rng: Generator
        ) -> tuple[Any, Any]:
            mixed, share = mix(x, x_partner, lam, y, y_partner, rng)
            sizes = rng.beta(2, 5, 2) * [self.multiplicative, self.additive]
            if numeric is None:
                return each(lambda part: noise(part, None, sizes, rng), mixed), share
            noised = each(lambda p, where: noise(p, where, sizes, rng), mixed, numeric)
            return noised, share

        return noisy


def mutual_information(table: TrainingSet, n_columns: int) -> np.ndarray:
    """Estimate the mutual information of each column with the target, (n_columns,).

    At most `MI_ROWS` rows are used, without weights. A category has 0 if few rows share
    their value with others, since it then tells nothing about other rows.
    """
    rows = np.arange(len(table.y))
    classify = table.task == "classifier"
    y = np.asarray(table.y).ravel()
    if len(y) < FEW_ROWS or (classify and _n_sharing(y) == 0):
        return np.ones(n_columns)  # too few rows to tell
    if n_columns > MI_COLUMNS:
        raise ValueError(
            f"Got FeatMix() and {n_columns} columns, but expected at most {MI_COLUMNS} "
            "to estimate the mutual information of. Pass importances=..."
        )
    if len(rows) > MI_ROWS:
        rows = np.random.default_rng(0).choice(rows, MI_ROWS, replace=False)
    X = each(partial(_dense, rows=rows), table.X)
    owner, _ = columns_of(X, table.columns)
    parts = [(X, owner)] if isinstance(X, np.ndarray) else [(X[k], owner[k]) for k in X]
    values, discrete = np.zeros((len(rows), n_columns)), np.zeros(n_columns, dtype=bool)
    for x, of in parts:
        if len(of) == 0:
            continue
        x = x.reshape(len(rows), len(of), -1)[:, :, 0]
        for column in np.unique(of):
            own = x[:, of == column]
            codes = x.dtype.kind in "iub" or ((own == 0) | (own == 1)).all()
            discrete[column] = codes
            # One number of several one-hot columns; else the number is the first one.
            values[:, column] = (
                own @ np.arange(1, own.shape[1] + 1) if codes else own[:, 0]
            )
    values = _moderate(np.nan_to_num(values))
    if not classify:
        y = _moderate(y.astype(np.float64))
    telling = ~discrete | np.array([_n_sharing(x) >= FEW_ROWS for x in values.T])
    if table.columns is None:  # integers that hardly repeat are numbers, no codes
        discrete, telling = discrete & telling, np.ones(n_columns, dtype=bool)
    importances = np.zeros(n_columns)
    if telling.any():
        score = mutual_info_classif if classify else mutual_info_regression
        discrete = discrete[telling]
        importances[telling] = score(
            values[:, telling], y[rows], discrete_features=discrete, random_state=0
        )
    return importances


def _dense(column: Any, rows: np.ndarray) -> np.ndarray:
    """Return some rows of an array, a tensor or a sparse table as an array."""
    column = column[rows]
    return np.asarray(column.toarray() if hasattr(column, "toarray") else column)


def _moderate(values: np.ndarray) -> np.ndarray:
    """Return numbers in units, powers of two, in which their squares are finite."""
    _, exponents = np.frexp(np.abs(values).max(axis=0))
    return np.where(np.abs(exponents) > 400, np.ldexp(values, -exponents), values)


def _n_sharing(values: np.ndarray) -> int:
    """Count rows whose value occurs in other rows, too."""
    counts = np.unique(values, return_counts=True)[1]
    return counts[counts > 1].sum()
