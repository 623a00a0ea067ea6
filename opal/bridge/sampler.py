"""Synthetic rows and texts as an over-sampler of imbalanced-learn.

``OpalSampler`` fills classes up and adds N more to each (:mod:`opal.objective`), for tables and for
texts. It follows imbalanced-learn's contract, works in its pipelines, and takes synthetic samples
from a synthesizer that it fits, from a pool that was bought before, or from a language model.
"""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd

from opal.bridge import supply
from opal.bridge.supply import Asked, Made, Shortage
from opal.objective import Design, Weighting
from opal.synthesis.resample import Duplication
from opal.synthesis.synthesizer import Synthesizer

try:
    from imblearn.over_sampling.base import BaseOverSampler
    from imblearn.utils import check_sampling_strategy, check_target_type
    from imblearn.utils._validation import ArraysTransformer
except ImportError as error:
    raise ImportError(
        "OpalSampler needs imbalanced-learn; install the extra: "
        "pip install 'opal-scaling[tabular]'."
    ) from error
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length

KINDS = ("real", "oversampled", "augmented")


class OpalSampler(BaseOverSampler):
    """Over-sampling and augmentation of arXiv 2406.03628.

    X is a table of numbers (array, list of lists, DataFrame; sparse ones are refused) or texts (a
    list, array or Series of strings). The real rows come first, then those that fill the classes
    up, then the N of each class.

    Args:
        source: who makes synthetic samples: an object of :mod:`opal.synthesis` such as
            ``Smote(5)`` or ``GaussianFit(0.1)`` (tables), ``Duplication()`` (the default), a
            DataFrame of bought samples, or :class:`opal.bridge.supply.Asked`. A DataFrame has the
            features and the label of a table, or is a table of texts
            (:mod:`opal.bridge.text.corpus`); where it has a column ``seeds``, samples are used only
            if all the rows they were made from are in X: in cross-validation none comes from a
            held-out row.
        sampling_strategy: which classes are filled up, and how far, as in imbalanced-learn.
        n_augmented: N, samples added to every class beyond that.
        alpha: α, the weight of these N.
        weighting: ``"opal"``, the objective of :mod:`opal.objective`; ``"group"`` fills no class up
            and gives the real rows of every class the same weight.
        shortage: ``"raise"`` if a pool holds too few; ``"fewer"`` takes what there is, and as many
            of each class for the N.
        target: the pool's label column, for tables; the name of y by default, or ``label``.
        return_weights: whether ``fit_resample`` returns the weights as a third value. A pipeline
            takes two.
        random_state: of the draws.

    Attributes:
        sampling_strategy_: samples that fill each class up.
        sample_weight_: of each returned row, of mean one [n]: pass it to a classifier's ``fit``.
            Without it all rows weigh the same, whatever ``alpha``.
        lineage_: a row for each returned row: ``kind`` (real, oversampled or augmented), ``source``
            (who made it), ``seeds`` (ids of what it was made from) and ``row`` (the row of X that
            it is, −1 if it is none).

    >>> import numpy as np
    >>> x, y = np.array([[0.0], [1.0], [2.0], [9.0]]), np.array([0, 0, 0, 1])
    >>> sampler = OpalSampler(n_augmented=1, alpha=0.5)
    >>> sampler.fit_resample(x, y)[1]
    array([0, 0, 0, 1, 1, 1, 0, 1])
    >>> sampler.sample_weight_.round(2)
    array([0.67, 0.67, 0.67, 0.67, 0.67, 0.67, 2.  , 2.  ])
    """

    _parameter_constraints: dict[str, list[Any]] = {  # noqa: RUF012 (scikit-learn's own name)
        **BaseOverSampler._parameter_constraints,
        "source": [HasMethods(["fit", "population"]), pd.DataFrame, Asked, None],
        "n_augmented": [Interval(Integral, 0, None, closed="left")],
        "alpha": [Interval(Real, 0, 1, closed="both")],
        "weighting": [StrOptions({"opal", "group"})],
        "shortage": [StrOptions({"raise", "fewer"})],
        "target": [str, None],
        "return_weights": ["boolean"],
    }

    def __init__(
        self,
        source: Synthesizer | pd.DataFrame | Asked | None = None,
        *,
        sampling_strategy: Any = "auto",
        n_augmented: int = 0,
        alpha: float = 0.0,
        weighting: Weighting = "opal",
        shortage: Shortage = "raise",
        target: str | None = None,
        return_weights: bool = False,
        random_state: Any = None,
    ) -> None:
        super().__init__(sampling_strategy=sampling_strategy)
        self.source = source
        self.n_augmented = n_augmented
        self.alpha = alpha
        self.weighting = weighting
        self.shortage = shortage
        self.target = target
        self.return_weights = return_weights
        self.random_state = random_state

    def fit(self, X: Any, y: Any, **params: Any) -> OpalSampler:
        """Check the data and settle how many samples are made; use :meth:`fit_resample`."""
        if not _are_texts(X):
            return super().fit(X, y, **params)
        self._validate_params()
        self._check_texts(X, y)
        return self

    def fit_resample(self, X: Any, y: Any, **params: Any) -> tuple[Any, ...]:
        """The real and the synthetic rows, in the types that were given.

        Returns:
            X, y, and the weights if ``return_weights``.

        Raises:
            ValueError: the data, the parameters or the source break a rule.
            TypeError: X is sparse.
        """
        if not _are_texts(X):
            name = getattr(y, "name", None)
            about = {"whole": _whole(X), "target": self.target or str(name or "label")}
            return super().fit_resample(X, y, **about, **params)
        self._validate_params()
        text, label = self._check_texts(X, y)
        found = self._resampled(text, label, (), "label")
        X_, y_ = ArraysTransformer(X, y).transform(*found[:2])
        return (X_, y_, *found[2:])

    def _check_texts(self, X: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
        check_consistent_length(X, y)
        check_classification_targets(y)
        label, _ = check_target_type(y, indicate_one_vs_all=True)
        text = np.empty(len(X), dtype=object)
        text[:] = list(X)
        wrong = [k for k, each in enumerate(text) if not isinstance(each, str) or not each.strip()]
        if wrong:
            raise ValueError(
                f"every text must be a string that is not empty; got {text[wrong[0]]!r} in row "
                f"{wrong[0]}: drop it, or give the text."
            )
        self.sampling_strategy_ = check_sampling_strategy(
            self.sampling_strategy, label, self._sampling_type
        )
        return text, label

    def _check_X_y(self, X: Any, y: Any, accept_sparse: Any = False) -> Any:  # noqa: N802
        return super()._check_X_y(X, y, accept_sparse=accept_sparse)

    def _fit_resample(
        self, X: np.ndarray, y: np.ndarray, *, whole: np.ndarray, target: str
    ) -> tuple[Any, ...]:
        names = getattr(self, "feature_names_in_", None)
        columns = [f"x{k + 1}" for k in range(X.shape[1])] if names is None else names
        found = self._resampled(X, y, tuple(map(str, columns)), target)
        made = found[0]
        made[len(X) :, whole] = np.rint(made[len(X) :, whole])
        return (made.astype(X.dtype), *found[1:])

    def _resampled(
        self, x: np.ndarray, y: np.ndarray, columns: tuple[str, ...], target: str
    ) -> tuple[Any, ...]:
        classes, label = np.unique(y, return_inverse=True)
        real = supply.Real(x, label, tuple(classes.tolist()), columns, target)
        filled = [int(self.sampling_strategy_.get(name, 0)) for name in classes]
        if self.weighting == "group":
            filled = [0] * len(classes)
        source = Duplication() if self.source is None else self.source
        wanted = [m + self.n_augmented for m in filled]
        _design(self, real, filled, self.n_augmented)
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        made = supply.make(source, real, wanted, seed)
        filled, n_augmented = self._held(real, made, filled)
        parts = _parts(made, filled, n_augmented)
        design = _design(self, real, filled, n_augmented)
        self.sample_weight_ = _weights(design, label, filled, n_augmented)
        self.lineage_ = _lineage(real, parts)
        x_ = np.concatenate([x, *(each.x for _, _, each in parts)])
        y_ = np.concatenate([y, *(np.full(len(m.x), classes[k]) for _, k, m in parts)])
        return (x_, y_, self.sample_weight_) if self.return_weights else (x_, y_)

    def _held(
        self, real: supply.Real, made: Sequence[Made], filled: Sequence[int]
    ) -> tuple[list[int], int]:
        """How many of each class there are to fill up with, and N: perhaps fewer of a pool."""
        short = [
            (name, m + self.n_augmented, len(each.x))
            for name, m, each in zip(real.classes, filled, made, strict=True)
            if len(each.x) < m + self.n_augmented
        ]
        if short and self.shortage == "raise":
            name, wanted, held = short[0]
            raise ValueError(
                f"the pool must hold {wanted} samples of class {name!r}; it holds {held} whose "
                "seeds are all in X. Buy more, ask for fewer, or set shortage='fewer'."
            )
        there = [min(m, len(each.x)) for m, each in zip(filled, made, strict=True)]
        left = [len(each.x) - m for m, each in zip(there, made, strict=True)]
        return there, min(self.n_augmented, *left)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = False
        return tags


def _design(
    sampler: OpalSampler, real: supply.Real, filled: Sequence[int], n_augmented: int
) -> Design:
    """What the objective says of these counts."""
    # Whoever made the rows, a design needs a maker where there are some.
    maker = Duplication() if any(filled) or n_augmented else None
    return Design(
        real.counts,
        maker,
        n_augmented,
        sampler.alpha,
        oversample=tuple(filled) if maker else "balance",
        weighting=sampler.weighting,
    )


def _parts(
    made: Sequence[Made], filled: Sequence[int], n_augmented: int
) -> list[tuple[str, int, Made]]:
    """Kind, class and samples, in the order in which they are returned."""
    first = [(KINDS[1], k, each.part(0, filled[k])) for k, each in enumerate(made)]
    rest = [
        (KINDS[2], k, each.part(filled[k], filled[k] + n_augmented)) for k, each in enumerate(made)
    ]
    return first + rest


def _weights(
    design: Design, label: np.ndarray, filled: Sequence[int], n_augmented: int
) -> np.ndarray:
    real, oversampled, augmented = design.row_weights()
    parts = [np.asarray(real)[label], np.repeat(oversampled, filled)]
    weights = np.concatenate([*parts, np.repeat(augmented, n_augmented)])
    return weights * len(weights)


def _lineage(real: supply.Real, parts: Sequence[tuple[str, int, Made]]) -> pd.DataFrame:
    rows: list[tuple[Any, ...]] = [(KINDS[0], KINDS[0], (), k) for k in range(len(real.label))]
    for kind, _, each in parts:
        rows += zip([kind] * len(each.x), each.writer, each.seeds, each.row.tolist(), strict=True)
    return pd.DataFrame(rows, columns=["kind", "source", "seeds", "row"])


def _are_texts(X: Any) -> bool:
    """Whether X is a sequence of strings; of its elements one at least is."""
    if isinstance(X, np.ndarray | pd.Series):
        return X.ndim == 1 and any(isinstance(each, str) for each in X)
    return isinstance(X, list | tuple) and any(isinstance(each, str) for each in X)


def _whole(X: Any) -> np.ndarray:
    """Which columns of a table hold whole numbers by their type."""
    if isinstance(X, pd.DataFrame):
        return np.array([each.kind in "iu" for each in X.dtypes], dtype=bool)
    array = np.asarray(X)
    return np.full(array.shape[1] if array.ndim == 2 else 0, array.dtype.kind in "iu")
