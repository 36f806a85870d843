"""Mixup and CutMix, and how any mixing is bound and called.

What a mixing is given and returns is in `skmix.mixing`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from numbers import Integral
from typing import ClassVar

import numpy as np
import torch

from skmix._columns import (
    as_numpy,
    beside,
    columns_of,
    dense,
    each,
    kept,
    on,
    take_columns,
)
from skmix._validation import (
    check_bound,
    check_rule,
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
        single = wanted is None or isinstance(wanted, str | Integral)
        wanted = [wanted] if single else list(wanted)
        found = [known.index(name) if name in known else name for name in wanted]
        unknown = [
            name
            for name in found
            if not isinstance(name, Integral)
            or isinstance(name, bool)
            or not 0 <= name < n_columns
        ]
        if unknown:
            raise ValueError(
                f"Got columns {unknown} in {self}, but expected names among "
                f"{', '.join(map(repr, known[:20])) or '(none are known)'}, or "
                f"positions from 0 to {n_columns - 1}."
            )
        return np.array(found, dtype=int)

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


NAMED = {"mixup": mixup, "cutmix": CutMix()}


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
    if _is_own(mixing) and hasattr(mixing, "mixing"):  # it stands on another one
        check_mixing(mixing.mixing, task)


def _is_own(mixing):
    """Whether a mixing is one of skmix, which needs no checks."""
    return type(mixing).__module__.startswith("skmix.")


def bound(mixing, table, layer=None):
    """Return the function of a mixing for the rows of a table and a place.

    Parameters
    ----------
    mixing : str, callable or object with a method `bind`
        "mixup", a name of `NAMED`, or one's own.
    table : skmix._sampler.Table
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
    if _is_own(mixing):
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
    draw : skmix._sampler.Draw

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
