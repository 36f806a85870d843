"""What README, docs and examples show works as it stands."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from runpy import run_path

import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(ROOT.glob("docs/**/*.md")),
]
RESULTS = ROOT / "benchmarks" / "results"
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


@pytest.mark.slow
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


def test_the_map_of_contributing_has_every_module():
    page = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    paths = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("skmix/**/*.py")}
    wings = {"skmix/_training/__init__.py", "skmix/_vectorized/__init__.py"}
    assert not {path for path in paths - wings if f"`{path}`" not in page}


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
    return run_path(str(QUICKSTART))


def messy_table(n=240):
    """Ids, dates, text, decimal commas, question marks, labels missing."""
    rng = np.random.default_rng(0)
    words = ["late", "parcel", "broken", "again", "thanks", "quick", "answer", "refund"]
    price = rng.gamma(2, 10, n)
    weight = pd.Series([f"{value:.1f}" for value in rng.normal(5, 1, n)])
    weight[::20] = "?"
    status = np.where(price > 18, "kept", "returned").astype(object)
    status[:5] = None
    return pd.DataFrame(
        {
            "order": [f"T-{100_000 + row}" for row in range(n)],
            "day": pd.date_range("2024-01-01", periods=n).strftime("%Y-%m-%d"),
            "price": [f"{value:.2f}".replace(".", ",") for value in price],
            "weight": weight,
            "note": [" ".join(rng.choice(words, 6)) for _ in range(n)],
            "status": status,
        }
    )


def run_quickstart(folder, *arguments):
    return subprocess.run(
        [sys.executable, QUICKSTART, *arguments],
        cwd=folder,
        env=os.environ | {"MPLBACKEND": "Agg", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


NUMBERS = "".join(f"{row},{row % 7},{row / 3}\n" for row in range(60))
LABELS = "".join(f"{row},{'ab'[row % 2]}\n" for row in range(60))


class TestQuickstart:
    @pytest.mark.slow
    def test_answers_without_arguments(self, tmp_path):
        done = run_quickstart(tmp_path)
        assert done.returncode == 0, done.stderr
        verdicts = [line for line in done.stdout.splitlines() if "ixing" in line]
        assert len([line for line in verdicts if line.endswith(" here.")]) == 1
        for expected in [
            "It was taken because",
            "docs/quickstart.md has their answers",
            "450 to search on (at most 450: --n-rows), 899 put aside",
            "log loss  accuracy  calibration error",
            "LogisticRegression",
            "HistGradientBoosting",
            "from skmix import MixupClassifier",
            "Saved quickstart.png",
        ]:
            assert expected in done.stdout
        picture = (tmp_path / "quickstart.png").read_bytes()
        assert picture.startswith(b"\x89PNG")

    @pytest.mark.slow
    def test_a_messy_file_is_refused_with_a_command_that_works(self, tmp_path):
        messy_table().to_csv(tmp_path / "messy.csv", sep=";", index=False)
        refused = run_quickstart(tmp_path, "messy.csv", "--target", "status")
        assert refused.returncode == 2
        assert "Traceback" not in refused.stderr
        for name in ["(day)", "(note)", "(order)"]:
            assert name in refused.stderr
        command = refused.stderr.split("quickstart.py ")[-1].splitlines()[0]
        done = run_quickstart(tmp_path, *shlex.split(command))
        assert done.returncode == 0, done.stderr
        assert "5 rows without a 'status' are left out." in done.stdout
        assert "'price': numbers with a decimal comma" in done.stdout
        assert "'weight': 11 of 235 values" in done.stdout
        assert "235 rows of 2 columns" in done.stdout

    @pytest.mark.parametrize(
        ("text", "arguments", "message"),
        [
            (None, "", "No such file"),
            ("", "", "No columns to parse"),
            ("a,b\n1,2\n", "--target bb", "no column 'bb'. Did you mean 'b'?"),
            ("a,b\n" + LABELS, "--drop aa", "no column 'aa'. Did you mean 'a'?"),
            ("a,b\n" + LABELS, "--drop b", "'b' is the target"),
            ("a,b\n" + LABELS, "--drop a", "no columns are left"),
            ("a,b\n1,2\n3,4\n", "", "Got 2 rows, but expected at least 40"),
            ("a,b\n" + "1,u\n" * 60, "", "1 classes, 1 of them with 5 rows or more"),
            ("a,b\n" + "1,2\n" * 60, "--task regression", "is 2 in all rows"),
            ("a,b\n" + LABELS, "--task regression", "'b' holds words"),
            ("a,b,c\n" + NUMBERS, "--task classification", "60 classes, 0 of them"),
            (
                "b,a\n" + "".join(f"{row},T-{row + 100}\n" for row in range(60)),
                "",
                "target 'a' is neither classes nor numbers",
            ),
            (b"a,b\n\xe9,1\n", "", "not written in UTF-8"),
        ],
    )
    def test_refuses(self, quickstart, text, arguments, message, tmp_path, capsys):
        table = tmp_path / "table.csv"
        if text is not None:
            table.write_bytes(text if isinstance(text, bytes) else text.encode())
        with pytest.raises(SystemExit, match="2"):
            quickstart["main"]([str(table), *arguments.split()])
        assert message in capsys.readouterr().err

    @pytest.mark.parametrize("sep", [",", ";", "\t"])
    def test_separators_are_recognised(self, quickstart, sep, tmp_path):
        messy_table().to_csv(tmp_path / "table.csv", sep=sep, index=False)
        assert quickstart["read_file"](tmp_path / "table.csv").shape == (240, 6)

    @pytest.mark.parametrize(
        ("values", "classify"),
        [
            (["u", "v"] * 30, True),
            ([True, False] * 30, True),
            ([0, 1, 2] * 20, True),
            (np.arange(60), False),
            (np.arange(60) % 3 / 2, False),
            (["1,5", "2,5", "3,5"] * 20, False),
        ],
    )
    @pytest.mark.filterwarnings("ignore:Got columns that are not read")
    def test_the_target_says_the_task(self, quickstart, values, classify):
        column = pd.Series(values, name="y")
        assert quickstart["read_target"](column, None)[1] is classify

    @pytest.mark.parametrize(
        ("gain", "noise", "expected"),
        [
            (0.02, 0.01, "lowers the log loss by 0.02 "),
            (-0.02, 0.01, "raises the log loss by 0.02 "),
            (0.001, 1, "No clear difference: with alpha 0.2 the log loss is "),
        ],
    )
    def test_the_verdict_is_the_paired_difference(
        self, quickstart, gain, noise, expected
    ):
        plain = np.random.default_rng(0).gamma(1, size=400)
        error = np.tile([-noise, noise], 200)
        answer = quickstart["verdict"](0.2, [plain - gain + error, plain], True)
        assert expected in answer
        assert "by -" not in answer


def test_tests_named_in_the_page_of_methods_are_there():
    page = (ROOT / "docs" / "methods.md").read_text("utf-8")
    named = re.findall(r"`(test_\w+\.py)::(\w+)`", page)
    assert len(named) >= 15
    for file, test in named:
        assert f"\ndef {test}(" in (ROOT / "tests" / file).read_text("utf-8")


# One table of each kind: numeric, categorical, mixed, missing, imbalanced, regression.
SIX = {"magic-telescope", "splice", "credit-g", "colic", "jm1", "ames-housing"}


def test_settings_are_near_no_mixing_on_five_of_six_tables():
    text = (RESULTS / "methods.json").read_text("utf-8")
    far = {}
    for row in json.loads(text)["gains"]:
        ratios = row["plain_by_table"]
        found = {table for table in SIX & ratios.keys() if ratios[table] > 1.1}
        far.setdefault(row["setting"], set()).update(found)
    assert len(far) >= 25
    # (Partners of another class draw labels to equal shares, as the page says.)
    assert {name for name, tables in far.items() if len(tables) > 1} <= {"other class"}


@pytest.mark.parametrize(
    ("script", "option", "page"),
    [
        ("defaults.py", "--markdown", "docs/defaults.md"),
        ("noise_free.py", "--markdown", "docs/defaults.md"),
        ("speed.py", "--markdown", "docs/speed.md"),
        ("pieces.py", "--markdown", "docs/speed.md"),
        ("quality.py", "--table", "docs/quality.md"),
        ("quality.py", "--readme", "README.md"),
        ("quality.py", "--readme --rows 10000", "docs/quality.md"),
        ("ablation.py", "--markdown", "docs/quality.md"),
        ("ablation.py", "--markdown --out muon_chosen.json", "docs/quality.md"),
        ("ablation.py", "--markdown --out muon_confirmed.json", "docs/quality.md"),
        ("ablation.py", "--markdown --out muon_regression.json", "docs/quality.md"),
        ("learning_curves.py", "--table", "docs/quality.md"),
        ("priors.py", "--markdown", "docs/quality.md"),
        ("methods.py", "--markdown", "docs/methods.md"),
        ("search.py", "--table", "docs/search.md"),
        ("choice.py", "--table", "docs/search.md"),
        ("intervals.py", "--markdown", "docs/inspection.md"),
        ("quickstart.py", "--table", "docs/quickstart.md"),
    ],
)
def test_figures_of_pages_are_those_of_the_benchmark(
    script, option, page, monkeypatch, capsys
):
    folder = ROOT / "benchmarks"
    monkeypatch.chdir(RESULTS)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # so that it is as before afterwards
    monkeypatch.syspath_prepend(folder)  # as for a script
    monkeypatch.setattr(sys, "argv", [script, *option.split()])
    run_path(str(folder / script), run_name="__main__")
    table = capsys.readouterr().out.strip()
    assert table
    assert table in (ROOT / page).read_text("utf-8")


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
