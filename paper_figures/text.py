"""What GPT-4's, Llama-2's and human texts add to group weighting, as their number grows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._panels import study

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from opal.checks import Check

STUDIES = ("text",)
SECONDS = 39  # wall_time_s of the cells, about, at --preset quick --workers 2
CAPTION = (
    "Rules trained on a few labelled texts and N added ones, every group with the same total "
    "weight (bottom row: with the weight of added texts that cross-validation by lineage chose), "
    "against group weighting and a moved threshold without them; points are means over draws of "
    "the labelled texts with 95 % intervals. With tf-idf, lines are laws fitted to the balanced "
    "error; with the grammar's words they are the exact errors of the same rules on all texts of "
    "the grammar, from which all points of a panel differ by their one draw of test texts, as far "
    "as the intervals reach. Above: what the most synthetic texts are worth in human ones (95 % "
    "interval)."
)


def draw(records: pd.DataFrame) -> Figure:
    """A column for each corpus and encoder, a row for each metric."""
    import matplotlib as mpl

    from opal.bridge.text.curves import picture

    with mpl.rc_context(picture.STYLE):
        return picture.draw(records)


def checks(records: pd.DataFrame) -> list[Check]:
    """Human texts help, α = 0 is weighting, exact errors agree and a wrong law is caught.

    What the synthetic texts are worth is a finding, and not a check.
    """
    found: list[Check] = study("text").checks(records)
    return found
