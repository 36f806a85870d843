"""Whether the intervals of differences between candidates cover what they say.

Tables of 200 rows are drawn from several truths. A small net is trained on each, with
alpha 0, 0.2 and 1 and, for candidates that differ by chance alone, with alpha 0 and
other seeds, in 2 repeats of 5 folds. The truth is the mean difference of these very
nets on 2,000 fresh rows, over all tables of a kind. Methods were chosen on one set of
tables (`--set choose`) and are confirmed on another. The report also has a fast
simulator, which draws differences between folds, and trains nothing.

    python benchmarks/intervals.py               # trains, about 20 minutes
    python benchmarks/intervals.py --report      # simulates, too; writes intervals.json
    python benchmarks/intervals.py --markdown    # prints the tables of intervals.json

Each table is a line of results/intervals.jsonl, and what is there is not trained again;
delete it to start afresh, as after a change of the library.
"""

import os
from itertools import product

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
from common import (
    PACKAGES,
    RESULTS,
    about,
    measure_all,
    parser_of,
    read_report,
    records_in,
    rounded,
    table_lines,
    write_report,
)
from sklearn.model_selection import StratifiedKFold
from skorch import NeuralNetClassifier
from torch import nn, optim

from skmix import MixupClassifierCV
from skmix._intervals import SHARED, joint_intervals

OUT = RESULTS / "intervals.json"
SCRATCH = OUT.with_suffix(".jsonl")
N_ROWS, N_FRESH = 200, 2_000
N_REPEATS, N_FOLDS = 2, 5
TEST_PER_TRAIN = 1 / (N_FOLDS - 1)
ALPHAS = (0, 0.2, 1)
N_CHANCE = 2  # candidates of alpha 0 and another seed
SEEDS = {"choose": range(10_000, 10_026), "confirm": range(72)}
NEW = "flipped labels"  # a truth that nothing was chosen on
LEAST = 1e-7  # a probability


# Truths: a table of each, and what mixing does there.


def labels_of(rng, logits):
    return (rng.uniform(size=len(logits)) < 1 / (1 + np.exp(-logits))).astype(int)


def noisy_line(rng, n):
    X = rng.normal(size=(n, 10))
    return X, labels_of(rng, X[:, :4].sum(axis=1) * 0.5)


def sharp_line(rng, n):
    X = rng.normal(size=(n, 6))
    return X, labels_of(rng, X.sum(axis=1) * 2.5)


def rings(rng, n):
    X = rng.normal(size=(n, 2))
    return X, (np.floor(1.2 * np.linalg.norm(X, axis=1)) % 2).astype(int)


def noise(rng, n):
    X = rng.normal(size=(n, 5))
    return X, rng.integers(0, 2, n)


def flipped_labels(rng, n):
    X = rng.normal(size=(n, 3))
    return X, (X[:, 0] > 0).astype(int) ^ (rng.uniform(size=n) < 0.1)


def checkerboard(rng, n):
    X = rng.uniform(-1, 1, size=(n, 2))
    return X * 1.7, ((X[:, 0] > 0) ^ (X[:, 1] > 0)).astype(int)


def easy_line(rng, n):
    X = rng.normal(size=(n, 2))
    return X, labels_of(rng, X[:, 0] - 0.5 * X[:, 1])


KINDS = (noisy_line, sharp_line, rings, noise, flipped_labels, checkerboard, easy_line)
NAMES = {kind.__name__.replace("_", " "): kind for kind in KINDS}


# Training.


def mlp(d_in, d_out):
    return nn.Sequential(nn.Linear(d_in, 32), nn.ReLU(), nn.Linear(32, d_out))


def small_net():
    return NeuralNetClassifier(
        mlp,
        criterion=nn.CrossEntropyLoss,
        optimizer=optim.Adam,
        lr=0.01,
        max_epochs=20,
        batch_size=64,
        train_split=None,
        verbose=0,
    )


class AllMembers(MixupClassifierCV):
    """Keeps the members of each alpha, and not those of the best alone."""

    def _weights(self, evidence, *data):
        return np.full(len(evidence.scores), 1 / len(evidence.scores))


