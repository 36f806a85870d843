"""What must come of a case: predictions right in form, or an error that helps."""

import pickle
import re
import traceback
import warnings
from copy import deepcopy
from functools import partial
from pathlib import Path

import fuzz_tables as tables
import numpy as np
import pandas as pd
import sklearn
import skorch
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone

import skmix

OURS = Path(skmix.__file__).parent
# The validation of scikit-learn, and of skorch, which tells of unknown parameters.
CHECKS = Path(sklearn.__file__).parent, Path(skorch.__file__).parent
WAY_OUT = re.compile(
    r"expected|should|must|need|call|pass|set |use |leave|drop|replace|make|lower|"
    r"not supported|refused|minimum of|cannot|fit |express|choose|but it is one for",
    re.IGNORECASE,
)


class Fault(AssertionError):
    """What should not have come of a case."""


def check(case):
    """Try a case, and return "fitted" or "refused"; raise a `Fault` otherwise."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", UserWarning)
        X, y, rows = case.X, case.target, case.rows
        model = case.estimator()
        before = deepcopy_of((X, y, rows, model.get_params(deep=False)))
        state = np.random.get_state()[1].copy(), torch.get_rng_state()
        try:
            fit(model, case, X, y, rows)
        except Exception as error:
            assert_helps(error, case.words, "fit")
            # (A second `partial_fit` may fail after the first.)
            once = case.how != "partial_fit"
            assert not (once and hasattr(model, "estimator_")), "half fitted"
            outcome = "refused"
        else:
            if case.must_refuse:
                raise Fault("fitted, but should have been refused")
            outcome = "fitted"
            after_fit(model, case, X, y, rows)
        assert_same((X, y, rows, model.get_params(deep=False)), before, "input")
        assert_array_equal(np.random.get_state()[1], state[0], "numpy's generator")
        assert torch.equal(torch.get_rng_state(), state[1]), "torch's generator"
    return outcome


def fit(model, case, X, y, rows):
    if case.how == "partial_fit":
        model.partial_fit(X, y, **classes_of(case, y), **rows)
        model.partial_fit(X, y, **rows)
    elif case.how == "validated":
        model.fit(X, y, **rows, X_val=X, y_val=y)
    else:
        model.fit(X, y, **rows)


def classes_of(case, y):
    """Return the classes of all batches, in their order, if they have one."""
    if case.task == "regressor":
        return {}
    try:
        return {"classes": np.unique(np.asarray(y))}
    except (TypeError, ValueError):  # of another order, of other lengths
        return {"classes": list(dict.fromkeys(map(hashable, y)))}


def hashable(label):
    return str(label) if isinstance(label, list) else label


def after_fit(model, case, X, y, rows):
    predicted = outputs(model, X)
    assert_predicts(model, predicted, case.n, y)
    if case.seed % 3 == 0:
        twin = pickle.loads(pickle.dumps(model))
        assert_array_equal(outputs(twin, X), predicted, "a pickled copy")
    if case.seed % 3 == 1 and not case.uses_generator:
        again = clone(model)
        fit(again, case, X, y, rows)
        assert_array_equal(outputs(again, X), predicted, "a second fit")
    changed(model, case, predicted)


def outputs(model, X):
    """Probabilities, or numbers."""
    return getattr(model, "predict_proba", model.predict)(X)


def assert_predicts(model, predicted, n, y=None):
    assert isinstance(predicted, np.ndarray), type(predicted)
    assert predicted.dtype == np.float64
    assert len(predicted) == n
    if not np.isfinite(predicted).all():
        raise Fault(f"predictions that are not finite: {predicted[:3]}")
    if hasattr(model, "classes_"):
        assert predicted.shape == (n, len(model.classes_))
        assert (predicted >= 0).all()
        assert_allclose(predicted.sum(axis=1), 1)


def changed(model, case, predicted):
    """Predict by a changed table."""
    frame, change = case.frame, case.change
    if case.names in ("duplicates", "nan", "None") or case.index != "range":
        return
    container, words, same, refused = case.container, list(case.words), True, False
    named = container in ("frame", "polars", "arrow") and case.names not in (
        *("none", "ints", "floats", "strings and ints", "tuples", "days"),
    )
    rows = slice(None)
    first, wide = frame.columns[0], frame.shape[1]
    texts = [j for j, kind in enumerate(case.columns) if kind in tables.CATEGORIES]
    told = None
    if change == "one row":
        rows = slice(3, 4)
    elif change == "no rows":
        rows, refused, words = slice(0, 0), True, ["0 sample", "2D"]
    elif change == "permuted":
        if not named or wide == 1:
            return
        frame, refused, words = frame[frame.columns[::-1]], True, ["order"]
    elif change == "fewer":
        frame, refused, words = frame.iloc[:, 1:], True, ["feature", "columns", "2D"]
    elif change == "more":
        if case.names == "tuples":
            return
        frame, refused, words = frame.assign(more=1.0), True, ["feature"]
        if container not in tables.FRAMES:
            refused, words = True, ["feature"]
    elif change == "strings":
        if container not in tables.FRAMES:
            return
        written = frame.astype(object).map(str).where(frame.notna())
        frame, same, words = written, None, [*map(str, frame.columns), *words]
    elif change == "objects":
        if container not in tables.FRAMES:
            return
        frame, words = frame.astype(object), [*map(str, frame.columns), *words]
    elif change == "as array":
        if not set(case.columns) <= tables.IN_ARRAYS.keys():
            return
        if container in tables.SPARSE:
            frame = frame.fillna(0.0)
        container, words = "array", ["x0", *words]
    elif change == "as frame":
        if container in tables.FRAMES or container == "frame of array":
            return
        frame = pd.DataFrame(np.asarray(tables.floats(frame)))
        if container in tables.SPARSE:
            frame = frame.fillna(0.0)
        container = "frame"
    elif change == "as list":
        if container in tables.SPARSE:
            frame = frame.fillna(0.0)
        container = "list of rows"
        words = [*map(str, range(wide)), *map(str, frame.columns), *words]
    elif change == "unseen":
        if not texts or container not in ("frame", "polars", "arrow"):
            return
        told = str(frame.columns[texts[0]])
        frame = frame.copy()
        frame[frame.columns[texts[0]]] = pd.Series(["never seen"] * case.n, dtype="str")
        same = None
    elif change == "missing":
        if container in tables.SPARSE:
            return
        frame = frame.copy()
        frame[first] = np.nan
        same = None
        words = ["NaN", str(first), "x0", *words]
    elif change == "infinite":
        frame = frame.copy()
        frame[first] = np.inf
        same, words = None, ["infinity", str(first), "x0", *words]
        refused = case.columns[0] in tables.NUMBERS
        if container in ("polars", "arrow"):
            refused = None
    elif change == "one axis":
        if container not in tables.ARRAYS:
            return
        X, refused, words = case.contain(frame, "column"), True, ["2D"]
        return predict_changed(model, X, case, None, True, words)
    elif change == "None":
        return predict_changed(model, None, case, None, True, ["X", "2D", "None"])
    elif change == "renamed":
        if not named:
            return
        frame = frame.rename(columns={first: f"other {first}"})
        refused, words = True, ["feature names"]
    elif change == "single":
        if container not in tables.ARRAYS or container == "object array":
            return
        container, same = "float32", None
        words = ["infinity", *words]
    elif change == "repeated":
        rows = np.zeros(5, dtype=int)
    elif change == "categories":
        if container != "frame":
            return
        frame, same = frame.copy(), None
        for column in frame:
            try:
                frame[column] = frame[column].astype("category")
            except (TypeError, UnicodeEncodeError):  # of pandas itself
                return
        words = [*map(str, frame.columns), *words]
    try:
        X = case.contain(frame.iloc[rows], container)
    except Exception:
        return  # the container has no such table
    if (
        change in ("objects", "as list", "strings", "as array")
        and case.columns_doubtful
    ):
        same = None
    expected = predicted[rows] if same else None
    return predict_changed(model, X, case, expected, refused, words, told)


def predict_changed(model, X, case, expected, refused, words, told=None):
    before = deepcopy_of(X)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            predicted = outputs(model, X)
        except Exception as error:
            if refused is False and expected is not None and not words:
                raise Fault(f"predict by {case.change}: {error!r}") from error
            assert_helps(error, words, f"predict by {case.change}")
            predicted = None
    if predicted is None:
        assert_same(X, before, "X of predict")
        return
    others = [w for w in caught if not issubclass(w.category, UserWarning)]
    if others:
        raise Fault(f"predict by {case.change} warns of {others[0].message!r}")
    if refused:
        raise Fault(f"predict by {case.change}, which should have been refused")
    if told is not None and not any(names(str(w.message), told) for w in caught):
        raise Fault(f"predict by {case.change}, and column {told} is not told of")
    assert_predicts(model, predicted, len(predicted))
    assert_same(X, before, "X of predict")
    if expected is not None and not caught:
        assert len(predicted) == len(expected)
        size = np.abs(expected).max() if expected.size else 0
        assert_allclose(
            predicted, expected, rtol=1e-3, atol=1e-4 * size, err_msg=case.change
        )


def assert_helps(error, words, where):
    """Raise a `Fault` unless an error is of the right kind, of ours, and names why."""
    shown = f"{type(error).__name__} in {where}: {str(error)[:500]}"
    if not isinstance(error, ValueError | TypeError) or isinstance(error, KeyError):
        raise Fault(shown) from error
    if isinstance(error, UnicodeError):
        raise Fault(shown) from error
    last = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
    if not any(map(last.is_relative_to, (OURS, *CHECKS))):
        raise Fault(f"from {last.parent.name}/{last.name}, {shown}") from error
    message = str(error)
    if not any(map(partial(names, message), words)):
        raise Fault(f"not by {words}, {shown}") from error
    if last.is_relative_to(OURS) and not WAY_OUT.search(message):
        raise Fault(f"no way out, {shown}") from error


def names(message, word):
    """Whether a message has a word, short ones for themselves."""
    pattern = re.escape(word)
    if len(word) < 3:
        pattern = rf"(?<![\w-]){pattern}(?!\w)"
    found = re.search(pattern, message, re.IGNORECASE)
    return found is not None or repr(word)[1:-1] in message


# Copies of what is given, and comparisons to the bit.


def deepcopy_of(given):
    if isinstance(given, tuple) and not hasattr(given, "_fields"):
        return tuple(map(deepcopy_of, given))
    if type(given) is dict:
        return {name: deepcopy_of(value) for name, value in given.items()}
    if type(given) is object or not hasattr(given, "__len__"):
        return given
    try:
        return deepcopy(given)
    except Exception:
        return given  # a generator, a class


def assert_same(given, before, what):
    """Raise a `Fault` if anything in what was given has changed."""
    if not same(given, before):
        raise Fault(f"{what} has changed: {before!r} is now {given!r}"[:2000])


def same(a, b):
    if type(a) is not type(b):
        return False
    if isinstance(a, dict) and not sparse.issparse(a):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, tuple | list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, set | frozenset):
        return a == b
    if isinstance(a, pd.DataFrame):
        columns = same(list(a.columns), list(b.columns)) and a.shape == b.shape
        return (
            columns
            and a.index.equals(b.index)
            and all(same(a.iloc[:, j], b.iloc[:, j]) for j in range(a.shape[1]))
        )
    if isinstance(a, pd.Series):
        index = a.index.equals(b.index) and a.dtype == b.dtype
        return index and same(list(a.astype(object)), list(b.astype(object)))
    if isinstance(a, np.ndarray):
        if a.dtype != b.dtype or a.shape != b.shape:
            return False
        return same(a.tolist(), b.tolist())
    if sparse.issparse(a):
        if a.format in ("csr", "csc"):
            parts = ("data", "indices", "indptr")
            return all(same(getattr(a, p), getattr(b, p)) for p in parts)
        return same(a.toarray(), b.toarray())
    if hasattr(a, "equals") and not isinstance(a, type):  # polars, pyarrow
        return a.equals(b) or repr(a) == repr(b)
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, float | np.floating):
        return a == b or (a != a and b != b)
    return a is b or repr(a) == repr(b) or hasattr(a, "get_params") or callable(a)
