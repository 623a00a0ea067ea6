"""A prior against seeds: what it weighs, when they beat it, and how many it is worth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import numpy as np

from opal.risk import mean_and_std_error
from opal.settings.tokens import Alphabet
from opal.synthesis.transformer.model import Decoder
from opal.synthesis.transformer.streams import TokenStream
from opal.theory.generator import add_half, kl, maximum_likelihood

from ._generators import Subjects, kl_after_seeds, subjects

_RESAMPLES = 400
_INTERVAL = (0.025, 0.975)
_LEAST = 1e-9  # weight of a prior below which it is noise
_LONGEST = 2048  # seeds of add-½ counts
_MOST_LIKELY = (256, 256)  # seeds and subjects for which the most likely law is asked
_MOSTLY = 0.9  # of the subjects must have a most likely law, or their mean KL is of the lucky ones


class Weight(NamedTuple):
    """The weight of the prior, a ratio of means over subjects."""

    along: np.ndarray  # ``⟨E_P u − E_Q u, E_P u − E_0 u⟩`` [N, S]
    whole: np.ndarray  # ``‖E_P u − E_0 u‖²`` [S]

    @classmethod
    def of(cls, left: np.ndarray, whole: np.ndarray) -> Weight:
        """From what is left of the way, E_P u − E_Q u [N, S, r], and all of it [S, r]."""
        return cls(np.einsum("nsr,sr->ns", left, whole), np.sum(whole**2, axis=1))

    def mean(self) -> np.ndarray:
        """The weight w for each n."""
        return np.asarray(self.along.mean(axis=1) / self.whole.mean())

    def std_error(self) -> np.ndarray:
        """Of w, by the delta method: subjects near the prior predictive count little."""
        residual = (self.along - self.mean()[:, None] * self.whole) / self.whole.mean()
        return np.asarray(residual.std(axis=1, ddof=1) / np.sqrt(len(self.whole)))


class SeedNumber(NamedTuple):
    """A number of seeds with a 95 % interval; infinite if it is more than was measured."""

    value: float
    low: float
    high: float


def seeds_to_half(n_seeds: np.ndarray, weight: Weight, *, key: int) -> SeedNumber:
    """Seeds after which the prior weighs ½ for good, from resampled subjects.

    The logarithm of the odds (1 − w)/w is taken to be linear in log n, and the odds to be
    proportional to n before the first n ≥ 1: that is how they are if all is normal.
    """

    def found(shares: np.ndarray) -> np.ndarray:
        w = np.clip(shares @ weight.along.T / (shares @ weight.whole)[:, None], _LEAST, 1 - _LEAST)
        odds = np.log1p(-w) - np.log(w)
        return _crossing(n_seeds, odds, before=n_seeds[0] * np.exp(-odds[:, 0]))

    return _resampled(found, len(weight.whole), key)


def seeds_to_overtake(
    n_seeds: np.ndarray, counts: np.ndarray, made: np.ndarray, *, key: int
) -> SeedNumber:
    """Seeds from which the mean KL of counts [N, S] stays below that of another; 0 if always."""

    def found(shares: np.ndarray) -> np.ndarray:
        ahead = np.log(shares @ made.T) - np.log(shares @ counts.T)
        return _crossing(n_seeds, ahead, before=np.zeros(len(shares)))

    return _resampled(found, made.shape[1], key)


def _resampled(found: Callable[[np.ndarray], np.ndarray], n_subjects: int, key: int) -> SeedNumber:
    rng = np.random.default_rng(key)
    equal = np.full(n_subjects, 1 / n_subjects)
    drawn = rng.multinomial(n_subjects, equal, size=_RESAMPLES) / n_subjects
    # Infinite numbers have an order but no mean, so quantiles are of the numbers themselves.
    low, high = np.quantile(found(drawn), _INTERVAL, method="inverted_cdf")
    return SeedNumber(float(found(equal[None])[0]), float(low), float(high))


def _crossing(n_seeds: np.ndarray, level: np.ndarray, *, before: np.ndarray) -> np.ndarray:
    """The n from which ``level`` [B, N] stays at least zero, linear in log n.

    ``before`` [B] where it is never negative, infinity where the last one is.
    """
    log_n, last = np.log(n_seeds), level.shape[1] - 1
    negative = level < 0
    after = level.shape[1] - np.argmax(negative[:, ::-1], axis=1)
    after = np.where(negative.any(axis=1), after, 0)
    right = np.clip(after, 1, last)[:, None]
    left = right - 1
    low, high = (np.take_along_axis(level, at, axis=1)[:, 0] for at in (left, right))
    share = np.clip(low / np.where(low == high, 1.0, low - high), 0, 1)
    inside = np.exp(log_n[left[:, 0]] + share * (log_n[right[:, 0]] - log_n[left[:, 0]]))
    return np.where(after == 0, before, np.where(after > last, np.inf, inside))


class SeedWorth(NamedTuple):
    """Mean KL(P‖Q) in nats after n seeds, and the multiplier; each with its standard error.

    Attributes:
        n: seeds.
        generator: of the generator.
        counts: of add-½ counts with as many seeds.
        multiplier: seeds, in units of n, after which add-½ counts have the generator's mean KL; not
            a number if they have none such.
        found: share of the subjects that have a most likely law after n seeds.
        likelihood: the multiplier in seeds of maximum likelihood; not a number where it has the
            generator's mean KL before nine in ten subjects have a most likely law.
    """

    n: int
    generator: tuple[np.ndarray, np.ndarray]
    counts: tuple[np.ndarray, np.ndarray]
    multiplier: tuple[float, float]
    found: tuple[np.ndarray, np.ndarray]
    likelihood: tuple[float, float]


def worth_of_seeds(
    decoder: Decoder, stream: TokenStream, n_seeds: Sequence[int], *, key: int, n_subjects: int
) -> list[SeedWorth]:
    """KL of the generator and of references on the same seeds of the same subjects.

    Each number of seeds is at least one and below the decoder's context; subjects are the stream's.
    """
    held = subjects(stream, _LONGEST, key=key, n_subjects=n_subjects)
    grid = np.geomspace(1, _LONGEST, 60).round().astype(int)
    grid = np.unique([0, *grid, *n_seeds])
    counts = held.counts(grid.tolist())
    with jax.enable_x64(True):
        divergences = jax.jit(lambda p, c: kl(p, add_half(c)))(held.laws[None], counts)
        of_counts = np.asarray(divergences).T
    of_generator = kl_after_seeds(decoder, held)
    likely, sizes = _most_likely(stream.alphabet, held, n_seeds)
    found = []
    for n in n_seeds:
        made, counted = of_generator[:, n], of_counts[:, grid == n][:, 0]
        multiplier = _multiplier(made, of_counts, grid, n, stream.alphabet.n_tokens)
        exists = np.isfinite(likely[:, sizes == n][:, 0]).astype(float)
        worth = (mean_and_std_error(made), mean_and_std_error(counted), multiplier)
        seeds = _multiplier_of_likely(made[: len(likely)], likely, sizes, n)
        found.append(SeedWorth(n, *worth, mean_and_std_error(exists), seeds))
    return found


def _multiplier(
    made: np.ndarray, of_counts: np.ndarray, grid: np.ndarray, n: int, d: int
) -> tuple[float, float]:
    """Seeds of equal mean KL in units of n, by interpolation, with a paired standard error.

    The logarithm of the KL of add-½ counts is close to linear in that of ``n + d/2``.
    """
    place, level = np.log(grid + d / 2), np.log(of_counts.mean(axis=0))
    target = np.log(made.mean())
    after = int(np.argmax(level < target))
    if level.min() >= target or after == 0:
        return np.nan, np.nan
    slope = (level[after] - level[after - 1]) / (place[after] - place[after - 1])
    share = (target - level[after - 1]) / (level[after] - level[after - 1])
    equal = np.exp(place[after - 1] + (target - level[after - 1]) / slope)
    counted = (1 - share) * of_counts[:, after - 1] + share * of_counts[:, after]
    relative = (made - counted).std(ddof=1) / np.sqrt(len(made)) / made.mean()
    return float((equal - d / 2) / n), float(relative * equal / abs(slope) / n)


def _most_likely(
    alphabet: Alphabet, held: Subjects, n_seeds: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """KL of the first subjects' most likely laws [S, N], nan where there is none; and seeds [N]."""
    longest, n_subjects = _MOST_LIKELY
    grid = np.geomspace(1, longest, 17).round().astype(int)
    sizes = np.unique([*grid, *n_seeds])
    some = Subjects(*(part[:n_subjects] for part in held))
    counts = some.counts(sizes.tolist())
    with jax.enable_x64(True):
        best = maximum_likelihood(alphabet, counts)
        divergences = kl(np.broadcast_to(some.laws, counts.shape), best.law)
        return np.where(best.found, divergences, np.nan).T, sizes


