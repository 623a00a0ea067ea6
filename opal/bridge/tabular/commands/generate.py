"""``opal tabular generate``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from opal.bridge.llm.command import Asking

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import RenderableType

    from opal.bridge.llm.work import Answered
    from opal.bridge.prompts.table import TableWriter


@dataclass(frozen=True)
class Generate(Asking):
    """Let a language model write rows of the small groups of a table of numbers.

    Every request and answer is kept in a ledger: a run that was stopped goes on with the same
    command and pays for nothing twice. The budget holds before each request is sent.

    Examples:
        opal tabular generate mine.csv --target y --group sex --fill-to 200 --model gpt-4o
        --price-input 2.5 --price-output 10 --budget 5 --dry-run
        opal tabular generate mine.csv --target y --per-group 50 --local ./models/llama
    """

    file: Annotated[Path, tyro.conf.Positional]
    """Training table (CSV or Parquet), numbers only."""
    target: str | None = None
    """Label column; the last one by default."""
    group: tuple[str, ...] = ()
    """Attribute columns that, with the label, make the groups."""
    fill_to: int | None = None
    """Originals and synthetic rows of a group together."""
    per_group: int | None = None
    """Synthetic rows of every group, instead of --fill-to."""
    rows: int = 5
    """Rows to ask for in a request."""
    shown: int = 5
    """Rows of the group that a prompt shows."""
    describe: str = ""
    """What the table is of, in a sentence."""
    table_out: Path | None = None
    """CSV file for the rows alone, as `opal tabular evaluate --synthetic` reads them."""

    def run(self) -> dict[str, Any]:
        """Write the rows; whatever can be refused is refused before anything is asked.

        Raises:
            ValueError: the file, the flags, the endpoint or the budget break a rule.
        """
        from opal.bridge.llm import account
        from opal.bridge.prompts.table import TableWriter
        from opal.files import writable_folder
        from opal.reading import read_table

        settings = self.settings()
        self.allowed()
        table = read_table(self.file)
        writer = TableWriter(
            table,
            self.target or str(table.columns[-1]),
            settings,
            attributes=self.group,
            key=self.seed,
            description=self.describe,
            per_request=self.rows,
            n_seeds=self.shown,
            fixed_seeds=self.fixed_seeds,
        )
        _require_groups(writer, self.file)
        wanted = account.quotas(
            writer.counts, fill_to=self.fill_to, each=self.per_group, flag="--per-group"
        )
        if self.table_out is not None:
            writable_folder(self.table_out.parent)
        answered = self.ask(writer, wanted, writer.counts)
        if answered.samples:
            self._write(answered, table.columns)
        return answered.result

    def table(self, result: Mapping[str, Any]) -> RenderableType:
        """What was made, for people."""
        from opal.bridge.llm import terminal

        return terminal.answered(result, "group")

    def _write(self, answered: Answered, columns: pd.Index) -> None:
        """The samples with their lineage, one a line, and as a table where one is named."""
        import pandas as pd

        from opal.bridge.llm import account
        from opal.files import write_atomically

        account.write_lines(
            self.out,
            [
                account.line(each, answered.prompts, group=each.group, row=each.content)
                for each in answered.samples
            ],
        )
        if self.table_out is not None:
            made = pd.DataFrame([each.content for each in answered.samples])
            made = made.set_axis(columns, axis=1)
            write_atomically(self.table_out, lambda path: made.to_csv(path, index=False))


def _require_groups(writer: TableWriter, file: Path) -> None:
    if len(writer.groups) < 2:
        raise ValueError(
            f"{file} must have at least 2 groups; it has {writer.groups[0]!r} alone: name another "
            "--target."
        )
