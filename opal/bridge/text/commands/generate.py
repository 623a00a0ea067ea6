"""``opal text generate``."""

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

    from opal.bridge.llm.command import Answered


@dataclass(frozen=True)
class Generate(Asking):
    """Let a language model write texts of the small classes, each from five texts at hand.

    Every request and answer is kept in a ledger: a run that was stopped goes on with the same
    command and pays for nothing twice. The budget holds before each request is sent.

    Examples:
        opal text generate mine.csv --fill-to 200 --model gpt-4o --price-input 2.5
        --price-output 10 --budget 5 --dry-run
        opal text generate mine.csv --fill-to 200 --local ./models/llama --out samples.jsonl
    """

    file: Annotated[Path, tyro.conf.Positional]
    """Labelled texts: CSV, TSV, JSON, JSON lines or Parquet."""
    text_column: str | None = None
    """Column of the texts, if its name does not tell."""
    label_column: str | None = None
    """Column of the classes, if its name does not tell."""
    classes: tuple[str, ...] = ()
    """Write for these classes only."""
    fill_to: int | None = None
    """Originals and synthetic texts of a class together."""
    per_class: int | None = None
    """Synthetic texts of every class, instead of --fill-to."""
    describe: tuple[str, ...] = ()
    """What a class means, as CLASS=SENTENCE."""

    def run(self) -> dict[str, Any]:
        """Write the texts; whatever can be refused is refused before anything is asked.

        Raises:
            ValueError: the file, the flags, the endpoint or the budget break a rule.
        """
        from opal import names
        from opal.bridge.llm.command import samples_wanted
        from opal.bridge.prompts.text import TextPrompter
        from opal.bridge.text import reading

        settings = self.settings()
        self.allowed()
        columns = reading.Columns(text=self.text_column, label=self.label_column)
        frame = reading.read(self.file, columns)
        names.check("class", self.classes, frame["label"].unique())
        writer = TextPrompter(
            self._chosen(frame),
            settings,
            key=self.seed,
            descriptions=_pairs(self.describe),
            fixed_seeds=self.fixed_seeds,
        )
        wanted = samples_wanted(
            writer.counts, fill_to=self.fill_to, each=self.per_class, flag="--per-class"
        )
        answered = self.ask(writer, wanted, writer.counts)
        if answered.samples:
            self._write(answered)
        return answered.result

    def table(self, result: Mapping[str, Any]) -> RenderableType:
        """What was made, for people."""
        from opal.bridge import render
        from opal.bridge.llm import report

        return render.terminal(report.blocks(result, "class"))

    def _chosen(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Texts of the classes that are written for."""
        return frame[frame["label"].isin(self.classes)] if self.classes else frame

    def _write(self, answered: Answered) -> None:
        """The samples as a table of texts, one a line, with their lineage."""
        from opal.bridge.llm import report
        from opal.bridge.text import texts

        lines = [
            report.line(
                sample,
                answered.prompts,
                id=texts.identity(str(sample.content)),
                text=sample.content,
                label=sample.group,
                source=sample.model,
            )
            for sample in answered.samples
        ]
        report.write_lines(self.out, lines)


def _pairs(words: tuple[str, ...]) -> dict[str, str]:
    """``CLASS=SENTENCE`` taken apart."""
    pairs = [word.partition("=") for word in words]
    for word, (label, _, sentence) in zip(words, pairs, strict=True):
        if not (label and sentence.strip()):
            raise ValueError(f"--describe takes CLASS=SENTENCE; got {word!r}.")
    return {label: sentence for label, _, sentence in pairs}
