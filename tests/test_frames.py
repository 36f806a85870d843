"""Raw tables through the door: categories, missing values, unseen levels, any net."""

from functools import partial

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sample_nets import Layers, Parts, logits_net, number_net
from scipy import sparse
from sklearn.base import clone
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, cross_val_predict

from skmix import MixupClassifier, MixupRegressor, default_net
from skmix.networks import TabularNet

ROWS = 90


@pytest.fixture(scope="module")
def mixed():
    """A table of everything, the target of which follows from it."""
    rng = np.random.default_rng(0)
    kind = rng.choice(["a", "b", "c"], ROWS)
    size = rng.lognormal(size=ROWS)
    flag = rng.random(ROWS) < 0.5
    y = np.where((kind == "a") ^ (size > 1), "yes", "no")
    X = pd.DataFrame(
        {
            "kind": pd.Series(kind).mask(rng.random(ROWS) < 0.1),
            "size": np.where(rng.random(ROWS) < 0.1, np.nan, size),
            "flag": flag,
            "level": pd.Categorical(rng.integers(3, size=ROWS)),
        }
    )
    return X, y


def quick(task="classifier", **params):
    params = {"max_epochs": 6, "module__d_block": 16, "module__k": 2} | params
    return default_net(task).set_params(**params)


NETS = {
    "default": quick,
    "one array": lambda: logits_net(max_epochs=3),
    "parts": lambda: logits_net(module=Parts, max_epochs=3),
}


@pytest.mark.parametrize("lam_per", ["batch", "row"])
@pytest.mark.parametrize("make", NETS.values(), ids=NETS.keys())
def test_any_net_takes_a_raw_table(mixed, make, lam_per):
    X, y = mixed
    clf = MixupClassifier(make(), lam_per=lam_per, random_state=0).fit(X, y)
    proba = clf.predict_proba(X)
    assert np.isfinite(proba).all()
    assert clf.feature_names_in_.tolist() == list(X.columns)
    assert clf.n_features_in_ == 4
    again = clone(clf).fit(X, y, sample_weight=np.ones(ROWS))
    assert_array_equal(again.predict_proba(X), proba)  # the same bits
    clf.fit(X, y, sample_weight=1.0 + np.arange(ROWS) % 3).partial_fit(X, y)


@pytest.mark.parametrize("make", NETS.values(), ids=NETS.keys())
def test_frames_of_polars_and_pandas_are_the_same(mixed, make):
    X, y = mixed
    X = X.astype({"level": "string"})
    clf = MixupClassifier(make(), random_state=0).fit(X, y)
    same = MixupClassifier(make(), random_state=0).fit(pl.from_pandas(X), y)
    assert_array_equal(same.predict_proba(X), clf.predict_proba(X))
    assert_array_equal(clf.predict_proba(pl.from_pandas(X)), clf.predict_proba(X))


def test_what_a_users_net_gets(mixed):
    X, y = mixed
    clf = MixupClassifier(logits_net(max_epochs=1), random_state=0).fit(X, y)
    names = clf.encoder_.get_feature_names_out().tolist()
    assert names == [
        "size",
        "flag",
        "missingindicator_size",
        *[f"kind_{level}" for level in ("a", "b", "c", "nan")],
        *[f"level_{level}" for level in range(3)],
    ]
    assert clf.estimator_.module_.hidden[0].in_features == len(names)
    # Numbers are as they are.
    given = clf.encoder_.transform(X)[:, 0]
    assert_array_equal(given[X["size"].notna()], X["size"].dropna())
    assert_array_equal(
        given, X["size"].fillna(np.nanquantile(X["size"], 0.5, method="inverted_cdf"))
    )


def test_sizes_of_parts_are_filled_in(mixed):
    X, y = mixed
    net = logits_net(module=Parts, max_epochs=1)
    module = MixupClassifier(net).fit(X, y).estimator_.module_
    assert [e.num_embeddings for e in module.embedding] == [5, 4]
    assert module.output.in_features == 3 + 6
    plain = MixupClassifier(net).fit(X[["size", "flag"]].fillna(0), y)
    assert len(plain.estimator_.module_.embedding) == 0


def test_plain_numbers_are_not_encoded_for_a_users_net(mixed):
    X, y = mixed
    numbers = X[["size", "flag"]].fillna(0)
    clf = MixupClassifier(logits_net(max_epochs=1), random_state=0).fit(numbers, y)
    assert not hasattr(clf, "encoder_")
    array = MixupClassifier(logits_net(max_epochs=1), random_state=0)
    array.fit(numbers.to_numpy(float), y)
    assert_array_equal(
        array.predict_proba(numbers.to_numpy(float)), clf.predict_proba(numbers)
    )
    clf.fit(X, y)  # encoded now
    assert hasattr(clf, "encoder_")
    clf.fit(numbers, y)
    assert not hasattr(clf, "encoder_")


