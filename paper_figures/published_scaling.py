"""The published scaling law recomputed, and the same rows held against group weighting."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ._panels import missing, title

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

    from opal.checks import Check
    from opal.plotting import Look

STUDIES = ("published_scaling",)
SECONDS = 50  # wall_time_s of the cells, about, at --preset quick --workers 2
CAPTION = (
    "a: balanced log loss of the published experiment that adds N synthetic rows of weight 1/2, "
    "committed numbers as rings, recomputed ones as lines (dashed: all real rows alone). b: "
    "tuned logistic regression on the same rows, balanced log loss minus that of group weighting, "
    "for a GPT-2 that was fitted to the 200 originals and for one that was fitted to all real "
    "rows; bars are 95 % intervals over draws and test rows, below zero is better than weighting. "
    "Panels say how many real rows the arms have seen, their generators included; sizes that a "
    "group's rows do not reach are left out."
)
TOLERANCE = 1e-6
_LOSS = "balanced_log_loss"


def unavailable() -> str | None:
    """Why the tables or the packages that this figure needs cannot be had here."""
    return missing(("xgboost", "sklearn"), "scaling_law")


def draw(records: pd.DataFrame) -> Figure:
    """Tables across, tasks down: published curves above sound differences."""
    from matplotlib import pyplot as plt

    from opal import plotting

    tables = list(dict.fromkeys(records["table"]))
    tasks = list(dict.fromkeys(records["task"]))
    with plotting.paper_style():
        size = (max(1.8 * len(tables), 4.6), 2.8 * len(tasks) + 1.2)
        figure = plt.figure(figsize=size, layout="constrained")
        top, bottom = figure.subfigures(2, 1, squeeze=False)[:, 0]
        _published(top, records[records["protocol"] == "published"], tables, tasks)
        _sound(bottom, records[records["protocol"] == "sound"], tables, tasks)
    return figure


def _published(figure: SubFigure, frame: pd.DataFrame, tables: list[str], tasks: list[str]) -> None:
    from opal import plotting

    rows = frame[(frame["metric"] == f"{_LOSS} mean") & (frame["experiment"] == "additional")]
    looks = plotting.looks(dict.fromkeys(rows["classifier"]))
    axes = figure.subplots(len(tasks), len(tables), squeeze=False, sharex=True)
    for task, line in zip(tasks, axes, strict=True):
        for table, panel in zip(tables, line, strict=True):
            mine = rows[(rows["table"] == table) & (rows["task"] == task)]
            for classifier, curve in mine.groupby("classifier", sort=False):
                _curve(panel, curve, str(classifier), looks)
        line[0].set_ylabel(f"{task}\nbalanced log loss")
    for table, panel in zip(tables, axes[0], strict=True):
        panel.set_title(table)
    _finish(figure, axes)
    n_files, largest = _reproduction(frame)
    title(figure, f"a  As published: {n_files} files recomputed, largest difference {largest:.0e}")


def _curve(panel: Axes, curve: pd.DataFrame, classifier: str, looks: Mapping[str, Look]) -> None:
    """Committed means as rings, recomputed ones as a line; files hold logarithms."""
    look = looks[classifier]
    points = curve[curve["arm"] == "augmented"].sort_values("n_added")
    ours, theirs = np.exp(points["value"]), np.exp(points["published"])
    panel.plot(points["n_added"], ours, color=look.colour, linestyle=look.dashes, label=classifier)
    panel.plot(
        points["n_added"], theirs, "o", markerfacecolor="none", markeredgecolor=look.colour,
        label="published" if classifier == next(iter(looks)) else None,
    )  # fmt: skip
    for value in np.exp(curve[curve["arm"] == "all_real"]["value"]):
        panel.axhline(value, color=look.colour, linestyle=(0, (5, 3)), linewidth=0.7)


def _sound(figure: SubFigure, frame: pd.DataFrame, tables: list[str], tasks: list[str]) -> None:
    from opal import plotting
    from opal.bridge.tabular.scaling import report

    rows = frame[
        (frame["metric"] == f"{_LOSS}_difference")
        & (frame["arm"] == "filled")
        & (frame["classifier"] == "logistic")
    ]
    looks = plotting.looks(dict.fromkeys(rows["synthesizer"]))
    axes = figure.subplots(len(tasks), len(tables), squeeze=False, sharex=True)
    for task, line in zip(tasks, axes, strict=True):
        for table, panel in zip(tables, line, strict=True):
            mine = rows[(rows["table"] == table) & (rows["task"] == task)]
            panel.axhline(0, color="black", linewidth=0.6)
            for k, (maker, curve) in enumerate(mine.groupby("synthesizer", sort=False)):
                shift, label = 60 * (k - (len(looks) - 1) / 2), report.label(str(maker), table)
                plotting.intervals(panel, curve, "n_added", looks[maker], label, shift=shift)
            if task == tasks[0]:
                panel.set_title(f"{table}\n{_seen(mine)}")
        line[0].set_ylabel(f"{task}\ndifference")
    _finish(figure, axes)
    title(figure, f"b  Sound, against group weighting of 1,000 real rows. {_verdict(rows)}")


def _finish(figure: SubFigure, axes: np.ndarray) -> None:
    """Labels below, and one legend for all panels."""
    for panel in axes[-1]:
        panel.set_xlabel("N, rows added")
        panel.set_xticks([0, 1800, 3600])
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))


def _seen(rows: pd.DataFrame) -> str:
    """How many real rows the arms have seen, their generators included."""
    seen = rows.groupby("synthesizer", sort=False)["n_seen"].max()
    return "saw " + ", ".join(f"{n:,.0f}" for n in seen)


def _verdict(rows: pd.DataFrame) -> str:
    """In how many settings each maker's largest arm lies wholly below or above weighting."""
    from opal.bridge.tabular.scaling import report

    last = rows.loc[rows.groupby(["setting", "synthesizer"], sort=False)["n_added"].idxmax()]
    table = rows["table"].iloc[0]
    said = [
        f"{report.label(str(maker), table)} better in "
        f"{int((mine['upper'] < 0).sum())}, worse in {int((mine['lower'] > 0).sum())} of "
        f"{len(mine)}"
        for maker, mine in last.groupby("synthesizer", sort=False)
    ]
    return "Largest N:\n    " + "; ".join(said)


