"""Intervals of fitted scaling laws cover the truth as often as they say.

Tables are simulated with seed noise as experiments have it: the excess over the floor scatters by a
share of itself, all values scatter a little, and each seed shifts its whole curve (it has its own
test rows). True parameters are drawn anew for each table. Tables come as one row for each seed, and
as means with standard errors (which cannot tell what sizes share: there seeds shift nothing).
Tables whose seed column is left out are fitted too, which is wrong and must show.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from opal.checks import Check, at_least, at_most, refused, share, short_of, z_threshold
from opal.cli import run_study
from opal.runner import Cell

from . import _config

if TYPE_CHECKING:
    import pandas as pd

    from opal.scaling.scaling_law import ScalingLaw

PREDICTION = "prediction"
FORMS = ("seeds", "means", "huber")
NOT_SHARED = ("means", "unidentified")
CONTROL = "rows"  # the seed column left out: noise that seeds share is taken for independent
COVERAGE = (0.92, 0.97)
ALWAYS_IDENTIFIED = ("power-no-floor",)  # by any two sizes
# Beside the power law; in their tables noise that seeds share is not the larger part, so that to
# ignore it is no control.
ONE_SIZE = ("power-no-floor", "shifted", "exponential", "broken")


@dataclass(frozen=True)
class Config:
    """How many tables, and how noisy."""

    n_tables: int = 500
    """Tables of each law and form."""
    n_control: int = 200
    """Tables of each law without their seed column."""
    n_unidentified: int = 100
    """Tables of each law that do not identify it."""
    n_seeds: int = 8
    """Seeds of each table."""
    noise: float = 0.06
    """Standard deviation of the excess over the floor, relative to it."""
    shared: float = 0.01
    """Standard deviation of a seed's shift of its whole curve, relative to the curve."""
    own: float = 0.004
    """Standard deviation that every row has besides, relative to the curve."""
    chunk: int = 25
    """Tables of one cell."""
    seed: int = 11
    """Seed of parameters and noise."""


PRESETS = {
    "tiny": Config(n_tables=2, n_control=2, n_unidentified=2, n_seeds=4, chunk=2),
    "quick": Config(n_tables=60, n_control=150, n_unidentified=20, chunk=20),
    "full": Config(),
}


@dataclass(frozen=True)
class Chunk:
    """Tables of one law and form, drawn from the seed and their numbers."""

    config: Config
    law: str
    form: str
    first: int
    last: int


def cells(config: Config) -> list[Cell]:
    """Cells of a few tables each."""
    _config.require_counts(config, n_tables=1, n_control=0, n_unidentified=0, n_seeds=2, chunk=1)
    from opal.scaling.laws import LAWS

    counts = {
        **dict.fromkeys(FORMS, config.n_tables),
        CONTROL: config.n_control,
        "unidentified": config.n_unidentified,
        "exact": 1,
    }
    chunks = [
        Chunk(config, law, form, first, min(first + config.chunk, count))
        for law in LAWS
        for form, count in counts.items()
        for first in range(0, count, config.chunk)
        if (form != "unidentified" or law not in ALWAYS_IDENTIFIED)
        and (form != CONTROL or law not in ONE_SIZE)
    ]
    return [Cell(measure, part, f"{part.law}, {part.form}") for part in chunks]


def measure(part: Chunk) -> pd.DataFrame:
    """Records of each table of a chunk: what was covered, how far off, how long it took."""
    import pandas as pd

    from opal import records

    rows = [row for index in range(part.first, part.last) for row in measure_one(part, index)]
    standard = {"study": "fit_coverage", "source": "simulation", "setting": part.law}
    # Sizes are those of the simulated table and not of groups.
    return records.validate(
        pd.DataFrame(rows).assign(**standard, arm=part.form, n_real=0, n_min=0, n_max=0)
    )


def measure_one(part: Chunk, index: int) -> list[dict[str, object]]:
    """One table, fitted."""
    from opal.scaling.fit import fit
    from opal.scaling.laws import LAWS

    law, config = LAWS[part.law], part.config
    rng = np.random.default_rng((config.seed, list(LAWS).index(part.law), index))
    truth = draw_truth(part.law, rng)
    x = points(part.law, identified=part.form != "unidentified")
    frame = table(law, x, truth, part, rng)
    start = time.process_time()  # other processes shall not count
    fitted = fit(
        law,
        frame,
        x={name: name for name in law.variables},
        y="y",
        std_error="sem" if "sem" in frame else None,
        seed="seed" if "seed" in frame else None,
        loss="huber-log" if part.form == "huber" else "least-squares",
    )
    beyond = {name: value[:1] for name, value in fitted.beyond().items()}
    if "alpha" in beyond:
        beyond["alpha"] = np.array([0.5])
    (low,), (high,) = fitted.predict_interval(beyond)
    seconds = time.process_time() - start
    found = {name: (e.estimate, e.low, e.high) for name, e in fitted.params.items()}
    found[PREDICTION] = (float(fitted.predict(beyond)[0]), float(low), float(high))
    right = {**truth, PREDICTION: float(law.predict(truth, beyond)[0])}
    told = any("identified" in warning for warning in fitted.warnings)
    rows: list[tuple[str, str, float]] = []
    for name, (estimate, lower, upper) in found.items():
        if part.form != "exact":
            rows.append((name, "covered", lower <= right[name] <= upper))
        rows.append((name, "relative_error", abs(estimate / right[name] - 1)))
    rows.append(("fit", "told_unidentified", told))
    rows += [("fit", "warned", bool(fitted.warnings)), ("fit", "seconds", seconds)]
    columns = ("quantity", "metric", "value", "replicate")
    return [dict(zip(columns, (*row[:2], float(row[2]), index), strict=True)) for row in rows]


