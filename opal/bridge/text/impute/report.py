"""What an imputation found: JSON-able fields, tables for people, and files."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from opal import plotting, records, spelling
from opal.bridge import render
from opal.bridge.text.corpus import HUMAN, TextCorpus
from opal.bridge.text.encoders import encoder
from opal.bridge.text.impute import claims, published, sources, verdict
from opal.bridge.text.impute.arms import ALL_REAL, ARMS, THRESHOLD, WRITTEN
from opal.bridge.text.impute.evaluate import Learner, Progress, Trial, evaluate, linear
from opal.bridge.text.impute.picture import draw
from opal.bridge.text.impute.task import Task, of_corpus, of_frame
from opal.files import write_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BEYOND_ALWAYS = 0.02
USUAL = (50, 75)
"""Numbers of originals that the paper's claims are about."""


@dataclass(frozen=True, eq=False)
class Imputation:
    """What an imputation found.

    Attributes:
        records: of :func:`opal.bridge.text.impute.claims.summarise`.
        task: that was evaluated.
        trials: how, one for each size that the class is filled to.
        folds: what each fold gave, if it was kept.
    """

    records: pd.DataFrame
    task: Task
    trials: tuple[Trial, ...]
    folds: pd.DataFrame | None = None

    def table(self) -> pd.DataFrame:
        """Mean, corrected error and interval of each arm and measure, a row each."""
        return self.records

    def claims(self) -> pd.DataFrame:
        """What filling gains, and which claims hold (:mod:`opal.bridge.text.impute.claims`)."""
        return claims.claims(self.records)

    def plot(self) -> Figure:
        """F1 of the arms on held-out originals, and the same minus weighting."""
        return draw(self.records)

    def to_html(self) -> str:
        """One page with the picture and the tables, which needs nothing else."""
        name = f"Imputation of {self.task.name}"
        shown = render.Figure(plotting.png(self.plot()), "imputation.png", name)
        return render.html(name, [shown, *blocks(self.result())])

    def result(self) -> dict[str, Any]:
        """What was found, as JSON-able fields."""
        task, trial = self.task, self.trials[0]
        case = ["n_oversampled", "n_min", "arm", "synthesizer"]
        found = [
            {
                "fill_to": int(added + n),
                "n_original": int(n),
                "arm": arm,
                "synthesizer": writer,
                **_measures(part, writer),
            }
            for (added, n, arm, writer), part in self.records.groupby(case, sort=False)
        ]
        found.sort(key=lambda row: (row["fill_to"], row["n_original"], ARMS.index(row["arm"])))
        judged = self.claims().to_dict("records")
        return {
            "protocol": trial.protocol,
            "class": task.category,
            "setting": task.name,
            "fill_to": [each.fill_to for each in self.trials],
            "folds": trial.n_folds,
            "repeats": trial.n_repeats,
            "counts": {
                "originals": len(task.originals),
                "spare": len(task.spare),
                "others": {str(k): int(v) for k, v in task.others["label"].value_counts().items()},
                "synthetic": {name: len(frame) for name, frame in task.synthetic.items()},
            },
            "arms": found,
            "claims": [row | {"sentence": self._sentence(row)} for row in judged],
            "notes": [*task.notes, *self._notes(judged)],
        }

    def _sentence(self, row: Mapping[str, Any]) -> str:
        return verdict.PUBLISHED if self.trials[0].is_published else verdict.sentence(row)

    def write(self, out: Path) -> dict[str, Any]:
        """Write records, picture and a page in Markdown to a folder; the result, and where."""
        trials = [asdict(trial) for trial in self.trials]
        metadata = {"trials": trials, **records.provenance()}
        path = records.write(self.records, out / "imputation.parquet", metadata=metadata)
        figure, page = out / "imputation.png", out / "imputation.md"
        plotting.save(self.plot(), figure)
        found, title = self.result(), f"Imputation of {self.task.name}"
        shown = render.Figure(b"", figure.name, title)
        write_text(page, render.markdown(title, [shown, *blocks(found)]))
        return found | {"records": str(path), "figure": str(figure), "page": str(page)}

    def _notes(self, judged: Sequence[Mapping[str, Any]]) -> list[str]:
        found = [
            note for trial in self.trials for note in _notes(self._of(trial), self.task, trial)
        ]
        warned = [f"{_named(row)}: {said}" for row in judged for said in verdict.warnings(row)]
        return [*dict.fromkeys(found), *warned]

    def _of(self, trial: Trial) -> pd.DataFrame:
        table = self.records
        return table[table["n_min"] + table["n_oversampled"] == trial.fill_to]


