"""A sound protocol on the rows of the scaling-law experiments: what a maker's rows are worth.

A draw has the n originals and 4n real majority rows. An arm fills every group up to the largest
with rows of its maker, and adds N more, as many to each group: the OPAL objective. Draws differ in
majority rows and in the maker's rows; originals, generator and test rows are always the same.
Groups are classes in the imbalanced task, (attribute, class) in the spurious one. An arm is judged
by the balanced log loss, balanced error and worst-group error of the test rows, and paired with
group weighting, which uses no row but the real ones; intervals join draws and test rows.

Settings of a learner are tuned on held-out real rows: for raw rows by their own loss, for group
weighting by the balanced one, and all filled arms share the latter. A maker may have seen the rows
that are held out, and the originals of the published tables have another mix of attributes than
test rows, towards which an arm should not be tuned.

The paper weighs every added row ½. With B rows before them that is the OPAL objective at
``α = ½N/(B + ½N)``: arms ``filled`` have this weight, ``filled, alpha A`` one of a grid, and
``filled, alpha chosen`` that of the grid with the least held-out loss.

In the spurious task published experiments draw from pairs of groups, whatever their shares: arms
``as published`` repeat that mix, which may leave groups as unequal as they were.

The maker ``real`` stands for as many real rows; ``none`` has the arms without synthetic rows: raw,
with its threshold moved, and group weighting.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from opal import records, validation
from opal.bridge import resampling
from opal.bridge.tabular.arms import balancing
from opal.bridge.tabular.scaling import tables
from opal.bridge.tabular.scaling.learners import (
    Learner,
    TrainingTable,
    calibrated,
    hold_out,
    tuned,
)
from opal.bridge.tabular.scaling.published import ADDED_WEIGHT, NO_MAKER
from opal.bridge.tabular.scaling.tables import ScalingTable, TableSource, TaskRows
from opal.bridge.tabular.splits import TableRows

REAL = "real"
METRICS = ("balanced_log_loss", "balanced_error", "worst_error")


@dataclass(frozen=True)
class Effort:
    """Which arms there are, and how precisely they are measured.

    Raises:
        ValueError: a number is out of range; the message names its flag.
    """

    sizes: tuple[int, ...] = (0, 400, 1200, 3600)
    """Added rows N of an arm, over all groups, beyond those that fill; multiples of 4."""
    alphas: tuple[float, ...] = (0.1, 0.3, 0.6, 0.9)
    """Weights of the added rows in the OPAL objective, beside the paper's 1/2 for each row."""
    draws: int = 20
    """Draws of the majority rows and of the makers' rows."""
    folds: int = 3
    """Folds of real rows that tune and calibrate."""
    tuning_draws: int = 3
    """Draws whose held-out rows choose settings and weights."""
    seed: int = 0
    """Seed of everything random."""

    def __post_init__(self) -> None:
        validation.require_at_least("draws", self.draws, 2, "One has no standard error.")
        validation.require_at_least("folds", self.folds, 2)
        validation.require_at_least("tuning_draws", self.tuning_draws, 1)
        validation.require_at_most("tuning_draws", self.tuning_draws, self.draws, "the --draws")
        validation.require_seed(self.seed)
        if not self.sizes or any(size < 0 or size % 4 for size in self.sizes):
            raise ValueError(
                "--sizes must be multiples of 4 that are not negative, for as many rows are added "
                f"to each of up to four groups; got {list(self.sizes)}."
            )
        outside = [alpha for alpha in self.alphas if not 0 < alpha < 1]
        if outside:
            raise ValueError(
                f"--alphas must lie between 0 and 1, both excluded; got {outside}. Weight 0 is "
                "the arm with N = 0."
            )


@dataclass(frozen=True)
class SoundCurve:
    """One maker, learner and task of a table."""

    source: TableSource
    task: str
    learner: str
    maker: str
    effort: Effort = Effort()


class Arm(NamedTuple):
    """What is trained on: N added rows, and their share α of the weight (None: ½ for each row)."""

    name: str
    n_added: int = 0
    alpha: float | None = None


REFERENCE = Arm("weighting")
RAW, THRESHOLD = Arm("raw"), Arm("threshold")
AS_PUBLISHED = "as published"


def evaluate(curve: SoundCurve) -> pd.DataFrame:
    """Records of every arm of a curve: each metric, and its difference to group weighting.

    Columns beyond :data:`opal.records.COLUMNS`: ``table``, ``task``, ``classifier``, ``n_added``
    (N), ``n_generator`` (real rows that the maker's generator was fitted to), ``n_seen`` (different
    real rows that the arm has seen, its generator's included), and the ends ``lower`` and
    ``upper`` of 95 % intervals.

    Raises:
        ValueError: the table is unfit, or a maker has fewer rows than an arm draws.
    """
    table = curve.source.read()
    rows = read(table, curve)
    arms = arms_of(curve, rows)
    with threadpool_limits(1):  # on busy cores two threads are many times slower than one
        learner = _tuned(curve, rows, REFERENCE)
        plain = _tuned(curve, rows, RAW) if RAW in arms else learner
        losses = {
            arm: _test_losses(curve, rows, arm, plain if arm in (RAW, THRESHOLD) else learner)
            for arm in arms
        }
        chosen = _chosen(curve, rows, arms, learner)
    found = []
    for arm, of in [*((arm, arm) for arm in arms), *chosen.items()]:
        about = {**_counts(curve, table, rows, of), "arm": arm.name}
        measured = _measured(losses[of], losses[REFERENCE], rows.test.group)
        found += [{**about, **row} for row in measured]
    frame = pd.DataFrame(found).assign(
        study="published_scaling", source="data", protocol="sound",
        setting=f"{curve.source.name}/{curve.task}", table=curve.source.name, task=curve.task,
        classifier=curve.learner, synthesizer=curve.maker, n_replicates=curve.effort.draws,
    )  # fmt: skip
    return records.validate(frame)


