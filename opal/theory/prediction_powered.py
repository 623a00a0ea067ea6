r"""Prediction-powered training to order 1/n (docs/theory.md, section 16.4; arXiv 2311.01453).

The estimator's pseudo-target is θ* whatever the model, so that the excess is ``½ tr(H⁻¹V)`` with

.. math::
    V(λ) = Σ_g \frac{1}{n_g} \operatorname{Cov}_g\Big(\frac{∇ℓ}{|G|} - λπ_g\hat{∇ℓ}\Big)
        + λ² Σ_g \frac{π_g^2}{u_g} \operatorname{Cov}_g(\hat{∇ℓ}) ,

where ``∇̂ℓ = ∇ℓ(θ; x, ŷ)/(|G|q_ŷ)`` takes the model's label.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from opal import losses
from opal.objective import PredictionPowered, require_setting
from opal.settings.law import ScoreLaw, ScoreNodes
from opal.theory import expansion
from opal.theory.asymptotics import Asymptotics
from opal.theory.estimator import truth_of
from opal.theory.metrics import metric_rows

if TYPE_CHECKING:
    import pandas as pd

    from opal.settings.setting import Setting


class PowerCurve(NamedTuple):
    """The excess ``½(A₀ − 2λA₁ + λ²A₂)`` as a function of the power λ.

    Attributes:
        labelled: A₀, of the labelled rows alone: weighting.
        shared: A₁, what the model's labels explain of it.
        made: A₂, the noise of the model's terms.
    """

    labelled: float
    shared: float
    made: float

    def excess(self, power: float | np.ndarray) -> float | np.ndarray:
        """Predicted balanced excess risk at λ, a number or an array (equation 16.6)."""
        return 0.5 * (self.labelled - 2 * power * self.shared + power**2 * self.made)

    @property
    def best_power(self) -> float:
        """``λ* = A₁/A₂``, clipped to [0, 1]."""
        return float(np.clip(self.shared / self.made, 0.0, 1.0)) if self.made > 0 else 0.0


def power_curve(setting: Setting, design: PredictionPowered) -> PowerCurve:
    """The excess in λ for a design's rows and model (its own power is ignored).

    Raises:
        ValueError: the law of the setting has no score nodes, or the design does not fit it.
    """
    noise, hessian, _ = _parts(setting, design)
    labelled, shared, made = (float(np.trace(np.linalg.solve(hessian, part))) for part in noise)
    return PowerCurve(labelled, shared, made)


def predict_powered(
    setting: Setting, design: PredictionPowered, *, study: str = "predict"
) -> pd.DataFrame:
    """Predict what :func:`opal.simulation.simulate` would measure, to order 1/n.

    Returns:
        Records with the columns of :data:`opal.records.COLUMNS`, source ``"theory"``.

    Raises:
        ValueError: see :func:`power_curve`.
    """
    from opal import records

    (labelled, shared, made), hessian, optimum = _parts(setting, design)
    noise = labelled - 2 * design.power * shared + design.power**2 * made
    with jax.enable_x64(True):
        solve = partial(jnp.linalg.solve, hessian)
        covariance = expansion.covariance(solve, jnp.asarray(noise))
        zero = jnp.zeros(())
        law = Asymptotics(
            jnp.asarray(optimum),
            jnp.zeros_like(optimum),
            covariance,
            zero,
            zero,
            expansion.variance(jnp.asarray(hessian), covariance),
            jnp.asarray(optimum),
            jnp.full(len(design.counts), jnp.nan),
        )
        rows = metric_rows(truth_of(setting), law, law, design.counts, design.loss)
    return records.of_design(setting, design, rows, study=study, source="theory")


def _parts(
    setting: Setting, design: PredictionPowered
) -> tuple[tuple[np.ndarray, ...], np.ndarray, np.ndarray]:
    """The three parts of V [p, p] each, H [p, p] and θ* [p]."""
    require_setting(setting, design)
    if not isinstance(setting.law, ScoreLaw):
        raise ValueError(
            "theory of prediction-powered training needs the score nodes of a law "
            f"(opal.settings.law.ScoreLaw); {type(setting.law).__name__} has none. Simulate it."
        )
    weights = design.row_weights()
    with jax.enable_x64(True):
        found = _moments(setting.law, np.array(design.confusion), weights.labels)
        (own, both, made), hessian, optimum = jax.device_get(found)
    n, u, pi = (np.array(k, float) for k in (design.counts, design.n_unlabelled, design.shares))
    groups = len(n)
    parts = (
        np.einsum("g,gpq->pq", 1 / (groups**2 * n), own),
        np.einsum("g,gpq->pq", pi / (groups * n), (both + both.swapaxes(1, 2)) / 2),
        np.einsum("g,gpq->pq", pi**2 * (1 / n + 1 / u), made),
    )
    return parts, hessian, optimum


@jax.jit
def _moments(
    law: ScoreLaw, confusion: Float[Array, "g k"], labels: Float[Array, " k"]
) -> tuple[tuple[Array, ...], Array, Array]:
    """Covariances of ∇ℓ, of ∇ℓ with ∇̂ℓ, and of ∇̂ℓ in each group at θ* [G, p, p]; H; θ*."""
    truth: Any = law
    optimum = truth.optimum("logistic")

    def of_group(group: Array) -> tuple[Array, ...]:
        nodes = law.score_nodes(group, optimum)
        slopes = losses.slopes(nodes.scores, 2, "logistic")[..., 0]  # of each label
        own = jnp.sum(nodes.mass * slopes, axis=-1)
        weights = jnp.asarray(labels)[None, None, :]
        likely = jnp.asarray(confusion)[group][None, None, :] * weights
        made = jnp.sum(nodes.mass, axis=-1, keepdims=True) * likely * slopes
        said = made.sum(axis=-1)
        mean = [jnp.einsum("mq,mqi->i", part, nodes.features) for part in (own, said)]
        # A group has one label: given the scores, its own gradient does not depend on what is said.
        true = own / jnp.sum(nodes.mass, axis=-1)
        squares = (own * true, said * true, jnp.sum(made * weights * slopes, axis=-1))
        pairs = ((0, 0), (0, 1), (1, 1))
        return tuple(
            _second_moment(nodes, square) - mean[i][:, None] * mean[j][None, :]
            for square, (i, j) in zip(squares, pairs, strict=True)
        )

    parts = jax.vmap(of_group)(jnp.arange(len(law.groups)))
    return parts, law.group_hessian(optimum).mean(axis=0), optimum


def _second_moment(nodes: ScoreNodes, weight: Float[Array, "m q"]) -> Float[Array, "p p"]:
    """``E weight·x̃x̃ᵀ`` [p, p], the nodes' mass being part of the weight."""
    square = jnp.einsum("mq,mqi,mqj->ij", weight, nodes.features, nodes.features)
    return square + jnp.einsum("mq,mij->ij", weight, nodes.residual)
