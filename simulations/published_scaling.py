"""The scaling-law experiments of arXiv 2406.03628: recomputed, then held against group weighting.

The published protocol is repeated exactly, beside the numbers that were committed with it. The
sound one asks on the same rows what is left for tuned and calibrated rules, with a generator that
was fitted to the 200 originals alone and with one that was fitted to all real rows.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from opal.bridge.tabular.scaling.effort import Effort
from opal.cli import run_study
from opal.runner import Cell

if TYPE_CHECKING:
    import pandas as pd

    from opal.bridge.tabular.scaling.published import PublishedCurve

TABLES = ("craft", "gender", "diabetes", "adult")


@dataclass(frozen=True)
class Config(Effort):
    """Which curves of both protocols, and how hard the sound one works."""

    tables: tuple[str, ...] = TABLES
    """Tables."""
    tasks: tuple[str, ...] = ("imbalanced", "spurious")
    """imbalanced: groups are classes; spurious: groups are (attribute, class)."""
    experiments: tuple[str, ...] = ("additional", "ratio")
    """Published experiments."""
    published: tuple[str, ...] = ("logistic", "forest", "xgboost")
    """Classifiers of the published protocol."""
    steps: tuple[int, ...] = tuple(range(10))
    """Steps i of the published experiments; N = 400 i in the one that varies N."""
    learners: tuple[str, ...] = ("logistic", "forest", "boosting")
    """Learners of the sound protocol."""
    makers: tuple[str, ...] = ()
    """Makers of the sound protocol; all if none is named."""
    sizes: tuple[int, ...] = (0, 400, 800, 1200, 2000, 2800, 3600)
    folds: int = 5


_GENERATORS = ("none", "synthetic", "synthetic_allseed")
PRESETS = {
    "tiny": Config(
        tables=("gender",),
        tasks=("imbalanced",),
        experiments=("additional",),
        published=("logistic",),
        steps=(0, 1),
        learners=("logistic",),
        makers=_GENERATORS,
        sizes=(0, 400),
        alphas=(),
        real_sizes=(200, 1600),
        draws=2,
        folds=2,
    ),
    "quick": Config(
        experiments=("additional",),
        published=("xgboost",),
        steps=(0, 2, 9),
        learners=("logistic",),
        makers=_GENERATORS,
        sizes=(0, 3600),
        alphas=(),
        real_sizes=(60, 240, 960),
        draws=10,
        folds=3,
    ),
    "full": Config(),
}


def cells(config: Config) -> list[Cell]:
    """A cell for each curve of each protocol.

    Raises:
        ValueError: a number is out of range, or a name is unknown.
        ImportError: XGBoost is needed and not installed.
        DownloadError: a file cannot be had, or is corrupted.
    """
    from opal.bridge.tabular.scaling import cells as curves
    from opal.bridge.tabular.scaling.tables import TableSource, listed

    sources = [TableSource(listed(name).name) for name in config.tables]
    choice = curves.CurveChoice(config.tasks, config.experiments, config.published)
    first = curves.published_cells(sources, choice, committed=True, steps=config.steps)
    effort = Effort(**{f.name: getattr(config, f.name) for f in fields(Effort)})
    sound = curves.CurveChoice(config.tasks, (), config.learners, config.makers)
    published = [Cell(published_cell, cell.config, f"published {cell.label}") for cell in first]
    return [*published, *curves.sound_cells(sources, sound, effort)[0]]


def published_cell(curve: PublishedCurve) -> pd.DataFrame:
    """Records of a published curve, and every committed number beside what was recomputed.

    The latter are rows with the statistic in ``metric`` and the committed number in ``published``.
    """
    import pandas as pd

    from opal import records
    from opal.bridge.tabular.scaling import comparison, published

    frame = published.evaluate(curve)
    numbers = comparison.numbers(frame, curve.source.read())
    if numbers.empty:
        return frame
    keys = ["task", "experiment", "classifier", "metric", "arm", "step"]
    points = frame.drop(columns=["value", "replicate"]).groupby(keys, as_index=False).max()
    beside = numbers.drop(columns=["logarithm", "maker"]).merge(points, how="left", on=keys)
    beside["metric"] = numbers["metric"] + " " + numbers["statistic"]
    counts = {"n_replicates": len(published.SEEDS), "table": curve.source.name}
    return records.validate(pd.concat([frame, beside.assign(**counts)], ignore_index=True))


if __name__ == "__main__":
    run_study("published_scaling")
