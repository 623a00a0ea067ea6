"""A classifier that is trained on filled classes, each row with its weight."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.pipeline import Pipeline
from sklearn.utils._param_validation import HasMethods
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, has_fit_parameter

from opal.bridge.sampler import OpalSampler


def _has(method: str) -> Any:
    def check(model: OpalClassifier) -> bool:
        getattr(getattr(model, "classifier_", model.classifier), method)
        return True

    return check


class OpalClassifier(ClassifierMixin, MetaEstimatorMixin, BaseEstimator):
    """A classifier, and the sampler whose rows and weights it is trained on.

    A pipeline hands the rows of a sampler on, but not their weights: without them all rows count
    alike, whatever ``alpha``. This is a classifier as any other, so that it ends pipelines, and
    cross-validation and grid search take it; in each fold only the rows that are trained on are
    resampled.

    Args:
        classifier: what is trained; its ``fit``, or that of the last step of a pipeline, takes
            ``sample_weight``. Steps of that pipeline see the synthetic rows too.
        sampler: makes the rows and the weights; an :class:`~opal.bridge.sampler.OpalSampler` that
            fills the classes up by copies, if None.

    Attributes:
        classifier_: the trained classifier.
        sampler_: the sampler, with ``sample_weight_`` and ``lineage_`` of the rows.
        classes_: labels [K].

    Example:
        >>> from sklearn.linear_model import LogisticRegression
        >>> from sklearn.model_selection import GridSearchCV
        >>> x, y = np.arange(24.0)[:, None] % 7, np.repeat([0, 1], [18, 6])
        >>> model = OpalClassifier(LogisticRegression(), OpalSampler(n_augmented=9, alpha=0.1))
        >>> alphas = {"sampler__alpha": [0.0, 0.3, 0.9]}
        >>> search = GridSearchCV(model, alphas, cv=3, scoring="neg_log_loss").fit(x, y)
        >>> len(set(search.cv_results_["mean_test_score"]))
        3
    """

    _parameter_constraints: dict[str, list[Any]] = {  # noqa: RUF012 (scikit-learn's own name)
        "classifier": [HasMethods(["fit", "predict"])],
        "sampler": [OpalSampler, None],
    }

    def __init__(self, classifier: Any, sampler: OpalSampler | None = None) -> None:
        self.classifier = classifier
        self.sampler = sampler

    def fit(self, X: Any, y: Any) -> OpalClassifier:
        """Resample the rows and train on them with their weights.

        Raises:
            ValueError: the sampler refuses the data, or rows weigh differently and the classifier
                takes no weights.
        """
        self._validate_params()
        flag = _weight_flag(self.classifier)
        sampler = OpalSampler() if self.sampler is None else clone(self.sampler)
        self.sampler_ = sampler.set_params(return_weights=True)
        x, label, weights = self.sampler_.fit_resample(X, y)
        if flag is None and np.ptp(weights) > 1e-9:
            raise ValueError(
                f"rows weigh between {weights.min():.3g} and {weights.max():.3g}; "
                f"{type(self.classifier).__name__} takes no sample_weight. Choose a classifier "
                "that does, or a sampler whose rows weigh the same (n_augmented=0)."
            )
        self.classifier_ = clone(self.classifier)
        # The flag is of this classifier alone, whatever else is routed.
        with config_context(enable_metadata_routing=False):
            self.classifier_.fit(x, label, **({} if flag is None else {flag: weights}))
        self.classes_ = getattr(self.classifier_, "classes_", np.unique(label))
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(self.sampler_, name):
                setattr(self, name, getattr(self.sampler_, name))
        return self

    def predict(self, X: Any) -> Any:
        """The label of each row [n]."""
        check_is_fitted(self)
        return self.classifier_.predict(X)

    @available_if(_has("predict_proba"))
    def predict_proba(self, X: Any) -> Any:
        """The probability of each class [n, K]."""
        check_is_fitted(self)
        return self.classifier_.predict_proba(X)

    @available_if(_has("predict_log_proba"))
    def predict_log_proba(self, X: Any) -> Any:
        """The logarithm of the probability of each class [n, K]."""
        check_is_fitted(self)
        return self.classifier_.predict_log_proba(X)

    @available_if(_has("decision_function"))
    def decision_function(self, X: Any) -> Any:
        """The score of each row [n], or of each class [n, K]."""
        check_is_fitted(self)
        return self.classifier_.decision_function(X)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = False
        return tags


def _weight_flag(classifier: Any) -> str | None:
    """The argument of ``fit`` that takes the weights; None if there is none."""
    if isinstance(classifier, Pipeline):
        name, last = classifier.steps[-1]
        inner = _weight_flag(last)
        return None if inner is None else f"{name}__{inner}"
    return "sample_weight" if has_fit_parameter(classifier, "sample_weight") else None
