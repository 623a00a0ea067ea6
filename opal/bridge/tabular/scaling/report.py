"""What the scaling-law experiments show, as JSON and as blocks of a report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from opal.bridge.render import Block, Heading, Items, Paragraph, Table
from opal.bridge.tabular.scaling.fills import AS_PUBLISHED, REAL_ALONE, REFERENCE
from opal.bridge.tabular.scaling.sound import CHOSEN, EQUIVALENT
from opal.bridge.tabular.scaling.tables import NAMES, NO_MAKER, REAL

_PUBLISHED_LABELS: Mapping[str, str] = {
    "synthetic": "GPT-2 on the originals",
    "synthetic_allseed": "GPT-2 on all rows",
    "smote": "SMOTE",
    "adasyn": "ADASYN",
    "ros": "duplication",
}
_LABELS: Mapping[str, str] = {REAL: "as many real rows", NO_MAKER: "none"}
_LOSS, _ERROR = "balanced_log_loss", "balanced_error"


def label(maker: str, table: str) -> str:
    """What a reader calls a maker; only makers of published tables are known by their names."""
    if maker in _PUBLISHED_LABELS and table in NAMES:
        return _PUBLISHED_LABELS[maker]
    return _LABELS.get(maker, maker)


def compared(result: Mapping[str, Any]) -> Iterator[Block]:
    """The comparison with committed files: first those that differ."""
    files = sorted(result["files"], key=lambda entry: -entry["difference"])
    rows = [[e["file"], e["classifier"], f"{e['difference']:.1e}", e["cause"]] for e in files]
    yield Table(["file", "classifier", "difference", "cause"], rows)
    yield Paragraph(
        f"{result['n_files']} files compared; the largest difference is "
        f"{result['max_abs_difference']:.1e}."
    )


def published_curves(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Mean and standard error over seeds of every point of the published protocol."""
    keys = ["table", "task", "experiment", "classifier", "synthesizer", "arm", "metric", "n_added"]
    steps = [*keys, "step", "n_real", "n_oversampled", "n_generator"]
    found = frame.groupby(steps, sort=False, dropna=False)["value"].agg(["mean", "sem"])
    return [
        {str(key): _plain(value) for key, value in row.items()}
        for row in found.reset_index().to_dict("records")
    ]


