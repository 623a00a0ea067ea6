"""KL against seeds: a transformer, the best that can be done, counts, and the published bound."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._panels import study

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from opal.checks import Check
    from opal.plotting import Look
    from opal.theory.generator import Bound

STUDIES = ("generator_kl",)
SECONDS = 88  # wall_time_s of the cells, about, at --preset quick --workers 2
FITS_COLUMN = True
CAPTION = (
    "Mean KL of a transformer's law from the truth after n seeds in its context, on held-out "
    "subjects: points are the transformer with two standard errors, lines are Bayes' posterior "
    "predictive law, its limit r/(2n), Laplace's approximation, maximum likelihood from the n on "
    "at which it exists for nine in ten subjects, add-½ counts, and the published bound with one "
    "pair of constants fitted to n ≤ 8; the last panel shows the transformer's KL over Bayes'."
)
LINES = {
    "Bayes": ("#000000", "-"),
    "Laplace": ("#56B4E9", (0, (1, 1))),
    "maximum likelihood": ("#009E73", (0, (3, 1, 1, 1, 1, 1))),
    "add-½ counts": ("#E69F00", (0, (6, 2))),
}
LIMIT, BOUND = ("#7f7f7f", (0, (1, 2.5))), ("#D55E00", (0, (8, 1.5, 1.5, 1.5)))
MOSTLY = 0.9  # of the subjects have a most likely law


def draw(records: pd.DataFrame) -> Figure:
    """A panel for each alphabet, then the ratios of all."""
    from opal import plotting

    of = study("generator_kl")
    found, alphabets = of.bound(records), list(records.groupby(list(of.SETTING)))
    n_panels = len(alphabets) + 1
    with plotting.paper_style():
        figure, axes = plotting.panels(n_panels, size=(1.4 + 2.3 * n_panels, 3.3), height=2.5)
        looks = plotting.looks(range(len(alphabets)))
        for index, (panel, (_, rows)) in enumerate(zip(axes[:-1], alphabets, strict=True)):
            look = looks[index]
            _curves(panel, rows, look, found)
            _ratio(axes[-1], rows, look)
        axes[0].set_ylabel("KL from the true law (nats)")
        axes[-1].axhline(1.0, color="black", linewidth=1.1, zorder=1)
        axes[-1].set(ylabel="KL over that of Bayes", title="transformer over Bayes")
        _seeds_axis(axes[-1], records[records["source"] == "simulation"]["n_real"].max())
        if len(alphabets) > 1:
            axes[-1].legend(loc="upper left")
        handles, names = axes[0].get_legend_handles_labels()
        plotting.legend(figure, handles, names, ncols=4)
    return figure


def _curves(panel: Axes, rows: pd.DataFrame, look: Look, found: Bound) -> None:
    """Every estimate against n of one alphabet."""
    import numpy as np

    from opal import plotting

    transformer = study("generator_kl").TRANSFORMER
    kl = rows[rows["metric"] == "kl"]
    shares = rows[rows["metric"] == "found"].set_index(["arm", "n_real"])["value"]
    for arm, (colour, dashes) in LINES.items():
        line = kl[(kl["arm"] == arm)].sort_values("n_real")
        line = line[[shares[arm, n] >= MOSTLY for n in line["n_real"]]]
        panel.plot(line["n_real"], line["value"], color=colour, linestyle=dashes, label=arm)
    d, rank, eta = rows[["n_tokens", "rank", "eta"]].iloc[0]
    n = np.geomspace(1, kl["n_real"].max(), 50)
    panel.plot(n, rank / (2 * n), color=LIMIT[0], linestyle=LIMIT[1], label="r/(2n)")
    panel.plot(n, found.at(d, n), color=BOUND[0], linestyle=BOUND[1], label="published bound")
    made = kl[kl["arm"] == transformer]
    plotting.points(panel, made, "n_real", look, label=transformer)
    panel.set(yscale="log", title=f"d = {d:g}, r = {rank:g}, η = {eta:g}")
    _seeds_axis(panel, kl["n_real"].max())


def _ratio(panel: Axes, rows: pd.DataFrame, look: Look) -> None:
    """Paired ratios of one alphabet."""
    from opal import plotting

    transformer = study("generator_kl").TRANSFORMER
    ratio = rows[(rows["metric"] == "kl_over_bayes") & (rows["arm"] == transformer)]
    d, rank, eta = rows[["n_tokens", "rank", "eta"]].iloc[0]
    plotting.points(panel, ratio, "n_real", look, label=f"d = {d:g}, r = {rank:g}, η = {eta:g}")


def _seeds_axis(panel: Axes, most: int) -> None:
    """Seeds on a scale that is linear up to one, so that none can be shown."""
    ticks = [0, *(4**power for power in range(10) if 4**power <= most)]
    panel.set_xscale("symlog", linthresh=1, linscale=0.5)
    panel.set_xticks(ticks, [f"{tick}" for tick in ticks])
    panel.minorticks_off()
    panel.set(xlabel="seeds n in the context", xlim=(-0.3, 1.3 * most))


def checks(records: pd.DataFrame) -> list[Check]:
    """What the study says of the transformer, the references and the bound."""
    found: list[Check] = study("generator_kl").checks(records)
    return found
