"""How long an effect and a report take: CPU seconds on one thread, 1,000 rows.

    python benchmarks/inspection.py --data DIR    # credit-g of a folder of tables
    python benchmarks/inspection.py --table       # prints the table of the JSON

Each estimator is compared with one other regularizer (dropout), at the defaults. The
minimum over `--runs` counts: other work on the machine makes a run slower, never
faster.
"""

import os
import time

os.environ["OMP_NUM_THREADS"] = "1"

import torch
from common import (
    PACKAGES,
    RESULTS,
    about,
    parser_of,
    read_report,
    rounded,
    sample_of,
    table_lines,
    tables_or_exit,
    versions_line,
    write_report,
)

from skmix import MixupClassifier, MixupClassifierCV
from skmix.inspection import mixup_effect, mixup_report

OUT = RESULTS / "inspection.json"
TABLE, ROWS = "credit-g", 1_000
WORK = {
    "mixup_effect(MixupClassifier())": (mixup_effect, MixupClassifier),
    "mixup_effect(MixupClassifierCV())": (mixup_effect, MixupClassifierCV),
    "mixup_report(MixupClassifierCV())": (mixup_report, MixupClassifierCV),
}


def seconds_of(work, X, y):
    function, kind = WORK[work]
    start = time.process_time()
    function(kind(), X, y, against="dropout", random_state=0)
    return time.process_time() - start


def main():
    parser = parser_of(__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--table", action="store_true", help="print the JSON's table")
    args = parser.parse_args()
    if args.table:
        report = read_report(OUT)
        rows = [[f"`{work}`", f"{s:.0f}"] for work, s in report["seconds"].items()]
        print(f"{report['date']}, {versions_line(report)}.\n")
        print("\n".join(table_lines([["call", "CPU s"], *rows])))
        return
    torch.set_num_threads(1)
    (table,) = (t for t in tables_or_exit(args.data) if t.name == TABLE)
    X, y = sample_of(table, ROWS)
    seconds = {
        work: min(seconds_of(work, X, y) for _ in range(args.runs)) for work in WORK
    }
    report = about(*PACKAGES) | {"table": TABLE, "rows": len(y), "runs": args.runs}
    write_report(OUT, rounded(report | {"seconds": seconds}, 3))


if __name__ == "__main__":
    main()
