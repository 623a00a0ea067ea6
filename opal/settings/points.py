r"""Laws of weighted points, whose expectations are sums.

Group ``g`` has a point x and a label y with probability ``P_g(x, y)``; a rule sees the point's
features ``φ_x``. Risks, errors, gradients and covariances of linear rules are sums over the points.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from opal import losses
from opal.arrays import AnyArray
from opal.losses import Loss
from opal.settings.groups import Group
from opal.settings.law import ScoreNodes, balanced_optimum


@dataclass(frozen=True)
class PointLaw:
    """Base of the laws that are sums: a finite alphabet, the rows of a table, points of a rule.

    A subclass is registered as a dataclass of JAX, and has ``sample``. As
    :class:`opal.settings.gaussian.GaussianLaw`, it holds NumPy float64 arrays where it stands for a
    setting.

    Attributes:
        table: P_g(x, y) [G, d, K], of sum one in each group.
        features: φ [d, r].
        groups: names, labels and attributes of the groups (static).
    """

    table: Float[AnyArray, "g d k"]
    features: Float[AnyArray, "d r"]
    groups: tuple[Group, ...] = field(metadata={"static": True})

    @property
    def dim(self) -> int:
        """Number of features r."""
        return self.features.shape[-1]

    @property
    def n_classes(self) -> int:
        """Number of labels K."""
        return self.table.shape[-1]

    def group_risk(self, theta: Float[Array, " p"], loss: Loss = "logistic") -> Float[Array, " g"]:
        """Expected loss of the rule θ in each group [G]."""
        values = losses.values(self._scores(theta), self.n_classes, loss)
        return jnp.einsum("gxk,xk->g", self.table, values)

    def group_error(self, theta: Float[Array, " p"], loss: Loss = "logistic") -> Float[Array, " g"]:
        """Probability that the rule θ predicts a wrong label, in each group [G]."""
        predicted = losses.predictions(self._scores(theta), self.n_classes, loss)
        right = jax.nn.one_hot(predicted, self.n_classes)
        return 1 - jnp.einsum("gxk,xk->g", self.table, right)

    def group_gradient(
        self, theta: Float[Array, " p"], loss: Loss = "logistic"
    ) -> Float[Array, "g p"]:
        """Gradient of each group's risk [G, p]."""
        return jnp.einsum("gxk,xkp->gp", self.table, self.score_table(theta, loss))

    def group_hessian(
        self, theta: Float[Array, " p"], loss: Loss = "logistic"
    ) -> Float[Array, "g p p"]:
        """Hessian of each group's risk [G, p, p]."""
        curvature = losses.curvatures(self._scores(theta), loss)
        lifted = self._lifted()
        share = jnp.asarray(self.table).sum(axis=-1)  # the curvature is that of every label
        p = curvature.shape[-1] * lifted.shape[-1]
        moment = jnp.einsum("gx,xce,xi,xj->gciej", share, curvature, lifted, lifted)
        return moment.reshape(-1, p, p)

    def group_score_covariance(
        self, theta: Float[Array, " p"], loss: Loss = "logistic"
    ) -> Float[Array, "g p p"]:
        """Covariance of the loss gradient ∇ℓ(θ; z) within each group [G, p, p]."""
        score = self.score_table(theta, loss)
        mean = jnp.einsum("gxk,xkp->gp", self.table, score)
        square = jnp.einsum("gxk,xkp,xkq->gpq", self.table, score, score)
        return square - mean[:, :, None] * mean[:, None, :]

    def score_table(
        self, theta: Float[Array, " p"], loss: Loss = "logistic"
    ) -> Float[Array, "d k p"]:
        """Loss gradient ∇ℓ(θ; (x, y)) at every token and label [d, K, p]."""
        slopes = losses.slopes(self._scores(theta), self.n_classes, loss)
        each = jnp.einsum("xkc,xi->xkci", slopes, self._lifted())
        return each.reshape(*each.shape[:2], -1)

    def optimum(self, loss: Loss = "logistic") -> Float[Array, " p"]:
        """Minimiser θ* of the balanced risk [p], to a gradient of 1e-11 in float64."""
        return balanced_optimum(self, loss)

    def score_nodes(
        self, group: int | Int[Array, ""], theta: Float[Array, " p"], loss: Loss = "logistic"
    ) -> ScoreNodes:
        """The tokens' scores under θ in one group: rows are points, of which nothing is left."""
        del loss
        lifted = self._lifted()
        nothing = jnp.zeros((1, lifted.shape[-1], lifted.shape[-1]), lifted.dtype)
        mass = jnp.asarray(self.table)[group]
        return ScoreNodes(self._scores(theta)[None], lifted[None], nothing, mass[None])

    def one_scramble(self, index: int | Int[Array, ""]) -> PointLaw:
        """The law itself: its sums have no error of quadrature."""
        del index
        return self

    def _lifted(self) -> Float[Array, "d r1"]:
        """Features with a one for the intercept."""
        features = jnp.asarray(self.features)
        return jnp.concatenate([features, jnp.ones((len(features), 1), features.dtype)], axis=1)

    def _scores(self, theta: Float[Array, " p"]) -> Float[Array, "d c"]:
        w, b = losses.weights_and_intercepts(theta, self.dim)
        return jnp.asarray(self.features) @ w.T + b[None, :]
