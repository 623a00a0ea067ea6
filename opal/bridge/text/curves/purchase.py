"""Purchases that a plan may recommend, really trained: what it promises is held against them.

A pilot trains on half of a source's largest size at most; these sizes lie beyond it, at weights
between which a plan may choose.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from opal.bridge.text import texts
from opal.bridge.text.curves import arms
from opal.bridge.text.curves.material import Material
from opal.bridge.text.curves.trained import Trained
from opal.bridge.text.features import Features
from opal.estimators.wide import WideFit

ARM = "purchase"
SHARES = (0.75, 1.0)
"""Of a source's largest size."""
WEIGHTS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0)
"""α, of which each fit begins where that of the last one ended."""


def trained(
    data: Material, features: Features, sizes: Sequence[int], strength: float
) -> Iterator[Trained]:
    """The rules of all purchases of a seed; fresh human texts cannot be bought.

    Args:
        data: the texts of a seed.
        features: of all of them.
        sizes: numbers of added texts.
        strength: C of the penalty.
    """
    for source, order in data.added.items():
        fits = [size for size in sizes if size <= len(order)]
        if source == texts.HUMAN or not fits:
            continue
        for share in SHARES:
            added = order[: round(share * max(fits))]
            rule: WideFit | None = None
            for alpha in WEIGHTS:
                training = arms.mixture(data, data.base, added, alpha)
                x = features.given(training.rows)
                rule = arms.train(data, x, training, strength=strength, start=rule)
                yield Trained.of(data, x, ARM, training, rule, source, len(added))
