"""The mixture law, fitted on the two pure curves, against mixtures that were held out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._panels import study

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from opal.checks import Check

STUDIES = ("mixture_law",)
SECONDS = 45  # wall_time_s of the cells, about, at --preset quick --workers 2
FITS_COLUMN = True
CAPTION = (
    "Excess balanced risk against the weight α of synthetic rows, at several sizes (n, N): lines "
    "are the mixture law, fitted only to simulations with α = 0 or 1 (filled) and held against "
    "those that it has not seen (open, with two standard errors); in the last panel the error of "
    "every held-out mixture with its median (bar), in scenarios within the law's assumptions "
    "(circles) and outside (crosses)."
)
SHOWN = ("Gaussian, shift 0.1", "sequence s = 2, bias 0.1")
BAND = 0.05


def draw(records: pd.DataFrame) -> Figure:
    """Curves in α of two scenarios, then the errors of all."""
    from opal import plotting

    with plotting.paper_style():
        figure, axes = plotting.panels(3, size=(7.0, 2.9), height=2.3, width_ratios=(1, 1, 1.15))
        for panel, name in zip(axes[:2], SHOWN, strict=True):
            _curves(panel, records[records["scenario"] == name])
            panel.set(title=name)
        plotting.label(axes[:2], x="weight α", y="excess balanced risk")
        _errors(axes[2], study("mixture_law").held_out(records))
    return figure


def _curves(axes: Axes, rows: pd.DataFrame) -> None:
    """The law and the simulation at the smallest, a middle and the largest n."""
    from opal import plotting

    of = study("mixture_law")
    axes.set_yscale("log")
    sizes = list(rows[["n_max", "n_augmented"]].drop_duplicates().itertuples(index=False))
    crossed = [size for size in sizes if _is_crossed(size, sizes)]
    chosen = [crossed[0], crossed[len(crossed) // 2], crossed[-1]]
    for (n, size), look in plotting.looks(chosen).items():
        at = rows[(rows["n_max"] == n) & (rows["n_augmented"] == size)]
        plotting.line(axes, at[at["metric"] == of.LAW], "alpha", look)
        simulated = at[at["metric"] == of.EXCESS]
        pure = simulated["alpha"].isin((0.0, 1.0))
        label = f"{n:,}, {size:,}"
        plotting.points(axes, simulated[pure], "alpha", look, label=label)
        plotting.points(axes, simulated[~pure], "alpha", look._replace(filled=False, size=5.0))
    axes.legend(title="n, N", loc="upper center", fontsize=7, title_fontsize=7)
    low, high = axes.get_ylim()
    axes.set_ylim(low, high * (high / low) ** 0.35)  # room for the legend


def _is_crossed(size: tuple[int, int], sizes: list[tuple[int, int]]) -> bool:
    """Whether n and N stand at opposite places among the sizes."""
    ns, sizes_of_n = sorted({n for n, _ in sizes}), sorted({N for _, N in sizes})
    return ns.index(size[0]) == len(sizes_of_n) - 1 - sizes_of_n.index(size[1])


def _errors(axes: Axes, points: pd.DataFrame) -> None:
    """Signed relative errors of the law, a row for each scenario."""
    import numpy as np

    names = list(
        dict.fromkeys(points.sort_values("holds", ascending=False, kind="stable")["scenario"])
    )
    axes.axvspan(-100 * BAND, 100 * BAND, color="0.9", zorder=0)
    axes.axvline(0, color="0.5", linewidth=0.6, zorder=1)
    for row, name in enumerate(names):
        errors = 100 * points.loc[points["scenario"] == name, "error"].to_numpy()
        holds = bool(points.loc[points["scenario"] == name, "holds"].iloc[0])
        heights = row + 0.3 * np.linspace(-1, 1, len(errors))
        colour = "#0072B2" if holds else "#D55E00"
        axes.plot(errors, heights, "o" if holds else "x", color=colour, markersize=2, alpha=0.6)
        axes.plot([np.median(errors)] * 2, [row - 0.38, row + 0.38], color="black", linewidth=1.4)
    axes.set_yticks(range(len(names)), names, fontsize=7)
    axes.yaxis.tick_right()
    axes.invert_yaxis()
    axes.spines["right"].set_visible(True)
    axes.spines["left"].set_visible(False)
    axes.set(xlabel="law over simulation − 1 (%)", title="held-out mixtures")


def checks(records: pd.DataFrame) -> list[Check]:
    """What the study says of the law."""
    found: list[Check] = study("mixture_law").checks(records)
    return found
