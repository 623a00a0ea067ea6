"""Groups and samples: rows that know which group they came from."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import NamedTuple, TypeGuard

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int


class Group(NamedTuple):
    """A group: a class, a (label, attribute) pair, or a subject.

    Attributes:
        name: used in records.
        label: of all its rows; of most of them where they are ``mixed``.
        attribute: what sets it apart from other groups of its label.
        mixed: whether its rows differ in their labels.
    """

    name: str
    label: int
    attribute: int | None = None
    mixed: bool = False


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

    def within(self, starts: tuple[int, ...], counts: tuple[int, ...]) -> Sample:
        """``counts[g]`` rows of each group, from its row ``starts[g]`` on."""
        firsts = [self.rows(g).start + start for g, start in enumerate(starts)]
        spans = [slice(at, at + n) for at, n in zip(firsts, counts, strict=True)]
        x, y = (jnp.concatenate([rows[span] for span in spans]) for rows in (self.x, self.y))
        return Sample(x, y, counts)


def joined(*samples: Sample) -> Sample:
    """The rows of several samples of the same groups, group after group, in this order in each."""
    pairs = [(part, part.rows(g)) for g in range(len(samples[0].counts)) for part in samples]
    x = jnp.concatenate([part.x[rows] for part, rows in pairs])
    y = jnp.concatenate([part.y[rows] for part, rows in pairs])
    return Sample(x, y, tuple(np.sum([part.counts for part in samples], axis=0).tolist()))


def validate_counts(
    counts: object, n_groups: int | None, *, what: str, minimum: int
) -> tuple[int, ...]:
    """One whole number of at least ``minimum`` for each group; None for any number of groups.

    Raises:
        ValueError: wrong length, not whole, or too small; names the group.
    """
    values = list(counts) if isinstance(counts, Iterable) and not isinstance(counts, str) else None
    if not values or n_groups not in (None, len(values)):
        each = "group, such as (1000, 50)" if n_groups is None else f"of the {n_groups} groups"
        shown = counts if values is None else values
        raise ValueError(f"{what} needs one number for each {each}; got {shown!r}.")
    for index, count in enumerate(values):
        if not _is_whole(count) or count < minimum:
            empty = what == "counts" and count == 0
            remedy = " Drop the group, or collect rows for it." if empty else ""
            raise ValueError(
                f"{what} must be whole numbers of at least {minimum}; group {index} has {count!r}."
                + remedy
            )
    return tuple(int(count) for count in values)


def validate_count(value: object, what: str, *, minimum: int) -> None:
    """Check a single whole number.

    Raises:
        ValueError: not whole, or below ``minimum``.
    """
    if not _is_whole(value) or value < minimum:
        raise ValueError(f"{what} must be a whole number of at least {minimum}; got {value!r}.")


def validate_number(
    value: object, rule: str, *, least: float = -math.inf, most: float = math.inf
) -> None:
    """Check a single finite number between ``least`` and ``most``; ``rule`` says so in words.

    Raises:
        ValueError: no number, not finite, or out of range.
    """
    number = math.nan if isinstance(value, bool) or not isinstance(value, Real) else float(value)
    if not math.isfinite(number) or not least <= number <= most:
        raise ValueError(f"{rule}; got {value!r}.")


def require_finite(values: np.ndarray, what: str) -> None:
    """Check that all numbers are finite.

    Raises:
        ValueError: names the first that is not, and where it is.
    """
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        where = tuple(bad[0].tolist())
        place = f" at index {list(where)}" if where else ""
        raise ValueError(f"{what} must be finite; got {values[where]}{place}.")


def _is_whole(value: object) -> TypeGuard[int]:
    return isinstance(value, Integral) and not isinstance(value, bool)
