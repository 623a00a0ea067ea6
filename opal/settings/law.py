"""What a law of labelled rows can be asked, whoever made it: capabilities, not classes.

Simulation asks a truth for a :class:`TrueLaw`; theory asks for a :class:`SmoothLaw` besides, and
goes to all orders in p/n with a :class:`ScoreLaw`. A law need not inherit from anything: it has the
methods, and is a JAX pytree, so that it can be passed to compiled functions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from opal import losses, newton
from opal.losses import Loss
from opal.settings.groups import Group, Sample


class ScoreNodes(NamedTuple):
    """Quadrature of the scores of a rule in one group, mode by mode.

    Given its mode and its scores, a lifted row ``x̃ = (x, 1)`` is Gaussian with the node's
    ``features`` as its mean, and the mode's ``residual`` as its covariance. Where rows are points
    there is one mode, and nothing is left: the residual is zero.

    Attributes:
        scores: u [M, Q, C].
        features: ``E[x̃ | u]`` [M, Q, d+1].
        residual: ``Cov[x̃ | u]`` [M, d+1, d+1].
        mass: probability of node and label [M, Q, K]; all of them sum to one.
    """

    scores: Float[Array, "m q c"]
    features: Float[Array, "m q d1"]
    residual: Float[Array, "m d1 d1"]
    mass: Float[Array, "m q k"]


@runtime_checkable
class Law(Protocol):
    """A law of labelled rows: true or synthetic, it has the same face."""

    @property
    def groups(self) -> tuple[Group, ...]:
        """Names, labels and attributes of the groups."""
        ...

    def sample(self, counts: tuple[int, ...], *, key: Key[Array, ""]) -> Sample:
        """Draw ``counts[g]`` rows of each group."""
        ...

    def group_risk(self, theta: Float[Array, " p"], loss: Loss = "logistic") -> Float[Array, " g"]:
        """Expected loss of the rule θ in each group [G]."""
        ...

    def group_error(self, theta: Float[Array, " p"], loss: Loss = "logistic") -> Float[Array, " g"]:
        """Probability of a wrong label in each group [G]."""
        ...


@runtime_checkable
class TrueLaw(Law, Protocol):
    """A law that rules are trained for: what :func:`opal.simulation.simulate` asks of a truth.

    With :class:`SmoothLaw`, its optimum is :func:`balanced_optimum`. A law of two classes may have
    a ``calibration_error(theta)``, the mean of ``|P(y = 1 | u) − σ(u)|`` over the score u of a
    logistic rule, groups equally frequent: then that is measured too.
    """

    @property
    def dim(self) -> int:
        """Number of features d."""
        ...

    @property
    def n_classes(self) -> int:
        """Number of labels K."""
        ...

    def optimum(self, loss: Loss = "logistic") -> Float[Array, " p"]:
        """Minimiser θ* of the balanced risk [p]."""
        ...


@runtime_checkable
class SmoothLaw(Law, Protocol):
    """A law whose risks have derivatives: what the expansions of theory ask of both laws."""

    def group_gradient(
        self, theta: Float[Array, " p"], loss: Loss = "logistic"
    ) -> Float[Array, "g p"]:
        """Gradient of each group's risk [G, p]."""
        ...

    def group_hessian(
        self, theta: Float[Array, " p"], loss: Loss = "logistic"
    ) -> Float[Array, "g p p"]:
        """Hessian of each group's risk [G, p, p]."""
        ...

    def group_score_covariance(
        self, theta: Float[Array, " p"], loss: Loss = "logistic"
    ) -> Float[Array, "g p p"]:
        """Covariance of the loss gradient ∇ℓ(θ; z) within each group [G, p, p]."""
        ...


@runtime_checkable
class SmoothTruth(TrueLaw, SmoothLaw, Protocol):
    """A truth that theory can be held against."""


@runtime_checkable
class ScoreLaw(SmoothLaw, Protocol):
    """A law whose rows are Gaussian given their scores: theory to all orders in p/n."""

    def score_nodes(
        self, group: int | Int[Array, ""], theta: Float[Array, " p"], loss: Loss = "logistic"
    ) -> ScoreNodes:
        """Quadrature of the scores of θ in one group."""
        ...


