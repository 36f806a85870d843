"""What a batch of mixed or weighted rows costs, by the criterion of any net.

Cross-entropy takes one pass over the outputs, whatever is mixed or weighted; any other
criterion is asked for the losses of both labels.
"""

from contextlib import contextmanager
from functools import partial

import torch
from skorch import NeuralNetClassifier

from skmix._training.skorch_compat import (
    criterion_is,
    first_output,
    is_skorchs_own,
    module_dtype,
    shaped_like,
)


def losses_of_steps(
    net,
    y,
    y_partner,
    share,
    weight,
    n_steps,
    *,
    permuted=True,
    args=(),
    kwargs=None,
    n_members=None,
    counts=None,
):
    """Losses of rows that are mixed, weighted, both or neither.

    Parameters
    ----------
    net : skorch.NeuralNet
    y, y_partner : torch.Tensor of shape (S * B, ...)
        `y_partner` is None where nothing is mixed.
    share : {ndarray, torch.Tensor} of shape (S,) or (S * B,), or None
        The own label's share in the loss of each step or row; the partner's is
        ``1 - share``. None where nothing is mixed.
    weight : {ndarray, torch.Tensor} of shape (S * B,) or None
    n_steps : int
        S. Where it is 1 and rows have a share and a weight in common, targets may be of
        any kind that the net knows.
    permuted : bool, default=True
        Whether each row of a step is the partner of one of its rows.
    args, kwargs : tuple, dict
        Passed on to the net's `get_loss`.
    n_members : int, default=None
        M, where the B rows of a step are batches of M members of a stack, one below the
        other, of ``B / M`` rows each. Then shares are one a member and step, of shape
        (S * M,), or one a row.
    counts : torch.Tensor of shape (S * B,), bool, default=None
        With `n_members`, which rows are there, and not padding.

    Returns
    -------
    losses : list of callable
        For each step, a function of the module's output: the loss, of shape (), or
        that of each member, of shape (M,).
    """

    def own(y, output):
        _refuse_parts(net, output)
        y = shaped_like(first_output(output), y)
        return type(net).get_loss(net, output, y, *args, **(kwargs or {}))

    if share is weight is n_members is None:
        return [partial(own, y) for y in _parts(y, n_steps)]

    log_proba = _log_proba(net, y)
    if log_proba is not None:
        n_means = n_steps * (n_members or 1)
        terms = _labels_and_shares(net, y, y_partner, share, weight, n_means, counts)
        labels, shares = (_parts(term, n_steps) for term in terms)
        nll = partial(_nll, log_proba, n_members)
        return [partial(nll, *step) for step in zip(labels, shares, strict=True)]

    # With one share a step, both terms of a class-weighted mean have the same
    # normaliser if both are over the same rows.
    alike = permuted or not _divides_by_class_weight(net)
    # Shares and weights go to the device once a chunk.
    numbers = partial(torch.as_tensor, dtype=module_dtype(net), device=net.device)
    means = weight is n_members is None and len(share) == n_steps
    if means and alike:
        loss, terms = partial(_two_means, own), (y, y_partner, numbers(share))
    else:
        share = None if share is None else numbers(_of_rows(share, len(y)))
        weight = None if weight is None else numbers(weight)
        loss = partial(_by_row, net, own, n_members)
        terms = (y, y_partner, share, weight, counts)
    steps = zip(*(_parts(term, n_steps) for term in terms), strict=True)
    return [partial(loss, *step) for step in steps]


def mixed_loss(own, partner, share):
    """Loss of a mixed row: ``share * own + (1 - share) * partner``.

    For losses linear in the target (cross-entropy on one-hot labels) this is
    the loss of the mixed label of Zhang et al. 2018; for the squared error it
    differs from the loss of the mixed target by a constant in the prediction,
    so the gradients agree; for L1, Huber and pinball losses it is a definition
    of its own.

    Parameters
    ----------
    own, partner : torch.Tensor of shape () or (B,)
    share : torch.Tensor or ndarray of shape (1,) or (B,)
        ``lam``, or what a mixing makes of it.

    Returns
    -------
    torch.Tensor of the shape of `own`
    """
    share = torch.as_tensor(share).to(own.device, own.dtype)
    share = share.reshape(()) if own.ndim == 0 else share
    return share * own + (1 - share) * partner


def mixed_nll(log_proba, labels, share, n_members=None):
    """Negative log-likelihood of several labels a row, each with its share of the loss.

    With the labels of a row and of its partner, and shares ``lam / B`` and
    ``(1 - lam) / B``, it is the cross-entropy of the mixed labels of a batch of B rows,
    for one pass over the outputs instead of two.

    Parameters
    ----------
    log_proba : torch.Tensor of shape (B, n_classes) or (B, n_classes, k)
    labels : torch.Tensor of shape (B, n_labels) or (B, n_labels, k), int64
    share : torch.Tensor of the shape of `labels`, or one that it broadcasts to
    n_members : int, default=None
        Sum over each of so many equal parts of the batch, and not over all of it.

    Returns
    -------
    torch.Tensor of shape () or (n_members,)
    """
    terms = log_proba.gather(1, labels) * share
    if n_members is None:
        return -terms.sum()
    return -terms.reshape(n_members, -1).sum(dim=1)


