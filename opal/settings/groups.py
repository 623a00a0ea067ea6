"""Groups and samples: rows that know which group they came from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float, Int


class Group(NamedTuple):
    """A group: a class, or a (label, attribute) pair."""

    name: str
    label: int
    attribute: int | None = None


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Sample:
    """Labelled rows, group after group.

    Attributes:
        x: features [n, d].
        y: labels [n], in 0 … K−1.
        counts: rows of each group, in the order of the groups; static, so that shapes are known.
    """

    x: Float[Array, "n d"]
    y: Int[Array, " n"]
    counts: tuple[int, ...] = field(metadata={"static": True})

    @property
    def group(self) -> np.ndarray:
        """Group index of each row [n]."""
        return np.repeat(np.arange(len(self.counts)), self.counts)

    def rows(self, group: int) -> slice:
        """Where the rows of one group lie."""
        start = sum(self.counts[:group])
        return slice(start, start + self.counts[group])


def validate_counts(counts: Sequence[int], n_groups: int, *, what: str, minimum: int) -> None:
    """Check one whole number of at least ``minimum`` for each group.

    Raises:
        ValueError: wrong length, not whole, or too small; names the group.
    """
    if len(counts) != n_groups:
        raise ValueError(
            f"{what} needs one number for each of the {n_groups} groups; got {list(counts)}."
        )
    for index, count in enumerate(counts):
        if not isinstance(count, int | np.integer) or count < minimum:
            raise ValueError(
                f"{what} must be whole numbers of at least {minimum}; group {index} has {count!r}."
            )
