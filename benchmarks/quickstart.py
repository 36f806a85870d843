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
            effect = script["main"](["--table", table, "--seed", str(seed)])
            of_metric = effect.table.xs(effect.metric, level="metric")
            rows.append(
                {
                    "table": table,
                    "seed": seed,
                    "cpu_seconds": time.process_time() - start,
                    "verdict": effect.verdict,
                    "sentence": repr(effect).splitlines()[0],
                    "losses": of_metric["mean"].drop("chosen alpha").round(6).to_dict(),
                }
            )
    return about(*PACKAGES, "skorch") | {"answers": rows}


def markdown(results):
    alphas = list(results["answers"][0]["losses"])
    rows = [["table", "seed", "answer", *(f"loss, {name}" for name in alphas), "CPU s"]]
    for row in results["answers"]:
        losses = [f"{row['losses'][name]:.3g}" for name in alphas]
        cells = [row["table"], str(row["seed"]), row["sentence"], *losses]
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
