"""The skmix estimator in a model, and the same model at another alpha."""

from typing import Any

import numpy as np
from sklearn import get_config
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from skmix._base import BaseMixup
from skmix._search import indexable


def mixup_of(model: Any) -> BaseMixup:
    """Return the skmix estimator that a model is, or that its Pipeline ends in."""
    last = model.steps[-1][1] if isinstance(model, Pipeline) else model
    if not isinstance(last, BaseMixup):
        raise TypeError(
            f"Got {type(last).__name__}, but expected a MixupClassifier, a "
            "MixupRegressor, one of their CV variants, or a Pipeline that ends in one."
        )
    return last


def steps_before(model: Any) -> Pipeline | None:
    """Return the steps of a Pipeline before the skmix estimator, if there are any."""
    return model[:-1] if isinstance(model, Pipeline) and len(model.steps) > 1 else None


def table_for(model: Any, X: Any) -> Any:
    """Return a table of which rows can be taken, as the model takes it.

    The first step of a Pipeline may ask for one value a row, such as a text.
    """
    if steps_before(model) is not None and is_flat(X):
        return np.asarray(X, dtype=object)
    return indexable(X)


def is_flat(X: Any) -> bool:
    """Whether there is one value a row, and no columns."""
    if isinstance(X, list | tuple):
        return not len(X) or isinstance(X[0], str | bytes)
    return getattr(X, "ndim", 2) == 1


def with_params(model: Any, **params: Any) -> Any:
    """Return an unfitted clone of a model, with other parameters of its estimator.

    Parameters of the net may be among them also where ``estimator=None`` stands for
    the default net.
    """
    model = clone(model)
    estimator = mixup_of(model)
    nested = any(name.startswith("estimator__") for name in params)
    if nested and params.get("estimator", estimator.estimator) is None:
        estimator.set_params(estimator=estimator.net_to_fit())
    estimator.set_params(**params)
    return model


def seeded(model: Any, seed: int) -> Any:
    """Return an unfitted clone with this seed, where no other one is set before it."""
    model = with_params(model, random_state=seed)
    if isinstance(model, Pipeline):
        for _, step in model.steps[:-1]:
            # (A step may be "passthrough".)
            own = step.get_params() if hasattr(step, "get_params") else {}
            if "random_state" in own and own["random_state"] is None:
                step.set_params(random_state=seed)
    return model


def fit_params(model: Any, by_row: dict[str, Any]) -> dict[str, Any]:
    """Return weights and groups by the names that the fit of a model has for them."""
    by_row = {name: values for name, values in by_row.items() if values is not None}
    if not isinstance(model, Pipeline):
        return by_row
    if not get_config()["enable_metadata_routing"]:
        return {f"{model.steps[-1][0]}__{name}": v for name, v in by_row.items()}
    requests = mixup_of(model).get_metadata_routing()
    grouped = requests.consumes("fit", ["groups"])
    return {name: v for name, v in by_row.items() if name != "groups" or grouped}


def is_classifier(model: Any) -> bool:
    """Whether the model predicts classes."""
    return hasattr(mixup_of(model), "predict_proba")


def is_search(model: Any) -> bool:
    """Whether the model compares several alphas by itself."""
    return "alphas" in mixup_of(model).get_params(deep=False)


def at_alpha(model: Any, alpha: Any) -> Any:
    """Return an unfitted clone of a model that mixes by `alpha`."""
    if is_search(model):
        return with_params(model, alphas=[alpha])
    return with_params(model, alpha=alpha)
