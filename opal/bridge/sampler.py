"""Synthetic rows and texts as an over-sampler of imbalanced-learn.

``OpalSampler`` fills classes up and adds N more to each (:mod:`opal.objective`), for tables and for
texts. It follows imbalanced-learn's contract, works in its pipelines, and takes synthetic samples
from a synthesizer that it fits, from a pool that was bought before, or from a language model.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd

from opal import memory
from opal.bridge import supply
from opal.bridge.features import (
    TypedTable,
    are_texts,
    check_shape,
    check_texts,
    indexable,
    joined,
    rows_of,
)
from opal.bridge.supply import Asked, Made, Shortage
from opal.bridge.target import as_labels, name_of
from opal.objective import Design, Weighting
from opal.synthesis.resample import Duplication
from opal.synthesis.synthesizer import Synthesizer

try:
    from imblearn.over_sampling.base import BaseOverSampler
    from imblearn.utils import check_sampling_strategy, check_target_type
except ImportError as error:
    raise ImportError(
        "OpalSampler needs imbalanced-learn; install the extra: "
        "pip install 'opal-scaling[tabular]'."
    ) from error
from sklearn.utils import check_array, check_random_state
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, validate_data

KINDS = ("real", "oversampled", "augmented")
_TOLD = 8  # labels of a pool that a message names
_NEAR = 8  # callers among which a pipeline is looked for, its cache and subclasses included


class OpalSampler(BaseOverSampler):
    """Over-sampling and augmentation of arXiv 2406.03628.

    X is a table (array, list of lists, DataFrame; scipy's sparse ones are refused) or texts (a
    list, array or Series of strings). The real rows come first, as they are, then those that fill
    the classes up, then the N of each class. Copies and a pool's rows may hold anything; all else
    needs columns of finite numbers, and makes rows of their types (:mod:`opal.bridge.features`):
    whole numbers are rounded, ends of a type cut numbers off, and of truth values as many are true
    as in the class.

    A pipeline of imbalanced-learn hands rows on without their weights, and so ``alpha`` would have
    no effect in it: there the sampler warns. :class:`opal.bridge.classifier.OpalClassifier` weights
    a classifier's rows, in pipelines, cross-validation and grid search alike.

    Args:
        source: who makes synthetic samples: an object of :mod:`opal.synthesis` such as
            ``Smote(5)`` or ``GaussianFit(0.1)`` (tables), ``Duplication()`` (the default), a
            DataFrame of bought samples, or :class:`opal.bridge.supply.Asked`. A DataFrame has the
            features and the label of a table, by their names, or is a table of texts
            (:mod:`opal.bridge.text.corpus`); labels are equal as Python's values are, and as words
            that spell numbers; where it has a column ``seeds``, samples are used only
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
        random_state: of the draws: None, an integer or a ``RandomState``.

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
        "random_state": ["random_state"],
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

    def fit(self, X: Any, y: Any) -> OpalSampler:
        """Check the data and settle how many samples are made; use :meth:`fit_resample`."""
        self._validate_params()
        self._checked(X, y)
        return self

    def fit_resample(self, X: Any, y: Any) -> tuple[Any, ...]:
        """The real and the synthetic rows, in the types that were given.

        Returns:
            X, y, and the weights if ``return_weights``.

        Raises:
            ValueError: the data, the parameters or the source break a rule.
            TypeError: X is sparse.

        Warns:
            UserWarning: rows weigh differently, and a pipeline would drop their weights.
        """
        self._validate_params()
        _refuse_third_value(self.return_weights)
        return self._fit_resample(indexable(X, 2), indexable(y, 1))

    def _checked(self, X: Any, y: Any) -> tuple[TypedTable | None, np.ndarray]:
        """The features, none of texts, and the label of each row [n]."""
        label = as_labels(y)
        check_classification_targets(label)
        label = check_target_type(label)
        features = None if are_texts(X) else self._checked_table(X, label)
        check_consistent_length(X, label)
        if features is None:
            check_texts(X)
        self.sampling_strategy_ = check_sampling_strategy(
            self.sampling_strategy, label, self._sampling_type
        )
        for name, n in self.sampling_strategy_.items():
            if not isinstance(n, Integral):
                raise ValueError(
                    "sampling_strategy must ask for a whole number of rows of each class; of "
                    f"class {name!r} it asks for {n} more than there are. Give a whole number."
                )
        return features, label

    def _validate_params(self) -> None:
        super()._validate_params()
        if isinstance(self.source, type):
            raise ValueError(
                "source must be an object such as Duplication() or Smote(5); got the class "
                f"{self.source.__name__}. Call it."
            )

    def _checked_table(self, X: Any, label: np.ndarray) -> TypedTable:
        """The table, which may hold anything: what makes the rows says what it needs of them."""
        if not isinstance(X, pd.DataFrame):
            check_array(X, dtype=None, ensure_all_finite=False, estimator=self, input_name="X")
        else:
            check_shape(X)
        validate_data(self, X=X, y=label, reset=True, skip_check_array=True)
        return TypedTable.of(X)

    def _fit_resample(self, X: Any, y: Any) -> tuple[Any, ...]:
        features, label = self._checked(X, y)
        classes, code = np.unique(label, return_inverse=True)
        source = Duplication() if self.source is None else self.source
        real = self._real(X, y, features, code, tuple(classes.tolist()), source)
        filled = [int(self.sampling_strategy_.get(name, 0)) for name in classes]
        if self.weighting == "group":
            filled = [0] * len(classes)
        wanted = [m + self.n_augmented for m in filled]
        _design(self, real, filled, self.n_augmented)
        _require_memory(real, wanted)
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        made = supply.make(source, real, wanted, seed)
        filled, n_augmented = self._held(real, made, filled)
        parts = _parts(made, filled, n_augmented)
        design = _design(self, real, filled, n_augmented)
        self.sample_weight_ = _weights(design, code, filled, n_augmented)
        self.lineage_ = _lineage(real, parts)
        self._warn_of_lost_weights()
        random = np.random.default_rng(seed)
        tables = [_table(X, features, source, real, k, each, random) for _, k, each in parts]
        first = [int((code == k).argmax()) for _, k, each in parts for _ in each.writer]
        y_ = joined([y, rows_of(y, np.array(first, dtype=int))])
        found = joined([X, *tables]), y_
        return (*found, self.sample_weight_) if self.return_weights else found

    def _real(
        self,
        X: Any,
        y: Any,
        features: TypedTable | None,
        code: np.ndarray,
        classes: tuple[object, ...],
        source: Any,
    ) -> supply.Real:
        """The data as a source reads them."""
        if features is None:
            text = np.empty(len(X), dtype=object)
            text[:] = list(X)
            return supply.Real(text, code, classes)
        if isinstance(source, Duplication | pd.DataFrame):
            x = features.values()
        else:
            x = features.numbers("a model" if isinstance(source, Asked) else source.name)
        target = self.target or name_of(y)
        return supply.Real(x, code, classes, features.names, target)

    def _warn_of_lost_weights(self) -> None:
        weights = self.sample_weight_
        if self.return_weights or np.ptp(weights) <= 1e-9 or not _called_by_a_pipeline():
            return
        warnings.warn(
            f"rows weigh between {weights.min():.3g} and {weights.max():.3g}, and a pipeline hands "
            f"them on without weights, so that alpha={self.alpha} and weighting="
            f"{self.weighting!r} have no effect. End the pipeline with OpalClassifier(classifier, "
            "sampler) of opal.bridge.classifier instead: it weights them.",
            UserWarning,
            stacklevel=2,
        )

    def _labels_of_pool(self, real: supply.Real) -> str:
        """The labels that the pool has, for a class of which it has none."""
        if not isinstance(self.source, pd.DataFrame):
            return ""
        labels = self.source["label" if real.are_texts else real.target].unique()[:_TOLD]
        return f"The pool's labels are {', '.join(map(repr, labels))}. "

    def _held(
        self, real: supply.Real, made: Sequence[Made], filled: Sequence[int]
    ) -> tuple[list[int], int]:
        """How many of each class there are to fill up with, and N: perhaps fewer of a pool."""
        short = [
            (name, m, len(each.writer))
            for name, m, each in zip(real.classes, filled, made, strict=True)
            if len(each.writer) < m + self.n_augmented
        ]
        if short and self.shortage == "raise":
            name, m, held = short[0]
            named = "" if held else self._labels_of_pool(real)
            raise ValueError(
                f"the pool must hold {m + self.n_augmented} samples of class {name!r}; it holds "
                f"{held} whose seeds are all in X, and {m} alone fill the class up to the others. "
                f"{named}Buy more, ask for fewer (sampling_strategy, n_augmented), or set "
                "shortage='fewer'."
            )
        there = [min(m, len(each.writer)) for m, each in zip(filled, made, strict=True)]
        left = [len(each.writer) - m for m, each in zip(there, made, strict=True)]
        if self.alpha > 0 and self.n_augmented and not min(left):
            name = real.classes[left.index(0)]
            raise ValueError(
                f"alpha = {self.alpha} weights samples beyond those that fill classes up, as many "
                f"of each; the pool has none left of class {name!r}. Buy more of it, set alpha=0, "
                "or fill up less (sampling_strategy)."
            )
        return there, min(self.n_augmented, *left)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = False
        anything = self.source is None or isinstance(self.source, Duplication | pd.DataFrame)
        tags.input_tags.allow_nan = tags.input_tags.string = anything
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
        rows += zip(
            [kind] * len(each.writer), each.writer, each.seeds, each.row.tolist(), strict=True
        )
    return pd.DataFrame(rows, columns=["kind", "source", "seeds", "row"])


