"""Weighted points in place of the rows of a design, for sums over what is not Gaussian in them.

Of a law whose rows are Gaussian given their scores, each node of the scores gets a few points of
what the scores leave free: exact for polynomials of degree three, and of degree five on average
over the directions that are drawn.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Int

from opal.losses import Loss
from opal.objective import GeneratorRows, RowCounts, RowWeights
from opal.settings.law import ScoreLaw, ScoreNodes
from opal.theory import seeds

_LEAST_MASS = 1e-7  # of a node that is kept
_MOST = 2000  # points of a group, about

PowerSums = Float[np.ndarray, "g 3"]  # Σω, Σω² and Σω³ over the rows of each group


class RowPoints(NamedTuple):
    """Points of all groups of the truth, and after them of those of the synthetic law.

    Attributes:
        features: x̃ [Z, d+1].
        labels: of the points [Z].
        mass: probability of a point in its source [Z].
        source: index of the group and law that a point is of [Z]; the first G are the truth's.
        powers: Σω, Σω², Σω³ over the rows of each source [S, 3].
    """

    features: Float[np.ndarray, "z d1"]
    labels: Int[np.ndarray, " z"]
    mass: Float[np.ndarray, " z"]
    source: Int[np.ndarray, " z"]
    powers: Float[np.ndarray, "s 3"]


def row_points(
    truth: ScoreLaw,
    synthetic: ScoreLaw,
    powers: tuple[PowerSums, PowerSums],
    theta: Float[np.ndarray, " p"],
    loss: Loss,
    rng: np.random.Generator,
) -> RowPoints:
    """Points around the scores of θ; of synthetic groups only where there are such rows."""
    parts, kept = [], []
    for law, sums, needed in ((truth, powers[0], True), (synthetic, powers[1], False)):
        for group, each in enumerate(sums):
            if needed or each[0] > 0:
                parts.append(_of_nodes(jax.device_get(_nodes(law, group, theta, loss)), rng))
                kept.append(each)
    features, labels, mass = (np.concatenate(column) for column in zip(*parts, strict=True))
    source = np.repeat(np.arange(len(parts)), [len(part[0]) for part in parts])
    return RowPoints(features, labels, mass, source, np.stack(kept))


@partial(jax.jit, static_argnames="loss")
def _nodes(law: ScoreLaw, group: Any, theta: Any, loss: Loss) -> ScoreNodes:
    return law.score_nodes(group, theta, loss)


def _of_nodes(
    nodes: ScoreNodes, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, labels and mass of the points of one group."""
    n_modes, n_nodes, d1 = nodes.features.shape
    residual = np.asarray(nodes.residual)
    features = np.asarray(nodes.features).reshape(-1, d1)
    mass = np.asarray(nodes.mass).reshape(len(features), -1)
    kept = np.flatnonzero(mass.sum(axis=1) > _LEAST_MASS)
    if len(kept) > _MOST:
        kept = rng.choice(kept, _MOST, replace=False)
    features, mass = features[kept], mass[kept]
    if np.abs(residual).max() > _LEAST_MASS:
        roots = _roots(residual)[np.repeat(np.arange(n_modes), n_nodes)[kept]]
        features, mass = _spread(features, mass, roots, rng)
    where, labels = np.nonzero(mass)
    return features[where], labels, mass[where, labels] / mass.sum()


def _roots(residual: Float[np.ndarray, "m d1 d1"]) -> Float[np.ndarray, "m d1 r"]:
    """Square roots of the residual covariances, without directions in which all are zero."""
    values, vectors = np.linalg.eigh(residual)
    free = (values > 1e-9 * values.max()).any(axis=0)
    return np.asarray((vectors * np.sqrt(np.clip(values, 0.0, None))[:, None, :])[:, :, free])


def _spread(
    features: Float[np.ndarray, "q d1"],
    mass: Float[np.ndarray, "q k"],
    roots: Float[np.ndarray, "q d1 r"],
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Each node's centre, and pairs of points at ±√(r+2) along axes of a random frame."""
    r = roots.shape[-1]
    pairs = int(np.clip(_MOST // (2 * len(features)), 1, r))
    frames = np.linalg.qr(rng.standard_normal((len(features), r, r)))[0][:, :, :pairs]
    away = np.sqrt(r + 2) * np.einsum("qir,qrs->qsi", roots, frames)
    centre = features[:, None]
    points = np.concatenate([centre, centre + away, centre - away], axis=1)
    shares = np.full(1 + 2 * pairs, r / (r + 2) / (2 * pairs))
    shares[0] = 2 / (r + 2)
    each = mass[:, None, :] * shares[None, :, None]
    return points.reshape(-1, features.shape[1]), each.reshape(-1, mass.shape[1])


def power_sums(
    rows: RowCounts, weights: RowWeights, seed_use: str, generator: GeneratorRows | None
) -> tuple[PowerSums, PowerSums]:
    """Σω, Σω² and Σω³ over real rows and seeds, and over independent synthetic rows."""
    if seed_use == "copy in turn":
        numbers, sizes = (np.asarray(k) for k in seeds.copied_in_turn(rows, weights, generator))
        real = np.stack([(numbers * sizes**k).sum(axis=0) for k in (1, 2, 3)], axis=1)
        return real, np.zeros_like(real)
    if seed_use == "copy at random":
        real = _copied_at_random(rows, weights, generator)
        return real, np.zeros_like(real)
    n, m, more = (np.asarray(k) for k in rows)
    r, o, a = (np.asarray(k) for k in weights)
    powers = range(1, 4)
    real = np.stack([n * r**k for k in powers], axis=1)
    return real, np.stack([m * o**k + more * a**k for k in powers], axis=1)


def _copied_at_random(
    rows: RowCounts, weights: RowWeights, generator: GeneratorRows | None
) -> PowerSums:
    """Moments of a weight with Poisson numbers of copies; their totals are fixed."""
    fitted, shared = (np.asarray(k) for k in seeds.of_generator(rows, generator))
    rates = np.asarray(rows.oversampled) / fitted, np.asarray(rows.augmented) / fitted
    sizes = np.asarray(weights.oversampled), np.asarray(weights.augmented)
    mean, spread, skew = (
        sum(rate * size**k for rate, size in zip(rates, sizes, strict=True)) for k in (1, 2, 3)
    )

    def moments(own: np.ndarray) -> np.ndarray:
        centre = own + mean
        return np.stack([centre, centre**2 + spread, centre**3 + 3 * centre * spread + skew])

    own = np.asarray(weights.real)
    total = shared * moments(own) + (fitted - shared) * moments(np.zeros_like(own))
    total += (np.asarray(rows.real) - shared) * np.stack([own**k for k in (1, 2, 3)])
    return np.asarray(total.T)
