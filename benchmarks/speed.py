"""Measure what a fit and a prediction cost: CPU time, growth and peak memory.

Loops without a library and scikit-learn's own network are the yardsticks. Contenders
take turns in a new order every round, and each counts with the minimum of its CPU
times. What others are compared with runs twice a round, under two names: by the ratio
of these two (A/A), which is noise alone, a ratio has to clear a bar to be decided.

    python benchmarks/speed.py

measures all parts and writes benchmarks/results/speed.json; `--part` chooses some of
bars (training and prediction against their bars), grid (a training step, over sizes of
table, batch and net), memory and predict. An interrupted run goes on where it stopped:
what the scratch file (FILE with the suffix .jsonl) holds under the same options is not
measured again, unless by `--fresh`, as after a change of the library; parts that it
does not hold are not in FILE either. `--markdown` measures nothing, and prints the
tables of FILE for docs/speed.md. With `--device
cuda` the nets are on the GPU and times are of the clock on the wall; FILE is then
speed_cuda.json.
"""

import gc
import json
import math
import os
import platform
import random
import resource
import sys
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from itertools import pairwise, product
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch
from common import (
    RESULTS,
    MixedNet,
    about,
    append,
    number,
    parser_of,
    read_report,
    records_in,
    rounded,
    table_lines,
    versions_line,
    write_report,
)
from reference_loop import mlp, train, train_mixed
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from skorch import NeuralNetClassifier
from torch import nn
from tqdm import tqdm

from skmix import MixupClassifier, default_net
from skmix._training.loader import Batches

PARTS = ("bars", "grid", "memory", "predict")
ALPHA = 0.2
LR = 1e-3
ROWS, COLUMNS, WIDTHS = 20_000, 30, [128, 128]  # of the bars
OPTIMIZERS = {"Adam": torch.optim.Adam, "SGD": torch.optim.SGD}
EPOCHS = {  # of the bars, so that runs take some tenths of a second
    (256, "Adam"): 3,
    (32, "Adam"): 1,
    (256, "SGD"): 2,  # skorch's own default
    (1_024, "Adam"): 2,
}
PREDICTED = (1, 100, 100_000)
CHUNKS = (256, 512, 1_024, 2_048, 4_096, 8_192, 16_384)
GRID = {
    "rows": (1_000, 20_000, 200_000),
    "columns": (10, 100),
    "batch_size": (32, 256, 1_024),
    "widths": ([64, 64], [256, 256]),
}
CORNER = {
    "rows": (1_000, 20_000),
    "columns": (100,),
    "batch_size": (32, 256),
    "widths": ([64, 64],),
}
CENTRE = {"rows": 20_000, "columns": 100, "batch_size": 256}  # growth leads through it
GROWTH = [(axis, value) for axis in CENTRE for value in GRID[axis]]

FLOOR = "matrix products alone"
LOOP, MIXED_LOOP = "reference loop", "reference loop, mixup"
SKORCH, MIXED_SKORCH = "skorch", "skorch, mixup in its train step"
ITERATOR = "skorch, our iterator"
OURS, MIXED_OURS = "ours, alpha 0", "ours, alpha 0.2"
ROW_OURS = "ours, alpha 0.2 a row"
FUSED_OURS = "ours, alpha 0.2, fused Adam"
SKLEARN = "MLPClassifier"
PREDICT, PREDICT_64, PREDICT_NET = "ours", "ours, X float64", "the net in ours"
BARE = "bare forward"

# Where it is measured (batch size and optimizer, or rows to predict), what, against
# what, and what the ratio must be at most and aims to be. None: to be seen, not met.
BARS = [
    ((256, "Adam"), OURS, LOOP, 1.15, 1.05),
    ((32, "Adam"), OURS, LOOP, None, None),
    ((256, "Adam"), MIXED_OURS, OURS, 1.10, 1.03),
    ((32, "Adam"), MIXED_OURS, OURS, 1.12, 1.05),
    ((256, "Adam"), ROW_OURS, OURS, None, None),
    ((256, "Adam"), MIXED_OURS, MIXED_LOOP, 1.10, 1.00),
    ((32, "Adam"), MIXED_OURS, MIXED_LOOP, 1.10, 1.00),
    ((256, "Adam"), MIXED_OURS, MIXED_SKORCH, 0.45, 0.33),
    ((256, "SGD"), MIXED_OURS, MIXED_SKORCH, 0.45, 0.33),
    ((1_024, "Adam"), MIXED_OURS, MIXED_SKORCH, 0.45, 0.33),
    ((256, "Adam"), FUSED_OURS, SKLEARN, 0.95, 0.80),
    (1, PREDICT, SKLEARN, 2.0, 1.0),
    (100_000, PREDICT, BARE, 1.25, 1.05),
]


