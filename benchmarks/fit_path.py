"""Print the modules of skmix that one fit on a DataFrame runs through.

``sys.setprofile`` notes the module of each call of one of skmix's functions; repeats
in a row are collapsed, so a module is entered when the function called before was in
another one. This is done for the whole fit, and for its part until the first backward
pass, the way of the table to the loss.

    python benchmarks/fit_path.py
"""

import os
import sys
from collections import Counter
from types import FrameType
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import pandas as pd
import torch

from skmix import MixupClassifier

N_ROWS = 200
BACKWARD = torch.Tensor.backward.__code__


def example() -> tuple[pd.DataFrame, np.ndarray]:
    """Return a table with a category and missing values, and labels."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(N_ROWS, 3)), columns=["a", "b", "c"])
    y = (X["a"] + rng.normal(size=N_ROWS) > 0).to_numpy().astype(int)
    X["place"] = pd.Categorical(rng.choice(["here", "there", "else"], N_ROWS))
    X.loc[::7, "b"] = np.nan
    return X, y


class Trace:
    """The modules of skmix in the order of their calls, repeats collapsed."""

    def __init__(self) -> None:
        self.modules: list[str] = []
        self.until_backward: int | None = None

    def __call__(self, frame: FrameType, event: str, arg: Any) -> None:
        if event != "call":
            return
        if frame.f_code is BACKWARD and self.until_backward is None:
            self.until_backward = len(self.modules)
        name = frame.f_globals.get("__name__", "")
        is_ours = name == "skmix" or name.startswith("skmix.")
        if is_ours and (not self.modules or self.modules[-1] != name):
            self.modules.append(name)


def report(title: str, modules: list[str]) -> None:
    entries = Counter(modules)
    print(title)
    for name, n in entries.items():  # in the order of their first call
        print(f"  {name:32}{n:8}")
    print(f"  {len(entries)} modules, {len(modules)} entries\n")


def main() -> None:
    X, y = example()
    classifier, trace = MixupClassifier(random_state=0), Trace()
    sys.setprofile(trace)
    try:
        classifier.fit(X, y)
    finally:
        sys.setprofile(None)
    report("Until the first backward pass:", trace.modules[: trace.until_backward])
    n_epochs = len(classifier.history_)
    report(f"The whole fit, its longest training of {n_epochs} epochs:", trace.modules)


if __name__ == "__main__":
    main()
