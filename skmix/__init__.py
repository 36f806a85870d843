"""Mixup on tables: scikit-learn estimators that train any skorch net on mixed rows."""

from skmix.estimators import MixupClassifier, MixupRegressor
from skmix.networks import default_net
from skmix.search import MixupClassifierCV, MixupRegressorCV

__all__ = [
    "MixupClassifier",
    "MixupClassifierCV",
    "MixupRegressor",
    "MixupRegressorCV",
    "__version__",
    "default_net",
]

__version__ = "0.1.0"
