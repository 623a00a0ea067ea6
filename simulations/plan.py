"""What the planner's advice is worth: a pilot, a plan, the purchase, for good and bad generators.

Every setting has real samples, a generator of some bias, and a budget of N synthetic samples for
each group. A pilot trains on a tenth of that. The planner sees the pilot's risks, exact or on a
validation set, and nothing else. Then the budget is bought, several times, and a fine grid of
weights and sizes is trained: the best of the grid is what the plan is held against. Real samples
are the same throughout, since they are what a buyer has.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import harmonic_mean
from typing import TYPE_CHECKING, Any

import numpy as np

from opal.checks import Check, at_least, at_most, share
from opal.cli import run_study
from opal.runner import Cell
from opal.validation import require_at_most

from . import _config
from ._rows import EXCESS, mean

if TYPE_CHECKING:
    import pandas as pd

    from opal.objective import Design
    from opal.scaling.pilot import Point
    from opal.scaling.plan import Plan
    from opal.scaling.purchase import Option
    from opal.settings.groups import Sample
    from opal.settings.setting import GaussianSetting
    from opal.synthesis import Bias

    from ._pilot import Rows

PLANNERS = {"planner": "exact", "planner, validated": "validated"}
_KEPT, _CHANCE = 0.9, 0.01
PURCHASES = {"planner": "purchase", "planner, validated": "purchase, validated"}
"""Arm of the purchase that each planner weighs, whether it buys or not."""
# Dials of the generators, from right to hopelessly wrong: a shift of each group in a direction of
# its own, flipped labels, a scaled covariance, and classes that lie too far apart.
BIASES = (
    *(("shift", size) for size in (0.0, 0.03, 0.06, 0.12, 0.25, 0.5, 1.0, 2.0)),
    *(("flip", size) for size in (0.02, 0.1, 0.6, 0.9)),
    *(("scale", size) for size in (0.1, 0.3, 0.8, 1.3)),
    *(("apart", size) for size in (0.2, 1.0, 2.0, 4.0)),
)
# Name, features, and real samples of each group.
FAMILIES = (
    ("mixture", 10, (300, 300)),
    ("mixture", 20, (600, 200)),
    ("mixture", 10, (1350, 165)),
    ("spurious", 10, (600, 200, 200, 600)),
)


@dataclass(frozen=True)
class Config:
    """Families of settings, the pilot, and the purchase."""

    families: tuple[int, ...] = (0, 1, 2, 3)
    """Which families of settings, by their index."""
    biases: tuple[int, ...] = tuple(range(len(BIASES)))
    """Which generators in each family, by their index."""
    shrink: int = 1
    """Real samples are divided by this."""
    ratio: int = 40
    """N of the budget, for each real sample of a group."""
    pilot_share: float = 0.1
    """Pool of the pilot as a share of the budget."""
    n_seeds: int = 12
    """Seeds of the pilot: random parts of one pool and of the real samples."""
    n_validation: int = 500
    """Rows of each group of the validation set, a multiple of ten."""
    n_purchases: int = 3
    """Times that the budget is bought, to average over its luck."""
    n_bootstrap: int = 60
    """Draws of the fit."""
    on_average: bool = True
    """Also ask theory what the plan is worth on average over real samples."""
    seed: int = 11
    """Seed of everything."""


PRESETS = {
    "tiny": Config(
        families=(0,),
        biases=(0, 19),
        shrink=5,
        ratio=16,
        pilot_share=1.0,  # a tenth would be a handful; and one shape is compiled instead of two
        n_seeds=4,
        n_purchases=2,
        n_bootstrap=20,
        on_average=False,
    ),
    "quick": Config(
        families=(0,), biases=(0, 3, 4, 7, 9, 11, 14, 18, 19), n_seeds=8, on_average=False
    ),
    "full": Config(),
}


@dataclass(frozen=True)
class At:
    """One setting."""

    config: Config
    family: int
    bias: int


def cells(config: Config) -> list[Cell]:
    """One cell for each family and generator."""
    from ._pilot import N_PARTS

    _config.require_counts(config, shrink=1, ratio=1, n_seeds=1, n_purchases=1, n_bootstrap=1)
    _config.require_counts(config, n_validation=N_PARTS, families=0, biases=0)
    require_at_most("families", max(config.families), len(FAMILIES) - 1, "the last family")
    require_at_most("biases", max(config.biases), len(BIASES) - 1, "the last generator")
    if config.n_validation % N_PARTS:
        raise ValueError(
            f"n_validation is split into {N_PARTS} parts and must be a multiple of it; got "
            f"{config.n_validation}. Try {config.n_validation // N_PARTS * N_PARTS + N_PARTS}."
        )
    return [
        Cell(measure, At(config, family, bias), f"{FAMILIES[family][0]}, {BIASES[bias]}")
        for family in config.families
        for bias in config.biases
    ]


def draw_setting(at: At) -> tuple[GaussianSetting, Bias, tuple[int, ...]]:
    """The truth, the generator's bias, and the real samples of each group."""
    from opal.settings import GaussianMixture, SpuriousCorrelation

    name, dim, counts = FAMILIES[at.family]
    axis = np.full(dim, 1 / np.sqrt(dim))
    setting: GaussianSetting
    if name == "mixture":
        setting = GaussianMixture(np.outer([-0.6, 0.6], axis))
    else:
        setting = SpuriousCorrelation(3, 3, dim - 6, core_signal=0.8, spurious_signal=0.8)
    kept = tuple(n // at.config.shrink for n in counts)
    return setting, _bias(at, setting, axis), kept


def _bias(at: At, setting: GaussianSetting, axis: np.ndarray) -> Bias:
    from opal.synthesis import Bias

    kind, size = BIASES[at.bias]
    if kind == "flip":
        return Bias(label_flip=size)
    if kind == "scale":
        return Bias(covariance_scale=size)
    if kind == "apart":
        sides = np.array([2 * group.label - 1 for group in setting.groups])
        return Bias(mean_shift=size * np.outer(sides, axis))
    rng = np.random.default_rng((at.config.seed, at.family, at.bias))
    aside = rng.normal(size=(len(setting.groups), len(axis)))
    return Bias(mean_shift=size * aside / np.linalg.norm(aside, axis=1, keepdims=True))


def measure(at: At) -> pd.DataFrame:
    """Pilot, plans, purchase."""
    import pandas as pd

    from opal.objective import Design
    from opal.synthesis import Oracle

    setting, bias, counts = draw_setting(at)
    maker = Oracle.biased(setting.law, bias, name=" ".join(map(str, BIASES[at.bias])))
    base = Design(counts, maker, oversample="none", weighting="group")
    n = harmonic_mean(counts)
    budget = round(at.config.ratio * n)
    table = pilot(at, setting, base, round(at.config.pilot_share * budget))
    plans = {name: advise(at, table, value, counts, budget) for name, value in PLANNERS.items()}
    realised, size = buy(at, setting, base, budget, plans), at.config.n_purchases
    frames = [
        _record(setting, design, arm, *mean(values), n_replicates=size).assign(**promise)
        for arm, (design, values, promise) in realised.items()
    ]
    joined = pd.concat(frames, ignore_index=True)
    if at.config.on_average:
        joined = pd.concat([joined, expect(setting, base, budget, joined)], ignore_index=True)
    return joined.assign(
        family=at.family, dial=BIASES[at.bias][0], size=BIASES[at.bias][1], budget=budget
    )


def expect(
    setting: GaussianSetting, base: Design, budget: int, bought: pd.DataFrame
) -> pd.DataFrame:
    """What theory expects over all real samples of these sizes: none, the plan, the best weight."""
    import pandas as pd

    from opal.theory.optimal import alpha_grid_excess

    alphas = {arm: bought.set_index("arm").loc[arm, "alpha"] for arm in ("none", "planner")}
    grid = np.concatenate([[0.0], np.geomspace(0.01, 0.1, 5), np.linspace(0.15, 1.0, 18)])
    design = base.with_(n_augmented=budget)
    values = alpha_grid_excess(setting, design, np.array([*alphas.values(), *grid]))
    least = int(np.argmin(values[2:]))
    found = {**dict(zip(alphas, values, strict=False)), "best": values[2 + least]}
    alphas["best"] = grid[least]
    frames = [
        _record(setting, design.with_(alpha=float(alphas[arm])), arm, value, source="theory")
        for arm, value in found.items()
    ]
    return pd.concat(frames, ignore_index=True)


def _record(
    setting: GaussianSetting,
    design: Design,
    arm: str,
    value: float,
    error: float = float("nan"),
    **more: Any,
) -> pd.DataFrame:
    """The excess of one arm."""
    from opal import records

    found = {(EXCESS, "all"): (float(value), error)}
    return records.of_design(setting, design.with_(name=arm), found, study="plan", **more)


def pilot(at: At, setting: GaussianSetting, base: Design, n_pool: int) -> pd.DataFrame:
    """Risks of the pilot's points, exact and on each part of the validation rows, by seed."""
    import pandas as pd

    from opal.scaling.pilot import first_points

    from ._pilot import balanced_risks

    config = at.config
    n = harmonic_mean(base.counts)
    points = first_points(n, n_pool)
    rng = np.random.default_rng((config.seed, 1, at.family, at.bias))
    rows, validation = _drawn(at, setting, base, n_pool, "pilot")
    ranks = [rows.shuffled(rng) for _ in range(config.n_seeds)]
    weights = [rows.weights(_part(base, point, n), each) for each in ranks for point in points]
    exact, validated = balanced_risks(setting.law, rows, np.stack(weights), validation)
    places = [(*point, seed) for seed in range(config.n_seeds) for point in points]
    table = pd.DataFrame(places, columns=["n", "N", "alpha", "seed"])
    parts = pd.DataFrame(validated, columns=pd.RangeIndex(validated.shape[1]))
    return pd.concat([table.assign(exact=exact), parts], axis="columns")


def _drawn(
    at: At, setting: GaussianSetting, base: Design, n_made: int, purchase: str
) -> tuple[Rows, Sample]:
    """The real rows, which are always the same, a purchase, and the validation set."""
    import jax

    from opal.draws import as_key, named
    from opal.synthesis import Oracle

    from ._pilot import Rows

    assert isinstance(base.synthesizer, Oracle)
    laws = (setting.law, base.synthesizer.law)
    key = as_key(at.config.seed * 10_007 + 101 * at.family + at.bias)
    with jax.enable_x64(True):
        rows = Rows.draw(*laws, base.counts, n_made, key=key, purchase=purchase)
        counts = (at.config.n_validation,) * base.n_groups
        return rows, setting.law.sample(counts, key=named(key, "validation"))


def _part(base: Design, point: Point, n: float) -> Design:
    """The design of a pilot point: the same share of the real samples of every group."""
    counts = tuple(max(round(count * point.n / n), 2) for count in base.counts)
    return base.with_(counts=counts, n_augmented=int(point.N), alpha=point.alpha)


def advise(at: At, table: pd.DataFrame, value: str, counts: tuple[int, ...], budget: int) -> Plan:
    """What the planner says who sees the column ``value`` of the pilot."""
    from opal.scaling.pilot_fit import fit_pilot
    from opal.scaling.plan import plan

    part = None
    if value == "validated":
        places, part = ["n", "N", "alpha", "seed"], "part"
        table = table.drop(columns="exact").melt(places, var_name=part, value_name=value)
    fitted = fit_pilot(table, y=value, seed="seed", part=part, n_bootstrap=at.config.n_bootstrap)
    return plan(
        fitted,
        n_real=counts,
        price_real=float("inf"),
        price_synthetic=1.0,
        budget=float(budget * len(counts)),
        subsample=0.5,
    )


def buy(
    at: At, setting: GaussianSetting, base: Design, budget: int, plans: dict[str, Plan]
) -> dict[str, tuple[Design, np.ndarray, dict[str, object]]]:
    """Excess of every strategy for each purchase, and what the plans had promised."""
    import jax

    from ._pilot import balanced_risks

    designs = {**_grid(base, budget), **_strategies(base, plans)}
    truth, excess = setting.law, []
    with jax.enable_x64(True):
        best = float(truth.group_risk(truth.optimum()).mean())
    for purchase in range(at.config.n_purchases):
        rows, validation = _drawn(at, setting, base, budget, f"buy {purchase}")
        weights = np.stack([rows.weights(d, rows.in_order()) for d in designs.values()])
        excess.append(balanced_risks(truth, rows, weights, validation)[0] - best)
    values = dict(zip(designs, np.stack(excess, axis=1), strict=True))
    on_grid = [name for name in designs if name.startswith("grid") or name == "none"]
    least = min(on_grid, key=lambda name: float(values[name].mean()))
    kept = ["none", *_strategies(base, plans)]
    result = {name: (designs[name], values[name], _promise(plans.get(name))) for name in kept}
    return {**result, "best": (designs[least], values[least], _promise(None))}


def _grid(base: Design, budget: int) -> dict[str, Design]:
    """All real samples with every weight and size of a fine grid."""
    weights = np.unique(np.concatenate([np.geomspace(0.005, 0.1, 7), np.linspace(0.1, 1, 25)]))
    sizes = {budget: weights, budget // 4: weights[::2], budget // 16: weights[::2]}
    grid = {
        f"grid {N} {alpha:.3f}": base.with_(n_augmented=N, alpha=float(alpha))
        for N, alphas in sizes.items()
        for alpha in alphas
    }
    return {"none": base, **grid}


def _strategies(base: Design, plans: dict[str, Plan]) -> dict[str, Design]:
    """The plans, the purchase weighed, full balancing, and what the pilot validated."""

    def bought(option: Option) -> Design:
        return base.with_(n_augmented=option.n_augmented, alpha=option.alpha)

    return {
        **{name: bought(advice.chosen) for name, advice in plans.items()},
        **{arm: bought(plans[name].alternative("augment")) for name, arm in PURCHASES.items()},
        "balance": base.with_(weighting="opal", oversample="balance"),
        "validated size": bought(plans["planner, validated"].alternative("validated")),
    }


def _promise(advice: Plan | None) -> dict[str, object]:
    """What a plan said beforehand of the purchase that it weighed."""
    if advice is None:
        nothing = dict.fromkeys(("gain", "gain_low", "gain_high"), np.nan)
        return {"buys": False, "decided": False, **nothing}
    asked = advice.alternative("augment")
    gains = dict(zip(("gain", "gain_low", "gain_high"), (asked.gain, *asked.ci), strict=True))
    return {"buys": advice.chosen.n_augmented > 0, "decided": advice.decided, **gains}


def comparison(records: pd.DataFrame, planner: str = "planner") -> pd.DataFrame:
    """One row for each setting: gains as shares of the excess of none, and ratios to the best.

    ``promised``, ``low`` and ``high`` are the gain of the purchase that ``planner`` weighs, and the
    ends of its interval; ``realised`` is what it brings, with its ``std_error`` over purchases.
    ``on_average`` is the planner's ratio by theory, over all real samples of these sizes.
    """
    import pandas as pd

    rows = []
    for (family, dial, size), points in records.groupby(["family", "dial", "size"]):
        arms = points[points["source"] == "simulation"].set_index("arm")
        average = points[points["source"] == "theory"].set_index("arm")["value"]
        excess, plan, bought = arms["value"], arms.loc[planner], arms.loc[PURCHASES[planner]]
        gains = plan[["gain", "gain_low", "gain_high"]].astype(float) / excess["none"]
        rows.append(
            {
                "family": f"{FAMILIES[family][0]} {family}",
                "generator": f"{dial} {size:g}",
                "excess": excess["none"],
                **dict(zip(("promised", "low", "high"), gains, strict=True)),
                "realised": 1 - bought["value"] / excess["none"],
                "std_error": bought["std_error"] / excess["none"],
                "best_gain": 1 - excess["best"] / excess["none"],
                "best_alpha": arms.loc["best", "alpha"],
                "alpha": plan["alpha"],
                **{
                    name: excess[name] / excess["best"]
                    for name in (*PLANNERS, "balance", "validated size", "none")
                },
                "on_average": average.get("planner", np.nan) / average.get("best", np.nan),
                "buys": bool(plan["buys"]),
                "decided": bool(plan["decided"]),
            }
        )
    return pd.DataFrame(rows)


def checks(records: pd.DataFrame) -> list[Check]:
    """No harm, promises kept; silent where buying hurts, and not sure of it where it helps."""
    table = comparison(records)
    bought = table[table["buys"]]
    near = at_least(
        "planner: what is bought is near the best",
        share(bought["planner"] <= 1.1),
        0.8,
        f"share of {len(bought)} purchases with an excess within 10 % of the best on the grid",
    )
    return [*(check for name in PLANNERS for check in _of_planner(records, name)), near]


def _of_planner(records: pd.DataFrame, planner: str) -> list[Check]:
    from opal.scaling.purchase import MIN_GAIN

    table = comparison(records, planner)
    hurts, helps = table[table["best_gain"] <= 0], table[table["best_gain"] >= 0.05]
    bought = table[table["buys"]]
    return [
        at_most(
            f"{planner}: no purchase is worse than none",
            -bought["realised"] - 2 * bought["std_error"],
            MIN_GAIN,
            f"largest loss of {len(bought)} purchases, as a share of the excess of none",
        ),
        promises(f"{planner}: promised gains lie in their intervals", kept(table)),
        at_least(
            f"{planner}: buy none where buying hurts",
            share(~hurts["buys"]),
            0.9,
            f"share of {len(hurts)} settings where every purchase hurts",
        ),
        at_most(
            f"{planner}: sure to buy none where buying helps",
            share(~helps["buys"] & helps["decided"]),
            0.05,
            f"share of {len(helps)} settings where buying helps by 5 % or more",
        ),
    ]


def promises(name: str, held: pd.Series) -> Check:
    """Check that nine in ten promises are kept, within the chance of as many settings."""
    from scipy.stats import binom

    chance = [float(binom.cdf(held.sum(), len(held), _KEPT))] if len(held) else []
    said = f"chance of no more than {held.sum()} of {len(held)}, if {_KEPT:.0%} are kept"
    return at_least(name, chance, _CHANCE, said)


def kept(table: pd.DataFrame) -> pd.Series:
    """Whether each realised gain lies in the promised interval, within its error of purchases."""
    far = 2 * table["std_error"]
    above = table["realised"] >= table["low"] - far
    return above & (table["realised"] <= table["high"] + far)


if __name__ == "__main__":
    run_study("plan")
