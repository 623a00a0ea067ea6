"""Every dial of the biased oracle does what it says, by the exact law and by its samples."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from opal import checks
from opal.objective import Design
from opal.settings import GaussianLaw, GaussianMixture, Sample
from opal.simulation import simulate
from opal.synthesis import Bias, Oracle

SETTING = GaussianMixture(
    [[[-1.0, 0.0, 0.5], [-2.0, 1.0, 0.0]], [[1.0, 0.0, 0.0], [2.0, -1.0, 0.5]]],
    [[1.0, 0.2, 0.0], [0.2, 0.5, 0.1], [0.0, 0.1, 0.8]],
    mode_weights=[[0.5, 0.5], [0.7, 0.3]],
)
LAW = SETTING.law
THETA = jnp.array([0.9, -0.5, 0.3, 0.1])
MANY = 60_000
DIALS = {
    "shift": Bias(mean_shift=[[0.3, 0.0, 0.0], [0.0, -0.6, 0.2]]),
    "scale": Bias(covariance_scale=[4.0, 0.25]),
    "rotation": Bias(rotation=[0.0, 0.8]),
    "flip": Bias(label_flip=[0.0, 0.3]),
    "modes": Bias(mode_weights=[[1.0, 0.0], [0.2, 0.8]]),
    "all": Bias([0.1, 0.2, 0.3], 1.5, 0.4, 0.1, [[3.0, 1.0], [1.0, 1.0]]),
}


@partial(jax.jit, static_argnames="counts")
def draw(law: GaussianLaw, counts: tuple[int, ...]) -> Sample:
    return law.sample(counts, key=jax.random.key(6))


@jax.jit
def risks(law: GaussianLaw) -> tuple[jax.Array, jax.Array]:
    return law.group_risk(THETA), law.group_error(THETA)


@pytest.mark.parametrize("name", DIALS)
def test_exact_bias_is_that_of_a_large_sample(name: str) -> None:
    biased = LAW.biased(DIALS[name])
    risk, error = risks(biased)
    drawn = draw(biased, (MANY, MANY))
    x, y = np.asarray(drawn.x), np.asarray(drawn.y)
    score = x @ np.asarray(THETA[:3]) + float(THETA[3])
    loss = np.logaddexp(0, -(2 * y - 1) * score).reshape(2, MANY)
    wrong = ((score > 0) != y).astype(float).reshape(2, MANY)
    z = [
        *((loss.mean(axis=1) - risk) / (loss.std(axis=1) / np.sqrt(MANY))),
        *((wrong.mean(axis=1) - error) / (wrong.std(axis=1) / np.sqrt(MANY))),
    ]
    check = checks.within_standard_errors(name, z)
    assert check.passed, check
    # The dial matters: the unbiased law is not compatible with these rows.
    z_true = (loss.mean(axis=1) - risks(LAW)[0]) / (loss.std(axis=1) / np.sqrt(MANY))
    assert np.abs(z_true).max() > 3 * checks.z_threshold(2)


def test_a_dial_changes_what_it_names_and_nothing_else() -> None:
    for name, changed in {
        "shift": "means",
        "scale": "covariances",
        "rotation": "covariances",
        "flip": "label_probabilities",
        "modes": "weights",
    }.items():
        biased = LAW.biased(DIALS[name])
        for field in ("means", "covariances", "weights", "label_probabilities"):
            old, new = getattr(LAW, field), getattr(biased, field)
            same = new is None if old is None else np.array_equal(old, new)
            assert same == (field != changed), f"{name}: {field}"


def test_dials_have_the_stated_sizes() -> None:
    shifted = LAW.biased(DIALS["shift"])
    np.testing.assert_allclose(shifted.means[1] - LAW.means[1], [[0, -0.6, 0.2]] * 2)
    scaled = LAW.biased(DIALS["scale"])
    np.testing.assert_allclose(scaled.covariances[0], 4 * LAW.covariances[0])
    np.testing.assert_allclose(scaled.covariances[1], LAW.covariances[1] / 4)
    flipped = LAW.biased(DIALS["flip"])
    np.testing.assert_allclose(flipped.labels_of_modes()[:, 0], [[1.0, 0.0], [0.3, 0.7]])
    np.testing.assert_allclose(LAW.biased(DIALS["all"]).weights, [[0.75, 0.25], [0.5, 0.5]])


def test_rotation_turns_the_first_two_coordinates() -> None:
    quarter = LAW.biased(Bias(rotation=np.pi / 2)).covariances[0, 0]
    old = LAW.covariances[0, 0]
    np.testing.assert_allclose(np.diagonal(quarter), [old[1, 1], old[0, 0], old[2, 2]])
    np.testing.assert_allclose(quarter[0, 1], -old[0, 1])
    np.testing.assert_allclose(quarter[0, 2], -old[1, 2], atol=1e-15)
    some = LAW.biased(DIALS["rotation"]).covariances[1, 0]
    np.testing.assert_allclose(np.linalg.eigvalsh(some), np.linalg.eigvalsh(old))


def test_a_flipped_label_is_any_other_class() -> None:
    three = GaussianMixture([[0.0], [1.0], [2.0]]).law
    flipped = three.biased(Bias(label_flip=0.4)).labels_of_modes()
    np.testing.assert_allclose(flipped[1, 0], [0.2, 0.6, 0.2])


def test_no_bias_is_the_truth() -> None:
    biased = LAW.biased(Bias())
    for field in ("means", "covariances", "weights"):
        np.testing.assert_array_equal(getattr(biased, field), getattr(LAW, field))
    assert biased.label_probabilities is None


def test_names_tell_the_oracles_apart() -> None:
    assert Oracle(LAW).name == "oracle"
    assert Oracle.biased(LAW, Bias()).name == "biased oracle"
    assert Oracle.biased(LAW, Bias(), name="mine").name == "mine"


@pytest.mark.parametrize(
    ("dials", "message"),
    [
        ({"covariance_scale": 0.0}, "covariance_scale must be positive"),
        ({"covariance_scale": [1.0, -1.0]}, "got [1.0, -1.0]"),
        ({"label_flip": 1.5}, "label_flip must lie in"),
        ({"label_flip": -0.1}, "got [-0.1, -0.1]"),
        ({"rotation": np.inf}, "rotation must"),
        ({"covariance_scale": np.nan}, "covariance_scale must"),
        ({"mode_weights": [[0.0, 0.0], [1.0, 1.0]]}, "positive one in every group"),
        ({"mode_weights": [[-1.0, 2.0], [1.0, 1.0]]}, "non-negative"),
        ({"mode_weights": [1.0, 1.0]}, "mode_weights must be (2, 2)"),
        ({"mode_weights": [[np.nan, 1.0], [1.0, 1.0]]}, "mode_weights must be (2, 2)"),
        ({"covariance_scale": [1.0] * 3}, "covariance_scale must broadcast to [2]; got shape [3]"),
        ({"mean_shift": np.nan}, "mean_shift must be finite; got nan at index [0, 0]"),
        ({"mean_shift": [1.0, 2.0]}, "mean_shift must broadcast to [2, 3]; got shape [2]"),
    ],
)
def test_dials_out_of_range_are_refused(dials: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        Oracle.biased(LAW, Bias(**dials))


def test_one_coordinate_cannot_be_rotated() -> None:
    line = GaussianMixture([[0.0], [1.0]]).law
    with pytest.raises(ValueError, match="has only one"):
        line.biased(Bias(rotation=0.3))


def test_a_setting_is_no_law() -> None:
    setting = GaussianMixture([[-1.0, 0.0], [1.0, 0.0]])
    with pytest.raises(ValueError, match=r"the setting GaussianMixture. Give it setting.law"):
        Oracle.biased(setting, Bias(mean_shift=0.1))
    with pytest.raises(ValueError, match=r"the setting GaussianMixture. Give it setting.law"):
        simulate(setting, Design((9, 9), Oracle(setting)), key=0, n_replicates=2)
