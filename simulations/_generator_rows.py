"""Designs drawn at random whose generator saw other rows than the training set has."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from opal.objective import Design
from opal.settings import GaussianMixture
from opal.synthesis import Duplication, GaussianFit, Synthesizer

from ._config import DrawnDesign

OVERLAPS = ("disjoint", "subset", "equal", "partial", "containing")


class ClassRows(NamedTuple):
    """Rows of one class: in training, seen by the generator, and both."""

    n: int
    n_generator: int
    n_shared: int


def draw_rows(config: Any, n: int, overlap: str, rng: np.random.Generator) -> ClassRows:
    """How many rows the generator saw of a class with n training rows."""
    fewest, most = config.n_generator
    fitted = round(np.exp(rng.uniform(np.log(fewest), np.log(most))))
    part = rng.uniform(0.2, 0.8)
    if overlap == "equal":
        return ClassRows(n, n, n)
    if overlap == "subset":
        return ClassRows(
            n, max(min(fewest, n), round(part * n)), max(min(fewest, n), round(part * n))
        )
    if overlap == "containing":
        return ClassRows(n, n + fitted, n)
    return ClassRows(n, fitted, 0 if overlap == "disjoint" else round(part * min(n, fitted)))


def draw_maker(rng: np.random.Generator) -> Synthesizer:
    """A Gaussian fit, biased by shrinkage or not, or in a quarter of the cases copies."""
    u, shrinkage = rng.random(), float(rng.uniform(0.1, 0.5))
    return Duplication() if u < 0.25 else GaussianFit(shrinkage if u < 0.7 else 0.0)


def draw_design(draw: DrawnDesign) -> tuple[GaussianMixture, Design, str]:
    """Two classes, a design, and how the generator's rows overlap with the training rows."""
    config, rng = draw.config, draw.rng()
    dim = int(rng.choice(config.dims))
    axis = rng.normal(size=dim)
    axis *= rng.uniform(0.6, 1.1) / np.linalg.norm(axis)
    root = rng.normal(size=(2, dim, dim)) / np.sqrt(dim)
    covariances = 0.5 * np.eye(dim) + 0.5 * root @ root.swapaxes(1, 2)
    setting = GaussianMixture(np.stack([-axis, axis]), covariances, name=f"two classes, d={dim}")
    few = round(np.exp(rng.uniform(*np.log(config.n_min))))
    many = round(few * np.exp(rng.uniform(0, np.log(config.max_imbalance))))
    overlap = OVERLAPS[draw.index % len(OVERLAPS)]
    rows = [draw_rows(config, n, overlap, rng) for n in (many, few)]
    n, fitted, shared = (tuple(numbers) for numbers in zip(*rows, strict=True))
    augmented = round(many * np.exp(rng.uniform(np.log(0.3), np.log(config.max_multiple))))
    alpha = float(rng.uniform(0.2, 0.95))
    design = Design(n, draw_maker(rng), augmented, alpha, n_generator=fitted, n_shared=shared)
    return setting, design, overlap
