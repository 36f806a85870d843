"""Losses of mixed and weighted batches, by the criterion of any skorch net.

Cross-entropy takes one pass over the outputs, whatever is mixed or weighted; any other
criterion is called for the labels of rows and of partners.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from numbers import Real
from typing import Any, NamedTuple

import torch
from skorch import NeuralNet, NeuralNetClassifier

from skmix._mixing.mixup import mixed_loss, mixed_nll
from skmix._training.skorch_compat import (
    criterion_is,
    first_output,
    is_skorchs_own,
    module_dtype,
    shaped_like,
)

PARTS = (tuple, list, Mapping)  # of a module's output, that no criterion takes
Loss = Callable[[Any], torch.Tensor]


class Targets(NamedTuple):
    """Targets of rows in S steps of B rows each, and how much each counts.

    Attributes
    ----------
    y, y_partner : torch.Tensor of shape (S * B, ...)
        `y_partner` is None where nothing is mixed.
    share : {ndarray, torch.Tensor} of shape (S,) or (S * B,), or None
        The own label's share in the loss of each step or row; the partner's is
        ``1 - share``. None where nothing is mixed.
    weight : {ndarray, torch.Tensor} of shape (S * B,) or None
    counts : torch.Tensor of shape (S * B,), bool, or None
        False for rows that are padding, which only members have.
    """

    y: Any
    y_partner: Any = None
    share: Any = None
    weight: Any = None
    counts: torch.Tensor | None = None

    def of_steps(self, n_steps: int) -> "list[Targets]":
        """Return those of each step."""
        parts = (_parts(values, n_steps) for values in self)
        return [Targets(*step) for step in zip(*parts, strict=True)]


def losses_of_steps(
    net: NeuralNet,
    targets: Targets,
    n_steps: int,
    *,
    permuted: bool = True,
    args: tuple[Any, ...] = (),
    kwargs: dict[str, Any] | None = None,
    n_members: int | None = None,
) -> list[Loss]:
    """Return the losses of rows that are mixed, weighted, both or neither.

    Parameters
    ----------
    net : skorch.NeuralNet
    targets : Targets
    n_steps : int
        S. If it is 1 and all rows have the same share and weight, targets may be of
        any kind that the net knows.
    permuted : bool, default=True
        Whether each row of a step is the partner of one of its rows.
    args, kwargs : tuple, dict
        Passed on to the net's `get_loss`.
    n_members : int, default=None
        M, if the B rows of a step are the batches of M members, one below the other, of
        ``B / M`` rows each. Then shares are of shape (S * M,) or (S * B,).

    Returns
    -------
    losses : list of callable
        For each step, a function of the module's output that returns the loss, of shape
        (), or the loss of each member, of shape (M,).
    """

    def own(y: Any, output: Any) -> torch.Tensor:
        _refuse_parts(net, output)
        y = shaped_like(first_output(output), y)
        return type(net).get_loss(net, output, y, *args, **(kwargs or {}))

    share, weight = targets.share, targets.weight
    if share is weight is n_members is None:
        return [partial(own, step.y) for step in targets.of_steps(n_steps)]

    log_proba = _log_proba(net, targets.y)
    if log_proba is not None:
        told = _labels_and_shares(net, targets, n_steps * (n_members or 1))
        labels, shares = (_parts(term, n_steps) for term in told)
        nll = partial(_nll, log_proba, n_members)
        return [partial(nll, *step) for step in zip(labels, shares, strict=True)]

    # With one share a step, both terms of a class-weighted mean have the same
    # normaliser if both are over the same rows.
    alike = permuted or not _divides_by_class_weight(net)
    # Shares and weights go to the device once a chunk.
    numbers = partial(torch.as_tensor, dtype=module_dtype(net), device=net.device)
    means = weight is n_members is None and len(share) == n_steps
    if means and alike:
        loss, share = partial(_two_means, own), numbers(share)
    else:
        share = None if share is None else numbers(_of_rows(share, len(targets.y)))
        weight = None if weight is None else numbers(weight)
        loss = partial(_by_row, net, own, n_members)
    steps = targets._replace(share=share, weight=weight).of_steps(n_steps)
    return [partial(loss, step) for step in steps]


def check_reduction(net: NeuralNet) -> None:
    """Refuse a criterion that returns a loss for each row, unless `get_loss` is own."""
    criterion = net.criterion_
    torchs = type(criterion).forward.__module__.startswith("torch.nn.")
    said = net.get_params_for("criterion").get("reduction")
    reduction = getattr(criterion, "reduction", None) if torchs else said
    if reduction == "none" and is_skorchs_own(net, "get_loss"):
        raise ValueError(_NONE.format(type(criterion).__name__))


def one_number(loss: torch.Tensor) -> torch.Tensor:
    """Return the loss of a batch, or refuse one that is not a single number."""
    if loss.numel() != 1:
        shape = tuple(loss.shape)
        raise ValueError(
            f"Got a loss of shape {shape} for a batch, but expected one number. Let "
            "the criterion take the mean, by reduction='mean', or its forward do so."
        )
    return loss


_NONE = (
    "Got criterion__reduction='none' for {}, which gives a loss for each row, but "
    "expected 'mean' or 'sum': one number for a batch. Leave it out (lam_per='row' and "
    "row weights see to the losses of rows themselves), or let the net's get_loss make "
    "one number of them."
)


def _parts(rows: Any, n_steps: int) -> Sequence[Any]:
    """Split rows, or numbers of steps, into those of each step."""
    if rows is None or n_steps == 1:
        return [rows] * n_steps
    return rows.split(len(rows) // n_steps)


def _nll(
    log_proba: Callable[[torch.Tensor], torch.Tensor],
    n_members: int | None,
    labels: torch.Tensor,
    share: torch.Tensor,
    output: torch.Tensor,
) -> torch.Tensor:
    if isinstance(output, PARTS):
        raise _got_parts(output)
    if len(output) != len(labels):
        raise ValueError(
            f"Got a module output of {len(output)} rows for a batch of {len(labels)}, "
            "but expected one for each."
        )
    if output.ndim == 3:  # an ensemble, each net of it with a share of the loss
        k = output.shape[2]
        labels = labels[:, :, None].expand(-1, -1, k)
        share = share[:, :, None] / k
    return mixed_nll(log_proba(output), labels, share, n_members)


def _refuse_parts(net: NeuralNet, output: Any) -> None:
    """Refuse several outputs for a criterion of torch that takes one tensor."""
    if not isinstance(output, PARTS) or not is_skorchs_own(net, "get_loss"):
        return
    forward = getattr(type(net.criterion_), "forward", None)
    if str(getattr(forward, "__module__", "")).startswith(("torch.nn.", "skmix.")):
        raise _got_parts(output)


def _got_parts(output: Any) -> ValueError:
    first = next(iter(output), 0) if isinstance(output, Mapping) else 0
    return ValueError(
        f"Got a {type(output).__name__} of {len(output)} from the module, but expected "
        "one tensor, which is what the net's get_loss passes to the criterion. "
        "Subclass the net, and let get_loss take the first part: return "
        f"super().get_loss(y_pred[{first!r}], y_true, *args, **kwargs)."
    )


def _two_means(
    own: Callable[..., torch.Tensor], of: Targets, output: Any
) -> torch.Tensor:
    return mixed_loss(own(of.y, output), own(of.y_partner, output), of.share)


def _of_rows(share: Any, n_rows: int) -> torch.Tensor:
    """Return the share of each row, (S * B,), from that of each row or step."""
    return torch.as_tensor(share).repeat_interleave(n_rows // len(share))


def _log_proba(net: NeuralNet, y: Any) -> Callable[[torch.Tensor], torch.Tensor] | None:
    """Return the map of outputs to log-probabilities, if the loss is their mean."""
    criterion = net.criterion_
    labels = isinstance(y, torch.Tensor) and y.ndim == 1 and y.dtype == torch.int64
    if not labels or not is_skorchs_own(net, "get_loss"):
        return None
    if getattr(criterion, "reduction", None) not in ("mean", "sum"):
        return None
    if type(criterion) is torch.nn.CrossEntropyLoss:
        smoothing = criterion.label_smoothing
        if not smoothing:
            return partial(torch.log_softmax, dim=1)
        allowed = isinstance(smoothing, Real) and 0 < smoothing <= 1
        if allowed and criterion.weight is None:  # (torch refuses others)
            return partial(_smoothed_log_proba, smoothing)
    if type(criterion) is torch.nn.NLLLoss and isinstance(net, NeuralNetClassifier):
        return _log_of_proba
    return None


def _smoothed_log_proba(smoothing: float, output: torch.Tensor) -> torch.Tensor:
    """Return log-probabilities of smoothed labels, whatever the label.

    Label smoothing is a weighted mean of a label's own and of all classes' (Szegedy et
    al. 2016, section 7), so that a loss which is linear in labels stays one pass.
    """
    log_proba = torch.log_softmax(output, dim=1)
    return log_proba.lerp(log_proba.mean(dim=1, keepdim=True), smoothing)


def _log_of_proba(proba: torch.Tensor) -> torch.Tensor:
    return torch.log(proba + torch.finfo(proba.dtype).eps)  # as skorch does


def _labels_and_shares(
    net: NeuralNet, targets: Targets, n_means: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return labels of rows and partners, and their shares of the loss."""
    y, y_partner, share, weight, counts = targets
    labels, size = y[:, None], _row_size(net, y)[:, None]
    if share is not None:
        own = _of_rows(share, len(y)).to(size)
        labels = torch.stack([y, y_partner], dim=1)
        sizes = own * size[:, 0], (1 - own) * _row_size(net, y_partner)
        size = torch.stack(sizes, dim=1)
    if counts is not None:
        size = size * counts[:, None]
    parts = size
    if weight is not None:
        parts = size * torch.as_tensor(weight).to(size)[:, None]
        size = parts if _divides_by_class_weight(net) else size
    if net.criterion_.reduction == "mean":
        total = size.reshape(n_means, -1).sum(dim=1, keepdim=True)
        parts = (parts.reshape(n_means, -1) / total).reshape(size.shape)
    return labels * (labels != net.criterion_.ignore_index), parts


