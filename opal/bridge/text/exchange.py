"""What N synthetic texts are worth in human ones, where more of them stop helping, what to buy.

Laws are of the balanced error, which macro-F1 follows; the log loss also falls and rises with
calibration, which weights move. The size of a training set is G times the harmonic mean of its
groups' texts: what group weighting makes of unequal groups. The plan is made from log losses, the
risk that its law is of (docs/theory.md, section 12).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from opal.bridge.text import pilot, texts
from opal.bridge.text.evaluate import summary
from opal.scaling.bootstrap import percentile_interval
from opal.scaling.exchange import Mixture
from opal.scaling.fit import Fit, fit
from opal.scaling.pilot import fit_pilot
from opal.scaling.plan import Plan, plan

ARM = "synthetic_weighting"
METRIC = "balanced_error"
DRAWS = 100


@dataclass(frozen=True)
class Worth:
    """What N texts of a source are worth.

    Attributes:
        added: N.
        human: how many human texts lead to the same error, 0 if none are needed; infinite if they
            would need more than there are.
        low: lower end of its 95 % interval.
        high: upper end.
    """

    added: int
    human: float
    low: float
    high: float


def curve(records: pd.DataFrame, source: str, arm: str = ARM, metric: str = METRIC) -> pd.DataFrame:
    """Error against the size of the training set, seed by seed, beginning without added texts.

    Args:
        records: of one corpus and encoder.
        source: who wrote the added texts.
        arm: that adds them.
        metric: of the error.

    Returns:
        Columns ``added``, ``total`` (size), ``value``, ``seed``.
    """
    chosen = records[(records["metric"] == metric) & (records["source"] == "data")]
    own = (chosen["arm"] == arm) & (chosen["synthesizer"] == source)
    rows = chosen[own | (chosen["arm"] == "weighting")]
    return rows.rename(columns={"replicate": "seed"})[["added", "total", "value", "seed"]]


def law(points: pd.DataFrame, *, key: int = 0, n_draws: int = DRAWS) -> Fit:
    """A power of the size with a floor; intervals by resampling seeds.

    Args:
        points: of :func:`curve`. Sizes are means over seeds.
        key: fits of one key draw the same seeds, so that their draws are paired.
        n_draws: resamples of the seeds.

    Raises:
        ValueError: too few sizes, or errors that do not vary.
    """
    mean = points.groupby("added")["total"].transform("mean")
    frame = points.assign(total=mean, seed=points["seed"].astype(int))
    settings: dict[str, Any] = {"intervals": "bootstrap", "n_bootstrap": n_draws, "key": key}
    # SciPy divides by what is left to gain, which may be nothing.
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        found = fit("power", frame, x={"n": "total"}, y="value", seed="seed", **settings)
        found.draws.setflags(write=False)  # drawn once, here
    return found


def worth(
    human: pd.DataFrame,
    source: pd.DataFrame,
    sizes: tuple[int, ...] = (),
    *,
    test_error: Mapping[int, float] | None = None,
    laws: tuple[Fit, Fit] | None = None,
) -> list[Worth]:
    """What texts of a source are worth in human ones, which are added in the same way.

    Args:
        human: the curve of human texts.
        source: that of the source; of the same seeds.
        sizes: numbers N of added texts; all of the source's if none is named.
        test_error: standard error over test texts of the difference between the curves, by N;
            seeds share their test texts and do not show it.
        laws: of both curves, if they are fitted.

    Raises:
        ValueError: see :func:`law`.
    """
    real, made = laws or (law(human), law(source))
    at = source.groupby("added")["total"].mean()
    ladder = human.groupby("added")["total"].mean()
    noise = np.random.default_rng(0).standard_normal(DRAWS)
    found = []
    for size in sizes or tuple(int(n) for n in at.index if n > 0):
        x = {"n": np.array([at[size]])}
        best = _texts(_sizes(_params(real), float(made.predict(x)[0])), ladder)
        moved = made.predict_draws(x)[:, 0] + (test_error or {}).get(size, 0.0) * noise
        drawn = _texts(_sizes(_draws(real), moved), ladder)
        low, high = _interval(float(best), drawn, float(ladder.index.max()))
        found.append(Worth(size, float(best), low, high))
    return found


def errors_over_tests(
    records: pd.DataFrame, source: str, arm: str = ARM, metric: str = METRIC
) -> dict[int, float]:
    """Standard error over test texts of the difference to as many human texts, by N."""
    rows = records[
        (records["metric"] == f"{metric}_to_human")
        & (records["arm"] == arm)
        & (records["synthesizer"] == source)
    ]
    squares = (rows["std_error"] ** 2).groupby(rows["added"]).mean()
    return {int(size): float(np.sqrt(square)) for size, square in squares.items()}


def _params(real: Fit) -> Mixture:
    value = {name: estimate.estimate for name, estimate in real.params.items()}
    return Mixture(R_s=0.0, A_s=0.0, A_r=value["A"], beta=value["a"], E=value["E"])


def _draws(real: Fit) -> Mixture:
    column = dict(zip(real.law.params, real.draws.T, strict=True))
    return Mixture(R_s=0.0, A_s=0.0, A_r=column["A"], beta=column["a"], E=column["E"])


def _sizes(real: Mixture, error: Any) -> np.ndarray:
    """Sizes of human training sets with that error."""
    return real.n_equivalent(np.asarray(error) - np.asarray(real.E))


def _texts(sizes: np.ndarray, ladder: pd.Series) -> np.ndarray:
    """Human texts to add for training sets of these sizes, as measured sizes tell."""
    x, n = ladder.to_numpy(), ladder.index.to_numpy(float)
    return np.interp(sizes, x, n, left=0.0, right=np.inf)


def _interval(best: float, drawn: np.ndarray, most: float) -> tuple[float, float]:
    """Percentiles; what lies beyond all human texts is infinite."""
    beyond = 2 * most + 1
    ends = percentile_interval(min(best, beyond), np.minimum(drawn, beyond))
    low, high = (np.inf if end > most else float(end) for end in ends)
    return low, high


def pilot_rows(records: pd.DataFrame, source: str) -> pd.DataFrame:
    """A pilot's table: n and N for each group, α, log loss and seed (:mod:`opal.scaling.pilot`)."""
    chosen = records[(records["metric"] == "balanced_risk") & (records["source"] == "data")]
    own = (chosen["arm"] == pilot.ARM) & chosen["synthesizer"].isin(["none", source])
    rows = chosen[own | (chosen["arm"] == "weighting")]
    n_groups = _groups(records)
    # Seeds differ a little in their counts; the law is of the means.
    part = rows["n_real"].where(rows["n_real"] > 0).groupby(rows["replicate"]).rank("dense")
    n = rows["n_each"].groupby(part).transform("mean")
    return pd.DataFrame(
        {
            "n": n.fillna(n.max()),
            "N": rows["added"] / n_groups,
            "alpha": rows["alpha"],
            "value": rows["value"],
            "seed": rows["replicate"].astype(int),
        }
    ).reset_index(drop=True)


