"""How much memory may be asked for while a file is loaded.

A file of a few bytes may ask for a module of any size. So what torch's functions are to
make is counted before they make it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from skmix._files.container import Unreadable

# Bytes that modules may take beyond those of the weights (non-persistent buffers, say),
# and bytes that each new tensor counts at least, so that there are not too many.
SLACK, AT_LEAST = 2**26, 2**14

FACTORIES = {
    *(torch.arange, torch.empty, torch.empty_strided, torch.eye, torch.full),
    *(torch.linspace, torch.logspace, torch.normal, torch.ones, torch.rand),
    *(torch.randint, torch.randn, torch.randperm, torch.zeros),
}
# These take the device of a tensor that they are given.
COPIES = {
    *(torch.clone, torch.empty_like, torch.full_like, torch.ones_like),
    *(torch.rand_like, torch.randint_like, torch.randn_like, torch.zeros_like),
    *(torch.Tensor.clone, torch.Tensor.repeat, torch.Tensor.new_empty),
    *(torch.Tensor.new_full, torch.Tensor.new_ones, torch.Tensor.new_zeros),
    *(torch.Tensor.new_tensor, torch.Tensor.new_empty_strided),
}


class _Budget(TorchFunctionMode):
    """Counts what torch's functions make, before they make it."""

    def __init__(self, left: int) -> None:
        super().__init__()
        self.left = left

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if "out" not in kwargs and "generator" not in kwargs:
            self._count(func, args, kwargs)
        return func(*args, **kwargs)

    def _count(self, func: Any, args: Any, kwargs: dict[str, Any]) -> None:
        if func in FACTORIES:
            planned = func(*args, **(kwargs | {"device": "meta"}))
        elif func in COPIES:
            kwargs = {name: v for name, v in kwargs.items() if name != "device"}
            planned = func(args[0].to("meta"), *args[1:], **kwargs)
        elif func is torch.Tensor.__deepcopy__:
            planned = args[0]
        else:
            return
        self.left -= max(AT_LEAST, planned.numel() * planned.element_size())
        if self.left < 0:
            raise Unreadable(
                "its parameters ask for modules that are much larger than its weights"
            )


@contextmanager
def within_budget(tensors: dict[str, torch.Tensor]) -> Iterator[None]:
    """Let modules be built in the block that are not much larger than these tensors."""
    sizes = [tensor.numel() * tensor.element_size() for tensor in tensors.values()]
    with _Budget(4 * (sum(sizes) + AT_LEAST * len(sizes)) + SLACK):
        yield
