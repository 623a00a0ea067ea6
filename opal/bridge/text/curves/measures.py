"""What a rule's probabilities on test texts are worth, and how much of it is luck of the draw.

Each measure m is a smooth function of sums over test texts; ``h_i`` is the first-order change of m
by text i, of mean zero in what is averaged, so that ``Σ h_i²`` estimates m's variance over test
texts, and ``Σ (h_i − h'_i)²`` that of a difference between two rules.

================== ===============================================================================
macro_f1           mean of F1 over the classes that have test texts
balanced_error     mean over groups of the error
worst_error        the largest of them
balanced_risk      mean over groups of the log loss, in nats
calibration_error  how far the chance that a rule gives its prediction is from how often it is
                   right, in bins of equally many texts, groups equally frequent
================== ===============================================================================

On the grammar's words the errors and risks of a rule are known exactly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from opal.bridge.text.curves.design import SplitData
from opal.bridge.text.published import GRAMMAR, WRITERS
from opal.estimators.wide import WideFit
from opal.settings.finite import FiniteLaw
from opal.synthesis.writer import Writer

BINS = 10
METRICS = ("macro_f1", "balanced_error", "worst_error", "balanced_risk", "calibration_error")
_LEAST = 1e-12  # a chance below this is a rounding error


class Measure(NamedTuple):
    """A value, and the change of it by each test text [n]."""

    value: float
    influence: np.ndarray

    def less(self, other: Measure) -> Measure:
        """The difference to another rule on the same texts."""
        return Measure(self.value - other.value, self.influence - other.influence)

    def recorded(self, block: np.ndarray) -> dict[str, Any]:
        """Value, standard error over test texts, and the change by each block of them [B].

        ``block`` is that of each text [n].
        """
        changes = np.bincount(block, self.influence).astype(np.float32)
        error = std_error(self.influence)
        return {"value": self.value, "std_error": error, "influence": changes}


def measures(p: np.ndarray, y: np.ndarray, group: np.ndarray) -> Mapping[str, Measure]:
    """Every metric of a rule; ``error GROUP`` by number is that of a group.

    ``p`` are probabilities [n, K] of classes ``y`` [n] of texts of a ``group`` 0 … G−1 [n]; groups
    without a text are left out of all means.
    """
    predicted = p.argmax(axis=1)
    wrong = (predicted != y).astype(float)
    loss = -np.log(np.maximum(p[np.arange(len(y)), y], _LEAST))
    present = np.unique(group)
    errors = {f"error {g}": _mean(wrong, group == g) for g in present}
    worst = max(errors.values(), key=lambda measure: measure.value)
    return {
        "macro_f1": _macro_f1(predicted, y, p.shape[1]),
        "balanced_error": _average([*errors.values()]),
        "worst_error": worst,
        "balanced_risk": _average([_mean(loss, group == g) for g in present]),
        "calibration_error": _calibration(p.max(axis=1), 1 - wrong, group),
        **errors,
    }


def std_error(influence: np.ndarray) -> float:
    """Standard error over test texts."""
    return float(np.sqrt(np.sum(influence**2)))


def exact(rules: Sequence[WideFit]) -> list[dict[str, float]]:
    """Exact errors and risks of two-class rules on the grammar's words.

    ``balanced_error_control`` is what a wrong law, that of the biased writer, says of a rule.
    """
    theta = np.stack([np.append(r.w[:, 1] - r.w[:, 0], r.b[1] - r.b[0]) for r in rules])
    wrong = under(WRITERS["biased"].law(GRAMMAR), theta)[1].mean(axis=1)
    return [
        found | {"balanced_error_control": float(control)}
        for found, control in zip(_exact(theta), wrong, strict=True)
    ]


def limits(data: SplitData, writers: Mapping[str, Writer] = WRITERS) -> dict[str, dict[str, float]]:
    """Exact errors and risks of the best rule (``none``), and of endless texts of each writer.

    The writers, by name, are given the base texts that were drawn; where these lack a group,
    writers have no law and are left out.
    """
    meanings = np.array([GRAMMAR.parse(text) for text in data.frame["text"].iloc[data.base]])
    own = np.array(data.groups)[data.group[data.base]]
    seeds = [meanings[own == group.name] for group in GRAMMAR.groups]
    laws = {"none": GRAMMAR.law}
    if all(len(each) for each in seeds):
        laws |= {name: writer.given(GRAMMAR, seeds) for name, writer in writers.items()}
    with jax.enable_x64(True):
        ends = np.stack([np.asarray(law.optimum()) for law in laws.values()])
    return dict(zip(laws, _exact(ends), strict=True))


def _exact(theta: np.ndarray) -> list[dict[str, float]]:
    risk, error = under(GRAMMAR.law, theta)
    columns = error.mean(axis=1), error.max(axis=1), risk.mean(axis=1)
    names = ("balanced_error", "worst_error", "balanced_risk")
    return [dict(zip(names, row, strict=True)) for row in np.stack(columns, axis=1).tolist()]


def under(law: FiniteLaw, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Risk and error of each rule in each group of a law [rules, G]."""
    with jax.enable_x64(True):
        risk, error = _compiled(law, jnp.asarray(theta, dtype=float))
    return np.asarray(risk), np.asarray(error)


@jax.jit
def _compiled(law: FiniteLaw, theta: jax.Array) -> tuple[jax.Array, jax.Array]:
    return jax.vmap(lambda one: (law.group_risk(one), law.group_error(one)))(theta)


def _mean(values: np.ndarray, inside: np.ndarray) -> Measure:
    n, mean = int(inside.sum()), float(values[inside].mean())
    return Measure(mean, np.where(inside, (values - mean) / n, 0.0))


def _average(parts: list[Measure]) -> Measure:
    values, influences = zip(*parts, strict=True)
    return Measure(float(np.mean(values)), np.mean(influences, axis=0))


def _macro_f1(predicted: np.ndarray, y: np.ndarray, n_classes: int) -> Measure:
    """``F1 = 2 TP / (2 TP + FP + FN)``, whose denominator is the texts said plus those that are."""
    classes = np.arange(n_classes)[:, None]
    said, true = predicted == classes, y == classes
    hits, either = 2.0 * (said & true), 1.0 * said + true
    size = np.maximum(either.sum(axis=1), 1)[:, None]
    f1 = hits.sum(axis=1, keepdims=True) / size
    seen = true.any(axis=1)
    return Measure(float(f1[seen].mean()), ((hits - f1 * either) / size)[seen].mean(axis=0))


def _calibration(sure: np.ndarray, right: np.ndarray, group: np.ndarray) -> Measure:
    counts = np.bincount(group)
    weight = 1.0 / (np.count_nonzero(counts) * counts[group])
    bins = np.empty(len(sure), dtype=int)
    bins[np.argsort(sure, kind="stable")] = np.arange(len(sure)) * BINS // len(sure)
    gap = weight * (right - sure)
    total = np.bincount(bins, gap, minlength=BINS)
    signed = np.sign(total)[bins] * gap
    mean = np.bincount(group, signed) / np.maximum(counts, 1)
    return Measure(float(np.abs(total).sum()), signed - mean[group])
