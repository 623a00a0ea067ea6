"""Compute-optimal sizes: against a search over sizes, and with intervals that hold the truth."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import optimize

from opal.scaling.compute_optimal import compute_optimal
from opal.scaling.fit import Fit, fit

CHINCHILLA = {"E": 1.69, "A": 406.4, "B": 410.7, "a": 0.34, "b": 0.28}
TRUE_X1 = (0.34 * 406.4 / 0.28 / 410.7) ** (1 / 0.62)


def chinchilla(noise: float, key: int = 0) -> pd.DataFrame:
    """245 runs of 5e18 to 5e22 operations, as in Hoffmann et al. 2022."""
    rng = np.random.default_rng(key)
    compute = np.exp(rng.uniform(np.log(6e18), np.log(3e21), 245))
    first = np.sqrt(compute / 6 / 20) * np.exp(rng.normal(0, 0.7, 245))
    second = compute / 6 / first
    loss = 1.69 + 406.4 * first**-0.34 + 410.7 * second**-0.28
    return pd.DataFrame(
        {"N": first, "D": second, "loss": loss * np.exp(noise * rng.normal(size=245))}
    )


def fitted(frame: pd.DataFrame, law: str = "additive", link: str = "identity") -> Fit:
    return fit(law, frame, x={"x1": "N", "x2": "D"}, y="loss", link=link)


def test_the_optimum_is_the_least_value_along_a_budget() -> None:
    found = fitted(chinchilla(0.01))
    result = compute_optimal(found, [1e21, 1e23], factor=5.0)
    for optimum in result.optima:

        def value(log_x1: float, product: float = optimum.compute / 5) -> float:
            first = np.exp(log_x1)
            return float(found.predict({"x1": first, "x2": product / first})[0])

        best = optimize.minimize_scalar(value, bounds=(15, 30), method="bounded")
        assert np.log(optimum.x1.estimate) == pytest.approx(best.x, abs=1e-3)
        assert optimum.value.estimate == pytest.approx(best.fun)
        assert optimum.x1.estimate * optimum.x2.estimate == pytest.approx(optimum.compute / 5)
        assert optimum.x1.low < optimum.x1.estimate < optimum.x1.high
    first, second = result.exponents
    ratio = result.optima[1].x1.estimate / result.optima[0].x1.estimate
    assert np.log(ratio) / np.log(100) == pytest.approx(first.estimate)
    assert first.estimate + second.estimate == pytest.approx(1)
    assert first.low == pytest.approx(1 - second.high, abs=1e-5)


def test_intervals_hold_the_truth() -> None:
    right = TRUE_X1 * (1e21 / 6) ** (0.28 / 0.62)
    held, control = 0, 0
    for key in range(12):
        result = compute_optimal(fitted(chinchilla(0.003, key)), [1e21])
        x1 = result.optima[0].x1
        held += x1.low <= right <= x1.high
        control += x1.low <= 1.3 * right <= x1.high
        assert x1.high < 2 * x1.low
    assert held >= 10
    assert control <= 6


def test_what_is_not_known_is_said() -> None:
    frame = chinchilla(0.02)
    together = frame.assign(D=20 * frame["N"], loss=2 + 400 * frame["N"] ** -0.3)
    together["loss"] *= np.exp(0.01 * np.random.default_rng(0).normal(size=len(together)))
    result = compute_optimal(fitted(together), [1e21])
    assert "the best sizes are not identified: the table does not settle A, a" in result.warnings[0]
    far = compute_optimal(fitted(chinchilla(0.003)), [1e26])
    assert any("far extrapolation: the best N" in said for said in far.warnings)
    assert not compute_optimal(fitted(chinchilla(0.003)), [1e21]).warnings
    with pytest.raises(
        ValueError, match="of the law 'additive' without a link; got law 'additive'"
    ):
        compute_optimal(fitted(chinchilla(0.003), link="log"), [1e21])
    with pytest.raises(ValueError, match="positive numbers; got -1"):
        compute_optimal(fitted(chinchilla(0.003)), [-1.0])
    flat = frame.assign(loss=2 + 400 * frame["N"] ** -0.3)
    with pytest.raises(ValueError, match="no sizes are best: B is zero"):
        compute_optimal(fitted(flat), [1e21])
