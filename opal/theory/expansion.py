r"""What any M-estimator's expansion is made of (docs/theory.md, section 2).

Around a pseudo-target θ at which the mean gradient vanishes, with Jacobian A(θ) and covariance V(θ)
of the gradient. ``solve`` applies ``A⁻¹`` to each column of a matrix (or each row: they are the
same, since all matrices here are symmetric).
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Of = Callable[[Array], Array]
_FEW = 32  # parameters, each of which takes the memory of one evaluation


def covariance(solve: Of, noise: Float[Array, "p p"]) -> Float[Array, "p p"]:
    """``A⁻¹ V A⁻¹``, the covariance of θ̂ [p, p]."""
    return solve(solve(noise).T)


def variance(hessian: Float[Array, "p p"], covariance: Float[Array, "p p"]) -> Float[Array, ""]:
    """``½ tr(H covariance)``, the mean excess of a risk with Hessian H."""
    return 0.5 * jnp.trace(hessian @ covariance)


def pull(solve: Of, noise: Of, curvature: Of, theta: Float[Array, " p"]) -> Float[Array, " p"]:
    """A times the mean of ``θ̂ − θ`` to order 1/n [p] (docs/theory.md, equation 2.7).

    Args:
        solve: A⁻¹ of matrices, at θ.
        noise: V as a function of θ.
        curvature: A as a function of θ.
        theta: the pseudo-target.
    """
    around = covariance(solve, noise(theta))

    def second_order(at: Array) -> Array:
        return jnp.trace(solve(noise(at))) - jnp.trace(curvature(at) @ around)

    return 0.5 * gradient(second_order)(theta)


def gradient(function: Of) -> Of:
    """Gradient of a scalar: forward for few parameters, which compiles faster."""

    def of(theta: Float[Array, " p"]) -> Float[Array, " p"]:
        differentiate = jax.jacfwd if len(theta) <= _FEW else jax.grad
        found: Array = differentiate(function)(theta)
        return found

    return of
