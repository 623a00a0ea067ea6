"""Purchases, prices and verdicts."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest

from opal.scaling import pilot, pilot_fit
from opal.scaling.exchange import Mixture, laws_of
from opal.scaling.fit import Fit, fit
from opal.scaling.laws.cross import cross_law
from opal.scaling.plan import STRATEGIES, plan
from opal.scaling.purchase import Planner, PurchaseBudget

X = {"n": "n", "N": "N", "alpha": "alpha"}
GOOD = {"E": 0.5, "R_s": 0.001, "C": 0.0, "A_s": 3.0, "A_r": 2.5}
BAD = {"E": 0.5, "R_s": 2.0, "C": 0.012, "A_s": 3.0, "A_r": 2.5}
TERMS: dict[str, Any] = {
    "n_real": 300,
    "price_real": np.inf,
    "price_synthetic": 0.01,
    "budget": 240.0,
}


def table(params: dict[str, float], *, noise: float = 0.1, seeds: int = 6) -> pd.DataFrame:
    """A pilot whose risks are the law's, with noise of one share of the excess."""
    rng, law, rows = np.random.default_rng(3), cross_law(), []
    points = pilot.first_points(300, 1200)
    at = {name: np.array([max(getattr(p, name), 1e-9) for p in points]) for name in X}
    at["alpha"] = np.array([p.alpha for p in points])
    exact = law.predict(params, at)
    for seed in range(seeds):
        values = exact + (exact - 0.5) * noise * rng.normal(size=len(points))
        rows.append(pd.DataFrame(points).assign(seed=seed, value=values))
    return pd.concat(rows, ignore_index=True)


def fitted(params: dict[str, float], **options: Any) -> Fit:
    near = pilot_fit.near(table(params, **options), X, "value")
    return fit(
        cross_law(),
        near,
        x=X,
        y="value",
        std_error="weight_error",
        seed="seed",
        n_bootstrap=30,
    )


@pytest.fixture(scope="module")
def good() -> Fit:
    return fitted(GOOD)


def test_the_plan_of_known_parameters_is_the_closed_form() -> None:
    advice = plan(GOOD, **TERMS)
    chosen, real, made = advice.chosen, 2.5 / 300, 0.001 + 3.0 / 12_000
    assert advice.recommendation == "buy synthetic"
    assert (chosen.n_augmented, chosen.n_real_bought, chosen.cost) == (12_000, 0, 240.0)
    assert chosen.alpha == pytest.approx(real / (real + made), rel=1e-9)
    assert chosen.gain == pytest.approx(real - 1 / (1 / real + 1 / made), rel=1e-9)
    assert chosen.n_equiv == pytest.approx(300 + 2.5 / made, rel=1e-6)
    assert np.isnan(chosen.ci).all()
    assert advice.decided


def test_left_over_money_buys_real_samples_where_they_are_the_better_buy() -> None:
    terms = {**TERMS, "price_real": 0.5, "budget": 2000.0}
    advice = plan(GOOD, **terms)
    law = Mixture.of(GOOD)
    stop = law.stop_size(0.5, 0.01)
    assert advice.recommendation == "buy both"
    assert advice.chosen.n_augmented == pytest.approx(stop, rel=0.02)
    assert advice.chosen.cost == pytest.approx(2000.0, abs=0.5)
    assert advice.stop.startswith(f"stop at N = {advice.chosen.n_augmented}: beyond it a real")
    # No split of the money on a grid does better.
    planner = Planner(law, None, PurchaseBudget((300.0, 300.0), 0.5, 0.01, 2000.0))
    for N in np.geomspace(10, 100_000, 60):
        bought = planner.budget.real_for(2000.0 - planner.budget.cost(N))
        n = planner.budget.n_with(bought)
        gain = planner.option("augment", N, law.best_alpha(n, N), bought).gain
        assert gain <= advice.chosen.gain + 1e-9


