"""Docstrings of public names say what numpydoc asks for."""

import importlib
import inspect
from pathlib import Path

import pytest

import skmix

validate = pytest.importorskip("numpydoc.validate")

MODULES = ["mixing", "pairing", "schedules", "preprocessing", "networks", "inspection"]
MODULES += ["export"]

# What is not asked for:
LEFT_OUT = {
    "ES01",  # an extended summary: one sentence is often enough
    "SA01",  # a section See Also
    "RT02",  # results without a name: scikit-learn names them, too
    "RT03",  # a description of results: "self", or the name of a class, says it
}
LEFT_OUT_OF_METHODS = {"EX01"}  # the class has an example
# Nobody calls these: fields are in the section Attributes.
RESULTS = {"skmix.inspection.MixupEffect", "skmix.inspection.MixupReport"}
FOR_THE_REPORT = "from_pairs"  # shares models between pictures, and is in no page


def public_names():
    """Names that the modules export: pairs of a name and the object."""
    for module in [skmix, *(importlib.import_module(f"skmix.{m}") for m in MODULES)]:
        for name in module.__all__:
            if callable(getattr(module, name)):
                yield f"{module.__name__}.{name}", getattr(module, name)


def own_methods(cls):
    """Names of public methods that are written in skmix."""
    for name in dir(cls):
        method = inspect.unwrap(getattr(cls, name)) if name[0] != "_" else None
        module = getattr(method, "__module__", None) or ""
        if inspect.isroutine(method) and module.split(".")[0] == "skmix":
            yield name


NAMES = [name for name, _ in public_names()]
METHODS = [
    f"{name}.{method}"
    for name, cls in public_names()
    if inspect.isclass(cls)
    for method in own_methods(cls)
    if method != FOR_THE_REPORT
]


def errors_of(name, left_out):
    found = validate.validate(name)["errors"]
    return [f"{code} {message}" for code, message in found if code not in left_out]


@pytest.mark.parametrize("name", NAMES)
def test_classes_and_functions(name):
    assert not errors_of(name, LEFT_OUT | ({"PR01"} if name in RESULTS else set()))


@pytest.mark.parametrize("name", METHODS)
def test_methods(name):
    assert not errors_of(name, LEFT_OUT | LEFT_OUT_OF_METHODS)


def test_all_kinds_are_found():
    assert {"skmix.MixupClassifier", "skmix.inspection.mixup_effect"} <= set(NAMES)
    expected = {"MixupClassifier.fit", "MixupClassifierCV.predict", "mixing.Prob.bind"}
    assert {f"skmix.{name}" for name in expected} <= set(METHODS)


def test_the_page_of_the_api_has_every_name():
    page = Path(__file__).parents[1] / "docs" / "api.rst"
    lines = page.read_text("utf-8").splitlines()
    assert set(NAMES) <= {f"skmix.{line.strip()}" for line in lines}
