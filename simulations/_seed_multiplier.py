"""How many real seeds a pre-trained prior is worth: as many as add-½ counts would need instead."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np

from opal.risk import mean_and_std_error
from opal.synthesis.transformer.model import Decoder
from opal.synthesis.transformer.streams import TokenStream
from opal.theory.generator import add_half, kl
from simulations._generators import kl_after_seeds, subjects

_LONGEST = 2048  # seeds of add-½ counts


class Worth(NamedTuple):
    """Mean KL(P‖Q) in nats after n seeds, and the multiplier; each with its standard error.

    Attributes:
        n: seeds.
        generator: of the generator.
        counts: of add-½ counts with as many seeds.
        multiplier: seeds, in units of n, after which add-½ counts have the generator's mean KL; not
            a number if they have none such.
    """

    n: int
    generator: tuple[np.ndarray, np.ndarray]
    counts: tuple[np.ndarray, np.ndarray]
    multiplier: tuple[float, float]


def worth_of_seeds(
    decoder: Decoder, stream: TokenStream, n_seeds: Sequence[int], *, key: int, n_subjects: int
) -> list[Worth]:
    """KL of the generator and of add-½ counts on the same seeds of the same subjects.

    Args:
        decoder: trained on tokens.
        stream: of the subjects that are asked about.
        n_seeds: each at least one and below the decoder's context.
        key: of the subjects.
        n_subjects: drawn from the stream's prior.
    """
    held = subjects(stream, _LONGEST, key=key, n_subjects=n_subjects)
    grid = np.geomspace(1, _LONGEST, 60).round().astype(int)
    grid = np.unique([0, *grid, *n_seeds])
    counts = held.counts(grid.tolist())
    with jax.enable_x64(True):
        divergences = jax.jit(lambda p, c: kl(p, add_half(c)))(held.laws[None], counts)
        of_counts = np.asarray(divergences).T
    of_generator = kl_after_seeds(decoder, held)
    found = []
    for n in n_seeds:
        made, counted = of_generator[:, n], of_counts[:, grid == n][:, 0]
        multiplier = _multiplier(made, of_counts, grid, n, stream.alphabet.n_tokens)
        found.append(Worth(n, mean_and_std_error(made), mean_and_std_error(counted), multiplier))
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
