"""A fit tells that its law is wrong, and is silent where it is right.

Wrong are a logarithm, a power law that breaks, and a U, all fitted by a power law; right are
the laws with their own tables (those of the power law have the sizes of the wrong ones). Sizes are
8 to 12 over two to three decades. Noise is that of the study of coverage: the excess over the floor
scatters by a share of itself, all values scatter a little, and each seed shifts its whole curve.
Tables come as one row for each size, with three or five seeds, and as means of five rows with
standard errors (which seeds do not shift: such a table cannot tell). Means of right laws whose
standard errors are said to be a third of what they are must be told, as a control.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from opal.checks import Check, at_least, at_most, refused, short_of, z_threshold
from opal.cli import run_study
from opal.runner import Cell

from . import _config
from .fit_coverage import draw_truth, points, runs

if TYPE_CHECKING:
    import pandas as pd

WRONG = ("logarithm", "broken", "U")
RIGHT = ("power", "additive", "mixture", "generator")
FORMS: Mapping[str, int] = {"one row": 1, "3 seeds": 3, "5 seeds": 5, "means": 5}  # rows of a point
CONTROL = "understated"  # means whose standard errors are too small
CURVE = ("one row", "3 seeds")  # forms whose power is drawn against noise
TOLD, SILENT = 0.9, 0.05


@dataclass(frozen=True)
class Config:
    """How many tables, and how noisy."""

    n_tables: int = 100
    """Tables of each law and form."""
    n_curve: int = 50
    """Tables of each wrong law and form for each other noise."""
    noise: float = 0.03
    """Standard deviation of the excess of wrong laws over their floor, relative to it."""
    noise_right: float = 0.06
    """That of right laws."""
    factors: tuple[float, ...] = (0.5, 2.0, 4.0)
    """Other noises of wrong laws, as multiples."""
    shared: float = 0.01
    """Standard deviation of a seed's shift of its whole curve, relative to the curve."""
    own: float = 0.004
    """Standard deviation that every row has besides, relative to the curve."""
    understated: float = 3.0
    """What standard errors are divided by in the control."""
    chunk: int = 25
    """Tables of one cell."""
    seed: int = 15
    """Seed of parameters and noise."""


PRESETS = {
    "tiny": Config(n_tables=1, n_curve=0, chunk=1),
    "quick": Config(n_tables=10, n_curve=0, chunk=10),
    "full": Config(),
}


@dataclass(frozen=True)
class Draws:
    """Tables of one law, form and noise, drawn from the seed and their numbers."""

    config: Config
    law: str
    form: str
    noise: float
    first: int
    last: int


def cells(config: Config) -> list[Cell]:
    """Cells of a few tables each."""
    _config.require_counts(config, n_tables=1, n_curve=0, chunk=1)
    kinds = [(law, form, config.noise, config.n_tables) for law in WRONG for form in FORMS]
    forms = (*FORMS, CONTROL)
    kinds += [(law, form, config.noise_right, config.n_tables) for law in RIGHT for form in forms]
    for factor in config.factors:
        noise = factor * config.noise
        kinds += [(law, form, noise, config.n_curve) for law in WRONG for form in CURVE]
    chunks = [
        Draws(config, law, form, noise, first, min(first + config.chunk, count))
        for law, form, noise, count in kinds
        for first in range(0, count, config.chunk)
    ]
    return [Cell(measure, part, f"{part.law}, {part.form}") for part in chunks]


def measure(part: Draws) -> pd.DataFrame:
    """Records of each table of a chunk: whether a misfit was told, and what else was."""
    import pandas as pd

    from opal import records
    from opal.scaling.fit import fit
    from opal.scaling.laws import LAWS

    rows = []
    for index in range(part.first, part.last):
        frame = table(part, index)
        law = LAWS[part.law if part.law in RIGHT else "power"]
        fitted = fit(
            law,
            frame,
            x={name: name for name in law.variables},
            y="y",
            std_error="sem" if "sem" in frame else None,
            seed="seed" if "seed" in frame else None,
        )
        said = {"told": "the law misses", "tails": "heavy tails", "open": "is not identified"}
        for metric, words in said.items():
            value = float(any(words in warning for warning in fitted.warnings))
            rows.append({"metric": metric, "value": value, "replicate": index})
    standard = {"study": "misfit", "source": "simulation", "setting": part.law, "arm": part.form}
    # Sizes are those of the simulated table and not of groups.
    frame = pd.DataFrame(rows).assign(**standard, noise=part.noise, n_real=0, n_min=0, n_max=0)
    return records.validate(frame)


