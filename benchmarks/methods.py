"""What each way of mixing gains and costs, against mixup at the input.

Every table of a folder is cut to 2,000 rows and fitted by the default estimators in
folds, as `quality.py` does, once for each setting below; all of them mix at alpha 0.2
unless their name says otherwise. The cost is the CPU time of a training step of a
perceptron of two layers of 128, 256 rows a batch, all settings taking turns in one
process; and of pairings, by a large table (which looks inside skmix).

    python benchmarks/methods.py --data DIR      # measures gains
    python benchmarks/methods.py --costs         # measures costs, into methods.json
    python benchmarks/methods.py --report        # writes gains to methods.json
    python benchmarks/methods.py --markdown      # prints the table of methods.json

Each fit is a line of results/methods.jsonl, and what is there is not measured again;
delete it to start afresh, as after a change of the library.
"""

import os
import time
from functools import partial
from itertools import product
from typing import Any, NamedTuple

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import pandas as pd
import torch
from common import (
    MAX_ROWS,
    PACKAGES,
    RESULTS,
    TASKS,
    about,
    counts,
    fold_of,
    loss_of,
    measure_all,
    parser_of,
    read_report,
    records_in,
    rows_of,
    sample_of,
    tables_or_exit,
    titled,
    write_report,
)
from sklearn.datasets import make_classification
from skorch import NeuralNetClassifier, NeuralNetRegressor
from torch import nn

from skmix import MixupClassifier, MixupRegressor
from skmix._mixing.sampler import MixupSampler
from skmix._tables.columns import TrainingSet
from skmix.mixing import FeatMix, NoisyFeatures, OwnMajor, Prob, Remix, Warped
from skmix.pairing import NAMED, Nearest, SimilarTarget
from skmix.schedules import Schedule

SCRATCH, OUT = RESULTS / "methods.jsonl", RESULTS / "methods.json"
BASE, PLAIN = "mixup at the input", "not mixed"
OF_NUMBERS = "C-Mixup"  # settings of regressors alone begin so
ALPHA = 0.2  # unless a setting says otherwise
SETTINGS = {  # parameters of the estimators
    BASE: {"layers": "input"},
    PLAIN: {"alpha": 0},
    "alpha 1": {"layers": "input", "alpha": 1.0},
    "lam per row": {"layers": "input", "lam_per": "row"},
    "behind the embedding": {"layers": "embedding"},
    "Manifold Mixup": {"layers": ["input", "embedding", "members.3"]},
    "Manifold Mixup, alpha 2": {
        "layers": ["input", "embedding", "members.3"],
        "alpha": 2.0,
    },
    "CutMix": {"mixing": "cutmix"},
    "CutMix, alpha 1": {"mixing": "cutmix", "alpha": 1.0},
    "CutMix per row": {"mixing": "cutmix", "lam_per": "row"},
    "Feat-Mix, alpha 0.5": {"mixing": FeatMix(), "lam_per": "row", "alpha": 0.5},
    "Hidden-Mix, alpha 0.5": {
        "mixing": "cutmix",
        "layers": "embedding",
        "lam_per": "row",
        "alpha": 0.5,
    },
    "own row major": {"mixing": OwnMajor(), "layers": "input", "lam_per": "row"},
    "prob 0.5": {"mixing": Prob(0.5), "layers": "input"},
    "warped by distance, alpha 1": {
        "mixing": Warped(),
        "layers": "input",
        "lam_per": "row",
        "alpha": 1.0,
    },
    "noisy feature mixup": {
        "mixing": NoisyFeatures(),
        "layers": ["input", "embedding"],
    },
    "Remix": {"mixing": Remix(), "lam_per": "row"},
    "same class": {"pairing": "same_class", "layers": "input"},
    "other class": {"pairing": "other_class", "layers": "input"},
    "other class, own row major": {
        "pairing": "other_class",
        "mixing": OwnMajor(),
        "lam_per": "row",
    },
    "nearest, k 10": {"pairing": "nearest", "layers": "input"},
    "nearest, k 10, alpha 1": {"pairing": "nearest", "layers": "input", "alpha": 1.0},
    "nearest, k 50, alpha 1": {"pairing": Nearest(50), "layers": "input", "alpha": 1.0},
    "C-Mixup, bandwidth 1": {"pairing": SimilarTarget(1.0), "layers": "input"},
    "C-Mixup, bandwidth 1, alpha 2": {
        "pairing": SimilarTarget(1.0),
        "layers": "input",
        "alpha": 2.0,
    },
    "C-Mixup, bandwidth 0.1": {"pairing": SimilarTarget(0.1), "layers": "input"},
    "C-Mixup, bandwidth 0.1, alpha 2": {
        "pairing": SimilarTarget(0.1),
        "layers": "input",
        "alpha": 2.0,
    },
    "C-Mixup, bandwidth 0.1, behind the embedding": {
        "pairing": SimilarTarget(0.1),
        "layers": "embedding",
    },
    "C-Mixup, bandwidth 0.1, behind the embedding, alpha 2": {
        "pairing": SimilarTarget(0.1),
        "layers": "embedding",
        "alpha": 2.0,
    },
    "RegMixup": {"clean_weight": 1.0, "layers": "input"},
    "RegMixup, alpha 10": {"clean_weight": 1.0, "layers": "input", "alpha": 10.0},
    "warm-up of 10 epochs": {"alpha": Schedule(0.2, warm_up=10), "layers": "input"},
    "off after 20 epochs": {"alpha": Schedule(0.2, off_after=20), "layers": "input"},
}
CLASSES_ONLY = (
    "Remix",
    "same class",
    "other class",
    "other class, own row major",
)
ROUNDS, EPOCHS = 40, (2, 6)  # between which a step is measured


