"""A fit as a picture: points, curve, intervals, residuals, and what a reader must be warned of."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
import pandas as pd

from opal.plotting import SERIES, paper_style
from opal.scaling import table
from opal.scaling.covariance import SamplingCovariance
from opal.scaling.diagnostics import FAR
from opal.scaling.new_run import RunNoise
from opal.scaling.picture_axes import (
    family_colour,
    labels,
    plain_ticks,
    points,
    residual_axis,
    residuals,
    values_axis,
)
from opal.scaling.problem import LINKS, Settings
from opal.scaling.scaling_law import Columns, ScalingLaw
from opal.scaling.table import Roles

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH = 3.4  # inches: a column of a paper
_MOST_CURVES = 6  # that a panel can hold; with more, fitted values are held against observed ones
_N_POINTS = 60  # of a curve
_N_BAND = 20  # of its interval, which takes longer
_WARNED = "#D55E00"


class _Drawable(Protocol):
    """What a picture asks of a fit; see :class:`opal.scaling.fit.Fit`."""

    @property
    def law(self) -> ScalingLaw: ...
    @property
    def frame(self) -> pd.DataFrame: ...
    @property
    def roles(self) -> Roles: ...
    @property
    def settings(self) -> Settings: ...
    @property
    def warnings(self) -> Sequence[str]: ...
    @property
    def covariance(self) -> SamplingCovariance: ...
    def summary(self) -> str: ...
    def predict(self, x: Columns) -> np.ndarray: ...
    def predict_interval(self, x: Columns) -> tuple[np.ndarray, np.ndarray]: ...
    def run_interval(
        self, x: Columns, low: np.ndarray, high: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]: ...
    def run_noise(self, x: Columns) -> RunNoise: ...


def draw(
    fitted: _Drawable, *, held_out: pd.DataFrame | None = None, at: Columns | None = None
) -> Figure:
    """The fit at the width of a paper's column.

    A law of one size, or of several where few values of the others stand in the table, is drawn as
    curves with the residuals below; of others fitted values are held against observed ones, with
    the residuals along each variable. Sizes beyond the table have a grey ground and dashed curves.

    Args:
        fitted: the fit.
        held_out: rows that the fit has not seen, with the columns of the table; drawn open.
        at: points to which the curve is drawn; 10 times the largest size if None.
    """
    from matplotlib import pyplot as plt

    means = {"": _means(fitted, fitted.frame)}
    if held_out is not None:
        means["held out"] = _means(fitted, held_out)
    others = [name for name in fitted.law.variables if name != _along(fitted.law)]
    levels = means[""][others].drop_duplicates().sort_values(others) if others else None
    few = levels is None or len(levels) <= _MOST_CURVES
    with paper_style():
        rows = 2 if few else 1 + len(fitted.law.variables)
        figure, axes = plt.subplots(
            rows,
            1,
            figsize=(_WIDTH, 3.5 if few else 2.4 + 1.1 * (rows - 1)),
            height_ratios=[2.6, 1] if few else [2.2, *[1] * (rows - 1)],
            layout="constrained",
        )
        if few:
            _curves(figure, axes, fitted, means, levels, at)
        else:
            _against_observed(axes, fitted, means)
        _title(figure, fitted, bands=few)
    return figure


def _along(law: ScalingLaw) -> str:
    """The variable of the horizontal axis."""
    return law.sizes[0] if law.sizes else law.variables[0]


def _means(fitted: _Drawable, frame: pd.DataFrame) -> pd.DataFrame:
    """One row for each point: variables, mean, ends of its bar, curve, and residual.

    The residual is in standard errors of the mean where these are known, else on the link's scale.
    """
    law, roles, link = fitted.law, fitted.roles, LINKS[fitted.settings.link]
    raw = frame[roles.y].to_numpy(float)
    rows = pd.DataFrame({**table.columns_of(frame, law, roles), "y": link.forward(raw)})
    if roles.std_error is not None:
        rows["se"] = frame[roles.std_error].to_numpy(float) * link.slope(raw)
    by = rows.groupby(list(law.variables), sort=True)
    found = by["y"].mean().reset_index()
    if roles.std_error is not None:
        found["se"] = by["se"].apply(lambda se: np.sqrt(np.sum(se**2)) / len(se)).to_numpy()
    else:
        found["se"] = _pooled(fitted, rows) if frame is fitted.frame else by["y"].sem().to_numpy()
    curve = fitted.predict({name: found[name].to_numpy() for name in law.variables})
    residual = found["y"] - link.forward(curve)
    standard = bool(np.all(found["se"] > 0))
    wide = 2 * found["se"].fillna(0.0)
    return found.assign(
        mean=link.inverse(found["y"].to_numpy()),
        low=link.inverse((found["y"] - wide).to_numpy()),
        high=link.inverse((found["y"] + wide).to_numpy()),
        curve=curve,
        residual=residual / found["se"] if standard else residual,
        standard=standard,
    )


def _pooled(fitted: _Drawable, rows: pd.DataFrame) -> np.ndarray:
    """Standard errors of the means, by the scatter that the fit weighs rows with, if it does."""
    by = rows.groupby(list(fitted.law.variables), sort=True)
    weights = fitted.covariance.problem.root_weights
    if not np.ptp(weights) > 0:
        return by["y"].sem().to_numpy()
    each = rows.assign(weight=weights**2).groupby(list(fitted.law.variables), sort=True)["weight"]
    return (1 / np.sqrt(each.sum())).to_numpy()


def _curves(
    figure: Figure,
    axes: Sequence[Axes],
    fitted: _Drawable,
    means: Mapping[str, pd.DataFrame],
    levels: pd.DataFrame | None,
    at: Columns | None,
) -> None:
    top, below = axes
    name = _along(fitted.law)
    every = pd.concat(means.values())
    largest = float(means[""][name].max())
    used = every[every[name] > 0] if name in fitted.law.sizes and fitted.law.separable else every
    first, is_log = float(used[name].min()), bool(used[name].min() > 0)
    end = (FAR if is_log else 2) * largest
    if at is not None:
        end = float(np.max(fitted.law.arrays(at)[name]))
    end = max(end, 1.2 * float(every[name].max()))
    grid = (np.geomspace if is_log else np.linspace)(first, end, _N_POINTS)
    grid = np.sort(np.append(grid, largest))
    families = [{}] if levels is None else levels.to_dict("records")
    names: list[str] = []
    last: list[float] = []
    for index, others in enumerate(families):
        colour = family_colour(index)
        same = {where: _at(rows, others) for where, rows in means.items()}
        x = {name: grid, **{other: np.full(len(grid), value) for other, value in others.items()}}
        _curve(top, fitted, x, name, largest, colour)
        for where, rows in same.items():
            points(top, rows, name, colour, marker=SERIES[index % 5].marker, filled=not where)
            residuals(below, rows, name, colour, SERIES[index % 5].marker, filled=not where)
        names.append(", ".join(f"{fitted.roles.x[o]} {value:.3g}" for o, value in others.items()))
        last.append(float(fitted.predict({key: column[-1:] for key, column in x.items()})[0]))
    for panel in axes:
        panel.axvspan(largest, end, color="#000000", alpha=0.06, linewidth=0)
        if is_log:
            panel.set_xscale("log")
        panel.set_xlim(grid[0] / 1.15 if is_log else grid[0] - 0.02 * (end - grid[0]), end)
    top.tick_params(labelbottom=False)
    said = "beyond the table" + ("\nopen: held out" if len(means) > 1 else "")
    ordered = means[""].sort_values(name)["curve"]
    rises = float(ordered.iloc[-1]) > float(ordered.iloc[0])
    top.text(
        0.985, 0.03 if rises else 0.97, said, transform=top.transAxes, ha="right",
        va="bottom" if rises else "top", fontsize=7,
    )  # fmt: skip
    values_axis(top, every, fitted.roles.y)
    residual_axis(below, every)
    below.set_xlabel(fitted.roles.x[name])
    if levels is not None:
        figure.draw_without_rendering()  # a layout, so that labels know how far apart they are
        labels(top, names, last)


def _at(rows: pd.DataFrame, others: Mapping[str, float]) -> pd.DataFrame:
    """The rows with these values of the other variables."""
    for other, value in others.items():
        rows = rows[rows[other] == value]
    return rows


def _curve(
    axes: Axes,
    fitted: _Drawable,
    x: Columns,
    name: str,
    largest: float,
    colour: str,
) -> None:
    """The curve with its interval, and around it that of one new run if that is known."""
    seen = x[name] <= largest
    best = fitted.predict(x)
    some = {key: column[:: _N_POINTS // _N_BAND] for key, column in x.items()}
    low, high = fitted.predict_interval(some)
    axes.fill_between(some[name], low, high, color=colour, alpha=0.28, linewidth=0, zorder=1)
    if _runs(fitted):
        low, high = fitted.run_interval(some, low, high)
        axes.fill_between(some[name], low, high, color=colour, alpha=0.12, linewidth=0, zorder=0)
    axes.plot(x[name][seen], best[seen], color=colour, zorder=2)
    beyond = x[name] >= largest
    axes.plot(x[name][beyond], best[beyond], color=colour, linestyle=(0, (3, 1.5)), zorder=2)


def _against_observed(
    axes: Sequence[Axes], fitted: _Drawable, means: Mapping[str, pd.DataFrame]
) -> None:
    """Observed against fitted values, and residuals along each variable."""
    top, *below = axes
    every = pd.concat(means.values())
    colour = SERIES[0].colour
    for where, rows in means.items():
        points(top, rows, "curve", colour, marker="o", filled=not where)
    ends = [
        float(every[["mean", "curve"]].min().min()),
        float(every[["mean", "curve"]].max().max()),
    ]
    top.plot(ends, ends, color="#000000", linewidth=0.8, zorder=0)
    values_axis(top, every, fitted.roles.y)
    top.set_xscale(top.get_yscale())
    if top.get_yscale() == "log":
        plain_ticks(top.xaxis, ends[1] / ends[0])
    top.set(xlabel="fitted", ylabel=f"observed {fitted.roles.y}")
    for panel, name in zip(below, fitted.law.variables, strict=True):
        size = name in fitted.law.sizes
        for where, rows in means.items():
            used = rows[rows[name] > 0] if size else rows  # a size of zero is not used
            residuals(panel, used, name, colour, "o", filled=not where)
        shown = every.loc[every[name] > 0, name] if size else every[name]
        if shown.min() > 0 and shown.max() > 10 * shown.min():
            panel.set_xscale("log")
        residual_axis(panel, every)
        panel.set_xlabel(fitted.roles.x[name], labelpad=1)


def _title(figure: Figure, fitted: _Drawable, *, bands: bool) -> None:
    """The law, its estimates, what bands are; then, in colour, what a reader must be warned of."""
    lines = [(line, "#000000") for line in textwrap.wrap(fitted.summary(), 60)]
    if bands:
        text = f"band: {100 * fitted.settings.level:.4g} % interval of the curve"
        lines.append((text + ("; lighter: of one new run" if _runs(fitted) else ""), "#595959"))
    heads = (re.split(r":|, most at", warning)[0] for warning in fitted.warnings)
    short = "; ".join(dict.fromkeys(heads))
    lines += [(line, _WARNED) for line in textwrap.wrap(f"Warning: {short}", 62) if short]
    for index, (line, colour) in enumerate(reversed(lines)):
        figure.axes[0].annotate(
            line, (0.01, 1), (0, 5 + 9 * index), xycoords=("figure fraction", "axes fraction"),
            textcoords="offset points", fontsize=7, color=colour, annotation_clip=False,
        )  # fmt: skip


def _runs(fitted: _Drawable) -> bool:
    """Whether there is a band for one new run: a law of one curve whose noise is known."""
    seen = table.columns_of(fitted.frame, fitted.law, fitted.roles)
    return len(fitted.law.variables) == 1 and fitted.run_noise(seen).errors is not None
