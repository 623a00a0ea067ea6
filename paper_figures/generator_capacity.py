"""Regret of transformers to Bayes: the plateau in seeds, and a law of width, depth and tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._panels import study

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from opal.checks import Check

STUDIES = ("generator_capacity",)
SECONDS = 73  # wall_time_s of the cells, about, at --preset quick --workers 2
FITS_COLUMN = True
CAPTION = (
    "What training and size are worth: (first panel) mean KL of the smallest transformer after n "
    "seeds, with two standard errors, trained on growing numbers of tokens, beside Bayes and "
    "Bayes plus the regret that the law predicts at the most seeds (dashes); (second, third) "
    "regret to Bayes at the most seeds against training tokens and against width and depth, with "
    "the law of width, depth and tokens (lines) fitted to the shorter trainings (filled) and held "
    "against the longest (open)."
)


def draw(records: pd.DataFrame) -> Figure:
    """The plateau, then regret against tokens and against parameters."""
    from opal import plotting

    table = study("generator_capacity").comparison(records)
    with plotting.paper_style():
        figure, axes = plotting.panels(3, size=(7.0, 3.3), height=2.6)
        _plateau(axes[0], records, table)
        n = table["n_real"].max()
        shapes = table[["width", "depth", "params"]].itertuples(index=False)
        sizes = {params: f"{width} × {depth}" for width, depth, params in shapes}
        names = {params: f"width × depth {size}" for params, size in sizes.items()}
        _regret(axes[1], table, "tokens", "params", names)
        lengths = {tokens: _amount(tokens) for tokens in table["tokens"].unique()}
        _regret(axes[2], table, "params", "tokens", lengths)
        regret = f"regret to Bayes at n = {n} (nats)"
        axes[1].set(xlabel="training tokens", ylabel=regret)
        axes[2].set(xlabel="width × depth, by parameters")
        axes[2].set_xticks([*names], [sizes[params] for params in names])
        axes[2].sharey(axes[1])
        if plotting.in_column():
            axes[2].set_ylabel(regret)
        else:
            axes[2].tick_params(labelleft=False)
        for panel, title in zip(axes[:2], ("tokens", ""), strict=True):
            panel.legend(loc="lower left", title=title or None, handlelength=1.6)
    return figure


def _plateau(panel: Axes, records: pd.DataFrame, table: pd.DataFrame) -> None:
    """KL against n of the smallest architecture."""
    from opal import plotting

    of = study("generator_capacity")
    smallest = table[table["params"] == table["params"].min()]
    kl = records[(records["metric"] == "kl") & (records["n_real"] > 0)]
    kl = kl[kl["width"].eq(smallest["width"].iloc[0]) & kl["depth"].eq(smallest["depth"].iloc[0])]
    best = kl[(kl["arm"] == of.BAYES) & (kl["tokens"] == kl["tokens"].min())]
    plotting.line(panel, best, "n_real", plotting.ARMS["raw"]._replace(dashes="-"), "Bayes")
    for run, look in zip(
        smallest.itertuples(), plotting.looks(smallest.index).values(), strict=True
    ):
        rows = kl[(kl["arm"] == of.TRANSFORMER) & (kl["tokens"] == run.tokens)]
        style = look._replace(filled=not run.held_out)
        plotting.points(panel, rows, "n_real", style, label=_amount(run.tokens))
        late = best[best["n_real"] >= run.n_real / 8].sort_values("n_real")
        panel.plot(
            *(late["n_real"], late["value"] + run.predicted),
            color=look.colour,
            linestyle=(0, (2, 1)),
            zorder=1,
        )
    ticks = [4**power for power in range(10) if 4**power <= run.n_real]
    panel.set(xscale="log", yscale="log", xlabel="seeds n in the context")
    panel.set(ylabel="KL from the true law (nats)")
    panel.set_xticks(ticks, [f"{tick}" for tick in ticks])
    shown = [level for level in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1) if level > best["value"].min()]
    panel.set_yticks(shown, [f"{level:g}" for level in shown])
    panel.minorticks_off()


def _regret(panel: Axes, table: pd.DataFrame, x: str, by: str, names: dict[int, str]) -> None:
    """Regret and the law against one column, a series for each value of another."""
    from opal import plotting

    for value, look in plotting.looks(sorted(table[by].unique())).items():
        rows = table[table[by] == value]
        panel.plot(
            *(rows[x], rows["predicted"]), linestyle=look.dashes, color=look.colour, zorder=2
        )
        for held_out, some in rows.groupby("held_out"):
            some = some.rename(columns={"regret": "value"})
            style = look._replace(filled=not held_out)
            label = names[value] if held_out == rows["held_out"].iloc[0] else ""
            plotting.points(panel, some, x, style, label=label)
    panel.set(xscale="log", yscale="log")
    places = sorted(table[x].unique())
    panel.set_xticks(places, [_amount(place) for place in places])
    panel.tick_params(axis="x", which="minor", bottom=False, labelbottom=False)


def _amount(number: float) -> str:
    return f"{number / 1e6:.2g} M" if number >= 1e5 else f"{number / 1e3:.2g} k"


def checks(records: pd.DataFrame) -> list[Check]:
    """What the study says of plateaus and of the law."""
    found: list[Check] = study("generator_capacity").checks(records)
    return found
