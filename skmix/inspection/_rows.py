"""The rows that a net saw in training, and where mixed ones landed among real ones."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.neighbors import NearestNeighbors

from skmix._one_net import Repeated
from skmix._preparation import Preparation, is_dict, rows_of
from skmix._tables.columns import as_numpy, each
from skmix._tables.dtypes import ColumnReader, as_frame
from skmix._training.recording import SeenStep
from skmix._validation import check_integer
from skmix.inspection._models import is_classifier, is_flat, mixup_of
from skmix.inspection._replay import Seen, fitted_on_its_own, replay
from skmix.preprocessing import TableEncoder

# What `mixed_rows` tells of a row, before its columns.
ABOUT = ("batch", "row", "partner", "lam", "share", "weight", "label", "layer")

# A mixed row that is nearer than this to a parent, in distances between the parents, is
# as good as a copy of it.
NEAR = 0.05


def mixed_rows(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    epoch: int = 1,
    sample_weight: Any = None,
    groups: Any = None,
) -> pd.DataFrame:
    """Return the rows that the net saw in an epoch of its training.

    Parameters
    ----------
    estimator : MixupClassifier or MixupRegressor, or a Pipeline that ends in one
        Fitted. Its last training is repeated on a copy, and callbacks of its net are
        called again.
    X, y : array-like of shape (n_samples, n_features) and (n_samples,)
        What it was fitted on.
    epoch : int, default=1
        From 1 to ``n_iter_`` of the last training (for a default net the one on all
        rows).
    sample_weight, groups : array-like of shape (n_samples,), default=None
        As in its `fit`.

    Returns
    -------
    rows : pandas.DataFrame
        One row for each row that the net saw, in the order of training:

        batch : int
            Number of the training step in the epoch, from 0.
        row, partner : label
            The two parents, by the index of X if it is a frame, else by position. A
            row that is not mixed has no partner.
        lam : float
            Weight of the own row, as drawn; 1 without mixing.
        share : float
            Share of the own row's label in the loss: `lam`, except where the mixing
            chooses another one (CutMix: the columns kept).
        weight : float
            Weight of the row in the loss, of mean 1 over the training rows.
        label : object or float
            The mixed label: for classes the label, or shares such as ``{"a": 0.7,
            "b": 0.3}``; for a regression the mixed number, in the unit of `y`.
        layer : str
            Where the row was mixed, "input" or the name of a submodule; missing if it
            was not mixed.

        Then the columns of X, of a Pipeline as they come out of the steps before:
        numbers scaled back, and categories as their value or the shares of their
        values, as `skmix.preprocessing.TableEncoder.inverse_transform` returns them. A
        column with a name from above is called ``x_weight`` and the like. Columns of an
        array are ``x0``, ``x1`` ...

    Raises
    ------
    NotFittedError
        Before `fit`.
    TypeError
        For a search over alphas, which holds several nets, and for dicts of arrays.
    ValueError
        If X and y are not what the estimator was fitted on, if it was fitted with
        `X_val` or by `partial_fit`, or if parameters have changed since; if there was
        no such epoch; or if the net has an iterator, dataset or split of its own, which
        does not tell which rows a batch holds.

    See Also
    --------
    manifold_intrusion : Whether mixed rows landed among rows of another class.
    training_losses : Losses of mixed and of clean rows.

    Notes
    -----
    **Rows mixed behind a layer** (as in the default regressor) have no mixed columns:
    those are missing, or left out if no row has any. With ``layers="input"`` all rows
    have them.

    With `clean_weight` the net sees each batch twice, first as it is. These rows are in
    the frame, without a partner and with their weight times `clean_weight`.

    A module that takes codes (``x_cat``) gets one of the parents' categories whole.

    The steps of a Pipeline must transform X as they did in its `fit`, without chance.

    Examples
    --------
    >>> import pandas as pd
    >>> from skmix import MixupClassifier, default_net
    >>> from skmix.inspection import mixed_rows
    >>> X = pd.DataFrame({"size": [1.0, 2.0, 3.0, 4.0] * 5, "hue": list("rbrg") * 5})
    >>> y = ["small", "small", "large", "large"] * 5
    >>> net = default_net("classifier").set_params(max_epochs=2)
    >>> clf = MixupClassifier(net, alpha=1.0, random_state=0).fit(X, y)
    >>> rows = mixed_rows(clf, X, y)
    >>> rows.columns.tolist()[:5]
    ['batch', 'row', 'partner', 'lam', 'share']
    >>> rows.columns.tolist()[5:]
    ['weight', 'label', 'layer', 'size', 'hue']
    >>> len(rows)
    20

    How strongly rows were mixed, and how many were near copies of a parent:

    >>> float(rows["lam"].mean()) < 1
    True
    >>> near_copies = (rows["lam"] - 0.5).abs().gt(0.45).mean()
    """
    check_rows_are_shown(estimator, X, epoch)
    given = {"sample_weight": sample_weight, "groups": groups}
    return rows_seen(replay(estimator, X, y, epoch=epoch, **given), X)


def rows_seen(seen: Seen, X: Any) -> pd.DataFrame:
    """Return what `mixed_rows` does, from a training that was seen."""
    blocks, training = _blocks(seen), seen.training
    return _about(blocks, training, _index_of(X)).join(_columns(blocks, training))


def manifold_intrusion(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    epoch: int = 1,
    sample_weight: Any = None,
    groups: Any = None,
) -> pd.DataFrame:
    """Count mixed rows that landed among real rows of another class.

    A mixed row intrudes if the nearest training row, its two parents apart, has a label
    that neither parent has: there the mixed label contradicts the data ("manifold
    intrusion", Guo et al. 2019). Two rows of one class intrude where another class lies
    between them, so that a table of two classes has intrusions, too. A high share says
    which two classes not to mix (``pairing="same_class"``, or "other_class").

    Parameters
    ----------
    estimator : MixupClassifier, or a Pipeline that ends in one
        Fitted; its last training is repeated on a copy.
    X, y : array-like of shape (n_samples, n_features) and (n_samples,)
        What it was fitted on.
    epoch : int, default=1
        The epoch of the last training whose mixed rows are looked at.
    sample_weight, groups : array-like of shape (n_samples,), default=None
        As in its `fit`.

    Returns
    -------
    intrusion : pandas.DataFrame
        A row for each pair of classes that was mixed, the highest share first:

        class_1, class_2 : label
            In the order of ``classes_``; the same for two rows of one class.
        n_rows : int
            Mixed rows with parents of these classes, near copies left out.
        n_intrusions : int
            How many of them intrude.
        share : float
            Their share.

    Raises
    ------
    NotFittedError
        Before `fit`.
    TypeError
        For a regressor, for a search over alphas, and for dicts of arrays.
    ValueError
        If all rows were mixed behind a layer or none was mixed, for fewer than three
        rows, and as `mixed_rows` does.

    See Also
    --------
    mixed_rows : The rows themselves.

    Notes
    -----
    Distances are Euclidean, between encoded rows: numbers in a common scale (also for a
    net that gets them as they are), categories one-hot. Rows of weight 0 do not count
    as real rows, all others do, also those held out by the net.

    A mixed row that is nearer to a parent than 5 % of the distance between the parents
    is a near copy, and is left out: what lies around it tells how classes overlap, and
    nothing of mixing. With small `alpha` most rows are near copies, so look at several
    epochs, or at a larger `alpha`. Weights are not looked at.

    References
    ----------
    H. Guo, Y. Mao, R. Zhang, "MixUp as Locally Linear Out-of-Manifold Regularization",
    AAAI 2019, https://arxiv.org/abs/1809.02499

    R. Baena, L. Drumetz, V. Gripon, "Preventing Manifold Intrusion with Locality: Local
    Mixup", 2022, https://arxiv.org/abs/2201.04368

    Examples
    --------
    Rows of class "b" lie between those of class "a":

    >>> import numpy as np
    >>> from skmix import MixupClassifier, default_net
    >>> from skmix.inspection import manifold_intrusion
    >>> X = np.linspace(-1, 1, 60)[:, None]
    >>> y = np.where(abs(X[:, 0]) < 0.5, "b", "a")
    >>> net = default_net("classifier").set_params(max_epochs=3)
    >>> clf = MixupClassifier(net, alpha=1.0, random_state=0).fit(X, y)
    >>> found = manifold_intrusion(clf, X, y)
    >>> found.columns.tolist()
    ['class_1', 'class_2', 'n_rows', 'n_intrusions', 'share']
    >>> found[["class_1", "class_2"]].iloc[0].tolist()
    ['a', 'a']
    """
    if not is_classifier(estimator):
        raise TypeError(
            f"Got a {type(mixup_of(estimator)).__name__}, but expected a "
            "MixupClassifier: only classes can be intruded."
        )
    check_rows_are_shown(estimator, X, epoch)
    given = {"sample_weight": sample_weight, "groups": groups}
    return intrusions_seen(estimator, replay(estimator, X, y, epoch=epoch, **given))


def intrusions_seen(estimator: Any, seen: Seen) -> pd.DataFrame:
    """Return what `manifold_intrusion` does, from a training that was seen."""
    blocks, training = _blocks(seen), seen.training
    mixed = [b for b in blocks if b.partner is not None and b.layer == "input"]
    _check_some_mixed(blocks, mixed, training)
    real, points = _in_one_scale(
        training.preparation, training.samples.X, _stacked([b.x for b in mixed])
    )
    rows = _joined(mixed, lambda block: block.rows)
    partners = _joined(mixed, lambda block: block.partner)
    apart = ~_near_copies(points, real[rows], real[partners])
    rows, partners, points = rows[apart], partners[apart], points[apart]
    labels = training.y[training.rows]
    classes = mixup_of(estimator).classes_
    codes = np.searchsorted(classes, labels)
    nearest = codes[_nearest_others(real, points, rows, partners)]
    pair = np.sort(np.column_stack([codes[rows], codes[partners]]), axis=1)
    intrudes = (nearest[:, None] != pair).all(axis=1)
    return _by_pair(pair, intrudes, classes)


# Recording.


class _Block(NamedTuple):
    """Rows of a batch that the net saw together: as they are, or mixed.

    Attributes
    ----------
    batch : int
    rows : ndarray of shape (B,), int64
        Their positions among the rows that the net was fitted on.
    partner : ndarray of shape (B,), int64, or None
    lam, share, weight : ndarray of shape (B,), float64
    layer : str or None
        None if they are not mixed.
    x : table of B rows as the net got them, or None if they were mixed in a layer
    """

    batch: int
    rows: np.ndarray
    partner: np.ndarray | None
    lam: np.ndarray
    share: np.ndarray
    weight: np.ndarray
    layer: str | None
    x: Any


def check_rows_are_shown(model: Any, X: Any, epoch: int) -> None:
    """Refuse what has no rows to show in an epoch of its last training."""
    estimator = fitted_on_its_own(model)
    if is_dict(X):
        raise TypeError(
            "Got X as a dict of arrays, but expected a table, of which rows can be "
            "shown. Pass such a table to fit, too."
        )
    check_integer("epoch", epoch, at_least=1)
    if epoch > estimator.n_iter_:
        raise ValueError(
            f"Got epoch={epoch}, but expected 1 to {estimator.n_iter_}: the last "
            f"training of this {type(estimator).__name__} had so many (n_iter_)."
        )


def _blocks(seen: Seen) -> list[_Block]:
    """Return the rows of all steps that were seen."""
    table, steps = seen.training.samples.X, enumerate(seen.steps)
    return [block for k, step in steps for block in _of_step(k, step, table)]


def _of_step(batch: int, step: SeenStep, table: Any) -> list[_Block]:
    """Return the rows of a step: unmixed, mixed, or both, in this order."""
    rows, ones = step.rows, np.ones(len(step.rows))
    weight = ones if step.weight is None else step.weight
    if step.partner is None:
        x = _of_table(table, rows) if step.x is None else _numbers(step.x)
        return [_Block(batch, rows, None, ones, ones, weight, None, x)]
    x = None if step.x is None else _numbers(step.x)
    mixed = step.partner, step.lam, step.share, weight, step.layer or "input"
    blocks = [_Block(batch, rows, *mixed, x)]
    if step.clean_weight:
        x, weight = _of_table(table, rows), step.clean_weight * weight
        blocks.insert(0, _Block(batch, rows, None, ones, ones, weight, None, x))
    return blocks


def _of_table(table: Any, rows: np.ndarray) -> Any:
    """Return rows as the net gets them without mixing."""
    return _numbers(_dense(rows_of(table, rows)))


def _dense(X: Any) -> Any:
    return each(lambda part: part.toarray() if sparse.issparse(part) else part, X)


def _numbers(x: Any) -> Any:
    return each(as_numpy, x)


def _stacked(tables: list[Any]) -> Any:
    return each(lambda *parts: np.concatenate(parts), *tables)


# What is told of the rows.


def _index_of(X: Any) -> pd.Index:
    """Return the labels of the rows: the index of a frame, else positions."""
    if isinstance(X, pd.Series):
        return X.index
    X = X if is_flat(X) else as_frame(X)
    if not isinstance(X, pd.DataFrame):
        return pd.RangeIndex(X.shape[0] if hasattr(X, "shape") else len(X))
    return X.index.to_flat_index() if X.index.nlevels > 1 else X.index


def _about(blocks: list[_Block], training: Repeated, index: pd.Index) -> pd.DataFrame:
    """Return the columns `ABOUT` of all rows."""
    rows = training.rows[_joined(blocks, lambda block: block.rows)]
    partner = _joined(blocks, lambda block: _partners(block, training.rows))
    share = _joined(blocks, lambda block: block.share)
    told = {
        "batch": _joined(blocks, lambda block: _repeated(block.batch, block)),
        "row": pd.Series(index.take(rows)),
        "partner": _labels_or_missing(index, partner),
        "lam": _joined(blocks, lambda block: block.lam),
        "share": share,
        "weight": _joined(blocks, lambda block: block.weight),
        "label": _mixed_labels(training, rows, partner, share),
        "layer": _joined(blocks, lambda block: _repeated(block.layer, block)),
    }
    return pd.DataFrame({name: told[name] for name in ABOUT})


def _joined(blocks: list[_Block], part: Callable[[_Block], Any]) -> np.ndarray:
    return np.concatenate([part(block) for block in blocks])


def _repeated(value: Any, block: _Block) -> np.ndarray:
    dtype = None if isinstance(value, int) else object
    return np.full(len(block.rows), value, dtype=dtype)


def _partners(block: _Block, positions: np.ndarray) -> np.ndarray:
    """Return positions of partners in the user's table, -1 where there is none."""
    if block.partner is None:
        return np.full(len(block.rows), -1)
    return np.asarray(positions[block.partner])


def _labels_or_missing(index: pd.Index, positions: np.ndarray) -> pd.Series:
    """Return labels of rows, missing for the position -1."""
    mixed = positions >= 0
    labels = pd.Series(index.take(positions.clip(0)))
    if mixed.all():
        return labels
    if labels.dtype.kind in "iu":  # these would become floats
        labels = labels.astype("Int64")
    return labels.where(mixed)


def _mixed_labels(
    training: Repeated, rows: np.ndarray, partner: np.ndarray, share: np.ndarray
) -> Any:
    """Return the mixed target of each row, in the user's unit."""
    own, other = training.y[rows], training.y[np.where(partner < 0, rows, partner)]
    if training.preparation.task == "regressor":
        return share * own + (1 - share) * other
    mixed = np.empty(len(own), dtype=object)
    mixed[:] = np.where(share == 0, other, own).tolist()
    shared = (own != other) & (share > 0) & (share < 1)
    pairs = own.tolist(), other.tolist()
    for k in np.flatnonzero(shared):
        mixed[k] = {pairs[0][k]: float(share[k]), pairs[1][k]: float(1 - share[k])}
    return mixed


def _columns(blocks: list[_Block], training: Repeated) -> pd.DataFrame:
    """Return the user's columns of all rows that were not mixed in a layer."""
    known = [block.x is not None for block in blocks]
    shown = np.repeat(known, [len(block.rows) for block in blocks])
    if not shown.any():
        return pd.DataFrame(index=pd.RangeIndex(len(shown)))
    x = _stacked([block.x for block in blocks if block.x is not None])
    table = _decoded(training.preparation, x)
    table.columns = _distinct(table.columns)
    return table.set_axis(np.flatnonzero(shown), axis=0).reindex(range(len(shown)))


def _decoded(preparation: Preparation, x: Any) -> pd.DataFrame:
    if preparation.encoder is not None:
        return preparation.encoder.inverse_transform(x)
    names = preparation.names or ColumnReader.of_numbers(x.shape[1]).columns
    return pd.DataFrame(x, columns=names)


def _distinct(names: Any) -> list[str]:
    """Rename columns that have the name of something that is told of the rows."""
    given, distinct = {*names, *ABOUT}, []
    for name in names:
        own = name
        while own in ABOUT or (own != name and own in given):
            own = f"x_{own}"
        distinct.append(own)
    return distinct


# Intrusion.


def _check_some_mixed(
    blocks: list[_Block], mixed: list[_Block], training: Repeated
) -> None:
    """Refuse an epoch without rows that are mixed at the input, and tiny tables."""
    if len(training.rows) < 3:
        raise ValueError(
            f"Got {len(training.rows)} rows, but expected at least 3: two parents, and "
            "others that a mixed row may be near to."
        )
    if mixed:
        return
    layers = sorted({block.layer for block in blocks if block.layer is not None})
    if layers:
        raise ValueError(
            f"Got rows that were mixed behind the layer {' or '.join(layers)}, which "
            "do not lie among the rows of the table. Fit a clone with layers='input'."
        )
    raise ValueError(
        "Got an epoch in which no row was mixed, but expected one with an alpha above "
        "0. Choose another epoch, or fit a clone with alpha=1."
    )


def _in_one_scale(
    preparation: Preparation, real: Any, mixed: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Return real and mixed rows with numbers in a common scale, categories one-hot."""
    encoder, numeric = preparation.encoder, None
    real = _dense(real)
    codes: list[Any] = [np.zeros((len(part), 0)) for part in _numbers_of(real, mixed)]
    if isinstance(real, Mapping) and encoder is not None:
        sizes = encoder.cat_cardinalities_
        codes = [_one_hot(part["x_cat"], sizes) for part in (real, mixed)]
        numeric = encoder.numeric_["x_num"]
    elif encoder is not None:
        numeric = encoder.numeric_
    tables = [np.array(part, dtype=np.float64) for part in _numbers_of(real, mixed)]
    if encoder is None or not encoder.scale:
        which = slice(None) if numeric is None else np.flatnonzero(numeric)
        columns = tables[0][:, which]
        if columns.shape[1]:
            reader = ColumnReader.of_numbers(columns.shape[1])
            scaler = TableEncoder(dtype=np.float64).fit_table(columns, reader)
            for table in tables:
                table[:, which] = scaler.encode(table[:, which])
    own, other = (np.hstack(parts) for parts in zip(tables, codes, strict=True))
    return own, other


def _numbers_of(*tables: Any) -> list[Any]:
    return [t["x_num"] if isinstance(t, Mapping) else t for t in tables]


def _one_hot(codes: np.ndarray, sizes: list[int]) -> np.ndarray:
    hot = [codes[:, j, None] == np.arange(size) for j, size in enumerate(sizes)]
    return np.hstack([np.zeros((len(codes), 0)), *hot]).astype(np.float64)


def _near_copies(points: np.ndarray, own: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Whether each mixed row is nearly as one of its parents, of shape (n,)."""
    to_own, to_other, between = (
        np.linalg.norm(a - b, axis=1)
        for a, b in ((points, own), (points, other), (own, other))
    )
    return np.asarray(np.minimum(to_own, to_other) <= NEAR * between)


def _nearest_others(
    real: np.ndarray, points: np.ndarray, rows: np.ndarray, partners: np.ndarray
) -> np.ndarray:
    """Return the number of the real row nearest to each point, its parents apart."""
    if not len(points):
        return np.arange(0)
    found = (
        NearestNeighbors(n_neighbors=3)
        .fit(real)
        .kneighbors(points, return_distance=False)
    )
    parents = (found == rows[:, None]) | (found == partners[:, None])
    return np.asarray(found[np.arange(len(found)), (~parents).argmax(axis=1)])


def _by_pair(
    pair: np.ndarray, intrudes: np.ndarray, classes: np.ndarray
) -> pd.DataFrame:
    """Count rows and intrusions of each pair of classes, the highest share first."""
    pairs, of_row = np.unique(pair, axis=0, return_inverse=True)
    of_row = of_row.reshape(-1)
    n_rows = np.bincount(of_row, minlength=len(pairs))
    n_intrusions = np.bincount(of_row[intrudes], minlength=len(pairs))
    counted = pd.DataFrame(
        {
            "class_1": classes[pairs[:, 0]],
            "class_2": classes[pairs[:, 1]],
            "n_rows": n_rows,
            "n_intrusions": n_intrusions,
            "share": n_intrusions / n_rows,
        }
    )
    counted = counted.sort_values("share", ascending=False, kind="stable")
    return counted.reset_index(drop=True)