class NodeLaw:
    """Base of laws that get their derivatives from :meth:`score_nodes`.

    A subclass has ``groups``, ``dim``, ``n_classes`` and ``score_nodes``; risks, gradients,
    Hessians, score covariances and the optimum follow. One group is computed at a time where the
    nodes are many, so that memory does not grow with the number of groups but for the results.
    """

    groups: tuple[Group, ...]

    @property
    def dim(self) -> int:
        """Number of features d."""
        raise AttributeError(f"{type(self).__name__} must define dim.")

    n_classes: int

    def score_nodes(
        self, group: int | Int[Array, ""], theta: Float[Array, " p"], loss: Loss = "logistic"
    ) -> ScoreNodes:
        """Quadrature of the scores of θ in one group."""
        raise NotImplementedError(f"{type(self).__name__} must define score_nodes.")

    def group_risk(self, theta: Float[Array, " p"], loss: Loss = "logistic") -> Float[Array, " g"]:
        """Expected loss of the rule θ in each group [G]."""

        def risk(nodes: ScoreNodes) -> Array:
            return jnp.sum(nodes.mass * losses.values(nodes.scores, self.n_classes, loss))

        return self._of_groups(risk, theta, loss)

    def group_gradient(
        self, theta: Float[Array, " p"], loss: Loss = "logistic"
    ) -> Float[Array, "g p"]:
        """Gradient of each group's risk [G, p]."""

        def gradient(nodes: ScoreNodes) -> Array:
            slopes = losses.slopes(nodes.scores, self.n_classes, loss)
            slope = jnp.sum(nodes.mass[..., None] * slopes, axis=-2)
            return jnp.einsum("mqc,mqi->ci", slope, nodes.features).ravel()

        return self._of_groups(gradient, theta, loss)

    def group_hessian(
        self, theta: Float[Array, " p"], loss: Loss = "logistic"
    ) -> Float[Array, "g p p"]:
        """Hessian of each group's risk [G, p, p]."""

        def hessian(nodes: ScoreNodes) -> Array:
            return second_moment(nodes, losses.curvature_form(nodes.scores, nodes.mass, loss))

        return self._of_groups(hessian, theta, loss)

    def group_score_covariance(
        self, theta: Float[Array, " p"], loss: Loss = "logistic"
    ) -> Float[Array, "g p p"]:
        """Covariance of the loss gradient ∇ℓ(θ; z) within each group [G, p, p]."""

        def square(nodes: ScoreNodes) -> Array:
            return second_moment(nodes, losses.square_form(nodes.scores, nodes.mass, loss))

        gradient = self.group_gradient(theta, loss)
        return self._of_groups(square, theta, loss) - gradient[:, :, None] * gradient[:, None, :]

    def optimum(self, loss: Loss = "logistic") -> Float[Array, " p"]:
        """Minimiser θ* of the balanced risk [p], to a gradient of 1e-11 in float64."""
        return balanced_optimum(self, loss)

    def _of_groups(
        self, function: Callable[[ScoreNodes], Array], theta: Array, loss: Loss
    ) -> Array:
        """``function`` of the nodes of each group [G, …]."""

        def of_group(group: Array) -> Array:
            return function(self.score_nodes(group, theta, loss))

        groups = jnp.arange(len(self.groups))
        if losses.n_scores(loss, self.n_classes) < _MANY_SCORES:
            return jax.vmap(of_group)(groups)
        # Without what a derivative could compute again, which is most of the memory.
        found: Array = jax.lax.map(jax.checkpoint(of_group), groups)
        return found


_MANY_SCORES = 3


def second_moment(nodes: ScoreNodes, form: losses.ScoreForm) -> Float[Array, "p p"]:
    """``Σ form ⊗ E[x̃x̃ᵀ | u]`` over modes and nodes [p, p]; the form holds their weights."""
    c, d1 = form.diagonal.shape[-1], nodes.features.shape[-1]
    own = jnp.einsum("mqc,mqi,mqj->cij", form.diagonal, nodes.features, nodes.features)
    own += jnp.einsum("mqc,mij->cij", form.diagonal, nodes.residual)
    moment = jnp.einsum("cij,ce->ciej", own, jnp.eye(c)).reshape(c * d1, c * d1)
    for part, sign in ((form.plus, 1), (form.minus, -1)):
        if part is not None:
            rows = (part[..., :, None] * nodes.features[..., None, :]).reshape(-1, c * d1)
            within = jnp.einsum("mqc,mqe,mij->ciej", part, part, nodes.residual)
            moment += sign * (rows.T @ rows + within.reshape(c * d1, c * d1))
    return moment


def balanced_optimum(law: Any, loss: Loss) -> Float[Array, " p"]:
    """Minimiser θ* of the balanced risk [p] of a smooth truth, to a gradient of 1e-11."""

    def derivatives(theta: Array) -> tuple[Array, Array]:
        slopes, bends = law.group_gradient(theta, loss), law.group_hessian(theta, loss)
        return slopes.mean(axis=0), bends.mean(axis=0)

    start = jnp.zeros(losses.n_parameters(loss, law.n_classes, law.dim))
    return newton.minimise(derivatives, start, tolerance=1e-11).theta


def require_pytree(thing: object, what: str) -> None:
    """Check that compiled functions can take a user's object.

    Raises:
        ValueError: it is no pytree, or a field that is no array is not static.
    """
    kind = type(thing).__name__
    if hasattr(thing, "law") and hasattr(thing.law, "law"):
        raise ValueError(
            f"{what} holds a law; got the setting {type(thing.law).__name__}. Give it setting.law."
        )
    for path, leaf in jax.tree_util.tree_leaves_with_path(thing):
        if leaf is thing:
            raise ValueError(
                f"{what} must be a JAX pytree, so that compiled functions can take it; {kind} is "
                "none. Decorate its frozen dataclass with jax.tree_util.register_dataclass (or "
                "register_static, where no field is an array)."
            )
        if not isinstance(leaf, jax.Array) and np.asarray(leaf).dtype.kind not in "biufc":
            raise ValueError(
                f"{what} may hold arrays and numbers, and all else as static fields; "
                f"{kind}{jax.tree_util.keystr(path)} is {leaf!r}. Declare it as "
                'field(metadata={"static": True}).'
            )


def lacking(law: object) -> list[str]:
    """What theory asks for (:class:`SmoothLaw`) and a law does not have."""
    asked = ("group_gradient", "group_hessian", "group_score_covariance")
    return [name for name in asked if not hasattr(law, name)]
