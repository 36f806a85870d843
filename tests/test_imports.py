"""Imports between modules of the package go down by layers, and make no circle."""

import ast
import re
from pathlib import Path

import pytest

import skmix

PACKAGE = Path(skmix.__file__).parent
# From the bottom up. A module may import from its own layer and from those below.
LAYERS = [
    # words that everything shares: checks, structures of tensors, skorch nets, seeds
    {"_validation", "_tables", "_tables.columns", "_tables.strings", "networks"}
    | {"_long_runs", "_long_runs.progress", "_long_runs.digests"}
    | {"_long_runs.checkpoints", "_training.skorch_compat", "_intervals"},
    {"_training.random", "_training.epoch", "_training.muon"},
    # the method, tables and targets, and the default net, which takes bins from tables
    {"_mixing", "_mixing.mixup", "_mixing.variants", "_mixing.sampler"}
    | {"mixing", "pairing", "schedules"}
    | {"_tables.dtypes", "_tables.targets", "preprocessing", "_default_net"},
    # one net in training
    {"_training", "_training.changes", "_training.loader", "_training.loss"}
    | {"_training.recording", "_training.steps", "_training.predict", "_training.patch"}
    | {"_callbacks"},
    # from the user's arguments to a net in training
    {"_html", "_preparation", "_selection", "_base", "_one_net"} | {"_estimators"},
    # many nets in training
    {"_vectorized.module", "_vectorized.loader", "_vectorized.trainer", "_vectorized"}
    | {"_vectorized.support", "_vectorized.candidates", "_vectorized.carrying"}
    | {"_vectorized.keeping"},
    {"_search", "_estimators_cv"},
    # files, which no estimator knows
    {"_files.container", "_files.names", "_files.budget", "_files.values"}
    | {"_files.nets", "_files.records", "_files.steps", "_files.persistence"}
    | {"_files.card", "_files"}
    | {"export"},  # graphs of tensors, likewise
    {"__init__"},
    # a room above the estimators, which none of them knows
    {"inspection", "inspection._models", "inspection._metrics", "inspection._folds"}
    | {"inspection._changes", "inspection._segments", "inspection._alphas"}
    | {"inspection._axes", "inspection._curves", "inspection._displays"}
    | {"inspection._replay", "inspection._rows"}
    | {"inspection._settings", "inspection._held_out", "inspection._comparison"}
    | {"inspection._effect", "inspection._report", "inspection.files", "__main__"},
]
LAYER_OF = {name: k for k, layer in enumerate(LAYERS) for name in layer}


def name_of(path):
    name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
    return name if name == "__init__" else name.removesuffix(".__init__")


