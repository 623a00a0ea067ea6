"""The picture of an evaluation of texts: a column for each corpus and encoder, a row a metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from opal import plotting
from opal.bridge.text.corpus import HUMAN
from opal.bridge.text.curves import exchange
from opal.bridge.text.curves.evaluate import summary
from opal.bridge.text.curves.plan import comparison
from opal.bridge.text.encoders import WORDS
from opal.plotting import Look

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

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
ENCODERS: Mapping[str, str] = {
    "minilm": "MiniLM",
    "multilingual-use": "multilingual USE",
    "tfidf": "tf-idf",
    "characters": "runs of characters",
    WORDS: "words",
}
BASELINES: Mapping[str, Look] = {
    "weighting": Look("#000000", "", "-"),
    "threshold": Look("#7f7f7f", "", (0, (1, 1.5))),
}
_SPREAD = 1.06  # writers stand beside each other at each size


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
        grid[0, column].set_title(said, fontsize=7 if len(columns) > 2 else 7.5)
        grid[-1, column].set_xlabel("added texts N")
    for row, (_, _, said) in zip(grid, ROWS, strict=True):
        row[0].set_ylabel(said)
    handles, names = plotting.entries(grid.flat)
    # A corpus alone leaves room for two names beside each other, several for all in a row.
    ncols = 2 if grid.shape[1] == 1 else min(len(names), 5)
    figure.legend(handles, names, loc="outside upper center", ncols=ncols)
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
