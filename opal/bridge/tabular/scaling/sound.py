"""A sound protocol on the rows of the scaling-law experiments: what a maker's rows are worth.

A draw has the n originals and 4n real majority rows. An arm fills every group up to the largest
with rows of its maker, and adds N more, as many to each group: the OPAL objective. Draws differ in
majority rows and in the maker's rows; originals, generator and test rows are always the same.
Groups are classes in the imbalanced task, (attribute, class) in the spurious one. An arm is judged
by the balanced log loss, balanced error and worst-group error of the test rows, and paired with
group weighting, which uses no row but the real ones; intervals join draws and test rows.

Settings of a learner are tuned on held-out real rows, in each draw anew, so that intervals know of
the choice: for raw rows by their own loss, for group weighting by the balanced one, which all
filled arms share, and for real rows alone at each size. A maker may have seen the rows that are
held out, and the originals of the published tables have another mix of attributes than
test rows, towards which an arm should not be tuned.

The paper weighs every added row ½. With B rows before them that is the OPAL objective at
``α = ½N/(B + ½N)``: arms ``filled`` have this weight, ``filled, alpha A`` one of a grid, and
``filled, alpha chosen`` that of the grid with the least held-out loss of each draw.

In the spurious task published experiments draw from pairs of groups, whatever their shares: arms
``as published`` repeat that mix, which may leave groups as unequal as they were.

The maker ``real`` stands for as many real rows; ``none`` has the arms without synthetic rows: raw,
with its threshold moved, and group weighting.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from opal import records
from opal.bridge import resampling
from opal.bridge.tabular.scaling.equivalence import equivalent_rows
from opal.bridge.tabular.scaling.fills import (
    RAW,
    REAL_ALONE,
    REFERENCE,
    THRESHOLD,
    Arm,
    GroupedRows,
    SoundCurve,
    arms_of,
    read,
    real_rows_alone,
    training_table,
)
from opal.bridge.tabular.scaling.learners import (
    Learner,
    TrainingTable,
    calibrated,
    held_out_loss,
    tuned,
)
from opal.bridge.tabular.scaling.tables import NO_MAKER, REAL, ScalingTable

METRICS = ("balanced_log_loss", "balanced_error", "worst_error")
EQUIVALENT = "equivalent_real_rows"
CHOSEN = "filled, alpha chosen"
Losses = Mapping[str, np.ndarray]  # log loss and error of every test row in every draw [S, n_test]


def evaluate(curve: SoundCurve) -> pd.DataFrame:
    """Records of every arm of a curve: each metric, and its difference to group weighting.

    Columns beyond :data:`opal.records.COLUMNS`: ``table``, ``task``, ``classifier``, ``n_added``
    (N), ``n_generator`` (real rows that the maker's generator was fitted to), ``n_seen`` (real
    rows that the arm has seen, its generator's included), and the ends ``lower`` and
    ``upper`` of 95 % intervals. The metric ``equivalent_real_rows`` of weighting and filled arms is
    the number of real rows, as many of each group, with their loss
    (:mod:`opal.bridge.tabular.scaling.equivalence`).

    Raises:
        ValueError: the table is unfit, or a maker has fewer rows than an arm draws.
    """
    table = curve.source.read()
    rows = read(table, curve)
    arms = arms_of(curve, rows)
    shared = replace(curve, maker=NO_MAKER)
    with threadpool_limits(1):  # on busy cores two threads are many times slower than one
        learners, reference = _weighting(shared)
        plain = _tuned(curve, rows, RAW) if RAW in arms else learners
        losses = {REFERENCE: reference} | {
            arm: _test_losses(curve, rows, arm, plain if arm in (RAW, THRESHOLD) else learners)
            for arm in arms
            if arm != REFERENCE
        }
        losses |= _of_chosen_alpha(curve, rows, losses, learners)
        if curve.maker != NO_MAKER:
            losses |= _real_rows_alone(shared)
    found = []
    for arm, mine in losses.items():
        about = {**_counts(curve, table, rows, arm), "arm": arm.name}
        measured = list(_measured(mine, reference, rows.test.group))
        if arm.name in ("filled", REFERENCE.name) and curve.maker != NO_MAKER:
            measured += _worth(arm, losses, rows.test.group)
        found += [{**about, **row} for row in measured]
    frame = pd.DataFrame(found).assign(
        study="published_scaling", source="data", protocol="sound",
        setting=f"{curve.source.name}/{curve.task}", table=curve.source.name, task=curve.task,
        classifier=curve.learner, synthesizer=curve.maker, n_replicates=curve.effort.draws,
    )  # fmt: skip
    return records.validate(frame)


# Makers of a table, task and learner follow one another in a process, and share what is below.
@lru_cache(maxsize=1)
def _weighting(curve: SoundCurve) -> tuple[list[Learner], Losses]:
    """The learners that are tuned for group weighting, and their test losses."""
    rows = read(curve.source.read(), curve)
    learners = _tuned(curve, rows, REFERENCE)
    return learners, _test_losses(curve, rows, REFERENCE, learners)


@lru_cache(maxsize=1)
def _real_rows_alone(curve: SoundCurve) -> Mapping[Arm, Losses]:
    """Test losses of real rows alone, tuned at each size."""
    rows = read(curve.source.read(), curve)
    arms = real_rows_alone(curve, rows)
    return {arm: _test_losses(curve, rows, arm, _tuned(curve, rows, arm)) for arm in arms}


def _tuned(curve: SoundCurve, rows: GroupedRows, arm: Arm) -> list[Learner]:
    """A learner for each draw, tuned on that draw alone, as one who has no other would."""
    effort = curve.effort
    several = (training_table(curve, rows, arm, draw) for draw in range(effort.draws))
    return [tuned(curve.learner, each, folds=effort.folds, seed=effort.seed) for each in several]


def _of_chosen_alpha(
    curve: SoundCurve, rows: GroupedRows, losses: Mapping[Arm, Losses], learners: Sequence[Learner]
) -> dict[Arm, Losses]:
    """For each N the α of the grid with the least held-out loss of each draw; its mean is named."""
    grid = [arm for arm in losses if arm.alpha is not None]
    found: dict[Arm, Losses] = {}
    for size in dict.fromkeys(arm.n_added for arm in grid):
        best = _best_arms(curve, rows, [arm for arm in grid if arm.n_added == size], learners)
        chosen = Arm(CHOSEN, size, float(np.mean([arm.alpha for arm in best])))
        found[chosen] = {
            name: np.stack([losses[arm][name][draw] for draw, arm in enumerate(best)])
            for name in losses[best[0]]
        }
    return found


def _best_arms(
    curve: SoundCurve, rows: GroupedRows, arms: Sequence[Arm], learners: Sequence[Learner]
) -> list[Arm]:
    """The arm with the least held-out loss, draw by draw."""
    best = []
    for draw, learner in enumerate(learners):
        tables = [training_table(curve, rows, arm, draw) for arm in arms]
        held_out = [held_out_loss(learner, table, curve.effort.folds) for table in tables]
        best.append(arms[int(np.argmin(held_out))])
    return best


def _test_losses(
    curve: SoundCurve, rows: GroupedRows, arm: Arm, learners: Sequence[Learner]
) -> Losses:
    """Log loss and error of every test row in every draw [S, n_test]."""
    y = rows.test.y
    found: dict[str, list[np.ndarray]] = {"log_loss": [], "error": []}
    for draw, learner in enumerate(learners):
        training = training_table(curve, rows, arm, draw)
        scores = calibrated(learner, training, curve.effort.folds)(rows.test.x)
        if arm == THRESHOLD:
            scores = scores - _prior_log_odds(training, rows)
        found["log_loss"].append(np.logaddexp(0.0, np.where(y == 1, -scores, scores)))
        found["error"].append((scores > 0) != y)
    return {name: np.array(values, dtype=np.float32) for name, values in found.items()}


def _prior_log_odds(training: TrainingTable, rows: GroupedRows) -> np.ndarray:
    """Log odds of class 1 among training rows, or among those with a test row's attribute."""
    counts = np.bincount(training.group).reshape(-1, 2)  # groups are labels, or 2·attribute + label
    odds: np.ndarray = np.log(counts[:, 1] / counts[:, 0])
    return odds[rows.test.group // 2]


def _measured(losses: Losses, reference: Losses, group: np.ndarray) -> Iterator[dict[str, Any]]:
    """Each metric and its difference to the reference, with crossed errors and intervals."""
    for metric in METRICS:
        kind = "log_loss" if metric.endswith("log_loss") else "error"
        mine, other = (_shares(values[kind], group, metric) for values in (losses, reference))
        zero = np.zeros((1, 1))
        difference = {g: mine.get(g, zero) - other.get(g, zero) for g in {*mine, *other}}
        for name, parts in ((metric, mine), (f"{metric}_difference", difference)):
            found = resampling.crossed(*resampling.of_means(list(parts.values())))
            yield {
                "metric": name,
                "value": found.mean,
                "std_error": found.std_error,
                "lower": found.mean - found.half_width,
                "upper": found.mean + found.half_width,
            }


def _worth(arm: Arm, losses: Mapping[Arm, Losses], group: np.ndarray) -> list[dict[str, Any]]:
    """Real rows, as many of each group, with the balanced log loss of an arm, if that is known."""
    mine = _shares(losses[arm]["log_loss"], group, METRICS[0])
    differences = {}
    for real, values in losses.items():
        if real.name == REAL_ALONE:
            other = _shares(values["log_loss"], group, METRICS[0])
            parts = [mine[g] - other[g] for g in mine]
            differences[real.n_added] = resampling.crossed(*resampling.of_means(parts))
    if len(differences) < 2:
        return []
    return [{"metric": EQUIVALENT, "std_error": np.nan, **equivalent_rows(differences)._asdict()}]


def _shares(losses: np.ndarray, group: np.ndarray, metric: str) -> dict[int, np.ndarray]:
    """What each group adds to a metric, ``[S, n_g]``, such that it is the sum of their means."""
    of_group = {int(g): losses[:, group == g].astype(float) for g in np.unique(group)}
    if metric == "worst_error":
        worst = max(of_group, key=lambda g: of_group[g].mean())
        return {worst: of_group[worst]}
    return {g: values / len(of_group) for g, values in of_group.items()}


def _counts(curve: SoundCurve, table: ScalingTable, rows: GroupedRows, arm: Arm) -> dict[str, Any]:
    """Rows of each kind in the first draw, and how many real rows the arm has seen."""
    training = training_table(curve, rows, arm, 0)
    counts = np.bincount(training.group)
    n_filled = len(training.rows) - training.n_real - arm.n_added
    n_added, n_generator, n_seen = arm.n_added, 0.0, float(training.n_real)
    if arm.name == REAL_ALONE:
        n_filled = n_added = 0
    elif curve.maker == REAL:
        n_seen = float(len(training.rows))
    elif n_filled:
        n_generator = table.n_generator(curve.maker)
        n_seen = float(np.maximum(n_seen, n_generator))  # unknown where the generator's are
    weight = training.weight / training.weight.sum()
    return {
        "n_real": training.n_real,
        "n_min": int(counts.min()),
        "n_max": int(counts.max()),
        "n_oversampled": n_filled,
        "n_added": n_added,
        "n_augmented": n_added // len(counts),
        "alpha": float(weight[len(weight) - n_added :].sum()),
        "n_generator": n_generator,
        "n_seen": n_seen,
    }