MODULES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imported_modules(source):
    """Modules of the package that a source imports; "skmix" for the package itself."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(filter(None, ["skmix" * bool(node.level), node.module]))
            names = {f"{base}.{alias.name}" for alias in node.names}
            known = {n for n in names if n.removeprefix("skmix.") in MODULES}
            found |= known if known == names else known | {base}
    own = {name for name in found if name.split(".")[0] == "skmix"}
    return {name.removeprefix("skmix.") for name in own}


def forbidden(module, source):
    layer = LAYER_OF[module]
    return {m for m in imported_modules(source) if LAYER_OF.get(m, 99) > layer}


def layers_of_the_design_page():
    """The sets of modules in its table; a folder means those that no row names."""
    page = (Path(__file__).parents[1] / "docs" / "design.md").read_text("utf-8")
    table = page.partition("| layer | modules | knows |")[2].partition("\n\n")[0]
    rows = [row.split("|")[2] for row in table.splitlines()[2:]]
    named = [re.findall(r"`([^`]+)`", row) for row in rows]
    alone = {name for names in named for name in names}
    for names in named:
        folders = {name.removesuffix("/") for name in names if name.endswith("/")}
        inside = {m for m in MODULES if m.partition(".")[0] in folders}
        yield (inside | set(names) - {f"{folder}/" for folder in folders}) - (
            alone - set(names)
        )


def test_layers_of_the_design_page_are_these():
    assert list(layers_of_the_design_page()) == LAYERS[::-1]


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_down_by_layers(module):
    assert module in LAYER_OF, f"{module} has no place in LAYERS yet"
    found = forbidden(module, MODULES[module].read_text(encoding="utf-8"))
    assert not found, f"{module} may not import {', '.join(sorted(found))}"


def test_imports_make_no_circle():
    left = {m: imported_modules(p.read_text("utf-8")) for m, p in MODULES.items()}
    while left:
        free = {m for m, imported in left.items() if not imported & left.keys()}
        assert free, f"a circle among {', '.join(sorted(left))}"
        left = {m: imported for m, imported in left.items() if m not in free}


@pytest.mark.parametrize(
    ("module", "source", "expected"),
    [
        ("_mixing.mixup", "import skmix._training.patch", {"_training.patch"}),
        ("_training.patch", "from skmix._base import x", {"_base"}),
        ("_mixing.mixup", "import skmix as package", {"skmix"}),
        (
            "networks",
            "from skmix._mixing.sampler import MixupSampler",
            {"_mixing.sampler"},
        ),
        ("networks", "from skmix._training import patch", {"_training.patch"}),
        ("networks", "from skmix import MixupClassifier", {"skmix"}),
        ("_tables.targets", "from . import _estimators", {"_estimators"}),
        ("_tables.dtypes", "def f():\n    from skmix._search import x", {"_search"}),
        (
            "_training.loader",
            "from skmix._mixing.sampler import MixupSampler\nimport torch",
            set(),
        ),
        ("_mixing.mixup", '"""from skmix._training import x"""\nimport skmixer', set()),
    ],
)
def test_a_forbidden_import_is_found(module, source, expected):
    assert forbidden(module, source) == expected


def test_warnings_are_given_in_one_place_which_finds_the_users_line():
    warning = {
        module
        for module, path in MODULES.items()
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Attribute) and node.attr == "warn"
        if isinstance(node.value, ast.Name) and node.value.id == "warnings"
    }
    assert warning == {"_validation"}


# Doors between modules are public: an underscore is the module's own.


OF_TUPLES = {"_replace", "_asdict", "_fields", "_make"}  # public, by Python's manual


def is_private(name):
    return name.startswith("_") and not name.endswith("__") and name not in OF_TUPLES


def own_names(tree):
    """Names that a module defines: functions, classes, variables and attributes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr


def private_names_of_others(source):
    """Underscored names that a source imports or looks up and that are another's."""
    tree = ast.parse(source)
    own, found = set(own_names(tree)), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            names = {alias.name for alias in node.names}
            modules = {f"{node.module}.{name}".removeprefix("skmix.") for name in names}
            if not modules <= MODULES.keys():
                found |= set(filter(is_private, names))
        elif isinstance(node, ast.Attribute) and is_private(node.attr):
            holder = ast.unparse(node.value)
            is_module = f"{holder}.{node.attr}".removeprefix("skmix.") in MODULES
            mine = holder in ("self", "cls", "super()") or node.attr in own
            if not mine and not is_module:
                found.add(node.attr)
    return found


@pytest.mark.parametrize("module", MODULES)
def test_no_module_touches_what_is_private_to_another(module):
    assert not private_names_of_others(MODULES[module].read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("from skmix._one_net import _copied", {"_copied"}),
        ("from skmix import _validation, _search", set()),
        ("import skmix._search\nskmix._search.fit", set()),
        ("from skmix import _one_net\n_one_net._copied(net)", {"_copied"}),
        ("def f(clf):\n    return clf._train(net)", {"_train"}),
        ("class A:\n    def f(self, other):\n        return other._g(self._h)", {"_g"}),
        ("class A:\n    def _g(self):\n        return A._g(self).__dict__", set()),
        (
            "class A:\n    def f(self):\n        super()._f()\n        self._x._y",
            {"_y"},
        ),
    ],
)
def test_what_is_private_to_another_is_found(source, expected):
    assert private_names_of_others(source) == expected
