"""Each training of one seed by two classifiers, tested on the same texts.

``frozen`` is a weighted logistic rule on frozen embeddings, ``fine-tuned`` the encoder that made
them, trained, and ``contrast`` the second's difference to weighting minus the first's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from opal.bridge.text.classifiers import FineTuned, FineTuning, fine_tune
from opal.bridge.text.curves import design, train
from opal.bridge.text.curves.design import SplitData
from opal.bridge.text.curves.measures import Measure, measures, std_error
from opal.bridge.text.curves.train import Trained
from opal.bridge.text.encoders import Encoder, Features, features_of
from opal.draws import as_key, named, on_host

FROZEN, TUNED, CONTRAST = "frozen", "fine-tuned", "contrast"
METRICS = ("balanced_error", "macro_f1", "balanced_risk")
_LAST = 0.2
"""Share of the steps over which the loss at the end of training is averaged."""


@dataclass(frozen=True)
class Asked:
    """What is trained.

    Attributes:
        arms: beside weighting.
        size: number of added texts; sources that have fewer are left out.
        folds: that choose the penalty of the linear rule.
    """

    arms: Sequence[str]
    size: int
    folds: int


@dataclass(frozen=True, eq=False)
class Both:
    """One training by both classifiers.

    Attributes:
        frozen: the linear rule, and what both were trained on.
        tuned: every metric of the encoder.
        described: of its training: steps, loss and accuracy at the end.
    """

    frozen: Trained
    tuned: Mapping[str, Measure]
    described: Mapping[str, float]

    def measured(self, metric: str) -> dict[str, Measure]:
        """A metric of each classifier."""
        return {FROZEN: self.frozen.measured[metric], TUNED: self.tuned[metric]}


def compared(
    data: SplitData, seed: int, encoder: Encoder, settings: FineTuning, asked: Asked
) -> pd.DataFrame:
    """Records of one seed, without the columns that name the study, the setting and the seed."""
    data = cut(data, asked.size)
    said = data.frame["text"].tolist()
    known = features_of(encoder, said)
    strength = train.tune_strength(data, known, seed, n_folds=asked.folds)
    found = []
    for frozen in _linear(data, known, seed, strength, asked):
        rows, weights = frozen.training.rows, frozen.training.weights
        rule = fine_tune(
            [said[i] for i in rows],
            data.y[rows],
            weights,
            n_classes=len(data.labels),
            settings=settings,
            seed=seed,
        )
        p = rule.probabilities([said[i] for i in data.test])
        tuned = measures(p, data.y[data.test], data.group[data.test])
        found.append(Both(frozen, tuned, _ending(rule)))
    told = [row for both in found for row in _rows(both, found[0], data)]
    return pd.DataFrame(told).assign(strength=strength, n_classes=len(data.labels))


def cut(data: SplitData, most: int) -> SplitData:
    """The same texts without those added after the first ``most`` of each source."""
    added = {name: order[:most] for name, order in data.added.items()}
    rows = np.concatenate([data.base, *added.values(), data.test])  # ascending
    return replace(
        data,
        frame=data.frame.iloc[rows].reset_index(drop=True),
        y=data.y[rows],
        group=data.group[rows],
        base=np.searchsorted(rows, data.base),
        added={name: np.searchsorted(rows, order) for name, order in added.items()},
        test=np.searchsorted(rows, data.test),
    )


def _linear(
    data: SplitData, known: Features, seed: int, strength: float, asked: Asked
) -> Iterator[Trained]:
    """The linear rules; that of weighting comes first."""
    rng = on_host(named(as_key(seed), "duplicates"))
    planned: list[tuple[Any, ...]] = [
        (arm, design.baseline(arm, data, data.base, rng), "none", 0)
        for arm in (design.REFERENCE, *(arm for arm in asked.arms if arm in design.BASELINES))
    ]
    for source, order in data.added.items():
        planned += [
            (arm, design.adding(arm, data, data.base, order), source, len(order))
            for arm in asked.arms
            if arm in design.ADDING and len(order) == asked.size
        ]
    for arm, training, source, size in planned:
        x = known.given(training.rows)
        with threadpool_limits(1):  # the matrices are small
            rule = design.fit_rule(data, x, training, strength=strength)
        yield Trained.of(data, x, arm, training, rule, source, size)


def _ending(rule: FineTuned) -> dict[str, float]:
    """Steps, and the mean weighted loss and share of right texts over the last fifth of them."""
    last = max(1, round(_LAST * len(rule.losses)))
    return {
        "steps": len(rule.losses),
        "training_loss": float(np.mean(rule.losses[-last:])),
        "training_accuracy": float(np.mean(rule.accuracies[-last:])),
    }


def _rows(both: Both, reference: Both, data: SplitData) -> Iterator[dict[str, Any]]:
    """Every metric of each classifier, its difference to weighting, and their contrast."""
    same = both.frozen.described(data) | {"source": "data", "group": "all"} | dict(both.described)
    for metric in METRICS:
        own, other = both.measured(metric), reference.measured(metric)
        change = {name: _minus(own[name], other[name]) for name in own}
        told = [(name, metric, own[name]) for name in own]
        told += [(name, f"{metric}_difference", change[name]) for name in change]
        contrast = _minus(change[TUNED], change[FROZEN])
        told.append((CONTRAST, f"{metric}_difference", contrast))
        for classifier, said, (value, influence) in told:
            yield same | {
                "classifier": classifier,
                "metric": said,
                "value": value,
                "std_error": std_error(influence),
            }


def _minus(one: Measure, other: Measure) -> Measure:
    """The difference of two measures on the same texts."""
    return Measure(one.value - other.value, one.influence - other.influence)