def _reproduction(frame: pd.DataFrame) -> tuple[int, float]:
    """Committed files with a recomputed number, and the largest difference to one."""
    known = frame[frame["published"].notna()]
    return known["file"].nunique(), float((known["value"] - known["published"]).abs().max())


def checks(records: pd.DataFrame) -> list[Check]:
    """Trees to rounding, logistic regressions as far as lbfgs allows, and that imbalance is seen.

    What a generator's rows add to weighting is a finding, of either sign, and not a check.
    """
    from opal.checks import at_least, at_most

    published = records[(records["protocol"] == "published") & records["published"].notna()]
    off = (published["value"] - published["published"]).abs()
    logistic = published["classifier"] == "logistic"
    raw = records[(records["arm"] == "raw") & (records["metric"] == f"{_LOSS}_difference")]
    detail = "raw minus weighting over its standard error, every setting: imbalance must be seen"
    found = [at_least("weighting helps", raw["value"] / raw["std_error"], 2.0, detail)]
    if (~logistic).any():
        detail = f"trees: largest difference to {(~logistic).sum()} committed numbers"
        found.append(at_most("published trees", off[~logistic], TOLERANCE, detail))
    if logistic.any():
        reach = published[["to_minimum", "reordered"]].max(axis=1)[logistic] + TOLERANCE
        detail = "logistic regressions: differences over how far lbfgs stops from the minimum"
        found.append(at_most("published logistic", off[logistic] / reach, 10.0, detail))
    return found
