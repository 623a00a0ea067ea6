r"""Losses of a linear score, for any number of classes.

A linear rule has parameters ``θ = (W, b)`` [C, d+1], flattened to [p], intercept last, and scores
``u = W x + b`` [C]. The number of scores is

- logistic: ``C = K − 1`` log-odds against class 0, ``ℓ = log(1 + Σ e^{u_k}) − u_y`` (``u_0 = 0``);
- squared: ``C = 1`` for two classes, ``ℓ = ½(t_y − u)²`` with ``t = ∓1``; otherwise ``C = K`` and
  ``ℓ = ½‖e_y − u‖²``.

Two classes therefore always have one score, and label 1 is predicted where it is positive.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Loss = Literal["logistic", "squared"]
LOSSES: tuple[Loss, ...] = ("logistic", "squared")


class ScoreForm(NamedTuple):
    """A quadratic form in the scores, ``diag(diagonal) + plus plusᵀ − minus minusᵀ``.

    Attributes:
        diagonal: [..., C].
        plus: [..., C], or None for nothing.
        minus: [..., C], or None for nothing.
    """

    diagonal: Float[Array, "*b c"]
    plus: Float[Array, "*b c"] | None = None
    minus: Float[Array, "*b c"] | None = None


def n_scores(loss: Loss, n_classes: int) -> int:
    """Number of linear scores C."""
    if loss not in LOSSES:
        raise ValueError(f"loss must be one of {LOSSES}; got {loss!r}.")
    if n_classes == 2:
        return 1
    return n_classes - 1 if loss == "logistic" else n_classes


def n_parameters(loss: Loss, n_classes: int, dim: int) -> int:
    """Length p of the flat parameter vector."""
    return n_scores(loss, n_classes) * (dim + 1)


def n_classes_of(loss: Loss, n_parameters: int, dim: int) -> int:
    """Number of classes K of a rule with so many parameters."""
    scores = n_parameters // (dim + 1)
    return scores + 1 if loss == "logistic" or scores == 1 else scores


def weights_and_intercepts(
    theta: Float[Array, " p"], dim: int
) -> tuple[Float[Array, "c d"], Float[Array, " c"]]:
    """Split the flat parameters [p] into weights [C, d] and intercepts [C]."""
    matrix = theta.reshape(-1, dim + 1)
    return matrix[:, :dim], matrix[:, dim]


def values(scores: Float[Array, "*b c"], n_classes: int, loss: Loss) -> Float[Array, "*b k"]:
    """Loss at ``scores`` for each possible label."""
    if loss == "logistic":
        logits = _with_reference(scores)
        if logits.shape[-1] == 2:  # log(1 + e^u) once: this is the inner loop of every exact risk
            return jax.nn.softplus(scores) - logits
        return jax.nn.logsumexp(logits, axis=-1, keepdims=True) - logits
    return 0.5 * jnp.sum(_residuals(scores, n_classes) ** 2, axis=-1)


def slopes(scores: Float[Array, "*b c"], n_classes: int, loss: Loss) -> Float[Array, "*b k c"]:
    """Derivative of the loss in the scores, for each possible label."""
    if loss == "squared":
        return -_residuals(scores, n_classes)
    probabilities = jax.nn.softmax(_with_reference(scores), axis=-1)[..., None, 1:]
    return probabilities - _spread(jnp.eye(n_classes)[:, 1:], scores)


def curvatures(scores: Float[Array, "*b c"], loss: Loss) -> Float[Array, "*b c c"]:
    """Second derivative of the loss in the scores (the same for every label)."""
    c = scores.shape[-1]
    if loss == "squared":
        return jnp.broadcast_to(jnp.eye(c), (*scores.shape, c))
    p = jax.nn.softmax(_with_reference(scores), axis=-1)[..., 1:]
    return _spread(jnp.eye(c), scores) * p[..., :, None] - p[..., :, None] * p[..., None, :]


def curvature_form(
    scores: Float[Array, "*b c"], mass: Float[Array, "*b k"], loss: Loss
) -> ScoreForm:
    """``Σ_k mass_k ℓ''`` in the scores, in parts."""
    total = mass.sum(axis=-1, keepdims=True)
    if scores.shape[-1] == 1 or loss == "squared":
        return ScoreForm(total * jnp.diagonal(curvatures(scores, loss), axis1=-2, axis2=-1))
    p = jax.nn.softmax(_with_reference(scores), axis=-1)[..., 1:]
    return ScoreForm(total * p, minus=jnp.sqrt(total) * p)


def square_form(scores: Float[Array, "*b c"], mass: Float[Array, "*b k"], loss: Loss) -> ScoreForm:
    """``Σ_k mass_k s_k s_kᵀ`` with the slope ``s_k`` for label k, in parts.

    A slope is what all labels share less a constant with at most one entry that is not zero,
    ``s_k = s − t_k``. So no sum over labels is made for each pair of scores.
    """
    n_classes = mass.shape[-1]
    if scores.shape[-1] == 1:
        each = slopes(scores, n_classes, loss)[..., 0]
        return ScoreForm(jnp.sum(mass * each**2, axis=-1, keepdims=True))
    t = jnp.eye(n_classes)[:, n_classes - scores.shape[-1] :]  # [K, C]
    shared = slopes(scores, n_classes, loss)[..., 0, :] + _spread(t[:1], scores)[..., 0, :]
    root = jnp.sqrt(mass.sum(axis=-1, keepdims=True))
    mean = mass @ t / root
    return ScoreForm(mass @ t, root * shared - mean, mean)


def probabilities(scores: Float[Array, "*b c"]) -> Float[Array, "*b k"]:
    """Class probabilities of the logistic model."""
    return jax.nn.softmax(_with_reference(scores), axis=-1)


def predictions(scores: Float[Array, "*b c"], n_classes: int, loss: Loss) -> Array:
    """Predicted class; for two classes, whether the score is positive."""
    if n_classes == 2:
        return (scores[..., 0] > 0).astype(int)
    return jnp.argmax(_with_reference(scores) if loss == "logistic" else scores, axis=-1)


def _with_reference(scores: Float[Array, "*b c"]) -> Float[Array, "*b k"]:
    return jnp.concatenate([jnp.zeros_like(scores[..., :1]), scores], axis=-1)


def _residuals(scores: Float[Array, "*b c"], n_classes: int) -> Float[Array, "*b k c"]:
    """Target minus score, for each possible label."""
    targets = jnp.array([[-1.0], [1.0]]) if n_classes == 2 else jnp.eye(n_classes)
    return _spread(targets, scores) - scores[..., None, :]


def _spread(constants: Float[Array, "k c"], scores: Float[Array, "*b c"]) -> Float[Array, "*b k c"]:
    return jnp.broadcast_to(constants, (*scores.shape[:-1], *constants.shape))
