"""A generator of regression rows whose functions are given: the nonparametric oracle."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Array, Key

from opal.settings.groups import Group, Sample
from opal.settings.law import Law
from opal.settings.sequence import SobolevRegression


@dataclass(frozen=True)
class FunctionOracle:
    """Draws from a given regression law; never looks at the seeds.

    Attributes:
        law: the synthetic law, see :meth:`opal.settings.sequence.SobolevRegression.biased`.
        name: used in records.
    """

    law: SobolevRegression
    name: str = "oracle"

    @property
    def uses_seeds(self) -> bool:
        """Its law does not come from rows."""
        return False

    @property
    def min_seeds(self) -> int:
        """None are needed."""
        return 0

    def fit(
        self, seeds: Sample, groups: tuple[Group, ...], *, key: Key[Array, ""]
    ) -> SobolevRegression:
        """The law, whatever the seeds."""
        del seeds, groups, key
        return self.law

    def population(self, truth: Law) -> None:
        """None: the expansions for Gaussian laws do not apply, :mod:`opal.theory.rates` does."""
        del truth
