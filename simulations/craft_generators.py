"""How wrong the published makers of craft's rows are, and what that costs at best.

The law of the table craft is known, so that the bias of a maker's rows and its floor, the excess
risk that is left with ever more of them, are estimates with a standard error. Makers are GPT-2
fine-tuned on 200 rows (``synthetic``) or on all 5,600 (``synthetic_allseed``), SMOTE, ADASYN and
duplication of the 200 rows; ``use`` are the 5,600 real rows themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from opal.checks import Check, agrees, at_least, share
from opal.cli import run_study
from opal.runner import Cell

from . import _config
from ._rows import EXCESS, Found, mean, wide, wrong_is_caught

if TYPE_CHECKING:
    import pandas as pd

    from opal.objective import Design
    from opal.settings import Craft, FiniteLaw

MAKERS = ("synthetic", "synthetic_allseed", "smote", "adasyn", "ros", "use")
# Columns of the products, and of their factors.
_PRODUCTS = {"X8": (7, 1, 2), "X9": (8, 0, 1)}
_HALF = 0.05 + 1e-9  # of the last digit


@dataclass(frozen=True)
class Config:
    """Makers, and the designs that they are judged by."""

    makers: tuple[str, ...] = MAKERS
    """Whose rows."""
    task: str = "imbalanced"
    """imbalanced: groups are labels; spurious: groups are (X6, label)."""
    n_max: int = 900
    """Rows of the majority where floors are measured; the published number."""
    n_min: int = 100
    """Rows of the minority there."""
    n_alphas: int = 5
    """Points of the grid of α in [0, 1] that floors are measured on; at 0 groups are but filled."""
    simulated: tuple[str, ...] = ("synthetic", "synthetic_allseed")
    """Makers with which theory is held against simulation."""
    simulated_n_min: int = 200
    """Rows of the minority there."""
    n_augmented: tuple[int, ...] = (0, 600)
    """N there; such a row weighs half as much as one of the others, as it did in the paper."""
    n_replicates: int = 2000
    """Replicates of each simulation."""
    log2_points: int = 12
    """Points of the truth's risks, see :class:`opal.settings.Craft`."""
    seed: int = 11
    """Seed of the replicates."""


PRESETS = {
    "tiny": Config(
        makers=("ros",),
        n_alphas=2,
        simulated=("synthetic",),
        n_augmented=(0,),
        n_replicates=30,
        log2_points=8,
    ),
    "quick": Config(n_alphas=3, n_replicates=500, log2_points=10),
    "full": Config(n_alphas=11),
}


@dataclass(frozen=True)
class Maker:
    """One maker, by its rows."""

    config: Config
    maker: str

    def setting(self) -> Craft:
        """The truth."""
        from opal.settings import Craft

        return Craft(self.config.task, self.config.log2_points)  # type: ignore[arg-type]

    def law(self) -> tuple[FiniteLaw, np.ndarray]:
        """The law that draws the maker's rows, and how many each group has [G]."""
        from opal.bridge.tabular.scaling import tables
        from opal.bridge.tabular.splits import TableRows
        from opal.settings import FiniteLaw

        table, groups = tables.listed("craft"), self.setting().groups
        parts = ("",) if self.maker == "use" else _ENDINGS[self.config.task]
        rows = TableRows.joined([table.rows(f"{self.maker}{part}") for part in parts])
        group = rows.y if self.config.task == "imbalanced" else rows.group
        return FiniteLaw.of_rows(rows.x, rows.y, group, groups), np.bincount(group)

    def design(self, law: FiniteLaw, n_min: int) -> Design:
        """Groups that are filled to the largest with rows of the maker."""
        from opal.objective import Design
        from opal.synthesis import Oracle

        counts = _counts(self.config, n_min)
        return Design(counts, Oracle(law, self.maker), name=self.maker)


# Files of a maker; their rows carry their own labels and signs.
_ENDINGS = {"imbalanced": ("0", "1"), "spurious": ("_pos", "_neg")}


@dataclass(frozen=True)
class Simulated(Maker):
    """One maker, with whose rows a design is simulated and predicted."""

    n_augmented: int


def cells(config: Config) -> list[Cell]:
    """A cell for the truth, one for each maker, and one for each simulated design."""
    from opal import names

    _config.require_counts(config, n_min=1, n_max=config.n_min, n_alphas=2, n_replicates=2, seed=0)
    _config.require_counts(config, n_augmented=0, simulated_n_min=1, log2_points=2)
    names.check("maker", (*config.makers, *config.simulated), MAKERS)
    names.check("task", (config.task,), tuple(_ENDINGS))
    makers = [Maker(config, maker) for maker in config.makers]
    tests = [Simulated(config, m, n) for m in config.simulated for n in config.n_augmented]
    return [
        Cell(measure_truth, Maker(config, "truth"), "truth"),
        *(Cell(measure_maker, at, at.maker) for at in makers),
        *(Cell(simulate_maker, at, f"{at.maker}, N = {at.n_augmented}") for at in tests),
    ]


