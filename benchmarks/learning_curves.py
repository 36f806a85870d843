"""Learning curves: what mixing itself adds to a net, by the number of training rows.

The default net is stripped of its regularisers (`plain`), and gets one of them back:
mixing, dropout, label smoothing or weight decay. Each is tried at three strengths, with
the same epochs, stopping, seeds and rows, and reported at its middle strength, and at
the best of the three. `all` is the default recipe with mixing, `all-plain` the same at
alpha 0; `best` and `best without mixup` choose among all that is tried but these.

    python benchmarks/learning_curves.py --data DIR    # measures
    python benchmarks/learning_curves.py --report      # writes learning_curves.json
    python benchmarks/learning_curves.py --table       # prints the tables of the JSON
    python benchmarks/learning_curves.py --readme      # prints the table of README.md
    python benchmarks/learning_curves.py --draw        # draws docs/learning_curves.svg

DIR is as in benchmarks/quality.py, and so are the tables. A third of a table, at most
2,000 rows, is for testing only. Of the rest each repeat draws its training rows, evenly
over the classes and nested: 50 of them are among the next 100. Every fifth one is for
validation, which stops the training and chooses the strength; what is reported of the
fit that is chosen is its score on the test rows.

Each fit is a line of results/learning_curves.jsonl, and what is there is not measured
again, unless by `--fresh`. The JSON has means over repeats, of those repeats of a table
and size that have all of their fits.
"""

import os
import sys
import time
from collections import defaultdict
from functools import partial
from itertools import product
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import pandas as pd
from common import (
    PACKAGES,
    RESULTS,
    TIE,
    Table,
    about,
    dump,
    last_records,
    listed,
    loss_of,
    measure_all,
    parser_of,
    read_report,
    sample_of,
    scores_of_classes,
    spread,
    table_lines,
    tables_or_exit,
    titled,
    versions_line,
    versions_of,
)
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator
from quality import all_versions, warm_up
from sklearn.model_selection import train_test_split
from torch.nn import CrossEntropyLoss
from torch.nn.functional import cross_entropy

from skmix import MixupClassifier, default_net
from skmix._default_net import smoothing_for

FIGURE = Path(__file__).resolve().parents[1] / "docs" / "learning_curves.svg"
TABLES = (  # rows enough, and no class so rare that a small sample would lack it
    *("adult", "bank-marketing", "electricity", "higgs-7k5", "hotel-bookings"),
    *("jm1", "magic-telescope", "phoneme", "splice", "telco-churn"),
)
MAX_ROWS = 10_000  # of a table, before rows are held out
N_TEST = 2_000
SIZES = (50, 100, 200, 400, 1_600)
SCORES = ("ll", "acc", "bacc", "ece")


class Trial(NamedTuple):
    name: str
    strength: float


REGULARISERS = {
    "mixup": (0.1, 0.2, 0.5),
    "dropout": (0.1, 0.3, 0.5),
    "label smoothing": (0.02, 0.05, 0.1),
    "weight decay": (0.01, 0.1, 0.3),
}
PARAMETERS = {  # of which these are values; alpha otherwise
    "dropout": "estimator__module__dropout",
    "label smoothing": "estimator__criterion__label_smoothing",
    "weight decay": "estimator__optimizer__weight_decay",
}
BARE = dict.fromkeys(PARAMETERS.values(), 0)
TRIED = {name: [Trial(name, s) for s in REGULARISERS[name]] for name in REGULARISERS}
PLAIN, ALL_PLAIN, ALL = Trial("plain", 0), Trial("all", 0), Trial("all", 0.2)
OTHERS = [PLAIN, *TRIED["dropout"], *TRIED["label smoothing"], *TRIED["weight decay"]]
SINGLE = [*OTHERS, *TRIED["mixup"]]
TRIALS = [*SINGLE, ALL_PLAIN, ALL]
VARIANTS = {  # the trials among which validation chooses
    "plain": [PLAIN],
    **{name: tried[1:2] for name, tried in TRIED.items()},
    **{f"{name}, best": tried for name, tried in TRIED.items()},
    "best without mixup": OTHERS,
    "best": SINGLE,
    "all-plain": [ALL_PLAIN],
    "all": [ALL],
}


# Models: the default net with one regulariser, or with all of its own.


