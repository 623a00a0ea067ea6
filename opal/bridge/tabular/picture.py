"""Drawings of tabular records: published curves, and differences to group weighting."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from opal.bridge.tabular.arms import ARMS, REFERENCE
from opal.plotting import PAPER

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ARM_LABELS: Mapping[str, str] = {
    "raw": "raw",
    "threshold": "raw, threshold moved",
    "weighting": "group weighting",
    "duplication": "duplication",
    "smote": "SMOTE",
    "synthetic": "{made}, as published",
    "synthetic_balanced": "{made}, to balance",
    "synthetic_threshold": "{made}, threshold moved",
    "synthetic_novel": "{made}, none recited",
    "synthetic_weighting": "{made} + weighting",
    "real_balanced": "as many real rows",
    "synthetic_corrected": "{made}, bias subtracted",
}
MADE = {"gpt4": "GPT-4", "synthetic": "synthetic"}
DATASET_LABELS = {
    "openmlDiabetes": "diabetes",
    "heart_failure": "heart failure",
    "gender": "gender",
}
# Shape and fill tell the classifiers apart in print; colour only helps.
CLASSIFIERS: Mapping[str, tuple[str, str, str, str]] = {
    "logistic": ("o", "#1a1a1a", "#1a1a1a", "logistic"),
    "forest": ("s", "#1f6fb4", "white", "random forest"),
    "catboost": ("^", "#d1711c", "#f3c79a", "CatBoost"),
}
CURVES: Mapping[str, tuple[str, str, str, str]] = {
    "synthetic": ("o", "-", "#1a1a1a", "GPT-4"),
    "smote": ("s", "--", "#1f6fb4", "SMOTE"),
    "duplication": ("^", ":", "#d1711c", "duplication"),
    "worst_error": ("v", "-", "#1a1a1a", "worst group"),
    "minority_error": ("D", "--", "#1f6fb4", "minority groups"),
    "majority_error": ("P", ":", "#d1711c", "majority groups"),
}
# The paper's style, a little smaller: these figures have many panels.
STYLE: dict[Any, Any] = {**PAPER, "font.size": 7.5, "axes.labelsize": 7.5, "savefig.dpi": "figure"}


def arm_label(arm: str, synthesizer: str = "gpt4") -> str:
    """What a reader calls an arm."""
    return ARM_LABELS[arm].format(made=MADE.get(synthesizer, synthesizer))


def curves(axes: Axes, frame: pd.DataFrame, column: str) -> None:
    """Error against synthetic rows, a line for each value of ``column``; rings are published.

    ``frame`` are records of the published protocol, of one dataset, task and classifier;
    ``column`` is ``arm`` or ``metric``.
    """
    for name, (marker, line, colour, label) in CURVES.items():
        rows = frame[frame[column] == name].sort_values("chunk")
        if rows.empty:
            continue
        x = rows["n_oversampled"]
        axes.plot(x, rows["value"], line, marker=marker, color=colour, ms=3, lw=1, label=label)
        axes.plot(x, rows["published"], "o", color=colour, fillstyle="none", ms=6.5, mew=0.7)
    axes.set_xlabel("synthetic rows")
    axes.margins(y=0.1)
    axes.set_ylim(bottom=0)


def differences(axes: Axes, frame: pd.DataFrame, metric: str) -> None:
    """Paired differences to weighting with intervals: an arm a line, a classifier a marker.

    ``frame`` are aggregate records of the sound protocol, of one dataset and task.
    """
    rows = frame[frame["metric"] == f"{metric}_difference"]
    shown = [arm for arm in ARMS if arm != REFERENCE and (rows["arm"] == arm).any()]
    names = [name for name in CLASSIFIERS if (rows["classifier"] == name).any()]
    offsets = np.linspace(-0.3, 0.3, len(names)) if len(names) > 1 else np.zeros(1)
    window = _window(rows)
    for name, offset in zip(names, offsets, strict=True):
        marker, colour, face, label = CLASSIFIERS[name]
        mine = rows[rows["classifier"] == name].set_index("arm")
        has = np.array([arm in mine.index for arm in shown])  # not all classifiers take all arms
        mine = mine.loc[[arm for arm in shown if arm in mine.index]]
        exact = mine["value"].to_numpy()
        value, ends = np.clip(exact, *window), np.clip(mine[["lower", "upper"]].T, *window)
        whiskers = np.stack([value - ends.loc["lower"], ends.loc["upper"] - value])
        outside, height = value != exact, np.flatnonzero(has) + offset
        whiskers[:, outside] = 0.0
        for at in np.flatnonzero(outside):
            axes.annotate(
                f"{exact[at]:+.2f}", (value[at], height[at]), (-3.5, 0),
                textcoords="offset points", ha="right", va="center", fontsize=7, color=colour,
            )  # fmt: skip
        axes.errorbar(
            value, height, xerr=whiskers, clip_on=False, label=label, fmt=marker, color=colour,
            mfc=face, ms=3.2, mew=0.8, elinewidth=0.8,
        )  # fmt: skip
    axes.axvline(0, color="0.35", linewidth=0.7)
    for index in range(0, len(shown), 2):
        axes.axhspan(index - 0.5, index + 0.5, color="0.955", zorder=-5, linewidth=0)
    made = str(frame.loc[frame["arm"].str.startswith("synthetic"), "synthesizer"].max())
    axes.set_yticks(range(len(shown)), [arm_label(arm, made) for arm in shown])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.set_xlim(window)
    step = _tick(max(-window[0], window[1]))
    ticks = [tick for tick in (-step, 0.0, step) if window[0] <= tick <= window[1]]
    axes.set_xticks(ticks, [f"{tick:+g}" if tick else "0" for tick in ticks])


def _tick(reach: float) -> float:
    """The largest one-digit multiple of a power of ten that is well inside ``reach``."""
    power = 10.0 ** np.floor(np.log10(0.75 * reach))
    return float(power * max(m for m in (1, 2, 3, 4, 5, 6, 8) if m * power <= 0.75 * reach))


def _window(rows: pd.DataFrame) -> tuple[float, float]:
    """Range of x that holds the intervals of all arms that balance the groups.

    The raw fit lies so far off that on a range of its own nothing else could be told apart.
    """
    kept = rows[~rows["arm"].isin(["raw", "threshold"])]
    low, high = min(kept["lower"].min(), -0.02), max(kept["upper"].max(), 0.02)
    margin = 0.06 * (high - low)
    return float(low - margin), float(high + margin)


def levels(frame: pd.DataFrame, metric: str) -> str:
    """Error of the reference arm, classifier by classifier, as a line of text."""
    rows = frame[(frame["metric"] == metric) & (frame["arm"] == REFERENCE)]
    found = dict(zip(rows["classifier"], rows["value"], strict=True))
    return " ".join(f"{found[name]:.2f}" for name in CLASSIFIERS if name in found)


def difference_figure(frame: pd.DataFrame) -> Figure:
    """Balanced and worst-group differences of every setting: the figure of ``evaluate``."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    aggregate = frame[frame["replicate"].isna()]
    settings = list(dict.fromkeys(aggregate["setting"]))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.0, 0.6 + 3.1 * len(settings)), layout="constrained")
        grid = figure.subplots(len(settings), 2, squeeze=False, sharey="row")
        for row, setting in zip(grid, settings, strict=True):
            rows = aggregate[aggregate["setting"] == setting]
            for axes, metric in zip(row, ("balanced_error", "worst_error"), strict=True):
                differences(axes, rows, metric)
                words = metric.replace("_", " ").replace("worst", "worst-group")
                axes.set_title(f"{setting}: {words}\n(weighting itself: {levels(rows, metric)})")
                axes.set_xlabel("difference to weighting")
        handles, labels = grid[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False)
    return figure
