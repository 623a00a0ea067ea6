"""A sound protocol on the rows of the scaling-law experiments: what a maker's rows are worth.

A draw has the n originals and 4n real majority rows; an arm fills the minority with 4n rows of its
maker, and adds N more, half of the minority. Draws differ in majority rows and in the maker's rows;
originals, generator and test rows are always the same. Rules are tuned on the first draws, and
judged by the balanced log loss, balanced error and worst-group error of the test rows. Groups are
classes in the imbalanced task, (attribute, class) in the spurious one. Differences are paired with
group weighting, which uses no row but the real ones; their intervals join draws and test rows.

The paper weighs every added row ½. With B rows before them that is the OPAL objective at
``α = ½N/(B + ½N)``: arms ``filled`` have this weight, ``filled, alpha = A`` one of a grid, and
``filled, alpha chosen`` that of the grid with the least held-out loss.

The maker ``real`` stands for as many real rows; ``none`` has the arms without synthetic rows: raw,
with its threshold moved, and group weighting.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from opal import records, validation
from opal.bridge import resampling
from opal.bridge.tabular.arms import balancing
from opal.bridge.tabular.scaling import tables
from opal.bridge.tabular.scaling.learners import Learner, WeightedRows, calibrated, tuned
from opal.bridge.tabular.scaling.published import NO_MAKER
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
    """Added rows N of an arm, beyond those that fill the minority; even numbers."""
    alphas: tuple[float, ...] = (0.1, 0.3, 0.6, 0.9)
    """Weights of the added rows in the OPAL objective, beside the paper's 1/2 for each row."""
    draws: int = 20
    """Draws of the majority rows and of the makers' rows."""
    folds: int = 3
    """Folds of real rows that tune and calibrate."""
    tuning_draws: int = 1
    """Draws that settings are tuned on."""
    seed: int = 0
    """Seed of everything random."""

    def __post_init__(self) -> None:
        validation.require_at_least("draws", self.draws, 2, "One has no standard error.")
        validation.require_at_least("folds", self.folds, 2)
        validation.require_at_least("tuning_draws", self.tuning_draws, 1)
        validation.require_at_most("tuning_draws", self.tuning_draws, self.draws, "the --draws")
        validation.require_seed(self.seed)
        odd = [size for size in self.sizes if size < 0 or size % 2]
        if odd or not self.sizes:
            raise ValueError(
                "--sizes must be even numbers that are not negative, for half of the added rows "
                f"are of the minority; got {list(self.sizes)}."
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
    """What is trained on: N added rows, and their share α of the weight."""

    name: str
    n_added: int = 0
    alpha: float = 0.0


REFERENCE = Arm("weighting")
_WITHOUT_ROWS = (REFERENCE, Arm("raw"), Arm("threshold"))


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
    tuned_arms = {arm: _tune(curve, rows, arm) for arm in arms}
    losses = {arm: _test_losses(curve, rows, arm, tuned_arms[arm][0]) for arm in arms}
    held_out = {arm: loss for arm, (_, loss) in tuned_arms.items()}
    found = []
    for arm, of in [*((arm, arm) for arm in arms), *_chosen(held_out).items()]:
        about = {**_counts(curve, table, rows, of), "arm": arm.name}
        measured = _measured(losses[of], losses[REFERENCE], rows.test_group)
        found += [{**about, **row} for row in measured]
    frame = pd.DataFrame(found).assign(
        study="published_scaling", source="data", protocol="sound",
        setting=f"{curve.source.name}/{curve.task}", table=curve.source.name, task=curve.task,
        classifier=curve.learner, synthesizer=curve.maker, n_replicates=curve.effort.draws,
    )  # fmt: skip
    return records.validate(frame)


def arms_of(curve: SoundCurve, rows: GroupedRows) -> list[Arm]:
    """The arms of a curve, the reference first; real rows may not reach the largest sizes.

    Raises:
        ValueError: a maker has fewer rows than an arm draws.
    """
    if curve.maker == NO_MAKER:
        return list(_WITHOUT_ROWS)
    base = 9 * rows.n
    asked, n_fill = max(curve.effort.sizes) // 2, 4 * rows.n
    sizes = [size for size in curve.effort.sizes if n_fill + size // 2 <= len(rows.minority)]
    if curve.maker == REAL:
        sizes = [size for size in sizes if n_fill + size // 2 <= len(rows.pool)]
    elif len(rows.minority) < n_fill + asked or len(rows.majority) < asked:
        raise ValueError(
            f"{curve.source.name}: an arm with N = {2 * asked} draws {n_fill + asked} minority "
            f"rows and {asked} majority rows of {curve.maker}; there are {len(rows.minority)} and "
            f"{len(rows.majority)}. Ask for smaller --sizes, or make more rows."
        )
    halves = [Arm("filled", size, 0.5 * size / (base + 0.5 * size)) for size in sizes]
    weighed = [
        Arm(f"filled, alpha {a:g}", size, a) for size in sizes if size for a in curve.effort.alphas
    ]
    return [REFERENCE, *halves, *(weighed if curve.maker != REAL else [])]


@dataclass(frozen=True)
class GroupedRows:
    """The rows of a task, their groups being those that are balanced."""

    originals: TableRows
    pool: TableRows
    minority: TableRows
    majority: TableRows
    test: TableRows

    @property
    def n(self) -> int:
        """Number of originals."""
        return len(self.originals)

    @property
    def test_group(self) -> np.ndarray:
        """Group of each test row."""
        return self.test.group


def read(table: ScalingTable, curve: SoundCurve) -> GroupedRows:
    """The rows that a curve draws from.

    Raises:
        ValueError: a table is unfit; see :meth:`ScalingTable.frame`.
    """
    maker = None if curve.maker in (NO_MAKER, REAL) else curve.maker
    rows = TaskRows.of(table, curve.task, maker)
    if curve.maker == REAL:
        made = table.rows(tables.real_minority(curve.task)), rows.pool
    else:
        made = rows.minority, rows.majority
    parts = (rows.originals, rows.pool, *made, rows.test)
    if curve.task == "spurious":
        return GroupedRows(*parts)
    return GroupedRows(*(TableRows(part.x, part.y, part.y) for part in parts))


def _training(curve: SoundCurve, rows: GroupedRows, arm: Arm, draw: int) -> WeightedRows:
    """The training set of an arm in one draw: larger N add to the rows of smaller ones."""
    n = rows.n
    order = np.random.default_rng([curve.effort.seed, draw, 0]).permutation(len(rows.pool))
    real = TableRows.joined([rows.originals, rows.pool.take(order[: 4 * n])])
    if curve.maker == NO_MAKER or arm == REFERENCE:
        groups = int(real.group.max()) + 1
        if arm == REFERENCE:
            return WeightedRows(real, balancing(real.group, groups), real.group)
        return WeightedRows(real, np.ones(len(real)), real.group, balanced=False)
    made = np.random.default_rng([curve.effort.seed, draw, 1])
    minority = made.permutation(len(rows.minority))
    majority = made.permutation(len(rows.majority))
    if curve.maker == REAL:
        majority = order[4 * n :]
    half = arm.n_added // 2
    fill = rows.minority.take(minority[: 4 * n])
    added = [rows.minority.take(minority[4 * n :][:half]), rows.majority.take(majority[:half])]
    base = len(real) + len(fill)
    weight = np.full(base + 2 * half, (1 - arm.alpha) / base)
    weight[base:] = arm.alpha / max(2 * half, 1)
    return WeightedRows(TableRows.joined([real, fill, *added]), weight, real.group)


def _tune(curve: SoundCurve, rows: GroupedRows, arm: Arm) -> tuple[Learner, float]:
    first = [_training(curve, rows, arm, draw) for draw in range(curve.effort.tuning_draws)]
    return tuned(curve.learner, first, folds=curve.effort.folds, seed=curve.effort.seed)


def _chosen(held_out: Mapping[Arm, float]) -> dict[Arm, Arm]:
    """For each N the arm of the grid of α with the least held-out loss, under its own name."""
    grid = [arm for arm in held_out if arm.name.startswith("filled, alpha")]
    found = {}
    for size in {arm.n_added for arm in grid}:
        of_size = [arm for arm in grid if arm.n_added == size]
        best = min(of_size, key=lambda arm: held_out[arm])
        found[Arm("filled, alpha chosen", size, best.alpha)] = best
    return found


def _test_losses(
    curve: SoundCurve, rows: GroupedRows, arm: Arm, learner: Learner
) -> dict[str, np.ndarray]:
    """Log loss and error of every test row in every draw [S, n_test]."""
    y = rows.test.y
    found: dict[str, list[np.ndarray]] = {"log_loss": [], "error": []}
    for draw in range(curve.effort.draws):
        training = _training(curve, rows, arm, draw)
        scores = calibrated(learner, training, curve.effort.folds)(rows.test.x)
        if arm.name == "threshold":
            scores = scores - _prior_log_odds(training, rows)
        found["log_loss"].append(np.logaddexp(0.0, np.where(y == 1, -scores, scores)))
        found["error"].append((scores > 0) != y)
    return {name: np.array(values, dtype=np.float32) for name, values in found.items()}


def _prior_log_odds(training: WeightedRows, rows: GroupedRows) -> np.ndarray:
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
    """Rows of each kind, and how many different real rows the arm and its generator have seen."""
    training = _training(curve, rows, arm, 0)
    counts, n_filled = np.bincount(training.group), 0 if arm in _WITHOUT_ROWS else 4 * rows.n
    n_generator, n_seen = 0.0, float(training.n_real)
    if curve.maker == REAL:
        n_seen += n_filled + arm.n_added
    elif n_filled:
        n_generator = table.n_generator(curve.maker)
        n_seen = max(n_seen, n_generator)
    return {
        "n_real": training.n_real,
        "n_min": int(counts.min()),
        "n_max": int(counts.max()),
        "n_oversampled": n_filled,
        "n_added": arm.n_added,
        "n_augmented": arm.n_added // len(counts),
        "alpha": arm.alpha,
        "n_generator": n_generator,
        "n_seen": n_seen,
    }
