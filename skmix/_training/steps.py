"""One batch on its way through a net: mixed before it or within, then its loss."""

import re
from contextlib import contextmanager, nullcontext

import torch

from skmix._columns import each
from skmix._mixup import mix_step
from skmix._training.loss import first_output, losses_of_steps


def stacked(x, x_partner):
    """Put rows and their partners one below the other, of shape (2 * B, ...)."""
    return each(lambda *parts: torch.cat(parts), x, x_partner)


def halves(output, n_rows):
    """Take outputs for `stacked` rows apart again."""
    if isinstance(output, torch.Tensor) and len(output) == 2 * n_rows:
        return output[:n_rows], output[n_rows:]
    if isinstance(output, list | tuple):
        pairs = [halves(part, n_rows) for part in output]
        return tuple(type(output)(half) for half in zip(*pairs, strict=True))
    got = getattr(output, "shape", type(output).__name__)
    raise ValueError(
        f"Got {got} from the module for {2 * n_rows} rows, clean and mixed ones, but "
        "expected a tensor, or a tuple of tensors, of one row for each. With "
        "clean_weight=0 the module is given mixed rows only."
    )


@contextmanager
def mixed_inside(module, layer, mix, n_rows, *, keep=False):
    """Mix what a submodule puts out, instead of what the module is given.

    Parameters
    ----------
    module : torch.nn.Module
        It is to be given `stacked` rows and partners, once, while the block runs;
        behind the layer there is one mixed row for each pair.
    layer : str
        Name of the submodule.
    mix : callable
        Maps what rows and partners have become there to mixed rows.
    n_rows : int
        Number of pairs.
    keep : bool, default=False
        Whether rows go on beside the mixed ones, before them.

    Raises
    ------
    RuntimeError
        If the submodule was not called, or not on all the rows, or if the module goes
        by it.
    """
    n_calls, mixes = 0, False

    def hook(_, args, output):
        nonlocal n_calls, mixes
        n_calls += 1
        if n_calls > 1:
            raise RuntimeError(
                f"The layer {layer!r} was called more than once in a pass, so that "
                "mixed rows would be mixed again. Choose another layer, or "
                "layers='input'."
            )
        if not isinstance(output, torch.Tensor) or len(output) != 2 * n_rows:
            got = getattr(output, "shape", type(output).__name__)
            raise RuntimeError(
                f"Got {got} from the layer {layer!r}, but expected a tensor of one row "
                f"for each of the {2 * n_rows} rows, a batch and its partners, that "
                "the module was given. Choose another layer, or layers='input'."
            )
        mixes = True
        own, partner = output[:n_rows], output[n_rows:]
        mixed = mix(own, partner)
        return torch.cat([own, mixed]) if keep else mixed

    handle = module.get_submodule(layer).register_forward_hook(hook)
    try:
        yield
    except RuntimeError as error:
        # (Those of compiled modules are of classes of their own.)
        torchs = mixes and n_calls == 1 and type(error) is RuntimeError
        if torchs and _names_all_rows(error, n_rows):
            raise bypassed(layer, n_rows) from error
        raise
    finally:
        handle.remove()
    if not n_calls:
        raise RuntimeError(
            f"The layer {layer!r} was not called in a training step, so that nothing "
            "was mixed. (Modules inside a compiled one are not told of calls.) Choose "
            "another layer, or layers='input'."
        )


def _names_all_rows(error, n_rows):
    """Whether an error of torch's names as many rows as went in: too many by then."""
    return str(2 * n_rows) in re.findall(r"\d+", str(error))


def bypassed(layer, n_rows):
    """Return the error that says that a layer is not all there is at its place."""
    return RuntimeError(
        f"Got layers={layer!r}, behind which there is a batch of {n_rows} mixed rows, "
        "but the module goes by that layer, too (a residual connection around it, "
        f"another branch or embedding beside it), with {2 * n_rows} rows that are not "
        "mixed, a batch and its partners. Choose a layer that everything passes, such "
        "as the block around it, or layers='input'."
    )


def uncompiled(module):
    return getattr(module, "_orig_mod", module)


