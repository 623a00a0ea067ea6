"""What a rule is worth: risks and errors of groups, and the summaries of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from opal import losses
from opal.losses import Loss
from opal.settings.law import TrueLaw


def smallest_groups(counts: Sequence[int]) -> np.ndarray:
    """Which groups are minorities: all of the smallest size [G]."""
    sizes = np.asarray(counts)
    return sizes == sizes.min()


def largest_groups(counts: Sequence[int]) -> np.ndarray:
    """Which groups are majorities: all of the largest size [G]."""
    sizes = np.asarray(counts)
    return sizes == sizes.max()


def order_of_sizes(counts: Sequence[int]) -> tuple[int, ...]:
    """0 for the smallest groups, 2 for the largest, 1 for others; 1 for all where all are equal.

    Metrics depend on the counts through this alone, so that all sizes share a compilation.
    """
    least, most = min(counts), max(counts)
    return tuple(int(n > least) + int(n == most) for n in counts)


def rules_at_once(law: TrueLaw, loss: Loss) -> int:
    """How many rules to measure at once: few where scores need many points of quadrature."""
    return 4 if losses.n_scores(loss, law.n_classes) > 2 else 64


def exact_metrics(
    law: TrueLaw,
    theta: Float[Array, " p"],
    counts: Sequence[int],
    *,
    loss: Loss = "logistic",
    best_risk: Float[Array, ""] | float | None = None,
) -> dict[str, Array]:
    """Every exact metric of the rule θ under ``law``.

    Args:
        law: where the rule is used.
        theta: its parameters [p].
        counts: training rows of each group, which say who is minority and majority.
        loss: the loss of ``risk``.
        best_risk: the least balanced risk R_bal(θ*), for the excess.

    Returns:
        ``risk`` and ``error`` [G]; scalars ``balanced_risk``, ``balanced_error``, ``worst_risk``,
        ``worst_error``, ``minority_error``, ``majority_error``, ``gap_error``, with ``best_risk``
        ``excess_balanced_risk``, for two classes ``f1`` (of the smallest group's label, groups
        equally frequent, each with one label), and for a binary logistic rule, if the law has it,
        ``calibration_error``.
    """
    risk, error = law.group_risk(theta, loss), law.group_error(theta, loss)
    metrics = {"risk": risk, "error": error, **summaries(risk, error, counts)}
    if law.n_classes == 2 and not any(group.mixed for group in law.groups):
        labels = np.array([group.label for group in law.groups])
        positive = labels == labels[int(np.argmin(counts))]
        metrics["f1"] = f1_of_errors(error, positive)
    if best_risk is not None:
        metrics["excess_balanced_risk"] = metrics["balanced_risk"] - best_risk
    calibration_error = getattr(law, "calibration_error", None)
    if loss == "logistic" and law.n_classes == 2 and calibration_error is not None:
        metrics["calibration_error"] = calibration_error(theta)
    return metrics


def summaries(
    risk: Float[Array, " g"], error: Float[Array, " g"], counts: Sequence[int]
) -> dict[str, Array]:
    """Balanced, worst-group, minority, majority and gap summaries of group risks and errors.

    Args:
        risk: of each group [G].
        error: of each group [G], a probability.
        counts: training rows of each group.

    Returns:
        Scalars by name, see :func:`exact_metrics`.
    """
    small, large = smallest_groups(counts), largest_groups(counts)
    return {
        "balanced_risk": risk.mean(),
        "worst_risk": risk.max(),
        "balanced_error": error.mean(),
        "worst_error": error.max(),
        "minority_error": error[small].mean(),
        "majority_error": error[large].mean(),
        "gap_error": error.max() - error.min(),
    }


def f1_of_errors(error: Float[Array, " g"], positive: np.ndarray) -> Float[Array, ""]:
    """F1 of the positive one of two labels where all groups are equally frequent.

    Args:
        error: error rate of each group [G].
        positive: which groups carry the positive label [G].
    """
    hits = jnp.sum(jnp.where(positive, 1 - error, 0.0))
    return 2 * hits / (2 * hits + error.sum())


def mean_and_std_error(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean over the first axis and its standard error (not a number for a single value)."""
    n = len(values)
    spread = values.std(axis=0, ddof=1) if n > 1 else np.full(values.shape[1:], np.nan)
    return np.asarray(values.mean(axis=0)), np.asarray(spread / np.sqrt(n))


def flatten_metrics(
    metrics: Mapping[str, np.ndarray], group_names: Sequence[str]
) -> dict[tuple[str, str], np.ndarray]:
    """Key each metric by (metric, group): per-group arrays [..., G] are split, others are "all"."""
    flat: dict[tuple[str, str], np.ndarray] = {}
    for name, values in metrics.items():
        if name in ("risk", "error"):
            flat |= {(name, group): values[..., g] for g, group in enumerate(group_names)}
        else:
            flat[name, "all"] = values
    return flat
