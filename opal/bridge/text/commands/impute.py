"""``opal text impute``."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from opal.bridge.llm.command import Asking
from opal.bridge.text.commands.flags import MadeColumns
from opal.validation import flag

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import RenderableType

    from opal.bridge.llm.request import ModelSettings
    from opal.bridge.text.corpus import TextCorpus
    from opal.bridge.text.impute.evaluate import Trial
    from opal.bridge.text.impute.repeats import Classifier
    from opal.bridge.text.impute.task import Task
    from opal.runner import Cell

DEFAULT_RESULTS = Path("results/impute")


@dataclass(frozen=True)
class Impute(Asking):
    """Fill a small class with synthetic texts, and say what that does to its F1.

    Repeated cross-validation of the approach of arXiv 2504.15160, folds by lineage: F1 of the class
    on original texts that were held out, and on synthetic ones made from them, against raw,
    weighted and duplicated originals, texts of five fixed seeds, SSMBA, and as many original texts.

    The rules that matter stand twice, as they are and with a moved threshold, which costs nothing.
    The published protocol is that of the paper's scripts: RoBERTa-large, folds without lineage.

    Without a file it takes the texts of a published corpus or of the grammar. With a file, a model
    is asked for texts of the class, or they come from --synthetic. Finished repeats are kept in the
    folder of results: a run that was stopped goes on with the same command.

    Examples:
        opal text impute --corpus sentiment --class negative --n-original 50 75
        opal text impute mine.csv --class rare --local ./models/llama --ledger rare.sqlite
        opal text impute mine.csv --class rare --synthetic samples.jsonl
        opal text impute mine.csv --class rare --model gpt-4o --price-input 2.5 --price-output 10
        --budget 5 --dry-run
    """

    KIND = "class"
    file: Annotated[Path | None, tyro.conf.Positional] = None
    """Labelled texts of your own: CSV, TSV, JSON, JSON lines or Parquet."""
    protocol: Literal["sound", "published"] = "sound"
    """sound: folds by lineage, free rules and a verdict; published: as in the paper, whose folds
    know no lineage, so that F1 looks too good. It fixes arms, classifier and temperature."""
    corpus: str | None = None
    """grammar, hypo-l, sentiment, ten-dim, crowdflower or hate-speech (Danish); the grammar if
    there is no file."""
    category: Annotated[str | None, tyro.conf.arg(name="class")] = None
    """The class that is filled; by default the smallest one, of a corpus with 50 originals."""
    n_original: tuple[int, ...] = ()
    """Texts of the class that count as at hand; by default 50, 75 and all of a corpus, and all of a
    file."""
    fill_to: tuple[int, ...] = (200,)
    """Originals and synthetic texts of the class together; several are several cases."""
    others: int | None = None
    """Texts of each other class, at most; by default as many as the largest --fill-to of a corpus,
    and all of a file."""
    synthetic: Path | None = None
    """Synthetic texts for the file, each with its seeds, as `opal text generate` writes them."""
    columns: Annotated[MadeColumns, tyro.conf.OmitArgPrefixes] = field(default_factory=MadeColumns)
    drop_contradictions: bool = False
    """Leave out texts that a file has with several labels, rather than to refuse it."""
    drop_duplicates: bool = False
    """Use a text once that the file repeats."""
    describe: str | None = None
    """What the class means, in a sentence, for the model."""
    language: str | None = None
    """Language of the file, as da, de or en: the model is told to write in it, and the default of
    --encoder is that of the language. By default the model writes in that of the examples."""
    encoder: str | None = None
    """Features of the linear rule: minilm (frozen sentence embeddings), tfidf, characters,
    multilingual-use, multilingual-minilm, multilingual-e5, or the folder or hub name of a
    transformer; by default tfidf for the grammar, characters where texts are not English, and
    minilm otherwise."""
    classifier: str | None = None
    """Fine-tune instead: minilm, roberta-large, roberta-large-slow, published (RoBERTa-large as in
    the paper's scripts), or the folder or hub name of a transformer. On a GPU where torch has one;
    how long it takes is said first. A threshold is then chosen on one held-out third of the
    training texts, not on all three."""
    masked_model: str | None = None
    """A masked language model, as FacebookAI/roberta-base, for the arm ssmba; of a corpus also
    "grown": trained in minutes from minilm on its texts that are not tried."""
    arms: tuple[str, ...] = ()
    """raw, weighting, duplication, synthetic, fixed_seeds, drawn_seeds, ssmba, naive_folds,
    all_real; and, with a moved threshold, raw_threshold, weighting_threshold, synthetic_threshold,
    all_real_threshold; by default all that there are texts for."""
    folds: int = 10
    """Folds."""
    repeats: int = 10
    """Repeats of the cross-validation, each with another draw of the originals."""
    fixed_seeds: bool = False
    """Ask a second time, for texts that are all made from the same five: the arm fixed_seeds."""
    workers: int = 1
    """Processes that share the repeats, or, fine-tuning, their folds."""
    results: Path = DEFAULT_RESULTS
    """Folder for records, page, figure and finished repeats."""

    def run(self) -> dict[str, Any]:
        """Evaluate; whatever can be refused is refused before anything is asked or trained."""
        from opal import executors
        from opal.bridge.text.impute import sources
        from opal.files import writable_folder

        self._refuse_flags()
        read = [("a file that is read", path) for path in (self.file, self.synthetic)]
        kinds = {"the records": "parquet", "what tells of them": "json"}
        kinds |= {"the figure": "png", "the page": "md"}
        written = [(what, self.results / f"imputation.{kind}") for what, kind in kinds.items()]
        asks = self.model is not None or self.local is not None
        self.check_files(read=read, written=written, asks=asks)
        executors.check(self.workers, None)
        classifier = self._classifier()
        task, corpus = self._task()
        trials = self._trials(task)
        for trial in trials:
            task.check(trial.n_originals, trial.fill_to, trial.n_folds)
        folder = writable_folder(self.results / "cells", "--results")
        most = trials[-1]
        told: dict[str, Any] = {}
        if asks:
            task, told = sources.written(self, task, most, self.describe, self.language)
            if not task.synthetic:
                return told
        if self.masked_model is not None:
            task = sources.with_neighbours(task, most, self.masked_model, corpus)
        return told | self._evaluated(task, trials, classifier, folder)

    def _evaluated(
        self, task: Task, trials: Sequence[Trial], classifier: Classifier, folder: Path
    ) -> dict[str, Any]:
        from opal import executors, runner
        from opal.bridge.text.impute import repeats, report

        source = "simulation" if self._is_grammar() else "data"
        cells = repeats.cells(task, trials, classifier, source=source, folder=folder)
        self._tell(task, trials, classifier, runner.unfinished(cells, folder))
        with executors.executor(self.workers, None, folder) as executor:
            frame = runner.run(cells, folder, executor=executor, progress=not self.json)
        parts = [repeats.folds(frame, trial) for trial in trials]
        return report.joined(task, trials, parts, source=source).write(self.results)

    def _tell(
        self, task: Task, trials: Sequence[Trial], classifier: Classifier, cells: Sequence[Cell]
    ) -> None:
        """Say how long fine-tuning takes and what it does not read, before it starts."""
        settings = classifier.tuning
        if settings is None:
            return
        from opal.bridge.text.impute import workload

        texts, lines = task.others["text"].tolist(), list[str]()
        for trial in trials:
            n_folds = sum(cell.config.trial.fill_to == trial.fill_to for cell in cells)
            if n_folds:
                found = workload.workload(task, trial, settings, n_folds)
                lines += found.told(found.seconds(texts))
        sys.stderr.write("".join(f"{line}\n" for line in dict.fromkeys(lines)))

    def table(self, result: Mapping[str, Any]) -> RenderableType:
        """The result for people."""
        from opal.bridge import render
        from opal.bridge.text.impute.report import blocks

        return render.terminal(blocks(result)) if "arms" in result else super().table(result)

    def settings(self) -> ModelSettings:
        """Model and parameters of every request.

        Raises:
            ValueError: no model is named, or flags exclude one another.
        """
        from opal.bridge.text.impute import published

        found = super().settings()
        if self.protocol == "sound":
            return found
        return replace(found, temperature=published.FIXED["temperature"])

    def _refuse_fixed(self) -> None:
        """Refuse flags that say something else than the published protocol."""
        from opal.bridge.text.impute import published

        for name, value in published.FIXED.items():
            given = getattr(self, name)
            if given not in (None, value):
                raise ValueError(
                    f"--protocol published fixes {flag(name)}; got {given}. Leave it out, or ask "
                    "for --protocol sound."
                )

    def _refuse_flags(self) -> None:
        from opal.bridge.prompts.language import manner
        from opal.bridge.text.impute.sources import GROWN

        if self.protocol == "published":
            self._refuse_fixed()
        if self.file is not None and self.corpus is not None:
            raise ValueError("a file and --corpus exclude one another; name one.")
        asks = [name for name in ("model", "local", "base_url") if getattr(self, name) is not None]
        own = {"synthetic": self.synthetic, "fixed_seeds": self.fixed_seeds}
        of_file = [name for name, value in (own | vars(self.columns)).items() if value]
        if self.language is not None:
            manner(self.language)
            if self.file is None:
                raise ValueError("--language needs a file of texts; a corpus has its own.")
        if self.file is None and asks + of_file:
            raise ValueError(
                f"{flag((asks + of_file)[0])} needs a file of texts; a corpus has synthetic texts "
                "of its own. Name the file."
            )
        if self.file is not None and self.masked_model == GROWN:
            raise ValueError(
                f"--masked-model {GROWN} grows on texts of a corpus that are not tried; a file has "
                "none. Name the folder of a model."
            )
        if self.synthetic is not None and asks:
            raise ValueError(f"--synthetic and --{asks[0]} exclude one another; name one.")
        for name in ("fixed_seeds", "dry_run"):
            if getattr(self, name) and not asks:
                raise ValueError(
                    f"{flag(name)} is for a model that is asked; name one with --model or --local."
                )
        if not self.fill_to:
            raise ValueError("--fill-to must name at least one number of texts; got none.")
        if self.encoder is not None and self.classifier is not None:
            raise ValueError("--encoder and --classifier exclude one another; name one.")
        if asks:
            self.settings()
            self.allowed()

    def _is_grammar(self) -> bool:
        return self.file is None and self.corpus in (None, "grammar")

    def _classifier(self) -> Classifier:
        """What is trained; packages that it needs are asked for."""
        from opal import names, validation
        from opal.bridge.text.classifiers import PRESETS
        from opal.bridge.text.impute.repeats import Classifier

        tuned = self.protocol if self.protocol == "published" else self.classifier
        if self.masked_model is not None or tuned is not None:
            validation.require_installed("text", "torch", "transformers")
        if tuned is not None:
            if not Path(tuned).is_dir() and "/" not in tuned:  # of the hub: user/model
                names.check("classifier", [tuned], PRESETS)
            found = Classifier(tuned, fine_tuned=True)
        else:
            found = Classifier(self.encoder or self._usual())
        found.require_loadable()
        return found

    def _usual(self) -> str:
        """What texts are described by where nothing is named."""
        from opal.bridge.text import embeddings, encoders, published

        spoken = self.language or published.language(self.corpus or published.DEFAULT)
        found = encoders.usual([spoken])
        return embeddings.MINILM if spoken == "en" and not self._is_grammar() else found

    def _task(self) -> tuple[Task, TextCorpus | None]:
        """Texts of the class and of the others, without what is yet to be written; the corpus."""
        from opal.bridge.text import published
        from opal.bridge.text.impute import report, task

        if self.file is None:
            corpus = published.load_corpus(self.corpus or published.DEFAULT, key=self.seed)
            n_others = max(self.fill_to) if self.others is None else self.others
            return report.task_of(corpus, self.category, n_others=n_others), corpus
        name = self.file.stem
        frame, notes = self._read(self.file)
        found = report.task_of(frame, self.category, name=name, n_others=self.others)
        found = replace(found, notes=(*notes, *found.notes))
        if found.synthetic or not self.n_original:
            return found, None
        # A model is shown the originals at hand: they are the same in all repeats.
        if len(self.n_original) > 1:
            raise ValueError(
                "texts are asked for from one set of originals; name one --n-original, got "
                f"{' '.join(map(str, self.n_original))}."
            )
        found.check(self.n_original, min(self.fill_to), self.folds)
        return task.reduced(found, self.n_original[0], seed=self.seed), None

    def _read(self, file: Path) -> tuple[pd.DataFrame, list[str]]:
        """The file's texts, and those of --synthetic; by which columns they were read."""
        import pandas as pd

        from opal.bridge.text import reading
        from opal.bridge.text.columns import Columns
        from opal.bridge.text.corpus import one_spelling
        from opal.bridge.text.files import (
            read_each,
            require_model,
            require_models,
            require_some_people,
        )

        made_files = [self.synthetic] if self.synthetic else []
        there = read_each([file], made_files, Columns.of(self.columns))
        require_models(made_files, there, [file])
        if not there[file].says_who_wrote():  # people wrote all of them, from nothing
            own = there[file]
            there[file] = replace(own, columns=replace(own.columns, seed=None))
        frame = there[file].texts(least=reading.LEAST, drop_contradictions=self.drop_contradictions)
        require_some_people(frame, file)
        if self.drop_duplicates:
            (frame,) = one_spelling(frame)
            frame = frame[~frame["id"].duplicated() | (frame["seeds"].str.len() > 0)]
        notes = [note for each in there.values() for note in each.notes()]
        if self.synthetic is None:
            return frame, notes
        made = there[self.synthetic].texts(
            source=self.synthetic.stem,
            n_classes=1,
            drop_contradictions=self.drop_contradictions,
        )
        require_model(made, self.synthetic)
        if not any(made["seeds"]):
            raise ValueError(
                "every synthetic text must say which texts it was made from, so that none helps to "
                f"judge itself; it is known of none of {len(made)} in {self.synthetic}. Name the "
                f"column that says it with --seed-column (there are: "
                f"{', '.join(there[self.synthetic].table.columns)}), or use `opal text evaluate`, "
                "which judges texts whose seeds no one knows on texts that are tested on alone."
            )
        return pd.concat([frame, made], ignore_index=True), notes

    def _trials(self, found: Task) -> list[Trial]:
        """One for each size to fill to, the smallest first."""
        from opal.bridge.text.impute import arms, published, report
        from opal.bridge.text.impute.evaluate import Trial
        from opal.bridge.text.impute.f1_threshold import N_PARTS

        usual = () if self.file is not None else report.USUAL
        all_arms = published.ARMS if self.protocol == "published" else arms.ARMS
        return [
            Trial(
                report.sizes(found, self.n_original, fill_to, usual),
                fill_to,
                self.folds,
                self.repeats,
                self.arms or all_arms,
                self.seed,
                1 if self.classifier is not None else N_PARTS,
                self.protocol,
            )
            for fill_to in sorted(set(self.fill_to))
        ]
