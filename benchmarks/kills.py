"""Whether long runs that are killed and started again end as if they had not been.

Each of four runs (or of the first `--runs`) is started in a process of its own, killed
(SIGKILL) at a random moment, and started again until it ends; what it returns is
compared bit for bit with the run that nobody killed. States are kept after every epoch
here, so that kills meet many writes. Needs `os.fork`: Linux or macOS.

    python benchmarks/kills.py --kills 30   # or more; writes results/kills.json
    python benchmarks/kills.py --markdown   # prints the table of kills.json
"""

import os
import signal
import sys
import tempfile
import time
import traceback
import warnings
from functools import partial
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import joblib
import numpy as np
import torch
from common import (
    PACKAGES,
    RESULTS,
    about,
    parser_of,
    read_report,
    table_lines,
    write_report,
)
from sklearn.datasets import load_diabetes, load_wine
from sklearn.preprocessing import scale
from skorch import NeuralNetClassifier
from torch import nn

from skmix import (
    MixupClassifier,
    MixupClassifierCV,
    MixupRegressorCV,
    default_net,
)
from skmix._long_runs import checkpoints
from skmix.inspection import mixup_effect

OUT = RESULTS / "kills.json"
RUNS = {}  # by name: a function of a folder, or None, that returns arrays


def run(name):
    def register(function):
        RUNS[name] = function
        return function

    return register


def small(task, **params):
    sizes = {"module__k": 1, "module__d_block": 8, "max_epochs": 12}
    return default_net(task).set_params(**(sizes | params))


def own_net(**params):
    def mlp(d_in, d_out):
        hidden = nn.Linear(d_in, 16), nn.ReLU(), nn.Dropout(0.2)
        return nn.Sequential(*hidden, nn.Linear(16, d_out))

    shared = {"criterion": nn.CrossEntropyLoss, "optimizer": torch.optim.Adam}
    shared |= {"lr": 0.01, "max_epochs": 12, "train_split": None, "verbose": 0}
    return NeuralNetClassifier(mlp, **(shared | params))


@run("`MixupClassifierCV()`, members trained together")
def classifier(folder):
    X, y = wine()
    options = {"cv": 2, "alphas": (0, 1), "random_state": 0, "checkpoint": folder}
    search = MixupClassifierCV(small("classifier"), **options).fit(X, y)
    return [search.predict_proba(X), search.oof_proba_, search.curves_]


@run("`MixupRegressorCV(ensemble=False)`, and the net on all rows")
def regressor(folder):
    X, y = (part[:200] for part in load_diabetes(return_X_y=True))
    options = {"cv": 2, "alphas": (0, 1), "random_state": 0, "checkpoint": folder}
    options["ensemble"] = False
    net = small("regressor", max_epochs=8)
    search = MixupRegressorCV(net, **options).fit(X, y)
    return [search.predict(X), search.oof_prediction_, search.curves_]


@run("`MixupClassifierCV(clean_weight=1)`, members trained one by one")
def one_by_one(folder):
    X, y = wine()
    options = {"cv": 3, "random_state": 0, "checkpoint": folder, "clean_weight": 1}
    search = MixupClassifierCV(own_net(), **options).fit(X, y)
    return [search.predict_proba(X), search.oof_proba_, search.curves_]


@run("`mixup_effect` of a `MixupClassifier`")
def effect(folder):
    model = MixupClassifier(small("classifier", max_epochs=3))
    options = {"cv": 3, "n_repeats": 1, "random_state": 0, "checkpoint": folder}
    found = mixup_effect(model, *wine(), **options)
    return [found.table.to_numpy(), found.scores.to_numpy()]


def wine():
    X, y = load_wine(return_X_y=True)
    return scale(X), y


# Kills.


def forked(function, path):
    """Start a process that writes what a function returns; return its number."""
    child = os.fork()
    if child:
        return child
    try:
        warnings.simplefilter("ignore")
        joblib.dump(function(), path)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def ended(child):
    """Wait for a process; return whether it ended by itself, and not by SIGKILL."""
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        sys.exit("A run failed.")
    return os.WIFEXITED(status)


def uninterrupted(work, folder):
    """Return what a run returns, and how many seconds it takes with checkpoints."""
    path = folder / "result"
    ended(forked(partial(work, None), path))
    start = time.perf_counter()
    ended(forked(partial(work, folder / "whole"), folder / "other"))
    return joblib.load(path), time.perf_counter() - start


def killed_until_it_ends(work, folder, seconds, rng):
    """Return what a run that is killed again and again returns, and how often it was.

    And how many of the kills came in the middle of a write, by what they left.
    """
    n_kills, kept, path = 0, folder / "kept", folder / "result"
    while True:
        child = forked(partial(work, kept), path)
        time.sleep(rng.uniform(0, seconds))
        os.kill(child, signal.SIGKILL)
        if ended(child):
            return joblib.load(path), n_kills, len(list(kept.glob("*.tmp")))
        n_kills += 1


def measure(name, n_kills, rng):
    """Kill a run at least so often; return what came of it."""
    row = {"run": name, "kills": 0, "in a write": 0, "ends": 0, "equal": 0}
    with tempfile.TemporaryDirectory() as folder:
        expected, seconds = uninterrupted(RUNS[name], Path(folder))
    while row["kills"] < n_kills:
        with tempfile.TemporaryDirectory() as folder:
            found = killed_until_it_ends(RUNS[name], Path(folder), seconds, rng)
        result, kills, in_a_write = found
        row["kills"] += kills
        row["in a write"] += in_a_write
        row["ends"] += 1
        row["equal"] += all(map(equal, result, expected))
    return row


def equal(one, other):
    if one.dtype == object:
        return joblib.hash(one) == joblib.hash(other)
    return one.tobytes() == other.tobytes()


def markdown(rows):
    head = ["run", "kills", "of them in a write", "ends", "equal bit for bit"]
    names = ("run", "kills", "in a write", "ends", "equal")
    return "\n".join(table_lines([head, *([str(r[n]) for n in names] for r in rows)]))


def main():
    parser = parser_of(__doc__, tables=False)
    parser.add_argument("--kills", type=int, default=30, help="at least, in all")
    parser.add_argument("--runs", type=int, default=len(RUNS), help="the first ones")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=OUT, help="the JSON")
    parser.add_argument("--markdown", action="store_true", help="print its table")
    args = parser.parse_args()
    if args.markdown:
        print(markdown(read_report(args.out)["summary"]))
        return
    checkpoints.INTERVAL, checkpoints.SHARE = 0.0, np.inf  # after every epoch
    torch.set_num_threads(1)
    rng = np.random.default_rng(args.seed)
    runs = list(RUNS)[: args.runs]
    n_kills = -(-args.kills // len(runs))
    rows = [measure(name, n_kills, rng) for name in runs]
    write_report(args.out, about(*PACKAGES) | {"summary": rows})
    print(markdown(rows))


if __name__ == "__main__":
    main()
