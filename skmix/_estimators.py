"""The estimators: `MixupClassifier` and `MixupRegressor`, what they take and give.

What they share is in `skmix._one_net` and `skmix._base`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from skorch import NeuralNet

from skmix._base import PredictsClasses, PredictsNumbers, all_or_nothing
from skmix._one_net import MixupEstimator


class MixupClassifier(PredictsClasses, MixupEstimator):
    """Classifier that trains a skorch net on mixed rows and labels.

    Each row of a batch gets a partner. The net is trained on
    ``lam * x_i + (1 - lam) * x_j``, and its loss is the mean of the losses of both
    labels, weighted in the same way; ``lam ~ Beta(alpha, alpha)`` [1]_. Predictions do
    not mix rows.

    Parameters
    ----------
    estimator : skorch.NeuralNetClassifier, skorch.NeuralNetBinaryClassifier or \
            similar, default=None
        The unfitted net. It is cloned and never modified; its ``warm_start`` has no
        effect (see `partial_fit`). Its module gets one array of the columns: numbers
        unscaled, with missing ones replaced by the median, an indicator column for
        each column that had missing numbers, and one-hot encoded categories. A module
        class whose ``forward`` takes ``x_num`` and ``x_cat`` gets a dict of numbers and
        of category codes instead.

        - ``module__d_in``, ``module__d_out``, ``module__n_num_features`` and
          ``module__cat_cardinalities`` are filled in, if the module's signature has
          them and they are not given.
        - ``iterator_train__shuffle`` is True, if the order of rows is not given.
        - ``batch_size`` is increased if the last batch would contain a single row.

        None stands for ``skmix.default_net("classifier")``, which scales its
        columns. Pass this net instead of None to set or search
        nested parameters (``estimator__lr``).
    alpha : float, callable or "auto", default="auto"
        Strength of mixing; ``lam`` is drawn from Beta(alpha, alpha).

        - "auto": 0.2, or 0 where mixing hurts. A net of the default kind is trained
          both ways while rows are held out, and 0 is chosen if it makes their loss
          lower by more than a standard error. It is 0.2 for other nets, where no rows
          are held out, in a first `partial_fit`, and for a net that is trained once and
          has further callbacks, as those may keep what the last training has made. On
          more than 2,000 rows a class, where mixing gains nothing in the mean, such a
          net is trained with 0 only, which takes half of the time.
        - 0: rows are not mixed.
        - 1: `lam` is uniform between 0 and 1.
        - Larger values: `lam` is closer to one half.
        - A function: gets the number of the epoch, which begins with 1, and returns the
          alpha of this epoch. `skmix.schedules.Schedule` warms up, and ends.

    lam_per : {"batch", "row"}, default="batch"
        How often `lam` is drawn.

        - "batch": once for each batch, as in [1]_.
        - "row": once for each row. The criterion must have a ``reduction``.

    mixing : {"mixup", "cutmix"}, callable or object, default="mixup"
        How a row and its partner are combined.

        - "mixup": their weighted mean.
        - "cutmix": the row, with some columns copied from its partner. The weight of a
          label is the fraction of columns that come from its row [3]_.
        - An object of `skmix.mixing`, such as ``skmix.mixing.OwnMajor()``.
        - A function ``f(x, x_partner, lam, y, y_partner, rng)``; `skmix.mixing` says
          what it gets and returns.

    pairing : {"shuffle", "same_class", "other_class", "nearest", "lisa"}, callable \
            or object, default="shuffle"
        How the partner of a row is chosen. All values except "shuffle" choose among
        all training rows.

        - "shuffle": a random other row of the batch. With row weights, a row of the
          training table, drawn in proportion to its weight.
        - "same_class": a row of the same class.
        - "other_class": a row of another class.
        - "nearest": one of the ten nearest rows.
        - "lisa": a row with the same label or of the same group, but not both. It needs
          `groups` in `fit`.
        - An object of `skmix.pairing`, such as ``skmix.pairing.Nearest(k=5)``.
        - A function ``f(rows, X, y, weight, rng)``; `skmix.pairing` says what it gets
          and returns.

    layers : str or list of str, default="auto"
        Where rows are mixed. Categories are mixed linearly at the input and behind the
        embedding of the default net.

        - "input": before the net.
        - The name of a submodule: behind this submodule. "embedding" is the embedding
          of numbers in the default net.
        - A list of these: at one of them, drawn for each batch [2]_.
        - "auto": the same as "input".

    clean_weight : float, default=0.0
        Weight of the loss of the unmixed batch, which is added to the loss of the mixed
        one [4]_. Above 0 a step takes up to twice the time.
    class_weight : dict, Series, "balanced" or None, default=None
        Weights of the classes.

        - A dict ``{label: weight}``, or a Series with labels as its index: multiplied
          into ``sample_weight``, with the same requirements. Rows of a class of weight
          0 are left out; the class stays in ``classes_``.
        - "balanced": as in scikit-learn.
        - None: no class weights.

    priors : "uniform", array-like of shape (n_classes,), dict or None, default=None
        Shares of the classes where predictions are used. Probabilities are corrected
        from the shares in training, ``class_prior_``, to these by Bayes' rule [5]_.
        Training is the same for all values.

        - "uniform": equal shares. `predict` then serves balanced accuracy, and finds
          more of the rare classes.
        - An array-like: a share for each class, in the order of ``classes_``. Use it
          if the training table was resampled.
        - A dict ``{label: share}``, or a Series with labels as its index: a share for
          each class, in any order, such as ``y.value_counts(normalize=True)``. (A
          Series with the index 0, 1, 2, ... is in the order of ``classes_``.)
        - None: predictions are not corrected.

    categorical_features : "from_dtype", array-like of str, int or bool, or None, \
            default="from_dtype"
        Columns that hold categories. All other columns hold numbers.

        - "from_dtype": columns of a category dtype, and of strings that are not numbers
          (docs/tables.md has the rules).
        - An array-like: names, positions or a mask of the columns.
        - None: no column.

        The 50 most frequent categories of a column are encoded; a missing value is a
        category. Rarer categories, and categories not seen in training, are encoded as
        all zeros (or as code 0 in ``x_cat``).
    random_state : int, RandomState instance or None, default=None
        Seed of initialisation, batches, dropout and all that mixing draws: partners,
        `lam`, masks, noise and layers.
    verbose : {0, 1}, default=0
        Replaces the net's own ``verbose``.

        - 0: prints nothing.
        - 1: prints one line per epoch, as skorch does.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
    class_prior_ : ndarray of shape (n_classes,)
        Share of each class in the training samples, by weight (`class_weight`
        included). `partial_fit` adds the samples of each call.
    alpha_ : float or callable
        The `alpha` that was used.
    estimator_ : skorch.NeuralNet
        The fitted net, a plain skorch net. Its labels are class indices. A net of the
        default kind is calibrated on its validation rows.
    history_ : skorch.history.History
        History of the net. If the default net held out rows, it is the history of the
        fit that found the number of epochs.

        - ``train_loss``: the loss that training minimises, of mixed rows, plus the loss
          of clean rows times `clean_weight`.
        - ``valid_loss``: the loss of validation rows, which are not mixed. Where the
          criterion smooths labels, as that of the default net, it smooths these, too.
        - ``lam_mean``: the mean `lam` of the epoch; 1 if nothing was mixed. Its
          expectation is one half for every `alpha` above 0.

    n_iter_ : int
        Number of epochs that the net was trained for.
    encoder_ : object
        Transformer from a table to the net's input: a
        `skmix.preprocessing.TableEncoder`, or a ``StandardScaler`` for sparse columns.
        Not set if a user-supplied net gets only numbers, none of them missing.
    n_features_in_ : int
        Number of columns seen in `fit`. Not set if `X` is a dict.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, if all of them are strings.

    See Also
    --------
    MixupRegressor : The same for numbers.
    skmix.default_net : The net behind ``estimator=None``.

    Notes
    -----
    If the criterion is cross-entropy, the loss equals the loss of the mixed one-hot
    labels of [1]_. With class weights ``c`` in the criterion, the loss of a batch is
    divided by the sum of ``lam * c[y_i] + (1 - lam) * c[y_j]``.

    With ``lam_per="row"`` or row weights, a ``get_loss`` that the net overrides must
    return one loss for each row. A term for the whole batch (a penalty) is then added
    to the loss of each row.

    References
    ----------
    .. [1] H. Zhang, M. Cisse, Y. N. Dauphin, D. Lopez-Paz, "mixup: Beyond
       Empirical Risk Minimization", ICLR 2018, https://arxiv.org/abs/1710.09412
    .. [2] V. Verma, A. Lamb, C. Beckham, A. Najafi, I. Mitliagkas, D. Lopez-Paz,
       Y. Bengio, "Manifold Mixup: Better Representations by Interpolating Hidden
       States", ICML 2019, https://arxiv.org/abs/1806.05236
    .. [3] A. Kadra, M. Lindauer, F. Hutter, J. Grabocka, "Well-tuned Simple Nets Excel
       on Tabular Datasets", NeurIPS 2021, https://arxiv.org/abs/2106.11189
    .. [4] F. Pinto, H. Yang, S. N. Lim, P. H. S. Torr, P. K. Dokania, "RegMixup: Mixup
       as a Regularizer Can Surprisingly Improve Accuracy and Out Distribution
       Robustness", NeurIPS 2022, https://arxiv.org/abs/2206.14502
    .. [5] M. Saerens, P. Latinne, C. Decaestecker, "Adjusting the Outputs of a
       Classifier to New a Priori Probabilities", Neural Computation 14, 2002,
       equation 4

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sklearn.model_selection import train_test_split
    >>> from skmix import MixupClassifier
    >>> X, y = load_wine(return_X_y=True)
    >>> X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    >>> clf = MixupClassifier(random_state=0).fit(X_train, y_train)
    >>> clf.predict_proba(X_test).shape
    (45, 3)
    >>> clf.score(X_test, y_test) > 0.9
    True

    Predictions where one class is ten times as frequent as each of the others:

    >>> proba = clf.set_params(priors=[10 / 12, 1 / 12, 1 / 12]).predict_proba(X_test)
    >>> proba.shape
    (45, 3)
    """

    _mixes_in_doubt = True

    def __init__(
        self,
        estimator: NeuralNet | None = None,
        *,
        alpha: float | Callable[..., Any] | Literal["auto"] = "auto",
        lam_per: Literal["batch", "row"] = "batch",
        mixing: str | Callable[..., Any] | object = "mixup",
        pairing: str | Callable[..., Any] | object = "shuffle",
        layers: str | list[str] = "auto",
        clean_weight: float = 0.0,
        class_weight: Mapping[Any, float] | Literal["balanced"] | None = None,
        priors: Literal["uniform"] | ArrayLike | Mapping[Any, float] | None = None,
        categorical_features: Literal["from_dtype"]
        | Sequence[Any]
        | None = "from_dtype",
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ):
        self.estimator = estimator
        self.alpha = alpha
        self.lam_per = lam_per
        self.mixing = mixing
        self.pairing = pairing
        self.layers = layers
        self.clean_weight = clean_weight
        self.class_weight = class_weight
        self.priors = priors
        self.categorical_features = categorical_features
        self.random_state = random_state
        self.verbose = verbose

    @all_or_nothing
    def partial_fit(
        self,
        X: Any,
        y: Any,
        classes: Any = None,
        sample_weight: Any = None,
        *,
        groups: Any = None,
    ) -> Self:
        """Train for one more epoch, on these rows.

        The first call fixes classes, columns and scaling, so let it have rows that
        stand for the others; the default net does not stop by itself. Call it on a
        fitted estimator to train it further. Parameters that have changed since count,
        where they can be set on a trained net (``lr``, the optimizer, the criterion,
        batches, callbacks), except ``max_epochs``. Others are refused.

        Parameters
        ----------
        X, y : as in `fit`
            Training rows. A user-supplied net still holds out rows by its
            ``train_split``; with ``train_split=None`` it trains on all of them.
        classes : array-like of shape (n_classes,), default=None
            All labels that will ever come; required in the first call.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights. Like ``class_weight`` they are relative to the rows of the same
            call: one that brings a single class has none.
        groups : array-like of shape (n_samples,), default=None
            As in `fit`.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If `classes` are missing in the first call or others later, if `y` has
            other labels, or with ``class_weight="balanced"``. And as in `fit`.
        """
        if isinstance(self.class_weight, str) and self.class_weight == "balanced":
            raise ValueError(
                "Got class_weight='balanced', which partial_fit cannot know from a "
                "part of the rows. Compute the weights with sklearn.utils."
                "compute_class_weight and pass them as a dict."
            )
        fitted = hasattr(self, "estimator_")
        if classes is None and not fitted:
            raise ValueError(
                "classes must be passed on the first call to partial_fit: all labels "
                "that will ever come."
            )
        if classes is not None and fitted:
            self._codec.check_classes(classes)
        return self._partial_fit(X, y, sample_weight, groups, classes)


class MixupRegressor(PredictsNumbers, MixupEstimator):
    """Regressor that trains a skorch net on mixed rows and targets.

    Each row of a batch gets a partner. The net is trained on
    ``lam * x_i + (1 - lam) * x_j``, and its loss is the mean of the losses of both
    targets, weighted in the same way; ``lam ~ Beta(alpha, alpha)`` [1]_. Predictions do
    not mix rows.

    Parameters
    ----------
    estimator : skorch.NeuralNetRegressor or similar, default=None
        The unfitted net. It is cloned and never modified; its ``warm_start`` has no
        effect (see `partial_fit`). Its module gets one array of the columns: numbers
        unscaled, with missing ones replaced by the median, an indicator column for
        each column that had missing numbers, and one-hot encoded categories. A module
        class whose ``forward`` takes ``x_num`` and ``x_cat`` gets a dict of numbers and
        of category codes instead.

        - ``module__d_in``, ``module__d_out``, ``module__n_num_features`` and
          ``module__cat_cardinalities`` are filled in, if the module's signature has
          them and they are not given.
        - ``iterator_train__shuffle`` is True, if the order of rows is not given.
        - ``batch_size`` is increased if the last batch would contain a single row.

        None stands for ``skmix.default_net("regressor")``, which scales its
        columns and its target. Pass this net instead of None to set or search
        nested parameters (``estimator__lr``).
    alpha : float, callable or "auto", default="auto"
        Strength of mixing; ``lam`` is drawn from Beta(alpha, alpha).

        - "auto": 0, or 0.2 where mixing helps. A net of the default kind is trained
          both ways while rows are held out, and 0.2 is chosen if it makes their loss
          lower by more than two standard errors. It is 0 where no rows are held out,
          in a first `partial_fit`, and for such a net that is trained once and has
          further callbacks, as those may keep what the last training has made. For
          other nets it is 0.2. On more than 2,000 rows a net of the default kind is
          trained with 0 only, which takes half of the time.
        - 0: rows are not mixed.
        - 1: `lam` is uniform between 0 and 1.
        - Larger values: `lam` is closer to one half.
        - A function: gets the number of the epoch, which begins with 1, and returns the
          alpha of this epoch. `skmix.schedules.Schedule` warms up, and ends.

    lam_per : {"batch", "row"}, default="batch"
        How often `lam` is drawn.

        - "batch": once for each batch, as in [1]_.
        - "row": once for each row. The criterion must have a ``reduction``.

    mixing : {"mixup", "cutmix"}, callable or object, default="mixup"
        How a row and its partner are combined.

        - "mixup": their weighted mean.
        - "cutmix": the row, with some columns copied from its partner. The weight of a
          label is the fraction of columns that come from its row [3]_.
        - An object of `skmix.mixing`, such as ``skmix.mixing.OwnMajor()``.
        - A function ``f(x, x_partner, lam, y, y_partner, rng)``; `skmix.mixing` says
          what it gets and returns.

    pairing : {"shuffle", "nearest", "similar_target"}, callable or object, \
            default="shuffle"
        How the partner of a row is chosen. All values except "shuffle" choose among
        all training rows.

        - "shuffle": a random other row of the batch. With row weights, a row of the
          training table, drawn in proportion to its weight.
        - "nearest": one of the ten nearest rows.
        - "similar_target": a row with a similar target (C-Mixup [4]_).
        - An object of `skmix.pairing`, such as ``skmix.pairing.Nearest(k=5)``.
        - A function ``f(rows, X, y, weight, rng)``; `skmix.pairing` says what it gets
          and returns.

    layers : str or list of str, default="auto"
        Where rows are mixed. Categories are mixed linearly at the input and behind the
        embedding of the default net.

        - "input": before the net.
        - The name of a submodule: behind this submodule. "embedding" is the embedding
          of numbers in the default net.
        - A list of these: at one of them, drawn for each batch [2]_.
        - "auto": "embedding" for a net of the default kind, if it embeds numbers and
          the mixing interpolates rows; else "input".

    clean_weight : float, default=0.0
        Weight of the loss of the unmixed batch, which is added to the loss of the mixed
        one [5]_. Above 0 a step takes up to twice the time.
    categorical_features : "from_dtype", array-like of str, int or bool, or None, \
            default="from_dtype"
        Columns that hold categories. All other columns hold numbers.

        - "from_dtype": columns of a category dtype, and of strings that are not numbers
          (docs/tables.md has the rules).
        - An array-like: names, positions or a mask of the columns.
        - None: no column.

        The 50 most frequent categories of a column are encoded; a missing value is a
        category. Rarer categories, and categories not seen in training, are encoded as
        all zeros (or as code 0 in ``x_cat``).
    random_state : int, RandomState instance or None, default=None
        Seed of initialisation, batches, dropout and all that mixing draws: partners,
        `lam`, masks, noise and layers.
    verbose : {0, 1}, default=0
        Replaces the net's own ``verbose``.

        - 0: prints nothing.
        - 1: prints one line per epoch, as skorch does.

    Attributes
    ----------
    alpha_ : float or callable
        The `alpha` that was used.
    estimator_ : skorch.NeuralNet
        The fitted net, a plain skorch net. A net of the default kind is trained on
        targets of mean 0 and variance 1.
    history_ : skorch.history.History
        History of the net. If the default net held out rows, it is the history of the
        fit that found the number of epochs.

        - ``train_loss``: the loss that training minimises, of mixed rows, plus the loss
          of clean rows times `clean_weight`.
        - ``valid_loss``: the loss of validation rows, which are not mixed.
        - ``lam_mean``: the mean `lam` of the epoch; 1 if nothing was mixed. Its
          expectation is one half for every `alpha` above 0.

    n_iter_ : int
        Number of epochs that the net was trained for.
    encoder_ : object
        Transformer from a table to the net's input: a
        `skmix.preprocessing.TableEncoder`, or a ``StandardScaler`` for sparse columns.
        Not set if a user-supplied net gets only numbers, none of them missing.
    n_features_in_ : int
        Number of columns seen in `fit`. Not set if `X` is a dict.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, if all of them are strings.

    See Also
    --------
    MixupClassifier : The same for labels.
    skmix.default_net : The net behind ``estimator=None``.

    Notes
    -----
    For the squared error, the mixed loss has exactly the gradient of the loss of the
    mixed target. For the absolute, Huber and pinball losses it does not. The mixed
    absolute error has its minimum at the target with the larger weight, and a mixed
    quantile loss has it at one of the two targets, not between them. Far from both
    targets the gradients agree. So with these losses mixing makes the net less smooth
    between rows than the mixed target would.

    Callbacks of the net see targets of shape (n_samples,), even if its module returns
    columns.

    References
    ----------
    .. [1] H. Zhang, M. Cisse, Y. N. Dauphin, D. Lopez-Paz, "mixup: Beyond
       Empirical Risk Minimization", ICLR 2018, https://arxiv.org/abs/1710.09412
    .. [2] V. Verma, A. Lamb, C. Beckham, A. Najafi, I. Mitliagkas, D. Lopez-Paz,
       Y. Bengio, "Manifold Mixup: Better Representations by Interpolating Hidden
       States", ICML 2019, https://arxiv.org/abs/1806.05236
    .. [3] A. Kadra, M. Lindauer, F. Hutter, J. Grabocka, "Well-tuned Simple Nets Excel
       on Tabular Datasets", NeurIPS 2021, https://arxiv.org/abs/2106.11189
    .. [4] H. Yao, Y. Wang, L. Zhang, J. Zou, C. Finn, "C-Mixup: Improving
       Generalization in Regression", NeurIPS 2022, https://arxiv.org/abs/2210.05775
    .. [5] F. Pinto, H. Yang, S. N. Lim, P. H. S. Torr, P. K. Dokania, "RegMixup: Mixup
       as a Regularizer Can Surprisingly Improve Accuracy and Out Distribution
       Robustness", NeurIPS 2022, https://arxiv.org/abs/2206.14502

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.model_selection import train_test_split
    >>> from skmix import MixupRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    >>> reg = MixupRegressor(random_state=0).fit(X_train, y_train)
    >>> reg.predict(X_test).shape
    (111,)
    """

    _mixes_in_doubt = False

    def __init__(
        self,
        estimator: NeuralNet | None = None,
        *,
        alpha: float | Callable[..., Any] | Literal["auto"] = "auto",
        lam_per: Literal["batch", "row"] = "batch",
        mixing: str | Callable[..., Any] | object = "mixup",
        pairing: str | Callable[..., Any] | object = "shuffle",
        layers: str | list[str] = "auto",
        clean_weight: float = 0.0,
        categorical_features: Literal["from_dtype"]
        | Sequence[Any]
        | None = "from_dtype",
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ):
        self.estimator = estimator
        self.alpha = alpha
        self.lam_per = lam_per
        self.mixing = mixing
        self.pairing = pairing
        self.layers = layers
        self.clean_weight = clean_weight
        self.categorical_features = categorical_features
        self.random_state = random_state
        self.verbose = verbose

    @all_or_nothing
    def partial_fit(
        self, X: Any, y: Any, sample_weight: Any = None, *, groups: Any = None
    ) -> Self:
        """Train for one more epoch, on these rows.

        The first call fixes columns and scaling, so let it have rows that stand for
        the others; the default net does not stop by itself. Call it on a fitted
        estimator to train it further. Parameters that have changed since count, where
        they can be set on a trained net (``lr``, the optimizer, the criterion, batches,
        callbacks), except ``max_epochs``. Others are refused.

        Parameters
        ----------
        X, y : as in `fit`
            Training rows. A user-supplied net still holds out rows by its
            ``train_split``; with ``train_split=None`` it trains on all of them.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights, relative to the rows of the same call.
        groups : array-like of shape (n_samples,), default=None
            As in `fit`.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError, TypeError
            As in `fit`.
        """
        return self._partial_fit(X, y, sample_weight, groups)
