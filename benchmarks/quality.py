"""Compare the default estimators with other libraries', all at their defaults.

Every table of a folder is cut to a sample of rows, and fitted in three folds by each
model from random state 0, on one thread. `ours` is `MixupClassifier` or
`MixupRegressor`, `ours-plain` the same at alpha 0, `ours-mixed` at 0.2, and `ours-cv`
is `MixupClassifierCV` or `MixupRegressorCV`; all get the table as it is.

    python benchmarks/quality.py --data DIR      # measures
    python benchmarks/quality.py --report        # writes results/quality.json
    python benchmarks/quality.py --table         # prints the tables of quality.json
    python benchmarks/quality.py --overview      # prints one table of all comparisons
    python benchmarks/quality.py --mixing        # prints what mixing adds to the net
    python benchmarks/quality.py --readme        # prints the table of README.md

DIR, by default what the environment variable SKMIX_DATA names, holds
``classification/*.parquet`` and ``regression/*.parquet``, one table a file, the target
in a last column called ``target``; `--openml ID` takes data sets of OpenML instead.
Rivals that are not installed are left out (the `benchmarks` extra has all). With
`--rows 10000` samples are larger, and the JSON is quality_10000.json.

Each fit is a line of results/quality.jsonl, and what is there is not measured again,
unless by `--fresh`, as after a change of the library: a later line replaces an earlier
one. `--import FILE` adds lines that were measured elsewhere, at 2,000 rows. They count
before those measured here, so that rivals come from one source, and save measuring
rivals; `--rerun-check` measures rivals all the same, and the tables show both.
`--report --keep` leaves scores in the JSON of models that no line tells of, so that a
change of one model needs no rival measured anew.
"""

import json
import os
import sys
import time
from collections import defaultdict
from functools import cache, partial
from importlib import import_module
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import NamedTuple

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import pandas as pd
from common import (
    MAX_ROWS,
    N_FOLDS,
    RESULTS,
    TASKS,
    TIE,
    Table,
    about,
    append,
    calibration_error,
    dump,
    fold_of,
    last_records,
    listed,
    measure_all,
    parser_of,
    read_report,
    sample_of,
    scores_of_classes,
    spread,
    table_lines,
    table_of_openml,
    tables_or_exit,
    titled,
    versions_line,
    versions_of,
)
from scipy.stats import wilcoxon
from sklearn import metrics
from sklearn.compose import TransformedTargetRegressor, make_column_transformer
from sklearn.compose import make_column_selector as selector
from sklearn.datasets import make_classification, make_regression
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from skmix import (
    MixupClassifier,
    MixupClassifierCV,
    MixupRegressor,
    MixupRegressorCV,
)

OURS = ("ours", "ours-plain", "ours-mixed", "ours-cv")
PACKAGES = {  # of the rivals that scikit-learn does not have
    "lgbm": "lightgbm",
    "xgb": "xgboost",
    "cat": "catboost",
    "realmlp": "pytabkit",
    "tabm": "pytabkit",
}
MIN_TABLES_OF_TEST = 6  # with fewer, p cannot be below 0.05
COSTS = ("fit_s", "fit_wall", "pred_wall")
SCORES = {  # the first of each task is what decides
    "classification": ("ll", "bacc", "acc", "auc", "brier", "ece"),
    "regression": ("rmse", "r2"),
}
LOSS = {task: names[0] for task, names in SCORES.items()}
HIGHER_IS_BETTER = ("acc", "bacc", "bacc_even", "auc", "r2")
TITLES = {"ll": "log loss", "bacc": "balanced accuracy", "acc": "accuracy"}
TITLES |= {"auc": "AUC", "brier": "Brier", "ece": "ECE", "rmse": "RMSE", "r2": "R²"}


# Models: each is made for classes or for numbers, with its preprocessing.


def of_task(package, name, classify):
    kind = "Classifier" if classify else "Regressor"
    return getattr(import_module(package), name + kind)


def ours(classify, **options):
    kind = MixupClassifier if classify else MixupRegressor
    return kind(random_state=0, **options)


