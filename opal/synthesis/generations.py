"""Generators trained on the rows of their predecessors, generation after generation."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

import jax
from jaxtyping import Array, Key

from opal.settings.groups import Group, Sample, joined, validate_count
from opal.settings.law import Law
from opal.synthesis.synthesizer import Synthesizer, TooFewSeedsError, require_seeds


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
        """The laws of all generations, as :meth:`fit` has the last.

        Each step is compiled by itself: inside ``jax.vmap`` alone generations of as many rows share
        what was compiled, inside ``jax.jit`` they do not.
        """
        none, fresh, drawn = ((n,) * len(groups) for n in (0, self.n_fresh, self.n_synthetic))
        later = range(self.n_generations - 1)
        kept_back = self.n_fresh * len(later)
        first = tuple(max(n - kept_back, 0) for n in seeds.counts)
        try:
            law, rows = _fitted(self.maker, (seeds.within(none, first),), groups, key, 0)
            least = kept_back
        except TooFewSeedsError as error:
            least = error.minimum + kept_back
        remedy = "lower n_fresh" if kept_back else ""
        require_seeds(seeds, groups, least, self.name, remedy=remedy)
        laws = [law]
        for k in later:
            joining = seeds.within(tuple(n + k * self.n_fresh for n in first), fresh)
            new = _next_rows(law, joining, drawn, key, 2 * k + 1)
            parts = (rows, new) if self.accumulated else (new,)
            try:
                law, rows = _fitted(self.maker, parts, groups, key, 2 * k + 2)
            except TooFewSeedsError as error:
                raise ValueError(
                    f"{self.name} fits later generations to n_synthetic + n_fresh = "
                    f"{self.n_synthetic + self.n_fresh} rows of each group, and {self.maker.name} "
                    f"needs at least {error.minimum}. Raise n_synthetic."
                ) from error
            laws.append(law)
        return tuple(laws)

    def population(self, truth: Law) -> None:
        """None: :mod:`opal.theory.generations` follows the generations one by one."""
        del truth


@partial(jax.jit, static_argnames="groups")
def _fitted(
    maker: Synthesizer,
    parts: tuple[Sample, ...],
    groups: tuple[Group, ...],
    key: Key[Array, ""],
    index: int | Array,
) -> tuple[Law, Sample]:
    """The law that is fitted to all parts, and their rows."""
    rows = joined(*parts)
    return maker.fit(rows, groups, key=jax.random.fold_in(key, index)), rows


@partial(jax.jit, static_argnames="counts")
def _next_rows(
    law: Law, fresh: Sample, counts: tuple[int, ...], key: Key[Array, ""], index: int | Array
) -> Sample:
    """Fresh rows, and those that a generation draws for the next."""
    return joined(fresh, law.sample(counts, key=jax.random.fold_in(key, index)))