def test_dear_synthetic_samples_are_not_bought() -> None:
    advice = plan(GOOD, **{**TERMS, "price_real": 0.5, "price_synthetic": 2.0})
    assert advice.recommendation == "buy real"
    assert (advice.chosen.n_augmented, advice.chosen.n_real_bought) == (0, 480)


@pytest.mark.parametrize(("n_real", "said"), [(300, "buy none"), ((900, 180), "reweight instead")])
def test_a_harmful_generator_is_left_alone(n_real: Any, said: str) -> None:
    advice = plan(BAD, **{**TERMS, "n_real": n_real})
    assert advice.recommendation == said
    assert advice.chosen.cost == 0
    assert advice.stop.startswith("stop: no purchase")
    offered = {option.strategy: option for option in advice.alternatives}
    assert offered["augment"].gain < 0  # what buying all the same would do
    assert offered["augment"].n_augmented > 0


def test_a_gain_too_small_to_count_is_not_bought() -> None:
    dull = {**GOOD, "R_s": 0.5}
    assert plan(dull, **TERMS).recommendation == "buy none"
    assert plan(dull, **TERMS, min_gain=0.005).recommendation == "buy synthetic"


def test_more_money_is_more_gain() -> None:
    gains = [plan(GOOD, **{**TERMS, "budget": b}).chosen.gain for b in (10.0, 40.0, 160.0, 640.0)]
    assert np.all(np.diff(gains) > 0)
    small, large = (plan(GOOD, **{**TERMS, "budget": b}) for b in (10.0, 5000.0))
    assert small.marginal_gain > large.marginal_gain > 0
    assert small.stop.startswith("go on")
    assert large.stop.startswith("stop: as much money again")


def test_real_samples_go_to_the_smallest_groups() -> None:
    budget = PurchaseBudget((100.0, 10.0, 40.0), 1.0, 1.0, 1.0)
    level = 1 / np.mean(1 / np.array([100.0, 30.0, 40.0]))
    assert budget.n_with(20) == pytest.approx(level)
    assert budget.n_with(50) == pytest.approx(1 / np.mean(1 / np.array([100.0, 50.0, 50.0])))
    assert budget.n_with(150) == pytest.approx(100.0)
    assert budget.n_with(180) == pytest.approx(110.0)


def test_full_balancing_is_priced_and_judged_by_its_formula() -> None:
    terms = {**TERMS, "n_real": (900, 180)}
    option = plan(GOOD, **terms).alternative("balance")
    assert option.cost == pytest.approx(7.2)
    left = 0.5 * 0.8**2 * 0.001 + (0.6 * 2.5 + 0.4 * 3.0) / 900
    assert option.gain == pytest.approx(2.5 / 300 - left, rel=1e-9)


def test_strategies_can_be_chosen(good: Fit) -> None:
    terms = {**TERMS, "price_real": 5.0, "n_real": (900, 180)}
    shown = plan(good, **terms).alternatives
    assert [option.strategy for option in shown] == list(STRATEGIES)
    some = plan(good, **terms, strategies=("validated", "reweight")).alternatives
    assert [option.strategy for option in some] == ["reweight", "validated"]


def test_the_validated_size_is_the_best_measured_point(good: Fit) -> None:
    rows = good.frame[good.frame["n"] == 300].groupby(["N", "alpha"])["value"].mean()
    option = plan(good, **TERMS).alternative("validated")
    assert (option.n_augmented, option.alpha) == rows.idxmin()


def test_an_alternative_that_was_not_asked_for_is_refused() -> None:
    with pytest.raises(ValueError, match=r"unknown alternative 'augment'.*There are: reweight"):
        plan(GOOD, **TERMS, strategies=("reweight",)).alternative("augment")


