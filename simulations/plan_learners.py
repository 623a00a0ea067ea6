"""What the planner's advice is worth for learners that opal does not have.

Boosted trees, a neural network and a machine of radial basis functions learn a curved boundary,
with a generator of dialled quality. Each pilot, plan and purchase is made as docs/plan.md says:
risks are log losses on held-out real rows, and the planner sees nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from opal.checks import Check, at_most
from opal.cli import run_study
from opal.runner import Cell
from opal.validation import require_at_most

from . import _config

if TYPE_CHECKING:
    import pandas as pd

    from opal.scaling.plan import Plan

LEARNERS = ("boosted trees", "neural network", "radial basis functions")
# What is wrong with the generator's rows: a share of flipped labels, or features moved aside.
DIALS = (("flip", 0.0), ("flip", 0.1), ("flip", 0.3), ("shift", 0.5), ("shift", 1.5))
_DIM = 5
_N_TEST = 20_000  # of each class; what is called exact is measured on these
_ENDLESS = 50  # times the real rows in hand; the floor of a learner is that of as many


@dataclass(frozen=True)
class Config:
    """Learners, generators, and the purchase."""

    learners: tuple[int, ...] = (0, 1, 2)
    """Which learners, by their index."""
    dials: tuple[int, ...] = tuple(range(len(DIALS)))
    """Which generators, by their index."""
    replicates: int = 2
    """Real samples and pools of each learner and generator."""
    n_real: int = 200
    """Real rows of each class."""
    ratio: int = 20
    """N of the budget, for each real row of a class."""
    pilot_share: float = 0.1
    """Pool of the pilot as a share of the budget."""
    n_seeds: int = 8
    """Seeds of the pilot."""
    n_validation: int = 2000
    """Held-out real rows of each class that the planner's risks are of, a multiple of ten."""
    n_purchases: int = 3
    """Times that the budget is bought."""
    n_bootstrap: int = 200
    """Draws of the fit."""
    seed: int = 5
    """Seed of everything."""


PRESETS = {
    "tiny": Config(
        learners=(0,), dials=(0,), replicates=1, n_real=40, ratio=8, pilot_share=1.0, n_seeds=2,
        n_validation=200, n_purchases=2, n_bootstrap=20,
    ),
    "quick": Config(dials=(0, 2), replicates=1, n_seeds=6),
    "full": Config(),
}  # fmt: skip


@dataclass(frozen=True)
class LearnersCase:
    """One learner, generator and real sample."""

    config: Config
    learner: int
    dial: int
    replicate: int

    def rng(self, *what: int) -> np.random.Generator:
        """Random numbers of their own for each thing that is drawn."""
        return np.random.default_rng((self.config.seed, self.dial, self.replicate, *what))


def cells(config: Config) -> list[Cell]:
    """One cell for each learner, generator and real sample."""
    _config.require_counts(config, replicates=1, n_real=1, ratio=1, n_seeds=1, n_purchases=1)
    _config.require_counts(config, n_validation=10, n_bootstrap=1, learners=0, dials=0)
    require_at_most("learners", max(config.learners), len(LEARNERS) - 1, "the last learner")
    require_at_most("dials", max(config.dials), len(DIALS) - 1, "the last generator")
    return [
        Cell(
            measure,
            LearnersCase(config, learner, dial, replicate),
            f"{LEARNERS[learner]}, {DIALS[dial]}",
        )
        for learner in config.learners
        for dial in config.dials
        for replicate in range(config.replicates)
    ]


