"""Mixup and CutMix, the mixed loss, and how any mixing is bound and called.

`skmix.mixing` describes arguments and results of a mixing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.random import Generator

from skmix._tables.columns import (
    TrainingSet,
    beside,
    columns_of,
    each,
    kept,
    take_columns,
)
from skmix._validation import check_bound, check_rule


def mixup(
    x: Any,
    x_partner: Any,
    lam: torch.Tensor,
    y: Any = None,
    y_partner: Any = None,
    rng: Any = None,
) -> tuple[Any, torch.Tensor]:
    """Interpolate: ``lam * x + (1 - lam) * x_partner`` (Zhang et al. 2018).

    Integer codes and booleans have no in-between: each cell keeps its own value with
    probability `lam` and takes the partner's otherwise, the expectation of which is the
    mix of their one-hot codes.

    Parameters
    ----------
    x, x_partner : torch.Tensor of shape (B, ...), or a mapping of such
        Rows and their partners, as the net gets them.
    lam : torch.Tensor of shape (1, 1, ...) or (B, 1, ...)
        Weight of the own row.
    y, y_partner : torch.Tensor of shape (B,), default=None
        Not used.
    rng : numpy.random.Generator, default=None
        Used for codes and booleans alone, and needed for them.

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

    def mix(own: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        weight = beside(lam, own)
        if own.is_floating_point():
            return other.lerp(own, weight)
        keep = torch.as_tensor(rng.random(own.shape), device=own.device) < weight
        return torch.where(keep, own, other)

    return each(mix, x, x_partner), lam


def lerp_steps(
    x: torch.Tensor, x_partner: torch.Tensor, lam: np.ndarray
) -> torch.Tensor:
    """Interpolate floating rows of S steps at once, in the memory of `x_partner`.

    `lam` has one entry for each step, (S,), or for each row, (S * B,).
    """
    # Rows that share a `lam` form a group: (S * B, ...) -> (n_groups, -1)
    groups, others = (part.reshape(len(lam), -1) for part in (x, x_partner))
    weight = torch.as_tensor(lam).reshape(-1, 1).to(x.device, x.dtype)
    return others.lerp_(groups, weight).reshape(x.shape)


def mixed_loss(own: torch.Tensor, partner: torch.Tensor, share: Any) -> torch.Tensor:
    """Loss of a mixed row: ``share * own + (1 - share) * partner``.

    For losses linear in the target (cross-entropy on one-hot labels) this is
    the loss of the mixed label of Zhang et al. 2018; for the squared error it
    differs from the loss of the mixed target by a constant in the prediction,
    so the gradients agree; for L1, Huber and pinball losses it is a definition
    of its own.

    `share`, a tensor or array of shape (1,) or (B,), is ``lam``, or what a mixing
    makes of it; `own` and `partner` are of shape () or (B,).
    """
    share = torch.as_tensor(share).to(own.device, own.dtype)
    share = share.reshape(()) if own.ndim == 0 else share
    return share * own + (1 - share) * partner


def mixed_nll(
    log_proba: torch.Tensor,
    labels: torch.Tensor,
    share: torch.Tensor,
    n_members: int | None = None,
) -> torch.Tensor:
    """Negative log-likelihood of several labels a row, each with its share of the loss.

    With the labels of a row and of its partner, and shares ``lam / B`` and
    ``(1 - lam) / B``, it is the cross-entropy of the mixed labels of a batch of B rows,
    for one pass over the outputs instead of two.

    `log_proba` is of shape (B, n_classes) or (B, n_classes, k), `labels` and `share` of
    shape (B, n_labels) or (B, n_labels, k). Returns the sum, of shape (), or the sums
    of `n_members` equal parts of the batch.
    """
    terms = log_proba.gather(1, labels) * share
    if n_members is None:
        return -terms.sum()
    return -terms.reshape(n_members, -1).sum(dim=1)


@dataclass(frozen=True)
class CutMix:
    """Swap columns whole, ``mixing="cutmix"``.

    At the input each column of the table is taken from one of the two rows, with its
    one-hot columns and its indicator of missing values. The own row's weight in the
    loss is the share of columns that are kept. Inside a layer, units of the last axis
    are swapped, the same ones at all positions of the other axes.

    Of f columns ``lam * f`` are kept, rounded up or down at random so that the mean is
    right. They are drawn for each row with ``lam_per="row"``, else for each batch.

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

    def bind(self, table: TrainingSet, layer: str | None = None) -> Callable[..., Any]:
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
        columns = table.columns if layer is None else None

        def cutmix(
            x: Any, x_partner: Any, lam: Any, y: Any, y_partner: Any, rng: Generator
        ) -> tuple[Any, np.ndarray]:
            if layer is None:
                owner, n_columns = columns_of(x, columns)
                keep = kept(lam, n_columns, rng, on_average=True)
                mixed = each(partial(take_columns, keep), x, x_partner, owner)
            else:
                keep = kept(lam, x.shape[-1], rng, on_average=True)
                units = keep.reshape(-1, *[1] * (x.ndim - 2), x.shape[-1])
                mixed = torch.where(torch.from_numpy(units).to(x.device), x, x_partner)
            return mixed, keep.mean(axis=1)

        return cutmix


NAMED = {"mixup": mixup, "cutmix": CutMix()}


def named(mixing: Any) -> Any:
    """Return the mixing that a name stands for, and any other mixing as it is."""
    return NAMED.get(mixing) if isinstance(mixing, str) else mixing


def is_interpolating(mixing: Any) -> bool:
    """Whether the default regressor is to mix by it behind its embedding."""
    mixing = named(mixing)
    return mixing is mixup or bool(getattr(mixing, "interpolates", False))


def check_mixing(mixing: Any, task: str) -> None:
    """Refuse an object that is no mixing for a "classifier" or "regressor"."""
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


def _is_own(mixing: Any) -> bool:
    """Whether a mixing is defined in skmix, so that its results need no checks."""
    return type(mixing).__module__.startswith("skmix.")


def bound(
    mixing: Any, table: TrainingSet, layer: str | None = None
) -> Callable[..., Any]:
    """Return the function of a mixing for a table and a layer, None for the input."""
    mixing = named(mixing)
    if mixing is mixup:
        return mixup
    own = mixing.bind(table, layer) if hasattr(mixing, "bind") else mixing
    check_bound("mixing", mixing, own)
    if _is_own(mixing):
        return own

    def mix(
        x: Any, x_partner: Any, lam: Any, y: Any, y_partner: Any, rng: Generator
    ) -> tuple[Any, torch.Tensor]:
        # (Clean rows, and further passes of the step, need `x` as it is.)
        given = (each(torch.clone, part) for part in (x, x_partner, lam, y, y_partner))
        return _checked(own(*given, rng), x, len(y))

    return mix


def _checked(given: Any, x: Any, n_rows: int) -> tuple[Any, torch.Tensor]:
    """Return the result of a user-supplied mixing as rows like `x` and a weight."""
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


def _form(x: Any) -> Any:
    """Describe shapes and dtypes of a tensor or a mapping of tensors."""
    if isinstance(x, Mapping):
        return {name: _form(part) for name, part in x.items()}
    if isinstance(x, torch.Tensor):
        return f"{tuple(x.shape)} {x.dtype}"
    return type(x).__name__


def mix_step(
    mix: Callable[..., Any], x: Any, x_partner: Any, y: Any, y_partner: Any, draw: Any
) -> tuple[Any, Any]:
    """Mix the rows of one step as drawn, by a function that `bound` returned.

    Returns the mixed rows and the own row's share of the loss, of shape (1,) or (B,).
    """
    tensor = isinstance(x, torch.Tensor)
    if mix is mixup and tensor and x.is_floating_point():
        return mixup(x, x_partner, draw.lam)[0], draw.lam
    lam = torch.as_tensor(draw.lam)
    lam = beside(lam, x) if tensor else lam.reshape(-1, 1)
    rng = np.random.default_rng(int(draw.seed[0]))
    mixed, share = mix(x, x_partner, lam, y, y_partner, rng)
    if mix is mixup:  # its share is in the dtype of `x`
        share = draw.lam
    return mixed, share if isinstance(share, np.ndarray) else share.reshape(-1)
