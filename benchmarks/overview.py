"""Sum up the committed results, and name the pages that explain them.

python benchmarks/overview.py                # prints the tables of docs/benchmarks.md
"""

from collections import Counter
from pathlib import Path

import numpy as np
from common import read_report, table_lines
from quality import LOSS, frame_of, log_ratio, paired

RESULTS = Path(__file__).parent / "results"
RIVALS = {
    "cat": "CatBoost",
    "tabm": "TabM",
    "realmlp": "RealMLP",
    "hgb": "HistGradientBoosting",
    "rf": "random forest",
    "linear": "linear model",
}


def quality_table():
    """Return losses of the searches as shares of those of other libraries."""
    result = read_report(RESULTS / "quality.json")
    rows = [["", *(f"{loss}, share" for loss in ("log loss", "RMSE"))]]
    for rival, name in RIVALS.items():
        cells = [ratio(result, task, "ours-cv", rival, LOSS[task]) for task in LOSS]
        rows.append([name, *cells])
    return rows


def ratio(result, task, variant, rival, score):
    """Return the geometric mean over the tables of the ratio to a rival."""
    both = paired(frame_of(result["scores"], task), variant, rival)
    mean = np.exp(log_ratio(both, score).mean())
    return f"{mean:.2f} ({len(both)} tables)"


def quality():
    result = read_report(RESULTS / "quality_10000.json")
    question = "Log loss of `MixupClassifier()` over CatBoost's, up to 10,000 rows"
    cells = ratio(result, "classification", "ours", "cat", "ll")
    yield question, cells, "quality.md", result["date"]
    question = "CPU time of `MixupClassifier().fit` over CatBoost's, up to 10,000 rows"
    cells = ratio(result, "classification", "ours", "cat", "fit_s")
    yield question, cells, "quality.md", result["date"]


def mixing():
    result = read_report(RESULTS / "defaults.json")
    cells = [
        f"{row['ratio']:.3f} ± {row['ratio_error']:.3f} "
        f"({row['task']}, {row['wins'] + row['ties'] + row['losses']} tables)"
        for row in result["summary"]
        if (row["alpha"], row["lam_per"]) == ("0.2", "batch")
    ]
    question = "Loss at alpha 0.2 over that at alpha 0"
    yield question, "; ".join(cells), "defaults.md", result["date"]


def answers():
    result = read_report(RESULTS / "quickstart.json")
    counts = Counter(row["verdict"] for row in result["answers"]).most_common()
    cells = "; ".join(f"{verdict}: {count}" for verdict, count in counts)
    tables = len({row["table"] for row in result["answers"]})
    question = f"Verdicts on the {tables} tables of scikit-learn, three seeds each"
    yield question, cells, "quickstart.md", result["date"]


def speed():
    result = read_report(RESULTS / "speed.json")
    wanted = {
        "ours, alpha 0": "alpha 0",
        "reference loop, mixup": "a loop by hand",
        "skorch, mixup in its train step": "skorch with mixup",
    }
    cells = [
        f"{bar['ratio']:.2f} ({wanted[bar['to']]})"
        for bar in result["bars"]
        if bar["to"] in wanted
        and (bar["ratio_of"], bar["batch_size"], bar["optimizer"])
        == ("ours, alpha 0.2", 256, "Adam")
    ]
    question = "CPU time of `fit` at alpha 0.2 over that of other ways"
    yield question, "; ".join(cells), "speed.md", result["date"]
    result = read_report(RESULTS / "search.json")
    ratios = [row["ratio"]["grid"] for row in result["speed"]]
    question = "CPU time of `GridSearchCV` over that of `MixupClassifierCV`"
    cells = f"{min(ratios):.1f} to {max(ratios):.1f}, most with small nets"
    yield question, cells, "searches.md", result["date"]


def main():
    rows = [["question", "measured", "page", "date"]]
    for part in (quality, mixing, answers, speed):
        for question, measured, page, date in part():
            rows.append([question, measured, f"[{page}]({page})", date])
    print("\n".join([*table_lines(quality_table()), "", *table_lines(rows)]))


if __name__ == "__main__":
    main()