def _multiplier_of_likely(
    made: np.ndarray, of_likely: np.ndarray, sizes: np.ndarray, n: int
) -> tuple[float, float]:
    """Seeds after which maximum likelihood is as good, on subjects that have a most likely law.

    By interpolation in log n of the log ratio of both means, each of the same subjects.
    """
    exists = np.isfinite(of_likely)
    known = exists.mean(axis=0) >= _MOSTLY
    mean = np.where(exists, of_likely, 0).sum(axis=0) / np.maximum(exists.sum(axis=0), 1)
    target = (made @ exists) / np.maximum(exists.sum(axis=0), 1)
    worse = known & (mean >= target)
    after = int(np.argmax(known & ~worse))
    if after == 0 or not worse[after - 1]:
        return np.nan, np.nan
    ends = slice(after - 1, after + 1)
    ratio, place = np.log(mean[ends] / target[ends]), np.log(sizes[ends])
    slope = (ratio[1] - ratio[0]) / (place[1] - place[0])
    equal = np.exp(place[0] - ratio[0] / slope)
    apart = (of_likely[:, after] / mean[after] - made / target[after])[exists[:, after]]
    error = apart.std(ddof=1) / np.sqrt(len(apart))
    return float(equal / n), float(error * equal / abs(slope) / n)
