"""`model_card`: what a fitted estimator is, what it was trained on, and its limits."""

from typing import Any

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from skmix._base import BaseMixup
from skmix._files.persistence import versions
from skmix._one_net import MixupEstimator
from skmix._tables.targets import ClassCodec

MAX_SHOWN = 20  # columns, or classes, that are listed


def model_card(estimator: Any) -> str:
    """Describe a fitted estimator in Markdown.

    Parameters
    ----------
    estimator : MixupClassifier, MixupRegressor, MixupClassifierCV, MixupRegressorCV, \
            or sklearn.pipeline.Pipeline
        A fitted estimator, or a Pipeline that ends in one.

    Returns
    -------
    card : str
        What it is, what it was trained on, how rows were mixed, scores as far as
        training has found any, versions and limits. Add what only you know: where the
        table is from, what the model is for, and whom it may hurt.

    Raises
    ------
    NotFittedError
        Before `fit`.
    TypeError
        If it is another estimator.

    Examples
    --------
    >>> import skmix
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> net = skmix.default_net("classifier").set_params(max_epochs=2)
    >>> clf = skmix.MixupClassifier(net, alpha=0.5, random_state=0).fit(X, y)
    >>> print("\\n".join(skmix.model_card(clf).splitlines()[:7]))
    # MixupClassifier
    <BLANKLINE>
    A net that predicts classes, trained by [skorch](https://skorch.readthedocs.io).
    <BLANKLINE>
    | part | value |
    |---|---|
    | net | `TabularNetClassifier` around `TabularNet` |
    """
    last = estimator.steps[-1][1] if isinstance(estimator, Pipeline) else estimator
    if not isinstance(last, BaseMixup):
        raise TypeError(
            f"Got {type(last).__name__}, but expected an estimator of skmix, or a "
            "Pipeline that ends in one."
        )
    check_is_fitted(last, ["estimator_"] if hasattr(last, "alpha") else ["estimators_"])
    parts = [
        f"# {type(last).__name__}\n",
        f"{_what_it_is(last)}\n",
        _table([("part", "value"), *_parts(estimator, last)]),
        "\n## Trained on\n",
        _table([("part", "value"), *_training(last)]),
        "\n## Mixing\n",
        _table([("parameter", "value"), *_mixing(last)]),
        "\n## Scores\n",
        _scores(last),
        "\n## Versions\n",
        _table([("package", "version"), *versions().items()]),
        "\n## Limits\n",
        "\n".join(f"- {limit}" for limit in _limits(last)),
    ]
    return "\n".join(parts) + "\n"


def _classifies(estimator: BaseMixup) -> bool:
    return isinstance(_preparation(estimator).target, ClassCodec)


def _preparation(estimator: BaseMixup) -> Any:
    return vars(estimator)["_preparation"]


def _nets(estimator: Any) -> list[Any]:
    members = getattr(estimator, "estimators_", [estimator])
    return [member.estimator_ for member in members]


def _what_it_is(estimator: Any) -> str:
    what = "classes" if _classifies(estimator) else "numbers"
    one = len(_nets(estimator)) == 1
    return (
        f"{'A net that predicts' if one else 'Nets that together predict'} {what}, "
        "trained by [skorch](https://skorch.readthedocs.io)."
    )


def _parts(estimator: Any, last: Any) -> list[tuple[str, str]]:
    nets = _nets(last)
    module = type(nets[0].module_).__name__
    weights = sum(p.numel() for net in nets for p in net.module_.parameters())
    steps = estimator.steps[:-1] if isinstance(estimator, Pipeline) else ()
    rows = [("net", f"`{type(nets[0]).__name__}` around `{module}`")]
    if len(nets) > 1:
        rows.append(("nets", f"{len(nets)}"))
    rows.append(("parameters of nets", f"{weights:,}"))
    if steps:
        names = ", ".join(f"`{type(step).__name__}`" for _, step in steps)
        rows.append(("transformers before", names))
    return rows


