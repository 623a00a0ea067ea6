"""A transformer of quantised rows: its law against Bayes, and classifiers trained on its rows.

It is trained on Gaussian subjects with means N(0, τ² I) and the covariance σ² I, for which Bayes is
known in closed form. Classes with that covariance are what it was made for; correlated ones are
not, and a Gaussian that is fitted to the seeds knows nothing of either.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from opal.checks import Check, at_least, at_most, misses, share
from opal.cli import run_study
from opal.runner import Cell

from . import _config, _rows
from ._config import HeldOut
from ._rows import EXCESS, TRANSFORMER, Found, Row, mean, means, of_design, of_subjects, ratio, row

if TYPE_CHECKING:
    import pandas as pd
    from jaxtyping import Array, Key

    from opal.objective import Design
    from opal.settings.setting import GaussianSetting
    from opal.synthesis.transformer.gaussian_generator import GaussianGenerator
    from opal.synthesis.transformer.gaussian_stream import GaussianStream

Values = Mapping[str, "np.ndarray"]

DIM = 2
CASES = ("mixture", "correlated", "spurious")
CORRELATION = 0.8  # of the two features of every class in the case "correlated"
WORST = "worst_error"
# Where rows are nearly separable the mean is that of a few replicates.
MEDIAN, BEATS = "median_excess", "beats the fit"
FIT, BAYES, ORACLE = "Gaussian fit", "posterior predictive", "oracle"
MAKERS = (FIT, TRANSFORMER, BAYES, ORACLE)
OF_BINS, OF_VALUES, PRIOR = "Bayes of bins", "Bayes of values", "without seeds"
# Wrong theories, and from which change of the prediction on simulation should tell.
CONTROLS = {"mean_law": 0.1, "floor": 0.05}
OWN = "own_seeds"  # the theory of a generator that read the seeds of another replicate
THEORIES = ("predicted", OWN, *CONTROLS)
EXPLAINED = 0.5  # least share of the variance between replicates
ENOUGH_STEPS, MARGIN, SLACK = 1500, 0.25, 2.0  # over Bayes of bins; times SLACK if shorter


@dataclass(frozen=True)
class Config(_config.Blocks):
    """A transformer, the subjects that it is asked about, and classes that it makes rows of."""

    n_bins: int = 16
    """Bins of a feature."""
    scale: float = 2.5
    """Scale of the quantiser: bins are equally probable under N(0, scale²)."""
    reach: float = 1.7
    """Where the outer bins end, in units of the scale."""
    most_seeds: int = 32
    """Rows that the transformer's context holds."""
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

    def stream(self) -> GaussianStream:
        """What the transformer is trained on: standard normal means, and the covariance I."""
        from opal.synthesis.transformer.gaussian_stream import GaussianStream
        from opal.synthesis.transformer.quantise import Quantiser

        quantiser = Quantiser(self.n_bins, self.scale, self.reach)
        return GaussianStream(DIM, quantiser, degrees=None)


