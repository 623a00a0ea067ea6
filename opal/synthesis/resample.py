"""Copies of real rows: exact duplication in turn, and random duplication."""

from __future__ import annotations

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from opal import losses
from opal.draws import one_of, uniform
from opal.losses import Loss
from opal.settings.groups import Group, Sample
from opal.settings.law import Law
from opal.synthesis.synthesizer import PopulationLaw, require_seeds


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class EmpiricalLaw:
    """The seeds, each equally likely within its group.

    Attributes:
        seeds: the real rows.
        groups: what the groups are (static).
        in_turn: copy the seeds one after the other instead of drawing them (static).
    """

    seeds: Sample
    groups: tuple[Group, ...] = field(metadata={"static": True})
    in_turn: bool = field(metadata={"static": True})

    def sample(self, counts: tuple[int, ...], *, key: Key[Array, ""]) -> Sample:
        """``counts[g]`` copies from each group."""
        made = Sample(uniform(key, counts, 1), jnp.zeros(sum(counts), int), counts)
        indices = [self._indices(g, made.x[made.rows(g), 0]) for g in range(len(counts))]
        rows = jnp.concatenate(indices)
        return Sample(self.seeds.x[rows], self.seeds.y[rows], counts)

    def _indices(self, g: int, u: Float[Array, " m"]) -> Array:
        n, start = self.seeds.counts[g], self.seeds.rows(g).start
        chosen = jnp.arange(len(u)) % n if self.in_turn else one_of(u, n)
        return start + chosen

    def group_risk(self, theta: Float[Array, " p"], loss: Loss = "logistic") -> Float[Array, " g"]:
        """Mean loss over the seeds of each group [G]."""
        n_classes = losses.n_classes_of(loss, len(theta), self.seeds.x.shape[1])
        values = losses.values(self._scores(theta), n_classes, loss)
        return self._means(jnp.take_along_axis(values, self.seeds.y[:, None], axis=1)[:, 0])

    def group_error(self, theta: Float[Array, " p"], loss: Loss = "logistic") -> Float[Array, " g"]:
        """Share of wrongly labelled seeds in each group [G]."""
        n_classes = losses.n_classes_of(loss, len(theta), self.seeds.x.shape[1])
        wrong = losses.predictions(self._scores(theta), n_classes, loss) != self.seeds.y
        return self._means(wrong.astype(float))

    def _scores(self, theta: Float[Array, " p"]) -> Float[Array, "n c"]:
        w, b = losses.weights_and_intercepts(theta, self.seeds.x.shape[1])
        return self.seeds.x @ w.T + b[None, :]

    def _means(self, values: Float[Array, " n"]) -> Float[Array, " g"]:
        return jnp.stack([values[self.seeds.rows(g)].mean() for g in range(len(self.groups))])


@jax.tree_util.register_static
@dataclass(frozen=True)
class Duplication:
    """Oversampling by copies of the seeds.

    Attributes:
        in_turn: copy seed after seed, so that all are copied equally often (up to one): the same
            as giving them weight. Otherwise each copy is of a seed drawn at random.
    """

    in_turn: bool = True

    @property
    def name(self) -> str:
        """Short name used in records."""
        return "duplication" if self.in_turn else "random duplication"

    @property
    def min_seeds(self) -> int:
        """One seed is enough to be copied."""
        return 1

    def fit(self, seeds: Sample, groups: tuple[Group, ...], *, key: Key[Array, ""]) -> EmpiricalLaw:
        """The empirical law of the seeds.

        Raises:
            ValueError: a group has no seed.
        """
        del key
        require_seeds(seeds, groups, self.min_seeds, self.name)
        return EmpiricalLaw(seeds, groups, self.in_turn)

    def population(self, truth: Law) -> PopulationLaw:
        """The truth itself, but through the same seeds."""
        return PopulationLaw(truth, "copy in turn" if self.in_turn else "copy at random")