def test_missing_numbers_in_an_array(mixed):
    X, y = mixed
    array = X[["size", "flag"]].to_numpy(float)
    for net in (logits_net(max_epochs=2), quick()):
        clf = MixupClassifier(net, random_state=0).fit(array, y)
        assert np.isfinite(clf.predict_proba(array)).all()
        names = clf.encoder_.get_feature_names_out().tolist()
        assert names == ["x0", "x1", "missingindicator_x0"]


@pytest.mark.parametrize("make", NETS.values(), ids=NETS.keys())
def test_news_at_prediction(mixed, make):
    X, y = mixed
    clf = MixupClassifier(make(), random_state=0).fit(X, y)
    news = X.assign(kind="never seen", flag=None, level=None)
    with pytest.warns(UserWarning, match="'kind': none of its values"):
        assert np.isfinite(clf.predict_proba(news)).all()
    assert_allclose(clf.predict_proba(X[3:4]), clf.predict_proba(X)[3:4], rtol=1e-5)
    with pytest.raises(ValueError, match="column 'size' with values that are no num"):
        clf.predict(X.assign(size="large"))
    with pytest.raises(ValueError, match="feature names should match"):
        clf.predict(X[["size", "kind", "flag", "level"]])
    with pytest.raises(ValueError, match="infinity"):
        clf.predict(X.assign(size=np.inf))


@pytest.mark.parametrize("make", NETS.values(), ids=NETS.keys())
def test_rows_without_weight_and_validation_rows_are_in_no_statistic(mixed, make):
    X, y = mixed
    odd = X.assign(kind="odd", size=1e6)
    both, labels = pd.concat([X, odd], ignore_index=True), np.r_[y, y]
    both["level"] = both["level"].astype("category")
    weight = np.r_[np.ones(ROWS), np.zeros(ROWS)]
    plain = MixupClassifier(make(), random_state=0).fit(X, y)
    weighed = MixupClassifier(make(), random_state=0)
    weighed.fit(both, labels, sample_weight=weight)
    assert_array_equal(weighed.predict_proba(X), plain.predict_proba(X))
    with pytest.warns(UserWarning, match="'kind': none of its values"):
        validated = clone(plain).fit(X, y, X_val=odd, y_val=y)
    names = plain.encoder_.get_feature_names_out()
    assert_array_equal(validated.encoder_.get_feature_names_out(), names)
    assert_array_equal(validated.encoder_.center_, plain.encoder_.center_)


def test_an_integer_weight_is_as_many_copies_to_the_encoder(mixed):
    X, y = mixed
    weight = 1 + np.arange(ROWS) % 3
    weighed = MixupClassifier(quick(), random_state=0).fit(X, y, sample_weight=weight)
    rows = np.repeat(np.arange(ROWS), weight)
    repeated = MixupClassifier(quick(), random_state=0).fit(X.iloc[rows], y[rows])
    ours, theirs = weighed.encoder_, repeated.encoder_
    assert_allclose(ours.transform(X), theirs.transform(X))
    for one, other in zip(ours.bins_, theirs.bins_, strict=True):
        assert_array_equal(one, other)


def test_declared_categories_of_an_array(mixed):
    _, y = mixed
    codes = np.random.default_rng(1).integers(4, size=(ROWS, 2)).astype(float)
    for declared in ([1], [False, True]):
        clf = MixupClassifier(quick(), categorical_features=declared, random_state=0)
        names = clf.fit(codes, y).encoder_.get_feature_names_out().tolist()
        assert names == ["x0", "x1_0.0", "x1_1.0", "x1_2.0", "x1_3.0"]
        frame = pd.DataFrame(codes)
        assert_array_equal(clf.predict_proba(codes), clf.predict_proba(frame))
        shifted = clf.fit(codes - [0, 5], y).predict_proba(codes - [0, 5])
        assert_array_equal(shifted, clf.predict_proba(frame - [0, 5]))
    with pytest.raises(ValueError, match="for a sparse table"):
        clf.fit(sparse.csr_array(codes), y)


def test_lists_of_rows(mixed):
    X, y = mixed
    X = X.astype({"level": int})
    rows = X.astype(object).to_numpy().tolist()
    clf = MixupClassifier(quick(), random_state=0).fit(rows, y.tolist())
    assert_array_equal(clf.predict(rows), clf.predict(X.to_numpy(object)))


def test_sparse_rows_where_categories_are_known(mixed):
    X, y = mixed
    sparse_rows = sparse.csr_array(np.eye(ROWS)[:, :4])
    clf = MixupClassifier(quick(), random_state=0).fit(X.to_numpy(object), y)
    with pytest.raises(ValueError, match=r"sparse table.*columns of categories"):
        clf.predict(sparse_rows)
    with pytest.raises(ValueError, match="module that takes x_num and x_cat"):
        MixupClassifier(logits_net(module=Parts)).fit(sparse_rows, y)


def test_infinity_is_named_beside_categories(mixed):
    X, y = mixed
    with pytest.raises(ValueError, match=r"infinity in columns \(size\)"):
        MixupClassifier(quick()).fit(X.assign(size=[*[1.0] * (ROWS - 1), np.inf]), y)


