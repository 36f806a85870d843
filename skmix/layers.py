"""Mixing behind a submodule instead of at the input (Manifold Mixup)."""

import re
from contextlib import contextmanager

import torch

from skmix.columns import each


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