def ours_cv(classify):
    kind = MixupClassifierCV if classify else MixupRegressorCV
    return kind(random_state=0)


def linear(classify):
    model = LogisticRegression(max_iter=2_000) if classify else RidgeCV()
    return make_pipeline(flat_columns(), model)


def mlp(classify, **options):
    if classify:
        return make_pipeline(flat_columns(), MLPClassifier(random_state=0, **options))
    model = MLPRegressor(random_state=0, **options)
    scaled = TransformedTargetRegressor(model, transformer=StandardScaler())
    return make_pipeline(flat_columns(), scaled)


def forest(classify):
    kind = of_task("sklearn.ensemble", "RandomForest", classify)
    return make_pipeline(flat_columns(), kind(random_state=0))


def boosted(package, name, classify, **options):
    kind = of_task(package, name, classify)
    return make_pipeline(coded_columns(), kind(random_state=0, **options))


def pytabkit_net(name, classify):
    kind = of_task("pytabkit", name, classify)
    net = kind(device="cpu", n_threads=1, random_state=0)
    return make_pipeline(filled_columns(), net)


def flat_columns():
    """Numbers imputed and standardised, categories one-hot."""
    numbers = make_pipeline(SimpleImputer(add_indicator=True), StandardScaler())
    one_hot = OneHotEncoder(max_categories=50, handle_unknown="ignore")
    return by_kind(numbers, one_hot)


def coded_columns():
    """Numbers as they are, categories as codes, both with what is missing."""
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    return by_kind("passthrough", codes)


def filled_columns():
    """The frame, but for missing numbers, which some rivals refuse."""
    median = SimpleImputer(strategy="median", keep_empty_features=True)
    filled = by_kind(median, "passthrough", verbose_feature_names_out=False)
    return filled.set_output(transform="pandas")


def by_kind(numbers, categories, **options):
    return make_column_transformer(
        (numbers, selector(dtype_include="number")),
        (categories, selector(dtype_exclude="number")),
        sparse_threshold=0,
        **options,
    )


CATBOOST = {"thread_count": 1, "verbose": 0, "allow_writing_files": False}
MODELS = {
    "ours": ours,
    "ours-plain": partial(ours, alpha=0),
    "ours-mixed": partial(ours, alpha=0.2),
    "ours-cv": ours_cv,
    "linear": linear,
    "mlp": partial(mlp, hidden_layer_sizes=(256, 256), early_stopping=True),
    "mlp_default": mlp,
    "rf": forest,
    "hgb": partial(boosted, "sklearn.ensemble", "HistGradientBoosting"),
    "lgbm": partial(boosted, "lightgbm", "LGBM", n_jobs=1, verbose=-1),
    "xgb": partial(boosted, "xgboost", "XGB", n_jobs=1),
    "cat": partial(boosted, "catboost", "CatBoost", **CATBOOST),
    "realmlp": partial(pytabkit_net, "RealMLP_TD_"),
    "tabm": partial(pytabkit_net, "TabM_D_"),
}
RIVALS = [model for model in MODELS if model not in OURS]
OF_README = {
    "hgb": "HistGradientBoosting",
    "lgbm": "LightGBM",
    "xgb": "XGBoost",
    "rf": "RandomForest",
    "cat": "CatBoost",
}


# Measuring: one unit is one fit.


class Unit(NamedTuple):
    table: Table
    max_rows: int
    fold: int
    model: str

    def key(self, source):
        return (self.table.name, self.max_rows, self.model, self.fold, source)


def key_of(record):
    return tuple(record[k] for k in ("set", "max_rows", "model", "fold", "source"))