# Contenders: each gets a case ready, and returns what is then timed.


def make_case(
    rows,
    columns,
    widths=WIDTHS,
    batch_size=256,
    epochs=1,
    device="cpu",
    dtype=np.float32,
    optimizer="Adam",
):
    """A table of two classes, and how to train on it."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((rows, columns), dtype=dtype)
    y = (X[:, :5].sum(axis=1) > 0).astype(np.int64)
    options = {"widths": widths, "batch_size": batch_size, "epochs": epochs}
    options |= {"device": device, "optimizer": OPTIMIZERS[optimizer]}
    return SimpleNamespace(X=X, y=y, **options)


def floor(case):
    """The matrix products of the training steps alone, into memory at hand."""
    whole, rest = divmod(len(case.X), case.batch_size)
    sizes = [case.batch_size] * whole + [rest] * (rest > 0)
    products = {size: products_of(case, size) for size in set(sizes)}

    def run():
        for _ in range(case.epochs):
            for size in sizes:
                for left, right, out in products[size]:
                    torch.mm(left, right, out=out)

    return run


def products_of(case, size):
    """The factors and outputs of one step, in the order of the step."""
    forward, backward = [], []
    randn = partial(torch.randn, device=case.device)
    for d_in, d_out in pairwise([case.X.shape[1], *case.widths, 2]):
        x, weight, grad = randn(size, d_in), randn(d_out, d_in), randn(size, d_out)
        step = [(grad.t(), x, randn(d_out, d_in))]
        if forward:  # nobody asks for the gradient of the table
            step.append((grad, weight, randn(size, d_in)))
        forward.append((x, weight.t(), randn(size, d_out)))
        backward = step + backward
    return forward + backward


def loop(case, train=train, **options):
    def run():
        X = torch.from_numpy(case.X).to(case.device)
        y = torch.from_numpy(case.y).to(case.device)
        module = mlp(X.shape[1], case.widths, 2).to(case.device)
        optimizer = case.optimizer(module.parameters(), lr=LR)
        sizes = {"n_epochs": case.epochs, "batch_size": case.batch_size}
        train(module, optimizer, X, y, **sizes, **options)

    return run


def net_of(case, kind=NeuralNetClassifier, **options):
    return kind(
        mlp,
        module__d_in=case.X.shape[1],
        module__widths=case.widths,
        module__d_out=2,
        criterion=nn.CrossEntropyLoss,
        optimizer=case.optimizer,
        lr=LR,
        batch_size=case.batch_size,
        max_epochs=case.epochs,
        train_split=None,
        iterator_train__shuffle=True,
        device=case.device,
        verbose=0,
        **options,
    )


def skorch_net(case, **options):
    return partial(net_of(case, **options).fit, case.X, case.y)


def skorch_float32(case):
    # A plain net refuses float64: its user has to make the copy.
    def run():
        net_of(case).fit(case.X.astype(np.float32, copy=False), case.y)

    return run


def in_memory(dataset, batch_size, shuffle=False):
    """Our iterator for a skorch net: with train_split=None, the table is whole."""
    return Batches(dataset.X, dataset.y, batch_size=batch_size, shuffle=shuffle)


def ours(case, alpha, lam_per="batch", **options):
    net = net_of(case, **options)
    estimator = MixupClassifier(net, alpha=alpha, lam_per=lam_per)
    return partial(estimator.fit, case.X, case.y)


def default_ours(case):
    net = default_net("classifier").set_params(max_epochs=1, device=case.device)
    return partial(MixupClassifier(net, alpha=ALPHA).fit, case.X, case.y)


def sklearn_mlp(case):
    estimator = MLPClassifier(
        case.widths,
        learning_rate_init=LR,
        batch_size=min(case.batch_size, len(case.X)),
        max_iter=case.epochs,
        n_iter_no_change=1_000_000,
        tol=0,
    )
    return partial(estimator.fit, case.X, case.y)


CONTENDERS = {
    FLOOR: floor,
    LOOP: loop,
    MIXED_LOOP: partial(loop, train=train_mixed, alpha=ALPHA),
    SKORCH: skorch_net,
    MIXED_SKORCH: partial(skorch_net, kind=MixedNet),
    ITERATOR: partial(skorch_net, iterator_train=in_memory),
    OURS: partial(ours, alpha=0.0),
    MIXED_OURS: partial(ours, alpha=ALPHA),
    ROW_OURS: partial(ours, alpha=ALPHA, lam_per="row"),
    FUSED_OURS: partial(ours, alpha=ALPHA, optimizer__fused=True),
    SKLEARN: sklearn_mlp,
}


MEMORY = {
    "ours": CONTENDERS[MIXED_OURS],
    "ours, default net": default_ours,
    "skorch (X cast to float32)": skorch_float32,
}


# Units: what is measured, as a dict that tells one from another in the scratch file.


def units_of(part, arguments):
    device, rounds = arguments.device, arguments.rounds
    if part == "bars":
        fits = [bar_unit(*at, rounds, device) for at in EPOCHS]
        sizes = [at for at, *_ in BARS if at not in EPOCHS]
        return fits + [predict_unit(size, rounds, device) for size in sizes]
    if part == "predict":
        return [predict_unit(size, rounds, device) for size in PREDICTED]
    if part == "memory":
        kinds = product(MEMORY, ("float32", "float64"))
        rows = 20_000 if arguments.quick else 200_000
        base = {"kind": "memory", "rows": rows, "columns": 100, "device": device}
        return [base | {"contender": name, "dtype": dtype} for name, dtype in kinds]
    grid = CORNER if arguments.quick else GRID
    cells = [dict(zip(grid, cell, strict=True)) for cell in product(*grid.values())]
    return [grid_unit(cell, arguments.grid_rounds, device) for cell in cells]


def bar_unit(batch_size, optimizer, rounds, device):
    """A fit with whatever the bars of this case name, the loop and the floor."""
    at = (batch_size, optimizer)
    bars = [bar for bar in BARS if bar[0] == at]
    bases = {base for *_, base, _, _ in bars}
    names = bases | {name for _, name, *_ in bars} | {LOOP, FLOOR}
    if at == (256, "Adam"):
        names = set(CONTENDERS)
    cell = {"rows": ROWS, "columns": COLUMNS, "batch_size": batch_size}
    cell |= {"widths": WIDTHS, "epochs": EPOCHS[at], "optimizer": optimizer}
    return fit_unit(cell, names, bases, rounds, device)


def grid_unit(cell, rounds, device):
    names = CONTENDERS.keys() - {FUSED_OURS, ROW_OURS}
    if cell["rows"] == 200_000:
        rounds = 1  # hundreds of steps a run, of minutes a round
        if cell["batch_size"] == 32:
            names -= {SKORCH, MIXED_SKORCH}
    # One epoch of few rows would measure what a fit costs once, not its steps.
    cell = cell | {"epochs": 10 if cell["rows"] == 1_000 else 1, "optimizer": "Adam"}
    return fit_unit(cell, names, {LOOP}, rounds, device)


def fit_unit(cell, names, bases, rounds, device):
    names = [name for name in CONTENDERS if name in names]
    if device == "cuda" and SKLEARN in names:
        names.remove(SKLEARN)
    twice = [name for name in names if name in bases]
    unit = {"kind": "fit", **cell, "contenders": names, "twice": twice}
    return unit | {"rounds": rounds, "device": device}


def predict_unit(rows, rounds, device):
    return {"kind": "predict", "rows": rows, "rounds": rounds, "device": device}


def measure(unit):
    kind = {"fit": measure_fit, "predict": measure_predict, "memory": measure_memory}
    return unit | kind[unit["kind"]](unit)


def measure_fit(unit):
    names = ("rows", "columns", "widths", "batch_size", "epochs", "device", "optimizer")
    case = make_case(**{name: unit[name] for name in names})
    few = {"X": case.X[: 2 * case.batch_size], "y": case.y[: 2 * case.batch_size]}
    warm_up = SimpleNamespace(**vars(case) | few)
    for name in unit["contenders"]:
        CONTENDERS[name](warm_up)()
    ready = {name: partial(CONTENDERS[name], case) for name in unit["contenders"]}
    seconds, again = interleaved(ready, unit)
    steps = unit["epochs"] * math.ceil(unit["rows"] / unit["batch_size"])
    to_loop = {name: t / seconds[LOOP] for name, t in seconds.items()}
    return {
        "steps": steps,
        "left_out": [name for name in CONTENDERS if name not in ready],
        **timings(seconds, again),
        "us_a_step": {name: 1e6 * t / steps for name, t in seconds.items()},
        f"ratio_to_{LOOP.replace(' ', '_')}": to_loop,
    }


def interleaved(ready, unit):
    """Return minima of seconds over the rounds, and those of the second names.

    `ready` holds functions that return what is timed, and do not count themselves.
    """
    slots = [(name, 1) for name in ready] + [(name, 2) for name in unit["twice"]]
    seconds = dict.fromkeys(slots, math.inf)
    order = random.Random(0)
    for _ in tqdm(range(unit["rounds"]), desc="rounds", leave=False):
        for name, turn in order.sample(slots, len(slots)):
            took = seconds_of(ready[name](), unit["device"])
            seconds[name, turn] = min(seconds[name, turn], took)
    first = {name: seconds[name, 1] for name in ready}
    return first, {name: seconds[name, 2] for name in unit["twice"]}


def seconds_of(run, device):
    gc.collect()
    start = clock(device)
    run()
    return clock(device) - start


def clock(device):
    """CPU time, which other processes leave alone; with a GPU, the time on the wall."""
    if device == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def timings(seconds, again):
    return {
        "microseconds": {name: 1e6 * took for name, took in seconds.items()},
        "microseconds_again": {name: 1e6 * took for name, took in again.items()},
        "a_a": {name: took / seconds[name] for name, took in again.items()},
    }


def measure_predict(unit):
    """Time calls that turn a numpy table into numpy probabilities."""
    rows, device = unit["rows"], unit["device"]
    fitted, sklearn_fitted = fitted_estimators(device)
    X = make_case(rows, COLUMNS).X
    X64 = X.astype(np.float64)
    net = fitted.estimator_
    calls = {
        PREDICT: partial(fitted.predict_proba, X),
        PREDICT_64: partial(fitted.predict_proba, X64),
        PREDICT_NET: partial(net.predict_proba, X),
    }
    if device == "cpu":
        calls[SKLEARN] = partial(sklearn_fitted.predict_proba, X)
    module = net.module_.eval()
    bare = {f"{BARE}, {chunk} rows a chunk": chunk for chunk in chunks_of(rows)}
    for name, chunk in bare.items():
        calls[name] = partial(bare_forward, module, X, chunk, device)
    n_calls = 50 if rows <= 100 else 1
    ready = {name: partial(repeated, call, n_calls) for name, call in calls.items()}
    twice = [name for name in calls if name in bare or name == SKLEARN]
    minima = interleaved(ready, unit | {"twice": twice})
    for seconds in minima:
        seconds.update({name: took / n_calls for name, took in seconds.items()})
        seconds[BARE] = min(seconds[name] for name in bare)
    best = min(bare, key=minima[0].get)
    return {"calls": n_calls, "best_chunk": bare[best], **timings(*minima)}


@cache
def fitted_estimators(device):
    case = make_case(ROWS, COLUMNS, device=device)
    fitted = MixupClassifier(net_of(case), alpha=ALPHA).fit(case.X, case.y)
    return fitted, sklearn_mlp(case)() if device == "cpu" else None


def chunks_of(rows):
    return sorted({min(chunk, rows) for chunk in CHUNKS})


def bare_forward(module, X, chunk, device):
    with torch.inference_mode():
        parts = torch.from_numpy(X).to(device).split(chunk)
        outputs = [module(part).softmax(dim=1) for part in parts]
        return torch.cat(outputs).cpu().numpy()


def repeated(call, n_calls):
    def run():
        for _ in range(n_calls):
            call()

    return run


def measure_memory(unit):
    """Measure in a process of its own, which no other fit has made grow."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh:
        beyond = fresh.submit(memory_of_fit, unit).result()
    copy = 4 * unit["rows"] * unit["columns"]
    return {"bytes": beyond, "float32_copies": beyond / copy}


