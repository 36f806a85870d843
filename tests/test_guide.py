"""The errors that pages of the guide quote are the errors that users see."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sample_nets import tiny_default_net
from scipy.sparse import csr_array
from sklearn.datasets import load_diabetes, load_wine
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetClassifier, NeuralNetRegressor
from torch import nn

from skmix import MixupClassifier, MixupClassifierCV, MixupRegressor, export

GUIDE = Path(__file__).parents[1] / "docs" / "guide"
WRONG = "## What goes wrong\n"
X, Y = load_wine(return_X_y=True)
X_NUMBERS, NUMBERS = load_diabetes(return_X_y=True)
N = len(Y)
NET = tiny_default_net("classifier")


def mlp(d_in, d_out):
    return nn.Linear(d_in, d_out)


def of_fixed_width():
    return nn.Linear(4, 3)


def own_net(module, **params):
    return NeuralNetClassifier(module, max_epochs=1, train_split=None, **params)


def classifier(**params):
    return MixupClassifier(NET, **params)


def regressor(**params):
    return MixupRegressor(tiny_default_net("regressor"), **params)


def table_of_dates():
    return pd.DataFrame({"day": pd.date_range("2024-01-01", periods=N)})


def frame(columns):
    return pd.DataFrame(X, columns=[str(j) for j in columns])


def three_partners(rows, X, y, weight, rng):
    return rows[:3]


def rows_of_another_table(rows, X, y, weight, rng):
    return rows + 10_000


MISTAKES = {
    "pipelines": [
        lambda: MixupClassifier().set_params(estimator__lr=0.1),
        lambda: classifier().fit(frame(range(13)), Y).predict(frame(range(13)[::-1])),
        lambda: classifier().fit(table_of_dates(), Y),
    ],
    "alpha_search": [
        lambda: MixupClassifierCV(NET, scoring="roc_auc", cv=2).fit(X, Y),
        lambda: MixupClassifierCV().set_params(estimator__lr=0.1),
    ],
    "weights": [
        lambda: classifier(priors=[0.5, 0.5, 0.5]).fit(X, Y),
        lambda: classifier(priors=[0.5, 0.5]).fit(X, Y),
        lambda: classifier().fit(X, Y, sample_weight=-np.ones(N)),
        lambda: classifier().fit(X, Y, sample_weight=np.zeros(N)),
    ],
    "regression": [
        lambda: regressor().fit(X_NUMBERS, np.c_[NUMBERS, NUMBERS]),
        lambda: regressor(pairing="same_class").fit(X_NUMBERS, NUMBERS),
        lambda: classifier(pairing="similar_target").fit(X, Y),
    ],
    "own_net": [
        lambda: MixupClassifier(own_net(mlp)).fit(X, Y).predict_proba(X),
        lambda: MixupClassifier(own_net(of_fixed_width)).fit(X, Y),
        lambda: MixupClassifier(mlp).fit(X, Y),
        lambda: MixupClassifier(NeuralNetRegressor(mlp)).fit(X, Y),
        lambda: classifier(layers="somewhere").fit(X, Y),
    ],
    "own_pairing": [
        lambda: classifier(pairing=three_partners).fit(X, Y),
        lambda: classifier(pairing=rows_of_another_table).fit(X, Y),
        lambda: classifier(pairing="lisa").fit(X, Y),
    ],
    "export": [
        lambda: export.to_module(make_pipeline(StandardScaler(), classifier())),
        lambda: export.to_module(classifier().fit(csr_array(X), Y)),
    ],
}


def quoted(page):
    """What the first column of the table of mistakes has in backticks."""
    _, table = (GUIDE / f"{page}.md").read_text("utf-8").split(WRONG)
    first = "\n".join(row.split(" | ")[0] for row in table.splitlines())
    return re.findall(r"`([^`]+ [^`]+)`", first)


CASES = [
    pytest.param(page, mistake, id=f"{page}-{number}")
    for page, mistakes in MISTAKES.items()
    for number, mistake in enumerate(mistakes)
]


@pytest.mark.parametrize(("page", "mistake"), CASES)
def test_an_error_is_quoted_as_it_is_raised(page, mistake):
    with pytest.raises((ValueError, TypeError, RuntimeError)) as caught:
        mistake()
    assert any(text in str(caught.value) for text in quoted(page)), str(caught.value)


def test_every_page_of_a_task_says_what_goes_wrong():
    no_tasks = ("index", "trust")
    pages = [path for path in GUIDE.glob("*.md") if path.stem not in no_tasks]
    assert MISTAKES.keys() <= {path.stem for path in pages}
    assert all(path.read_text("utf-8").count(WRONG) == 1 for path in pages)
