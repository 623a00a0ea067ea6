"""What conftest.py promises holds: shapes, precision, rank promotion, warnings."""

from __future__ import annotations

import warnings
from pathlib import Path

import jax.numpy as jnp
import jaxtyping
import pytest

import conftest
import opal
from opal import losses


def test_a_wrong_shape_is_refused() -> None:
    with pytest.raises(jaxtyping.TypeCheckError, match="theta"):
        losses.weights_and_intercepts(jnp.zeros((2, 3)), dim=2)
    weights, intercepts = losses.weights_and_intercepts(jnp.zeros(3), dim=2)
    assert (weights.shape, intercepts.shape) == ((1, 2), (1,))


def test_every_numerical_room_exists() -> None:
    rooms = {path.stem for path in Path(opal.__file__).parent.iterdir()}
    assert set(conftest.NUMERICAL_ROOMS) <= rooms


def test_numbers_have_64_bits() -> None:
    assert jnp.zeros(()).dtype == "float64"


def test_rank_promotion_raises() -> None:
    with pytest.raises(ValueError, match="rank_promotion"):
        jnp.zeros((2, 3)) + jnp.zeros(3)


def test_a_warning_is_an_error() -> None:
    with pytest.raises(UserWarning, match="as an error"):
        warnings.warn("as an error", stacklevel=1)
