"""How often a training that diverged is told, and how often one that did not is.

Many quick fits where nothing can be learnt (labels and targets drawn beside the
columns, with tails of every weight), of which a warning is a false alarm; and fits
by steps far too large, of which no warning is a miss. What counts as told is a
ConvergenceWarning, or the error for losses that are no finite numbers.

    python benchmarks/convergence.py             # writes results/convergence.json
"""

import os
import warnings
from collections import defaultdict

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch
from common import PACKAGES, RESULTS, about, parser_of, write_report
from sklearn.exceptions import ConvergenceWarning
from skorch import NeuralNetClassifier, NeuralNetRegressor
from torch import nn

from skmix import MixupClassifier, MixupRegressor
from skmix._training.epoch import Diverged

OUT = RESULTS / "convergence.json"
SGD, ADAM = torch.optim.SGD, torch.optim.Adam
# Task, optimizer, lr and epochs of trainings that lead nowhere.
TOO_LARGE = [
    *[("classifier", SGD, lr, 1) for lr in (1.0, 10.0, 100.0, 1e3)],
    ("classifier", SGD, 1e3, 10),
    ("classifier", ADAM, 1e3, 10),
    ("regressor", SGD, 0.1, 10),
    ("regressor", SGD, 0.1, 1),
    ("regressor", ADAM, 10.0, 1),
    ("regressor", ADAM, 100.0, 10),
]


class Linear(nn.Module):
    def __init__(self, d_in, d_out):
        super().__init__()
        self.layer = nn.Linear(d_in, d_out)

    def forward(self, X):
        return self.layer(X)


class Perceptron(nn.Module):
    def __init__(self, d_in, d_out):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(d_in, 16), nn.ReLU(), nn.Linear(16, d_out)
        )

    def forward(self, X):
        return self.layers(X)


def is_told(task, X, y, *, alpha, seed, module=Linear, **params):
    """Whether a fit says that training may have, or has, diverged."""
    params = {"train_split": None, "verbose": 0} | params
    if task == "classifier":
        net = NeuralNetClassifier(module, criterion=nn.CrossEntropyLoss, **params)
        estimator = MixupClassifier(net, alpha=alpha, random_state=seed)
    else:
        net = NeuralNetRegressor(module, **params)
        estimator = MixupRegressor(net, alpha=alpha, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        try:
            estimator.fit(X, y)
        except (ConvergenceWarning, Diverged):
            return True
    return False


def nothing_to_learn(seed):
    """Return a name and the arguments of `is_told` for a fit that learns nothing."""
    rng = np.random.default_rng(seed)
    n = int(rng.choice([20, 60, 150, 400]))
    scaled = bool(rng.integers(2))
    X = rng.normal(size=(n, 5))
    kind = str(rng.choice(["labels", "normal", "lognormal", "t(3)", "Cauchy"]))
    draw = {
        "labels": lambda: rng.permutation(np.arange(n) % 2),
        "normal": lambda: rng.normal(size=n),
        "lognormal": lambda: rng.lognormal(sigma=2, size=n),
        "t(3)": lambda: rng.standard_t(3, size=n),
        "Cauchy": lambda: rng.standard_cauchy(size=n),
    }
    y = draw[kind]()
    if kind == "labels":
        X = X if scaled else X * 10 + 30
    else:
        y = y / y.std() if scaled else y * 1000
    return f"{kind}, {'scaled' if scaled else 'unscaled'}", {
        "task": "classifier" if kind == "labels" else "regressor",
        "X": X,
        "y": y,
        "seed": seed,
        "module": Perceptron if rng.integers(2) else Linear,
        "optimizer": ADAM,
        "lr": float(rng.choice([1e-4, 1e-3, 1e-2])),
        "alpha": float(rng.choice([0, 0.2, 1])),
        "batch_size": int(rng.choice([8, 16, 32, -1])),
        "max_epochs": int(rng.choice([2, 3, 5, 10, 20])),
    }


def too_large(task, optimizer, lr, n_epochs, seed):
    """Return a name and the arguments of `is_told` for a fit by steps too large."""
    rng = np.random.default_rng(seed)
    X = rng.normal([50, 1000, 0], [20, 300, 1], size=(150, 3))
    y = X[:, 0] + X[:, 1] + rng.normal(size=150)
    if task == "classifier":
        y = (X[:, 2] + rng.normal(size=150) > 0).astype(int)
    module = Perceptron if seed % 2 else Linear
    name = f"{task}, {module.__name__}, {optimizer.__name__}, lr={lr:g}"
    return f"{name}, epochs={n_epochs}", {
        "module": module,
        "task": task,
        "X": X,
        "y": y,
        "seed": seed,
        "optimizer": optimizer,
        "lr": lr,
        "alpha": float(rng.choice([0, 0.2, 1])),
        "batch_size": 16,
        "max_epochs": n_epochs,
    }


def measure(n_fits, n_seeds):
    """Count fits and those told of, by what was fitted."""
    counts = {"nothing to learn": defaultdict(list), "too large": defaultdict(list)}
    for seed in range(n_fits):
        name, fit = nothing_to_learn(seed)
        counts["nothing to learn"][name].append(is_told(**fit))
    for case in TOO_LARGE:
        for seed in range(n_seeds):
            name, fit = too_large(*case, seed)
            counts["too large"][name].append(is_told(**fit))
    return {
        group: {
            name: {"fits": len(told), "told": sum(told)}
            for name, told in sorted(by_name.items())
        }
        for group, by_name in counts.items()
    }


def main():
    parser = parser_of(__doc__, tables=False)
    parser.add_argument("--fits", type=int, default=1000, help="without a signal")
    parser.add_argument("--seeds", type=int, default=20, help="of each case")
    options = parser.parse_args()
    counts = measure(options.fits, options.seeds)
    for group, by_name in counts.items():
        told = sum(count["told"] for count in by_name.values())
        fits = sum(count["fits"] for count in by_name.values())
        print(f"{group}: {told} of {fits} told")
        for name, count in by_name.items():
            print(f"  {name:<45} {count['told']:>4} of {count['fits']}")
    write_report(OUT, about(*PACKAGES, "skorch") | counts)


if __name__ == "__main__":
    main()
