"""The module of the default net, and the scaling of temperatures."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from rtdl_num_embeddings import PiecewiseLinearEmbeddings
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from tabm import EnsembleView, LinearEnsemble
from torch import nn

from skmix._validation import check_integer, check_share

__all__ = ["TabularNet"]

PRIOR = 0.3  # standard deviation of the logarithm of a temperature


class NumberEmbedding(nn.Module):
    """Numbers, each beside piecewise linear functions of it; other columns as they are.

    Parameters
    ----------
    bins : list of array-like of shape (n_edges,), increasing
        Where the pieces of each number begin and end, for the first columns of a table,
        which are the numbers.
    d_embedding : int
        Columns for each number: itself, and ``d_embedding - 1`` learnt functions of
        it, linear between the edges (Gorishniy et al. 2022, section 3.2). 1 leaves it
        as it is.

    Notes
    -----
    **Shape**: ``(B, d_in)`` to ``(B, d_in + len(bins) * (d_embedding - 1))``.

    It is linear in the columns that are no numbers, one-hot ones say.

    References
    ----------
    Y. Gorishniy, I. Rubachev, A. Babenko, "On Embeddings for Numerical Features in
    Tabular Deep Learning", NeurIPS 2022, https://arxiv.org/abs/2203.05556
    """

    def __init__(self, bins: Sequence[Any], d_embedding: int):
        super().__init__()
        self.n_numbers = len(bins)
        self.pieces = None
        if len(bins) and d_embedding > 1:
            self.pieces = PiecewiseLinearEmbeddings(
                [torch.as_tensor(edges, dtype=torch.float32) for edges in bins],
                d_embedding - 1,
                activation=False,
                version="A",
            )

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        if self.pieces is None:
            return X
        return torch.cat([X, self.pieces(X[:, : self.n_numbers]).flatten(1)], dim=1)


class ByteDropout(nn.Dropout):
    """Dropout with cheap random masks, a byte for each number, and a seed of its own.

    Parameters
    ----------
    p : float, default=0.5
        Probability of a number to be left out in training, rounded to a multiple of
        1/256. The others are scaled such that the expectation stays.
    inplace : bool, default=False
        As in `torch.nn.Dropout`, for what it does itself.

    Attributes
    ----------
    seed : torch.Tensor of shape (), int64
        Drawn from torch's global generator, as initial weights are.
    n_passes : torch.Tensor of shape (), int64
        Passes in training so far.

    Notes
    -----
    A mask is a function of `seed`, `n_passes` and the shape alone: numbers that are
    counted, and mixed as in the generator SplitMix64 (Steele, Lea and Flood 2014), of
    eight bytes each. So a net draws the same masks whatever is trained beside it, and
    goes on with them from a checkpoint. A module that is passed as an instance keeps
    its seeds. A pass that is repeated has another mask, so that
    `torch.utils.checkpoint` must not repeat one. For `p` next to 0 or 1 it is
    `torch.nn.Dropout`.

    References
    ----------
    G. L. Steele, D. Lea, C. H. Flood, "Fast splittable pseudorandom number generators",
    OOPSLA 2014

    Examples
    --------
    >>> import torch
    >>> from skmix.networks import ByteDropout
    >>> X = torch.ones(10_000)
    >>> bool(abs(ByteDropout(0.25)(X).mean() - 1) < 0.05)
    True
    """

    seed: torch.Tensor
    n_passes: torch.Tensor

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__(p, inplace)
        self.register_buffer("seed", torch.randint(2**62, ()))
        self.register_buffer("n_passes", torch.zeros((), dtype=torch.int64))

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        dropped = round(self.p * 256)
        if not self.training or dropped in (0, 256):
            return super().forward(X)
        # 1 where a byte is at least `dropped`, else 0. (A comparison is five times as
        # slow: torch writes and reads booleans one by one.)
        kept = self.random_bytes(X).clamp(dropped - 1, dropped) - (dropped - 1)
        return X * kept.to(X.dtype).mul_(256 / (256 - dropped))

    def random_bytes(self, X: torch.Tensor) -> torch.Tensor:
        """Count a pass, and draw a byte for each number, in the shape of `X`."""
        self.n_passes += 1
        n_words = (X.numel() + 7) // 8
        counted = torch.arange(n_words, device=X.device) * STEP  # (wraps around)
        words = _mixed(counted + (self.seed + self.n_passes * PASS))
        return _bytes_of(words)[: X.numel()].view(X.shape)


MAPS_VIEWS = torch.__version__ >= "2.13"  # those of another dtype, by torch.func.vmap
# Odd constants of SplitMix64, as signed integers, and one more that tells passes apart.
STEP, PASS = -0x61C8864680B583EB, 0x2545F4914F6CDD1D
FACTORS = -0x40A7B892E31B1A47, -0x6B2FB644ECCEEE15


def _mixed(words: torch.Tensor) -> torch.Tensor:
    """Mix the bits of counted numbers, in place."""
    for shift, factor in ((30, FACTORS[0]), (27, FACTORS[1]), (31, None)):
        # (Without the mask the sign bit would fill the left.)
        words ^= (words >> shift).bitwise_and_(2 ** (64 - shift) - 1)
        if factor is not None:
            words *= factor
    return words


def _bytes_of(words: torch.Tensor) -> torch.Tensor:
    """Return the bytes of integers, also in `torch.func.vmap`."""
    if MAPS_VIEWS:
        return words.view(torch.uint8)
    drawn: torch.Tensor = _Bytes.apply(words)  # type: ignore[no-untyped-call]
    return drawn


class _Bytes(torch.autograd.Function):
    """The bytes of integers: a view, with a rule for `torch.func.vmap`."""

    @staticmethod
    def forward(words: torch.Tensor) -> torch.Tensor:
        return words.view(torch.uint8)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: torch.Tensor) -> None:
        ctx.mark_non_differentiable(output)

    @staticmethod
    def vmap(info: Any, in_dims: Any, words: torch.Tensor) -> tuple[torch.Tensor, int]:
        return words.movedim(in_dims[0], 0).contiguous().view(torch.uint8), 0


class TabularNet(nn.Module):
    """An ensemble of `k` multilayer perceptrons over shared embeddings of the columns.

    In training it returns the outputs of the members side by side. A criterion that is
    given the same targets for each of them trains them independently of each other. In
    evaluation it returns their mean, of probabilities or numbers, by weights averaged
    over the last steps of training.

    Parameters
    ----------
    d_in : int
        Number of columns.
    d_out : int
        Number of outputs: classes, as logits, or 1 for a number.
    bins : list of array-like, default=()
        Edges of the pieces of each number, for the first columns, as in
        `NumberEmbedding`.
    k : int, default=8
        Members of the ensemble.
    n_blocks : int, default=2
        Blocks of a member: linear layer, ReLU and dropout.
    d_block : int, default=64
        Units in each block.
    dropout : float, default=0.1
        Probability of a unit to be left out in training, as in `ByteDropout`.
    d_embedding : int, default=4
        Columns for each number, as in `NumberEmbedding`.
    average_decay : float, default=0.98
        Share of the mean of weights that remains at a step (of training, not of
        epochs); 0 predicts by the weights as they are.

    Attributes
    ----------
    embedding : NumberEmbedding
    members : torch.nn.Sequential
        The ensemble behind it.
    averaged : torch.nn.Sequential
        Both, with averaged weights.
    temperature : torch.Tensor of shape ()
        Divisor of the logarithms of mean probabilities in evaluation (temperature
        scaling); 1 until it is set.

    Notes
    -----
    **Shape**: ``(B, d_in)`` to ``(B, d_out, k)`` in training and ``(B, d_out)`` in
    evaluation.

    The averaged weights are updated by each forward pass in training, like the running
    statistics of a BatchNorm. So they work in any training loop, and the same weights
    are validated, stored in a checkpoint and used to predict.

    Examples
    --------
    >>> import torch
    >>> from skmix.networks import TabularNet
    >>> bins = [[-1, 0, 1], [-1, -0.5, 0.5, 1]]
    >>> net, X = TabularNet(d_in=5, d_out=3, bins=bins), torch.zeros(8, 5)
    >>> net(X).shape, net.eval()(X).shape
    (torch.Size([8, 3, 8]), torch.Size([8, 3]))
    """

    n_averaged: torch.Tensor
    temperature: torch.Tensor

    def __init__(
        self,
        d_in: int,
        d_out: int,
        bins: Sequence[Any] = (),
        k: int = 8,
        n_blocks: int = 2,
        d_block: int = 64,
        dropout: float = 0.1,
        d_embedding: int = 4,
        average_decay: float = 0.98,
    ):
        super().__init__()
        sizes = {"k": k, "d_block": d_block, "d_embedding": d_embedding}
        for name, size in sizes.items():
            check_integer(name, size, at_least=1)
        check_integer("n_blocks", n_blocks, at_least=0)
        for name, share in {"dropout": dropout, "average_decay": average_decay}.items():
            check_share(name, share)
        self.average_decay = average_decay
        self.embedding = NumberEmbedding(bins, d_embedding)
        width = d_in + len(bins) * (d_embedding - 1)
        self.members = _members(width, d_out, k, n_blocks, d_block, dropout)
        trained = nn.Sequential(self.embedding, self.members)
        self.averaged = deepcopy(trained).requires_grad_(False)
        self.register_buffer("n_averaged", torch.zeros(()))
        self.register_buffer("temperature", torch.ones(()))

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        """Return outputs of the members in training, and their mean in evaluation.

        Parameters
        ----------
        X : torch.Tensor of shape (B, d_in), float
            Numbers first, in the order of `bins`.

        Returns
        -------
        outputs : torch.Tensor of shape (B, d_out, k) or (B, d_out)
            Logits of classes (in evaluation of the mean probabilities), or numbers.
        """
        members: torch.Tensor
        if self.training:
            self._average()
            members = self.members(self.embedding(X))
            return members.permute(0, 2, 1)  # (B, d_out, k)
        members = self.averaged(X)  # (B, k, d_out)
        if members.shape[2] == 1:
            return members.mean(dim=1)
        # Of a softmax of this come the mean probabilities.
        mean = torch.log_softmax(members, dim=2).logsumexp(dim=1)
        return (mean - float(np.log(members.shape[1]))) / self.temperature

    @torch.no_grad()
    def _average(self) -> None:
        """Move the averaged weights towards those in training, by less and less."""
        self.n_averaged += 1
        share = self.n_averaged.reciprocal().clamp(min=1 - self.average_decay)
        # By their names: layers may be pruned or frozen by now, of which it is a copy.
        for averaged, part in zip(
            self.averaged, (self.embedding, self.members), strict=True
        ):
            for mean, trained in zip(averaged.modules(), part.modules(), strict=True):
                for name, old in mean.named_parameters(recurse=False):
                    # (In place, `torch.func.vmap` would take its members one by one.)
                    old.copy_(old.lerp(getattr(trained, name), share.to(old)))


def _members(
    width: int, d_out: int, k: int, n_blocks: int, d_block: int, dropout: float
) -> nn.Sequential:
    layers: list[nn.Module] = [EnsembleView(k=k)]
    for _ in range(n_blocks):
        layers += [LinearEnsemble(width, d_block, k=k), nn.ReLU(), ByteDropout(dropout)]
        width = d_block
    members = nn.Sequential(*layers)
    # By a name, and not a number as the blocks: an optimizer may treat it otherwise.
    members.add_module("output", LinearEnsemble(width, d_out, k=k))
    return members


def fit_temperature(
    proba: np.ndarray, y: np.ndarray, weight: np.ndarray | None = None
) -> float:
    """Return the temperature that calibrates probabilities of held-out rows best.

    Parameters
    ----------
    proba : ndarray of shape (n, n_classes)
    y : ndarray of shape (n,), int64
    weight : ndarray of shape (n,), default=None

    Returns
    -------
    temperature : float

    Notes
    -----
    The temperature T minimises the log loss of all rows together (Guo et al. 2017) plus
    ``(log T / PRIOR) ** 2 / 2``, as if log T were normal around 0 with a standard
    deviation of `PRIOR`: ten rows move it little, a thousand as far as they like. Nets
    trained on mixed rows are less sure of themselves than they should be, and without
    mixing a few rows that are all right would make them far too sure.

    References
    ----------
    C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, "On Calibration of Modern Neural
    Networks", ICML 2017, https://arxiv.org/abs/1706.04599
    """
    weight, logits = np.ones(len(y)) if weight is None else weight, _logits(proba)

    def loss(log_temperature: float) -> float:
        scaled = log_softmax(logits / np.exp(log_temperature), axis=1)
        likelihood = np.sum(scaled[np.arange(len(y)), y] * weight)
        return float((log_temperature / PRIOR) ** 2 / 2 - likelihood)

    return float(np.exp(minimize_scalar(loss, bounds=(-2, 2), method="bounded").x))


def apply_temperature(proba: np.ndarray, temperature: float) -> np.ndarray:
    """Divide the logarithms of probabilities by a temperature, and normalise."""
    return np.asarray(softmax(_logits(proba) / temperature, axis=1))


def _logits(proba: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.asarray(np.maximum(np.log(proba), -50))
