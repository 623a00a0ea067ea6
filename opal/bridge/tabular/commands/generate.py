"""``opal tabular generate`` and ``parse``: rows asked of a model, or read from its text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from opal.bridge.llm.command import Asking
from opal.validation import flag

if TYPE_CHECKING:
    from rich.console import RenderableType

    from opal.bridge.tabular.finetune.training import RowTuning

# Flags of one way to make rows that mean nothing to the other.
_TUNED = ("epochs", "batch", "learning_rate", "work")
_ASKED = (
    "model", "base_url", "local", "key_variable", "ledger", "budget", "price_input", "price_output",
    "concurrency", "rpm", "tpm", "timeout", "top_p", "fixed_seeds", "limit_name", "batch_out",
    "key_header", "api_version",
    "batch_in", "batch_release", "dry_run", "offline", "rows", "shown", "describe",
)  # fmt: skip


@dataclass(frozen=True)
class GenerateRows(Asking):
    """Let a language model write rows of the small groups of a table of numbers.

    Every request and answer is kept in a ledger: a run that was stopped goes on with the same
    command and pays for nothing twice. The budget holds before each request is sent.

    With --fine-tune a model of transformers is fine-tuned here on all rows of the table first, and
    its rows begin with the values of their group (GReaT, arXiv 2210.06280): nothing is asked, and
    what was computed is kept in --work.

    Examples:
        opal tabular generate mine.csv --target y --attribute sex --fill-to 200 --model gpt-4o
        --price-input 2.5 --price-output 10 --budget 5 --dry-run
        opal tabular generate mine.csv --target y --per-group 50 --local ./models/llama
        opal tabular generate mine.csv --target y --per-group 50 --fine-tune gpt2 --device cuda
        --table-out made.csv
    """

    file: Annotated[Path, tyro.conf.Positional]
    """Training table (CSV or Parquet), numbers only."""
    target: str | None = None
    """Label column; the last one by default."""
    attribute: Annotated[tuple[str, ...], tyro.conf.arg(aliases=["--group"])] = ()
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

    fine_tune: str | None = None
    """A transformers model that is fine-tuned on the table and then writes the rows: a folder, or a
    name of the Hub such as gpt2. The table must be of numbers: code categories that are texts
    first. Temperature is 0.7 then by default."""
    epochs: int = 100
    """Of the fine-tuning."""
    batch: int = 32
    """Rows of a step of the fine-tuning."""
    learning_rate: float = 5e-5
    """Of the first step of the fine-tuning; it falls linearly to 0."""
    work: Path = Path("results/fine-tuned")
    """Folder for checkpoints and draws of fine-tuned models, from which a stopped run goes on."""

    def run(self) -> dict[str, Any]:
        """Write the rows; whatever can be refused is refused before anything is asked."""
        from opal import interrupts
        from opal.bridge.tabular.finetune.generate import fine_tune_rows
        from opal.bridge.tabular.generation import generate_rows
        from opal.reading import read_table

        same = ("target", "fill_to", "per_group", "table_out")
        flags: dict[str, Any] = {name: getattr(self, name) for name in same}
        flags |= {"attributes": self.attribute, "name": str(self.file)}
        self._check_way()
        if self.fine_tune is not None:
            tuning = self._tuning(self.fine_tune)
            flags["source"] = self.file
            with interrupts.keeps(interrupts.in_file(self.work)):
                return fine_tune_rows(read_table(self.file), tuning, **flags).result()
        self.settings()
        self.allowed()  # flags are refused before the file is read
        self.check_files(
            read=[("the table that is read", self.file)],
            written=[("--table-out", self.table_out)],
        )
        flags |= {"rows": self.rows, "shown": self.shown, "describe": self.describe}
        with interrupts.keeps(interrupts.in_file(self.ledger)):
            return generate_rows(read_table(self.file), self, **flags).result()

    def table(self, result: Mapping[str, Any]) -> RenderableType:
        """What was made, for people."""
        from opal.bridge import render
        from opal.bridge.tabular.finetune.report import blocks

        return render.terminal(blocks(result)) if "generator" in result else super().table(result)

    def _tuning(self, model: str) -> RowTuning:
        from opal.bridge.tabular.finetune.training import RowTuning

        shared = ("max_tokens", "patience", "seed", "device", "out", *_TUNED)
        flags: dict[str, Any] = {name: getattr(self, name) for name in shared}
        if self.temperature is not None:
            flags["temperature"] = self.temperature
        return RowTuning(model=model, quiet=self.json, **flags)

    def _check_way(self) -> None:
        default = {each.name: each.default for each in fields(self)}
        others = _TUNED if self.fine_tune is None else _ASKED
        for name in others:
            if getattr(self, name) != default[name]:
                said = flag(name)
                raise ValueError(
                    f"{said} is of --fine-tune; name a model with it, or leave {said} out."
                    if self.fine_tune is None
                    else f"--fine-tune asks no one: a model is trained here. Leave {said} out."
                )


@dataclass(frozen=True)
class ParseRows:
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

        from opal.bridge.prompts import transcript
        from opal.files import require_distinct, write_atomically
        from opal.reading import read_text

        require_distinct([("the text that is read", self.file)], [("--out", self.out)])
        found = transcript.parse(read_text(self.file), self.columns or None)
        if found.rows.empty:
            first = found.rejected[0]
            raise ValueError(
                f"{self.file} needs a line that is a row; line {first.line} is none: "
                f"{first.reason}. Correct the text, or name the columns that it has."
            )
        if self.out is not None:
            write_atomically(self.out, lambda path: found.rows.to_csv(path, index=False))
        return {
            "file": str(self.file),
            "columns": list(found.rows.columns),
            "n_lines": found.n_lines,
            "n_blank": found.n_blank,
            "n_marks": found.n_marks,
            "n_rows": len(found.rows),
            "n_rejected": len(found.rejected),
            "rejected": [asdict(rejection) for rejection in found.rejected],
            "rows": found.rows.to_dict("split")["data"],
            "out": str(self.out) if self.out else None,
        }

    def table(self, result: Mapping[str, Any]) -> RenderableType:
        """Counts, then each rejected line with its reason."""
        from opal.bridge import render
        from opal.bridge.tabular import report

        return render.terminal(report.parsed(result))
