"""What README, docs and examples show works as it stands."""

import inspect
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

from skmix import inspection

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(ROOT.glob("docs/**/*.md")),
]
RESULTS = ROOT / "benchmarks" / "results"


def name_of(page):
    return str(page.relative_to(ROOT))


OF_INSPECTION = (
    *("mixup_effect", "mixed_rows", "manifold_intrusion"),
    *("training_losses", "row_effects"),
)
pages = pytest.mark.parametrize("page", PAGES, ids=name_of)


def blocks(text, language):
    """Code blocks of a language, as pairs of line number and code."""
    fence = rf"^```{language}\n(.*?)^```$"
    found = re.finditer(fence, text, flags=re.MULTILINE | re.DOTALL)
    return [(text.count("\n", 0, m.start(1)), m.group(1)) for m in found]


def has_python(page):
    return bool(blocks(page.read_text(encoding="utf-8"), "python"))


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
@pytest.mark.parametrize("page", [*filter(has_python, PAGES)], ids=name_of)
def test_python_blocks_run(page, tmp_path, monkeypatch):
    """Fails by the error of a block; a page without any would not fail."""
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
    wings = {path for path in paths if re.fullmatch(r"skmix/_\w+/__init__\.py", path)}
    named = {
        path.replace("__init__.py", "") if path in wings else path for path in paths
    }
    assert not {path for path in named if f"`{path}`" not in page}


@pytest.mark.parametrize("name", OF_INSPECTION)
def test_the_design_page_has_the_arguments_of_the_inspection(name):
    page = (ROOT / "docs" / "design.md").read_text("utf-8")
    written = re.search(rf"`{name}\((.*?)\)`", page)[1]
    parameters = inspect.signature(getattr(inspection, name)).parameters.values()
    bare = [p.replace(annotation=p.empty) for p in parameters]
    assert f"({written})" == str(inspect.Signature(bare))


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


