"""Weights reach a classifier wherever it stands, and where they cannot a word is said."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline
from sklearn.pipeline import make_pipeline as plain_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.estimator_checks import estimator_checks_generator

pytest.importorskip("imblearn", reason="needs the extra tabular")

from imblearn.pipeline import make_pipeline

from opal.bridge.classifier import OpalClassifier
from opal.bridge.sampler import OpalSampler
from opal.synthesis import GaussianFit

ALPHAS = [0.05, 0.4, 0.9]
SKIPPED = {
    "check_supervised_y_2d": "labels of one column in two axes are as good, and no warning is due",
    "check_array_api_input": "scikit-learn checks it only where SciPy is told to",
}
CHECKS = [*estimator_checks_generator(OpalClassifier(LogisticRegression()))]


@pytest.fixture
def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(2)
    y = np.repeat([0, 1], [90, 15])
    return rng.normal(size=(len(y), 3)) + 0.8 * y[:, None], y


def sampler(**options: Any) -> OpalSampler:
    return OpalSampler(GaussianFit(0.9), n_augmented=40, alpha=0.8, random_state=0, **options)


@pytest.mark.parametrize(("model", "check"), CHECKS, ids=[c.func.__name__ for _, c in CHECKS])
def test_the_checks_of_scikit_learn(model: OpalClassifier, check: Any) -> None:
    if check.func.__name__ in SKIPPED:
        pytest.skip(SKIPPED[check.func.__name__])
    check(model)


def test_a_classifier_is_trained_with_the_weights(data: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = data
    model = OpalClassifier(LogisticRegression(), sampler()).fit(x, y)
    x_, y_, weights = clone(sampler()).set_params(return_weights=True).fit_resample(x, y)
    by_hand = LogisticRegression().fit(x_, y_, sample_weight=weights)
    np.testing.assert_array_equal(model.predict_proba(x), by_hand.predict_proba(x))
    np.testing.assert_array_equal(model.decision_function(x), by_hand.decision_function(x))
    np.testing.assert_array_equal(model.predict(x), by_hand.predict(x))
    without = LogisticRegression().fit(x_, y_)
    assert np.abs(model.predict_proba(x) - without.predict_proba(x)).max() > 0.01
    assert model.classes_.tolist() == [0, 1]
    assert set(model.sampler_.lineage_["kind"]) == {"real", "oversampled", "augmented"}
    assert not hasattr(OpalClassifier(DecisionTreeClassifier()).fit(x, y), "decision_function")
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict_proba(x), model.predict_proba(x))


@pytest.mark.parametrize("routing", [False, True])
@pytest.mark.parametrize("place", ["alone", "last", "around"])
def test_no_two_weights_score_alike(
    data: tuple[np.ndarray, np.ndarray], place: str, routing: bool
) -> None:
    rule: Any = OpalClassifier(LogisticRegression(), sampler())
    flag = "sampler__alpha"
    if place == "last":
        rule = make_pipeline(StandardScaler(), rule)
        flag = f"opalclassifier__{flag}"
    elif place == "around":
        rule.classifier = plain_pipeline(StandardScaler(), LogisticRegression())
    with sklearn.config_context(enable_metadata_routing=routing):
        search = GridSearchCV(rule, {flag: ALPHAS}, cv=3, scoring="neg_log_loss").fit(*data)
    assert len(set(search.cv_results_["mean_test_score"])) == len(ALPHAS)


@pytest.mark.parametrize("memory", [False, True])
def test_a_pipeline_that_drops_weights_warns(
    data: tuple[np.ndarray, np.ndarray], memory: bool, tmp_path: Any
) -> None:
    rule = make_pipeline(sampler(), LogisticRegression(), memory=str(tmp_path) if memory else None)
    with pytest.warns(UserWarning, match=r"alpha=0\.8 .*no effect.*OpalClassifier"):
        rule.fit(*data)
    search = GridSearchCV(rule, {"opalsampler__alpha": ALPHAS}, cv=3, scoring="neg_log_loss")
    with pytest.warns(UserWarning, match="no effect"):
        search.fit(*data)
    assert len(set(search.cv_results_["mean_test_score"])) == 1  # which is what the warning is for
    with pytest.warns(UserWarning, match="weighting='group' have no effect"):
        make_pipeline(OpalSampler(weighting="group"), LogisticRegression()).fit(*data)
    with pytest.raises(ValueError, match="a pipeline takes two values of a sampler"):
        make_pipeline(sampler(return_weights=True), LogisticRegression()).fit(*data)


def test_where_nothing_is_lost_nothing_is_said(data: tuple[np.ndarray, np.ndarray]) -> None:
    sampler().fit_resample(*data)  # warnings are errors here
    make_pipeline(OpalSampler(GaussianFit(0.1)), LogisticRegression()).fit(*data)
    make_pipeline(StandardScaler(), OpalClassifier(LogisticRegression(), sampler())).fit(*data)


def test_texts_are_weighted_too() -> None:
    said = [f"lovely stay {k}" for k in range(12)] + [f"rude staff {k}" for k in range(4)]
    label = ["praise"] * 12 + ["complaint"] * 4
    weighted = OpalSampler(n_augmented=40, alpha=0.8)
    rule = OpalClassifier(plain_pipeline(TfidfVectorizer(), LogisticRegression()), weighted)
    assert rule.fit(said, label).predict(["rude and rude"]).tolist() == ["complaint"]
    assert rule.score(pd.Series(said), label) == 1.0


def test_a_classifier_without_weights_is_refused_unless_all_are_equal(
    data: tuple[np.ndarray, np.ndarray],
) -> None:
    nearest = KNeighborsClassifier(3)
    with pytest.raises(ValueError, match="KNeighborsClassifier takes no sample_weight"):
        OpalClassifier(nearest, sampler()).fit(*data)
    last = Pipeline([("scale", StandardScaler()), ("near", nearest)])
    with pytest.raises(ValueError, match="Pipeline takes no sample_weight"):
        OpalClassifier(last, sampler()).fit(*data)
    assert OpalClassifier(nearest).fit(*data).sampler_.lineage_["kind"].nunique() == 2
    not_one: Any = 3
    with pytest.raises(ValueError, match="'sampler' parameter of OpalClassifier must be"):
        OpalClassifier(nearest, not_one).fit(*data)
