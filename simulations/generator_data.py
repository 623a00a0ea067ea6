"""What a generator was trained on: excess risk after rows of one that saw n_gen real rows.

Curves in N for generators that saw the training rows, others, or both; designs drawn at random,
with every overlap of the two sets; and a transformer that is shown rows of its own. A theory that
forgets the generator's data, and one that takes it for the training set, go through the same
comparison.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from opal import names
from opal.checks import Check, agrees, at_least, refuted, share
from opal.cli import run_study
from opal.runner import Cell

from . import _config
from ._config import DrawnDesign
from ._rows import EXCESS, TRANSFORMER, means, of_design

if TYPE_CHECKING:
    import pandas as pd

    from opal.objective import Design
    from opal.settings import GaussianMixture, TokenSetting
    from opal.settings.setting import GaussianSetting

STUDY = "generator_data"
OVERLAPS = ("disjoint", "containing")  # of rows shown to the transformer and training rows
CONTROLS = ("forgotten", "training_set")  # rows from nowhere, and from the training rows alone
FAR = 10**9  # rows that leave no noise of their own


@dataclass(frozen=True)
class Config(_config.Generator):
    """Two Gaussian classes for the curves, a range of designs, and a transformer's classes."""

    dim: int = 5
    """Dimension of the curves' classes."""
    distance: float = 2.0
    """Distance between their means, in standard deviations."""
    n_real: int = 200
    """Training rows of each class of the curves."""
    generators: tuple[tuple[int, int], ...] = ((200, 200), (200, 0), (1000, 0), (1000, 200))
    """Real rows of each class that a generator saw, and shared ones; one curve each."""
    n_augmented: tuple[int, ...] = (50, 100, 200, 400, 800, 1600, 3200)
    """N of the simulated points of each curve; every row weighs alike."""
    n_predicted: int = 25
    """Predicted points of each curve, which make the lines."""
    n_designs: int = 60
    """Designs drawn at random, of each overlap alike."""
    dims: tuple[int, ...] = (2, 4, 8)
    """Dimensions of these designs."""
    n_min: tuple[int, int] = (200, 800)
    """Their smallest and largest minority size."""
    max_imbalance: float = 3.0
    """Largest ratio of the larger to the smaller class."""
    n_generator: tuple[int, int] = (200, 3000)
    """Fewest and most rows of a class that the generator saw."""
    max_multiple: float = 3.0
    """Largest N, as a multiple of the larger class."""
    n_seeds: tuple[int, ...] = (16, 32)
    """Rows of the transformer's small class."""
    n_majority: int = 400
    """Rows of its large class."""
    overlaps: tuple[str, ...] = OVERLAPS
    """How the rows that it is shown lie to the training rows."""
    n_replicates: int = 2000
    """Replicates of each point and design."""
    seed: int = 13
    """Seed of designs and replicates."""


PRESETS = {
    "tiny": Config(
        **_config.TINY,
        dim=2,
        n_augmented=(40,),
        generators=((200, 0),),
        n_predicted=2,
        n_designs=1,
        dims=(2,),
        n_min=(200, 201),
        max_imbalance=1.0,
        n_generator=(200, 201),
        max_multiple=1.0,
        n_seeds=(4,),
        n_majority=60,
        n_replicates=32,
    ),
    "quick": Config(
        width=16,
        depth=1,
        steps=200,
        batch=32,
        context=17,
        dim=3,
        n_augmented=(100, 800),
        generators=((200, 200), (200, 0), (1000, 0)),
        n_predicted=9,
        n_designs=3,
        dims=(3,),
        n_min=(200, 300),
        max_imbalance=1.5,
        n_generator=(200, 1000),
        max_multiple=2.0,
        overlaps=("disjoint",),
        n_seeds=(8,),
        n_replicates=800,
    ),
    "full": Config(),
}


@dataclass(frozen=True)
class TrainedGenerator:
    """One generator, given how many rows it saw of each class and how many of them are shared."""

    config: Config
    n_generator: int
    n_shared: int


@dataclass(frozen=True)
class ShownRows:
    """A transformer after rows of which none, or all training rows, are shared."""

    config: Config
    n: int
    overlap: str


def cells(config: Config) -> list[Cell]:
    """A cell for each curve, each random design, and each set of rows shown to the transformer."""
    _check(config)
    curves = [TrainedGenerator(config, *numbers) for numbers in config.generators]
    draws = [DrawnDesign(config, index) for index in range(config.n_designs)]
    shown = [ShownRows(config, n, how) for how in config.overlaps for n in config.n_seeds]
    for at in curves:
        of_curve(at, 1)
    return [
        *(Cell(measure_curve, at, f"curve {at.n_generator}, {at.n_shared}") for at in curves),
        *(Cell(measure_draw, draw, f"design {draw.index}") for draw in draws),
        *(Cell(measure_shown, at, f"transformer, {at.overlap}, n {at.n}") for at in shown),
    ]


