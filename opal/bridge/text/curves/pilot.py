"""The trainings from which a plan of how many texts to buy is made.

A pilot knows the base texts and half of the largest size of a source. What larger sizes are worth
is then a prediction (:mod:`opal.bridge.text.curves.exchange`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from opal.bridge.text import texts
from opal.bridge.text.curves import arms
from opal.bridge.text.curves.material import Material
from opal.bridge.text.curves.trained import Trained
from opal.bridge.text.features import Features
from opal.draws import as_key, named, on_host

ARM = "pilot"
REAL = (0.25, 0.5, 0.75)
"""Shares of the base texts that are trained on alone; all of them are the arm ``weighting``."""
SYNTHETIC = (0.125, 0.25, 0.5)
"""Shares of a source's largest size that are trained on alone."""
WEIGHTS = (0.05, 0.2, 0.4, 0.6, 0.8)
"""α of mixtures with the smallest and the largest of these shares."""


def trained(
    data: Material, features: Features, seed: int, sizes: Sequence[int], strength: float
) -> Iterator[Trained]:
    """The pilot's rules; fresh human texts are no part of it.

    Args:
        data: the texts of a seed.
        features: of all of them.
        seed: draws the parts of the base texts.
        sizes: numbers of added texts.
        strength: C of the penalty.
    """
    none = np.empty(0, dtype=int)
    for share in REAL:
        yield _one(data, features, _part(data, share, seed), none, 0.0, "none", strength)
    for source, order in data.added.items():
        fits = [size for size in sizes if size <= len(order)]
        if source == texts.HUMAN or not fits:
            continue
        parts = [order[: round(share * max(fits))] for share in SYNTHETIC]
        for part in parts:
            yield _one(data, features, data.base, part, 1.0, source, strength)
        for part in (parts[0], parts[-1]):
            for alpha in WEIGHTS:
                yield _one(data, features, data.base, part, alpha, source, strength)


def _one(
    data: Material,
    features: Features,
    base: np.ndarray,
    added: np.ndarray,
    alpha: float,
    source: str,
    strength: float,
) -> Trained:
    training = arms.mixture(data, base, added, alpha)
    x = features.given(training.rows)
    rule = arms.train(data, x, training, strength=strength)
    return Trained.of(data, x, ARM, training, rule, source, len(added))


def _part(data: Material, share: float, seed: int) -> np.ndarray:
    """A share of the base texts of each group, at least one."""
    mixed = on_host(named(as_key(seed), "pilot")).permutation(data.base)
    own = data.group[mixed]
    kept = [mixed[own == g][: max(1, round(share * np.sum(own == g)))] for g in np.unique(own)]
    return np.concatenate(kept)