def measure(at: LearnersCase) -> pd.DataFrame:
    """Pilot, plan and purchases; one record for each arm."""
    import pandas as pd

    from opal import records

    config = at.config
    n, budget = config.n_real, config.ratio * config.n_real
    real, test = draw(at.rng(0), n), draw(at.rng(1), _N_TEST)
    advice = advise(at, pilot(at, real, round(config.pilot_share * budget)), budget)
    asked = advice.alternative("augment")
    none = risk(at, real, None, 0.0, test)
    bought = [
        risk(at, real, made(at, at.rng(2, k), asked.n_augmented), asked.alpha, test)
        for k in range(config.n_purchases)
    ]
    floor = risk(at, draw(at.rng(6), _ENDLESS * n), None, 0.0, test)
    common = {
        "study": "plan_learners",
        "source": "simulation",
        "setting": "curved boundary",
        "synthesizer": " ".join(map(str, DIALS[at.dial])),
        "estimator": LEARNERS[at.learner],
        "metric": "excess_balanced_risk",
        "group": "all",
        "replicate": at.replicate,
        "n_real": 2 * n,
        "n_min": n,
        "n_max": n,
    }
    arms = {
        "none": (0, 0.0, none - floor, 0.0),
        "purchase": (
            asked.n_augmented,
            asked.alpha,
            float(np.mean(bought)) - floor,
            float(np.std(bought, ddof=1) / np.sqrt(len(bought))),
        ),
    }
    promise = {
        "buys": advice.chosen.n_augmented > 0,
        "gain": asked.gain,
        "gain_low": asked.ci[0],
        "gain_high": asked.ci[1],
        "warnings": len(advice.warnings),
    }
    rows = [
        common | {"arm": arm, "n_augmented": N, "alpha": alpha, "value": value, "std_error": error}
        for arm, (N, alpha, value, error) in arms.items()
    ]
    return records.validate(pd.DataFrame(rows).assign(**promise))


