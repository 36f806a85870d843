"""The notebooks are those of their scripts, and they run."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "examples" / "notebooks"
SCRIPTS = sorted(path for path in FOLDER.glob("*.py") if path.stem != "build")
scripts = pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
LARGEST = 200_000  # bytes


def cells_of(script):
    """Return the cells of a script in the percent format, by kind and text."""
    cells = []
    text = script.read_text("utf-8")
    for title, body in re.findall(r"(?ms)^# %%(.*?)$(.*?)(?=^# %%|\Z)", text):
        kind = "markdown" if "[markdown]" in title else "code"
        lines = body.strip("\n").splitlines()
        if kind == "markdown":
            lines = [line.removeprefix("#").removeprefix(" ") for line in lines]
        cells.append((kind, "\n".join(lines)))
    return cells


def read(notebook):
    return json.loads(notebook.read_text("utf-8"))["cells"]


def printed(cells):
    """Return what the cells of a notebook print."""
    outputs = [out for cell in cells for out in cell.get("outputs", [])]
    return "".join("".join(out["text"]) for out in outputs if "text" in out)


def check_words(name, text):
    """Check what a notebook says against what its cells printed."""
    if name == "is_mixup_worth_it":
        verdict, decision = text.split("This is what one search tells")
        if "Mixing helps" in verdict:
            assert "Mix. Most folds chose" in decision
        elif "Mixing hurts" in verdict:
            assert "Do not mix: set alpha=0." in decision
        else:
            told = ["No evidence that mixing helps", "Mixing is not worth it here"]
            assert sum(words in verdict for words in told) == 1
            assert "et alpha=0" in decision
    elif name == "search_over_alpha":
        found = re.search(r"Largest difference between the two columns: (\S+)", text)
        assert float(found.group(1)) < 1e-4
        ratio = re.search(r"GridSearchCV took (\S+) times as long", text)
        assert float(ratio.group(1)) > 1
    else:
        lines = re.findall(r"a fit of skmix takes \S+ CPU s", text)
        assert len(lines) == 2


def test_there_are_three():
    names = {path.stem for path in FOLDER.glob("*.ipynb")}
    assert names == {path.stem for path in SCRIPTS}
    assert len(names) == 3


@scripts
def test_cells_are_those_of_the_script(script):
    cells = read(script.with_suffix(".ipynb"))
    found = [(cell["cell_type"], "".join(cell["source"])) for cell in cells]
    assert found == cells_of(script)


@scripts
def test_it_is_executed_small_and_quiet(script):
    path = script.with_suffix(".ipynb")
    cells = [cell for cell in read(path) if cell["cell_type"] == "code"]
    counts = [cell["execution_count"] for cell in cells]
    assert counts == list(range(1, len(cells) + 1))
    outputs = [out for cell in cells for out in cell["outputs"]]
    assert {out["output_type"] for out in outputs} >= {"stream", "display_data"}
    assert not [out for out in outputs if out.get("name") == "stderr"]
    assert path.stat().st_size < LARGEST
    check_words(script.stem, printed(cells))


@pytest.mark.slow
@scripts
def test_it_runs(script, tmp_path):
    pytest.importorskip("nbclient", reason="needs the extra notebooks")
    done = subprocess.run(
        [sys.executable, FOLDER / "build.py", script.stem, "--out", tmp_path],
        env=os.environ | {"PYTHONPATH": str(FOLDER.parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (notebook,) = tmp_path.iterdir()
    check_words(script.stem, printed(read(notebook)))
