"""``opal text impute``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from opal.bridge.llm.command import Asking

if TYPE_CHECKING:
    from rich.console import RenderableType

    from opal.bridge.text.impute.imputing import Progress


@dataclass(frozen=True)
class Impute(Asking):
    """Fill a small class with synthetic texts, and say what that does to its F1.

    Repeated cross-validation of the approach of arXiv 2504.15160, folds by lineage: F1 of the class
    on original texts that were held out, and on synthetic ones made from them, against raw,
    weighted and duplicated originals, texts of five fixed seeds, SSMBA, and as many original texts.

    Without a file it takes the texts of a published corpus or of the grammar. With a file, a model
    is asked for texts of the class, or they come from --synthetic.

    Examples:
        opal text impute --corpus sentiment --class negative --n-original 50 75
        opal text impute mine.csv --class rare --local ./models/llama --ledger rare.sqlite
        opal text impute mine.csv --class rare --synthetic samples.jsonl
        opal text impute mine.csv --class rare --model gpt-4o --price-input 2.5 --price-output 10
        --budget 5 --dry-run
    """

    file: Annotated[Path | None, tyro.conf.Positional] = None
    """Labelled texts of your own: CSV, TSV, JSON, JSON lines or Parquet."""
    corpus: str | None = None
    """grammar, hypo-l, sentiment, ten-dim or crowdflower; the grammar if there is no file."""
    category: Annotated[str | None, tyro.conf.arg(name="class")] = None
    """The class that is filled; by default the smallest one, of a corpus with 50 originals."""
    n_original: tuple[int, ...] = ()
    """Texts of the class that count as at hand; by default 50, 75 and all of a corpus, and all of a
    file."""
    fill_to: int = 200
    """Originals and synthetic texts of the class together."""
    others: int | None = None
    """Texts of each other class, at most; by default as many as --fill-to of a corpus, and all of a
    file."""
    synthetic: Path | None = None
    """Synthetic texts for the file, each with its seeds, as `opal text generate` writes them."""
    text_column: str | None = None
    """Column of the texts, if its name does not tell."""
    label_column: str | None = None
    """Column of the classes, if its name does not tell."""
    seed_column: str | None = None
    """Column of --synthetic with the seeds, texts or ids, if it is no table of opal's."""
    drop_duplicates: bool = False
    """Use a text once that the file repeats."""
    describe: str | None = None
    """What the class means, in a sentence, for the model."""
    encoder: str | None = None
    """Features of the linear rule: minilm (frozen sentence embeddings), tfidf, or the folder of a
    transformer; by default tfidf for the grammar, and minilm otherwise."""
    classifier: str | None = None
    """Fine-tune instead: minilm, roberta-large or roberta-large-slow. Takes hours."""
    masked_model: str | None = None
    """A masked language model, as FacebookAI/roberta-base, for the arm ssmba; of a corpus also
    "grown": trained in minutes from minilm on its texts that are not tried."""
    arms: tuple[str, ...] = ()
    """raw, weighting, duplication, synthetic, fixed_seeds, drawn_seeds, ssmba, naive_folds,
    all_real; by default all that there are texts for."""
    folds: int = 10
    """Folds."""
    repeats: int = 10
    """Repeats of the cross-validation, each with another draw of the originals."""
    fixed_seeds: bool = False
    """Ask a second time, for texts that are all made from the same five: the arm fixed_seeds."""

    def run(self) -> dict[str, Any]:
        """Evaluate; whatever can be refused is refused before anything is asked or trained.

        Raises:
            ValueError: file, flags or endpoint break a rule.
        """
        from opal.bridge.text.commands import imputable
        from opal.bridge.text.impute import imputed, imputing, means, neighbours, writing

        imputable.check(self)
        learner = imputable.learner(self)
        task, corpus = imputable.task(self)
        trial = imputable.trial(self, task)
        task.check(trial.n_originals, trial.fill_to, trial.n_folds)
        asks = self.model is not None or self.local is not None
        told: dict[str, Any] = {}
        if asks:
            task, told = writing.written(self, task, trial, self.describe)
            if not task.synthetic:
                return told
        if self.masked_model is not None:
            task = neighbours.with_neighbours(task, trial, self.masked_model, corpus)
        with _progress(quiet=self.json) as advance:
            frame = imputing.evaluate(task, trial, learner, advance)
        source = "simulation" if imputable.is_grammar(self) else "data"
        table = means.summarise(frame, task, trial, source=source)
        return told | imputed.result(table, task, trial)

    def table(self, result: Mapping[str, Any]) -> RenderableType:
        """The result for people."""
        from opal.bridge import render
        from opal.bridge.llm import report
        from opal.bridge.text.impute import imputed

        return (
            imputed.shown(result)
            if "arms" in result
            else render.terminal(report.blocks(result, "class"))
        )


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Progress]:
    """A progress bar on standard error, told of folds done and of all."""
    from rich.console import Console
    from rich.progress import Progress as Bar

    with Bar(console=Console(stderr=True), disable=quiet, transient=True) as bar:
        task = bar.add_task("folds", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
