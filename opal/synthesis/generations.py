"""Generators trained on the rows of their predecessors, generation after generation."""

from __future__ import annotations

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from opal.settings.groups import Group, Sample, joined, validate_count
from opal.settings.law import Law
from opal.synthesis.synthesizer import Synthesizer, require_seeds


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Generations:
    """The last of several generations, each fitted to rows that the one before it drew.

    Attributes:
        maker: fitted anew in each generation.
        n_generations: k ≥ 1; the first is fitted to seeds (static).
        n_synthetic: rows of each group that a generation draws for the next (static).
        n_fresh: seeds of each group, not seen before, that join them; the last of the seeds are
            kept back for this (static).
        accumulated: whether a generation is fitted to all rows before it as well (static).

    Raises:
        ValueError: no generation, a negative number, or no rows for the next generation.
    """

    maker: Synthesizer
    n_generations: int = field(metadata={"static": True})
    n_synthetic: int = field(metadata={"static": True})
    n_fresh: int = field(default=0, metadata={"static": True})
    accumulated: bool = field(default=False, metadata={"static": True})

    def __post_init__(self) -> None:
        """Check the numbers."""
        validate_count(self.n_generations, "n_generations", minimum=1)
        validate_count(self.n_synthetic, "n_synthetic", minimum=0)
        validate_count(self.n_fresh, "n_fresh", minimum=0)
        if self.n_synthetic + self.n_fresh == 0:
            raise ValueError(
                "a generation is fitted to rows; got n_synthetic = 0 and n_fresh = 0. Raise one."
            )

    @property
    def name(self) -> str:
        """Short name used in records."""
        return f"{self.maker.name}, generation {self.n_generations}"

    @property
    def min_seeds(self) -> int:
        """Those of the first generation, and the fresh ones of all others."""
        return self.maker.min_seeds + (self.n_generations - 1) * self.n_fresh

    def fit(self, seeds: Sample, groups: tuple[Group, ...], *, key: Key[Array, ""]) -> Law:
        """The law of the last generation.

        Raises:
            ValueError: a group has too few seeds, or too few rows for a later generation.
        """
        return self.laws(seeds, groups, key=key)[-1]

    def laws(
        self, seeds: Sample, groups: tuple[Group, ...], *, key: Key[Array, ""]
    ) -> tuple[Law, ...]:
        """The laws of all generations, as :meth:`fit` has the last."""
        require_seeds(seeds, groups, self.min_seeds, self.name)
        none, fresh = (0,) * len(groups), (self.n_fresh,) * len(groups)
        later = self.n_generations - 1
        ends = [tuple(n - k * self.n_fresh for n in seeds.counts) for k in range(later, -1, -1)]
        joining = [seeds.within(start, fresh) for start in ends[:-1]]
        kept = seeds.within(none, ends[0])
        found: list[Law] = [self.maker.fit(kept, groups, key=jax.random.fold_in(key, 0))]
        # Where all rows are replaced every generation after the second is compiled as one.
        alone = later if self.accumulated else min(later, 1)
        for index in range(alone):
            rows = self._next_rows(found[-1], joining[index], index, key=key)
            kept = joined(kept, rows) if self.accumulated else rows
            found.append(self._next_law(kept, groups, index, key=key))
        if alone == later:
            return tuple(found)

        def step(law: Law, one: tuple[Array, Sample]) -> tuple[Law, Law]:
            rows = self._next_rows(law, one[1], one[0], key=key)
            made = self._next_law(rows, groups, one[0], key=key)
            return made, made

        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *joining[alone:])
        _, laws = jax.lax.scan(step, found[-1], (jnp.arange(alone, later), stacked))
        split = [jax.tree.map(lambda leaf, at=at: leaf[at], laws) for at in range(later - alone)]
        return (*found, *split)

    def _next_rows(
        self, law: Law, fresh: Sample, index: int | Array, *, key: Key[Array, ""]
    ) -> Sample:
        """Fresh rows, and those that a generation draws for the next."""
        counts = (self.n_synthetic,) * len(fresh.counts)
        return joined(fresh, law.sample(counts, key=jax.random.fold_in(key, 2 * index + 1)))

    def _next_law(
        self, rows: Sample, groups: tuple[Group, ...], index: int | Array, *, key: Key[Array, ""]
    ) -> Law:
        return self.maker.fit(rows, groups, key=jax.random.fold_in(key, 2 * index + 2))

    def population(self, truth: Law) -> None:
        """None: :mod:`opal.theory.generations` follows the generations one by one."""
        del truth