def test_the_interval_covers_and_the_fit_decides(good: Fit) -> None:
    truth = plan(GOOD, **TERMS).chosen
    advice = plan(good, **TERMS)
    low, high = advice.chosen.ci
    assert low < truth.gain < high
    assert high - low < 0.5 * truth.gain
    assert advice.chosen.alpha == pytest.approx(truth.alpha, abs=0.1)
    assert advice.recommendation == "buy synthetic"
    assert advice.decided


def test_a_wide_interval_is_said_to_be_undecided() -> None:
    dull = fitted({**GOOD, "R_s": 0.3, "C": 0.006}, noise=0.3, seeds=4)
    advice = plan(dull, **TERMS, subsample=0.5)
    assert not advice.decided
    assert any("undecided" in text and "--pilot" in text for text in advice.warnings)


def test_seeds_that_share_a_pool_widen_the_interval(good: Fit) -> None:
    alone, shared = laws_of(good)[1], laws_of(good, 0.5)[1]
    assert alone is not None
    assert shared is not None
    ratio = np.std(np.asarray(shared.A_s)) / np.std(np.asarray(alone.A_s))
    assert ratio == pytest.approx(np.sqrt(6), rel=1e-6)


def test_far_extrapolation_is_said(good: Fit) -> None:
    advice = plan(good, **{**TERMS, "budget": 2400.0})
    assert any("far extrapolation: N = 120000" in text for text in advice.warnings)


def test_a_plan_is_json(good: Fit) -> None:
    fields = plan(good, **TERMS).to_dict()
    documented = {
        *("recommendation", "n_augmented", "alpha", "n_equiv", "expected_gain", "cost"),
        *("alternatives", "warnings", "n_real_bought", "gain_share", "marginal_gain", "stop"),
        "decided",
    }
    assert set(fields) == documented
    assert set(fields["expected_gain"]) == {"estimate", "ci"}


def test_what_is_infinite_or_unknown_is_null_in_json() -> None:
    known = plan({**GOOD, "R_s": 0.0, "A_s": 0.0}, **TERMS)
    assert np.isinf(known.chosen.n_equiv)
    fields = known.to_dict()
    assert (fields["n_equiv"], fields["expected_gain"]["ci"]) == (None, None)
    json.dumps(fields, allow_nan=False)


def test_seeds_that_share_their_real_samples_are_asked_for_the_share_of_the_pool() -> None:
    rows = table(GOOD)
    own = plan(pilot_fit.fit_pilot(rows, seed="seed", n_bootstrap=30), **TERMS)
    assert not any("--subsample" in text for text in own.warnings)
    alone = (rows["n"] == 300) & (rows["alpha"] == 0)
    rounding = 1e-9 * rows["seed"]
    shared = rows.assign(value=rows["value"].mask(alone, 0.5 + 2.5 / 300 + rounding))
    fit_of_shared = pilot_fit.fit_pilot(shared, seed="seed", n_bootstrap=30)
    assert "say --subsample 0.5" in plan(fit_of_shared, **TERMS).warnings[0]
    said = plan(fit_of_shared, **TERMS, subsample=0.5).warnings
    assert not any("--subsample" in text for text in said)


@pytest.mark.parametrize(("measured", "told"), [(0.006, True), (0.0, False)])
def test_a_measured_gain_that_the_law_does_not_expect_is_told(measured: float, told: bool) -> None:
    """A hopeless generator that helps at its smallest weight, as a penalty would."""
    rows = table({**BAD, "R_s": 8.0}, noise=0.01)
    here = (rows["n"] == 300) & (rows["N"] == 600) & (rows["alpha"] == 0.02)
    rows = rows.assign(value=rows["value"].mask(here, rows["value"] - measured))
    advice = plan(pilot_fit.fit_pilot(rows, seed="seed", n_bootstrap=30), **TERMS)
    assert advice.recommendation == "buy none"
    said = [text for text in advice.warnings if text.startswith("the pilot measured")]
    assert len(said) == told
    assert all("at N = 600, alpha = 0.02" in text for text in said)


