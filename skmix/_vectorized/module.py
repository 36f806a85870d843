"""Modules of one architecture side by side, as one module with one more axis."""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.func import functional_call, vmap

from skmix._mixing.mixup import mixup
from skmix._training.steps import mixed_inside
from skmix.networks import ByteDropout

DROPOUTS = (
    nn.Dropout,
    nn.Dropout1d,
    nn.Dropout2d,
    nn.Dropout3d,
    nn.AlphaDropout,
    nn.FeatureAlphaDropout,
)
# Those that drop each number by itself, so that members may have probabilities of their
# own.
DROPOUTS_OF_NUMBERS = (nn.Dropout, ByteDropout)


class VectorizedModule(nn.Module):
    """Modules of one architecture side by side.

    Parameters
    ----------
    modules : list of torch.nn.Module
        M modules that differ in the values of their parameters and buffers, and in the
        probabilities of `torch.nn.Dropout` and `skmix.networks.ByteDropout`, alone.
    direct : bool, default=False
        Pass rows of all members through the code of one, which must then not mind the
        further axis, and not by `torch.func.vmap`, which takes any code but twice the
        time. Possible where all parameters are those of linear layers.

    Attributes
    ----------
    members : torch.nn.Module
        A module whose parameters and buffers are those of all of them, along a first
        axis.

    Notes
    -----
    **Shape**: rows ``(M, B, ...)`` to outputs ``(M * B, ...)``, those of one member
    below those of another. What a member draws in a pass (dropout) is its own.

    Examples
    --------
    >>> import torch
    >>> from skmix._vectorized.module import VectorizedModule
    >>> modules = [torch.nn.Linear(3, 2) for _ in range(5)]
    >>> together, X = VectorizedModule(modules), torch.randn(5, 7, 3)
    >>> together(X).shape
    torch.Size([35, 2])
    >>> torch.allclose(together(X)[7:14], modules[1](X[1]), atol=1e-6)
    True
    """

    def __init__(self, modules: list[nn.Module], *, direct: bool = False) -> None:
        super().__init__()
        self.members = deepcopy(modules[0])
        self.direct = direct
        if direct:
            for module in self.members.modules():
                if type(module) is nn.Linear:
                    vars(module)["forward"] = partial(_linear, module)
        # The layer behind which rows are mixed, and lam.
        self._inside: tuple[str, torch.Tensor] | None = None
        states = [dict(_tensors(module)) for module in modules]
        for name, tensor in states[0].items():
            together = torch.stack([state[name].detach() for state in states])
            _put(self.members, name, _like(tensor, together))
        for name, p in _own_dropouts(modules):
            shared = self.members.get_submodule(name)
            if isinstance(shared, ByteDropout):
                _put(self.members, name, _OwnByteDropout(shared, p))
            else:
                _put(self.members, name, _OwnDropout(p))
        self._together = dict(_tensors(self.members))

    def forward(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        if self.direct:
            outputs = self.members(*args, **kwargs)
        elif self._inside is None:
            member = vmap(self._member, randomness="different")
            outputs = member(self._together, args, kwargs)
        else:
            layer, lam = self._inside
            mixing: Any = partial(self._mixing_member, layer)
            mixing = vmap(mixing, randomness="different")
            outputs = mixing(self._together, args, kwargs, lam)
        return outputs.flatten(0, 1)

    def _member(
        self,
        tensors: dict[str, torch.Tensor],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> torch.Tensor:
        return functional_call(self.members, tensors, args, kwargs, tie_weights=False)

    def _mixing_member(
        self,
        layer: str,
        tensors: dict[str, torch.Tensor],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        lam: torch.Tensor,
    ) -> torch.Tensor:
        def mix(own: torch.Tensor, partner: torch.Tensor) -> torch.Tensor:
            return mixup(own, partner, lam)[0]

        n_rows = len((*args, *kwargs.values())[0]) // 2
        with mixed_inside(self.members, layer, mix, n_rows):
            return self._member(tensors, args, kwargs)

    @contextmanager
    def mixing_behind(self, layer: str, lam: torch.Tensor) -> Iterator[None]:
        """Mix rows and partners, (M, 2 * B, ...), behind a layer while the block runs.

        `lam` is a tensor of shape (M, 1) or (M, B).
        """
        self._inside = layer, lam
        try:
            yield
        finally:
            self._inside = None

    def keep(self, numbers: torch.Tensor) -> None:
        """Keep the members of these numbers alone, (m,) int64."""
        for name, tensor in self._together.items():
            _put(self.members, name, _like(tensor, tensor.detach()[numbers]))
        self._together = dict(_tensors(self.members))

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return parameters and buffers of all members by name, (M, ...)."""
        return {name: tensor.detach() for name, tensor in self._together.items()}

    def show(self, number: int, module: nn.Module, *, copy: bool = False) -> None:
        """Let parameters and buffers of a module be views, or copies, of a member's."""
        for name, tensor in list(_tensors(module)):
            own = self._together[name].detach()[number]
            own = own.clone() if copy else own
            if isinstance(tensor, nn.Parameter):
                tensor.data = own  # an optimizer knows the parameter itself
            else:
                _put(module, name, own)


class _OwnDropout(nn.Module):
    """Dropout whose probability is each member's own, as a buffer of shape (M,)."""

    p: torch.Tensor

    def __init__(self, p: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("p", p)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return x
        # (One number within vmap, and as many as members where they come directly.)
        p = self.p.to(x).reshape(-1, *[1] * (x.ndim - 1))
        scale = (1 / (1 - p)).where(p < 1, 0)
        return x * scale * (torch.rand_like(x) >= p)


class _OwnByteDropout(ByteDropout):
    """As `_OwnDropout`, with the seed and the passes of each member's `ByteDropout`."""

    dropped: torch.Tensor

    def __init__(self, shared: ByteDropout, p: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("dropped", (p * 256).round())
        self.seed, self.n_passes = shared.seed, shared.n_passes

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return x
        scale = (256 / (256 - self.dropped)).where(self.dropped < 256, 0)
        return x * scale.to(x) * (self.random_bytes(x) >= self.dropped)


def _own_dropouts(modules: list[nn.Module]) -> Iterator[tuple[str, torch.Tensor]]:
    """Names of dropouts whose probabilities differ, and these, (M,)."""
    for name, part in modules[0].named_modules():
        if not isinstance(part, DROPOUTS):
            continue
        p = [module.get_submodule(name).p for module in modules]
        if len(set(p)) > 1 and type(part) not in DROPOUTS_OF_NUMBERS:
            raise ValueError(
                f"Got different probabilities of {type(part).__name__} ({name}), but "
                "expected the same ones for all members, except of torch.nn.Dropout "
                "and skmix.networks.ByteDropout."
            )
        if len(set(p)) > 1:
            yield name, torch.tensor(p)


def may_be_direct(module: nn.Module) -> bool:
    """Whether all parameters of a module are those of linear layers."""
    return not any(
        type(part) is not nn.Linear and dict(_own_tensors(part))
        for part in module.modules()
    )


def _own_tensors(module: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    yield from module.named_parameters(recurse=False)
    yield from module.named_buffers(recurse=False)


def _linear(layer: nn.Linear, x: torch.Tensor) -> torch.Tensor:
    """Linear layers side by side, (M, B, d_in) to (M, B, d_out)."""
    weight = layer.weight.transpose(1, 2)
    if layer.bias is None:
        return torch.bmm(x, weight)
    return torch.baddbmm(layer.bias[:, None], x, weight)


def is_tied(module: nn.Module) -> bool:
    """Whether a module knows one of its tensors by two names."""
    named = sum(1 for _ in module.named_parameters(remove_duplicate=False))
    named += sum(1 for _ in module.named_buffers(remove_duplicate=False))
    return named != sum(1 for _ in _tensors(module))


def _tensors(module: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    yield from module.named_parameters()
    yield from module.named_buffers()


def _like(tensor: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(value, tensor.requires_grad)
    return value


def _put(module: nn.Module, name: str, tensor: torch.Tensor | nn.Module) -> None:
    path, _, leaf = name.rpartition(".")
    setattr(module.get_submodule(path), leaf, tensor)
