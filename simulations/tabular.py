"""GPT-4's rows for three tables: published numbers to the last digit, then a sound comparison.

The published protocol is repeated exactly. The sound one asks what the same rows are worth in
balanced, minority and worst-group error, against group weighting, a moved threshold, duplication,
SMOTE, and as many fresh real rows.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from opal.cli import run_study
from opal.runner import Cell

if TYPE_CHECKING:
    import pandas as pd

DATASETS = ("openmlDiabetes", "heart_failure", "gender")


@dataclass(frozen=True)
class Config:
    """Which evaluations, and how hard the sound one works."""

    datasets: tuple[str, ...] = DATASETS
    """Tables."""
    tasks: tuple[str, ...] = ("imbalanced", "spurious")
    """imbalanced: groups are classes; spurious: groups are (attribute, class)."""
    published: tuple[str, ...] = ("logistic", "randomForest", "catBoost")
    """Classifiers of the published protocol."""
    sound: tuple[str, ...] = ("logistic", "forest", "catboost")
    """Classifiers of the sound protocol."""
    folds: int = 5
    """Folds that choose the logistic penalty."""
    trees: int = 300
    """Trees of the sound protocol's forest."""
    draws: int = 5
    """Draws of duplication, SMOTE and fresh real rows."""
    seed: int = 0
    """Seed of everything random in the sound protocol."""


PRESETS = {
    "tiny": Config(
        datasets=("heart_failure",),
        published=("logistic",),
        sound=("logistic",),
        folds=2,
        draws=1,
    ),
    "quick": Config(published=("logistic",), sound=("logistic", "forest"), trees=60, draws=1),
    "full": Config(),
}


@dataclass(frozen=True)
class TableTrial:
    """One dataset, task and classifier."""

    dataset: str
    task: str
    classifier: str


@dataclass(frozen=True)
class PublishedTrial(TableTrial):
    """By the published protocol."""


@dataclass(frozen=True)
class SoundTrial(TableTrial):
    """By the sound protocol."""

    folds: int
    trees: int
    draws: int
    seed: int


def cells(config: Config) -> list[Cell]:
    """A cell for each dataset, task and classifier of each protocol.

    Raises:
        ValueError: a number is too small, or a name is unknown.
        ImportError: a package of the extra ``tabular`` is missing.
        DownloadError: a file of these datasets is here but corrupted.
    """
    from opal import names
    from opal.bridge.tabular import datasets, published, sound

    settings = asdict(sound.SoundSettings(config.folds, config.trees, config.draws, config.seed))
    names.check("dataset", config.datasets, datasets.NAMES)
    names.check("task", config.tasks, datasets.TASKS)
    names.check("published classifier", config.published, published.CLASSIFIERS)
    names.check("sound classifier", config.sound, sound.CLASSIFIERS)
    published.require_packages(config.published)
    sound.require_packages(config.sound)
    datasets.check_files(config.datasets)
    pairs = [(dataset, task) for dataset in config.datasets for task in config.tasks]
    first = [PublishedTrial(*pair, name) for name in config.published for pair in pairs]
    second = [SoundTrial(*pair, name, **settings) for name in config.sound for pair in pairs]
    return [
        *(Cell(published_cell, c, f"published {c.classifier} {c.dataset}") for c in first),
        *(Cell(sound_cell, c, f"sound {c.classifier} {c.dataset}") for c in second),
    ]


def published_cell(config: PublishedTrial) -> pd.DataFrame:
    """Records of the published protocol."""
    from opal.bridge.tabular import datasets, published

    return published.as_records(datasets.listed(config.dataset), config.task, config.classifier)


def sound_cell(config: SoundTrial) -> pd.DataFrame:
    """Records of the sound protocol."""
    from opal.bridge.tabular import datasets, sound

    settings = sound.SoundSettings(config.folds, config.trees, config.draws, config.seed)
    return sound.evaluate(datasets.listed(config.dataset), config.task, config.classifier, settings)


if __name__ == "__main__":
    run_study("tabular")
