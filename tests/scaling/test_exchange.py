"""What synthetic samples are worth: closed forms against searches and against the fitted law."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from opal.objective import Design
from opal.scaling.exchange import Mixture
from opal.scaling.fit import fit
from opal.scaling.laws import LAWS
from opal.scaling.laws.cross import cross_law
from opal.settings import GaussianMixture
from opal.synthesis import Bias, GaussianFit, Oracle
from opal.theory.exchange import mixture_parameters
from opal.theory.optimal import weight_curve

X = {"n": "n", "N": "N", "alpha": "alpha"}
PARAMS = {"E": 0.4, "R_s": 0.01, "C": -0.002, "A_s": 3.0, "A_r": 2.0}


def draw(rng: np.random.Generator, beta: float) -> Mixture:
    r_s, a_s, a_r = np.exp(rng.normal(size=3))
    return Mixture(0.01 * r_s, 3 * a_s, 2 * a_r, beta)


@pytest.mark.parametrize("beta", [0.4, 0.7, 1.0, 1.6])
def test_excess_is_the_law_above_its_floor(beta: float) -> None:
    rng = np.random.default_rng(0)
    law = draw(rng, beta)
    params = {"E": 0.3, "R_s": law.R_s, "A_s": law.A_s, "A_r": law.A_r, "beta": beta}
    x = {
        "n": rng.uniform(10, 300, 40),
        "N": rng.uniform(10, 3000, 40),
        "alpha": np.concatenate([[0.0, 1.0], rng.uniform(0, 1, 38)]),
    }
    expected = LAWS["mixture"].predict({k: float(np.asarray(v)) for k, v in params.items()}, x)
    np.testing.assert_allclose(0.3 + law.excess(**x), expected, rtol=1e-12)


@pytest.mark.parametrize("cross", [0.0, 0.004, -0.003, 0.05])
def test_the_closed_form_weight_is_the_minimiser(cross: float) -> None:
    rng = np.random.default_rng(1)
    inside = 0
    for _ in range(30):
        law = draw(rng, 1.0)
        law = Mixture(law.R_s, law.A_s, law.A_r, 1.0, cross)
        grid = np.linspace(0, 1, 4001)
        values = law.excess(150.0, 900.0, grid)
        alpha = law.best_alpha(150.0, 900.0)
        assert law.excess(150.0, 900.0, alpha) <= values.min() + 1e-12
        inside += 0 < alpha < 1
    assert inside > 0 or cross == 0.05


@pytest.mark.parametrize("beta", [0.35, 0.7, 1.6])
def test_the_searched_weight_is_the_minimiser(beta: float) -> None:
    rng = np.random.default_rng(2)
    for _ in range(10):
        law = draw(rng, beta)
        least = law.excess(150.0, 900.0, np.linspace(0, 1, 2001)).min()
        found = law.excess(150.0, 900.0, law.best_alpha(150.0, 900.0))
        assert found <= least * (1 + 1e-9)


def test_precisions_add() -> None:
    """Equation 12.3: ``n_equiv = n + A_r/(R_s + A_s/N)`` at the best weight."""
    law = Mixture(R_s=0.01, A_s=3.0, A_r=2.0)
    n, N = 150.0, 900.0
    found = law.n_equivalent(law.excess(n, N, law.best_alpha(n, N)))
    np.testing.assert_allclose(found, n + 2.0 / (0.01 + 3.0 / N), rtol=1e-9)
    blind = law.n_equivalent(law.excess(n, N, N / (n + N)))  # a weight that ignores the bias
    assert blind < 0.7 * found


def test_no_number_of_real_samples_is_below_the_floor() -> None:
    assert np.isinf(Mixture(R_s=0.01, A_s=3.0, A_r=2.0).n_equivalent(-1e-3))


def test_at_the_stop_size_both_kinds_of_samples_are_worth_their_price() -> None:
    law, step = Mixture(R_s=0.01, A_s=3.0, A_r=2.0), 1e-3

    def worth(N: float) -> float:
        return float(law.n_equivalent(law.excess(150.0, N, law.best_alpha(150.0, N))))

    N = law.stop_size(price_real=5.0, price_synthetic=0.1)
    slope = (worth(N + step) - worth(N - step)) / (2 * step)
    np.testing.assert_allclose(5.0 * slope, 0.1, rtol=1e-5)
    assert law.stop_size(price_real=1.0, price_synthetic=2.0) == 0.0
    assert np.isinf(law.stop_size(price_real=np.inf, price_synthetic=0.1))
    assert np.isinf(Mixture(R_s=0.0, A_s=3.0, A_r=2.0).stop_size(5.0, 0.1))


@pytest.mark.parametrize("beta", [1.0, 0.6])
def test_the_cross_law_knows_its_derivatives(beta: float) -> None:
    law = cross_law(beta)
    x = {"n": np.array([50.0, 90.0, 90.0]), "N": np.array([10.0, 400.0, 50.0])}
    x["alpha"] = np.array([0.3, 0.0, 1.0])
    values = np.array([PARAMS[name] for name in law.params])
    f, slopes = law.derivatives(values, x)
    for index, value in enumerate(values):
        step = np.zeros(5)
        step[index] = 1e-5 * max(abs(value), 1e-2)
        ahead, behind = law.derivatives(values + step, x)[0], law.derivatives(values - step, x)[0]
        numeric = (ahead - behind) / (2 * step[index])
        np.testing.assert_allclose(slopes[:, index], numeric, rtol=1e-5, atol=1e-9)
    above = Mixture(PARAMS["R_s"], PARAMS["A_s"], PARAMS["A_r"], beta, PARAMS["C"]).excess(**x)
    np.testing.assert_allclose(f, 0.4 + above, rtol=1e-12)


def test_the_cross_law_is_recovered_from_a_table_without_noise() -> None:
    law = cross_law()
    n, N, alpha = np.meshgrid([50.0, 100.0, 200.0], [40.0, 400.0], [0.0, 0.1, 0.5, 1.0])
    table = pd.DataFrame({"n": n.ravel(), "N": N.ravel(), "alpha": alpha.ravel()})
    table["value"] = law.predict(PARAMS, {name: table[name].to_numpy() for name in X})
    found = fit(law, table, x=X, y="value").params
    for name, value in PARAMS.items():
        assert found[name].estimate == pytest.approx(value, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("beta", [0.0, -1.0, 6.0, float("nan")])
def test_impossible_exponents_are_refused(beta: float) -> None:
    with pytest.raises(
        ValueError, match=re.escape("beta is the exponent of the curves, in (0, 5]")
    ):
        cross_law(beta)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"E": 0.0, "A": 1.0, "a": 1.0}, "a plan needs a mixture law, with the parameters"),
        ({"R_s": -1.0, "A_s": 1.0, "A_r": 1.0}, "R_s must be finite and at least 0; got -1.0"),
        ({"R_s": 1.0, "A_s": float("nan"), "A_r": 1.0}, "A_s must be finite"),
    ],
)
def test_parameters_of_other_laws_are_refused(params: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        Mixture.of(params)


SETTING = GaussianMixture([[-0.6, 0.0], [0.6, 0.4]])


@pytest.mark.parametrize("size", [0.0, 0.2])
def test_a_setting_has_a_mixture_law_by_theory(size: float) -> None:
    """Equation 4.2, for sizes and weights that the parameters were not taken from."""
    maker = Oracle.biased(SETTING.law, Bias(mean_shift=[[0.0, 0.0], [size, -size]]))
    design = Design((600, 200), maker, n_augmented=500, oversample="none", weighting="group")
    law = Mixture.of(mixture_parameters(SETTING, design))
    other = design.with_(counts=(300, 300), n_augmented=2000)
    alphas = np.linspace(0, 1, 7)
    expected = weight_curve(SETTING, other).excess(alphas)
    # Classes need not be alike: another split of the same harmonic mean is another law.
    np.testing.assert_allclose(law.excess(300.0, 2000.0, alphas), expected, rtol=2e-3)
    assert float(np.asarray(law.C)) == pytest.approx(0.0, abs=1e-12)


def of_generators(shrinkage: float, shared: bool) -> pd.DataFrame:
    """Risks of (4.2) for generators that were fitted to n_gen rows of each group."""
    rows = []
    for n, N, own in product((100, 300), (200, 2000), (80, 400, 3000)):
        k = min(n, own) if shared else 0
        maker = GaussianFit(shrinkage)
        design = Design((n, n), maker, N, 0.5, "none", "group", n_generator=own, n_shared=k)
        curve = weight_curve(SETTING, design)
        for alpha in (0.0, 0.5, 1.0):
            value = curve.excess(alpha)
            rows.append((n, N, own, k, alpha, 0.4 + float(value)))
    return pd.DataFrame(rows, columns=["n", "N", "n_gen", "n_shared", "alpha", "value"])


@pytest.mark.parametrize(("shrinkage", "shared"), [(0.3, False), (0.0, True)])
@pytest.mark.slow
def test_the_generator_law_tells_bias_from_noise_of_seeds(shrinkage: float, shared: bool) -> None:
    """Equation 3.15 from generators of few rows, asked for one of many."""
    table = of_generators(shrinkage, shared)
    x = {name: name for name in table.columns if name != "value"}
    far = table["n_gen"] == 3000
    found = fit("generator", table[~far], x=x, y="value")
    np.testing.assert_allclose(found.predict(table[far]), table["value"][far], rtol=1e-6)
    blind = fit("mixture", table[~far], x=X, y="value").predict(table[far])
    assert np.abs(blind / table["value"][far] - 1).max() > 1e-3
    population = GaussianFit(shrinkage).population(SETTING.law)
    assert population is not None
    law = Design((50, 50), Oracle(population.law), 50, 0.5, "none", "group")
    truth = mixture_parameters(SETTING, law)
    for name in ("R_s", "A_s", "A_r"):
        assert found.params[name].estimate == pytest.approx(truth[name], rel=1e-3, abs=1e-6)
    assert found.params["beta"].estimate == pytest.approx(1.0, rel=1e-4)


def test_the_example_of_the_guide_prints_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parents[2] / "docs" / "plan.md").read_text(encoding="utf-8")
    code = page.split("```python\n")[1].split("```")[0]
    exec(compile(code, "docs/plan.md", "exec"), {})
    recommendation, n_equiv = capsys.readouterr().out.rsplit(maxsplit=1)
    assert f"# {recommendation}, worth {float(n_equiv):.0f} of each group" in code


def test_real_rows_that_are_not_reweighted_have_no_mixture_law() -> None:
    design = Design((600, 200), Oracle(SETTING.law), n_augmented=500)
    with pytest.raises(ValueError, match="use weighting='group' and oversample='none'"):
        mixture_parameters(SETTING, design)