def memory_of_fit(unit):
    """Bytes by which a fit raises the peak of a process that holds X and y already."""
    contender = MEMORY[unit["contender"]]
    make = partial(make_case, device=unit["device"], dtype=unit["dtype"])
    contender(make(2_000, unit["columns"]))()
    run = contender(make(unit["rows"], unit["columns"]))
    before = peak_memory()
    run()
    return peak_memory() - before


def peak_memory():
    # On Linux a process starts with the ru_maxrss of the one that started it, which
    # could hide the growth. VmHWM is its own.
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    for line in lines:
        if line.startswith("VmHWM:"):
            return 1024 * int(line.split()[1])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


# Results: from the scratch file to the JSON to tables.


def found(records, unit):
    """Return the last record of `unit`, or None."""
    fits = (r for r in reversed(records) if all(r.get(k) == unit[k] for k in unit))
    return next(fits, None)


def measure_missing(units, scratch, fresh):
    """Measure what the scratch file does not hold yet; return all that it holds."""
    records = records_in(scratch)
    if fresh:
        records = [r for r in records if not any(found([r], unit) for unit in units)]
        scratch.write_text("".join(json.dumps(record) + "\n" for record in records))
    for unit in tqdm(units, desc="units", smoothing=0):
        if found(records, unit) is None:
            records.append(json.loads(json.dumps(measure(unit))))
            append(scratch, records[-1:])
    return records