def _training(estimator: Any) -> list[tuple[str, str]]:
    """Rows, columns and classes, as far as the estimator knows them."""
    preparation = _preparation(estimator)
    rows = [("samples", _n_samples(estimator))]
    if hasattr(estimator, "n_features_in_"):
        rows.append(("columns", f"{estimator.n_features_in_}"))
    if preparation.encoder is not None:
        reader = preparation.encoder.reader_
        rows.append(("columns of categories", f"{int(reader.categorical.sum())}"))
    if preparation.names is not None:
        rows.append(("names", _listed(preparation.names)))
    if _classifies(estimator):
        shares = zip(estimator.classes_, estimator.class_prior_, strict=True)
        classes = [f"{label} ({share:.1%})" for label, share in shares]
        rows.append(("classes, and their shares", _listed(classes)))
    epochs = [len(net.history_) for net in _nets(estimator)]
    span = f"{min(epochs)} to {max(epochs)}" if len(set(epochs)) > 1 else f"{epochs[0]}"
    rows.append(("epochs", span))
    return rows


def _n_samples(estimator: Any) -> str:
    """Return how many samples there were, as far as anything of them is kept."""
    out_of_fold = getattr(
        estimator, "oof_proba_", getattr(estimator, "oof_prediction_", None)
    )
    if out_of_fold is not None:
        return f"{len(out_of_fold):,}"
    if not _classifies(estimator):
        history = estimator.estimator_.history_
        batches = history[-1]["batches"] if len(history) else []
        n = sum(batch.get("train_batch_size", 0) for batch in batches)
        return f"{n:,} in each epoch" if n else "not known"
    total = float(_preparation(estimator).target.mass.sum())
    return f"{total:,.0f} (sum of their weights)"


def _mixing(estimator: Any) -> list[tuple[str, str]]:
    rows = [("alpha", _shown(estimator.alpha_))]
    if hasattr(estimator, "alpha_weights_"):
        results = estimator.cv_results_["param_alpha"], estimator.alpha_weights_
        shares = [f"{a:g}: {share:.0%}" for a, share in zip(*results, strict=True)]
        rows.append(("shares of the alphas in the folds", ", ".join(shares)))
    names = ("mixing", "pairing", "lam_per", "layers", "clean_weight")
    return rows + [(name, _shown(getattr(estimator, name))) for name in names]


def _shown(value: Any) -> str:
    """Return a value as code, without an address of the memory."""
    if callable(value) and hasattr(value, "__name__"):
        return f"`{value.__name__}`"
    text = repr(value)
    return f"`{type(value).__name__}`" if " at 0x" in text else f"`{text}`"


def _scores(estimator: Any) -> str:
    """Return what training has found on rows held out."""
    if isinstance(estimator, MixupEstimator):
        losses = [
            row["valid_loss"] for row in estimator.history_ if "valid_loss" in row
        ]
        if not losses:
            return "No row was held out in training. Measure scores on test rows."
        smoothing = estimator.estimator_.get_params().get("criterion__label_smoothing")
        of = "with labels as smooth as in training" if smoothing else "optimistic"
        return (
            f"Loss of rows held out, without mixing: {np.nanmin(losses):.4g} in the "
            f"best epoch ({of}). Measure scores on test rows."
        )
    columns = ["param_alpha", "mean_test_score", "std_test_score"]
    table = pd.DataFrame({name: estimator.cv_results_[name] for name in columns})
    rows = [tuple(f"{value:.4g}" for value in row) for row in table.to_numpy(float)]
    score = "default (negated loss)" if estimator.scoring is None else estimator.scoring
    return (
        _table([("alpha", "mean over folds", "standard deviation"), *rows])
        + f"\n\nScore: {_shown(score)}, {estimator.n_splits_} folds. That of the best "
        "alpha is optimistic. Measure scores on test rows."
    )


def _limits(estimator: Any) -> list[str]:
    limits = [
        "It knows columns of these names and kinds alone. Categories that training has "
        "not seen count as none, and missing numbers as the median.",
        "Predictions far from the training rows are extrapolations.",
        "Nothing here says that it treats groups of people alike. "
        "`skmix.inspection.row_effects` tells whom mixing hurts.",
    ]
    if _classifies(estimator):
        limits.insert(
            1,
            "Probabilities hold for classes in the shares above; `priors` corrects "
            "them for others.",
        )
    return limits


def _listed(names: Any) -> str:
    shown = ", ".join(map(str, names[:MAX_SHOWN]))
    more = len(names) - MAX_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


def _table(rows: list[tuple[str, ...]]) -> str:
    lines = [f"| {' | '.join(map(_cell, row))} |" for row in rows]
    lines.insert(1, "|" + "---|" * len(rows[0]))
    return "\n".join(lines)


def _cell(text: str) -> str:
    """Return text that neither ends a cell nor makes tags of names of columns."""
    escaped = str(text).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
    return " ".join(escaped.split())