def scores_of(search):
    """Return scores by candidate and fold."""
    names = [f"split{f}_test_score" for f in range(search.n_splits_)]
    return np.array([search.cv_results_[name] for name in names]).T


def fresh_scores(search, X, y):
    """Return the negated log loss on fresh rows, by candidate and fold."""
    members = search.estimators_
    of_label = [member.predict_proba(X)[np.arange(len(y)), y] for member in members]
    return np.log(np.clip(of_label, LEAST, 1)).mean(axis=1).reshape(len(ALPHAS), -1)


def measure(job):
    """Return scores of a table, for each repeat by candidate and fold."""
    name, seed = job
    rng = np.random.default_rng([list(NAMES).index(name), seed])
    X, y = NAMES[name](rng, N_ROWS)
    X_fresh, y_fresh = NAMES[name](rng, N_FRESH)
    X, X_fresh = X.astype(np.float32), X_fresh.astype(np.float32)
    record = {"kind": name, "seed": seed, "scores": [], "fresh": [], "chance": []}
    for _ in range(N_REPEATS):
        first = int(rng.integers(2**31))
        splitter = StratifiedKFold(N_FOLDS, shuffle=True, random_state=first)
        folds = list(splitter.split(X, y))
        options = {"cv": folds, "ensemble": True}
        # (A generator: with an int all folds would share its luck.)
        own = np.random.RandomState(first)
        search = AllMembers(small_net(), alphas=ALPHAS, random_state=own, **options)
        search.fit(X, y)
        record["scores"].append(scores_of(search).tolist())
        record["fresh"].append(fresh_scores(search, X_fresh, y_fresh).tolist())
        chance = []
        for other in range(first + 1, first + 1 + N_CHANCE):
            own = np.random.RandomState(other)
            bare = MixupClassifierCV(
                small_net(), alphas=(0,), random_state=own, **options
            )
            chance += scores_of(bare.fit(X, y)).tolist()
        record["chance"].append(chance)
    return record


# Methods. All of them are one formula, of which some leave out a part.

METHODS = {
    "plain t": {"n_repeats": 1, "test_per_train": 0},
    "Nadeau and Bengio": {"n_repeats": 1, "test_per_train": TEST_PER_TRAIN / SHARED},
    "ours": {"n_repeats": None, "test_per_train": TEST_PER_TRAIN},
}


def intervals_of(tables, n_repeats, method):
    """Return means and half widths of tables (T, C, F); NaN where nothing differs."""
    options = METHODS[method]
    options = options | {"n_repeats": options["n_repeats"] or n_repeats}
    told = np.array([joint_intervals(table, **options) for table in tables])
    return told[:, 0], (told[:, 2] - told[:, 1]) / 2


# What real folds tell: differences to alpha 0, and those of the alpha that is chosen.


def with_chosen(scores, fresh=None):
    """Return differences (C, R, k) to the first of the scores, and of the chosen.

    In each fold the candidate is taken that is best in the others of its repeat. Its
    difference is that of `fresh` scores, if they are given.
    """
    scores = np.asarray(scores).swapaxes(0, 1)
    best = (scores.sum(axis=-1, keepdims=True) - scores).argmax(axis=0)
    judged = scores if fresh is None else np.asarray(fresh).swapaxes(0, 1)
    differences = judged - judged[0]
    return np.concatenate(
        [differences[1:], np.take_along_axis(differences, best[None], 0)]
    )


def differences_of(records):
    """Return differences (T, C, R, k): of alphas, on fresh rows, and of chance."""
    alphas = [with_chosen(r["scores"]) for r in records]
    fresh = [with_chosen(r["scores"], r["fresh"]) for r in records]
    bare = [[of_repeat[0] for of_repeat in r["scores"]] for r in records]
    chance = [
        with_chosen(np.concatenate([np.array(own)[:, None], r["chance"]], axis=1))
        for own, r in zip(bare, records, strict=True)
    ]
    return np.array(alphas), np.array(fresh), np.array(chance)


