"""What the first fit of a process costs beside the second, and the import of skmix.

Each estimator is fitted four times in a process of its own, which is started several
times; the figures are minima of CPU seconds. The import is measured after that of
torch, scikit-learn, skorch and pandas.

    python benchmarks/first_fit.py              # writes results/first_fit.json
    python benchmarks/first_fit.py --markdown   # prints the table of first_fit.json
"""

import json
import os
import subprocess
import sys

os.environ["OMP_NUM_THREADS"] = "1"

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

OUT = RESULTS / "first_fit.json"
KINDS = ("MixupClassifier", "MixupClassifierCV", "MixupRegressor", "MixupRegressorCV")
FITS = """
import json, sys, time, warnings
import pandas, sklearn, skorch, torch
from sklearn.datasets import load_wine

warnings.simplefilter("ignore")
torch.set_num_threads(1)
X, y = load_wine(return_X_y=True)
seconds = [time.process_time()]
import skmix

seconds.append(time.process_time())
kind = getattr(skmix, sys.argv[1])
task = "classifier" if "Classifier" in sys.argv[1] else "regressor"
y = y.astype(float) if task == "regressor" else y
net = skmix.default_net(task).set_params(max_epochs=3)
for _ in range(4):
    kind(net, random_state=0).fit(X, y)
    seconds.append(time.process_time())
print(json.dumps([b - a for a, b in zip(seconds, seconds[1:])]))
"""


def measure(kind, n_processes):
    """Return seconds of the import, of the first fit, and of the best later one."""
    found = []
    for _ in range(n_processes):
        command = [sys.executable, "-c", FITS, kind]
        run = subprocess.run(command, check=True, capture_output=True, text=True)
        imported, first, *later = json.loads(run.stdout)
        found.append((imported, first, min(later)))
    names = ("import", "first fit", "later fit")
    best = map(min, zip(*found, strict=True))
    return {"estimator": kind} | dict(zip(names, best, strict=True))


def markdown(result):
    rows = [["CPU s", "first fit", "later fit", "import"]]
    for row in result["summary"]:
        cells = [f"{row[name]:.2f}" for name in ("first fit", "later fit", "import")]
        rows.append([row["estimator"], *cells])
    measured = f"{result['date']}: {versions_line(result)}."
    return "\n".join([measured, "", *table_lines(rows)])


def main():
    parser = parser_of(__doc__, tables=False)
    parser.add_argument("--processes", type=int, default=8, help="of each estimator")
    parser.add_argument("--markdown", action="store_true", help="print the table")
    args = parser.parse_args()
    if args.markdown:
        print(markdown(read_report(OUT)))
        return
    rows = [measure(kind, args.processes) for kind in KINDS]
    write_report(OUT, about(*PACKAGES) | {"summary": rows})
    print(markdown(read_report(OUT)))


if __name__ == "__main__":
    main()
