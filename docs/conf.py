"""Configuration of the documentation: ``python -m sphinx -W docs docs/_build/html``.

Nothing here asks the network, neither to build the pages nor to read them.
"""

import os
import re
from pathlib import Path

from docutils import nodes

import skmix

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"

project = "skmix"
author = "The skmix developers"
copyright = author
release = version = skmix.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "sphinxcontrib.bibtex",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "gallery/**/*.ipynb", "gallery/**/*.py"]
bibtex_bibfiles = ["references.bib"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

# Names. A name of skmix that leads nowhere is an error. Names of other libraries, and
# those of parameters in single backticks, are code without a link.
default_role = "py:obj"
nitpicky = True
nitpick_ignore_regex = [(r"py:.*", r"(?!skmix\b).*")]

# Docstrings
autodoc_typehints = "none"  # numpydoc's sections have the types
autosummary_generate = True
numpydoc_show_class_members = False  # the template lists them
toc_object_entries_show_parents = "hide"

# The gallery. `-D plot_gallery=0` builds its pages without running the examples.
# Those in examples/with_others/ need further libraries, and are only shown.
sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"[/\\]examples[/\\]plot_",
    "ignore_pattern": r"quickstart\.py",
    "doc_module": ("skmix",),
    "reference_url": {"skmix": None},
    "backreferences_dir": "api/examples",
    "download_all_examples": False,
    "show_memory": False,
    "show_signature": False,
    "abort_on_example_error": True,
    "parallel": 2,  # examples at a time
    "write_computation_times": False,  # its page takes scripts from elsewhere
}

# Pages
html_theme = "pydata_sphinx_theme"
html_title = "skmix"
html_static_path = ["_static"]
html_css_files = ["skmix.css"]
html_extra_path = ["llms.txt"]
html_show_sphinx = False
html_theme_options = {
    "logo": {"text": "skmix"},
    "header_links_before_dropdown": 6,
    "navbar_align": "left",
    "navbar_persistent": [],
    "navbar_end": ["search-button", "theme-switcher"],
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "show_toc_level": 2,
}

# Pages without pages below them need no list of these.
ALONE = ["index", "start", "why", "methods", "how_it_works", "references", "changelog"]
html_sidebars = {page: [] for page in ALONE}

# The pages link to files of the repository, so that they can be read there. In the
# site a link to one of these files leads to the page that is made of it, and a link to
# any other file to a copy that can be downloaded.
PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "examples": "gallery/index.rst",
}
LINK = re.compile(r"\]\((?!\w+:|#)([^)\s#]+)(#[^)\s]*)?\)")


def in_site(path: Path) -> Path:
    """Return the file of the site for a file of the repository."""
    name = path.relative_to(ROOT).as_posix()
    if name in PAGES:
        return DOCS / PAGES[name]
    if re.fullmatch(r"examples/(with_others/)?plot_\w+\.py", name):
        path = DOCS / "gallery" / path.relative_to(ROOT / "examples")
        return path.with_suffix(".rst")
    return path


def with_links_of_site(text: str, folder: Path, page: str) -> str:
    """Return the text of a file in `folder`, with links as `page` needs them."""
    start = (DOCS / page).parent

    def link(match: re.Match[str]) -> str:
        path = Path(os.path.normpath(folder / match[1]))
        if not path.exists():
            return match[0]
        target = Path(os.path.relpath(in_site(path), start)).as_posix()
        return f"]({target}{match[2] or ''})"

    return LINK.sub(link, text)


def read_page(app, docname, source):
    """Mend the links of a Markdown page."""
    path = Path(app.env.doc2path(docname))
    if path.suffix == ".md":
        source[0] = with_links_of_site(source[0], path.parent, docname)


def read_included(app, path, docname, source):
    """Mend the links of a file of the repository that a page includes."""
    folder = Path(os.path.normpath(DOCS / path)).parent
    source[0] = with_links_of_site(source[0], folder, docname)


def keep_figures_together(app, doctree):
    """Break no line inside "17 / 0 / 3" or "0.97 ± 0.02" in a table."""
    for cell in doctree.findall(nodes.entry):
        for text in list(cell.findall(nodes.Text)):
            whole = re.sub(r"(?<=\d) (?=[/±] )|(?<=[/±]) (?=\d)", "\u00a0", text)
            text.parent.replace(text, nodes.Text(whole))


def setup(app):
    """Connect these."""
    app.connect("source-read", read_page)
    app.connect("include-read", read_included)
    app.connect("doctree-read", keep_figures_together)