def measure(unit):
    """Fit a model to a fold; return its scores and costs, fit for JSON."""
    table, model = unit.table, unit.model
    classify = table.task == "classification"
    X, y = sample_of(table, unit.max_rows)
    train, test = fold_of(X, y, classify, unit.fold)
    warm_up(model, classify)
    estimator = MODELS[model](classify)
    start = time.perf_counter(), time.process_time()
    estimator.fit(X.iloc[train], y[train])
    fitted = time.perf_counter(), time.process_time()
    predict = estimator.predict_proba if classify else estimator.predict
    predicted = predict(X.iloc[test])
    result = {
        **{"set": table.name, "task": table.task, "max_rows": unit.max_rows},
        **{"model": model, "fold": unit.fold, "source": "run", "n": len(train)},
        "pred_wall": time.perf_counter() - fitted[0],
        "fit_wall": fitted[0] - start[0],
        "fit_s": fitted[1] - start[1],
        "versions": versions_of_model(model),
    }
    if classify:
        proba = spread(predicted, estimator.classes_, n_classes=y.max() + 1)
        shares = np.bincount(y[train], minlength=proba.shape[1]).clip(1)
        even = metrics.balanced_accuracy_score(y[test], (proba / shares).argmax(axis=1))
        return result | {"bacc_even": even} | scores_of_classes(y[test], proba)
    rmse = metrics.root_mean_squared_error(y[test], predicted)
    return result | {"rmse": rmse, "r2": metrics.r2_score(y[test], predicted)}


@cache
def warm_up(model, classify):
    """Fit something small, so that no fit is charged with what is loaded once."""
    make = make_classification if classify else make_regression
    X, y = make(60, 4, n_informative=4, n_redundant=0) if classify else make(60, 4)
    MODELS[model](classify).fit(pd.DataFrame(X, columns=list("abcd")), y)


def versions_of_model(model):
    names = ["numpy", "scikit-learn", "torch"]
    own = ["skmix"] if model in OURS else []
    return versions_of(*own, *names, *filter(None, [PACKAGES.get(model)]))


def units_of(tables, arguments, known):
    """Return the fits that are asked for, can be made, and are not known."""
    missing = [m for m in arguments.models if not find_spec(PACKAGES.get(m, "skmix"))]
    for model in missing:
        print(f"{model} is left out: {PACKAGES[model]} is not installed.")
    models = [model for model in arguments.models if model not in missing]
    wanted = product(tables, [arguments.rows], arguments.folds, models)
    units = [Unit(*unit) for unit in wanted]
    return [unit for unit in units if not is_known(unit, known, arguments)]


def is_known(unit, known, arguments):
    imported = unit.model in RIVALS and unit.key("imported") in known
    skipped = imported and not arguments.rerun_check
    return skipped or (unit.key("run") in known and not arguments.fresh)


# Results: lines of the scratch file, and the means that go into the JSON.


def import_results(path, scratch):
    known = last_records(scratch, key_of)
    mark = {"max_rows": MAX_ROWS, "source": "imported"}
    records = [json.loads(line) | mark for line in path.read_text().splitlines()]
    new = [record for record in records if key_of(record) not in known]
    append(scratch, new)
    print(f"Imported {len(new)} results, {len(records) - len(new)} were there already.")


def report(records, max_rows, kept=()):
    """Return what is in the JSON: mean scores of each model on each table.

    `kept` are scores that will be there, too, of models that may lack some folds.
    """
    records = [record for record in records if record["max_rows"] == max_rows]
    groups = defaultdict(dict)
    for record in records:
        key = tuple(record[k] for k in ("task", "set", "model", "source"))
        groups[key][record["fold"]] = record
    chosen = {
        key: folds
        for key, folds in groups.items()
        if key[3] == "imported" or (*key[:3], "imported") not in groups
    }
    return {
        **about(),
        "versions": all_versions(records),
        "max_rows": max_rows,
        "n_folds": N_FOLDS,
        "threads": 1,
        "imported": sorted({model for *_, model, source in chosen if source != "run"}),
        "scores": list(all_means(chosen, {tuple(score["folds"]) for score in kept})),
        "reruns": list(all_reruns(groups)),
    }


