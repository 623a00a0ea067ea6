r"""Laws of labelled tokens: a finite alphabet, on which every expectation is a sum.

Group ``g`` draws a token x and a label y with probability ``P_g(x, y)``; a rule sees the token's
features ``φ_x``. Risks, errors, gradients and covariances of linear rules are exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key
from numpy.typing import ArrayLike

from opal.arrays import AnyArray
from opal.draws import named, pick, uniform
from opal.settings.bias import Bias, flipped, mixed_where
from opal.settings.groups import Group, Sample, require_finite
from opal.settings.points import PointLaw


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class FiniteLaw(PointLaw):
    """Groups of labelled tokens, or of the rows of a table.

    Attributes:
        table: P_g(x, y) [G, d, K], of sum one in each group.
        features: φ [d, r]; distinct where tokens are asked for by their features.
        groups: names, labels and attributes of the groups (static).
    """

    @classmethod
    def of_rows(
        cls,
        x: ArrayLike,
        y: ArrayLike,
        group: ArrayLike,
        groups: Sequence[Group],
    ) -> FiniteLaw:
        """The law that draws rows of a table with replacement, each as often as any of its group.

        What it says is exact for the table. As an estimate of the law that the table was drawn
        from it has a standard error: see :mod:`opal.theory.generator_bias`.

        Args:
            x: features of the rows [n, r].
            y: their labels [n], whole numbers from 0; they may differ within a group that is mixed.
            group: index of each row's group [n].
            groups: what the groups are.

        Raises:
            ValueError: lengths differ, a feature is not finite, a group has no row, or rows of a
                group that is not mixed have another label.
        """
        features, labels, which = np.asarray(x, float), np.asarray(y, int), np.asarray(group, int)
        _check_rows(features, labels, which, groups)
        n_labels = 1 + max(labels.max(), *(each.label for each in groups))
        table = np.zeros((len(groups), len(features), n_labels))
        table[which, np.arange(len(features)), labels] = 1 / np.bincount(which)[which]
        return cls(table, features, tuple(groups))

    @property
    def n_tokens(self) -> int:
        """Size of the alphabet d."""
        return self.table.shape[-2]

    def sample(self, counts: tuple[int, ...], *, key: Key[Array, ""]) -> Sample:
        """Draw ``counts[g]`` rows of each group.

        Returns:
            Rows in group order, x the features of their tokens; the first rows of a group do not
            depend on how many are drawn.
        """
        u = uniform(named(key, "tokens"), counts, 1)
        drawn = Sample(u, jnp.zeros(len(u), int), counts)
        tables = jnp.asarray(self.table).reshape(len(counts), -1)
        cells = [pick(tables[g], u[drawn.rows(g), 0]) for g in range(len(counts))]
        token, label = jnp.divmod(jnp.concatenate(cells), self.n_classes)
        return Sample(jnp.asarray(self.features)[token], label.astype(int), counts)

    def tokens(self, x: Float[AnyArray, "n r"]) -> Int[Array, " n"]:
        """The token of each row: the one with the nearest features [n]."""
        features = jnp.asarray(self.features, jnp.asarray(x).dtype)
        apart = jnp.sum((jnp.asarray(x)[:, None, :] - features[None, :, :]) ** 2, axis=-1)
        return jnp.argmin(apart, axis=-1)

    def tally(self, rows: Sample) -> Float[Array, "g d k"]:
        """How often each token and label occurs in each group [G, d, K]."""
        none = jnp.zeros(self.table.shape)
        return none.at[rows.group, self.tokens(rows.x), rows.y].add(1.0)

    def calibration_error(self, theta: Float[Array, " p"]) -> Float[Array, ""]:
        """``E |P(y = 1 | u) − σ(u)|`` of a binary logistic rule, groups equally frequent.

        Tokens are taken to have different scores, as they do for all but special rules.
        """
        pooled = jnp.mean(jnp.asarray(self.table), axis=0)
        promised = jax.nn.sigmoid(self._scores(theta)[:, 0])
        return jnp.sum(jnp.abs(pooled[:, 1] - promised * pooled.sum(axis=1)))

    def biased(self, bias: Bias) -> FiniteLaw:
        """The law whose labels are flipped as the dial says; such a group is ``mixed``.

        Raises:
            ValueError: another dial is turned, or the flip is out of range.
        """
        moved = [dial for dial in bias.turned() if dial != "label_flip"]
        if moved:
            raise ValueError(
                f"a law of tokens can flip labels (label_flip); its tokens stay where they are, so "
                f"it has no {moved[0]}. Give other probabilities instead: law.with_table(table)."
            )
        flip = bias.per_group("label_flip", len(self.groups))
        table = flipped(np.asarray(self.table), flip)
        return replace(self, table=table, groups=mixed_where(self.groups, flip > 0))

    def with_table(self, table: Float[AnyArray, "g d k"]) -> FiniteLaw:
        """The same tokens and groups with other probabilities."""
        return replace(self, table=table)


def _check_rows(x: np.ndarray, y: np.ndarray, group: np.ndarray, groups: Sequence[Group]) -> None:
    if x.ndim != 2 or not len(x) == len(y) == len(group):
        raise ValueError(
            f"x must be [n, r], y and group [n]; got shapes {x.shape}, {y.shape} and {group.shape}."
        )
    require_finite(x, "x")
    for index, each in enumerate(groups):
        own = y[group == index]
        if not len(own):
            raise ValueError(f"every group needs rows; {each.name!r} has none. Leave it out.")
        if not each.mixed and (own != each.label).any():
            raise ValueError(
                f"rows of group {each.name!r} have label {each.label}; got labels "
                f"{sorted(set(own.tolist()))}. Declare the group as mixed."
            )
