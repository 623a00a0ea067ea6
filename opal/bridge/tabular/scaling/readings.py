"""Readings of a published curve: straight lines in 1/N and log N, power laws, and the mixture law.

The published figures draw the loss against 1/N, or its logarithm against log N, with a straight
line. Each reading is fitted to the recomputed losses, seeds being the repetitions, and asked for
the largest sizes from the smaller ones.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from opal import progress
from opal.bridge.tabular.scaling.published import CALIBRATED
from opal.scaling import laws
from opal.scaling.compare import compare_laws
from opal.scaling.fit import Fit, fit
from opal.scaling.scaling_law import Columns, ScalingLaw

N_HELD_OUT = 3
_ANY = (-np.inf, np.inf)


def _inverse(values: np.ndarray, x: Columns) -> tuple[np.ndarray, np.ndarray]:
    basis = _inverse_columns(values[:0], x)
    return basis @ values, basis


def _inverse_columns(_: np.ndarray, x: Columns) -> np.ndarray:
    return np.stack([np.ones_like(x["n"]), 1 / x["n"]], axis=-1)


def _logarithmic(values: np.ndarray, x: Columns) -> tuple[np.ndarray, np.ndarray]:
    basis = _logarithmic_columns(values[:0], x)
    return basis @ values, basis


def _logarithmic_columns(_: np.ndarray, x: Columns) -> np.ndarray:
    return np.stack([np.ones_like(x["n"]), np.log(x["n"])], axis=-1)


def _pure_power(values: np.ndarray, x: Columns) -> tuple[np.ndarray, np.ndarray]:
    amplitude, exponent = values
    decay = x["n"] ** -exponent
    slopes = [decay, -amplitude * decay * np.log(x["n"])]
    return amplitude * decay, np.stack(slopes, axis=-1)


def _pure_power_columns(nonlinear: np.ndarray, x: Columns) -> np.ndarray:
    return (x["n"] ** -nonlinear[0])[:, None]


_LINE = replace(
    laws.get("power"), params=("E", "B"), bounds={"E": _ANY, "B": _ANY}, amplitudes=(),
    linear=("E", "B"), nonlinear=(), grid={}, least_sizes=2,
)  # fmt: skip
LINE_IN_INVERSE = replace(
    _LINE, name="line in 1/N", equation="E + B/N", derivatives=_inverse, columns=_inverse_columns
)
LINE_IN_LOG = replace(
    _LINE, name="line in log N", equation="E + B log N", derivatives=_logarithmic,
    columns=_logarithmic_columns,
)  # fmt: skip
#: A straight line of the logarithm of the loss in log N.
NO_FLOOR = replace(
    laws.get("power"), name="log-log line", equation="A N^(-a)", params=("A", "a"),
    bounds={"A": (0.0, np.inf), "a": (-5.0, 5.0)}, derivatives=_pure_power,
    columns=_pure_power_columns, linear=("A",), least_sizes=2,
)  # fmt: skip
CANDIDATES = (LINE_IN_INVERSE, LINE_IN_LOG, NO_FLOOR, laws.get("power"))


def mixture_at(n: float) -> ScalingLaw:
    """The mixture law of N and α where all points have the same n real rows."""
    whole = laws.get("mixture")

    def complete(x: Columns) -> Columns:
        return {**x, "n": np.full(x["N"].shape, n)}

    assert whole.columns is not None
    columns = whole.columns
    return replace(
        whole,
        name="mixture",
        variables=("N", "alpha"),
        sizes=("N",),
        derivatives=lambda values, x: whole.derivatives(values, complete(x)),
        columns=lambda nonlinear, x: columns(nonlinear, complete(x)),
    )


def of_curves(frame: pd.DataFrame, *, quiet: bool = True) -> list[dict[str, Any]]:
    """Fits of every curve of the experiment *additional*, and what each reading predicts.

    Args:
        frame: records of :func:`opal.bridge.tabular.scaling.published.evaluate`.
        quiet: show no progress bar.

    Returns:
        One entry for each table, task, classifier, maker and metric, with ``power`` and ``mixture``
        (parameters with intervals, and warnings), ``held_out`` (root mean square error of each
        reading at the largest sizes), ``best``, and of XGBoost's calibrated loss ``calibration``.

    Raises:
        ValueError: there is no such curve.
    """
    chosen = frame[(frame["experiment"] == "additional") & (frame["arm"] == "augmented")]
    if chosen.empty:
        raise ValueError(
            "laws are fitted to curves of the experiment 'additional'; there are none. Leave "
            "--experiments out."
        )
    keys = ["table", "task", "classifier", "synthesizer", "metric"]
    curves = list(chosen.groupby(keys, sort=False))
    found = []
    for key, rows in progress.track(curves, "fitting", quiet=quiet):
        entry = {**dict(zip(keys, map(str, key), strict=True)), **_readings(rows)}
        if entry["classifier"] == CALIBRATED:
            same = [chosen[k] == entry[k] for k in keys if k != "classifier"]
            raw = np.logical_and.reduce([*same, chosen["classifier"] == "xgboost"])
            entry["calibration"] = calibration_share(chosen[raw], rows)
        found.append(entry)
    return found


def _readings(rows: pd.DataFrame) -> dict[str, Any]:
    n_real = float(rows["n_real"].iloc[0])
    positive = rows[rows["n_added"] > 0].reset_index(drop=True)
    settings: dict[str, Any] = {"y": "value", "seed": "replicate"}
    held_out = compare_laws(
        CANDIDATES, positive, x={"n": "n_added"}, by="n_added", n_held_out=N_HELD_OUT, **settings
    )
    power = fit("power", positive, x={"n": "n_added"}, **settings)
    with warnings.catch_warnings():
        # Numbers overflow along what is not identified, which the fit says in words.
        warnings.simplefilter("ignore", RuntimeWarning)
        both = {"N": "n_added", "alpha": "alpha"}
        mixture = fit(mixture_at(n_real), positive, x=both, **settings)
    return {
        "n_generator": float(rows["n_generator"].iloc[0]),
        "power": _told(power),
        "mixture": _told(mixture),
        "held_out": dict(zip(held_out["law"], map(float, held_out["error"]), strict=True)),
        "best": str(held_out["law"].iloc[0]),
    }


def _told(fitted: Fit) -> dict[str, Any]:
    open_ones = [name for name in fitted.params if _said(name, fitted.warnings)]
    params = {name: estimate.to_dict() for name, estimate in fitted.params.items()}
    return {"params": params, "not_identified": open_ones, "warnings": list(fitted.warnings)}


def _said(name: str, warnings: Sequence[str]) -> bool:
    return any(warning.startswith(f"{name} is not identified") for warning in warnings)


def calibration_share(raw: pd.DataFrame, calibrated: pd.DataFrame) -> dict[str, float]:
    """How much of the fall of a curve from its first to its last size calibration accounts for.

    ``fall`` and ``calibrated_fall`` are means over seeds, with standard errors; ``share`` is what
    calibration takes off the fall, and its interval, paired on seeds (Fieller 1954).
    """
    falls = [_falls(rows) for rows in (raw, calibrated)]
    found: dict[str, float] = {}
    for name, values in zip(("fall", "calibrated_fall"), falls, strict=True):
        found |= {name: float(values.mean()), f"{name}_std_error": float(values.sem())}
    low, high = ratio_interval(falls[0] - falls[1], falls[0])
    share = 1 - found["calibrated_fall"] / found["fall"]
    return found | {"share": share, "lower": low, "upper": high}


def _falls(rows: pd.DataFrame) -> pd.Series:
    by_size = rows.pivot_table(index="replicate", columns="n_added", values="value")
    return by_size.iloc[:, 0] - by_size.iloc[:, -1]


def ratio_interval(top: pd.Series, bottom: pd.Series) -> tuple[float, float]:
    """Fieller's 95 % interval of the ratio of two paired means; infinite where not bounded."""
    n = len(top)
    t = float(stats.t.ppf(0.975, n - 1))
    (a, ab), (_, b) = np.cov(top, bottom) * t**2 / n
    mean_a, mean_b = float(top.mean()), float(bottom.mean())
    square, half = mean_b**2 - b, mean_a * mean_b - ab
    root = half**2 - square * (mean_a**2 - a)
    if square <= 0 or root < 0:
        return -np.inf, np.inf
    return float((half - root**0.5) / square), float((half + root**0.5) / square)
