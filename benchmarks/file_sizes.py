"""How large fitted estimators are on disk: by pickle, and by `skmix.save`.

Each estimator is fitted on a table of scikit-learn from random state 0, on one thread,
for ten epochs: of what is stored, only histories depend on their number.
It is pickled (protocol 5, not compressed) and saved; the predictions of the loaded
estimator are compared with its own.

    python benchmarks/file_sizes.py             # measures, writes file_sizes.json
    python benchmarks/file_sizes.py --markdown  # prints the table of file_sizes.json
"""

import pickle
import tempfile
from pathlib import Path

import numpy as np
import torch
from common import (
    PACKAGES,
    RESULTS,
    about,
    parser_of,
    read_report,
    table_lines,
    versions_line,
    write_report,
)
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.preprocessing import scale
from skorch import NeuralNetClassifier
from torch import nn

import skmix

OUT = RESULTS / "file_sizes.json"


def mlp(d_in, d_out):
    return nn.Sequential(nn.Linear(d_in, 64), nn.ReLU(), nn.Linear(64, d_out))


def own_net():
    return NeuralNetClassifier(
        mlp,
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        lr=0.01,
        train_split=None,
    )


def fitted():
    """Yield names and fitted estimators, with the table of each."""
    X, y = load_breast_cancer(return_X_y=True)
    Z, z = load_diabetes(return_X_y=True)
    own = {"estimator": own_net(), "random_state": 0}
    for name, estimator, table, target in (
        ("`MixupClassifier()`", skmix.MixupClassifier(random_state=0), X, y),
        ("`MixupRegressor()`", skmix.MixupRegressor(random_state=0), Z, z),
        ("`MixupClassifierCV()`", skmix.MixupClassifierCV(random_state=0), X, y),
        ("`MixupRegressorCV()`", skmix.MixupRegressorCV(random_state=0), Z, z),
        ("`MixupClassifier(own)`", skmix.MixupClassifier(**own), scale(X), y),
        ("`MixupClassifierCV(own)`", skmix.MixupClassifierCV(**own), scale(X), y),
    ):
        net = estimator.net_to_fit().set_params(max_epochs=10)
        yield name, estimator.set_params(estimator=net).fit(table, target), table


def measure():
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.skmix"
        for name, estimator, table in fitted():
            skmix.save(estimator, path)
            loaded = skmix.load(path, trusted=[mlp])
            nets = [
                e.estimator_ for e in getattr(estimator, "estimators_", [estimator])
            ]
            weights = [t for net in nets for t in net.module_.state_dict().values()]
            same = np.array_equal(loaded.predict(table), estimator.predict(table))
            rows.append(
                {
                    "estimator": name,
                    "nets": len(nets),
                    "weights": sum(t.numel() * t.element_size() for t in weights),
                    "pickle": len(pickle.dumps(estimator, protocol=5)),
                    "file": path.stat().st_size,
                    "pickle_of_loaded": len(pickle.dumps(loaded, protocol=5)),
                    "same_predictions": bool(same),
                }
            )
    return about(*PACKAGES, "skorch", "safetensors") | {"sizes": rows}


def markdown(results):
    rows = [["estimator", "nets", "weights, kB", "pickle, kB", "file, kB", "ratio"]]
    for row in results["sizes"]:
        sizes = [f"{row[name] / 1000:,.0f}" for name in ("weights", "pickle", "file")]
        ratio = f"{row['file'] / row['pickle']:.2f}"
        rows.append([row["estimator"], str(row["nets"]), *sizes, ratio])
    first = f"{results['date']}, {versions_line(results)}."
    return "\n".join([first, "", *table_lines(rows)])


def main():
    parser = parser_of(__doc__, tables=False)
    parser.add_argument("--markdown", action="store_true", help="print the table")
    if not parser.parse_args().markdown:
        torch.set_num_threads(1)
        write_report(OUT, measure())
    print(markdown(read_report(OUT)))


if __name__ == "__main__":
    main()