def results_of(records, arguments):
    """Return the parts all of whose units are measured, and what follows from them."""
    parts = {}
    for part in PARTS:
        measured = [found(records, unit) for unit in units_of(part, arguments)]
        if None not in measured:
            parts[part] = measured
    if "bars" in parts:
        measured = parts["bars"]
        parts["bars"] = [bar_of(measured, bar, arguments.device) for bar in BARS]
        parts["bars"] = [bar for bar in parts["bars"] if bar]
        parts["fit"] = [record for record in measured if record["kind"] == "fit"]
    if "grid" in parts:
        parts["growth"] = growth_of(parts["grid"])
    return parts


def bar_of(records, bar, device):
    """Decide a bar; return None if a side of it was not measured."""
    at, name, base, must, aim = bar
    if at in EPOCHS:
        case = {"kind": "fit", "batch_size": at[0], "optimizer": at[1]}
    else:
        case = {"kind": "predict", "rows": at}
    record = found(records, case)
    took, a_a = record["microseconds"], record["a_a"]
    if name not in took or base not in took:
        return None
    if device != "cpu":
        must = aim = None  # the bars are of CPU time
    ratio, noise = took[name] / took[base], max(a_a[base], 1 / a_a[base])
    return {
        "ratio_of": name if at in EPOCHS else f"predict_proba, {name}",
        "to": base,
        **case,
        "ratio": ratio,
        "a_a": a_a[base],
        "must": must,
        "must_is": verdict(ratio, must, noise),
        "aim": aim,
        "aim_is": verdict(ratio, aim, noise),
    }


