from __future__ import annotations

import numpy as np
import pytest

from opal.bridge.resampling import Crossed
from opal.bridge.tabular.scaling.equivalence import equivalent_rows

SIZES = (200, 400, 800, 1600)


def differences(truth: float, error: float) -> dict[int, Crossed]:
    """An arm worth ``truth`` real rows on a curve that falls linearly in log n."""
    return {n: Crossed(0.1 * np.log(n / truth), error) for n in SIZES}


def test_worth_is_read_off_between_sizes() -> None:
    found = equivalent_rows(differences(500, 0.01))
    assert found.value == pytest.approx(500)
    assert found.lower == pytest.approx(500 * np.exp(-0.196), rel=1e-3)
    assert found.upper == pytest.approx(500 * np.exp(0.196), rel=1e-3)


def test_worth_beyond_the_curve_is_not_made_up() -> None:
    assert equivalent_rows(differences(5000, 0.01)) == (np.inf, 1600, np.inf)
    assert equivalent_rows(differences(50, 0.01)) == (0, 0, 200)
    some = equivalent_rows(differences(1500, 0.05))
    assert some.value == pytest.approx(1500)
    assert some.upper == np.inf
    assert some.lower < 800


def test_noise_in_the_curve_gives_one_answer() -> None:
    values = {200: -0.05, 400: 0.01, 800: -0.002, 1600: 0.05}
    found = equivalent_rows({n: Crossed(v, 0.001) for n, v in values.items()})
    assert 200 < found.value < 400
    assert found.lower <= found.value <= found.upper
