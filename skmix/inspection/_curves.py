"""Pictures of losses by epoch, and of scores by alpha."""

from typing import Any, Self

import numpy as np
import pandas as pd

from skmix._validation import is_number
from skmix.inspection._alphas import scores_by_alpha, text_of
from skmix.inspection._axes import (
    BLUE,
    GREY,
    ORANGE,
    axes_or_new,
    check_matplotlib,
    grid_of_axes,
)
from skmix.inspection._replay import training_losses

# By their column: what they are called, and how they are drawn.
LOSSES: dict[str, tuple[str, dict[str, Any]]] = {
    "mixed_train_loss": ("mixed rows", {"color": BLUE, "linestyle": "-"}),
    "clean_train_loss": (
        "the same rows, unmixed",
        {"color": ORANGE, "linestyle": "--"},
    ),
    "valid_loss": ("rows held out", {"color": "black", "linestyle": ":"}),
}


class HistoryDisplay:
    """Training loss by epoch, of mixed rows and of the same rows unmixed.

    The loss that a net minimises is that of mixed rows, and says little about how well
    it knows its rows.

    Parameters
    ----------
    losses : DataFrame
        One row for each epoch, whose index counts the epochs, and columns among
        ``mixed_train_loss``, ``clean_train_loss`` and ``valid_loss``. It is stored as
        an attribute.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    Examples
    --------
    >>> import pandas as pd
    >>> from skmix.inspection import HistoryDisplay
    >>> losses = {"mixed_train_loss": [0.9, 0.8, 0.75], "valid_loss": [0.8, 0.6, 0.5]}
    >>> display = HistoryDisplay(pd.DataFrame(losses, index=[1, 2, 3])).plot()
    >>> display.ax_.get_xlabel()
    'Epoch'
    """

    def __init__(self, losses: pd.DataFrame) -> None:
        self.losses = losses

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        sample_weight: Any = None,
        groups: Any = None,
        ax: Any = None,
    ) -> Self:
        """Train a fitted estimator once more, as it was, and draw its losses.

        Parameters
        ----------
        estimator : fitted MixupClassifier, MixupRegressor, or a Pipeline with one
            The model whose training is seen.
        X, y : table and array-like of n_samples rows
            What it was fitted on.
        sample_weight, groups : array-like of shape (n_samples,), default=None
            As in its fit.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        display : HistoryDisplay

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError, TypeError
            If the training cannot be repeated.
        """
        check_matplotlib()

        by_row = {"sample_weight": sample_weight, "groups": groups}
        return cls(training_losses(estimator, X, y, **by_row)).plot(ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw the losses that there are.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        display : HistoryDisplay

        Raises
        ------
        ValueError
            If there is no column of losses.
        """
        known = [name for name in LOSSES if name in self.losses]
        if not known:
            raise ValueError(
                f"Got the columns {list(self.losses)}, but expected some of "
                f"{', '.join(LOSSES)}."
            )
        self.ax_ = ax = axes_or_new(ax)
        self.figure_ = ax.figure
        for column in known:
            label, style = LOSSES[column]
            values = self.losses[column].dropna()
            # (A line of a single epoch would not be seen.)
            marker = "o" if len(values) < 2 else None
            ax.plot(values.index, values, label=label, marker=marker, **style)
        ax.xaxis.get_major_locator().set_params(integer=True)
        title = "Loss in training, by epoch"
        ax.set(xlabel="Epoch", ylabel="Mean loss", title=title)
        ax.legend(loc="best")
        return self


# Scores by alpha.


class AlphaDisplay:
    """Scores against alpha, with intervals, for every metric of a search.

    If alpha 0 is among the candidates, it is the gain over alpha 0, paired by folds.

    Use `from_estimator` to create one. The parameters are stored as attributes.

    Parameters
    ----------
    table : DataFrame
        One row for each metric and alpha: ``metric``, ``alpha``, ``mean``, ``low`` and
        ``high``.
    relative : bool
        Whether these are gains over alpha 0, and no scores.

    Attributes
    ----------
    ax_ : matplotlib Axes, or ndarray of them
        One for each metric, or the only one.
    figure_ : matplotlib Figure

    See Also
    --------
    mixup_effect : Whether mixing helps, with the choice of alpha inside the folds.

    Notes
    -----
    Intervals are those of ``gains_``: 95 % intervals, which hold for all alphas of a
    metric at once (docs/inspection.md).

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from skmix import MixupClassifierCV, default_net
    >>> from skmix.inspection import AlphaDisplay
    >>> X, y = load_wine(return_X_y=True)
    >>> net = default_net("classifier").set_params(max_epochs=2, module__d_block=16)
    >>> search = MixupClassifierCV(net, alphas=(0, 0.2, 1), cv=3, random_state=0)
    >>> display = AlphaDisplay.from_estimator(search.fit(X, y))
    >>> display.table["alpha"].tolist()
    [0.0, 0.2, 1.0]
    """

    def __init__(self, table: pd.DataFrame, *, relative: bool) -> None:
        self.table = table
        self.relative = relative

    @classmethod
    def from_search(cls, search: Any, *, parameter: str | None = None) -> Self:
        """Read the scores of a fitted search, and draw nothing yet.

        Parameters
        ----------
        search, parameter : as in `from_estimator`
            The search, and the name of its parameter that is alpha.

        Returns
        -------
        display : AlphaDisplay
        """
        table, relative = scores_by_alpha(search, parameter)
        return cls(table, relative=relative)

    @classmethod
    def from_estimator(
        cls, search: Any, *, parameter: str | None = None, ax: Any = None
    ) -> Self:
        """Draw the scores of a fitted search, from its ``cv_results_``.

        Parameters
        ----------
        search : fitted MixupClassifierCV, MixupRegressorCV, GridSearchCV, \
                RandomizedSearchCV or similar, or a Pipeline that ends in one
            If it has searched more parameters than alpha, the setting of each alpha is
            the one with the best mean of the metric, and the better for being chosen.
        parameter : str, default=None
            Name of the parameter that is alpha. None is the one that is called
            ``alpha``, or that ends in ``__alpha``.
        ax : matplotlib Axes, or sequence of them, default=None
            Where to draw, one for each metric; None makes a new figure.

        Returns
        -------
        display : AlphaDisplay

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        NotFittedError
            If the search has no ``cv_results_`` yet.
        ValueError
            If it has not searched alpha, or several parameters could be alpha.
        """
        check_matplotlib()
        return cls.from_search(search, parameter=parameter).plot(ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw a picture for each metric.

        Parameters
        ----------
        ax : matplotlib Axes, or sequence of them, default=None
            Where to draw, one for each metric; None makes a new figure.

        Returns
        -------
        display : AlphaDisplay

        Raises
        ------
        ValueError
            If there are other than as many axes as metrics.
        """
        pyplot = check_matplotlib()
        metrics = list(dict.fromkeys(self.table["metric"]))
        given = np.atleast_1d(ax).ravel()
        axes = grid_of_axes(pyplot, len(metrics)) if ax is None else given
        if len(axes) != len(metrics):
            raise ValueError(
                f"Got {len(axes)} axes for {len(metrics)} metrics "
                f"({', '.join(metrics)}), but expected one for each."
            )
        for name, one in zip(metrics, axes, strict=True):
            self._plot_metric(self.table[self.table["metric"] == name], name, one)
        self.ax_ = axes[0] if len(axes) == 1 else axes
        self.figure_ = axes[0].figure
        return self

    def _plot_metric(self, table: pd.DataFrame, name: str, ax: Any) -> None:
        places, mean = np.arange(len(table)), table["mean"].to_numpy()
        reach = [mean - table["low"].to_numpy(), table["high"].to_numpy() - mean]
        ax.plot(places, mean, "o", color=BLUE, label="mean over the folds")
        numbers = table["alpha"].map(is_number).to_numpy(dtype=bool)
        ax.plot(places[numbers], mean[numbers], color=BLUE)
        # (Intervals that are not known are NaN, and not drawn.)
        style = {"fmt": "none", "ecolor": BLUE, "capsize": 5}
        ax.errorbar(places, mean, yerr=reach, label="95 % interval", **style)
        if self.relative:
            ax.axhline(0, color=GREY, linestyle="--", label="no mixing")
        ax.set_xticks(places, [text_of(alpha) for alpha in table["alpha"]])
        ax.set(xlabel="alpha (strength of mixing)", title=f"{name}, by alpha")
        ax.set_ylabel("Gain over alpha 0 (above 0 mixing helps)")
        if not self.relative:
            ax.set_ylabel("Score (higher is better)")
        ax.legend(loc="best")
