"""Generators trained on generators: what each generation hands on, replaced or accumulated.

Gaussian fits and counts of tokens are exact at every size; a rule that is trained on rows of a
later generation is predicted to order 1/n. A theory that replaces what was accumulated, and one
that forgets that errors accumulate, go through the same comparison.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from opal.checks import Check, at_most, control, refuted, within_standard_errors, z_threshold
from opal.cli import run_study
from opal.runner import Cell

from . import _config
from ._rows import EXCESS, Found, mean, means, of_design

if TYPE_CHECKING:
    import pandas as pd

    from opal.objective import Design
    from opal.settings import GaussianMixture
    from opal.settings.setting import Setting
    from opal.synthesis import Synthesizer
    from opal.synthesis.generations import Generations
    from opal.theory.generations import RecursiveTraining

STUDY = "generations"
REGIMES = ("replaced", "accumulated", "fresh")
PARTS = ("gaussian", "tokens", "rule")
LIMIT = "excess_limit"  # after ever more generations
ON = ["part", "regime", "pseudo_count", "metric", "alpha", "generation"]


@dataclass(frozen=True)
class Config(_config.Tokens):
    """Two Gaussian classes, two subjects that draw tokens, and the rows of each generation."""

    n_generations: int = 10
    """Generations, the first of which sees real rows alone."""
    n_first: int = 60
    """Real rows of each group that generation 1 is fitted to, and rows that each later one gets."""
    share: float = 0.2
    """Share of fresh real rows among those, where some join."""
    dim: int = 3
    """Dimension of the classes."""
    distance: float = 2.0
    """Distance between their means, in standard deviations."""
    pseudo_counts: tuple[float, ...] = (0.0, 0.5)
    """What is added to the count of each token, one cell for each and each regime."""
    n_replicates: int = 20_000
    """Replicates of moments and counts."""
    n_rule: int = 3000
    """Training rows of each class of a rule, to which generation 1 is fitted."""
    n_augmented: int = 12_000
    """Rows of each class that a generation makes for the rule."""
    alphas: tuple[float, ...] = (0.5, 1.0)
    """Weights of these rows."""
    generations: tuple[int, ...] = (1, 2, 4, 7, 10)
    """Generations whose rows train a rule."""
    n_rules: int = 4000
    """Replicates of a rule."""
    seed: int = 17
    """Seed of tokens and replicates."""


PRESETS = {
    "tiny": Config(
        n_tokens=8,
        rank=2,
        n_generations=3,
        n_first=20,
        dim=2,
        pseudo_counts=(0.5,),
        n_replicates=32,
        n_rule=40,
        n_augmented=40,
        alphas=(1.0,),
        generations=(3,),
        n_rules=32,
    ),
    "quick": Config(
        n_tokens=16,
        n_replicates=2000,
        n_rule=600,
        n_augmented=1200,
        generations=(1, 3, 10),
        n_rules=800,
    ),
    "full": Config(),
}


@dataclass(frozen=True)
class Chain:
    """Generations of one maker."""

    config: Config
    part: str
    regime: str
    pseudo_count: float = 0.0

    def training(self) -> RecursiveTraining:
        """Rows of each generation: each gets as many as the first had."""
        from opal.theory.generations import RecursiveTraining

        n = self.config.n_rule if self.part == "rule" else self.config.n_first
        fresh = round(self.config.share * n) if self.regime == "fresh" else 0
        return RecursiveTraining(n, n - fresh, fresh, self.regime == "accumulated")

    def seen(self, generation: int) -> int:
        """Real rows of each group that a generation, and those before it, were fitted to."""
        training = self.training()
        return training.n_first + (generation - 1) * training.n_fresh

    def of(self, maker: Synthesizer) -> Generations:
        """The generations, as they are simulated."""
        from opal.synthesis.generations import Generations

        rows = self.training()
        numbers = (self.config.n_generations, rows.n_synthetic, rows.n_fresh, rows.accumulated)
        return Generations(maker, *numbers)


def cells(config: Config) -> list[Cell]:
    """A cell for each regime of the Gaussian, of each kind of counts, and of the rule."""
    _check(config)
    found = []
    for regime in REGIMES:
        gaussian, rule = (Chain(config, part, regime) for part in ("gaussian", "rule"))
        found.append(Cell(measure_gaussian, gaussian, f"gaussian, {regime}"))
        for beta in config.pseudo_counts:
            tokens = Chain(config, "tokens", regime, beta)
            found.append(Cell(measure_tokens, tokens, f"counts + {beta:g}, {regime}"))
        found.append(Cell(measure_rule, rule, f"rule, {regime}"))
    return found


def _check(config: Config) -> None:
    from opal.settings.groups import validate_number

    least = {"n_generations": 2, "dim": 1, "n_tokens": 2, "n_augmented": 1, "generations": 1}
    _config.require_counts(config, **least, n_replicates=2, n_rules=2, seed=0)
    _config.require_numbers(config, "distance", "pseudo_counts", "alphas", least=0.0)
    for name in ("generations", "alphas", "pseudo_counts"):
        values = getattr(config, name)
        if len(set(values)) < len(values):
            raise ValueError(f"{name} must differ from each other; got {values}. Name each once.")
    validate_number(config.share, "share of fresh rows is in [0, 1]", least=0.0, most=1.0)
    for alpha in config.alphas:
        validate_number(alpha, "alphas are weights in (0, 1]", least=1e-9, most=1.0)
    if max(config.generations) > config.n_generations:
        raise ValueError(
            f"generations are among the n_generations = {config.n_generations}; got "
            f"{config.generations}. Raise n_generations, or name earlier ones."
        )
    for name in ("n_first", "n_rule"):
        if getattr(config, name) < config.dim + 3:
            raise ValueError(
                f"{name} must be at least dim + 3 = {config.dim + 3}, or the divergence of a "
                f"fitted Gaussian has no mean; got {getattr(config, name)}. Raise it, or lower dim."
            )
    config.alphabet()


def classes(config: Config) -> GaussianMixture:
    """The two Gaussian classes."""
    from ._arms import two_classes

    return two_classes(config.dim, config.distance)[0]


def measure_gaussian(at: Chain) -> pd.DataFrame:
    """Moments, volume and divergence of fitted Gaussians."""
    from opal.synthesis import GaussianFit
    from opal.theory.generations import gaussian_errors, moment_errors

    from ._generations import of_gaussians

    config, training = at.config, at.training()
    errors = moment_errors(training, config.n_generations, "unbiased")
    theory = {"mean_error": errors.mean, "covariance": errors.within}
    if at.regime == "replaced":
        exact = gaussian_errors(training, config.n_generations, config.dim)
        theory |= {"log_volume": exact.log_volume, "kl": exact.kl}
    return _measured(at, classes(config), GaussianFit(), of_gaussians, theory)


def measure_tokens(at: Chain) -> pd.DataFrame:
    """Counts: how likely two draws are equal, how far from the truth, and what is never drawn."""
    from opal.settings import TokenSetting
    from opal.synthesis.token_counts import TokenCounts
    from opal.theory.generations import token_errors

    from ._generations import of_tokens

    config, training = at.config, at.training()
    setting = TokenSetting.drawn(config.alphabet(), key=config.seed)
    laws = np.asarray(setting.law.table.sum(axis=2))
    each = [token_errors(training, config.n_generations, p, at.pseudo_count) for p in laws]
    theory = {
        "sum_of_squares": [e.sum_of_squares() for e in each],
        "chi_square": [e.chi_square(p) for e, p in zip(each, laws, strict=True)],
    }
    if at.pseudo_count:
        theory["kl"] = [e.kl for e in each]
    else:  # KL is infinite, once a token is lost
        theory["lost"] = [e.unseen.mean(axis=1) for e in each]
    maker = TokenCounts(setting.law.features, at.pseudo_count)
    known = {name: np.mean(values, axis=0) for name, values in theory.items()}
    return _measured(at, setting, maker, of_tokens, known)


def _measured(
    at: Chain,
    setting: Setting,
    maker: Synthesizer,
    measure: Callable[..., dict[str, Any]],
    theory: dict[str, np.ndarray],
) -> pd.DataFrame:
    """Records of each generation: its law's metrics, simulated and as far as theory has them."""
    import pandas as pd

    from opal import records

    from ._generations import measured

    n, size = at.config.n_generations, at.config.n_replicates
    options = {"key": at.config.seed, "n_replicates": size}
    simulated = measured(setting.law, at.of(maker), at.seen(n), measure, **options)
    rows: list[tuple[object, ...]] = []
    for k, (name, values) in product(range(n), theory.items()):
        rows.append((k + 1, name, "simulation", *mean(simulated[name][:, k])))
        rows.append((k + 1, name, "theory", values[k], 0.0))
    frame = pd.DataFrame(rows, columns=["generation", "metric", "source", "value", "std_error"])
    seen = frame["generation"].map(at.seen)
    counts = dict.fromkeys(("n_real", "n_generator"), seen * len(setting.law.groups))
    counts |= {"n_min": seen, "n_max": seen}
    names = {"study": STUDY, "setting": setting.name, "synthesizer": maker.name, "arm": at.regime}
    return _of_chain(at, records.validate(frame.assign(**names, **counts, n_replicates=size)))


