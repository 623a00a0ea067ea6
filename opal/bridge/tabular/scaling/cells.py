"""The cells of both protocols, once every table, maker and number has proved fit for them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from opal import names, validation
from opal.bridge.tabular.scaling import classifiers, fills, learners, published, sound
from opal.bridge.tabular.scaling.comparison import result_files
from opal.bridge.tabular.scaling.effort import Effort
from opal.bridge.tabular.scaling.fills import GroupedRows, SoundCurve
from opal.bridge.tabular.scaling.published import EXPERIMENTS, N_STEPS, PublishedCurve
from opal.bridge.tabular.scaling.tables import (
    NO_MAKER,
    REAL,
    TASKS,
    ScalingTable,
    TableSource,
    require_makers,
)
from opal.bridge.tabular.splits import recurs
from opal.runner import Cell


@dataclass(frozen=True)
class CurveChoice:
    """Which curves; of what is not named, all there are."""

    tasks: tuple[str, ...] = ()
    experiments: tuple[str, ...] = ()
    classifiers: tuple[str, ...] = ()
    makers: tuple[str, ...] = ()

    def includes(self, curve: PublishedCurve) -> bool:
        """Whether a curve is chosen."""
        own = (curve.task, curve.experiment, curve.classifier.split(",")[0], curve.maker)
        chosen = (self.tasks, self.experiments, self.classifiers, self.makers)
        return all(not some or value in some for value, some in zip(own, chosen, strict=True))


def published_cells(
    sources: Sequence[TableSource],
    choice: CurveChoice,
    *,
    committed: bool,
    calibrated: bool = False,
    steps: tuple[int, ...] = tuple(range(N_STEPS)),
) -> list[Cell]:
    """A cell for each chosen curve of the published protocol.

    Args:
        sources: the tables.
        choice: of curves.
        committed: only those of which there is a result file.
        calibrated: also XGBoost's curves of *additional* after calibration.
        steps: of each curve.

    Raises:
        ValueError: a table is unfit or has too few rows, or no curve is left.
        UnknownNameError: a name is unknown, or a maker has no rows.
        ImportError: XGBoost is needed and not installed.
    """
    names.check("task", choice.tasks, TASKS)
    names.check("experiment", choice.experiments, EXPERIMENTS)
    _require("classifier", choice.classifiers, classifiers.CLASSIFIERS)
    curves: dict[PublishedCurve, None] = {}
    for source in sources:
        table = source.read()
        known = _committed(table, source) if committed else _possible(table, source, choice)
        if calibrated:
            known = _with_calibration(known)
        mine = [curve for curve in known if choice.includes(curve)]
        _require_rows(table, mine)
        shared = [replace(c, maker=NO_MAKER) for c in mine if c.experiment == "ratio"]
        curves |= dict.fromkeys(replace(c, steps=steps) for c in [*shared, *mine])
    if not curves:
        raise ValueError(
            "nothing is left to do: no committed result file (JSON, named as the published ones) "
            "is of the curves that --tasks, --experiments, --classifiers and --makers name. Name "
            "others, or leave --compare out."
        )
    return [
        Cell(published.evaluate, c, f"{c.source.name} {c.task} {c.classifier} {c.maker}")
        for c in curves
    ]


def _require(kind: str, chosen: Sequence[str], known: Sequence[str]) -> None:
    """Check that what is chosen is known, and that the package of boosted trees is installed."""
    names.check(kind, chosen, known)
    if {"xgboost", "boosting"} & set(chosen or known):
        validation.require_installed("tabular", "xgboost")


def _committed(table: ScalingTable, source: TableSource) -> Iterator[PublishedCurve]:
    for file in result_files(table):
        yield PublishedCurve(source, file.task, file.experiment, file.classifier, file.maker)


def _with_calibration(curves: Iterable[PublishedCurve]) -> Iterator[PublishedCurve]:
    for curve in curves:
        yield curve
        if curve.classifier == "xgboost" and curve.experiment == "additional":
            yield replace(curve, classifier=published.CALIBRATED)


def _possible(
    table: ScalingTable, source: TableSource, choice: CurveChoice
) -> Iterator[PublishedCurve]:
    for task in choice.tasks or TASKS:
        require_makers(table, task, choice.makers)
        makers = choice.makers or table.makers(task)
        for which in product(EXPERIMENTS, classifiers.CLASSIFIERS, makers):
            yield PublishedCurve(source, task, *which)


def _require_rows(table: ScalingTable, curves: Iterable[PublishedCurve]) -> None:
    """Check every file that the curves read, and that it has as many rows as they draw."""
    for task, experiment, maker in sorted({(c.task, c.experiment, c.maker) for c in curves}):
        require_makers(table, task, [maker])
        published.require_rows(table, task, experiment, maker)


def sound_cells(
    sources: Sequence[TableSource], choice: CurveChoice, effort: Effort
) -> tuple[list[Cell], list[str]]:
    """A cell for each table, task, learner and maker of the sound protocol, and notes on its rows.

    Args:
        sources: the tables.
        choice: of curves; experiments play no part.
        effort: arms and precision of every curve.

    Raises:
        ValueError: a table is unfit, or a maker has fewer rows than an arm draws.
        UnknownNameError: a name is unknown, or a maker has no rows.
        ImportError: XGBoost is needed and not installed.
    """
    names.check("task", choice.tasks, TASKS)
    chosen = choice.classifiers or learners.LEARNERS
    _require("learner", choice.classifiers, learners.LEARNERS)
    curves: list[SoundCurve] = []
    notes: list[str] = []
    several = [(source, source.read()) for source in sources]
    for (source, table), task in product(several, choice.tasks or TASKS):
        extra = (NO_MAKER, REAL)
        require_makers(table, task, [m for m in choice.makers if m not in extra])
        makers = choice.makers or (*extra, *table.makers(task))
        for maker in makers:
            curve = SoundCurve(source, task, chosen[0], maker, effort)
            notes += _notes(curve, fills.read(table, curve))
        own = product(chosen, makers)  # makers in turn share what a learner says of real rows
        curves += [SoundCurve(source, task, *names_of, effort) for names_of in own]
    return [
        Cell(sound.evaluate, c, f"{c.source.name} {c.task} {c.learner} {c.maker}") for c in curves
    ], notes


def _notes(curve: SoundCurve, rows: GroupedRows) -> Iterator[str]:
    """Sizes that rows do not reach, and test rows that may be trained on."""
    where = f"{curve.source.name}, {curve.task} task"
    if missing := fills.left_out(curve, fills.arms_of(curve, rows)):
        sizes = ", ".join(map(str, missing))
        yield (
            f"{where}: {curve.maker} has too few rows of a group for N = {sizes}, which are left "
            "out"
        )
    if curve.maker == REAL:
        return
    seen = rows.real if curve.maker == NO_MAKER else rows.made
    test, others = (np.column_stack([part.x, part.y]) for part in (rows.test, seen))
    if n_same := int(recurs(test, others).sum()):
        what = "a real row" if curve.maker == NO_MAKER else f"a row of {curve.maker}"
        yield f"{where}: {n_same:,} of {len(test):,} test rows equal {what}"