def draw_truth(law: str, rng: np.random.Generator) -> dict[str, float]:
    """Parameters of one table."""
    floor = rng.uniform(0.15, 0.35)
    if law == "power":
        exponent = rng.uniform(0.4, 0.8)
        return {"E": floor, "A": rng.uniform(0.3, 0.8) * 50**exponent, "a": exponent}
    if law in ("additive", "repeated"):
        a, b = rng.uniform(0.25, 0.5, 2)
        first, second = rng.uniform(0.5, 1.5, 2) * (1e7**a, 1e8**b)
        reach = {"R": rng.uniform(3, 15)} if law == "repeated" else {}
        return {"E": rng.uniform(1.4, 2.0), "A": first, "B": second, "a": a, "b": b, **reach}
    if law in ONE_SIZE:
        return _one_size(law, floor, rng)
    beta = rng.uniform(0.4, 0.8)
    real, synthetic = rng.uniform(0.3, 0.8, 2) * 50**beta
    common = {"E": floor, "R_s": rng.uniform(0.05, 0.15), "A_s": synthetic}
    if law == "generator":
        common["A_g"] = rng.uniform(0.3, 0.8) * 50**beta
    return {**common, "A_r": real, "beta": beta}


def _one_size(law: str, floor: float, rng: np.random.Generator) -> dict[str, float]:
    """Parameters of a law of one size beside the power law."""
    exponent = rng.uniform(0.4, 0.8)
    power = {"A": rng.uniform(0.3, 0.8) * 50**exponent, "a": exponent}
    if law == "power-no-floor":
        return power
    if law == "exponential":
        return {"E": floor, "A": rng.uniform(0.3, 0.8), "k": rng.uniform(1e3, 5e3)}
    if law == "shifted":
        shift = rng.uniform(200, 1000)
        return {"E": floor, **power, "A": power["A"] * (1 + shift / 50) ** exponent, "n0": shift}
    before, width = rng.uniform(0.05, 0.15), rng.uniform(0.5, 0.8)
    bend = {"a": before, "c": rng.uniform(0.5, 0.8), "f": width, "d": rng.uniform(2e3, 6e3)}
    return {"E": floor, "A": rng.uniform(0.5, 0.9) * 50**before, **bend}


def points(law: str, *, identified: bool) -> dict[str, np.ndarray]:
    """Sizes of a table; of one that hides a part of the law if not ``identified``.

    Hidden are: the curve, as all sizes lie on the floor; the two sizes' parts, as both grow in
    proportion; the synthetic part, as its weight is tiny. Generators have rows of their own, or
    share all that they can, where the law shall be identified.
    """
    if law in ("power", *ONE_SIZE):
        n_sizes = 10 if law in ("power", "power-no-floor") else 14
        sizes = np.geomspace(10, 1e6, 20) if law == "broken" else np.geomspace(50, 5e4, n_sizes)
        return {"n": sizes * (1 if identified else 1e8)}
    if law == "repeated":
        models, texts = np.geomspace(1e7, 1e10, 5), np.geomspace(1e8, 1e10, 4)
        grid = np.meshgrid(models, texts, [0.5, 1.0, 4.0, 16.0, 64.0], indexing="ij")
        params, unique, epochs = (a.ravel() for a in grid)
        seen = epochs if identified else np.minimum(epochs, 1.0)  # nothing is repeated
        return {"params": params, "unique": unique, "tokens": unique * seen}
    if law == "additive":
        first, second = np.geomspace(1e7, 1e10, 6), np.geomspace(1e8, 1e11, 6)
        both = np.meshgrid(first, second) if identified else (first, 20 * first)
        return {"x1": both[0].ravel(), "x2": both[1].ravel()}
    weights = (0.3, 0.6, 1.0) if identified else (0.01, 0.02)
    sizes = np.geomspace(50, 12800, 5)
    rows = [(n, 0.0, 0.0) for n in sizes]
    if law == "generator":
        some, weights = sizes[::2], weights if identified else (0.002, 0.004)
        own = [(n, m, g, 0.0, w) for n in some for m in some for g in some for w in weights]
        shared = [(n, m, g, min(n, g), w) for n, m, g, _, w in own if identified and w < 1]
        table = [(n, 0.0, 0.0, 0.0, 0.0) for n in sizes] + own + shared
        return dict(zip(("n", "N", "n_gen", "n_shared", "alpha"), np.array(table).T, strict=True))
    rows += [(n, m, w) for n in sizes[::2] for m in sizes for w in weights]
    return dict(zip(("n", "N", "alpha"), np.array(rows).T, strict=True))


