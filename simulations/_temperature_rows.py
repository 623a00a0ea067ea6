"""Records of a sampled generator: exact sums over pairs of classes, and trained classifiers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import jax
import numpy as np
from jaxtyping import Array, Key

from opal.objective import Design
from opal.risk import mean_and_std_error
from opal.settings import TokenSetting
from opal.settings.tokens import Alphabet
from opal.theory.end_to_end import excess_of_seeds
from opal.theory.generator import kl, total_variation
from simulations._end_to_end import trained_excess
from simulations._temperature import PLAIN, Pairs, Sampling, biases, expected_excess, sampled

EXCESS = "excess_balanced_risk"
COMPARED = ("kl", "total_variation", "bias_square", "floor", "excess")
Row = dict[str, object]
Found = dict[str, tuple[float, float]]
Values = dict[str, np.ndarray]


def measured(
    alphabet: Alphabet,
    pair: Pairs,
    design: Design,
    seen: np.ndarray,
    scores: np.ndarray,
    ways: Sequence[Sampling],
) -> Values:
    """What is measured after some seeds, for each sampling and pair of classes [T, P].

    Args:
        alphabet: its embeddings are the features.
        pair: the classes, of two subjects each.
        design: how to train.
        seen: how often each token is among the seeds of each subject [S, d].
        scores: of the next token [S, d].
        ways: of sampling.
    """
    made = sampled(scores, ways).reshape(-1, *pair.laws.shape)
    with jax.enable_x64(True):
        divergence = np.asarray(kl(pair.laws[None], made))
        apart = np.asarray(total_variation(np.broadcast_to(pair.laws, made.shape), made))
    bias, range_ = np.abs(each := biases(pair, made)), np.ptp(pair.losses, axis=-1)
    seeds = seen.reshape(pair.laws.shape)
    total, floor = expected_excess(alphabet, pair, design, seeds, made)
    plain = ways.index(PLAIN)
    return {
        "kl": divergence.mean(axis=-1),
        "total_variation": apart.mean(axis=-1),
        "bias": each.mean(axis=-1),
        "bias_square": each.mean(axis=-1) ** 2,
        "bound": (bias / (range_ * apart)).max(axis=-1),
        "bound_at_plain": (bias / (range_ * apart[plain])).max(axis=-1),
        "excess": total,
        "floor": floor,
    }


def rows_of(values: Values, ways: Sequence[Sampling]) -> Iterator[Row]:
    """Records of one estimate and number of seeds."""
    plain = ways.index(PLAIN)
    for k, (temperature, top_p) in enumerate(ways):
        where = {"temperature": temperature, "top_p": top_p}
        for metric in ("bound", "bound_at_plain"):
            yield {**where, "metric": metric, "value": values[metric][k].max()}
        excess = values["excess"][k]
        yield {**where, "metric": "undefined", "value": np.isnan(excess).mean()}
        middle = np.median(np.nan_to_num(excess, nan=np.inf))
        yield {**where, "metric": "median_excess", "value": middle}
        for metric in ("bias", *COMPARED):
            yield {**where, "metric": metric, **_mean(values[metric][k])}
        for metric in [name for name in COMPARED if top_p == 1 or name != "kl"]:
            apart = _mean(values[metric][k] - values[metric][plain])
            yield {**where, "metric": f"{metric} minus plain", **apart}
    for metric in COMPARED:
        yield best_of(metric, values[metric], ways)


def best_of(metric: str, values: np.ndarray, ways: Sequence[Sampling]) -> Row:
    """The temperature that half of the pairs choose, and what it gains on the other half."""
    at = [k for k, (_, top_p) in enumerate(ways) if top_p == 1]
    chosen, judged = values[:, ::2], values[:, 1::2]
    best = at[int(chosen[at].mean(axis=1).argmin())]
    plain = ways.index(PLAIN)
    gain = _mean(judged[best] - judged[plain])
    where = {"temperature": ways[best][0], "top_p": 1.0}
    return {**where, "metric": f"best {metric}", **gain}


def _mean(values: np.ndarray) -> Row:
    return dict(zip(("value", "std_error"), _pair(values), strict=True))


def _pair(values: np.ndarray) -> tuple[float, float]:
    """Mean and standard error, which is no number where the values are not all finite."""
    if not np.isfinite(values).all():
        return float(values.sum()), float("nan")
    mean, error = mean_and_std_error(values)
    return float(mean), float(error)


def trained(
    setting: TokenSetting,
    design: Design,
    seen: np.ndarray,
    made: np.ndarray,
    ways: Sequence[Sampling],
    *,
    key: Key[Array, ""],
    most: tuple[int, int],
) -> list[tuple[Found, Found]]:
    """Simulation and theories of each sampling.

    Args:
        setting: the truth.
        design: how to train.
        seen: seeds of each token and label [R, G, d, K].
        made: laws of the generator's rows under each sampling [T, R, G, d, K].
        ways: of sampling.
        key: of the replicates.
        most: real rows of each class in the largest of the designs that share a compilation.
    """
    law, plain, found = setting.law, ways.index(PLAIN), []
    predicted = [excess_of_seeds(law, design, seen, each) for each in made]
    simulated = [trained_excess(law, design, each, key=key, most=most) for each in made]
    for theory, (excess, separated) in zip(predicted, simulated, strict=True):
        values = {"predicted": theory.total, "at_plain": predicted[plain].total}
        apart = {f"{EXCESS} minus {name}": excess - value for name, value in values.items()}
        apart[f"{EXCESS} minus plain"] = excess - simulated[plain][0]
        rows = {EXCESS: excess, "separated": separated.astype(float), **apart}
        values |= {"floor": theory.floor, "undefined": np.isnan(theory.total).astype(float)}
        found.append((_summary(rows), _summary(values)))
    return found


def _summary(values: Values) -> Found:
    return {name: _pair(value) for name, value in values.items()}
