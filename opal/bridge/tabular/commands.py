"""What ``opal tabular evaluate|audit|parse`` do: flags in, a JSON-able result and a table out.

Importing this module is cheap; everything heavy waits inside the functions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

if TYPE_CHECKING:
    from rich.console import RenderableType

    from opal.bridge.audit import Case
    from opal.bridge.tabular.tables import Dataset

PUBLISHED_NAMES = {"logistic": "logistic", "forest": "randomForest", "catboost": "catBoost"}
DEFAULT_OUT = Path("results/tabular")


@dataclass(frozen=True)
class Evaluate:
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
    attribute: str | None = None
    """Attribute column: groups are then (attribute is non-zero, label)."""
    trees: int = 300
    """Trees of the sound protocol's forest."""
    folds: int = 5
    """Folds that choose the sound protocol's logistic penalty."""
    draws: int = 3
    """Draws of duplication, SMOTE and fresh real rows; their errors are averaged."""
    resamples: int = 2000
    """Bootstrap resamples behind each interval."""
    seed: int = 0
    """Seed of everything random in the sound protocol."""
    out: Path | None = None
    """Folder for page, figure and records (sound protocol; results/tabular by default)."""
    json: bool = False
    """Print JSON."""

    def run(self) -> dict[str, Any]:
        """Evaluate; refusals come before anything is trained or written."""
        chosen = self._classifiers()
        _need_packages(self.protocol, chosen)
        if self.compare and self.protocol != "published":
            raise ValueError("--compare needs --protocol published; got sound.")
        units = [
            (dataset, task, name)
            for dataset in self._datasets()
            for task in self._tasks(dataset)
            for name in chosen
        ]
        return self._published(units) if self.protocol == "published" else self._sound(units)

    def table(self, result: Mapping[str, Any]) -> RenderableType:
        """The result for people."""
        from opal.bridge.tabular import report

        if self.compare:
            return report.comparison(result)
        shown = report.published_table if self.protocol == "published" else report.sound_table
        return shown(result)

    def _published(self, units: list[tuple[Dataset, str, str]]) -> dict[str, Any]:
        from opal.bridge.tabular import published

        results: dict[str, Any] = {}
        for dataset, task, name in self._track(units):
            results |= published.evaluate(dataset, task, PUBLISHED_NAMES[name])
        if self.compare:
            return published.compare(results, {d.name: d for d, _, _ in units}.values())
        files = {}
        for name, by_seed in results.items():
            mean, deviation = published.summarise(by_seed)
            files[name] = {"mean": mean.tolist(), "std": deviation.tolist()}
        return {"protocol": "published", "files": files}

    def _sound(self, units: list[tuple[Dataset, str, str]]) -> dict[str, Any]:
        import pandas as pd

        from opal.bridge.tabular import report, sound
        from opal.files import writable_folder

        out = writable_folder(self.out or DEFAULT_OUT)
        settings = sound.Settings(self.folds, self.trees, self.draws, self.resamples, self.seed)
        left_out = {f"{d.name}/{task}": sound.left_out(d, task) for d, task, _ in units}
        frames = [sound.evaluate(d, task, name, settings) for d, task, name in self._track(units)]
        frame = pd.concat(frames, ignore_index=True)
        return report.write(frame, left_out, settings, out)

    def _track(self, units: list[tuple[Dataset, str, str]]) -> Iterable[Any]:
        return _progress(units, "evaluating", quiet=self.json)

    def _classifiers(self) -> tuple[str, ...]:
        """Classifier names; the repository's spellings are understood."""
        known = {name: name for name in PUBLISHED_NAMES}
        known |= {theirs: ours for ours, theirs in PUBLISHED_NAMES.items()}
        unknown = [name for name in self.classifiers if name not in known]
        if unknown:
            raise ValueError(f"a classifier is one of {list(PUBLISHED_NAMES)}; got {unknown[0]!r}.")
        return tuple(dict.fromkeys(known[name] for name in self.classifiers or PUBLISHED_NAMES))

    def _datasets(self) -> list[Dataset]:
        """Where the tables come from: listed, a folder, or single files."""
        from opal.bridge.tabular import tables

        ways = [bool(self.datasets), self.folder is not None, self.train is not None]
        if sum(ways) > 1:
            raise ValueError("--datasets, --folder and --train exclude one another; name one.")
        if self.folder is not None:
            return [tables.from_folder(_folder(self.folder), self.target, self.attribute)]
        if self.train is None:
            return [tables.listed(name) for name in self.datasets or tables.NAMES]
        if self.test is None:
            raise ValueError("--train needs --test: errors are measured on rows not trained on.")
        return [
            tables.from_files(
                self.train, self.test, self.synthetic, self.source, self.target, self.attribute
            )
        ]

    def _tasks(self, dataset: Dataset) -> list[str]:
        """Tasks that were asked for, or all that the dataset allows."""
        has = [task for task in ("imbalanced", "spurious") if (task, "focus") in dataset.folders]
        if self.tasks:
            absent = [task for task in self.tasks if task not in has]
            if absent:
                raise ValueError(f"{dataset.name} has the tasks {has}; got {absent[0]!r}.")
            return list(self.tasks)
        usable = [task for task in has if task == "imbalanced" or dataset.attribute]
        if not usable:
            raise ValueError(f"{dataset.name} has only a spurious task: name the --attribute.")
        return usable


