"""Records to axes: simulation as points with error bars, theory as lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from opal.files import write_atomically

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

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
    "svg.hashsalt": "opal",
}
COLUMN = 3.25  # inches of one of the two columns of a page
_NO_DATE = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}


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


_COLOURS = ("#56B4E9", "#CC79A7", "#0072B2", "#D55E00", "#009E73", "#E69F00", "#000000")
_MARKERS = ("P", "X", "<", "*", "p", ">", "h", "d", "8")
_DASHES = ("-", (0, (5, 1.5)), (0, (3, 1, 1, 1)), (0, (1.5, 1)))


def looks(names: Iterable[Any], known: Mapping[Any, Look] | None = None) -> dict[Any, Look]:
    """A look for each name: its own where it is ``known``, else the next that no other has.

    Names that are known come first, in the order of ``known``; the others as they come.

    >>> list(looks(["mine", "oracle", "raw"], ARMS))
    ['raw', 'oracle', 'mine']
    >>> len({look[:3] for look in looks(range(40)).values()})
    40
    """
    given = known or {}
    asked = list(dict.fromkeys(names))
    taken = {(look.colour, look.marker) for look in given.values()}
    free = (look for look in _every_look() if (look.colour, look.marker) not in taken)
    found = {name: look for name, look in given.items() if name in asked}
    return found | {name: next(free) for name in asked if name not in given}


def _every_look() -> Iterator[Look]:
    """The looks of series, then others: 63 pairs of colour and marker before one recurs."""
    yield from SERIES
    for index in count():
        colour, marker = _COLOURS[index % 7], _MARKERS[index % 9]
        yield Look(colour, marker, _DASHES[index % 4])


def paper_style() -> AbstractContextManager[None]:
    """Matplotlib settings at the size at which a paper prints."""
    import matplotlib as mpl

    return mpl.rc_context(PAPER)


def panels(
    count: int, *, size: tuple[float, float], height: float | None = None, **axes: Any
) -> tuple[Figure, list[Axes]]:
    """A figure of one row of panels; where a column of a page is all there is, one below another.

    Args:
        count: of panels.
        size: inches of the whole row.
        height: inches of each panel of a column; that of the row by default.
        axes: of :func:`matplotlib.pyplot.subplots`, such as ``sharex`` or ``width_ratios``.
    """
    from matplotlib import pyplot as plt

    if not in_column():
        figure, grid = plt.subplots(
            1, count, figsize=size, squeeze=False, layout="constrained", **axes
        )
        return figure, [*grid.ravel()]
    axes.pop("width_ratios", None)
    figure = plt.figure(figsize=(COLUMN, count * (height or size[1])), layout="constrained")
    if axes:
        return figure, [*figure.subplots(count, 1, squeeze=False, **axes).ravel()]
    # Each as wide as its own labels let it be.
    parts = figure.subfigures(count, 1, squeeze=False).ravel()
    return figure, [part.subplots() for part in parts]


def label(panels: Sequence[Axes], *, x: str, y: str) -> None:
    """Labels of axes that panels side by side, or below one another, share."""
    for panel in panels:
        if not in_column() or panel is panels[-1]:
            panel.set_xlabel(x)
        if in_column() or panel is panels[0]:
            panel.set_ylabel(y)


def legend(
    figure: Figure, handles: Sequence[Any], names: Sequence[str], *, title: str = "", ncols: int = 0
) -> None:
    """The legend of a whole figure: below it in ``ncols``, or at its right where there are none.

    In a column it always stands below, in two columns.
    """
    below = bool(ncols) or in_column()
    figure.legend(
        handles,
        names,
        loc="outside lower center" if below else "outside right center",
        ncols=2 if in_column() else ncols or 1,
        title=title.replace("\n", " ") if below else title,
    )


def entries(panels: Iterable[Axes]) -> tuple[list[Any], list[str]]:
    """Handles and names for the :func:`legend` of several panels, each name once."""
    named: dict[str, Any] = {}
    for axes in panels:
        handles, names = axes.get_legend_handles_labels()
        named |= dict(zip(names, handles, strict=True))
    return [*named.values()], [*named]


def in_column() -> bool:
    """Whether a figure is drawn for one column of a page, as ``figure.figsize`` says."""
    import matplotlib as mpl

    return bool(mpl.rcParams["figure.figsize"][0] <= COLUMN)


def save(figure: Figure, path: Path) -> None:
    """Write a figure whole or not at all, as a paper takes it, in the format of the path's end.

    Fonts are TrueType and pixels 300 an inch; without a date in it, the same figure is the same
    file.
    """
    kind = path.suffix[1:].lower()
    write = partial(figure.savefig, format=kind, metadata=_NO_DATE.get(kind))
    with paper_style():
        write_atomically(path, write)


def png(figure: Figure) -> bytes:
    """A figure to be shown in a page."""
    content = BytesIO()
    with paper_style():
        figure.savefig(content, format="png", dpi=200)
    return content.getvalue()


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


def intervals(
    axes: Axes, measured: pd.DataFrame, x: str, look: Look, label: str = "", *, shift: float = 0.0
) -> None:
    """Values against column ``x``, joined, with bars from ``lower`` to ``upper``."""
    rows = measured.sort_values(x)
    axes.errorbar(
        rows[x] + shift,
        rows["value"],
        yerr=[rows["value"] - rows["lower"], rows["upper"] - rows["value"]],
        marker=look.marker,
        linestyle=look.dashes or "none",
        color=look.colour,
        linewidth=0.9,
        elinewidth=0.7,
        label=label,
    )


def line(axes: Axes, theory: pd.DataFrame, x: str, look: Look, label: str = "") -> None:
    """Predicted values against column ``x``."""
    rows, style = theory.sort_values(x), look.dashes or "none"
    axes.plot(rows[x], rows["value"], linestyle=style, color=look.colour, label=label, zorder=2)


def curves(axes: Axes, records: pd.DataFrame, x: str, metric: str) -> None:
    """Every arm's simulation and theory of one metric, with a legend entry for each arm there is.

    Arms that :data:`ARMS` does not know get looks of their own; those without rows get nothing.
    """
    chosen = records[(records["metric"] == metric) & (records["group"] == "all")]
    for arm, look in looks(chosen["arm"], ARMS).items():
        rows = chosen[chosen["arm"] == arm]
        simulated = rows[rows["source"] == "simulation"]
        line(axes, rows[rows["source"] == "theory"], x, look, "" if len(simulated) else arm)
        if len(simulated):
            points(axes, simulated, x, look, label=arm)


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
