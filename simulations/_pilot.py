"""Many fits on parts of the same rows: one shape, whatever the parts, so one compilation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from opal.draws import named
from opal.estimators import fit_logistic
from opal.objective import Design
from opal.settings.gaussian import GaussianLaw
from opal.settings.groups import Sample

N_PARTS = 10
"""Parts of the validation rows, by which their error is known."""
_BLOCK = 64  # fits of one call, so that any number of them shares a compilation


@dataclass(frozen=True)
class Rows:
    """Real and synthetic rows, block after block."""

    real: Sample  # the real sample
    made: Sample  # the synthetic sample

    @classmethod
    def draw(
        cls,
        truth: GaussianLaw,
        synthetic: GaussianLaw,
        counts: tuple[int, ...],
        n_made: int,
        *,
        key: Key[Array, ""],
        purchase: str,
    ) -> Rows:
        """The real rows of ``key`` and a purchase of ``n_made`` rows of each group."""
        made = synthetic.sample((n_made,) * len(counts), key=named(key, purchase))
        return cls(truth.sample(counts, key=named(key, "real")), made)

    @property
    def blocks(self) -> tuple[int, ...]:
        """Rows of each real and each synthetic block."""
        return (*self.real.counts, *self.made.counts)

    def in_order(self) -> list[np.ndarray]:
        """Ranks that use the first rows of each block."""
        return [np.arange(size) for size in self.blocks]

    def shuffled(self, rng: np.random.Generator) -> list[np.ndarray]:
        """Ranks that use random rows of each block; fewer rows are always among more."""
        return [rng.permutation(size) for size in self.blocks]

    def weights(self, design: Design, ranks: Sequence[np.ndarray]) -> Float[np.ndarray, " n"]:
        """Weight of each row [n] under a design, zero for rows of too high a rank."""
        weights, m, groups = design.row_weights(), design.n_oversampled, design.n_groups
        blocks = [
            np.where(ranks[g] < design.counts[g], weights.real[g], 0.0) for g in range(groups)
        ]
        for g, rank in enumerate(ranks[groups:]):
            later = np.where(rank < m[g] + design.n_augmented, weights.augmented[g], 0.0)
            blocks.append(np.where(rank < m[g], weights.oversampled[g], later))
        return np.concatenate(blocks)


def balanced_risks(
    truth: GaussianLaw, rows: Rows, weights: Float[np.ndarray, "k n"], validation: Sample
) -> tuple[np.ndarray, np.ndarray]:
    """Balanced risk of the fit under each row of weights: exact [k], and validated [k, 10].

    The latter are on parts of the validation rows, with equally many rows of each group.
    """
    n_blocks = -(-len(weights) // _BLOCK)
    padded = np.resize(weights, (n_blocks * _BLOCK, weights.shape[1]))
    with jax.enable_x64(True):
        blocks = [
            jax.device_get(_fit_all(truth, rows.real, rows.made, block, validation))
            for block in np.split(padded, n_blocks)
        ]
    exact, validated = (
        np.concatenate(parts)[: len(weights)] for parts in zip(*blocks, strict=True)
    )
    return exact, validated


@jax.jit
def _fit_all(
    truth: GaussianLaw, real: Sample, made: Sample, weights: Array, validation: Sample
) -> tuple[Array, Array]:
    x, y = jnp.concatenate([real.x, made.x]), jnp.concatenate([real.y, made.y])

    def one(row_weights: Array) -> tuple[Array, Array]:
        theta = fit_logistic(x, y, row_weights).theta
        score = validation.x @ theta[:-1] + theta[-1]
        loss = jax.nn.softplus(jnp.where(validation.y == 1, -score, score))
        parts = loss.reshape(len(validation.counts), -1, N_PARTS)  # rows are group after group
        return truth.group_risk(theta).mean(), parts.mean(axis=(0, 1))

    return jax.lax.map(one, weights)
