"""Theory with the face of a simulation: a setting and a design in, records out."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from opal import losses, risk
from opal.losses import Loss
from opal.settings.gaussian import GaussianLaw
from opal.settings.quadrature import scrambled_normals
from opal.theory.asymptotics import Asymptotics, asymptotics
from opal.theory.cavity import SelfConsistent, self_consistent

if TYPE_CHECKING:
    import pandas as pd

    from opal.objective import Design
    from opal.settings.setting import GaussianSetting


Order = Literal["self-consistent", "first"]


def predict(
    setting: GaussianSetting,
    design: Design,
    *,
    order: Order = "self-consistent",
    study: str = "predict",
) -> pd.DataFrame:
    """Predict what :func:`opal.simulate.simulate` would measure.

    The balanced excess risk is an exact average over the estimator's Gaussian law. Its expansion to
    order 1/n is also reported, whole (``excess_first_order``) and by part (``excess_bias``,
    ``excess_drift``, ``excess_variance``). Other metrics are averages over the same Gaussian law,
    so that a worst group is the worst of each replicate.

    Args:
        setting: the truth.
        design: how to train.
        order: ``"self-consistent"`` solves the leave-one-out equations (all orders in p/n) for two
            classes and rows that are independent or copied in turn, and is the same as ``"first"``
            (order 1/n) for other designs.
        study: name in the records.

    Returns:
        Records with the columns of :data:`opal.records.COLUMNS`, source ``"theory"``. Where the
        leave-one-out equations have no solution, since so few rows tend to be separable, what
        depends on them is NaN.

    Raises:
        ValueError: the synthesizer's law is not known, or the design has no theory here.
    """
    from opal import records

    if order not in ("self-consistent", "first"):
        raise ValueError(f"order must be 'self-consistent' or 'first'; got {order!r}.")
    with jax.enable_x64(True):
        first = expand(setting, design)
        law = resum(setting, design, first) if order == "self-consistent" else first
        values = _metrics(setting.law, first, law, design.counts, design.loss)
    rows = {key: (value, np.nan) for key, value in values.items()}
    return records.of_design(setting, design, rows, study=study, source="theory")


def resum(
    setting: GaussianSetting, design: Design, first: Asymptotics
) -> SelfConsistent | Asymptotics:
    """The estimator's law to all orders in p/n, or ``first`` where only that is known.

    Known for one score, and rows that are independent or copied in turn. Call under
    ``jax.enable_x64(True)``.
    """
    truth = setting.law
    population = design.synthesizer.population(truth) if design.synthesizer else None
    seed_use = population.seed_use if population else "none"
    known = seed_use in ("none", "copy in turn")
    if not known or losses.n_scores(design.loss, truth.n_classes) > 1:
        return first
    synthetic = population.law if population else truth
    return self_consistent(
        first,
        truth,
        synthetic,
        design.row_counts(),
        design.row_weights(),
        seed_use=seed_use,
        ridge=design.ridge,
        shift=threshold_shift(truth, synthetic, design),
        loss=design.loss,
    )


def expand(setting: GaussianSetting, design: Design) -> Asymptotics:
    """The estimator's expansion for a design; call under ``jax.enable_x64(True)``.

    Raises:
        ValueError: see :func:`predict`.
    """
    truth = setting.law
    check_groups(setting, design)
    population = design.synthesizer.population(truth) if design.synthesizer else None
    if design.synthesizer is not None and population is None:
        raise ValueError(
            f"theory needs the law of synthetic rows; {design.synthesizer.name} has none that is "
            f"known in {setting.name}. Simulate this arm instead."
        )
    synthetic = population.law if population else truth
    return asymptotics(
        truth,
        synthetic,
        design.row_counts(),
        design.row_weights(),
        seed_use=population.seed_use if population else "none",
        shrinkage=population.shrinkage if population else 0.0,
        ridge=design.ridge,
        shift=threshold_shift(truth, synthetic, design),
        loss=design.loss,
    )


def check_groups(setting: GaussianSetting, design: Design) -> None:
    """Check that a setting is Gaussian, and that a design has a count for each of its groups.

    Raises:
        ValueError: it is not, or has not.
    """
    law: object = setting.law
    if not isinstance(law, GaussianLaw):
        raise ValueError(
            f"this theory is for Gaussian groups; {setting.name} has a {type(law).__name__}. For "
            "tokens use opal.theory.end_to_end, or simulate."
        )
    n_groups = len(setting.law.groups)
    if len(design.counts) != n_groups:
        raise ValueError(
            f"counts needs one number for each of {n_groups} groups of {setting.name}; "
            f"got {list(design.counts)}."
        )


def threshold_shift(
    truth: GaussianLaw, synthetic: GaussianLaw, design: Design
) -> Float[np.ndarray, " p"] | None:
    """What moving the threshold to the balanced point adds to θ [p]; None if it is not moved.

    Minus the log odds of the classes among all rows that have weight: a fixed number, as long as
    every row carries its group's label (docs/theory.md, section 2).

    Raises:
        ValueError: the shift is itself random (squared loss, or synthetic rows with random labels).
    """
    if design.threshold == "fitted":
        return None
    if design.loss != "logistic":
        raise ValueError("a moved threshold has theory for the logistic loss only; simulate it.")
    if synthetic.label_probabilities is not None:
        raise ValueError(
            "a moved threshold has theory where every synthetic row has its group's label; "
            f"{design.arm} flips labels. Simulate this arm instead."
        )
    labels = np.array([group.label for group in truth.groups])
    totals = sum(n * w for n, w in zip(design.row_counts(), design.row_weights(), strict=True))
    shares = np.bincount(labels, weights=totals, minlength=truth.n_classes)
    shift = np.zeros((truth.n_classes - 1, truth.dim + 1))
    shift[:, -1] = -np.log(shares[1:] / shares[0])
    return shift.ravel()


def _metrics(
    law: GaussianLaw,
    first: Asymptotics,
    estimator: SelfConsistent | Asymptotics,
    counts: tuple[int, ...],
    loss: Loss,
) -> dict[tuple[str, str], float]:
    # Only who is smallest and largest matters, so that all sizes share a compilation.
    order = tuple(int(n > min(counts)) + int(n == max(counts)) for n in counts)
    moments = (estimator.target + estimator.drift, estimator.covariance)
    expected = jax.device_get(_expected_metrics(law, *moments, counts=order, loss=loss))
    flat = risk.flatten_metrics(expected, [group.name for group in law.groups])
    parts = {
        "excess_balanced_risk": estimator.excess,
        "excess_first_order": first.excess,
        "excess_bias": first.bias,
        "excess_drift": first.drift_risk,
        "excess_variance": first.variance,
    }
    flat |= {(name, "all"): np.asarray(value) for name, value in parts.items()}
    return {key: float(value) for key, value in flat.items()}


@partial(jax.jit, static_argnames=("counts", "loss"))
def _expected_metrics(
    law: GaussianLaw,
    centre: Float[Array, " p"],
    covariance: Float[Array, "p p"],
    *,
    counts: tuple[int, ...],
    loss: Loss,
) -> dict[str, Array]:
    """Metrics averaged over ``θ̂ ~ N(centre, covariance)`` at scrambled Sobol' points."""
    p = losses.n_parameters(loss, law.n_classes, law.dim)
    normals = jnp.asarray(scrambled_normals(p)).reshape(-1, p)[:1024]
    jitter = 1e-14 * jnp.trace(covariance) * jnp.eye(p)
    factor = jnp.linalg.cholesky(covariance + jitter)
    thetas = centre[None, :] + normals @ factor.T
    metrics = jax.lax.map(
        lambda theta: risk.exact_metrics(law, theta, counts, loss=loss), thetas, batch_size=64
    )
    return {name: values.mean(axis=0) for name, values in metrics.items()}
