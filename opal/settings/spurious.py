"""Spurious correlation: an attribute that goes with the label in the data, but not in the world."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from opal.settings.gaussian import GaussianLaw
from opal.settings.groups import Group, validate_count, validate_number
from opal.settings.setting import GaussianSetting

_GROUPS = tuple(Group(f"label {y}, attribute {a}", y, a) for y in (0, 1) for a in (0, 1))


@dataclass(frozen=True)
class SpuriousCorrelation(GaussianSetting):
    r"""Groups (label y, attribute a), each in {0, 1}, and features ``x = (core, spurious, noise)``.

    ``core ~ N((2y−1) μ_c 1/√d_c, σ_c² I)``, ``spurious ~ N((2a−1) μ_s 1/√d_s, σ_s² I)`` and
    ``noise ~ N(0, σ_n² I)``: ``μ`` is the distance of a class (an attribute) from the origin. The
    strength of the correlation sets how many rows of each group there are, see :meth:`counts`.

    Attributes:
        core_dim: d_c, at least 1.
        spurious_dim: d_s, at least 1.
        noise_dim: number of pure noise coordinates.
        core_signal: μ_c.
        spurious_signal: μ_s.
        core_variance: σ_c².
        spurious_variance: σ_s².
        noise_variance: σ_n².

    Raises:
        ValueError: a dimension, signal or variance out of range.
    """

    core_dim: int = 1
    spurious_dim: int = 1
    noise_dim: int = 0
    core_signal: float = 1.0
    spurious_signal: float = 1.0
    core_variance: float = 1.0
    spurious_variance: float = 1.0
    noise_variance: float = 1.0

    def __post_init__(self) -> None:
        """Check dimensions, signals and variances."""
        for name, minimum in (("core_dim", 1), ("spurious_dim", 1), ("noise_dim", 0)):
            validate_count(getattr(self, name), name, minimum=minimum)
        for name in ("core_signal", "spurious_signal"):
            validate_number(getattr(self, name), f"{name} must be a finite number")
        for name in ("core_variance", "spurious_variance", "noise_variance"):
            rule = f"{name} must be positive and finite, or there is no such covariance"
            validate_number(getattr(self, name), rule, least=sys.float_info.min)

    @property
    def name(self) -> str:
        """Short description used in records."""
        dims = f"{self.core_dim}+{self.spurious_dim}+{self.noise_dim}"
        signals = f"{self.core_signal:g}/{self.spurious_signal:g}"
        return f"spurious_correlation(d={dims}, signal={signals})"

    @staticmethod
    def counts(n: int, strength: float) -> tuple[int, int, int, int]:
        """Rows of each group among about ``n``, with ``P(attribute = label) = strength``.

        Labels are balanced: the two agreeing groups have ``n·strength/2`` rows each, the two
        disagreeing groups ``n·(1−strength)/2``. The correlation of label and attribute is
        ``2·strength − 1``.

        Raises:
            ValueError: n below 1, strength outside (0, 1), or so extreme that a group stays empty.
        """
        validate_count(n, "n", minimum=1)
        rule = "strength is P(attribute = label), strictly between 0 and 1 (or a group is empty)"
        validate_number(strength, rule, least=sys.float_info.min, most=1 - sys.float_info.epsilon)
        agree, disagree = round(n * strength / 2), round(n * (1 - strength) / 2)
        if min(agree, disagree) < 1:
            raise ValueError(
                f"n = {n} rows at strength {strength} leave a group empty; raise n to "
                f"{int(1 / min(strength, 1 - strength)) + 1} or more."
            )
        return agree, disagree, disagree, agree

    @cached_property
    def law(self) -> GaussianLaw:
        """The four groups as a law, in the order (0,0), (0,1), (1,0), (1,1)."""
        core = np.full(self.core_dim, self.core_signal / np.sqrt(self.core_dim))
        spurious = np.full(self.spurious_dim, self.spurious_signal / np.sqrt(self.spurious_dim))
        noise = np.zeros(self.noise_dim)
        means = np.stack(
            [
                np.concatenate(
                    [(2 * g.label - 1) * core, (2 * (g.attribute or 0) - 1) * spurious, noise]
                )
                for g in _GROUPS
            ]
        )
        variances = np.concatenate(
            [
                np.full(self.core_dim, self.core_variance),
                np.full(self.spurious_dim, self.spurious_variance),
                np.full(self.noise_dim, self.noise_variance),
            ]
        )
        covariances = np.broadcast_to(np.diag(variances), (4, 1, len(variances), len(variances)))
        return GaussianLaw(
            np.ones((4, 1)),
            means[:, None, :],
            covariances,
            None,
            _GROUPS,
            2,
        )
