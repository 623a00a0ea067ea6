"""Records to axes: simulation as points with error bars, theory as lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

PAPER: dict[Any, Any] = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.1,
    "lines.markersize": 4.0,
    "legend.frameon": False,
    "legend.handlelength": 2.4,
    "savefig.dpi": 300,
    "pdf.fonttype": 42,
}


class Look(NamedTuple):
    """How an arm is drawn; shape and dashes tell arms apart without colour."""

    colour: str
    marker: str
    dashes: Any
    filled: bool = True
    size: float = 4.0


# The Okabe-Ito colours, which survive colour blindness.
ARMS: Mapping[str, Look] = {
    "raw": Look("#000000", "x", (0, (1, 1)), size=4.5),
    "threshold": Look("#7f7f7f", "+", (0, (3, 1, 1, 1)), size=6),
    "weighting": Look("#000000", "o", "-", filled=False, size=7),
    "duplication": Look("#56B4E9", "s", (0, (4, 2)), size=3.2),
    "SMOTE": Look("#D55E00", "^", ""),
    "Gaussian fit": Look("#009E73", "D", (0, (6, 1.5))),
    "oracle": Look("#0072B2", "o", (0, (5, 1, 1, 1))),
    "biased oracle": Look("#CC79A7", "v", (0, (2, 1))),
}
SERIES: Sequence[Look] = (
    Look("#0072B2", "o", "-"),
    Look("#009E73", "s", (0, (5, 1.5))),
    Look("#E69F00", "^", (0, (3, 1, 1, 1))),
    Look("#D55E00", "D", (0, (1.5, 1))),
    Look("#CC79A7", "v", (0, (6, 1, 1, 1, 1, 1))),
)


def paper_style() -> AbstractContextManager[None]:
    """Matplotlib settings at the size at which a paper prints."""
    import matplotlib as mpl

    return mpl.rc_context(PAPER)


def points(axes: Axes, simulated: pd.DataFrame, x: str, look: Look, label: str = "") -> None:
    """Simulated values against column ``x``, with bars of two standard errors each way."""
    rows = simulated.sort_values(x)
    axes.errorbar(
        rows[x],
        rows["value"],
        yerr=2 * rows["std_error"],
        fmt=look.marker,
        markersize=look.size,
        color=look.colour,
        markerfacecolor=look.colour if look.filled else "white",
        markeredgewidth=0.9,
        elinewidth=0.8,
        capsize=1.5,
        label=label,
        zorder=3,
    )


def line(axes: Axes, theory: pd.DataFrame, x: str, look: Look) -> None:
    """Predicted values against column ``x``."""
    rows = theory.sort_values(x)
    axes.plot(rows[x], rows["value"], linestyle=look.dashes or "none", color=look.colour, zorder=2)


def curves(
    axes: Axes, records: pd.DataFrame, x: str, metric: str, looks: Mapping[str, Look]
) -> None:
    """Every arm's simulation and theory of one metric, with a legend entry for each arm."""
    chosen = records[(records["metric"] == metric) & (records["group"] == "all")]
    for arm, look in looks.items():
        rows = chosen[chosen["arm"] == arm]
        line(axes, rows[rows["source"] == "theory"], x, look)
        points(axes, rows[rows["source"] == "simulation"], x, look, label=arm)


def agreement(records: pd.DataFrame, metric: str, on: Sequence[str]) -> pd.DataFrame:
    """Simulation joined with theory on the columns ``on``, with z-scores.

    Args:
        records: of both sources.
        metric: the metric to compare.
        on: columns that identify a design.

    Returns:
        One row for each simulated value that theory has an answer to: the columns ``on``,
        ``simulated``, ``std_error``, ``predicted`` and ``z``.
    """
    chosen = records[(records["metric"] == metric) & (records["group"] == "all")]
    simulated = chosen[chosen["source"] == "simulation"]
    theory = chosen[chosen["source"] == "theory"]
    joined = simulated[[*on, "value", "std_error"]].merge(
        theory[[*on, "value"]], on=list(on), suffixes=("", "_theory")
    )
    joined = joined.rename(columns={"value": "simulated", "value_theory": "predicted"})
    gap = joined["simulated"] - joined["predicted"]
    return joined.assign(z=gap / joined["std_error"])
