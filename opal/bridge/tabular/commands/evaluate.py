"""``opal tabular evaluate``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from opal import names

if TYPE_CHECKING:
    from rich.console import RenderableType

    from opal.bridge.tabular.datasets import Dataset

PUBLISHED_NAMES = {"logistic": "logistic", "forest": "randomForest", "catboost": "catBoost"}
DEFAULT_OUT = Path("results/tabular")
SOUND_ONLY = {"out", "folds", "trees", "draws", "seed"}


@dataclass(frozen=True)
class EvaluateRows:
    """Train with and without synthetic rows, and report the error of every arm.

    Without --folder or --train these are the three tables of arXiv 2406.03628. The sound protocol
    writes a page (tabular.md), a figure and records; the published one repeats the paper's.

    Examples:
        opal tabular evaluate --protocol published --compare
        opal tabular evaluate --datasets heart_failure --classifiers logistic forest
        opal tabular evaluate --train mine.csv --synthetic made.csv --test held_out.csv --target y
    """

    protocol: Literal["sound", "published"] = "sound"
    """sound: all features, tuned, balanced and worst-group error; published: as in the paper."""
    datasets: tuple[str, ...] = ()
    """Listed datasets (openmlDiabetes, heart_failure, gender); all if none is named."""
    tasks: tuple[Literal["imbalanced", "spurious"], ...] = ()
    """Tasks; all that the tables allow if none is named."""
    classifiers: tuple[str, ...] = ()
    """logistic, forest, catboost; all of them if none is named."""
    compare: bool = False
    """Print the largest difference to each published file (published protocol)."""
    folder: Path | None = None
    """A dataset that is not listed: a folder of the OPAL repository, or of files named alike."""
    train: Path | None = None
    """Your own training table (CSV); needs --test."""
    test: Path | None = None
    """Your own test table."""
    synthetic: Path | None = None
    """Your own synthetic rows, in the order they are to be used."""
    source: Path | None = None
    """The full table that training and test rows were drawn from, where there is one."""
    target: str | None = None
    """Label column (0 and 1) of --folder or --train; the last column by default."""
    attribute: Annotated[str | None, tyro.conf.arg(aliases=["--group"])] = None
    """Attribute column: groups are then (attribute is non-zero, label)."""
    key: tuple[str, ...] = ()
    """Columns of --folder or --train that only tell rows apart, as an id: they are left out. The
    sound protocol leaves whole numbers that number the real rows out without it, and says so."""
    trees: int = 300
    """Trees of the sound protocol's forest."""
    folds: int = 5
    """Folds that choose the sound protocol's logistic penalty."""
    draws: int = 3
    """Draws of duplication, SMOTE and fresh real rows; their errors are averaged."""
    seed: int = 0
    """Seed of everything random in the sound protocol."""
    out: Path | None = None
    """Folder for page, figure and records (sound protocol; results/tabular by default)."""
    json: bool = False
    """Print JSON."""

    def run(self) -> dict[str, Any]:
        """Evaluate; refusals come before anything is trained or written."""
        from opal.bridge.tabular import sound
        from opal.bridge.tabular.classifiers import SoundSettings
        from opal.files import require_distinct

        chosen = self._classifiers()
        self._check_flags()
        settings = SoundSettings(self.folds, self.trees, self.draws, self.seed)
        if self.protocol == "published":
            return self._published(chosen)
        out = self.out or DEFAULT_OUT
        given = (self.train, self.test, self.synthetic, self.source)
        require_distinct(
            [("a table that is read", path) for path in given],
            [(f"the {kind} file", path) for kind, path in sound.paths(out).items()],
        )
        found = sound.evaluate_rows(
            self._datasets(), tasks=self.tasks, classifiers=chosen, settings=settings, out=out,
            quiet=self.json,
        )  # fmt: skip
        return found.write(out)

    def table(self, result: Mapping[str, Any]) -> RenderableType:
        """The result for people."""
        from opal.bridge import render
        from opal.bridge.tabular import report

        if self.compare:
            return render.terminal(report.comparison(result))
        shown = report.published if self.protocol == "published" else report.summary
        return render.terminal(shown(result))

    def _published(self, chosen: Sequence[str]) -> dict[str, Any]:
        from opal import progress
        from opal.bridge.tabular import published

        classifiers = [PUBLISHED_NAMES[name] for name in chosen]
        published.require_packages(classifiers)
        pairs = [
            (dataset, task) for dataset in self._datasets() for task in dataset.tasks(self.tasks)
        ]
        for dataset, task in pairs:  # every table is read before anything is trained
            published.load_splits(dataset, task)
            if self.compare:
                published.result_files(dataset)
        units = [(*pair, name) for pair in pairs for name in classifiers]
        results: dict[str, Any] = {}
        for unit in progress.track(units, "evaluating", quiet=self.json):
            results |= published.evaluate(*unit)
        if self.compare:
            return published.compare(results, {d.name: d for d, _ in pairs}.values())
        files = {}
        for name, by_seed in results.items():
            mean, deviation = published.summarise(by_seed)
            files[name] = {"mean": mean.tolist(), "std": deviation.tolist()}
        return {"protocol": "published", "files": files}

    def _classifiers(self) -> tuple[str, ...]:
        """Classifier names; the repository's spellings are understood."""
        ours = {theirs: ours for ours, theirs in PUBLISHED_NAMES.items()}
        chosen = [ours.get(name, name) for name in self.classifiers or PUBLISHED_NAMES]
        names.check("classifier", chosen, PUBLISHED_NAMES)
        return tuple(dict.fromkeys(chosen))

    def _check_flags(self) -> None:
        given = {f.name for f in fields(self) if getattr(self, f.name) != f.default}
        if self.compare and self.protocol != "published":
            raise ValueError("--compare needs --protocol published; got sound.")
        if self.protocol == "published" and (lost := given & SOUND_ONLY):
            raise ValueError(
                f"--{min(lost)} needs --protocol sound; the published protocol would ignore it."
            )
        if self.train is None and (lost := given & {"test", "synthetic", "source"}):
            raise ValueError(f"--{min(lost)} needs --train; without it, it would be ignored.")
        if not given & {"train", "folder"} and (lost := given & {"target", "attribute", "key"}):
            raise ValueError(
                f"--{min(lost)} needs --train or --folder; listed datasets have their own."
            )

    def _datasets(self) -> list[Dataset]:
        from opal.bridge.tabular import datasets

        ways = [bool(self.datasets), self.folder is not None, self.train is not None]
        if sum(ways) > 1:
            raise ValueError("--datasets, --folder and --train exclude one another; name one.")
        if self.folder is not None:
            where = _folder(self.folder)
            return [datasets.from_folder(where, self.target, self.attribute, keys=self.key)]
        if self.train is None:
            return [datasets.listed(n) for n in dict.fromkeys(self.datasets or datasets.NAMES)]
        if self.test is None:
            raise ValueError("--train needs --test: errors are measured on rows not trained on.")
        return [
            datasets.from_tables(
                self.train,
                self.test,
                self.synthetic,
                self.source,
                self.target,
                self.attribute,
                keys=self.key,
            )
        ]


def _folder(folder: Path) -> Path:
    """A folder as given, or the folder of that name in the mirror's copy of the repository."""
    if folder.is_dir():
        return folder
    import os

    from opal.bridge.download import MIRROR_VARIABLE, OPAL

    mirror = os.environ.get(MIRROR_VARIABLE)
    inside = Path(mirror) / OPAL.location / folder if mirror else folder
    return inside if inside.is_dir() else folder