def verdict(ratio, bar, noise):
    if bar is None:
        return None
    if ratio * noise <= bar:
        return "met"
    return "missed" if ratio / noise > bar else "undecided"


def growth_of(grid):
    """Milliseconds an epoch along each axis of the grid, through its centre."""
    growth = []
    widths = [widths for widths in GRID["widths"] if found(grid, {"widths": widths})]
    for width, name in product(widths, grid[0]["contenders"]):
        epochs = {}
        for axis, value in GROWTH:
            record = found(grid, CENTRE | {axis: value, "widths": width}) or {}
            took = record.get("microseconds", {}).get(name)
            epoch = took and took / record["epochs"] / 1e3
            epochs.setdefault(axis, {})[str(value)] = epoch
        growth.append({"widths": width, "contender": name, "ms_an_epoch": epochs})
    return growth


def markdown(result):
    lines = [
        f"{result['date']}, {result['processor']}, {result['threads']} thread: "
        f"{versions_line(result)}; {result['clock']}.",
        "",
    ]
    tables = {
        "bars": ("Bars", bars_table),
        "fit": (
            "A training step of the bars' net, µs (and times the floor)",
            fits_table,
        ),
        "grid": ("A training step, µs", grid_table),
        "growth": ("An epoch, ms", growth_table),
        "memory": ("Peak memory of a fit beyond the table", memory_table),
        "predict": ("A call of predict_proba, µs", predict_table),
    }
    for part, (title, table) in tables.items():
        if part in result:
            lines += [f"{title}:", "", printed(table(result[part])), ""]
    return "\n".join(lines)


def printed(rows):
    return "\n".join(table_lines(rows))


def where(bar):
    if bar["kind"] == "fit":
        return f"batch {bar['batch_size']:,}, {bar['optimizer']}"
    return f"{bar['rows']:,} row" + "s" * (bar["rows"] > 1)


def bars_table(bars):
    rows = [["ratio of", "to", "where", "ratio", "A/A", "must", "aim"]]
    for bar in bars:
        row = [bar["ratio_of"], bar["to"], where(bar)]
        row += [f"{bar['ratio']:.3f}", f"{bar['a_a']:.3f}"]
        for name in ("must", "aim"):
            limit = bar[name]
            row.append("" if limit is None else f"{limit:.2f}: {bar[name + '_is']}")
        rows.append(row)
    return rows


