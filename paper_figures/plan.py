"""The gain that a plan promises before the purchase, and the gain that the purchase brings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ._panels import study

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from opal.checks import Check
    from opal.plotting import Look

STUDIES = ("plan",)
SECONDS = 31  # wall_time_s of the cells, about, at --preset quick --workers 2
FITS_COLUMN = True
CAPTION = (
    "Gain of the purchase that a plan weighs, as a share of the excess risk of the real samples "
    "in hand: promised by a pilot of a tenth of its cost (horizontally, with 95 % intervals; an "
    "arrow where one leaves the picture) and realised (vertically, with two standard errors over "
    "purchases), where the pilot's risks are exact (first panel) or measured on held-out rows "
    "whose error the interval holds (second). Every setting is shown. A plan buys where the whole "
    "interval is a gain; below the level line a purchase does harm."
)
_PANELS = {"planner": "exact risks", "planner, validated": "risks on held-out rows"}
_KINDS = (
    # Buys, and whether it is or would be harm; the look's number, marker, and whether it is filled.
    ("buys, and it helps", True, False, 0, "o", True),
    ("buys, and it hurts", True, True, 3, "X", True),
    ("buys none; it would help", False, False, 0, "o", False),
    ("buys none; it would hurt", False, True, 3, "s", False),
)


def draw(records: pd.DataFrame) -> Figure:
    """Promised against realised, with the line on which they agree, for both planners."""
    from opal import plotting

    tables = {name: study("plan").comparison(records, name) for name in _PANELS}
    promised, realised = (
        np.concatenate([table[name] for table in tables.values()])
        for name in ("promised", "realised")
    )
    with plotting.paper_style():
        figure, panels = plotting.panels(2, size=(6.6, 3.5), height=3.0, sharex=True, sharey=True)
        for axes, (name, title) in zip(panels, _PANELS.items(), strict=True):
            _panel(axes, tables[name], _around(promised, 1.15))
            axes.set(ylim=_around(realised, 1.75), title=title)
            over = {"frameon": True, "edgecolor": "none", "framealpha": 1}  # the line at zero
            axes.legend(loc="upper left", fontsize=7, handlelength=1, **over)
        plotting.label(panels, x="promised gain (share of the excess risk)", y="realised gain")
    return figure


def _around(gains: np.ndarray, most: float) -> tuple[float, float]:
    """The ends of an axis, with every gain between them."""
    return min(-0.6, gains.min() - 0.05), max(most, gains.max() + 0.05)


def _panel(axes: Axes, table: pd.DataFrame, ends: tuple[float, float]) -> None:
    from opal import plotting

    axes.axline((0, 0), slope=1, color="black", linewidth=0.8, zorder=1)
    axes.axhline(0, color="0.6", linewidth=0.5, zorder=1)
    axes.axvline(0, color="0.6", linewidth=0.5, zorder=1)
    for label, buys, hurts, number, marker, filled in _KINDS:
        rows = table[(table["buys"] == buys) & ((table["realised"] < 0) == hurts)]
        look = plotting.SERIES[number]
        axes.plot(
            rows["promised"], rows["realised"], marker, markersize=4, color=look.colour,
            markerfacecolor=look.colour if filled else "white", linewidth=0,
            label=f"{label}: {len(rows)}", zorder=3,
        )  # fmt: skip
        _intervals(axes, rows, look, ends)
    axes.set_xlim(ends)


def _intervals(axes: Axes, rows: pd.DataFrame, look: Look, ends: tuple[float, float]) -> None:
    """Promised intervals, with an arrow where one goes on, and two standard errors."""
    room = 0.015 * (ends[1] - ends[0])  # for arrows within the frame
    low = rows["low"].clip(ends[0] + room, ends[1] - room)
    high = rows["high"].clip(ends[0] + room, ends[1] - room)
    axes.hlines(rows["realised"], low, high, color=look.colour, linewidth=0.5, zorder=2)
    far = 2 * rows["std_error"]
    below, above = rows["realised"] - far, rows["realised"] + far
    axes.vlines(rows["promised"], below, above, color=look.colour, linewidth=0.5, zorder=2)
    arrows = ((low, "<", rows["low"] < low), (high, ">", rows["high"] > high))
    for at, marker, beyond in arrows:
        axes.plot(
            at[beyond], rows["realised"][beyond], marker, color=look.colour, markersize=3,
            linewidth=0, zorder=2,
        )  # fmt: skip


def checks(records: pd.DataFrame) -> list[Check]:
    """The study's own, and how much of the realised gain was promised."""
    from opal.checks import at_least

    found = study("plan").checks(records)
    for name in _PANELS:
        table = study("plan").comparison(records, name)
        bought = table[table["buys"]]
        error = float((bought["promised"] - bought["realised"]).abs().median())
        told = f"one minus the median |promised − realised| gain share of {len(bought)} purchases"
        found.append(at_least(f"{name}: promises are close", 1 - error, 0.8, told))
    return found
