from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from opal.bridge.tabular.classifiers import PENALTIES, ridge_path


@pytest.mark.parametrize("separation", [0.0, 1.0, 8.0])
def test_path_agrees_with_scikit_learn(separation: float) -> None:
    """From noise to perfectly separable classes, weights over two orders of magnitude."""
    rng = np.random.default_rng(4)
    y = np.repeat([0, 1], [10, 70])
    x = rng.normal(size=(80, 5)) + separation * y[:, None]
    weight = 10.0 ** rng.uniform(-1, 1, size=80)
    fits = ridge_path(x, y, weight, PENALTIES)
    for penalty, fit in zip(PENALTIES, fits, strict=True):
        model = LogisticRegression(C=penalty, solver="newton-cholesky", tol=1e-10, max_iter=500)
        model.fit(x, y, sample_weight=weight)
        theirs = np.append(model.intercept_, model.coef_)
        assert fit == pytest.approx(theirs, rel=1e-5, abs=1e-6)


def test_gradient_vanishes_and_constant_features_get_no_weight() -> None:
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.normal(size=40), np.zeros(40)])
    y = (x[:, 0] + rng.normal(size=40) > 0).astype(int)
    (beta,) = ridge_path(x, y, np.ones(40), [1.0])
    p = 1 / (1 + np.exp(-beta[0] - x @ beta[1:]))
    assert np.sum(p - y) == pytest.approx(0.0, abs=1e-7)
    assert x.T @ (p - y) + beta[1:] == pytest.approx([0.0, 0.0], abs=1e-7)
    assert beta[2] == 0.0