class SmoothedTraining(CrossEntropyLoss):
    """Smooths labels in training only, so that all trials are stopped by log loss."""

    def forward(self, input, target):
        if self.training:
            return super().forward(input, target)
        return cross_entropy(input, target)


def estimator_of(trial, n_train, seed):
    net = default_net("classifier").set_params(criterion=SmoothedTraining)
    estimator = MixupClassifier(net, alpha=0, random_state=seed)
    # As "auto" does, which is for torch's own criterion.
    own = {"estimator__criterion__label_smoothing": smoothing_for(n_train)}
    estimator.set_params(**(own if trial.name == "all" else BARE))
    return estimator.set_params(**{PARAMETERS.get(trial.name, "alpha"): trial.strength})


# Rows: the same ones for all trials.


def test_and_pool(y):
    """Return the rows to test on, and those to draw training rows from."""
    options = {"test_size": min(N_TEST, len(y) // 3), "random_state": 0, "stratify": y}
    return train_test_split(np.arange(len(y)), **options)[::-1]


def evenly(y, seed):
    """Return an order in which the first n rows, for any n, are a stratified sample."""
    shuffled = np.random.default_rng(seed).permutation(len(y))
    position = np.empty(len(y))
    for label in np.unique(y):
        rows = shuffled[y[shuffled] == label]
        position[rows] = (np.arange(len(rows)) + 0.5) / len(rows)
    return np.argsort(position, kind="stable")


def train_and_valid(y, rows):
    """Hold out every fifth row, evenly over the classes."""
    by_class = rows[np.argsort(y[rows], kind="stable")]
    held_out = np.arange(len(rows)) % 5 == 2
    return by_class[~held_out], by_class[held_out]


# Measuring: one unit is one fit.


class Unit(NamedTuple):
    table: Table
    n: int
    repeat: int
    trial: Trial

    def key(self):
        return (self.table.name, self.n, self.repeat, self.trial)


def key_of(record):
    trial = Trial(record["trial"], record["strength"])
    return (record["set"], record["n"], record["repeat"], trial)


def measure(unit):
    """Fit a trial to n rows; return its scores and costs, fit for JSON."""
    X, y = sample_of(unit.table, MAX_ROWS)
    test, pool = test_and_pool(y)
    if unit.n > len(pool):
        raise ValueError(f"Got {unit.n} rows to draw, but expected up to {len(pool)}.")
    rows = pool[evenly(y[pool], unit.repeat)][: unit.n]
    train, valid = train_and_valid(y, rows)
    warm_up("ours", True)
    estimator = estimator_of(unit.trial, len(train), unit.repeat)
    start = time.process_time()
    estimator.fit(X.iloc[train], y[train], X_val=X.iloc[valid], y_val=y[valid])
    fit_s = time.process_time() - start
    proba = spread(
        estimator.predict_proba(X.iloc[test]), estimator.classes_, y.max() + 1
    )
    scores = scores_of_classes(y[test], proba)
    return {
        **{"set": unit.table.name, "n": unit.n, "repeat": unit.repeat},
        **{"trial": unit.trial.name, "strength": unit.trial.strength},
        **{"n_valid": len(valid), "n_test": len(test)},
        "ll_valid": loss_of(estimator, X.iloc[valid], y[valid]),
        **{name: scores[name] for name in SCORES},
        **{"n_epochs": estimator.n_iter_, "fit_s": fit_s},
        "versions": versions_of(*PACKAGES),
    }


# Results: lines of the scratch file, and the means that go into the JSON.


def report(known):
    """Return what is in the JSON: mean scores of each variant, by table and size."""
    cells = defaultdict(dict)
    for (*cell, trial), record in known.items():
        cells[tuple(cell)][trial] = record
    whole = [cell for cell in cells.values() if cell.keys() >= {*TRIALS}]
    if not whole:
        sys.exit("No table and size has all of its fits yet.")
    chosen = pd.DataFrame([choice(cell, name) for cell in whole for name in VARIANTS])
    means = {name: (name, "mean") for name in (*SCORES, "fit_s")}
    scores = chosen.groupby(["set", "n", "variant"]).agg(
        repeats=("ll", "count"), **means, chosen=("chosen", list)
    )
    scores[[*means]] = scores[[*means]].map(lambda score: float(f"{score:.4g}"))
    return {
        **about(),
        "versions": all_versions(known.values()),
        "max_rows": MAX_ROWS,
        "threads": 1,
        "scores": scores.reset_index().to_dict("records"),
    }


def choice(cell, variant):
    """Return the scores of the trial that is best in validation, and costs of all."""
    tried = [cell[trial] for trial in VARIANTS[variant]]
    best = min(tried, key=itemgetter("ll_valid"))
    return {
        **{name: best[name] for name in ("set", "n", *SCORES)},
        **{"variant": variant, "chosen": f"{best['trial']} {best['strength']}"},
        "fit_s": sum(record["fit_s"] for record in tried),
    }


def ratios(scores):
    """Return log-ratios of log loss to that of `plain`, over tables."""
    plain = scores[scores["variant"] == "plain"].set_index(["set", "n"])["ll"]
    both = scores.join(plain.rename("plain"), on=["set", "n"])
    both["log"] = np.log(both["ll"] / both["plain"])
    return both.groupby(["variant", "n"])["log"].agg(
        mean="mean",
        error="sem",
        won=lambda logs: (logs < -TIE).sum(),
        lost=lambda logs: (logs > TIE).sum(),
    )


# Tables in Markdown and a figure, of the JSON.


def markdown(result):
    scores = pd.DataFrame(result["scores"])
    about = (
        f"{result['date']}, {scores['set'].nunique()} tables, means of at most "
        f"{scores['repeats'].max()} repeats, {result['threads']} thread. "
        f"{versions_line(result)}."
    )
    head = ["", *(f"{n:,} rows" for n in sorted(scores["n"].unique()))]
    compared = ratios(scores)
    compared = [[v, *map(ratio_cell, compared.loc[v].itertuples())] for v in VARIANTS]
    levels = [level_row(scores[scores["variant"] == v], v) for v in VARIANTS]
    title = (
        "Log loss relative to `plain`: geometric mean over tables ± standard error "
        f"(tables won/lost by more than {TIE:.1%})"
    )
    lines = titled(title, [head, *compared[1:]])
    title = "Accuracy / ECE in percent, means over tables; CPU seconds of all sizes"
    lines += titled(title, [[*head, "CPU s a table"], *levels])
    return "\n".join([about, "", *lines])


def readme(result):
    """The table of README.md: mixing and another regulariser against neither."""
    scores = pd.DataFrame(result["scores"])
    compared = ratios(scores)
    rows = [["", *(f"{n:,} rows" for n in sorted(scores["n"].unique()))]]
    for variant in ("mixup", "label smoothing"):
        found = compared.loc[variant]
        cells = [ratio_cell(row).partition(" (")[0] for row in found.itertuples()]
        rows.append([variant, *cells])
    return "\n".join(table_lines(rows))


def ratio_cell(row):
    ratio = np.exp(row.mean)
    error = "" if np.isnan(row.error) else f" ± {ratio * row.error:.3f}"
    return f"{ratio:.3f}{error} ({row.won:.0f}/{row.lost:.0f})"


def level_row(scores, variant):
    means = scores.groupby("n")[["acc", "ece"]].mean() * 100
    cells = [f"{acc:.1f} / {ece:.1f}" for _, acc, ece in means.itertuples()]
    return [variant, *cells, f"{scores.groupby('set')['fit_s'].sum().mean():.1f}"]


STYLES = {  # colours of Okabe and Ito, which the colour-blind can tell apart
    "plain": ("#000000", "o"),
    "mixup": ("#D55E00", "s"),
    "dropout": ("#0072B2", "^"),
    "label smoothing": ("#009E73", "D"),
    "weight decay": ("#CC79A7", "v"),
    "all-plain": ("#888888", "<"),
    "all": ("#000000", ">"),
    "best without mixup": ("#E69F00", "X"),
    "best": ("#56B4E9", "P"),
}
PANELS = {
    "One regulariser, middle strength": [*REGULARISERS],
    "One regulariser, best of three strengths": [f"{r}, best" for r in REGULARISERS],
    "Whole recipe, and best single one": [*STYLES][-4:],
}
PANELS_OF_TABLES = ("plain", "mixup", "best")
N_COLUMNS = 5


def draw(result):
    """Return a figure: ratios to `plain` above, the losses of each table below."""
    scores = pd.DataFrame(result["scores"])
    tables = scores.groupby("set")
    n_rows = -(-len(tables) // N_COLUMNS)
    figure = Figure(figsize=(11, 4 + 1.9 * n_rows), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=[3.6, 0.4 + 1.9 * n_rows])
    panels = above.subplots(1, len(PANELS), sharey=True)
    for axes, (title, variants) in zip(panels, PANELS.items(), strict=True):
        draw_ratios(axes, ratios(scores), variants)
        axes.set_title(title)
    panels[0].set_ylabel("log loss / log loss of plain")
    above.supxlabel("training rows")
    grid = below.subplots(n_rows, N_COLUMNS, squeeze=False).flat
    for axes, (name, of_table) in zip(grid, tables, strict=False):
        draw_losses(axes, of_table)
        axes.set_title(name)
    for axes in grid[len(tables) :]:
        axes.set_axis_off()
    below.supylabel("log loss")
    below.supxlabel("training rows")
    lines = grid[0].get_legend_handles_labels()
    below.legend(*lines, loc="outside upper center", ncols=len(PANELS_OF_TABLES))
    return figure


def draw_ratios(axes, compared, variants):
    axes.axhline(1, color="#000000", linewidth=0.8)
    for k, variant in enumerate(variants):
        name, part = variant.removesuffix(", best"), compared.loc[variant]
        ratio = np.exp(part["mean"])
        low, high = (np.exp(part["mean"] + s * part["error"]) for s in (-1, 1))
        aside = 1.05 ** (k - (len(variants) - 1) / 2)  # so that bars can be told apart
        style = style_of(name) | {"yerr": (ratio - low, high - ratio), "capsize": 2}
        axes.errorbar(part.index * aside, ratio, **style)
    axes.legend(frameon=False)
    show_sizes(axes, part.index)


def draw_losses(axes, scores):
    for variant in PANELS_OF_TABLES:
        rows = scores[scores["variant"] == variant].sort_values("n")
        axes.plot(rows["n"], rows["ll"], **style_of(variant))
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.yaxis.set_major_formatter("{x:.4g}")
    axes.yaxis.set_minor_locator(NullLocator())
    show_sizes(axes, rows["n"])


def style_of(name):
    color, marker = STYLES[name]
    style = {"color": color, "marker": marker, "markersize": 4, "linewidth": 1.2}
    return style | {"label": name}


def show_sizes(axes, sizes):
    axes.set_xscale("log")
    axes.set_xticks([*sizes], [f"{n:,}" for n in sizes])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#DDDDDD", linewidth=0.6)


def read_arguments():
    parser = parser_of(__doc__)
    sets, sizes = partial(str.split, sep=","), partial(listed, SIZES, int)
    parser.add_argument("--sets", type=sets, default=TABLES, help="a,b,c")
    parser.add_argument("--sizes", type=sizes, default=SIZES, help="50,100")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--fresh", action="store_true", help="measure anew")
    parser.add_argument("--report", action="store_true", help="write the JSON")
    parser.add_argument("--table", action="store_true", help="print tables of the JSON")
    parser.add_argument("--readme", action="store_true", help="print README's table")
    parser.add_argument("--draw", action="store_true", help="draw the JSON")
    return parser.parse_args()


def units_of(arguments, known):
    """Return the fits that are asked for and not known."""
    found = tables_or_exit(arguments.data)
    tables = {t.name: t for t in found if t.task == "classification"}
    if missing := {*arguments.sets} - {*tables}:
        sys.exit(f"Found no {', '.join(sorted(missing))}. Pass others as --sets.")
    chosen = [tables[name] for name in arguments.sets]
    wanted = product(chosen, arguments.sizes, range(arguments.repeats), TRIALS)
    units = [Unit(*unit) for unit in wanted]
    return [unit for unit in units if arguments.fresh or unit.key() not in known]


def main():
    arguments = read_arguments()
    scratch, out = (RESULTS / f"learning_curves.{kind}" for kind in ("jsonl", "json"))
    if arguments.report:
        out.write_text(dump(report(last_records(scratch, key_of))))
    if arguments.table:
        print(markdown(read_report(out)))
    if arguments.readme:
        print(readme(read_report(out)))
    if arguments.draw:
        with rc_context({"svg.hashsalt": "skmix", "font.size": 8.5}):
            figure = draw(read_report(out))
            figure.savefig(FIGURE, facecolor="white", metadata={"Date": None})
    if any(map(vars(arguments).get, ("report", "table", "readme", "draw"))):
        return
    units = units_of(arguments, last_records(scratch, key_of))
    measure_all(units, arguments.jobs, scratch, measure)


if __name__ == "__main__":
    main()
