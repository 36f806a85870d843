"""Muon for matrices, AdamW for all other parameters, as one optimizer."""

from collections.abc import Callable, Iterable
from inspect import unwrap
from typing import Any

import torch
from torch.optim.adamw import adamw

# One step of the iteration takes singular values s to A * s + B * s**3 + C * s**5.
A, B, C = 3.4445, -4.7750, 2.0315
N_STEPS = 3
RMS = 0.2  # of the numbers of a step in units of the rate, about that of AdamW's

# torch wraps its methods such that the first call imports its compiler, which takes a
# second; only compiled code has a use for that.
_add_param_group = unwrap(torch.optim.Optimizer.add_param_group)
_zero_grad = unwrap(torch.optim.Optimizer.zero_grad)


class Muon(torch.optim.Optimizer):
    """AdamW, with steps along orthogonal matrices in the groups that ask for them.

    Parameters
    ----------
    params : iterable
        Parameters, named parameters, or groups of them. Those of a group with
        ``orthogonal=True`` are matrices of shape ``(..., d_in, d_out)``, as are the
        weights of `tabm.LinearEnsemble`, or ``(M, k, d_in, d_out)`` where several such
        nets are trained as one.
    lr : float, default=1e-3
    betas : tuple of two floats, default=(0.9, 0.999)
    eps : float, default=1e-8
    weight_decay : float, default=1e-2
        Decoupled, in all groups.
    momentum : float, default=0.95
        Of matrices; the momentum is Nesterov's.
    orthogonal : bool, default=False
        Whether parameters are matrices, and their steps orthogonal.
    fused : bool, default=None
        As in `torch.optim.AdamW`, for parameters that are none.

    Notes
    -----
    A matrix W with the momentum U takes the step ::

        W <- W - lr * (weight_decay * W + 0.2 * sqrt(max(d_in, d_out)) * orthogonal(U))

    where the singular values of ``orthogonal(U)`` are near 1: about 0.7 to 1.2, less
    for those of U below a hundredth of its norm. They come from three steps of Newton
    and Schulz, by the coefficients of Jordan et al. 2024. By the factor before them the
    numbers of a step are about as large as those of AdamW (Liu et al. 2025, section
    2.2), so that one rate serves both. No gradient is no step but the decay. Each
    matrix is treated by itself, whatever else is in its tensor.

    Output layers have few columns, of which each counts; they are better left to AdamW.

    References
    ----------
    K. Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024,
    https://kellerjordan.github.io/posts/muon/

    J. Liu et al., "Muon is scalable for LLM training", 2025,
    https://arxiv.org/abs/2502.16982

    Examples
    --------
    The choice of parameters is one of groups, in skorch by their names:

    >>> from skmix import default_net
    >>> from skmix._training.muon import Muon
    >>> hidden = ("members.[0-9]*.weight", {"orthogonal": True})
    >>> net = default_net("classifier").set_params(
    ...     optimizer=Muon, optimizer__param_groups=[hidden], lr=0.01
    ... )
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        *,
        momentum: float = 0.95,
        orthogonal: bool = False,
        fused: bool | None = None,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "orthogonal": orthogonal,
            "fused": fused,
        }
        super().__init__(params, defaults)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group, and refuse vectors where matrices are expected."""
        _add_param_group(self, param_group)
        group = self.param_groups[-1]
        shapes = [tuple(p.shape) for p in group["params"] if p.ndim < 2]
        if group["orthogonal"] and shapes:
            raise ValueError(
                f"Got a parameter of shape {shapes[0]} in a group with orthogonal=True,"
                " but expected matrices, of shape (..., d_in, d_out)."
            )

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Reset the gradients of all parameters, as torch does."""
        _zero_grad(self, set_to_none)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step; return the loss of `closure`, if there is one."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            moved = [p for p in group["params"] if p.grad is not None]
            if group["orthogonal"]:
                for matrices in moved:
                    self._step_orthogonal(matrices, group)
            elif moved:
                self._step_adamw(moved, group)
        return loss

    def _step_orthogonal(self, matrices: torch.Tensor, group: dict[str, Any]) -> None:
        grad, state = matrices.grad, self.state[matrices]
        assert grad is not None  # `step` has chosen those that have one
        if not state:
            state["momentum_buffer"] = torch.zeros_like(matrices)
        momentum = state["momentum_buffer"].lerp_(grad, 1 - group["momentum"])
        update = orthogonal(grad.lerp(momentum, group["momentum"]))
        d_in, d_out = matrices.shape[-2:]
        rate = group["lr"] * RMS * max(d_in, d_out) ** 0.5
        matrices.mul_(1 - group["lr"] * group["weight_decay"])
        matrices.add_(update, alpha=-rate)

    def _step_adamw(self, params: list[torch.Tensor], group: dict[str, Any]) -> None:
        states = [self.state[p] for p in params]
        for p, state in zip(params, states, strict=True):
            if not state:
                on = p.device if group["fused"] else "cpu"  # as torch has it
                state["step"] = torch.zeros((), dtype=torch.float32, device=on)
                state["exp_avg"] = torch.zeros_like(p)
                state["exp_avg_sq"] = torch.zeros_like(p)
        adamw(
            params,
            [p.grad for p in params if p.grad is not None],
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            [state["step"] for state in states],
            fused=group["fused"],
            amsgrad=False,
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            maximize=False,
        )


def orthogonal(matrices: torch.Tensor) -> torch.Tensor:
    """Return matrices of the same singular vectors, with singular values near 1.

    Parameters
    ----------
    matrices : torch.Tensor of shape (..., m, n)

    Returns
    -------
    orthogonal : torch.Tensor of shape (..., m, n)
        Zeros for a matrix of zeros.
    """
    X = matrices.reshape(-1, *matrices.shape[-2:])
    tall = X.shape[1] > X.shape[2]
    X = X.mT if tall else X
    norm = torch.linalg.vector_norm(X, dim=(1, 2), keepdim=True)
    X = X / norm.clamp(min=torch.finfo(X.dtype).tiny)
    wide = X.shape[2] > 1.5 * X.shape[1]
    X = _by_gram_matrix(X) if wide else _step_by_step(X)
    return (X.mT if tall else X).reshape(matrices.shape)


def _step_by_step(X: torch.Tensor) -> torch.Tensor:
    for _ in range(N_STEPS):
        G = X @ X.mT
        X = torch.baddbmm(X, torch.baddbmm(G, G, G, beta=B, alpha=C), X, beta=A)
    return X


def _by_gram_matrix(X: torch.Tensor) -> torch.Tensor:
    """Take the same steps on X @ X.mT, of which X is multiplied by the product."""
    G = X @ X.mT
    product = _factor(G)
    factor = product
    for _ in range(N_STEPS - 1):
        G = G @ factor @ factor  # (all are polynomials of one matrix)
        factor = _factor(G)
        product = product @ factor
    return product @ X


def _factor(G: torch.Tensor) -> torch.Tensor:
    factor = torch.baddbmm(G, G, G, beta=B, alpha=C)
    factor.diagonal(dim1=1, dim2=2).add_(A)
    return factor
