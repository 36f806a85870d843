"""Compare a search over alphas by vectorized nets with searches fit by fit.

Five alphas in five folds are 25 nets. They are trained in four ways, all for the same
epochs, with the same folds and without early stopping: `ours` is `MixupClassifierCV`;
`grid` is scikit-learn's `GridSearchCV` over our `MixupClassifier`; `stock` is the same
over a skorch net whose training step mixes, as one would write it by hand; `stock-2` is
`stock` in two processes. A last fit on all rows is timed nowhere: `ours` needs none.

    python benchmarks/search.py --speed          # times, on synthetic rows
    python benchmarks/search.py --tables         # times and scores, on real tables
    python benchmarks/search.py --all-rows       # the same, on all rows of the largest
    python benchmarks/search.py --report         # writes results/search.json
    python benchmarks/search.py --table          # prints the tables of search.json

In each round all ways take turns in a new order, on one thread, and each counts with
the minimum of its CPU times; of `stock-2`, whose children have clocks of their own,
it is the time on the wall, as it is for all with `--device cuda`. Of the small nets,
`ours` takes several turns a round, because it is short. It runs under two names: by the
ratio of these two (A/A), which is noise alone, a ratio has to clear a bar to be
decided.

Real tables are in the folder `--data`, by default what the environment variable
SKMIX_DATA names. Their times are of one run, and their log loss is that of fresh rows.

Each round, and each fit to a table, is a line of results/search.jsonl, and what is
there is not measured again; delete it to start afresh, as after a change of the
library. `--scratch PATH.jsonl` takes another file, whose JSON is then PATH.json; with
`--device cuda` they are search_cuda.jsonl and search_cuda.json, and there are rounds
of 250 nets, too.
"""

import argparse
import datetime
import gc
import json
import os
import random
import sys
import time
from collections import defaultdict
from functools import cache
from itertools import product
from pathlib import Path
from typing import NamedTuple

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch
from common import (
    MAX_ROWS,
    PACKAGES,
    RESULTS,
    MixedNet,
    append,
    fold_of,
    records_in,
    row_of,
    sample_of,
    tables_in,
    versions_of,
)
from quality import flat_columns
from reference_loop import mlp
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV
from skorch import NeuralNetClassifier
from torch import nn
from tqdm import tqdm

from skmix import MixupClassifier, MixupClassifierCV

ALPHAS, FOLDS = [0, 0.1, 0.2, 0.5, 1], 5
MANY_ALPHAS, MANY_FOLDS = [0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1, 2], 25
FEW, MANY = len(ALPHAS) * FOLDS, len(MANY_ALPHAS) * MANY_FOLDS  # members
OURS, AGAIN, BLEND = "ours", "ours again", "ours-blend"
GRID, STOCK, STOCK_2 = "grid", "stock", "stock-2"

# Width of both layers, rows a batch, and rows.
SHAPES = [(32, 32, 1_000), (64, 64, 1_000), (256, 256, 1_000), (256, 256, 10_000)]
LARGE = 256  # the width from which on arithmetic dominates
TURNS = 5  # of ours, a round, unless nets are large
EPOCHS, LARGE_EPOCHS = 20, 3

TABLES = ("sonar", "credit-g", "phoneme", "adult")
LARGEST = "adult"
TABLE_SHAPE, TABLE_EPOCHS = {"hidden": 64, "batch_size": 64}, 30
ALL_SHAPE, ALL_EPOCHS = {"hidden": 64, "batch_size": 256}, 5

# Where it is measured, against what, and how many times as fast ours must be and aims
# to be. Large nets must not be above 1.1 times the separate fits.
BARS = [
    ((32, 32, 1_000), STOCK, 15, 25),
    ((32, 32, 1_000), GRID, 4, 7),
    ((64, 64, 1_000), STOCK, 7, 12),
    ((64, 64, 1_000), GRID, 3, 5),
    ((256, 256, 1_000), GRID, 1 / 1.1, None),
    ((256, 256, 10_000), GRID, 1 / 1.1, None),
]


# Searches: each way is ready to be fitted to a case.


class Case(NamedTuple):
    X: np.ndarray
    y: np.ndarray
    hidden: int
    batch_size: int
    epochs: int
    members: int
    device: str

    @property
    def alphas(self):
        return ALPHAS if self.members == FEW else MANY_ALPHAS

    @property
    def folds(self):
        return FOLDS if self.members == FEW else MANY_FOLDS


def case_of(unit, X, y):
    names = ("hidden", "batch_size", "epochs", "members", "device")
    return Case(X, y, **{name: unit[name] for name in names})


