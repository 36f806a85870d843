"""Imports between the rooms of the package go downwards only."""

import ast
from pathlib import Path

import pytest

import skmix

PACKAGE = Path(skmix.__file__).parent
GROUND = {"checks", "columns", "convergence", "inspection", "interruption", "nets"}
GROUND |= {"alone", "carrying", "evidence", "folds", "seeding", "showing", "strings"}
# What each room may import. Rooms that do not exist yet have their place.
MAY_IMPORT = {room: set() for room in GROUND}
MAY_IMPORT["reading"] = {"strings"}
MAY_IMPORT["networks"] = {"nets"}
MAY_IMPORT["printing"] = {"nets"}
MAY_IMPORT["changes"] = {"nets", "printing"}
MAY_IMPORT["encoding"] = {"reading"}
MAY_IMPORT["layers"] = {"columns"}
MAY_IMPORT["pairing"] = {"checks"}
MAY_IMPORT["mixing"] = {"checks", "columns"}
MAY_IMPORT["plan"] = {"checks", "columns", "mixing", "pairing"}
MAY_IMPORT["batches"] = {"nets"}
MAY_IMPORT["targets"] = {"nets"}
MAY_IMPORT["loop"] = {"interruption", "nets"}
MAY_IMPORT["losses"] = {"nets"}
MAY_IMPORT["prediction"] = {"nets", "batches"}
MAY_IMPORT["passes"] = {"layers", "losses", "mixing"}
MAY_IMPORT["dealing"] = {"batches", "nets", "plan"}
MAY_IMPORT["training"] = MAY_IMPORT["passes"] | MAY_IMPORT["dealing"]
MAY_IMPORT["training"] |= {"dealing", "loop", "passes"}
MAY_IMPORT["training"] |= {"convergence", "interruption", "printing", "seeding"}
MAY_IMPORT["base"] = GROUND | {"changes", "encoding", "mixing", "networks", "pairing"}
MAY_IMPORT["base"] |= {"plan", "printing"}
MAY_IMPORT["base"] |= {"prediction", "reading", "targets", "training"}
MAY_IMPORT["estimators"] = MAY_IMPORT["base"] | {"base"}
MAY_IMPORT["stack"] = {"layers", "mixing"}
MAY_IMPORT["lanes"] = {"batches", "columns", "dealing", "mixing", "seeding"}
MAY_IMPORT["stacking"] = {"batches", "columns", "lanes", "loop", "losses", "nets"}
MAY_IMPORT["stacking"] |= {"interruption", "stack"}
MAY_IMPORT["stackable"] = {"batches", "columns", "layers", "losses", "mixing", "nets"}
MAY_IMPORT["stackable"] |= {"stack", "stacking"}
MAY_IMPORT["alone"] = {"convergence", "interruption"}
MAY_IMPORT["members"] = GROUND | {"alone", "base", "batches", "carrying", "dealing"}
MAY_IMPORT["members"] |= {"lanes", "layers", "losses", "networks", "printing"}
MAY_IMPORT["members"] |= {"stackable", "stacking", "training"}
MAY_IMPORT["search"] = MAY_IMPORT["estimators"] | {"estimators", "members"}
MAY_IMPORT["search"] |= {"evidence", "folds"}
MAY_IMPORT["__init__"] = MAY_IMPORT.keys() - {"__init__"}


def imported_rooms(source):
    """Rooms that a module of the package imports; "skmix" for the package itself."""
    modules = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(filter(None, ["skmix" * bool(node.level), node.module]))
            if base == "skmix":
                modules |= {f"skmix.{alias.name}" for alias in node.names}
            else:
                modules.add(base)
    own = [name.split(".") for name in modules if name.split(".")[0] == "skmix"]
    return {parts[1] if len(parts) > 1 else "skmix" for parts in own}


def forbidden(room, source):
    return imported_rooms(source) - MAY_IMPORT[room]


@pytest.mark.parametrize("path", sorted(PACKAGE.glob("*.py")), ids=lambda p: p.stem)
def test_imports_go_downwards(path):
    assert path.stem in MAY_IMPORT, f"{path.name} has no place in MAY_IMPORT yet"
    found = forbidden(path.stem, path.read_text(encoding="utf-8"))
    assert not found, f"{path.name} may not import {', '.join(sorted(found))}"


@pytest.mark.parametrize(
    ("room", "source", "expected"),
    [
        ("mixing", "import skmix.training", {"training"}),
        ("training", "from skmix.base import x", {"base"}),
        ("mixing", "import skmix as package", {"skmix"}),
        ("batches", "from skmix.plan import Plan", {"plan"}),
        ("networks", "from skmix import training", {"training"}),
        ("networks", "from skmix import MixupClassifier", {"MixupClassifier"}),
        ("targets", "from . import estimators", {"estimators"}),
        ("targets", "from .estimators import MixupClassifier", {"estimators"}),
        (
            "training",
            "def f():\n    from skmix.networks import TabularNet",
            {"networks"},
        ),
        ("estimators", "from skmix.search import MixupClassifierCV", {"search"}),
        ("training", "from skmix.plan import Plan\nimport torch, skorch", set()),
        ("mixing", '"""from skmix.training import x"""\nimport skmixer', set()),
    ],
)
def test_a_forbidden_import_is_found(room, source, expected):
    assert forbidden(room, source) == expected
