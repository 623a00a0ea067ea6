"""The study of wrong laws: its tables, and its checks on planted records."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from opal.cli import registry

study = registry.load("study", "misfit")
CONFIG = study.Config()


def planted(*, wrong: float = 1.0, right: float = 0.0, control: float = 1.0) -> pd.DataFrame:
    """Records of 100 tables of each law and form, of which these shares are told."""
    rows = []
    for part in [cell.config for cell in study.cells(replace(CONFIG, n_curve=0, chunk=100))]:
        told = (
            control if part.form == study.CONTROL else right if part.law in study.RIGHT else wrong
        )
        values = (np.arange(100) < round(100 * told)).astype(float)
        same = {"setting": part.law, "arm": part.form, "noise": part.noise, "metric": "told"}
        rows.append(pd.DataFrame({**same, "value": values}))
    return pd.concat(rows, ignore_index=True)


def failed(records: pd.DataFrame) -> set[str]:
    return {check.name for check in study.checks(records) if not check.passed}


def test_checks_fail_on_silence_on_false_alarms_and_without_a_control() -> None:
    assert failed(planted()) == set()
    silent = failed(planted(wrong=0.6))
    assert silent == {"wrong laws: standard errors below 90 %", "wrong laws, told over all"}
    loud = failed(planted(right=0.2))
    assert loud == {"right laws: standard errors above 5 %", "right laws, told over all"}
    assert failed(planted(control=0.05)) == {"control: standard errors that are too small"}
    one = planted()
    one.loc[(one["setting"] == "U") & (one["arm"] == "one row"), "value"] = 0.0
    assert failed(one) == {"wrong laws: standard errors below 90 %"}


@pytest.mark.parametrize("law", [*study.WRONG, *study.RIGHT])
def test_tables_have_the_sizes_and_the_noise_that_the_study_names(law: str) -> None:
    part = study.Draws(CONFIG, law, "5 seeds", 0.0, 0, 1)
    for index in range(3):
        frame = study.table(replace(part, config=replace(CONFIG, shared=0.0, own=0.0)), index)
        x, curve, excess = study.draw_curve(law, np.random.default_rng((15, 0, index)))
        assert np.all(curve > 0)
        assert np.all(excess > -1e-12)
        spread = frame.drop(columns="seed").groupby([c for c in frame if c not in ("y", "seed")])
        assert spread["y"].std().max() < 1e-12
        if law in (*study.WRONG, "power"):
            assert 8 <= len(x["n"]) <= 12
            assert 100 <= x["n"][-1] / x["n"][0] <= 1000


def test_the_forms_share_their_curves() -> None:
    part = study.Draws(CONFIG, "broken", "means", 0.03, 0, 1)
    means = study.table(part, 4)
    rows = study.table(replace(part, form="5 seeds"), 4)
    assert list(means["n"]) == list(rows.loc[rows["seed"] == 0, "n"])
    third = study.table(replace(part, form=study.CONTROL), 4)
    np.testing.assert_allclose(third["sem"], means["sem"] / CONFIG.understated)