def check_layers_of(module, layers):
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


class MixedBatch:
    """A batch on its way through the net: mixed before or within, then its loss.

    Parameters
    ----------
    net : skorch.NeuralNet
    sampler : skmix._sampler.MixupSampler, default=None
    draw : skmix._sampler.Draw, default=None
        Of one step; None where nothing is mixed.
    y, y_partner : torch.Tensor of shape (B, ...), default=None
        Targets, on the net's device.
    weight : ndarray of shape (B,), default=None
    loss : callable, default=None
        The loss of the mixed rows, where it is known before these are.

    Attributes
    ----------
    input_mixed, loss_computed : bool
        Whether rows were mixed, or are to be within, and whether the loss was.
    """

    def __init__(
        self,
        net,
        sampler=None,
        draw=None,
        *,
        y=None,
        y_partner=None,
        weight=None,
        loss=None,
    ):
        self.net, self.sampler, self.draw, self.weight = net, sampler, draw, weight
        self.y, self.y_partner = y, y_partner
        self.own_loss = loss
        self.layer = None if draw is None else sampler.layers[draw.place[0]]
        self.mix = None if draw is None else sampler.mix[draw.place[0]]
        self.clean_weight = 0 if draw is None else sampler.clean_weight
        self.share = self.X = self.X_mixed = self.X_partner = self.clean = None
        self.input_mixed = self.loss_computed = False

    def mix_input(self, x, x_partner):
        """What the module is to be given, within `mixing`."""
        self.X, self.input_mixed = x, True
        if self.layer is not None:
            self.X_mixed = x
            return stacked(x, x_partner)
        self.X_mixed = self._mixed(x, x_partner)
        return stacked(x, self.X_mixed) if self.clean_weight else self.X_mixed

    def mixing(self):
        """Return the context manager within which the module is to be called."""
        if self.layer is None:
            return nullcontext()
        module, n_rows = uncompiled(self.net.module_), len(self.draw.partner)
        keep = self.clean_weight > 0
        return mixed_inside(module, self.layer, self._mixed, n_rows, keep=keep)

    def _mixed(self, x, x_partner):
        y, y_partner = self.y, self.y_partner
        mixed, self.share = mix_step(self.mix, x, x_partner, y, y_partner, self.draw)
        return mixed

    def split_output(self, output):
        """Take clean outputs, or None, and those of mixed rows apart."""
        if not self.clean_weight:
            self._check_all_mixed(output)
            return None, output
        return halves(output, len(self.draw.partner))

    def _check_all_mixed(self, output):
        """Refuse unmixed rows that one mixed row was added to, without an error."""
        n_rows, first = len(self.draw.partner), first_output(output)
        pairs = isinstance(first, torch.Tensor) and first.shape[:1] == (2 * n_rows,)
        if pairs and self.layer is not None:
            raise bypassed(self.layer, n_rows)

    def loss(self, output, clean=None, args=(), kwargs=None):
        """Loss of the outputs for mixed rows, and of those for clean ones if any."""
        self.loss_computed = True
        mixed = self.own_loss
        if mixed is None:
            partner, rows = self.y_partner, _with_rows(self.X_mixed, args, kwargs)
            (mixed,) = self._losses(partner, self.share, *rows)
        loss = mixed(output)
        if clean is not None:
            (own,) = self._losses(None, None, *_with_rows(self.X, args, kwargs))
            loss = loss + self.clean_weight * own(clean)
        return loss

    def _losses(self, y_partner, share, args, kwargs):
        permuted = share is None or not self.sampler.from_table
        options = {"permuted": permuted, "args": args, "kwargs": kwargs}
        return losses_of_steps(
            self.net, self.y, y_partner, share, self.weight, 1, **options
        )


def _with_rows(X, args, kwargs):
    """Pass `X` on, where `get_loss` is given rows: a reconstruction loss needs those
    that the outputs are of.
    """
    kwargs = kwargs or {}
    if X is None:
        return args, kwargs
    if "X" in kwargs:
        return args, kwargs | {"X": X}
    return (X, *args[1:]) if args else args, kwargs