def _check(config: Config) -> None:
    _config.require_counts(config, dim=1, n_real=2, n_augmented=1, n_predicted=2, n_designs=1)
    _config.require_counts(config, dims=2, n_replicates=2, seed=0)
    if not config.generators:
        raise ValueError("generators needs at least one pair of numbers, each a curve; got none.")
    names.check("overlap", config.overlaps, OVERLAPS)
    if not config.overlaps:
        raise ValueError(f"overlaps needs at least one of {OVERLAPS}; got none.")
    _config.require_numbers(config, "distance")
    _config.require_numbers(config, "max_imbalance", least=1.0)
    _config.require_numbers(config, "max_multiple", least=0.5)
    _config.require_range("n_min", config.n_min)
    _config.require_range("n_generator", config.n_generator)
    if min(config.n_min[0], config.n_generator[0]) <= max(config.dims):
        raise ValueError(
            "a Gaussian fit needs more rows than dimensions; got n_min from "
            f"{config.n_min[0]}, n_generator from {config.n_generator[0]} and dims {config.dims}. "
            "Raise the first two, or lower the dimensions."
        )
    _config.require_seeds(config, least=1)
    _config.require_counts(config, n_majority=max(config.n_seeds))
    config.check()


def of_curve(at: TrainedGenerator, n_augmented: int) -> tuple[GaussianMixture, Design]:
    """The curves' classes, and a design in which every row weighs alike."""
    from opal.objective import Design
    from opal.synthesis import GaussianFit

    from ._arms import two_classes

    n = at.config.n_real
    setting, _ = two_classes(at.config.dim, at.config.distance)
    alpha = n_augmented / (n_augmented + n)
    design = Design((n, n), GaussianFit(), n_augmented, alpha, n_generator=at.n_generator)
    return setting, design.with_(n_shared=at.n_shared)


def measure_curve(at: TrainedGenerator) -> pd.DataFrame:
    """One curve in N: simulated points, predicted lines, and where they end."""
    import pandas as pd

    key, size = at.config.seed, at.config.n_replicates
    frames = [compared(*of_curve(at, n), key=key, size=size) for n in at.config.n_augmented]
    ends = np.log(at.config.n_augmented[:: len(at.config.n_augmented) - 1 or 1])
    line = np.unique(np.exp(np.linspace(ends[0], ends[-1], at.config.n_predicted)).round())
    for n in (*line, FAR):
        setting, design = of_curve(at, int(n))
        value = excess(setting, design)["predicted"]
        metric = "floor" if n == FAR else "line"
        frames.append(of_design(setting, design, {}, {(metric, "all"): (value, 0.0)}, STUDY, 0))
    return pd.concat(frames, ignore_index=True).assign(
        part="curve", design=-1, n_fitted=at.n_generator, overlap=_word(at)
    )


def _word(at: TrainedGenerator) -> str:
    if at.n_shared == 0:
        return "disjoint"
    if at.n_shared == at.n_generator:
        return "equal" if at.n_shared == at.config.n_real else "subset"
    return "containing" if at.n_shared == at.config.n_real else "partial"


def compared(setting: GaussianSetting, design: Design, *, key: int, size: int) -> pd.DataFrame:
    """The excess risk of one design: simulated, predicted, and predicted wrongly."""
    from opal.simulation import replicate_metrics

    values = replicate_metrics(setting, design, key=key, n_replicates=size, calibration=False)
    simulated = means({name: values[name] for name in (EXCESS, "separated")})
    theory = {(name, "all"): (value, 0.0) for name, value in excess(setting, design).items()}
    for name, wrong in wrong_designs(setting, design).items():
        theory[name, "all"] = (excess(setting, wrong)["predicted"], 0.0)
    return of_design(setting, design, simulated, theory, STUDY, size)


def excess(setting: GaussianSetting, design: Design) -> dict[str, float]:
    """Excess balanced risk as :func:`opal.theory.predict.predict` has it, and to order 1/n."""
    import jax

    from opal.theory.estimator import expand, resum

    with jax.enable_x64(True):
        first = expand(setting, design)
        found = resum(setting, design, first)
        return {"predicted": float(found.excess), "first_order": float(first.excess)}


def wrong_designs(setting: GaussianSetting, design: Design) -> dict[str, Design]:
    """Designs whose theory must be refused: rows from nowhere, or from the training rows alone."""
    from opal.synthesis import Oracle

    assert design.synthesizer is not None
    population = design.synthesizer.population(setting.law)
    assert population is not None
    given = {"synthesizer": Oracle(population.law), "n_generator": None, "n_shared": 0}
    own = design.with_(n_generator=design.counts, n_shared=design.counts)
    return {"forgotten": design.with_(**given), "training_set": own}


def measure_draw(draw: DrawnDesign) -> pd.DataFrame:
    """One random design."""
    from ._generator_rows import draw_design

    setting, design, overlap = draw_design(draw)
    found = compared(setting, design, key=draw.key, size=draw.config.n_replicates)
    return found.assign(
        part="grid",
        design=draw.index,
        n_fitted=min(design.n_fitted),
        overlap=overlap,
        dim=setting.law.dim,
        shrinkage=getattr(design.synthesizer, "shrinkage", np.nan),
    )


