"""Laws that do not fit are told in every form of table; laws that fit are not."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from opal.scaling.fit import Fit, fit
from opal.scaling.laws import LAWS
from opal.scaling.misfit import departures
from opal.scaling.misfit.contrasts import beyond, chance, orthonormal, upper_tail
from opal.scaling.misfit.residuals import Residuals
from opal.scaling.scaling_law import ScalingLaw
from simulations.misfit import FORMS, RIGHT, WRONG, Config, Draws, table

CONFIG = Config()
N = np.geomspace(100, 1e5, 10)
Z = np.linspace(0, 1, 10)
VALLEY = 0.2 + 0.5 * (Z - 0.6) ** 2


def fitted(frame: pd.DataFrame, law: ScalingLaw | str = "power", **settings: str) -> Fit:
    law = LAWS[law] if isinstance(law, str) else law
    x = {name: name for name in law.variables}
    se, seed = ("sem" if "sem" in frame else None), ("seed" if "seed" in frame else None)
    return fit(law, frame, x=x, y="y", std_error=se, seed=seed, **settings)  # type: ignore[arg-type]


def misses(found: Fit) -> list[str]:
    return [text for text in found.warnings if text.startswith("the law misses")]


def drawn(law: str, form: str, index: int) -> Fit:
    noise = CONFIG.noise_right if law in RIGHT else CONFIG.noise
    frame = table(Draws(CONFIG, law, form, noise, 0, 1), index)
    return fitted(frame, law if law in RIGHT else "power")


def seeds(curve: np.ndarray, n: np.ndarray, noise: float, n_seeds: int = 4) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    y = curve + noise * rng.standard_normal((n_seeds, len(curve)))
    columns = {"n": np.tile(n, n_seeds), "seed": np.repeat(np.arange(n_seeds), len(n))}
    return pd.DataFrame({**columns, "y": y.ravel()})


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("law", WRONG)
def test_wrong_laws_are_told(law: str, form: str) -> None:
    assert misses(drawn(law, form, 0)) or misses(drawn(law, form, 1))


@pytest.mark.parametrize(
    ("law", "form"),
    [*(("power", form) for form in FORMS), *((law, "3 seeds") for law in RIGHT[1:])],
)
def test_right_laws_are_not(law: str, form: str) -> None:
    assert misses(drawn(law, form, 0)) == []


def test_a_misfit_that_one_size_in_two_shows_by_many_standard_errors_is_told() -> None:
    n = np.geomspace(50, 5e4, 8)
    (said,) = misses(fitted(seeds(2 - 0.15 * np.log(n), n, 0.01)))
    told = re.search(r"the curve, ([\d.]+) standard errors\. Another law", said)
    assert told is not None
    assert float(told[1]) > 4


@pytest.mark.parametrize(
    "curve", [VALLEY, 0.3 + N**-0.15 * (1 + (N / 3e3) ** 2) ** -0.4, 2 - 0.15 * np.log(N)]
)
def test_wrong_laws_without_noise_are_told(curve: np.ndarray) -> None:
    (said,) = misses(fitted(pd.DataFrame({"n": N, "y": curve})))
    assert said.startswith("the law misses the values along 'n', most at n = ")
    assert "% of the range of the values. Another law may fit" in said
    same = pd.concat([pd.DataFrame({"n": N, "y": curve, "seed": seed}) for seed in range(3)])
    assert misses(fitted(same))


def test_rounded_values_are_no_misfit() -> None:
    assert fitted(pd.DataFrame({"n": N, "y": np.round(0.3 + 3 * N**-0.4, 4)})).warnings == ()


def test_where_and_how_far_the_largest_miss_is() -> None:
    frame = seeds(0.2 + 3 * N**-0.5, N, 1e-3)
    frame.loc[frame["n"] == N[4], "y"] += 0.1
    (said,) = misses(fitted(frame))
    row = fitted(frame).residuals.groupby("n")["residual"].mean()
    assert f"most at n = {N[4]:g}: {row[N[4]]:.3g} above the curve, " in said
    means = frame.groupby("n")["y"].agg(["mean", "sem"]).reset_index()
    (said,) = misses(fitted(means.rename(columns={"mean": "y"})))
    assert f"most at n = {N[4]:g}: " in said
    assert "On the whole misses are" in said


def grid(seed: int, product: float) -> pd.DataFrame:
    """51 losses of models of two sizes, with a term in which both act together."""
    rng = np.random.default_rng(seed)
    x1, x2 = np.meshgrid(np.geomspace(5e7, 1.7e9, 6), np.geomspace(1e9, 3e11, 9))
    first, second = (x1.ravel() / 5e7) ** -0.3, (x2.ravel() / 1e9) ** -0.3
    y = 1.7 + first + 1.2 * second + product * first * second
    y = y * (1 + 0.004 * rng.standard_normal(len(y)))
    kept = rng.permutation(len(y))[:51]
    return pd.DataFrame({"x1": x1.ravel()[kept], "x2": x2.ravel()[kept], "y": y[kept]})


def test_sizes_that_act_together_are_told_apart_from_those_that_do_not() -> None:
    (said,) = misses(fitted(grid(0, 0.4), "additive"))
    assert said.startswith("the law misses the values where 'x1' and 'x2' act together, most at x1")
    assert misses(fitted(grid(0, 0.0), "additive")) == []


def scattered(noise: np.ndarray) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    x1, x2 = np.exp(rng.uniform(np.log([[5e7], [5e8]]), np.log([[1.6e10], [5e11]]), (2, 245)))
    curve = 1.8172 + 482.01 * x1**-0.3478 + 2085.43 * x2**-0.3658
    return pd.DataFrame({"x1": x1, "x2": x2, "y": curve * np.exp(noise)})


def test_heavy_tails_name_the_loss_that_they_hardly_move() -> None:
    rng = np.random.default_rng(5)
    frame = scattered(0.005 * rng.standard_t(2, 245))
    (said,) = fitted(frame, "additive").warnings
    assert said.startswith("heavy tails: ")
    assert "--loss huber-log" in said
    assert fitted(frame, "additive", loss="huber-log").warnings == ()
    assert fitted(scattered(0.005 * rng.standard_normal(245)), "additive").warnings == ()
    assert "huber-log" not in str(fitted(frame, "additive", link="log").warnings)


def test_a_warning_names_only_laws_that_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = pd.DataFrame({"n": N, "y": VALLEY})
    monkeypatch.setitem(LAWS, "valley", replace(LAWS["power"], name="valley"))
    assert "Another law may fit (--law: " in misses(fitted(frame))[0]
    assert "valley" in misses(fitted(frame))[0]
    assert "additive" not in misses(fitted(frame))[0]


def test_seeds_may_shift_their_curves_as_they_like() -> None:
    """Tests of means do not move when each seed adds a constant and a share of the curve."""
    frame = seeds(0.2 + 3 * N**-0.5, N, 5e-3)
    residuals = Residuals.of(fitted(frame).covariance)
    before = departures.of_replicates(residuals)
    rng = np.random.default_rng(0)
    lifts = rng.normal(size=(4, 2))[residuals.clusters]
    moved = replace(residuals, left=residuals.left + np.sum(lifts * residuals.lifts, axis=1))
    after = departures.of_replicates(moved)
    assert [each.along for each in before] == [("n",), ()]
    assert [each.level for each in after] == pytest.approx([each.level for each in before])
    bent = replace(residuals, left=residuals.left + 0.05 * np.cos(3 * np.log(residuals.x["n"])))
    assert all(each.found for each in departures.of_replicates(bent))


def test_points_without_scatter_are_not_judged() -> None:
    frame = seeds(0.2 + 3 * N**-0.5, N, 5e-3)
    frame.loc[frame["n"] == N[-1], "y"] = 0.2 + 3 * N[-1] ** -0.5 + 0.01
    assert misses(fitted(frame)) == []


def test_tails_of_sums_of_squares_are_those_of_known_laws() -> None:
    for n, df, ratio in ((1, 4, 21.2), (5, 10, 5.64), (3, 60, 6.0)):
        assert chance(n * ratio, np.ones(1), n, df) == pytest.approx(
            stats.f.sf(ratio, n, df), rel=0.15
        )
    for n, total in ((1, 10.0), (6, 20.0)):
        assert chance(total, np.ones(1), n) == pytest.approx(stats.chi2.sf(total, n), rel=0.1)
    z = np.random.default_rng(0).standard_normal((400_000, 5)) ** 2
    weights = np.array([1.0, 0.7, 0.4, 0.2, 0.1])
    for share in (0.8, 0.9):
        exact = np.mean(z @ weights / z.sum(axis=1) > share)
        assert upper_tail(weights - share, np.ones(5), 0.0) == pytest.approx(exact, rel=0.15)
    assert upper_tail(np.array([-1.0, -2.0]), np.ones(2), 0.0) == 0.0
    assert upper_tail(np.array([1.0, 2.0]), np.ones(2), 0.0) == 1.0


def test_directions_are_orthonormal_and_beyond_what_the_law_takes_up() -> None:
    rng = np.random.default_rng(0)
    basis = orthonormal(rng.normal(size=(9, 3)))
    columns = np.concatenate([basis @ rng.normal(size=(3, 1)), rng.normal(size=(9, 8))], axis=1)
    found = beyond(columns, basis)
    assert found.shape == (9, 6)
    np.testing.assert_allclose(found.T @ found, np.eye(6), atol=1e-12)
    np.testing.assert_allclose(basis.T @ found, 0, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_right_laws_are_told_in_no_more_than_one_table_of_twenty(form: str) -> None:
    n = 150
    told = sum(bool(misses(drawn("power", form, index))) for index in range(n))
    assert told / n <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / n)