def _by_row(
    net: NeuralNet,
    own: Callable[..., torch.Tensor],
    n_members: int | None,
    targets: Targets,
    output: Any,
) -> torch.Tensor:
    """Return the weighted mean of (mixed) losses over the batch, or each member's."""
    y, y_partner, share, weight, counts = targets
    with _unreduced(net) as reduction:
        rows = _checked_rows(own(y, output), y)
        size = _row_size(net, y)
        if y_partner is not None:
            partners = _checked_rows(own(y_partner, output), y)
            rows = mixed_loss(rows, partners, share)
            size = mixed_loss(size, _row_size(net, y_partner), share)
    if weight is not None:
        rows = rows * weight
        if _divides_by_class_weight(net):
            size = size * weight
    if n_members is not None:
        rows, size = (part.reshape(n_members, -1) for part in (rows, size))
        if counts is not None:
            counts = counts.reshape(n_members, -1)
            rows, size = rows.where(counts, 0), size.where(counts, 0)
        rows, size = rows.sum(dim=1), size.sum(dim=1)
        return rows if reduction == "sum" else rows / size
    return rows.sum() if reduction == "sum" else rows.sum() / size.sum()


def checking_first_output(
    net: NeuralNet, check: Callable[[NeuralNet, Any], None] | None
) -> Callable[[Any], None]:
    """Return a function that checks the first output that it is called with."""
    left = [] if check is None else [check]

    def check_once(output: Any) -> None:
        if left:
            left.pop()(net, first_output(output))

    return check_once


