r"""Laws of labelled tokens: a finite alphabet, on which every expectation is a sum.

Group ``g`` draws a token x and a label y with probability ``P_g(x, y)``; a rule sees the token's
features ``φ_x``. Risks, errors, gradients and covariances of linear rules are exact.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from opal import losses
from opal.arrays import AnyArray
from opal.draws import named, pick, uniform
from opal.losses import Loss
from opal.settings.bias import Bias, flipped, mixed_where
from opal.settings.groups import Group, Sample
from opal.settings.law import ScoreNodes, balanced_optimum


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class FiniteLaw:
    """Groups of labelled tokens.

    As :class:`opal.settings.gaussian.GaussianLaw`, it holds NumPy float64 arrays where it stands
    for a setting.

    Attributes:
        table: P_g(x, y) [G, d, K], of sum one in each group.
        features: φ [d, r], distinct rows.
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
    def n_tokens(self) -> int:
        """Size of the alphabet d."""
        return self.table.shape[-2]

    @property
    def n_classes(self) -> int:
        """Number of labels K."""
        return self.table.shape[-1]

    def sample(self, counts: tuple[int, ...], *, key: Key[Array, ""]) -> Sample:
        """Draw ``counts[g]`` rows of each group.

        Returns:
            Rows in group order, x the features of their tokens; the first rows of a group do not
            depend on how many are drawn.
        """
        u = uniform(named(key, "tokens"), counts, 1)
        drawn = Sample(u, jnp.zeros(len(u), int), counts)
        tables = jnp.asarray(self.table).reshape(len(counts), -1)
        cells = [pick(tables[g], u[drawn.rows(g), 0]) for g in range(len(counts))]
        token, label = jnp.divmod(jnp.concatenate(cells), self.n_classes)
        return Sample(jnp.asarray(self.features)[token], label.astype(int), counts)

    def tokens(self, x: Float[AnyArray, "n r"]) -> Int[Array, " n"]:
        """The token of each row: the one with the nearest features [n]."""
        features = jnp.asarray(self.features, jnp.asarray(x).dtype)
        apart = jnp.sum((jnp.asarray(x)[:, None, :] - features[None, :, :]) ** 2, axis=-1)
        return jnp.argmin(apart, axis=-1)

    def tally(self, rows: Sample) -> Float[Array, "g d k"]:
        """How often each token and label occurs in each group [G, d, K]."""
        none = jnp.zeros(self.table.shape)
        return none.at[rows.group, self.tokens(rows.x), rows.y].add(1.0)

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

    def calibration_error(self, theta: Float[Array, " p"]) -> Float[Array, ""]:
        """``E |P(y = 1 | u) − σ(u)|`` of a binary logistic rule, groups equally frequent.

        Tokens are taken to have different scores, as they do for all but special rules.
        """
        pooled = jnp.mean(jnp.asarray(self.table), axis=0)
        promised = jax.nn.sigmoid(self._scores(theta)[:, 0])
        return jnp.sum(jnp.abs(pooled[:, 1] - promised * pooled.sum(axis=1)))

    def biased(self, bias: Bias) -> FiniteLaw:
        """The law whose labels are flipped as the dial says; such a group is ``mixed``.

        Raises:
            ValueError: another dial is turned, or the flip is out of range.
        """
        moved = [dial for dial in bias.turned() if dial != "label_flip"]
        if moved:
            raise ValueError(
                f"a law of tokens can flip labels (label_flip); its tokens stay where they are, so "
                f"it has no {moved[0]}. Give other probabilities instead: law.with_table(table)."
            )
        flip = bias.per_group("label_flip", len(self.groups))
        table = flipped(np.asarray(self.table), flip)
        return replace(self, table=table, groups=mixed_where(self.groups, flip > 0))

    def score_nodes(
        self, group: int | Int[Array, ""], theta: Float[Array, " p"], loss: Loss = "logistic"
    ) -> ScoreNodes:
        """The tokens' scores under θ in one group: rows are points, of which nothing is left."""
        del loss
        lifted = self._lifted()
        nothing = jnp.zeros((1, lifted.shape[-1], lifted.shape[-1]), lifted.dtype)
        mass = jnp.asarray(self.table)[group]
        return ScoreNodes(self._scores(theta)[None], lifted[None], nothing, mass[None])

    def with_table(self, table: Float[AnyArray, "g d k"]) -> FiniteLaw:
        """The same tokens and groups with other probabilities."""
        return replace(self, table=table)

    def _lifted(self) -> Float[Array, "d r1"]:
        """Features with a one for the intercept."""
        features = jnp.asarray(self.features)
        return jnp.concatenate([features, jnp.ones((len(features), 1), features.dtype)], axis=1)

    def _scores(self, theta: Float[Array, " p"]) -> Float[Array, "d c"]:
        w, b = losses.weights_and_intercepts(theta, self.dim)
        return jnp.asarray(self.features) @ w.T + b[None, :]