def of_shown(at: ShownRows) -> tuple[TokenSetting, Design]:
    """Two classes of tokens, and a design that says which rows the transformer is shown."""
    from opal.objective import Design
    from opal.settings import TokenSetting
    from opal.synthesis.transformer.generator import TokenGenerator

    config = at.config
    setting = TokenSetting.drawn(config.alphabet(), key=config.seed)
    maker = TokenGenerator(config.decoder(), config.alphabet(), name=TRANSFORMER)
    most, counts = config.context - 1, (config.n_majority, at.n)
    shared = (min(most, config.n_majority), min(most, at.n)) if at.overlap == "containing" else 0
    design = Design(counts, maker, 500, 0.5, "none", "group", n_generator=most, n_shared=shared)
    return setting, design


def measure_shown(at: ShownRows) -> pd.DataFrame:
    """Training on a transformer's rows: simulated, and predicted from its law in each replicate.

    The theory that forgets takes its mean law for all replicates, and that of the training set the
    rows that it was shown for training rows.
    """
    from opal.theory.end_to_end import excess_of_seeds

    from ._end_to_end import after_seeds, trained_excess

    setting, design = of_shown(at)
    size, most = at.config.n_replicates, (at.config.n_majority, max(at.config.n_seeds))
    given = {"key": at.config.seed, "n_replicates": size}
    fitted, shared = design.n_fitted, design.n_in_training
    seeds = after_seeds(at.config.decoder(), setting.law, fitted, shared=shared, **given)
    simulated, separated = trained_excess(
        setting.law, design, seeds.made, key=at.config.seed, most=most
    )
    mean = np.broadcast_to(seeds.made.mean(axis=0), seeds.made.shape)
    values = {
        "predicted": excess_of_seeds(setting.law, design, seeds.seen, seeds.made).total,
        "forgotten": excess_of_seeds(setting.law, design, seeds.seen, mean).total,
    }
    apart = {f"{EXCESS} minus {name}": simulated - value for name, value in values.items()}
    measured = {EXCESS: simulated, "separated": separated.astype(float), **apart}
    frame = of_design(setting, design, means(measured), means(values), STUDY, size)
    return frame.assign(part="transformer", design=-1, n_fitted=min(fitted), overlap=at.overlap)


def comparison(records: pd.DataFrame) -> pd.DataFrame:
    """One row for each point of the curves, or for each design: simulated, predicted, controls."""
    on = ["part", "overlap", "n_fitted", "n_shared", "n_augmented", "design", "n_min", "alpha"]
    rows = records[~records["metric"].isin(["line", "floor"])]
    values = rows.pivot(index=on, columns="metric", values="value")
    simulated = rows[rows["source"] == "simulation"]
    errors = simulated.pivot(index=on, columns="metric", values="std_error")
    named = ["predicted", "first_order", *CONTROLS]  # not all parts have each of them
    table = values.reindex(columns=named).assign(simulated=values[EXCESS])
    for name in ("predicted", *CONTROLS):
        paired = errors.get(f"{EXCESS} minus {name}")
        alone = errors[EXCESS]
        table[f"std_error_{name}"] = alone if paired is None else paired.fillna(alone)
    table["ratio"] = table["simulated"] / table["predicted"]
    table["z"] = (table["simulated"] - table["predicted"]) / table["std_error_predicted"]
    return table.reset_index()


def checks(records: pd.DataFrame) -> list[Check]:
    """Theory holds within 2 % or 3 standard errors in each part; wrong ones are caught."""
    table = comparison(records)
    tables = {part: table[table["part"] == part] for part in ("curve", "grid", "transformer")}
    held = [_holds(part, table) for part, table in tables.items()]
    wrong = {"curve": CONTROLS, "grid": CONTROLS, "transformer": CONTROLS[:1]}
    return held + [
        _caught(part, name, tables[part]) for part, names in wrong.items() for name in names
    ]


def _holds(part: str, table: pd.DataFrame) -> Check:
    """Agreement where the generator saw enough rows for an expansion in 1/n_gen."""
    if part == "grid":
        table = table[table["n_fitted"] >= 200]
    near = agrees(table["z"], 1 / table["ratio"], relative=0.02)
    detail = (
        f"share of {len(table)} cells within 2 % or 3 standard errors; simulated over predicted "
        f"{table['ratio'].min():.3f} to {table['ratio'].max():.3f}, "
        f"largest |z| {table['z'].abs().max():.1f}"
    )
    return at_least(f"theory holds: {part}", share(near), 0.95, detail)


def _caught(part: str, name: str, table: pd.DataFrame) -> Check:
    """A wrong theory is refused by the cells that can tell it from the right one."""
    error = table[f"std_error_{name}"]
    z, apart = ((table[one] - table[name]) / error for one in ("simulated", "predicted"))
    ratio = (table[name] / table["simulated"]).median()
    detail = f"cells of the {part}; wrong over simulated {ratio:.3f} in the median"
    return refuted(f"{name} is caught: {part}", z, apart, detail)


if __name__ == "__main__":
    run_study("generator_data")
