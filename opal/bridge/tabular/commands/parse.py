"""``opal tabular parse``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

if TYPE_CHECKING:
    from rich.console import RenderableType


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
        """Parse, and write the rows where a file is named.

        Raises:
            ValueError: the file is no text, a named column is in no line, or no line is a row.
        """
        from dataclasses import asdict

        from opal.bridge.prompts import transcript
        from opal.files import write_atomically
        from opal.reading import read_text

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
            "n_rows": len(found.rows),
            "n_rejected": len(found.rejected),
            "rejected": [asdict(rejection) for rejection in found.rejected],
            "rows": found.rows.to_numpy().tolist(),
            "out": str(self.out) if self.out else None,
        }

    def table(self, result: Mapping[str, Any]) -> RenderableType:
        """Counts, then each rejected line with its reason."""
        from opal.bridge import render
        from opal.bridge.tabular import report

        return render.terminal(report.parsed(result))