def _table(
    X: Any,
    features: TypedTable | None,
    source: Any,
    real: supply.Real,
    k: int,
    made: Made,
    random: np.random.Generator,
) -> Any:
    """Samples of a class in the types of X."""
    if isinstance(source, Duplication):
        return rows_of(X, made.row)
    if features is None:
        if isinstance(X, pd.Series):
            return pd.Series(made.x, dtype=X.dtype)
        return made.x if isinstance(X, np.ndarray) else type(X)(made.x)
    if isinstance(made.x, pd.DataFrame):
        return features.admitted(made.x)
    return features.made(made.x, real.label == k, random)


def _require_memory(real: supply.Real, wanted: Sequence[int]) -> None:
    n, width = sum(wanted), max(1, len(real.columns))
    memory.require(
        8.0 * n * width,
        f"{n:.3g} samples of {width} columns",
        "Lower n_augmented or sampling_strategy",
    )


def _called_by_a_pipeline() -> bool:
    """Whether a pipeline of imbalanced-learn asked for the rows: it drops a sampler's weights."""
    frame, looked = sys._getframe(1), 0
    while frame.f_back is not None and looked < _NEAR:
        frame, looked = frame.f_back, looked + 1
        if frame.f_globals.get("__name__") == "imblearn.pipeline":
            return frame.f_code.co_name == "_fit_resample_one"  # not a step of its own
    return False


def _refuse_third_value(return_weights: bool) -> None:
    if return_weights and _called_by_a_pipeline():
        raise ValueError(
            "a pipeline takes two values of a sampler; return_weights=True gives three. End the "
            "pipeline with OpalClassifier(classifier, sampler) of opal.bridge.classifier, which "
            "weights the rows."
        )
