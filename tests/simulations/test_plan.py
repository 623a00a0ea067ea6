"""The planner's study: weights of rows, and checks that a bad planner fails."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from opal.objective import Design
from opal.settings import GaussianMixture
from opal.settings.groups import Sample
from opal.synthesis import Oracle
from simulations import plan
from simulations._pilot import Rows

COUNTS = (12, 5)
BASE = Design(
    COUNTS,
    Oracle(GaussianMixture([[-1.0], [1.0]]).law),
    oversample="none",
    weighting="group",
)


def rows() -> Rows:
    samples = [
        Sample(jnp.zeros((sum(counts), 1)), jnp.zeros(sum(counts), int), counts)
        for counts in (COUNTS, (20, 20))
    ]
    return Rows(*samples)


DESIGNS = {
    "none": BASE,
    "part": BASE.with_(counts=(6, 3), n_augmented=4, alpha=0.3),
    "synthetic": BASE.with_(n_augmented=20, alpha=1.0),
    "balance": BASE.with_(weighting="opal", oversample="balance"),
}


@pytest.mark.parametrize("name", DESIGNS)
def test_weights_are_those_of_the_objective(name: str) -> None:
    design = DESIGNS[name]
    weights = rows().weights(design, rows().shuffled(np.random.default_rng(0)))
    assert weights.shape == (sum(COUNTS) + 40,)
    assert weights.sum() == pytest.approx(1.0)
    real, made = np.split(weights > 0, [sum(COUNTS)])
    used = design.counts if design.alpha < 1 else (0, 0)
    assert (real[:12].sum(), real[12:].sum()) == used
    added = [m + design.n_augmented for m in design.n_oversampled]
    assert [made[:20].sum(), made[20:].sum()] == added


def test_fewer_rows_are_among_more() -> None:
    ranks = rows().shuffled(np.random.default_rng(1))
    few, many = (rows().weights(BASE.with_(n_augmented=N, alpha=0.5), ranks) > 0 for N in (5, 11))
    assert (few <= many).all()
    assert few.sum() < many.sum()


def records(ratio: float, *, buys_harm: bool, promised: float = 0.1) -> pd.DataFrame:
    """Ten settings that help and ten that hurt, with a planner at ``ratio`` of the best."""
    found: list[dict[str, Any]] = []
    for index in range(20):
        hurts = index >= 10
        best = 1.0 if hurts else 0.5
        value = {"none": 1.0, "best": best, "balance": 2.0, "validated size": 1.0}
        value |= dict.fromkeys(plan.PURCHASES.values(), 1.1 if hurts else 0.9)
        value |= dict.fromkeys(plan.PLANNERS, best * ratio)
        for arm, excess in value.items():
            found.append(
                {
                    "arm": arm,
                    "value": excess,
                    "std_error": 0.01,
                    "source": "simulation",
                    "alpha": 0.5,
                    "family": 0,
                    "dial": "shift",
                    "size": float(index),
                    "buys": buys_harm if hurts else True,
                    "decided": True,
                    "gain": -promised if hurts else promised,
                    "gain_low": -promised - 0.05 if hurts else promised - 0.05,
                    "gain_high": -promised + 0.05 if hurts else promised + 0.05,
                }
            )
    return pd.DataFrame(found)


def verdicts(frame: pd.DataFrame) -> dict[str, bool]:
    """Of both planners together, by what is checked."""
    found: dict[str, bool] = {}
    for check in plan.checks(frame):
        name = check.name.partition(": ")[2]
        found[name] = found.get(name, True) and check.passed
    return found


def test_a_good_planner_passes_and_a_bad_one_fails() -> None:
    good = verdicts(records(1.05, buys_harm=False))
    assert len(good) == 5
    assert all(good.values())
    bad = verdicts(records(1.2, buys_harm=True))
    assert not bad["what is bought is near the best"]
    assert not bad["buy none where buying hurts"]
    assert not bad["no purchase is worse than none"]
    assert not verdicts(records(1.05, buys_harm=False, promised=0.3))[
        "promised gains lie in their intervals"
    ]
    helpful = records(1.05, buys_harm=False).query("size < 10")
    none, _ = [c for c in plan.checks(helpful) if c.name.endswith("buy none where buying hurts")]
    assert not none.passed
    assert none.detail.startswith("nothing was compared")
    silent = records(1.05, buys_harm=False).assign(buys=False)
    assert not verdicts(silent)["sure to buy none where buying helps"]
    assert verdicts(silent.assign(decided=False))["sure to buy none where buying helps"]


def test_there_are_settings_enough_and_pilots_are_cheap() -> None:
    full = plan.PRESETS["full"]
    assert len(plan.cells(full)) >= 60
    assert full.pilot_share <= 0.1
    assert len({cell.key() for cell in plan.cells(full)}) == len(plan.cells(full))
