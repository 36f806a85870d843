"""`save` and `load`: fitted estimators in files that hold data and no code."""

import os
import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from skmix._base import BaseMixup
from skmix._files import container
from skmix._files.budget import within_budget
from skmix._files.container import Content, Unreadable
from skmix._files.names import Trusted
from skmix._files.records import KINDS, read_estimator, write_estimator
from skmix._files.steps import read_steps, write_steps
from skmix._files.values import Reader, Unstorable, Writer, check_all, fields

PACKAGES = ("skmix", "scikit-learn", "skorch", "torch", "numpy", "pandas")


def save(estimator: Any, path: str | os.PathLike[str]) -> None:
    """Write a fitted estimator to a file that `skmix.load` reads without a pickle.

    The file holds weights, parameters, classes, names and categories of columns, and
    what else predictions need; docs/guide/files.md specifies it. The state of the
    optimizer and the losses of single batches are left out, so that `partial_fit`
    cannot train a loaded estimator further.

    Parameters
    ----------
    estimator : MixupClassifier, MixupRegressor, MixupClassifierCV, MixupRegressorCV, \
            or sklearn.pipeline.Pipeline
        A fitted estimator, or a fitted Pipeline of transformers of scikit-learn that
        ends in one. A Pipeline needs skops (``pip install 'skmix[files]'``), and its
        `memory` is not stored.
    path : str or path-like
        Where to write. A file that is there is replaced at once, when all is written.

    Raises
    ------
    NotFittedError
        Before `fit`.
    TypeError
        If it is another estimator, or of a subclass.
    ValueError
        If predictions depend on something that a file cannot hold: a module that was
        passed as an instance, transformers that are not scikit-learn's own, labels
        other than strings, numbers and booleans.
    ImportError
        If a Pipeline is to be saved without skops.
    OSError
        If the file cannot be written.

    See Also
    --------
    skmix.load : Read the file.
    skmix.model_card : Describe the estimator in Markdown.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> import skmix
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> net = skmix.default_net("classifier").set_params(max_epochs=2)
    >>> clf = skmix.MixupClassifier(net, random_state=0).fit(X, y)
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "iris.skmix"
    >>> skmix.save(clf, path)
    >>> bool((skmix.load(path).predict_proba(X) == clf.predict_proba(X)).all())
    True
    """
    last = estimator.steps[-1][1] if isinstance(estimator, Pipeline) else estimator
    if type(last) not in KINDS.values():
        raise TypeError(
            f"Got {type(last).__name__}, but expected {', '.join(KINDS)}, or a "
            "Pipeline that ends in one. (A subclass is pickled; a file holds no code.)"
        )
    check_is_fitted(last, ["estimator_"] if hasattr(last, "alpha") else ["estimators_"])
    steps, record = b"", None
    if isinstance(estimator, Pipeline):
        steps = write_steps([step for _, step in estimator.steps[:-1]])
        record = {
            "names": [name for name, _ in estimator.steps],
            "transform_input": estimator.transform_input,
            "verbose": bool(estimator.verbose),
        }
    writer = Writer()
    try:
        model = write_estimator(writer, last)
    except Unstorable as error:
        raise ValueError(
            f"Got a {type(last).__name__} with {error.name}, which cannot be stored in "
            "a file. Pickle it if you must."
        ) from error
    whole = {
        "versions": versions(),
        "pipeline": record,
        "model": model,
        "shared": writer.shared,
    }
    container.write(path, container.packed(Content(whole, writer.tensors, steps)))


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that a model depends on."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # it is on the path, and not installed
            found[name] = "unknown"
    return found


def load(path: str | os.PathLike[str], *, trusted: Iterable[Any] = ()) -> Any:
    """Read a fitted estimator from a file that `skmix.save` has written.

    Nothing in the file is run or imported, and no pickle is read. Names of classes are
    looked up among those of skmix, scikit-learn, skorch and torch that
    docs/guide/files.md lists, and in `trusted`.

    Parameters
    ----------
    path : str or path-like
        The file.
    trusted : iterable of classes and functions, default=()
        Your own module, net, criterion, mixing, callbacks and the like: the classes and
        functions themselves, and not their names. Modules and nets are needed to
        predict. Without the others `fit` is refused, by the name of what is missing,
        and all else works. What `__main__` defined may be defined elsewhere now.

    Returns
    -------
    estimator : MixupClassifier, MixupRegressor, MixupClassifierCV, MixupRegressorCV, \
            or sklearn.pipeline.Pipeline
        It predicts as the one that was saved, to the bit on the same machine and
        versions. A net that was on a device that is not there is on the CPU.

    Raises
    ------
    ValueError
        If the file is damaged, cut off, of a newer format, not written by `save`, or
        needs something that is not trusted. The message names file and reason.
    TypeError
        If `trusted` holds names instead of classes and functions.
    ImportError
        If the file holds a Pipeline, and skops is not installed.
    OSError
        If the file cannot be read.

    See Also
    --------
    skmix.save : Write the file.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import skmix
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> net = skmix.default_net("classifier").set_params(max_epochs=1, module__k=1)
    >>> clf = skmix.MixupClassifier(net, random_state=0).fit(X, y)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     skmix.save(clf, Path(folder) / "iris.skmix")
    ...     loaded = skmix.load(Path(folder) / "iris.skmix")
    >>> bool((loaded.predict_proba(X) == clf.predict_proba(X)).all())
    True
    """
    own = Trusted(trusted)
    try:
        return _loaded(container.unpacked(container.read(path)), own)
    except (ImportError, OSError):
        raise
    except Unreadable as error:
        raise ValueError(
            f"Got the file {path}, which cannot be loaded: {error}."
        ) from error
    except Exception as error:  # of a class that was made of the file's parameters
        raise ValueError(
            f"Got the file {path}, which cannot be loaded: its parameters are refused "
            f"({type(error).__name__}: {error})."
        ) from error


def _loaded(content: Content, trusted: Trusted) -> Any:
    names = {"versions": dict, "pipeline": dict | None, "model": dict, "shared": list}
    of_packages, pipeline, model, shared = fields(content.record, **names)
    check_all(of_packages.values(), str, "versions")
    reader = Reader(content.tensors, shared, trusted)
    with within_budget(content.tensors):
        estimator: BaseMixup = read_estimator(reader, model)
    if reader.unused:
        raise Unreadable(f"it has tensors that nothing refers to: {len(reader.unused)}")
    if pipeline is None:
        if content.steps:
            raise Unreadable("it has the steps of a Pipeline, and is none")
        return estimator
    names_of_steps, inputs, verbose = fields(
        pipeline, names=list, transform_input=list | None, verbose=bool
    )
    check_all([*names_of_steps, *(inputs or [])], str, "the Pipeline")
    steps = [*read_steps(content.steps), estimator]
    if len(steps) != len(names_of_steps) or len(set(names_of_steps)) != len(steps):
        raise Unreadable("its Pipeline has not as many names as steps")
    pairs = list(zip(names_of_steps, steps, strict=True))
    return Pipeline(pairs, transform_input=inputs, verbose=verbose)