def fits_table(records):
    heads = (f"batch {r['batch_size']:,}, {r['optimizer']}" for r in records)
    rows = [["contender", *heads]]
    for name in records[0]["contenders"]:
        row = [name]
        for record in records:
            took = record["us_a_step"]
            times = f" ({took[name] / took[FLOOR]:.2f})" if name in took else ""
            row.append(number(took.get(name)) + times)
        rows.append(row)
    return rows


def grid_table(records):
    names = max((record["contenders"] for record in records), key=len)
    rows = [["rows", "columns", "batch", "net", "rounds", *names, "A/A"]]
    for record in records:
        row = [f"{record[size]:,}" for size in ("rows", "columns", "batch_size")]
        row += [net_name(record["widths"]), str(record["rounds"])]
        row += [number(record["us_a_step"].get(name)) for name in names]
        rows.append([*row, f"{record['a_a'][LOOP]:.3f}"])
    return rows


def growth_table(growth):
    rows = [["net", "contender"]]
    heads = {"rows": "{:,} rows", "columns": "{} columns", "batch_size": "batch {:,}"}
    rows[0] += [heads[axis].format(value) for axis, value in GROWTH]
    for line in growth:
        epochs = line["ms_an_epoch"]
        row = [number(epochs[axis][str(value)]) for axis, value in GROWTH]
        rows.append([net_name(line["widths"]), line["contender"], *row])
    return rows


def memory_table(records):
    rows = [["contender", "X", "MB", "float32 copies of X"]]
    for record in records:
        shape = f"{record['dtype']}, {record['rows']:,} x {record['columns']}"
        size = [f"{record['bytes'] / 1e6:.0f}", f"{record['float32_copies']:.2f}"]
        rows.append([record["contender"], shape, *size])
    return rows


def predict_table(records):
    rows = [["contender", *(f"rows: {record['rows']:,}" for record in records)]]
    names = (PREDICT, PREDICT_64, PREDICT_NET, SKLEARN, BARE)
    for name in (name for name in names if name in records[0]["microseconds"]):
        rows.append([name, *(number(r["microseconds"][name]) for r in records)])
    for name in (SKLEARN, BARE):
        if name in records[0]["a_a"]:
            rows.append([f"A/A of {name}", *(f"{r['a_a'][name]:.3f}" for r in records)])
    rows.append(["best rows a chunk", *(f"{r['best_chunk']:,}" for r in records)])
    return rows


def net_name(widths):
    return f"{len(widths)}x{widths[0]}"


def describe_machine(device):
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = (line.split(":")[1].strip() for line in lines if "model name" in line)
    result = about("numpy", "torch", "skorch", "scikit-learn", "skmix")
    result["versions"] = {"python": platform.python_version()} | result["versions"]
    machine = result | {
        "processor": next(models, platform.processor()),
        "threads": torch.get_num_threads(),
        "device": device,
        "clock": "CPU time" if device == "cpu" else "wall-clock time",
    }
    if device == "cuda":
        machine["processor"] += ", " + torch.cuda.get_device_name()
    return machine


def main():
    parser = parser_of(__doc__, tables=False)
    parser.add_argument("--part", choices=PARTS, nargs="+", default=PARTS)
    parser.add_argument("--out", type=Path, help="where to write the JSON")
    parser.add_argument("--rounds", type=int, default=40, help="of bars and predict")
    parser.add_argument("--grid-rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="a corner of the grid")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--fresh", action="store_true", help="measure all parts anew")
    parser.add_argument("--markdown", action="store_true", help="print tables of --out")
    arguments = parser.parse_args()
    name = "speed.json" if arguments.device == "cpu" else "speed_cuda.json"
    out = arguments.out or RESULTS / name
    if arguments.markdown:
        print(markdown(read_report(out)))
        return
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", category=ConvergenceWarning)
    units = []
    for unit in (u for part in arguments.part for u in units_of(part, arguments)):
        if unit not in units:  # bars and predict share some
            units.append(unit)
    records = measure_missing(units, out.with_suffix(".jsonl"), arguments.fresh)
    result = describe_machine(arguments.device)
    result |= {"rounds": arguments.rounds, "grid_rounds": arguments.grid_rounds}
    result |= results_of(records, arguments)
    result = rounded(result, 6)
    write_report(out, result)
    print(markdown(result))


if __name__ == "__main__":
    main()