def by_design(differences, n_repeats):
    """Return tables (T, C, F); those of one repeat are twice as many."""
    n_tables, n_candidates, repeats = differences.shape[:3]
    if n_repeats < repeats:
        return differences.swapaxes(1, 2).reshape(n_tables * repeats, n_candidates, -1)
    return differences.reshape(n_tables, n_candidates, -1)


def share(values):
    return float(np.nanmean(values))


def errors_of(alphas, truth, chance):
    """Return standard deviations of a fold's difference, of alphas and of chance."""
    around = [(alphas - truth[:, None]) ** 2, chance**2]
    return [np.sqrt(square.mean(axis=(0, 2))) for square in around]


def judge(alphas, truth, chance, n_repeats, method):
    """Return how often intervals cover, claim what is not there, find what is.

    Candidates are two and the chosen of them; `truth` is that of `alphas`, and 0 of
    `chance`. An interval that is NaN covers, claims and finds nothing.
    """
    deviations = errors_of(alphas, truth, chance)
    mean, half = intervals_of(alphas, n_repeats, method)
    missed = np.abs(mean - truth) > half
    null, null_half = intervals_of(chance, n_repeats, method)
    claimed = np.abs(null) > null_half
    one = np.array([c[-1:] for c in chance])
    alone, alone_half = intervals_of(one, n_repeats, method)
    off = np.c_[(mean - truth)[:, :2], null[:, :2]]
    sizes = np.r_[deviations[0][:2], deviations[1][:2]]
    halves = np.c_[half[:, :2], null_half[:, :2]]
    return {
        "joint coverage": share(~missed.any(axis=1)),
        "joint coverage, chance": share(~claimed.any(axis=1)),
        "covers the chosen": share(~missed[:, -1]),
        "claims": share(claimed[:, :-1]),
        "claims of the chosen": share(claimed[:, -1]),
        "claims of the chosen alone": share(np.abs(alone) > alone_half),
        "chosen is NaN, chance": share(np.isnan(null_half[:, -1])),
        **{f"found {k}": share(off + k * sizes > halves) for k in (2, 4)},
        "half width": share(halves / sizes),
    }


def by_kind(records):
    """Yield for each kind: its number of tables, differences, truth and chance."""
    for kind in NAMES:
        own = [record for record in records if record["kind"] == kind]
        if own:
            alphas, fresh, chance = differences_of(own)
            yield kind, len(own), alphas, fresh.mean(axis=(0, 2, 3)), chance


def judged(records):
    """Return a row for each method, design and kind of table."""
    rows = []
    for kind, _, alphas, truth, chance in by_kind(records):
        for n_repeats, method in product((N_REPEATS, 1), METHODS):
            tables = by_design(alphas, n_repeats), truth, by_design(chance, n_repeats)
            row = {"method": method, "repeats": n_repeats, "kind": kind}
            rows.append(row | judge(*tables, n_repeats, method))
    return rows


def correlations(records):
    """Return what folds of a kind have in common, for each candidate."""
    rows = []
    for kind, n_tables, alphas, truth, chance in by_kind(records):
        cells = [("0.2", alphas[:, 0], truth[0]), ("1", alphas[:, 1], truth[1])]
        cells += [("another seed", chance[:, 0], 0.0)]
        for name, folds, gain in cells:
            row = {"kind": kind, "tables": n_tables, "candidate": name, "gain": gain}
            rows.append(row | in_common(folds - gain))
    return rows


def in_common(errors):
    """Return the spread of errors (T, R, k), and their correlations between folds."""
    n_folds, total = errors.shape[-1], (errors**2).mean()
    sums = errors.sum(axis=-1)
    pairs = n_folds * (n_folds - 1)
    within = (sums**2 - (errors**2).sum(axis=-1)).mean() / pairs
    across = (sums[:, 0] * sums[:, 1]).mean() / n_folds**2
    return {
        "deviation": float(np.sqrt(total)),
        "within a repeat": float(within / total),
        "across repeats": float(across / total),
        "kurtosis": float((errors**4).mean() / total**2),
    }


# The fast simulator: differences of rows held out, with what folds have in common.

