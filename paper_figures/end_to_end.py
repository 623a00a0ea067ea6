"""A classifier trained on a transformer's rows: excess risk from its exact law, nothing fitted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._panels import study

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from opal.checks import Check

STUDIES = ("end_to_end",)
SECONDS = 51  # wall_time_s of the cells, about, at --preset quick --workers 2
CAPTION = (
    "Excess balanced risk of a classifier trained on real rows and on rows of a transformer that "
    "saw the n rows of the small class: (top, by the law of the subjects' coordinates; mean over "
    "pairs of subjects) points are simulations with two standard errors, and lines are theory from "
    "the transformer's exact law with nothing fitted; (bottom) predicted over simulated excess in "
    "all cells, with two standard errors of the paired difference and a band of 3 %, beside two "
    "theories that are wrong on purpose, without the covariance of the seeds that the transformer "
    "and the training set share, and without the spread of all other rows."
)


def draw(records: pd.DataFrame) -> Figure:
    """Curves in n for each prior, and the ratios of all cells."""
    from matplotlib import pyplot as plt

    from opal import plotting

    table = study("end_to_end").every_number(records)
    priors = table.groupby(["mean", "scale"])
    with plotting.paper_style():
        figure = plt.figure(figsize=(6.8, 5.2), layout="constrained")
        upper, lower = figure.subfigures(2, 1, squeeze=False, height_ratios=(1.15, 1))[:, 0]
        panels = upper.subplots(1, len(priors), sharey=True, squeeze=False)[0]
        for panel, ((mean, scale), rows) in zip(panels, priors, strict=True):
            _curves(panel, rows)
            seen = " (as in training)" if (mean, scale) == (0, 1) else ""
            panel.set_title(f"subjects N({mean:g}, {scale:g}²){seen}")
        panels[0].set_ylabel("excess balanced risk")
        upper.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
        ratios = lower.subplots()
        _ratios(ratios, table)
        lower.legend(*ratios.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def caption(records: pd.DataFrame) -> str:
    """What is shown, with the rows that are added and their weight."""
    table = study("end_to_end").every_number(records)
    designs = table[["n_augmented", "alpha"]].drop_duplicates().itertuples(index=False)
    added = " or ".join(f"N = {n:,} and α = {alpha:g}" for n, alpha in designs)
    return f"{CAPTION} Every class gets N rows of weight α, {added}."


def _curves(panel: Axes, table: pd.DataFrame) -> None:
    """A curve in n for each weighting, N and α; the mean over pairs of subjects."""
    from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

    from opal import plotting

    arms = dict(list(table.groupby(["weighting", "n_augmented", "alpha"])))
    several = len(table.groupby(["n_augmented", "alpha"])) > 1
    for (weighting, n, alpha), series in plotting.looks(arms).items():
        rows, look = arms[weighting, n, alpha], series._replace(filled=weighting != "opal")
        sizes = rows.groupby("n_min")
        error = sizes["std_error_simulated"].agg(lambda e: (e**2).sum() ** 0.5 / len(e))
        mean = sizes[["predicted", "simulated"]].mean().assign(std_error=error).reset_index()
        plotting.line(panel, mean.assign(value=mean["predicted"]), "n_min", look)
        name = "OPAL" if weighting == "opal" else weighting
        label = f"{name} weights" + (f", N = {n}, α = {alpha:g}" if several else "")
        plotting.points(panel, mean.assign(value=mean["simulated"]), "n_min", look, label)
    places = sorted(table["n_min"].unique())
    panel.set(xscale="log", yscale="log", xlabel="real rows n of the small class")
    panel.set_xticks(places, [str(place) for place in places])
    panel.xaxis.set_minor_locator(NullLocator())
    panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    panel.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    panel.yaxis.set_minor_locator(NullLocator())


def _ratios(panel: Axes, table: pd.DataFrame) -> None:
    """Predicted over simulated excess of each cell, in the order of what shared seeds are worth."""
    import numpy as np
    from matplotlib.ticker import MaxNLocator

    from opal.plotting import Look, points

    looks = {
        "own_seeds": (-0.2, "shared seeds left out", Look("#D55E00", "^", "", False, 3.2)),
        "predicted": (0, "theory", Look("#000000", "o", "", size=3.0)),
        "floor": (0.2, "spread left out", Look("#0072B2", "x", "", size=3.2)),
    }
    ordered = table.assign(worth=table["own_seeds"] / table["predicted"]).sort_values("worth")
    panel.axhspan(0.97, 1.03, color="0.88", zorder=0)
    panel.axhline(1, color="0.4", linewidth=0.7, zorder=1)
    for name, (aside, label, look) in looks.items():
        ratio = ordered[name] / ordered["simulated"]
        error = ordered[f"std_error_{name}"] / ordered["simulated"]
        cell = np.arange(1, len(table) + 1) + aside
        points(panel, ordered.assign(value=ratio, std_error=error, cell=cell), "cell", look, label)
    panel.set(
        xlabel="rank of the cell by what the shared seeds are worth",
        ylabel="predicted / simulated",
        xlim=(0, len(table) + 1),
    )
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))


def checks(records: pd.DataFrame) -> list[Check]:
    """What the study says of its cells and controls."""
    found: list[Check] = study("end_to_end").checks(records)
    return found