def run_example(folder, name, *arguments, options=()):
    return subprocess.run(
        [sys.executable, *options, ROOT / "examples" / name, *arguments],
        cwd=folder,
        env=os.environ | {"MPLBACKEND": "Agg", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def messy_table(n=120):
    """Ids, numbers with decimal commas, a category, labels missing."""
    rng = np.random.default_rng(0)
    price = rng.gamma(2, 10, n)
    status = np.where(price > 18, "kept", "returned").astype(object)
    status[:5] = None
    return pd.DataFrame(
        {
            "order": [f"T-{100_000 + row}" for row in range(n)],
            "day": pd.date_range("2024-01-01", periods=n).strftime("%Y-%m-%d"),
            "price": [f"{value:.2f}".replace(".", ",") for value in price],
            "size": rng.choice(["S", "M", "L"], n),
            "status": status,
        }
    )


def is_png(path):
    return path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
class TestQuickstart:
    def test_answers_without_arguments(self, tmp_path):
        done = run_example(tmp_path, "quickstart.py")
        assert done.returncode == 0, done.stderr
        lines = done.stdout.splitlines()
        sentences = [line for line in lines if "over 10 folds the log loss" in line]
        assert len(sentences) == 1
        assert "This is what one search tells" in done.stdout
        for row in ["alpha=0 ", "alpha=0.2 ", "alpha=1 ", "chosen alpha "]:
            assert len([line for line in lines if line.startswith(row)]) == 1
        last = "python -m skmix report table.csv --target column"
        assert lines[-1] == last
        assert is_png(tmp_path / "quickstart.png")

    def test_a_messy_file_is_refused_with_a_command_that_works(self, tmp_path):
        messy_table().to_csv(tmp_path / "messy.csv", sep=";", index=False)
        arguments = ["messy.csv", "--target", "status", "--drop", "size"]
        refused = run_example(tmp_path, "quickstart.py", *arguments)
        assert refused.returncode == 2
        assert "Traceback" not in refused.stderr
        command = shlex.split(refused.stderr.splitlines()[-1])
        assert command[:2] == ["python", "examples/quickstart.py"]
        assert command[-2:] == ["--drop", "size,order,day"]
        done = run_example(tmp_path, "quickstart.py", *command[2:])
        assert done.returncode == 0, done.stderr
        assert "5 rows without a 'status' are left out." in done.stdout
        assert "'price': numbers with a decimal comma" in done.stdout
        page = shlex.split(done.stdout.splitlines()[-1])
        assert page == ["python", "-m", "skmix", "report", *command[2:]]

    @pytest.mark.parametrize("more", [[], ["--net", "own"]])
    def test_numbers_and_categories(self, more, tmp_path):
        table = messy_table(60)[["size", "price"]]
        table.to_csv(tmp_path / "table.csv", index=False)
        done = run_example(tmp_path, "quickstart.py", "table.csv", *more)
        assert done.returncode == 0, done.stderr
        assert "root mean squared error" in done.stdout or "alpha 0," in done.stdout
        assert is_png(tmp_path / "quickstart.png")


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
        ("few_rows.py", "--markdown", "docs/defaults.md"),
        ("speed.py", "--markdown", "docs/speed.md"),
        ("pieces.py", "--markdown", "docs/speed.md"),
        ("first_fit.py", "--markdown", "docs/speed.md"),
        ("quality.py", "--table", "docs/quality.md"),
        ("quality.py", "--readme", "README.md"),
        ("quality.py", "--overview", "docs/quality.md"),
        ("quality.py", "--overview --rows 10000", "docs/quality.md"),
        ("quality.py", "--mixing", "docs/why.md"),
        ("quality.py", "--mixing --rows 10000", "docs/why.md"),
        ("ablation.py", "--markdown", "docs/quality.md"),
        ("ablation.py", "--markdown --out muon_chosen.json", "docs/quality.md"),
        ("ablation.py", "--markdown --out muon_confirmed.json", "docs/quality.md"),
        ("ablation.py", "--markdown --out muon_regression.json", "docs/quality.md"),
        ("ablation.py", "--markdown --out patience.json", "docs/quality.md"),
        ("learning_curves.py", "--table", "docs/quality.md"),
        ("learning_curves.py", "--readme", "README.md"),
        ("learning_curves.py", "--readme", "docs/why.md"),
        ("shipping.py", "--readme", "README.md"),
        ("shipping.py", "--table", "docs/guide/saving.md"),
        ("priors.py", "--markdown", "docs/quality.md"),
        ("methods.py", "--markdown", "docs/methods.md"),
        ("search.py", "--table", "docs/searches.md"),
        ("portfolio.py", "--markdown", "docs/searches.md"),
        ("choice.py", "--table", "docs/searches.md"),
        ("intervals.py", "--markdown", "docs/inspection.md"),
        ("inspection.py", "--table", "docs/inspection.md"),
        ("fuzz.py", "--markdown", "docs/guide/trust.md"),
        ("quickstart.py", "--table", "docs/quickstart.md"),
        ("overview.py", "", "docs/benchmarks.md"),
        ("file_sizes.py", "--markdown", "docs/guide/files.md"),
        ("kills.py", "--markdown", "docs/guide/long_runs.md"),
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


EXAMPLES = {
    "plot_against_others": "No other regularizer did better",
    "plot_alpha_search": "Best alpha: ",
    "plot_blend_with_trees": "Lowest log loss: mean of both",
    "plot_c_mixup": "C-Mixup: No evidence that mixing helps or hurts",
    "plot_calibration": "breast cancer, alpha 1: not sure enough",
    "plot_categories": "Mixing helps",
    "plot_imbalance": "Most are found by alpha 1, priors",
    "plot_low_data": "With 50 rows mixing lowers the log loss in 5 of 5 draws",
    "plot_manifold_mixup": "Lowest median: behind the second layer",
    "plot_no_difference": "No evidence that mixing helps or hurts",
    "plot_own_net": "NeuralNetClassifier of skorch",
    "plot_own_pairing": "same sex, similar BMI: No evidence that mixing helps or hurts",
    "plot_text_intents": "Mixing helps",
    "plot_where_mixing_helps": "Mixing helps",
    "plot_where_mixing_hurts": "Mixing hurts",
}
# Runs an example, which shows its only figure at the end and writes no file.
WATCHED = """
import runpy, sys
from matplotlib import pyplot
shown = []
pyplot.show = lambda: shown.append(len(pyplot.get_fignums()))
runpy.run_path(sys.argv[1], run_name="__main__")
assert shown == [1], shown
"""


def test_all_examples_are_run():
    names = {path.stem for path in (ROOT / "examples").glob("plot_*.py")}
    assert names == EXAMPLES.keys()


@pytest.mark.skipif("SKMIX_GALLERY" in os.environ, reason="the site's build ran them")
@pytest.mark.slow
@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_find_what_they_say(name, tmp_path):
    done = run_example(tmp_path, f"{name}.py", options=["-c", WATCHED])
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    assert EXAMPLES[name] in done.stdout
    assert not list(tmp_path.iterdir())
