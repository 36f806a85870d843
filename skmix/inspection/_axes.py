"""matplotlib when something is drawn, its axes, and the styles of all pictures.

Two curves differ in more than their colour, so that they can be told apart in grey.
"""

from typing import Any

import numpy as np

BLUE, ORANGE, GREY = "#0b5394", "#d97a1a", "#8a8a8a"
WITH, WITHOUT = "with mixing", "without mixing"
STYLES: dict[str, dict[str, Any]] = {
    WITH: {"color": BLUE, "linestyle": "-", "marker": "o"},
    WITHOUT: {"color": ORANGE, "linestyle": "--", "marker": "s"},
}


def check_matplotlib() -> Any:
    """Return `matplotlib.pyplot`, or say how to install it."""
    try:
        import matplotlib.pyplot
    except ImportError as error:
        raise ImportError(
            "Pictures need matplotlib, which is not installed. Install it with "
            'pip install "skmix[plots]"'
        ) from error
    return matplotlib.pyplot


def axes_or_new(ax: Any) -> Any:
    """Return `ax`, or the axes of a new figure."""
    pyplot = check_matplotlib()
    return pyplot.subplots(layout="constrained")[1] if ax is None else ax


def grid_of_axes(pyplot: Any, n_axes: int) -> np.ndarray:
    """Return axes of a new figure, in rows of three."""
    n_columns = min(n_axes, 3)
    n_rows = -(-n_axes // n_columns)
    size = 4.8 * n_columns, 3.8 * n_rows
    options = {"figsize": size, "squeeze": False, "layout": "constrained"}
    axes = pyplot.subplots(n_rows, n_columns, **options)[1].ravel()
    for unused in axes[n_axes:]:
        unused.set_visible(False)
    return np.asarray(axes[:n_axes])
