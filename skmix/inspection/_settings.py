"""What an effect compares: alphas, and other regularizers with as many settings."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from sklearn.model_selection import ParameterGrid

from skmix._default_net import TabularNeuralNet
from skmix._validation import check_alpha, check_alphas, is_number, wrong
from skmix.inspection._models import is_classifier, is_search, mixup_of

MIXING = "mixing"  # the family of the alphas
CHOSEN = "chosen alpha"  # of these, fold by fold
ONE_ABOVE = ", one of them above 0"


class Setting(NamedTuple):
    """A model to be compared with the model at alpha 0."""

    family: str
    name: str
    alpha: Any
    params: dict[str, Any]  # of the skmix estimator


class Settings(NamedTuple):
    """The model at alpha 0, and the settings of each family.

    Attributes
    ----------
    baseline : Setting
    others : list of Setting
    with_baseline : bool
        Whether a choice among the settings of a family may be for the baseline, as
        that among alphas may be for 0.
    """

    baseline: Setting
    others: list[Setting]
    with_baseline: bool

    @property
    def all(self) -> list[Setting]:
        """The baseline, and then the others."""
        return [self.baseline, *self.others]

    def choices(self, family: str) -> list[int]:
        """Return the numbers, among all settings, that a family chooses from."""
        own = [k for k, setting in enumerate(self.all) if setting.family == family]
        by_itself = not is_number(self.all[own[0]].alpha)  # "auto" chooses, too
        return [0, *own] if self.with_baseline and not by_itself else own

    @property
    def families(self) -> list[str]:
        """Names of the families, that of mixing first."""
        return list(dict.fromkeys(setting.family for setting in self.others))


def settings_of(model: Any, alphas: Any, against: Any) -> Settings:
    """Return what is to be compared for a model.

    Raises
    ------
    ValueError, TypeError
        If no alpha is above 0, or a family is unknown or has too many settings.
    """
    alphas, with_baseline = _alphas_of(model, alphas)
    others = [Setting(MIXING, alpha_name(alpha), alpha, {}) for alpha in alphas]
    for family, grid in _families(against):
        params = _params_of(model, family, grid, len(alphas))
        others += [Setting(family, _name_of(p), 0.0, p) for p in params]
    return Settings(baseline(), others, with_baseline)


def baseline() -> Setting:
    """Return the setting that all others are compared with."""
    return Setting("", alpha_name(0.0), 0.0, {})


def alpha_name(alpha: Any) -> str:
    """Return how a table names an alpha."""
    if is_number(alpha):
        short = f"{alpha:g}"
        return f"alpha={short if float(short) == alpha else repr(float(alpha))}"
    if isinstance(alpha, str):
        return f"alpha={alpha!r}"
    return f"alpha={getattr(alpha, '__name__', type(alpha).__name__)}"


def _alphas_of(model: Any, alphas: Any) -> tuple[list[Any], bool]:
    """Return the alphas above 0, and whether 0 may be chosen, too."""
    estimator = mixup_of(model)
    search = is_search(model)
    if alphas is None and not search:
        check_alpha(estimator.alpha)
        if is_number(estimator.alpha) and estimator.alpha == 0:
            raise ValueError(
                "Got a model at alpha=0, which mixes nothing, but expected one that "
                "mixes, to compare it with the same model at alpha 0. Set its alpha, "
                "or pass alphas=(0.2,)."
            )
        return [estimator.alpha], isinstance(estimator.alpha, str)
    alphas = estimator.alphas if alphas is None else alphas
    numbers = check_alphas(alphas, ONE_ABOVE)
    above = sorted({alpha for alpha in numbers if alpha > 0})
    if not above:
        raise wrong(ValueError, "alphas", alphas, f"numbers{ONE_ABOVE}")
    return above, search or len(above) < len({float(alpha) for alpha in numbers})


# Other regularizers.


def _families(against: Any) -> list[tuple[str, Any]]:
    """Return pairs of a family's name and its grid, which may be a name, too."""
    expected = (
        "a mapping from names to grids of parameters, such as "
        "{'dropout': {'estimator__module__dropout': [0.2, 0.4]}}, or for the default "
        f"nets names among {', '.join(map(repr, GRIDS))}"
    )
    if against is None:
        return []
    if isinstance(against, str):
        against = [against]
    if not isinstance(against, Mapping):
        if not isinstance(against, list | tuple):
            raise wrong(TypeError, "against", against, expected)
        against = dict(zip(against, against, strict=True))
    for name, grid in against.items():
        known = grid in GRIDS if isinstance(grid, str) else isinstance(grid, Mapping)
        if not isinstance(name, str) or not known:
            raise wrong(ValueError, "against", against, expected)
        if name in (MIXING, CHOSEN) or name.startswith("alpha="):
            raise ValueError(
                f"Got against={name!r}, a name that the table has for mixing. Choose "
                "another name."
            )
    return list(against.items())


