"""Rows of the small groups of a table, written by a language model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from opal.bridge import render
from opal.bridge.llm import report
from opal.bridge.llm.command import Answered, Asking, samples_wanted
from opal.bridge.prompts.table import TablePrompter, numeric
from opal.bridge.tabular.identifiers import without_identifiers
from opal.columns import as_whole
from opal.files import writable_folder, write_atomically


@dataclass(frozen=True, eq=False)
class GeneratedRows:
    """What a language model wrote."""

    answered: Answered  # samples with all that they come from, and what was asked and paid
    columns: tuple[str, ...]  # of the table, less those that number its rows

    def result(self) -> dict[str, Any]:
        """JSON-able: groups, notes, rejections, and what the ledger holds."""
        return self.answered.result

    def table(self) -> pd.DataFrame:
        """The rows, in the columns of the table, in the order in which they were asked for.

        Columns of whole numbers are integers.
        """
        rows = [each.content for each in self.answered.samples]
        if not rows:
            return pd.DataFrame(columns=list(self.columns), dtype=float)
        return as_whole(pd.DataFrame(rows).set_axis(list(self.columns), axis=1))

    def to_html(self) -> str:
        """What was asked and answered as one page that needs nothing else."""
        return render.html("Rows from a language model", report.blocks(self.result(), "group"))

    def _write(self, lines: Path, table: Path | None) -> None:
        """The samples with their lineage, one a line, and as a table where one is named."""
        samples, prompts = self.answered.samples, self.answered.prompts
        report.write_lines(
            lines,
            [report.line(each, prompts, group=each.group, row=each.content) for each in samples],
        )
        if table is not None:
            save = partial(self.table().to_csv, index=False)
            write_atomically(table, save, private=True)


def generate_rows(
    table: pd.DataFrame,
    asking: Asking,
    *,
    target: str | None = None,
    attributes: Sequence[str] = (),
    fill_to: int | None = None,
    per_group: int | None = None,
    rows: int = 5,
    shown: int = 5,
    describe: str = "",
    table_out: Path | None = None,
    name: str = "the table",
) -> GeneratedRows:
    """Let a language model write rows of the small groups of a table of numbers.

    Every request and answer is kept in ``asking.ledger``: the same call goes on where one was
    stopped, and pays for nothing twice. The samples are written to ``asking.out``.

    Args:
        table: training rows, numbers only. Columns that number them are left out, see
            :func:`opal.bridge.tabular.identifiers.identifiers`.
        asking: model, endpoint, prices, budget and files.
        target: label column; the last one if None.
        attributes: columns that, with the label, make the groups.
        fill_to: real and made rows of a group together.
        per_group: made rows of every group, instead of ``fill_to``.
        rows: to ask for in a request.
        shown: rows of the group that a prompt shows.
        describe: what the table is of, in a sentence.
        table_out: CSV file for the rows alone.
        name: of the table, for messages.

    Raises:
        ValueError: the table, the numbers, the endpoint or the budget break a rule; whatever can
            be refused is refused before anything is asked.
    """
    settings = asking.settings()
    asking.allowed()
    found, note = without_identifiers(numeric(table), target, attributes)
    prompter = TablePrompter(
        found,
        target or str(found.columns[-1]),
        settings,
        attributes=attributes,
        key=asking.seed,
        description=describe,
        per_request=rows,
        n_examples=shown,
        fixed_seeds=asking.fixed_seeds,
    )
    prompter.notes = (*note, *prompter.notes)
    if len(prompter.groups) < 2:
        raise ValueError(
            f"{name} must have at least 2 groups; it has {prompter.groups[0]!r} alone: name "
            "another --target."
        )
    wanted = samples_wanted(prompter.counts, fill_to=fill_to, each=per_group, flag="--per-group")
    if table_out is not None:
        writable_folder(table_out.parent, "--table-out")
    answered = asking.ask(prompter, wanted, prompter.counts)
    made = GeneratedRows(answered, tuple(found.columns))
    if answered.samples:
        made._write(asking.out, table_out)
    return made