def test_partial_modules_are_known_for_what_they_are(mixed):
    X, y = mixed
    net = quick().set_params(module=partial(TabularNet, k=2))
    clf = MixupClassifier(net, random_state=0).fit(X, y)
    assert_array_equal(
        clf.predict_proba(X),
        MixupClassifier(quick(), random_state=0).fit(X, y).predict_proba(X),
    )
    net = logits_net(module=partial(Parts), max_epochs=1)
    assert MixupClassifier(net).fit(X, y).encoder_.as_dict


def test_a_failed_fit_on_another_table_changes_nothing(mixed):
    X, y = mixed
    clf = MixupClassifier(quick(), random_state=0).fit(X, y)
    before = clf.predict_proba(X)
    with pytest.raises(ValueError, match="dates"):
        clf.fit(X.assign(day=pd.Timestamp(0)), y)
    assert_array_equal(clf.predict_proba(X), before)


def test_partial_fit_keeps_the_encoder(mixed):
    X, y = mixed
    clf = MixupClassifier(quick(), random_state=0)
    clf.partial_fit(X[:60], y[:60], classes=["no", "yes"])
    encoder = clf.encoder_
    with pytest.warns(UserWarning, match="'kind': none of its values"):
        clf.partial_fit(X[60:].assign(kind="new"), y[60:])
    assert clf.encoder_ is encoder


def test_search_and_cross_validation(mixed):
    X, y = mixed
    clf = MixupClassifier(quick(), random_state=0)
    search = GridSearchCV(clf, {"alpha": [0, 0.2]}, cv=2, scoring="neg_log_loss")
    scores = search.fit(X, y).cv_results_["mean_test_score"]
    assert np.isfinite(scores).all()
    assert cross_val_predict(clf, X, y, cv=2).shape == (ROWS,)


@pytest.mark.slow
def test_search_in_several_processes(mixed):
    X, y = mixed
    clf = MixupClassifier(quick(), random_state=0)
    search = GridSearchCV(clf, {"alpha": [0, 0.2]}, cv=2, scoring="neg_log_loss")
    scores = search.fit(X, y).cv_results_["mean_test_score"]
    parallel = clone(search).set_params(n_jobs=2).fit(X, y)
    assert_array_equal(parallel.cv_results_["mean_test_score"], scores)


def test_regressor(mixed):
    X, y = mixed
    target = X["size"].fillna(1).to_numpy() + (y == "yes")
    for net in (quick("regressor"), number_net(module__d_out=1, max_epochs=2)):
        reg = MixupRegressor(net, random_state=0).fit(X, target)
        assert np.isfinite(reg.predict(X)).all()


def test_sparse_columns_have_no_embedding(mixed):
    _, y = mixed
    rng = np.random.default_rng(0)
    X = sparse.csr_array(rng.random((ROWS, 500)) * (rng.random((ROWS, 500)) < 0.02))
    clf = MixupClassifier(quick(), random_state=0).fit(X, y)
    assert clf.estimator_.module_.embedding.pieces is None
    assert_allclose(clf.predict_proba(X.toarray()), clf.predict_proba(X), rtol=1e-5)


def test_a_module_in_double_gets_doubles(mixed):
    X, y = mixed
    net = logits_net(module=Layers, module__double=True, max_epochs=1)
    clf = MixupClassifier(net, random_state=0).fit(X, y)
    assert np.isfinite(clf.predict_proba(X)).all()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Got columns that are not read as they are")
@pytest.mark.parametrize(
    ("name", "n_rows"),
    [
        ("adult", 1200),
        ("colic", 1200),
        ("hotel-bookings", 1200),
        ("open-payments", 4000),  # 200 rows of the rarer class, thousands of levels
        ("soybean", 1200),
        ("sonar", 1200),
    ],
)
def test_real_tables_as_they_are(table, name, n_rows):
    X, y = table(name)
    rows = np.random.default_rng(0).permutation(len(y))[:n_rows]
    X, y = X.iloc[rows], y.iloc[rows].astype(str)
    common = y.map(y.value_counts()) >= 6
    X, y = X[common], y[common]
    train, test = np.arange(len(y)) % 3 > 0, np.arange(len(y)) % 3 == 0
    clf = MixupClassifier(random_state=0).fit(X[train], y[train])
    loss = log_loss(y[test], clf.predict_proba(X[test]), labels=clf.classes_)
    share = y[train].value_counts(normalize=True).reindex(clf.classes_)
    prior = log_loss(y[test], np.tile(share, (test.sum(), 1)), labels=clf.classes_)
    assert loss < 0.95 * prior
    assert_allclose(clf.predict_proba(X[test]).sum(axis=1), 1, rtol=1e-12)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Got columns that are not read as they are")
@pytest.mark.parametrize("name", ["ames-housing", "california-housing"])
def test_real_numbers_to_predict(table, name):
    X, y = table(name)
    rows = np.random.default_rng(0).permutation(len(y))[:1000]  # (they are by place)
    X, y = X.iloc[rows], y.iloc[rows]
    reg = MixupRegressor(random_state=0).fit(X[:700], y[:700])
    assert reg.score(X[700:], y[700:]) > 0.5
