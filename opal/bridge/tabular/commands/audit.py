"""``opal tabular audit``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import RenderableType

    from opal.bridge.tabular.audit.report import TableAudit
    from opal.bridge.tabular.datasets import Dataset


@dataclass(frozen=True)
class AuditRows:
    """Find recited rows, wrong labels, broken relations, shifts and giveaways in synthetic rows.

    Without FILES it audits the GPT-4 rows of arXiv 2406.03628 that its results use.

    Examples:
        opal tabular audit --datasets openmlDiabetes gender
        opal tabular audit made.csv --train mine.csv --test held_out.csv --target y --attribute sex
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
    attribute: Annotated[tuple[str, ...], tyro.conf.arg(aliases=["--group"])] = ()
    """Attribute columns that, with the label, make the groups."""
    key: tuple[str, ...] = ()
    """Columns that only tell rows apart, as an id: they are left out. Whole numbers that number the
    real rows are told without it."""
    rows: int | None = None
    """Audit only the first so many rows of each file: those that are used."""
    prompt_rows: int = 0
    """The model was shown this many first training rows, which say what groups were asked for."""
    datasets: tuple[str, ...] = ()
    """Listed datasets to audit when no files are given; all if none is named."""
    tasks: tuple[Literal["imbalanced", "spurious"], ...] = ("imbalanced", "spurious")
    """Tasks of the listed datasets."""
    seed: int = 0
    """Seed of folds and forests."""
    json: bool = False
    """Print JSON."""

    def run(self) -> dict[str, Any]:
        """Audit; one result for the files, or one for each dataset and task under ``audits``."""
        self._check_flags()
        if self.files:
            return self._files().result()
        from opal import progress
        from opal.bridge.tabular import datasets

        names = dict.fromkeys(self.datasets or datasets.NAMES)
        chosen = [self._listed(datasets.listed(n), task) for n in names for task in self.tasks]
        bar = progress.track(chosen, "auditing", quiet=self.json)
        return {"audits": {name: audited() for name, audited in bar}}

    def table(self, result: Mapping[str, Any]) -> RenderableType:
        """The findings for people."""
        from opal.bridge import render
        from opal.bridge.tabular.audit import blocks

        return render.terminal(blocks.audit(result))

    def _check_flags(self) -> None:
        from opal import validation

        if self.rows is not None:
            validation.require_at_least("rows", self.rows, 1)
        if self.files and (self.datasets or self.tasks != type(self).tasks):
            raise ValueError(
                "FILES exclude --datasets and --tasks, which choose listed tables; name one kind."
            )
        if self.files and not self.train:
            raise ValueError("an audit needs the training table that the model saw: name --train.")
        own = ("train", "test", "source", "target", "attribute", "key", "prompt_rows")
        if not self.files and any(getattr(self, name) for name in own):
            raise ValueError(
                "--train, --test, --source, --target, --attribute, --key and --prompt-rows need "
                "FILES to audit; got none."
            )

    def _listed(self, dataset: Dataset, task: str) -> tuple[str, Callable[[], dict[str, Any]]]:
        """Name and audit of all seeds of a listed dataset; its tables are read at once.

        Used are as many rows as the published results use.
        """
        from opal.bridge.tabular import datasets
        from opal.bridge.tabular.audit.cases import Case
        from opal.bridge.tabular.audit.report import audit_cases
        from opal.bridge.tabular.splits import load

        name = f"{dataset.name}/{task}"
        splits = [load(dataset, task, "focus", s) for s in dataset.seeds(task, "focus")]
        cases = [
            Case(
                f"rand{split.seed}",
                self._used(split.synthetic, f"{name}, seed {split.seed}", len(split.train)),
                split.train,
                split.test,
                split.synthetic,
            )
            for split in splits
        ]
        audited = partial(
            audit_cases,
            cases,
            source=splits[0].source,
            target=dataset.target,
            attributes=(dataset.attribute,) if dataset.attribute else (),
            prompt_rows=datasets.PROMPT_ROWS,
            seed=self.seed,
        )
        return name, lambda: {**audited().result(), "coding": dataset.coding}

    def _files(self) -> TableAudit:
        from opal.bridge.tabular.audit.cases import Case
        from opal.bridge.tabular.audit.report import audit_cases

        trains = _one_each("--train", self.train, len(self.files))
        tests = _one_each("--test", self.test, len(self.files)) if self.test else None
        cases = []
        for k, file in enumerate(self.files):
            generated = self._read(file)
            test = self._read(tests[k]) if tests else None
            used = self._used(generated, str(file), len(generated))
            whole = None if self.rows is None else generated
            cases.append(Case(str(file), used, self._read(trains[k], required=True), test, whole))
        return audit_cases(
            cases,
            source=None if self.source is None else self._read(self.source),
            target=self.target or str(cases[0].train.columns[-1]),
            attributes=self.attribute,
            prompt_rows=self.prompt_rows,
            seed=self.seed,
        )

    def _read(self, path: Path, *, required: bool = False) -> pd.DataFrame:
        """A table without --key, which the training table must have."""
        from opal import names
        from opal.reading import read_table

        table = read_table(path)
        if required:
            names.check(f"column of {path}", self.key, table.columns)
        return table.drop(columns=list(self.key), errors="ignore")

    def _used(self, generated: pd.DataFrame, name: str, usual: int) -> pd.DataFrame:
        """The first --rows of the rows that a model wrote; the usual number if none is named."""
        from opal import validation

        if self.rows is not None:
            validation.require_at_most(
                "rows", self.rows, len(generated), f"the number of rows of {name}"
            )
        return generated.head(usual if self.rows is None else self.rows)


def _one_each(flag: str, paths: tuple[Path, ...], n_files: int) -> tuple[Path, ...]:
    if len(paths) not in (1, n_files):
        raise ValueError(
            f"{flag} needs one table, or one for each of {n_files} files; got {paths}."
        )
    return paths if len(paths) == n_files else paths * n_files
