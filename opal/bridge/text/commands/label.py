"""``opal text label``."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import tyro

from opal.bridge.text.commands.flags import ColumnFlags

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import RenderableType

    from opal.bridge.render import Block
    from opal.bridge.text.labelling import Labelled


@dataclass(frozen=True)
class Label:
    """Label a corpus by a rule that labelled texts, and synthetic ones, train.

    The rule is an arm of `opal text evaluate`, which says how good it is; here all human texts of
    --file are trained on. Written is the corpus with the columns `predicted`, `probability of
    CLASS` for each class, and `trained_on`, which is 1 where the rule has seen the text. A
    regression on such labels needs a correction: `opal infer` takes the table as it is.

    Examples:
        opal text label corpus.csv --file mine.csv
        opal text label corpus.csv --file mine.csv --synthetic samples.jsonl --encoder minilm
    """

    corpus: Annotated[Path, tyro.conf.Positional]
    """Texts to label: CSV, TSV, JSON, JSON lines or Parquet, with whatever other columns."""
    file: Path
    """Labelled texts of your own, to train on; with a column of the source (human or a model), and
    of the seeds of synthetic texts."""
    synthetic: tuple[Path, ...] = ()
    """Synthetic texts, each with its seeds, as `opal text generate` writes them."""
    arm: str | None = None
    """raw, threshold, weighting, duplication, synthetic, synthetic_weighting, synthetic_alpha or
    synthetic_corrected (`opal text evaluate` compares them); by default weighting, and
    synthetic_alpha, whose weights cross-validation chooses, where there are synthetic texts."""
    source: str | None = None
    """Whose synthetic texts are added, where several wrote some."""
    corpus_column: str | None = None
    """Column of the texts to label, if it is another than --text-column and its name does not tell;
    if texts to train on have several, the same ones."""
    columns: Annotated[ColumnFlags, tyro.conf.OmitArgPrefixes] = field(default_factory=ColumnFlags)
    drop_contradictions: bool = False
    """Leave out texts that a file has with several labels, rather than to refuse it."""
    encoder: str = "tfidf"
    """tfidf, characters (of other languages than English), minilm (of English), multilingual-use,
    multilingual-minilm, multilingual-e5, or the folder or hub name of a transformer."""
    folds: int = 3
    """Folds that choose the penalty and the weight of added texts."""
    seed: int = 0
    """Seed of folds, and of the order of added texts."""
    out: Path = Path("results/text/labelled.csv")
    """CSV file for the labelled corpus."""
    json: bool = False
    """Print JSON."""

    def run(self) -> dict[str, Any]:
        """Label the corpus; whatever can be refused is refused before anything is trained."""
        import pandas as pd

        from opal.bridge.text import encoders
        from opal.bridge.text.columns import Columns, require_case, texts_of
        from opal.bridge.text.files import read_files
        from opal.bridge.text.labelling import label_texts, require_trainable, steps
        from opal.files import require_distinct, writable_folder, write_text
        from opal.progress import bar
        from opal.reading import decimal_mark_of, read_strings
        from opal.validation import require_at_least

        if self.out.suffix.lower() != ".csv":
            raise ValueError(f"--out is a CSV file; got {self.out.name!r}. Let it end in .csv.")
        require_at_least("folds", self.folds, 2)
        read = [("a file that is read", p) for p in (self.corpus, self.file, *self.synthetic)]
        require_distinct(read, [("--out", self.out)])
        encoders.require_loadable(self.encoder)
        columns = Columns.of(self.columns)
        frame, _, notes = read_files(
            *(self.file, None, self.synthetic, columns),
            drop_contradictions=self.drop_contradictions,
        )
        table = read_strings(self.corpus)
        if self.corpus_column is None and columns.text is not None:
            require_case(columns.text, "text", list(table), self.corpus)
        usual = columns.text if columns.text in table else None
        texts = texts_of(
            *(table, self.corpus, self.corpus_column or usual),
            like=_several(columns.text, frame),
            flag="--corpus-column",
        )
        _require_free(self.corpus, table, frame)
        _require_characters(self.corpus, table)
        decimal = decimal_mark_of(self.corpus)
        require_trainable(frame, arm=self.arm, source=self.source, folds=self.folds, seed=self.seed)
        writable_folder(self.out.parent)
        with bar("labelling", steps(frame, len(texts)), quiet=self.json) as shown:
            found = label_texts(
                texts,
                frame,
                arm=self.arm,
                source=self.source,
                features=self.encoder,
                folds=self.folds,
                seed=self.seed,
                progress=lambda step: shown.advance(doing=step),
            )
        lists = {name: table[name].map(_listed) for name in table}
        labelled = pd.DataFrame({**lists, **found.columns()})
        separator = ";" if decimal == "," else ","  # as spreadsheets of such countries have it
        content = labelled.to_csv(
            sep=separator, decimal=decimal, index=False, quoting=csv.QUOTE_ALL
        )
        write_text(self.out, content)
        return _told(found) | {"notes": list(notes), "out": str(self.out)}

    def table(self, result: Mapping[str, Any]) -> RenderableType:
        """The counts for people."""
        from opal.bridge import render

        return render.terminal(_blocks(result))


def _several(column: str | None, frame: pd.DataFrame) -> tuple[str, ...]:
    """The columns of the texts to train on, if these are several: each begins with its name."""
    parts = tuple(part.strip() for part in (column or "").split(","))
    several = len(parts) > 1 and frame["text"].iloc[0].startswith(f"{parts[0]}: ")
    return parts if several else ()


def _require_free(where: Path, table: pd.DataFrame, frame: pd.DataFrame) -> None:
    """A corpus keeps its columns: none may have the name of one that it gets."""
    from opal import spelling
    from opal.bridge.text.labelling import column_names
    from opal.columns import require_unique

    own = list(map(spelling.name, table))  # as they are read again
    different = (name or place for place, name in enumerate(own))
    require_unique(different, f"{where}, spaces around names apart,")
    taken = [name for name in column_names(sorted(frame["label"].unique())) if name in own]
    if taken:
        raise ValueError(
            f"a labelled corpus gets the column {taken[0]!r}, and {where} has one already. Rename "
            "it, or leave it out."
        )


def _require_characters(where: Path, table: pd.DataFrame) -> None:
    """No cell may hold half a character, as JSON can: it could not be written."""
    for name in table:
        for row, cell in enumerate(table[name], 1):
            try:
                str(_listed(cell)).encode()
            except UnicodeEncodeError as error:
                raise ValueError(
                    f"{where}: the cell of {name!r} in data row {row} holds half a character, "
                    f"{error.object[error.start : error.end]!r}. Write it as UTF-8."
                ) from error


def _listed(cell: object) -> object:
    """A list as JSON has it; other cells as they are."""
    return json.dumps(cell, ensure_ascii=False) if isinstance(cell, tuple) else cell


def _told(found: Labelled) -> dict[str, Any]:
    """What trained the rule, and what it says, for JSON."""
    n, labels = len(found.trained_on), found.labels
    called = [int((found.predicted == label).sum()) for label in labels]
    return {
        "rows": n,
        "predicted": dict(zip(labels, called, strict=True)),
        "trained_on": int(found.trained_on.sum()),
        "arm": found.arm,
        "source": found.source or None,
        "human": dict(zip(labels, found.n_real.tolist(), strict=True)),
        "added": dict(zip(labels, found.n_added.tolist(), strict=True)),
        "recall": dict(zip(labels, found.recall.tolist(), strict=True)),
        "strength": found.strength,
        "ratio": None if np.isnan(found.ratio) else found.ratio,
        "correction": found.correction,
        "lost": found.lost,
        "unused": found.n_unused,
        "seeds_known": found.seeds_known,
    }


def _blocks(result: Mapping[str, Any]) -> Iterator[Block]:
    from opal.bridge.render import Paragraph, Table

    rows = [
        [label, n, result["added"][label], result["recall"][label], result["predicted"][label]]
        for label, n in result["human"].items()
    ]
    by = "" if result["source"] is None else f", texts of {result['source']}"
    yield Table(
        ["class", "human texts", "added", "recall", "of the corpus"],
        rows,
        f"{result['arm']}{by}: what it was trained on, and what it calls {result['rows']:,} texts",
    )
    yield from (Paragraph(note, "note") for note in result["notes"])
    yield from (Paragraph(sentence) for sentence in _sentences(result))


def _sentences(result: Mapping[str, Any]) -> Iterator[str]:
    if result["unused"]:
        yield (
            f"{result['unused']:,} texts of {result['source']} are left out: they were made from "
            "texts that are not trained on."
        )
    if not result["seeds_known"]:
        yield (
            f"Of no text of {result['source']} is it known what it was made from, so that none is "
            "held out with it: recall is too high where texts resemble what they were made from, "
            "and so is a weight that was chosen. Name the column that says it (--seed-column)."
        )
    if result["ratio"] is not None:
        weight = f"An added text has {result['ratio']:g} times the weight of a human one, as"
        none = ": the rule is that of weighting" if not result["ratio"] else ""
        share = f", with λ = {result['correction']:g}" if result["correction"] else ""
        yield f"{weight} cross-validation has it{none}{share}."
    chosen = "penalty" if result["ratio"] is None else "penalty and the weight of added texts"
    if result["lost"]:
        yield "The fit with the chosen λ had no minimum: the rule is that of synthetic_alpha."
    yield (
        "Recall is the share of a class's human texts that is called so when it is held out, by "
        f"the folds that chose the {chosen}; `opal text evaluate` says what the rule is worth on "
        "texts that chose nothing."
    )
    if result["trained_on"]:
        yield (
            f"{result['trained_on']:,} texts of the corpus were trained on. A regression leaves "
            f"them out: `opal infer {result['out']} --trained-on trained_on`, and its other flags."
        )
    yield f"labels: {result['out']}"
