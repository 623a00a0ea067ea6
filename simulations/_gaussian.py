"""Gaussian subjects in cells: exact references, what bins lose, training on a generator's rows."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key
from scipy import stats

from opal import newton
from opal.arrays import AnyArray
from opal.draws import as_key, named, replicate_keys, standard_normal
from opal.objective import Design, RowCounts, RowWeights
from opal.settings.finite import FiniteLaw
from opal.settings.gaussian import GaussianLaw
from opal.synthesis.transformer.gaussian_generator import GaussianGenerator
from opal.synthesis.transformer.gaussian_stream import GaussianStream
from opal.synthesis.transformer.quantise import Quantiser
from opal.synthesis.transformer.quantised_law import QuantisedLaw
from opal.theory.end_to_end import ExcessGivenSeeds
from opal.theory.pseudo_target import PseudoTarget
from opal.theory.seeds import shares, squared_weights

from ._generators import SeededLaws

_AT_ONCE = 16
_REACH, _N_NODES = 7.0, 281  # of a subject's mean, in units of τ


class GaussianSubjects(NamedTuple):
    """Held-out subjects S."""

    means: np.ndarray  # of each coordinate [S, p]
    rows: np.ndarray  # their seeds [S, n, p]


def subjects(stream: GaussianStream, n_rows: int, *, key: int, n_subjects: int) -> GaussianSubjects:
    """Draw subjects and seeds; no training under the same seed draws them too."""
    k = named(as_key(key), "held out")
    with jax.enable_x64(True):
        means = stream.mean_scale * standard_normal(named(k, "means"), n_subjects, stream.dim)
        noise = standard_normal(named(k, "rows"), n_subjects, n_rows * stream.dim)
    shape = (n_subjects, n_rows, stream.dim)
    rows = np.asarray(means)[:, None, :] + stream.spread * np.asarray(noise).reshape(shape)
    return GaussianSubjects(np.asarray(means), rows)


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


def truth(stream: GaussianStream, held: GaussianSubjects) -> np.ndarray:
    """Probabilities of the cells of each subject [S, B^p]."""
    spread = np.full_like(held.means, stream.spread)
    return joint(bin_law(stream.quantiser, held.means, spread))


def bayes_of_values(stream: GaussianStream, held: GaussianSubjects, n: int) -> np.ndarray:
    """Posterior predictive law of the cells after n rows [S, B^p], in closed form."""
    precision = n / stream.spread**2 + 1 / stream.mean_scale**2
    centre = held.rows[:, :n].sum(axis=1) / stream.spread**2 / precision
    spread = np.full_like(centre, np.sqrt(stream.spread**2 + 1 / precision))
    return joint(bin_law(stream.quantiser, centre, spread))


def bayes_of_bins(stream: GaussianStream, held: GaussianSubjects, n: int) -> np.ndarray:
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


def made_cells(generator: GaussianGenerator, held: GaussianSubjects, n: int) -> np.ndarray:
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


def distortion(stream: GaussianStream, held: GaussianSubjects) -> Distortion:
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


def shown(generator: GaussianGenerator, counts: tuple[int, ...]) -> tuple[int, ...]:
    """Rows of each group that the generator reads [G]."""
    most = generator.n_context
    return counts if most is None else tuple(min(n, most) for n in counts)


def after_seeds(
    generator: GaussianGenerator,
    law: GaussianLaw,
    counts: tuple[int, ...],
    *,
    key: int | Key[Array, ""],
    n_replicates: int,
) -> SeededLaws:
    """What the generator reads in the replicates of :func:`opal.simulation.simulate`, same key.

    Seeds, group after group [R, n, p], and probabilities of the cells [R, G, B^p].
    """
    with jax.enable_x64(True):
        keys = replicate_keys(as_key(key), jnp.arange(n_replicates))
        read = shown(generator, counts)
        return SeededLaws(*(np.asarray(v) for v in _after_seeds(generator, law, keys, counts=read)))


@partial(jax.jit, static_argnames="counts")
def _after_seeds(
    generator: GaussianGenerator, law: GaussianLaw, keys: Array, *, counts: tuple[int, ...]
) -> tuple[Array, AnyArray]:
    def replicate(key: Array) -> tuple[Array, AnyArray]:
        # The first rows of a group do not depend on how many there are.
        rows = law.sample(counts, key=named(key, "real"))
        return rows.x, generator.fit(rows, law.groups, key=named(key, "fit")).table

    found: tuple[Array, AnyArray] = jax.lax.map(replicate, keys, batch_size=_AT_ONCE)
    return found


def excess_of_seeds(
    law: GaussianLaw, design: Design, generator: GaussianGenerator, seeds: SeededLaws
) -> ExcessGivenSeeds:
    """Expected excess balanced risk of a logistic rule given each draw of the seeds (13.52)."""
    counts = shown(generator, design.counts)
    with jax.enable_x64(True):
        numbers = (design.row_counts(), design.row_weights())
        given = (jnp.asarray(seeds.seen), jnp.asarray(seeds.made, float))
        found = _excess(law, *numbers, *given, counts=counts, quantiser=generator.quantiser)
        floor, spread = (np.asarray(part) for part in found)
        return ExcessGivenSeeds(floor + spread, floor, spread)


@partial(jax.jit, static_argnames=("counts", "quantiser"))
def _excess(
    law: GaussianLaw,
    rows: RowCounts,
    weights: RowWeights,
    seeds: Float[Array, "r n p"],
    tables: Float[Array, "r g c"],
    *,
    counts: tuple[int, ...],
    quantiser: Quantiser,
) -> tuple[Array, ...]:
    best, group = law.optimum(), np.repeat(np.arange(len(counts)), counts)
    own = np.eye(law.n_classes)[np.array([g.label for g in law.groups])[group]]
    others = jnp.asarray(rows.real) - jnp.asarray(counts)
    synthetic, squares = shares(rows, weights)[1], squared_weights(rows, weights)

    def given(one: tuple[Array, Array]) -> tuple[Array, ...]:
        made = QuantisedLaw(one[1], quantiser, law.dim, law.groups)
        weight = jnp.asarray(weights.real)[group, None] * own
        read = FiniteLaw(weight[None], one[0], law.groups[:1])
        parts = ((others * weights.real, law), (synthetic, made), (jnp.ones(1), read))

        def slope(at: Array) -> Array:
            return jnp.stack([w @ part.group_gradient(at) for w, part in parts]).sum(axis=0)

        def bend(at: Array) -> Array:
            each = [jnp.einsum("g,gpq->pq", w, part.group_hessian(at)) for w, part in parts]
            return jnp.stack(each).sum(axis=0)

        def noise(at: Array) -> Array:
            real = jnp.asarray(weights.real) ** 2 * others
            covariance = jnp.einsum("g,gpq->pq", real, law.group_score_covariance(at))
            return covariance + jnp.einsum("g,gpq->pq", squares, made.group_score_covariance(at))

        theta = newton.minimise(lambda at: (slope(at), bend(at)), best, tolerance=1e-10).theta
        rule = PseudoTarget(
            theta,
            (law.group_risk(theta) - law.group_risk(best)).mean(),
            law.group_gradient(theta).mean(axis=0),
            law.group_hessian(theta).mean(axis=0),
            newton.factorise(bend(theta)),
            bend,
        )
        return rule.excess, rule.variance(noise(theta)) + rule.drift_risk(noise)

    found: tuple[Array, ...] = jax.lax.map(given, (seeds, tables), batch_size=_AT_ONCE)
    return found
