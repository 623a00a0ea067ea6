r"""The arms of the evaluation of texts: what each trains on, with which weights.

n_g real texts of group g are at hand, and N_g of the N added ones are of it. Weights are those of
:class:`opal.objective.Design`; the penalty of all arms is ``λ = 1/(2 C n_eff)`` for weights of sum
one, with ``n_eff = (Σω)²/Σω²``, which is n for equal weights and does not jump when a weight
leaves zero.

=================== ============================================================================
raw                 the real texts
threshold           the same rule, its probabilities moved to where classes are equally frequent
weighting           the real texts, each group with the same total weight
duplication         real texts drawn again until every group is as large as the largest
synthetic           + N texts, each with the weight of a real one
synthetic_weighting the same texts, each group with the same total weight
synthetic_alpha     weighting with weight 1 − α, and α on the added texts of each group;
                    ``α(N) = ρN/(n + ρN)``, where ρ is what an added text weighs in real ones
=================== ============================================================================
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from opal.bridge.text.classifiers import ridge
from opal.bridge.text.curves.material import Material
from opal.estimators.wide import WideFit, fit_wide
from opal.objective import Design
from opal.synthesis.resample import Duplication

BASELINES = ("raw", "threshold", "weighting", "duplication")
ADDING = ("synthetic", "synthetic_weighting", "synthetic_alpha")
REFERENCE = "weighting"
RATIOS = (0.0, 0.1, 0.3, 1.0, 3.0)
"""ρ that are tried."""
STRENGTH = 10.0
"""C of the penalty."""


@dataclass(frozen=True, eq=False)
class Training:
    """What a rule is trained on.

    Attributes:
        rows: of the material's frame; a row may be there several times [n].
        weights: ω > 0 [n].
        alpha: share of the weight that the objective's augmented part has.
    """

    rows: np.ndarray
    weights: np.ndarray
    alpha: float = 0.0


def baseline(arm: str, data: Material, base: np.ndarray, rng: np.random.Generator) -> Training:
    """An arm that adds nothing; ``threshold`` trains what ``raw`` does.

    Args:
        arm: of :data:`BASELINES`.
        data: the texts.
        base: rows of the real texts.
        rng: draws the duplicates.
    """
    if arm == "weighting":
        return Training(base, even(data.group[base]))
    if arm == "duplication":
        counts = np.bincount(data.group[base])
        lacking = np.where(counts > 0, counts.max() - counts, 0)
        again = [rng.choice(base[data.group[base] == g], m) for g, m in enumerate(lacking) if m]
        base = np.concatenate([base, *again])
    return Training(base, np.ones(len(base)))


def adding(
    arm: str, data: Material, base: np.ndarray, added: np.ndarray, ratio: float = 1.0
) -> Training:
    """An arm that adds texts.

    Args:
        arm: of :data:`ADDING`.
        data: the texts.
        base: rows of the real texts [n].
        added: rows of the added texts [N].
        ratio: ρ of ``synthetic_alpha``.
    """
    rows = np.concatenate([base, added])
    if arm == "synthetic":
        return Training(rows, np.ones(len(rows)))
    if arm == "synthetic_weighting":
        return Training(rows, even(data.group[rows]))
    return mixture(data, base, added, ratio * len(added) / (len(base) + ratio * len(added)))


def mixture(data: Material, base: np.ndarray, added: np.ndarray, alpha: float) -> Training:
    """The objective of group weighting with α on the added texts."""
    rows = np.concatenate([base, added])
    weights = mixed(data.group[base], data.group[added], alpha)
    return Training(rows[weights > 0], weights[weights > 0], alpha)


def even(group: np.ndarray) -> np.ndarray:
    """Weights of sum one under which all groups that are present weigh the same [n]."""
    return mixed(group, np.empty(0, dtype=int), 0.0)


def mixed(real: np.ndarray, added: np.ndarray, alpha: float) -> np.ndarray:
    """The objective's weights of real texts, then of added ones, of sum one [n + N].

    Every group that is present weighs the same; in it, real texts have 1 − α and added texts α of
    the weight. Where a group lacks one kind, the other has all of it.

    Args:
        real: groups of the real texts [n].
        added: groups of the added texts [N].
        alpha: α in [0, 1].
    """
    n_groups = 1 + int(max(real.max(initial=0), added.max(initial=0)))
    n, m = (np.bincount(each, minlength=n_groups) for each in (real, added))
    n_present = int(np.count_nonzero(n + m))
    weights = np.zeros((2, n_groups))
    for g in np.flatnonzero(n + m):
        share = alpha if n[g] and m[g] else float(n[g] == 0)
        weights[:, g] = _of_group(max(int(n[g]), 1), int(m[g]), share, n_present)
    return np.concatenate([weights[0][real], weights[1][added]])


def _of_group(n: int, m: int, alpha: float, n_groups: int) -> tuple[float, float]:
    """What the objective gives a real and an added text of a group with n and m of them."""
    design = Design(
        (n,) * n_groups,
        Duplication(),  # stands for whoever wrote the added texts
        n_augmented=m,
        alpha=alpha,
        oversample="none",
        weighting="group",
    )
    weights = design.row_weights()
    return float(weights.real[0]), float(weights.augmented[0])


def train(
    data: Material,
    x: Any,
    training: Training,
    *,
    strength: float = STRENGTH,
    start: WideFit | None = None,
) -> WideFit:
    """Fit a weighted logistic rule.

    Args:
        data: the texts.
        x: features of all of them [n, d].
        training: rows and weights.
        strength: C.
        start: a rule to begin with.
    """
    weights = training.weights / training.weights.sum()
    penalty = ridge(weights, strength)
    y, k = data.y[training.rows], len(data.labels)
    return fit_wide(x[training.rows], y, weights, n_classes=k, ridge=penalty, start=start)


def moved(rule: WideFit, y: np.ndarray) -> WideFit:
    """The rule as it would be if classes were equally frequent: ``b_k − log n_k``.

    Args:
        rule: trained on texts of equal weight.
        y: their classes [n].
    """
    counts = np.bincount(y, minlength=len(rule.b))
    return replace(rule, b=rule.b - np.log(np.maximum(counts, 1)))
