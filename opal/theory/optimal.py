r"""The best weight α* and the best number of minority samples ñ* (docs/theory.md, section 4)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from opal.losses import Loss
from opal.objective import GeneratorRows, RowCounts, RowWeights
from opal.settings.law import SmoothLaw, SmoothTruth
from opal.theory import seeds

if TYPE_CHECKING:
    from opal.objective import Design
    from opal.settings.setting import Setting


class WeightCurve(NamedTuple):
    """The small-bias excess ``½[(1−α)²A₁₁ + 2α(1−α)A₁₂ + α²A₂₂]`` as a function of α.

    Attributes:
        real: A₁₁, of the real and oversampled part.
        cross: A₁₂.
        augmented: A₂₂, of the augmented part.
    """

    real: float
    cross: float
    augmented: float

    def excess(self, alpha: float | np.ndarray) -> float | np.ndarray:
        """Predicted balanced excess risk at α, a number or an array (equation 4.2)."""
        real, augmented = (1 - alpha) ** 2 * self.real, alpha**2 * self.augmented
        return 0.5 * (real + 2 * alpha * (1 - alpha) * self.cross + augmented)

    @property
    def best_alpha(self) -> float:
        """``α* = (A₁₁ − A₁₂)/(A₁₁ + A₂₂ − 2A₁₂)``, clipped to [0, 1]."""
        curvature = self.real + self.augmented - 2 * self.cross
        if curvature <= 0:  # equal parts: every α is as good
            return 0.0
        return float(np.clip((self.real - self.cross) / curvature, 0.0, 1.0))


def weight_curve(setting: Setting, design: Design) -> WeightCurve:
    """The small-bias excess in α for a design's counts, N and synthesizer (its α is ignored).

    Covariances of the two parts through shared seeds enter A₁₂. Ridge penalty and moved threshold
    are left out (docs/theory.md, section 4.1).

    Raises:
        ValueError: the design has no augmented rows, or its synthesizer no known law.
    """
    if design.synthesizer is None or design.n_augmented == 0:
        who = design.synthesizer.name if design.synthesizer else "no synthesizer"
        raise ValueError(
            "a curve in alpha needs a synthesizer and n_augmented of at least 1; "
            f"got {who} and n_augmented = {design.n_augmented}."
        )
    with jax.enable_x64(True):  # a law computed in single precision would stay so
        population = design.synthesizer.population(setting.law)
    if population is None:
        raise ValueError(
            f"α* needs the law of synthetic rows; {design.synthesizer.name} has none that is known "
            f"in {setting.name}."
        )
    with jax.enable_x64(True):
        coefficients = _coefficients(
            setting.law,
            population.law,
            design.row_counts(),
            tuple(design.with_(alpha=alpha).row_weights() for alpha in (0.0, 0.5, 1.0)),
            population.shrinkage,
            design.generator_rows(),
            seed_use=population.seed_use,
            loss=design.loss,
        )
        return WeightCurve(*(float(a) for a in coefficients))


@partial(jax.jit, static_argnames=("seed_use", "loss"))
def _coefficients(
    truth: SmoothTruth,
    synthetic: SmoothLaw,
    rows: RowCounts,
    weights: tuple[RowWeights, ...],
    shrinkage: Array | float,
    generator: GeneratorRows | None,
    *,
    seed_use: str,
    loss: Loss,
) -> tuple[Array, Array, Array]:
    """A₁₁, A₁₂ and A₂₂, from the row weights at α = 0, ½ and 1."""
    theta = truth.optimum(loss)
    hessian, *gradients = _derivatives(truth, synthetic, theta, loss)

    def solve(right: Array) -> Array:
        return jax.scipy.linalg.solve(hessian, right, assume_a="pos")

    def slope(at: RowWeights) -> Array:
        real, made = seeds.shares(rows, at)
        return real @ gradients[0] + made @ gradients[1]

    def noise(at: RowWeights) -> Array:
        covariance = seeds.gradient_covariance(
            truth, synthetic, theta, rows, at, seed_use, shrinkage, loss, generator
        )
        return jnp.trace(solve(covariance))

    none, half, full = map(noise, weights)
    shared = 2 * half - 0.5 * (none + full)
    first, second = slope(weights[0]), slope(weights[-1])
    return (
        first @ solve(first) + none,
        first @ solve(second) + shared,
        second @ solve(second) + full,
    )


def _derivatives(
    truth: SmoothTruth, synthetic: SmoothLaw, theta: Array, loss: Loss
) -> tuple[Array, Array, Array]:
    """Hessian of the balanced risk [p, p], and both laws' group gradients [G, p] each."""
    hessian = truth.group_hessian(theta, loss).mean(axis=0)
    return hessian, truth.group_gradient(theta, loss), synthetic.group_gradient(theta, loss)


