"""Compare the speed of this checkout with that of another one.

    git worktree add ../old COMMIT
    python benchmarks/against.py ../old

Each setting is a short fit or prediction. Three processes take turns at it: one with
the other checkout, and two with this one, whose ratio (A/A) is noise alone. Each counts
with its minimum CPU time over the rounds. Ratios are this checkout over the other; a
ratio within A/A is no difference. `--only TEXT` chooses settings, `--out FILE` writes
JSON.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

from common import about, parser_of, write_report

HERE = Path(__file__).resolve().parent.parent
PACKAGES = ("numpy", "scikit-learn", "torch", "skorch")
ALPHA = 0.2


def settings():
    """Return functions without arguments, by the name of what they measure."""
    import torch
    from sklearn.datasets import load_breast_cancer, load_diabetes, make_classification
    from skorch import NeuralNetClassifier
    from torch import nn

    import skmix

    X, y = make_classification(4_000, 30, n_informative=10, random_state=0)
    X = X.astype("float32")
    small = load_breast_cancer(return_X_y=True)
    numbers = load_diabetes(return_X_y=True)

    def mlp(d_in=30, d_out=2):
        layers = nn.Linear(d_in, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU()
        return nn.Sequential(*layers, nn.Linear(128, d_out))

    def net(**params):
        return NeuralNetClassifier(
            mlp,
            criterion=nn.CrossEntropyLoss,
            optimizer=torch.optim.Adam,
            batch_size=128,
            train_split=None,
            verbose=0,
            iterator_train__shuffle=True,
            **params,
        )

    def own(**params):
        return skmix.MixupClassifier(net(max_epochs=2), random_state=0, **params)

    def default(task, **params):
        kinds = skmix.MixupClassifier, skmix.MixupRegressor
        kind = kinds[task == "regressor"]
        given = skmix.default_net(task).set_params(**params)
        return kind(given, alpha=ALPHA, random_state=0)

    fitted = own(alpha=ALPHA).fit(X, y)
    five = {"max_epochs": 5}
    search = skmix.MixupClassifierCV(net(max_epochs=1), random_state=0)
    searched = skmix.default_net("classifier").set_params(max_epochs=2)
    by_default = skmix.MixupClassifierCV(searched, cv=2, random_state=0)
    return {
        "fit, alpha 0": lambda: own(alpha=0).fit(X, y),
        "fit, mixup": lambda: own(alpha=ALPHA).fit(X, y),
        "fit, lam per row": lambda: own(alpha=ALPHA, lam_per="row").fit(X, y),
        "fit, cutmix": lambda: own(alpha=ALPHA, mixing="cutmix").fit(X, y),
        "fit, default classifier": lambda: default("classifier", **five).fit(*small),
        "fit, default regressor": lambda: default("regressor", **five).fit(*numbers),
        "search, user-supplied net": lambda: search.fit(X[:1000], y[:1000]),
        "search, default net": lambda: by_default.fit(*small),
        "predict, 1 row": lambda: [fitted.predict_proba(X[:1]) for _ in range(50)],
        "predict, 4,000 rows": lambda: [fitted.predict_proba(X) for _ in range(5)],
    }


def work():
    """Run the settings that are asked for, one a line, and tell their CPU seconds."""
    import warnings

    warnings.simplefilter("ignore")
    known = settings()
    print(json.dumps(list(known)), flush=True)
    for line in sys.stdin:
        run = known[line.strip()]
        begin = time.process_time()
        run()
        print(time.process_time() - begin, flush=True)


class Worker:
    """A process that runs settings with the code of one checkout."""

    def __init__(self, checkout):
        env = os.environ | {"PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, __file__, "--work", str(checkout)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(command, env=env, **pipes)
        self.names = json.loads(self.process.stdout.readline())
        self.seconds = {name: [] for name in self.names}

    def run(self, name):
        self.process.stdin.write(f"{name}\n")
        self.process.stdin.flush()
        self.seconds[name].append(float(self.process.stdout.readline()))


def main():
    parser = parser_of(__doc__, tables=False)
    parser.add_argument("other", type=Path, help="the checkout to compare with")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--only", default="", help="a part of the settings' names")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:
        work()
        return
    checkouts = {"this": HERE, "again": HERE, "other": args.other.resolve()}
    workers = {name: Worker(checkout) for name, checkout in checkouts.items()}
    results = {}
    for name in workers["this"].names:
        if args.only not in name:
            continue
        for _ in range(args.rounds + 1):  # the first round warms up
            for worker in random.sample(list(workers.values()), 3):
                worker.run(name)
        least = {who: min(w.seconds[name][1:]) for who, w in workers.items()}
        ratio = least["this"] / least["other"]
        noise = least["this"] / least["again"]
        results[name] = {"ratio": round(ratio, 3), "a_a": round(noise, 3)}
        print(f"{name:28} {ratio:6.3f}   A/A {noise:6.3f}", flush=True)
    if args.out:
        result = about(*PACKAGES) | {"rounds": args.rounds, "ratios": results}
        write_report(args.out, result)


if __name__ == "__main__":
    main()
