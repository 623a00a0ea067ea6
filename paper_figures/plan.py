"""The gain that a plan promises before the purchase, and the gain that the purchase brings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._panels import study

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from opal.checks import Check

STUDIES = ("plan",)
SECONDS = 31  # wall_time_s of the cells, about, at --preset quick --workers 2
CAPTION = (
    "Gain of the purchase that a plan weighs, as a share of the excess risk of the real samples in "
    "hand: promised by a pilot of a tenth of its cost (horizontally, with 95 % intervals) and "
    "realised (vertically, with two standard errors over purchases); squares are generators that "
    "harm at every weight, and in the grey region the plan is to buy none."
)
_LOWEST = -0.25


def gains(records: pd.DataFrame) -> pd.DataFrame:
    """One row a setting: promised and realised gain as shares of the excess of none."""
    import pandas as pd

    rows = []
    simulated = records[records["source"] == "simulation"]
    for _, points in simulated.groupby(["family", "dial", "size"]):
        arms = points.set_index("arm")
        plan, bought, scale = arms.loc["planner"], arms.loc["purchase"], arms.loc["none", "value"]
        rows.append(
            {
                "promised": plan["gain"] / scale,
                "low": plan["gain_low"] / scale,
                "high": plan["gain_high"] / scale,
                "realised": 1 - bought["value"] / scale,
                "std_error": bought["std_error"] / scale,
                "buys": bool(plan["buys"]),
                "hurts": bool(arms.loc["best", "value"] >= scale),
            }
        )
    return pd.DataFrame(rows)


def draw(records: pd.DataFrame) -> Figure:
    """Promised against realised, with the line on which they agree."""
    from matplotlib import pyplot as plt

    from opal import plotting
    from opal.scaling.purchase import MIN_GAIN

    table = gains(records)
    kinds = {
        "buys, and it helps": (table["buys"] & ~table["hurts"], plotting.SERIES[0], True),
        "buys none": (~table["buys"] & ~table["hurts"], plotting.SERIES[0], False),
        "harmful: buys": (table["buys"] & table["hurts"], plotting.SERIES[3], True),
        "harmful: buys none": (~table["buys"] & table["hurts"], plotting.SERIES[3], False),
    }
    markers = ("o", "o", "s", "s")
    with plotting.paper_style():
        figure, axes = plt.subplots(figsize=(3.8, 3.4), layout="constrained")
        axes.axvspan(_LOWEST, MIN_GAIN, color="0.92", zorder=0)
        axes.text((_LOWEST + MIN_GAIN) / 2, 1.12, "buy none", ha="center", va="bottom", fontsize=7)
        axes.plot([_LOWEST, 1.1], [_LOWEST, 1.1], color="black", linewidth=0.8, zorder=1)
        axes.axhline(0, color="0.6", linewidth=0.5, zorder=1)
        for (label, (chosen, look, filled)), marker in zip(kinds.items(), markers, strict=True):
            rows = table[chosen]
            if rows.empty:
                continue
            width = rows["promised"] - rows["low"], rows["high"] - rows["promised"]
            axes.errorbar(
                rows["promised"],
                rows["realised"],
                xerr=[side.clip(lower=0) for side in width],
                yerr=2 * rows["std_error"],
                fmt=marker,
                markersize=4,
                color=look.colour,
                markerfacecolor=look.colour if filled else "white",
                elinewidth=0.5,
                linewidth=0,
                label=label,
                zorder=3,
            )
        axes.set(
            xlim=(_LOWEST, 1.15),
            ylim=(_LOWEST, 1.1),
            xlabel="promised gain (share of the excess risk)",
            ylabel="realised gain",
        )
        axes.legend(loc="lower right")
    return figure


def checks(records: pd.DataFrame) -> list[Check]:
    """The study's own, and how much of the realised gain was promised."""
    from opal.checks import at_least

    table = gains(records)
    bought = table[table["buys"]]
    error = float((bought["promised"] - bought["realised"]).abs().median())
    return [
        *study("plan").checks(records),
        at_least(
            "promises are kept",
            1 - error,
            0.8,
            f"one minus the median |promised − realised| gain share of {len(bought)} purchases",
        ),
    ]
