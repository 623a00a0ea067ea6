"""The contract of everything that makes synthetic samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

from jaxtyping import Array, Key

from opal.settings.groups import Group, Sample
from opal.settings.law import Law

SeedUse = Literal["none", "copy in turn", "copy at random", "moments"]


@dataclass(frozen=True)
class PopulationLaw:
    """Where a synthesizer's law ends up with ever more seeds, and how it depends on the seeds.

    This is all that theory needs to know about a synthesizer.

    Attributes:
        law: the limit of the fitted law; theory asks it for :class:`opal.settings.law.SmoothLaw`.
        seed_use: ``"none"`` if synthetic rows are independent of the seeds; ``"copy in turn"`` and
            ``"copy at random"`` for the two duplications; ``"moments"`` if the law is the Gaussian
            with the seeds' mean and shrunk covariance.
        shrinkage: γ of the covariance, for ``"moments"``.
        min_seeds: fewest seeds of a group for which a fit exists.
    """

    law: Any
    seed_use: SeedUse = "none"
    shrinkage: float = 0.0
    min_seeds: int = 1


@runtime_checkable
class Synthesizer(Protocol):
    """Learns a synthetic law from seeds; immutable, and usable inside ``jit`` and ``vmap``.

    One that looks at no seeds, since it is given its law, says so by ``uses_seeds = False``.
    """

    @property
    def name(self) -> str:
        """Short name used in records."""
        ...

    @property
    def min_seeds(self) -> int:
        """Fewest seeds that a group must have."""
        ...

    def fit(self, seeds: Sample, groups: tuple[Group, ...], *, key: Key[Array, ""]) -> Law:
        """Fit the synthetic law Q to real rows.

        Args:
            seeds: the real rows of all groups.
            groups: what the groups are.
            key: randomness of the fit itself, where it has any.

        Raises:
            ValueError: a group has fewer than :attr:`min_seeds` rows.
        """
        ...

    def population(self, truth: Law) -> PopulationLaw | None:
        """The law for infinitely many seeds from ``truth``; None where it is not known."""
        ...


class TooFewSeedsError(ValueError):
    """A group has fewer seeds than a synthesizer needs.

    Attributes:
        minimum: fewest seeds of a group.
    """

    def __init__(self, message: str, minimum: int) -> None:
        """Keep the number beside the message."""
        super().__init__(message)
        self.minimum = minimum


def require_seeds(
    seeds: Sample, groups: tuple[Group, ...], minimum: int, who: str, *, remedy: str = ""
) -> None:
    """Check that each group has enough seeds; the counts are static, so this runs on the host.

    Args:
        seeds: the real rows.
        groups: what the groups are.
        minimum: fewest seeds of a group.
        who: needs them.
        remedy: what else helps than more seeds.

    Raises:
        TooFewSeedsError: names the group, what it has and what it needs.
    """
    for group, count in zip(groups, seeds.counts, strict=True):
        if count < minimum:
            needs = "1 seed" if minimum == 1 else f"{minimum} seeds"
            ways = ", ".join(["Collect more", *([remedy] if remedy else [])])
            raise TooFewSeedsError(
                f"{who} needs at least {needs} in every group; group {group.name!r} has {count}. "
                f"{ways}, or leave {who} out.",
                minimum,
            )


def require_group_labels(groups: tuple[Group, ...], who: str) -> None:
    """Check that all rows of a group have its label, for those who know no other labels.

    Raises:
        ValueError: names a group whose rows differ in their labels.
    """
    for group in groups:
        if group.mixed:
            raise ValueError(
                f"{who} gives every row its group's label; rows of group {group.name!r} have "
                f"several labels. Make each label a group of its own, or leave {who} out."
            )
