"""Comparison of laws: what the held-out points can tell apart, and what cannot be fitted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from opal.scaling.compare import compare_laws, verdict
from opal.scaling.laws import LAWS
from simulations.fit_coverage import Config, draw_truth, simulate

ONE_SIZE = ("power", "power-no-floor", "exponential")
WRONG = {  # a power with a floor of zero has none
    "power": ["exponential", "power-no-floor"],
    "power-no-floor": ["exponential"],
    "exponential": ["power", "power-no-floor"],
}


def table(law: str, key: int, n_sizes: int = 10) -> pd.DataFrame:
    rng = np.random.default_rng(key)
    x = {"n": np.geomspace(50, 5e4, n_sizes)}
    return simulate(LAWS[law], x, draw_truth(law, rng), Config(n_seeds=5), rng)


def compared(frame: pd.DataFrame, *laws: str, n_held_out: int = 3) -> pd.DataFrame:
    return compare_laws(
        laws, frame, x={"n": "n"}, y="y", by="n", seed="seed", n_held_out=n_held_out
    )


@pytest.mark.slow
def test_the_law_that_made_the_table_is_best_or_tied_with_it() -> None:
    told = []
    for law in ONE_SIZE:
        for key in range(2):
            found = compared(table(law, key), *ONE_SIZE).set_index("law")
            assert found.loc[law, "tied"]
            assert found["gap"].iloc[0] == 0
            told += [not found.loc[wrong, "tied"] for wrong in WRONG[law]]
    assert np.mean(told) >= 0.7  # so that being tied says something


def test_the_verdict_says_who_is_told_apart() -> None:
    found = compared(table("power", 0), "exponential", "power", "shifted")
    assert found["law"].iloc[-1] == "exponential"
    assert "but they cannot tell it from" in verdict(found)
    assert "exponential" not in verdict(found)
    assert verdict(found).endswith("of these power has the fewest parameters.")
    clear = compared(table("exponential", 0), "power", "exponential")
    assert verdict(clear) == "exponential predicts the held-out points best, by more than noise."


def test_laws_that_cannot_be_fitted_are_listed_with_the_reason() -> None:
    found = compared(table("power", 1, n_sizes=8), "broken", "power")
    assert found["law"].tolist() == ["power", "broken"]
    assert "needs at least 6 different sizes in 'n'; got 5" in found["reason"].iloc[1]
    assert verdict(found) == "only power could be fitted."
    with pytest.raises(ValueError, match="needs at least 6 different sizes"):
        compared(table("power", 1, n_sizes=8), "broken")


def test_given_standard_errors_are_noise_enough_to_tell_laws_apart() -> None:
    n = np.geomspace(50, 5e4, 10)
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"n": n, "se": 0.004})
    frame["y"] = 0.2 + 3 * n**-0.5 + 0.004 * rng.normal(size=10)
    settings: dict[str, Any] = {"x": {"n": "n"}, "y": "y", "by": "n", "n_held_out": 1}
    known = compare_laws(["power", "power-no-floor"], frame, std_error="se", **settings)
    assert known["tied"].tolist() == [True, False]
    unknown = compare_laws(["power", "power-no-floor"], frame, **settings)
    assert unknown["gap_noise"].iloc[1] == np.inf  # one row says nothing of its own noise


def test_laws_that_all_miss_are_not_called_best() -> None:
    """Values that rise again: whatever is nearest foresees nothing."""
    rng, n = np.random.default_rng(0), np.geomspace(50, 5e4, 10)
    log = np.log(n / 2e3)
    rows = [
        pd.DataFrame({"n": n, "seed": seed, "y": 0.5 + 0.05 * log**2 + 0.002 * rng.normal(size=10)})
        for seed in range(5)
    ]
    said = verdict(compared(pd.concat(rows, ignore_index=True), "power", "exponential"))
    assert said.startswith("none of these laws foresees the held-out points")
