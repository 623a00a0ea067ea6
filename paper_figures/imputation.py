"""A class of few texts filled to 200: F1 on original and on synthetic texts, and the gap."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opal.plotting import ARMS, SERIES, Look, entries, looks

from ._panels import study

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from opal.checks import Check

STUDIES = ("imputation",)
SECONDS = 30  # wall_time_s of the cells, about, at --preset quick --workers 2
CAPTION = (
    "F1 of a class of which 50 or more original texts are at hand, as they are, weighted, "
    "duplicated, with a moved threshold that costs nothing, or filled to 200 with synthetic texts "
    "(large markers: held-out original texts, the class said that is most probable; crosses: with "
    "a moved threshold; hollow ones: held-out synthetic texts), against 200 original texts (band; "
    "dashed: with a moved threshold); {where}, the gap "
    "between the two, when folds keep synthetic texts with their seeds, when they do not, and of a "
    "classifier that was trained on original texts alone (grey: the published 2 to 4 %); 95 % "
    "corrected resampled intervals of repeated cross-validation."
)
BASELINES = ("raw", "weighting", "duplication")
_WRITERS = {"gpt-4": SERIES[0], "llama-2-70b": SERIES[3]}
_REAL = "#555555"
_NAMES = {"gpt-4": "GPT-4", "llama-2-70b": "Llama 2"}


def caption(records: pd.DataFrame) -> str:
    """What is shown, and where the gap is: with one corpus it stands at the right."""
    corpora = records["setting"].str.partition("/")[0].nunique()
    return CAPTION.format(where="at the right" if corpora == 1 else "below")


def draw(records: pd.DataFrame) -> Figure:
    """F1 over the gap; a column for the first class of each corpus."""
    from matplotlib import pyplot as plt

    from opal.plotting import paper_style

    corpora = records["setting"].str.partition("/")[0]
    shown = [str(each) for each in records.groupby(corpora, sort=False)["setting"].first()]
    with paper_style():
        alone = len(shown) == 1
        figure = plt.figure(figsize=(7.2, 3.6 if alone else 5.2), layout="constrained")
        if alone:
            grid = figure.subplots(1, 2).reshape(2, 1)
        else:
            ratios = (1.25, 1)
            grid = figure.subplots(
                2, len(shown), sharex="col", sharey="row", squeeze=False, height_ratios=ratios
            )
        for (scores, gaps), setting in zip(grid.T, shown, strict=True):
            rows = records[records["setting"] == setting]
            _scores(scores, rows)
            _gaps(gaps, rows)
            for axes in (scores, gaps) if alone else (gaps,):
                axes.set_xlabel("original texts at hand")
            scores.set_title(setting.replace("/", ": "))
        grid[0, 0].set_ylabel("F1 of the class")
        grid[1, 0].set_ylabel("F1 on synthetic minus\non original texts")
        figure.legend(*entries(grid[:, 0]), loc="outside lower center", ncols=3)
    return figure


def _scores(axes: Axes, rows: pd.DataFrame) -> None:
    """F1 of the arms against the number of originals."""
    sizes, sources = _sizes(rows), _sources(rows)
    human = rows[rows["tested"] == "human"]
    series = [(human, "f1", arm, "none", ARMS[arm], arm) for arm in BASELINES]
    moved = "raw, moved threshold"
    series.append((human, "f1", "raw_threshold", "none", ARMS["threshold"], moved))
    for source, look in looks(sources, _WRITERS).items():
        own = rows[rows["tested"] == source]
        name = f"filled by {_NAMES.get(source, source)}"
        hollow = look._replace(filled=False, dashes=(0, (1, 1.5)))
        series.append((human, "f1", "synthetic", source, look, name))
        crossed = look._replace(marker="P", dashes=(0, (4, 1.5)))
        moved = f"{name}, moved threshold"
        series.append((human, "f1", "synthetic_threshold", source, crossed, moved))
        series.append((own, "f1_synthetic", "synthetic", source, hollow, f"{name}: on its texts"))
    for place, (part, metric, arm, source, look, label) in enumerate(series):
        chosen = part[
            (part["metric"] == metric) & (part["arm"] == arm) & (part["synthesizer"] == source)
        ]
        _points(axes, chosen, sizes, look, label, _offset(place, len(series)))
    _ticks(axes, sizes)
    f1 = human[human["metric"] == "f1"].drop_duplicates("arm").set_index("arm")
    if "all_real" in f1.index:
        row = f1.loc["all_real"]
        axes.axhspan(row["lower"], row["upper"], color="0.9", linewidth=0, zorder=0)
        axes.axhline(row["value"], color=_REAL, linewidth=0.9, label=_full(row), zorder=1)
    if "all_real_threshold" in f1.index:
        row, label = f1.loc["all_real_threshold"], "the same, moved threshold"
        axes.axhline(row["value"], color=_REAL, linewidth=0.9, linestyle="--", label=label)


def _gaps(axes: Axes, rows: pd.DataFrame) -> None:
    """Gap of the filled arms, with sound and with naive folds, and of a rule that saw none."""
    from opal.bridge.text.impute.claims import PUBLISHED_GAP

    sizes, series = _sizes(rows), []
    for source, look in looks(_sources(rows), _WRITERS).items():
        name = _NAMES.get(source, source)
        naive = Look(look.colour, "x", (0, (1, 1)), size=4.5)
        control = look._replace(filled=False, marker="_", size=7, dashes=(0, (4, 2)))
        series += [
            ("synthetic", source, source, look, "_nolegend_"),
            ("naive_folds", source, source, naive, f"{name}: folds without lineage"),
            ("all_real", "none", source, control, f"{name}: trained on originals alone"),
        ]
    gaps = rows[rows["metric"] == "gap"]
    for place, (arm, source, tested, look, label) in enumerate(series):
        chosen = gaps[
            (gaps["arm"] == arm) & (gaps["synthesizer"] == source) & (gaps["tested"] == tested)
        ]
        _points(axes, chosen, sizes, look, label, _offset(place, len(series)))
    axes.axhspan(*PUBLISHED_GAP, color="0.85", linewidth=0, zorder=0)
    axes.axhline(0, color="0.3", linewidth=0.6, zorder=0)
    _ticks(axes, sizes)


def _ticks(axes: Axes, sizes: list[int]) -> None:
    """Numbers of originals, evenly apart."""
    axes.set_xticks(range(len(sizes)), [str(n) for n in sizes])
    axes.set_xlim(-0.5, len(sizes) - 0.5)


def _points(
    axes: Axes, rows: pd.DataFrame, sizes: list[int], look: Look, label: str, offset: float
) -> None:
    """Values by size, a little apart, with their intervals."""
    if rows.empty:
        return
    known = rows.set_index("n_min").reindex(sizes)
    x = [i + offset for i in range(len(sizes))]
    axes.plot(x, known["value"], color=look.colour, linestyle=look.dashes, linewidth=0.7, zorder=2)
    axes.errorbar(
        x,
        known["value"],
        yerr=[known["value"] - known["lower"], known["upper"] - known["value"]],
        fmt=look.marker,
        markersize=look.size,
        color=look.colour,
        markerfacecolor=look.colour if look.filled else "white",
        markeredgewidth=0.9,
        elinewidth=0.7,
        label=label,
        zorder=3,
    )


def _full(row: pd.Series) -> str:
    return f"{row['n_full']} original texts"


def _offset(place: int, n: int) -> float:
    return 0.6 * (place / max(n - 1, 1) - 0.5)


def _sizes(rows: pd.DataFrame) -> list[int]:
    return sorted(int(n) for n in rows["n_min"].unique())


def _sources(rows: pd.DataFrame) -> list[str]:
    return list(dict.fromkeys(rows.loc[rows["arm"] == "synthetic", "synthesizer"]))


def checks(records: pd.DataFrame) -> list[Check]:
    """Those of the study."""
    found: list[Check] = study("imputation").checks(records)
    return found