def completed(result, before):
    """Add to a report what an earlier one has of models that this one lacks.

    A model is that of a task: one that was measured for classes keeps its scores for
    numbers.
    """
    models = {(score["task"], score["model"]) for score in result["scores"]}
    scores, reruns = (
        result[name]
        + [old for old in before[name] if (old["task"], old["model"]) not in models]
        for name in ("scores", "reruns")
    )
    return result | {
        "versions": before["versions"] | result["versions"],
        "imported": sorted({s["model"] for s in scores if s["source"] != "run"}),
        "scores": sorted(scores, key=order_of),
        "reruns": reruns,
    }


def order_of(score):
    return *(score[name] for name in ("task", "set", "model", "source")), score["folds"]


def all_versions(records):
    """Versions of the packages that the results not imported were measured with."""
    versions = defaultdict(set)
    for record in records:
        for name, number in record.get("versions", {}).items():
            versions[name].add(number)
    return {name: ", ".join(sorted(versions[name])) for name in sorted(versions)}


def all_means(groups, parts):
    """Means over all folds, and over fewer where one of ours meets a rival there.

    `parts` are folds that some rival has, of which the lines are not here.
    """
    for key, folds in sorted(groups.items()):
        wanted = {tuple(sorted(folds))}
        wanted |= {part for part in parts if key[2] in OURS and {*part} <= {*folds}}
        for other, other_folds in groups.items():
            if other[:2] == key[:2] and (key[2] in OURS or other[2] in OURS):
                wanted.add(tuple(sorted(folds.keys() & other_folds.keys())))
        for common in sorted(wanted - {()}):
            yield means(key, folds, common)


def all_reruns(groups):
    """Means of what was imported and measured here too, over the folds of both."""
    for key, folds in sorted(groups.items()):
        imported = groups.get((*key[:3], "imported"), {})
        common = tuple(sorted(folds.keys() & imported.keys()))
        if key[3] == "run" and common:
            yield means((*key[:3], "imported"), imported, common)
            yield means(key, folds, common)


def means(key, folds, common):
    task, table, model, source = key
    frame = pd.DataFrame([folds[fold] for fold in common])
    names = [*SCORES[task], *COSTS]
    if "bacc_even" in frame and frame["bacc_even"].notna().all():
        names.append("bacc_even")  # (what was imported has no probabilities)
    scores = frame[names].mean().to_dict()
    if "bins" in frame and frame["bins"].notna().all():
        scores["ece_pooled"] = calibration_error(np.sum(frame["bins"].tolist(), axis=0))
    rounded = {name: float(f"{score:.5g}") for name, score in scores.items()}
    names = {"set": table, "task": task, "model": model, "source": source}
    return names | {"folds": list(common)} | rounded


# Tables in Markdown, of the JSON.


def markdown(result, tasks):
    imported = ", ".join(result["imported"]) or "none"
    lines = [
        f"{result['date']}, at most {result['max_rows']:,} rows a table, "
        f"{result['n_folds']} folds, {result['threads']} thread. Imported: {imported}. "
        f"Run: {versions_line(result)}.",
        "",
        f"Won / tied / lost count tables; a difference of at most {TIE:.1%} is a tie. "
        "Ratios are geometric means over tables. The ECE ratio is one of means over "
        "tables: of the ECE of all folds together (pooled), or of the mean ECE over "
        "folds (folds) if a model lacks the former. Even priors: balanced accuracy of "
        'the decision that `priors="uniform"` makes, by the same rule for both, where '
        "the probabilities were kept. p: Wilcoxon's signed-rank test of "
        "log-ratios. CPU times of imported results come from another run.",
        "",
    ]
    for task in tasks:
        scores = frame_of(result["scores"], task)
        if not scores.empty:
            lines += tables_of_task(scores, task)
            lines += check_table(frame_of(result["reruns"], task), task)
    return "\n".join(lines)


