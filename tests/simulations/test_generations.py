"""The study of generators trained on generators: its rows, its comparison, and its controls."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from opal.checks import Check
from opal.simulation import replicate_metrics
from opal.synthesis import GaussianFit
from opal.theory.generations import after_generations, moment_errors
from simulations import generations as study
from simulations._generations import trained_excess
from simulations._rows import EXCESS

TINY = study.PRESETS["tiny"]
FULL = study.PRESETS["full"]


def test_every_generation_gets_as_many_rows() -> None:
    totals = {r: study.Chain(FULL, "gaussian", r).training().totals(4) for r in study.REGIMES}
    assert totals["replaced"] == totals["fresh"] == (60, 60, 60, 60)
    assert totals["accumulated"] == (60, 120, 180, 240)
    fresh = study.Chain(FULL, "rule", "fresh")
    assert fresh.training().n_fresh == 600
    assert [fresh.seen(k) for k in (1, 2, 10)] == [3000, 3600, 8400]
    assert study.Chain(FULL, "rule", "accumulated").seen(10) == 3000


def planted(*, right: bool) -> pd.DataFrame:
    """A comparison whose simulation is theory plus noise, or that of replaced rows throughout."""
    rng, rows = np.random.default_rng(0), []
    for part in study.PARTS:
        for regime in study.REGIMES:
            known = moment_errors(study.Chain(FULL, part, regime).training(), 10).mean
            other = moment_errors(study.Chain(FULL, part, "replaced").training(), 10).mean
            for k, value in enumerate(known):
                error = 0.01 * value
                truth = value if right else other[k]
                simulated = truth + error * rng.normal()
                common = {"part": part, "regime": regime, "generation": k + 1, "alpha": 1.0}
                numbers = {"simulated": simulated, "std_error": error, "predicted": value}
                rows.append({**common, **numbers, "metric": EXCESS, "pseudo_count": 0.0})
    table = pd.DataFrame(rows)
    return table.assign(z=(table["simulated"] - table["predicted"]) / table["std_error"])


def found(table: pd.DataFrame) -> dict[str, Check]:
    controls = [
        check
        for part in study.PARTS
        for check in study._controls(part, table[table["part"] == part])
    ]
    return {check.name: check for check in controls}


def test_wrong_theories_are_caught_where_the_right_one_holds() -> None:
    for name, check in found(planted(right=True)).items():
        assert check.passed, name
        assert not check.detail.startswith("nothing was compared")


def test_a_control_fails_if_the_wrong_theory_is_right() -> None:
    checks = found(planted(right=False))
    for part in study.PARTS:
        assert not checks[f"{part}: accumulated is not replaced"].passed
        assert checks[f"{part}: errors accumulate"].passed
    table = planted(right=True)
    stopped = table.groupby("regime")["predicted"].transform("first")
    flat = found(table.assign(simulated=stopped, predicted=stopped))
    assert not any(flat[f"{part}: errors accumulate"].passed for part in study.PARTS)


def limit_checks(table: pd.DataFrame, limit: float) -> list[bool]:
    records = pd.DataFrame({"metric": [study.LIMIT], "alpha": [1.0], "value": [limit]})
    return [check.passed for check in study._of_limit(records, table)]


def test_the_limit_holds_accumulated_rows_and_no_others() -> None:
    table = planted(right=True)
    end = np.pi**2 / 6 / FULL.n_rule
    assert limit_checks(table, end) == [True, True]
    assert limit_checks(table, end / 2) == [False, True]
    assert limit_checks(table, 20 * end) == [True, False]


def test_what_is_found_is_said_of_the_last_generation(monkeypatch: pytest.MonkeyPatch) -> None:
    table = planted(right=True)
    monkeypatch.setattr(study, "comparison", lambda _: table)
    (said,) = study.findings(pd.DataFrame())
    assert said.startswith("excess risk of rules on rows of generation 10 at alpha = 1: replaced ")
    for regime in study.REGIMES:
        known = moment_errors(study.Chain(FULL, "rule", regime).training(), 10).mean[-1]
        assert re.search(rf"{regime} \S+ ± \S+ \({known:.3g} predicted\)", said)
    table = table[table["part"] != "rule"]
    assert study.findings(pd.DataFrame()) == []


@pytest.mark.slow
@pytest.mark.parametrize("regime", study.REGIMES)
def test_rows_of_the_last_generation_are_those_of_a_simulation(regime: str) -> None:
    """The same replicates as :func:`opal.simulation.simulate` draws with the synthesizer."""
    at = study.Chain(replace(TINY, n_rule=60), "rule", regime)
    design = study.rule_design(at, 3, 0.7).with_(synthesizer=at.of(GaussianFit()))
    law = study.classes(at.config)
    own = replicate_metrics(law, design, key=3, n_replicates=8, calibration=False)[EXCESS]
    made = trained_excess(law.law, design, (0.7,), (1, 3), key=3, n_replicates=8)
    assert made.shape == (8, 2, 1)
    np.testing.assert_allclose(made[:, 1, 0], own, rtol=1e-6)
    assert not np.allclose(made[:, 0, 0], own)


@pytest.mark.slow
def test_a_rule_is_predicted_and_a_forgetful_theory_is_not() -> None:
    config = replace(FULL, dim=2, n_rule=400, n_augmented=1000, n_rules=1500, generations=(1, 5))
    at = study.Chain(replace(config, n_generations=5, alphas=(1.0,)), "rule", "replaced")
    table = study.comparison(study.measure_rule(at))
    assert table["z"].abs().max() < 3.5
    later = table[table["generation"] == 5].iloc[0]
    design = study.rule_design(at, 1, 1.0)
    wrong = after_generations(study.classes(at.config), design, at.training(), 1)
    assert later["simulated"] - wrong > 10 * later["std_error"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"n_generations": 1}, "n_generations must be a whole number of at least 2; got 1."),
        ({"generations": ()}, "generations needs at least one value"),
        ({"generations": (0,)}, "generations must be a whole number of at least 1; got 0."),
        ({"generations": (4,)}, "are among the n_generations = 3; got (4,)."),
        ({"share": 1.2}, "share of fresh rows is in [0, 1]; got 1.2."),
        ({"n_first": 4}, "n_first must be at least dim + 3 = 5, or the divergence of a fitted"),
        ({"n_rule": 4}, "n_rule must be at least dim + 3 = 5"),
        ({"pseudo_counts": (-0.5,)}, "pseudo_counts must be a finite number of at least 0"),
        (
            {"pseudo_counts": (0.5, 0.5)},
            "pseudo_counts must differ from each other; got (0.5,",
        ),
        ({"generations": (1, 1)}, "generations must differ from each other; got (1, 1)."),
        ({"distance": -1.0}, "distance must be a finite number of at least 0"),
        ({"pseudo_counts": ()}, "pseudo_counts needs at least one value"),
        ({"alphas": ()}, "alphas needs at least one value"),
        ({"alphas": (0.0,)}, "alphas are weights in (0, 1]; got 0.0."),
        ({"n_rules": 1}, "n_rules must be a whole number of at least 2; got 1."),
        ({"n_tokens": 1}, "n_tokens must be a whole number of at least 2; got 1."),
        ({"seed": -1}, "seed must be a whole number of at least 0; got -1."),
    ],
)
def test_a_study_refuses_before_its_first_cell(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        study.cells(replace(TINY, **fields))
