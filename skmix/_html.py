"""What a notebook shows of an estimator: its parameters, and the net that it fits."""

from dataclasses import dataclass
from typing import Any

from skorch import NeuralNet

from skmix._training.skorch_compat import AsGiven


@dataclass
class Block:
    """What scikit-learn reads of a block that `_sk_visual_block_` returns."""

    kind: str  # "parallel" around others, or "single"
    estimators: Any
    names: Any
    name_details: Any
    name_caption: str | None = None
    doc_link_label: str | None = None
    dash_wrapped: bool = True

    def _sk_visual_block_(self) -> "Block":
        return self


def block_around(net: NeuralNet, *, default: bool) -> Block:
    """Return the block of an estimator that fits a net.

    Of the net it has the parameters that differ from skorch's defaults, which are many.

    Parameters
    ----------
    net : skorch.NeuralNet
    default : bool
        Whether it is the default net, which the user has not passed.
    """
    kind = type(net).__name__
    name = f"{kind} (default)" if default else kind
    inner = Block("single", net, name, repr(AsGiven(net)))
    return Block("parallel", [inner], ["estimator"], [None])
