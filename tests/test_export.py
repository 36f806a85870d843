"""Exported graphs predict as the estimators do."""

import builtins
import json
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from sample_nets import (
    InDouble,
    Layers,
    Parts,
    binary_net,
    logits_net,
    number_net,
    softmax_net,
    tiny_default_net,
)
from sample_tables import mixed_frame
from scipy import sparse
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from skorch import NeuralNetClassifier
from torch import nn

import skmix
from skmix import (
    MixupClassifier,
    MixupClassifierCV,
    MixupRegressor,
    MixupRegressorCV,
    export,
)

N = 60


def table():
    """A mixed frame, with large numbers and a column of the dtype category."""
    rng = np.random.default_rng(4)
    year = rng.choice([1990, 2000], N) + 1e9
    town = pd.Categorical(rng.choice(["here", "there"], N))
    return mixed_frame(N).assign(year=year, town=town)


def new_rows():
    """Rows with other categories, without any value, and far out."""
    X = table().astype({"old": object, "town": object})
    X.loc[4] = None
    X.loc[5, ["hue", "town"]] = "elsewhere"
    X.loc[6, "size"] = 1e7
    X.loc[7, "year"] = -1e9
    return X


LABELS = np.random.default_rng(1).choice(["a", "b", "c"], N, p=[0.5, 0.3, 0.2])
TWO = np.where(LABELS == "a", "no", "yes")
NUMBERS = np.random.default_rng(2).normal(1e4, 300, N)


def of_classes(net=None, **params):
    net = tiny_default_net() if net is None else net
    return MixupClassifier(net, random_state=0, **params)


def of_numbers(net=None, **params):
    net = tiny_default_net("regressor") if net is None else net
    return MixupRegressor(net, random_state=0, **params)


class Squares(nn.Module):
    """Puts out a tuple."""

    def __init__(self, d_in, d_out):
        super().__init__()
        self.output = nn.Linear(d_in, d_out)

    def forward(self, X):
        return self.output(X.clamp(-1, 1)), X.square()


def sharpened(output):
    return (3 * output).softmax(dim=1)


def squares_net(**params):
    params |= {"criterion": OfFirst, "train_split": None, "max_epochs": 1}
    return NeuralNetClassifier(Squares, **params)


class OfFirst(nn.CrossEntropyLoss):
    def forward(self, output, y):
        return super().forward(output[0] if isinstance(output, tuple) else output, y)


CASES = {
    "classifier": lambda: of_classes().fit(table(), LABELS),
    "regressor": lambda: of_numbers().fit(table(), NUMBERS),
    "classifier search": lambda: MixupClassifierCV(
        tiny_default_net(), cv=2, priors=[0.2, 0, 0.8], random_state=0
    ).fit(table(), LABELS),
    "regressor search": lambda: MixupRegressorCV(
        tiny_default_net("regressor"), cv=2, random_state=0
    ).fit(table(), NUMBERS),
    "one net of a search": lambda: MixupClassifierCV(
        tiny_default_net(), cv=2, ensemble=False, random_state=0
    ).fit(table(), LABELS),
    "priors": lambda: of_classes(priors="uniform").fit(table(), LABELS),
    "numbers and codes": lambda: of_classes(logits_net(module=Parts)).fit(
        table(), LABELS
    ),
    "two classes": lambda: of_classes(binary_net()).fit(table(), TWO),
    "probabilities": lambda: of_classes(softmax_net()).fit(table(), LABELS),
    "float64": lambda: of_classes(logits_net(module=InDouble)).fit(table(), LABELS),
    "a nonlinearity": lambda: of_classes(
        squares_net(predict_nonlinearity=sharpened), alpha=0
    ).fit(table(), LABELS),
    "own numbers": lambda: of_numbers(number_net()).fit(table(), NUMBERS / 1e3),
}
SHORT = ["numbers and codes", "two classes"]


@pytest.fixture(scope="module")
def fitted():
    """Return the estimator of a case, fitted once."""
    made = {}

    def fit(case):
        if case not in made:
            with warnings.catch_warnings():
                # A net of one's own gets a column around 1e9 as it is.
                warnings.simplefilter("ignore")
                made[case] = CASES[case]()
        return made[case]

    return fit


def predicted(estimator, X):
    name = "predict_proba" if hasattr(estimator, "predict_proba") else "predict"
    return getattr(estimator, name)(X)


def run(module, inputs):
    tensors = {name: torch.from_numpy(part) for name, part in inputs.items()}
    return module(**tensors).numpy()


def assert_alike(found, expected, atol=1e-5):
    scale = max(1, abs(expected).max())
    np.testing.assert_allclose(found / scale, expected / scale, rtol=0, atol=atol)


