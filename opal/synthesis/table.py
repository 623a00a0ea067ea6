"""A given law of tokens as a generator: the table of an oracle, or one that was estimated."""

from __future__ import annotations

from dataclasses import dataclass, field

import jax
from jaxtyping import Array, Key

from opal.settings.finite import FiniteLaw
from opal.settings.gaussian import GaussianLaw
from opal.settings.groups import Group, Sample


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class TableOracle:
    """Draws tokens and labels from a fixed table; never looks at the seeds.

    Attributes:
        law: the synthetic law, such as the truth ``with_table`` of other probabilities.
        name: used in records (static).
    """

    law: FiniteLaw
    name: str = field(default="table oracle", metadata={"static": True})

    @property
    def min_seeds(self) -> int:
        """None are needed."""
        return 0

    def fit(self, seeds: Sample, groups: tuple[Group, ...], *, key: Key[Array, ""]) -> FiniteLaw:
        """The law, whatever the seeds."""
        del seeds, groups, key
        return self.law

    def population(self, truth: GaussianLaw) -> None:
        """None: expansions for Gaussian laws do not apply, :mod:`opal.theory.end_to_end` does."""
        del truth
