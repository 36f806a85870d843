"""One batch on its way through a net: mixed at the input or inside, then its loss."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from copy import deepcopy
from functools import partial
from typing import Any

import numpy as np
import torch
from skorch import NeuralNet
from skorch.dataset import get_len
from skorch.utils import to_tensor
from torch import nn

from skmix._mixing.mixup import lerp_steps, mix_step
from skmix._mixing.sampler import MixupSampler
from skmix._tables.columns import as_numpy, copied, each, take
from skmix._training.epoch import Step
from skmix._training.loader import LoadedChunk
from skmix._training.loss import Targets, losses_of_steps, one_number
from skmix._training.random import seeded
from skmix._training.recording import SeenStep
from skmix._training.skorch_compat import first_output, inferring, set_mode, twin


class NotMixedError(ValueError, RuntimeError):
    """A step of the net, or a layer of its module, that mixing cannot reach.

    It is a ValueError, as for each parameter that does not fit, and a RuntimeError,
    since only the running step shows it.
    """


def stacked(*rows: Any) -> Any:
    """Put rows, such as a batch and its partners, one below the other."""
    return each(lambda *parts: torch.cat(parts), *rows)


def halves(output: Any, n_rows: int) -> tuple[Any, Any]:
    """Take outputs for `stacked` rows apart again."""
    if isinstance(output, torch.Tensor) and len(output) == 2 * n_rows:
        return output[:n_rows], output[n_rows:]
    if isinstance(output, list | tuple):
        pairs = [halves(part, n_rows) for part in output]
        own, partner = (type(output)(half) for half in zip(*pairs, strict=True))
        return own, partner
    raise ValueError(
        f"Got {_shape(output)} from the module for {2 * n_rows} rows, clean and mixed "
        "ones, but expected a tensor, or a tuple of tensors, of one row for each. With "
        "clean_weight=0 the module is given mixed rows only."
    )


def _is_for_pairs(output: Any, n_rows: int) -> bool:
    """Whether an output is a tensor of one row for each of `n_rows` `stacked` pairs."""
    return isinstance(output, torch.Tensor) and output.shape[:1] == (2 * n_rows,)


def _shape(output: Any) -> Any:
    return getattr(output, "shape", type(output).__name__)


@contextmanager
def mixed_inside(
    module: nn.Module,
    layer: str,
    mix: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    n_rows: int,
    *,
    keep: bool = False,
) -> Iterator[None]:
    """Mix the output of a submodule while the block runs.

    The module is to be called once, with `n_rows` rows and their partners, `stacked`;
    behind the layer there is one mixed row for each pair, and with `keep` also the
    rows, before the mixed ones. A `NotMixedError` says that the submodule was not
    called, called twice or with other rows, or that the module has a way around it.
    """
    n_calls, mixes = 0, False

    def hook(_: nn.Module, args: Any, output: Any) -> torch.Tensor:
        nonlocal n_calls, mixes
        n_calls += 1
        if n_calls > 1:
            raise NotMixedError(
                f"The layer {layer!r} was called more than once in a pass, so that "
                "mixed rows would be mixed again. Choose another layer, or "
                "layers='input'."
            )
        if not _is_for_pairs(output, n_rows):
            raise NotMixedError(
                f"Got {_shape(output)} from the layer {layer!r}, but expected a tensor "
                f"of one row for each of the {2 * n_rows} rows, a batch and its "
                "partners, that the module was given. Choose another layer, or "
                "layers='input'."
            )
        mixes = True
        own, partner = halves(output, n_rows)
        mixed = mix(own, partner)
        return torch.cat([own, mixed]) if keep else mixed

    handle = module.get_submodule(layer).register_forward_hook(hook)
    try:
        yield
    except RuntimeError as error:
        # (Compiled modules raise errors of other classes.)
        from_torch = mixes and n_calls == 1 and type(error) is RuntimeError
        if from_torch and str(2 * n_rows) in re.findall(r"\d+", str(error)):
            raise bypassed(layer, n_rows) from error
        raise
    finally:
        handle.remove()
    if not n_calls:
        raise NotMixedError(
            f"The layer {layer!r} was not called in a training step, so that nothing "
            "was mixed. (Modules inside a compiled one are not told of calls.) Choose "
            "another layer, or layers='input'."
        )


def bypassed(layer: str, n_rows: int) -> NotMixedError:
    """Return the error for a module that has a way around the layer."""
    return NotMixedError(
        f"Got layers={layer!r}, behind which there is a batch of {n_rows} mixed rows, "
        "but the module goes by that layer, too (a residual connection around it, "
        f"another branch or embedding beside it), with {2 * n_rows} rows that are not "
        "mixed, a batch and its partners. Choose a layer that everything passes, such "
        "as the block around it, or layers='input'."
    )


def uncompiled(module: nn.Module) -> nn.Module:
    return getattr(module, "_orig_mod", module)


def check_layers_of(module: nn.Module, layers: tuple[str | None, ...]) -> None:
    """Refuse names of layers that are no submodules."""
    # (A module may be known by more than one name.)
    named = uncompiled(module).named_modules(remove_duplicate=False)
    known = [name for name, _ in named if name]
    for layer in layers:
        if layer is not None and layer not in known:
            raise ValueError(
                f"Got layers={layer!r}, but expected 'input' or the name of a "
                f"submodule of {type(uncompiled(module)).__name__}: "
                f"{', '.join(known) or 'it has none'}."
            )


def check_layer_is_passed(
    net: NeuralNet, layer: str, x: Any, x_partner: Any, **fit_params: Any
) -> None:
    """Refuse a layer that the module has a way around.

    With `clean_weight` the number of rows does not tell, so that a copy of the module
    is tried without clean rows.
    """
    other = twin(net, module_=deepcopy(net.module_))
    set_mode(other, True)
    infer, n_rows = inferring(other), get_len(x)
    mixes_nothing = mixed_inside(
        uncompiled(other.module_), layer, lambda own, partner: own, n_rows
    )
    with seeded(device=net.device), torch.no_grad(), mixes_nothing:
        output = infer(stacked(x, x_partner), **fit_params)
    if _is_for_pairs(first_output(output), n_rows):
        raise bypassed(layer, n_rows)


class MixedBatch:
    """A batch on its way through the net: mixed at the input or inside, then its loss.

    Parameters
    ----------
    net : skorch.NeuralNet
    sampler : MixupSampler, default=None
    draw : Draw, default=None
        Of one step; None where nothing is mixed.
    weight : ndarray of shape (B,), default=None
    partners : tuple (X, y), default=None
        The rows of the partners, where these are not rows of the batch.
    loss : callable, default=None
        The loss of the mixed rows, where it is known before they are mixed.

    Attributes
    ----------
    input_mixed, loss_computed : bool
        Whether the input, and whether the loss, went through this object.
    """

    def __init__(
        self,
        net: NeuralNet,
        sampler: Any = None,
        draw: Any = None,
        *,
        weight: Any = None,
        partners: Any = None,
        loss: Callable[[Any], torch.Tensor] | None = None,
    ) -> None:
        self.net, self.sampler, self.draw, self.weight = net, sampler, draw, weight
        self.partners, self.own_loss = partners, loss
        self.layer: str | None = None
        self.clean_weight = 0.0
        if draw is not None:
            place = draw.place[0]
            self.layer, self.mix = sampler.layers[place], sampler.mix[place]
            self.clean_weight = sampler.clean_weight
        self.y = self.y_partner = self.share = self.X = self.X_mixed = self.clean = None
        self.input_mixed = self.loss_computed = False

    def set_targets(self, y: Any) -> None:
        """Take the targets of the batch, and those of its partners."""
        self.y = to_tensor(y, device=self.net.device)
        if self.draw is not None:
            self.y_partner = self._of_partners(self.y, 1)

    def partner_rows(self, x: Any) -> Any:
        """Return the rows of the partners of a batch."""
        return self._of_partners(x, 0)

    def _of_partners(self, rows: Any, kind: int) -> Any:
        if self.partners is None:
            return take(rows, torch.as_tensor(self.draw.partner))
        return to_tensor(self.partners[kind], device=self.net.device)

    def mix_input(self, x: Any, x_partner: Any) -> Any:
        """Return the input of the module, which is to be called within `mixing`."""
        self.X, self.input_mixed = x, True
        if self.layer is not None:
            self.X_mixed = x
            return stacked(x, x_partner)
        self.X_mixed = self._mixed(x, x_partner)
        return stacked(x, self.X_mixed) if self.clean_weight else self.X_mixed

    def mixing(self) -> AbstractContextManager[None]:
        """Return the context in which a call of the module mixes behind the layer."""
        if self.layer is None:
            return nullcontext()
        module, n_rows = uncompiled(self.net.module_), len(self.draw.partner)
        keep = self.clean_weight > 0
        return mixed_inside(module, self.layer, self._mixed, n_rows, keep=keep)

    def _mixed(self, x: Any, x_partner: Any) -> Any:
        y, y_partner = self.y, self.y_partner
        mixed, self.share = mix_step(self.mix, x, x_partner, y, y_partner, self.draw)
        return mixed

    def split_output(self, output: Any) -> Any:
        """Keep the outputs for clean rows, if any; return those for mixed rows."""
        n_rows = len(self.draw.partner)
        if self.clean_weight:
            self.clean, output = halves(output, n_rows)
        # Unmixed rows may have been added to one mixed row without an error.
        elif self.layer is not None and _is_for_pairs(first_output(output), n_rows):
            raise bypassed(self.layer, n_rows)
        return output

    def loss(
        self, output: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> torch.Tensor:
        """Return the loss of the outputs for mixed rows, and for clean ones if any.

        `args` and `kwargs` are passed on to the net's `get_loss`.
        """
        self.loss_computed = True
        mixed = self.own_loss
        if mixed is None:
            rows = _with_rows(self.X_mixed, args, kwargs)
            mixed = self._loss(self.y_partner, self.share, *rows)
        loss = mixed(output)
        if self.clean is not None:
            clean = self._loss(None, None, *_with_rows(self.X, args, kwargs))
            loss = loss + self.clean_weight * clean(self.clean)
        return loss

    def _loss(
        self, y_partner: Any, share: Any, args: tuple[Any, ...], kwargs: Any
    ) -> Callable[[Any], torch.Tensor]:
        permuted = share is None or not self.sampler.from_table
        targets = Targets(self.y, y_partner, share, self.weight)
        options: dict[str, Any] = {"permuted": permuted, "args": args, "kwargs": kwargs}
        (loss,) = losses_of_steps(self.net, targets, 1, **options)
        return loss

    def noted(self, x: Any) -> Any:
        """Copy the mixed rows of an input of the module; None if none are in it."""
        if self.layer is not None:
            return None
        # (Clean rows come before mixed ones.)
        n_rows = get_len(x) if self.draw is None else len(self.draw.partner)
        return each(lambda part: part[-n_rows:].detach().clone(), x)

    def seen(self, rows: np.ndarray, all_rows: np.ndarray, x: Any) -> SeenStep:
        """Return what the net saw in the step, once it is done.

        `rows` are the numbers of the batch's rows in the table, `all_rows` those of the
        rows among which a partner has its position, and `x` is what was `noted`.
        """
        draw, lam, partner = self.draw, np.ones(1), None
        if draw is not None:
            lam, partner = draw.lam, draw.partner
            partner = partner if self.sampler.from_table else all_rows[partner]
        share = lam if self.share is None else as_numpy(self.share)
        lam, share = (np.broadcast_to(part, len(rows)) for part in (lam, share))
        told = self.weight, self.clean_weight, self.layer
        return SeenStep(rows, partner, lam, share, *told, x)


def _with_rows(X: Any, args: tuple[Any, ...], kwargs: Any) -> tuple[Any, Any]:
    """Pass the rows of the outputs to a `get_loss` that is given rows."""
    kwargs = kwargs or {}
    if X is None:
        return args, kwargs
    if "X" in kwargs:
        return args, kwargs | {"X": X}
    return (X, *args[1:]) if args else args, kwargs


def mixes_at_once(sampler: MixupSampler, X: Any) -> bool:
    """Whether `lerp_steps` mixes rows at the input of several steps, or members.

    Otherwise each batch of each member is mixed by `mix_step`.
    """
    numbers = isinstance(X, torch.Tensor) and X.is_floating_point()
    return sampler.is_plain and numbers and all(name is None for name in sampler.layers)


def steps_of_chunk(
    net: NeuralNet,
    sampler: Any,
    loaded: LoadedChunk,
    check_output: Callable[[Any], None],
    check_layer: Callable[..., None],
) -> Iterator[Step]:
    """Mix and weight a chunk of batches, and yield its training or validation steps.

    `check_output` is called with every output, and `check_layer` with every
    `MixedBatch`, its rows and its partners, before it is mixed.
    """
    chunk, weight, draw, X_partner, y_partner = loaded
    n_steps = chunk.n_batches
    permuted = draw is None or not sampler.from_table
    share = None if draw is None else draw.lam
    targets = Targets(chunk.y, y_partner, share, weight)

    def losses() -> list[Callable[[Any], torch.Tensor]]:
        return losses_of_steps(net, targets, n_steps, permuted=permuted)

    at_once = draw is not None and mixes_at_once(sampler, chunk.X)
    if draw is None or (at_once and not sampler.clean_weight):
        X = chunk.X if draw is None else lerp_steps(chunk.X, X_partner, draw.lam)
        for k, loss in enumerate(losses()):
            x = copied(X, chunk.part(k))
            checked = partial(_checked_loss, loss, check_output)
            yield Step(x, checked, chunk.batch_size, partial(chunk.batch, k))
        return
    # With mixup the shares of labels are known for the whole chunk.
    ahead: Sequence[Any] = losses() if sampler.is_plain else [None] * n_steps
    for k, known in enumerate(ahead):
        part = chunk.part(k)
        batch = MixedBatch(
            net,
            sampler,
            draw.of_step(k, n_steps),
            weight=None if weight is None else weight[part],
            partners=(copied(X_partner, part), y_partner[part]),
            loss=known,
        )
        batch.set_targets(chunk.y[part])
        x = copied(chunk.X, part)
        x_partner = batch.partner_rows(x)
        check_layer(batch, x, x_partner)
        x = batch.mix_input(x, x_partner)
        checked = partial(_split_loss, batch, check_output)
        shown = partial(chunk.batch, k)
        yield Step(x, checked, chunk.batch_size, shown, batch.mixing, batch)


def _checked_loss(
    loss: Callable[[Any], torch.Tensor], check: Callable[[Any], None], output: Any
) -> torch.Tensor:
    check(output)
    return one_number(loss(output))


def _split_loss(
    batch: MixedBatch, check: Callable[[Any], None], output: Any
) -> torch.Tensor:
    output = batch.split_output(output)
    check(output)
    return one_number(batch.loss(output))
