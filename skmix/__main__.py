"""Reports from the command line: ``python -m skmix report table.csv --target y``."""

import argparse
import shlex
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch

from skmix._estimators_cv import MixupClassifierCV, MixupRegressorCV
from skmix.inspection._report import mixup_report
from skmix.inspection.files import (
    FEWEST_ROWS,
    UnreadableColumns,
    columns_of,
    read_file,
)

MAX_ROWS = 1000


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command, and return its exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    options = _parser().parse_args(arguments)
    torch.set_num_threads(1)  # small nets are fastest on one thread
    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = lambda message, *_: print(f"Note: {message}")
        try:
            _report(options)
        except UnreadableColumns as error:
            _complain(error)
            dropped = ",".join(filter(None, [options.drop, *error.names]))
            command = shlex.join([*_without_drop(arguments), "--drop", dropped])
            print(
                f"\nTo leave them out:\n\n    python -m skmix {command}",
                file=sys.stderr,
            )
            return 2
        except (OSError, ValueError, TypeError, ImportError) as error:
            _complain(error)
            return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m skmix", description="Mixup on tables."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    report = commands.add_parser(
        "report", help="say whether mixing helps on a table, on one HTML page"
    )
    report.add_argument("file", type=Path, help="CSV or Parquet file")
    report.add_argument("--target", help="column to predict (default: the last one)")
    report.add_argument(
        "-o", "--output", type=Path, default=Path("report.html"), help="the page"
    )
    report.add_argument("--drop", default="", help="columns to leave out: a,b")
    report.add_argument("--task", choices=["classification", "regression"])
    report.add_argument(
        "--against",
        action="append",
        choices=["dropout", "label_smoothing", "weight_decay"],
        help="another regularizer to compare with; may be given again",
    )
    report.add_argument(
        "--max-rows", type=int, default=MAX_ROWS, help="sample (default: %(default)s)"
    )
    report.add_argument("--n-jobs", type=int, help="processes (default: 1)")
    report.add_argument("--seed", type=int, default=0, help="of rows, folds and nets")
    return parser


def _report(options: argparse.Namespace) -> None:
    dropped = [name.strip() for name in options.drop.split(",") if name.strip()]
    if not options.output.absolute().parent.is_dir():  # before any training
        raise ValueError(f"no folder {options.output.parent} to save the page in.")
    if options.max_rows < FEWEST_ROWS:
        raise ValueError(f"--max-rows must be at least {FEWEST_ROWS}.")
    columns = columns_of(
        read_file(options.file),
        target=options.target,
        drop=dropped,
        task=options.task,
        max_rows=options.max_rows,
        seed=options.seed,
    )
    classify = columns.task == "classification"
    report = mixup_report(
        MixupClassifierCV() if classify else MixupRegressorCV(),
        columns.X,
        columns.y,
        against=options.against,
        random_state=options.seed,
        n_jobs=options.n_jobs,
        title=f"Does mixing help on {options.file.name}?",
        verbose=1,
    )
    path = report.save(options.output)
    print(f"\n{report.effect!r}\n\nSaved {path}.")


def _complain(error: Exception) -> None:
    print(f"Cannot make a report: {error}", file=sys.stderr)


def _without_drop(arguments: list[str]) -> list[str]:
    """Return the arguments without the columns that are left out already."""
    kept, skip = [], False
    for argument in arguments:
        if skip or argument == "--drop":
            skip = argument == "--drop"
        elif not argument.startswith("--drop="):
            kept.append(argument)
    return kept


if __name__ == "__main__":
    sys.exit(main())