def imputation(
    task: Task,
    trials: Sequence[Trial],
    learner: Learner,
    *,
    source: str = "data",
    progress: Progress | None = None,
) -> Imputation:
    """What an :func:`~opal.bridge.text.impute.evaluate.evaluate` finds, as records of a source."""
    folds = [evaluate(task, trial, learner, progress) for trial in trials]
    return joined(task, trials, folds, source=source)


def joined(
    task: Task, trials: Sequence[Trial], folds: Sequence[pd.DataFrame], *, source: str
) -> Imputation:
    """The imputation of a task, from the folds of each trial."""
    pairs = list(zip(folds, trials, strict=True))
    tables = [claims.summarise(part, task, trial, source=source) for part, trial in pairs]
    kept = [part.assign(fill_to=trial.fill_to) for part, trial in pairs]
    table, every = (pd.concat(each, ignore_index=True) for each in (tables, kept))
    return Imputation(table, task, tuple(trials), every)


def impute_texts(
    texts: TextCorpus | pd.DataFrame,
    category: str | None = None,
    *,
    n_original: Sequence[int] = (),
    fill_to: int | Sequence[int] = 200,
    n_others: int | None = None,
    n_folds: int = 10,
    n_repeats: int = 10,
    arms: Sequence[str] = ARMS,
    features: str = "tfidf",
    seed: int = 0,
    progress: Progress | None = None,
) -> Imputation:
    """Fill a small class with synthetic texts, and say what that does to its F1.

    Args:
        texts: a corpus, or a table of original texts and of synthetic ones with their seeds.
        category: the class that is filled; by default the smallest one.
        n_original: texts of the class that count as at hand; all by default.
        fill_to: originals and synthetic texts of the class together; several are several cases.
        n_others: texts of each other class, at most; None for all.
        n_folds: of the cross-validation.
        n_repeats: of it, each with another draw of the originals.
        arms: of :data:`opal.bridge.text.impute.arms.ARMS`; those without texts are left out.
        features: of :data:`opal.bridge.text.encoders.ENCODERS`, or the folder or hub name of a
            transformer.
        seed: of all draws.
        progress: told how many folds are done, and of how many.

    Raises:
        ValueError: too few texts, or numbers that do not fit one another.
        UnknownNameError: there is no such class, arm or encoder.
    """
    task = task_of(texts, category, n_others=n_others)
    trials = [
        Trial(sizes(task, n_original, each), each, n_folds, n_repeats, tuple(arms), seed)
        for each in ([fill_to] if isinstance(fill_to, int) else fill_to)
    ]
    return imputation(task, trials, linear(encoder(features)), progress=progress)


def task_of(
    texts: TextCorpus | pd.DataFrame,
    category: str | None,
    *,
    name: str = "own",
    n_others: int | None = None,
) -> Task:
    """The task of a corpus, or of a table of that name; by default of its smallest class.

    Of a corpus it is the smallest class with as many texts as the paper's claims are about, if any
    but the largest class has them.
    """
    category = category and spelling.name(category)
    if isinstance(texts, TextCorpus):
        return of_corpus(texts, category or _smallest(texts.base, USUAL[0]), n_others=n_others)
    chosen = category or _smallest(texts)
    return of_frame(texts, chosen, name=f"{name}/{chosen}", n_others=n_others)


