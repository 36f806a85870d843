"""Measure what `halving` saves: the same searches with it and without, in turns.

    python benchmarks/halving.py --data DIR      # writes results/halving.json

Each search is fitted on two thirds of a table (at most 1,000 rows of it), on one
thread, and counts with the least of its CPU times; the loss is that of the other third
(log loss, or root mean squared error by the spread of the targets).
"""

import argparse
import datetime
import json
import os
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch
from quality import RESULTS, fold_of, sample_of, tables_in, versions_of
from reference_loop import mlp
from sklearn import datasets
from sklearn.metrics import log_loss, root_mean_squared_error
from skorch import NeuralNetClassifier, NeuralNetRegressor
from torch import nn

from skmix import MixupClassifierCV, MixupRegressorCV, default_net

ALPHAS, ROUNDS, MAX_ROWS = (0, 0.1, 0.2, 0.5, 1), 2, 1_000
BUNDLED = ("wine", "breast_cancer", "diabetes", "digits")
FURTHER = ("credit-g", "phoneme", "concrete")
NETS = ("default", "2x64, 100 epochs")


def tables_of(data):
    """Yield the name, the columns and the targets of each table."""
    for name in BUNDLED:
        X, y = getattr(datasets, f"load_{name}")(return_X_y=True, as_frame=True)
        rows = np.random.default_rng(0).permutation(len(y))[:MAX_ROWS]
        yield name, X.iloc[rows].reset_index(drop=True), y.to_numpy()[rows]
    for table in tables_in(data):
        if table.name in FURTHER:
            yield table.name, *sample_of(table, MAX_ROWS)


def search_of(net, X, y, classify, halving):
    kind = MixupClassifierCV if classify else MixupRegressorCV
    own = None
    if net == "default" and not classify:
        own = default_net("regressor")
    if net != "default":
        X = X.select_dtypes("number")
        own = own_net(X.shape[1], len(np.unique(y)) if classify else 1, classify)
    return X, kind(own, alphas=ALPHAS, cv=5, halving=halving, random_state=0)


def own_net(d_in, d_out, classify):
    kind = NeuralNetClassifier if classify else NeuralNetRegressor
    return kind(
        mlp,
        module__d_in=d_in,
        module__widths=[64, 64],
        module__d_out=d_out,
        criterion=nn.CrossEntropyLoss if classify else nn.MSELoss,
        optimizer=torch.optim.Adam,
        lr=3e-3,
        batch_size=64,
        max_epochs=100,
        train_split=None,
        iterator_train__shuffle=True,
        verbose=0,
    )


def loss_of(search, X, y, classify):
    if classify:
        return log_loss(y, search.predict_proba(X), labels=search.classes_)
    return root_mean_squared_error(y, search.predict(X)) / np.std(y)


def measure(X, y, net):
    """CPU seconds of each round and the loss, of both ways."""
    classify = len(np.unique(y)) <= 20
    if net != "default":
        X = X.select_dtypes("number").astype(np.float32)
        X = (X - X.mean()) / X.std().replace(0, 1)
        y = y if classify else ((y - y.mean()) / y.std()).astype(np.float32)
    train, test = fold_of(X, y, classify, 0)
    seconds, loss = {False: [], True: []}, {}
    for _ in range(ROUNDS):
        for halving in seconds:
            columns, search = search_of(net, X, y, classify, halving)
            begin = time.process_time()
            search.fit(columns.iloc[train], y[train])
            seconds[halving].append(time.process_time() - begin)
            loss[halving] = loss_of(search, columns.iloc[test], y[test], classify)
            given_up = int(np.isnan(search.curves_[:, 0, -1]).sum())
    return {
        "rows": len(train),
        "given_up_or_stopped": given_up,
        "cpu_s": {"all the way": seconds[False], "halving": seconds[True]},
        "times_faster": min(seconds[False]) / min(seconds[True]),
        "loss": {"all the way": loss[False], "halving": loss[True]},
        "loss_ratio": loss[True] / loss[False],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    data = Path(os.environ.get("SKMIX_DATA", "data"))
    parser.add_argument("--data", type=Path, default=data, help="folder of tables")
    args = parser.parse_args()
    torch.set_num_threads(1)
    records = []
    for name, X, y in tables_of(args.data):
        for net in NETS:
            records.append({"table": name, "net": net} | measure(X, y, net))
            print(records[-1], flush=True)
    result = {
        "date": datetime.date.today().isoformat(),
        "versions": versions_of("ours"),
        "threads": 1,
        "alphas": ALPHAS,
        "folds": 5,
        "records": records,
    }
    text = json.dumps(result)
    rounded = json.loads(text, parse_float=lambda x: float(f"{float(x):.4g}"))
    (RESULTS / "halving.json").write_text(json.dumps(rounded, indent=1) + "\n")


if __name__ == "__main__":
    main()
