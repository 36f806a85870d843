"""Count the lines of code of package folders, without docstrings, blanks and comments.

A line counts as code if it holds a token that is neither a comment nor part of a
docstring. Functions include methods and functions in functions.

    python benchmarks/code_lines.py                     # skmix as it lies here
    python benchmarks/code_lines.py BEFORE/skmix skmix  # two versions, and by how much

For each folder it prints a table of the modules; of two folders, how the totals differ
in per cent. An older version is at hand by ``git worktree add BEFORE COMMIT``.
"""

import argparse
import ast
import io
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PACKAGE = Path(__file__).parents[1] / "skmix"
SILENT = {
    tokenize.COMMENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
    tokenize.INDENT,
    tokenize.NEWLINE,
    tokenize.NL,
}
FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef


class Counts(NamedTuple):
    modules: int
    code: int
    docstrings: int
    functions: int


def docstrings(tree: ast.Module) -> Iterator[ast.Constant]:
    """Yield the docstrings of the module, its classes and its functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | FUNCTIONS) and node.body:
            first = node.body[0]
            is_text = isinstance(first, ast.Expr) and isinstance(
                first.value, ast.Constant
            )
            if is_text and isinstance(first.value.value, str):
                yield first.value


def count(source: str) -> Counts:
    tree = ast.parse(source)
    texts = list(docstrings(tree))
    spans = [
        ((t.lineno, t.col_offset), (t.end_lineno, t.end_col_offset)) for t in texts
    ]
    code: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        is_docstring = token.type == tokenize.STRING and any(
            start <= token.start < end for start, end in spans
        )
        if token.type not in SILENT and not is_docstring:
            code.update(range(token.start[0], token.end[0] + 1))
    return Counts(
        modules=1,
        code=len(code),
        docstrings=sum(end[0] - start[0] + 1 for start, end in spans),
        functions=sum(isinstance(node, FUNCTIONS) for node in ast.walk(tree)),
    )


def report(folder: Path) -> Counts:
    """Print a table of a folder's modules, and return the totals."""
    of_modules = {
        str(path.relative_to(folder)): count(path.read_text(encoding="utf-8"))
        for path in sorted(folder.rglob("*.py"))
    }
    if not of_modules:
        raise SystemExit(f"Got no modules in {folder}.")
    total = Counts(*map(sum, zip(*of_modules.values(), strict=True)))
    print(f"{folder}\n{'module':32}{'code':>8}{'docstrings':>12}{'functions':>11}")
    rows = {**of_modules, f"total of {total.modules} modules": total}
    for name, counts in rows.items():
        print(f"{name:32}{counts.code:8}{counts.docstrings:12}{counts.functions:11}")
    print()
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="*", type=Path, default=[PACKAGE])
    totals = [report(folder) for folder in parser.parse_args().folders]
    if len(totals) == 2:
        before, after = totals
        for name, old, new in zip(Counts._fields, before, after, strict=True):
            change = f"{100 * (new / old - 1):+.1f} %" if old else "new"
            print(f"{name:12}{old:8} -> {new:6}  {change}")


if __name__ == "__main__":
    main()