class GroupedRows(NamedTuple):
    """What a curve draws from; groups are those that are balanced."""

    originals: TableRows
    pool: TableRows  # real majority rows
    made: TableRows  # rows of the maker; of the maker ``real`` the minority's only
    test: TableRows


def read(table: ScalingTable, curve: SoundCurve) -> GroupedRows:
    """The rows that a curve draws from.

    Raises:
        ValueError: a table is unfit; see :meth:`ScalingTable.frame`.
    """
    maker = None if curve.maker in (NO_MAKER, REAL) else curve.maker
    rows = TaskRows.of(table, curve.task, maker)
    made = TableRows.joined([rows.minority, rows.majority])
    if curve.maker == REAL:
        made = table.rows(tables.real_minority(curve.task))
    parts = (rows.originals, rows.pool, made, rows.test)
    if curve.task == "spurious":
        return GroupedRows(*parts)
    return GroupedRows(*(TableRows(part.x, part.y, part.y) for part in parts))


def arms_of(curve: SoundCurve, rows: GroupedRows) -> list[Arm]:
    """The arms of a curve, the reference first; real rows may not reach the largest sizes.

    Raises:
        ValueError: a maker has fewer rows than an arm draws.
    """
    if curve.maker == NO_MAKER:
        return [REFERENCE, RAW, THRESHOLD]
    n_groups = int(rows.originals.group.max()) + 1
    most = np.full(n_groups, np.inf)  # rows that may be added to each group, in every draw
    for draw in range(curve.effort.draws):
        real, rest = _real(curve, rows, draw)
        counts = real.counts(n_groups)
        most = np.minimum(most, rest.counts(n_groups) - (counts.max() - counts))
    fits = [size for size in curve.effort.sizes if size / n_groups <= most.min()]
    if not fits and curve.maker != REAL:
        raise ValueError(
            f"{curve.source.name}, {curve.task} task: {curve.maker} has too few rows for N = "
            f"{min(curve.effort.sizes)}: beyond those that fill its groups up, they have "
            f"{[int(n) for n in most]}. Ask for smaller --sizes, or make more rows."
        )
    grid = product([size for size in fits if size], curve.effort.alphas)
    weighed = [Arm(f"filled, alpha {alpha:g}", size, alpha) for size, alpha in grid]
    halves = [Arm("filled", size) for size in fits]
    mixes = [Arm(AS_PUBLISHED, size) for size in _published_sizes(curve, rows)]
    return [REFERENCE, *halves, *mixes, *(weighed if curve.maker != REAL else [])]


def left_out(curve: SoundCurve, arms: Sequence[Arm]) -> list[int]:
    """Sizes that a curve's rows do not reach with groups that are filled up."""
    if curve.maker == NO_MAKER:
        return []
    return [n for n in curve.effort.sizes if Arm("filled", n) not in arms]


