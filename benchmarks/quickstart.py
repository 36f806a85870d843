"""What the quickstart answers for each table of scikit-learn, for three splits of rows.

python benchmarks/quickstart.py           # measures, writes results/quickstart.json
python benchmarks/quickstart.py --table   # prints the table of quickstart.json
"""

import time
from pathlib import Path
from runpy import run_path

import matplotlib
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

matplotlib.use("Agg")

ROOT = Path(__file__).parents[1]
OUT = RESULTS / "quickstart.json"


def measure():
    script = run_path(str(ROOT / "examples" / "quickstart.py"))
    rows = []
    for table in script["TABLES"]:
        for seed in range(3):
            start = time.process_time()
            answer = script["main"](["--table", table, "--seed", str(seed)])
            rows.append(
                {
                    "table": table,
                    "seed": seed,
                    "cpu_seconds": time.process_time() - start,
                    "verdict": answer["verdict"],
                    "models": answer["models"].round(6).to_dict("index"),
                }
            )
    return about(*PACKAGES, "skorch") | {"answers": rows}


def markdown(results):
    head = ["table", "seed", "answer", "loss of: skmix", "linear", "trees", "CPU s"]
    rows = [head]
    for row in results["answers"]:
        losses = [next(iter(scores.values())) for scores in row["models"].values()]
        losses = [f"{loss:.3g}" for loss in (losses[0], *losses[-2:])]
        cells = [row["table"], str(row["seed"]), row["verdict"], *losses]
        rows.append([*cells, f"{row['cpu_seconds']:.0f}"])
    first = f"{results['date']}, {versions_line(results)}."
    return "\n".join([first, "", *table_lines(rows)])


def main():
    parser = parser_of(__doc__, tables=False)
    parser.add_argument("--table", action="store_true", help="print, do not measure")
    if not parser.parse_args().table:
        write_report(OUT, measure())
    print(markdown(read_report(OUT)))


if __name__ == "__main__":
    main()
