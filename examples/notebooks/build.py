"""
Make the notebooks of this folder
=================================

    python examples/notebooks/build.py                    # all of them
    python examples/notebooks/build.py search_over_alpha  # this one
    python examples/notebooks/build.py --out /tmp         # to another folder

Each script in the percent format becomes a notebook of the same name, and is executed.
It needs the extra ``notebooks``.
"""

import argparse
import time
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).parent
LARGEST = 200_000  # bytes of a notebook with its outputs


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Make and execute the notebooks.")
    scripts = {path.stem: path for path in sorted(HERE.glob("*.py"))}
    del scripts[Path(__file__).stem]
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(scripts))
    parser.add_argument("--out", type=Path, default=HERE, help="folder to write to")
    args = parser.parse_args(argv)
    if unknown := set(args.names) - set(scripts):
        parser.error(f"{unknown.pop()!r} is none of {', '.join(scripts)}")
    for name in args.names or scripts:
        start = time.perf_counter()
        text = nbformat.writes(executed(scripts[name])) + "\n"
        if len(text.encode()) > LARGEST:
            raise SystemExit(f"{name}.ipynb is larger than {LARGEST:,} bytes.")
        path = args.out / f"{name}.ipynb"
        path.write_text(text, encoding="utf-8")
        print(f"{path}: {len(text):,} characters, {time.perf_counter() - start:.0f} s")


def executed(script: Path) -> nbformat.NotebookNode:
    """Return a script as a notebook with its outputs."""
    notebook = jupytext.read(script)
    notebook.metadata = {
        "kernelspec": {
            "display_name": "Python 3",
            "language": "python",
            "name": "python3",
        }
    }
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"  # not random, so that a new build changes little
        cell.metadata = {}
    options = {"startup_timeout": 300, "timeout": 1800, "record_timing": False}
    NotebookClient(notebook, kernel_name="python3", **options).execute()
    return notebook


if __name__ == "__main__":
    main()