def sizes(
    task: Task, asked: Sequence[int], fill_to: int, usual: Sequence[int] = ()
) -> tuple[int, ...]:
    """Numbers of originals: those asked for, or of the usual ones and all those that fit."""
    have = len(task.originals)
    fitting = [n for n in (*usual, have) if n <= have and n < fill_to] or [have]
    return tuple(sorted(set(asked or fitting)))


def blocks(found: Mapping[str, Any]) -> list[render.Block]:
    """Arms, claims, notes and verdicts, of :meth:`Imputation.result`."""
    shown: list[render.Block] = [_arm_table(found, fill_to) for fill_to in found["fill_to"]]
    said = [*map(claim, found["claims"]), *(f"note: {note}" for note in found["notes"])]
    said += [f"{name}: {found[name]}" for name in ("figure", "page", "records") if name in found]
    shown += map(render.Paragraph, said)
    judged = [(f"{_named(row)}:", row["sentence"]) for row in found["claims"]]
    return shown + ([render.Heading("Verdict", 3), render.Items(judged)] if judged else [])


def _arm_table(found: Mapping[str, Any], fill_to: int) -> render.Table:
    is_published = found["protocol"] == published.PUBLISHED
    rows = [
        [str(row["n_original"]), row["arm"], row["synthesizer"].replace("none", "")]
        + [_cell(row.get(metric)) for metric in _shown(row["arm"], is_published=is_published)]
        for row in found["arms"]
        if row["fill_to"] == fill_to
    ]
    compared = "differences are to rules with the same kind of threshold"
    last = ("minus all real", "minus weighting")
    if is_published:
        compared = "F1 mixed, from which all real is taken, is on both together"
        last = ("F1 mixed", "minus all real")
    title = (
        f"{found['setting']}: filled to {fill_to}, {found['repeats']} x {found['folds']} folds; 95 "
        f"% corrected intervals; gap is F1 on synthetic minus on original texts; {compared}"
    )
    head = ("originals", "arm", "texts by", "F1", "gap", *last)
    return render.Table(head, rows, title)


def _shown(arm: str, *, is_published: bool) -> tuple[str, ...]:
    if is_published:
        return "f1", "gap", "f1_mixed", claims.MIXED
    moved = THRESHOLD if arm.endswith(THRESHOLD) else ""
    return "f1", "gap", f"f1_minus_{ALL_REAL}{moved}", f"f1_minus_weighting{moved}"


def claim(row: Mapping[str, Any]) -> str:
    """What a row of :func:`opal.bridge.text.impute.claims.claims` says of the published claims."""
    judged = str(row["full_sample"])
    if row["n_full"] < row["n_asked"]:
        judged += f", for all_real has {row['n_full']} of {row['n_asked']} texts"
    elif not math.isnan(row["difference"]):
        judged += f" {interval(row['difference'], row['lower'], row['upper'])}"
    beyond = "".join(_ablation(row, *pair) for pair in claims.ABLATIONS)
    return f"{_named(row)}: as good as a full sample: {judged}; {_gap(row)}{beyond}"


def _gap(row: Mapping[str, Any]) -> str:
    if math.isnan(row["gap"]):
        return f"gap: {row['gap_published']}"
    real = row["gap_all_real"]
    easy = "" if math.isnan(real) else f"; {real:+.3f} with original texts alone"
    ends = interval(row["gap"], row["gap_lower"], row["gap_upper"])
    return f"gap {ends} (2 to 4 % published: {row['gap_published']}{easy})"


def _named(row: Mapping[str, Any]) -> str:
    return f"{row['n_original']} originals filled to {row['fill_to']} by {row['synthesizer']}"


def _smallest(frame: pd.DataFrame, least: int = 0) -> str:
    """The class with the fewest texts, and with no fewer than asked for if a small one has them."""
    counts = frame.drop_duplicates("id")["label"].value_counts().sort_index()
    enough = counts[(counts >= least) & (counts < counts.max())]
    return str((enough if len(enough) else counts).idxmin())