def table(part: Draws, index: int) -> pd.DataFrame:
    """One table, with the columns that ``fit`` is told of."""
    import pandas as pd

    config = part.config
    order = (*WRONG, *RIGHT).index(part.law)
    rng = np.random.default_rng((config.seed, order, index))
    x, curve, excess = draw_curve(part.law, rng)
    n_rows = FORMS.get(part.form, FORMS["means"])
    noise = np.hypot(part.noise * excess, config.own * curve)
    y = curve + noise * rng.standard_normal((n_rows, len(curve)))
    if part.form in ("means", CONTROL):
        errors = y.std(axis=0, ddof=1) / np.sqrt(n_rows)
        errors = errors / (config.understated if part.form == CONTROL else 1.0)
        return pd.DataFrame({**x, "y": y.mean(axis=0), "sem": errors})
    if n_rows == 1:
        return pd.DataFrame({**x, "y": y[0]})
    return runs(x, y + config.shared * curve * rng.standard_normal((n_rows, 1)))


def draw_curve(
    law: str, rng: np.random.Generator
) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Sizes, the curve there ``[points]``, and its excess over its floor ``[points]``."""
    from opal.scaling.laws import LAWS

    decades = rng.uniform(2, 3)
    n = 50 * np.geomspace(1, 10**decades, rng.integers(8, 13))
    if law in RIGHT:
        truth = draw_truth(law, rng)
        x = {"n": n} if law == "power" else points(law, identified=True)
        curve = LAWS[law].predict(truth, x)
        return x, curve, curve - truth["E"]
    if law == "logarithm":
        curve = 2 - 0.15 * np.log(n)
        return {"n": n}, curve, curve - curve.min()
    height = rng.uniform(0.3, 0.8)
    excess = height * (_broken(n, rng) if law == "broken" else _valley(n, rng))
    return {"n": n}, rng.uniform(0.15, 0.35) + excess, excess


def _broken(n: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A power that steepens in the middle (Caballero et al. 2023, with a sharpness f of 1/2)."""
    flat, steep = rng.uniform(0.1, 0.2), rng.uniform(0.8, 1.2)
    scaled = n / np.sqrt(n[0] * n[-1])
    excess = scaled**-flat * (1 + scaled**2) ** (-(steep - flat) / 2)
    return excess / excess[0]


def _valley(n: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A parabola in the logarithm of the size."""
    share = np.log(n / n[0]) / np.log(n[-1] / n[0])
    return (share - rng.uniform(0.5, 0.7)) ** 2


def comparison(records: pd.DataFrame) -> pd.DataFrame:
    """One row for each law, form and noise: the share of tables that were told a misfit."""
    told = records[records["metric"] == "told"]
    shares = told.groupby(["setting", "arm", "noise"], sort=False)["value"]
    found = shares.agg(["mean", "size"]).rename(columns={"mean": "told", "size": "tables"})
    found["std_error"] = np.sqrt(found["told"] * (1 - found["told"]) / found["tables"])
    return found.reset_index()


def checks(records: pd.DataFrame) -> list[Check]:
    """Wrong laws are told in 90 %, right ones in at most 5 %, but for the noise of a share."""
    found = comparison(records)
    wrong = found[found["setting"].isin(WRONG)]
    wrong = wrong[wrong["noise"] == wrong["noise"].iloc[0]]
    right = found[found["setting"].isin(RIGHT)]
    silent, control = right[right["arm"] != CONTROL], right[right["arm"] == CONTROL]
    below = short_of(wrong["told"], wrong["tables"], TOLD)
    return [
        at_most("wrong laws: standard errors below 90 %", below, _allowed(wrong), _seen(wrong)),
        at_most(
            "right laws: standard errors above 5 %", _above(silent), _allowed(silent), _seen(silent)
        ),
        at_least("wrong laws, told over all", wrong["told"].mean(), TOLD),
        at_most("right laws, told over all", silent["told"].mean(), SILENT),
        refused(
            "control: standard errors that are too small",
            _above(control).clip(lower=0),
            "right laws held against a third of their standard errors, which must be told",
        ),
    ]


def _above(rows: pd.DataFrame) -> pd.Series:
    """By how many standard errors of a share it lies above what right laws are allowed."""
    return -short_of(rows["told"], rows["tables"], SILENT)


def _allowed(rows: pd.DataFrame) -> float:
    return z_threshold(max(2 * len(rows), 1))


def _seen(rows: pd.DataFrame) -> str:
    low, high = rows["told"].min(), rows["told"].max()
    return f"{low:.2f} to {high:.2f} of {rows['tables'].min()} tables, {len(rows)} laws and forms"


if __name__ == "__main__":
    run_study("misfit")