def settings_of(task):
    """Names of the settings that there are for a task."""
    classify = task == "classification"
    return [
        name
        for name in SETTINGS
        if not (name.startswith(OF_NUMBERS) if classify else name in CLASSES_ONLY)
    ]


# Gains: one unit is one fit.


class Unit(NamedTuple):
    table: Any
    fold: int
    setting: str


def measure(unit):
    """Fit a fold; return its score, fit for JSON."""
    table, fold, setting = unit
    classify = table.task == "classification"
    X, y = sample_of(table, MAX_ROWS)
    train, test = fold_of(X, y, classify, fold)
    kind = MixupClassifier if classify else MixupRegressor
    model = kind(random_state=0, **{"alpha": ALPHA} | SETTINGS[setting])
    start = time.process_time()
    model.fit(X.iloc[train], y[train])
    record = {"setting": setting, "table": table.name, "task": table.task, "fold": fold}
    record |= {"fit_s": time.process_time() - start, "epochs": model.n_iter_}
    return record | {"loss": loss_of(model, X.iloc[test], y[test])}


def units_of(tables, folds):
    """Return the fits that are not known yet."""
    known = {(r["table"], r["fold"], r["setting"]) for r in records_in(SCRATCH)}
    return [
        Unit(table, fold, setting)
        for fold, table in product(folds, tables)
        for setting in settings_of(table.task)
        if (table.name, fold, setting) not in known
    ]


# Costs: settings take turns, and the minimum of each counts.


class Perceptron(nn.Module):
    """Two layers of 128, whose parts have the names of those of the default net."""

    def __init__(self, d_in, d_out):
        super().__init__()
        self.embedding = nn.Identity()
        sizes = [(d_in, 128), (128, 128)]
        blocks = [part for size in sizes for part in (nn.Linear(*size), nn.ReLU())]
        self.members = nn.Sequential(*blocks, nn.Linear(128, d_out))

    def forward(self, X):
        return self.members(self.embedding(X))


def costs():
    """Return CPU time of a step of each setting, in us, and of the first one again.

    It is the difference of fits of a few epochs more and less, so that what is done
    once a fit is charged to no step.
    """
    torch.set_num_threads(1)
    X, y = make_classification(2048, 20, n_informative=10, random_state=0)
    X = X.astype(np.float32)
    names = (*SETTINGS, "LISA", "A/A", f"{OF_NUMBERS}: {BASE}")
    fits = {(name, n): maker(name, n, X, y) for name in names for n in EPOCHS}
    best, turns = dict.fromkeys(fits, np.inf), list(fits)
    rng = np.random.default_rng(0)
    for fit in fits.values():
        fit()  # what is loaded once is charged to nobody
    for _ in range(ROUNDS):
        for turn in rng.permutation(len(turns)):
            key = turns[turn]
            start = time.process_time()
            fits[key]()
            best[key] = min(best[key], time.process_time() - start)
    few, many = EPOCHS
    n_steps = (many - few) * len(X) // 256
    return {
        name: round(1e6 * (best[name, many] - best[name, few]) / n_steps, 1)
        for name in names
    }


def maker(name, n_epochs, X, y):
    """A function that fits some epochs by a setting."""
    kind, task, fit_params = MixupClassifier, "classifier", {}
    params = SETTINGS.get(name, SETTINGS[BASE])
    if name == "LISA":
        params, fit_params["groups"] = {"pairing": "lisa"}, np.arange(len(y)) % 4
    if name.startswith(OF_NUMBERS):
        kind, task = MixupRegressor, "regressor"
        y = X[:, 0] + np.sin(X[:, 1])
    of_net, criterion = NeuralNetRegressor, {}
    if task == "classifier":
        of_net, criterion = NeuralNetClassifier, {"criterion": nn.CrossEntropyLoss}
    net = of_net(
        Perceptron,
        optimizer=torch.optim.Adam,
        batch_size=256,
        max_epochs=n_epochs,
        train_split=None,
        **criterion,
    )
    estimator = kind(net, random_state=0, **{"alpha": ALPHA} | params)
    return partial(estimator.fit, X, y, **fit_params)