def overview(result):
    """One table: a row for each rival, a column for each of ours."""
    cells = defaultdict(dict)
    for task, variant in product(TASKS, ("ours", "ours-cv")):
        scores = frame_of(result["scores"], task)
        present = set() if scores.empty else set(scores["model"])
        if variant in present:
            rivals = [m for m in MODELS if m in present and m not in OURS]
            head, *rows = pairwise_table(scores, variant, rivals, task)
            loss = TITLES[LOSS[task]]
            for row in rows:
                cell = dict(zip(head, row, strict=True))
                cells[row[0]][f"{loss}: {variant}"] = f"{cell[loss]} ({cell['ratio']})"
                if (accuracy := TITLES["bacc"]) in cell:
                    cells[row[0]][f"{accuracy}: {variant}"] = cell[accuracy]
    columns = list(dict.fromkeys(name for row in cells.values() for name in row))
    rows = [["", *columns]]
    for rival, of_rival in cells.items():
        rows.append([rival, *(of_rival.get(name, "-") for name in columns)])
    return "\n".join(titled("Tables won / tied / lost (ratio of losses)", rows))


def mixing(result):
    """What mixing adds: the net at its default, or at 0.2, against it at alpha 0."""
    scores = frame_of(result["scores"], "classification")
    mixed = "ours-mixed" if "ours-mixed" in set(scores["model"]) else "ours"
    head, *rows = pairwise_table(scores, mixed, ["ours-plain"], "classification")
    cells = dict(zip(head, rows[0], strict=True))
    both = paired(scores, mixed, "ours-plain").set_index("set")
    ratios = (both["ll"] / both["ll_other"]).sort_values()
    return (
        f"Tables won / tied / lost in log loss {cells['log loss']}, mean ratio "
        f"{cells['ratio']}; in balanced accuracy {cells['balanced accuracy']}; in "
        f"accuracy {cells['accuracy']}. Ratio of log losses, table by table: "
        + ", ".join(f"{name} {ratio:.3f}" for name, ratio in ratios.items())
        + "."
    )


def readme(result):
    """The table of README.md: the searches against trees."""
    rows = [["", "log loss", "ratio", "balanced accuracy", "RMSE", "ratio"]]
    kinds = {task: frame_of(result["scores"], task) for task in TASKS}
    for rival, name in OF_README.items():
        cells = [name]
        for task, names in (
            ("classification", ("log loss", "ratio", "balanced accuracy")),
            ("regression", ("RMSE", "ratio")),
        ):
            head, row = pairwise_table(kinds[task], "ours-cv", [rival], task)
            found = dict(zip(head, row, strict=True))
            cells += [found[column] for column in names]
        rows.append(cells)
    return "\n".join(table_lines(rows))


def frame_of(records, task):
    frame = pd.DataFrame([record for record in records if record["task"] == task])
    if not frame.empty:
        frame["folds"] = frame["folds"].map(tuple)
        frame["n_folds"] = frame["folds"].map(len)
    return frame


def tables_of_task(scores, task):
    present = [model for model in MODELS if model in set(scores["model"])]
    variants = [model for model in present if model in OURS]
    rivals = [model for model in present if model not in OURS]
    lines = []
    for variant in variants:
        rows = pairwise_table(scores, variant, rivals, task)
        lines += titled(f"{task.title()}: {variant} against", rows)
    for variant, others in (("ours", OURS[1:3]), ("ours-cv", OURS[:3])):
        if variant in variants:
            rows = pairwise_table(scores, variant, others, task)
            lines += titled(f"{task.title()}: {variant} against others of ours", rows)
    for variant in variants:
        lines += rank_table(scores, variant, rivals, task)
    title = f"{task.title()}: {TITLES[LOSS[task]]} of each table"
    rows = loss_table(scores, present, task)
    return lines + titled(f"{title} (number of folds, if not all)", rows)


def paired(scores, name, other):
    """One row for each table that both have, over the folds that both have."""
    sides = (scores[scores["model"] == model] for model in (name, other))
    both = pd.merge(*sides, on=["set", "folds", "n_folds"], suffixes=("", "_other"))
    return both.loc[both.groupby("set")["n_folds"].idxmax()]


