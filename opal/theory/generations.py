r"""Generators trained on the rows of their predecessors (docs/theory.md, section 17).

Generation 1 is fitted to real rows. Each later one is fitted to rows that its predecessor drew, to
real rows that join them, and, where nothing is thrown away, to all rows before. What reproduces the
moments of its training rows is a martingale but for the real rows that join: means and second
moments follow recursions that hold exactly at every size.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy import special, stats

from opal.losses import Loss
from opal.objective import GeneratorRows, RowCounts, RowWeights
from opal.settings.groups import require_finite, validate_count, validate_number
from opal.settings.law import SmoothTruth
from opal.theory.estimator import check_groups, synthetic_rows, truth_of
from opal.theory.seeds import gradient_covariance, shares

if TYPE_CHECKING:
    from opal.objective import Design
    from opal.settings.setting import Setting


FITS = ("moments", "unbiased", "first order")


@dataclass(frozen=True)
class RecursiveTraining:
    """The rows that each generation is trained on.

    Attributes:
        n_first: real rows of generation 1.
        n_synthetic: rows that each generation draws for its successor.
        n_fresh: real rows, seen by nobody before, that join them at every generation.
        accumulated: whether each generation is trained on all rows before it as well.

    Raises:
        ValueError: a number that is not whole, no first rows, or no rows for the next generation.
    """

    n_first: int
    n_synthetic: int
    n_fresh: int = 0
    accumulated: bool = False

    def __post_init__(self) -> None:
        """Check the numbers."""
        validate_count(self.n_first, "n_first", minimum=1)
        validate_count(self.n_synthetic, "n_synthetic", minimum=0)
        validate_count(self.n_fresh, "n_fresh", minimum=0)
        if self.n_synthetic + self.n_fresh == 0:
            raise ValueError(
                "a generation is trained on rows; got n_synthetic = 0 and n_fresh = 0. Raise one."
            )

    def totals(self, n_generations: int) -> tuple[int, ...]:
        """Training rows of generations 1 … K.

        Raises:
            ValueError: no generation.
        """
        validate_count(n_generations, "n_generations", minimum=1)
        n, more = self.n_first, self.n_synthetic + self.n_fresh
        later = range(1, n_generations)
        return n, *(n + k * more if self.accumulated else more for k in later)

    def steps(self, n_generations: int) -> list[tuple[int, int, int]]:
        """Training rows of generation k − 1, those that k keeps, and all of k, for k = 2 … K."""
        pairs = pairwise(self.totals(n_generations))
        return [(before, before * self.accumulated, total) for before, total in pairs]


class MomentErrors(NamedTuple):
    """What generations 1 … K get wrong, in units of the truth's covariance.

    Attributes:
        mean: a, with ``E (μ̂ − μ)(μ̂ − μ)ᵀ = a Σ`` [K].
        within: c, with ``E Σ̂ = c Σ`` [K].
    """

    mean: Float[np.ndarray, " k"]
    within: Float[np.ndarray, " k"]


def moment_errors(
    training: RecursiveTraining, n_generations: int, fit: str = "moments"
) -> MomentErrors:
    """Errors of the mean and of the covariance, whatever the dimension (17.4).

    Args:
        training: rows of each generation.
        n_generations: K.
        fit: ``"moments"`` for laws that have the mean and the second moments of their training rows
            (counts, a Gaussian by maximum likelihood); ``"unbiased"`` for a Gaussian whose
            covariance is divided by the number of rows less one; ``"first order"`` leaves out what
            is smaller than the sums of 1/n.

    Raises:
        ValueError: no generation, an unknown fit, or one training row for an unbiased covariance.
    """
    totals = training.totals(n_generations)
    if fit not in FITS:
        raise ValueError(f"fit must be one of {FITS}; got {fit!r}.")
    if fit == "unbiased" and min(totals) < 2:
        raise ValueError(
            f"an unbiased covariance needs two rows; got generations with {min(totals)}. Raise "
            "n_first, n_synthetic or n_fresh."
        )
    s, r = training.n_synthetic, training.n_fresh
    mean, within = [1 / totals[0]], [1 - (fit == "moments") / totals[0]]
    for _, old, total in training.steps(n_generations):
        a, c = mean[-1], within[-1]
        mean.append(((old + s) ** 2 * a + r + s * c) / total**2)
        if fit == "unbiased":
            inside = (old - (old > 0) + s) * c + r + (old + s) * a - total * mean[-1]
            within.append(inside / (total - 1))
        else:
            within.append(1 - mean[-1] if fit == "moments" else 1.0)
    return MomentErrors(np.array(mean), np.array(within))


def limit(training: RecursiveTraining) -> float:
    """Error of the mean after ever more generations, to first order (17.6, 17.7).

    Infinite where all rows are replaced, and zero where ever more real ones accumulate.
    """
    n, s, r = training.n_first, training.n_synthetic, training.n_fresh
    if training.accumulated:
        return 0.0 if r else 1 / n + float(special.polygamma(1, 1 + n / s)) / s
    share = r / (r + s)
    return 1 / ((r + s) * share * (2 - share)) if r else np.inf


class GaussianErrors(NamedTuple):
    """What is expected of Gaussians whose training rows are replaced, generations 1 … K.

    Attributes:
        log_volume: ``E log det(Σ⁻¹Σ̂)`` [K].
        kl: ``E KL(P‖Q)`` in nats [K].
    """

    log_volume: Float[np.ndarray, " k"]
    kl: Float[np.ndarray, " k"]


def gaussian_errors(training: RecursiveTraining, n_generations: int, dim: int) -> GaussianErrors:
    """Volume and divergence of fits with an unbiased covariance, exact in d dimensions (17.9).

    Raises:
        ValueError: rows that join or accumulate, for which there is no closed form; or so few that
            the inverse of a fitted covariance has no mean (d + 2 or less).
    """
    validate_count(dim, "dim", minimum=1)
    if training.accumulated or training.n_fresh:
        raise ValueError(
            "the divergence of fitted Gaussians has a closed form where all rows are replaced; got "
            f"n_fresh = {training.n_fresh} and accumulated = {training.accumulated}. "
            "moment_errors() holds for these."
        )
    totals = np.array(training.totals(n_generations))
    if min(totals) <= dim + 2:
        raise ValueError(
            f"the divergence of a Gaussian in {dim} dimensions has a mean where each generation is "
            f"trained on at least {dim + 3} rows; got {min(totals)}. Raise n_first or n_synthetic."
        )
    freedom = totals - 1
    halves = (freedom[:, None] - np.arange(dim)) / 2
    log_volume = np.cumsum(special.digamma(halves).sum(axis=1) + dim * np.log(2 / freedom))
    growth = freedom / (freedom - dim - 1)  # of the mean inverse
    shift = [
        (np.cumprod(growth[: k + 1][::-1])[::-1] / totals[: k + 1]).sum()
        for k in range(len(totals))
    ]
    kl = (dim * (np.cumprod(growth) - 1 + np.array(shift)) + log_volume) / 2
    return GaussianErrors(log_volume, kl)


class TokenErrors(NamedTuple):
    """What is expected of counts of tokens, generations 1 … K.

    Attributes:
        mean: ``E q`` [K, d].
        square: ``E q²`` [K, d].
        kl: ``E KL(P‖Q)`` in nats [K]; infinite where a token may have no probability.
        unseen: probability that a token is in none of a generation's training rows [K, d].
    """

    mean: Float[np.ndarray, "k d"]
    square: Float[np.ndarray, "k d"]
    kl: Float[np.ndarray, " k"]
    unseen: Float[np.ndarray, "k d"]

    def sum_of_squares(self) -> Float[np.ndarray, " k"]:
        """``E Σ q²``, the probability that two tokens of a generation are equal [K]."""
        return np.asarray(self.square.sum(axis=1))

    def chi_square(self, law: Float[np.ndarray, " d"]) -> Float[np.ndarray, " k"]:
        """``E Σ (q − p)²/p`` [K]."""
        apart = self.square - 2 * self.mean * law + law**2
        return np.asarray((apart / law).sum(axis=1))


def token_errors(
    training: RecursiveTraining,
    n_generations: int,
    law: Float[np.ndarray, " d"],
    pseudo_count: float = 0.0,
) -> TokenErrors:
    """What is expected of ``q = (count + β)/(total + dβ)``, exact at every size.

    Means and squares by their recursion (17.11), all else by the chain of a token's count (17.13).

    Args:
        training: rows of each generation.
        n_generations: K.
        law: p, positive probabilities of sum one [d].
        pseudo_count: β; zero for plain counts, a half for Krichevsky and Trofimov's.

    Raises:
        ValueError: no generation, a law that is none, a negative β.
    """
    p, beta = _checked_law(law), float(pseudo_count)
    validate_number(beta, "pseudo_count is a finite number of at least 0", least=0.0)
    mean, square = _token_moments(training, n_generations, p, beta)
    chances = _count_laws(training, n_generations, p, beta)
    logs = np.stack([_mean_log(chance, beta) for chance in chances])
    unseen = np.stack([chance[:, 0] for chance in chances])
    return TokenErrors(mean, square, p @ np.log(p) - logs @ p, unseen)


def _checked_law(law: Float[np.ndarray, " d"]) -> np.ndarray:
    p = np.asarray(law, float)
    if p.ndim != 1 or len(p) < 2:
        raise ValueError(f"law must be [d] with at least two tokens; got shape {p.shape}.")
    require_finite(p, "law")
    if p.min() <= 0 or abs(p.sum() - 1) > 1e-9:
        raise ValueError(
            f"law must be positive probabilities of sum one; got a least of {p.min():g} and a sum "
            f"of {p.sum():g}."
        )
    return p


def _token_moments(
    training: RecursiveTraining, n_generations: int, p: np.ndarray, beta: float
) -> tuple[np.ndarray, np.ndarray]:
    """``E q`` and ``E q²`` of each generation [K, d] each."""
    n, s, r, d = training.n_first, training.n_synthetic, training.n_fresh, len(p)

    def smoothed(total: int, mean: np.ndarray, spread: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        weight = total / (total + d * beta)  # of the counts
        known = weight * mean + (1 - weight) / d
        return known, known**2 + weight**2 * spread

    mean, spread = p, p * (1 - p) / n  # of a token's share of the training rows
    found = [smoothed(n, mean, spread)]
    for before, old, total in training.steps(n_generations):
        drawn, square = found[-1]
        slope = old + s * before / (before + d * beta)
        spread = (slope**2 * spread + r * p * (1 - p) + s * (drawn - square)) / total**2
        mean = (old * mean + r * p + s * drawn) / total
        found.append(smoothed(total, mean, spread))
    means, squares = zip(*found, strict=True)
    return np.stack(means), np.stack(squares)


def _count_laws(
    training: RecursiveTraining, n_generations: int, p: np.ndarray, beta: float
) -> list[np.ndarray]:
    """Laws of the tokens' counts in each generation, K times [d, T + 1]."""
    joining, found = _binomial(training.n_fresh, p), [_binomial(training.n_first, p)]
    for before, old, _ in training.steps(n_generations):
        chance, drawn = found[-1], _binomial(training.n_synthetic, _smoothed(before, len(p), beta))
        if old:
            more = np.zeros((len(p), old + training.n_synthetic + 1))
            for count, of_count in enumerate(drawn):
                more[:, count : count + len(of_count)] += chance[:, count, None] * of_count[None, :]
        else:
            more = chance @ drawn
        pairs = zip(more, joining, strict=True)
        found.append(np.stack([np.convolve(each, fresh) for each, fresh in pairs]))
    return found