def _published_sizes(curve: SoundCurve, rows: GroupedRows) -> list[int]:
    """Sizes that the published mix of the spurious task reaches."""
    if curve.task == "imbalanced":
        return []  # there it is what filling does
    n_few, n_many = (int(mine.sum()) for mine in _pairs(_real(curve, rows, 0)[1]))
    most = min(n_few - 4 * len(rows.originals), n_many)
    return [size for size in curve.effort.sizes if size // 2 <= most]


def _pairs(made: TableRows) -> tuple[np.ndarray, np.ndarray]:
    """Which rows are of the pair of minority groups, and which of the other."""
    few = np.isin(made.group, (0, 3))
    return few, ~few


def _real(curve: SoundCurve, rows: GroupedRows, draw: int) -> tuple[TableRows, TableRows]:
    """The real rows of a draw, and the rows in which it fills and adds, in the order of use."""
    n_majority = 4 * len(rows.originals)
    order = np.random.default_rng([curve.effort.seed, draw, 0]).permutation(len(rows.pool))
    real = TableRows.joined([rows.originals, rows.pool.take(order[:n_majority])])
    made = rows.made.take(
        np.random.default_rng([curve.effort.seed, draw, 1]).permutation(len(rows.made))
    )
    if curve.maker == REAL:
        made = TableRows.joined([made, rows.pool.take(order[n_majority:])])
    return real, made


def training_table(curve: SoundCurve, rows: GroupedRows, arm: Arm, draw: int) -> TrainingTable:
    """The training set of an arm in one draw: larger N add to the rows of smaller ones."""
    real, made = _real(curve, rows, draw)
    n_groups = int(real.group.max()) + 1
    if arm == REFERENCE:
        return TrainingTable(real, balancing(real.group, n_groups), real.group)
    if arm in (RAW, THRESHOLD):
        return TrainingTable(real, np.ones(len(real)), real.group, balanced=False)
    if arm.name == AS_PUBLISHED:
        kinds, lacking = _pairs(made), np.array([4 * len(rows.originals), 0])
    else:
        kinds = tuple(made.group == g for g in range(n_groups))
        lacking = real.counts(n_groups).max() - real.counts(n_groups)
    fill, added = [], []
    for kind, m in zip(kinds, lacking, strict=True):
        mine = np.flatnonzero(kind)
        fill.append(mine[:m])
        added.append(mine[m : m + arm.n_added // len(kinds)])
    parts = [real, made.take(np.concatenate(fill)), made.take(np.concatenate(added))]
    n_base, n_added = len(real) + len(parts[1]), len(parts[2])
    alpha = _share(n_base, n_added) if arm.alpha is None else arm.alpha
    weight = np.repeat([(1 - alpha) / n_base, alpha / max(n_added, 1)], [n_base, n_added])
    return TrainingTable(TableRows.joined(parts), weight, real.group)


def _share(n_base: int, n_added: int) -> float:
    """Share of the weight that added rows have at ½ each."""
    return ADDED_WEIGHT * n_added / (n_base + ADDED_WEIGHT * n_added)


def _tuned(curve: SoundCurve, rows: GroupedRows, arm: Arm) -> Learner:
    first = [training_table(curve, rows, arm, draw) for draw in range(curve.effort.tuning_draws)]
    return tuned(curve.learner, first, folds=curve.effort.folds, seed=curve.effort.seed)


def _chosen(
    curve: SoundCurve, rows: GroupedRows, arms: list[Arm], learner: Learner
) -> dict[Arm, Arm]:
    """For each N the arm of the grid of α with the least held-out loss, under its own name."""
    loss = {
        arm: np.mean(
            [
                hold_out(learner, training_table(curve, rows, arm, draw), curve.effort.folds).loss()
                for draw in range(curve.effort.tuning_draws)
            ]
        )
        for arm in arms
        if arm.alpha is not None
    }
    found = {}
    for size in dict.fromkeys(arm.n_added for arm in loss):
        best = min((arm for arm in loss if arm.n_added == size), key=lambda arm: loss[arm])
        found[Arm("filled, alpha chosen", size, best.alpha)] = best
    return found


def _test_losses(
    curve: SoundCurve, rows: GroupedRows, arm: Arm, learner: Learner
) -> dict[str, np.ndarray]:
    """Log loss and error of every test row in every draw [S, n_test]."""
    y = rows.test.y
    found: dict[str, list[np.ndarray]] = {"log_loss": [], "error": []}
    for draw in range(curve.effort.draws):
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


def _measured(
    losses: Mapping[str, np.ndarray], reference: Mapping[str, np.ndarray], group: np.ndarray
) -> Iterator[dict[str, Any]]:
    """Each metric and its difference to the reference, with crossed errors and intervals."""
    for metric in METRICS:
        kind = "log_loss" if metric.endswith("log_loss") else "error"
        mine, other = (_shares(values[kind], group, metric) for values in (losses, reference))
        zero = np.zeros((1, 1))
        difference = {g: mine.get(g, zero) - other.get(g, zero) for g in {*mine, *other}}
        for name, parts in ((metric, mine), (f"{metric}_difference", difference)):
            found = resampling.crossed(list(parts.values()))
            half = resampling.Z95 * found.std_error
            yield {
                "metric": name,
                "value": found.mean,
                "std_error": found.std_error,
                "lower": found.mean - half,
                "upper": found.mean + half,
            }


def _shares(losses: np.ndarray, group: np.ndarray, metric: str) -> dict[int, np.ndarray]:
    """What each group adds to a metric, ``[S, n_g]``, such that it is the sum of their means."""
    of_group = {int(g): losses[:, group == g].astype(float) for g in np.unique(group)}
    if metric == "worst_error":
        worst = max(of_group, key=lambda g: of_group[g].mean())
        return {worst: of_group[worst]}
    return {g: values / len(of_group) for g, values in of_group.items()}


def _counts(curve: SoundCurve, table: ScalingTable, rows: GroupedRows, arm: Arm) -> dict[str, Any]:
    """Rows of each kind in the first draw, and how many different real rows the arm has seen."""
    training = training_table(curve, rows, arm, 0)
    counts = np.bincount(training.group)
    n_filled = len(training.rows) - training.n_real - arm.n_added
    n_generator, n_seen = 0.0, float(training.n_real)
    if curve.maker == REAL:
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
        "n_added": arm.n_added,
        "n_augmented": arm.n_added // len(counts),
        "alpha": float(weight[len(weight) - arm.n_added :].sum()),
        "n_generator": n_generator,
        "n_seen": n_seen,
    }
