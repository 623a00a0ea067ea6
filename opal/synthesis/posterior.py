"""Makers of rows who know the prior of the groups' means: the best that can be done with seeds."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from opal.settings.gaussian import GaussianLaw
from opal.settings.groups import Group, Sample
from opal.settings.law import Law


@jax.tree_util.register_static
@dataclass(frozen=True)
class PosteriorPredictive:
    """The best that can be made of a group's seeds where the prior and σ are known.

    Attributes:
        mean_scale: τ of the groups' means, N(0, τ² I).
        spread: σ of the rows around them.
    """

    mean_scale: float = 1.0
    spread: float = 1.0
    name: str = "posterior predictive"

    @property
    def min_seeds(self) -> int:
        """None are needed: without seeds the law is the prior predictive."""
        return 0

    def fit(self, seeds: Sample, groups: tuple[Group, ...], *, key: Key[Array, ""]) -> GaussianLaw:
        """``N(m_n, (σ² + s_n²) I)`` of each group (13.50)."""
        del key
        precisions = np.array(seeds.counts) / self.spread**2 + 1 / self.mean_scale**2
        sums = jnp.stack([seeds.x[seeds.rows(g)].sum(axis=0) for g in range(len(groups))])
        means = sums / self.spread**2 / precisions[:, None]
        variances = self.spread**2 + 1 / precisions
        covariances = variances[:, None, None] * np.eye(seeds.x.shape[1])[None]
        n_classes = 1 + max(group.label for group in groups)
        one = jnp.ones((len(groups), 1))
        return GaussianLaw(one, means[:, None], covariances[:, None], None, groups, n_classes)

    def population(self, truth: Law) -> None:
        """None: theory has no expansion of how its mean depends on the seeds."""
        del truth
