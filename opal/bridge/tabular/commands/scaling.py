"""``opal tabular scaling``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from opal.bridge.tabular.scaling.effort import Effort
from opal.validation import flag

if TYPE_CHECKING:
    from rich.console import RenderableType

    from opal.bridge.tabular.scaling.tables import TableSource
    from opal.runner import Cell

_FOLDER_ONLY = ("label", "attribute", "generator_rows")
_PUBLISHED_ONLY = ("compare", "laws", "experiments")


@dataclass(frozen=True)
class ScaleRows:
    """The scaling-law experiments of arXiv 2406.03628: what N synthetic rows more are worth.

    The published protocol repeats the paper's numbers; the sound one compares tuned and calibrated
    rules with group weighting, on the same rows. Finished curves are kept under OUT/cells: a run
    that was stopped goes on with the same command.

    Examples:
        opal tabular scaling --protocol published --compare --json
        opal tabular scaling --tables craft --classifiers logistic
        opal tabular scaling --folder mine --label y --attribute sex --generator-rows mymodel 200
    """

    protocol: Literal["sound", "published"] = "sound"
    """sound: tuned, calibrated, against weighting; published: as in the paper."""
    tables: tuple[str, ...] = ()
    """Published tables (craft, gender, diabetes, adult); all if none is named."""
    folder: Path | None = None
    """A folder of the same layout: seed.csv, test.csv, train and MAKER files by label (0 and 1)
    for the imbalanced task, by attribute unlike or like the label (_neg, _pos) for the spurious
    one: train0.csv, train_neg.csv, MAKER0.csv, MAKER1.csv, MAKER_neg.csv, MAKER_pos.csv, ..."""
    label: Annotated[str | None, tyro.conf.arg(aliases=["--target"])] = None
    """Label column (0 and 1) of --folder; the last column of seed.csv by default."""
    attribute: Annotated[str | None, tyro.conf.arg(aliases=["--group"])] = None
    """Attribute column of --folder: groups are (attribute is not at its least value, label)."""
    generator_rows: tuple[tuple[str, int], ...] = ()
    """Makers of --folder, and how many real rows the generator of each was fitted to."""
    tasks: tuple[Literal["imbalanced", "spurious"], ...] = ()
    """Tasks; both if none is named."""
    classifiers: tuple[str, ...] = ()
    """logistic, forest, and boosting (sound) or xgboost (published); all if none is named."""
    makers: tuple[str, ...] = ()
    """Makers by the prefix of their files, such as synthetic_allseed; all if none is named."""
    experiments: tuple[Literal["additional", "ratio"], ...] = ()
    """Published experiments; both if none is named."""
    compare: bool = False
    """Print the largest difference to each committed result file, and its cause (published)."""
    laws: bool = False
    """Print laws fitted to the curves of the experiment 'additional' (published)."""
    effort: Annotated[Effort, tyro.conf.arg(name="")] = field(default_factory=Effort)
    workers: int = 2
    """Processes."""
    out: Path = Path("results/scaling")
    """Folder for records and finished curves."""
    json: bool = False
    """Print JSON."""

    def run(self) -> dict[str, Any]:
        """Compute the curves that OUT does not hold yet; refusals come before anything starts."""
        from opal import executors, records, runner
        from opal.bridge.tabular.scaling import comparison, readings, report
        from opal.files import writable_folder

        self._check_flags()
        sources = self._sources()
        cells, notes = self._cells(sources)
        for note in notes:
            sys.stderr.write(f"note: {note}\n")
        folder = writable_folder(self.out / "cells")
        with executors.executor(self.workers, None, folder) as executor:
            frame = runner.run(cells, folder, executor=executor, progress=not self.json)
        path = self.out / f"{self.protocol}.parquet"
        records.write(frame, path, metadata=records.provenance())
        result: dict[str, Any] = {"protocol": self.protocol, "records": str(path)}
        if self.compare:
            return result | comparison.compare(frame, {s.name: s.read() for s in sources})
        if self.laws:
            return result | {"laws": readings.of_curves(frame, quiet=self.json)}
        if self.protocol == "published":
            return result | {"curves": report.published_curves(frame)}
        return result | {"arms": report.sound_arms(frame), "notes": notes}

    def table(self, result: Mapping[str, Any]) -> RenderableType:
        """The result for people."""
        from opal.bridge import render
        from opal.bridge.tabular.scaling import report

        if self.compare:
            return render.terminal(report.compared(result))
        if self.laws:
            return render.terminal(report.laws_page(result["laws"]))
        if self.protocol == "published":
            return render.terminal(report.published_page(result["curves"]))
        return render.terminal(report.sound_page(result["arms"]))

    def _cells(self, sources: list[TableSource]) -> tuple[list[Cell], list[str]]:
        from opal.bridge.tabular.scaling import cells

        experiments = ("additional",) if self.laws else self.experiments
        choice = cells.CurveChoice(self.tasks, experiments, self.classifiers, self.makers)
        if self.protocol == "sound":
            return cells.sound_cells(sources, choice, self.effort)
        committed = self.compare or (self.folder is None and not self.makers)
        found = cells.published_cells(sources, choice, committed=committed, calibrated=self.laws)
        return found, []

    def _check_flags(self) -> None:
        from opal import executors

        executors.check(self.workers, None)
        given = _changed(self)
        if self.protocol == "published":
            lost = _changed(self.effort)
        else:
            lost = [name for name in given if name in _PUBLISHED_ONLY]
        if lost:
            wanted = "sound" if self.protocol == "published" else "published"
            raise ValueError(
                f"{flag(lost[0])} needs --protocol {wanted}; the "
                f"{self.protocol} one would ignore it."
            )
        lost = [name for name in given if name in _FOLDER_ONLY]
        if self.folder is None and lost:
            raise ValueError(f"{flag(lost[0])} needs --folder; published tables have their own.")
        if self.folder is not None and self.tables:
            raise ValueError("--tables and --folder exclude each other; name one.")
        if self.laws and "ratio" in self.experiments:
            raise ValueError("--laws are of the experiment 'additional'; got --experiments ratio.")
        if self.compare and self.laws:
            raise ValueError("--compare and --laws exclude each other; name one.")

    def _sources(self) -> list[TableSource]:
        from opal.bridge.tabular.scaling import tables

        if self.folder is None:
            chosen = dict.fromkeys(self.tables or tables.NAMES)
            return [tables.TableSource(tables.listed(name).name) for name in chosen]
        columns = self.label, self.attribute
        table = tables.from_folder(self.folder, *columns, self.generator_rows)
        return [tables.source_of(table, self.folder)]


def _changed(flags: Any) -> list[str]:
    """The flags that do not have their defaults."""
    return [f.name for f in fields(flags) if getattr(flags, f.name) != f.default]
