"""What figures share: studies, whether tables are here, and two metrics of all arms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING

from opal.cli import registry

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

LABELS = {
    "excess_balanced_risk": "excess balanced risk",
    "worst_error": "worst-group error",
}


def study(name: str) -> ModuleType:
    """A study of this opal, wherever it is installed."""
    return registry.load("study", name)


def missing(packages: Sequence[str], corpus: str) -> str | None:
    """Why a figure of real tables cannot be drawn here; None if it can.

    Args:
        packages: of the extra ``tabular`` that it imports.
        corpus: whose tables it reads, as :func:`opal.bridge.download.availability` knows it.
    """
    from opal.bridge import download

    absent = [name for name in packages if find_spec(name) is None]
    if absent:
        return f"needs {', '.join(absent)}; install the extra: pip install 'opal-scaling[tabular]'."
    return download.availability(corpus)


def title(figure: SubFigure, text: str) -> None:
    """Name a part of a figure, above it at the left."""
    figure.suptitle(text, x=0.01, ha="left", weight="bold", fontsize=8)


def arms_against(
    records: pd.DataFrame,
    x: str,
    *,
    xlabel: str,
    metrics: tuple[str, str],
    ticks: Mapping[str, tuple[float, ...]],
    xscale: str = "linear",
) -> tuple[Figure, list[Axes]]:
    """A panel a metric, on a log scale, and one legend; call inside ``plotting.paper_style()``.

    Args:
        records: of both sources.
        x: column of the horizontal axis; each of its values gets a tick.
        xlabel: its label.
        metrics: left and right, of :data:`LABELS`.
        ticks: of the vertical axis of a metric, where the scale's own do not say enough.
        xscale: linear, log or logit.
    """
    from opal import plotting

    figure, panels = plotting.panels(2, size=(6.8, 2.9), height=2.3)
    places = sorted(records[x].unique())
    for panel, metric in zip(panels, metrics, strict=True):
        plotting.curves(panel, records, x, metric)
        panel.set(xlabel=xlabel, ylabel=LABELS[metric], xscale=xscale, yscale="log")
        panel.set_xticks(places, [f"{place:g}" for place in places])
        panel.tick_params(axis="x", which="minor", bottom=False, labelbottom=False)
        if metric in ticks:
            panel.set_yticks(ticks[metric], [f"{tick:g}" for tick in ticks[metric]])
            panel.minorticks_off()
    handles, names = panels[0].get_legend_handles_labels()
    plotting.legend(figure, handles, names)
    return figure, panels
