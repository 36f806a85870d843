"""The door: `MixupClassifier` and `MixupRegressor`, what they take and give.

What they share, from a table to a fitted net and to its outputs, is in `skmix._base`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, Self

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted
from skorch import NeuralNet, NeuralNetBinaryClassifier

from skmix._base import MixupEstimator
from skmix._default_net import wants_scaled
from skmix._targets import ClassCodec, NumberCodec


class MixupClassifier(ClassifierMixin, MixupEstimator):
    """Classifier that trains a skorch net on mixed rows and labels.

    Each row of a batch is paired with another one, and the net is trained on
    ``lam * x_i + (1 - lam) * x_j`` with the loss of both labels, weighted alike;
    ``lam ~ Beta(alpha, alpha)`` [1]_. It predicts like any classifier.

    Parameters
    ----------
    estimator : skorch.NeuralNetClassifier, skorch.NeuralNetBinaryClassifier or \
            similar, default=None
        The unfitted net. It is cloned, never touched (so that its ``warm_start`` has
        no effect: see `partial_fit`). It gets one array of the columns: numbers as
        they are, missing ones replaced by the median, an indicator of those, and
        categories one-hot. If its module is a class whose ``forward`` names ``x_num``
        and ``x_cat``, it gets a dict of numbers, and of categories as codes. Sizes that
        the module's signature has and that are not given are filled in:
        ``module__d_in`` and ``module__d_out``, ``module__n_num_features`` and
        ``module__cat_cardinalities``.
        So is ``iterator_train__shuffle=True`` where the rows' order is not given; a
        batch size that would leave a last batch of one row is raised. None stands for
        ``skmix.default_net("classifier")``, which scales its columns; nested parameters
        (``estimator__lr``, or a search over ``estimator__max_epochs``) need a net, so
        pass that.
    alpha : float or callable, default=0.2
        How strongly rows are mixed: 0 not at all, 1 with `lam` uniform, more with
        `lam` ever closer to one half. A function of the number of the epoch, 1 for the
        first one, changes it in training; `skmix.schedules.Schedule` is one that warms
        up, and ends.
    lam_per : {"batch", "row"}, default="batch"
        Whether one `lam` is drawn for a whole batch, as in [1]_, or one for each
        row. The latter needs a criterion with a ``reduction``.
    mixing : {"mixup", "cutmix"}, callable or object, default="mixup"
        How two rows become one: their weighted mean, or the one with columns of the
        other, whole, labels being weighed by the share of columns [3]_. `skmix.mixing`
        has others, to be used as ``mixing=skmix.mixing.OwnMajor()``, and says what a
        function ``f(x, x_partner, lam, y, y_partner, rng)`` of your own is given and
        returns.
    pairing : {"shuffle", "same_class", "other_class", "nearest", "lisa"}, callable \
            or object, default="shuffle"
        Who is mixed with whom. "shuffle" is a random other row of the batch; where rows
        are weighted, a row of the training table, drawn in proportion to its weight.
        All others are drawn from the training rows: of the own class, of another one,
        among the ten nearest rows, or of the same label or group but not both, which
        needs `groups` in `fit`. `skmix.pairing` has these with their parameters, as
        ``pairing=skmix.pairing.Nearest(k=5)``, and says what a function
        ``f(rows, X, y, weight, rng)`` of your own is given and returns.
    layers : str or list of str, default="auto"
        Where rows are mixed: at the "input", or behind a submodule, by its name. Of
        several, one is drawn for each batch [2]_. "embedding" of the default net is
        where its numbers are embedded; categories are mixed linearly at both. "auto" is
        "input".
    clean_weight : float, default=0.0
        Weight of the loss of the batch as it is, which is added to that of the mixed
        one [4]_. Above 0 a step takes up to twice the time.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes, as ``{label: weight}``, multiplied into
        ``sample_weight``, with the same needs. Rows of a class of weight 0 are left
        out, the class stays among ``classes_``.
    categorical_features : "from_dtype", array-like of str, int or bool, or None, \
            default="from_dtype"
        Which columns hold categories: those of a category dtype, and of strings that
        are no numbers (docs/tables.md has the rules); or names, positions or a mask of
        columns; all others hold numbers, and with None all do.
        A tuple among them, as in ``["city", ("red", "blue")]``, names columns that are
        the one-hot columns of one category: they are mixed and swapped together.
        The 50 most frequent levels of a column count, a missing value being one of
        them; rarer ones, and those not seen in training, are none of these.
    random_state : int, RandomState instance or None, default=None
        Seeds initialisation, batches, dropout, and all that mixing draws: partners,
        `lam`, masks, noise, layers.
    verbose : {0, 1}, default=0
        1 prints one line per epoch, as skorch does; it replaces the net's own
        ``verbose``.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
    estimator_ : skorch.NeuralNet
        The fitted net, a plain skorch net. It is trained on class indices. One of the
        default kind is calibrated by the rows that it was validated on.
    history_ : skorch.history.History
        Its history. ``train_loss`` is the loss that training minimises, of mixed rows
        and, with `clean_weight`, of clean ones beside them; ``valid_loss`` is of clean
        rows; ``lam_mean`` is the mean `lam` that was drawn in an epoch, one half in
        expectation whatever `alpha`, and 1 where nothing is mixed. Where the default
        net held out rows, it is that of the fit by which the number of epochs was
        found.
    n_iter_ : int
        Epochs that the net was trained for.
    encoder_ : object
        What makes of a table what the net gets, by its ``transform``, with the names
        of its ``get_feature_names_out``: a `skmix.preprocessing.TableEncoder`, or for
        sparse columns a ``StandardScaler``. Not there where a net of one's own is given
        nothing but numbers, none of them missing.
    n_features_in_ : int
        Number of columns seen in `fit`; not with a dict.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Their names, if `X` has string names for all of them.

    See Also
    --------
    MixupRegressor : The same for numbers.
    skmix.default_net : The net behind ``estimator=None``.

    Notes
    -----
    For a net trained with cross-entropy the loss is that of the mixed one-hot
    labels of [1]_. With class weights in the criterion, the loss of a batch is
    divided by the sum of ``lam * c[y_i] + (1 - lam) * c[y_j]``.

    With ``lam_per="row"`` or row weights, a ``get_loss`` of the net's own is asked for
    one loss a row; what it adds for the batch as a whole (a penalty) is added to each.

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
    """

    _task = "Classifier"

    def __init__(
        self,
        estimator: NeuralNet | None = None,
        *,
        alpha: float | Callable = 0.2,
        lam_per: Literal["batch", "row"] = "batch",
        mixing: str | Callable | object = "mixup",
        pairing: str | Callable | object = "shuffle",
        layers: str | list[str] = "auto",
        clean_weight: float = 0.0,
        class_weight: Mapping | Literal["balanced"] | None = None,
        categorical_features: Literal["from_dtype"] | Sequence | None = "from_dtype",
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
        self.categorical_features = categorical_features
        self.random_state = random_state
        self.verbose = verbose

    @property
    def classes_(self) -> np.ndarray:
        """The labels, sorted; of shape (n_classes,)."""
        check_is_fitted(self, "_codec")
        return self._codec.classes

    def partial_fit(
        self, X, y, classes=None, sample_weight=None, *, groups=None
    ) -> Self:
        """Train for one more epoch, on these rows.

        The first call fixes classes, columns and scaling, so let it have rows that
        stand for the others; the default net does not stop by itself. Call it on a
        fitted estimator to train it further. Parameters that have changed since count,
        where they can be set on a trained net (``lr``, the optimizer, the criterion,
        batches, callbacks); but for ``max_epochs``. Others are refused.

        Parameters
        ----------
        X, y
            As in `fit`. A user's net goes on holding out rows by its own
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
        if self.class_weight == "balanced":
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

    def predict_proba(self, X) -> np.ndarray:
        """Predict the probability of each class.

        Parameters
        ----------
        X : {array-like, CSR matrix or array} of shape (n_samples, n_features), \
                or dict of arrays
            Rows with the columns of `fit`, in the same order.

        Returns
        -------
        proba : ndarray of shape (n_samples, n_classes), float64
            Columns ordered as ``classes_``; rows sum to 1.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If the columns are not those of `fit`, or the net's outputs are not
            finite (training has diverged).
        """
        return self._predicted(X)

    def predict_log_proba(self, X) -> np.ndarray:
        """Predict the logarithm of the probability of each class.

        Parameters
        ----------
        X : {array-like, CSR matrix or array} of shape (n_samples, n_features), \
                or dict of arrays
            Rows with the columns of `fit`, in the same order.

        Returns
        -------
        log_proba : ndarray of shape (n_samples, n_classes), float64
            Columns ordered as ``classes_``.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If the columns are not those of `fit`, or the net's outputs are not
            finite (training has diverged).
        """
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def predict(self, X) -> np.ndarray:
        """Predict the label of each row.

        Parameters
        ----------
        X : {array-like, CSR matrix or array} of shape (n_samples, n_features), \
                or dict of arrays
            Rows with the columns of `fit`, in the same order.

        Returns
        -------
        y_pred : ndarray of shape (n_samples,)
            The most probable label; with a ``NeuralNetBinaryClassifier``, the
            second one where its probability exceeds the net's ``threshold``.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If the columns are not those of `fit`, or the net's outputs are not
            finite (training has diverged).
        """
        proba = self.predict_proba(X)
        if self._codec.binary:
            return self.classes_[(proba[:, 1] > self.estimator_.threshold).astype(int)]
        return self.classes_[proba.argmax(axis=1)]

    def _code(self, net, targets, weight, name, classes=None):
        return ClassCodec.learn(
            targets,
            binary=isinstance(net, NeuralNetBinaryClassifier),
            class_weight=self.class_weight,
            weight=weight,
            name=name,
            classes=classes,
        )

    def _recoded(self):
        return self._code(self.estimator_, self._codec.classes, None, "classes")

    @staticmethod
    def _forward(net, X):
        return net.predict_proba(X)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        binary = isinstance(self.estimator, NeuralNetBinaryClassifier)
        tags.classifier_tags.multi_class = not binary
        return tags


