"""Excess risk against N for three smoothnesses: slopes 2s/(2s + 1), and floors of bias."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._panels import study

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from opal.checks import Check
    from opal.plotting import Look

STUDIES = ("scaling",)
SECONDS = 28  # wall_time_s of the cells, about, at --preset quick --workers 2
FITS_COLUMN = True
CAPTION = (
    "Excess balanced risk against the number N of synthetic rows of each group, for functions of "
    "smoothness s and generators whose functions are off by a norm b: filled points are the "
    "Gaussian sequence model, open ones kernel ridge regression on random rows, with two standard "
    "errors; lines are theory with nothing fitted, of slope −2s/(2s + 1) without bias and with the "
    "floor b² (dashed) otherwise."
)


def draw(records: pd.DataFrame) -> Figure:
    """A panel for each smoothness."""
    from opal import plotting

    of = study("scaling")
    excess = records[records["metric"] == of.EXCESS]
    levels = list(excess["smoothness"].unique())
    with plotting.paper_style():
        figure, axes = plotting.panels(
            len(levels), size=(6.8, 2.9), height=2.1, sharex=True, sharey=True
        )
        generators = [
            (face, bias)
            for face in (of.SEQUENCE, of.KERNEL)
            for bias in sorted(excess.loc[excess["face"] == face, "bias"].unique())
        ]
        series = {
            generator: look._replace(filled=generator[0] == of.SEQUENCE)
            for generator, look in plotting.looks(generators).items()
        }
        for panel, s in zip(axes, levels, strict=True):
            rows = excess[excess["smoothness"] == s]
            for (face, bias), look in series.items():
                chosen = rows[(rows["face"] == face) & (rows["bias"] == bias)]
                _curve(panel, chosen, bias, look, label=f"{face}, b = {bias:g}")
            panel.set(xscale="log", yscale="log")
            panel.set_title(f"s = {s}: slope −{2 * s}/{2 * s + 1}")
        plotting.label(axes, x="synthetic rows N of each group", y="excess balanced risk")
        plotting.legend(figure, *axes[0].get_legend_handles_labels(), ncols=3)
    return figure


def _curve(axes: Axes, rows: pd.DataFrame, bias: float, look: Look, *, label: str) -> None:
    """Simulation and theory of one generator, and its floor."""
    from opal import plotting

    plotting.line(axes, rows[rows["source"] == "theory"], "n_augmented", look)
    plotting.points(axes, rows[rows["source"] == "simulation"], "n_augmented", look, label=label)
    if bias:
        span = (rows["n_augmented"].min(), rows["n_augmented"].max())
        axes.plot(span, [bias**2] * 2, color=look.colour, linewidth=0.7, linestyle=(0, (4, 3)))


def checks(records: pd.DataFrame) -> list[Check]:
    """What the study says of its slopes, floors and curves."""
    found: list[Check] = study("scaling").checks(records)
    return found
