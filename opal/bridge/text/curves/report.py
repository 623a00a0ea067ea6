"""What an evaluation of texts found: records on disk, and tables for people."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from opal import plotting, records, validation
from opal.bridge import render
from opal.bridge.render import between, signed
from opal.bridge.text.corpus import HUMAN, TextCorpus
from opal.bridge.text.curves import picture
from opal.bridge.text.curves.design import CORRECTED
from opal.bridge.text.curves.evaluate import AGAINST, TRIED, CurveSettings, evaluate, summary
from opal.bridge.text.curves.exchange import METRIC, most_added
from opal.bridge.text.curves.measures import METRICS
from opal.bridge.text.curves.plan import comparison
from opal.bridge.text.curves.verdict import sentence

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_HEADS = ("macro-F1", "balanced error", "worst error", "log loss", "calibration error")
_TO_UNCORRECTED = f"{METRIC}_to_uncorrected"
Row = Mapping[str, Any]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What an evaluation (:mod:`opal.bridge.text.curves.evaluate`) found.

    Attributes:
        records: of all corpora and seeds.
        settings: what was asked for.
        notes: what one must know of the texts of each corpus before one trusts a number.
    """

    records: pd.DataFrame
    settings: Mapping[str, Any] = field(default_factory=dict)
    notes: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def table(self) -> pd.DataFrame:
        """Means over seeds with 95 % intervals, a row for each arm, N, metric and group."""
        return summary(self.records)

    def worth(self) -> pd.DataFrame:
        """Floor, worth in human texts and plan of each writer of added texts, at its largest N.

        The columns are those of :func:`opal.bridge.text.curves.plan.comparison`.
        """
        return self._compared

    @cached_property
    def _compared(self) -> pd.DataFrame:
        return comparison(self.records)

    def plot(self) -> Figure:
        """A column for each corpus and encoder, a row for each metric."""
        import matplotlib as mpl

        with mpl.rc_context(picture.STYLE):
            return picture.draw(self.records, self._compared)

    def to_html(self) -> str:
        """One page with the picture and the tables, which needs nothing else."""
        shown = render.Figure(plotting.png(self.plot()), "text.png", "Learning curves")
        return render.html("Evaluation of synthetic texts", [shown, *blocks(self.result())])

    def result(self) -> dict[str, Any]:
        """Arms, and what each writer is worth, as JSON-able fields."""
        return {
            "settings": dict(self.settings),
            "arms": _arms(self.records),
            "sources": [_plain(row) for row in self._compared.to_dict("records")],
            "corrections": corrections(self.records),
            "notes": {corpus: list(said) for corpus, said in self.notes.items() if said},
        }

    def write(self, out: Path) -> dict[str, Any]:
        """Write records and picture to a folder; the result, and where they are."""
        metadata = {"settings": dict(self.settings), **records.provenance()}
        path = records.write(self.records, out / "text.parquet", metadata=metadata)
        figure = out / "text.png"
        plotting.save(self.plot(), figure)
        return self.result() | {"records": str(path), "figure": str(figure)}


def evaluate_texts(
    *corpora: TextCorpus, seeds: int = 10, progress: Progress | None = None, **settings: Any
) -> Evaluation:
    """What N texts of a language model add to a few labelled ones, arm by arm.

    Args:
        corpora: with base, test and synthetic texts.
        seeds: draws of base texts.
        progress: told how many seeds of corpora are done, and of how many.
        settings: of :class:`opal.bridge.text.curves.evaluate.CurveSettings`, such as ``encoder``,
            ``sizes``, ``sources``, ``share``.

    Raises:
        ValueError: a number that is too small, or a corpus without texts for some part.
    """
    validation.require_at_least("seeds", seeds, 1)
    chosen, parts = CurveSettings(**settings), []
    for corpus in corpora:
        for seed in range(seeds):
            parts.append(evaluate(corpus, seed, chosen))
            if progress is not None:
                progress(len(parts), seeds * len(corpora))
    notes = {corpus.name: corpus.notes for corpus in corpora}
    return Evaluation(pd.concat(parts, ignore_index=True), asdict(chosen), notes)


