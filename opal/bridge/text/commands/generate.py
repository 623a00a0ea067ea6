"""``opal text generate``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro

from opal.bridge.llm.command import Asking
from opal.bridge.text.commands.flags import OriginalColumns


@dataclass(frozen=True)
class Generate(Asking):
    """Let a language model write texts of the small classes, each from five texts at hand.

    Every request and answer is kept in a ledger: a run that was stopped goes on with the same
    command and pays for nothing twice. The budget holds before each request is sent.

    Examples:
        opal text generate mine.csv --fill-to 200 --model gpt-4o --price-input 2.5
        --price-output 10 --budget 5 --dry-run
        opal text generate mine.csv --fill-to 200 --local ./models/llama --out samples.jsonl
        opal text generate mine.csv --fill-to 200 --local ./models/llama --language da
    """

    KIND = "class"
    file: Annotated[Path, tyro.conf.Positional]
    """Labelled texts: CSV, TSV, JSON, JSON lines or Parquet."""
    columns: Annotated[OriginalColumns, tyro.conf.OmitArgPrefixes] = field(
        default_factory=OriginalColumns
    )
    drop_contradictions: bool = False
    """Leave out texts that a file has with several labels, rather than to refuse it."""
    classes: tuple[str, ...] = ()
    """Write for these classes only."""
    fill_to: int | None = None
    """Originals and synthetic texts of a class together."""
    per_class: int | None = None
    """Synthetic texts of every class, instead of --fill-to."""
    describe: tuple[str, ...] = ()
    """What a class means, as CLASS=SENTENCE."""
    language: str | None = None
    """Language that the model is told to write in, as da, de or en; by default that of the
    examples."""

    def run(self) -> dict[str, Any]:
        """Write the texts; whatever can be refused is refused before anything is asked."""
        from opal import interrupts
        from opal.bridge.prompts.language import manner
        from opal.bridge.text.columns import Columns
        from opal.bridge.text.files import read_each
        from opal.bridge.text.generation import generate_texts

        manner(self.language)
        self.settings()
        self.allowed()
        self.check_files(read=[("the texts that are read", self.file)])
        with interrupts.keeps(interrupts.in_file(self.ledger)):
            read = read_each([self.file], [], Columns.of(self.columns))[self.file]
            frame = read.texts(drop_contradictions=self.drop_contradictions)
            made = generate_texts(
                frame,
                self,
                fill_to=self.fill_to,
                per_class=self.per_class,
                classes=self.classes,
                descriptions=_pairs(self.describe),
                language=self.language,
            )
        if made.samples:
            made.write(self.out)
        found = made.result()
        return found | {"notes": [*read.notes(), *found["notes"]]}


def _pairs(words: tuple[str, ...]) -> dict[str, str]:
    """``CLASS=SENTENCE`` taken apart."""
    pairs = [word.partition("=") for word in words]
    for word, (label, _, sentence) in zip(words, pairs, strict=True):
        if not (label and sentence.strip()):
            raise ValueError(f"--describe takes CLASS=SENTENCE; got {word!r}.")
    return {label: sentence for label, _, sentence in pairs}
