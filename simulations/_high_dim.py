"""Problems of two groups in d dimensions, drawn at random or of a given quality."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from opal.objective import Design, Oversampling
from opal.settings import GaussianMixture
from opal.synthesis import Duplication, Oracle
from opal.theory.high_dim.margins import MarginLoss

LABELS = np.array([-1.0, 1.0])
KINDS = ("exact", "rotated", "shifted", "shrunk", "all", "copies")


@dataclass(frozen=True)
class Problem:
    """Two groups, the law of synthetic rows, a design, and how to train.

    Attributes:
        truth: means in the space that holds all of them, and variances.
        design: counts, N, α, λ and the synthesizer (an oracle in that space, or copies).
        loss: squared, logistic or hinge.
        dim: d.
        kind: what is wrong with the synthetic rows.
    """

    truth: GaussianMixture
    design: Design
    loss: MarginLoss
    dim: int
    kind: str

    def with_alpha(self, alpha: float) -> Problem:
        """The same with another weight of augmented rows."""
        return replace(self, design=self.design.with_(alpha=alpha))

    def spheres(self) -> tuple[np.ndarray, np.ndarray]:
        """Means [4, q] and variances [4]: the true groups, then the synthetic ones."""
        maker = self.design.synthesizer
        laws = (self.truth.law, maker.law if isinstance(maker, Oracle) else self.truth.law)
        means = np.concatenate([np.asarray(law.means)[:, 0] for law in laws])
        variances = np.concatenate([np.asarray(law.covariances)[:, 0, 0, 0] for law in laws])
        return means, variances


def drawn(rng: np.random.Generator, loss: MarginLoss, *, dim: int, max_imbalance: float) -> Problem:
    """A problem with everything drawn: densities, distances, generator, N, α and λ."""
    n_min = round(dim * np.exp(rng.uniform(*np.log([0.05, 0.4]))))
    ratio = np.exp(rng.uniform(0, np.log(max_imbalance)))
    n_max = max(n_min, min(round(ratio * n_min), 2 * dim))
    counts = (n_max, n_min) if rng.random() < 0.5 else (n_min, n_max)
    means = 0.5 * rng.uniform(1.5, 3.5) * np.outer(LABELS, np.eye(4)[0])
    means += 0.3 * rng.normal(size=4)
    scale = rng.uniform(0.6, 1.4, 2)
    kind = str(rng.choice(KINDS))
    dials: dict[str, dict[str, Any]] = {
        "rotated": {"angle": rng.uniform(0.3, 1.5)},
        "shifted": {"shift": 0.5 * rng.normal(size=(2, 4))},
        "shrunk": {"shrink": rng.uniform(0.2, 0.8)},
    }
    chosen = dials.get(kind, {})
    if kind == "all":
        chosen = {name: value for dial in dials.values() for name, value in dial.items()}
    ridges = {"squared": (0.01, 1.0), "logistic": (0.003, 0.3), "hinge": (0.05, 0.5)}
    oversample: Oversampling = "balance" if rng.random() < 0.6 else "none"
    design = Design(
        tuple(int(n) for n in counts),
        Duplication() if kind == "copies" else _generator(means, scale, **chosen),
        n_augmented=round(dim * np.exp(rng.uniform(*np.log([0.15, 1.0])))),
        alpha=float(rng.uniform(0.1, 0.9)),
        oversample=oversample,
        ridge=float(np.exp(rng.uniform(*np.log(ridges[loss])))),
    )
    return Problem(_mixture(means, scale), design, loss, dim, kind)


def of_quality(quality: str, loss: MarginLoss, *, dim: int) -> Problem:
    """The problem behind a curve: one minority row for ten, and as many augmented rows as d."""
    means, scale = 1.25 * np.outer(LABELS, np.eye(4)[0]), np.ones(2)
    dials: dict[str, dict[str, float]] = {
        "exact": {},
        "rotated": {"angle": np.pi / 4},
        "shrunk": {"shrink": 0.3},
    }
    design = Design(
        (dim, dim // 10),
        _generator(means, scale, **dials[quality]),
        n_augmented=dim,
        alpha=0.5,
        ridge={"squared": 0.1, "logistic": 0.02}[loss],
    )
    return Problem(_mixture(means, scale), design, loss, dim, quality)


def _mixture(means: np.ndarray, scale: np.ndarray) -> GaussianMixture:
    return GaussianMixture(means, scale[:, None, None] * np.eye(4), name="two groups")


def _generator(
    means: np.ndarray,
    scale: np.ndarray,
    *,
    angle: float = 0.0,
    shift: np.ndarray | float = 0.0,
    shrink: float = 1.0,
) -> Oracle:
    """Rows whose means are turned in the first two coordinates and moved, and less spread out."""
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    made = _mixture(means @ turn.T + shift, shrink * scale)
    return Oracle(
        made.law, "exact" if not angle and shrink == 1 and not np.any(shift) else "biased"
    )