@dataclass(frozen=True)
class Audit:
    """Find recited rows, shifts, giveaways, impossible values and wrong groups in synthetic rows.

    Without FILES it audits the GPT-4 rows of arXiv 2406.03628 that its results use.

    Examples:
        opal tabular audit --datasets openmlDiabetes gender
        opal tabular audit made.csv --train mine.csv --test held_out.csv --target y --group sex
    """

    files: tyro.conf.Positional[tuple[Path, ...]] = ()
    """CSV files of synthetic rows."""
    train: tuple[Path, ...] = ()
    """Training table: one for all files, or one for each."""
    test: tuple[Path, ...] = ()
    """Test table, likewise."""
    source: Path | None = None
    """The full table that training and test rows were drawn from."""
    target: str | None = None
    """Label column; the last column of the training table by default."""
    group: tuple[str, ...] = ()
    """Attribute columns that, with the label, make the groups."""
    rows: int | None = None
    """Audit only the first so many rows of each file: those that are used."""
    prompt_rows: int = 0
    """The model was shown this many first training rows; 0: equal groups were asked for."""
    datasets: tuple[str, ...] = ()
    """Listed datasets to audit when no files are given; all if none is named."""
    tasks: tuple[Literal["imbalanced", "spurious"], ...] = ("imbalanced", "spurious")
    """Tasks of the listed datasets."""
    seed: int = 0
    """Seed of the two-sample test."""
    json: bool = False
    """Print JSON."""

    def run(self) -> dict[str, Any]:
        """Audit; one result for the files, or one for each dataset and task under ``audits``."""
        if self.files:
            return self._files()
        if self.train or self.test or self.source or self.group or self.target:
            raise ValueError("--train, --test, --source, --target and --group need FILES to audit.")
        from opal.bridge.tabular import tables

        names = self.datasets or tables.NAMES
        chosen = [(tables.listed(name), task) for name in names for task in self.tasks]
        bar = _progress(chosen, "auditing", quiet=self.json)
        return {"audits": {f"{d.name}/{task}": self._listed(d, task) for d, task in bar}}

    def table(self, result: Mapping[str, Any]) -> RenderableType:
        """The findings for people."""
        from opal.bridge.tabular import report

        return report.audit_table(result)

    def _listed(self, dataset: Dataset, task: str) -> dict[str, Any]:
        """All seeds of a listed dataset: the rows that the published results use."""
        from opal.bridge import audit
        from opal.bridge.tabular import tables

        splits = [tables.load(dataset, task, "focus", s) for s in dataset.seeds(task, "focus")]
        cases = [
            audit.Case(
                f"rand{split.seed}",
                split.synthetic.head(self.rows or len(split.train)),
                split.train,
                split.test,
                split.synthetic,
            )
            for split in splits
        ]
        return audit.audit(
            cases,
            source=splits[0].source,
            target=dataset.target,
            attributes=(dataset.attribute,) if dataset.attribute else (),
            prompt_rows=tables.PROMPT_ROWS,
            seed=self.seed,
        )

    def _files(self) -> dict[str, Any]:
        import pandas as pd

        from opal.bridge import audit

        if not self.train:
            raise ValueError("an audit needs the training table that the model saw: name --train.")
        cases = self._cases()
        return audit.audit(
            cases,
            source=None if self.source is None else pd.read_csv(self.source),
            target=self.target or str(cases[0].train.columns[-1]),
            attributes=self.group,
            prompt_rows=self.prompt_rows,
            seed=self.seed,
        )

    def _cases(self) -> list[Case]:
        """Each file with its tables."""
        import pandas as pd

        from opal.bridge.audit import Case

        if self.rows is not None and self.rows < 1:
            raise ValueError(f"--rows must be at least 1; got {self.rows}.")
        trains = _one_each("--train", self.train, len(self.files))
        tests = _one_each("--test", self.test, len(self.files)) if self.test else None
        cases = []
        for k, file in enumerate(self.files):
            generated = pd.read_csv(file)
            test = pd.read_csv(tests[k]) if tests else None
            used = generated if self.rows is None else generated.head(self.rows)
            whole = None if self.rows is None else generated
            cases.append(Case(str(file), used, pd.read_csv(trains[k]), test, whole))
        return cases


