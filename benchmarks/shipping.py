"""How large a fitted model is in a file, and how long it takes to fit and to predict.

    python benchmarks/shipping.py            # measures, writes results/shipping.json
    python benchmarks/shipping.py --table    # prints the table of shipping.json
    python benchmarks/shipping.py --readme   # prints the lines for README.md

All models are at their defaults, on one thread, and are fitted on the table digits of
scikit-learn: 1,797 rows, 64 columns, 10 classes. Files are those of `joblib.dump`,
without compression. CatBoost needs the `benchmarks` extra.
"""

import io
import os
import time
from statistics import median

os.environ["OMP_NUM_THREADS"] = "1"

import joblib
import torch
from common import (
    PACKAGES,
    RESULTS,
    about,
    number,
    parser_of,
    read_report,
    rounded,
    table_lines,
    write_report,
)
from sklearn.datasets import load_digits
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

from skmix import MixupClassifier, MixupClassifierCV

OUT = RESULTS / "shipping.json"
N_CALLS = {1: 200, 1_000: 20}  # of predict_proba, by the number of rows


def models():
    from catboost import CatBoostClassifier  # (not needed to print)

    quiet = {"thread_count": 1, "verbose": 0, "allow_writing_files": False}
    return {
        "MixupClassifier": MixupClassifier(random_state=0),
        "MixupClassifierCV": MixupClassifierCV(random_state=0),
        "CatBoost": CatBoostClassifier(random_state=0, **quiet),
        "HistGradientBoosting": HistGradientBoostingClassifier(random_state=0),
        "RandomForest": RandomForestClassifier(random_state=0),
    }


def measure():
    torch.set_num_threads(1)
    X, y = load_digits(return_X_y=True)
    split = train_test_split(X, y, test_size=0.25, stratify=y, random_state=0)
    rows = [measure_model(name, model, *split) for name, model in models().items()]
    return about(*PACKAGES, "catboost") | {"models": rows}


def measure_model(name, model, X, X_test, y, y_test):
    start = time.process_time()
    model.fit(X, y)
    row = {"model": name, "fit_s": time.process_time() - start}
    file = io.BytesIO()
    joblib.dump(model, file)
    row["megabytes"] = len(file.getvalue()) / 1e6
    row["log_loss"] = log_loss(y_test, model.predict_proba(X_test))
    for n_rows, n_calls in N_CALLS.items():
        row[f"ms_{n_rows}"] = 1e3 * time_of_call(model, X[:n_rows], n_calls)
    return row


def time_of_call(model, X, n_calls):
    """CPU seconds of a call of predict_proba, the median of many."""
    model.predict_proba(X)
    times = []
    for _ in range(n_calls):
        start = time.process_time()
        model.predict_proba(X)
        times.append(time.process_time() - start)
    return median(times)


def markdown(result, models=None):
    head = ["", "fit, s", "file, MB", "1 row, ms", "1,000 rows, ms", "log loss"]
    names = ["fit_s", "megabytes", "ms_1", "ms_1000", "log_loss"]
    rows = [head]
    for row in result["models"]:
        if models is None or row["model"] in models:
            rows.append([row["model"], *(number(row[name]) for name in names)])
    return "\n".join(table_lines(rows))


def main():
    parser = parser_of(__doc__, tables=False)
    parser.add_argument("--table", action="store_true", help="print, do not measure")
    parser.add_argument("--readme", action="store_true", help="print README's lines")
    options = parser.parse_args()
    if not (options.table or options.readme):
        write_report(OUT, rounded(measure(), 4))
    of_readme = ("MixupClassifier", "MixupClassifierCV", "CatBoost")
    print(markdown(read_report(OUT), of_readme if options.readme else None))


if __name__ == "__main__":
    main()