def simulate(
    law: ScalingLaw,
    x: dict[str, np.ndarray],
    truth: dict[str, float],
    config: Config,
    rng: np.random.Generator,
    *,
    shared: bool = True,
) -> pd.DataFrame:
    """One row for each point and seed; seeds shift their curves if noise is ``shared``."""
    curve = law.predict(truth, x)
    excess = curve - truth.get("E", 0.0)
    shift = rng.standard_normal((config.n_seeds, 1))
    own = rng.standard_normal((config.n_seeds, len(curve)))
    noise = np.hypot(config.noise * excess, config.own * curve)
    return runs(x, curve + noise * own + (config.shared * curve * shift if shared else 0.0))


def runs(x: dict[str, np.ndarray], y: np.ndarray) -> pd.DataFrame:
    """One row for each point and seed, from values ``[seeds, points]``."""
    import pandas as pd

    n_seeds, n_points = y.shape
    columns = {name: np.tile(column, n_seeds) for name, column in x.items()}
    seeds = np.repeat(np.arange(n_seeds), n_points)
    return pd.DataFrame({**columns, "y": y.ravel(), "seed": seeds})


def table(
    law: ScalingLaw,
    x: dict[str, np.ndarray],
    truth: dict[str, float],
    part: Chunk,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """The table of one form, with the columns that ``fit`` is told of."""
    import pandas as pd

    if part.form == "exact":
        return pd.DataFrame({**x, "y": law.predict(truth, x)})
    frame = simulate(law, x, truth, part.config, rng, shared=part.form not in NOT_SHARED)
    if part.form == "means":
        means = frame.groupby(list(law.variables))["y"].agg(["mean", "sem"])
        return means.rename(columns={"mean": "y"}).reset_index()
    return frame.drop(columns="seed") if part.form == CONTROL else frame


def comparison(records: pd.DataFrame) -> pd.DataFrame:
    """One row for each law, form and quantity: coverage with its error, median relative error."""
    kept = records[records["arm"] != "unidentified"]
    keys = ["setting", "arm", "quantity"]
    table = kept[kept["metric"] == "covered"].groupby(keys, sort=False)["value"]
    coverage = table.agg(["mean", "size"]).rename(columns={"mean": "coverage", "size": "tables"})
    covered = coverage["coverage"]
    coverage["std_error"] = np.sqrt(covered * (1 - covered) / coverage["tables"])
    errors = kept[kept["metric"] == "relative_error"].groupby(keys, sort=False)["value"]
    coverage["median_relative_error"] = errors.median()
    return coverage.reset_index()


def checks(records: pd.DataFrame) -> list[Check]:
    """Coverage of every parameter and prediction, accuracy, warnings, time, and the control."""
    table = comparison(records)
    found = []
    for form in ("seeds", "means"):
        found += _coverage(table[table["arm"] == form], form)
    predicted = table[(table["quantity"] == PREDICTION) & table["arm"].isin(FORMS)]
    exact = records[(records["arm"] == "exact") & (records["metric"] == "relative_error")]
    unidentified = records[records["arm"] == "unidentified"]
    told = unidentified[unidentified["metric"] == "told_unidentified"]["value"]
    seconds = records[records["metric"] == "seconds"]["value"]
    moved = table["quantity"].isin(["E", PREDICTION])  # what a shift of whole curves moves
    control = table[(table["arm"] == CONTROL) & moved]
    return [
        *found,
        at_most(
            "median relative error at 10 times the largest size",
            predicted["median_relative_error"],
            0.05,
        ),
        at_most("noise-free tables, largest relative error", exact["value"], 1e-6),
        at_least("unidentified tables told", share(told), 0.95, f"{len(told)} tables"),
        at_most("CPU seconds of the slowest fit with intervals", seconds, 5.0),
        refused(
            "control: seeds ignored, coverage below the range",
            short_of(control["coverage"], control["tables"], COVERAGE[0]).clip(lower=0),
            "coverage of floors and predictions that ignore what seeds share, which must fail",
            least=0.25,
        ),
    ]


def _coverage(rows: pd.DataFrame, form: str) -> list[Check]:
    """Coverage within its range, but for the noise of a finite number of tables."""
    share, tables = rows["coverage"], rows["tables"]
    seen = f"{share.min():.3f} to {share.max():.3f}, {len(rows)} quantities, {tables.min()} tables"
    allowed = z_threshold(max(2 * len(rows), 1))
    below, above = (short_of(share, tables, limit) for limit in COVERAGE)
    return [
        at_most(f"{form}: standard errors below 92 %", below, allowed, seen),
        at_most(f"{form}: standard errors above 97 %", -above, allowed, seen),
    ]


if __name__ == "__main__":
    run_study("fit_coverage")
