"""What the quickstart answers for each table of scikit-learn, for three splits of rows.

python benchmarks/quickstart.py           # measures, writes results/quickstart.json
python benchmarks/quickstart.py --table   # prints the table of quickstart.json
"""

import argparse
import datetime
import json
import time
from importlib.metadata import version
from pathlib import Path
from runpy import run_path

import matplotlib

matplotlib.use("Agg")

ROOT = Path(__file__).parents[1]
OUT = ROOT / "benchmarks" / "results" / "quickstart.json"
PACKAGES = ("skmix", "numpy", "scikit-learn", "torch", "skorch")


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
    return {
        "date": datetime.date.today().isoformat(),
        "versions": {name: version(name) for name in PACKAGES},
        "answers": rows,
    }


def markdown(results):
    versions = ", ".join(f"{name} {v}" for name, v in results["versions"].items())
    lines = [f"{results['date']}, {versions}.", ""]
    lines += ["| table | seed | answer | loss of: skmix | linear | trees | CPU s |"]
    lines += ["| --- | --- | --- | --- | --- | --- | --- |"]
    for row in results["answers"]:
        losses = [next(iter(scores.values())) for scores in row["models"].values()]
        losses = [f"{loss:.3g}" for loss in (losses[0], *losses[-2:])]
        cells = [row["table"], row["seed"], row["verdict"], *losses]
        cells.append(f"{row['cpu_seconds']:.0f}")
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--table", action="store_true", help="print, do not measure")
    if parser.parse_args().table:
        print(markdown(json.loads(OUT.read_text("utf-8"))))
        return
    results = measure()
    OUT.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    print(markdown(results))


if __name__ == "__main__":
    main()
