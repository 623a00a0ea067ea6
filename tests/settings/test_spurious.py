"""Spurious correlation: its groups, its law, and the counts that a strength means."""

from __future__ import annotations

import inspect
import re
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from opal.settings import SpuriousCorrelation


def test_groups_are_pairs_of_label_and_attribute() -> None:
    groups = SpuriousCorrelation().groups
    assert [(g.label, g.attribute) for g in groups] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert len({g.name for g in groups}) == 4


def test_signals_are_distances_from_the_origin() -> None:
    setting = SpuriousCorrelation(
        core_dim=2,
        spurious_dim=3,
        noise_dim=2,
        core_signal=1.5,
        spurious_signal=0.5,
        core_variance=2.0,
        spurious_variance=0.25,
    )
    law = setting.law
    means = law.means[:, 0]
    np.testing.assert_allclose(np.linalg.norm(means[:, :2], axis=1), 1.5)
    np.testing.assert_allclose(np.linalg.norm(means[:, 2:5], axis=1), 0.5)
    np.testing.assert_array_equal(means[:, 5:], 0.0)
    # Core follows the label, the spurious part the attribute.
    np.testing.assert_array_equal(np.sign(means[:, 0]), [-1, -1, 1, 1])
    np.testing.assert_array_equal(np.sign(means[:, 2]), [-1, 1, -1, 1])
    variances = np.diagonal(law.covariances[3, 0])
    np.testing.assert_array_equal(variances, [2, 2, 0.25, 0.25, 0.25, 1, 1])


def test_the_balanced_optimum_ignores_the_spurious_part() -> None:
    setting = SpuriousCorrelation(core_dim=2, spurious_dim=2, noise_dim=1)
    theta = np.asarray(setting.optimum())
    np.testing.assert_allclose(theta[2:], 0.0, atol=1e-9)
    # For N(±μ, I) the log-odds are 2μᵀx.
    np.testing.assert_allclose(theta[:2], 2 / np.sqrt(2), atol=1e-9)
    error = np.asarray(setting.group_error(jnp.asarray(theta)))
    np.testing.assert_allclose(error, 0.15865525393145707, atol=1e-8)


@pytest.mark.parametrize(
    ("n", "strength", "expected"),
    [(1000, 0.95, (475, 25, 25, 475)), (100, 0.5, (25, 25, 25, 25)), (100, 0.1, (5, 45, 45, 5))],
)
def test_strength_sets_the_counts(n: int, strength: float, expected: tuple[int, ...]) -> None:
    counts = SpuriousCorrelation.counts(n, strength)
    assert counts == expected
    labels, attributes = np.repeat([0, 0, 1, 1], counts), np.repeat([0, 1, 0, 1], counts)
    assert np.mean(labels) == 0.5
    assert np.mean(labels == attributes) == strength
    np.testing.assert_allclose(np.corrcoef(labels, attributes)[0, 1], 2 * strength - 1, atol=1e-12)


@pytest.mark.parametrize("strength", [0.0, 1.0, -0.5, 2.0, float("nan")])
def test_a_strength_that_empties_a_group_is_refused(strength: float) -> None:
    message = f"strictly between 0 and 1 (or a group is empty); got {strength}."
    with pytest.raises(ValueError, match=re.escape(message)):
        SpuriousCorrelation.counts(100, strength)


@pytest.mark.parametrize("n", [float("nan"), 100.0, 0])
def test_rows_are_counted_in_whole_numbers(n: Any) -> None:
    with pytest.raises(ValueError, match=rf"^n must be a whole number of at least 1; got {n}\.$"):
        inspect.unwrap(SpuriousCorrelation.counts)(n, 0.5)


@pytest.mark.parametrize("strength", [0.75, 0.9, 0.99, 0.25, 0.6])
def test_the_number_of_rows_that_the_message_asks_for_is_enough(strength: float) -> None:
    with pytest.raises(ValueError, match="leave a group empty; raise n to") as refusal:
        SpuriousCorrelation.counts(1, strength)
    needed = re.search(r"raise n to (\d+)", str(refusal.value))
    assert needed is not None
    assert min(SpuriousCorrelation.counts(int(needed[1]), strength)) >= 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"core_dim": 0}, "core_dim must be a whole number of at least 1; got 0."),
        ({"spurious_dim": 1.5}, "spurious_dim must be a whole number of at least 1; got 1.5."),
        ({"noise_dim": -1}, "noise_dim must be a whole number of at least 0; got -1."),
        ({"core_signal": float("nan")}, "core_signal must be a finite number; got nan."),
        ({"spurious_signal": float("inf")}, "spurious_signal must be a finite number; got inf."),
        ({"core_variance": 0.0}, "core_variance must be positive"),
        ({"noise_variance": float("inf")}, "noise_variance must be positive and finite"),
        ({"spurious_variance": -1.0}, "or there is no such covariance; got -1.0"),
        ({"spurious_variance": float("nan")}, "spurious_variance must be positive"),
    ],
)
def test_impossible_settings_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        SpuriousCorrelation(**arguments)
