r"""Laws whose groups are finite mixtures of Gaussians, with exact risks of linear rules.

Group ``g`` draws a mode ``c`` with probability ``π_gc``, features ``x ~ N(μ_gc, Σ_gc)`` and a label
``y`` with probabilities ``q_gc``. Within a mode the score of a linear rule is Gaussian, so for two
classes every expectation below is a one-dimensional integral: ``u = m + v t`` with ``t ~ N(0, 1)``
and ``v² = wᵀΣw``, and ``x = μ + (Σw/v) t + r`` with ``r`` independent of ``t``. Three classes have
two scores and integrals over a plane. More classes use scrambled Sobol' points, as do the errors of
three; :meth:`GaussianLaw.group_risk_std_error` says how exact they are (docs/theory.md, section 5).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from opal import losses
from opal.arrays import AnyArray
from opal.draws import named, pick, standard_normal, uniform
from opal.losses import Loss
from opal.settings.bias import Bias, flipped, mixed_where
from opal.settings.groups import Group, Sample
from opal.settings.law import NodeLaw, ScoreNodes
from opal.settings.quadrature import N_SCRAMBLES, gaussian_nodes, scrambled_normals

_CALIBRATION_NODES = 513
_ModeNodes = tuple[Array, Array, Array, Array]
_MOST_EXACT = 2  # scores whose expectations are exact
_TINY = 1e-14  # added to the score variance, so that derivatives exist at w = 0


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class GaussianLaw(NodeLaw):
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
            return x, jnp.full(len(z), self.groups[g].label, int)
        return x, _index(jnp.asarray(self.label_probabilities[g])[mode], u[:, 1])

    def group_risk(self, theta: Float[Array, " p"], loss: Loss = "logistic") -> Float[Array, " g"]:
        """Expected loss of the rule θ in each group [G]."""
        return jnp.mean(self.scrambled_risks(theta, loss), axis=-1)

    def group_risk_std_error(
        self, theta: Float[Array, " p"], loss: Loss = "logistic"
    ) -> Float[Array, " g"]:
        """Standard error of :meth:`group_risk` [G]: zero where it is exact (up to two scores)."""
        return _std_error(self.scrambled_risks(theta, loss))

    def scrambled_risks(
        self, theta: Float[Array, " p"], loss: Loss = "logistic"
    ) -> Float[Array, "g s"]:
        """:meth:`group_risk` by each scramble of the points [G, S]; S = 1 where it is exact."""
        exact = losses.n_scores(loss, self.n_classes) <= _MOST_EXACT

        def of_mode(mean: Array, covariance: Array, labels: Array) -> Array:
            if exact:
                scores, weights = self._exact_scores(theta, mean, covariance)
            else:
                scores, weights = self._scrambled_scores(theta, mean, covariance)
            values = losses.values(scores, self.n_classes, loss) @ labels
            return _block_sums(values * weights, 1 if exact else N_SCRAMBLES)

        return self._over_modes(of_mode, loss)

    def group_error(self, theta: Float[Array, " p"], loss: Loss = "logistic") -> Float[Array, " g"]:
        """Probability that the rule θ predicts a wrong label, in each group [G]."""
        return jnp.mean(self.scrambled_errors(theta, loss), axis=-1)

    def group_error_std_error(
        self, theta: Float[Array, " p"], loss: Loss = "logistic"
    ) -> Float[Array, " g"]:
        """Standard error of :meth:`group_error` [G]: zero where it is exact (two classes)."""
        return _std_error(self.scrambled_errors(theta, loss))

    def scrambled_errors(
        self, theta: Float[Array, " p"], loss: Loss = "logistic"
    ) -> Float[Array, "g s"]:
        """:meth:`group_error` by each scramble of the points [G, S]; S = 1 where it is exact."""

        def of_mode(mean: Array, covariance: Array, labels: Array) -> Array:
            if self.n_classes == 2:
                w, b = theta[:-1], theta[-1]
                spread = jnp.sqrt(w @ covariance @ w + _TINY)
                positive = jax.scipy.stats.norm.cdf((mean @ w + b) / spread)
                return (labels[0] * positive + labels[1] * (1 - positive))[None]
            scores, weights = self._scrambled_scores(theta, mean, covariance)
            predicted = losses.predictions(scores, self.n_classes, loss)
            return _block_sums(weights * (1 - labels[predicted]), N_SCRAMBLES)

        return self._over_modes(of_mode, loss)

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

    def biased(self, bias: Bias) -> GaussianLaw:
        """The law whose features and labels depart from this one as the dials say.

        A group with flipped labels is ``mixed``.

        Raises:
            ValueError: a dial is out of range or has the wrong shape.
        """
        n_groups, n_modes, d = self.means.shape
        scale = bias.per_group("covariance_scale", n_groups)
        flip = bias.per_group("label_flip", n_groups)
        turn = bias.rotations(n_groups, d)[:, None]
        weights = bias.weights_of_modes((n_groups, n_modes))
        turned = turn @ np.asarray(self.covariances) @ turn.swapaxes(-1, -2)
        return replace(
            self,
            weights=np.asarray(self.weights) if weights is None else weights,
            means=np.asarray(self.means) + bias.shifts(n_groups, d)[:, None, :],
            covariances=scale[:, None, None, None] * turned,
            label_probabilities=flipped(np.asarray(self.labels_of_modes()), flip)
            if flip.any()
            else self.label_probabilities,
            groups=mixed_where(self.groups, flip > 0),
        )

    def score_nodes(
        self, group: int | Int[Array, ""], theta: Float[Array, " p"], loss: Loss = "logistic"
    ) -> ScoreNodes:
        """Quadrature of the scores of θ in one group, exact for one score and for two."""
        if losses.n_scores(loss, self.n_classes) <= _MOST_EXACT:
            return self._nodes_of(group, theta, self._exact_nodes)
        return self._nodes_of(group, theta, self._scrambled_nodes)

    def one_scramble(self, index: int | Int[Array, ""]) -> OneScramble:
        """The law by one of the independent sets of points, for scores that are too many."""
        return OneScramble(self, jnp.asarray(index))

    def _nodes_of(
        self, group: int | Int[Array, ""], theta: Array, of_mode: Callable[..., _ModeNodes]
    ) -> ScoreNodes:
        """Nodes of a group, from scores, weights, features and residual of its modes."""
        means, covariances = jnp.asarray(self.means)[group], jnp.asarray(self.covariances)[group]
        nodes = jax.vmap(of_mode, (None, 0, 0))(theta, means, covariances)
        scores, weights, features, residual = nodes
        labels = jnp.asarray(self.labels_of_modes())[group]
        shares = jnp.asarray(self.weights)[group][:, None] * weights
        return ScoreNodes(scores, features, residual, shares[:, :, None] * labels[:, None, :])

    def _over_modes(self, of_mode: Callable[[Array, Array, Array], Array], loss: Loss) -> Array:
        """Average a function of (mean, covariance, label probabilities) over each group's modes."""

        def of_group(weights: Array, *modes: Array) -> Array:
            return jnp.einsum("m,m...->...", weights, jax.vmap(of_mode)(*modes))

        parts = (self.weights, self.means, self.covariances, self.labels_of_modes())
        arrays = [jnp.asarray(part) for part in parts]
        if losses.n_scores(loss, self.n_classes) <= _MOST_EXACT:
            return jax.vmap(of_group)(*arrays)
        # One group's points at a time: memory would grow with groups and classes alike.
        found: Array = jax.lax.map(lambda group: of_group(*group), arrays)
        return found

    def _exact_nodes(self, theta: Array, mean: Array, covariance: Array) -> _ModeNodes:
        """Scores [q, c], weights [q], features [q, d+1] and residual [d+1, d+1] of one mode."""
        d = self.dim
        scores, weights = self._exact_scores(theta, mean, covariance)
        w, _ = losses.weights_and_intercepts(theta, d)
        nodes, _ = gaussian_nodes(len(w))
        padded = jnp.zeros((d + 1, d + 1)).at[:d, :d].set(covariance)
        # Covariance of x̃ with the standard normals that the scores are made of [d+1, c].
        along = _solve(_factor(w @ covariance @ w.T), w @ padded[:d])
        lifted = jnp.concatenate([mean, jnp.ones(1)])
        features = lifted[None, :] + jnp.asarray(nodes) @ along
        return scores, weights, features, padded - along.T @ along

    def _exact_scores(self, theta: Array, mean: Array, covariance: Array) -> tuple[Array, Array]:
        """Nodes of one or two scores of one mode [q, c], and their weights [q]."""
        w, b = losses.weights_and_intercepts(theta, self.dim)
        nodes, weights = gaussian_nodes(len(w))
        factor = _factor(w @ covariance @ w.T)
        return (w @ mean + b)[None, :] + jnp.asarray(nodes) @ factor.T, jnp.asarray(weights)

    def _scrambled_nodes(
        self, theta: Array, mean: Array, covariance: Array, index: Array | None = None
    ) -> _ModeNodes:
        """As :meth:`_exact_nodes`, at points of the features: of all scrambles, or of one."""
        w, b = losses.weights_and_intercepts(theta, self.dim)
        points = jnp.asarray(scrambled_normals(self.dim))
        normals = points.reshape(-1, self.dim) if index is None else points[index]
        x = mean[None, :] + normals @ jnp.linalg.cholesky(covariance).T
        features = jnp.concatenate([x, jnp.ones((len(x), 1))], axis=1)
        weights = jnp.full(len(x), 1 / len(x))
        nothing = jnp.zeros((self.dim + 1, self.dim + 1))
        return x @ w.T + b[None, :], weights, features, nothing

    def _scrambled_scores(
        self, theta: Array, mean: Array, covariance: Array
    ) -> tuple[Array, Array]:
        """Scores at scrambled points of one mode [q, c], and their weights [q]."""
        w, b = losses.weights_and_intercepts(theta, self.dim)
        if len(w) > _MOST_EXACT:
            return self._scrambled_nodes(theta, mean, covariance)[:2]
        normals = jnp.asarray(scrambled_normals(len(w))).reshape(-1, len(w))
        scores = (w @ mean + b)[None, :] + normals @ _factor(w @ covariance @ w.T).T
        return scores, jnp.full(len(scores), 1 / len(scores))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class OneScramble(NodeLaw):
    """A Gaussian law whose expectations are averages over one of the sets of points.

    Attributes:
        law: the Gaussian law.
        index: of the scramble.
    """

    law: GaussianLaw
    index: Int[AnyArray, ""]

    @property
    def groups(self) -> tuple[Group, ...]:  # type: ignore[override]
        """Those of the law."""
        return self.law.groups

    @property
    def dim(self) -> int:
        """That of the law."""
        return self.law.dim

    @property
    def n_classes(self) -> int:  # type: ignore[override]
        """That of the law."""
        return self.law.n_classes

    def score_nodes(
        self, group: int | Int[Array, ""], theta: Float[Array, " p"], loss: Loss = "logistic"
    ) -> ScoreNodes:
        """The points of one scramble in one group."""
        del loss
        nodes = partial(self.law._scrambled_nodes, index=jnp.asarray(self.index))
        return self.law._nodes_of(group, theta, nodes)


def _factor(covariance: Float[Array, "c c"]) -> Float[Array, "c c"]:
    """Cholesky factor of the covariance of one or two scores, with derivatives at zero too."""
    first = jnp.sqrt(covariance[0, 0] + _TINY)
    if len(covariance) == 1:
        return first[None, None]
    below = covariance[1, 0] / first
    second = jnp.sqrt(jnp.maximum(covariance[1, 1] - below**2, 0.0) + _TINY)
    return jnp.stack([jnp.stack([first, jnp.zeros_like(first)]), jnp.stack([below, second])])


def _solve(factor: Float[Array, "c c"], right: Float[Array, "c k"]) -> Float[Array, "c k"]:
    """``factor⁻¹ right`` of one or two rows."""
    first = right[0] / factor[0, 0]
    if len(factor) == 1:
        return first[None]
    return jnp.stack([first, (right[1] - factor[1, 0] * first) / factor[1, 1]])


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
