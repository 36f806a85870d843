"""What more nets buy in a search: its loss and time by the number of alphas and folds.

The searches at their defaults train three alphas in five folds, 15 nets, and one more
net on all rows. Every table of a folder is fitted as `quality.py` does, with these and
with fewer and more nets, and with one net of `MixupClassifier()` or `MixupRegressor()`.
Other settings leave out a part of the default search: the net on all rows, all nets
of the folds (`ensemble=False`), or all but those of the best alpha (`ensemble=True`).
Losses and CPU times are compared with those of the default search, and times with
RealMLP's, by the ratio in quality.json.

    python benchmarks/portfolio.py --data DIR    # measures, on the first fold
    python benchmarks/portfolio.py --report      # writes results/portfolio.json
    python benchmarks/portfolio.py --markdown    # prints the tables of portfolio.json
    python benchmarks/portfolio.py --draw        # draws docs/portfolio.svg

Each fit is a line of results/portfolio.jsonl, and what is there is not measured again;
delete it to start afresh, as after a change of the library.
"""

import os
import time
from itertools import product
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import matplotlib as mpl
import numpy as np
import pandas as pd
from common import (
    MAX_ROWS,
    PACKAGES,
    RESULTS,
    TASKS,
    about,
    compared,
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
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from quality import frame_of, log_ratio, paired
from sklearn.model_selection import (
    KFold,
    RepeatedKFold,
    RepeatedStratifiedKFold,
    StratifiedKFold,
)

from skmix import (
    MixupClassifier,
    MixupClassifierCV,
    MixupRegressor,
    MixupRegressorCV,
)
from skmix.networks import apply_temperature

OUT = RESULTS / "portfolio.json"
PICTURE = Path(__file__).resolve().parent.parent / "docs" / "portfolio.svg"
TICKS = (0.25, 0.5, 1, 1.5)  # of the time
DEFAULT, ONE_NET = "0, 0.2, 1; 5 folds", "one net"
FOLDS_ALONE = f"{DEFAULT}; nets of the folds alone"
SETTINGS = {  # alphas, folds, repeats, ensemble
    "0; 5 folds": ((0,), 5, 1, "blend"),
    "0, 0.2, 1; 3 folds": ((0, 0.2, 1), 3, 1, "blend"),
    "0, 0.2; 5 folds": ((0, 0.2), 5, 1, "blend"),
    DEFAULT: ((0, 0.2, 1), 5, 1, "blend"),
    f"{DEFAULT}; best alpha in the folds alone": ((0, 0.2, 1), 5, 1, True),
    f"{DEFAULT}; net on all rows alone": ((0, 0.2, 1), 5, 1, False),
    "0, 0.1, 0.2, 0.5, 1; 5 folds": ((0, 0.1, 0.2, 0.5, 1), 5, 1, "blend"),
    "0, 0.2; 10 folds": ((0, 0.2), 10, 1, "blend"),
    "0, 0.2, 1; 10 folds": ((0, 0.2, 1), 10, 1, "blend"),
    "0, 0.2, 1; 2 x 5 folds": ((0, 0.2, 1), 5, 2, "blend"),
}


def estimator(setting, task):
    classify = task == "classification"
    if setting == ONE_NET:
        return (MixupClassifier if classify else MixupRegressor)(random_state=0)
    alphas, n_folds, n_repeats, ensemble = SETTINGS[setting]
    if n_repeats > 1:
        kind = RepeatedStratifiedKFold if classify else RepeatedKFold
        cv = kind(n_splits=n_folds, n_repeats=n_repeats, random_state=0)
    else:
        kind = StratifiedKFold if classify else KFold
        cv = kind(n_folds, shuffle=True, random_state=0)
    search = MixupClassifierCV if classify else MixupRegressorCV
    return search(alphas=alphas, cv=cv, ensemble=ensemble, random_state=0)


def measure(job):
    """Fit one setting on the first fold of a table; return the records of it."""
    table, setting = job
    X, y = sample_of(table, MAX_ROWS)
    train, test = fold_of(X, y, table.task == "classification", 0)
    model = estimator(setting, table.task)
    start = time.process_time()
    model.fit(X.iloc[train], y[train])
    record = {"setting": setting, "table": table.name, "task": table.task}
    record["fit_s"] = time.process_time() - start
    records = [record | {"loss": loss_of(model, X.iloc[test], y[test])}]
    if setting == DEFAULT:
        seconds = sum(model.estimators_[-1].history_[:, "dur"])  # on one thread
        alone = {"setting": FOLDS_ALONE, "fit_s": record["fit_s"] - seconds}
        alone["loss"] = loss_of(FoldsAlone(model), X.iloc[test], y[test])
        records.append(record | alone)
    return records


class FoldsAlone:
    """A fitted search without the net that it has trained on all rows."""

    def __init__(self, search):
        self.search, self.members = search, search.estimators_[:-1]
        used = search.alpha_weights_[search.alpha_weights_ > 0]
        self.shares = np.repeat(used / search.n_splits_, search.n_splits_)
        if hasattr(search, "classes_"):
            self.classes_ = search.classes_

    def predict(self, X):
        return np.average([m.predict(X) for m in self.members], 0, self.shares)

    def predict_proba(self, X):
        proba = [member.predict_proba(X) for member in self.members]
        mean = np.average(proba, 0, self.shares)
        return apply_temperature(mean, self.search.temperature_)


def units_of(data, scratch):
    """Return table and setting of the fits that are not known yet."""
    known = {(record["table"], record["setting"]) for record in records_in(scratch)}
    wanted = product(tables_or_exit(data), [ONE_NET, *SETTINGS])
    return [unit for unit in wanted if (unit[0].name, unit[1]) not in known]


def summarise(records):
    """Compare each setting with the default search, over the tables of each task."""
    summary = compared(pd.DataFrame(records), "setting", DEFAULT)
    summary["nets"] = summary["setting"].map(nets_of)
    summary["of_realmlp"] = summary["time"] * summary["task"].map(time_of_default)
    return rows_of(summary.sort_values(["task", "time"]))


def nets_of(setting):
    if setting == ONE_NET:
        return 1
    if setting == FOLDS_ALONE:
        return nets_of(DEFAULT) - 1
    alphas, n_folds, n_repeats, ensemble = SETTINGS[setting]
    return len(alphas) * n_folds * n_repeats + (ensemble is not True)


def time_of_default(task):
    """Return the CPU time of the default search over RealMLP's, by quality.json."""
    scores = read_report(RESULTS / "quality.json")["scores"]
    both = paired(frame_of(scores, task), "ours-cv", "realmlp")
    return np.exp(log_ratio(both, "fit_s").mean())


def markdown(summary):
    """Return one table for each task."""
    lines = []
    for task in TASKS:
        loss = "log loss" if task == "classification" else "RMSE"
        table = [["alphas; folds", "nets", loss, "won / lost", "CPU time", "/ RealMLP"]]
        for row in summary:
            if row["task"] == task:
                cells = [row["setting"], str(row["nets"])]
                cells.append(f"{row['ratio']:.3f} ± {row['ratio_error']:.3f}")
                cells.append(f"{row['wins']} / {row['losses']}")
                cells += [f"{row['time']:.2f}", f"{row['of_realmlp']:.2f}"]
                table.append(cells)
        lines += titled(task.title(), table) if len(table) > 1 else []
    return "\n".join(lines)


def short(setting):
    """Return the numbers of alphas and folds of a setting, and what it leaves out."""
    if setting == ONE_NET:
        return setting
    if setting == FOLDS_ALONE:
        return f"{short(DEFAULT)}, folds"
    alphas, n_folds, n_repeats, ensemble = SETTINGS[setting]
    factors = [len(alphas), *[n_repeats] * (n_repeats > 1), n_folds]
    ends = {"blend": "", True: ", best", False: ", all rows"}
    return " x ".join(map(str, factors)) + ends[ensemble]


def draw(summary):
    """Return a figure: the loss of each setting by its time, for each task.

    Points are named by the numbers of alphas and folds.
    """
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    panels = figure.subplots(1, len(TASKS), sharey=True)
    for axes, task in zip(panels, TASKS, strict=True):
        rows = pd.DataFrame([row for row in summary if row["task"] == task])
        axes.axhline(1, color="#000000", linewidth=0.8)
        style = {"fmt": "o", "color": "#0072B2", "markersize": 4, "linewidth": 1}
        axes.errorbar(rows["of_realmlp"], rows["ratio"], rows["ratio_error"], **style)
        for k, row in enumerate(rows.itertuples()):
            offset = {"xytext": (4, -10 if k % 2 else 4), "textcoords": "offset points"}
            where = (row.of_realmlp, row.ratio)
            axes.annotate(short(row.setting), where, fontsize=8, **offset)
        axes.set_xscale("log")
        axes.set_xticks(TICKS, map(str, TICKS))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_title(task)
        axes.set_xlabel("CPU time / RealMLP")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color="#DDDDDD", linewidth=0.6)
    panels[0].set_ylabel("loss / loss of the default search")
    return figure


def main():
    parser = parser_of(__doc__)
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--report", action="store_true", help="write the JSON")
    parser.add_argument("--markdown", action="store_true", help="print its tables")
    parser.add_argument("--draw", action="store_true", help="draw it")
    parser.add_argument("--out", type=Path, default=OUT, help="of the report")
    args = parser.parse_args()
    scratch = args.out.with_suffix(".jsonl")
    if args.report:
        report = about(*PACKAGES) | {"summary": summarise(records_in(scratch))}
        write_report(args.out, report)
    if args.markdown:
        print(markdown(read_report(args.out)["summary"]))
    if args.draw:
        mpl.rcParams["svg.hashsalt"] = "skmix"
        figure = draw(read_report(args.out)["summary"])
        figure.savefig(PICTURE, facecolor="white", metadata={"Date": None})
    if not (args.report or args.markdown or args.draw):
        measure_all(units_of(args.data, scratch), args.jobs, scratch, measure)


if __name__ == "__main__":
    main()
