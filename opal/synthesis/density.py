"""A Gaussian fitted to the seeds of each group."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from opal.arrays import AnyArray
from opal.settings.gaussian import GaussianLaw
from opal.settings.groups import Group, Sample, validate_number
from opal.settings.law import Law
from opal.synthesis.synthesizer import PopulationLaw, require_group_labels, require_seeds


@jax.tree_util.register_static
@dataclass(frozen=True)
class GaussianFit:
    r"""``Q_g = N(x̄_g, (1−γ) S_g + γ (tr S_g / d) I)`` with the unbiased covariance ``S_g``.

    Attributes:
        shrinkage: γ in [0, 1]. With γ = 0 a group needs more than d seeds, or ``S_g`` is
            singular; γ > 0 needs two.

    Raises:
        ValueError: γ outside [0, 1].
    """

    shrinkage: float = 0.0
    name: str = "gaussian fit"

    def __post_init__(self) -> None:
        """Check the shrinkage."""
        validate_number(self.shrinkage, "shrinkage is a weight in [0, 1]", least=0.0, most=1.0)

    @property
    def min_seeds(self) -> int:
        """Two; with γ = 0 the dimension counts as well, see :meth:`fit`."""
        return 2

    def fit(self, seeds: Sample, groups: tuple[Group, ...], *, key: Key[Array, ""]) -> GaussianLaw:
        """Fit one Gaussian to the rows of each group; rows of a group carry the group's label.

        Raises:
            ValueError: a group has at most d rows (γ = 0), fewer than two, or mixed labels.
        """
        del key
        require_group_labels(groups, self.name)
        remedy = "set shrinkage > 0 (then 2 are enough)" if self.shrinkage == 0 else ""
        least = self._min_seeds(seeds.x.shape[1])
        require_seeds(seeds, groups, least, self.name, remedy=remedy)
        fits = [self._fit_group(seeds.x[seeds.rows(g)]) for g in range(len(groups))]
        means, covariances = (jnp.stack(part)[:, None] for part in zip(*fits, strict=True))
        n_classes = 1 + max(group.label for group in groups)
        return GaussianLaw(jnp.ones((len(groups), 1)), means, covariances, None, groups, n_classes)

    def _min_seeds(self, dim: int) -> int:
        return max(self.min_seeds, dim + 1) if self.shrinkage == 0 else self.min_seeds

    def _fit_group(self, x: Float[Array, "n d"]) -> tuple[Array, Array]:
        centred = x - x.mean(axis=0, keepdims=True)
        return x.mean(axis=0), self._shrink(centred.T @ centred / (len(x) - 1))

    def _shrink(self, covariance: Float[AnyArray, "d d"]) -> Float[Array, "d d"]:
        d = len(covariance)
        target = jnp.trace(covariance) / d * jnp.eye(d)
        return self.shrinkage * target + (1 - self.shrinkage) * covariance

    def population(self, truth: Law) -> PopulationLaw | None:
        """The group's own Gaussian, shrunk; None where a group is not one Gaussian of one label."""
        if not isinstance(truth, GaussianLaw) or truth.n_modes > 1:
            return None
        if truth.label_probabilities is not None:
            return None
        shrunk = jnp.stack([self._shrink(c[0])[None] for c in truth.covariances])
        law = truth.moved(truth.means, shrunk)
        return PopulationLaw(law, "moments", self.shrinkage, self._min_seeds(truth.dim))
