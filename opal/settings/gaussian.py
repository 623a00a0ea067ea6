r"""Laws whose groups are finite mixtures of Gaussians, with exact risks of linear rules.

Group ``g`` draws a mode ``c`` with probability ``π_gc``, features ``x ~ N(μ_gc, Σ_gc)`` and a label
``y`` with probabilities ``q_gc``. Within a mode the score of a linear rule is Gaussian, so for two
classes every expectation below is a one-dimensional integral: ``u = m + v t`` with ``t ~ N(0, 1)``
and ``v² = wᵀΣw``, and ``x = μ + (Σw/v) t + r`` with ``r`` independent of ``t``. More classes use
scrambled Sobol' points; :meth:`GaussianLaw.group_risk_std_error` says how exact they are
(docs/theory.md, section 5).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from opal import losses
from opal.arrays import AnyArray
from opal.draws import named, pick, standard_normal, uniform
from opal.losses import Loss
from opal.settings.groups import Group, Sample
from opal.settings.law import balanced_optimum
from opal.settings.quadrature import N_SCRAMBLES, gaussian_nodes, scrambled_normals

_CALIBRATION_NODES = 513
_TINY = 1e-14  # added to the score variance, so that derivatives exist at w = 0


class ScoreNodes(NamedTuple):
    """Quadrature in one mode: scores, and what the features are expected to be given them."""

    scores: Float[Array, "q c"]
    features: Float[Array, "q p1"]  # E[(x, 1) | score]
    residual: Float[Array, "p1 p1"]  # Cov[(x, 1) | score]
    weights: Float[Array, " q"]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class GaussianLaw:
    """Groups of Gaussian modes with labels.

    A law that stands for a setting holds NumPy float64 arrays, so that it has full precision under
    whatever precision JAX is set to when it is used; a law fitted under ``jit`` holds JAX arrays.

    Attributes:
        weights: mode probabilities π [G, M].
        means: μ [G, M, d].
        covariances: Σ [G, M, d, d].
        label_probabilities: q [G, M, K]; None when every row carries its group's label.
        groups: names, labels and attributes of the groups (static).
        n_classes: K (static).
    """

    weights: Float[AnyArray, "g m"]
    means: Float[AnyArray, "g m d"]
    covariances: Float[AnyArray, "g m d d"]
    label_probabilities: Float[AnyArray, "g m k"] | None
    groups: tuple[Group, ...] = field(metadata={"static": True})
    n_classes: int = field(metadata={"static": True})

    @property
    def dim(self) -> int:
        """Number of features d."""
        return self.means.shape[-1]

    @property
    def n_modes(self) -> int:
        """Number of modes M of each group."""
        return self.means.shape[-2]

    def sample(self, counts: tuple[int, ...], *, key: Key[Array, ""]) -> Sample:
        """Draw ``counts[g]`` rows of each group.

        Returns:
            Rows in group order; the first rows of a group do not depend on how many are drawn.
        """
        z = standard_normal(named(key, "features"), counts, self.dim)
        u = uniform(named(key, "choices"), counts, 2)
        factors = jnp.linalg.cholesky(jnp.asarray(self.covariances))
        drawn = Sample(z, jnp.zeros(len(z), int), counts)
        parts = [
            self._sample_group(g, z[drawn.rows(g)], u[drawn.rows(g)], factors[g])
            for g in range(len(counts))
        ]
        x, y = (jnp.concatenate(column) for column in zip(*parts, strict=True))
        return Sample(x, y, counts)

    def _sample_group(self, g: int, z: Array, u: Array, factors: Array) -> tuple[Array, Array]:
        """Rows of one group from normals [n, d], two uniforms [n, 2] and Cholesky factors."""
        mode = jnp.zeros(len(z), int)
        x = z @ factors[0].T + self.means[g, :1]
        if self.n_modes > 1:
            every = jnp.einsum("nd,med->mne", z, factors) + self.means[g][:, None, :]
            mode = _index(jnp.asarray(self.weights[g])[None, :], u[:, 0])
            x = jnp.take_along_axis(every, mode[None, :, None], axis=0)[0]
        if self.label_probabilities is None:
            return x, jnp.full(len(z), self.groups[g].label)
        return x, _index(jnp.asarray(self.label_probabilities[g])[mode], u[:, 1])

    def group_risk(self, theta: Float[Array, " p"], loss: Loss = "logistic") -> Float[Array, " g"]:
        """Expected loss of the rule θ in each group [G]."""
        return jnp.mean(self._scrambled_risks(theta, loss), axis=-1)

    def group_risk_std_error(
        self, theta: Float[Array, " p"], loss: Loss = "logistic"
    ) -> Float[Array, " g"]:
        """Standard error of :meth:`group_risk` [G]: zero where it is exact (two classes)."""
        return _std_error(self._scrambled_risks(theta, loss))

    def _scrambled_risks(self, theta: Float[Array, " p"], loss: Loss) -> Float[Array, "g s"]:
        def of_mode(mean: Array, covariance: Array, labels: Array) -> Array:
            nodes = self.nodes(theta, mean, covariance, loss)
            values = losses.values(nodes.scores, self.n_classes, loss) @ labels
            return _block_sums(values * nodes.weights, 1 if self._is_exact(loss) else N_SCRAMBLES)

        return self._over_modes(of_mode)

    def group_error(self, theta: Float[Array, " p"], loss: Loss = "logistic") -> Float[Array, " g"]:
        """Probability that the rule θ predicts a wrong label, in each group [G]."""
        return jnp.mean(self._scrambled_errors(theta, loss), axis=-1)

    def group_error_std_error(
        self, theta: Float[Array, " p"], loss: Loss = "logistic"
    ) -> Float[Array, " g"]:
        """Standard error of :meth:`group_error` [G]: zero where it is exact (two classes)."""
        return _std_error(self._scrambled_errors(theta, loss))

    def _scrambled_errors(self, theta: Float[Array, " p"], loss: Loss) -> Float[Array, "g s"]:
        def of_mode(mean: Array, covariance: Array, labels: Array) -> Array:
            if self.n_classes == 2:
                centre, spread = self._score_moments(theta, mean, covariance)
                positive = jax.scipy.stats.norm.cdf(centre / spread)
                return (labels[0] * positive + labels[1] * (1 - positive))[None]
            nodes = self.nodes(theta, mean, covariance, loss)
            predicted = losses.predictions(nodes.scores, self.n_classes, loss)
            return _block_sums(nodes.weights * (1 - labels[predicted]), N_SCRAMBLES)

        return self._over_modes(of_mode)

    def group_gradient(
        self, theta: Float[Array, " p"], loss: Loss = "logistic"
    ) -> Float[Array, "g p"]:
        """Gradient of each group's risk [G, p]."""

        def of_mode(mean: Array, covariance: Array, labels: Array) -> Array:
            nodes = self.nodes(theta, mean, covariance, loss)
            slope = jnp.einsum("qkc,k->qc", self._slopes(nodes, loss), labels)
            return jnp.einsum("q,qc,qi->ci", nodes.weights, slope, nodes.features).ravel()

        return self._over_modes(of_mode)

    def group_hessian(
        self, theta: Float[Array, " p"], loss: Loss = "logistic"
    ) -> Float[Array, "g p p"]:
        """Hessian of each group's risk [G, p, p]."""

        def of_mode(mean: Array, covariance: Array, labels: Array) -> Array:
            nodes = self.nodes(theta, mean, covariance, loss)
            return second_moment(nodes, losses.curvatures(nodes.scores, loss))

        return self._over_modes(of_mode)

    def group_score_covariance(
        self, theta: Float[Array, " p"], loss: Loss = "logistic"
    ) -> Float[Array, "g p p"]:
        """Covariance of the loss gradient ∇ℓ(θ; z) within each group [G, p, p]."""

        def of_mode(mean: Array, covariance: Array, labels: Array) -> Array:
            nodes = self.nodes(theta, mean, covariance, loss)
            slope = self._slopes(nodes, loss)
            return second_moment(nodes, jnp.einsum("qkc,qke,k->qce", slope, slope, labels))

        gradient = self.group_gradient(theta, loss)
        return self._over_modes(of_mode) - gradient[:, :, None] * gradient[:, None, :]

    def optimum(self, loss: Loss = "logistic") -> Float[Array, " p"]:
        """Minimiser θ* of the balanced risk [p], to a gradient of 1e-11 in float64."""
        return balanced_optimum(self, loss)

    def calibration_error(self, theta: Float[Array, " p"]) -> Float[Array, ""]:
        """Expected calibration error ``E |P(y = 1 | u) − σ(u)|`` of a binary logistic rule.

        The expectation is over the score u with all groups equally frequent: an integral of
        Gaussian densities, by the trapezoidal rule (accurate to 1e-4, because of the kinks);
        docs/theory.md, section 5.
        """
        w, b = theta[:-1], theta[-1]
        centres = self.means @ w + b
        spreads = jnp.sqrt(jnp.einsum("gmde,d,e->gm", self.covariances, w, w) + _TINY)
        low, high = jnp.min(centres - 6 * spreads), jnp.max(centres + 6 * spreads)
        u = jnp.linspace(low, high, _CALIBRATION_NODES)
        standard = (u[None, None, :] - centres[..., None]) / spreads[..., None]
        densities = jax.scipy.stats.norm.pdf(standard) / spreads[..., None]
        share = jnp.asarray(self.weights) / len(self.groups)
        labelled = jnp.asarray(self.labels_of_modes())[..., 1]
        positive = jnp.einsum("gm,gm,gmu->u", share, labelled, densities)
        everyone = jnp.einsum("gm,gmu->u", share, densities)
        return jnp.trapezoid(jnp.abs(positive - jax.nn.sigmoid(u) * everyone), u)

    def moved(self, means: AnyArray, covariances: AnyArray) -> GaussianLaw:
        """The same groups with other means and covariances."""
        return replace(self, means=means, covariances=covariances)

    def labels_of_modes(self) -> Float[AnyArray, "g m k"]:
        """Label probabilities q [G, M, K], also where they are certain."""
        if self.label_probabilities is not None:
            return self.label_probabilities
        certain = np.eye(self.n_classes)[[group.label for group in self.groups]]
        return np.broadcast_to(certain[:, None, :], (*self.means.shape[:2], self.n_classes))

    def _over_modes(self, of_mode: Callable[[Array, Array, Array], Array]) -> Array:
        """Average a function of (mean, covariance, label probabilities) over each group's modes."""
        modes = (self.means, self.covariances, self.labels_of_modes())
        per_mode = jax.vmap(jax.vmap(of_mode))(*(jnp.asarray(part) for part in modes))
        return jnp.einsum("gm,gm...->g...", self.weights, per_mode)

    def _slopes(self, nodes: ScoreNodes, loss: Loss) -> Float[Array, "q k c"]:
        return losses.slopes(nodes.scores, self.n_classes, loss)

    def _is_exact(self, loss: Loss) -> bool:
        return losses.n_scores(loss, self.n_classes) == 1

    def _score_moments(self, theta: Array, mean: Array, covariance: Array) -> tuple[Array, Array]:
        """Mean and standard deviation of the single score."""
        w, b = theta[:-1], theta[-1]
        return mean @ w + b, jnp.sqrt(w @ covariance @ w + _TINY)

    def nodes(
        self, theta: Float[Array, " p"], mean: Array, covariance: Array, loss: Loss = "logistic"
    ) -> ScoreNodes:
        """Quadrature of the scores of θ in a mode of given mean [d] and covariance [d, d]."""
        d = self.dim
        padded = jnp.zeros((d + 1, d + 1)).at[:d, :d].set(covariance)
        centre = jnp.concatenate([mean, jnp.ones(1)])
        if self._is_exact(loss):
            t, weights = (jnp.asarray(a) for a in gaussian_nodes())
            score, spread = self._score_moments(theta, mean, covariance)
            along = padded[:, :d] @ theta[:-1] / spread
            features = centre[None, :] + t[:, None] * along[None, :]
            residual = padded - along[:, None] * along[None, :]
            return ScoreNodes((score + spread * t)[:, None], features, residual, weights)
        z = jnp.asarray(scrambled_normals(d)).reshape(-1, d)
        x = mean[None, :] + z @ jnp.linalg.cholesky(covariance).T
        w, b = losses.weights_and_intercepts(theta, d)
        features = jnp.concatenate([x, jnp.ones((len(z), 1))], axis=1)
        weights = jnp.full(len(z), 1 / len(z))
        return ScoreNodes(x @ w.T + b[None, :], features, jnp.zeros_like(padded), weights)