def pairwise_table(scores, name, others, task):
    rows = []
    for other in others:
        both = paired(scores, name, other)
        if not both.empty:
            part = both["folds"].map(lambda folds: ", ".join(map(str, folds))).unique()
            fewer = both["n_folds"].min() < N_FOLDS
            label = f"{other} (fold {' or '.join(part)})" if fewer else other
            row = {"": label, "tables": str(len(both))}
            rows.append(row | comparison(both, task))
    return [list(row) for row in rows[:1]] + [list(row.values()) for row in rows]


def comparison(both, task):
    loss = LOSS[task]
    logs = log_ratio(both, loss)
    tested = len(logs) >= MIN_TABLES_OF_TEST and logs.any()
    time_ratio = np.exp(log_ratio(both, "fit_s").mean())
    cells = {
        TITLES[loss]: tally(both, loss),
        "ratio": f"{np.exp(logs.mean()):.3f}",
        "p": f"{wilcoxon(logs).pvalue:.2g}" if tested else "-",
    }
    if task == "classification":
        gain = (both["bacc"] - both["bacc_other"]).mean()
        cells |= {TITLES["bacc"]: tally(both, "bacc"), "difference": f"{gain:+.4f}"}
        cells["even priors"] = even_tally(both)
        cells |= {TITLES[name]: tally(both, name) for name in ("acc", "auc", "brier")}
        cells["ECE ratio"] = ece_ratio(both)
    return cells | {"CPU s a fit, ratio": f"{time_ratio:.3g}"}


def log_ratio(both, name):
    return np.log(both[name] / both[f"{name}_other"])


def tally(both, name):
    """Wins, ties and losses."""
    sign = -1 if name in HIGHER_IS_BETTER else 1
    gap = sign * (both[name] / both[f"{name}_other"] - 1)
    counts = (gap < -TIE).sum(), (gap.abs() <= TIE).sum(), (gap > TIE).sum()
    return " / ".join(map(str, counts))


def even_tally(both):
    """Wins, ties and losses in balanced accuracy with priors="uniform", for both."""
    names = ["bacc_even", "bacc_even_other"]
    known = set(names) <= set(both) and both[names].notna().all(axis=None)
    return tally(both, "bacc_even") if known else "-"


def ece_ratio(both):
    name, how = "ece", "folds"
    pooled = ["ece_pooled", "ece_pooled_other"]
    if set(pooled) <= set(both) and both[pooled].notna().all(axis=None):
        name, how = "ece_pooled", "pooled"
    return f"{both[name].mean() / both[f'{name}_other'].mean():.2f} ({how})"


def rank_table(scores, variant, rivals, task):
    """Mean ranks among one of ours and the rivals that have all of its tables."""
    whole = scores[scores["n_folds"] == N_FOLDS]
    whole = whole.pivot(index="set", columns="model", values=list(SCORES[task]))
    losses = whole[LOSS[task]].reindex(columns=[variant, *rivals])
    losses = losses[losses[variant].notna()].dropna(axis="columns")
    if losses.empty:
        return []
    ranks = {}
    for name in SCORES[task]:
        values = whole[name].loc[losses.index, losses.columns]
        ranked = values.rank(axis=1, ascending=name not in HIGHER_IS_BETTER)
        ranks[TITLES[name]] = ranked.mean()
    ranks = pd.DataFrame(ranks).sort_values(TITLES[LOSS[task]], kind="stable")
    rows = [[model, *map("{:.2f}".format, row)] for model, *row in ranks.itertuples()]
    title = f"{task.title()}: mean ranks with {variant}, tables: {len(losses)}"
    return titled(title, [["", *ranks.columns], *rows])


def loss_table(scores, models, task):
    scores = scores.loc[scores.groupby(["set", "model"])["n_folds"].idxmax()]
    rows = [["", *models]]
    for name, group in scores.groupby("set"):
        best = group.loc[group["n_folds"] == N_FOLDS, LOSS[task]].min()
        cells = dict.fromkeys(models, "-")
        for _, row in group.iterrows():
            cell = loss_cell(row[LOSS[task]])
            if row["n_folds"] < N_FOLDS:
                cell += f" ({row['n_folds']})"
            elif row[LOSS[task]] == best:
                cell = f"**{cell}**"
            cells[row["model"]] = cell
        rows.append([name, *cells.values()])
    return rows


