"""Which nets can be trained in a stack, which should be, and how.

What a list of classes would tell only until it is out of date, a trial tells: two
members are passed through a stack, and alone.
"""

from copy import deepcopy
from operator import itemgetter

import torch
from skorch.callbacks import (
    EarlyStopping,
    EpochScoring,
    EpochTimer,
    GradientNormClipping,
    LRScheduler,
    PassthroughScoring,
    PrintLog,
)
from torch import nn

from skmix.batches import Batches
from skmix.columns import each
from skmix.losses import losses_of_steps, shaped_like
from skmix.nets import METHODS, is_skorchs_own, twin
from skmix.stack import Stack, is_tied, may_be_direct
from skmix.stacking import ELEMENTWISE, records_accuracy


def why_alone(net, plan, fold):
    """Why nets like this one cannot be trained in a stack.

    Parameters
    ----------
    net : skorch.NeuralNet
        Initialised.
    plan : skmix.plan.Plan or None
    fold : skmix.lanes.Fold

    Returns
    -------
    reason : str or None
        None if they can be.
    """
    reason = _why_of_net(net) or _why_of_callbacks(net) or _why_of_plan(plan)
    dealt = isinstance(fold.train, Batches) and isinstance(fold.valid, Batches)
    if reason is None and not dealt:
        reason = "it has a data iterator, a dataset or a collate function of its own"
    return reason or _why_of_module(net, fold) or _why_of_criterion(net, fold)


def _why_of_net(net):
    if not is_skorchs_own(net, *METHODS):
        return f"{type(net).__name__} has methods of its own"
    optimizer = getattr(net.optimizer, "func", net.optimizer)
    if optimizer not in ELEMENTWISE:
        name = getattr(optimizer, "__name__", repr(optimizer))
        return f"its optimizer, {name}, may look at several numbers at once"
    if list(net.criterion_.parameters()):
        return "its criterion has parameters"
    if getattr(net.criterion_, "reduction", None) not in ("mean", "sum"):
        return "its criterion has no `reduction` to 'none'"
    if net.compile:
        return "its module is compiled"
    if is_tied(net.module_):
        return "its module has tied parameters"
    return None


def _why_of_callbacks(net):
    known = {"epoch_timer": EpochTimer, "train_loss": PassthroughScoring}
    known |= {"valid_loss": PassthroughScoring, "valid_acc": EpochScoring}
    recorded = {"train_loss", "valid_loss"}
    if records_accuracy(net):
        recorded.add("valid_acc")
    for name, callback in net.callbacks_:
        kind = type(callback)
        if isinstance(callback, PrintLog) or kind is known.get(name):
            if getattr(callback, "scoring", "accuracy") != "accuracy":
                return f"it has a score of its own ({name})"
            continue
        if kind is GradientNormClipping:
            continue
        if kind in (EarlyStopping, LRScheduler) and callback.monitor in recorded:
            continue
        return f"it has the callback {name} ({kind.__name__})"
    return None


def _why_of_plan(plan):
    if plan is None:
        return None
    if plan.clean_weight:
        return "clean_weight adds a loss of unmixed rows"
    if len(plan.layers) > 1:
        return "each step mixes at one of several layers"
    if plan.layers[0] is not None and not plan.is_plain:
        return "rows are mixed inside, and not by mixing='mixup'"
    return None


def _why_of_module(net, fold):
    """Try two members in a stack and alone, on a few rows and without dropout."""
    x, _ = _few_rows(fold)
    try:
        reason = _why_of_trial(net, x, direct=False)
        if reason is None and _see_each_other(net, x, training=False):
            reason = "its outputs for a row depend on the other rows, in evaluation too"
        return reason
    except Exception as error:
        return f"torch.func.vmap does not take its module ({_first_line(error)})"


def _why_of_criterion(net, fold):
    """Try whether the losses of two members are those of each alone."""
    x, y = _few_rows(fold)
    with torch.no_grad():
        output = _infer(net, _without_dropout(net.module_).eval(), x)
        alone = [_loss(net, output[k : k + 4], y[k : k + 4]) for k in (0, 4)]
        try:
            (loss,) = losses_of_steps(net, y, None, None, None, 1, n_members=2)
            together = loss(output)
        except (ValueError, RuntimeError) as error:
            return f"its criterion cannot tell members apart ({_first_line(error)})"
    if not _alike(together, torch.stack(alone)):
        return "the loss of a batch is not the mean (or the sum) of those of its rows"
    return None


