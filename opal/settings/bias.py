"""How a synthetic law departs from the truth: dials that a law turns on itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike

from opal.settings.groups import Group, require_finite

_WHERE = {
    "covariance_scale": "be positive",
    "rotation": "be finite",
    "label_flip": "lie in [0, 1]",
}


@dataclass(frozen=True)
class Bias:
    r"""A departure from the truth, group by group; ``law.biased(bias)`` is the law that has it.

    Features are mapped by ``x ↦ μ_g + δ + √s · R_φ (x − μ_g)``, where μ_g is the mean of the mode
    and ``R_φ`` the rotation by φ in the plane of the first two coordinates; labels are flipped
    with probability ``f``. Every number may be one for all groups or one for each. A law turns the
    dials that it has: one whose rows are tokens has only ``label_flip``, and refuses the others.

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

    def turned(self) -> list[str]:
        """Names of the dials that are not at rest."""
        at_rest = Bias()
        numbers = ("mean_shift", "covariance_scale", "rotation", "label_flip")
        found = [name for name in numbers if np.any(getattr(self, name) != getattr(at_rest, name))]
        return found + ["mode_weights"] * (self.mode_weights is not None)

    def per_group(self, dial: str, n_groups: int) -> Float[np.ndarray, " g"]:
        """A dial's value for each group [G], checked to lie where it must.

        Raises:
            ValueError: it does not, or there are too many or too few.
        """
        values = _broadcast(np.asarray(getattr(self, dial), float), (n_groups,), dial)
        inside = {
            "be positive": values > 0,
            "lie in [0, 1]": (values >= 0) & (values <= 1),
            "be finite": np.isfinite(values),
        }
        if not (inside[_WHERE[dial]] & np.isfinite(values)).all():
            raise ValueError(f"{dial} must {_WHERE[dial]}; got {values.tolist()}.")
        return values

    def shifts(self, n_groups: int, dim: int) -> Float[np.ndarray, "g d"]:
        """δ of each group [G, d].

        Raises:
            ValueError: it is not finite, or does not broadcast.
        """
        values = _broadcast(np.asarray(self.mean_shift, float), (n_groups, dim), "mean_shift")
        require_finite(values, "mean_shift")
        return values

    def rotations(self, n_groups: int, dim: int) -> Float[np.ndarray, "g d d"]:
        """``R_φ`` of each group [G, d, d].

        Raises:
            ValueError: an angle is not finite, or there is no plane to turn.
        """
        angles = self.per_group("rotation", n_groups)
        if dim == 1 and np.any(angles != 0):
            raise ValueError("rotation turns the first two coordinates; the setting has only one.")
        turns = np.tile(np.eye(dim), (n_groups, 1, 1))
        if dim > 1:
            c, s = np.cos(angles), np.sin(angles)
            turns[:, 0, 0], turns[:, 0, 1], turns[:, 1, 0], turns[:, 1, 1] = c, -s, s, c
        return turns

    def weights_of_modes(self, shape: tuple[int, int]) -> Float[np.ndarray, "g m"] | None:
        """The new mode probabilities [G, M], of sum one in each group; None to keep the old.

        Raises:
            ValueError: negative numbers, another shape, or a group without any.
        """
        if self.mode_weights is None:
            return None
        weights = np.asarray(self.mode_weights, dtype=float)
        probable = weights.shape == shape and np.isfinite(weights).all()
        if not probable or (weights < 0).any() or (weights.sum(axis=1) <= 0).any():
            raise ValueError(
                f"mode_weights must be {shape} non-negative numbers with a positive one in "
                f"every group; got {weights.tolist()}."
            )
        return weights / weights.sum(axis=1, keepdims=True)


def flipped(
    labels: Float[np.ndarray, "g m k"], flip: Float[np.ndarray, " g"]
) -> Float[np.ndarray, "g m k"]:
    """Label probabilities after flips with probability f in each group, to any other label."""
    other = (labels.sum(axis=-1, keepdims=True) - labels) / (labels.shape[-1] - 1)
    return (1 - flip)[:, None, None] * labels + flip[:, None, None] * other


def mixed_where(groups: tuple[Group, ...], mixed: Bool[np.ndarray, " g"]) -> tuple[Group, ...]:
    """The groups, of which these have several labels now."""
    return tuple(
        group._replace(mixed=True) if also else group
        for group, also in zip(groups, mixed, strict=True)
    )


def _broadcast(values: np.ndarray, shape: tuple[int, ...], dial: str) -> np.ndarray:
    """One number for all, or as many as there are."""
    try:
        return np.broadcast_to(values, shape)
    except ValueError as error:
        raise ValueError(
            f"{dial} must broadcast to {list(shape)}; got shape {list(values.shape)}."
        ) from error
