"""Seeds and threads of a fit, which belong to the process and are left as found."""

import multiprocessing
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from joblib.parallel import get_active_backend

# Initialisation and dropout can only draw from torch's global generator, so
# fits in several threads take turns at it.
_global_generators = threading.RLock()


@contextmanager
def seeded(seed: int | None = None, device: Any = "cpu") -> Iterator[None]:
    """Seed the global generators of torch and numpy, and leave them as found.

    Parameters
    ----------
    seed : int, default=None
        None seeds nothing: the block continues the current streams.
    device : str or torch.device, default="cpu"
        Where the block computes. CUDA's generators are included for a CUDA device,
        and for None (another library decides) where there is one.
    """
    cuda = _is_cuda(device)
    devices = range(torch.cuda.device_count()) if cuda else ()
    with _global_generators, torch.random.fork_rng(devices=devices):
        numpy_state = np.random.get_state()
        try:
            if seed is not None:
                # torch.manual_seed would reach CUDA's generators for a CPU net, too.
                torch.default_generator.manual_seed(seed)
                np.random.seed(seed)
                if cuda:
                    torch.cuda.manual_seed_all(seed)
            yield
        finally:
            np.random.set_state(numpy_state)


def _is_cuda(device: Any) -> bool:
    if device is None:
        return torch.cuda.is_available()
    return torch.device(device).type == "cuda"


def generator_states(device: Any = "cpu") -> list[Any]:
    """Return the states of the global generators: torch, numpy, and CUDA's."""
    cuda = torch.cuda.get_rng_state_all() if _is_cuda(device) else []
    return [torch.get_rng_state(), np.random.get_state(legacy=False), cuda]


def set_generator_states(states: list[Any]) -> None:
    """Set the global generators to `generator_states`."""
    torch.set_rng_state(states[0])
    np.random.set_state(states[1])
    if states[2]:
        torch.cuda.set_rng_state_all(states[2])


def same_states(one: list[Any], other: list[Any]) -> bool:
    """Whether two `generator_states` are equal."""
    numpy_states = one[1]["state"], other[1]["state"]
    tensors = zip([one[0], *one[2]], [other[0], *other[2]], strict=True)
    return all(
        np.array_equal(numpy_states[0][key], numpy_states[1][key])
        for key in ("key", "pos")
    ) and all(torch.equal(*pair) for pair in tensors)


class Stream:
    """Draws from the global generators, which each time go on where they left off.

    So fits that take turns draw what each of them draws alone.

    Parameters
    ----------
    seed : int
    device : str or torch.device, default="cpu"
        As in `seeded`.

    Attributes
    ----------
    states : list or None
        Those of the generators where it left off; None before its first draw.
    """

    def __init__(self, seed: int, device: Any = "cpu") -> None:
        self.seed, self.device = seed, device
        self.states: list[Any] | None = None

    @contextmanager
    def resumed(self) -> Iterator[None]:
        """Draw from here on while the block runs, and leave the generators as found."""
        with seeded(None if self.states else self.seed, self.device):
            if self.states:
                set_generator_states(self.states)
            try:
                yield
            finally:
                self.states = generator_states(self.device)


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Compute on one torch thread where joblib (`n_jobs`) runs several processes."""
    n_threads = torch.get_num_threads()
    in_process = multiprocessing.parent_process() is not None
    if n_threads == 1 or not in_process or not get_active_backend()[0].nesting_level:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)