def assert_same_for_any_rows(run_graph, estimator, X):
    for rows in (X, X[:1], X[4:5], X[3:10]):
        found = run_graph(export.inputs_of(estimator, rows))
        expected = predicted(estimator, rows)
        assert found.shape == expected.shape
        assert found.dtype == np.float64
        assert_alike(found, expected)


@pytest.mark.parametrize("case", CASES)
def test_a_module_predicts_as_the_estimator(fitted, case):
    estimator = fitted(case)
    module = export.to_module(estimator)
    assert_same_for_any_rows(lambda of: run(module, of), estimator, new_rows())


@pytest.mark.parametrize("case", ["classifier", "float64", "regressor"])
def test_a_module_is_as_exact_as_the_estimator(fitted, case):
    estimator, X = fitted(case), new_rows()
    found = run(export.to_module(estimator), export.inputs_of(estimator, X))
    np.testing.assert_allclose(found, predicted(estimator, X), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    "case",
    [pytest.param(c, marks=() if c in SHORT else pytest.mark.slow) for c in CASES],
)
def test_torch_export(fitted, case):
    estimator = fitted(case)
    module = export.to_program(estimator).module()
    assert_same_for_any_rows(lambda of: run(module, of), estimator, new_rows())


LONG = (pytest.mark.slow, pytest.mark.long)  # torch's converter takes its time


