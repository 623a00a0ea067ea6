"""A given law as a generator: the truth, or one with a bias that is dialled in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import jax
from jaxtyping import Array, Key

from opal.settings.bias import Bias
from opal.settings.groups import Group, Sample
from opal.settings.law import Law
from opal.synthesis.synthesizer import PopulationLaw


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Oracle:
    """Draws from a given law, the truth or one with a :class:`Bias`; never looks at the seeds.

    Attributes:
        law: the synthetic law (:class:`opal.settings.law.Law`); :meth:`biased` derives it from the
            truth.
        name: used in records (static).
    """

    law: Any
    name: str = field(default="oracle", metadata={"static": True})

    @classmethod
    def biased(cls, truth: Law, bias: Bias, *, name: str = "biased oracle") -> Oracle:
        """The oracle of ``truth`` with its dials turned.

        Raises:
            ValueError: the truth has no such dial, or it is out of range.
        """
        if hasattr(truth, "law"):
            raise ValueError(
                f"an oracle takes a law; got the setting {type(truth).__name__}. "
                "Give it setting.law."
            )
        turn = getattr(truth, "biased", None)
        if turn is None:
            raise ValueError(
                f"a law turns the dials of a bias itself; {type(truth).__name__} has no method "
                "biased(bias). Write one, or give the oracle the biased law: Oracle(law)."
            )
        return cls(turn(bias), name)

    @property
    def uses_seeds(self) -> bool:
        """Its law does not come from rows."""
        return False

    @property
    def min_seeds(self) -> int:
        """None are needed."""
        return 0

    def fit(self, seeds: Sample, groups: tuple[Group, ...], *, key: Key[Array, ""]) -> Law:
        """The law, whatever the seeds."""
        del seeds, groups, key
        return self.law

    def population(self, truth: Law) -> PopulationLaw:
        """The law, whatever the truth."""
        del truth
        return PopulationLaw(self.law)
