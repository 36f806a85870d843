"""Which nets can be trained vectorized, which should be, and how.

There is no list of supported modules: two members are run vectorized and alone, and
their outputs, gradients and buffers are compared.
"""

from collections.abc import Callable
from copy import deepcopy
from operator import itemgetter
from typing import Any

import torch
from skorch import NeuralNet
from skorch.callbacks import EpochScoring, EpochTimer, PassthroughScoring, PrintLog
from torch import nn
from torch.nn.parameter import is_lazy

from skmix._mixing.mixup import mixup
from skmix._mixing.sampler import MixupSampler
from skmix._tables.columns import each
from skmix._training.loader import Batches
from skmix._training.loss import Targets, losses_of_steps
from skmix._training.skorch_compat import (
    METHODS,
    inferring,
    is_skorchs_own,
    shaped_like,
    twin,
)
from skmix._training.steps import mixed_inside
from skmix._vectorized.loader import Fold
from skmix._vectorized.module import (
    DROPOUTS,
    VectorizedModule,
    is_tied,
    may_be_direct,
)
from skmix._vectorized.trainer import CALLBACKS, SEPARABLE, records_accuracy

TOLERANCE = {torch.float64: 1e-8, torch.float32: 1e-4}
LARGE_STEP = 2**26  # parameters times rows
MEMORY = 2**30  # bytes
HALVES = slice(0, 4), slice(4, 8)  # rows of the two members of a trial


def why_not_vectorized(
    net: NeuralNet, sampler: MixupSampler | None, fold: Fold
) -> str | None:
    """Why initialised nets like this one cannot be trained vectorized, or None."""
    reason = _why_of_net(net) or _why_of_callbacks(net) or _why_of_sampler(sampler)
    loaded = isinstance(fold.train, Batches) and isinstance(fold.valid, Batches)
    if reason is None and not loaded:
        reason = "it has a data iterator, a dataset or a collate function of its own"
    reason = reason or _why_of_module(net, fold) or _why_of_criterion(net, fold)
    return reason or _why_of_layer(net, sampler, fold)


def _why_of_net(net: NeuralNet) -> str | None:
    if not is_skorchs_own(net, *METHODS):
        return f"{type(net).__name__} has methods of its own"
    optimizer = getattr(net.optimizer, "func", net.optimizer)
    if optimizer not in SEPARABLE:
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
    if any(map(is_lazy, (*net.module_.parameters(), *net.module_.buffers()))):
        return "its module has lazy layers, whose sizes are not known yet"
    return None


def _why_of_callbacks(net: NeuralNet) -> str | None:
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
        if kind in CALLBACKS and getattr(callback, "monitor", "train_loss") in recorded:
            continue
        return f"it has the callback {name} ({kind.__name__})"
    return None


def _why_of_sampler(sampler: MixupSampler | None) -> str | None:
    if sampler is None:
        return None
    if sampler.clean_weight:
        return "clean_weight adds a loss of unmixed rows"
    if len(sampler.layers) > 1:
        return "each step mixes at one of several layers"
    if sampler.layers[0] is not None and not sampler.is_plain:
        return "rows are mixed inside, and not by mixing='mixup'"
    return None


def _tried(trial: Callable[[], str | None], failure: str) -> str | None:
    """Return what a trial finds, or how it failed: user code may raise anything."""
    try:
        return trial()
    except Exception as error:
        return f"{failure} ({_first_line(error)})"


def _why_of_module(net: NeuralNet, fold: Fold) -> str | None:
    """Try two members vectorized and alone, on a few rows and without dropout."""
    trial = _Trial(net, fold)

    def why() -> str | None:
        reason = trial.why_not(direct=False)
        if reason is None and trial.rows_see_each_other(training=False):
            reason = "its outputs for a row depend on the other rows, in evaluation too"
        return reason

    return _tried(why, "torch.func.vmap does not take its module")


def _why_of_criterion(net: NeuralNet, fold: Fold) -> str | None:
    """Try whether the losses of two members are those of each alone."""
    trial = _Trial(net, fold)
    with torch.no_grad():
        output = trial.infer(trial.modules[0].eval(), trial.both)
        alone = [_loss(net, output[part], trial.y[part]) for part in HALVES]
        try:
            (loss,) = losses_of_steps(net, Targets(trial.y), 1, n_members=2)
            together = loss(output)
        except (ValueError, RuntimeError) as error:
            return f"its criterion cannot tell members apart ({_first_line(error)})"
    if not _alike(together, torch.stack(alone)):
        return "the loss of a batch is not the mean (or the sum) of those of its rows"
    return None


