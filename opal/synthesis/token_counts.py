"""Counts of the tokens among the seeds of each group."""

from __future__ import annotations

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from opal.arrays import AnyArray
from opal.settings.finite import FiniteLaw
from opal.settings.groups import Group, Sample, validate_number
from opal.settings.law import Law
from opal.synthesis.synthesizer import PopulationLaw, require_group_labels, require_seeds


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class TokenCounts:
    """``Q_g(x) = (c_x + β)/(n + dβ)`` with the counts c of the tokens of group g.

    Attributes:
        features: of the tokens [d, r]; a seed counts as the token with the nearest ones.
        pseudo_count: β ≥ 0, a half for the rule of Krichevsky and Trofimov, zero for plain counts,
            which draw copies of the seeds at random (static).

    Raises:
        ValueError: a pseudo-count that is negative or not finite.
    """

    features: Float[AnyArray, "d r"]
    pseudo_count: float = field(default=0.5, metadata={"static": True})

    def __post_init__(self) -> None:
        """Check the pseudo-count."""
        rule = "pseudo_count is a finite number of at least 0"
        validate_number(self.pseudo_count, rule, least=0.0)

    @property
    def name(self) -> str:
        """Short name used in records."""
        return f"counts + {self.pseudo_count:g}" if self.pseudo_count else "counts"

    @property
    def min_seeds(self) -> int:
        """None with a pseudo-count: without seeds all tokens are equally likely."""
        return 0 if self.pseudo_count else 1

    def fit(self, seeds: Sample, groups: tuple[Group, ...], *, key: Key[Array, ""]) -> FiniteLaw:
        """Count the tokens of each group; rows of a group carry the group's label.

        Raises:
            ValueError: a group has no seed (β = 0), or mixed labels.
        """
        del key
        require_group_labels(groups, self.name)
        require_seeds(seeds, groups, self.min_seeds, self.name, remedy="set pseudo_count > 0")
        own = np.eye(1 + max(group.label for group in groups))[[group.label for group in groups]]
        blank = FiniteLaw(
            jnp.zeros((len(groups), len(self.features), own.shape[1])), self.features, groups
        )
        seen = blank.tally(seeds).sum(axis=2) + self.pseudo_count
        return blank.with_table((seen / seen.sum(axis=1, keepdims=True))[:, :, None] * own[:, None])

    def population(self, truth: Law) -> PopulationLaw | None:
        """That of random copies for plain counts of tokens; None otherwise."""
        if self.pseudo_count or not isinstance(truth, FiniteLaw):
            return None
        return PopulationLaw(truth, "copy at random")
