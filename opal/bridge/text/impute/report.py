"""What an imputation found: JSON-able fields, tables for people, and a picture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

import pandas as pd

from opal.bridge import render
from opal.bridge.text.corpus import TextCorpus
from opal.bridge.text.encoders import encoder
from opal.bridge.text.impute import claims, sources
from opal.bridge.text.impute.arms import ALL_REAL, ARMS, WRITTEN
from opal.bridge.text.impute.evaluate import Learner, Progress, Trial, evaluate, linear
from opal.bridge.text.impute.task import Task, of_corpus, of_frame
from opal.plotting import SERIES, paper_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

USUAL = (50, 75)
"""Numbers of originals that the paper's claims are about."""
_SHOWN = ("f1", "gap", "f1_minus_all_real", "f1_minus_weighting")
_APART = 0.5  # between two arms, all numbers of originals stand within so much


@dataclass(frozen=True, eq=False)
class Imputation:
    """What an imputation found.

    Attributes:
        records: of :func:`opal.bridge.text.impute.claims.summarise`.
        task: that was evaluated.
        trial: how.
        folds: what each fold gave, if it was kept.
    """

    records: pd.DataFrame
    task: Task
    trial: Trial
    folds: pd.DataFrame | None = None

    def table(self) -> pd.DataFrame:
        """Mean, corrected error and interval of each arm and measure, a row each."""
        return self.records

    def claims(self) -> pd.DataFrame:
        """Whether the published claims hold (:func:`opal.bridge.text.impute.claims.claims`)."""
        return claims.claims(self.records)

    def plot(self) -> Figure:
        """F1 of the arms on held-out originals, and the same minus weighting."""
        return draw(self.records)

    def to_html(self) -> str:
        """One page with the picture and the tables, which needs nothing else."""
        picture = BytesIO()
        self.plot().savefig(picture, format="png", dpi=160)
        name = f"Imputation of {self.task.name}"
        shown = render.Figure(picture.getvalue(), "imputation.png", name)
        return render.html(name, [shown, *blocks(self.result())])

    def result(self) -> dict[str, Any]:
        """What was found, as JSON-able fields."""
        table, task, trial = self.records, self.task, self.trial
        found = [
            {"n_original": int(n), "arm": arm, "synthesizer": writer, **_measures(part, writer)}
            for (n, arm, writer), part in table.groupby(["n_min", "arm", "synthesizer"], sort=False)
        ]
        found.sort(key=lambda row: (row["n_original"], ARMS.index(row["arm"])))
        return {
            "class": task.category,
            "setting": task.name,
            "fill_to": trial.fill_to,
            "folds": trial.n_folds,
            "repeats": trial.n_repeats,
            "counts": {
                "originals": len(task.originals),
                "spare": len(task.spare),
                "others": {str(k): int(v) for k, v in task.others["label"].value_counts().items()},
                "synthetic": {name: len(frame) for name, frame in task.synthetic.items()},
            },
            "arms": found,
            "claims": self.claims().to_dict("records"),
            "notes": [*task.notes, *_notes(table, task, trial)],
        }


def imputation(
    task: Task,
    trial: Trial,
    learner: Learner,
    *,
    source: str = "data",
    progress: Progress | None = None,
) -> Imputation:
    """What an :func:`~opal.bridge.text.impute.evaluate.evaluate` finds, as records of a source."""
    folds = evaluate(task, trial, learner, progress)
    records = claims.summarise(folds, task, trial, source=source)
    return Imputation(records, task, trial, folds)