def _why_of_layer(
    net: NeuralNet, sampler: MixupSampler | None, fold: Fold
) -> str | None:
    """Try whether members mix behind a layer together as each of them alone."""
    layer = None if sampler is None else sampler.layers[0]
    if layer is None:
        return None
    failure = (
        f"rows cannot be mixed behind the layer {layer!r} of several members at once"
    )
    return _tried(lambda: _Trial(net, fold).why_not_inside(layer), failure)


def _loss(net: NeuralNet, output: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return net.get_loss(output, shaped_like(output, y), training=False)


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:200]


def is_direct(net: NeuralNet, sampler: MixupSampler | None, fold: Fold) -> bool:
    """Whether vectorized members may be passed through the code of one of them."""
    inside = sampler is not None and sampler.layers[0] is not None
    dropouts = {type(m) for m in net.module_.modules() if isinstance(m, DROPOUTS)}
    # (Other dropouts may not be given a further axis.)
    if inside or dropouts - {nn.Dropout} or not may_be_direct(net.module_):
        return False
    trial = _Trial(net, fold)
    return _tried(lambda: trial.why_not(direct=True), "it minds the axis") is None


def rows_see_each_other(net: NeuralNet, fold: Fold) -> bool:
    """Whether outputs in training depend on the rows of a batch, as with BatchNorm."""
    return _Trial(net, fold).rows_see_each_other(training=True)


class _Trial:
    """Two copies of a module, and four rows for each.

    Parameters are moved and rows shaken at random (by a generator of its own), so that
    no part of the module is hidden by weights that are zero, or rows that are alike.
    """

    def __init__(self, net: NeuralNet, fold: Fold) -> None:
        self.net, self.generator = net, torch.Generator().manual_seed(0)
        self.modules = [self._moved(_without_dropout(net.module_)) for _ in HALVES]
        batches = fold.train
        rows = torch.linspace(0, len(batches.indices) - 1, 8).long()
        x, self.y = batches.take(batches.indices[rows])
        self.both = each(self._shaken, x)

    def infer(self, module: nn.Module, x: Any) -> Any:
        net = twin(self.net, module_=module)
        return inferring(net)(x)

    def why_not(self, direct: bool) -> str | None:
        """Compare outputs, gradients and what a pass changes."""
        together = VectorizedModule(
            [deepcopy(module) for module in self.modules], direct=direct
        )
        rows = [each(itemgetter(part), self.both) for part in HALVES]
        both = each(lambda *parts: torch.stack(parts), *rows)
        for training in (True, False):
            for module in (*self.modules, together):
                module.train(training)
            pairs = list(zip(self.modules, rows, strict=True))
            if self._draws(*pairs[0]):
                continue
            before = [_python_state(module) for module in self.modules]
            alone = [self.infer(*pair) for pair in pairs]
            if not isinstance(alone[0], torch.Tensor):
                return "its module puts out more than one tensor"
            if before != [_python_state(module) for module in self.modules]:
                return "its module keeps numbers of its own that are no buffers"
            got, expected = self.infer(together, both), torch.cat(alone)
            if not _alike(got, expected):
                return "its module puts out something else when vectorized"
            if training and not self._gradients_alike(together, got, expected):
                return "its module has other gradients when vectorized"
        for k, module in enumerate(self.modules):
            for name, buffer in module.named_buffers():
                if not _alike(together.members.get_buffer(name)[k], buffer):
                    return f"its module changes its buffer {name} otherwise together"
        return None

    def why_not_inside(self, layer: str) -> str | None:
        """Compare outputs for rows that are mixed behind a layer."""
        lam = torch.full((2, 1), 0.3, dtype=torch.float64)

        def mix(own: torch.Tensor, partner: torch.Tensor) -> torch.Tensor:
            return mixup(own, partner, lam[0])[0]

        together = VectorizedModule([deepcopy(module) for module in self.modules])
        pairs = [
            each(lambda x, part=part: torch.cat([x[part], x[part].flip(0)]), self.both)
            for part in HALVES
        ]
        expected = []
        for module, rows in zip(self.modules, pairs, strict=True):
            with mixed_inside(module, layer, mix, 4):
                expected.append(self.infer(module, rows))
        with together.mixing_behind(layer, lam):
            got = self.infer(together, each(lambda *xs: torch.stack(xs), *pairs))
        if len(got) != 8 or not _alike(got, torch.cat(expected)):
            return f"its module puts out something else behind the layer {layer!r}"
        return None

    def rows_see_each_other(self, training: bool) -> bool:
        module = deepcopy(self.modules[0]).train(training)
        some = each(itemgetter(HALVES[0]), self.both)
        with torch.no_grad():
            few = self.infer(deepcopy(module), some)
            return not _alike(few, self.infer(module, self.both)[HALVES[0]])

    def _moved(self, module: nn.Module) -> nn.Module:
        with torch.no_grad():
            for parameter in module.parameters():
                if parameter.is_floating_point():
                    parameter.add_(self._noise(parameter), alpha=0.3)
        return module

    def _shaken(self, rows: torch.Tensor) -> torch.Tensor:
        return rows + 0.3 * self._noise(rows) if rows.is_floating_point() else rows

    def _noise(self, like: torch.Tensor) -> torch.Tensor:
        return torch.randn(like.shape, generator=self.generator).to(like)

    def _draws(self, module: nn.Module, rows: Any) -> bool:
        """Whether a pass is different each time."""
        with torch.no_grad():
            once, again = (self.infer(deepcopy(module), rows) for _ in range(2))
        return isinstance(once, torch.Tensor) and not _alike(once, again)

    def _gradients_alike(
        self, together: VectorizedModule, got: torch.Tensor, expected: torch.Tensor
    ) -> bool:
        weight = self._noise(expected)
        ours = dict(together.members.named_parameters())
        ours = {name: p for name, p in ours.items() if p.requires_grad}
        grads = _gradients((got * weight).sum(), ours)
        for k, module in enumerate(self.modules):
            own = {n: p for n, p in module.named_parameters() if p.requires_grad}
            for name, grad in _gradients((expected * weight).sum(), own).items():
                if not _alike(grads[name][k], grad):
                    return False
        return True