def draw(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """``n`` rows of each class [2n, d], and their labels: the log odds are a curved function."""
    x = rng.normal(size=(8 * n + 200, _DIM))
    y = rng.random(len(x)) < 1 / (1 + np.exp(-log_odds(x)))
    kept = np.concatenate([np.flatnonzero(y == label)[:n] for label in (0, 1)])
    return x[kept], y[kept].astype(int)


def log_odds(x: np.ndarray) -> np.ndarray:
    """Of rows [n, d], where classes are as frequent as they come."""
    return 1.5 * x[:, 0] + x[:, 1] ** 2 - 1 + x[:, 0] * x[:, 2]


def made(at: LearnersCase, rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """``n`` rows of each class by the generator."""
    kind, size = DIALS[at.dial]
    x, y = draw(rng, max(n, 1))
    if kind == "flip":
        return x, np.where(rng.random(len(y)) < size, 1 - y, y)
    return x + size * np.where(y[:, None] == 1, 1.0, -1.0) * np.eye(_DIM)[3], y


def pilot(at: LearnersCase, real: tuple[np.ndarray, np.ndarray], n_pool: int) -> pd.DataFrame:
    """Risks of the first points of a pilot, one row for each seed and part of the held-out rows."""
    import pandas as pd

    from opal.scaling.pilot import first_points

    from ._pilot import N_PARTS

    n, validation = at.config.n_real, draw(at.rng(3), at.config.n_validation)
    pool, rows = made(at, at.rng(4), n_pool), []
    for seed in range(at.config.n_seeds):
        rng = at.rng(5, seed)
        ranks = [rng.permutation(size) for size in (n, n_pool)]
        for point in first_points(n, n_pool):
            some = _part(real, ranks[0], point.n)
            others = _part(pool, ranks[1], point.N) if point.alpha > 0 else None
            loss = losses(at, some, others, point.alpha, validation)  # class after class
            parts = loss.reshape(2, -1, N_PARTS).mean(axis=(0, 1))
            rows += [(*point, seed, part, value) for part, value in enumerate(parts)]
    return pd.DataFrame(rows, columns=["n", "N", "alpha", "seed", "part", "value"])


def _part(
    rows: tuple[np.ndarray, np.ndarray], order: np.ndarray, size: float
) -> tuple[np.ndarray, np.ndarray]:
    """The first rows of each class, in an order of their own."""
    chosen = order[: int(size)]
    both = np.concatenate([chosen, len(order) + chosen])
    return rows[0][both], rows[1][both]


def risk(
    at: LearnersCase,
    real: tuple[np.ndarray, np.ndarray],
    synthetic: tuple[np.ndarray, np.ndarray] | None,
    alpha: float,
    test: tuple[np.ndarray, np.ndarray],
) -> float:
    """Mean of :func:`losses`."""
    return float(losses(at, real, synthetic, alpha, test).mean())


def losses(
    at: LearnersCase,
    real: tuple[np.ndarray, np.ndarray],
    synthetic: tuple[np.ndarray, np.ndarray] | None,
    alpha: float,
    test: tuple[np.ndarray, np.ndarray],
) -> np.ndarray:
    """Log losses on test rows of a learner that weighs synthetic rows by α, and real ones by 1 − α.

    Weights add up to the real rows in hand, so that a penalty means the same at all points.
    """
    from threadpoolctl import threadpool_limits

    parts = [(real, 1 - alpha), *([] if synthetic is None else [(synthetic, alpha)])]
    used = [(rows, part) for rows, part in parts if part > 0]
    x, y = (np.concatenate([rows[i] for rows, _ in used]) for i in (0, 1))
    w = np.concatenate([np.full(len(rows[1]), part / len(rows[1])) for rows, part in used])
    with threadpool_limits(1):
        fitted = learner(LEARNERS[at.learner])
        fitted.fit(x, y, **_weights(fitted, 2 * at.config.n_real * w))
        p = fitted.predict_proba(test[0])[np.arange(len(test[1])), test[1]]
    return np.asarray(-np.log(np.maximum(p, 1e-12)))


def _weights(fitted: Any, w: np.ndarray) -> dict[str, np.ndarray]:
    """Sample weights under the name that a pipeline's last step knows them by."""
    steps = getattr(fitted, "steps", None)
    return {f"{steps[-1][0]}__sample_weight" if steps else "sample_weight": w}


def learner(name: str) -> Any:
    """A learner of scikit-learn, with settings that suit a few hundred rows."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.kernel_approximation import Nystroem
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline

    if name == "boosted trees":
        return HistGradientBoostingClassifier(
            max_iter=60, max_leaf_nodes=8, min_samples_leaf=5, l2_regularization=1.0,
            early_stopping=False, random_state=0,
        )  # fmt: skip
    if name == "neural network":
        return MLPClassifier((16,), alpha=3.0, solver="lbfgs", max_iter=2000, random_state=0)
    return make_pipeline(
        Nystroem(gamma=0.15, n_components=100, random_state=0),
        LogisticRegression(C=10.0, max_iter=2000),
    )


def advise(at: LearnersCase, table: pd.DataFrame, budget: int) -> Plan:
    """What the planner says who sees the pilot's table."""
    from opal.scaling.pilot_fit import fit_pilot
    from opal.scaling.plan import plan

    fitted = fit_pilot(table, seed="seed", part="part", n_bootstrap=at.config.n_bootstrap)
    return plan(
        fitted, n_real=at.config.n_real, price_real=float("inf"), price_synthetic=1.0,
        budget=2.0 * budget, subsample=0.5,
    )  # fmt: skip


def comparison(records: pd.DataFrame) -> pd.DataFrame:
    """One row for each learner, generator and real sample: gains as shares of none's excess."""
    import pandas as pd

    rows = []
    for key, points in records.groupby(["estimator", "synthesizer", "replicate"]):
        arms = points.set_index("arm")
        scale, plan = arms.loc["none", "value"], arms.loc["purchase"]
        gains = {name: plan[f"gain{end}"] / scale for name, end in _ENDS.items()}
        rows.append(
            dict(zip(("learner", "generator", "replicate"), key, strict=True))
            | {
                "promised": gains["value"],
                "low": gains["low"],
                "high": gains["high"],
                "realised": 1 - plan["value"] / scale,
                "std_error": plan["std_error"] / scale,
                "buys": bool(plan["buys"]),
            }
        )
    return pd.DataFrame(rows)


_ENDS = {"value": "", "low": "_low", "high": "_high"}


def checks(records: pd.DataFrame) -> list[Check]:
    """No purchase does harm, and promised gains lie in their intervals."""
    from opal.scaling.purchase import MIN_GAIN

    from .plan import kept, promises

    table = comparison(records)
    bought = table[table["buys"]]
    return [
        at_most(
            "no purchase is worse than none",
            -bought["realised"] - 2 * bought["std_error"],
            MIN_GAIN,
            f"largest loss of {len(bought)} purchases, as a share of the excess of none",
        ),
        promises("promised gains lie in their intervals", kept(table)),
    ]


if __name__ == "__main__":
    run_study("plan_learners")