def search_of(way, case):
    if way in (OURS, AGAIN):
        return ours(case, ensemble=True)
    if way == BLEND:
        return ours(case, ensemble="blend")
    if way == GRID:
        return grid(MixupClassifier(net_of(case), random_state=0), case)
    seed_stock()
    return grid(net_of(case, MixedNet), case, n_jobs=2 if way == STOCK_2 else 1)


def ours(case, ensemble):
    return MixupClassifierCV(
        net_of(case),
        alphas=case.alphas,
        cv=case.folds,
        ensemble=ensemble,
        random_state=0,
    )


def grid(estimator, case, n_jobs=1):
    return GridSearchCV(
        estimator,
        {"alpha": case.alphas},
        cv=case.folds,
        scoring="neg_log_loss",
        refit=False,
        n_jobs=n_jobs,
    )


def net_of(case, kind=NeuralNetClassifier):
    return kind(
        mlp,
        module__d_in=case.X.shape[1],
        module__widths=[case.hidden, case.hidden],
        module__d_out=len(np.unique(case.y)),
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        lr=0.01,
        batch_size=case.batch_size,
        max_epochs=case.epochs,
        train_split=None,
        iterator_train__shuffle=True,
        device=case.device,
        verbose=0,
    )


def seed_stock():
    """A skorch net has no random state, and draws from what all share."""
    torch.manual_seed(0)
    MixedNet.rng = np.random.default_rng(0)


def seconds_of(search, case):
    """Fit a search; return its CPU time, and that on the wall."""
    gc.collect()
    start = clocks(case.device)
    search.fit(case.X, case.y)
    return [now - then for now, then in zip(clocks(case.device), start, strict=True)]


def clocks(device):
    if device == "cuda":
        torch.cuda.synchronize()
    return time.process_time(), time.perf_counter()


# Units: what is measured, as a dict that tells one from another in the scratch file.


def units_of(args):
    """Return what is asked for and not known yet."""
    units = speed_units(args) if args.speed else []
    if args.tables:
        ways = (OURS, BLEND, GRID, STOCK)
        options = TABLE_SHAPE | {"epochs": args.epochs or TABLE_EPOCHS}
        for name, way in product(args.sets, ways):
            units.append(table_unit(name, MAX_ROWS, way, args.device, options))
    if args.all_rows:
        options = ALL_SHAPE | {"epochs": args.epochs or ALL_EPOCHS}
        for way in (OURS, STOCK):
            units.append(table_unit(LARGEST, None, way, args.device, options))
    known = records_in(args.scratch)
    return [u for u in units if not any(u.items() <= r.items() for r in known)]


def speed_units(args):
    """Rounds of all shapes take turns, so that none has the bad minutes alone."""
    units = []
    cells = product(range(args.rounds), args.members, args.configs)
    for of_round, members, (hidden, batch_size, rows) in cells:
        epochs = args.epochs or (EPOCHS if hidden < LARGE else LARGE_EPOCHS)
        unit = {"kind": "speed", "hidden": hidden, "batch_size": batch_size}
        unit |= {"rows": rows, "epochs": epochs, "members": members}
        units.append(unit | {"device": args.device, "round": of_round})
    return units


def table_unit(name, max_rows, way, device, options):
    unit = {"kind": "table", "table": name, "max_rows": max_rows, "way": way}
    return unit | options | {"members": FEW, "device": device}


def measure(unit, tables):
    if unit["kind"] == "speed":
        return unit | measure_round(unit)
    return unit | measure_table(unit, tables)


def measure_round(unit):
    """Return seconds of each turn of each way, by both clocks."""
    case = case_of(unit, *synthetic(unit["rows"]))
    n_turns = TURNS if unit["hidden"] < LARGE else 1
    turns = [OURS, AGAIN] * n_turns + [GRID, STOCK, STOCK_2]
    warm_up(OURS, GRID, STOCK, members=case.members, device=case.device)
    cpu, wall = defaultdict(list), defaultdict(list)
    for way in random.Random(unit["round"]).sample(turns, len(turns)):
        if way == STOCK_2:
            # Its processes end when they have long had nothing to do.
            fit_small(STOCK_2, case.members, case.device)
        took = seconds_of(search_of(way, case), case)
        cpu[way].append(took[0])
        wall[way].append(took[1])
    return {"cpu_s": cpu, "wall_s": wall}


def synthetic(rows):
    X, y = make_classification(rows, 20, n_informative=10, random_state=0)
    return X.astype(np.float32), y