def _params_of(model: Any, family: str, grid: Any, n_settings: int) -> list[Any]:
    """Return the parameters of each setting of a family."""
    estimator = mixup_of(model)
    if isinstance(grid, str):
        net = estimator.net_to_fit()
        if not isinstance(net, TabularNeuralNet):
            raise ValueError(
                f"Got against={grid!r} and a net of your own ({type(net).__name__}), "
                "whose parameters skmix does not know. Pass a grid: "
                f"against={{{family!r}: {{'estimator__...': [...]}}}}."
            )
        if grid == "label_smoothing" and not is_classifier(model):
            raise ValueError(
                "Got against='label_smoothing' and a regressor, which has no labels. "
                "Choose 'dropout' or 'weight_decay'."
            )
        name, values_of = GRIDS[grid]
        return [{name: float(f"{value:.3g}")} for value in values_of(n_settings)]
    params = [
        {_own_name(model, name): value for name, value in setting.items()}
        for setting in ParameterGrid(grid)
    ]
    if len(params) > n_settings:
        raise ValueError(
            f"Got {len(params)} settings of {family!r} in against, but there are "
            f"{n_settings} alphas above 0, and a family may have no more: the best of "
            "more settings would win by chance. Leave some out, or pass more alphas."
        )
    known = estimator.net_to_fit().get_params(deep=True).keys()
    for name in params[0]:
        nested = name.removeprefix("estimator__")
        if nested == name and name not in estimator.get_params(deep=False):
            raise ValueError(
                f"Got {name!r} in against, but expected parameters of "
                f"{type(estimator).__name__}, or of its net after 'estimator__'."
            )
        if nested != name and "__" not in nested and nested not in known:
            raise ValueError(f"Got {name!r} in against, which the net does not have.")
    return params


def _own_name(model: Any, name: str) -> str:
    """Return a parameter's name in the skmix estimator, without that of its step."""
    step = model.steps[-1][0] if hasattr(model, "steps") else ""
    return name.removeprefix(f"{step}__") if step else name


def _name_of(params: dict[str, Any]) -> str:
    """Return how a setting is named: by the last parts of its parameters' names."""
    parts = [f"{name.split('__')[-1]}={value!r}" for name, value in params.items()]
    return ", ".join(parts)


def _dropouts(n_settings: int) -> np.ndarray:
    return np.linspace(0.1, 0.5, n_settings + 2)[1:-1]  # (0.1 is the default)


def _smoothings(n_settings: int) -> np.ndarray:
    return np.linspace(0, 0.25, n_settings + 2)[1:-1]  # (the default is at most 0.1)


def _decays(n_settings: int) -> np.ndarray:
    return np.geomspace(0.01, 1, n_settings + 2)[1:-1]  # (0.01 is the default)


GRIDS = {  # of the default nets: a parameter, and its values for n settings
    "dropout": ("estimator__module__dropout", _dropouts),
    "label_smoothing": ("estimator__criterion__label_smoothing", _smoothings),
    "weight_decay": ("estimator__optimizer__weight_decay", _decays),
}
