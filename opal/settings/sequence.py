r"""Nonparametric regression on the circle: one Sobolev function for each group.

Rows of group g are ``x ~ U(0, 1)``, ``y = f_g(x) + σ ε`` with ``f_g = Σ_k θ_gk φ_k`` in the real
Fourier basis ``φ = (1, √2 cos 2πx, √2 sin 2πx, √2 cos 4πx, …)``. By Parseval every risk is a sum
over coefficients, so it is exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from opal.arrays import AnyArray
from opal.draws import as_key, named, standard_normal, uniform
from opal.losses import Loss
from opal.settings.groups import Group, Sample, validate_count, validate_counts, validate_number


@dataclass(frozen=True)
class RegressionSample(Sample):
    """Rows with real-valued responses, group after group.

    Attributes:
        x: places on the circle, in units of its length [n, 1].
        y: responses [n].
        counts: rows of each group.
    """

    y: Float[Array, " n"]


@dataclass(frozen=True, eq=False)
class SobolevRegression:
    r"""Group regression functions by their Fourier coefficients; the loss is ``(y − f(x))²``.

    A rule is a vector of coefficients θ [D]; its group risk is ``‖θ − θ_g‖² + σ²``, and the
    balanced risk is least at the mean of the groups' functions (docs/theory.md, section 10). A
    synthetic law is another such object, see :meth:`biased`.

    Attributes:
        coefficients: θ_g [G, D], D = 2J + 1 for J frequencies.
        noise: σ, standard deviation of a response about its function.
        name: short description used in records.

    Raises:
        ValueError: coefficients are not finite [G, D] with D odd, or σ is not positive.
    """

    coefficients: np.ndarray
    noise: float = 1.0
    name: str = "sobolev regression"

    def __post_init__(self) -> None:
        """Check the numbers."""
        values = np.asarray(self.coefficients, dtype=float)
        if values.ndim != 2 or values.shape[1] % 2 == 0 or not np.isfinite(values).all():
            raise ValueError(
                "coefficients must be finite numbers [G, D] with D = 2J + 1: a constant, then a "
                f"cosine and a sine for each of J frequencies; got shape {values.shape}."
            )
        _validate_positive(self.noise, "noise")
        object.__setattr__(self, "coefficients", values)

    @classmethod
    def of_smoothness(
        cls,
        smoothness: float,
        *,
        n_groups: int = 2,
        n_frequencies: int = 512,
        radius: float = 1.0,
        spread: float = 0.0,
        noise: float = 1.0,
        key: int | Key[Array, ""],
    ) -> SobolevRegression:
        r"""Functions on the edge of smoothness s: both coefficients at j are ``± r j^{−(s+½)}``.

        The mean of the groups is exactly such a function, without a constant. Groups depart from it
        by ``spread`` times another one, with contrasts from −1 to 1.

        Args:
            smoothness: s > 0; every Sobolev norm below s is finite, that of order s is not quite.
            n_groups: ``|G|``.
            n_frequencies: J, after which the functions have no coefficients.
            radius: r.
            spread: how far groups are apart, in units of r.
            noise: σ.
            key: of the signs.

        Raises:
            ValueError: s or r is not positive, or there is no group or no frequency.
        """
        _validate_positive(smoothness, "smoothness")
        _validate_positive(radius, "radius")
        validate_number(spread, "spread is a finite number")
        validate_count(n_groups, "n_groups", minimum=1)
        validate_count(n_frequencies, "n_frequencies", minimum=1)
        draws = np.asarray(uniform(named(as_key(key), "signs"), 2, 2 * n_frequencies))
        common, own = np.sign(draws - 0.5)
        contrasts = np.linspace(-1.0, 1.0, n_groups) if n_groups > 1 else np.zeros(1)
        edge = radius * frequencies(2 * n_frequencies + 1)[1:] ** -(smoothness + 0.5)
        waves = edge * (common + spread * contrasts[:, None] * own)
        return cls(np.pad(waves, ((0, 0), (1, 0))), noise, f"sobolev(s={smoothness:g})")

    def biased(
        self, size: float | Sequence[float], *, frequency: int = 1, name: str = ""
    ) -> SobolevRegression:
        """The law of a generator whose functions are off by ``size · √2 cos(2π·frequency·x)``.

        Args:
            size: norm of the error, one number for all groups or one for each [G].
            frequency: of the error; 0 is a constant shift of the responses by ``size``.
            name: used in records; says the size if empty.

        Raises:
            ValueError: the sizes do not fit the groups, or there is no such frequency.
        """
        groups, d = self.coefficients.shape
        sizes = np.asarray(size, dtype=float)
        if sizes.shape not in ((), (groups,)) or not np.isfinite(sizes).all():
            raise ValueError(
                f"size must be a finite number, or one for each of {groups} groups; got {size!r}."
            )
        if not 0 <= frequency <= d // 2:
            raise ValueError(f"frequency must lie in 0 … {d // 2}; got {frequency}.")
        moved = self.coefficients.copy()
        moved[:, max(2 * frequency - 1, 0)] += sizes
        label = name or f"{self.name}, bias {np.array2string(sizes, separator=', ')}"
        return replace(self, coefficients=moved, name=label)

    @property
    def groups(self) -> tuple[Group, ...]:
        """The groups; they differ in their function and not in a label."""
        return tuple(Group(f"group {g}", 0, g) for g in range(len(self.coefficients)))

    def sample(self, counts: Sequence[int], *, key: int | Key[Array, ""]) -> RegressionSample:
        """Draw ``counts[g]`` rows of each group; more rows extend fewer.

        Raises:
            ValueError: a count is negative or not whole, or their number is not that of the groups.
        """
        rows = validate_counts(counts, len(self.coefficients), what="counts", minimum=0)
        x, error = draw_places(rows, key=as_key(key))
        own = self.coefficients[np.repeat(np.arange(len(rows)), rows)]
        mean = jnp.sum(fourier_features(x, self.coefficients.shape[1]) * own, axis=1)
        return RegressionSample(x[:, None], mean + self.noise * error, rows)

    def group_risk(
        self, theta: Float[AnyArray, " d"], loss: Loss = "squared"
    ) -> Float[Array, " g"]:
        """Mean squared error E(y − f(x))² of the rule θ in each group [G]; no half in front.

        Raises:
            ValueError: the loss is not squared.
        """
        return self.group_error(theta, loss) ** 2 + self.noise**2

    def group_error(
        self, theta: Float[AnyArray, " d"], loss: Loss = "squared"
    ) -> Float[Array, " g"]:
        """Root mean squared distance of the rule θ from each group's function [G].

        Raises:
            ValueError: the loss is not squared.
        """
        if loss != "squared":
            raise ValueError(f"regression has the squared loss only; got {loss!r}.")
        apart = jnp.asarray(theta)[None, :] - jnp.asarray(self.coefficients)
        return jnp.sqrt(jnp.sum(apart**2, axis=1))

    def optimum(self) -> Float[np.ndarray, " d"]:
        """Minimiser of the balanced risk: the mean function [D]."""
        return self.coefficients.mean(axis=0)


def _validate_positive(value: float, what: str) -> None:
    if not (value > 0 and np.isfinite(value)):
        raise ValueError(f"{what} must be a positive number; got {value}.")


@partial(jax.jit, static_argnames=("counts",))
def draw_places(
    counts: tuple[int, ...], *, key: Key[Array, ""]
) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
    """Places on the circle and standard normal errors of ``counts[g]`` rows of each group [n]."""
    x = uniform(named(key, "x"), counts, 1)[:, 0]
    return x, standard_normal(named(key, "noise"), counts, 1)[:, 0]


def frequencies(dim: int) -> np.ndarray:
    """Frequency of each of the D basis functions: 0, 1, 1, 2, 2, … [D].

    >>> frequencies(5)
    array([0., 1., 1., 2., 2.])
    """
    return (np.arange(dim) + 1) // 2 * 1.0


def penalties(dim: int, order: int) -> np.ndarray:
    """Squared norm of each basis function in the periodic Sobolev space of an order m [D].

    ``‖f‖² = (∫f)² + ∫(f^(m))²``: 1 for the constant and (2πj)^{2m} at frequency j (Wahba 1990,
    section 2.1).

    Raises:
        ValueError: the order is not a whole number of at least 1.
    """
    validate_count(order, "order", minimum=1)
    return np.maximum(2 * np.pi * frequencies(dim), (np.arange(dim) == 0) * 1.0) ** (2 * order)


def fourier_features(x: Float[AnyArray, " n"], dim: int) -> Float[Array, "n d"]:
    """The first D basis functions at x [n, D]."""
    angles = 2 * jnp.pi * jnp.asarray(x)[:, None] * jnp.arange(1, dim // 2 + 1)[None, :]
    waves = jnp.stack([jnp.cos(angles), jnp.sin(angles)], axis=-1).reshape(len(angles), dim - 1)
    return jnp.concatenate([jnp.ones_like(waves[:, :1]), jnp.sqrt(2.0) * waves], axis=1)