def blocks(result: Mapping[str, Any]) -> list[render.Block]:
    """Arms, worths, plans and what came of them, and notes, of :meth:`Evaluation.result`."""
    sources = result["sources"]
    bought = [row for row in sources if row["source"] != HUMAN]
    shown: list[render.Block] = [_arm_table(result["arms"]), _worth_table(sources)]
    shown += [_plan_table(bought)] if bought else []
    shown += [render.Paragraph(note) for note in _notes(sources)]
    shown += [render.Paragraph(_correction(row)) for row in result.get("corrections", ())]
    if told := result.get("notes"):
        every = [(f"{corpus}:", note) for corpus, notes in told.items() for note in notes]
        shown += [render.Heading("What to know of these texts", 3), render.Items(every)]
    files = (name for name in ("figure", "records") if name in result)
    shown += [render.Paragraph(f"{name}: {result[name]}") for name in files]
    judged = [(f"{_named(row)}:", sentence(row)) for row in bought if row.get("verdict")]
    return shown + ([render.Heading("Verdict", 3), render.Items(judged)] if judged else [])


def _arms(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Every metric of the arms without added texts, and of the others with the most of them.

    The most are those that all seeds have.
    """
    of_arms = (frame["source"] == "data") & ~frame["arm"].isin(TRIED)
    table = summary(frame[of_arms & (frame["metric"] != AGAINST)])
    rule = ["setting", "encoder", "synthesizer", "arm"]
    table = table[table["n_replicates"] == table.groupby(rule)["n_replicates"].transform("max")]
    last = table[table["added"] == table.groupby(rule)["added"].transform("max")]
    found = []
    for key, rows in last.groupby([*rule, "added"], sort=False):
        values = rows[rows["group"] == "all"].set_index("metric")
        metrics = {
            str(name): {"estimate": value, "ci": [low, high]}
            for name, value, low, high in values[["value", "lower", "upper"]].itertuples()
        }
        found.append(dict(zip([*rule, "added"], key, strict=True)) | {"metrics": metrics})
    return found


def corrections(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The λ of ``synthetic_corrected`` in each draw, and what the correction changes.

    A row for each corpus, encoder and writer, people apart, with the most texts that all draws
    have. ``corrections`` is empty where the arm does not exist, ``lost`` says in how many draws a
    λ > 0 was given up, and ``change`` is the balanced error less that of ``synthetic_alpha``.
    """
    made = (frame["source"] == "data") & (frame["group"] == "all") & (frame["added"] > 0)
    made &= frame["metric"].isin((METRIC, _TO_UNCORRECTED)) & (frame["synthesizer"] != HUMAN)
    found = []
    for key, rows in frame[made].groupby(["setting", "encoder", "synthesizer"], sort=False):
        said: dict[str, Any] = dict(zip(("setting", "encoder", "source"), key, strict=True))
        own = rows[(rows["arm"] == CORRECTED) & (rows["metric"] == _TO_UNCORRECTED)]
        said |= {"corrections": [], "lost": 0, "change": None}
        if len(own):
            own = own[own["added"] == most_added(own.rename(columns={"replicate": "seed"}))]
            said |= {"corrections": own["correction"].tolist(), "lost": int(own["lost"].sum())}
            (row,) = summary(own).to_dict("records") if len(own) > 1 else ({},)
            said |= {"added": int(own["added"].iloc[0])}
            ends = [row.get("lower"), row.get("upper")]
            said |= {"change": {"estimate": row["value"], "ci": ends}} if row else {}
        found.append(said)
    return found


def _correction(row: Row) -> str:
    """Which λ were chosen, and what that changed, or why there is no corrected arm."""
    chosen, lost, named = row["corrections"], row["lost"], f"{_named(row)}: "
    if not chosen:
        return (
            f"{named}no {CORRECTED}: none of its texts is of the largest class, where alone there "
            "are real ones enough to see a bias. Write texts of every class."
        )
    n, taken = len(chosen), sum(each > 0 for each in chosen)
    given_up = f" In {lost} draws the fit had no minimum, and 0 is used." if lost else ""
    if not taken:
        return f"{named}{CORRECTED} is synthetic_alpha: its λ is 0 in all {n} draws.{given_up}"
    said = f"{named}{CORRECTED} has λ > 0 in {taken} of {n} draws, {np.mean(chosen):.2f} on average"
    if (change := row["change"]) is None:
        return f"{said}.{given_up}"
    changed = f"{signed(change['estimate'])} {between(*change['ci'])}"
    return f"{said}, which changes the balanced error of synthetic_alpha by {changed}.{given_up}"


def _plain(row: Mapping[Any, Any]) -> dict[str, Any]:
    """JSON has no infinity and no missing number: both are null, ``worth_beyond`` tells which."""
    plain = {
        str(name): None if isinstance(value, float) and not np.isfinite(value) else value
        for name, value in row.items()
    }
    return plain | {"worth_beyond": bool(row.get("worth") == np.inf)}


def _arm_table(arms: Sequence[Row]) -> render.Table:
    rows = [
        [arm[k] for k in ("setting", "encoder", "arm", "synthesizer")]
        + [f"{arm['added']:,}", *(_cell(arm["metrics"], name) for name in METRICS)]
        for arm in arms
    ]
    note = "In brackets: difference to weighting, * where its 95 % interval excludes 0."
    return render.Table(("corpus", "encoder", "arm", "source", "N", *_HEADS), rows, "Arms", note)


def _cell(metrics: Mapping[str, Any], name: str) -> str:
    value, change = metrics[name]["estimate"], metrics[f"{name}_difference"]
    low, high = change["ci"]
    if low == high == 0:
        return f"{value:.3f}"
    sure = "*" if low > 0 or high < 0 else ""
    return f"{value:.3f} ({change['estimate']:+.3f}{sure})"


def _worth_table(sources: Sequence[Row]) -> render.Table:
    rows = [
        [row[k] for k in ("setting", "encoder", "source")]
        + [f"{row['added']:,}", _between(row, "floor", "{:.3f}")]
        + ["" if row["source"] == HUMAN else _between(row, "worth", "{:,.0f}")]
        for row in sources
    ]
    head = ("corpus", "encoder", "source", "N", "floor of the error", "worth in human texts")
    return render.Table(head, rows, "What added texts are worth")


def _plan_table(sources: Sequence[Row]) -> render.Table:
    rows = [[row[k] for k in ("setting", "encoder", "source")] + _planned(row) for row in sources]
    gains = ("gain promised", "gain measured", "less error", "best in hindsight")
    note = (
        "Gains in log loss over weighting, of the trained purchase that is nearest to what the "
        "plan likes best; ± is half of the 95 % interval, * where it excludes 0."
    )
    title = "What a pilot on half of the texts advises, and what came of it"
    head = ("corpus", "encoder", "source", "plan", "N", "α", *gains)
    return render.Table(head, rows, title, note)


def _planned(row: Row) -> list[str]:
    if row.get("advice") is None:
        return ["-"] * 7
    best = "none"
    if row["best_added"]:
        best = f"{row['best']:+.3f}, {row['best_added']:,.0f} at {row['best_alpha']:g}"
    return [
        row["advice"],
        f"{row['tried']:,.0f}",
        f"{row['tried_alpha']:g}",
        _between(row, "promised", "{:+.3f}"),
        _starred(row["measured"], row["measured_far"]),
        _starred(row["less_error"], row["less_error_far"]),
        best,
    ]


def _starred(value: float, far: float) -> str:
    return f"{value:+.3f} ± {far:.3f}" + ("*" if abs(value) > far else "")


def _notes(sources: Sequence[Row]) -> Iterator[str]:
    """Why a number is missing, and plans that came out wrong, a line each."""
    for row in sources:
        named = _named(row)
        for missing in ("floor", "worth", "plan"):
            why = row.get(f"{missing}_why")
            if why and not (missing == "plan" and row.get("advice")):
                yield f"{named}: no {missing}: {why}"
        if row["source"] != HUMAN and not row.get("verdict"):
            yield f"{named}: no verdict: it needs two draws (--seeds) with added texts."
        if row.get("advice") == "buy" and row.get("came") == "loss":
            yield f"{named}: the plan says buy, and the purchase made the log loss worse."
        if row.get("advice") in ("none", "open") and row.get("came") == "gain":
            yield f"{named}: the plan does not say buy, and the purchase lowered the log loss."


def _named(row: Row) -> str:
    return f"{row['setting']}, {row['encoder']}, {row['source']}"


def _between(row: Row, name: str, form: str) -> str:
    """``0.2 [0.1, 0.3]``; a number that is beyond all human texts is called so."""
    low, high = row.get(f"{name}_low"), row.get(f"{name}_high")
    beyond = name == "worth" and bool(row.get("worth_beyond"))
    if row.get(name) is None and not beyond:
        return "-"
    best = "beyond all" if beyond else form.format(row[name])
    ends = [form.format(end) if end is not None else "beyond" for end in (low, high)]
    return f"{best} [{ends[0]}, {ends[1]}]"
