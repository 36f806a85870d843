"""Random cases of tables, targets and parameters: is each fitted, or explained?

The cases and the judge are those of the tests (tests/fuzz_cases.py, fuzz_oracle.py).
A case is fitted, predicts, and predicts a changed table; or it is refused. Each shard
has 50 cases, which its number determines.

    python benchmarks/fuzz.py               # 50,000 cases, some 3 hours on one core
    python benchmarks/fuzz.py --cases 1000
    python benchmarks/fuzz.py --faults      # prints what went wrong
    python benchmarks/fuzz.py --report      # writes fuzz.json
    python benchmarks/fuzz.py --markdown    # prints the table of fuzz.json

Each shard is a line of results/fuzz.jsonl, and what is there is not tried again; delete
it to start afresh, as after a change of the library.
"""

import os
import signal
import sys
import time
from collections import Counter
from itertools import chain
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["SCIPY_ARRAY_API"] = "1"  # as for the tests
sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))

import torch
from common import (
    PACKAGES,
    RESULTS,
    about,
    measure_all,
    parser_of,
    read_report,
    records_in,
    table_lines,
    versions_line,
    write_report,
)
from fuzz_cases import KINDS, cases
from fuzz_oracle import check
from hypothesis import HealthCheck, Phase, given, seed, settings

OUT = RESULTS / "fuzz.json"
SCRATCH = OUT.with_suffix(".jsonl")
CASES_OF_SHARD = 50
SECONDS = 120  # of the processor, after which a case counts as one that hangs
OUTCOMES = ("fitted", "refused", "fault")

every_case = settings(
    max_examples=CASES_OF_SHARD,
    phases=[Phase.generate],
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


class Hangs(BaseException):
    """A case took too long."""


def stop(*_):
    raise Hangs


def outcome_of(case):
    """Return the outcome of a case, and what is wrong with it, if anything is."""
    signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        return check(case), None
    except (Exception, Hangs) as error:
        return "fault", f"{case!r}: {type(error).__name__}: {error}"[:2000]
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def measure(shard):
    torch.set_num_threads(1)
    tried, faults, start = [], [], time.perf_counter()

    @seed(shard)
    @every_case
    @given(cases())
    def try_all(case):
        outcome, fault = outcome_of(case)
        tried.append([case.kind, case.net == "default", outcome])
        faults.extend([fault] * bool(fault))

    try_all()
    seconds = round(time.perf_counter() - start, 1)
    return {"shard": shard, "seconds": seconds, "tried": tried, "faults": faults}


def report_of(records):
    tried = list(chain.from_iterable(record["tried"] for record in records))
    rows = []
    for kind in KINDS:
        for default in (True, False):
            outcomes = Counter(o for k, d, o in tried if (k, d) == (kind, default))
            net = "default" if default else "of one's own"
            found = {outcome: outcomes[outcome] for outcome in OUTCOMES}
            rows.append({"estimator": kind, "net": net} | found)
    return {
        **about(*PACKAGES, "pandas", "polars", "pyarrow", "skorch", "hypothesis"),
        "cases": len(tried),
        "shards": len(records),
        "minutes": round(sum(record["seconds"] for record in records) / 60),
        "by estimator": rows,
    }


def markdown(result):
    rows = [["estimator", "net", *OUTCOMES]]
    for row in result["by estimator"]:
        rows.append([row["estimator"], row["net"], *(f"{row[o]:,}" for o in OUTCOMES)])
    total = {o: sum(row[o] for row in result["by estimator"]) for o in OUTCOMES}
    rows.append(["all", "", *(f"{total[o]:,}" for o in OUTCOMES)])
    tried = f"{result['cases']:,} cases in {result['minutes']:,} minutes"
    text = f"{tried}, {result['date']}: {versions_line(result)}."
    return "\n".join([text, "", *table_lines(rows)])


def main():
    parser = parser_of(__doc__, tables=False)
    parser.add_argument("--cases", type=int, default=50_000, help="to try in all")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--faults", action="store_true", help="print what went wrong")
    parser.add_argument("--report", action="store_true", help="write the JSON")
    parser.add_argument("--markdown", action="store_true", help="print its table")
    args = parser.parse_args()
    if args.faults:
        print(*chain(*(r["faults"] for r in records_in(SCRATCH))), sep="\n\n")
    if args.report:
        write_report(OUT, report_of(records_in(SCRATCH)))
    if args.markdown:
        print(markdown(read_report(OUT)))
    if args.faults or args.report or args.markdown:
        return
    known = {record["shard"] for record in records_in(SCRATCH)}
    shards = range(-(-args.cases // CASES_OF_SHARD))
    measure_all([s for s in shards if s not in known], args.jobs, SCRATCH, measure)


if __name__ == "__main__":
    main()