def check_table(reruns, task):
    """What was imported beside what was measured here."""
    if reruns.empty:
        return []
    loss = LOSS[task]
    sides = (reruns[reruns["source"] == source] for source in ("run", "imported"))
    both = pd.merge(*sides, on=["set", "model", "folds"], suffixes=("", "_other"))
    rows = [["", "model", "folds"]]
    for head in (f"{TITLES[loss]}, imported", "CPU s a fit, imported"):
        rows[0] += [head, "here", "ratio"]
    for _, row in both.iterrows():
        cells = [row["set"], row["model"], ", ".join(map(str, row["folds"]))]
        for name in (loss, "fit_s"):
            imported, here = row[f"{name}_other"], row[name]
            cells += [f"{imported:.5g}", f"{here:.5g}", f"{here / imported:.4f}"]
        rows.append(cells)
    return titled(f"{task.title()}: imported results, measured again", rows)


def loss_cell(value):
    return f"{value:,.0f}" if value >= 1_000 else f"{value:.4g}"


PRINTED = {"overview": overview, "mixing": mixing, "readme": readme}


def read_arguments():
    parser = parser_of(__doc__)
    parser.add_argument("--openml", type=int, nargs="+", metavar="ID")
    parser.add_argument("--rows", type=int, choices=(2_000, 10_000), default=2_000)
    parser.add_argument("--task", choices=TASKS)
    parser.add_argument("--sets", type=lambda text: text.split(","), help="a,b,c")
    models, folds = partial(listed, MODELS, str), partial(listed, range(N_FOLDS), int)
    parser.add_argument("--models", type=models, default=[*MODELS], help="a,b,c")
    parser.add_argument("--folds", type=folds, default=[*range(N_FOLDS)], help="0,1,2")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--fresh", action="store_true", help="measure anew")
    parser.add_argument("--rerun-check", action="store_true", help="imported ones, too")
    parser.add_argument("--import", type=Path, dest="imported", metavar="FILE")
    parser.add_argument("--report", action="store_true", help="write the JSON")
    parser.add_argument("--keep", action="store_true", help="scores of other models")
    parser.add_argument("--table", action="store_true", help="print tables of the JSON")
    for name, printed in PRINTED.items():
        parser.add_argument(f"--{name}", action="store_true", help=printed.__doc__)
    return parser.parse_args()


def tables_of(arguments):
    if arguments.openml:
        tables = [table_of_openml(number) for number in arguments.openml]
    else:
        tables = tables_or_exit(arguments.data)
    tables = [t for t in tables if arguments.task in (None, t.task)]
    tables = [t for t in tables if arguments.sets is None or t.name in arguments.sets]
    if not tables:
        sys.exit("Found no tables of that --task and those --sets.")
    return tables


def main():
    arguments = read_arguments()
    scratch = RESULTS / "quality.jsonl"
    name = "quality" if arguments.rows == MAX_ROWS else f"quality_{arguments.rows}"
    out = RESULTS / f"{name}.json"
    if arguments.imported:
        import_results(arguments.imported, scratch)
    if arguments.report:
        records = last_records(scratch, key_of).values()
        before = read_report(out) if arguments.keep else {"scores": []}
        result = report(records, arguments.rows, before["scores"])
        if arguments.keep:
            result = completed(result, before)
        out.write_text(dump(result))
    if arguments.table:
        tasks = [arguments.task] if arguments.task else TASKS
        print(markdown(read_report(out), tasks))
    chosen = [name for name in PRINTED if getattr(arguments, name)]
    for name in chosen:
        print(PRINTED[name](read_report(out)))
    if arguments.imported or arguments.report or arguments.table or chosen:
        return
    units = units_of(tables_of(arguments), arguments, last_records(scratch, key_of))
    measure_all(units, arguments.jobs, scratch, measure)


if __name__ == "__main__":
    main()
