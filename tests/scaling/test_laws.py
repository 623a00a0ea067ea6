"""Laws: their values, slopes and bases agree with their equations."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from opal.scaling import laws
from opal.scaling.laws import LAWS
from opal.scaling.scaling_law import ScalingLaw, central_differences

X: Mapping[str, dict[str, np.ndarray]] = {
    "power": {"n": np.array([10.0, 100.0, 5000.0])},
    "additive": {"x1": np.array([1e3, 1e6, 1e6]), "x2": np.array([1e4, 1e4, 1e9])},
    "mixture": {
        "n": np.array([50.0, 50.0, 0.0, 800.0]),
        "N": np.array([0.0, 300.0, 300.0, 20.0]),
        "alpha": np.array([0.0, 0.4, 1.0, 0.7]),
    },
    "generator": {
        "n": np.array([50.0, 50.0, 0.0, 800.0, 60.0]),
        "N": np.array([0.0, 300.0, 300.0, 20.0, 40.0]),
        "n_gen": np.array([0.0, 200.0, 30.0, 800.0, 90.0]),
        "n_shared": np.array([0.0, 0.0, 0.0, 800.0, 20.0]),
        "alpha": np.array([0.0, 0.4, 1.0, 0.7, 0.5]),
    },
    "power-no-floor": {"n": np.array([10.0, 100.0, 5000.0])},
    "shifted": {"n": np.array([10.0, 100.0, 5000.0])},
    "exponential": {"n": np.array([10.0, 100.0, 900.0])},
    "broken": {"n": np.array([1.0, 100.0, 1e3, 1e9])},
    "repeated": {
        "params": np.array([1e7, 1e8, 1e8, 1e9]),
        "unique": np.array([1e9, 1e9, 2e8, 1e7]),
        "tokens": np.array([5e8, 1e9, 1e9, 1e10]),
    },
}
TRUTH: Mapping[str, dict[str, float]] = {
    "power": {"E": 0.2, "A": 3.0, "a": 0.5},
    "additive": {"E": 1.7, "A": 400.0, "B": 410.0, "a": 0.34, "b": 0.28},
    "mixture": {"E": 0.2, "R_s": 0.1, "A_s": 1.5, "A_r": 2.0, "beta": 0.6},
    "generator": {"E": 0.2, "R_s": 0.1, "A_s": 1.5, "A_g": 0.8, "A_r": 2.0, "beta": 0.6},
    "power-no-floor": {"A": 3.0, "a": 0.5},
    "shifted": {"E": 0.2, "A": 3.0, "a": 0.5, "n0": 80.0},
    "exponential": {"E": 0.2, "A": 3.0, "k": 150.0},
    "broken": {"E": 0.2, "A": 3.0, "a": 0.1, "c": 0.6, "f": 0.3, "d": 900.0},
    "repeated": {"E": 1.7, "A": 400.0, "B": 410.0, "a": 0.34, "b": 0.28, "R": 15.0},
}


def by_hand(name: str, x: dict[str, np.ndarray], p: dict[str, float]) -> np.ndarray:
    """The equations as papers print them."""
    if name == "power":
        return p["E"] + p["A"] / x["n"] ** p["a"]
    if name == "additive":
        return p["E"] + p["A"] / x["x1"] ** p["a"] + p["B"] / x["x2"] ** p["b"]
    if name == "power-no-floor":
        return p["A"] / x["n"] ** p["a"]
    if name == "shifted":
        return p["E"] + p["A"] / (x["n"] + p["n0"]) ** p["a"]
    if name == "exponential":
        return p["E"] + p["A"] * np.exp(-x["n"] / p["k"])
    if name == "broken":
        bend = (1 + (x["n"] / p["d"]) ** (1 / p["f"])) ** (-p["c"] * p["f"])
        return p["E"] + p["A"] * x["n"] ** -p["a"] * bend
    if name == "repeated":
        unique = np.minimum(x["unique"], x["tokens"])
        again = x["tokens"] / unique - 1
        data = unique + unique * p["R"] * (1 - np.exp(-again / p["R"]))
        return p["E"] + p["A"] / x["params"] ** p["a"] + p["B"] / data ** p["b"]
    alpha, beta = x["alpha"], p["beta"]
    made = np.where(alpha > 0, p["A_s"] * np.maximum(x["N"], 1.0) ** -beta, 0.0)
    real = np.where(alpha < 1, p["A_r"] * np.maximum(x["n"], 1.0) ** -beta, 0.0)
    inside = alpha**2 * made ** (1 / beta) + (1 - alpha) ** 2 * real ** (1 / beta)
    if name == "generator":
        seeds = p["A_g"] * np.maximum(x["n_gen"], 1.0) ** -beta
        share = alpha**2 + 2 * alpha * (1 - alpha) * x["n_shared"] / np.maximum(x["n"], 1.0)
        inside = inside + share * seeds ** (1 / beta)
    return p["E"] + alpha**2 * p["R_s"] + inside**beta


@pytest.mark.parametrize("name", LAWS)
def test_values_are_those_of_the_equation(name: str) -> None:
    found = LAWS[name].predict(TRUTH[name], X[name])
    np.testing.assert_allclose(found, by_hand(name, X[name], TRUTH[name]), rtol=1e-12)


@pytest.mark.parametrize("name", LAWS)
def test_slopes_are_those_of_the_values(name: str) -> None:
    law = LAWS[name]
    values, x = np.array([TRUTH[name][p] for p in law.params]), law.arrays(X[name])
    numeric = central_differences(lambda v: law.derivatives(v, x)[0], values)
    np.testing.assert_allclose(law.derivatives(values, x)[1], numeric, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", LAWS)
def test_basis_times_linear_parameters_is_the_law(name: str) -> None:
    law, truth = LAWS[name], TRUTH[name]
    logs = {f"log_{p}": np.log(truth[p]) for p in law.scales}
    logs |= {q: np.log(truth.get(f"A_{q[-1]}", 1.5) / 2.0) / 0.6 for q in law.nonlinear if "q" in q}
    nonlinear = np.array([{**truth, **logs}[p] for p in law.nonlinear])
    linear = np.array([truth[p] for p in law.linear])
    found = law.basis(nonlinear, X[name]) @ linear
    np.testing.assert_allclose(found, law.predict(truth, X[name]), rtol=1e-12)
    assert law.assemble is not None
    together = dict(zip(law.params, law.assemble(linear, nonlinear), strict=True))
    assert together == pytest.approx(truth)


def test_pure_curves_of_the_mixture_are_power_laws() -> None:
    law, truth, n = LAWS["mixture"], TRUTH["mixture"], np.array([10.0, 1000.0])
    zero, one = np.zeros(2), np.ones(2)
    real = law.predict(truth, {"n": n, "N": zero, "alpha": zero})
    made = law.predict(truth, {"n": zero, "N": n, "alpha": one})
    np.testing.assert_allclose(real, 0.2 + 2.0 * n**-0.6)
    np.testing.assert_allclose(made, 0.2 + 0.1 + 1.5 * n**-0.6)


def test_a_mixture_without_synthetic_part_has_values_and_slopes() -> None:
    x = {"n": np.array([100.0, 1e3]), "N": np.array([1e3, 1e3]), "alpha": np.array([0.0, 0.5])}
    values = {**TRUTH["mixture"], "A_s": 0.0}
    law = LAWS["mixture"]
    expected = by_hand("mixture", x, values)
    np.testing.assert_allclose(law.predict(values, x), expected, rtol=1e-12)
    slopes = law.derivatives(np.array([values[name] for name in law.params]), x)[1]
    assert np.all(np.isfinite(slopes))


def test_a_link_frees_the_signs_that_have_no_meaning_there() -> None:
    assert LAWS["power"].signed().bounds["A"] == (-np.inf, np.inf)
    assert LAWS["power"].signed().bounds["a"] == LAWS["power"].bounds["a"]
    mixture = LAWS["mixture"].signed()
    assert mixture.bounds["E"][0] == -np.inf
    assert mixture.bounds["A_r"][0] == 0


def user_law() -> ScalingLaw:
    def saturating(params: Mapping[str, float], x: Mapping[str, np.ndarray]) -> np.ndarray:
        """R / (1 + n/K)."""
        return params["R"] / (1 + x["n"] / params["K"])

    bounds = {"R": (0.01, 10.0), "K": (1.0, 1e6)}
    return ScalingLaw.of_function(
        saturating, ("R", "K"), bounds, variables=("n",), name="saturating"
    )


def test_any_function_is_a_law() -> None:
    law = user_law()
    assert law.predict({"R": 2.0, "K": 10.0}, {"n": np.array([10.0])}) == pytest.approx(1.0)
    assert law.equation == "R / (1 + n/K)."
    with pytest.raises(ValueError, match="'saturating' has no linear parameters"):
        law.basis(np.array([1.0]), {"n": np.array([1.0])})


@pytest.mark.parametrize("bad", [{}, {"K": (1.0, np.inf)}, {"K": (2.0, 1.0)}])
def test_a_function_needs_finite_bounds(bad: dict[str, tuple[float, float]]) -> None:
    with pytest.raises(ValueError, match=r"finite bounds \(low, high\).* 'K' has"):
        ScalingLaw.of_function(lambda params, x: x["x"] * params["K"], ("K",), bad)


def test_an_unknown_law_names_the_nearest() -> None:
    with pytest.raises(ValueError, match="unknown law 'aditive'; did you mean 'additive'"):
        laws.get("aditive")
    with pytest.raises(ValueError, match="There are: additive, broken, exponential, generator"):
        laws.get("qqq")


def test_a_missing_variable_is_named() -> None:
    with pytest.raises(ValueError, match=r"needs the variables .*; missing: \['N'\]"):
        LAWS["mixture"].predict(TRUTH["mixture"], {"n": np.ones(1), "alpha": np.ones(1)})