N_SIMULATED = 300
SHARES = ("table", "seed", "fold", "rows", "rows and net")
STRUCTURES = {  # shares of the variance of a fold's difference
    "nothing": (0, 0, 0.5, 0, 0.5),
    "rows": (0, 0, 0.2, 0.8, 0),
    "seed of a repeat": (0, 0.4, 0.3, 0.3, 0),
    "table, seed and rows": (0.15, 0.2, 0.25, 0.4, 0),
}
CORRELATION = 0.88  # of candidates


def simulate(rng, shares, heavy):
    """Return differences of two candidates for each row and repeat, (2, R, n).

    Their truth is 0, and a fold's difference has variance 1 on average.
    """
    root = np.linalg.cholesky([[1, CORRELATION], [CORRELATION, 1]])
    freedom = 4 if heavy else np.inf

    def draw(share, *shape):
        values = np.tensordot(root, rng.standard_normal((2, *shape)), 1)
        if heavy:
            values *= np.sqrt((freedom - 2) / rng.chisquare(freedom, shape))
        return np.sqrt(share) * values

    table, seed, fold, rows, own = shares
    n_test = N_ROWS // N_FOLDS
    found = draw(table, 1, 1) + draw(seed, N_REPEATS, 1)
    found = (
        found + draw(rows * n_test, 1, N_ROWS) + draw(own * n_test, N_REPEATS, N_ROWS)
    )
    order = rng.permuted(np.tile(np.arange(N_ROWS), (N_REPEATS, 1)), axis=1)
    found = np.take_along_axis(found, order[None], axis=-1)
    found += np.repeat(draw(fold, N_REPEATS, N_FOLDS), n_test, axis=-1)
    spread = np.exp(0.5 * rng.standard_normal() - 0.25) if heavy else 1.0
    return spread * found, order


def by_row(rows, order):
    """Return the mean of each row over the repeats, (2, n)."""
    return np.take_along_axis(rows, np.argsort(order)[None], axis=-1).mean(axis=1)


def simulated(n_tables):
    """Return joint coverage for each method, design and structure."""
    rows = []
    for (name, shares), heavy in product(STRUCTURES.items(), (False, True)):
        rng = np.random.default_rng([list(STRUCTURES).index(name), heavy])
        drawn = [simulate(rng, shares, heavy) for _ in range(n_tables)]
        folds = np.array([d.reshape(2, N_REPEATS, N_FOLDS, -1) for d, _ in drawn])
        for n_repeats in (N_REPEATS, 1):
            tables = by_design(folds.mean(axis=-1)[:, :, :n_repeats], n_repeats)
            row = {"shared": name, "heavy": heavy, "repeats": n_repeats}
            for method in METHODS:
                rows.append(
                    row | {"method": method} | covers(tables, n_repeats, method)
                )
        row = {"shared": name, "heavy": heavy, "repeats": N_REPEATS}
        own = np.array([by_row(*table) for table in drawn])
        rows.append(row | {"method": "rows"} | covers(own, 1, "plain t"))
    return rows


def covers(tables, n_repeats, method):
    mean, half = intervals_of(tables, n_repeats, method)
    found = {f"found {k}": share(mean + k > half) for k in (2, 4)}
    return {
        "joint coverage": share((np.abs(mean) <= half).all(axis=1)),
        "claims": share(np.abs(mean) > half),
        **found,
        "half width": share(half),
    }


def report_of(records):
    sets = {name: [r for r in records if r["seed"] in s] for name, s in SEEDS.items()}
    return about(*PACKAGES, "scipy", "skorch") | {
        "rows": N_ROWS,
        "tables": {name: len(found) for name, found in sets.items()},
        "chosen on": judged(sets["choose"]),
        "confirmed on": judged(sets["confirm"]),
        "correlations": correlations(sets["confirm"]),
        "simulated tables": N_SIMULATED,
        "simulated": simulated(N_SIMULATED),
    }


# Markdown.


def percent(value):
    return "-" if value is None or np.isnan(value) else f"{100 * value:.1f}"