def test_values_of_which_larger_ones_are_better_are_told() -> None:
    rows = table(GOOD, noise=0.02)
    found = pilot_fit.fit_pilot(rows.assign(value=1 - rows["value"]), seed="seed", n_bootstrap=30)
    assert "does not fall with their number" in found.warnings[0]
    assert "give 1 − accuracy" in found.warnings[0]


def test_risks_near_zero_are_no_slip_of_units() -> None:
    rows = table({**GOOD, "E": 0.0}, noise=0.05)
    low = rows.assign(value=rows["value"] - rows["value"].min() + 1e-5)
    fitted = pilot_fit.fit_pilot(low, seed="seed", n_bootstrap=30)
    assert plan(fitted, **TERMS, accept_loss=True).recommendation == "buy synthetic"


def test_a_purchase_that_may_be_a_loss_is_only_made_if_asked_for() -> None:
    unsure = pilot_fit.fit_pilot(
        table({**GOOD, "R_s": 0.02}, noise=0.5, seeds=3), seed="seed", n_bootstrap=40
    )
    careful, bold = (plan(unsure, **TERMS, accept_loss=loss) for loss in (False, True))
    low, high = bold.chosen.ci
    assert low <= 0 < high
    assert (careful.recommendation, bold.recommendation) == ("buy none", "buy synthetic")
    assert not careful.decided
    assert any("includes a loss" in text for text in careful.warnings)
    assert not any("includes a loss" in text for text in bold.warnings)


@pytest.mark.parametrize("bend", [0.0, 0.02])
def test_a_law_that_misses_the_pilot_by_more_than_it_admits_is_told(bend: float) -> None:
    """Points of small weights are low and others high, as no mixture law has it; seeds agree."""
    rows = table(GOOD, noise=0.02)
    middle = np.exp(-((np.log(rows["alpha"].clip(lower=1e-3) / 0.1)) ** 2))
    bent = rows.assign(value=rows["value"] + bend * middle * (rows["alpha"] > 0))
    advice = plan(pilot_fit.fit_pilot(bent, seed="seed", n_bootstrap=40), **TERMS)
    told = any("the law misses the pilot's risks" in text for text in advice.warnings)
    assert told == (bend > 0)
    assert not any("standard errors" in text for text in advice.warnings)


def parts_of(rows: pd.DataFrame, noise: float) -> pd.DataFrame:
    """The risks on ten parts of validation rows that all trainings share.

    What a part adds grows with the weight of the synthetic rows, so that it moves the gain.
    """
    rng, frames = np.random.default_rng(7), []
    luck = rng.standard_normal(10)
    for part, each in enumerate(luck - luck.mean()):
        moved = rows["value"] + noise * each * rows["alpha"]
        frames.append(rows.assign(part=part, value=moved))
    return pd.concat(frames, ignore_index=True)


def test_the_interval_of_a_gain_holds_the_error_of_validation_rows() -> None:
    rows = table(GOOD)
    alone = plan(pilot_fit.fit_pilot(rows, seed="seed", n_bootstrap=40), **TERMS)
    widths = []
    for noise in (0.0, 0.01):
        fitted = pilot_fit.fit_pilot(
            parts_of(rows, noise), seed="seed", part="part", n_bootstrap=40
        )
        advice = plan(fitted, **TERMS)
        assert advice.chosen.gain == pytest.approx(alone.chosen.gain, rel=1e-6)
        widths.append(np.diff(advice.chosen.ci)[0])
    assert widths[0] == pytest.approx(np.diff(alone.chosen.ci)[0], rel=1e-3)
    assert widths[1] > 1.3 * widths[0]