@cache
def warm_up(*ways, members, device):
    """Fit something small, so that no search is charged with what is loaded once."""
    for way in ways:
        fit_small(way, members, device)


def fit_small(way, members, device):
    case = Case(*synthetic(200), 8, 32, epochs=1, members=members, device=device)
    search_of(way, case).fit(case.X, case.y)


def measure_table(unit, tables):
    """Search on one fold; return what it took, and its score, fit for JSON."""
    X, y = sample_of(tables[unit["table"]], unit["max_rows"] or sys.maxsize)
    train, test = fold_of(X, y, True, 0)
    columns = flat_columns().fit(X.iloc[train])
    X = columns.transform(X).astype(np.float32)
    case, way = case_of(unit, X[train], y[train]), unit["way"]
    warm_up(way, members=case.members, device=case.device)
    search = search_of(way, case)
    cpu, wall = seconds_of(search, case)
    proba = predictor_of(search, case).predict_proba(X[test])
    return {
        "rows": len(train),
        "cpu_s": cpu,
        "wall_s": wall,
        "log_loss": log_loss(y[test], proba, labels=np.unique(y)),
        "alphas": shares_of(search),
    }


def predictor_of(search, case):
    """What predicts: the search, or one fit by its best alpha to all of its rows."""
    if isinstance(search, MixupClassifierCV):
        return search
    seed_stock()
    best = clone(search.estimator).set_params(**search.best_params_)
    return best.fit(case.X, case.y)


def shares_of(search):
    """The alpha that was chosen, or those that were blended, with their shares."""
    if isinstance(search, GridSearchCV):
        return {f"{search.best_params_['alpha']:g}": 1.0}
    pairs = zip(search.cv_results_["param_alpha"], search.alpha_weights_, strict=True)
    return {f"{alpha:g}": float(share) for alpha, share in pairs if share > 0}


# Reports.


def report(records, device):
    """Return what is in the JSON."""
    result = {
        "date": datetime.date.today().isoformat(),
        "versions": versions_of(*PACKAGES, "skorch"),
        "threads": 1,
        "device": device,
        "speed": speed_rows([r for r in records if r["kind"] == "speed"]),
        "tables": [r for r in records if r["kind"] == "table"],
    }
    return json.loads(
        json.dumps(result), parse_float=lambda x: float(f"{float(x):.5g}")
    )


def speed_rows(records):
    """Minima over all rounds, and their ratios, of each shape."""
    names = ("hidden", "batch_size", "rows", "epochs", "members", "device")
    groups, rows = defaultdict(list), []
    for record in records:
        groups[tuple(record[name] for name in names)].append(record)
    for key, rounds in groups.items():
        row = dict(zip(names, key, strict=True)) | {"rounds": len(rounds)}
        wall = minima(rounds, "wall_s")
        took = minima(rounds, "cpu_s") if row["device"] == "cpu" else wall
        row["seconds"] = {way: took[way] for way in (OURS, AGAIN, GRID, STOCK)}
        row["wall_seconds"] = wall
        row["ratio"] = {way: took[way] / took[OURS] for way in (GRID, STOCK)}
        row["ratio"][STOCK_2] = wall[STOCK_2] / wall[OURS]
        row["a_a"] = took[OURS] / took[AGAIN]
        rows.append(row)
    return rows


def minima(rounds, clock):
    return {way: min(min(r[clock][way]) for r in rounds) for way in rounds[0][clock]}


def markdown(result):
    versions = ", ".join(f"{k} {v}" for k, v in result["versions"].items())
    lines = [f"{result['date']}, {result['threads']} thread, {versions}.", ""]
    speed = speed_table(result["speed"])
    return "\n".join([*lines, *speed, "", *scores_table(result["tables"])])


def speed_table(rows):
    head = ["net", "batch", "rows", "epochs", "nets", "rounds"]
    head += [f"{OURS}, s", f"{GRID}, s", f"{STOCK}, s"]
    head += [f"{GRID} / {OURS}", "must, aim", f"{STOCK} / {OURS}", "must, aim"]
    head += [f"{STOCK_2} / {OURS}, wall", "A/A"]
    lines = [row_of(head), row_of(["---"] * len(head))]
    for row in rows:
        cells = [f"2x{row['hidden']}"]
        cells += [f"{row[name]:,}" for name in ("batch_size", "rows", "epochs")]
        cells += [f"{row['members']}", f"{row['rounds']}"]
        cells += [number(row["seconds"][way]) for way in (OURS, GRID, STOCK)]
        for way in (GRID, STOCK):
            cells += [number(row["ratio"][way]), bar_of(row, way)]
        cells += [number(row["ratio"][STOCK_2]), f"{row['a_a']:.3f}"]
        lines.append(row_of(cells))
    return lines