def _of_chain(at: Chain, frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(part=at.part, regime=at.regime, pseudo_count=at.pseudo_count)


def rule_design(at: Chain, generation: int, alpha: float) -> Design:
    """A rule on the rows that generation 1 saw, and on rows of a later one."""
    from opal.objective import Design
    from opal.synthesis import GaussianFit

    n = at.config.n_rule
    design = Design((n, n), GaussianFit(), at.config.n_augmented, alpha, name=at.regime)
    return design.with_(n_generator=at.seen(generation), n_shared=n)


def measure_rule(at: Chain) -> pd.DataFrame:
    """Rules on rows of a generation: simulated, predicted, and after ever more generations."""
    import pandas as pd

    from opal.synthesis import GaussianFit
    from opal.theory.generations import after_generations

    from ._generations import trained_excess

    config, training, setting = at.config, at.training(), classes(at.config)
    last = rule_design(at, config.n_generations, config.alphas[0])
    excess = trained_excess(
        setting.law,
        last.with_(synthesizer=at.of(GaussianFit())),
        config.alphas,
        config.generations,
        key=config.seed,
        n_replicates=config.n_rules,
    )
    frames = []
    for i, j in np.ndindex(*excess.shape[1:]):
        generation, alpha = config.generations[i], config.alphas[j]
        design = rule_design(at, generation, alpha)
        own = after_generations(setting, design, training, generation)
        known: Found = {(EXCESS, "all"): (own, 0.0)}
        if training.accumulated:
            known[LIMIT, "all"] = after_generations(setting, design, training, None), 0.0
        found = means({EXCESS: excess[:, i, j]})
        frame = of_design(setting, design, found, known, STUDY, config.n_rules)
        frames.append(frame.assign(generation=generation))
    return _of_chain(at, pd.concat(frames, ignore_index=True))


def comparison(records: pd.DataFrame) -> pd.DataFrame:
    """Simulated and predicted metrics of every generation that theory has them of."""
    import pandas as pd

    from opal.plotting import agreement

    on = [name for name in ON if name != "metric"]
    tables = [agreement(records, m, on).assign(metric=m) for m in records["metric"].unique()]
    return pd.concat(tables, ignore_index=True)[[*ON, "simulated", "std_error", "predicted", "z"]]


def findings(records: pd.DataFrame) -> list[str]:
    """The excess of rules on rows of the last generation, by what becomes of the rows before."""
    table = comparison(records)
    table = table[(table["part"] == "rule") & (table["metric"] == EXCESS)]
    if table.empty:
        return []
    table = table[table["alpha"] == table["alpha"].max()]
    last = table[table["generation"] == table["generation"].max()]
    each = ", ".join(
        f"{row.regime} {row.simulated:.3g} ± {row.std_error:.1g} ({row.predicted:.3g} predicted)"
        for row in last.itertuples()
    )
    at = f"generation {last['generation'].iloc[0]:g} at alpha = {last['alpha'].iloc[0]:g}"
    return [f"excess risk of rules on rows of {at}: {each}"]


def checks(records: pd.DataFrame) -> list[Check]:
    """Theory holds in each part, wrong theories do not, and accumulation has its limit."""
    table = comparison(records)
    found = []
    for part in PARTS:
        own = table[table["part"] == part]
        found.append(within_standard_errors(f"{part}: theory is simulated", own["z"]))
        found += _controls(part, own)
    return [*found, *_of_limit(records, table)]


def _controls(part: str, table: pd.DataFrame) -> list[Check]:
    """Theory of replaced rows on accumulated ones, and theory that stops at generation 1."""
    same = ["pseudo_count", "metric", "alpha"]
    of = {regime: table[table["regime"] == regime] for regime in REGIMES}
    later = {regime: rows[rows["generation"] > 1] for regime, rows in of.items()}
    first = of["replaced"][of["replaced"]["generation"] == 1]
    return [
        control(
            f"{part}: accumulated is not replaced",
            *(later["accumulated"], of["replaced"], [*same, "generation"]),
            "accumulated rows, by the theory that replaces them",
        ),
        control(
            f"{part}: errors accumulate",
            *(later["replaced"], first, same),
            "replaced rows, by a theory that forgets what generations add",
        ),
    ]


def _of_limit(records: pd.DataFrame, table: pd.DataFrame) -> list[Check]:
    """What accumulated rows lose stays below a limit, which replaced rows pass."""
    limits = records[records["metric"] == LIMIT].groupby("alpha")["value"].first()
    rows = table[table["part"] == "rule"].sort_values("generation")
    last = rows.groupby(["regime", "alpha"]).tail(1)
    limit = last["alpha"].map(limits)
    z, apart = ((last[each] - limit) / last["std_error"] for each in ("simulated", "predicted"))
    accumulated, replaced = (last["regime"] == each for each in ("accumulated", "replaced"))
    said = ", ".join(f"{value:.3g} at alpha = {alpha:g}" for alpha, value in limits.items())
    return [
        at_most(
            "accumulated rows stay below their limit",
            z[accumulated],
            z_threshold(max(int(accumulated.sum()), 1)),
            f"last generation less limit, in standard errors; limit {said}",
        ),
        # Only what theory puts above the limit can tell, and only from above.
        refuted(
            "replaced rows pass it",
            z[replaced].clip(lower=0.0),
            apart[replaced].clip(lower=0.0),
            "the limit as theory of replaced rows",
        ),
    ]


if __name__ == "__main__":
    run_study("generations")
