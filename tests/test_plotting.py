"""Whatever arms and series records hold are drawn, and the legend says the same as the data."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from opal import plotting
from paper_figures import alpha, imbalance

ARMS = (*plotting.ARMS, "Student fit")
NINE = (*(arm for arm in ARMS if arm != "SMOTE"), "my generator")
SIZES = (10, 100, 500)


def arm_records(arms: tuple[str, ...], metric: str) -> pd.DataFrame:
    """A value of one metric for each arm and size, simulated and (but for the last) predicted."""
    rows = [
        {
            "metric": metric,
            "group": "all",
            "source": source,
            "arm": arm,
            "n_min": n,
            "value": 0.1 + (index + 1) / n,
            "std_error": 0.01,
        }
        for index, arm in enumerate(arms)
        for n in SIZES
        for source in ("simulation", "theory")
        if source == "simulation" or arm != arms[-1]
    ]
    return pd.DataFrame(rows)


def legend(figure: Figure) -> list[str]:
    """What the legend of a figure says, entry by entry."""
    (only,) = figure.legends
    return [text.get_text() for text in only.get_texts()]


def heights(axes: Axes) -> set[tuple[float, ...]]:
    """The simulated values of each series that was drawn, without error bars."""
    drawn = (line for line, *_ in axes.containers)
    return {tuple(np.round(np.asarray(line.get_ydata(), float), 9)) for line in drawn}


def test_nine_arms_of_which_two_are_unknown_are_nine_series() -> None:
    assert len(NINE) == 9
    assert len(set(NINE) - set(plotting.ARMS)) == 2
    metrics = ("excess_balanced_risk", "worst_error")
    records = pd.concat([arm_records(NINE, metric) for metric in metrics], ignore_index=True)
    figure = imbalance.draw(records)
    said = legend(figure)
    assert sorted(said) == sorted(NINE), "absent arms are not in the legend, and none is left out"
    expected = {tuple(round(0.1 + (i + 1) / n, 9) for n in SIZES) for i in range(9)}
    for axes in figure.axes:
        assert heights(axes) == expected
    styles = {(line.get_color(), line.get_marker()) for line, *_ in figure.axes[0].containers}
    assert len(styles) == len(
        {(look.colour, look.marker) for look in plotting.looks(NINE, plotting.ARMS).values()}
    )


def test_a_series_of_several_panels_is_named_once() -> None:
    first, second = Figure().subplots(1, 2)
    for axes, names in ((first, ["raw", "oracle"]), (second, ["oracle", "SMOTE"])):
        for name in names:
            axes.plot([0, 1], [0, 1], label=name)
    handles, names = plotting.entries([first, second])
    assert names == ["raw", "oracle", "SMOTE"]
    assert [handle.get_label() for handle in handles] == names


def test_seven_shifts_are_seven_curves() -> None:
    shifts = np.linspace(0, 0.6, 7)
    rows = [
        {
            "metric": "excess_balanced_risk",
            "group": "all",
            "source": source,
            "shift": shift,
            "alpha": weight,
            "is_optimum": False,
            "value": 0.01 + shift + weight,
            "std_error": 0.001,
        }
        for shift in shifts
        for weight in (0.0, 0.5, 1.0)
        for source in ("simulation", "theory")
    ]
    figure = alpha.draw(pd.DataFrame(rows))
    (axes,) = figure.axes
    assert sorted(legend(figure)) == sorted([*(f"{shift:g}" for shift in shifts), "α*"])
    assert heights(axes) == {tuple(np.round(0.01 + s + np.array([0, 0.5, 1]), 9)) for s in shifts}
    looks = plotting.looks(shifts).values()
    assert len({(look.colour, look.marker) for look in looks}) == 7


@pytest.mark.parametrize("known", [None, plotting.ARMS])
def test_no_two_looks_are_alike(known: dict[str, plotting.Look] | None) -> None:
    looks = plotting.looks([*(known or ()), *range(40)], known)
    assert len({(look.colour, look.marker) for look in looks.values()}) == len(looks)


def test_an_arm_with_theory_alone_has_its_entry() -> None:
    records = arm_records(("raw", "oracle"), "excess_balanced_risk")
    figure = Figure()
    axes = figure.subplots()
    theory = records[(records["source"] == "theory") | (records["arm"] == "oracle")]
    plotting.curves(axes, theory, "n_min", "excess_balanced_risk")
    assert axes.get_legend_handles_labels()[1] == ["raw", "oracle"]