@dataclass(frozen=True)
class Parse:
    """Read a model's own text, `name is value, name is value.`, into rows; report what is not one.

    Example:
        opal tabular parse 4-rand1.txt --out rows.csv
    """

    file: Annotated[Path, tyro.conf.Positional]
    """The text, one row a line."""
    columns: tuple[str, ...] = ()
    """Columns in the order wanted; by default those that most lines have."""
    out: Path | None = None
    """CSV file for the rows."""
    json: bool = False
    """Print JSON, rows included."""

    def run(self) -> dict[str, Any]:
        """Parse, and write the rows where a file is named."""
        from dataclasses import asdict

        from opal.bridge import transcript
        from opal.files import writable_folder, write_atomically

        if self.out is not None:
            writable_folder(self.out.parent)
        found = transcript.parse(self.file.read_text(encoding="utf-8"), self.columns or None)
        if self.out is not None:
            write_atomically(self.out, lambda path: found.rows.to_csv(path, index=False))
        return {
            "file": str(self.file),
            "columns": list(found.rows.columns),
            "n_lines": found.n_lines,
            "n_blank": found.n_blank,
            "n_rows": len(found.rows),
            "n_rejected": len(found.rejected),
            "rejected": [asdict(rejection) for rejection in found.rejected],
            "rows": found.rows.to_numpy().tolist(),
            "out": str(self.out) if self.out else None,
        }

    def table(self, result: Mapping[str, Any]) -> RenderableType:
        """Counts, then each rejected line with its reason."""
        from opal.bridge.tabular import report

        return report.parse_table(result)


def _progress(units: Sequence[Any], doing: str, *, quiet: bool) -> Iterable[Any]:
    """The units behind a progress bar on standard error."""
    from rich.console import Console
    from rich.progress import track

    return track(units, doing, console=Console(stderr=True), disable=quiet)


def _need_packages(protocol: str, classifiers: Sequence[str]) -> None:
    """Refuse before anything starts where a package of the extra ``tabular`` is missing."""
    from importlib.util import find_spec

    needed = {"catboost"} if "catboost" in classifiers else set()
    if protocol == "sound":
        needed.add("imblearn")
    elif "logistic" in classifiers:
        needed.add("statsmodels")
    absent = sorted(name for name in needed if find_spec(name) is None)
    if absent:
        raise ImportError(
            f"this evaluation needs {', '.join(absent)}; install the extra: "
            "pip install 'opal-scaling[tabular]'."
        )


def _folder(folder: Path) -> Path:
    """A folder as given, or the folder of that name in the mirror's copy of the repository."""
    if folder.is_dir():
        return folder
    import os

    from opal.bridge.corpora import MIRROR_VARIABLE, OPAL

    mirror = os.environ.get(MIRROR_VARIABLE)
    inside = Path(mirror) / OPAL.location / folder if mirror else folder
    return inside if inside.is_dir() else folder


def _one_each(flag: str, paths: tuple[Path, ...], n_files: int) -> tuple[Path, ...]:
    if len(paths) not in (1, n_files):
        raise ValueError(
            f"{flag} needs one table, or one for each of {n_files} files; got {paths}."
        )
    return paths if len(paths) == n_files else paths * n_files
