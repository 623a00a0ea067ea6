"""Learning curves of texts: what N added texts of each writer are worth, arm by arm.

:func:`evaluate` is one seed of one corpus, :func:`summary` averages over seeds, and
:func:`of_corpora` and :func:`of_file` make independent cells: one for each corpus, encoder, seed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd
from threadpoolctl import threadpool_limits

from opal import records
from opal.bridge.resampling import crossed_influence, half_width
from opal.bridge.text import published
from opal.bridge.text.columns import Columns
from opal.bridge.text.corpus import HUMAN, TextCorpus, corpus_of, made_from
from opal.bridge.text.curves import design, measures, train
from opal.bridge.text.curves.design import ADDING, CORRECTED, REFERENCE, SplitData
from opal.bridge.text.curves.measures import Measure
from opal.bridge.text.curves.train import Trained
from opal.bridge.text.encoders import WORDS, Features, encoder
from opal.bridge.text.files import read_files
from opal.runner import Cell
from opal.validation import require_at_least

STUDY = "text"
SIZES = (30, 60, 120, 250, 500, 1000, 2000, 4000)
AGAINST = "balanced_error_against"
"""Metric: the difference to each number (column ``against``) of human texts, weighted alike."""
TRIED = (train.PILOT, train.PURCHASE)
"""Arms of many weights: what a plan is made from, and what it is held against."""
KEYS = ("setting", "encoder", "synthesizer", "arm", "added", "metric", "group", "source")
"""What names a number, seeds apart."""


@dataclass(frozen=True)
class CurveSettings:
    """How a corpus is evaluated.

    Attributes:
        encoder: of :data:`opal.bridge.text.encoders.ENCODERS`, a transformer's folder or hub
            name, or ``words`` (grammar).
        sources: what is added; all that there is by default.
        sizes: numbers N of added texts, over all groups; those beyond a source are left out.
        folds: that choose ρ.
        share: of the base texts that a seed draws.
        most_test: test texts at most.
        strength: C of the penalty, for all arms; chosen by cross-validation for each seed if None.

    Raises:
        ValueError: a number that is too small.
    """

    encoder: str = "tfidf"
    sources: tuple[str, ...] = ()
    sizes: tuple[int, ...] = SIZES
    folds: int = train.FOLDS
    share: float = design.SHARE
    most_test: int = design.MOST_TEST
    strength: float | None = None

    def __post_init__(self) -> None:
        require_at_least("folds", self.folds, 2)
        require_at_least("most_test", self.most_test, 1)
        if not self.sizes:
            raise ValueError("--sizes must name at least one number of added texts; got none.")
        require_at_least("sizes", min(self.sizes), 1)
        if self.strength is not None and not self.strength > 0:
            raise ValueError(f"--strength must be positive; got {self.strength}.")
        if not 0 < self.share <= 1:
            raise ValueError(f"--share must be in (0, 1]; got {self.share}.")


def evaluate(corpus: TextCorpus, seed: int, settings: CurveSettings) -> pd.DataFrame:
    """Records of one seed: each metric of each arm, and its differences.

    ``METRIC_difference`` is to group weighting, ``METRIC_to_human`` to as many human texts in the
    same arm, and ``METRIC_to_uncorrected`` that of ``synthetic_corrected`` to ``synthetic_alpha``.
    ``std_error`` is the standard error over test texts, paired for differences, and
    ``influence`` the change by each block of them, which is the same block in all seeds.

    Raises:
        ValueError: the corpus has no texts for some part, or too few for the folds.
    """
    data = _split(corpus, seed, settings)
    known = encoder(settings.encoder).features(data.frame["text"].tolist())
    # The matrices are small: threads wait for each other longer than they work.
    with threadpool_limits(1):
        trained, strength = _trained(data, known, seed, settings)
    rows = [row for each in trained for row in each.rows(data, _references(each, trained))]
    rows += against(data, trained)
    if settings.encoder == WORDS:
        rows += _exact(data, trained)
    frame = pd.DataFrame(rows)
    return records.validate(
        frame.assign(
            study=STUDY,
            setting=corpus.name,
            encoder=settings.encoder,
            replicate=seed,
            strength=strength,
            share=settings.share,
            n_test=len(data.test),
            converged=all(each.rule.converged for each in trained),
        )
    )


def summary(frame: pd.DataFrame, keys: Sequence[str] = KEYS) -> pd.DataFrame:
    """Means over seeds with 95 % intervals.

    Seeds share their test texts: the influence of a text is averaged over seeds before it is
    squared, and joined with the spread of seeds (:func:`opal.bridge.resampling.crossed_influence`).
    Base texts are drawn from one pool: intervals are of this pool, not of another one.

    Returns:
        A row for each number: ``value``, ``std_error``, ``dof`` (of Student's t), ``lower``,
        ``upper``, ``over_tests`` (standard error of the test texts alone) and ``n_replicates``.
    """
    cells = frame.groupby(list(keys), sort=False, dropna=False)
    found = cells.agg(
        n_replicates=("value", "size"),
        n_real=("n_real", "first"),
        alpha=("alpha", "mean"),
        rho=("rho", "mean"),
        total=("total", "mean"),
    ).reset_index()
    number, influence = cells.ngroup().to_numpy(), frame["influence"].tolist()
    mean, error, dof, over_tests = crossed_influence(frame["value"].to_numpy(), influence, number)
    far = half_width(error, dof)
    ends = {"lower": mean - far, "upper": mean + far}
    return found.assign(value=mean, std_error=error, dof=dof, over_tests=over_tests, **ends)


@dataclass(frozen=True)
class Named:
    """One seed of a corpus that has a name."""

    corpus: str  # its name
    seed: int  # of base texts, orders and folds
    settings: CurveSettings  # how it is evaluated
    hold_out: int = 0  # human texts that are tested on too

    def load(self) -> TextCorpus:
        """The corpus, read once a process."""
        return _load_corpus(self.corpus, hold_out=self.hold_out)


@dataclass(frozen=True)
class Own:
    """One seed of a file of one's own (:mod:`opal.bridge.text.files`)."""

    file: str  # labelled texts
    test: str | None  # more of them to test on; part of the file if None
    synthetic: tuple[str, ...]  # files of texts that a model wrote
    digest: str  # of all files, so that a changed file is evaluated again
    columns: tuple[str | None, ...]  # text, label, attribute, seed, source, id; None to guess
    seed: int  # of base texts, orders and folds
    settings: CurveSettings  # how it is evaluated
    drop_contradictions: bool = False  # whether texts with several labels are left out
    train_on_all: bool = False  # whether no human text is held back

    def load(self) -> TextCorpus:
        """The corpus, read once a process."""
        return _own(
            self.file,
            self.test,
            self.synthetic,
            self.columns,
            self.digest,
            drop_contradictions=self.drop_contradictions,
            train_on_all=self.train_on_all,
            least=min(self.settings.sizes),
        )


def of_corpora(
    names: tuple[str, ...], settings: CurveSettings, seeds: int, *, hold_out: int = 0
) -> list[Cell]:
    """Cells of named corpora, of each of which ``hold_out`` human texts are tested on too.

    Raises:
        UnknownNameError: there is no such corpus.
        ValueError: a corpus cannot be had here, or cannot hold out as many; says why.
    """
    for name in names:
        if (why := published.unavailable(name)) is not None:
            raise ValueError(f"corpus {name!r} cannot be had here: {why}")
    each = [Named(name, 0, settings, hold_out) for name in names]
    for one in each if hold_out else ():
        one.load()
    return [
        Cell(evaluated, replace(one, seed=seed), f"{one.corpus} {settings.encoder} seed {seed}")
        for one in each
        for seed in range(seeds)
    ]


def of_file(
    file: Path,
    test: Path | None,
    columns: tuple[str | None, ...],
    settings: CurveSettings,
    seeds: int,
    synthetic: tuple[Path, ...] = (),
    *,
    drop_contradictions: bool = False,
    train_on_all: bool = False,
) -> list[Cell]:
    """Cells of files of one's own (:class:`Own`), which are read at once: refusals come first.

    Raises:
        ValueError: a file cannot be read, or holds too little.
    """
    every = [file, *([test] if test is not None else []), *synthetic]
    for each in every:
        if not each.is_file():
            raise ValueError(f"labelled texts are read from a file; there is none at {each}.")
    own = Own(
        str(file.absolute()),
        str(test.absolute()) if test is not None else None,
        tuple(str(each.absolute()) for each in synthetic),
        _digest(every),
        columns,
        0,
        settings,
        drop_contradictions,
        train_on_all,
    )
    _split(own.load(), 0, settings)
    return [
        Cell(evaluated, replace(own, seed=seed), f"{file.name} seed {seed}")
        for seed in range(seeds)
    ]


def evaluated(config: Named | Own) -> pd.DataFrame:
    """Records of one seed."""
    return evaluate(config.load(), config.seed, config.settings)


def _split(corpus: TextCorpus, seed: int, settings: CurveSettings) -> SplitData:
    """Who trains and who is tested.

    Each writer needs texts for one size, or it would be left out without a word. Human texts are
    only what others are held against: without them there is no worth, as is told.
    """
    data = design.split_data(
        corpus, seed, chosen=settings.sources, share=settings.share, most_test=settings.most_test
    )
    for writer, order in data.added.items():
        if writer == HUMAN and HUMAN not in settings.sources:
            continue
        if not len(order) and writer in corpus.synthetic:
            _require_seeds(corpus, writer)
        if len(order) < min(settings.sizes):
            raise ValueError(
                f"{writer!r} has {len(order)} texts whose seeds were all drawn, fewer than the "
                f"least of --sizes, {min(settings.sizes)}. Name a smaller size, a larger --share "
                "of the base texts, or other --sources."
            )
    most = max(map(len, data.added.values()), default=0)
    if most < min(settings.sizes):
        raise ValueError(
            f"a writer must have texts for the least of --sizes, {min(settings.sizes)}; the most "
            f"that one has, people included, are {most}. Name a smaller size, or give synthetic "
            "texts, in a column of the source or with --synthetic."
        )
    return data


def _require_seeds(corpus: TextCorpus, writer: str) -> None:
    """Some text of a writer must have been made from human texts that are there."""
    made = corpus.synthetic[writer]
    if not made_from(made, {*corpus.base["id"], *corpus.human["id"], *corpus.test["id"]}).any():
        raise ValueError(
            f"synthetic texts must have seeds among the human ones; of {len(made)} texts of "
            f"{writer!r} none has. Name the column that says what they were made from "
            "(--seed-column), or give the texts that they were made from."
        )


def _trained(
    data: SplitData, known: Features, seed: int, settings: CurveSettings
) -> tuple[list[Trained], float]:
    strength = settings.strength or train.tune_strength(data, known, seed, n_folds=settings.folds)
    tuned = train.tune_weights(data, known, seed, n_folds=settings.folds, strength=strength)
    trainer = train.Trainer(data, known, seed, strength)
    trained = [
        *train.alone(trainer),
        *train.grown(trainer, tuned, settings.sizes),
        *train.pilot(trainer, settings.sizes),
        *train.purchases(trainer, settings.sizes),
    ]
    return trained, strength


def _references(each: Trained, trained: Sequence[Trained]) -> dict[str, Mapping[str, Measure]]:
    """What a rule is compared with, by what the difference is called."""
    found = {"difference": next(t.measured for t in trained if t.arm == REFERENCE)}
    if each.arm in ADDING and each.writer != HUMAN:
        alike = (each.arm, HUMAN, each.added)
        same = [t.measured for t in trained if (t.arm, t.writer, t.added) == alike]
        found |= {"to_human": same[0]} if same else {}
    if each.arm == CORRECTED:
        plain = ("synthetic_alpha", each.writer, each.added)
        same = [t.measured for t in trained if (t.arm, t.writer, t.added) == plain]
        found |= {"to_uncorrected": same[0]}
    return found


def against(data: SplitData, trained: Sequence[Trained]) -> Iterator[dict[str, Any]]:
    """Balanced errors of group-weighted generators' texts, less those of all numbers of human."""
    weighted = [each for each in trained if each.arm == "synthetic_weighting"]
    human = [each for each in weighted if each.writer == HUMAN]
    alone = [each for each in trained if each.arm == REFERENCE]
    for made in (each for each in weighted if human and each.writer != HUMAN):
        own = made.described(data) | {"source": "data", "group": "all", "metric": AGAINST}
        error = made.measured["balanced_error"]
        for other in (*alone, *human):
            difference = error.less(other.measured["balanced_error"])
            yield own | {"against": other.added, **difference.recorded(data.block)}


def _exact(data: SplitData, trained: Sequence[Trained]) -> Iterator[dict[str, Any]]:
    """Exact errors and risks, ``source`` theory.

    Of each rule that was trained (``balanced_error_control`` is what a wrong law, that of the
    biased writer, says of it); of the best rule (arm ``best``); and of the rules that endless texts
    of each writer, given the seeds drawn, would lead to (arm ``limit``).
    """
    exact = measures.exact([each.rule for each in trained])
    for each, found in zip(trained, exact, strict=True):
        same = each.described(data) | {"source": "theory", "influence": None}
        yield from (same | {"metric": name, "value": value} for name, value in found.items())
    same = trained[0].described(data) | {"source": "theory", "influence": None}
    for writer, found in measures.limits(data).items():
        made = writer != "none"
        own = {"arm": "limit" if made else "best", "synthesizer": writer, "alpha": float(made)}
        for name, value in found.items():
            yield same | own | {"metric": name, "value": value}


def _digest(files: Sequence[Path]) -> str:
    parts = [hashlib.sha256(each.read_bytes()).digest() for each in files]
    return hashlib.sha256(b"".join(parts)).hexdigest()


_load_corpus = lru_cache(maxsize=2)(published.load_corpus)


@lru_cache(maxsize=1)
def _own(
    file: str,
    test: str | None,
    synthetic: tuple[str, ...],
    columns: tuple[str | None, ...],
    digest: str,
    *,
    drop_contradictions: bool,
    train_on_all: bool,
    least: int,
) -> TextCorpus:
    held_out, made = None if test is None else Path(test), [*map(Path, synthetic)]
    frame, tested, notes = read_files(
        Path(file),
        held_out,
        made,
        Columns(*columns),
        drop_contradictions=drop_contradictions,
    )
    if _digest([Path(file), *([] if held_out is None else [held_out]), *made]) != digest:
        raise ValueError(
            "files must stay as they are while they are evaluated; one that is read with "
            f"{file} has changed since this began. Run the command again."
        )
    found = corpus_of(frame, tested, name=Path(file).stem, train_on_all=train_on_all, least=least)
    return replace(found, notes=(*notes, *found.notes))
