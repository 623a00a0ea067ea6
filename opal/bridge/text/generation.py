"""Texts that a language model writes for small classes, each from five texts at hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from opal import names, spelling
from opal.bridge import render
from opal.bridge.llm import report
from opal.bridge.llm.command import samples_wanted
from opal.bridge.prompts.common import identity
from opal.bridge.prompts.text import TextPrompter
from opal.bridge.text.corpus import HUMAN, text_table

if TYPE_CHECKING:
    from opal.bridge.llm.command import Answered, Asking
    from opal.bridge.llm.request import WrittenSample

_SHOWN = 3


@dataclass(frozen=True, eq=False)
class Generated:
    """What a model was asked for, and what it wrote.

    Attributes:
        answered: samples, their prompts, and an account.
    """

    answered: Answered

    @property
    def samples(self) -> Sequence[WrittenSample]:
        """The texts with all that they come from; none if nothing was to be asked yet."""
        return self.answered.samples

    def table(self) -> pd.DataFrame:
        """A table of texts (:mod:`opal.bridge.text.corpus`), whose seeds are those shown."""
        frame = text_table(
            [sample.content for sample in self.samples],
            [sample.group for sample in self.samples],
            seeds=[dict.fromkeys(sample.seeds) for sample in self.samples],
        )
        return frame.assign(source=[sample.model for sample in self.samples])

    def result(self) -> dict[str, Any]:
        """Samples by class, what they cost or would cost, rejections and notes: JSON-able."""
        return self.answered.result

    def to_html(self) -> str:
        """One page: how many texts of each class there are, and the first of them."""
        first = self.table().groupby("label", sort=False).head(_SHOWN)
        texts = [
            [row["label"], render.Quote(row["text"], row["source"])]
            for row in first.to_dict("records")
        ]
        blocks: list[render.Block] = [
            report.counts(self.result(), "class"),
            render.Table(("class", "text"), texts, "The first of them"),
            *(render.Paragraph(note, "note") for note in self.result()["notes"]),
        ]
        return render.html("Synthetic texts", blocks)

    def write(self, path: Path) -> None:
        """Write the samples as a table of texts, one a line, with their lineage."""
        lines = [
            report.line(
                sample,
                self.answered.prompts,
                id=identity(str(sample.content)),
                text=sample.content,
                label=sample.group,
                source=sample.model,
            )
            for sample in self.samples
        ]
        report.write_lines(path, lines)


def generate_texts(
    frame: pd.DataFrame,
    asking: Asking,
    *,
    fill_to: int | None = None,
    per_class: int | None = None,
    classes: Sequence[str] = (),
    descriptions: Mapping[str, str] | None = None,
    language: str | None = None,
) -> Generated:
    """Let a model write texts of the classes; whatever can be refused is refused before.

    Every request and answer is kept in the ledger: a run that was stopped goes on with the same
    call and pays for nothing twice. Nothing is written but the ledger.

    Args:
        frame: a table of original texts.
        asking: model, prices, budget, ledger and parameters.
        fill_to: originals and synthetic texts of a class together.
        per_class: synthetic texts of every class, instead.
        classes: that are written for; all by default.
        descriptions: what a class means, in a sentence, for those that need it.
        language: to write in, as ``da``; that of the examples by default.

    Raises:
        ValueError: the texts, the endpoint or the budget break a rule, a model wrote some of the
            texts, or not exactly one of ``fill_to`` and ``per_class`` is given.
        UnknownNameError: there is no such class or language.
    """
    settings = asking.settings()
    asking.allowed()
    classes = list(map(spelling.name, classes))
    descriptions = {spelling.name(label): said for label, said in (descriptions or {}).items()}
    names.check("class", classes, frame["label"].unique())
    others = frame["source"][frame["source"] != HUMAN]
    if len(others):
        raise ValueError(
            f"texts are written from those of people, whose source is {HUMAN!r}; {len(others)} of "
            f"{len(frame)} are of {', '.join(map(repr, others.unique()[:5]))}. Leave them out."
        )
    prompter = TextPrompter(
        frame[frame["label"].isin(classes)] if classes else frame,
        settings,
        key=asking.seed,
        descriptions=descriptions,
        fixed_seeds=asking.fixed_seeds,
        language=language,
    )
    wanted = samples_wanted(prompter.counts, fill_to=fill_to, each=per_class, flag="--per-class")
    return Generated(asking.ask(prompter, wanted, prompter.counts))
