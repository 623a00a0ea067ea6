"""What synthetic texts are worth, on curves of which it is known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from opal.bridge.text import curves, exchange, picture
from opal.bridge.text.evaluate import Settings, evaluate
from opal.bridge.text.grammar import grammar_corpus

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
    laws = exchange.law(both[0]), exchange.law(both[1])
    (found,) = exchange.worth(*both, (500,), laws=laws)
    truth = true_worth(0.03, 500)
    assert found.human == pytest.approx(truth, rel=0.02)
    assert found.low - 1 <= truth <= found.high + 1
    assert found.high < 2 * truth
    (wide,) = exchange.worth(*both, (500,), test_error={500: 0.01}, laws=laws)
    assert wide.human == found.human
    assert wide.low < found.low <= found.high < wide.high
    floor = laws[1].params["E"]
    assert floor.low <= 0.23 <= floor.high
    assert floor.high < 0.3


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    settings = Settings(
        encoder="words",
        sources=("faithful", "human"),
        sizes=(30, 60, 120, 250),
        strength=10.0,
        most_test=1000,
    )
    corpus = grammar_corpus()
    return pd.concat([evaluate(corpus, seed, settings) for seed in range(3)], ignore_index=True)


def test_a_pilot_knows_no_more_than_half_the_texts(frame: pd.DataFrame) -> None:
    rows = exchange.pilot_rows(frame, "faithful")
    assert rows["N"].max() * 4 <= 125 < 250
    assert set(rows["alpha"]) == {0.0, 0.05, 0.2, 0.4, 0.6, 0.8, 1.0}
    assert rows.loc[rows["alpha"] == 0, "n"].nunique() == 4
    assert (rows.groupby("seed").size() == 17).all()


def test_a_plan_is_held_against_what_larger_sizes_bring(frame: pd.DataFrame) -> None:
    made, outcome = exchange.advice(frame, "faithful")
    assert made.recommendation == "buy synthetic"
    assert 0 < made.chosen.n_augmented <= 63
    measured = frame[
        (frame["arm"] == "synthetic_alpha")
        & (frame["synthesizer"] == "faithful")
        & (frame["added"] == 250)
        & (frame["metric"] == "balanced_risk_difference")
    ]
    assert outcome["measured"] == pytest.approx(-measured["value"].mean())
    assert outcome["measured"] <= outcome["best"]
    assert outcome["promised"] > 0


def test_the_comparison_has_a_row_for_every_source(frame: pd.DataFrame, tmp_path: Path) -> None:
    compared = exchange.comparison(frame).set_index("source")
    assert set(compared.index) == {"faithful", "human"}
    assert compared.loc["faithful", "worth"] > 0
    assert np.isnan(compared.loc["human", "worth"])
    result = curves.write(frame, tmp_path, {"seeds": 3})
    json.dumps(result, allow_nan=False)
    assert (tmp_path / "text.png").stat().st_size > 20_000
    assert {arm["arm"] for arm in result["arms"]} >= {"raw", "threshold", "duplication"}
    assert curves.table(result) is not None


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
    (said,) = picture.worths(compared, "c", "e")
    assert said == "1,000 GPT-4\n= > 2,000 human [120, > 2,000]"
