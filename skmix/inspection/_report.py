"""All of the inspection on one page."""

import base64
import html
import io
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import clone

from skmix._base import of_kind
from skmix._estimators import MixupClassifier, MixupRegressor
from skmix._one_net import ALPHA
from skmix._validation import check_option, check_seed, is_number
from skmix.inspection._axes import check_matplotlib
from skmix.inspection._changes import calibration_of, effects_of_rows, fitted_pairs
from skmix.inspection._curves import HistoryDisplay
from skmix.inspection._displays import (
    ConfidenceDisplay,
    ReliabilityDisplay,
    SegmentDisplay,
)
from skmix.inspection._effect import MixupEffect, advancing, measured_effect
from skmix.inspection._held_out import Data
from skmix.inspection._models import (
    fit_params,
    is_classifier,
    is_search,
    mixup_of,
    steps_before,
    with_params,
)
from skmix.inspection._replay import Seen, losses_seen, replay
from skmix.inspection._rows import check_rows_are_shown, intrusions_seen, rows_seen
from skmix.inspection._settings import MIXING, alpha_name, settings_of

N_PAIR_FOLDS = 3  # of the models whose changes are shown
N_SHOWN = 8  # rows of a long table
PACKAGES = ("skmix", "scikit-learn", "torch")
NEAR_COPY = 0.05  # of a parent: the other one weighs less

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #111; background: #fff;
       max-width: 60rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.2rem; margin-top: 2rem;
     border-top: 1px solid #999; padding-top: 1rem; }
