"""Moving the decision threshold of a fitted rule to where balanced classes would have it."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from opal import losses
from opal.losses import Loss


def move_to_balance(
    theta: Float[Array, " p"],
    x: Float[Array, "n d"],
    y: Int[Array, " n"],
    weights: Float[Array, " n"],
    *,
    n_classes: int,
    loss: Loss,
) -> Float[Array, " p"]:
    """Change only the intercepts of θ, so that classes count alike whatever their frequency.

    Logistic: the log-odds lose the log prior odds of the training rows (Elkan 2001), which is
    exact when the model is. Squared, two classes: the threshold goes to the midpoint of the
    classes' mean scores; more classes: each score loses its class's frequency.
    """
    d = x.shape[1]
    w, b = losses.weights_and_intercepts(theta, d)
    shares = jax.ops.segment_sum(weights, y, n_classes)
    if loss == "logistic":
        shift = jnp.log(shares[1:]) - jnp.log(shares[0])
    elif n_classes == 2:
        scores = x @ w[0] + b[0]
        means = jax.ops.segment_sum(weights * scores, y, n_classes) / shares
        shift = means.mean(keepdims=True)
    else:
        shift = shares / shares.sum()
    return jnp.concatenate([w, (b - shift)[:, None]], axis=1).ravel()
