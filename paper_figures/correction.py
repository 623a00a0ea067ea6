"""Excess risk against the size of a generator's bias, with and without correction, by its kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._panels import LABELS, study

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from opal.checks import Check

STUDIES = ("correction",)
STUDY = study("correction")
SECONDS = 130  # wall_time_s of the cells, about, at --preset quick --workers 2
FITS_COLUMN = True
CAPTION = (
    "Excess balanced risk against the size of the generator's bias, a panel for each kind: both "
    "classes shifted towards the majority (standard deviations), the minority alone, both shrunk "
    "(share of the variance that is lost), both rotated (radians). Points are simulations with "
    "two standard errors, lines are theory with nothing fitted. OPAL fills the minority and "
    "augments; beside weighting, augmented rows stand next to weighted real ones; corrected, the "
    "bias seen in the majority is subtracted. Last panel: no generator, but a model that labels "
    "further real rows, each label wrong with the same probability. All weights are those that "
    "theory finds best for the bias at hand, which a user would have to estimate; without a bias "
    "the generator is the oracle."
)
PANELS = {
    "shifted": ("both shifted", "shift (SD)"),
    "shifted minority": ("minority shifted", "shift (SD)"),
    "shrunk": ("both shrunk", "variance lost"),
    "rotated": ("both rotated", "angle (rad)"),
    "label errors": ("model's labels", "wrong labels"),
}


def draw(records: pd.DataFrame) -> Figure:
    """A panel for each kind of bias, the same arms in all."""
    from opal import plotting

    rows = records[records["metric"] == STUDY.EXCESS]
    rows = rows[~rows["arm"].str.endswith(STUDY.LEFT_OUT)]
    looks = plotting.looks(rows["arm"], plotting.ARMS)
    with plotting.paper_style():
        figure, axes = plotting.panels(len(PANELS), size=(7.0, 2.6), height=1.9, sharey=True)
        for panel, (kind, (title, xlabel)) in zip(axes, PANELS.items(), strict=True):
            shown = rows[rows["kind"].isin([kind] if kind == STUDY.LABELS else ["none", kind])]
            for arm, part in shown.groupby("arm", sort=False):
                plotting.line(panel, part[part["source"] == "theory"], "size", looks[arm])
                simulated = part[part["source"] == "simulation"]
                plotting.points(panel, simulated, "size", looks[arm], label=arm)
            panel.set(title=title, xlabel=xlabel, yscale="log", xmargin=0.08)
            if plotting.in_column() or panel is axes[0]:
                panel.set_ylabel(LABELS[STUDY.EXCESS])
        plotting.legend(figure, *plotting.entries(axes), ncols=3)
    return figure


def caption(records: pd.DataFrame) -> str:
    """What is shown, of what, and the most that a correction wins and loses."""
    run = records[records["source"] == "simulation"].iloc[0]
    table = STUDY.gains(records)
    best, worst = table.loc[table["ratio"].idxmin()], table.loc[table["ratio"].idxmax()]

    def said(row: pd.Series) -> str:
        return f"{row['ratio']:.2f} ± {row['std_error']:.2f} ({row['kind']}, {row['size']:g})"

    return (
        f"{CAPTION} {run['n_max']:,} and {run['n_min']:,} labelled rows, N = "
        f"{records['n_augmented'].max():,}, {records['n_unlabelled'].max():,.0f} unlabelled rows, "
        f"{run['n_replicates']:,} replicates at a point. The "
        "better corrected arm over the best of the uncorrected ones, weighting among them: at "
        f"least {said(best)}, at most {said(worst)}."
    )


def checks(records: pd.DataFrame) -> list[Check]:
    """Those of the study."""
    return STUDY.checks(records)
