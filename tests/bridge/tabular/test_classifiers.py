from __future__ import annotations

import numpy as np
import pytest

from opal.bridge.tabular.classifiers import PENALTIES, ridge_path


@pytest.mark.parametrize("separation", [0.0, 1.0, 8.0])
def test_the_gradient_of_the_stated_objective_vanishes(separation: float) -> None:
    """From noise to perfectly separable classes, weights over two orders of magnitude."""
    rng = np.random.default_rng(4)
    y = np.repeat([0, 1], [10, 70])
    x = rng.normal(size=(80, 5)) + separation * y[:, None]
    weight = 10.0 ** rng.uniform(-1, 1, size=80)
    for penalty, fit in zip(PENALTIES, ridge_path(x, y, weight, PENALTIES), strict=True):
        residual = penalty * weight * (1 / (1 + np.exp(-fit[0] - x @ fit[1:])) - y)
        scale = penalty * weight.sum()
        assert residual.sum() == pytest.approx(0.0, abs=1e-6 * scale)
        assert x.T @ residual + fit[1:] == pytest.approx(np.zeros(5), abs=1e-6 * scale)


def test_constant_features_get_no_weight() -> None:
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.normal(size=40), np.zeros(40)])
    y = (x[:, 0] + rng.normal(size=40) > 0).astype(int)
    (beta,) = ridge_path(x, y, np.ones(40), [1.0])
    assert beta[2] == 0.0
