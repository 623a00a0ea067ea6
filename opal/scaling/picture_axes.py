"""Axes of a fit: points with bars, residuals, labels of curves, ticks that people read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from opal.plotting import SERIES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

_DECADES = 30.0  # between the largest and least value: up to here ticks are plain numbers
_FINE = 5.0  # the same: up to here there are more of them
_LOG_RATIO = 2.0  # the same: from here on logarithms show more
_MANY = 60  # points: from here on they are drawn smaller
_LABEL_SIZE = 6  # points


def points(
    axes: Axes, rows: pd.DataFrame, x: str, colour: str, *, marker: str, filled: bool
) -> None:
    """Means of rows with their bars; open if not ``filled``."""
    axes.errorbar(
        rows[x],
        rows["mean"],
        yerr=[rows["mean"] - rows["low"], rows["high"] - rows["mean"]],
        fmt=marker,
        color=colour,
        markersize=3.4 if len(rows) <= _MANY else 2.0,
        markerfacecolor=colour if filled else "white",
        markeredgewidth=0.8,
        elinewidth=0.7,
        capsize=1.2,
        zorder=3,
    )


def residuals(
    axes: Axes, rows: pd.DataFrame, x: str, colour: str, marker: str, *, filled: bool
) -> None:
    """Residuals of rows against the column ``x``."""
    axes.plot(
        rows[x],
        rows["residual"],
        marker,
        color=colour,
        markersize=3.0 if len(rows) <= _MANY else 1.8,
        markerfacecolor=colour if filled else "white",
        markeredgewidth=0.8,
    )


def labels(axes: Axes, texts: Sequence[str], values: Sequence[float]) -> None:
    """What the other variables are, at the right ends of the curves, none over another."""
    height = axes.get_window_extent().height
    places = [axes.transData.transform((1.0, value))[1] for value in values]
    least, last = _LABEL_SIZE * axes.figure.dpi / 72, -np.inf
    for index in np.argsort(places):
        shown = max(places[index], last + least)
        last = shown
        fraction = (shown - axes.get_window_extent().y0) / height
        axes.annotate(
            texts[index], (1.01, fraction), xycoords="axes fraction", va="center",
            fontsize=_LABEL_SIZE, color=family_colour(index), annotation_clip=False,
        )  # fmt: skip


def family_colour(index: int) -> str:
    """That of a family; the sixth is black."""
    return SERIES[index].colour if index < len(SERIES) else "#000000"


def values_axis(axes: Axes, every: pd.DataFrame, label: str) -> None:
    """Logarithmic where values span enough; never so wide that intervals hide the points."""
    values = every["mean"].to_numpy()
    low, high = float(every["low"].min()), float(every["high"].max())
    if values.min() > 0 and values.max() / values.min() >= _LOG_RATIO:
        axes.set_yscale("log")
        plain_ticks(axes.yaxis, values.max() / values.min())
        low = low if low > 0 else float(values.min()) / 2
        bottom, top = axes.get_ylim()
        axes.set_ylim(max(bottom, low / (high / low)), min(top, high * (high / low) ** 0.5))
    else:
        room = high - low
        bottom, top = axes.get_ylim()
        axes.set_ylim(max(bottom, low - room), min(top, high + 0.5 * room))
    axes.set_ylabel(label)


def plain_ticks(axis: Axis, ratio: float) -> None:
    """Numbers as people write them on a logarithmic axis of little more than a decade."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    if ratio > _DECADES:
        return
    few = (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)
    axis.set_major_locator(LogLocator(subs=few if ratio > _FINE else (*few, 2.5, 4.0, 6.0, 8.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


def residual_axis(axes: Axes, every: pd.DataFrame) -> None:
    """Zero, and two standard errors each way where residuals are in these."""
    axes.axhline(0, color="#000000", linewidth=0.6, zorder=0)
    standard = bool(every["standard"].all())
    if standard:
        for level in (-2, 2):
            axes.axhline(level, color="#7f7f7f", linewidth=0.5, linestyle=(0, (4, 2)), zorder=0)
    most = 1.15 * max(float(every["residual"].abs().max()), 2.6 if standard else 0.0)
    axes.set_ylim(-most, most)
    axes.set_ylabel("residual\n(std. errors)" if standard else "residual")
