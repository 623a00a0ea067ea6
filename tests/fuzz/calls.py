"""Public functions, called as they work but for one argument that nobody should give."""

from __future__ import annotations

import random
import signal
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from types import FrameType
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

ALLOWED = (ValueError, TypeError, OSError, ImportError)
LIMIT = 60  # seconds, most of which are compilation


class Call(NamedTuple):
    """A public function and arguments that work; ``spoilt`` are those that are replaced."""

    name: str
    function: Callable[..., Any]
    arguments: Mapping[str, Any]
    spoilt: tuple[str, ...]


class TooLong(BaseException):
    """A call that did not come back."""


def hostile() -> list[Any]:
    """Values that are rarely meant."""
    return [
        *(None, -1, 0, 1, 2.5, float("nan"), float("inf"), 1e308, -1e-320, 2**63, 10**12, True),
        *("", "x", "x" * 5000, b"x", 1j, [], {}, (), (1,), [[]], object(), print, int),
        *(np.array([]), np.array([np.nan, 1.0]), np.zeros((2, 0)), np.array(["a", "b"])),
        *(pd.DataFrame(), pd.Series(dtype=float), pd.DataFrame({"a": [1, None]}), np.int64(-3)),
    ]


def calls() -> list[Call]:
    """What a user calls, on tables and settings that are small."""
    from sklearn.linear_model import LogisticRegression

    import opal
    from opal import records
    from opal.bridge import tabular, text
    from opal.bridge.classifier import OpalClassifier
    from opal.bridge.sampler import OpalSampler
    from opal.checks import z_threshold
    from opal.scaling.pilot_fit import fit_pilot
    from opal.scaling.purchase import PurchaseBudget

    rng = np.random.default_rng(0)
    sizes = np.repeat([10, 20, 40, 80, 160, 320], 3)
    runs = pd.DataFrame({"n": sizes, "y": 0.1 + sizes**-0.5, "seed": np.tile([0, 1, 2], 6)})
    runs["y"] += 0.01 * rng.normal(size=len(runs))
    grid = [(n, N, a) for n in (50, 100, 200) for N, a in ((0, 0.0), (100, 0.3), (400, 0.5))]
    pilot = pd.DataFrame(grid * 3, columns=["n", "N", "alpha"]).assign(value=0.2)
    pilot["value"] += pilot["n"] ** -0.5 + 0.01 * rng.normal(size=len(pilot))
    rows = pd.DataFrame(rng.normal(size=(30, 2)), columns=["a", "b"]).assign(y=[0, 0, 1] * 10)
    x, y = rows[["a", "b"]], rows["y"]
    setting = opal.GaussianMixture([[-1.0, 0.0], [1.0, 0.0]])
    design = opal.Design((30, 10), opal.Duplication(), n_augmented=4, alpha=0.2)

    def sample(X: Any = x, y: Any = y, **options: Any) -> Any:
        return OpalSampler(**options).fit_resample(X, y)

    def classify(X: Any = x, y: Any = y, **options: Any) -> Any:
        chosen = {"classifier": LogisticRegression(), **options}
        return OpalClassifier(**chosen).fit(X, y)

    def fitted(frame: Any = runs, **options: Any) -> Any:
        return opal.fit(frame, **{"x": "n", "y": "y", "seed": "seed", **options})

    def of_pilot(frame: Any = pilot, **options: Any) -> Any:
        return fit_pilot(frame, **{"n_bootstrap": 20, **options})

    design_arguments = {"counts": (30, 10), "synthesizer": opal.Duplication()}
    design_arguments |= {"n_augmented": 4, "alpha": 0.2}
    budget = {"counts": (30.0, 10.0), "price_real": 1.0, "price_synthetic": 0.1, "money": 50.0}
    mean = {"means": [[-1.0], [1.0]]}
    both = {"setting": setting, "design": design}
    return [
        Call("Design", opal.Design, design_arguments, (*design_arguments, "oversample", "ridge")),
        Call("GaussianMixture", opal.GaussianMixture, mean, ("means",)),
        Call("SpuriousCorrelation", opal.SpuriousCorrelation, {},
             ("core_dim", "core_signal", "core_variance")),
        Call("Smote", opal.Smote, {}, ("n_neighbours",)),
        Call("GaussianFit", opal.GaussianFit, {}, ("shrinkage",)),
        Call("simulate", opal.simulate, {**both, "key": 0, "n_replicates": 2},
             ("setting", "design", "n_replicates")),
        Call("predict", opal.predict, both, ("setting", "design")),
        Call("fit", fitted, {}, ("frame", "x", "y", "law", "seed", "level", "loss", "n_bootstrap")),
        Call("fit_pilot", of_pilot, {}, ("frame", "level", "n_bootstrap", "y", "x")),
        Call("PurchaseBudget", PurchaseBudget, budget, (*budget, "min_gain", "level")),
        Call("OpalSampler", sample, {}, ("X", "y", "source", "sampling_strategy", "n_augmented",
             "alpha", "weighting", "shortage", "target", "return_weights", "random_state")),
        Call("OpalClassifier", classify, {}, ("X", "y", "classifier", "sampler")),
        Call("audit_rows", tabular.audit_rows, {"synthetic": rows.head(9), "train": rows,
             "target": "y"}, ("synthetic", "train", "target")),
        Call("read_table", tabular.read_table, {"path": "absent.csv"}, ("path",)),
        Call("read_texts", text.read_texts, {"path": "absent.csv"}, ("path",)),
        Call("records.read", records.read, {"path": "absent.parquet"}, ("path",)),
        Call("z_threshold", z_threshold, {"n_tests": 3}, ("n_tests", "level")),
    ]  # fmt: skip


def spoilt(n: int, seed: int) -> Iterator[tuple[Call, str, Any]]:
    """``n`` calls with a hostile argument each, evenly over functions and their arguments."""
    draw = random.Random(seed)
    places = [(call, name) for call in calls() for name in call.spoilt]
    for k in range(n):
        call, name = places[k % len(places)]
        yield call, name, draw.choice(hostile())


def faults(n: int, seed: int) -> list[str]:
    """What neither returns nor refuses; in a process that may be interrupted by alarms."""

    def too_long(number: int, frame: FrameType | None) -> None:
        raise TooLong

    before = signal.signal(signal.SIGALRM, too_long)
    try:
        return _faults(n, seed)
    finally:
        signal.signal(signal.SIGALRM, before)


def _faults(n: int, seed: int) -> list[str]:
    found = []
    for call, name, value in spoilt(n, seed):
        signal.alarm(LIMIT)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                call.function(**{**call.arguments, name: value})
        except ALLOWED as refusal:
            if not str(refusal).strip():
                found.append(f"{call.name}({name}={value!r:.60}) refuses without a word")
        except BaseException:
            found.append(f"{call.name}({name}={value!r:.60}): {traceback.format_exc()[-900:]}")
        finally:
            signal.alarm(0)
    return found
