"""Rows in the limit of many dimensions, as components of one Gaussian each."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from opal.arrays import AnyArray


class Components(NamedTuple):
    r"""Rows ``x = a_k + √Δ_k z`` with label y_k, where n_k, d → ∞ at fixed ``α_k = n_k/d``.

    The rule ``u(x) = xᵀw/√d + b`` minimises

    .. math::
        Σ_k ω_k Σ_{i ≤ n_k} ℓ(y_k u(x_i)) + \frac λ2 ‖w‖^2, \qquad z ∼ N(0, I_d), \; y_k = ±1,

    and component k has error ``P(y_k u(x) < 0)`` and risk ``E ℓ(y_k u(x))``. The means enter
    through their Gram matrix ``G_kl = ⟨a_k, a_l⟩`` alone, so any coordinates of them will do.

    Attributes:
        density: α_k ≥ 0 [k]; 0 for a component that is tested on and not trained on.
        label: y_k = ±1 [k].
        weight: loss weight ω_k ≥ 0 of a row [k].
        means: a_k in an orthonormal basis of a space that holds them all [k, q].
        scale: Δ_k > 0, variance of a row in any direction [k].
        test: share of each component in the balanced error, of sum one [k]: ``1/|G|`` for the true
            groups and 0 for synthetic rows. The worst group is the worst of those with a share.
    """

    density: Float[AnyArray, " k"]
    label: Float[AnyArray, " k"]
    weight: Float[AnyArray, " k"]
    means: Float[AnyArray, "k q"]
    scale: Float[AnyArray, " k"]
    test: Float[AnyArray, " k"]

    @property
    def gram(self) -> Float[AnyArray, "k k"]:
        """G [k, k]."""
        return self.means @ self.means.T


def components(
    density: ArrayLike,
    label: ArrayLike,
    *,
    weight: ArrayLike | float = 1.0,
    means: ArrayLike | None = None,
    gram: ArrayLike | None = None,
    scale: ArrayLike | float = 1.0,
    test: ArrayLike | None = None,
) -> Components:
    """Components by hand; numbers stand for all components.

    >>> components([1.0, 0.1], [-1, 1], gram=[[1, -1], [-1, 1]]).means.round(3)
    array([[-1.],
           [ 1.]])

    Args:
        density: α [k].
        label: y [k].
        weight: ω.
        means: a [k, q]; either these or the Gram matrix.
        gram: G [k, k].
        scale: Δ.
        test: shares in the balanced error [k]; all components alike if None.

    Raises:
        ValueError: a number is out of range, a shape is wrong, or G is no Gram matrix.
    """
    alpha = np.array(density, dtype=float)
    if alpha.ndim != 1:
        raise ValueError(f"density must be one number for each component; got {density!r}.")
    shape = alpha.shape
    share = np.full(shape, 1 / max(len(alpha), 1)) if test is None else _spread("test", test, shape)
    if (means is None) == (gram is None):
        raise ValueError("components need either means or a Gram matrix, not both and not neither.")
    places = factor(np.array(gram, dtype=float)) if means is None else np.array(means, dtype=float)
    y, omega = _spread("label", label, shape), _spread("weight", weight, shape)
    made = Components(alpha, y, omega, places, _spread("scale", scale, shape), share)
    validate(made)
    return made


def factor(gram: Float[np.ndarray, "..."]) -> Float[np.ndarray, "k q"]:
    """Means [k, q] with the Gram matrix ``gram`` [k, k] of rank q.

    Raises:
        ValueError: not a finite, symmetric and positive semi-definite matrix.
    """
    if gram.ndim != 2 or gram.shape[0] != gram.shape[1] or not np.isfinite(gram).all():
        raise ValueError(f"gram must be a finite square matrix; got shape {gram.shape}.")
    size = np.abs(gram).max(initial=0.0)
    if not np.allclose(gram, gram.T, rtol=0, atol=1e-9 * size):
        raise ValueError(
            "gram must be symmetric, G_kl = ⟨a_k, a_l⟩; symmetrise with (G + G.T) / 2."
        )
    values, vectors = np.linalg.eigh(gram)
    if values.min(initial=0.0) < -1e-9 * max(size, 1e-300):
        raise ValueError(
            "gram must be positive semi-definite, as inner products are; its smallest eigenvalue "
            f"is {values.min():.3g}. Compute it as A @ A.T from the means A."
        )
    kept = values > 1e-12 * size
    kept[-1] = True
    return vectors[:, kept] * np.sqrt(values[kept].clip(0))


def validate(made: Components) -> None:
    """Check components on the host.

    Raises:
        ValueError: names the rule, the value received and the remedy.
    """
    parts = Components(*(np.asarray(part, dtype=float) for part in made))
    shape = parts.density.shape
    if parts.means.ndim != 2 or len(parts.means) != len(parts.density):
        raise ValueError(
            f"means must be one row for each of {shape[0]} components; got {parts.means.shape}."
        )
    rules = {
        "density": (parts.density >= 0, "at least 0 (rows for each dimension, n_k/d)"),
        "label": (np.abs(parts.label) == 1, "-1 or 1"),
        "weight": (parts.weight >= 0, "at least 0; leave rows out with weight 0"),
        "scale": (parts.scale > 0, "a positive variance"),
        "test": (parts.test >= 0, "at least 0; give synthetic components 0"),
        "means": (np.isfinite(parts.means).all(axis=1), "finite"),
    }
    for name, (good, rule) in rules.items():
        values = getattr(parts, name)
        if not (good.all() and np.isfinite(values).all()):
            raise ValueError(f"{name} must be {rule}; got {values.tolist()}.")
    if not np.isclose(parts.test.sum(), 1):
        raise ValueError(f"test must sum to 1 over components; got {parts.test.tolist()}.")
    trained = parts.density * parts.weight > 0
    if set(parts.label[trained]) != {-1.0, 1.0}:
        raise ValueError(
            "training needs rows of both labels with density and weight above 0; got labels "
            f"{sorted(set(parts.label[trained]))}."
        )


def _spread(name: str, value: ArrayLike | float, shape: tuple[int, ...]) -> np.ndarray:
    values = np.asarray(value, dtype=float)
    if values.shape not in ((), shape):
        raise ValueError(
            f"{name} must be a number or one for each of {shape[0]} components; got {values.shape}."
        )
    return np.broadcast_to(values, shape).copy()