.verdict { font-size: 1.15rem; border: 2px solid #111; padding: .6rem 1rem; }
figure { margin: 1rem 0; } img { max-width: min(100%, 36rem); height: auto; }
figcaption, .note { font-size: .9rem; color: #333; }
.table { overflow-x: auto; } table { border-collapse: collapse; font-size: .85rem; }
th, td { border-bottom: 1px solid #ccc; padding: .2rem .6rem; text-align: right;
         white-space: nowrap; } th { border-bottom: 1px solid #111; }
"""


@dataclass(frozen=True, repr=False, eq=False)
class MixupReport:
    """A page about what mixing did; made by `mixup_report`.

    Attributes
    ----------
    effect : MixupEffect
        The verdict, with its tables.
    html : str
        The whole page: one file, with its pictures, without scripts.

    See Also
    --------
    mixup_report : Makes it.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from skmix import MixupClassifier, default_net
    >>> from skmix.inspection import mixup_report
    >>> X, y = load_wine(return_X_y=True)
    >>> net = default_net("classifier").set_params(max_epochs=2, module__k=1)
    >>> model = MixupClassifier(net, alpha=0.2)
    >>> report = mixup_report(model, X, y, cv=3, n_repeats=1, random_state=0)
    >>> report.effect.metric
    'log_loss'
    """

    effect: MixupEffect
    html: str

    def save(self, path: str | Path) -> Path:
        """Write the page to a file.

        Parameters
        ----------
        path : str or Path
            Such as "report.html".

        Returns
        -------
        path : Path

        Raises
        ------
        OSError
            If it cannot be written.
        """
        path = Path(path)
        path.write_text(self.html, encoding="utf-8")
        return path

    def __repr__(self) -> str:
        return f"{self.effect!r}\n(MixupReport: save('report.html') writes the page.)"

    def _repr_html_(self) -> str:
        page = html.escape(self.html, quote=True)
        frame = 'style="width: 100%; height: 40rem; border: 1px solid #999"'
        return f'<iframe srcdoc="{page}" {frame}></iframe>'


def mixup_report(
    estimator: Any,
    X: Any,
    y: ArrayLike,
    *,
    alphas: Any = None,
    against: Any = None,
    scoring: Any = None,
    cv: Any = 5,
    n_repeats: int = 2,
    sample_weight: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    random_state: int | np.random.RandomState | None = None,
    n_jobs: int | None = None,
    title: str | None = None,
    verbose: int = 0,
) -> MixupReport:
    """Tell on one page whether mixing helps, what entered, and what it changed.

    Parameters
    ----------
    estimator, X, y : as in `mixup_effect`
        The model, and the rows that train and judge it.
    alphas, against, scoring, cv, n_repeats : as in `mixup_effect`
        What is compared, by which score, and in which folds.
    sample_weight, groups : as in `mixup_effect`
        What belongs to each row.
    random_state : int, RandomState instance or None, default=None
        Seeds folds, nets and the rows that are shown.
    n_jobs : int or None, default=None
        As in `mixup_effect`.
    title : str, default=None
        Heading of the page.
    verbose : {0, 1}, default=0
        As in `mixup_effect`.

    Returns
    -------
    report : MixupReport
        ``save(path)`` writes the page; a notebook shows it.

    Raises
    ------
    ImportError
        Without matplotlib, which ``pip install "skmix[plots]"`` installs.
    ValueError, TypeError
        As `mixup_effect`.

    Notes
    -----
    The verdict is that of `mixup_effect`. Rows and pictures are about one net that
    mixes, `MixupClassifier` or `MixupRegressor` with the settings of the model: at the
    alpha that was chosen most often, or, where that is 0, at one that could have been
    chosen. It is compared with the same net at alpha 0 in three folds.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from skmix import MixupClassifier, default_net
    >>> from skmix.inspection import mixup_report
    >>> X, y = load_wine(return_X_y=True)
    >>> net = default_net("classifier").set_params(max_epochs=2, module__k=1)
    >>> model = MixupClassifier(net, alpha=0.2)
    >>> report = mixup_report(model, X, y, cv=3, n_repeats=1, random_state=0)
    >>> report.html.startswith("<!DOCTYPE html>")
    True
    """
    check_option("verbose", verbose, (0, 1))
    check_matplotlib()  # before anything is trained
    start = time.perf_counter()
    random = check_seed(random_state)
    seeds = random.randint(np.iinfo(np.int32).max, size=2).tolist()
    data = Data.of(estimator, X, y, sample_weight, groups)
    with advancing(bool(verbose)) as bar:
        effect = measured_effect(
            estimator,
            data,
            alphas=alphas,
            against=against,
            scoring=scoring,
            cv=cv,
            n_repeats=n_repeats,
            random_state=seeds[0],
            n_jobs=n_jobs,
            advance=bar,
        )
        model = mixing_model(estimator, effect, alphas)
        shown = _shown(model, data, seeds[1], n_jobs, bar)
    seconds = time.perf_counter() - start
    heading = "Does mixing help here?" if title is None else title
    parts = [_verdict(effect), *shown, _about(estimator, model, data, seconds)]
    return MixupReport(effect, _page(heading, parts))


# The net that is shown.


def mixing_model(model: Any, effect: MixupEffect, alphas: Any = None) -> Any:
    """Return an unfitted clone of a model, with one net that mixes by one alpha."""
    alpha = _alpha_shown(model, effect, alphas)
    estimator = mixup_of(model)
    if not is_search(model):
        return with_params(model, alpha=alpha)
    kind = MixupClassifier if is_classifier(model) else MixupRegressor
    single = of_kind(estimator, kind, estimator=estimator.net_to_fit(), alpha=alpha)
    before = steps_before(model)
    if before is None:
        return single
    steps = [*clone(before).steps, (model.steps[-1][0], single)]
    return type(model)(steps)


def _alpha_shown(model: Any, effect: MixupEffect, alphas: Any) -> Any:
    """Return the alpha above 0 that was taken most often, or that could have been."""
    given = [setting.alpha for setting in settings_of(model, alphas, None).others]
    above = [ALPHA if isinstance(alpha, str) else alpha for alpha in given]
    by_name = {alpha_name(alpha): alpha for alpha in above}
    mixing = effect.chosen[effect.chosen["family"] == MIXING]
    taken = mixing["setting"].value_counts().index
    return next((by_name[name] for name in taken if name in by_name), above[0])


# Parts of the page.


def _shown(
    model: Any, data: Data, seed: int, n_jobs: Any, bar: Callable[[int, int], Any]
) -> list[str]:
    """Return what entered, what changed, and for whom."""
    bar(0, 4)
    model = with_params(model, random_state=seed, verbose=0)
    table = {"sample_weight": data.weight, "groups": data.groups}
    fitted = model.fit(data.X, data.y, **fit_params(model, table))
    epoch = _epoch_shown(fitted)
    options: dict[str, Any] = {"epoch": epoch, "with_losses": True, **table}
    seen = cache(lambda: replay(fitted, data.X, data.y, **options))
    bar(1, 0)
    entered = _or_why_not(lambda: _entered(fitted, data, epoch, seen))
    bar(1, 0)
    folds = _n_pair_folds(data)
    pairs = fitted_pairs(
        model, data.X, data.y, cv=folds, **table, random_state=seed, n_jobs=n_jobs
    )
    bar(1, 0)
    changed = _changed(pairs, data, fitted, seen, seed)
    whom = _whom(effects_of_rows(pairs, data.X, data.y), bool(data.n_classes))
    bar(1, 0)
    return [
        f"<h2>What entered</h2>{entered}",
        f"<h2>What changed</h2>{changed}",
        f"<h2>Whom it helps, and whom it hurts</h2>{whom}",
    ]


def _n_pair_folds(data: Data) -> int:
    most = N_PAIR_FOLDS if data.groups is None else len(pd.unique(data.groups))
    if data.n_classes:
        most = min(most, int(np.bincount(data.target).min()))
    return int(np.clip(most, 2, N_PAIR_FOLDS))


def _epoch_shown(model: Any) -> int:
    estimator: Any = mixup_of(model)
    # A schedule may begin without mixing.
    return estimator.n_iter_ if callable(estimator.alpha) else 1


def _or_why_not(make: Callable[[], str]) -> str:
    """Return a part of the page, or one sentence if it cannot be shown."""
    try:
        return make()
    except (ValueError, TypeError) as error:
        text = html.escape(str(error))
        return f'<p class="note">This part cannot be shown: {text}</p>'


def _verdict(effect: MixupEffect) -> str:
    table = effect.table.drop(columns="n_folds")
    first, second = repr(effect).splitlines()
    return (
        f'<p class="verdict"><b>{html.escape(first)}</b><br>{html.escape(second)}</p>'
        + _figure(
            lambda ax: _draw_effect(ax, effect),
            "Each line is the difference to alpha 0 with its 95 % interval; these hold "
            "for all lines together.",
            "a line lies wholly on the worse side of 0.",
            height=1.2 + 0.45 * len(table.index.get_level_values(0).unique()),
        )
        + "<details><summary>Every metric</summary><p>Means over the folds; "
        "<i>difference</i>, <i>low</i> and <i>high</i> compare with alpha 0.</p>"
        + _table(table)
        + "</details>"
    )


def _draw_effect(ax: Any, effect: MixupEffect) -> None:
    """Draw differences to alpha 0 in the metric of the verdict."""
    rows = effect.table.xs(effect.metric, level="metric").iloc[1:]
    for place, (name, row) in enumerate(rows.iterrows()):
        half = [[row["difference"] - row["low"]], [row["high"] - row["difference"]]]
        own = name == effect.candidate
        marks = {"fmt": "o" if own else "s", "color": "black" if own else "0.45"}
        ax.errorbar(
            row["difference"], place, xerr=np.nan_to_num(half), capsize=4, **marks
        )
    ax.axvline(0, color="black", linewidth=1, linestyle="--")
    ax.set_yticks(range(len(rows)), rows.index)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    side = "right" if effect.greater_is_better else "left"
    ax.set_xlabel(f"{effect.metric}: difference to alpha 0 ({side} is better)")


def _entered(model: Any, data: Data, epoch: int, seen: Callable[[], Seen]) -> str:
    """Say which rows the net was trained on."""
    check_rows_are_shown(model, data.X, epoch)
    rows = rows_seen(seen(), data.X)
    mixed = rows[rows["layer"].notna()]
    lam = mixed["lam"].to_numpy(dtype=float)
    near = float(np.mean(np.minimum(lam, 1 - lam) < NEAR_COPY)) if len(lam) else 0.0
    parts = [
        f"<p>In epoch {epoch} the net saw {len(rows):,} rows, {len(mixed):,} of them "
        f"mixed. Of these {near:.0%} were near copies of one row: the other one "
        f"weighed less than {NEAR_COPY:g}. These were the first:</p>",
        _table(mixed.head(N_SHOWN)),
        _figure(
            lambda ax: _draw_lam(ax, lam),
            "How strongly rows were mixed: at 0 and 1 they are copies, at 0.5 halves. "
            "With lam_per='batch' all rows of a batch share their lam.",
            "nearly all rows are near copies (little was mixed).",
        ),
    ]
    if data.n_classes:
        parts.append(_or_why_not(lambda: _intrusion(intrusions_seen(model, seen()))))
    return "\n".join(parts)


def _draw_lam(ax: Any, lam: np.ndarray) -> None:
    ax.hist(lam, bins=np.linspace(0, 1, 21), color="0.5", edgecolor="white")
    ax.set_xlabel("lam, the weight of a row in the mixed row")
    ax.set_ylabel("rows")


def _intrusion(pairs: pd.DataFrame) -> str:
    n_rows, n_intrusions = pairs["n_rows"].sum(), pairs["n_intrusions"].sum()
    share = n_intrusions / max(n_rows, 1)
    return (
        f"<p>{share:.1%} of the mixed rows landed nearest to a row of another class "
        "than their parents have. Worry if a pair of classes has a large share: do not "
        "mix these two (<code>pairing='same_class'</code>, or a pairing of your "
        "own).</p>" + _table(pairs.head(N_SHOWN), index=False)
    )


def _changed(
    pairs: Any, data: Data, fitted: Any, seen: Callable[[], Seen], seed: int
) -> str:
    """Show nets with mixing and without on rows that they have not seen."""
    parts = [_or_why_not(lambda: _segments(pairs, seed))]
    if data.n_classes:
        parts += [
            _figure(
                ReliabilityDisplay.from_pairs(pairs).plot,
                "How often the net is right against how sure it is. On the diagonal it "
                "is as right as it says.",
                "the line with mixing is further from the diagonal than the other.",
            ),
            _figure(
                ConfidenceDisplay.from_pairs(pairs).plot,
                "How sure the net is of rows that it has not seen.",
                "with mixing it is hardly sure of any row, though often right.",
            ),
            "<p>Calibration of these rows (<i>signed_ece</i> above 0: too sure):</p>",
            _table(calibration_of(pairs)),
        ]
    parts.append(_or_why_not(lambda: _history(losses_seen(fitted, seen()))))
    return "\n".join(parts)


def _segments(pairs: Any, seed: int) -> str:
    """Show predictions between rows."""
    return _figure(
        SegmentDisplay.from_pairs(pairs, random_state=seed).plot,
        "Predictions on the way from one row to another. Mixing asks for a straight "
        "line.",
        "with mixing the line is straight and flat: the net may be under-fitted.",
    )


def _history(losses: pd.DataFrame) -> str:
    """Show the losses of the training, by epoch."""
    return _figure(
        HistoryDisplay(losses).plot,
        "The net minimises the loss of mixed rows. How well it knows its rows is "
        "seen by the same rows unmixed, how well it predicts by rows held out.",
        "the loss of rows held out rises while the others fall.",
    )


def _whom(rows: pd.DataFrame, classify: bool) -> str:
    """Say for which rows and classes the loss has changed."""
    hurt = (rows["change"] > 0).mean()
    parts = [
        f"<p>Of the rows held out {hurt:.0%} have a higher loss with mixing. A few "
        "rows that change much are normal; worry if they are all of one class, or of "
        "one kind that matters to you. Those hurt most:</p>",
        _table(rows.head(N_SHOWN)),
    ]
    if classify:
        by_label = rows.groupby("label")["change"].agg(["mean", "count"])
        by_label = by_label.sort_values("mean", ascending=False)
        by_label.columns = pd.Index(["mean change of the loss", "rows"])
        parts += ["<p>By class:</p>", _table(by_label.head(2 * N_SHOWN))]
    return "\n".join(parts)


def _about(model: Any, shown: Any, data: Data, seconds: float) -> str:
    """Say what the page was made from."""
    shape = getattr(data.X, "shape", (len(data.y), "several"))
    of_columns = f" of {shape[1]} columns" if len(shape) > 1 else ""
    alpha = mixup_of(shown).alpha
    number = f"{alpha:g}" if is_number(alpha) else str(alpha)
    made_with = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return (
        "<h2>How this was made</h2>"
        f"<p>{len(data.y):,} rows{of_columns}. Rows and pictures are about "
        f"one net of {html.escape(type(mixup_of(shown)).__name__)} at alpha {number}, "
        "and the same net at alpha 0. "
        f"{date.today().isoformat()}, {html.escape(made_with)}, {seconds:.0f} s.</p>"
        f"<pre>{html.escape(repr(model))}</pre>"
    )


# HTML.


def _page(heading: str, parts: list[str]) -> str:
    title = html.escape(heading)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{STYLE}</style></head>\n<body><h1>{title}</h1>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def _table(frame: pd.DataFrame, *, index: bool = True) -> str:
    rendered = frame.map(_readable).to_html(
        index=index, border=0, float_format="{:.4g}".format, escape=True, na_rep=""
    )
    return f'<div class="table">{rendered}</div>'


def _readable(value: Any) -> Any:
    """Return shares of categories as words, and anything else as it is."""
    if not isinstance(value, dict):
        return value
    return ", ".join(f"{share:.0%} {category}" for category, share in value.items())


def _figure(
    draw: Callable[[Any], Any],
    how_to_read: str,
    when_to_worry: str,
    height: float = 3.4,
) -> str:
    """Return a picture in the page itself, and what it says."""
    plt = check_matplotlib()
    # (Small, so that its words can be read on a phone.)
    figure, ax = plt.subplots(figsize=(5.2, height), layout="constrained")
    draw(ax)
    ax.spines[["top", "right"]].set_visible(False)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=150)
    plt.close(figure)
    picture = base64.b64encode(file.getvalue()).decode()
    caption = f"{how_to_read} <b>Worry if</b> {when_to_worry}"
    alt = html.escape(how_to_read, quote=True)
    return (
        f'<figure><img alt="{alt}" src="data:image/png;base64,{picture}">'
        f"<figcaption>{caption}</figcaption></figure>"
    )