LARGE = 1_000_000  # rows of 20 columns, and batches of 256


def pairing_costs():
    """Return seconds to prepare a pairing for a large table, and us to draw a step."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(LARGE, 20)).astype(np.float32)
    labels, numbers = rng.integers(10, size=LARGE), rng.normal(size=LARGE)
    groups, rows = rng.integers(50, size=LARGE), np.arange(LARGE)
    batches = rng.integers(LARGE, size=20 * 256)
    found = {}
    for name in NAMED:
        of_numbers = name == "similar_target"
        task, y = ("regressor", numbers) if of_numbers else ("classifier", labels)
        sampler = MixupSampler(alpha=1, lam_per="batch", seed=0, pairing=name)
        start = time.process_time()
        sampler.bind(TrainingSet(X, y, rows, all_groups=groups, task=task))
        prepared, steps = time.process_time() - start, []
        for _ in range(ROUNDS):
            start = time.process_time()
            sampler.draw(256, 20, rows=batches)
            steps.append((time.process_time() - start) / 20)
        found[name] = [round(prepared, 2), round(1e6 * min(steps))]
    return found


# Reports.


def summarise(records):
    """Compare each setting with mixup at the input, and with no mixing."""
    scores = pd.DataFrame(records)
    wide = scores.pivot_table(
        index=["task", "table", "fold"], columns="setting", values="loss"
    )
    rows = []
    for task in TASKS:
        losses = np.log(wide.loc[task]).dropna(axis=1, how="all").dropna()
        for setting in settings_of(task):
            row = {"task": task, "setting": setting}
            for base, prefix in ((BASE, ""), (PLAIN, "plain_")):
                change = losses[setting] - losses[base]
                by_table = change.groupby("table").mean()
                row[f"{prefix}ratio"] = np.exp(by_table.mean())
                row[f"{prefix}error"] = by_table.sem()
                row[f"{prefix}won"], _, row[f"{prefix}lost"] = counts(by_table)
            row["tables"], row["folds"] = len(by_table), len(change) / len(by_table)
            row["plain_by_table"] = np.exp(by_table).to_dict()  # against no mixing
            rows.append(row)
    return rows_of(pd.DataFrame(rows))


def markdown(result):
    """Return one table for each task."""
    times, lines = result["step_us"], []
    for task in TASKS:
        loss = "log loss" if task == "classification" else "RMSE"
        head = ["setting", f"{loss} / input mixup", "won / lost"]
        head += ["/ not mixed", "won / lost", "time a step"]
        rows = [row for row in result["gains"] if row["task"] == task]
        count = f"{rows[0]['tables']} tables, {rows[0]['folds']:.0f} fold(s)"
        table = [head]
        for row in rows:
            cells = [row["setting"]]
            for prefix in ("", "plain_"):
                cells.append(
                    f"{row[prefix + 'ratio']:.3f} ± {row[prefix + 'error']:.3f}"
                )
                cells.append(f"{row[prefix + 'won']} / {row[prefix + 'lost']}")
            of_numbers = row["setting"].startswith(OF_NUMBERS)
            base = times[f"{OF_NUMBERS}: {BASE}" if of_numbers else BASE]
            table.append([*cells, f"{times[row['setting']] / base:.2f}"])
        lines += titled(f"{task.title()}, {count}", table)
    again = times["A/A"] / times[BASE]
    lisa = times["LISA"] / times[BASE]
    lines += [f"A/A of the times: {again:.2f}; LISA: {lisa:.2f}.", ""]
    table = [["pairing", "prepared once a fit, s", "drawn for a batch of 256, µs"]]
    for name, (prepared, step) in result["pairings"].items():
        table.append([f'`"{name}"`', f"{prepared:.2f}", f"{step}"])
    title = f"Partners of {LARGE:,} rows of 20 columns, CPU time"
    return "\n".join([*lines, *titled(title, table)])


def update(found):
    """Put what was found into the JSON, beside what is there."""
    result = read_report(OUT) if OUT.exists() else {}
    write_report(OUT, result | about(*PACKAGES) | found)


def main():
    parser = parser_of(__doc__)
    parser.add_argument("--folds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--costs", action="store_true", help="measure time a step")
    parser.add_argument("--report", action="store_true", help="write the JSON")
    parser.add_argument("--markdown", action="store_true", help="print its tables")
    args = parser.parse_args()
    if args.costs:
        update({"step_us": costs(), "pairings": pairing_costs()})
    if args.report:
        update({"gains": summarise(records_in(SCRATCH))})
    if args.markdown:
        print(markdown(read_report(OUT)))
    if not (args.costs or args.report or args.markdown):
        units = units_of(tables_or_exit(args.data), args.folds)
        measure_all(units, args.jobs, SCRATCH, measure)


if __name__ == "__main__":
    main()
