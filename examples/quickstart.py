"""
Does mixup help on this table?
==============================

    python examples/quickstart.py                             # a table of scikit-learn
    python examples/quickstart.py table.csv --target column   # your own table

One search trains a net at alpha 0 (no mixing), 0.2 and 1 in folds. `MixupEffect` says
in two sentences whether mixing helps, and `AlphaDisplay` draws quickstart.png.
"""

import argparse
import shlex
import sys
import warnings
from pathlib import Path

import torch
from sklearn import datasets
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.pipeline import make_pipeline
from skorch import NeuralNet, NeuralNetClassifier, NeuralNetRegressor
from torch import nn, optim

from skmix import MixupClassifierCV, MixupRegressorCV
from skmix.inspection import AlphaDisplay, MixupEffect
from skmix.inspection.files import UnreadableColumns, columns_of, read_file
from skmix.preprocessing import TableEncoder

TABLES = ("breast_cancer", "diabetes", "digits", "iris", "wine")  # of scikit-learn
WHY = """The table breast_cancer of scikit-learn. It was taken because it teaches most:
mixing lowers the mean log loss of this net by far, but about ten of the 569 rows make
the whole gain, so ten folds may be too few to be sure. On iris and wine mixing raises
the log loss. docs/quickstart.md has all answers."""


def mlp(d_in: int, d_out: int) -> nn.Module:
    """Return a net with two hidden layers; skmix fills in d_in and d_out."""
    hidden = [nn.Linear(d_in, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU()]
    return nn.Sequential(*hidden, nn.Linear(64, d_out))


def own_net(classify: bool) -> NeuralNet:
    kind = NeuralNetClassifier if classify else NeuralNetRegressor
    net = kind(mlp, criterion=nn.CrossEntropyLoss if classify else nn.MSELoss)
    net.set_params(optimizer=optim.Adam, lr=0.003, max_epochs=60, batch_size=32)
    return net.set_params(train_split=None)


def main(argv: list[str] | None = None) -> MixupEffect:
    args = read_arguments(argv)
    torch.set_num_threads(1)  # small nets are fastest on one thread
    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = lambda message, *_: print(f"Note: {message}")
        try:
            return answer(args)
        except (OSError, ValueError, TypeError) as error:
            print(f"Cannot use this table: {error}", file=sys.stderr)
            if isinstance(error, UnreadableColumns):
                line = command("python examples/quickstart.py", args, error.names)
                print(f"\nTo leave them out:\n\n    {line}", file=sys.stderr)
            raise SystemExit(2) from None


def answer(args: argparse.Namespace) -> MixupEffect:
    own = args.net == "own" or (args.net is None and args.file is None)
    if args.file is None:
        known = own and args.table == TABLES[0]
        print(WHY if known else f"The table {args.table} of scikit-learn.")
        table = getattr(datasets, f"load_{args.table}")(as_frame=True).frame
    else:
        table = read_file(args.file)
    limit = args.max_rows or (600 if args.file is None else 1000)
    options = {"target": args.target, "drop": names_of(args.drop), "task": args.task}
    X, y, task = columns_of(table, **options, max_rows=limit, seed=args.seed)
    classify = task == "classification"
    kind = MixupClassifierCV if classify else MixupRegressorCV
    folds = StratifiedKFold if classify else KFold
    search = kind(
        own_net(classify) if own else None,
        alphas=(0, 0.2, 1),
        cv=folds(10 if own else 5, shuffle=True, random_state=args.seed),
        random_state=args.seed,
        store_cv_results=True,
        verbose=1,
    )
    # skmix does not scale the columns of a user-supplied net: it is done here.
    steps = [TableEncoder(), search] if own else [search]
    make_pipeline(*steps).fit(X, y)
    effect = MixupEffect.from_search(search, y)
    shown = ["log_loss", "accuracy", "ece"] if classify else ["rmse", "r2"]
    means = effect.table["mean"].unstack("metric", sort=False)[shown]
    print(f"\n{effect!r}\n\n{means.round(4).to_string()}\n")
    AlphaDisplay.from_estimator(search).figure_.savefig("quickstart.png", dpi=150)
    print("Saved quickstart.png. For skmix's own net on one page, with repeated folds:")
    print(command("python -m skmix report", args, []))
    return effect


def read_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Does mixup help on this table?")
    parser.add_argument("file", nargs="?", type=Path, help="CSV or Parquet file")
    parser.add_argument("--target", help="column to predict (default: the last one)")
    parser.add_argument("--drop", default="", help="columns to leave out: a,b")
    parser.add_argument("--task", choices=["classification", "regression"])
    parser.add_argument("--max-rows", type=int, help="default: 1000, 600 without file")
    parser.add_argument("--table", choices=TABLES, default=TABLES[0], help="if no file")
    own = "the net of this script or that of skmix (default: skmix for a file)"
    parser.add_argument("--net", choices=["own", "skmix"], help=own)
    parser.add_argument("--seed", type=int, default=0, help="of rows, folds and nets")
    return parser.parse_args(argv)


def names_of(drop: str) -> list[str]:
    return [name.strip() for name in drop.split(",") if name.strip()]


def command(start: str, args: argparse.Namespace, wrong: list[str]) -> str:
    """Return a command line for the file, with more columns left out."""
    target = args.target or (None if args.file else "column")
    given = {"--target": target, "--task": args.task, "--max-rows": args.max_rows}
    given |= {"--seed": args.seed, "--drop": ",".join([*names_of(args.drop), *wrong])}
    file = "table.csv" if args.file is None else str(args.file)
    words = [word for pair in given.items() if pair[1] for word in map(str, pair)]
    return f"{start} {shlex.join([file, *words])}"


if __name__ == "__main__":
    main()
