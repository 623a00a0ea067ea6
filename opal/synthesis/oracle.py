"""The true law with a bias that is dialled in: a generator of known quality."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import jax
import numpy as np
from jaxtyping import Array, Key
from numpy.typing import ArrayLike

from opal.settings.gaussian import GaussianLaw
from opal.settings.groups import Group, Sample
from opal.settings.setting import require_finite
from opal.synthesis.synthesizer import PopulationLaw


@dataclass(frozen=True)
class Bias:
    r"""How a synthetic law departs from the truth, group by group.

    Features are mapped by ``x ↦ μ_g + δ + √s · R_φ (x − μ_g)``, where μ_g is the mean of the mode
    and ``R_φ`` the rotation by φ in the plane of the first two coordinates; labels are flipped
    with probability ``f``. Every number may be one for all groups or one for each.

    Attributes:
        mean_shift: δ, anything that broadcasts to [G, d].
        covariance_scale: s > 0.
        rotation: φ in radians.
        label_flip: f in [0, 1]; a flipped label is uniform over the other classes.
        mode_weights: replaces the mode probabilities [G, M] (0 drops a mode); None keeps them.
    """

    mean_shift: ArrayLike = 0.0
    covariance_scale: ArrayLike = 1.0
    rotation: ArrayLike = 0.0
    label_flip: ArrayLike = 0.0
    mode_weights: ArrayLike | None = None

    def apply(self, truth: GaussianLaw) -> GaussianLaw:
        """The biased law.

        Raises:
            ValueError: a dial is out of range or has the wrong shape.
        """
        n_groups, _, d = truth.means.shape
        scale = self._per_group("covariance_scale", n_groups, "be positive")
        flip = self._per_group("label_flip", n_groups, "lie in [0, 1]")
        angle = self._per_group("rotation", n_groups, "be finite")
        shift = self._shift(n_groups, d)
        if d == 1 and np.any(angle != 0):
            raise ValueError("rotation turns the first two coordinates; the setting has only one.")
        turn = np.stack([_rotation(d, float(phi)) for phi in angle])[:, None]
        covariances = turn @ np.asarray(truth.covariances) @ turn.swapaxes(-1, -2)
        labels = np.asarray(truth.labels_of_modes())
        other = (1 - labels) / (truth.n_classes - 1)
        mixed = (1 - flip)[:, None, None] * labels + flip[:, None, None] * other
        return replace(
            truth,
            weights=self._mode_weights(np.asarray(truth.weights)),
            means=np.asarray(truth.means) + shift[:, None, :],
            covariances=scale[:, None, None, None] * covariances,
            label_probabilities=mixed if flip.any() else truth.label_probabilities,
        )

    def _shift(self, n_groups: int, d: int) -> np.ndarray:
        values = _broadcast(np.asarray(self.mean_shift, float), (n_groups, d), "mean_shift")
        require_finite(values, "mean_shift")
        return values

    def _per_group(self, dial: str, n_groups: int, where: str) -> np.ndarray:
        """The dial's value for each group [G], checked to lie where it must."""
        values = _broadcast(np.asarray(getattr(self, dial), float), (n_groups,), dial)
        inside = {
            "be positive": values > 0,
            "lie in [0, 1]": (values >= 0) & (values <= 1),
            "be finite": np.isfinite(values),
        }
        if not (inside[where] & np.isfinite(values)).all():
            raise ValueError(f"{dial} must {where}; got {values.tolist()}.")
        return values

    def _mode_weights(self, truth: np.ndarray) -> np.ndarray:
        if self.mode_weights is None:
            return truth
        weights = np.asarray(self.mode_weights, dtype=float)
        probable = weights.shape == truth.shape and np.isfinite(weights).all()
        if not probable or (weights < 0).any() or (weights.sum(axis=1) <= 0).any():
            raise ValueError(
                f"mode_weights must be {truth.shape} non-negative numbers with a positive one in "
                f"every group; got {weights.tolist()}."
            )
        return weights / weights.sum(axis=1, keepdims=True)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Oracle:
    """Draws from a given law, the truth or one with a :class:`Bias`; never looks at the seeds.

    Attributes:
        law: the synthetic law; :meth:`biased` derives it from the truth.
        name: used in records (static).
    """

    law: GaussianLaw
    name: str = field(default="oracle", metadata={"static": True})

    @classmethod
    def biased(cls, truth: GaussianLaw, bias: Bias, *, name: str = "biased oracle") -> Oracle:
        """The oracle of ``truth`` with its dials turned.

        Raises:
            ValueError: a dial is out of range.
        """
        return cls(bias.apply(truth), name)

    @property
    def min_seeds(self) -> int:
        """None are needed."""
        return 0

    def fit(self, seeds: Sample, groups: tuple[Group, ...], *, key: Key[Array, ""]) -> GaussianLaw:
        """The law, whatever the seeds."""
        del seeds, groups, key
        return self.law

    def population(self, truth: GaussianLaw) -> PopulationLaw:
        """The law, whatever the truth."""
        del truth
        return PopulationLaw(self.law)


def _broadcast(values: np.ndarray, shape: tuple[int, ...], dial: str) -> np.ndarray:
    """One number for all, or as many as there are."""
    try:
        return np.broadcast_to(values, shape)
    except ValueError as error:
        raise ValueError(
            f"{dial} must broadcast to {list(shape)}; got shape {list(values.shape)}."
        ) from error


def _rotation(d: int, angle: float) -> np.ndarray:
    rotation = np.eye(d)
    if d > 1:
        c, s = np.cos(angle), np.sin(angle)
        rotation[:2, :2] = [[c, -s], [s, c]]
    return rotation
