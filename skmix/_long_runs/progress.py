"""A bar for long work, with the time that is left."""

import sys

from tqdm.auto import tqdm
from tqdm.notebook import tqdm_notebook


def progress_bar(*, shown: bool, total: int, unit: str) -> tqdm:
    """Return a bar on the standard error, which shows how much time is left.

    It is silent where nobody would see it move: where the standard error is no
    terminal, as in a log file, unless it is a bar of a notebook.

    Parameters
    ----------
    shown : bool
        Whether the user asked for one.
    total : int
        Steps to be done.
    unit : str
        What a step is, in the singular.

    Returns
    -------
    bar : tqdm.tqdm
        To be used as a context.
    """
    stream = sys.stderr  # (None in a service, and anything with `write` in a logger)
    terminal = bool(getattr(stream, "isatty", bool)())
    seen = terminal or issubclass(tqdm, tqdm_notebook)
    return tqdm(total=total, disable=not (shown and seen), unit=unit, file=stream)
