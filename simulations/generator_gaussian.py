"""A transformer of quantised rows: its law against Bayes, and classifiers trained on its rows.

It is trained on Gaussian subjects with means N(0, τ² I) and the covariance σ² I, for which Bayes is
known in closed form. Classes with that covariance are what it was made for; correlated ones are
not, and a Gaussian that is fitted to the seeds knows nothing of either.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from opal.runner import Cell

if TYPE_CHECKING:
    import pandas as pd

    from opal.checks import Check
    from opal.synthesis.transformer.gaussian_stream import GaussianStream

DIM = 2
CASES = ("mixture", "correlated", "spurious")
EXCESS, WORST = "excess_balanced_risk", "worst_error"
# Where rows are nearly separable the mean is that of a few replicates.
MEDIAN, BEATS = "median_excess", "beats the fit"
TRANSFORMER, FIT, BAYES, ORACLE = "transformer", "Gaussian fit", "posterior predictive", "oracle"
MAKERS = (FIT, TRANSFORMER, BAYES, ORACLE)
OF_BINS, OF_VALUES, PRIOR = "Bayes of bins", "Bayes of values", "without seeds"
# Wrong theories, and from which change of the prediction on simulation should tell.
CONTROLS = {"mean_law": 0.1, "floor": 0.05}
OWN = "own_seeds"  # the theory of a generator that read the seeds of another replicate
THEORIES = ("predicted", OWN, *CONTROLS)


@dataclass(frozen=True)
class Config:
    """A transformer, the subjects that it is asked about, and classes that it makes rows of."""

    n_bins: int = 16
    """Bins of a feature."""
    scale: float = 2.5
    """Scale of the quantiser: bins are equally probable under N(0, scale²)."""
    reach: float = 1.7
    """Where the outer bins end, in units of the scale."""
    most_seeds: int = 32
    """Rows that the transformer's context holds."""
    width: int = 64
    """Width of the transformer."""
    depth: int = 2
    """Its blocks."""
    positions: Literal["rotary", "learned"] = "learned"
    """How it knows where a symbol is. Symbols take turns, which rotary angles do not tell."""
    steps: int = 1500
    """Steps of its training."""
    batch: int = 64
    """Sequences of a step."""
    n_seeds: tuple[int, ...] = (0, 2, 4, 8, 16, 32)
    """Seeds for the KL; 0 is the prior predictive."""
    n_subjects: int = 1024
    """Held-out subjects."""
    cases: tuple[str, ...] = CASES
    """Classes: mixture and spurious have the covariance that it knows, correlated has not."""
    makers: tuple[str, ...] = MAKERS
    """Who fills up the small groups; the fit and the transformer, which others are paired with."""
    n_min: tuple[int, ...] = (4, 8, 16, 32)
    """Rows of each small group, all of them seeds."""
    n_max: int = 400
    """Rows of each large group."""
    n_augmented: int = 500
    """N, augmented rows of each group in the arms that augment; 0 for no such arms."""
    alpha: float = 0.5
    """Their weight."""
    n_replicates: int = 1024
    """Replicates of each arm; all arms of a cell share their real rows."""
    seed: int = 21
    """Seed of subjects and replicates."""


PRESETS = {
    "tiny": Config(
        n_bins=4,
        most_seeds=4,
        width=16,
        depth=1,
        steps=40,
        batch=32,
        n_seeds=(0, 4),
        n_subjects=32,
        cases=("mixture",),
        makers=(FIT, TRANSFORMER),
        n_min=(4,),
        n_max=40,
        n_augmented=0,
        n_replicates=16,
    ),
    "quick": Config(
        width=32,
        steps=1000,
        n_seeds=(0, 4, 32),
        n_subjects=512,
        cases=("mixture", "correlated"),
        makers=(FIT, TRANSFORMER, BAYES),
        # With fewer rows one replicate in a thousand is separable, and makes the mean of the fit.
        n_min=(32,),
        n_augmented=0,
        n_replicates=512,
    ),
    "full": Config(),
}


@dataclass(frozen=True)
class Laws:
    """The transformer's law, of held-out subjects."""

    config: Config


@dataclass(frozen=True)
class Point:
    """One case and number of seeds."""

    config: Config
    case: str
    n: int


def cells(config: Config) -> list[Cell]:
    """One cell for the transformer's law, and one for each case and number of seeds.

    Raises:
        ValueError: a cell could not be computed.
    """
    _check(config)
    # Cases of the same shapes follow each other, and share what was compiled.
    points = [Point(config, case, n) for n in config.n_min for case in config.cases]
    return [
        Cell(measure_law, Laws(config), "law"),
        *(Cell(measure_arms, at, f"{at.case}, n {at.n}") for at in points),
    ]


