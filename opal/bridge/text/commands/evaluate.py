"""``opal text evaluate``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, astuple, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from opal.bridge.text.commands.flags import ColumnFlags

if TYPE_CHECKING:
    from rich.console import RenderableType

    from opal.bridge.text.curves.evaluate import CurveSettings
    from opal.runner import Cell

DEFAULT_OUT = Path("results/text")


@dataclass(frozen=True)
class Evaluate:
    """Learning curves: what N texts of a language model add to a few labelled ones, arm by arm.

    Finished seeds are kept in the folder of results: a run that was stopped goes on with the same
    command.

    Examples:
        opal text evaluate
        opal text evaluate --corpus sentiment hypo-l --encoder minilm
        opal text evaluate --corpus hate-speech --hold-out 1400
        opal text evaluate --preset full
        opal text evaluate --file mine.csv --synthetic samples.jsonl --encoder minilm
    """

    corpus: tuple[str, ...] = ()
    """grammar (the default), hypo-l, sentiment, ten-dim, crowdflower, hate-speech (Danish)."""
    preset: Literal["quick", "full"] = "quick"
    """quick: the grammar; full: the four English published corpora by minilm."""
    file: Path | None = None
    """Labelled texts of your own: CSV, TSV, JSON, JSON lines or Parquet; with a column of the
    source (human or a model), and of the seeds of synthetic texts."""
    synthetic: tuple[Path, ...] = ()
    """Synthetic texts for --file, each with its seeds, as `opal text generate` writes them; several
    files are several models, if they name none themselves."""
    test: Path | None = None
    """Texts to test on; by default a third of the human ones of --file."""
    columns: Annotated[ColumnFlags, tyro.conf.OmitArgPrefixes] = field(default_factory=ColumnFlags)
    drop_contradictions: bool = False
    """Leave out texts that a file has with several labels, rather than to refuse it."""
    train_on_all: bool = False
    """Train on all human texts of --file that are not tested on. By default those that no synthetic
    text was made from are held back, to tell what synthetic texts are worth in human ones."""
    encoder: str | None = None
    """tfidf (the default of English), characters (that of other languages), minilm (of English),
    multilingual-use, multilingual-minilm, multilingual-e5, or the folder or hub name of a
    transformer."""
    sources: tuple[str, ...] = ()
    """Who writes the added texts; all that there are by default."""
    sizes: tuple[int, ...] = ()
    """Numbers of added texts; 30 to 4000 by default."""
    seeds: int = 10
    """Draws of base texts; half as many leave more open (docs/text.md, section 9)."""
    folds: int = 3
    """Folds that choose the weight of added texts and the penalty."""
    share: float | None = None
    """Share of the base texts that a seed draws: a half; all of those of --file, or texts that were
    made from five would seldom have all their seeds at hand."""
    most_test: int | None = None
    """Test texts at most, drawn at random; 2,000 by default."""
    hold_out: int = 0
    """Human texts of a published corpus that are tested on too instead of being added: for test
    sets that are too small to judge by."""
    workers: int = 1
    """Processes that share the seeds."""
    out: Path = DEFAULT_OUT
    """Folder for records, figure and finished seeds."""
    json: bool = False
    """Print JSON."""

    def run(self) -> dict[str, Any]:
        """Evaluate; refusals come before anything is trained or written."""
        from opal import executors, runner
        from opal.bridge.text.curves.report import Evaluation
        from opal.files import require_distinct, writable_folder

        self._check_flags()
        read = [("a file that is read", p) for p in (self.file, self.test, *self.synthetic)]
        written = [
            ("the records", "parquet"),
            ("what tells of them", "json"),
            ("the figure", "png"),
        ]
        require_distinct(read, [(what, self.out / f"text.{kind}") for what, kind in written])
        executors.check(self.workers, None)
        settings = self._settings()
        cells = self._cells(settings)
        folder = writable_folder(self.out / "cells")
        with executors.executor(self.workers, None, folder) as executor:
            frame = runner.run(cells, folder, executor=executor, progress=not self.json)
        corpora = {}
        for corpus in (cell.config.load() for cell in cells):
            most, there = settings.most_test, len(corpus.test)
            cut = f"{most:,} of {there:,} test texts are used, at random (--most-test)"
            corpora[corpus.name] = (*corpus.notes, *([cut] if there > most else []))
        return Evaluation(frame, asdict(settings), corpora).write(self.out)

    def table(self, result: Mapping[str, Any]) -> RenderableType:
        """The result for people."""
        from opal.bridge import render
        from opal.bridge.text.curves.report import blocks

        return render.terminal(blocks(result))

    def _settings(self) -> CurveSettings:
        from opal.bridge.text import embeddings, encoders, published
        from opal.bridge.text.curves.design import MOST_TEST, SHARE
        from opal.bridge.text.curves.evaluate import SIZES, CurveSettings

        if self.encoder is None and self.preset == "full" and not self.corpus:
            chosen = embeddings.MINILM
        else:
            chosen = self.encoder or encoders.usual(map(published.language, self.corpus))
        encoders.require_loadable(chosen)
        usual = SHARE if self.file is None else 1.0
        return CurveSettings(
            encoder=chosen,
            sources=self.sources,
            sizes=self.sizes or SIZES,
            folds=self.folds,
            share=usual if self.share is None else self.share,
            most_test=MOST_TEST if self.most_test is None else self.most_test,
        )

    def _cells(self, settings: CurveSettings) -> list[Cell]:
        from opal.bridge.text import published
        from opal.bridge.text.curves import evaluate
        from opal.validation import require_at_least

        require_at_least("seeds", self.seeds, 1)
        if self.file is not None:
            return evaluate.of_file(
                self.file,
                self.test,
                self._columns(),
                settings,
                self.seeds,
                self.synthetic,
                drop_contradictions=self.drop_contradictions,
                train_on_all=self.train_on_all,
            )
        usual = published.ENGLISH if self.preset == "full" else (published.DEFAULT,)
        chosen = self.corpus or usual
        return evaluate.of_corpora(chosen, settings, self.seeds, hold_out=self.hold_out)

    def _columns(self) -> tuple[str | None, ...]:
        from opal.bridge.text.columns import Columns

        return astuple(Columns.of(self.columns))

    def _check_flags(self) -> None:
        if self.file is not None and (self.corpus or self.preset != "quick"):
            raise ValueError("--file excludes --corpus and --preset full; name one of them.")
        if self.file is None and self.synthetic:
            raise ValueError(
                "--synthetic needs --file; a corpus has synthetic texts of its own. Name the file."
            )
        if self.hold_out and self.file is not None:
            raise ValueError(
                f"--hold-out is of published corpora; got {self.hold_out} and a file. Name the "
                "texts to test on with --test."
            )
        told = self.drop_contradictions or self.train_on_all
        own = self.test is not None or any(self._columns()) or told
        if self.file is None and own:
            raise ValueError(
                "--test, --drop-contradictions, --train-on-all and the columns belong to --file; "
                "without it, they mean none. Name the file."
            )
