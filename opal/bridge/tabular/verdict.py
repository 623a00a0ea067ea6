"""What an evaluation of synthetic rows comes to: one sentence for each table, task and classifier.

Judged is the balanced error of :data:`ARM`, the same for all: the rows that fill the groups up, as
``opal tabular generate`` makes them, with the threshold moved, which mends what they lack of
balance. It is held against both rules that cost nothing, group weighting and the raw fit with its
threshold moved. Rows *help* if the 95 % interval of the difference to both lies below 0, and *harm*
if that to the better one lies above 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from opal.bridge.findings import percent
from opal.bridge.render import between, signed
from opal.bridge.resampling import half_width
from opal.bridge.tabular.picture import arm_label

ARM = "synthetic_threshold"
FREE = {"difference": "weighting", "difference_to_threshold": "threshold"}
"""The free rules, by what metrics of the difference to them end with."""
NOT_JUDGED = "not judged"
_METRIC = "balanced_error"
_ENOUGH = 5  # seeds, for an interval that covers as it should
_OVERLAP = 0.02  # of the real rows, that equal test rows, which is told
_MOST = 100  # times as many seeds or test rows, beyond which it is of no use to know how many


def verdict(rows: pd.DataFrame) -> dict[str, Any] | None:
    """Did the rows help, how much, how sure, against what, and what would decide it.

    Args:
        rows: aggregate records of one table, task and classifier.

    Returns:
        None without synthetic rows; else, as JSON: ``says`` (helps, harms, open, or
        :data:`NOT_JUDGED` where no group was filled), the change with
        its interval, what it is held against, how many seeds and rows there are, how many seeds
        with how many test rows would decide it (``decided_by``, none where that is of no use or
        it is decided), and the ``sentence``.
    """
    mine = rows[rows["arm"] == ARM].set_index("metric")
    if mine.empty:
        return None
    to = [(free, mine.loc[f"{_METRIC}_{name}"]) for name, free in FREE.items()]
    # What helps is better than both: the one that it is least sure to beat decides.
    against, row = max(to, key=lambda each: (each[1]["upper"] >= 0, each[1]["value"]))
    free = rows[(rows["arm"] == against) & (rows["metric"] == _METRIC)].iloc[0]
    says = "helps" if row["upper"] < 0 else "harms" if row["lower"] > 0 else "open"
    says = says if row["n_oversampled"] else NOT_JUDGED
    known = np.isfinite(row["n_generator"])
    found: dict[str, Any] = {
        "says": says,
        "arm": ARM,
        "against": against,
        "against_error": float(free["value"]),
        **{name: float(row[name]) for name in ("value", "lower", "upper", "shared_test")},
        "n_seeds": int(row["n_replicates"]),
        **{name: int(row[name]) for name in ("n_test", "n_source", "n_real")},
        "n_added": int(row["n_oversampled"]),
        "n_copied": float(row["n_copied"]),
        "n_copied_by_chance": float(row["copied_by_chance"] * row["n_oversampled"]),
        "real_copied": float(row["copied_by_chance"]),
        "n_generator": int(row["n_generator"]) if known else None,
        "decided_by": _decided_by(row) if says == "open" else [],
    }
    return {**found, "sentence": _sentence(found)}


def _decided_by(row: pd.Series) -> list[tuple[int, int]]:
    """As many seeds, and test rows in each, as would decide it, if the estimate stands.

    More seeds alone and more test rows alone, where these can; else more of both. A source table
    has no more test rows than are not trained on.
    """
    n_seeds, n_test, value = int(row["n_replicates"]), int(row["n_test"]), abs(row["value"])
    seeds, rows, both = (row[f"error_{name}"] ** 2 for name in ("seeds", "rows", "both"))
    left = int(row["n_source"] - row["n_real"]) if row["n_source"] else _MOST * n_test
    times = np.geomspace(1, _MOST, 1000)[1:]
    found: list[tuple[int, int]] = []
    for more_seeds, more_rows in ((True, False), (False, True), (True, True)):
        if value == 0 or (more_seeds and n_seeds == 1) or (more_seeds and more_rows and found):
            continue
        s = np.ceil(n_seeds * times) if more_seeds else np.full(len(times), n_seeds)
        n = np.ceil(n_test * times) if more_rows else np.full(len(times), n_test)
        own = (seeds + both * n_test / n) * n_seeds / s
        variance = own + rows * n_test / n
        dof = np.maximum(s - 1, 1) / np.maximum(own / variance, 1e-6) ** 2
        enough = (value > half_width(np.sqrt(variance), dof)) & (n <= max(left, n_test))
        if enough.any():
            first = int(np.argmax(enough))
            found.append((int(s[first]), int(n[first])))
    return found


def _sentence(found: Mapping[str, Any]) -> str:
    if found["says"] == NOT_JUDGED:
        return (
            "not judged: no row was added, since the groups are as large as each other or the "
            "synthetic rows are all of the largest one."
        )
    free = arm_label(found["against"])
    head, now = {
        "helps": ("the synthetic rows help", "Use them, and move the threshold."),
        "harms": ("the synthetic rows harm", f"Leave them out, and use {free}."),
        "open": ("undecided", f"Leave them out for now, and use {free}."),
    }[found["says"]]
    measured = (
        f"{found['n_added']:,} rows that fill the groups up, with the threshold moved, change the "
        "balanced error by "
        f"{signed(found['value'])} {between(found['lower'], found['upper'])} against {free} "
        f"({found['against_error']:.3f}), which costs nothing."
    )
    said = (f"{head}:", measured, _sure(found), now, _copies(found), _decides(found), _seen(found))
    return " ".join(filter(None, said))


def _sure(found: Mapping[str, Any]) -> str:
    """What the interval covers."""
    n = found["n_seeds"]
    if n == 1:
        return "There is one split: this covers its test rows alone, and no other training rows."
    if found["shared_test"] == 1.0:
        covered = f"{n} training tables, tested on the same rows"
    elif found["n_source"]:
        covered = f"{n} splits of one table of {found['n_source']:,} rows"
    elif found["shared_test"] > 0:
        covered = f"{n} splits that share {100 * found['shared_test']:.0f} % of their test rows"
    else:
        covered = f"{n} splits with test rows of their own"
    rough = f"; fewer than {_ENOUGH} make it rough" if n < _ENOUGH else ""
    return f"Measured on {covered}{rough}."


def _copies(found: Mapping[str, Any]) -> str:
    """Real rows that equal test rows, or what does so more often than twice what they do."""
    if found["n_copied"] < 2 * found["n_copied_by_chance"] + 0.5:
        if found["real_copied"] < _OVERLAP:
            return ""
        return (
            f"{percent(found['real_copied'])} of the real rows equal a test row, label included: "
            "if rows of few values do not explain it, training and test table overlap, and all "
            "errors look too small."
        )
    return (
        f"{found['n_copied']:.1f} of the synthetic rows equal a test row (of as many real ones "
        f"{found['n_copied_by_chance']:.1f} do): run opal tabular audit first."
    )


def _decides(found: Mapping[str, Any]) -> str:
    if found["n_seeds"] == 1:
        return "More splits (--folder) would say whether that holds for other training rows."
    if found["says"] != "open":
        return ""
    splits = [
        f"{seeds:,} splits with {tests:,} test rows each" for seeds, tests in found["decided_by"]
    ]
    if not splits:
        more = (
            "Splits of this table"
            if found["n_source"]
            else f"{_MOST} times as many rows and splits"
        )
        return f"{more} would not decide it, if that stands."
    there = f"there are {found['n_seeds']:,} with {found['n_test']:,}"
    return f"{' or '.join(splits)} would decide it, if that stands ({there})."


def _seen(found: Mapping[str, Any]) -> str:
    given = found["n_generator"]
    maker = "how many the maker of the synthetic ones has seen is not said"
    if given is not None:
        maker = f"the maker of the synthetic ones was given {given:,}"
    return f"Each rule saw {found['n_real']:,} real rows; {maker}."
