"""Squares against their numbers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from opal import checks as opal_checks

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

STUDIES = ("example_study",)
CAPTION = "Squares grow faster than their numbers."


def draw(records: pd.DataFrame) -> Figure:
    """One line."""
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots()
    axes.plot(records["n_real"], records["value"])
    return figure


def checks(records: pd.DataFrame) -> list[opal_checks.Check]:
    """The largest square is at most what the environment says (9 if it says nothing)."""
    limit = float(os.environ.get("EXAMPLE_LIMIT", "9"))
    return [opal_checks.at_most("largest square", float(records["value"].max()), limit)]


def unavailable() -> str | None:
    """Why the figure cannot be drawn, if the environment says so."""
    return os.environ.get("EXAMPLE_UNAVAILABLE")
