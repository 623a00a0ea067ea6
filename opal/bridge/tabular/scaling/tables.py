"""Tables of the scaling-law experiments: originals, further real rows, and rows of each maker.

A folder holds ``seed.csv`` (the originals), real rows beyond them by label (``train0``, ``train1``)
and by group (``train_neg``, ``train_pos``), ``test.csv``, and for each maker its synthetic rows
(``<maker>0``, ``<maker>1``, ``<maker>_neg``, ``<maker>_pos``). The imbalanced task reads the files
by label, the spurious one those by group. The four tables of arXiv 2406.03628 come from
:data:`opal.bridge.download.SCALING`; :func:`from_folder` reads others.

A group is (attribute, label): the attribute counts as 0 at its least value, else as 1. The files
``_pos`` hold the rows whose attribute equals the label, the files ``_neg`` the others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from opal import names, validation
from opal.bridge.download import SCALING
from opal.bridge.tabular.datasets import Files, LocalFiles
from opal.bridge.tabular.splits import TableRows, checked, require_binary
from opal.reading import read_table

if TYPE_CHECKING:
    import pandas as pd

GeneratorRows = tuple[tuple[str, int], ...]
"""Makers, and how many real rows the generator of each was fitted to."""
NO_MAKER, REAL = "none", "real"
"""What stands for no maker and for real rows where a maker is named."""
TASKS = ("imbalanced", "spurious")
# Real majority rows of a task, and the endings of the files with synthetic rows of its minority and
# its majority.
PARTS = {"imbalanced": ("train0", "1", "0"), "spurious": ("train_neg", "_pos", "_neg")}
ORIGINALS, ALL_ROWS = "originals", "all rows"
# What the generator behind each published maker was fitted to.
_FITTED_TO = {
    "synthetic": ORIGINALS,
    "synthetic_allseed": ALL_ROWS,
    **dict.fromkeys(("smote", "adasyn", "ros"), ORIGINALS),
}
MAKERS = tuple(_FITTED_TO)
# Label and attribute of the published tables.
_COLUMNS = {
    "craft": ("Target", "X6"),
    "gender": ("gender", "long_hair"),
    "diabetes": ("readmitted", "gender"),
    "adult": ("class", "sex"),
}
NAMES = tuple(_COLUMNS)


@dataclass(frozen=True)
class ScalingTable:
    """A folder of the scaling-law experiments."""

    name: str
    files: Files
    folder: str  # of its files, as a prefix of their names
    label: str
    attribute: str
    generator_rows: GeneratorRows = ()  # of a folder's makers

    @property
    def is_published(self) -> bool:
        """Whether it is one of the tables that opal knows."""
        return self.files is SCALING

    @cached_property
    def originals(self) -> pd.DataFrame:
        """The file ``seed.csv``, which says what columns there are."""
        return self._read("seed")

    def has(self, part: str) -> bool:
        """Whether there is a file ``part.csv``."""
        return self._path(part) in set(self.files.names())

    def frame(self, part: str) -> pd.DataFrame:
        """The file ``part.csv``, with the columns of ``seed.csv`` as finite numbers.

        Raises:
            ValueError: there is no such file, or it is unfit: a column is missing, a cell is empty
                or no number, a label is not 0 or 1.
        """
        columns = list(self.originals.columns)
        table = self._read(part)
        where = f"{self.name}: {part}.csv"
        table = checked(table, columns, (self.label, self.attribute), where)
        require_binary(table[self.label], where)
        return table

    def rows(self, part: str) -> TableRows:
        """The file ``part.csv`` as arrays, groups being ``2·attribute + label``; read once."""
        if part not in self._rows:
            self._rows[part] = self._as_rows(self.frame(part))
        return self._rows[part]

    @cached_property
    def _rows(self) -> dict[str, TableRows]:
        return {}

    def _as_rows(self, table: pd.DataFrame) -> TableRows:
        y = table[self.label].to_numpy().astype(int)
        low = self.originals[self.attribute].min()
        attribute = (table[self.attribute].to_numpy() != low).astype(int)
        x = table.drop(columns=[self.label]).to_numpy(dtype=float)
        return TableRows(x, y, 2 * attribute + y)

    def real(self) -> TableRows:
        """Every real row beyond the originals: ``train.csv``, or ``train0`` and ``train1``.

        They may also be ``train_neg`` and ``train_pos``. Without ``train.csv`` the published
        order of these rows is not known.
        """
        if self.has("train"):
            return self.rows("train")
        pair = ("train0", "train1") if self.has("train0") else ("train_neg", "train_pos")
        return TableRows.joined([self.rows(part) for part in pair])

    def makers(self, task: str) -> list[str]:
        """Makers with synthetic rows for a task."""
        ending = f"{PARTS[task][1]}.csv"
        inside = [n.removeprefix(self.folder) for n in self.files.names() if self._owns(n)]
        found = {name.removesuffix(ending) for name in inside if name.endswith(ending)}
        return sorted(maker for maker in found if maker not in ("train", "data", ""))

    def n_generator(self, maker: str) -> float:
        """Real rows that a maker's generator was fitted to; NaN where nothing says it.

        The name of a maker says it for published tables only.
        """
        if not self.is_published:
            return float(dict(self.generator_rows).get(maker, np.nan))
        fitted_to = _FITTED_TO.get(maker)
        if fitted_to is None:
            return float("nan")
        return len(self.originals) + (len(self.real()) if fitted_to == ALL_ROWS else 0)

    def results(self) -> dict[str, Path]:
        """Committed result files (JSON), by name."""
        found = [n for n in self.files.names() if self._owns(n) and n.endswith(".json")]
        paths = {name.removeprefix(self.folder): self.files.path(name) for name in sorted(found)}
        return {name: path for name, path in paths.items() if isinstance(path, Path)}

    def _owns(self, name: str) -> bool:
        """Whether a file lies in the folder itself."""
        return name.startswith(self.folder) and "/" not in name.removeprefix(self.folder)

    def _path(self, part: str) -> str:
        return f"{self.folder}{part}.csv"

    def _read(self, part: str) -> pd.DataFrame:
        if not self.has(part):
            raise ValueError(
                f"{self.name} needs a file {part}.csv; there is none. A folder holds seed.csv, "
                "test.csv, train0.csv and train1.csv (train_neg.csv and train_pos.csv), and "
                "synthetic rows <maker>0.csv, <maker>1.csv (<maker>_neg.csv, <maker>_pos.csv)."
            )
        found = self.files.path(self._path(part))
        return read_table(found) if isinstance(found, Path) else found


def listed(name: str) -> ScalingTable:
    """A published table.

    Raises:
        UnknownNameError: it is not one of :data:`NAMES`.
    """
    if name not in _COLUMNS:
        raise names.UnknownNameError(
            f"{names.unknown('table', name, NAMES)} Another table of the same layout is read with "
            "--folder, --label and --attribute."
        )
    return ScalingTable(name, SCALING, f"data/{name}/", *_COLUMNS[name])


def from_folder(
    folder: Path,
    label: str | None = None,
    attribute: str | None = None,
    generator_rows: GeneratorRows = (),
) -> ScalingTable:
    """A table by its folder; the label is the last column where none is named.

    Args:
        folder: with files as named above.
        label: column of zeros and ones.
        attribute: column that makes the groups, with the label.
        generator_rows: makers, and how many real rows the generator of each was fitted to.

    Raises:
        ValueError: there is no such folder or no ``seed.csv`` in it, no attribute is named, or a
            generator was fitted to no row.
        UnknownNameError: a maker has no rows in the folder.
    """
    if not folder.is_dir():
        raise ValueError(f"--folder must be a folder; there is none at {folder}.")
    folder = folder.resolve()
    name = folder.name if folder.name not in NAMES else f"{folder.parent.name}/{folder.name}"
    if attribute is None:
        raise ValueError(f"{folder.name}: name the attribute that makes the groups: --attribute.")
    table = ScalingTable(name, LocalFiles.below(folder), "", "", attribute)
    label = label or str(table.originals.columns[-1])
    if attribute == label:
        raise ValueError(f"--attribute must be another column than the label; got {label!r} twice.")
    table = replace(table, label=label, generator_rows=generator_rows)
    known = dict.fromkeys(maker for task in TASKS for maker in table.makers(task))
    for reserved in (NO_MAKER, REAL):
        if reserved in known:
            raise ValueError(
                f"{folder.name}: a maker must not be called {reserved!r}, which stands for what "
                "every maker is held against; rename its files."
            )
    names.check(f"maker of {folder.name}", [maker for maker, _ in generator_rows], [*known])
    for maker, n in generator_rows:
        validation.require_at_least(f"generator_rows {maker}", n, 1)
    return table


@dataclass(frozen=True)
class TableSource:
    """Where a table comes from: a published one by its name, or a folder with its columns."""

    name: str
    folder: str | None = None
    label: str | None = None
    attribute: str | None = None
    generator_rows: GeneratorRows = ()
    digest: str = ""  # of what a folder holds: other content is another table

    def read(self) -> ScalingTable:
        """The table.

        Raises:
            ValueError: it is unfit, or a folder holds other rows than it did.
        """
        if self.folder is None:
            return listed(self.name)
        if self.digest and self.digest != _digest(Path(self.folder)):
            raise ValueError(
                f"the files of {self.folder} must stay as they are while they are used; they have "
                "changed. Run the command again."
            )
        return from_folder(Path(self.folder), self.label, self.attribute, self.generator_rows)


def source_of(table: ScalingTable, folder: Path) -> TableSource:
    """Where a table that was read from a folder comes from, and what is in it."""
    known = (table.name, str(folder.resolve()), table.label, table.attribute)
    return TableSource(*known, table.generator_rows, digest=_digest(folder))


def _digest(folder: Path) -> str:
    held = hashlib.sha256()
    for path in filter(Path.is_file, sorted(folder.resolve().glob("*.csv"))):
        held.update(path.name.encode() + path.read_bytes())
    return held.hexdigest()[:16]


def require_makers(table: ScalingTable, task: str, makers: Sequence[str]) -> None:
    """Check that every maker has rows for a task.

    Raises:
        UnknownNameError: one has none; the message lists those that have.
    """
    names.check(f"maker of {table.name}, {task} task", makers, table.makers(task))