@pytest.mark.parametrize(
    "case",
    [pytest.param(c, marks=LONG if c != SHORT[0] else pytest.mark.slow) for c in CASES],
)
def test_onnxruntime(fitted, case, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    estimator, path = fitted(case), tmp_path / "model.onnx"
    export.to_onnx(estimator, path)
    session = runtime.InferenceSession(path)
    (output,) = session.get_outputs()
    classify = hasattr(estimator, "classes_")
    assert output.name == ("probabilities" if classify else "predictions")
    assert_same_for_any_rows(lambda of: session.run(None, of)[0], estimator, new_rows())
    metadata = session.get_modelmeta().custom_metadata_map
    assert json.loads(metadata["numbers"]) == ["size", "old", "price", "year"]
    hue, town = json.loads(metadata["codes"])
    assert hue == {"name": "hue", "categories": ["blue", "green", "red"]}
    assert town == {"name": "town", "categories": ["here", "there"]}
    if classify:
        assert metadata["task"] == "classifier"
        assert json.loads(metadata["classes"]) == estimator.classes_.tolist()
    assert ("threshold" in metadata) is (case == "two classes")


@pytest.mark.slow
def test_numbers_alone_and_categories_alone(tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    X = table()
    for part in (X[["size", "year"]], X[["hue", "town"]]):
        estimator = of_classes().fit(part, LABELS)
        inputs = export.inputs_of(estimator, part)
        assert list(inputs) == (["numbers"] if "size" in part else ["codes"])
        export.to_onnx(estimator, tmp_path / "model.onnx")
        session = runtime.InferenceSession(tmp_path / "model.onnx")
        assert [one.name for one in session.get_inputs()] == list(inputs)
        assert_alike(session.run(None, inputs)[0], estimator.predict_proba(part))


def test_arrays_and_a_net_that_gets_them_as_they_are():
    X = np.random.default_rng(0).normal(size=(N, 5))
    estimator = of_classes(logits_net(module=Layers)).fit(X, LABELS)
    assert not hasattr(estimator, "encoder_")
    module = export.to_module(estimator)
    assert_same_for_any_rows(lambda of: run(module, of), estimator, X)
    inputs = export.inputs_of(estimator, sparse.csr_array(X))
    np.testing.assert_array_equal(inputs["numbers"], X)


def test_codes_are_positions_and_say_what_is_missing_or_new(fitted):
    estimator = fitted("classifier")
    X = new_rows().loc[[0, 4, 5]]
    codes = export.inputs_of(estimator, X)["codes"]
    categories = ["blue", "green", "red"]
    assert codes[:, 0].tolist() == [categories.index(X["hue"][0]), 3, -1]
    assert codes[1:, 1].tolist() == [2, -1]


def test_codes_that_do_not_exist_count_as_new(fitted):
    for case in ("classifier", "numbers and codes"):
        estimator = fitted(case)
        inputs = export.inputs_of(estimator, new_rows())
        new, far = (
            inputs | {"codes": np.full_like(inputs["codes"], code)} for code in (-1, 99)
        )
        module = export.to_module(estimator)
        np.testing.assert_array_equal(run(module, far), run(module, new))


def test_a_module_is_a_copy_in_evaluation_mode(fitted):
    estimator, X = fitted("probabilities"), new_rows()
    before = estimator.predict_proba(X)
    module = export.to_module(estimator)
    assert not any(part.training for part in module.modules())
    assert not any(p.requires_grad for p in module.parameters())
    for parameter in module.parameters():
        parameter.zero_()
    np.testing.assert_array_equal(estimator.predict_proba(X), before)


def test_a_program_comes_back_from_a_file(fitted, tmp_path):
    estimator, path = fitted("numbers and codes"), tmp_path / "model.pt2"
    torch.export.save(export.to_program(estimator), path)
    module = torch.export.load(path).module()
    assert_same_for_any_rows(lambda of: run(module, of), estimator, new_rows())


def test_an_estimator_that_was_loaded_from_a_file(fitted, tmp_path):
    for case in ("classifier search", "regressor"):
        estimator, X = fitted(case), new_rows()
        skmix.save(estimator, tmp_path / "model.skmix")
        loaded = skmix.load(tmp_path / "model.skmix")
        found = run(export.to_module(loaded), export.inputs_of(loaded, X))
        expected = run(export.to_module(estimator), export.inputs_of(estimator, X))
        np.testing.assert_array_equal(found, expected)


# What is refused.


class Branching(Layers):
    """Asks for the values of its rows."""

    def forward(self, X):
        return super().forward(X if X[:, 0].sum() > 0 else -X)


class Bessel(Layers):
    """Uses a function that ONNX has not."""

    def forward(self, X):
        return super().forward(torch.special.bessel_j0(X))


class Doubtful(NeuralNetClassifier):
    def predict_proba(self, X):
        return super().predict_proba(X)[:, ::-1]


class Noisy(Layers):
    def forward(self, X):
        return super().forward(X + torch.rand_like(X))


def test_what_is_no_estimator_of_skmix():
    with pytest.raises(TypeError, match="Got Pipeline, but expected MixupClassifier"):
        export.to_module(make_pipeline(of_classes()))
    with pytest.raises(NotFittedError):
        export.to_module(of_classes())
    with pytest.raises(NotFittedError):
        export.inputs_of(MixupClassifierCV(), table())


def test_a_dict_and_a_sparse_table():
    X = np.random.default_rng(0).normal(size=(N, 5)).astype("float32")
    with pytest.raises(ValueError, match="fitted on a dict"):
        export.to_module(of_classes(logits_net()).fit({"X": X}, TWO))
    with pytest.raises(ValueError, match=r"sparse table.*X\.toarray\(\)"):
        export.to_module(of_classes().fit(sparse.csr_array(X), TWO))


def test_a_compiled_net():
    estimator = of_classes().fit(table(), LABELS)
    estimator.estimator_.compile = True  # compiling needs a compiler of C++
    with pytest.raises(ValueError, match="compile=True"):
        export.to_module(estimator)


@pytest.mark.parametrize(
    "net",
    [
        Doubtful(Layers, criterion=nn.CrossEntropyLoss, train_split=None, max_epochs=1),
        logits_net(module=Noisy, max_epochs=1),
    ],
    ids=["own predict_proba", "random draws"],
)
def test_a_net_that_predicts_by_more_than_its_module(net):
    X = np.random.default_rng(0).normal(size=(N, 5))
    with pytest.raises(ValueError, match="predicts by more than its module"):
        export.to_program(of_classes(net).fit(X, TWO))


def test_a_module_that_cannot_be_traced():
    X = np.random.default_rng(0).normal(size=(N, 5))
    estimator = of_classes(logits_net(module=Branching, max_epochs=1)).fit(X, TWO)
    with pytest.raises(ValueError, match=r"Branching, which torch\.export cannot"):
        export.to_program(estimator)


@pytest.mark.slow
def test_a_module_that_onnx_cannot_express(tmp_path):
    pytest.importorskip("onnxscript")
    X = np.random.default_rng(0).normal(size=(N, 5))
    net = logits_net(module=Bessel, max_epochs=1)
    estimator = of_classes(net, alpha=0).fit(X, TWO)
    with pytest.raises(ValueError, match=r"Bessel, which torch\.onnx cannot write"):
        export.to_onnx(estimator, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_without_onnx_the_error_says_what_to_install(fitted, monkeypatch, tmp_path):
    import_it = builtins.__import__

    def import_others(name, *args, **kwargs):
        if name.split(".")[0] == "onnxscript":
            raise ImportError(name)
        return import_it(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", import_others)
    with pytest.raises(ImportError, match=r"pip install 'skmix\[onnx\]'"):
        export.to_onnx(fitted("classifier"), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())
