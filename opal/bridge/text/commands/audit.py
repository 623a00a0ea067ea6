"""``opal text audit``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from opal.bridge.text.commands.flags import ColumnFlags
from opal.validation import flag

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import RenderableType

    from opal.bridge.text.corpus import TextCorpus
    from opal.bridge.text.reading import TextFile

_MOST_SHARED = 0.1  # of the smaller of two tables; published corpora share up to 5 %


@dataclass(frozen=True)
class Audit:
    """Find copies, leaks, sameness, shifts and wrong labels in texts that a model wrote.

    Without FILES it audits a corpus that has synthetic texts. Everything is read against what real
    texts do. A table is printed, and a page with the worst texts side by side is written.

    Examples:
        opal text audit
        opal text audit --corpus sentiment ten-dim --encoder minilm
        opal text audit samples.jsonl --train mine.csv --test held_out.csv --out audit.html
    """

    files: Annotated[
        tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[FILES ...]")
    ] = ()
    """Synthetic texts: CSV, TSV, JSON, Parquet, or JSON lines as `opal text generate` writes."""
    train: Path | None = None
    """The texts that they were made from."""
    human: Path | None = None
    """More real texts: the more there are, the better it is known what is normal."""
    test: Path | None = None
    """Texts that are tested on: none of the synthetic ones may come from them."""
    columns: Annotated[ColumnFlags, tyro.conf.OmitArgPrefixes] = field(default_factory=ColumnFlags)
    corpus: tuple[str, ...] = ()
    """Corpora to audit when no files are given; grammar by default."""
    sources: tuple[str, ...] = ()
    """Models whose texts are audited, such as gpt-4; all by default."""
    encoder: str | None = None
    """Features of the classifiers: tfidf (the default of English), characters (that of other
    languages), minilm (of English), multilingual-use, multilingual-minilm, multilingual-e5, or the
    folder or hub name of a transformer."""
    seed: int = 0
    """Seed of folds and splits."""
    out: Path = Path("results/text/audit.html")
    """The page."""
    json: bool = False
    """Print JSON."""

    def run(self) -> dict[str, Any]:
        """Audit; whatever can be refused is refused before anything is computed."""
        from opal.bridge.text import encoders, published
        from opal.bridge.text.audit.report import STEPS, audit_texts
        from opal.files import require_distinct, writable_folder
        from opal.progress import bar

        self._check_flags()
        chosen = self.encoder or encoders.usual(map(published.language, self.corpus))
        encoders.require_loadable(chosen)
        read = [
            ("a file that is read", p) for p in (*self.files, self.train, self.human, self.test)
        ]
        require_distinct(read, [("--out", self.out)])
        corpora = [self._files()] if self.files else self._corpora()
        writable_folder(self.out.parent)
        total = STEPS * sum(len(self.sources or corpus.synthetic) for corpus in corpora)
        with bar("auditing", total, quiet=self.json) as shown:
            found = audit_texts(
                *corpora,
                sources=self.sources,
                features=chosen,
                seed=self.seed,
                progress=lambda step: shown.advance(doing=step[:60]),
            )
        return found.write(self.out)

    def table(self, result: Mapping[str, Any]) -> RenderableType:
        """The findings for people."""
        from opal.bridge import render
        from opal.bridge.text.audit import blocks

        return render.terminal(blocks.audit(result, brief=True))

    def _check_flags(self) -> None:
        if self.files and self.corpus:
            raise ValueError("FILES exclude --corpus; name one kind.")
        if self.files and self.train is None:
            raise ValueError(
                "an audit needs the texts that the synthetic ones were made from: name --train."
            )
        named = {name: getattr(self, name) for name in ("train", "human", "test")}
        given = [name for name, value in (named | vars(self.columns)).items() if value is not None]
        if given and not self.files:
            raise ValueError(f"{flag(given[0])} needs FILES to audit; got none.")

    def _corpora(self) -> list[TextCorpus]:
        from opal import names
        from opal.bridge.text import published

        names.check("corpus of texts", self.corpus, published.names())
        chosen = dict.fromkeys(self.corpus or (published.DEFAULT,))
        return [published.load_corpus(name) for name in chosen]

    def _files(self) -> TextCorpus:
        """Real tables by role, and the texts of all files by their source."""
        import pandas as pd

        from opal.bridge.text.columns import Columns
        from opal.bridge.text.corpus import TextCorpus, labels_of
        from opal.bridge.text.files import (
            read_each,
            require_model,
            require_models,
            require_people,
        )

        notes: list[str] = []
        given = {"base": self.train, "human": self.human, "test": self.test}
        paths = {role: path for role, path in given.items() if path is not None}
        there = read_each([*paths.values()], self.files, Columns.of(self.columns))
        require_models(self.files, there, [*paths.values()])
        real = {
            role: _texts(there[path], notes, 2 if role == "base" else 1)
            for role, path in paths.items()
        }
        for role, path in paths.items():
            require_people(real[role], path)
        parts = [_texts(there[path], notes, 1, path.stem) for path in self.files]
        for path, frame in zip(self.files, parts, strict=True):
            require_model(frame, path)
        whole = pd.concat(parts, ignore_index=True)
        made = {
            str(source): frame.reset_index(drop=True)
            for source, frame in whole.groupby("source", sort=False)
        }
        notes += [note for own in there.values() for note in own.notes()] + _overlaps(real)
        none = real["base"][:0]
        human, test = real.get("human", none), real.get("test", none)
        labels, known = labels_of(*real.values(), whole), labels_of(real["base"])
        if strange := [label for label in labels_of(whole) if label not in known]:
            raise ValueError(
                "synthetic texts must have labels of --train, "
                f"{', '.join(map(repr, known[:5]))}; got {', '.join(map(repr, strange[:5]))}. "
                "Write the labels alike, or leave these texts out."
            )
        return TextCorpus("files", labels, real["base"], human, test, made, tuple(notes))


def _overlaps(real: Mapping[str, pd.DataFrame]) -> list[str]:
    """What real tables share; what is normal cannot be read off texts that are the same.

    Raises:
        ValueError: two of them share more than a tenth of the smaller one.
    """
    from opal.bridge.text.corpus import one_spelling

    flags, said = {"base": "--train", "human": "--human", "test": "--test"}, []
    ids = {
        role: set(frame["id"])
        for role, frame in zip(real, one_spelling(*real.values()), strict=True)
    }
    for one, other in combinations(ids, 2):
        both, least = len(ids[one] & ids[other]), min(len(ids[one]), len(ids[other]))
        pair = f"{flags[one]} and {flags[other]}"
        if both > _MOST_SHARED * least:
            raise ValueError(
                f"{pair} must be of different texts, or copies of one are not told from what real "
                f"texts share by chance; {both} of {least} are the same. Leave them out of "
                f"{flags[other]}."
            )
        if both:
            said.append(f"{both} texts are in both {pair}: they count as what occurs by chance")
    return said


def _texts(file: TextFile, notes: list[str], n_classes: int, source: str = "human") -> pd.DataFrame:
    """A file of real texts, or of synthetic ones of a source that it may name itself."""
    frame = file.texts(source=source, n_classes=n_classes, drop_contradictions=True)
    if left := len(file.table) - len(frame):
        notes.append(f"{file.where}: {left} texts occur with several labels and are left out")
    return frame
