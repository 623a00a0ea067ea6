r"""Components of an OPAL design: real rows, rows that fill groups up, and augmented rows.

Row weights of a design have sum one; ``ω_k = d`` times the weight of a row then gives
``Σ α_kω_k = 1``, and the λ of the limit is the λ of the design.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from opal.arrays import AnyArray
from opal.objective import RowCounts, RowWeights
from opal.settings.gaussian import GaussianLaw
from opal.theory import seeds
from opal.theory.estimator import check_groups
from opal.theory.high_dim.components import Components, factor, validate

if TYPE_CHECKING:
    from opal.objective import Design
    from opal.settings.setting import GaussianSetting

COVERED = ("none", "copy in turn")


class Spheres(NamedTuple):
    """Groups of one isotropic Gaussian each, ``x = a_g + √Δ_g z``.

    Attributes:
        means: a [G, q], in coordinates that true and synthetic groups share.
        scale: Δ [G].
    """

    means: Float[AnyArray, "g q"]
    scale: Float[AnyArray, " g"]


def of_design(
    design: Design,
    truth: Spheres,
    synthetic: Spheres | None,
    label: Float[AnyArray, " g"],
    *,
    dim: int,
    seed_use: str = "none",
    alpha: Array | float | None = None,
    n_augmented: Array | float | None = None,
) -> Components:
    """Components of a design, three for each group; the true groups come first.

    Args:
        design: counts, oversampling, N, α and weighting.
        truth: the true groups, which the rule is tested on.
        synthetic: where synthetic rows come from; None without any.
        label: y_g = ±1 [G].
        dim: d.
        seed_use: ``"none"`` for rows independent of the seeds, or ``"copy in turn"``, which gives
            seeds weight (docs/theory.md, section 9.4): rows of whole and of one more copies.
        alpha: replaces the design's α by any number in [0, 1], also one to differentiate in.
        n_augmented: likewise N > 0.

    Raises:
        ValueError: d < 1, synthetic rows without a law, SMOTE, random duplication or a law fitted
            to the seeds, a moved threshold.
    """
    if not dim >= 1:
        raise ValueError(f"dim is the number of features, at least 1; got {dim}.")
    _check_covered(design, synthetic, seed_use)
    rows, weights = _rows_and_weights(design, alpha, n_augmented)
    made = truth if synthetic is None else synthetic
    if seed_use == "copy in turn":
        numbers, sizes = _kinds_of_seeds(rows, weights)
        laws = [truth] * 3
    else:
        numbers, sizes = (jnp.stack([jnp.asarray(k) for k in kinds]) for kinds in (rows, weights))
        laws = [truth, made, made]
    n_kinds, n_groups = numbers.shape
    share = jnp.zeros((n_kinds, n_groups)).at[0].set(1 / n_groups)
    return Components(
        density=numbers.ravel() / dim,
        label=jnp.tile(jnp.asarray(label, float), n_kinds),
        weight=sizes.ravel() * dim,
        means=jnp.concatenate([jnp.asarray(law.means) for law in laws]),
        scale=jnp.concatenate([jnp.asarray(law.scale) for law in laws]),
        test=share.ravel(),
    )


def of_setting(
    setting: GaussianSetting,
    design: Design,
    *,
    alpha: Array | float | None = None,
    n_augmented: Array | float | None = None,
) -> Components:
    """Components of a design in a setting of two classes and isotropic groups.

    Args:
        setting: the truth; its dimension is d.
        design: how to train.
        alpha: replaces the design's α.
        n_augmented: replaces the design's N.

    Raises:
        ValueError: more than two classes, another number of groups, a group that is not one
            isotropic Gaussian, random labels, or a synthesizer that this limit does not cover.
    """
    truth = setting.law
    if truth.n_classes != 2:
        raise ValueError(
            f"the limit of many dimensions has two classes; {setting.name} has {truth.n_classes}."
        )
    check_groups(setting, design)
    population = design.synthesizer.population(truth) if design.synthesizer else None
    if design.synthesizer is not None and population is None:
        raise ValueError(
            f"{design.synthesizer.name} is not covered in the limit of many dimensions: no law of "
            "its rows is known there, as neighbours are then all equally far apart and depend on "
            "every seed. Simulate this arm, or compare with Duplication() or an Oracle."
        )
    laws = [truth, population.law if population else truth]
    true, made = (_spheres(law) for law in laws)
    both = np.concatenate([true.means, made.means])
    places = factor(both @ both.T)
    n_groups = len(true.means)
    made_components = of_design(
        design,
        Spheres(places[:n_groups], true.scale),
        Spheres(places[n_groups:], made.scale) if population else None,
        np.array([2.0 * group.label - 1 for group in truth.groups]),
        dim=truth.dim,
        seed_use=population.seed_use if population else "none",
        alpha=alpha,
        n_augmented=n_augmented,
    )
    if not any(isinstance(part, jax.core.Tracer) for part in (alpha, n_augmented)):
        validate(made_components)
    return made_components


def _check_covered(design: Design, synthetic: Spheres | None, seed_use: str) -> None:
    if seed_use not in COVERED:
        raise ValueError(
            f"synthetic rows that depend on the seeds as {seed_use!r} are not covered in the limit "
            f"of many dimensions, only {COVERED} are: draw copies in turn, use an Oracle, or "
            "simulate this arm."
        )
    if seed_use != "none" and design.generator_rows() is not None:
        raise ValueError(
            "copies of rows that are not the training rows are not covered in the limit of many "
            f"dimensions; got n_generator = {design.n_generator}. Leave it out, or simulate."
        )
    if design.synthesizer is not None and synthetic is None:
        raise ValueError(
            f"the design has synthetic rows of {design.arm}; give the law they come from, or "
            "leave the synthesizer out."
        )
    if design.threshold != "fitted":
        raise ValueError(
            f"a {design.threshold} threshold is not covered in the limit of many dimensions; use "
            "threshold='fitted', or simulate."
        )


def _rows_and_weights(
    design: Design, alpha: Array | float | None, n_augmented: Array | float | None
) -> tuple[RowCounts, RowWeights]:
    """Rows and weights of the design, with α and N as real numbers if they are given.

    The objective is linear in ``(1 − α, α)``: its part at α = 0 is the design's own.
    """
    if alpha is None and n_augmented is None:
        return design.row_counts(), design.row_weights()
    share = jnp.asarray(design.alpha if alpha is None else alpha, float)
    each = jnp.asarray(design.n_augmented if n_augmented is None else n_augmented, float)
    rows, bulk = design.row_counts(), design.with_(alpha=0.0).row_weights()
    ones = jnp.ones(design.n_groups)
    augmented = share / (each * design.n_groups) * ones
    weights = RowWeights((1 - share) * bulk.real, (1 - share) * bulk.oversampled, augmented)
    return rows._replace(augmented=each * ones), weights


def _kinds_of_seeds(rows: RowCounts, weights: RowWeights) -> tuple[Array, Array]:
    """Numbers and weights of seeds with no extra copy, with one of one kind, and with both [3, G].

    Whichever of oversampled and augmented copies leaves the larger remainder has the only seeds
    with one extra copy.
    """
    numbers, sizes = seeds.copied_in_turn(rows, weights)
    one = jnp.where(numbers[1] > numbers[2], sizes[1], sizes[2])
    kinds = jnp.stack([numbers[0], numbers[1] + numbers[2], numbers[3]])
    return kinds, jnp.stack([sizes[0], one, sizes[3]])


def _spheres(law: GaussianLaw) -> Spheres:
    """Means and variances of a law's groups.

    Raises:
        ValueError: a group is not one isotropic Gaussian, or its labels are random.
    """
    covariances = np.asarray(law.covariances)
    scale = np.einsum("gmdd->gm", covariances) / law.dim
    isotropic = np.allclose(covariances, scale[..., None, None] * np.eye(law.dim), atol=1e-12)
    if law.n_modes != 1 or not isotropic or law.label_probabilities is not None:
        raise ValueError(
            "the limit of many dimensions needs groups of one isotropic Gaussian each and labels "
            f"that are certain; got {law.n_modes} mode(s), isotropic: {isotropic}, random labels: "
            f"{law.label_probabilities is not None}. Use predict, or simulate."
        )
    return Spheres(np.asarray(law.means)[:, 0], scale[:, 0])
