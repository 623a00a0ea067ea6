"""SMOTE and ADASYN: points on segments between a seed and its neighbours."""

from __future__ import annotations

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from opal import losses
from opal.draws import one_of, uniform
from opal.losses import Loss
from opal.settings.groups import Group, Sample, validate_count
from opal.settings.law import Law
from opal.synthesis.synthesizer import PopulationLaw, require_group_labels, require_seeds


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class SegmentLaw:
    """A seed, one of its k neighbours in the group, and a uniform point between them.

    Attributes:
        seeds: the real rows.
        neighbours: for each group, the k nearest rows of its group of every seed [n_g, k]. Groups
            are kept apart, so that ``jit`` drops the search in groups that need no new rows.
        shares: for each group, how often a seed is used [n_g], of sum one.
        groups: what the groups are (static).
        in_proportion: fix how often each seed is used (ADASYN) instead of drawing it (static).
    """

    seeds: Sample
    neighbours: tuple[Int[Array, "n k"], ...]
    shares: tuple[Float[Array, " n"], ...]
    groups: tuple[Group, ...] = field(metadata={"static": True})
    in_proportion: bool = field(metadata={"static": True})

    def sample(self, counts: tuple[int, ...], *, key: Key[Array, ""]) -> Sample:
        """``counts[g]`` new points in each group."""
        u = uniform(key, counts, 3)
        made = Sample(u, jnp.asarray(np.repeat([g.label for g in self.groups], counts)), counts)
        parts = [self._sample_group(g, u[made.rows(g)]) for g in range(len(counts))]
        return Sample(jnp.concatenate(parts), made.y, counts)

    def _sample_group(self, g: int, u: Float[Array, "m 3"]) -> Float[Array, "m d"]:
        """New points of a group from uniforms in (0, 1]: step, neighbour and seed."""
        points, k = self.seeds.x[self.seeds.rows(g)], self.neighbours[g].shape[1]
        if self.in_proportion:
            uses = _apportion(self.shares[g], len(u))
            seed = jnp.searchsorted(jnp.cumsum(uses), jnp.arange(len(u)), side="right")
        else:
            seed = one_of(u[:, 2], len(points))
        start = points[seed]
        end = points[self.neighbours[g][seed, one_of(u[:, 1], k)]]
        # Steps lie in (0, 1), open at both ends, so that no synthetic point is a seed.
        return start + u[:, :1] * (1 - 2.0**-32) * (end - start)

    def group_risk(self, theta: Float[Array, " p"], loss: Loss = "logistic") -> Float[Array, " g"]:
        """Expected loss over all segments of each group [G], by Gauss-Legendre quadrature."""
        nodes, weights = np.polynomial.legendre.leggauss(16)
        steps = jnp.asarray((nodes + 1) / 2)[:, None, None, None]
        n_classes = 1 + max(group.label for group in self.groups)

        def of_group(g: int) -> Array:
            start, end = self._end_scores(theta, g)
            values = losses.values(start[None] + steps * (end - start)[None], n_classes, loss)
            mean = jnp.einsum("q,qnk->n", weights / 2, values[..., self.groups[g].label])
            return self.shares[g] @ mean / self.neighbours[g].shape[1]

        return jnp.stack([of_group(g) for g in range(len(self.groups))])

    def group_error(self, theta: Float[Array, " p"], loss: Loss = "logistic") -> Float[Array, " g"]:
        """Probability of a wrong label over all segments of each group [G].

        Two classes: the part of a segment with a positive score is a ratio of lengths.

        Raises:
            ValueError: more than two classes.
        """
        if max(group.label for group in self.groups) > 1:
            raise ValueError(
                "the exact error of segments is known for two classes; sample instead."
            )

        def of_group(g: int) -> Array:
            start, end = (scores[..., 0] for scores in self._end_scores(theta, g))
            flat = start == end
            crossing = jnp.clip(-start / jnp.where(flat, 1.0, end - start), 0.0, 1.0)
            positive = jnp.where(end > start, 1 - crossing, crossing)
            positive = jnp.where(flat, (start > 0).astype(float), positive).mean(axis=1)
            wrong = 1 - positive if self.groups[g].label == 1 else positive
            return self.shares[g] @ wrong

        return jnp.stack([of_group(g) for g in range(len(self.groups))])

    def _end_scores(self, theta: Float[Array, " p"], g: int) -> tuple[Array, Array]:
        """Scores at both ends of every segment of a group [n_g, k, C]."""
        w, b = losses.weights_and_intercepts(theta, self.seeds.x.shape[1])
        scores = self.seeds.x[self.seeds.rows(g)] @ w.T + b[None, :]
        end = scores[self.neighbours[g]]
        return jnp.broadcast_to(scores[:, None, :], end.shape), end