def _gradients(
    total: torch.Tensor, parameters: dict[str, nn.Parameter]
) -> dict[str, torch.Tensor]:
    """Gradients by name, zeros where there is none."""
    values = list(parameters.values())
    grads = torch.autograd.grad(total, values, allow_unused=True, retain_graph=True)
    return {
        name: torch.zeros_like(parameter) if grad is None else grad
        for (name, parameter), grad in zip(parameters.items(), grads, strict=True)
    }


def _python_state(module: nn.Module) -> list[dict[str, int | float | str]]:
    """Plain values that modules keep, which are not those of vectorized members."""
    return [
        {k: v for k, v in vars(part).items() if isinstance(v, int | float | str)}
        for part in module.modules()
    ]


def is_worth_it(net: NeuralNet, fold: Fold) -> bool:
    """Whether members are trained faster together than alone: their steps are small."""
    n_rows = fold.train.largest
    n_parameters = sum(p.numel() for p in net.module_.parameters() if p.requires_grad)
    return n_rows * n_parameters <= LARGE_STEP


def members_at_once(net: NeuralNet, fold: Fold) -> int:
    """How many members fit into the memory that a group may take."""
    n_rows = fold.train.largest
    module, n_outputs = _without_dropout(net.module_), 0

    def count(part: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        nonlocal n_outputs
        if isinstance(output, torch.Tensor):
            n_outputs += output.numel()

    for part in module.modules():
        part.register_forward_hook(count)
    with torch.no_grad():
        trial = _Trial(net, fold)
        trial.infer(module, trial.both)
    tensors = module.state_dict().values()
    # Values, gradients, two moments and the best epoch's; outputs and their gradients.
    numbers = 5 * sum(t.numel() for t in tensors) + 2 * n_outputs / 8 * n_rows
    return max(1, int(MEMORY / 4 / numbers))


def _without_dropout(module: nn.Module) -> nn.Module:
    module = deepcopy(module)
    for part in module.modules():
        if isinstance(part, DROPOUTS):
            part.p = 0.0
    return module


def _alike(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Whether numbers are equal but for rounding."""
    if a.shape != b.shape:
        return False
    small = TOLERANCE.get(b.dtype, 2e-2)
    a, b = a.detach().double(), b.detach().double()
    finite = b[b.isfinite()]
    scale = float(finite.abs().max()) if finite.numel() else 0.0
    return bool(torch.allclose(a, b, rtol=0, atol=small * (1 + scale), equal_nan=True))