FIGURES = {
    "joint coverage": "joint coverage",
    "covers the chosen": "covers the chosen",
    "claims": "claims of a candidate",
    "claims of the chosen": "of the chosen",
    "claims of the chosen alone": "of the chosen, shown alone",
    "found 2": "gain of 2 found",
    "found 4": "gain of 4 found",
}


def over_kinds(rows, method, n_repeats, name):
    values = [
        row[name]
        for row in rows
        if (row["method"], row["repeats"]) == (method, n_repeats)
    ]
    return np.mean(values), values


def summary_lines(rows):
    """Means over kinds of table, which have as many tables each."""
    table = [["folds", "method", *FIGURES.values(), "half width"]]
    for n_repeats, method in product((N_REPEATS, 1), METHODS):
        cells = [over_kinds(rows, method, n_repeats, name)[0] for name in FIGURES]
        width = over_kinds(rows, method, n_repeats, "half width")[0]
        design = f"{n_repeats} x {N_FOLDS}"
        table.append([design, method, *map(percent, cells), f"{width:.2f}"])
    return table_lines(table)


def kind_lines(result):
    """What folds of a kind have in common, and how our intervals do there."""
    ours = {
        (row["kind"], row["repeats"]): row
        for row in result["confirmed on"]
        if row["method"] == "ours"
    }
    head = ["truth", "candidate", "gain", "deviation of a fold", "within a repeat"]
    head += ["across repeats", "joint coverage, 2 x 5", "1 x 5"]
    table = [head]
    for row in result["correlations"]:
        chance = row["candidate"] == "another seed"
        name = "joint coverage" + ", chance" * chance
        cells = [row["kind"], row["candidate"], f"{row['gain']:+.3f}"]
        cells += [f"{row['deviation']:.3f}"]
        cells += [f"{row[k]:+.2f}" for k in ("within a repeat", "across repeats")]
        cells += [percent(ours[row["kind"], n][name]) for n in (N_REPEATS, 1)]
        table.append(cells)
    return table_lines(table)


def simulated_lines(rows):
    order = [*METHODS, "rows"]
    table = [["folds share", "tails", "folds", *order]]
    cells = {
        (r["shared"], r["heavy"], r["repeats"], r["method"]): r["joint coverage"]
        for r in rows
    }
    for name, heavy, n in product(STRUCTURES, (False, True), (N_REPEATS, 1)):
        found = [percent(cells.get((name, heavy, n, method))) for method in order]
        tails = "heavy" if heavy else "normal"
        table.append([name, tails, f"{n} x {N_FOLDS}", *found])
    return table_lines(table)


def markdown(result):
    numbers = result["tables"]
    lines = [f"Nets, {numbers['confirm']} tables that nothing was chosen on, in %:", ""]
    lines += [*summary_lines(result["confirmed on"]), ""]
    lines += [f"The same on the {numbers['choose']} tables it was chosen on:", ""]
    lines += [*summary_lines(result["chosen on"]), ""]
    lines += ["What folds have in common, and our joint coverage there, in %:", ""]
    lines += [*kind_lines(result), ""]
    number = result["simulated tables"]
    lines += [f"Joint coverage in the simulator, {number} tables a line, in %:", ""]
    return "\n".join([*lines, *simulated_lines(result["simulated"])])


def main():
    parser = parser_of(__doc__, tables=False)
    parser.add_argument("--set", choices=SEEDS, default="confirm", help="of tables")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--report", action="store_true", help="write the JSON")
    parser.add_argument("--markdown", action="store_true", help="print its tables")
    args = parser.parse_args()
    if args.report:
        write_report(OUT, rounded(report_of(records_in(SCRATCH)), 4))
    if args.markdown:
        print(markdown(read_report(OUT)))
    if args.report or args.markdown:
        return
    known = {(r["kind"], r["seed"]) for r in records_in(SCRATCH)}
    units = [(name, seed) for seed, name in product(SEEDS[args.set], NAMES)]
    units = [unit for unit in units if unit not in known]
    if args.set == "choose":
        units = [(name, seed) for name, seed in units if name != NEW]
    measure_all(units, args.jobs, SCRATCH, measure)


if __name__ == "__main__":
    main()
