"""A setting is a validated description and the law it stands for; what Gaussian ones share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from jaxtyping import Array, Float, Key

from opal.draws import as_key
from opal.losses import Loss
from opal.settings.finite import FiniteLaw
from opal.settings.gaussian import GaussianLaw
from opal.settings.groups import Group, Sample, require_finite, validate_counts
from opal.settings.law import TrueLaw


class Setting(Protocol):
    """A true law that is described by a few numbers."""

    @property
    def name(self) -> str:
        """Short description used in records."""
        ...

    @property
    def law(self) -> TrueLaw:
        """The law of the groups."""
        ...


class LawSetting:
    """Base of the settings that are their law: checks on the host, then asks the law."""

    @property
    def name(self) -> str:
        """Short description used in records."""
        raise AttributeError(f"{type(self).__name__} must define its name.")

    @property
    def law(self) -> TrueLaw:
        """The law of the groups; each setting defines its own."""
        raise AttributeError(f"{type(self).__name__} must define its law.")

    @property
    def groups(self) -> tuple[Group, ...]:
        """Names, labels and attributes of the groups."""
        return self.law.groups

    def sample(self, counts: Sequence[int], *, key: int | Key[Array, ""]) -> Sample:
        """Draw ``counts[g]`` rows of each group.

        Raises:
            ValueError: a count is negative or not whole, or their number is not that of the groups.
        """
        n = validate_counts(counts, len(self.groups), what="counts", minimum=0)
        return self.law.sample(n, key=as_key(key))

    def group_risk(self, theta: Float[Array, " p"], loss: Loss = "logistic") -> Float[Array, " g"]:
        """Exact expected loss of the linear rule θ in each group [G]."""
        return self.law.group_risk(theta, loss)

    def group_error(self, theta: Float[Array, " p"], loss: Loss = "logistic") -> Float[Array, " g"]:
        """Probability of a wrong label in each group [G]."""
        return self.law.group_error(theta, loss)

    def optimum(self, loss: Loss = "logistic") -> Float[Array, " p"]:
        """Minimiser θ* of the balanced risk [p]."""
        return self.law.optimum(loss)


class FiniteSetting(LawSetting):
    """Base of the settings with a :class:`FiniteLaw`."""

    @property
    def law(self) -> FiniteLaw:
        """The law of the groups; each setting defines its own."""
        raise AttributeError(f"{type(self).__name__} must define its law.")


class GaussianSetting(LawSetting):
    """Base of the settings with a :class:`GaussianLaw`, whose integrals may have an error."""

    @property
    def law(self) -> GaussianLaw:
        """The law of the groups: a pytree, for use under ``jit``; each setting defines its own."""
        raise AttributeError(f"{type(self).__name__} must define its law.")

    def group_risk_std_error(
        self, theta: Float[Array, " p"], loss: Loss = "logistic"
    ) -> Float[Array, " g"]:
        """Standard error of :meth:`group_risk` [G]; zero for two classes."""
        return self.law.group_risk_std_error(theta, loss)

    def group_error_std_error(
        self, theta: Float[Array, " p"], loss: Loss = "logistic"
    ) -> Float[Array, " g"]:
        """Standard error of :meth:`group_error` [G]; zero for two classes."""
        return self.law.group_error_std_error(theta, loss)


def validated_covariances(covariances: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Broadcast covariances to ``shape`` [..., d, d] and check that they are covariances.

    A scalar is a variance, a vector [d] variances, a matrix [d, d] is shared.

    Raises:
        ValueError: a matrix is not finite, symmetric and positive definite.
    """
    d = shape[-1]
    values = np.asarray(covariances, dtype=float)
    require_finite(values, "covariances")
    if values.ndim == 0:
        values = values * np.eye(d)
    elif values.ndim == 1:
        values = np.diag(values)
    try:
        values = np.broadcast_to(values, shape)
    except ValueError as error:
        raise ValueError(
            f"covariances must broadcast to {shape}; got shape {values.shape}."
        ) from error
    lopsided = np.argwhere(~np.isclose(values, values.swapaxes(-1, -2)))
    if len(lopsided):
        *which, i, j = lopsided[0].tolist()
        matrix = values[tuple(which)]
        raise ValueError(
            f"covariances must be symmetric; matrix {which} has {matrix[i, j]:g} at [{i}, {j}] and "
            f"{matrix[j, i]:g} at [{j}, {i}]. Symmetrise with (S + S.T) / 2."
        )
    smallest = np.linalg.eigvalsh(values).min()
    if smallest <= 0:
        raise ValueError(
            f"covariances must be positive definite; the smallest eigenvalue is {smallest:.3g}. "
            "Add a multiple of the identity, or drop redundant coordinates."
        )
    return values