def impute_texts(
    texts: TextCorpus | pd.DataFrame,
    category: str | None = None,
    *,
    n_original: Sequence[int] = (),
    fill_to: int = 200,
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
        fill_to: originals and synthetic texts of the class together.
        n_others: texts of each other class, at most; None for all.
        n_folds: of the cross-validation.
        n_repeats: of it, each with another draw of the originals.
        arms: of :data:`opal.bridge.text.impute.arms.ARMS`; those without texts are left out.
        features: ``tfidf``, ``minilm``, or the folder or hub name of a transformer.
        seed: of all draws.
        progress: told how many folds are done, and of how many.

    Raises:
        ValueError: too few texts, or numbers that do not fit one another.
        UnknownNameError: there is no such class, arm or encoder.
    """
    task = task_of(texts, category, n_others=n_others)
    found = sizes(task, n_original, fill_to)
    trial = Trial(found, fill_to, n_folds, n_repeats, tuple(arms), seed)
    return imputation(task, trial, linear(encoder(features)), progress=progress)


def task_of(
    texts: TextCorpus | pd.DataFrame,
    category: str | None,
    *,
    name: str = "own",
    n_others: int | None = None,
) -> Task:
    """The task of a corpus, or of a table of that name; by default of its smallest class.

    Of a corpus it is the smallest class with as many texts as the paper's claims are about.
    """
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
    """Arms, verdicts and notes, of :meth:`Imputation.result`."""
    rows = [
        [str(row["n_original"]), row["arm"], row["synthesizer"].replace("none", "")]
        + [_cell(row.get(metric)) for metric in _SHOWN]
        for row in found["arms"]
    ]
    title = (
        f"{found['setting']}: filled to {found['fill_to']}, {found['repeats']} x "
        f"{found['folds']} folds; 95 % corrected intervals; gap is F1 on synthetic minus on "
        "original texts"
    )
    head = ("originals", "arm", "texts by", "F1", "gap", "minus all real", "minus weighting")
    said = [*map(claim, found["claims"]), *(f"note: {note}" for note in found["notes"])]
    return [render.Table(head, rows, title), *map(render.Paragraph, said)]


def draw(records: pd.DataFrame) -> Figure:
    """F1 of the arms of one task on held-out originals, and the same minus weighting."""
    from matplotlib.figure import Figure

    own = records[records["tested"] == "human"]
    known = own[["arm", "synthesizer"]].drop_duplicates().itertuples(index=False, name=None)
    arms = sorted(known, key=lambda each: (each[0] == ALL_REAL, ARMS.index(each[0])))
    with paper_style():
        figure = Figure(figsize=(7.2, 1.2 + 0.3 * len(arms)), layout="constrained")
        panels = figure.subplots(1, 2, sharey=True)
        for axes, metric in zip(panels, ("f1", "f1_minus_weighting"), strict=True):
            _intervals(axes, own[own["metric"] == metric], arms)
        said = [arm if writer in ("none", arm) else f"{arm}, {writer}" for arm, writer in arms]
        panels[0].set_yticks(range(len(arms)), labels=said)
        panels[0].invert_yaxis()
        panels[0].set_xlabel("F1 on held-out originals")
        panels[1].set_xlabel("the same minus weighting (paired)")
        panels[1].axvline(0, color="black", linewidth=0.8)
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=4)
    return figure


def claim(row: Mapping[str, Any]) -> str:
    """A row of :func:`opal.bridge.text.impute.claims.claims` in a line."""
    real = row["gap_all_real"]
    easy = "" if math.isnan(real) else f"; {real:+.3f} with original texts alone"
    judged = str(row["full_sample"])
    if judged == claims.NOT_JUDGED:
        judged += f", for all_real has {row['n_full']} of {row['n_asked']} texts"
    beyond = "".join(_ablation(row, *pair) for pair in claims.ABLATIONS)
    return (
        f"{row['n_original']} originals with {row['synthesizer']}: as good as a full "
        f"sample: {judged}; gap {row['gap']:+.3f} (2 to 4 % published: "
        f"{row['gap_published']}{easy}){beyond}"
    )


def _smallest(frame: pd.DataFrame, least: int = 0) -> str:
    """The class with the fewest texts, and with no fewer than asked for if there is one."""
    counts = frame.drop_duplicates("id")["label"].value_counts().sort_index()
    enough = counts[counts >= least]
    return str((enough if len(enough) else counts).idxmin())


def _intervals(axes: Axes, rows: pd.DataFrame, arms: list[tuple[str, str]]) -> None:
    """Means with their intervals, lying; a look for each number of originals."""
    sizes = sorted(set(rows["n_min"]))
    for index, n in enumerate(sizes):
        at = (index - (len(sizes) - 1) / 2) * _APART / max(len(sizes) - 1, 1)
        look, part = SERIES[index % len(SERIES)], rows[rows["n_min"] == n]
        axes.errorbar(
            part["value"],
            [arms.index(key) + at for key in zip(part["arm"], part["synthesizer"], strict=True)],
            xerr=[part["value"] - part["lower"], part["upper"] - part["value"]],
            fmt=look.marker,
            color=look.colour,
            label=f"{n} originals",
        )


def _measures(part: pd.DataFrame, writer: str) -> dict[str, Any]:
    """Each metric with its interval; those on synthetic texts of arms without any, by writer."""
    own = part["tested"].isin(["human", writer])
    names = part["metric"].where(own, part["metric"] + " on " + part["tested"])
    return part.set_index(names)[["value", "lower", "upper"]].to_dict("index")


def _notes(table: pd.DataFrame, task: Task, trial: Trial) -> list[str]:
    """What was not done, and where texts did not suffice."""
    notes = []
    arms = set(table["arm"])
    if ALL_REAL not in arms and ALL_REAL in trial.arms:
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
    n_full = len(task.originals) + len(task.spare)
    if ALL_REAL in arms and n_full < trial.fill_to:
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
    return "" if found is None else "{value:.3f} ({lower:.3f}, {upper:.3f})".format(**found)


def _ablation(row: Mapping[str, Any], arm: str, reference: str) -> str:
    """What an arm has over another, where it is known; the table has what is over weighting."""
    names = {metric: f"{arm}_{metric}_minus_{reference}" for metric in ("f1", "gap")}
    known = [
        f"{metric} {interval(row[name], row[f'{name}_lower'], row[f'{name}_upper'])}"
        for metric, name in names.items()
        if reference != "weighting" and not math.isnan(row.get(name, math.nan))
    ]
    return f"; {arm} minus {reference}: {', '.join(known)}" if known else ""
