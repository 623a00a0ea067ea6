"""Imbalanced classification of Gaussian classes."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from opal.settings.gaussian import GaussianLaw
from opal.settings.groups import Group, require_finite
from opal.settings.setting import GaussianSetting, validated_covariances


class GaussianMixture(GaussianSetting):
    r"""Classes ``x | y = k ~ Σ_c π_kc N(μ_kc, Σ_kc)``; the groups are the classes.

    How imbalanced they are is decided by the counts that are asked for, not by the setting.

    Args:
        means: μ, [K, d] for one mode a class or [K, M, d] for M modes.
        covariances: anything that broadcasts to [K, d, d] (or [K, M, d, d]); a number is a
            variance, a vector [d] variances.
        mode_weights: π [K, M]; equal if None.

    Raises:
        ValueError: fewer than two classes, a mean that is not finite, a covariance that is not
            positive definite, weights that are not probabilities.
    """

    def __init__(
        self,
        means: ArrayLike,
        covariances: ArrayLike = 1.0,
        *,
        mode_weights: ArrayLike | None = None,
        name: str | None = None,
    ) -> None:
        centres = np.asarray(means, dtype=float)
        if centres.ndim not in (2, 3) or len(centres) < 2 or 0 in centres.shape:
            raise ValueError(
                "means must be [K, d] or [K, M, d] with M, d ≥ 1 and K ≥ 2 classes; "
                f"got shape {centres.shape}."
            )
        require_finite(centres, "means")
        d = centres.shape[-1]
        spreads = validated_covariances(np.asarray(covariances), (*centres.shape, d))
        self.means = centres if centres.ndim == 3 else centres[:, None, :]
        self.covariances = spreads if centres.ndim == 3 else spreads[:, None]
        self.mode_weights = _probabilities(mode_weights, self.means.shape[:2])
        self._name = name or f"gaussian_mixture(K={len(centres)}, d={d})"

    @property
    def name(self) -> str:
        """Short description used in records."""
        return self._name

    @cached_property
    def law(self) -> GaussianLaw:
        """The classes as a law."""
        n_classes = len(self.means)
        groups = tuple(Group(f"class {k}", k) for k in range(n_classes))
        arrays = (self.mode_weights, self.means, self.covariances)
        return GaussianLaw(*arrays, None, groups, n_classes)


def _probabilities(weights: ArrayLike | None, shape: tuple[int, ...]) -> np.ndarray:
    if weights is None:
        return np.full(shape, 1 / shape[-1])
    values = np.asarray(weights, dtype=float)
    sums = values.sum(axis=-1) if values.shape == shape else np.zeros(1)
    if not np.allclose(sums, 1) or (values < 0).any():
        raise ValueError(
            f"mode_weights must be probabilities of shape {shape} that sum to 1 over the modes; "
            f"got {values.tolist()}."
        )
    return values