@partial(jax.jit, static_argnames=("loss",))
def _at_optimum(
    truth: SmoothTruth, synthetic: SmoothLaw, *, loss: Loss
) -> tuple[Array, Array, Array]:
    return _derivatives(truth, synthetic, truth.optimum(loss), loss)


def best_minority_size(setting: Setting, design: Design) -> float:
    """First-order best number ñ* of synthetic minority rows at α = 0, two groups.

    ``ñ* = (⟨a,a⟩ − S⟨a,d⟩)/(S⟨d,d⟩ − ⟨a,d⟩)`` in the inner product of H⁻¹, with ``S`` the number of
    real rows, ``a = (n₀ − n₁)∇R₀(θ*)`` and ``d = δ − ∇R₀(θ*)``, δ the minority's ``∇b`` at θ*. It
    trades one bias against another and leaves variance out: exact balance for an unbiased generator
    (docs/theory.md, section 4.2; arXiv 2601.16120).

    Returns:
        ñ* ≥ 0; infinity where more is always better.

    Raises:
        ValueError: not two groups of different size, or no known law of synthetic rows.
    """
    counts = np.array(design.counts)
    if len(counts) != 2 or counts[0] == counts[1]:
        raise ValueError(f"ñ* is about a minority and a majority; got counts {counts.tolist()}.")
    with jax.enable_x64(True):  # a law computed in single precision would stay so
        population = design.synthesizer.population(setting.law) if design.synthesizer else None
    if population is None:
        raise ValueError("ñ* needs a synthesizer whose law is known; this design has none.")
    few, many = int(np.argmin(counts)), int(np.argmax(counts))
    with jax.enable_x64(True):
        hessian, real, made = _at_optimum(setting.law, population.law, loss=design.loss)
        a = (counts[many] - counts[few]) * real[many]
        d = made[few] - real[few] - real[many]
        pair = jnp.stack([a, d])
        products = pair @ jax.scipy.linalg.solve(hessian, pair.T, assume_a="pos")
        (aa, ad), (_, dd) = products.tolist()
    return _stationary_size(aa, ad, dd, float(counts.sum()))


def _stationary_size(aa: float, ad: float, dd: float, total: float) -> float:
    """Minimiser over ñ ≥ 0 of ``‖a + ñd‖²/(S + ñ)²``."""
    rise, start = total * dd - ad, total * ad - aa
    if rise > 0:
        return max(0.0, -start / rise)
    return np.inf if dd < aa / total**2 else 0.0


def alpha_grid_excess(
    setting: Setting, design: Design, alphas: Float[np.ndarray, " k"]
) -> Float[np.ndarray, " k"]:
    """The full expansion's excess at each α [k]: no small-bias approximation (equation 2.4).

    Raises:
        ValueError: α outside [0, 1], or no theory, see :func:`opal.theory.predict.predict`.
    """
    from opal.theory.estimator import expand

    with jax.enable_x64(True):
        return np.array(
            [float(expand(setting, design.with_(alpha=float(a))).excess) for a in alphas]
        )
