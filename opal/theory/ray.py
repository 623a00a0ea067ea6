r"""How the excess of a rule changes along a direction of its rows' noise, by Taylor's series.

A direction gives each point z of the rows a weight ``q_z`` beside its own ``w_z``. The rule θ(ε)
solves ``Σ_z (w_z + ε q_z) ∇ℓ(θ; z) + λDθ + ε e = 0``; its coefficients follow one after another,
and so do those of its balanced risk (docs/theory.md, section 8).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

from opal.losses import Loss
from opal.theory.row_points import RowPoints

Series = list[np.ndarray]  # coefficients of ε⁰, ε¹, …, each [N, Z, C] or [1, Z, C]


@dataclass(frozen=True)
class PointRule:
    """A rule at its pseudo-target, on points.

    Attributes:
        points: of the rows.
        theta: θ_α [C, d+1] of the fit.
        shift: added to it after the fit [C, d+1].
        penalty: λD [p].
        n_groups: G of the truth, whose points are the first sources.
        n_classes: K.
        loss: logistic or squared.
    """

    points: RowPoints
    theta: Float[np.ndarray, "c d1"]
    shift: Float[np.ndarray, "c d1"]
    penalty: Float[np.ndarray, " p"]
    n_groups: int
    n_classes: int
    loss: Loss

    @cached_property
    def real(self) -> slice:
        """The points of the truth."""
        return slice(0, int((self.points.source < self.n_groups).sum()))

    @cached_property
    def weights(self) -> Float[np.ndarray, " z"]:
        """w, the weight of each point in the objective."""
        return self.points.powers[self.points.source, 0] * self.points.mass

    @cached_property
    def targets(self) -> Float[np.ndarray, "z c"]:
        """What a score's response is compared with."""
        n_scores, labels = len(self.theta), self.points.labels
        if self.loss == "squared" and n_scores == 1:
            return 2.0 * labels[:, None] - 1
        return np.eye(self.n_classes)[:, self.n_classes - n_scores :][labels]

    @cached_property
    def fitted(self) -> Float[np.ndarray, "z c"]:
        """Responses at θ_α."""
        return response(self.points.features @ self.theta.T, self.loss)

    @cached_property
    def used(self) -> Float[np.ndarray, "z c"]:
        """Responses of the true points under the rule that is used."""
        scores = self.points.features[self.real] @ (self.theta + self.shift).T
        return response(scores, self.loss)

    @cached_property
    def scores(self) -> Float[np.ndarray, "z p"]:
        """∇ℓ of each point."""
        slope = self.fitted - self.targets
        return (slope[:, :, None] * self.points.features[:, None, :]).reshape(len(slope), -1)

    @cached_property
    def inverse(self) -> Float[np.ndarray, "p p"]:
        """A⁻¹ on the points."""
        x, at = self.points.features, self.fitted
        c, p = at.shape[1], self.theta.size
        bend = np.broadcast_to(np.eye(c), (len(x), c, c))
        if self.loss == "logistic":
            bend = bend * at[:, :, None] - at[:, :, None] * at[:, None, :]
        weighted = (self.weights[:, None, None] * bend).reshape(len(x), -1)
        outer = np.stack([(x * w[:, None]).T @ x for w in weighted.T])
        hessian = outer.reshape(c, c, *outer.shape[1:]).transpose(0, 2, 1, 3).reshape(p, p)
        return np.linalg.inv(hessian + np.diag(self.penalty))

    def excess(
        self,
        direction: Float[np.ndarray, "n z"],
        order: int,
        more: Float[np.ndarray, "n p"] | None = None,
    ) -> Float[np.ndarray, "n k"]:
        """Coefficients of ε¹ … of the balanced risk along each direction [N, order].

        Args:
            direction: q [N, Z].
            order: the highest.
            more: e, noise of the gradient that does not depend on θ [N, p].
        """
        x, n_scores = self.points.features, len(self.theta)
        moved: Series = [np.zeros((1, 1, n_scores))]
        fitted, used = [self.fitted[None]], [self.used[None]]
        slopes = [(self.fitted - self.targets)[None]]
        found = []
        for j in range(1, order + 1):
            # First without what θ's own coefficient adds, which the Hessian then gives.
            partial = next_response([*moved, np.zeros((1, 1, n_scores))], fitted, self.loss)
            mean = self.weights[None, :, None] * partial + direction[:, :, None] * slopes[j - 1]
            pull = np.stack([mean[:, :, c] @ x for c in range(n_scores)], axis=1)
            pull = pull.reshape(len(direction), -1)
            theta = -(pull + more if j == 1 and more is not None else pull) @ self.inverse
            each = theta.reshape(-1, n_scores, x.shape[1])
            moved.append(np.stack([each[:, c] @ x.T for c in range(n_scores)], axis=2))
            fitted.append(partial + linear_response(self.fitted[None], moved[j], self.loss))
            slopes.append(fitted[j])
            found.append(self._risk([u[:, self.real] for u in moved[1:]], used))
        return np.stack(found, axis=1)

    def _risk(self, moved: Series, used: Series) -> Float[np.ndarray, " n"]:
        """The next coefficient of the balanced risk [N]; the next response is appended to used."""
        j = len(moved)
        slopes = [used[0] - self.targets[self.real][None], *used[1:]]
        parts = (i * (moved[i - 1] * slopes[j - i]).sum(axis=-1) for i in range(1, j + 1))
        loss = sum(parts) / j
        used.append(next_response([np.zeros((1, 1, 1)), *moved], used, self.loss))
        return np.asarray(loss @ self.points.mass[self.real] / self.n_groups)


def response(scores: Float[np.ndarray, "z c"], loss: Loss) -> Float[np.ndarray, "z c"]:
    """What the slope of the loss compares with its target: probabilities, or the score itself."""
    if loss == "squared":
        return scores
    top = np.maximum(scores.max(axis=-1, keepdims=True), 0.0)
    each = np.exp(scores - top)
    return np.asarray(each / (each.sum(axis=-1, keepdims=True) + np.exp(-top)))


def linear_response(at: np.ndarray, moved: np.ndarray, loss: Loss) -> np.ndarray:
    """Derivative of the response along a change of the scores."""
    if loss == "squared":
        return moved
    return np.asarray(at * (moved - (at * moved).sum(axis=-1, keepdims=True)))


def next_response(scores: Sequence[np.ndarray], found: Series, loss: Loss) -> np.ndarray:
    """The coefficient after those that are found, from ``p' = p (u' − Σ p u')``.

    ``scores`` are the coefficients of u up to the same order, of which the first is not used.
    """
    j = len(found)
    if loss == "squared":
        return scores[j]
    total: np.ndarray = np.zeros(1)
    for i in range(1, j + 1):
        parts = (
            k * (scores[k] * found[i - k]).sum(axis=-1, keepdims=True) for k in range(1, i + 1)
        )
        total = total + found[j - i] * (i * scores[i] - sum(parts))
    return total / j
