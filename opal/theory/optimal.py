r"""The best weight α*, correction λ* and number ñ* of minority samples.

Derived in docs/theory.md, sections 4 and 16.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy import optimize

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


class BestWeights(NamedTuple):
    """Where the excess of a design is least.

    Attributes:
        alpha: α*, the weight of augmented rows, in [0, 1].
        correction: λ* in [0, 1], the share of the largest group's bias that is subtracted.
        excess: the expansion's excess there.
    """

    alpha: float
    correction: float
    excess: float


def weight_curve(setting: Setting, design: Design) -> WeightCurve:
    """The small-bias excess in α for a design's counts, N and synthesizer (its α is ignored).

    Covariances of the two parts through shared seeds enter A₁₂. Ridge penalty and moved threshold
    are left out (docs/theory.md, section 4.1).

    Raises:
        ValueError: the design has no augmented rows, or its synthesizer no known law.
    """
    _require_augmented(design)
    (real, cross), (_, augmented) = _forms(setting, [design.with_(alpha=a) for a in (0.0, 1.0)])
    return WeightCurve(float(real), float(cross), float(augmented))


def best_weights(
    setting: Setting,
    design: Design,
    *,
    alpha: float | None = None,
    correction: float | None = None,
) -> BestWeights:
    """The α and the correction λ at which the expansion's excess (2.4) is least.

    For a small bias the excess is a quadratic form on a simplex whose corners are the ends of both
    ranges (docs/theory.md, section 16.2). From its minimum, which is exact, the whole expansion is
    minimised. The design's own α and correction are ignored.

    Args:
        setting: the truth.
        design: counts, N, synthesizer and all else.
        alpha: an α that is given; None for the best.
        correction: a λ that is given, such as 0 for none; None for the best.

    Raises:
        ValueError: α or λ outside [0, 1], no augmented rows, no known law of synthetic rows, or no
            theory, see :func:`opal.theory.predict.predict`.
    """
    from opal.theory.estimator import expand

    _require_augmented(design)
    alphas, shares = ((0.0, 1.0) if given is None else (given,) for given in (alpha, correction))
    corners = [design.with_(alpha=a, correction=share) for a in alphas for share in shares]
    mix = _least_on_simplex(_forms(setting, corners))
    made = mix * np.array([_synthetic_share(corner) for corner in corners])
    corrected = np.array([corner.correction for corner in corners])
    share = float(corrected @ made / made.sum()) if made.sum() > 0 else min(shares)
    start = np.array([mix @ [corner.alpha for corner in corners], share])

    def excess(at: Float[np.ndarray, " 2"]) -> float:
        weighted = design.with_(alpha=float(at[0]), correction=float(at[1]))
        return float(expand(setting, weighted).excess)

    with jax.enable_x64(True):
        low, high = (np.array([end(alphas), end(shares)]) for end in (min, max))
        unit = abs(excess(start))  # drift can make the expansion negative
        found = optimize.minimize(
            lambda at: excess(np.clip(at, low, high)) / unit,
            np.clip(start, low, high),
            bounds=optimize.Bounds(low, high),
            method="L-BFGS-B",
            options={"eps": 1e-5},
        )
        best = np.clip(found.x, low, high)
        return BestWeights(float(best[0]), float(best[1]), excess(best))


def _least_on_simplex(forms: Float[np.ndarray, "k k"]) -> Float[np.ndarray, " k"]:
    """Minimiser of ``pᵀAp`` over p ≥ 0 of sum one.

    That of ``pᵀAp + (1ᵀp − 1)²`` over p ≥ 0, which is least squares, points in the same direction.
    """
    values, vectors = np.linalg.eigh(forms / np.trace(forms))
    root = np.sqrt(np.clip(values, 0.0, None))[:, None] * vectors.T
    stacked = np.vstack([root, np.ones(len(forms))])
    found, _ = optimize.nnls(stacked, np.append(np.zeros(len(forms)), 1.0))
    return np.asarray(found / found.sum())


def _synthetic_share(design: Design) -> float:
    """Weight of all synthetic rows, which a correction is a share of."""
    plain = design.with_(correction=0.0)
    return float(seeds.shares(plain.row_counts(), plain.row_weights())[1].sum())


def _require_augmented(design: Design) -> None:
    if design.synthesizer is None or design.n_augmented == 0:
        who = design.synthesizer.name if design.synthesizer else "no synthesizer"
        raise ValueError(
            "a best weight needs a synthesizer and n_augmented of at least 1; "
            f"got {who} and n_augmented = {design.n_augmented}."
        )


def _forms(setting: Setting, designs: list[Design]) -> Float[np.ndarray, "k k"]:
    """``⟨B_j, B_k⟩ + tr(H⁻¹V_jk)`` of designs that differ in their row weights [K, K]."""
    design, maker = designs[0], designs[0].synthesizer
    with jax.enable_x64(True):  # a law computed in single precision would stay so
        population = maker.population(setting.law) if maker else None
        if population is None:
            who = maker.name if maker else "no synthesizer"
            raise ValueError(
                f"a best weight needs the law of synthetic rows; {who} has none that is known in "
                f"{setting.name}."
            )
        tables = [each.row_weights() for each in designs]
        found = _form_matrix(
            setting.law,
            population.law,
            design.row_counts(),
            RowWeights(*(np.stack(kind) for kind in zip(*tables, strict=True))),
            population.shrinkage,
            design.generator_rows(),
            seed_use=population.seed_use,
            loss=design.loss,
        )
        return np.asarray(found)


@partial(jax.jit, static_argnames=("seed_use", "loss"))
def _form_matrix(
    truth: SmoothTruth,
    synthetic: SmoothLaw,
    rows: RowCounts,
    weights: RowWeights,
    shrinkage: Array | float,
    generator: GeneratorRows | None,
    *,
    seed_use: str,
    loss: Loss,
) -> Float[Array, "k k"]:
    """The forms of row weights [K, G] each; those of pairs from the noise halfway between them."""
    theta = truth.optimum(loss)
    hessian, *gradients = _derivatives(truth, synthetic, theta, loss)
    factor = jax.scipy.linalg.cho_factor(hessian)

    def noise(at: RowWeights) -> Array:
        covariance = seeds.gradient_covariance(
            truth, synthetic, theta, rows, at, seed_use, shrinkage, loss, generator
        )
        return jnp.trace(jax.scipy.linalg.cho_solve(factor, covariance))

    def slope(at: RowWeights) -> Array:
        real, made = seeds.shares(rows, at)
        return real @ gradients[0] + made @ gradients[1]

    k = len(weights.real)
    first, second = np.indices((k, k)).reshape(2, -1)
    halfway = jax.tree.map(lambda each: (each[first] + each[second]) / 2, weights)
    between = jax.lax.map(noise, halfway).reshape(k, k)
    alone = jnp.diagonal(between)
    slopes = jax.vmap(slope)(weights)
    shared = 2 * between - 0.5 * (alone[:, None] + alone[None, :])
    return slopes @ jax.scipy.linalg.cho_solve(factor, slopes.T) + shared


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
