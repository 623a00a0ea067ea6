"""Gaussian subjects with known covariance, exact references for them, and what bins lose."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from scipy import stats

from opal.draws import as_key, named, standard_normal
from opal.synthesis.transformer.gaussian_generator import GaussianGenerator
from opal.synthesis.transformer.gaussian_stream import GaussianStream
from opal.synthesis.transformer.quantise import Quantiser

_AT_ONCE = 16
_REACH, _N_NODES = 7.0, 281  # of a subject's mean, in units of τ


class Subjects(NamedTuple):
    """Held-out subjects S.

    Attributes:
        means: of each coordinate [S, p].
        rows: their seeds [S, n, p].
    """

    means: np.ndarray
    rows: np.ndarray


def subjects(stream: GaussianStream, n_rows: int, *, key: int, n_subjects: int) -> Subjects:
    """Draw subjects and seeds; no training under the same seed draws them too."""
    k = named(as_key(key), "held out")
    with jax.enable_x64(True):
        means = stream.mean_scale * standard_normal(named(k, "means"), n_subjects, stream.dim)
        noise = standard_normal(named(k, "rows"), n_subjects, n_rows * stream.dim)
    shape = (n_subjects, n_rows, stream.dim)
    rows = np.asarray(means)[:, None, :] + stream.spread * np.asarray(noise).reshape(shape)
    return Subjects(np.asarray(means), rows)


def joint(coordinates: np.ndarray) -> np.ndarray:
    """Probabilities of cells [S, B^p] from those of independent coordinates' bins [S, p, B]."""
    cells = coordinates[:, 0]
    for j in range(1, coordinates.shape[1]):
        cells = (cells[:, :, None] * coordinates[:, j, None, :]).reshape(len(cells), -1)
    return cells


def bin_law(quantiser: Quantiser, means: np.ndarray, spreads: np.ndarray) -> np.ndarray:
    """Probabilities of the bins under normal laws [..., B]; the outer bins hold the tails."""
    inner = quantiser.edges()[1:-1]
    below = stats.norm.cdf((inner - means[..., None]) / spreads[..., None])
    ends = (*[(0, 0)] * means.ndim, (1, 0)), (*[(0, 0)] * means.ndim, (0, 1))
    return np.diff(np.pad(np.pad(below, ends[0]), ends[1], constant_values=1.0), axis=-1)


def truth(stream: GaussianStream, held: Subjects) -> np.ndarray:
    """Probabilities of the cells of each subject [S, B^p]."""
    spread = np.full_like(held.means, stream.spread)
    return joint(bin_law(stream.quantiser, held.means, spread))


def bayes_of_values(stream: GaussianStream, held: Subjects, n: int) -> np.ndarray:
    """Posterior predictive law of the cells after n rows [S, B^p], in closed form."""
    precision = n / stream.spread**2 + 1 / stream.mean_scale**2
    centre = held.rows[:, :n].sum(axis=1) / stream.spread**2 / precision
    spread = np.full_like(centre, np.sqrt(stream.spread**2 + 1 / precision))
    return joint(bin_law(stream.quantiser, centre, spread))


def bayes_of_bins(stream: GaussianStream, held: Subjects, n: int) -> np.ndarray:
    """Posterior predictive law of one who sees the bins of n rows alone [S, B^p].

    Coordinates are independent, so that it is an integral over one mean at a time, by the
    trapezoidal rule.
    """
    at = stream.mean_scale * np.linspace(-_REACH, _REACH, _N_NODES)
    laws = bin_law(stream.quantiser, at, np.full_like(at, stream.spread))
    bins = np.searchsorted(stream.quantiser.edges()[1:-1], held.rows[:, :n])
    counts = (bins[..., None] == np.arange(stream.quantiser.n_bins)).sum(axis=1)
    log_laws = np.log(np.maximum(laws, 1e-300))
    scores = counts @ log_laws.T - (at / stream.mean_scale) ** 2 / 2
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return joint((weights / weights.sum(axis=-1, keepdims=True)) @ laws)


def kl(law: np.ndarray, estimate: np.ndarray) -> np.ndarray:
    """KL(P‖Q) of each subject [S], a finite sum."""
    ratio = np.log(np.maximum(law, 1e-300)) - np.log(estimate)
    return np.asarray(np.sum(np.where(law > 0, law * ratio, 0.0), axis=-1))


def made_cells(generator: GaussianGenerator, held: Subjects, n: int) -> np.ndarray:
    """The generator's law of the cells after n rows [S, B^p], in float64."""
    symbols = np.asarray(generator.quantiser.encode(held.rows[:, :n])).reshape(len(held.rows), -1)
    law = np.asarray(_cells(generator, jnp.asarray(symbols)), float)
    return law / law.sum(axis=1, keepdims=True)


@jax.jit
def _cells(generator: GaussianGenerator, symbols: Array) -> Array:
    found: Array = jax.lax.map(
        lambda one: generator.cells(one[None])[0], symbols, batch_size=_AT_ONCE
    )
    return found


class Distortion(NamedTuple):
    """What bins lose of each subject, whoever estimates their probabilities [S].

    Attributes:
        inside: KL of the law from the decoded law of its own bins, between the outer ends (13.51).
        clipped: probability of a row with a coordinate beyond the ends.
        shift: length of the decoded law's mean minus the true one.
        variance: decoded variance over the true one, minus one; mean of the coordinates.
    """

    inside: np.ndarray
    clipped: np.ndarray
    shift: np.ndarray
    variance: np.ndarray


def distortion(stream: GaussianStream, held: Subjects) -> Distortion:
    """Quantise the exact laws and decode them, by Gauss and Legendre's rule in each bin."""
    quantiser, spread = stream.quantiser, stream.spread
    at, weights = np.polynomial.legendre.leggauss(24)
    low, high = quantiser.edges()[:-1, None], quantiser.edges()[1:, None]
    x, weights = (low + high) / 2 + (high - low) / 2 * at, (high - low) / 2 * weights
    decoded = weights * stats.norm.pdf(x / quantiser.scale)
    decoded /= decoded.sum(axis=1, keepdims=True)  # of a node, given its bin
    p = weights * stats.norm.pdf((x - held.means[..., None, None]) / spread) / spread
    within = p.sum(axis=(-1, -2))
    p /= within[..., None, None]
    inside = np.sum(p * np.log(p / (p.sum(axis=-1, keepdims=True) * decoded)), axis=(-1, -2))
    bins = bin_law(quantiser, held.means, np.full_like(held.means, spread))
    mean, square = bins @ (decoded * x).sum(axis=1), bins @ (decoded * x**2).sum(axis=1)
    return Distortion(
        inside.sum(axis=1),
        1 - within.prod(axis=1),
        np.linalg.norm(mean - held.means, axis=1),
        ((square - mean**2) / spread**2 - 1).mean(axis=1),
    )
