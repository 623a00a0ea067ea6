"""Newton iterations: exact on quadratics, safe where they overshoot, honest where they fail."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from opal.newton import Derivatives, factorise, minimise


def of(function: object) -> Derivatives:
    """Derivatives of a scalar function by automatic differentiation."""
    assert callable(function)
    gradient, hessian = jax.grad(function), jax.hessian(function)
    return lambda theta: (gradient(theta), hessian(theta))


def spd(dim: int, seed: int) -> np.ndarray:
    root = np.random.default_rng(seed).normal(size=(dim, 2 * dim))
    return root @ root.T / (2 * dim)


def test_a_quadratic_takes_one_step() -> None:
    matrix, centre = jnp.asarray(spd(4, 0)), jnp.arange(4.0)
    found = minimise(
        of(lambda t: 0.5 * (t - centre) @ matrix @ (t - centre)), jnp.zeros(4), tolerance=1e-10
    )
    np.testing.assert_allclose(found.theta, centre, atol=1e-9)
    assert bool(found.converged)
    assert int(found.n_iterations) == 2  # one evaluation of the start, one step


@pytest.mark.parametrize("start", [2.0, 9.0, -15.0])
def test_overshooting_steps_are_halved(start: float) -> None:
    # Undamped Newton on log cosh diverges from |θ| > 1.09.
    found = minimise(
        of(lambda t: jnp.sum(jnp.logaddexp(t - 1, 1 - t))), jnp.array([start]), tolerance=1e-11
    )
    np.testing.assert_allclose(found.theta, [1.0], atol=1e-10)
    assert bool(found.converged)


def test_where_curvature_underflows_the_start_is_kept_and_not_called_a_minimum() -> None:
    found = minimise(
        of(lambda t: jnp.sum(jnp.logaddexp(t - 1, 1 - t))), jnp.array([-400.0]), tolerance=1e-11
    )
    assert bool(jnp.isfinite(found.theta[0]))
    assert not bool(found.converged)


def test_what_has_no_minimum_is_not_called_converged() -> None:
    found = minimise(of(lambda t: -jnp.sum(t)), jnp.zeros(2), tolerance=1e-9, max_iterations=7)
    assert not bool(found.converged)
    assert int(found.n_iterations) <= 7
    assert float(found.gradient_norm) == 1.0


def test_a_gradient_that_is_not_a_number_ends_the_iterations() -> None:
    found = minimise(of(lambda t: jnp.sum(t) * jnp.nan), jnp.zeros(2), tolerance=1e-9)
    assert not bool(found.converged)


def test_a_known_minimum_is_left_alone() -> None:
    start = jnp.array([3.0])
    found = minimise(
        of(lambda t: jnp.sum((t - 3.0) ** 2)),
        start,
        start_gradient=jnp.array([1e-12]),
        tolerance=1e-9,
    )
    assert int(found.n_iterations) == 0
    assert float(found.theta[0]) == 3.0


def test_batches_give_what_single_problems_give() -> None:
    def solve(centre: jax.Array) -> jax.Array:
        return minimise(
            of(lambda t: jnp.sum(jnp.cosh(t - centre))), jnp.zeros(3), tolerance=1e-11
        ).theta

    centres = jnp.asarray(np.random.default_rng(1).normal(scale=3, size=(5, 3)))
    np.testing.assert_allclose(jax.vmap(solve)(centres), centres, atol=1e-10)


def test_features_of_any_unit_are_solved_alike() -> None:
    matrix, scale = spd(5, 2), 10.0 ** np.array([-6, -3, 0, 3, 6])
    right = np.ones(5)
    solved = factorise(jnp.asarray(matrix * scale[:, None] * scale[None, :]))(jnp.asarray(right))
    expected = np.linalg.solve(matrix, right / scale) / scale
    np.testing.assert_allclose(solved, expected, rtol=1e-9)


def test_a_singular_hessian_gives_finite_numbers() -> None:
    solved = factorise(jnp.ones((3, 3)))(jnp.ones(3))
    assert bool(jnp.all(jnp.isfinite(solved)))
    np.testing.assert_allclose(jnp.ones((3, 3)) @ solved, np.ones(3), rtol=1e-6)
