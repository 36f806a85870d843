"""Mixup on tables: scikit-learn estimators that train any skorch net on mixed rows."""

from skmix._default_net import default_net
from skmix._estimators import MixupClassifier, MixupRegressor
from skmix._estimators_cv import MixupClassifierCV, MixupRegressorCV
from skmix._files.card import model_card
from skmix._files.persistence import load, save

__all__ = [
    "MixupClassifier",
    "MixupClassifierCV",
    "MixupRegressor",
    "MixupRegressorCV",
    "__version__",
    "default_net",
    "load",
    "model_card",
    "save",
]

__version__ = "0.1.0"