def advice(records: pd.DataFrame, source: str) -> tuple[Plan, dict[str, float]]:
    """The plan that a pilot on at most half the texts makes, and what came of it.

    Returns:
        The plan for a budget that buys the largest size, where human texts cannot be bought; and
        the gain in log loss over weighting that its law promises for the largest size and the
        weights of ``synthetic_alpha`` there, the one measured, its standard error, the gain
        measured at the recommended size, and the best one at any size.

    Raises:
        ValueError: the pilot has too few points.
    """
    frame = pilot_rows(records, source)
    fitted = fit_pilot(frame, seed="seed", n_bootstrap=DRAWS)
    n_groups, n = _groups(records), float(frame["n"].max())
    chosen = records[(records["arm"] == "synthetic_alpha") & (records["synthesizer"] == source)]
    largest = int(chosen["added"].max())
    share = float(records["share"].iloc[0])
    made = plan(
        fitted,
        n_real=n,
        n_groups=n_groups,
        price_real=np.inf,
        price_synthetic=1.0,
        budget=float(largest),
        subsample=share if share < 1 else None,
    )
    rows = summary(chosen[chosen["metric"] == "balanced_risk_difference"]).sort_values("added")
    gains = -rows["value"].to_numpy()
    weights = chosen.loc[chosen["added"] == largest].groupby("replicate")["alpha"].first()
    mixture = Mixture.of({name: each.estimate for name, each in fitted.params.items()})
    after = mixture.excess(n, largest / n_groups, weights.to_numpy())
    bought = made.chosen.n_augmented * n_groups
    sizes = np.concatenate([[0.0], rows["added"]])
    return made, {
        "promised": float(np.mean(mixture.excess(n, 1, 0.0) - after)),
        "measured": float(gains[-1]),
        "measured_error": float(rows["std_error"].iloc[-1]),
        "at_recommended": float(np.interp(bought, sizes, np.concatenate([[0.0], gains]))),
        "best": float(max(gains.max(), 0.0)),
    }


def comparison(records: pd.DataFrame) -> pd.DataFrame:
    """A row for each corpus, encoder and source: floor, worth of the largest size, and the plan.

    Returns:
        Columns ``floor``, ``floor_low``, ``floor_high`` (of the balanced error), ``worth``,
        ``worth_low``, ``worth_high`` (human texts that ``added`` texts are worth), ``buy`` (texts
        that the plan recommends), ``promised``, ``measured``, ``measured_error``,
        ``at_recommended``, ``best`` (gains in log loss); missing where a law cannot be fitted.
    """
    data = records[records["source"] == "data"]
    return pd.DataFrame(
        [
            row
            for _, each in data.groupby(["setting", "encoder"], sort=False)
            for row in _compared(each)
        ]
    )


def _compared(records: pd.DataFrame) -> Iterator[dict[str, Any]]:
    own = dict.fromkeys(records.loc[records["arm"] == ARM, "synthesizer"])
    points = {source: curve(records, source) for source in own}
    laws = {source: _fitted(each) for source, each in points.items()}
    human = points.get(texts.HUMAN), laws.get(texts.HUMAN)
    for source, each in points.items():
        largest = int(each["added"].max())
        row: dict[str, Any] = {
            "setting": records["setting"].iloc[0],
            "encoder": records["encoder"].iloc[0],
            "source": source,
            "added": largest,
        }
        fitted = laws[source]
        if fitted is not None:
            floor = fitted.params["E"]
            row |= {"floor": floor.estimate, "floor_low": floor.low, "floor_high": floor.high}
        if source != texts.HUMAN:
            row |= _advised(records, source)
            if human[0] is not None and human[1] is not None and fitted is not None:
                error = errors_over_tests(records, source)
                both = human[1], fitted
                (found,) = worth(human[0], each, (largest,), test_error=error, laws=both)
                row |= {"worth": found.human, "worth_low": found.low, "worth_high": found.high}
        yield row


def _fitted(points: pd.DataFrame) -> Fit | None:
    try:
        return law(points)
    except ValueError:  # too few sizes, or a flat curve: there is no law
        return None


def _advised(records: pd.DataFrame, source: str) -> dict[str, float]:
    try:
        made, outcome = advice(records, source)
    except ValueError:
        return {}
    return {"buy": made.chosen.n_augmented * _groups(records), **outcome}


def _groups(records: pd.DataFrame) -> int:
    """Number of groups with test texts."""
    return int(records.loc[records["group"] != "all", "group"].nunique())
