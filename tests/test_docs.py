"""What README, docs and examples show works as it stands."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from runpy import run_path

import pytest
from sklearn.datasets import load_wine

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]
QUICKSTART = ROOT / "examples" / "quickstart.py"
pages = pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))


def blocks(text, language):
    """Code blocks of a language, as pairs of line number and code."""
    fence = rf"^```{language}\n(.*?)^```$"
    found = re.finditer(fence, text, flags=re.MULTILINE | re.DOTALL)
    return [(text.count("\n", 0, m.start(1)), m.group(1)) for m in found]


def run_blocks(path):
    """Run the Python blocks of a page in order, in one namespace."""
    namespace = {"__name__": path.stem}
    for line, code in blocks(path.read_text(encoding="utf-8"), "python"):
        # Blank lines in front make tracebacks show the page's own lines.
        program = compile("\n" * line + code, str(path), "exec")
        try:
            exec(program, namespace)
        except Exception as error:
            error.add_note(f"In the Python block at {path.name}, line {line + 1}.")
            raise


@pages
def test_python_blocks_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_blocks(page)


def test_a_failing_block_is_named(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# Title\n\n```python\na = 1\n```\n\n```python\nb = a\na / 0\n```\n"
    )
    with pytest.raises(ZeroDivisionError) as caught:
        run_blocks(page)
    assert caught.value.__notes__ == ["In the Python block at page.md, line 8."]
    assert caught.traceback[-1].lineno + 1 == 9


@pages
def test_links_between_files_lead_somewhere(page):
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    files = [link.partition("#")[0] for link in links if "://" not in link]
    missing = [name for name in files if name and not (page.parent / name).exists()]
    assert not missing


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
class TestCi:
    def listed(self, script):
        command = ["bash", script, "--list"]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def listed_for(self, readme, folder):
        script = folder / ".ci" / "run"
        script.parent.mkdir()
        script.write_bytes((ROOT / ".ci" / "run").read_bytes())
        (folder / "README.md").write_text(readme)
        return self.listed(script)

    def test_commands_are_those_of_the_readme(self):
        readme = (ROOT / "README.md").read_text(encoding="utf-8")
        expected = [code for _, code in blocks(readme, "bash")]
        assert len(expected) == 2
        assert self.listed(ROOT / ".ci" / "run").stdout == "".join(expected)

    @pytest.mark.parametrize(
        ("readme", "message"),
        [
            ("", "fewer than two bash blocks"),
            ("```bash\na\n```\n", "fewer than two bash blocks"),
            ("```bash\na\n```\n```bash\nb\n", "fewer than two bash blocks"),
            (
                "```bash\na\nb\n```\n```bash\nc\n```\n",
                "bash block 1 of README.md has 2",
            ),
            ("```bash\na\n```\n```bash\n```\n", "bash block 2 of README.md has 0"),
        ],
    )
    def test_other_blocks_are_refused(self, readme, message, tmp_path):
        listed = self.listed_for(readme, tmp_path)
        assert listed.returncode != 0
        assert message in listed.stderr


@pytest.fixture(scope="module")
def quickstart():
    return run_path(str(QUICKSTART))["main"]


class TestQuickstart:
    @pytest.mark.slow
    def test_answers_for_a_file(self, tmp_path):
        table = load_wine(as_frame=True).frame
        table["target"] = table["target"].map({0: "barolo", 1: "grignolino", 2: "x"})
        hue = ["pale", "deep", None]
        table.insert(0, "color", [hue[i % 3] for i in range(len(table))])
        table.loc[::7, "alcohol"] = None
        table.to_csv(tmp_path / "wine.csv", index=False)
        done = subprocess.run(
            [sys.executable, QUICKSTART, "wine.csv", "--target", "target"],
            cwd=tmp_path,
            env=os.environ | {"MPLBACKEND": "Agg"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "Warning" not in done.stderr
        assert "25/25" in done.stderr
        for expected in [
            "wine.csv: 14 columns, 3 classes, 89 rows to search on, 89 held out",
            "5-fold cross-validation",
            "Best alpha: ",
            "Rows held out",
            "accuracy  log loss  calibration error",
            "Saved quickstart.png",
        ]:
            assert expected in done.stdout
        picture = (tmp_path / "quickstart.png").read_bytes()
        assert picture.startswith(b"\x89PNG")

    @pytest.mark.parametrize(
        ("text", "arguments", "message"),
        [
            (None, [], "No such file"),
            ("", [], "No columns to parse"),
            ("a,b\n1,2\n", ["--target", "c"], "no column 'c', only a, b"),
            ("a,b\n1,2\n3,4\n", [], "'b' needs two labels, and four rows of each"),
        ],
    )
    def test_refuses(self, quickstart, text, arguments, message, tmp_path, capsys):
        table = tmp_path / "table.csv"
        if text is not None:
            table.write_text(text)
        with pytest.raises(SystemExit, match="2"):
            quickstart([str(table), *arguments])
        assert message in capsys.readouterr().err


def test_tests_named_in_the_page_of_methods_are_there():
    page = (ROOT / "docs" / "methods.md").read_text("utf-8")
    named = re.findall(r"`(test_\w+\.py)::(\w+)`", page)
    assert len(named) >= 15
    for file, test in named:
        assert f"\ndef {test}(" in (ROOT / "tests" / file).read_text("utf-8")


# One table of each kind: numeric, categorical, mixed, missing, imbalanced, regression.
SIX = {"magic-telescope", "splice", "credit-g", "colic", "jm1", "ames-housing"}


def test_settings_are_near_no_mixing_on_five_of_six_tables():
    text = (ROOT / "benchmarks" / "results" / "methods.json").read_text("utf-8")
    far = {}
    for row in json.loads(text)["gains"]:
        ratios = row["plain_by_table"]
        found = {table for table in SIX & ratios.keys() if ratios[table] > 1.1}
        far.setdefault(row["setting"], set()).update(found)
    assert len(far) >= 25
    # (Partners of another class draw labels to equal shares, as the page says.)
    assert {name for name, tables in far.items() if len(tables) > 1} <= {"other class"}


def test_figures_of_the_defaults_are_those_of_the_benchmark():
    benchmark = [sys.executable, ROOT / "benchmarks" / "defaults.py", "--markdown"]
    table = subprocess.run(benchmark, capture_output=True, text=True, check=True)
    assert table.stdout.strip() in (ROOT / "docs" / "defaults.md").read_text("utf-8")


@pytest.mark.parametrize(
    ("script", "option", "page"),
    [
        ("speed.py", "--markdown", "docs/speed.md"),
        ("speed.py", "--readme", "README.md"),
        ("pieces.py", "--markdown", "docs/speed.md"),
        ("quality.py", "--table", "docs/quality.md"),
        ("quality.py", "--readme", "README.md"),
        ("quality.py", "--readme --rows 10000", "docs/quality.md"),
        ("ablation.py", "--markdown", "docs/quality.md"),
        ("learning_curves.py", "--table", "docs/quality.md"),
        ("methods.py", "--markdown", "docs/methods.md"),
        ("search.py", "--table", "docs/search.md"),
        ("choice.py", "--table", "docs/search.md"),
    ],
)
def test_figures_of_pages_are_those_of_the_benchmark(script, option, page):
    benchmark = [sys.executable, ROOT / "benchmarks" / script, *option.split()]
    table = subprocess.run(benchmark, capture_output=True, text=True, check=True)
    assert table.stdout.strip() in (ROOT / page).read_text("utf-8")


@pytest.mark.slow
def test_the_example_of_a_search_runs(tmp_path):
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "plot_alpha_search.py"],
        cwd=tmp_path,
        env=os.environ | {"MPLBACKEND": "Agg"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    assert "Best alpha: " in done.stdout
    picture = (tmp_path / "plot_alpha_search.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
