"""``opal tabular audit``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tyro

from opal.bridge.tabular.commands.progress import progress

if TYPE_CHECKING:
    from rich.console import RenderableType

    from opal.bridge.audit import Case
    from opal.bridge.tabular.datasets import Dataset


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
        from opal.bridge.tabular import datasets

        names = self.datasets or datasets.NAMES
        chosen = [(datasets.listed(name), task) for name in names for task in self.tasks]
        bar = progress(chosen, "auditing", quiet=self.json)
        return {"audits": {f"{d.name}/{task}": self._listed(d, task) for d, task in bar}}

    def table(self, result: Mapping[str, Any]) -> RenderableType:
        """The findings for people."""
        from opal.bridge.tabular import terminal

        return terminal.audit_table(result)

    def _listed(self, dataset: Dataset, task: str) -> dict[str, Any]:
        """All seeds of a listed dataset: the rows that the published results use."""
        from opal.bridge import audit
        from opal.bridge.tabular import datasets, tables

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
            prompt_rows=datasets.PROMPT_ROWS,
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


def _one_each(flag: str, paths: tuple[Path, ...], n_files: int) -> tuple[Path, ...]:
    if len(paths) not in (1, n_files):
        raise ValueError(
            f"{flag} needs one table, or one for each of {n_files} files; got {paths}."
        )
    return paths if len(paths) == n_files else paths * n_files
