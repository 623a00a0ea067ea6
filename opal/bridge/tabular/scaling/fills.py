"""Arms of the sound protocol: which rows each is trained on in a draw, and with which weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np

from opal.bridge.tabular.arms import balancing
from opal.bridge.tabular.scaling.effort import Effort
from opal.bridge.tabular.scaling.learners import TrainingTable
from opal.bridge.tabular.scaling.published import ADDED_WEIGHT
from opal.bridge.tabular.scaling.tables import NO_MAKER, REAL, ScalingTable, TableSource
from opal.bridge.tabular.scaling.tasks import TaskRows, group_name, real_minority
from opal.bridge.tabular.splits import TableRows


@dataclass(frozen=True)
class SoundCurve:
    """One maker, learner and task of a table."""

    source: TableSource
    task: str
    learner: str
    maker: str
    effort: Effort


class Arm(NamedTuple):
    """What is trained on: N added rows, and their share α of the weight (None: ½ for each row)."""

    name: str
    n_added: int = 0
    alpha: float | None = None


REFERENCE = Arm("weighting")
RAW, THRESHOLD = Arm("raw"), Arm("threshold")
AS_PUBLISHED = "as published"
REAL_ALONE = "real rows alone"
"""An arm of ``n_added`` real rows, as many of each group, and no others."""


class GroupedRows(NamedTuple):
    """What a curve draws from; groups are those that are balanced."""

    originals: TableRows
    pool: TableRows  # real majority rows
    real: TableRows  # every real row, originals among them
    made: TableRows  # rows of the maker; of the maker ``real`` the minority's, then the pool
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
        made = TableRows.joined([table.rows(real_minority(curve.task)), rows.pool])
    real = TableRows.joined([rows.originals, table.real()])
    parts = (rows.originals, rows.pool, real, made, rows.test)
    if curve.task == "spurious":
        return GroupedRows(*parts)
    return GroupedRows(*(TableRows(part.x, part.y, part.y) for part in parts))


def arms_of(curve: SoundCurve, rows: GroupedRows) -> list[Arm]:
    """The arms of a curve, the reference first; real rows may not reach the largest sizes.

    Raises:
        ValueError: there are too few real rows to draw or to hold out, or a maker has fewer rows
            than an arm draws.
    """
    counts = _real_counts(curve, rows)
    _require_real_rows(curve, rows, counts)
    if curve.maker == NO_MAKER:
        return [REFERENCE, RAW, THRESHOLD]
    fits = _filled_sizes(curve, rows, counts)
    grid = product([size for size in fits if size], curve.effort.alphas)
    weighed = [Arm(f"filled, alpha {alpha:g}", size, alpha) for size, alpha in grid]
    halves = [Arm("filled", size) for size in fits]
    mixes = [Arm(AS_PUBLISHED, size) for size in _published_sizes(curve, rows)]
    return [REFERENCE, *halves, *mixes, *(weighed if curve.maker != REAL else [])]


def _filled_sizes(
    curve: SoundCurve, rows: GroupedRows, real_counts: Sequence[np.ndarray]
) -> list[int]:
    """Sizes that filled groups reach with a maker's rows in every draw."""
    n_groups = int(rows.originals.group.max()) + 1
    most = np.full(n_groups, np.inf)  # rows that may be added to each group
    fill = np.zeros(n_groups, dtype=int)  # rows that fill it
    held = rows.made.counts(n_groups)
    for counts in real_counts:
        lacking = counts.max() - counts
        used = counts - rows.originals.counts(n_groups) if curve.maker == REAL else 0
        fill = np.maximum(fill, lacking)
        most = np.minimum(most, held - used - lacking)
    fits = [size for size in curve.effort.sizes if size / n_groups <= most.min()]
    if fits or curve.maker == REAL:
        return fits
    least = min(curve.effort.sizes)
    short = " and of ".join(
        f"{group_name(curve.task, g)} it has {held[g]:,} and needs {fill[g] + least // n_groups:,}"
        for g in range(n_groups)
        if most[g] < least // n_groups
    )
    raise ValueError(
        f"{curve.source.name}, {curve.task} task: {curve.maker} has too few rows for N = {least}: "
        f"of {short}. Make more rows, or ask for smaller --sizes."
    )


def _require_real_rows(curve: SoundCurve, rows: GroupedRows, counts: Sequence[np.ndarray]) -> None:
    """Refuse a pool whose draws would all be the same, and groups that folds leave empty."""
    where, n = f"{curve.source.name}, {curve.task} task", len(rows.originals)
    if len(rows.pool) < 5 * n:
        raise ValueError(
            f"{where}: each draw takes 4 real majority rows for each of the {n} originals out of "
            f"at least 5; there are {len(rows.pool)}. Add real rows, or leave originals out."
        )
    least = np.min(counts, axis=0)
    if least.min() < curve.effort.folds:
        group = group_name(curve.task, int(least.argmin()))
        raise ValueError(
            f"{where}: each of the {curve.effort.folds} --folds needs a real row of each group; "
            f"there are {least.min()} of {group}. Lower --folds, or add originals."
        )