@contextmanager
def _unreduced(net: NeuralNet) -> Iterator[str]:
    """Let the criterion return one loss for each row; yield its own reduction."""
    criterion: Any = getattr(net, "criterion_", None)
    reduction = getattr(criterion, "reduction", None)
    if reduction is None:
        raise ValueError(_CANNOT_TELL_ROWS.format(type(criterion).__name__, "has none"))
    criterion.reduction = "none"
    try:
        yield reduction
    finally:
        criterion.reduction = reduction


def _checked_rows(losses: torch.Tensor, y: Any) -> torch.Tensor:
    """Return one loss for each row, of shape (B,)."""
    if losses.ndim == 0 or len(losses) != len(y):
        got = f"gave a loss of shape {tuple(losses.shape)} for {len(y)} rows"
        raise ValueError(_CANNOT_TELL_ROWS.format("The net's get_loss", got))
    return losses.reshape(len(y), -1).mean(dim=1)


_CANNOT_TELL_ROWS = (
    "One loss a row is needed for lam_per='row', for mixings that weigh the labels of "
    "each row, and for row weights (sample_weight, class_weight), by a criterion with "
    "an attribute `reduction` that can be set to 'none'. {} {}. Use lam_per='batch', "
    "mixing='mixup' and no row weights, or a criterion such as those of torch.nn."
)


def _row_size(net: NeuralNet, y: torch.Tensor) -> torch.Tensor:
    """Return what each row adds to the normaliser of the criterion's mean, (B,)."""
    ones = torch.ones(len(y), dtype=module_dtype(net), device=y.device)
    if not criterion_is(net, *_NORMALISED):
        return ones
    weight, counts = net.criterion_.weight, y != net.criterion_.ignore_index
    return counts * (ones if weight is None else weight[y * counts].to(ones))


def _divides_by_class_weight(net: NeuralNet) -> bool:
    return criterion_is(net, *_NORMALISED) and net.criterion_.weight is not None


# torch divides the mean of these by the sum of the class weights of rows not ignored.
_NORMALISED = (torch.nn.CrossEntropyLoss, torch.nn.NLLLoss)