@jax.tree_util.register_static
@dataclass(frozen=True)
class Smote:
    """SMOTE (Chawla et al. 2002): a random seed, a random one of its neighbours, a uniform step.

    Attributes:
        n_neighbours: k.

    Raises:
        ValueError: k is not a whole number of at least 1.
    """

    n_neighbours: int = 5
    name: str = "SMOTE"

    def __post_init__(self) -> None:
        """Check the number of neighbours."""
        validate_count(self.n_neighbours, f"n_neighbours of {self.name}", minimum=1)

    @property
    def min_seeds(self) -> int:
        """The seed itself and its k neighbours."""
        return self.n_neighbours + 1

    def fit(self, seeds: Sample, groups: tuple[Group, ...], *, key: Key[Array, ""]) -> SegmentLaw:
        """Find the neighbours of every seed within its group.

        Raises:
            ValueError: a group has no more rows than neighbours are asked for, or mixed labels.
        """
        del key
        require_group_labels(groups, self.name)
        remedy = "lower n_neighbours (k of them need k + 1 seeds)"
        require_seeds(seeds, groups, self.min_seeds, self.name, remedy=remedy)
        near = tuple(
            _nearest(points, points, self.n_neighbours, own=0)
            for points in (seeds.x[seeds.rows(g)] for g in range(len(groups)))
        )
        shares, in_proportion = self._shares(seeds)
        return SegmentLaw(seeds, near, shares, groups, in_proportion)

    def _shares(self, seeds: Sample) -> tuple[tuple[Array, ...], bool]:
        """Shares of the seeds of each group, and whether they are kept exactly."""
        return tuple(jnp.full(n, 1 / n) for n in seeds.counts), False

    def population(self, truth: Law) -> PopulationLaw | None:
        """Not known: the segments depend on the distances between finitely many seeds."""
        del truth
        return None


@jax.tree_util.register_static
@dataclass(frozen=True)
class Adasyn(Smote):
    """ADASYN (He et al. 2008): seeds among more rows of other groups are used more often.

    A seed's share is the fraction of strangers among its k nearest rows of all groups. Where no
    seed of a group has a stranger nearby the shares are equal (imbalanced-learn refuses).
    """

    name: str = "ADASYN"

    def _shares(self, seeds: Sample) -> tuple[tuple[Array, ...], bool]:
        group = jnp.asarray(seeds.group)

        def of_group(g: int) -> Array:
            rows = seeds.rows(g)
            near = _nearest(seeds.x[rows], seeds.x, self.n_neighbours, own=rows.start)
            strangers = jnp.mean((group[near] != g).astype(float), axis=1)
            total = strangers.sum()
            equal = jnp.full(seeds.counts[g], 1 / seeds.counts[g])
            return jnp.where(total > 0, strangers / jnp.where(total > 0, total, 1.0), equal)

        return tuple(of_group(g) for g in range(len(seeds.counts))), True


def _nearest(
    points: Float[Array, "n d"], among: Float[Array, "m d"], k: int, *, own: int
) -> Int[Array, "n k"]:
    """Indices of the k rows of ``among`` nearest to each point, which is itself row ``own + i``.

    Distances are compared in float32 (XLA's fast selection), after centring: rows nearer to each
    other than 1e-7 of the spread of the data may swap places.
    """
    centre = among.mean(axis=0, keepdims=True)
    points, among = points - centre, among - centre
    squares = jnp.sum(points**2, axis=1)[:, None] + jnp.sum(among**2, axis=1)[None, :]
    squares -= 2 * points @ among.T
    itself = jnp.arange(len(among))[None, :] == own + jnp.arange(len(points))[:, None]
    closeness = jnp.where(itself, -jnp.inf, -squares).astype(jnp.float32)
    return jax.lax.top_k(closeness, k)[1]


def _apportion(shares: Float[Array, " n"], m: int) -> Int[Array, " n"]:
    """Whole numbers that sum to m and are proportional to the shares (largest remainders)."""
    ideal = shares * m
    whole = jnp.floor(ideal)
    missing = m - whole.sum()
    rank = jnp.argsort(jnp.argsort(-(ideal - whole)))
    return (whole + (rank < missing)).astype(int)
