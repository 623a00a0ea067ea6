r"""The limit of logistic and hinge rules: one convex problem in few variables.

The variables are p (the rule along the means), r > 0 (its size across them) and b. For each of them
one root gives the response v; the gradient of the objective then is (docs/theory.md, section 9.3)

.. math::
    (λ + h) p - A^⊤ \hat m, \quad (λ + h) r - r/v, \quad -Σ_k \hat m_k, \qquad
    \hat m_k = α_k ω_k y_k E f_k, \quad h = Σ_k α_k ω_k Δ_k E[-f_k'] .
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from opal import newton
from opal.theory.high_dim import margins
from opal.theory.high_dim.bracket import Root, increasing_root
from opal.theory.high_dim.components import Components
from opal.theory.high_dim.margins import MarginLoss
from opal.theory.high_dim.ridge import Rule

_TOLERANCE = 1e-10  # of the gradient, where the weights α_kω_k have sum one
_MAX_ITERATIONS = 60
_RESIDUAL = 1e-10  # of the equations at last, relative to the size of the rule
_MAX_POLISH = 15
_MAX_STAGES = 100
_LEAST_RIDGE = 1e-15
_LEAST_STEP = 0.02  # of log λ
_LOG_RANGE = 60.0  # of v, beyond any that double precision can use


def saddle(components: Components, ridge: Array, start: Rule, loss: MarginLoss) -> Rule:
    """Solve the equations of the limit: their solution is the minimiser of a convex function.

    Derivatives are those of the implicit function theorem, whatever the iterations did.

    Args:
        components: what is trained on.
        ridge: λ.
        start: where to begin, used where it is finite.
        loss: logistic or hinge.
    """
    total = jnp.asarray(components.density) @ components.weight
    scaled = components._replace(weight=components.weight / total)
    guess = jnp.concatenate([start.along, start.across[None], start.intercept[None], jnp.zeros(1)])
    plain = jnp.zeros_like(guess).at[-3].set(1.0)
    guess = jnp.where(jnp.all(jnp.isfinite(guess)), guess, plain)

    def solve(_: Callable[[Array], Array], z: Array) -> tuple[Array, Array]:
        found = _along_path(scaled, loss, ridge / total, z)
        # What is not the root must be of a dtype that has derivatives.
        return found[0], found[1].astype(z.dtype)

    z, found = jax.lax.custom_root(
        partial(_scaled_equations, scaled, loss, ridge / total),
        jax.lax.stop_gradient(guess),
        solve,
        lambda linear, right: _least_squares(jax.jacfwd(linear)(jnp.zeros_like(right)), right),
        has_aux=True,
    )
    return Rule(jnp.exp(z[-1]) / total, z[:-3], z[-3], z[-2], found > 0)


class _Path(NamedTuple):
    z: Array
    at: Array  # log λ at which z is the solution; at first, where z may be near it
    trial: Array
    n: Array


def _along_path(
    components: Components, loss: MarginLoss, ridge: Array, start: Float[Array, " z"]
) -> tuple[Float[Array, " z"], Bool[Array, ""]]:
    """The solution at λ, over larger penalties where it is not found at once.

    Of log λ, the distance to the last penalty that succeeded is halved after a failure and doubled
    after a success.
    """
    goal = jnp.log(jnp.maximum(ridge, _LEAST_RIDGE))
    if loss == "hinge":  # flat in b, but for a narrow range when the penalty is large
        start = start.at[-2].set(_intercept(components, loss, start[:-1]))

    def unfinished(path: _Path) -> Array:
        return (path.at > goal) & (path.at - path.trial > _LEAST_STEP) & (path.n < _MAX_STAGES)

    def step(path: _Path) -> _Path:
        penalty = jnp.where(path.trial <= goal, ridge, jnp.exp(path.trial))
        z, solved = _polished(
            components, loss, penalty, _minimised(components, loss, penalty, path)
        )
        at = jnp.where(solved, path.trial, path.at)
        further = jnp.maximum(goal, path.trial - 2 * (path.at - path.trial))
        trial = jnp.where(solved, further, 0.5 * (path.at + path.trial))
        return _Path(jnp.where(solved, z, path.z), at, trial, path.n + 1)

    begin = _Path(start, jnp.maximum(goal, 0.0) + 1.0, goal, jnp.zeros((), int))
    end = jax.lax.while_loop(unfinished, step, begin)
    return end.z, end.at <= goal


def _minimised(
    components: Components, loss: MarginLoss, ridge: Array, path: _Path
) -> Float[Array, " z"]:
    """The minimiser at λ by damped Newton iterations, or the last solution if they fail.

    They fail where hinge rows are separable and λ is small: v then depends on r in digits that
    double precision does not have. The rule hardly moves there, and v is proportional to 1/λ.
    """
    found = newton.minimise(
        partial(_derivatives, components, loss, ridge),
        path.z[:-1],
        tolerance=_TOLERANCE,
        max_iterations=_MAX_ITERATIONS,
    )
    x = jnp.where(found.converged, found.theta, path.z[:-1])
    moved = path.z[-1] + path.at - path.trial
    return jnp.append(x, jnp.where(found.converged, _response(components, loss, x).x, moved))


def _polished(
    components: Components, loss: MarginLoss, ridge: Array, start: Float[Array, " z"]
) -> tuple[Float[Array, " z"], Bool[Array, ""]]:
    """Newton steps for all equations at once, and whether they hold at the end."""
    function = partial(_scaled_equations, components, loss, ridge)

    def twice(at: Array) -> tuple[Array, Array]:
        value = function(at)
        return value, value

    def off(z: Array, value: Array) -> Array:
        return jnp.max(jnp.abs(value)) / (jnp.max(jnp.abs(z[:-1])) + 1e-300)

    def unfinished(state: tuple[Array, Array, Array, Array]) -> Array:
        _, _, miss, n = state
        return ~(miss <= _RESIDUAL) & (n < _MAX_POLISH)

    def step(state: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
        _, z, _, n = state
        jacobian, value = jax.jacfwd(twice, has_aux=True)(z)
        return z, z - _least_squares(jacobian, value), off(z, value), n + 1

    state = (start, start, jnp.full((), jnp.inf), jnp.zeros((), int))
    z, _, miss, _ = jax.lax.while_loop(unfinished, step, state)
    return z, miss <= _RESIDUAL


def _least_squares(jacobian: Float[Array, "z z"], right: Float[Array, " z"]) -> Array:
    """Solve ``J z = right`` by the normal equations: Cholesky, and no pivots to choose."""
    return newton.factorise(jacobian.T @ jacobian)(jacobian.T @ right)


def _derivatives(
    components: Components, loss: MarginLoss, ridge: Array, x: Float[Array, " x"]
) -> tuple[Float[Array, " x"], Float[Array, "x x"]]:
    """Gradient and Hessian in (p, r, b): the response is eliminated."""
    z = jnp.append(x, _response(components, loss, x).x)

    def twice(at: Array) -> tuple[Array, Array]:
        value = _equations(components, loss, ridge, at)
        return value, value

    jacobian, value = jax.jacfwd(twice, has_aux=True)(z)
    gradient, pivot = value[:-1], jacobian[-1, -1]
    hessian = jacobian[:-1, :-1] - jnp.outer(jacobian[:-1, -1] / pivot, jacobian[-1, :-1])
    return jnp.where(x[-2] > 0, gradient, jnp.nan), 0.5 * (hessian + hessian.T)


def _scaled_equations(
    components: Components, loss: MarginLoss, ridge: Array, z: Float[Array, " z"]
) -> Float[Array, " z"]:
    """The equations in units of the rule: as ``v(λ + h) = 1``, the gradient counts v-fold."""
    values = _equations(components, loss, ridge, z)
    scale = jnp.exp(z[-1]) * jnp.ones_like(values)
    return values * scale.at[-1].set(1.0)


def _equations(
    components: Components, loss: MarginLoss, ridge: Array, z: Float[Array, " z"]
) -> Float[Array, " z"]:
    """Gradient in (p, r, b), and the equation of the response, at (p, r, b, log v)."""
    along, across, log_v = z[:-3], z[-3], z[-1]
    f, noise = _pull(components, loss, z[:-1], log_v)
    mass = components.density * components.weight
    pulls = mass * components.label * f.mean
    stiffness = ridge + (mass * components.scale) @ f.decline
    first = stiffness * along - pulls @ components.means
    rest = (stiffness * across - jnp.sqrt(noise), -pulls.sum())
    return jnp.append(first, jnp.stack([*rest, _displacement(log_v, noise, across)]))


def _displacement(log_v: Array, noise: Array, across: Array) -> Array:
    """Zero where rows displace the rule by r, ``v²Σ α_kω_k²Δ_kE f_k² = r²``; increasing in v."""
    return 2 * log_v + jnp.log(noise) - 2 * jnp.log(across)


def _pull(
    components: Components, loss: MarginLoss, x: Float[Array, " x"], log_v: Array
) -> tuple[margins.Pull, Float[Array, ""]]:
    """Averages of the pull in each component, and ``Σ α_kω_k²Δ_kE f_k²``."""
    along, across, intercept = x[:-2], x[-2], x[-1]
    label, scale = jnp.asarray(components.label), jnp.asarray(components.scale)
    centre = label * (components.means @ along + intercept)
    spread = jnp.sqrt(scale * (along @ along + across**2))
    strength = scale * components.weight
    f = margins.pull(centre, spread, strength * jnp.exp(log_v), loss)
    mass = jnp.asarray(components.density) * components.weight
    return f, (mass * strength) @ f.square


def _response(components: Components, loss: MarginLoss, x: Float[Array, " x"]) -> Root:
    """The log v of given (p, r, b).

    The hinge loss bounds the displacement: beyond the bound nothing holds r back, and v ends where
    the pull has vanished, without convergence.
    """

    def excess(log_v: Array) -> Array:
        _, noise = _pull(components, loss, x, log_v)
        return _displacement(log_v, noise, x[-2])

    # f is at most 1 (logistic, hinge), so that no smaller v is enough.
    strongest = jnp.asarray(components.density * components.weight**2) @ components.scale
    low = jnp.log(x[-2]) - 0.5 * jnp.log(strongest)
    return increasing_root(excess, low, low - 1e-6, low + _LOG_RANGE, tolerance=1e-12)


def _intercept(components: Components, loss: MarginLoss, x: Float[Array, " x"]) -> Array:
    """The b that balances the pulls of both labels on the rule (p, r)."""
    mass = components.density * components.weight * components.label

    def excess(intercept: Array) -> Array:
        at = x.at[-1].set(intercept)
        f, _ = _pull(components, loss, at, _response(components, loss, at).x)
        return -jnp.dot(mass, f.mean)

    scores = components.means @ x[:-2]
    size = jnp.sqrt(jnp.max(jnp.asarray(components.scale)) * (x[:-2] @ x[:-2] + x[-2] ** 2))
    far = 2.0 + jnp.max(jnp.abs(scores)) + 10 * size
    return increasing_root(excess, x[-1], -far, far, tolerance=1e-6).x
