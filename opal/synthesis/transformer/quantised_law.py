"""Laws of quantised rows: probabilities of cells, and restricted normal variables inside.

Cells are known boxes. Risks and their derivatives are sums over nodes inside the cells; errors,
which jump inside a cell, are averages over scrambled points and have a standard error.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key
from scipy import stats

from opal import losses
from opal.arrays import AnyArray
from opal.draws import named, uniform
from opal.losses import Loss
from opal.settings.finite import FiniteLaw
from opal.settings.groups import Group, Sample
from opal.settings.quadrature import scrambled_normals
from opal.synthesis.transformer.quantise import Quantiser

_NODES = 2**13  # for smooth functions, of all cells together, at least 2 in a bin, at most 16
# For errors, of a scramble in all cells together, at least 8 and at most 512 in each.
_POINTS = 2**15


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class QuantisedLaw:
    """Groups of rows with p coordinates; every row carries its group's label.

    Attributes:
        table: probabilities of the cells [G, B^p], the bin of the last coordinate changing first.
        quantiser: says what the cells are and how rows lie inside (static).
        dim: coordinates p (static).
        groups: names, labels and attributes of the groups (static).
    """

    table: Float[AnyArray, "g c"]
    quantiser: Quantiser = field(metadata={"static": True})
    dim: int = field(metadata={"static": True})
    groups: tuple[Group, ...] = field(metadata={"static": True})

    @property
    def n_classes(self) -> int:
        """Number of labels K."""
        return 1 + max(group.label for group in self.groups)

    def bins(self) -> np.ndarray:
        """The bins of each cell's coordinates [B^p, p]."""
        return np.indices((self.quantiser.n_bins,) * self.dim).reshape(self.dim, -1).T

    def sample(self, counts: tuple[int, ...], *, key: Key[Array, ""]) -> Sample:
        """Draw ``counts[g]`` rows of each group.

        Returns:
            Rows in group order; the first rows of a group do not depend on how many are drawn.
        """
        u = uniform(named(key, "cells"), counts, 1)
        labels = np.repeat([group.label for group in self.groups], counts)
        inside = uniform(named(key, "inside"), counts, self.dim)
        drawn = Sample(inside, jnp.asarray(labels, int), counts)
        upper = jnp.cumsum(jnp.asarray(self.table), axis=-1)
        # Scaled, so that rounding of the last sum leaves nothing above it.
        cells = [
            jnp.searchsorted(upper[g], u[drawn.rows(g), 0] * upper[g, -1])
            for g in range(len(counts))
        ]
        bins = jnp.asarray(self.bins())[jnp.concatenate(cells)]
        return Sample(self.quantiser.decode(bins, inside), drawn.y, counts)

    def group_risk(self, theta: Float[Array, " p"], loss: Loss = "logistic") -> Float[Array, " g"]:
        """Expected loss of the linear rule θ in each group [G], by :meth:`nodes`."""
        return self.nodes().group_risk(theta, loss)

    def group_error(self, theta: Float[Array, " p"], loss: Loss = "logistic") -> Float[Array, " g"]:
        """Probability that the linear rule θ predicts a wrong label, in each group [G]."""
        return jnp.mean(self._errors(theta, loss), axis=0)

    def group_error_std_error(
        self, theta: Float[Array, " p"], loss: Loss = "logistic"
    ) -> Float[Array, " g"]:
        """Standard error of :meth:`group_error` [G], over the scrambles of the points in a cell."""
        return _std_error(self._errors(theta, loss))

    def group_gradient(
        self, theta: Float[Array, " p"], loss: Loss = "logistic"
    ) -> Float[Array, "g p"]:
        """Gradient of each group's risk [G, p]."""
        return self.nodes().group_gradient(theta, loss)

    def group_hessian(
        self, theta: Float[Array, " p"], loss: Loss = "logistic"
    ) -> Float[Array, "g p p"]:
        """Hessian of each group's risk [G, p, p]."""
        return self.nodes().group_hessian(theta, loss)

    def group_score_covariance(
        self, theta: Float[Array, " p"], loss: Loss = "logistic"
    ) -> Float[Array, "g p p"]:
        """Covariance of the loss gradient ∇ℓ(θ; z) within each group [G, p, p]."""
        return self.nodes().group_score_covariance(theta, loss)

    def nodes(self) -> FiniteLaw:
        """Gauss and Legendre's nodes of all cells, on which smooth expectations are sums.

        For two coordinates in 16 bins: the logistic loss to 1e-7, and its derivatives to 3e-6,
        where no weight of the rule exceeds 4.
        """
        values, shares = _in_bins(self.quantiser, self.dim)
        q = values.shape[1]
        bins = np.repeat(self.bins(), q**self.dim, axis=0)
        place = np.indices((q,) * self.dim).reshape(self.dim, -1).T
        place = np.tile(place, (len(self.bins()), 1))
        inside = np.prod(shares[bins, place], axis=1)
        mass = jnp.repeat(jnp.asarray(self.table), q**self.dim, axis=1) * inside[None, :]
        own = np.eye(self.n_classes)[[group.label for group in self.groups]]
        return FiniteLaw(mass[:, :, None] * own[:, None, :], values[bins, place], self.groups)

    def _errors(self, theta: Float[Array, " p"], loss: Loss) -> Float[Array, "s g"]:
        predicted = losses.predictions(self._scores(theta), self.n_classes, loss)
        return self._over_cells(1 - jax.nn.one_hot(predicted, self.n_classes))

    def _scores(self, theta: Float[Array, " p"]) -> Float[Array, "s q c k"]:
        """Scores at the points of all cells."""
        w, b = losses.weights_and_intercepts(theta, self.dim)
        # [s, q, B, p]: a coordinate's value depends on its own bin alone.
        values = jnp.asarray(_inside(self.quantiser, self.dim))
        rows = values[:, :, self.bins(), np.arange(self.dim)]
        return rows @ w.T + b[None, None, None, :]

    def _over_cells(self, values: Float[Array, "s q c k"]) -> Float[Array, "s g"]:
        """Expectation in each group by each scramble of what depends on row and label."""
        own = np.eye(self.n_classes)[[group.label for group in self.groups]]
        return jnp.einsum("gc,sqck,gk->sg", self.table, values, own) / values.shape[1]


def _in_bins(quantiser: Quantiser, dim: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes in each bin, and shares of its probability that they stand for [B, q] each."""
    q = int(np.clip(_NODES ** (1 / dim) / quantiser.n_bins, 2, 16))
    at, weights = np.polynomial.legendre.leggauss(q)
    edges = quantiser.edges()
    low, high = edges[:-1, None], edges[1:, None]
    values = (low + high) / 2 + (high - low) / 2 * at
    shares = weights * stats.norm.pdf(values / quantiser.scale)
    return values, shares / shares.sum(axis=1, keepdims=True)


def _inside(quantiser: Quantiser, dim: int) -> np.ndarray:
    """Points inside the bins [s, q, B, p]: s scrambles of the first q of a Sobol' sequence."""
    each = min(512, max(8, _POINTS // quantiser.n_bins**dim))
    each = 2 ** (each.bit_length() - 1)  # such numbers of points are spread evenly
    uniforms = stats.norm.cdf(scrambled_normals(dim)[:, :each])[:, :, None, :]
    low = quantiser.levels()[:-1, None]
    width = np.diff(quantiser.levels())[:, None]
    return quantiser.scale * stats.norm.ppf(low + width * uniforms)


def _std_error(blocks: Float[Array, "s g"]) -> Float[Array, " g"]:
    return jnp.std(blocks, axis=0, ddof=1) / np.sqrt(len(blocks))
