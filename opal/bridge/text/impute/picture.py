"""A picture of what an imputation found."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from opal.bridge.text.impute.arms import ARMS, THRESHOLD
from opal.bridge.text.impute.claims import MIXED
from opal.plotting import SERIES, paper_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_APART = 0.5  # between two arms, all cases stand within so much


def draw(records: pd.DataFrame) -> Figure:
    """F1 of the arms of one task on held-out originals, and the same minus weighting.

    The latter with a moved threshold, where there is such an arm. Of the published protocol it is
    F1 on all that is held out, and the same minus as many original texts.
    """
    from matplotlib.figure import Figure

    own = records[records["tested"] == "human"]
    free = f"weighting{THRESHOLD}" if f"weighting{THRESHOLD}" in set(own["arm"]) else "weighting"
    shown = {
        "f1": "F1 on held-out originals",
        f"f1_minus_{free}": f"minus {free.replace('_', ', moved ')}, paired",
    }
    if "f1_mixed" in set(own["metric"]):
        shown = {"f1_mixed": "F1 on all held-out texts", MIXED: "minus all real"}
    known = own[["arm", "synthesizer"]].drop_duplicates().itertuples(index=False, name=None)
    arms = sorted(known, key=lambda each: ARMS.index(each[0]))
    with paper_style():
        figure = Figure(figsize=(7.2, 1.2 + 0.3 * len(arms)), layout="constrained")
        panels = figure.subplots(1, 2, sharey=True)
        for axes, (metric, named) in zip(panels, shown.items(), strict=True):
            _intervals(axes, own[own["metric"] == metric], arms)
            axes.set_xlabel(named)
        said = [arm if writer in ("none", arm) else f"{arm}, {writer}" for arm, writer in arms]
        panels[0].set_yticks(range(len(arms)), labels=said)
        panels[0].invert_yaxis()
        panels[1].axvline(0, color="black", linewidth=0.8)
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=4)
    return figure


def _intervals(axes: Axes, rows: pd.DataFrame, arms: list[tuple[str, str]]) -> None:
    """Means with their intervals, lying; a look for each number of originals and fill."""
    cases = list(rows.groupby(["n_min", "n_oversampled"]))
    several = rows["n_min"].nunique() < len(cases)
    for index, ((n, added), part) in enumerate(cases):
        at = (index - (len(cases) - 1) / 2) * _APART / max(len(cases) - 1, 1)
        look = SERIES[index % len(SERIES)]
        axes.errorbar(
            part["value"],
            [arms.index(key) + at for key in zip(part["arm"], part["synthesizer"], strict=True)],
            xerr=[part["value"] - part["lower"], part["upper"] - part["value"]],
            fmt=look.marker,
            color=look.colour,
            label=f"{n} originals" + (f", filled to {n + added}" if several else ""),
        )