def _index(probabilities: Float[Array, "#n k"], uniforms: Float[Array, " n"]) -> Int[Array, " n"]:
    """Modes or labels; validated probabilities sum to one."""
    return pick(probabilities, uniforms, scaled=False).astype(int)


def _block_sums(values: Float[Array, " q"], n_blocks: int) -> Float[Array, " s"]:
    """The integral by each scramble's share of the points."""
    return values.reshape(n_blocks, -1).sum(axis=1) * n_blocks


def _std_error(blocks: Float[Array, "g s"]) -> Float[Array, " g"]:
    """Standard error of the mean over independent scrambles; zero where there is only one."""
    n = blocks.shape[-1]
    return jnp.std(blocks, axis=-1, ddof=1) / jnp.sqrt(n) if n > 1 else jnp.zeros(len(blocks))


def second_moment(nodes: ScoreNodes, factor: Float[Array, "q c c"]) -> Float[Array, "p p"]:
    """``E[factor(score) ⊗ x̃x̃ᵀ]`` with ``x̃ = (x, 1)``, as a [p, p] matrix."""
    weighted = nodes.weights[:, None, None] * factor
    moment = jnp.einsum("qce,qi,qj->ciej", weighted, nodes.features, nodes.features)
    moment += jnp.einsum("qce,ij->ciej", weighted, nodes.residual)
    p = factor.shape[-1] * nodes.features.shape[-1]
    return moment.reshape(p, p)