def _loss(net, output, y):
    return net.get_loss(output, shaped_like(output, y), training=False)


def _first_line(error):
    return f"{type(error).__name__}: {error}".splitlines()[0][:200]


def is_direct(net, plan, fold):
    """Whether members of a stack may be passed through the code of one of them."""
    inside = plan is not None and plan.layers[0] is not None
    dropouts = {type(m) for m in net.module_.modules() if _is_dropout(m)}
    if inside or dropouts - {nn.Dropout} or not may_be_direct(net.module_):
        return False
    try:
        return _why_of_trial(net, _few_rows(fold)[0], direct=True) is None
    except Exception:  # its code does mind the further axis
        return False


def _few_rows(fold):
    """Eight rows and their targets."""
    batches = fold.train
    return batches.take(batches.indices[torch.arange(8) % len(batches.indices)])


def _why_of_trial(net, x, direct):
    alone = [_without_dropout(net.module_) for _ in range(2)]
    together = Stack([deepcopy(module) for module in alone], direct=direct)
    rows = [each(itemgetter(slice(k, k + 4)), x) for k in (0, 4)]
    both = each(lambda *parts: torch.stack(parts), *rows)
    for training in (True, False):
        for module in (*alone, together):
            module.train(training)
        expected = [_infer(net, *pair) for pair in zip(alone, rows, strict=True)]
        if not isinstance(expected[0], torch.Tensor):
            return "its module puts out more than one tensor"
        again = _infer(net, deepcopy(alone[0]), rows[0])
        got, drawn = _infer(net, together, both), not _alike(again, expected[0])
        if not drawn and not _alike(got, torch.cat(expected)):
            return "its module puts out something else in a stack"
    for k, module in enumerate(alone):
        for name, buffer in module.named_buffers():
            if not _alike(together.members.get_buffer(name)[k], buffer):
                return f"its module changes its buffer {name} otherwise in a stack"
    return None


def rows_see_each_other(net, fold):
    """Whether outputs in training depend on the rows of a batch, as with BatchNorm."""
    return _see_each_other(net, _few_rows(fold)[0], training=True)


def _see_each_other(net, x, training):
    module = _without_dropout(net.module_).train(training)
    some = each(itemgetter(slice(4)), x)
    with torch.no_grad():
        few, all_rows = _infer(net, deepcopy(module), some), _infer(net, module, x)
    return not _alike(few, all_rows[:4])


def is_worth_it(net, fold):
    """Whether a stack is faster than its members alone: their steps are small."""
    n_rows = min(fold.train.batch_size, len(fold.train.indices))
    n_parameters = sum(p.numel() for p in net.module_.parameters() if p.requires_grad)
    return n_rows * n_parameters <= LARGE_STEP


def members_at_once(net, fold):
    """How many members fit into the memory that a stack may take."""
    n_rows = min(fold.train.batch_size, len(fold.train.indices))
    module, n_outputs = _without_dropout(net.module_), 0

    def count(part, args, output):
        nonlocal n_outputs
        if isinstance(output, torch.Tensor):
            n_outputs += output.numel()

    for part in module.modules():
        part.register_forward_hook(count)
    with torch.no_grad():
        _infer(net, module, _few_rows(fold)[0])
    tensors = module.state_dict().values()
    # Values, gradients, two moments and the best epoch's; outputs and their gradients.
    numbers = 5 * sum(t.numel() for t in tensors) + 2 * n_outputs / 8 * n_rows
    return max(1, int(MEMORY / 4 / numbers))


LARGE_STEP = 2**26  # parameters times rows
MEMORY = 2**30  # bytes


def _infer(net, module, x):
    return twin(net, module_=module).infer(x)


def _without_dropout(module):
    module = deepcopy(module)
    for part in module.modules():
        if _is_dropout(part):
            part.p = 0.0
    return module


def _is_dropout(module):
    return "Dropout" in type(module).__name__ and hasattr(module, "p")


def _alike(a, b):
    if a.shape != b.shape:
        return False
    a, b = a.detach().double(), b.detach().double()
    return bool(torch.allclose(a, b, rtol=1e-3, atol=1e-4, equal_nan=True))
