"""The pages of docs/ belong together as one site."""

import os
import re
from pathlib import Path
from runpy import run_path

import pytest
from test_docs import EXAMPLES

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = {
    path.relative_to(DOCS).with_suffix("").as_posix()
    for pattern in ("**/*.md", "*.rst")
    for path in DOCS.glob(pattern)
    if path.relative_to(DOCS).parts[0] not in ("_build", "api", "gallery")
}
MADE = {"gallery/index"}  # by the build


@pytest.fixture(scope="module")
def conf():
    """What docs/conf.py defines."""
    pytest.importorskip("docutils")
    return run_path(str(DOCS / "conf.py"))


def pages_of_llms():
    """Pages that llms.txt names, as text or as HTML."""
    text = (DOCS / "llms.txt").read_text("utf-8")
    links = re.findall(r"^- \[.+\]\((\S+)\): .+", text, flags=re.MULTILINE)
    assert len(links) == text.count("\n- ")
    return {re.sub(r"^_sources/|\.html$|\.md\.txt$", "", link) for link in links}


def test_llms_names_every_page_and_no_other():
    assert pages_of_llms() == (PAGES | MADE) - {"index"}


@pytest.mark.slow
def test_the_code_of_llms_runs():
    text = (DOCS / "llms.txt").read_text("utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert len(code.splitlines()) == 10
    exec(code, {})


def test_every_page_is_in_a_table_of_contents():
    listed = {"index"}
    for page in DOCS.glob("**/*.md"):
        text = page.read_text("utf-8")
        for block in re.findall(r"```{toctree}\n(.*?)```", text, re.DOTALL):
            for line in block.split("\n"):
                name = re.sub(r".*<(.+)>", r"\1", line)  # title <name>
                if name and not name.startswith(":"):
                    path = (page.parent / name).resolve()
                    listed.add(path.relative_to(DOCS).as_posix())
    assert listed == PAGES | MADE


def test_no_page_has_the_name_of_one_that_sphinx_makes():
    assert not PAGES & {"search", "genindex", "py-modindex"}


def test_papers_that_are_cited_are_the_papers_of_the_list():
    files = [ROOT / "README.md", *DOCS.glob("**/*.md"), *ROOT.glob("skmix/**/*.py")]
    texts = [path.read_text("utf-8") for path in files]
    cited = set(re.findall(r"arxiv\.org/abs/([\d.]+\d)", " ".join(texts)))
    references = (DOCS / "references.bib").read_text("utf-8")
    assert sorted(cited) == sorted(re.findall(r"eprint = {(.+)}", references))


@pytest.mark.parametrize(
    ("text", "page", "expected"),
    [
        ("[a](tables.md#numbers)", "speed", "[a](tables.md#numbers)"),
        ("[a](../CHANGELOG.md)", "speed", "[a](changelog.md)"),
        ("[a](../examples/)", "speed", "[a](gallery/index.rst)"),
        (
            "[a](../examples/plot_alpha_search.py)",
            "speed",
            "[a](gallery/plot_alpha_search.rst)",
        ),
        ("[a](../pyproject.toml)", "speed", "[a](../pyproject.toml)"),
        ("[a](../../CONTRIBUTING.md)", "guide/saving", "[a](../contributing.md)"),
        ("[a](https://arxiv.org/abs/1)", "speed", "[a](https://arxiv.org/abs/1)"),
        ("[a](#below)", "speed", "[a](#below)"),
        ("`x[0](y)`", "speed", "`x[0](y)`"),
    ],
)
def test_links_to_files_become_links_of_the_site(conf, text, page, expected):
    folder = (DOCS / page).parent
    assert conf["with_links_of_site"](text, folder, page) == expected


def test_links_of_an_included_file_start_at_its_folder(conf):
    mend = conf["with_links_of_site"]
    text = "[a](docs/design.md), [b](CHANGELOG.md), [c](LICENSE)"
    expected = "[a](design.md), [b](changelog.md), [c](../LICENSE)"
    assert mend(text, ROOT, "contributing") == expected


def test_the_drawing_of_the_design_is_what_its_script_draws():
    script = run_path(str(DOCS / "draw_data_way.py"))
    assert script["PICTURE"].read_text("utf-8") == script["picture"]()


# Indented lines below the mark of what a block of an example prints.
PRINTED = r"sphx-glr-script-out\n\n \.\. code-block:: none\n\n((?: {4}.*\n|\n)+)"


built = pytest.mark.skipif("SKMIX_GALLERY" not in os.environ, reason="not built")


@built
@pytest.mark.slow
def test_pages_take_nothing_from_elsewhere():
    site = DOCS / "_build" / "html"
    tag = r"<(?:script|link|img|iframe)[^>]+(?:src|href)=.https?:"
    pages = {path: path.read_text("utf-8") for path in site.glob("**/*.html")}
    assert len(pages) > len(PAGES)
    assert not [path.name for path, text in pages.items() if re.search(tag, text)]
    sheets = [path.read_text("utf-8") for path in site.glob("_static/**/*.css")]
    assert not re.search(r"(?:url\(|@import )['\"]?https?:", "".join(sheets))


@built
@pytest.mark.slow
@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_of_the_gallery_find_what_they_say(name):
    gallery = Path(os.environ["SKMIX_GALLERY"])
    page = (gallery / f"{name}.rst").read_text("utf-8")
    printed = "".join(re.findall(PRINTED, page))
    assert EXAMPLES[name] in printed
    assert "Warning" not in printed
    assert (gallery / "images" / f"sphx_glr_{name}_001.png").exists()
