"""``opal text audit``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import RenderableType

    from opal.bridge.text.encoders import Encoder

Tables = tuple[dict[str, "pd.DataFrame"], dict[str, "pd.DataFrame"], tuple[str, ...]]


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

    files: tyro.conf.Positional[tuple[Path, ...]] = ()
    """Synthetic texts: CSV, TSV, JSON, Parquet, or JSON lines as `opal text generate` writes."""
    train: Path | None = None
    """The texts that they were made from."""
    human: Path | None = None
    """More real texts: the more there are, the better it is known what is normal."""
    test: Path | None = None
    """Texts that are tested on: none of the synthetic ones may come from them."""
    text_column: str | None = None
    """Column of the texts, in those files that have it."""
    label_column: str | None = None
    """Column of the classes, likewise."""
    attribute_column: str | None = None
    """Column of what the class may spuriously go with, likewise."""
    seed_column: str | None = None
    """Column of what a text was made from, likewise: a text, its id, or a list of either."""
    corpus: tuple[str, ...] = ()
    """Corpora to audit when no files are given; grammar by default."""
    sources: tuple[str, ...] = ()
    """Models whose texts are audited, such as gpt-4; all by default."""
    encoder: str = "tfidf"
    """Features of the classifiers: tfidf, minilm, or a transformer's folder or name."""
    seed: int = 0
    """Seed of folds and splits."""
    out: Path = Path("results/text/audit.html")
    """The page."""
    json: bool = False
    """Print JSON."""

    def run(self) -> dict[str, Any]:
        """Audit; whatever can be refused is refused before anything is computed.

        Raises:
            ValueError: a flag, file or name breaks a rule.
            ImportError: the encoder needs the extra ``text``.
            OSError: the page cannot be written.
        """
        from opal import checks
        from opal.bridge.text import encoders
        from opal.bridge.text.audit import page
        from opal.files import writable_folder

        self._check_flags()
        checks.require_seed(self.seed)
        encoder = encoders.encoder(self.encoder)
        writable_folder(self.out.parent)
        units = {"files": self._files()} if self.files else self._corpora()
        result = {"audits": self._audits(units, encoder), "written": str(self.out)}
        page.write(result, self.out)
        return result

    def table(self, result: Mapping[str, Any]) -> RenderableType:
        """The findings for people."""
        from opal.bridge.text.audit import terminal

        return terminal.table(result)

    def _audits(self, units: Mapping[str, Tables], encoder: Encoder) -> dict[str, Any]:
        from rich.console import Console
        from rich.progress import Progress

        from opal.bridge.text.audit.report import STEPS, audit

        total = STEPS * sum(len(made) for _, made, _ in units.values())
        audits = {}
        with Progress(console=Console(stderr=True), disable=self.json, transient=True) as bar:
            task = bar.add_task("auditing", total=total)
            for name, (real, made, notes) in units.items():
                tell = _telling(bar, task, name)
                found = audit(real, made, encoder=encoder, seed=self.seed, progress=tell)
                audits[name] = {"sources": found, "notes": list(notes)}
        return audits

    def _check_flags(self) -> None:
        """Refuse flags that would be ignored."""
        if self.files and self.corpus:
            raise ValueError("FILES exclude --corpus; name one kind.")
        if self.files and self.train is None:
            raise ValueError(
                "an audit needs the texts that the synthetic ones were made from: name --train."
            )
        own = ("train", "human", "test", *_COLUMNS.values())
        given = [name for name in own if getattr(self, name) is not None]
        if given and not self.files:
            raise ValueError(f"--{given[0].replace('_', '-')} needs FILES to audit; got none.")

    def _corpora(self) -> dict[str, Tables]:
        """The corpora that are asked for, with the sources that are."""
        from opal import names
        from opal.bridge.text import corpora
        from opal.bridge.text.audit.report import tables

        units: dict[str, Tables] = {}
        names.check("corpus of texts", self.corpus, corpora.names())
        for name in dict.fromkeys(self.corpus or (corpora.DEFAULT,)):
            corpus = corpora.load(name)
            real, made = tables(corpus)
            names.check("source", self.sources, made)
            chosen = {each: made[each] for each in self.sources or made}
            units[name] = real, chosen, corpus.notes
        return units

    def _files(self) -> Tables:
        """Real tables by role, and the texts of all files by their source."""
        import pandas as pd

        from opal import names

        notes: list[str] = []
        roles = {"base": self.train, "human": self.human, "test": self.test}
        paths = {role: path for role, path in roles.items() if path is not None}
        there = {path: _columns(path) for path in (*paths.values(), *self.files)}
        for name in _COLUMNS.values():
            wanted = getattr(self, name)
            if wanted is not None and not any(wanted in columns for columns in there.values()):
                every = dict.fromkeys(column for columns in there.values() for column in columns)
                raise names.unknown("column", wanted, every)
        real = {role: self._read(path, there[path], notes) for role, path in paths.items()}
        parts = [self._read(path, there[path], notes, path.stem) for path in self.files]
        whole = pd.concat(parts, ignore_index=True)
        made = {
            str(source): frame.reset_index(drop=True)
            for source, frame in whole.groupby("source", sort=False)
        }
        names.check("source", self.sources, made)
        return real, {each: made[each] for each in self.sources or made}, tuple(notes)

    def _read(
        self, path: Path, there: list[str], notes: list[str], source: str | None = None
    ) -> pd.DataFrame:
        """A file of real texts, or of synthetic ones of a source that it may name itself."""
        from opal.bridge.text import reading, texts
        from opal.reading import read_strings

        named = {
            role: getattr(self, flag)
            for role, flag in _COLUMNS.items()
            if getattr(self, flag) in there
        }
        frame = reading.read(
            path,
            reading.Columns(**named),
            source=source or texts.HUMAN,
            n_classes=1 if source else 2,
            drop_contradictions=True,
        )
        left = len(read_strings(path)) - len(frame)
        if left:
            notes.append(f"{path}: {left} texts occur with several labels and are left out")
        return frame


_COLUMNS = {
    "text": "text_column",
    "label": "label_column",
    "attribute": "attribute_column",
    "seed": "seed_column",
}


def _columns(path: Path) -> list[str]:
    from opal.reading import read_strings

    return [str(name) for name in read_strings(path).columns]


def _telling(bar: Any, task: Any, name: str) -> Callable[[str], None]:
    def tell(step: str) -> None:
        bar.update(task, description=f"{name}, {step}"[:60].replace("[", "("))
        bar.advance(task)

    return tell
