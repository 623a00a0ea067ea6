"""What an evaluation of texts found: records on disk, a picture, and tables for people."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from opal import plotting, records, validation
from opal.bridge import render
from opal.bridge.text.corpus import HUMAN, TextCorpus
from opal.bridge.text.curves import exchange
from opal.bridge.text.curves.evaluate import AGAINST, TRIED, CurveSettings, evaluate, summary
from opal.bridge.text.curves.measures import METRICS
from opal.bridge.text.curves.plan import comparison
from opal.bridge.text.curves.verdict import sentence
from opal.bridge.text.encoders import WORDS
from opal.files import write_atomically
from opal.plotting import Look

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_HEADS = ("macro-F1", "balanced error", "worst error", "log loss", "calibration error")
Row = Mapping[str, Any]
Progress = Callable[[int, int], None]
STYLE: dict[Any, Any] = {**plotting.PAPER, "axes.titlesize": 7.5, "savefig.dpi": "figure"}
# Metric, arm, and what the axis says.
ROWS: Sequence[tuple[str, str, str]] = (
    ("macro_f1", "synthetic_weighting", "macro-F1"),
    ("balanced_error", "synthetic_weighting", "balanced error"),
    ("worst_error", "synthetic_weighting", "worst-group error"),
    ("balanced_risk", "synthetic_alpha", "log loss (nats),\nfitted α"),
)
LABELS: Mapping[str, str] = {
    HUMAN: "human",
    "gpt-4": "GPT-4",
    "llama-2-70b": "Llama-2-70B",
    "faithful": "faithful writer",
    "biased": "biased writer",
}
ENCODERS: Mapping[str, str] = {"minilm": "MiniLM", "tfidf": "tf-idf", WORDS: "words"}
BASELINES: Mapping[str, Look] = {
    "weighting": Look("#000000", "", "-"),
    "threshold": Look("#7f7f7f", "", (0, (1, 1.5))),
}
_SPREAD = 1.06  # writers stand beside each other at each size


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

        with mpl.rc_context(STYLE):
            return draw(self.records, self._compared)

    def to_html(self) -> str:
        """One page with the picture and the tables, which needs nothing else."""
        picture = BytesIO()
        self._save(picture)
        shown = render.Figure(picture.getvalue(), "text.png", "Learning curves")
        return render.html("Evaluation of synthetic texts", [shown, *blocks(self.result())])

    def result(self) -> dict[str, Any]:
        """Arms, and what each writer is worth, as JSON-able fields."""
        return {
            "settings": dict(self.settings),
            "arms": _arms(self.records),
            "sources": [_plain(row) for row in self._compared.to_dict("records")],
            "notes": {corpus: list(said) for corpus, said in self.notes.items() if said},
        }

    def write(self, out: Path) -> dict[str, Any]:
        """Write records and picture to a folder; the result, and where they are."""
        metadata = {"settings": dict(self.settings), **records.provenance()}
        path = records.write(self.records, out / "text.parquet", metadata=metadata)
        figure = out / "text.png"
        write_atomically(figure, self._save)
        return self.result() | {"records": str(path), "figure": str(figure)}

    def _save(self, picture: Path | BytesIO) -> None:
        import matplotlib as mpl

        with mpl.rc_context(STYLE):
            draw(self.records, self._compared).savefig(picture, format="png", dpi=160)


def evaluate_texts(
    *corpora: TextCorpus, seeds: int = 5, progress: Progress | None = None, **settings: Any
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
    if told := result.get("notes"):
        every = [(corpus, note) for corpus, notes in told.items() for note in notes]
        shown += [render.Heading("What to know of these texts", 3), render.Items(every)]
    files = (name for name in ("figure", "records") if name in result)
    shown += [render.Paragraph(f"{name}: {result[name]}") for name in files]
    judged = [(f"{_named(row)}:", sentence(row)) for row in bought if row.get("verdict")]
    return shown + ([render.Heading("Verdict", 3), render.Items(judged)] if judged else [])


def looks(sources: Sequence[str]) -> dict[str, Look]:
    """Human texts first, then the generators, each with a shape and dashes of its own."""
    ordered = sorted(sources, key=lambda writer: (writer != HUMAN, writer != "faithful"))
    return plotting.looks(ordered)


def draw(records: pd.DataFrame, compared: pd.DataFrame | None = None) -> Figure:
    """Curves of every corpus and encoder, with fitted laws, or exact errors where there are any.

    ``compared`` is the :func:`~opal.bridge.text.curves.plan.comparison` of the records, if it is
    known.
    """
    from matplotlib.figure import Figure

    known = comparison(records) if compared is None else compared
    columns = list(records.groupby(["setting", "encoder"], sort=False))
    width = min(7.2, 1.0 + 2.4 * max(len(columns), 1))
    figure = Figure(figsize=(max(width, 3.6), 7.4), layout="constrained")
    grid = figure.subplots(len(ROWS), len(columns), squeeze=False, sharex="col")
    for column, ((setting, encoder), each) in enumerate(columns):
        fill(list(grid[:, column]), each)
        title = f"{setting}, {ENCODERS.get(encoder, encoder.rsplit('/', 1)[-1])}"
        said = "\n".join([title, *worths(known, setting, encoder)])
        grid[0, column].set_title(said, fontsize=6.5 if len(columns) > 2 else 7.5)
        grid[-1, column].set_xlabel("added texts N")
    for row, (_, _, said) in zip(grid, ROWS, strict=True):
        row[0].set_ylabel(said)
    named: dict[str, Any] = {}
    for axes in grid.flat:
        named |= dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    # A corpus alone leaves room for two names beside each other, several for all in a row.
    ncols = 2 if grid.shape[1] == 1 else min(len(named), 5)
    figure.legend(named.values(), named, loc="outside upper center", ncols=ncols)
    return figure


def fill(column: Sequence[Axes], records: pd.DataFrame) -> None:
    """The panels of one corpus and encoder."""
    table = summary(records)
    sources = looks(list(dict.fromkeys(table.loc[table["added"] > 0, "synthesizer"])))
    for axes, (metric, arm, _) in zip(column, ROWS, strict=True):
        _baselines(axes, table, metric)
        for index, (writer, look) in enumerate(sources.items()):
            own = table[(table["synthesizer"] == writer) & (table["arm"] == arm)]
            rows = own[own["metric"] == metric].sort_values("added")
            offset = _SPREAD ** (index - (len(sources) - 1) / 2)
            most = np.inf if metric == "balanced_risk" else 1.0
            _points(axes, rows[rows["source"] == "data"], look, offset, writer, most)
            known = rows[rows["source"] == "theory"]
            axes.plot(known["added"], known["value"], linestyle=look.dashes, color=look.colour)
            if metric == exchange.METRIC and known.empty:
                _law(axes, records, writer, look)
        axes.set_xscale("log")
        _ticks(axes)


def worths(compared: pd.DataFrame, setting: str, encoder: str) -> list[str]:
    """What the most texts of each generator are worth in human ones, a line each."""
    same = (compared["setting"] == setting) & (compared["encoder"] == encoder)
    rows = compared[same].to_dict("records")
    largest = max((row["added"] for row in rows if row["source"] == HUMAN), default=0)
    said = []
    for row in rows:
        if row["source"] != HUMAN and not np.isnan(row.get("worth", np.nan)):
            ends = (row["worth"], row["worth_low"], row["worth_high"])
            best, low, high = (_count(number, largest) for number in ends)
            name = LABELS.get(row["source"], row["source"])
            said.append(f"{row['added']:,} {name}\n= {best} human [{low}, {high}]")
    return said


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
            yield f"{named}: the plan does not say buy, and the purchase would have helped."


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


def _count(number: float, largest: int) -> str:
    """Two digits, which is more than is known."""
    if not np.isfinite(number):
        return f"> {largest:,}"
    digits = max(int(np.floor(np.log10(max(number, 1)))) - 1, 0)
    return f"{round(number, -digits):,.0f}"


def _points(
    axes: Axes, rows: pd.DataFrame, look: Look, offset: float, writer: str, most: float
) -> None:
    """Means with intervals, which end where the metric does: at 0 and ``most``."""
    mean, far = rows["value"], rows["upper"] - rows["value"]
    axes.errorbar(
        rows["added"] * offset,
        mean,
        yerr=[np.minimum(far, mean), np.minimum(far, most - mean)],
        fmt=look.marker,
        markersize=3.2,
        color=look.colour,
        markeredgewidth=0.8,
        elinewidth=0.7,
        label=LABELS.get(writer, writer),
        zorder=3,
    )


def _baselines(axes: Axes, table: pd.DataFrame, metric: str) -> None:
    rows = table[(table["metric"] == metric) & (table["source"] == "data")]
    for arm, look in BASELINES.items():
        for value in rows.loc[rows["arm"] == arm, "value"]:
            axes.axhline(
                value, color=look.colour, linestyle=look.dashes, linewidth=0.8, label=arm, zorder=1
            )


def _law(axes: Axes, records: pd.DataFrame, writer: str, look: Look) -> None:
    """The fitted law, between the sizes that it was fitted to."""
    points = exchange.curve(records, writer)
    try:
        fitted = exchange.law(points)
    except ValueError:  # too few sizes for a law
        return
    sizes = points.groupby("added")["total"].mean()
    added = np.geomspace(sizes.index[sizes.index > 0].min(), sizes.index.max(), 60)
    total = np.interp(added, sizes.index.to_numpy(float), sizes.to_numpy())
    axes.plot(
        added, fitted.predict({"n": total}), linestyle=look.dashes, color=look.colour, zorder=2
    )


def _ticks(axes: Axes) -> None:
    """Powers of ten as they are read, and nothing between them."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.xaxis.set_major_locator(LogLocator(numticks=4))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