def measure_truth(at: Maker) -> pd.DataFrame:
    """Risk of the best linear rule, and of the law's own probabilities."""
    import jax

    from opal import records
    from opal.objective import Design

    setting, design = at.setting(), Design(_counts(at.config, at.config.n_min))
    with jax.enable_x64(True):
        best = jax.jit(lambda law: law.scrambled_risks(law.optimum()))(setting.law)
    linear, bayes = np.asarray(best).mean(axis=0), setting.scrambled_bayes_risks()
    rows = {"linear_risk": linear, "bayes_risk": bayes, "linear_excess": linear - bayes}
    found = {(metric, "all"): mean(values) for metric, values in rows.items()}
    return records.of_design(setting, design, found, study="craft_generators", source="theory")


def measure_maker(at: Maker) -> pd.DataFrame:
    """Identities, bias of the gradient and floors of one maker."""
    import pandas as pd

    from opal import records
    from opal.theory.generator_bias import floor, squared_bias

    setting, (law, n_rows) = at.setting(), at.law()
    design = at.design(law, at.config.n_min)
    bias = squared_bias(setting.law, law, n_rows)
    each = zip(setting.groups, bias.value.tolist(), bias.std_error.tolist(), strict=True)
    found: Found = {("squared_bias", group.name): (value, error) for group, value, error in each}
    found |= identities(np.asarray(law.features), at.config.seed)
    parts = [(design, found)]
    for alpha in np.linspace(0, 1, at.config.n_alphas):
        augmented = design.with_(n_augmented=at.config.n_max, alpha=float(alpha))
        left = _numbers(*floor(setting.law, law, augmented, n_rows))
        parts.append((augmented, {("floor", "all"): left}))
    frames = [
        records.of_design(setting, each, rows, study="craft_generators", source="data")
        for each, rows in parts
    ]
    return pd.concat(frames, ignore_index=True)


def identities(x: np.ndarray, seed: int) -> Found:
    """Share of rows [n, 9] whose products are those of their factors to the last digit.

    Beside it stands the share of rows that have another row's product, and the mean absolute error.
    """
    other = np.random.default_rng(seed).permutation(len(x))
    found: Found = {}
    for name, (product, one, two) in _PRODUCTS.items():
        value = x[:, one] * x[:, two]
        off = np.abs(x[:, product] - value)
        found[f"identity_{name}", "all"] = mean((off <= _HALF).astype(float))
        chance = np.abs(x[other, product] - value) <= _HALF
        found[f"identity_{name}_by_chance", "all"] = mean(chance.astype(float))
        found[f"deviation_{name}", "all"] = mean(off)
    return found


def simulate_maker(at: Simulated) -> pd.DataFrame:
    """The excess with one maker's rows: simulated, predicted, and predicted without its bias."""
    import pandas as pd

    from opal.simulation import simulate
    from opal.synthesis import Oracle
    from opal.theory.predict import predict

    setting, (law, _) = at.setting(), at.law()
    alpha = at.n_augmented / (at.n_augmented + 2 * at.config.n_max)
    design = at.design(law, at.config.simulated_n_min)
    design = design.with_(n_augmented=at.n_augmented, alpha=alpha)
    study, n = "craft_generators", at.config.n_replicates
    simulated = simulate(setting, design, key=at.config.seed, n_replicates=n, study=study)
    predicted = predict(setting, design, study=study)
    fair = design.with_(synthesizer=Oracle(setting.law))
    unbiased = predict(setting, fair, order="first", study=study)
    frames = [frame[frame["metric"] == EXCESS] for frame in (simulated, predicted, unbiased)]
    frames[-1] = frames[-1].assign(metric="without_bias", synthesizer=at.maker)
    return pd.concat(frames, ignore_index=True)


def comparison(records: pd.DataFrame) -> pd.DataFrame:
    """One row for each simulated design, and what is predicted of it."""
    import pandas as pd

    kept = records[records["metric"].isin([EXCESS, "without_bias"])]
    values, errors = wide(kept, ["synthesizer", "n_augmented"])
    columns = {
        "simulated": values["simulation", EXCESS],
        "predicted": values["theory", EXCESS],
        "without_bias": values["theory", "without_bias"],
        "std_error": np.hypot(errors["simulation", EXCESS], errors["theory", EXCESS]),
    }
    return pd.DataFrame(columns).reset_index()


def checks(records: pd.DataFrame) -> list[Check]:
    """Theory agrees with simulation where it knows the maker's rows, and not where it does not."""
    table = comparison(records)
    z = (table["simulated"] - table["predicted"]) / table["std_error"]
    ratio = table["simulated"] / table["predicted"]
    units = f"share of {len(table)} designs within 3 standard errors or 2 %"
    detail = f"{units}; ratios {ratio.min():.3f} to {ratio.max():.3f}"
    return [
        at_least("predicted is simulated", share(agrees(z, ratio, relative=0.02)), 0.95, detail),
        wrong_is_caught(table, "without_bias", "a maker that is taken for the truth"),
    ]


def _counts(config: Config, n_min: int) -> tuple[int, ...]:
    """Real rows of each group: label 0, or the groups whose label is not their sign, are many."""
    few, many = n_min, config.n_max
    return (many, few) if config.task == "imbalanced" else (few, many, many, few)


def _numbers(value: object, error: object) -> tuple[float, float]:
    return float(value), float(error)  # type: ignore[arg-type]


if __name__ == "__main__":
    run_study("craft_generators")
