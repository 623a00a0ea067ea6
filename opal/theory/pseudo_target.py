"""The minimiser of a table of weights, and the truth around it (docs/theory.md, section 13.4)."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from opal import losses, newton
from opal.settings.finite import FiniteLaw
from opal.theory import expansion
from opal.theory.expansion import Of

_TOLERANCE = 1e-11


class PseudoTarget(NamedTuple):
    """The truth at θ, and what moves θ̂ away from it.

    Attributes:
        theta: minimiser of the loss of all rows [p]; not a number where there is none.
        excess: balanced risk at θ over the least.
        gradient: of the balanced risk [p].
        hessian: H of the balanced risk [p, p].
        solve: A⁻¹ of a vector.
        curvature: θ ↦ A(θ).
    """

    theta: Float[Array, " p"]
    excess: Float[Array, ""]
    gradient: Float[Array, " p"]
    hessian: Float[Array, "p p"]
    solve: newton.Solver
    curvature: Of

    def variance(self, noise: Float[Array, "p p"]) -> Float[Array, ""]:
        """``½ tr(H A⁻¹ V A⁻¹)``."""
        return expansion.variance(self.hessian, expansion.covariance(jax.vmap(self.solve), noise))

    def drift_risk(self, noise: Of) -> Float[Array, ""]:
        """The gradient of the risk times the mean of ``θ̂ − θ``, for V as a function of θ."""
        pull = expansion.pull(jax.vmap(self.solve), noise, self.curvature, self.theta)
        return self.gradient @ self.solve(pull)


def around(law: FiniteLaw, best: Float[Array, " p"], table: Float[Array, "d k"]) -> PseudoTarget:
    """The minimiser of the loss of a table of weights.

    Args:
        law: the truth.
        best: θ*, minimiser of its balanced risk, where the search starts.
        table: summed weight of the rows of each token and label.
    """
    whole = law.with_table(table[None])

    def derivatives(theta: Array) -> tuple[Array, Array]:
        return whole.group_gradient(theta)[0], whole.group_hessian(theta)[0]

    fit = newton.minimise(derivatives, best, tolerance=_TOLERANCE)
    # Where a line separates the labels the gradient vanishes at infinity, and Newton's steps do
    # not: as for maximum_likelihood of opal.theory.generator.
    gradient, hessian = derivatives(fit.theta)
    w, b = losses.weights_and_intercepts(newton.factorise(hessian)(gradient), law.dim)
    moves = jnp.abs(jnp.asarray(law.features) @ w.T + b[None, :])
    theta = jnp.where(fit.converged & (moves.max() < 0.5), fit.theta, jnp.nan)
    return PseudoTarget(
        theta,
        law.group_risk(theta).mean() - law.group_risk(best).mean(),
        law.group_gradient(theta).mean(axis=0),
        law.group_hessian(theta).mean(axis=0),
        newton.factorise(whole.group_hessian(theta)[0]),
        lambda at: whole.group_hessian(at)[0],
    )


def independent(
    law: FiniteLaw, squares: Float[Array, " g"], table: Float[Array, "g d k"], at: Array
) -> Float[Array, "p p"]:
    """Covariance of the gradient of independent rows, with their squared weights in all."""
    covariances = law.with_table(table).group_score_covariance(at)
    return jnp.einsum("g,gpq->pq", squares, covariances)
