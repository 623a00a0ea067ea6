"""The rules of the learning curves: arms without added texts, and arms at every size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from opal.bridge.text.curves import arms
from opal.bridge.text.curves.arms import ADDING, BASELINES
from opal.bridge.text.curves.material import Material
from opal.bridge.text.curves.trained import Trained
from opal.bridge.text.features import Features
from opal.draws import as_key, named, on_host
from opal.estimators.wide import WideFit


def alone(data: Material, known: Features, seed: int, strength: float) -> Iterator[Trained]:
    """The arms that add nothing.

    Args:
        data: the texts of a seed.
        known: features of all of them.
        seed: draws the duplicates.
        strength: C of the penalty.
    """
    rng = on_host(named(as_key(seed), "duplicates"))
    for arm in BASELINES:
        training = arms.baseline(arm, data, data.base, rng)
        x = known.given(training.rows)
        rule = arms.train(data, x, training, strength=strength)
        if arm == "threshold":
            rule = arms.moved(rule, data.y[data.base])
        yield Trained.of(data, x, arm, training, rule)


def grown(
    data: Material,
    known: Features,
    ratios: Mapping[str, float],
    sizes: Sequence[int],
    strength: float,
) -> Iterator[Trained]:
    """The arms that add texts, at every size; each fit begins where the last size's ended.

    Args:
        data: the texts of a seed.
        known: features of all of them.
        ratios: ρ of ``synthetic_alpha``, by source.
        sizes: numbers of added texts.
        strength: C of the penalty.
    """
    for source, order in data.added.items():
        for arm in ADDING:
            rule: WideFit | None = None
            for size in sorted(set(sizes)):
                if size > len(order):
                    continue
                own = ratios[source] if arm == "synthetic_alpha" else np.nan
                training = arms.adding(arm, data, data.base, order[:size], own)
                x = known.given(training.rows)
                begin = rule if training.alpha or arm != "synthetic_alpha" else None
                rule = arms.train(data, x, training, strength=strength, start=begin)
                yield Trained.of(data, x, arm, training, rule, source, size, own)