def test_the_remedy_fits_what_is_wrong_with_parts() -> None:
    rows = parts_of(table(GOOD, seeds=2), 0.01)
    with pytest.raises(
        ValueError, match=r"no column 'prt'; .* the column of the parts with --part"
    ):
        pilot_fit.fit_pilot(rows, seed="seed", part="prt")
    with pytest.raises(ValueError, match=r"n = .*, alpha = 0 has 20 rows of 10 parts\. .*--seed"):
        pilot_fit.fit_pilot(rows, part="part")
    with pytest.raises(ValueError, match=r"has 9 rows of 9 parts\. Add the rows that lack"):
        pilot_fit.fit_pilot(rows.iloc[1:], seed="seed", part="part")
    twice = pd.concat([rows, rows.iloc[:1]], ignore_index=True)
    with pytest.raises(ValueError, match=r"has 11 rows of 10 parts\. Drop the rows that repeat"):
        pilot_fit.fit_pilot(twice, seed="seed", part="part")
    empty = rows.astype({"part": object}).reset_index(drop=True)
    empty.loc[4, "part"] = None
    with pytest.raises(ValueError, match=r"every row needs a part; 1 of .* first is data row 5\."):
        pilot_fit.fit_pilot(empty, seed="seed", part="part")
    for other in ("seed", "alpha", "value"):
        with pytest.raises(ValueError, match=f"'{other}' is named as the column of something else"):
            pilot_fit.fit_pilot(rows, seed="seed", part=other)


def test_every_training_has_every_part() -> None:
    rows = parts_of(table(GOOD, seeds=2), 0.01)
    with pytest.raises(ValueError, match="has 9 rows of 9 parts"):
        pilot_fit.fit_pilot(rows.iloc[1:], seed="seed", part="part")
    with pytest.raises(ValueError, match="at least 5 parts of them; 'part' names 3"):
        pilot_fit.fit_pilot(rows[rows["part"] < 3], seed="seed", part="part")


def test_no_more_is_gained_than_there_is_to_gain() -> None:
    """A negative cross term alone could promise risks below the floor."""
    odd = {"E": 0.5, "R_s": 0.01, "C": -0.02, "A_s": 3.0, "A_r": 2.5}
    assert Mixture.of(odd).excess(300, 12_000, 0.5) < 0
    advice = plan(odd, **TERMS)
    assert advice.chosen.gain == pytest.approx(advice.excess)
    found = advice.to_dict()
    assert found["gain_share"] == pytest.approx(1.0)
    assert found["n_equiv"] is None
    assert found["n_equiv_why"].startswith("no number of real samples")
    assert "n_equiv_why" not in plan(GOOD, **TERMS).to_dict()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_real": 0}, "n_real is the number of real samples of each group and must be positive"),
        ({"n_real": (300, -1)}, "got [300.0, -1.0]"),
        (
            {"price_real": -2.0},
            "price_real is the price of one sample and must be positive; got -2",
        ),
        ({"price_synthetic": 0.0}, "price_synthetic is the price of one sample"),
        ({"price_synthetic": np.inf}, "price_synthetic must be finite"),
        ({"budget": 0.0}, "budget is the money that may be spent and must be positive; got 0.0"),
        ({"budget": np.nan}, "budget is the money"),
        ({"strategies": ("balnce",)}, "unknown strategy 'balnce'; did you mean 'balance'?"),
        ({"subsample": 1.0}, "subsample is the share of one pool that each seed draws, in (0, 1)"),
        ({"min_gain": 1.0}, "min_gain is a share of the excess risk in [0, 1); got 1.0"),
        ({"level": 95.0}, "level must lie between 0 and 1; got 95.0"),
    ],
)
def test_impossible_terms_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        plan(GOOD, **{**TERMS, **change})


def test_a_fit_with_a_link_is_refused() -> None:
    rows = pilot_fit.near(table(GOOD), X, "value")
    linked = fit(cross_law(), rows, x=X, y="value", seed="seed", link="log", n_bootstrap=20)
    with pytest.raises(ValueError, match="needs a fit without a link; got 'log'"):
        plan(linked, **TERMS)