def sound_arms(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Every arm of the sound protocol: counts, metrics, and differences to weighting."""
    keys = ["table", "task", "classifier", "synthesizer", "arm", "n_real", "n_added", "alpha"]
    found = []
    for key, rows in frame.groupby(keys, sort=False):
        first = rows.iloc[0]
        counts = {name: _plain(first[name]) for name in ("n_generator", "n_seen")}
        metrics = rows.set_index("metric")[["value", "std_error", "lower", "upper"]]
        of_metric = {str(name): values for name, values in metrics.to_dict("index").items()}
        if EQUIVALENT in of_metric:
            same = frame[(frame["setting"] == first["setting"]) & (frame["arm"] == REAL_ALONE)]
            of_metric[EQUIVALENT] |= {
                "measured": [int(same["n_real"].min()), int(same["n_real"].max())]
            }
        found.append({**dict(zip(keys, map(_plain, key), strict=True)), **counts} | of_metric)
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and np.isnan(value) else value


def sound_page(arms: list[dict[str, Any]]) -> Iterator[Block]:
    """A sentence for each table and task, then its arms."""
    settings: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for arm in arms:
        settings.setdefault((arm["table"], arm["task"], arm["classifier"]), []).append(arm)
    for (table, task, classifier), mine in settings.items():
        yield Heading(f"{table}, {task} task, {classifier}")
        yield Paragraph(verdict(mine))
        rows = [
            [
                _arm(arm),
                arm["n_added"] if arm["arm"] != REAL_ALONE else arm["n_real"],
                f"{arm['alpha']:.2f} {_weight(arm['arm'], arm['n_added'])}",
                _count(arm["n_generator"]),
                _count(arm["n_seen"]),
                f"{arm[_LOSS]['value']:.4f}",
                _interval(arm[f"{_LOSS}_difference"]),
                _interval(arm[f"{_ERROR}_difference"]),
                worth(arm[EQUIVALENT]) if EQUIVALENT in arm else "",
            ]
            for arm in _once(mine)
        ]
        head = ["rows of", "N", "alpha", "generator saw", "arm saw", "log loss"]
        differences = ["minus weighting", "error minus weighting"]
        yield Table([*head, *differences, "worth in real rows"], rows)
    yield Items([("", note) for note in _NOTES])


def _arm(arm: Mapping[str, Any]) -> str:
    maker = label(arm["synthesizer"], arm["table"])
    if arm["arm"].startswith("filled"):
        return maker
    return f"{maker}, as published" if arm["arm"] == AS_PUBLISHED else str(arm["arm"])


def _weight(arm: str, n_added: int) -> str:
    """Where an arm's weight of added rows comes from."""
    if arm == CHOSEN:
        return "chosen"
    return "(½ each)" if n_added and arm in ("filled", AS_PUBLISHED) else ""


def worth(found: Mapping[str, Any]) -> str:
    """A number of balanced real rows and its interval, as far as real rows were measured."""
    fewest, most = found["measured"]
    value, low, high = (found[name] for name in ("value", "lower", "upper"))

    def told(number: float) -> str:
        outside = f"< {fewest:,}" if number < fewest else f"> {most:,}"
        return f"{number:,.0f}" if fewest <= number <= most else outside

    return f"{told(value)} [{told(low)}, {told(high)}]"


_NOTES = """\
Differences are paired with group weighting on draws and test rows; below zero is better. \
Intervals (95 %) join the errors of draws, in each of which settings are tuned anew, and of test \
rows; originals and generators are one each, and their errors are in no interval.
A worth is the number of real rows, as many of each group, with the same balanced log loss, \
between the least and the largest number that were measured.
"Saw" counts real rows, a generator's own included. Only arms with equal counts \
compare methods; the others compare amounts of data.
Weights chosen, and trees calibrated, on held-out real rows lean towards a maker that has seen \
these rows.""".splitlines()


def _once(arms: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Weighting and real rows alone are in every curve: they are shown once, the latter last."""
    common = {
        (arm["arm"], arm["n_real"]): arm
        for arm in sorted(arms, key=lambda arm: EQUIVALENT in arm)  # with its worth, if it is known
        if arm["arm"] in (REFERENCE.name, REAL_ALONE)
    }
    yield from (arm for key, arm in sorted(common.items()) if key[0] == REFERENCE.name)
    yield from (arm for arm in arms if (arm["arm"], arm["n_real"]) not in common)
    yield from (arm for key, arm in sorted(common.items()) if key[0] == REAL_ALONE)


def verdict(arms: list[dict[str, Any]]) -> str:
    """What the largest filled arms of a setting say, each against weighting."""
    said = []
    for maker in dict.fromkeys(arm["synthesizer"] for arm in arms):
        mine = [arm for arm in arms if arm["synthesizer"] == maker and arm["arm"] == "filled"]
        if mine:
            last = max(mine, key=lambda arm: arm["n_added"])
            found = last[f"{_LOSS}_difference"]
            better, worse = found["upper"] < 0, found["lower"] > 0
            word = "better" if better else "worse" if worse else "not told apart"
            name = label(maker, last["table"])
            said.append(f"{name} {word} ({_interval(found)}, N = {last['n_added']:,})")
    if not said:
        return "No arm is filled with a maker's rows."
    return "Balanced log loss minus that of weighting: " + "; ".join(said) + "."


def _count(value: float | None) -> str:
    return "not said" if value is None else f"{value:,.0f}"


def _interval(found: Mapping[str, float]) -> str:
    return f"{found['value']:+.4f} [{found['lower']:+.4f}, {found['upper']:+.4f}]"


def published_page(curves: list[dict[str, Any]]) -> Iterator[Block]:
    """Every point of the published protocol, a table for each setting."""
    settings: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for point in curves:
        key = (point["table"], point["task"], point["experiment"])
        settings.setdefault(key, []).append(point)
    head = ["classifier", "rows of", "arm", "i", "N", "generator saw", "loss", "mean", "std. error"]
    for (table, task, experiment), points in settings.items():
        yield Heading(f"{table}, {task} task, {experiment}")
        rows = [
            [
                point["classifier"],
                label(point["synthesizer"], point["table"]),
                point["arm"],
                point["step"],
                point["n_added"],
                _count(point["n_generator"]),
                point["metric"],
                point["mean"],
                point["sem"],
            ]
            for point in points
        ]
        yield Table(head, rows)


def laws_page(found: list[dict[str, Any]]) -> Iterator[Block]:
    """Exponents and floors with their intervals, and which reading predicts the largest sizes."""
    head = ["curve", "rows of", "generator saw", "a", "E", "best at the largest sizes", "others"]
    rows = [
        [
            f"{e['table']}, {e['task']}, {e['classifier']}, {e['metric']}",
            label(e["synthesizer"], e["table"]),
            _count(e["n_generator"]),
            _parameter(e["power"], "a"),
            _parameter(e["power"], "E"),
            f"{e['best']} ({e['held_out'][e['best']]:.4f})",
            ", ".join(f"{k} {v:.4f}" for k, v in e["held_out"].items() if k != e["best"]),
        ]
        for e in found
    ]
    yield Table(head, rows, title="E + A N^(-a), and root mean square errors at the held-out sizes")
    shares = [(e, e["calibration"]) for e in found if "calibration" in e]
    if shares:
        yield Table(
            ["curve", "fall", "after calibration", "share of calibration"],
            [
                [
                    f"{e['table']}, {e['task']}, {e['metric']}",
                    f"{c['fall']:.4f} ± {c['fall_std_error']:.4f}",
                    f"{c['calibrated_fall']:.4f} ± {c['calibrated_fall_std_error']:.4f}",
                    f"{c['share']:.2f} [{c['lower']:.2f}, {c['upper']:.2f}]",
                ]
                for e, c in shares
            ],
            title="XGBoost's fall of the log loss from the first N to the last",
        )


def _parameter(told: Mapping[str, Any], name: str) -> str:
    low, high = told["params"][name]["ci"]
    if name in told["not_identified"]:
        return f"not identified [{low:.3g}, {high:.3g}]"
    return f"{told['params'][name]['estimate']:.3f} [{low:.3f}, {high:.3f}]"
