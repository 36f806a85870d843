"""Draw the data's way through skmix: ``python docs/draw_data_way.py``.

Writes docs/data_way.svg, which docs/design.md shows.
"""

from itertools import pairwise
from pathlib import Path

PICTURE = Path(__file__).parent / "data_way.svg"
WIDTH, HEIGHT = 195, 48  # of a box
GAP_X, GAP_Y, MARGIN = 36, 24, 10

# A name, its modules or words, and the place of its middle: column and row.
BOXES = {
    "choice": ("_selection", "scores, gains, shares", 1, 0),
    "table": ("X, y, sample_weight", "", 0, 0),
    "estimator": ("_estimators, _one_net, _search", "fit, partial_fit, predict", 0, 1),
    "many": ("_vectorized", "all alphas and folds at once", 1, 1),
    "check": ("_preparation", "checks, rows of weight 0", 0, 2),
    "columns": ("_tables, preprocessing", "columns to numbers", 1, 2),
    "target": ("_tables.targets", "labels to indices, and back", 1, 3),
    "net": ("_default_net", "or the user's net", 0, 3),
    "fit": ("_training.patch", "the net's own fit", 0, 4),
    "loader": ("_training.loader", "batches, weights, partners", 0, 5),
    "mix": ("_mixing, pairing", "draw and mix", 0, 6),
    "step": ("_training.epoch, loss", "pass, loss, update", 0, 7),
}
DOWN = ["table", "estimator", "check", "net", "fit", "loader", "mix", "step"]
ACROSS = [("estimator", "many"), ("check", "columns"), ("check", "target")]
UP = [("many", "choice")]


def place(name):
    """Return the middle of a box, in pixels."""
    *_, column, row = BOXES[name]
    x = MARGIN + WIDTH / 2 + column * (WIDTH + GAP_X)
    return x, MARGIN + HEIGHT / 2 + row * (HEIGHT + GAP_Y)


def box(name):
    """Draw a box with one or two lines of text."""
    first, second, *_ = BOXES[name]
    x, y = place(name)
    yield (
        f'<rect x="{x - WIDTH / 2:g}" y="{y - HEIGHT / 2:g}" width="{WIDTH}" '
        f'height="{HEIGHT}" rx="6" fill="#eef3f8" stroke="#4b6a88"/>'
    )
    top = y - 3 if second else y + 5
    yield f'<text x="{x:g}" y="{top:g}" font-weight="bold">{first}</text>'
    if second:
        yield f'<text x="{x:g}" y="{y + 14:g}">{second}</text>'


def arrow(path):
    """Draw a line that ends in a head."""
    return f'<path d="{path}" marker-end="url(#head)"/>'


def arrows():
    """Draw the ways between boxes."""
    for start, end in pairwise(DOWN):
        (x, y), (_, to_y) = place(start), place(end)
        yield arrow(f"M {x:g} {y + HEIGHT / 2:g} V {to_y - HEIGHT / 2:g}")
    for start, end in ACROSS:
        (x, y), (to_x, to_y) = place(start), place(end)
        middle = (x + to_x) / 2
        path = f"M {x + WIDTH / 2:g} {y:g} H {middle:g} V {to_y:g} "
        yield arrow(path + f"H {to_x - WIDTH / 2:g}")
    for start, end in UP:
        (x, y), (_, to_y) = place(start), place(end)
        yield arrow(f"M {x:g} {y - HEIGHT / 2:g} V {to_y + HEIGHT / 2:g}")


def picture():
    """Return the whole drawing."""
    columns = 1 + max(box[2] for box in BOXES.values())
    rows = 1 + max(box[3] for box in BOXES.values())
    width = 2 * MARGIN + columns * (WIDTH + GAP_X) - GAP_X
    height = 2 * MARGIN + rows * (HEIGHT + GAP_Y) - GAP_Y
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}">',
        '<marker id="head" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M 0 0 L 8 4 L 0 8 z" '
        'fill="#4b6a88"/></marker>',
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        '<g fill="none" stroke="#4b6a88" stroke-width="1.3">',
        *arrows(),
        "</g>",
        '<g fill="#1b2733" font-family="sans-serif" font-size="12" '
        'text-anchor="middle">',
        *(line for name in BOXES for line in box(name)),
        "</g>",
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PICTURE.write_text(picture(), encoding="utf-8")
