"""What a law of labelled rows can be asked, whoever made it."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from opal import losses, newton
from opal.losses import Loss
from opal.settings.groups import Group, Sample


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
    """A law that rules are trained for: what :func:`opal.simulate.simulate` asks of a truth."""

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

    def calibration_error(self, theta: Float[Array, " p"]) -> Float[Array, ""]:
        """``E |P(y = 1 | u) − σ(u)|`` of a binary logistic rule, groups equally frequent."""
        ...


class SmoothLaw(TrueLaw, Protocol):
    """A law whose risks have derivatives in closed form."""

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


def balanced_optimum(law: SmoothLaw, loss: Loss) -> Float[Array, " p"]:
    """Minimiser θ* of the balanced risk [p], to a gradient of 1e-11 in float64."""

    def derivatives(theta: Array) -> tuple[Array, Array]:
        slopes, bends = law.group_gradient(theta, loss), law.group_hessian(theta, loss)
        return slopes.mean(axis=0), bends.mean(axis=0)

    start = jnp.zeros(losses.n_parameters(loss, law.n_classes, law.dim))
    return newton.minimise(derivatives, start, tolerance=1e-11).theta