def _binomial(n: int, p: np.ndarray) -> np.ndarray:
    """Laws of the number of successes in n trials, a row for each probability [len(p), n + 1]."""
    return np.asarray(stats.binom.pmf(np.arange(n + 1)[None, :], n, p[:, None]))


def _smoothed(total: int, d: int, beta: float) -> np.ndarray:
    """``q = (count + β)/(T + dβ)`` of each count among T rows [T + 1]."""
    return (np.arange(total + 1) + beta) / (total + d * beta)


def _mean_log(chance: np.ndarray, beta: float) -> np.ndarray:
    """``E log q`` of each token [d], by the law of its count [d, T + 1]."""
    d, n = chance.shape
    with np.errstate(divide="ignore"):
        logs = np.log(_smoothed(n - 1, d, beta))
    # Counts that no token can have say nothing, not even where q is zero.
    return np.asarray(chance @ np.where(chance.max(axis=0) > 0, logs, 0.0))


def after_generations(
    setting: Setting, design: Design, training: RecursiveTraining, generation: int | None
) -> float:
    """Excess risk of a rule whose synthetic rows a later generation drew, to order 1/n (17.15).

    Args:
        setting: the truth, whose groups are Gaussian.
        design: how the rule is trained, with the synthesizer that every generation fits; its
            ``n_shared`` rows are among the real rows of generation 1.
        training: rows of every group that the generations are trained on.
        generation: whose rows the rule sees, from 1; None for ever more generations.

    Raises:
        ValueError: groups of different weight or a penalty, which are bias that moves with the
            generations; a synthesizer that does not follow its seeds' moments alone; more shared
            rows than generation 1 has; no limit where all rows are replaced.
    """
    check_groups(setting, design)
    _check_design(setting, design, training)
    if generation is None:
        error, passed_on = limit(training), float(training.accumulated and not training.n_fresh)
    else:
        error = float(moment_errors(training, generation, "first order").mean[-1])
        passed_on = _passed_on(training, generation)
    if not 0 < error < np.inf:
        raise ValueError(
            "ever more generations have a limit where real rows stay or join, but are not ever "
            f"more; theirs is {error:g} with {training}. Name a generation."
        )
    shared = np.array(design.n_in_training) * passed_on / training.n_first
    generator = GeneratorRows(np.full(len(shared), 1 / error), shared / error)
    numbers = (design.row_counts(), design.row_weights(), generator)
    with jax.enable_x64(True):
        return float(_first_order(truth_of(setting), *numbers, loss=design.loss))