def bar_of(row, way):
    """What a ratio must be, and aims to be; bars are of 25 nets, on a CPU."""
    if (row["members"], row["device"]) != (FEW, "cpu"):
        return "-"
    shape = row["hidden"], row["batch_size"], row["rows"]
    bars = [bar[2:] for bar in BARS if bar[:2] == (shape, way)]
    return ", ".join(number(x) for x in bars[0] if x is not None) if bars else "-"


def scores_table(records):
    head = ["table", "rows", "epochs", "way", "CPU s", f"/ {OURS}", "wall s"]
    head += ["log loss", "alpha"]
    lines = [row_of(head), row_of(["---"] * len(head))]
    for record in records:
        ours = [r for r in records if like_ours(r, record)]
        clock = "cpu_s" if record["device"] == "cpu" else "wall_s"
        ratio = number(record[clock] / ours[0][clock]) if ours else "-"
        cells = [record["table"], f"{record['rows']:,}", f"{record['epochs']}"]
        cells += [record["way"], number(record["cpu_s"]), ratio]
        cells += [number(record["wall_s"]), f"{record['log_loss']:.4f}"]
        lines.append(row_of([*cells, alphas_of(record["alphas"])]))
    return lines


def like_ours(other, record):
    """Whether a record is that of ours under the same conditions."""
    names = ("table", "max_rows", "epochs", "device")
    return other["way"] == OURS and all(other[n] == record[n] for n in names)


def alphas_of(shares):
    if len(shares) == 1:
        return next(iter(shares))
    return ", ".join(f"{alpha} ({share:.0%})" for alpha, share in shares.items())


def number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def shape_of(text):
    """Read 32x32 or 32x32x1000; for argparse."""
    hidden, batch_size, *rows = map(int, text.split("x"))
    (rows,) = rows or [1_000]
    return hidden, batch_size, rows


def read_arguments():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    data = Path(os.environ.get("SKMIX_DATA", "data"))
    add("--data", type=Path, default=data, help="folder of tables")
    add("--speed", action="store_true", help="measure on synthetic rows")
    add("--tables", action="store_true", help="measure on samples of real tables")
    add("--all-rows", action="store_true", help=f"measure on all rows of {LARGEST}")
    add("--report", action="store_true", help="write the JSON")
    add("--table", action="store_true", help="print the tables of the JSON")
    add("--rounds", type=int, default=8, help="of synthetic rows")
    add("--epochs", type=int, help="of each fit, instead of those of the part")
    help = "width x batch size, x rows if they are not 1,000"
    add("--configs", type=shape_of, nargs="+", default=SHAPES, help=help)
    help = "nets of a search of synthetic rows"
    add("--members", type=int, nargs="+", choices=(FEW, MANY), help=help)
    add("--sets", nargs="+", choices=TABLES, default=TABLES, help="real tables")
    add("--device", choices=("cpu", "cuda"), default="cpu")
    add("--scratch", type=Path, help="lines of what was measured, a .jsonl")
    args = parser.parse_args()
    if args.device == "cuda" and not torch.cuda.is_available():
        parser.error("there is no CUDA here")
    if not (args.speed or args.tables or args.all_rows or args.report or args.table):
        parser.error("pass --speed, --tables, --all-rows, --report or --table")
    if args.members is None:
        args.members = [FEW] if args.device == "cpu" else [FEW, MANY]
    if args.scratch is None:
        name = "search.jsonl" if args.device == "cpu" else "search_cuda.jsonl"
        args.scratch = RESULTS / name
    return args


def main():
    args = read_arguments()
    torch.set_num_threads(1)
    tables = {table.name: table for table in tables_in(args.data)}
    if (args.tables or args.all_rows) and not tables:
        sys.exit(f"Found no tables in {args.data}. Pass --data DIR.")
    args.scratch.parent.mkdir(parents=True, exist_ok=True)
    for unit in tqdm(units_of(args), smoothing=0):
        append(args.scratch, [measure(unit, tables)])
    out = args.scratch.with_suffix(".json")
    if args.report:
        result = report(records_in(args.scratch), args.device)
        out.write_text(json.dumps(result, indent=1) + "\n")
    if args.table:
        print(markdown(json.loads(out.read_text())))


if __name__ == "__main__":
    main()
