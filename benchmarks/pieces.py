"""Take a training step and a single prediction to pieces, and time each.

Where benchmarks/speed.py shows that something costs more than it should, this shows
what: minima of CPU time over many repetitions, one thread, in microseconds. (It looks
inside skmix, which speed.py does not.)

    python benchmarks/pieces.py

prints two tables, and writes benchmarks/results/pieces.json; `--markdown` prints those
of the file.
"""

import os
import time
from functools import partial
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch
from common import RESULTS, parser_of, read_report, write_report
from reference_loop import mlp
from sklearn.utils.validation import validate_data
from speed import COLUMNS, ROWS, WIDTHS, describe_machine, make_case, net_of, printed

from skmix import MixupClassifier
from skmix._mixing.mixup import lerp_steps
from skmix._mixing.sampler import MixupSampler
from skmix._tables.columns import copied, take
from skmix._training.loader import Batches
from skmix._training.loss import Targets, losses_of_steps
from skmix._training.predict import in_chunks
from skmix._training.skorch_compat import as_module_dtype

OUT = RESULTS / "pieces.json"
BATCH_SIZES = (256, 32)
REPETITIONS = 60


def microseconds(pieces, per=1):
    """Minimum CPU time of each piece, the pieces taking turns."""
    best = dict.fromkeys(pieces, np.inf)
    for _ in range(REPETITIONS):
        for name, run in pieces.items():
            start = time.process_time()
            for _ in range(20):
                run()
            best[name] = min(best[name], time.process_time() - start)
    return {name: 1e6 * took / 20 / per for name, took in best.items()}


def pieces_of_a_step(batch_size):
    """What a chunk of steps costs, a step; and what each step costs on its own."""
    torch.manual_seed(0)
    case = make_case(ROWS, COLUMNS, batch_size=batch_size)
    net = net_of(case).initialize()
    batches = Batches(case.X, case.y, batch_size=batch_size, shuffle=True)
    sampler = MixupSampler(alpha=0.2, lam_per="batch", seed=0)
    chunk = next(batches.chunks())
    size, n = chunk.batch_size, chunk.n_batches
    draw = sampler.draw(size, n)
    partner = torch.from_numpy(draw.partner)
    X_partner, y_partner = take(chunk.X, partner), take(chunk.y, partner)
    chunks = {
        "gather the rows": partial(batches.take, chunk.rows),
        "mixing: draw partners and lam": partial(sampler.draw, size, n),
        "mixing: gather the partners": lambda: (
            take(chunk.X, partner),
            take(chunk.y, partner),
        ),
        "mixing: interpolate": lambda: lerp_steps(chunk.X, X_partner.clone(), draw.lam),
        "mixing: labels and their shares": partial(
            losses_of_steps, net, Targets(chunk.y, y_partner, draw.lam), n
        ),
    }
    x = copied(chunk.X, chunk.part(0))
    output = net.module_(x).detach().requires_grad_()
    plain = losses_of_steps(net, Targets(chunk.y), n)[0]
    mixed = losses_of_steps(net, Targets(chunk.y, y_partner, draw.lam), n)[0]
    steps = {
        "copy the batch": partial(copied, chunk.X, chunk.part(0)),
        "forward": partial(net.module_, x),
        "forward and backward, without a loss": lambda: net.module_(x).sum().backward(),
        "loss and its gradient": lambda: plain(output).backward(),
        "mixing: loss of both labels and its gradient": lambda: mixed(
            output
        ).backward(),
        "torch's zero_grad": net.optimizer_.zero_grad,
        "update by Adam": updates(case),
        "update by Adam, fused": updates(case, fused=True),
    }
    return microseconds(chunks, n) | microseconds(steps)


def updates(case, **options):
    """Updates of a module of its own by the gradients of one pass."""
    module = mlp(COLUMNS, WIDTHS, 2)
    module(torch.from_numpy(case.X[:32])).sum().backward()
    return torch.optim.Adam(module.parameters(), **options).step


def pieces_of_a_prediction():
    """What it takes to predict a single row, in the order it is done."""
    case = make_case(ROWS, COLUMNS)
    fitted = MixupClassifier(net_of(case), random_state=0).fit(case.X, case.y)
    net, row = fitted.estimator_, case.X[:1]
    twin, tensor = in_chunks(net, row), torch.from_numpy(row)
    logits = net.module_(tensor).detach()
    with torch.no_grad():
        return microseconds(
            {
                "predict_proba, whole": partial(fitted.predict_proba, row),
                "scikit-learn's check of a table": partial(
                    validate_data, fitted, row, reset=False
                ),
                "twin of the net": partial(in_chunks, net, row),
                "copy of the row": partial(as_module_dtype, net, row, copy=True),
                "forward": partial(net.module_, tensor),
                "skorch's predict_proba, by the twin": partial(twin.predict_proba, row),
                "softmax": partial(torch.softmax, logits, dim=-1),
            }
        )


def tables(result):
    """Markdown tables of the pieces."""
    steps = result["step"]
    of_step = [["a step, µs", *(f"batch {size}" for size in steps)]]
    for name in next(iter(steps.values())):
        cells = (f"{pieces[name]:.1f}" for pieces in steps.values())
        of_step.append([name, *cells])
    of_prediction = [["a prediction of one row, µs", ""]]
    for name, took in result["prediction"].items():
        of_prediction.append([name, f"{took:.1f}"])
    return f"{printed(of_step)}\n\n{printed(of_prediction)}"


def main():
    parser = parser_of(__doc__, tables=False)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--markdown", action="store_true", help="print tables of --out")
    arguments = parser.parse_args()
    if not arguments.markdown:
        torch.set_num_threads(1)
        result = describe_machine("cpu")
        result["step"] = {size: pieces_of_a_step(size) for size in BATCH_SIZES}
        result["prediction"] = pieces_of_a_prediction()
        write_report(arguments.out, result)
    print(tables(read_report(arguments.out)))


if __name__ == "__main__":
    main()
