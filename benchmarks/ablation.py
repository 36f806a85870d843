"""What each part of the default net is worth: the default with one thing changed.

Every table of a folder is fitted as `quality.py` does, with the default net and with
each variant of it, all that can be set by parameters. What comes out is each variant
against the default: above 1 is worse.

    python benchmarks/ablation.py --data DIR     # measures, on the first fold
    python benchmarks/ablation.py --report       # writes results/ablation.json
    python benchmarks/ablation.py --markdown     # prints the tables of ablation.json

Each fit is a line of results/ablation.jsonl, and what is there is not measured again;
delete it to start afresh, as after a change of the library.

A change of several things, such as another optimizer, is chosen on one half of the
tables and confirmed on the other, in all folds:

    python benchmarks/ablation.py --out FILE --task classification --folds 3 \\
        --variants default,B,C --half 0
"""

import os
import time
from functools import partial
from inspect import signature
from itertools import product
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import pandas as pd
from common import (
    MAX_ROWS,
    PACKAGES,
    RESULTS,
    TASKS,
    about,
    compared,
    fold_of,
    listed,
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
from sklearn.metrics import balanced_accuracy_score
from skorch.dataset import ValidSplit

from skmix import MixupClassifier, MixupRegressor, default_net
from skmix._default_net import HIDDEN
from skmix._training.muon import Muon
from skmix.networks import TabularNet

OUT = RESULTS / "ablation.json"
NET = {  # parameters of the net
    "one member": {"module__k": 1},
    "4 members": {"module__k": 4},
    "8 members": {"module__k": 8},
    "no embedding of numbers": {"module__d_embedding": 1},
    "embedding of 8": {"module__d_embedding": 8},
    "no averaged weights": {"module__average_decay": 0.0},
    "averaged half as long": {"module__average_decay": 0.96},
    "averaged twice as long": {"module__average_decay": 0.99},
    "AdamW in all layers": {"optimizer__param_groups": []},
    "learning rate 0.006": {"lr": 0.006},
    "learning rate 0.02": {"lr": 0.02},
    "no dropout": {"module__dropout": 0.0},
    "dropout 0.3": {"module__dropout": 0.3},
    "labels as they are": {"criterion__label_smoothing": 0.0},
    "label smoothing 0.05": {"criterion__label_smoothing": 0.05},
    "no weight decay": {"optimizer__weight_decay": 0.0},
    "weight decay 0.1": {"optimizer__weight_decay": 0.1},
    "patience of 10": {"callbacks__early_stopping__patience": 10},
    "patience of 20": {"callbacks__early_stopping__patience": 20},
    "1 block": {"module__n_blocks": 1},
    "3 blocks": {"module__n_blocks": 3},
    "blocks of 64": {"module__d_block": 64},
    "blocks of 128": {"module__d_block": 128},
    "blocks of 256": {"module__d_block": 256},
    "not trained again on all rows": {"train_split": "other"},
    "AdamW, 4 members of 128": {
        "optimizer__param_groups": [],
        "module__k": 4,
        "module__d_block": 128,
        "lr": 0.012,
    },
    "Muon in hidden layers": {
        "optimizer": partial(Muon, betas=(0.9, 0.95), fused=True),
        "optimizer__param_groups": [(HIDDEN, {"orthogonal": True})],
        "lr": 0.01,
    },
}
MIXUP = {  # parameters of the estimator
    "alpha 0": {"alpha": 0},
    "alpha 0.2": {"alpha": 0.2},
    "mixed at the input": {"layers": "input"},
    "mixed behind the embedding": {"layers": "embedding"},
}
DEFAULT, UNCALIBRATED = "default", "not calibrated"
VARIANTS = [DEFAULT, *MIXUP, *NET]


def says_something(variant, task):
    """Whether a variant differs from the default of a task."""
    classify = task == "classification"
    if variant.startswith("mixed"):
        return classify == ("behind" in variant)
    if variant.startswith("label"):
        return classify
    if variant in ("AdamW in all layers", "Muon in hidden layers"):
        return classify == variant.startswith("AdamW")
    module = signature(TabularNet).parameters.values()
    params = {f"module__{p.name}": p.default for p in module}
    params |= default_net("classifier" if classify else "regressor").get_params()
    return variant not in NET or any(
        params.get(name) != value for name, value in NET[variant].items()
    )


def estimator(variant, task, random_state):
    classify = task == "classification"
    net = default_net("classifier" if classify else "regressor")
    params = dict(NET.get(variant, {}))
    if params.get("train_split") == "other":
        params["train_split"] = ValidSplit(5, stratified=classify)
    kind = MixupClassifier if classify else MixupRegressor
    net.set_params(**params)
    return kind(net, random_state=random_state, **MIXUP.get(variant, {}))


def measure(job):
    """Fit one variant on a fold of a table; return the records of it."""
    random_state, fold, table, variant = job
    X, y = sample_of(table, MAX_ROWS)
    train, test = fold_of(X, y, table.task == "classification", fold)
    model = estimator(variant, table.task, random_state)
    start = time.process_time()
    model.fit(X.iloc[train], y[train])
    record = {"variant": variant, "table": table.name, "task": table.task}
    record |= {"fold": fold, "random_state": random_state}
    record |= {"fit_s": time.process_time() - start, "epochs": model.n_iter_}
    held_out = X.iloc[test], y[test]
    records = [record | scores_of(model, *held_out)]
    if variant == DEFAULT and table.task == "classification":
        model.estimator_.module_.temperature.fill_(1)
        record["variant"] = UNCALIBRATED
        records.append(record | scores_of(model, *held_out))
    return records


def scores_of(model, X, y):
    scores = {"loss": loss_of(model, X, y)}
    if isinstance(model, MixupClassifier):
        predicted = model.classes_[model.predict_proba(X).argmax(axis=1)]
        scores["bacc"] = balanced_accuracy_score(y, predicted)
    return scores


def units_of(args, scratch):
    """Return random state, fold, table and variant of fits that are not known yet."""
    keys = ("random_state", "fold", "table", "variant")
    known = {tuple(record[key] for key in keys) for record in records_in(scratch)}
    of_task = [t for t in tables_or_exit(args.data) if args.task in (None, t.task)]
    tables = of_task if args.half is None else of_task[args.half :: 2]
    wanted = product(range(args.seeds), range(args.folds), tables, args.variants)
    return [
        (*numbers, table, variant)
        for *numbers, table, variant in wanted
        if says_something(variant, table.task)
        and (*numbers, table.name, variant) not in known
    ]


def means_of(records):
    """Return mean scores of each variant and table, over folds and random states."""
    scores = pd.DataFrame(records)
    means = scores.groupby(["task", "variant", "table"], sort=False).mean()
    return means.drop(columns=["fold", "random_state"]).reset_index()


def markdown(summary):
    """Return one table for each task."""
    lines = []
    for task in TASKS:
        classify = task == "classification"
        head = ["variant", "log loss" if classify else "RMSE", "won / lost"]
        head += ["balanced accuracy"] * classify + ["CPU time"]
        table = [head]
        for row in summary:
            if row["task"] != task or row["variant"] == DEFAULT:
                continue
            cells = [row["variant"], f"{row['ratio']:.3f} ± {row['ratio_error']:.3f}"]
            cells += [f"{row['wins']} / {row['losses']}"]
            cells += [f"{row['bacc']:+.4f}"] if classify else []
            table.append([*cells, f"{row['time']:.2f}"])
        lines += titled(task.title(), table) if len(table) > 1 else []
    return "\n".join(lines)


def main():
    parser = parser_of(__doc__)
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--report", action="store_true", help="write the JSON")
    parser.add_argument("--markdown", action="store_true", help="print its tables")
    parser.add_argument("--out", type=Path, default=OUT, help="of the report")
    parser.add_argument("--task", choices=TASKS)
    parser.add_argument("--half", type=int, choices=(0, 1), help="every other table")
    parser.add_argument("--folds", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=1)
    some = partial(listed, VARIANTS, str)
    parser.add_argument("--variants", type=some, default=VARIANTS)
    args = parser.parse_args()
    scratch = args.out.with_suffix(".jsonl")
    if args.report:
        scores = means_of(records_in(scratch))
        losses = scores.pivot(index="table", columns="variant", values="loss")
        summary = compared(scores, "variant", DEFAULT)
        report = about(*PACKAGES) | {"summary": rows_of(summary)}
        report["losses"] = rows_of(losses.reset_index())
        write_report(args.out, report)
    if args.markdown:
        print(markdown(read_report(args.out)["summary"]))
    if not (args.report or args.markdown):
        measure_all(units_of(args, scratch), args.jobs, scratch, measure)


if __name__ == "__main__":
    main()
