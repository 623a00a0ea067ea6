"""OPAL's published tables from its own GPT-4 rows, then what those rows add to group weighting."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._panels import missing, title

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure, SubFigure

    from opal.checks import Check

STUDIES = ("tabular",)
SECONDS = 47  # wall_time_s of the cells, about, at --preset quick --workers 2
CAPTION = (
    "a: published errors (rings) are reproduced from GPT-4's own rows (lines). b: under tuned "
    "classifiers and balanced or worst-group error, the same rows are compared with group "
    "weighting by paired differences and 95 % intervals over five splits of each table (left of "
    "zero is better than weighting; markers at an edge lie outside, with their value)."
)
TOLERANCE = 1e-9


def unavailable() -> str | None:
    """Why the tables or the packages that this figure needs cannot be had here."""
    return missing(("statsmodels", "imblearn"), "opal")


def draw(records: pd.DataFrame) -> Figure:
    """Two rows of published curves over two rows of paired differences."""
    import matplotlib as mpl
    from matplotlib import pyplot as plt

    from opal.bridge.tabular import picture

    with mpl.rc_context(picture.STYLE):
        figure = plt.figure(figsize=(7.2, 9.6), layout="constrained")
        parts = figure.subfigures(2, 1, height_ratios=(3.2, 6.4), squeeze=False)[:, 0]
        _published(parts[0], records[records["protocol"] == "published"])
        _sound(parts[1], records[(records["protocol"] == "sound") & records["replicate"].isna()])
    return figure


def _published(figure: SubFigure, records: pd.DataFrame) -> None:
    """Error curves of the logistic regression, one dataset a column."""
    from opal.bridge.tabular import picture

    shown = records[records["classifier"] == "logistic"]
    names = [name for name in picture.DATASET_LABELS if (shown["dataset"] == name).any()]
    grid = figure.subplots(2, len(names), squeeze=False, sharey="row")
    for axes, name in zip(grid[0], names, strict=True):
        rows = shown[(shown["dataset"] == name) & (shown["setting"] == f"{name}/imbalanced")]
        picture.curves(axes, rows[rows["metric"] == "error"], "arm")
        axes.set_title(picture.DATASET_LABELS[name])
    for axes, name in zip(grid[1], names, strict=True):
        rows = shown[(shown["dataset"] == name) & (shown["setting"] == f"{name}/spurious")]
        wanted = rows[rows["metric"].isin(["worst_error", "minority_error", "majority_error"])]
        picture.curves(axes, wanted, "metric")
    grid[0, 0].set_ylabel("imbalanced task:\nplain error")
    grid[1, 0].set_ylabel("spurious task:\nerror of GPT-4 arm")
    for row in grid:
        row[-1].legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    n_files, largest = _reproduction(records)
    title(
        figure,
        f"a  Published protocol, logistic regression: recomputed lines, published rings\n"
        f"    ({n_files} result files compared, largest difference {largest:.0e})",
    )


def _sound(figure: SubFigure, records: pd.DataFrame) -> None:
    """Differences to weighting: tasks down; metric, then dataset, across."""
    from opal.bridge.tabular import picture

    names = [name for name in picture.DATASET_LABELS if (records["dataset"] == name).any()]
    tasks = [task for task in ("imbalanced", "spurious") if (records["task"] == task).any()]
    columns = [(m, n) for m in ("balanced_error", "worst_error") for n in names]
    grid = figure.subplots(len(tasks), len(columns), squeeze=False, sharey="row")
    for row, task in zip(grid, tasks, strict=True):
        for axes, (metric, name) in zip(row, columns, strict=True):
            rows = records[(records["dataset"] == name) & (records["task"] == task)]
            picture.differences(axes, rows, metric)
            words = "balanced" if metric == "balanced_error" else "worst group"
            level = picture.levels(rows, metric)
            axes.set_title(f"{picture.DATASET_LABELS[name]}\n{words}\n({level})", fontsize=7)
        row[0].set_ylabel(f"{task} task")
    figure.supxlabel(
        "error minus that of group weighting (in brackets: weighting's own, in legend order)",
        fontsize=7.5,
    )
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper right", ncols=3, frameon=False)
    title(figure, "b  Sound protocol: differences to group weighting")


def _reproduction(records: pd.DataFrame) -> tuple[int, float]:
    """Number of result files with a published counterpart, and the largest difference to them."""
    rows = records[(records["protocol"] == "published") & records["published"].notna()]
    metric = rows["metric"].str.removesuffix("_sd")
    files = rows.assign(quantity=metric).groupby(["setting", "classifier", "arm", "quantity"])
    return files.ngroups, float((rows["value"] - rows["published"]).abs().max())


def checks(records: pd.DataFrame) -> list[Check]:
    """Reproduction to rounding, and that the sound protocol sees what weighting is known to do.

    What GPT-4's rows add to weighting is a finding, of either sign, and not a check: the figure
    shows it.
    """
    from opal.checks import at_least, at_most

    n_files, largest = _reproduction(records)
    done = records[records["protocol"] == "published"]
    pairs = done[["setting", "task", "classifier"]].drop_duplicates()
    expected = int(pairs["task"].map({"imbalanced": 3, "spurious": 5}).sum())
    value, error = _raw_minus_weighting(records)
    detail = f"raw minus weighting, balanced error {value:+.3f} ± {error:.3f}: weighting must help"
    return [
        at_most("published numbers", largest, TOLERANCE, f"largest difference, {n_files} files"),
        at_least("published files", n_files, max(expected, 1), "each has a published counterpart"),
        at_least("weighting helps", value / error, 2.0, detail),
    ]


def _raw_minus_weighting(records: pd.DataFrame) -> tuple[float, float]:
    """Mean difference of the raw arm's balanced error to weighting over datasets, and its error.

    Within a dataset, tasks and classifiers share test rows: their errors count as one and the same.
    Datasets are independent.
    """
    import numpy as np

    rows = records[(records["arm"] == "raw") & (records["metric"] == "balanced_error_difference")]
    each = rows.groupby("dataset")[["value", "std_error"]].mean()
    error = np.sqrt((each["std_error"] ** 2).sum()) / len(each)
    return float(each["value"].mean()), float(error)