class MixupRegressor(RegressorMixin, MixupEstimator):
    """Regressor that trains a skorch net on mixed rows and targets.

    Each row of a batch is paired with another one, and the net is trained on
    ``lam * x_i + (1 - lam) * x_j`` with the loss of both targets, weighted alike;
    ``lam ~ Beta(alpha, alpha)`` [1]_. It predicts like any regressor.

    Parameters
    ----------
    estimator : skorch.NeuralNetRegressor or similar, default=None
        The unfitted net. It is cloned, never touched (so that its ``warm_start`` has
        no effect: see `partial_fit`). It gets one array of the columns: numbers as
        they are, missing ones replaced by the median, an indicator of those, and
        categories one-hot. If its module is a class whose ``forward`` names ``x_num``
        and ``x_cat``, it gets a dict of numbers, and of categories as codes. Sizes that
        the module's signature has and that are not given are filled in:
        ``module__d_in`` and ``module__d_out``, ``module__n_num_features`` and
        ``module__cat_cardinalities``.
        So is ``iterator_train__shuffle=True`` where the rows' order is not given; a
        batch size that would leave a last batch of one row is raised. None stands for
        ``skmix.default_net("regressor")``, which scales its columns, and the target;
        nested parameters (``estimator__lr``, or a search over
        ``estimator__max_epochs``) need a net, so pass that.
    alpha : float or callable, default=0.2
        How strongly rows are mixed: 0 not at all, 1 with `lam` uniform, more with
        `lam` ever closer to one half. On the tables that the default was measured
        on, it won as often as it lost: compare with ``alpha=0``. A function of the
        number of the epoch, 1 for the first one, changes it in training;
        `skmix.schedules.Schedule` is one that warms up, and ends.
    lam_per : {"batch", "row"}, default="batch"
        Whether one `lam` is drawn for a whole batch, as in [1]_, or one for each
        row. The latter needs a criterion with a ``reduction``.
    mixing : {"mixup", "cutmix"}, callable or object, default="mixup"
        How two rows become one: their weighted mean, or the one with columns of the
        other, whole, labels being weighed by the share of columns [3]_. `skmix.mixing`
        has others, to be used as ``mixing=skmix.mixing.OwnMajor()``, and says what a
        function ``f(x, x_partner, lam, y, y_partner, rng)`` of your own is given and
        returns.
    pairing : {"shuffle", "nearest", "similar_target"}, callable or object, \
            default="shuffle"
        Who is mixed with whom. "shuffle" is a random other row of the batch; where rows
        are weighted, a row of the training table, drawn in proportion to its weight.
        All others are drawn from the training rows: among the ten nearest rows, or
        such with similar targets (C-Mixup [4]_). `skmix.pairing` has these with their
        parameters, as ``pairing=skmix.pairing.Nearest(k=5)``, and says what a function
        ``f(rows, X, y, weight, rng)`` of your own is given and returns.
    layers : str or list of str, default="auto"
        Where rows are mixed: at the "input", or behind a submodule, by its name. Of
        several, one is drawn for each batch [2]_. "auto" is "embedding" for a net of
        the default kind, where its numbers are embedded, if rows are interpolated
        there, and "input" else; categories are mixed linearly at both.
    clean_weight : float, default=0.0
        Weight of the loss of the batch as it is, which is added to that of the mixed
        one [5]_. Above 0 a step takes up to twice the time.
    categorical_features : "from_dtype", array-like of str, int or bool, or None, \
            default="from_dtype"
        Which columns hold categories: those of a category dtype, and of strings that
        are no numbers (docs/tables.md has the rules); or names, positions or a mask of
        columns; all others hold numbers, and with None all do.
        A tuple among them, as in ``["city", ("red", "blue")]``, names columns that are
        the one-hot columns of one category: they are mixed and swapped together.
        The 50 most frequent levels of a column count, a missing value being one of
        them; rarer ones, and those not seen in training, are none of these.
    random_state : int, RandomState instance or None, default=None
        Seeds initialisation, batches, dropout, and all that mixing draws: partners,
        `lam`, masks, noise, layers.
    verbose : {0, 1}, default=0
        1 prints one line per epoch, as skorch does; it replaces the net's own
        ``verbose``.

    Attributes
    ----------
    estimator_ : skorch.NeuralNet
        The fitted net, a plain skorch net. One of the default kind is trained on
        targets of mean 0 and variance 1.
    history_ : skorch.history.History
        Its history. ``train_loss`` is the loss that training minimises, of mixed rows
        and, with `clean_weight`, of clean ones beside them; ``valid_loss`` is of clean
        rows; ``lam_mean`` is the mean `lam` that was drawn in an epoch, one half in
        expectation whatever `alpha`, and 1 where nothing is mixed. Where the default
        net held out rows, it is that of the fit by which the number of epochs was
        found.
    n_iter_ : int
        Epochs that the net was trained for.
    encoder_ : object
        What makes of a table what the net gets, by its ``transform``, with the names
        of its ``get_feature_names_out``: a `skmix.preprocessing.TableEncoder`, or for
        sparse columns a ``StandardScaler``. Not there where a net of one's own is given
        nothing but numbers, none of them missing.
    n_features_in_ : int
        Number of columns seen in `fit`; not with a dict.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Their names, if `X` has string names for all of them.

    See Also
    --------
    MixupClassifier : The same for labels.
    skmix.default_net : The net behind ``estimator=None``.

    Notes
    -----
    For the squared error, mixing the losses has exactly the gradient of the loss of the
    mixed target. For the absolute, Huber and pinball losses it has not: their minimum
    is not at the target in between but, for the absolute error, at the target of the
    larger weight, and for a quantile at the one that this weight reaches; far from both
    targets the gradients agree. So with these losses mixing makes the net less smooth
    in between than it would be by the mixed target.

    The net's own callbacks see targets of shape (n_samples,), also where its module
    puts out columns.

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

    _task = "Regressor"

    def __init__(
        self,
        estimator: NeuralNet | None = None,
        *,
        alpha: float | Callable = 0.2,
        lam_per: Literal["batch", "row"] = "batch",
        mixing: str | Callable | object = "mixup",
        pairing: str | Callable | object = "shuffle",
        layers: str | list[str] = "auto",
        clean_weight: float = 0.0,
        categorical_features: Literal["from_dtype"] | Sequence | None = "from_dtype",
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

    def partial_fit(self, X, y, sample_weight=None, *, groups=None) -> Self:
        """Train for one more epoch, on these rows.

        The first call fixes columns and scaling, so let it have rows that stand for
        the others; the default net does not stop by itself. Call it on a fitted
        estimator to train it further. Parameters that have changed since count, where
        they can be set on a trained net (``lr``, the optimizer, the criterion, batches,
        callbacks); but for ``max_epochs``. Others are refused.

        Parameters
        ----------
        X, y
            As in `fit`. A user's net goes on holding out rows by its own
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
        ValueError, TypeError, RuntimeError
            As in `fit`.
        """
        return self._partial_fit(X, y, sample_weight, groups)

    def predict(self, X) -> np.ndarray:
        """Predict the target of each row.

        Parameters
        ----------
        X : {array-like, CSR matrix or array} of shape (n_samples, n_features), \
                or dict of arrays
            Rows with the columns of `fit`, in the same order.

        Returns
        -------
        y_pred : ndarray of shape (n_samples,), float64

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If the columns are not those of `fit`, or the net's outputs are not
            finite (training has diverged).
        """
        return self._predicted(X)

    def _code(self, net, y, weight, name, classes=None):
        # A user's net is trained on the numbers as they are.
        return NumberCodec.learn(y, weight) if wants_scaled(net) else NumberCodec()

    @staticmethod
    def _forward(net, X):
        return net.predict(X)