def _check(config: Config) -> None:
    from opal import names
    from opal.settings.groups import validate_number
    from simulations import _fields

    _fields.require_counts(config, "most_seeds", "width", "depth", "steps", "batch", minimum=1)
    _fields.require_counts(config, "n_subjects", "n_replicates", minimum=2)
    _fields.require_counts(config, "n_seeds", "n_augmented", minimum=0)
    # A Gaussian is fitted to the seeds.
    _fields.require_counts(config, "n_min", minimum=DIM + 1)
    names.check("cases", list(config.cases), CASES)
    names.check("makers", list(config.makers), MAKERS)
    if not {FIT, TRANSFORMER} <= set(config.makers):
        raise ValueError(
            f"makers must have {FIT!r} and {TRANSFORMER!r}, with which the others are paired; got "
            f"{config.makers}."
        )
    most, asked = config.most_seeds, max(*config.n_seeds, *config.n_min)
    if asked > most:
        raise ValueError(
            f"the context holds most_seeds = {most} rows; n_seeds and n_min ask for {asked}. "
            "Raise most_seeds, or ask for fewer."
        )
    if not config.cases or config.n_max <= max(config.n_min):
        raise ValueError(
            "a study needs at least one case, and large groups with more rows than small ones; got "
            f"cases {config.cases}, n_max {config.n_max} and n_min {config.n_min}."
        )
    validate_number(config.alpha, "alpha is a weight in [0, 1]", least=0.0, most=1.0)
    stream(config)


def stream(config: Config) -> GaussianStream:
    """What the transformer is trained on: standard normal means, and the covariance I."""
    from opal.synthesis.transformer.gaussian_stream import GaussianStream
    from opal.synthesis.transformer.quantise import Quantiser

    quantiser = Quantiser(config.n_bins, config.scale, config.reach)
    return GaussianStream(DIM, quantiser, degrees=None)


def measure_law(at: Laws) -> pd.DataFrame:
    """Mean KL of the cells' law after each number of seeds, and what bins lose apart from it."""
    import pandas as pd

    from opal import records
    from simulations._gaussian import subjects
    from simulations._gaussian_rows import of_distortion, of_kl

    config = at.config
    sizes = {"key": config.seed, "n_subjects": config.n_subjects}
    held = subjects(stream(config), max(config.n_seeds), **sizes)
    rows = [*of_kl(config, held), *of_distortion(config, held)]
    frame = pd.DataFrame(rows).assign(
        study="generator_gaussian", setting="subjects", n_replicates=config.n_subjects
    )
    frame = frame.assign(n_min=frame["n_real"], n_max=frame["n_real"])
    return records.validate(frame).assign(case="subjects", steps=config.steps)


def measure_arms(at: Point) -> pd.DataFrame:
    """Every arm on the same real rows, and the theory of the transformer's arms."""
    import pandas as pd

    from opal import records
    from opal.simulate import replicate_metrics
    from simulations._gaussian_arms import designs, replicates, setting
    from simulations._gaussian_maker import generator
    from simulations._gaussian_rows import means, of_simulation, theories

    maker, truth, n = generator(at.config), setting(at.case), at.config.n_replicates
    arms = designs(at, maker)
    found = {
        arm: replicate_metrics(truth, design, key=replicates(at), n_replicates=n, calibration=False)
        for arm, design in arms.items()
    }
    known = theories(at, maker, {a: d for a, d in arms.items() if d.synthesizer is maker})
    frames = []
    for arm, design in arms.items():
        theory = known.get(arm, {})
        simulated = of_simulation(arm, found, theory)
        for source, rows in (("simulation", simulated), ("theory", means(theory))):
            if rows:
                frame = records.of_design(
                    truth, design, rows, study="generator_gaussian", n_replicates=n, source=source
                )
                frames.append(frame)
    return pd.concat(frames, ignore_index=True).assign(case=at.case, steps=at.config.steps)


def comparison(records: pd.DataFrame) -> pd.DataFrame:
    """One row for each case, number of seeds and arm: excess, paired differences and theory.

    ``minus_…`` are paired with the transformer that fills up and with the Gaussian fit; ``z_…`` is
    of simulation minus theory, ``explained_…`` the share of the variance between replicates.
    """
    from simulations._gaussian_checks import every_number

    return every_number(records)


def checks(records: pd.DataFrame) -> list[Check]:
    """The law is near Bayes, theory agrees, and prior knowledge wins where it is right."""
    from simulations import _gaussian_checks as of

    table = comparison(records)
    return [*of.near_bayes(records), *of.of_theory(table), *of.of_prior(table)]


if __name__ == "__main__":
    from opal.cli import run_study

    run_study("generator_gaussian")
