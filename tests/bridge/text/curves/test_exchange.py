"""What synthetic texts are worth, on curves of which it is known."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from scipy import stats

from opal.bridge import render
from opal.bridge.text.curves import exchange, plan, train
from opal.bridge.text.curves.evaluate import CurveSettings, evaluate
from opal.bridge.text.curves.picture import worths
from opal.bridge.text.curves.report import Evaluation, blocks
from opal.bridge.text.published import grammar_corpus
from opal.checks import z_threshold

SIZES = (0, 30, 60, 120, 250, 500, 1000)
N_BASE = 100


def planted(bias: float = 0.0, *, n_seeds: int = 6, noise: float = 0.004) -> pd.DataFrame:
    """Errors ``.2 + bias + 2 / sqrt(100 + N)``; the noise of seeds has mean zero."""
    rng = np.random.default_rng(0)
    shift = noise * rng.standard_normal((n_seeds, 1))
    shift = shift + 0.1 * noise * rng.standard_normal((n_seeds, len(SIZES)))
    shift -= shift.mean(axis=0)
    rows = [
        {
            "added": added,
            "total": float(N_BASE + added),
            "value": 0.2 + bias + 2 / np.sqrt(N_BASE + added) + shift[seed, k],
            "seed": seed,
        }
        for seed in range(n_seeds)
        for k, added in enumerate(SIZES)
    ]
    return pd.DataFrame(rows)


def true_worth(bias: float, added: int) -> float:
    """Human texts with the same planted error."""
    return (2 / (bias + 2 / np.sqrt(N_BASE + added))) ** 2 - N_BASE


def test_texts_are_worth_as_many_of_their_own_kind() -> None:
    """In every draw too: the laws of both curves draw the same seeds."""
    human = planted()
    (found,) = exchange.worth(human, human.copy(), (500,))
    assert found.human == pytest.approx(500, rel=1e-3)
    assert found.low == pytest.approx(500, rel=1e-3)
    assert found.high == pytest.approx(500, rel=1e-3)


def test_worth_is_recovered_and_its_interval_holds_it() -> None:
    """And does not hold twice of it; errors over test texts widen it."""
    both = planted(), planted(0.03)
    (found,) = exchange.worth(*both, (500,))
    truth = true_worth(0.03, 500)
    assert found.human == pytest.approx(truth, rel=0.1)
    assert found.low <= truth <= found.high < 2 * truth
    (wide,) = exchange.worth(*both, (500,), errors=certain(500, 0.01))
    assert wide.human == found.human
    assert wide.low < found.low <= found.high < wide.high
    floor = exchange.law(both[1]).params["E"]
    assert floor.low <= 0.23 <= floor.high
    assert floor.high < 0.3


def test_the_most_texts_are_those_that_all_seeds_have() -> None:
    points = planted()
    lacking = points[(points["seed"] != 0) | (points["added"] < 1000)]
    assert exchange.most_added(points) == 1000
    assert exchange.most_added(lacking) == 500


def certain(added: int, error: float) -> exchange.Errors:
    """One standard error, known exactly, at every size."""
    return {added: dict.fromkeys(SIZES, (error, stats.norm.ppf(0.975) * error))}


def test_an_interval_ends_where_a_normal_test_at_five_percent_does() -> None:
    """Seeds agree, tests have one standard error: both ends are known in closed form."""
    error = 0.006
    both = planted(noise=0.0), planted(noise=0.0)
    found = exchange.worth(*both, (500,), errors=certain(500, error))
    far = stats.norm.ppf(0.975) * error
    ends = [(2 / (sign * far + 2 / np.sqrt(N_BASE + 500))) ** 2 - N_BASE for sign in (1, -1)]
    assert (found[0].low, found[0].high) == pytest.approx(tuple(ends), rel=0.01)


def test_the_end_is_open_where_the_human_curve_is_too_flat_to_tell() -> None:
    """An error below all human ones is worth more than all; one above weighting, nothing."""
    (better,) = exchange.worth(planted(), planted(-0.01), (1000,), errors=certain(1000, 0.02))
    assert better.human == better.high == np.inf
    assert better.low < 1000
    (worse,) = exchange.worth(planted(), planted(0.3), (1000,))
    assert (worse.human, worse.low, worse.high) == (0, 0, 0)
    (best,) = exchange.worth(planted(), planted(-0.3), (1000,))
    assert best.low == np.inf


def test_texts_that_change_nothing_are_worth_nothing() -> None:
    """Though human texts of few seeds happen to do harm: no text has the same error as they."""
    human, made = planted(), planted()
    none = human[human["added"] == 0].set_index("seed")["value"]
    made["value"] = made["seed"].map(none)
    harm = 0.01 * (1 + human["seed"] % 2) * (human["added"] > 0)
    human["value"] = human["seed"].map(none) + harm
    (found,) = exchange.worth(human, made, (500,))
    assert (found.human, found.low) == (0.0, 0.0)


def test_intervals_hold_the_true_worth_nineteen_times_in_twenty() -> None:
    """Of curves with independent noise of seeds and tests; without the latter, less often."""
    rng, bias, n = np.random.default_rng(3), 0.02, 120
    truth, held = true_worth(bias, 250), np.zeros(2)
    for _ in range(n):
        human, source = (planted(b, noise=0.0) for b in (0.0, bias))
        tests = 0.01 * rng.standard_normal((2, len(SIZES)))
        for frame, moved in ((human, tests[0]), (source, tests[1])):
            frame["value"] += 0.01 * rng.standard_normal(len(frame))
            frame["value"] += frame["added"].map(dict(zip(SIZES, moved, strict=True)))
        over_seeds = 0.01 * np.sqrt(2 / 6)
        for k, width in enumerate((1.0, 0.0)):
            errors = certain(250, np.hypot(over_seeds, width * 0.01 * np.sqrt(2)))
            (found,) = exchange.worth(human, source, (250,), errors=errors)
            held[k] += found.low <= truth <= found.high
    tolerance = z_threshold(2) * np.sqrt(0.05 * 0.95 / n)
    assert held[0] / n > 0.95 - tolerance
    assert held[1] / n < 0.95 - tolerance


def with_tests(points: pd.DataFrame, rng: np.random.Generator, error: float) -> pd.DataFrame:
    """The curve as test texts show it that move all sizes by one normal draw, with influences."""
    blocks = error * np.sqrt(100) * rng.standard_normal(100)
    changes = (blocks - blocks.mean()) / len(blocks)
    values = points["value"] + blocks.mean()
    return points.assign(value=values, influence=[changes] * len(points))


@pytest.mark.slow
def test_intervals_of_floors_hold_them_nineteen_times_in_twenty_or_more() -> None:
    """Seeds agree and test texts move the whole curve: without these, hardly ever."""
    rng, held, n = np.random.default_rng(4), np.zeros(2), 25
    for _ in range(n):
        points = with_tests(planted(noise=0.0), rng, 0.01)
        points["value"] += 0.0005 * rng.standard_normal(len(points))
        for k, each in enumerate((points, points.drop(columns="influence"))):
            floor = exchange.floor(each)
            assert not floor.why_not
            held[k] += floor.low <= 0.2 <= floor.high
    tolerance = z_threshold(2) * np.sqrt(0.05 * 0.95 / n)
    assert held[0] / n > 0.95 - tolerance
    assert held[1] / n < 0.95 - tolerance


@pytest.mark.parametrize("sizes", [(0, 30, 60), (0, 500, 1000)])
def test_a_floor_that_few_sizes_do_not_show_is_not_made_up(sizes: tuple[int, ...]) -> None:
    points = with_tests(planted(), np.random.default_rng(0), 0.01)
    floor = exchange.floor(points[points["added"].isin(sizes)])
    assert "does not show where it ends" in floor.why_not or floor.low <= 0.2 <= floor.high


def test_one_seed_has_no_floor() -> None:
    points = with_tests(planted(), np.random.default_rng(0), 0.01)
    with pytest.raises(ValueError, match="intervals over seeds need at least two seeds"):
        exchange.floor(points[points["seed"] == 0])


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    settings = CurveSettings(
        encoder="words",
        sources=("faithful", "human"),
        sizes=(30, 60, 120, 250),
        strength=10.0,
        most_test=1000,
    )
    corpus = grammar_corpus()
    return pd.concat([evaluate(corpus, seed, settings) for seed in range(3)], ignore_index=True)


@pytest.mark.slow
def test_a_pilot_knows_no_more_than_half_the_texts(frame: pd.DataFrame) -> None:
    rows = plan.pilot_rows(frame, "faithful")
    assert rows["N"].max() * 4 <= 125 < 250
    assert set(rows["alpha"]) == {0.0, 0.05, 0.2, 0.4, 0.6, 0.8, 1.0}
    assert rows.loc[rows["alpha"] == 0, "n"].nunique() == 4
    assert (rows.groupby("seed").size() == 17).all()


@pytest.mark.slow
def test_what_a_plan_recommends_is_trained_beyond_its_pilot(frame: pd.DataFrame) -> None:
    made = plan.plan_purchase(frame, "faithful")
    assert made.promised[1] > 0
    assert (made.says, "fewer than 5 seeds" in made.why) == ("open", True)
    assert made.tried[0] in (188, 250)
    assert made.tried[1] in train.PURCHASE_WEIGHTS
    low, high = made.promised[1:]
    assert low < made.promised[0] < high
    came = plan.realised(frame, "faithful", made)
    own = (frame["arm"] == "purchase") & (frame["synthesizer"] == "faithful")
    rows = frame[own & (frame["added"] == made.tried[0]) & (frame["alpha"] == made.tried[1])]
    rows = rows[rows["source"] == "data"]
    assert len(rows[rows["metric"] == "balanced_risk"]) == 3
    difference = rows.loc[rows["metric"] == "balanced_risk_difference", "value"]
    assert came["measured"] == pytest.approx(-difference.mean())
    assert came["measured"] <= came["best"]
    assert came["regret"] == pytest.approx(came["best"])
    bought = plan.realised(frame, "faithful", replace(made, says="buy"))
    assert bought["regret"] == pytest.approx(came["best"] - came["measured"])
    assert came["came"] == "gain"


@pytest.mark.slow
def test_a_plan_that_is_not_sure_does_not_say_buy(frame: pd.DataFrame) -> None:
    """Texts worse than none are not bought; where pilots are noise, the plan is open."""
    pilot = frame["arm"].eq("pilot") & frame["synthesizer"].eq("faithful")
    risk = frame["metric"].eq("balanced_risk")
    harmful = frame.assign(value=frame["value"].mask(pilot & risk, frame["value"] + 0.3))
    refused = plan.plan_purchase(harmful, "faithful")
    assert refused.says != "buy"
    assert plan.realised(harmful, "faithful", refused)["regret"] > 0
    measured = pilot & frame["source"].eq("data")
    wild = [100.0 * h if own else h for h, own in zip(frame["influence"], measured, strict=True)]
    noisy = frame.assign(influence=wild)
    unsure = plan.plan_purchase(noisy, "faithful")
    assert unsure.says == "open"
    assert "includes" in unsure.why
    assert unsure.promised[0] == plan.plan_purchase(frame, "faithful").promised[0]


@pytest.mark.slow
def test_the_comparison_has_a_row_for_every_source(frame: pd.DataFrame, tmp_path: Path) -> None:
    compared = plan.comparison(frame).set_index("source")
    assert set(compared.index) == {"faithful", "human"}
    assert compared.loc["faithful", "worth"] > 0
    assert np.isnan(compared.loc["human", "worth"])
    result = Evaluation(frame, {"seeds": 3}).write(tmp_path)
    json.dumps(result, allow_nan=False)
    assert (tmp_path / "text.png").stat().st_size > 20_000
    assert {arm["arm"] for arm in result["arms"]} >= {"raw", "threshold", "duplication"}
    assert not {arm["arm"] for arm in result["arms"]} & {"pilot", "purchase"}
    said = printed(result)
    assert "gain measured" in said
    assert "no worth" not in said


def printed(result: dict[str, Any]) -> str:
    """What a wide terminal shows."""
    console = Console(width=240, record=True, file=io.StringIO())
    console.print(render.terminal(blocks(result)))
    return console.export_text()


@pytest.mark.slow
def test_what_is_missing_is_explained(frame: pd.DataFrame, tmp_path: Path) -> None:
    """No human texts, one size, one seed: each dash has a reason, in JSON and below the tables."""
    alone = frame[(frame["synthesizer"] != "human") & frame["added"].isin([0, 250])]
    alone = alone[(alone["replicate"] == 0) & (alone["arm"] != "pilot")]
    result = Evaluation(alone).write(tmp_path)
    (row,) = result["sources"]
    assert row["worth_why"].startswith("there are no human texts")
    assert row["floor_why"]
    assert row["plan_why"]
    assert row.get("worth") is None
    said = " ".join(printed(result).split())
    for missing in ("no worth: there are no human texts", "no floor: ", "no plan: "):
        assert f"grammar, words, faithful: {missing}" in said


def test_a_plan_that_came_out_wrong_is_told() -> None:
    row = {"setting": "c", "encoder": "e", "source": "s", "added": 10, "plan_why": "so"}
    row |= {"floor": 0.1, "floor_low": 0.0, "floor_high": 0.2, "worth_why": "none", "best_added": 0}
    row |= dict.fromkeys(("promised", "promised_low", "promised_high"), 0.1)
    row |= {"tried": 10, "tried_alpha": 0.2, "measured": -0.2, "measured_far": 0.02}
    row |= {"less_error": 0.0, "less_error_far": 0.02, "advice": "buy", "came": "loss"}
    result = {"arms": [], "figure": "f", "records": "r"}
    assert "made the log loss worse" in printed(result | {"sources": [row]})
    row |= {"advice": "open", "came": "gain"}
    assert "lowered the log loss" in printed(result | {"sources": [row]})


def test_numbers_beyond_all_human_texts_are_called_so() -> None:
    compared = pd.DataFrame(
        {
            "setting": "c",
            "encoder": "e",
            "source": ["gpt-4", "human"],
            "added": [1000, 2000],
            "worth": [np.inf, np.nan],
            "worth_low": [123.0, np.nan],
            "worth_high": [np.inf, np.nan],
        }
    )
    (said,) = worths(compared, "c", "e")
    assert said == "1,000 GPT-4\n= > 2,000 human [120, > 2,000]"