PRESETS = {
    "tiny": Config(
        **_config.TINY_BLOCKS,
        n_bins=4,
        most_seeds=4,
        steps=40,
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
class GaussianCase:
    """One case and number of seeds."""

    config: Config
    case: str
    n: int


def cells(config: Config) -> list[Cell]:
    """One cell for the transformer's law, and one for each case and number of seeds."""
    _check(config)
    # Cases of the same shapes follow each other, and share what was compiled.
    points = [GaussianCase(config, case, n) for n in config.n_min for case in config.cases]
    return [
        Cell(measure_law, HeldOut(config), "law"),
        *(Cell(measure_arms, at, f"{at.case}, n {at.n}") for at in points),
    ]


def _check(config: Config) -> None:
    from opal import names
    from opal.settings.groups import validate_number

    _config.require_counts(config, most_seeds=1, width=1, depth=1, steps=1, batch=1)
    _config.require_counts(config, n_subjects=2, n_replicates=2, n_seeds=0, n_augmented=0)
    _config.require_counts(config, n_min=DIM + 1)  # a Gaussian is fitted to the seeds
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
    config.stream()


def generator(config: Config) -> GaussianGenerator:
    """The transformer, trained unless it was before."""
    from opal.synthesis.transformer.cached import trained
    from opal.synthesis.transformer.config import ModelConfig, TrainConfig
    from opal.synthesis.transformer.gaussian_generator import GaussianGenerator

    source = config.stream()
    context = DIM * config.most_seeds + DIM  # the beginning, and all of the next row but its end
    sizes = (config.width, config.depth)
    model = ModelConfig(source.vocab, context, *sizes, positions=config.positions)
    slice_ = next(k for k in range(min(32, config.batch), 0, -1) if config.batch % k == 0)
    warm_up = min(TrainConfig.warm_up, config.steps // 2)
    training = TrainConfig(config.steps, config.batch, slice_, warm_up=warm_up)
    decoder = trained(model, training, source).decoder
    return GaussianGenerator(
        decoder, DIM, source.quantiser, n_context=config.most_seeds, name=TRANSFORMER
    )


def classes(case: str) -> GaussianSetting:
    """Two classes at distance 2, or two labels and two attributes."""
    from opal.settings import GaussianMixture, SpuriousCorrelation

    if case == "spurious":
        return SpuriousCorrelation()
    off = CORRELATION if case == "correlated" else 0.0
    return GaussianMixture([[-1.0, 0.0], [1.0, 0.0]], [[1.0, off], [off, 1.0]], name=case)


def designs(at: GaussianCase, maker: GaussianGenerator) -> dict[str, Design]:
    """Small groups filled up by each maker of rows, and all groups augmented by two of them."""
    from opal.objective import Design, baselines
    from opal.synthesis import GaussianFit, Oracle, Synthesizer
    from opal.synthesis.posterior import PosteriorPredictive

    config, truth = at.config, classes(at.case)
    large, small = config.n_max, at.n
    counts = (large, small, small, large) if at.case == "spurious" else (large, small)
    every: dict[str, Synthesizer] = {
        FIT: GaussianFit(),
        TRANSFORMER: maker,
        BAYES: PosteriorPredictive(),
        ORACLE: Oracle(truth.law),
    }
    plain = baselines(counts)
    arms = {name: plain[name] for name in ("raw", "weighting")}
    arms |= {name: Design(counts, every[name], name=name) for name in config.makers}
    if config.n_augmented:
        more = {"n_augmented": config.n_augmented, "alpha": config.alpha}
        for name in (FIT, TRANSFORMER):
            arms[f"{name}, augmented"] = arms[name].with_(name=f"{name}, augmented", **more)
    return arms


def replicates(at: GaussianCase) -> Key[Array, ""]:
    """Key of the replicates, which all arms share and no other point does."""
    from opal.draws import as_key, named

    return named(as_key(at.config.seed), f"{at.case}, {at.n}")


def measure_law(at: HeldOut) -> pd.DataFrame:
    """Mean KL of the cells' law after each number of seeds, and what bins lose apart from it."""
    rows = _of_law(at.config)
    frame = of_subjects(rows, "generator_gaussian", "subjects", at.config.n_subjects)
    return frame.assign(case="subjects", steps=at.config.steps)


def _of_law(config: Config) -> Iterator[Row]:
    """KL of every estimate after n seeds, paired with Bayes of bins, and what bins lose."""
    from . import _gaussian

    maker, source = generator(config), config.stream()
    sizes = {"key": config.seed, "n_subjects": config.n_subjects}
    held = _gaussian.subjects(source, max(config.n_seeds), **sizes)
    law, nothing = _gaussian.truth(source, held), _gaussian.made_cells(maker, held, 0)
    for n in config.n_seeds:
        best = _gaussian.kl(law, _gaussian.bayes_of_bins(source, held, n))
        estimates = {
            OF_BINS: best,
            OF_VALUES: _gaussian.kl(law, _gaussian.bayes_of_values(source, held, n)),
            TRANSFORMER: _gaussian.kl(law, _gaussian.made_cells(maker, held, n)),
            PRIOR: _gaussian.kl(law, nothing),
        }
        for arm, each in estimates.items():
            found = {"kl": mean(each), "kl_minus_bayes": mean(each - best)}
            for metric, number in (found | {"kl_over_bayes": ratio(each, best)}).items():
                yield row(arm, n, metric, *number, simulated=(TRANSFORMER, PRIOR))
    for metric, each in _gaussian.distortion(source, held)._asdict().items():
        yield row("bins", 0, metric, *mean(each))


def measure_arms(at: GaussianCase) -> pd.DataFrame:
    """Every arm on the same real rows, and the theory of the transformer's arms."""
    import pandas as pd

    from opal.simulation import replicate_metrics

    maker, truth, n = generator(at.config), classes(at.case), at.config.n_replicates
    arms = designs(at, maker)
    found = {
        arm: replicate_metrics(truth, design, key=replicates(at), n_replicates=n, calibration=False)
        for arm, design in arms.items()
    }
    known = _theories(at, maker, {a: d for a, d in arms.items() if d.synthesizer is maker})
    frames = []
    for arm, design in arms.items():
        theory = known.get(arm, {})
        both = (_simulated(arm, found, theory), means(theory))
        frames.append(of_design(truth, design, *both, "generator_gaussian", n))
    return pd.concat(frames, ignore_index=True).assign(case=at.case, steps=at.config.steps)


def _simulated(arm: str, metrics: Mapping[str, Values], theory: Values) -> Found:
    """Records of one arm, its differences from others and from theories paired on replicates.

    ``theory`` is the excess of this arm given the seeds of each replicate [R], if it has one.
    """
    excess, of_fit = metrics[arm][EXCESS], metrics[FIT][EXCESS]
    values = {name: metrics[arm][name] for name in (EXCESS, WORST, "separated")}
    for other in (TRANSFORMER, FIT):
        values[f"{EXCESS} minus {other}"] = excess - metrics[other][EXCESS]
    for name, each in theory.items():
        values[f"{EXCESS} minus {name}"] = excess - each
    values[BEATS] = (excess < of_fit).astype(float)
    return means(values) | {(MEDIAN, "all"): (float(np.median(excess)), float("nan"))}


def _theories(
    at: GaussianCase, maker: GaussianGenerator, arms: dict[str, Design]
) -> dict[str, dict[str, np.ndarray]]:
    """Excess of each arm given the seeds of each replicate [R]: predicted, and wrongly so."""
    from ._gaussian import after_seeds, excess_of_seeds

    law, found = classes(at.case).law, {}
    counts = next(iter(arms.values())).counts
    seeds = after_seeds(maker, law, counts, key=replicates(at), n_replicates=at.config.n_replicates)
    # Each replicate's real rows beside the generator that read those of the one before it, and
    # beside one that makes rows of the mean law whatever it reads.
    rolled, average = np.roll(seeds.made, 1, axis=0), seeds.made.mean(axis=0)
    wrong = [rolled, np.broadcast_to(average, rolled.shape)]
    for arm, design in arms.items():
        right, own, fixed = (
            excess_of_seeds(law, design, maker, seeds._replace(made=made))
            for made in (seeds.made, *wrong)
        )
        each = (right.total, own.total, fixed.total, right.floor)
        found[arm] = dict(zip(THEORIES, each, strict=True))
    return found


def laws(records: pd.DataFrame) -> pd.DataFrame:
    """One row for each n: KL of the transformer and of the references, and ratio and gap."""
    rows = records[(records["case"] == "subjects") & (records["arm"] != "bins")]
    kl = rows[rows["metric"] == "kl"].pivot(index="n_real", columns="arm", values="value")
    own = rows[rows["arm"] == TRANSFORMER]
    names = {"kl": "kl", "kl_over_bayes": "ratio", "kl_minus_bayes": "gap"}
    return kl.join(_rows.renamed(own, ["n_real"], names)).drop(columns="kl").reset_index()


def comparison(records: pd.DataFrame) -> pd.DataFrame:
    """One row for each case, number of seeds and arm: excess, paired differences and theory.

    ``minus_…`` are paired with the transformer that fills up and with the Gaussian fit; ``z_…`` is
    of simulation minus theory, ``explained_…`` the share of the variance between replicates.
    """
    values, errors = _rows.wide(records[records["case"] != "subjects"], ("case", "n_min", "arm"))
    table = values["simulation"][[EXCESS, MEDIAN, BEATS, WORST, "separated"]].copy()
    table["std_error"] = errors["simulation", EXCESS]
    for other, name in ((TRANSFORMER, "transformer"), (FIT, "fit")):
        metric = ("simulation", f"{EXCESS} minus {other}")
        table[f"minus_{name}"], table[f"std_error_{name}"] = values[metric], errors[metric]
    for theory in THEORIES:
        metric = ("simulation", f"{EXCESS} minus {theory}")
        table[theory] = values["theory", theory]
        table[f"z_{theory}"] = values[metric] / errors[metric]
        table[f"explained_{theory}"] = 1 - (errors[metric] / table["std_error"]) ** 2
    return table.rename(columns={EXCESS: "excess"}).reset_index()


def checks(records: pd.DataFrame) -> list[Check]:
    """The law is near Bayes, theory agrees, and prior knowledge wins where it is right."""
    table = comparison(records)
    return [*_near_bayes(records), *_of_theory(table), *_of_prior(table)]


def _near_bayes(records: pd.DataFrame) -> Iterator[Check]:
    """The transformer's law is near that of Bayes, and neither beats it nor ignores its seeds."""
    table, steps = laws(records), int(records["steps"].min())
    margin = MARGIN * (1 if steps >= ENOUGH_STEPS else SLACK)
    worst = table.loc[table["ratio"].idxmax()]
    yield at_most(
        "near Bayes",
        table["ratio"],
        1 + margin,
        f"largest mean KL over that of Bayes of the same bins, at n = {worst['n_real']:.0f}, after "
        f"{steps} steps; standard error {worst['std_error_ratio']:.3f}",
    )
    most = table.iloc[-1]
    yield at_least(
        "its seeds are read",
        float(most[PRIOR] / most[OF_BINS]),
        1 + margin,
        f"the same ratio of its law without seeds, at n = {most['n_real']:.0f}; it must fail",
    )
    yield at_least(
        "Bayes is not beaten",
        table["gap"] / table["std_error_gap"],
        -3.0,
        f"least paired z of {len(table)} points against Bayes of the same bins",
    )


def _of_theory(table: pd.DataFrame) -> Iterator[Check]:
    """Theory agrees replicate by replicate; what leaves something out does not."""
    known = table[table["predicted"].notna()]
    over = known["predicted"] / known["excess"]
    yield _rows.predicted_is_simulated(known["z_predicted"], over, "arms")
    yield at_least(
        "every replicate has its own risk",
        known["explained_predicted"],
        EXPLAINED,
        "least share of the variance between replicates that the prediction explains",
    )
    yield at_most(
        "the generator reads the replicate's seeds",
        known[f"explained_{OWN}"],
        0.0,
        "largest share that the prediction explains for the seeds of another replicate",
    )
    for name, claim in zip(CONTROLS, ("how its law varies", "the spread"), strict=True):
        chosen = known[(known[name] / known["predicted"] - 1).abs() > CONTROLS[name]]
        yield at_least(
            f"{claim} cannot be left out",
            share(misses(chosen[f"z_{name}"], chosen[name] / chosen["excess"])),
            0.95,
            f"share of the {len(chosen)} arms in which leaving it out changes the prediction by "
            f"more than {CONTROLS[name]:.0%}; there it must miss",
        )
    yield at_most(
        "rows are not separable",
        known["separated"],
        0.0,
        "largest share of replicates in which a line separates the transformer's training rows",
    )


def _of_prior(table: pd.DataFrame) -> Iterator[Check]:
    """Fewest seeds and the right covariance, then most seeds and the wrong one."""
    fits = table[table["arm"] == FIT]
    z = fits["minus_transformer"] / fits["std_error_transformer"]
    right, wrong = fits["case"] != "correlated", fits["case"] == "correlated"
    fewest, most = fits["n_min"].min(), fits["n_min"].max()
    for claim, where, n, sign in (
        ("knowing the covariance helps", right, fewest, 1),
        ("believing the wrong one harms", wrong, most, -1),
    ):
        yield at_least(
            claim,
            sign * z[where & (fits["n_min"] == n)],
            3.0,
            "least paired z of the excess of a Gaussian fit over, or under, that of the "
            f"transformer, n_min = {n}",
        )


if __name__ == "__main__":
    run_study("generator_gaussian")
