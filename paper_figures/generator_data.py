"""What a generator was trained on: theory, simulation, and GPT-2 fitted to 200 rows or to all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from . import published_scaling
from ._panels import study, title

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure, SubFigure

    from opal.checks import Check

STUDIES = ("generator_data", "published_scaling")
SECONDS = 126  # wall_time_s of the cells, about, at --preset quick --workers 2
CAPTION = (
    "a: excess balanced risk against N for a Gaussian that was fitted to n_gen real rows of "
    "each class, the training rows themselves or others; points are simulations with two standard "
    "errors, lines are theory with nothing fitted, dashes where a line ends as N grows. b: "
    "tuned logistic regression on four real tables, imbalanced task, balanced log loss minus that "
    "of group weighting, for a GPT-2 that saw the 200 originals and one that saw all real rows, "
    "with 95 % intervals; panels say how many balanced real rows each is worth at its largest N, "
    "read off between the sizes that were measured."
)


def unavailable() -> str | None:
    """Why the tables or the packages that this figure needs cannot be had here."""
    return published_scaling.unavailable()


def draw(records: pd.DataFrame) -> Figure:
    """Curves of theory beside real tables."""
    from matplotlib import pyplot as plt

    from opal import plotting

    with plotting.paper_style():
        figure = plt.figure(figsize=(7.2, 3.4), layout="constrained")
        left, right = figure.subfigures(1, 2, width_ratios=(3.2, 4), squeeze=False)[0]
        _curves(left, records[records["study"] == "generator_data"])
        _tables(right, records[records["protocol"] == "sound"])
    return figure


def _curves(figure: SubFigure, frame: pd.DataFrame) -> None:
    """A curve for each generator: what it saw, and how much of that is in the training set."""
    from opal import plotting

    axes = figure.subplots()
    curves = frame[frame["part"] == "curve"].sort_values("n_augmented")
    kinds = dict(list(curves.groupby(["n_fitted", "overlap"], sort=True)))
    for (key, rows), look in zip(kinds.items(), plotting.looks(kinds).values(), strict=True):
        n_generator, overlap = key
        line, floor = (rows[rows["metric"] == name] for name in ("line", "floor"))
        axes.plot(line["n_augmented"], line["value"], color=look.colour, linestyle=look.dashes)
        points = rows[(rows["source"] == "simulation") & (rows["metric"] == "excess_balanced_risk")]
        label = f"{n_generator:g}, {_OVERLAPS.get(str(overlap), str(overlap))}"
        plotting.points(axes, points, "n_augmented", look, label=label)
        axes.axhline(
            floor["value"].iloc[0], color=look.colour, linestyle=(0, (1, 2)), linewidth=0.8
        )
    axes.set(xscale="log", yscale="log", xlabel="N, rows added to each class")
    sizes = sorted(set(curves.loc[curves["source"] == "simulation", "n_augmented"]))
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.set_xticks([], minor=True)
    axes.set_ylabel("excess balanced risk")
    figure.legend(loc="outside lower center", title="rows that the generator saw", ncols=1)
    title(figure, "a  Gaussian classes")


_OVERLAPS = {
    "equal": "the training rows",
    "disjoint": "others",
    "containing": "the training rows among them",
}


def _tables(figure: SubFigure, frame: pd.DataFrame) -> None:
    """A panel for each table: differences to weighting of both GPT-2s."""
    from opal import plotting
    from opal.bridge.tabular.scaling import report

    chosen = frame[
        (frame["task"] == "imbalanced")
        & (frame["classifier"] == "logistic")
        & (frame["arm"] == "filled")
        & frame["synthesizer"].isin(["synthetic", "synthetic_allseed"])
    ]
    names = list(dict.fromkeys(chosen["table"]))
    looks = plotting.looks(dict.fromkeys(chosen["synthesizer"]))
    panels = figure.subplots(-(-len(names) // 2), min(2, len(names)), squeeze=False).ravel()
    for name, axes in zip(names, panels, strict=False):
        rows = chosen[chosen["table"] == name]
        axes.axhline(0, color="black", linewidth=0.6)
        for maker, curve in rows.groupby("synthesizer", sort=False):
            shown = curve[curve["metric"] == "balanced_log_loss_difference"]
            label = report.label(str(maker), name)
            plotting.intervals(axes, shown, "n_added", looks[maker], label)
        same = (frame["table"] == name) & (frame["task"] == "imbalanced")
        real = frame[same & (frame["arm"] == "real rows alone")]
        axes.set_title(f"{name}: {_worth(rows, real['n_real'])}")
        axes.set_xticks([0, 1800, 3600])
    for axes in panels[-2:]:
        axes.set_xlabel("N, rows added")
    figure.supylabel("balanced log loss, difference", fontsize=8)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2)
    title(figure, "b  Real tables: worth in balanced real rows")


def _worth(rows: pd.DataFrame, sizes: pd.Series) -> str:
    """How many real rows the arms of the largest N are worth, in the order of the legend."""
    worth = rows[rows["metric"] == "equivalent_real_rows"].sort_values("n_added")
    last = worth.groupby("synthesizer", sort=False)["value"].last()
    words = []
    for maker in dict.fromkeys(rows["synthesizer"]):
        value = float(last[maker])
        limit = f"< {sizes.min():,}" if value == 0 else f"> {sizes.max():,}"
        words.append(f"{value:,.0f}" if 0 < value < np.inf else limit)
    return ", ".join(words)


def checks(records: pd.DataFrame) -> list[Check]:
    """Those of the study; what GPT-2's rows are worth is a finding and not a check."""
    return study("generator_data").checks(records[records["study"] == "generator_data"])