def check_reduction(net):
    """Refuse a criterion of an initialised net that gives a loss for each row.

    A `get_loss` of the net's own may make one number of them.
    """
    criterion = net.criterion_
    torchs = type(criterion).forward.__module__.startswith("torch.nn.")
    said = net.get_params_for("criterion").get("reduction")
    reduction = getattr(criterion, "reduction", None) if torchs else said
    if reduction == "none" and is_skorchs_own(net, "get_loss"):
        raise ValueError(_NONE.format(type(criterion).__name__))


def one_number(loss):
    """Return a loss of a batch, or refuse one that is not a single number."""
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


def _parts(rows, n_steps):
    """Split what there is for each row or step into what there is for each step."""
    if rows is None or n_steps == 1:
        return [rows] * n_steps
    return rows.split(len(rows) // n_steps)


def _nll(log_proba, n_members, labels, share, output):
    if isinstance(output, tuple | list):
        raise ValueError(_PARTS.format(type(output).__name__, len(output)))
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


def _refuse_parts(net, output):
    """Refuse several outputs for a criterion of torch's that takes one tensor."""
    if not isinstance(output, tuple | list) or not is_skorchs_own(net, "get_loss"):
        return
    forward = getattr(type(net.criterion_), "forward", None)
    if str(getattr(forward, "__module__", "")).startswith(("torch.nn.", "skmix.")):
        raise ValueError(_PARTS.format(type(output).__name__, len(output)))


_PARTS = (
    "Got a {} of {} from the module, but expected one tensor, which is what the net's "
    "get_loss passes to the criterion. Subclass the net, and let get_loss take the "
    "first part: return super().get_loss(y_pred[0], y_true, *args, **kwargs)."
)


def _two_means(own, y, y_partner, share, output):
    return mixed_loss(own(y, output), own(y_partner, output), share)


def _of_rows(share, n_rows):
    """The share of each row, where it may be one a step, of shape (S * B,)."""
    return torch.as_tensor(share).repeat_interleave(n_rows // len(share))


def _log_proba(net, y):
    """How to get log-probabilities of an output, where the loss is just their mean.

    None where the loss is anything else.
    """
    criterion = net.criterion_
    labels = isinstance(y, torch.Tensor) and y.ndim == 1 and y.dtype == torch.int64
    if not labels or not is_skorchs_own(net, "get_loss"):
        return None
    if getattr(criterion, "reduction", None) not in ("mean", "sum"):
        return None
    if type(criterion) is torch.nn.CrossEntropyLoss and not criterion.label_smoothing:
        return partial(torch.log_softmax, dim=1)
    if type(criterion) is torch.nn.NLLLoss and isinstance(net, NeuralNetClassifier):
        return _log_of_proba
    return None


def _log_of_proba(proba):
    return torch.log(proba + torch.finfo(proba.dtype).eps)  # as skorch does


def _labels_and_shares(net, y, y_partner, share, weight, n_means, counts):
    """Labels of rows and partners, and the share of each in the loss it is part of.

    Returns
    -------
    labels, shares : torch.Tensor of shape (S * B, 1) or (S * B, 2)
    """
    labels, size = [y], [_row_size(net, y)]
    if share is not None:
        own = _of_rows(share, len(y)).to(size[0])
        labels.append(y_partner)
        size = [own * size[0], (1 - own) * _row_size(net, y_partner)]
    labels, size = torch.stack(labels, dim=1), torch.stack(size, dim=1)
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


def _by_row(net, own, n_members, y, y_partner, share, weight, counts, output):
    """Mean over the batch of (mixed) losses, row i counting `weight[i]`.

    With `n_members`, the mean of each member's part of the batch.
    """
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


@contextmanager
def _unreduced(net):
    """Let the criterion return one loss a row; yield its own reduction."""
    criterion = getattr(net, "criterion_", None)
    reduction = getattr(criterion, "reduction", None)
    if reduction is None:
        raise ValueError(_CANNOT_TELL_ROWS.format(type(criterion).__name__, "has none"))
    criterion.reduction = "none"
    try:
        yield reduction
    finally:
        criterion.reduction = reduction


def _checked_rows(losses, y):
    """Return one loss a row, of shape (B,)."""
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


def _row_size(net, y):
    """What each row adds to the normaliser of the criterion's own mean, (B,)."""
    ones = torch.ones(len(y), dtype=module_dtype(net), device=y.device)
    if not criterion_is(net, *_NORMALISED):
        return ones
    weight, counts = net.criterion_.weight, y != net.criterion_.ignore_index
    return counts * (ones if weight is None else weight[y * counts].to(ones))


def _divides_by_class_weight(net):
    return criterion_is(net, *_NORMALISED) and net.criterion_.weight is not None


# torch divides the mean of these by the sum of the class weights of rows not ignored.
_NORMALISED = (torch.nn.CrossEntropyLoss, torch.nn.NLLLoss)