def _real_counts(curve: SoundCurve, rows: GroupedRows) -> list[np.ndarray]:
    """Real rows of each group in each draw."""
    n_groups = int(rows.originals.group.max()) + 1
    return [_real(curve, rows, draw).counts(n_groups) for draw in range(curve.effort.draws)]


def real_rows_alone(curve: SoundCurve, rows: GroupedRows) -> list[Arm]:
    """Real rows alone, whoever the maker is, in sizes that the rarest group reaches."""
    n_groups = int(rows.originals.group.max()) + 1
    reach = n_groups * rows.real.counts(n_groups).min()
    return [Arm(REAL_ALONE, size) for size in curve.effort.real_sizes if size <= reach]


def left_out(curve: SoundCurve, arms: Sequence[Arm]) -> list[int]:
    """Sizes that a curve's rows do not reach with groups that are filled up."""
    if curve.maker == NO_MAKER:
        return []
    return [n for n in curve.effort.sizes if Arm("filled", n) not in arms]


def _published_sizes(curve: SoundCurve, rows: GroupedRows) -> list[int]:
    """Sizes that the published mix of the spurious task reaches."""
    if curve.task == "imbalanced":
        return []  # there it is what filling does
    order = _order_of_use(curve, rows, 0)
    n_few, n_many = (int(mine.sum()) for mine in _pairs(rows.made.group[order]))
    most = min(n_few - 4 * len(rows.originals), n_many)
    return [size for size in curve.effort.sizes if size // 2 <= most]


def _pairs(group: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which rows are of the pair of minority groups, and which of the other."""
    few = np.isin(group, (0, 3))
    return few, ~few


def _real(curve: SoundCurve, rows: GroupedRows, draw: int) -> TableRows:
    """The real rows of a draw: the originals, then the first of the pool in its order."""
    chosen = _pool_order(curve, rows, draw)[: 4 * len(rows.originals)]
    return TableRows.joined([rows.originals, rows.pool.take(chosen)])


def _pool_order(curve: SoundCurve, rows: GroupedRows, draw: int) -> np.ndarray:
    return np.random.default_rng([curve.effort.seed, draw, 0]).permutation(len(rows.pool))


def _order_of_use(curve: SoundCurve, rows: GroupedRows, draw: int) -> np.ndarray:
    """The rows with which a draw fills and adds, by their index among those of the maker."""
    n_others = len(rows.made) - (len(rows.pool) if curve.maker == REAL else 0)
    order = np.random.default_rng([curve.effort.seed, draw, 1]).permutation(n_others)
    if curve.maker != REAL:
        return order
    unused = _pool_order(curve, rows, draw)[4 * len(rows.originals) :]
    return np.concatenate([order, n_others + unused])


def training_table(curve: SoundCurve, rows: GroupedRows, arm: Arm, draw: int) -> TrainingTable:
    """The training set of an arm in one draw: larger N add to the rows of smaller ones."""
    if arm.name == REAL_ALONE:
        return _real_alone(curve, rows, arm.n_added, draw)
    real = _real(curve, rows, draw)
    n_groups = int(real.group.max()) + 1
    if arm == REFERENCE:
        return TrainingTable(real, balancing(real.group, n_groups), real.group)
    if arm in (RAW, THRESHOLD):
        return TrainingTable(real, np.ones(len(real)), real.group, balanced=False)
    order = _order_of_use(curve, rows, draw)
    group = rows.made.group[order]
    if arm.name == AS_PUBLISHED:
        kinds, lacking = _pairs(group), np.array([4 * len(rows.originals), 0])
    else:
        kinds = tuple(group == g for g in range(n_groups))
        lacking = real.counts(n_groups).max() - real.counts(n_groups)
    fill, added = [], []
    for kind, m in zip(kinds, lacking, strict=True):
        mine = np.flatnonzero(kind)
        fill.append(mine[:m])
        added.append(mine[m : m + arm.n_added // len(kinds)])
    made = [rows.made.take(order[np.concatenate(each)]) for each in (fill, added)]
    parts = [real, *made]
    n_base, n_added = len(real) + len(parts[1]), len(parts[2])
    alpha = _share(n_base, n_added) if arm.alpha is None else arm.alpha
    weight = np.repeat([(1 - alpha) / n_base, alpha / max(n_added, 1)], [n_base, n_added])
    return TrainingTable(TableRows.joined(parts), weight, real.group)


def _real_alone(curve: SoundCurve, rows: GroupedRows, n: int, draw: int) -> TrainingTable:
    """As many real rows of each group; larger samples hold smaller ones."""
    order = np.random.default_rng([curve.effort.seed, draw, 2]).permutation(len(rows.real))
    group = rows.real.group[order]
    each = n // (int(group.max()) + 1)
    chosen = [order[group == g][:each] for g in range(int(group.max()) + 1)]
    real = rows.real.take(np.concatenate(chosen))
    return TrainingTable(real, np.ones(len(real)), real.group)


def _share(n_base: int, n_added: int) -> float:
    """Share of the weight that added rows have at ½ each."""
    return ADDED_WEIGHT * n_added / (n_base + ADDED_WEIGHT * n_added)