def _measures(part: pd.DataFrame, writer: str) -> dict[str, Any]:
    """Each metric with its interval; those on synthetic texts of arms without any, by writer."""
    own = part["tested"].isin(["human", writer])
    names = part["metric"].where(own, part["metric"] + " on " + part["tested"])
    return part.set_index(names)[["value", "lower", "upper"]].to_dict("index")


def _notes(table: pd.DataFrame, task: Task, trial: Trial) -> list[str]:
    """What was not done, and where texts did not suffice."""
    notes = [published.NOTE] if trial.is_published else []
    arms = set(table["arm"])
    full = {ALL_REAL, f"{ALL_REAL}{THRESHOLD}"}
    if not full & arms and full & set(trial.arms):
        notes.append(
            f"no full sample: there are no texts of {task.category!r} beyond the originals at hand"
        )
    if "ssmba" not in arms and "ssmba" in trial.arms:
        notes.append(
            "no SSMBA: name a masked language model with --masked-model, or, of a corpus, "
            f"{sources.GROWN!r}"
        )
    if not task.synthetic:
        notes.append("no synthetic texts: name a model with --model or --local, or --synthetic")
    filled = table[table["metric"] == "n_trained"].set_index("arm")["value"]
    wanted = trial.fill_to * (1 - 1 / trial.n_folds)
    short = filled[filled.index.isin(WRITTEN) & (filled < 0.98 * wanted)]
    n_seeds, n_full = len(task.originals), len(task.originals) + len(task.spare)
    notes += [
        f"{n} originals at hand: synthetic texts were made from {n_seeds} of them"
        for n in trial.n_originals
        if task.synthetic and n > n_seeds
    ]
    n_class = min(n_full, trial.fill_to)
    always = 2 * n_class / (2 * n_class + len(task.others))
    best = table.loc[(table["metric"] == "f1") & (table["tested"] == HUMAN), "value"].max()
    if best < always + _BEYOND_ALWAYS and not trial.is_published:
        notes.append(
            f"to say {task.category!r} of every text has F1 {always:.3f} in this mix of classes, "
            f"and no arm much more ({best:.3f}): these numbers tell no rules apart. More texts of "
            "other classes do: add some, or raise --others where it leaves some out"
        )
    if full & arms and n_full < trial.fill_to:
        notes.append(
            f"no full sample: {task.category!r} has {n_full} original texts, all_real has no more"
        )
    return notes + [
        f"{arm}: too few texts to fill with, {short.loc[[arm]].min():.0f} of {wanted:.0f} in a fold"
        for arm in short.index.unique()
    ]


def interval(value: float, lower: float, upper: float) -> str:
    """A difference and the ends of its interval; nothing where it is not known."""
    return "" if math.isnan(value) else f"{value:+.3f} ({lower:+.3f}, {upper:+.3f})"


def _cell(found: Mapping[str, float] | None) -> str:
    if found is None:
        return ""
    if found["lower"] == found["upper"]:
        return f"{found['value']:.3f} in all folds"
    return "{value:.3f} ({lower:.3f}, {upper:.3f})".format(**found)


def _ablation(row: Mapping[str, Any], arm: str, reference: str) -> str:
    """What an arm has over another, where it is known; the table has what is over weighting."""
    if reference == "drawn_seeds" and row.get("same_texts") is True:
        return f"; {arm} and {reference} have the same texts"
    names = {metric: f"{arm}_{metric}_minus_{reference}" for metric in ("f1", "gap")}
    known = [
        f"{metric} {interval(row[name], row[f'{name}_lower'], row[f'{name}_upper'])}"
        for metric, name in names.items()
        if reference != "weighting" and not math.isnan(row.get(name, math.nan))
    ]
    return f"; {arm} minus {reference}: {', '.join(known)}" if known else ""