@partial(jax.jit, static_argnames="loss")
def _first_order(
    truth: SmoothTruth,
    rows: RowCounts,
    weights: RowWeights,
    generator: GeneratorRows,
    *,
    loss: Loss,
) -> Float[Array, ""]:
    """``½ tr(H⁻¹V)`` at θ*, which is the whole of it where rows of all groups weigh alike."""
    theta = truth.optimum(loss)
    noise = gradient_covariance(
        *(truth, truth, theta, rows, weights, "moments"), 0.0, loss, generator
    )
    hessian = truth.group_hessian(theta, loss).mean(axis=0)
    return jnp.trace(jax.scipy.linalg.solve(hessian, noise, assume_a="pos")) / 2


def _passed_on(training: RecursiveTraining, generation: int) -> float:
    """How much of what the first real rows say a generation still says (17.14)."""
    steps = training.steps(generation)
    return float(np.prod([(old + training.n_synthetic) / total for _, old, total in steps]))


def _check_design(setting: Setting, design: Design, training: RecursiveTraining) -> None:
    made = synthetic_rows(setting, design)
    if made.seed_use != "moments" or made.shrinkage:
        maker = design.synthesizer.name if design.synthesizer else "none"
        raise ValueError(
            "theory of generations is that of fitted moments without shrinkage; got the "
            f"synthesizer {maker}. Take GaussianFit(), or simulate this arm."
        )
    weights = np.sum(shares(design.row_counts(), design.row_weights()), axis=0)
    if design.ridge or not np.allclose(weights, weights[0]) or design.threshold != "fitted":
        raise ValueError(
            "theory of generations is that of groups of equal weight, fitted without a penalty; "
            f"got weights {weights.tolist()}, ridge = {design.ridge} and the threshold "
            f"{design.threshold!r}. Fill the groups up, or simulate this arm."
        )
    if max(design.n_in_training) > training.n_first:
        raise ValueError(
            f"shared rows are among those of generation 1; got n_shared = {design.n_in_training} "
            f"and n_first = {training.n_first}. Lower n_shared."
        )
