"""What a prediction says of its own error: series against solved rules, known expansions, rows."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from opal.losses import Loss
from opal.objective import Design
from opal.settings import Alphabet, FiniteLaw, GaussianMixture, Group, TokenSetting
from opal.settings.setting import LawSetting
from opal.simulation import replicate_metrics
from opal.synthesis import Duplication, Oracle
from opal.theory.limits import TRUSTED, PredictionLimits, limits
from opal.theory.next_order import next_order
from opal.theory.ray import PointRule, response
from opal.theory.row_points import RowPoints, power_sums, row_points

# The law of other tests, so that they share what is compiled.
TOKENS = TokenSetting.drawn(Alphabet.random(24, 3, eta=1.0, key=0), key=2)
CASES: list[tuple[Loss, int]] = [("logistic", 2), ("logistic", 3), ("squared", 2), ("squared", 3)]


def rule_of(loss: Loss, n_classes: int, *, ridge: float = 0.3) -> tuple[PointRule, Any]:
    """A rule on points whose weights make it exact, and its solution for other weights."""
    rng = np.random.default_rng(1)
    n = 12
    x = np.column_stack([rng.normal(size=(n, 2)), np.ones(n)])
    labels = np.arange(n) % n_classes
    n_scores = 1 if n_classes == 2 else n_classes - (loss == "logistic")
    points = RowPoints(x, labels, np.full(n, 1 / n), np.zeros(n, int), np.ones((1, 3)))
    penalty = np.tile([ridge, ridge, ridge], n_scores)
    nothing = np.zeros((n_scores, 3))

    def solved(weights: np.ndarray) -> np.ndarray:
        theta = nothing
        for _ in range(60):
            rule = PointRule(
                points._replace(mass=weights), theta, nothing, penalty, 1, n_classes, loss
            )
            slope = weights @ rule.scores + penalty * theta.ravel()
            theta = theta - (rule.inverse @ slope).reshape(theta.shape)
        return theta

    theta = solved(points.mass)
    return PointRule(points, theta, nothing, penalty, 1, n_classes, loss), solved


def risk(rule: PointRule, theta: np.ndarray) -> float:
    scores = rule.points.features @ theta.T
    if rule.loss == "squared":
        values = ((rule.targets - scores) ** 2).sum(axis=1) / 2
    else:
        own = (rule.targets * scores).sum(axis=1)
        values = np.log1p(np.exp(scores).sum(axis=1)) - own
    return float(rule.points.mass @ values)


@pytest.mark.parametrize(("loss", "n_classes"), CASES)
def test_coefficients_are_those_of_solved_rules(loss: Loss, n_classes: int) -> None:
    rule, solved = rule_of(loss, n_classes)
    direction = np.random.default_rng(2).normal(size=len(rule.points.mass)) / 12
    found = rule.excess(direction[None], 4)[0]
    steps = np.array([-0.08, -0.04, 0.04, 0.08])
    changes = [
        risk(rule, solved(rule.points.mass + e * direction)) - risk(rule, rule.theta) for e in steps
    ]
    powers = steps[:, None] ** np.arange(1, 5)
    np.testing.assert_allclose(changes, powers @ found, rtol=1e-3, atol=1e-9)
    # The highest order is needed for that.
    assert (
        np.abs(changes - powers[:, :3] @ found[:3]).max()
        > 3 * np.abs(changes - powers @ found).max()
    )


def test_the_order_after_the_first_of_a_share_is_known() -> None:
    """Intercepts alone: ``E KL(q, q̂)`` of a share, by its moments."""
    q, n = 0.3, 200.0
    x = np.array([[0.0, 1.0], [0.0, 1.0]])
    powers = np.array([[1.0, 1 / n, 1 / n**2]])
    points = RowPoints(x, np.array([0, 1]), np.array([1 - q, q]), np.zeros(2, int), powers)
    theta = np.array([[0.0, np.log(q / (1 - q))]])
    rule = PointRule(points, theta, 0 * theta, np.array([1.0, 0.0]), 1, 2, "logistic")
    found = next_order(rule, None, 1, np.random.default_rng(0))
    gaussian = sum(0.75 * (1 - p) ** 2 / p for p in (q, 1 - q)) / n**2
    skewness = -sum((1 - p) * (1 - 2 * p) / (3 * p) for p in (q, 1 - q)) / n**2
    assert found.gaussian == pytest.approx(gaussian, rel=0.15)  # frames are drawn in two dimensions
    assert found.skewness == pytest.approx(skewness, rel=0.01)


def test_points_have_the_hessian_and_noise_of_the_law() -> None:
    setting = GaussianMixture(np.array([[-0.7, 0, 0, 0.0], [0.7, 0, 0, 0]]), [np.eye(4)] * 2)
    design = Design((60, 30), weighting="group")
    with jax.enable_x64(True):
        theta = np.asarray(setting.law.optimum())
        sums = power_sums(design.row_counts(), design.row_weights(), "none", None)
        rng = np.random.default_rng(0)
        points = row_points(setting.law, setting.law, sums, theta, "logistic", rng)
        hessian = np.asarray(setting.law.group_hessian(jnp.asarray(theta)).mean(axis=0))
    nothing = np.zeros((1, 5))
    rule = PointRule(points, theta[None], nothing, nothing.ravel(), 2, 2, "logistic")
    np.testing.assert_allclose(np.linalg.inv(rule.inverse), hessian, atol=1e-6)


def test_copies_in_turn_and_at_random_weigh_alike_on_average() -> None:
    design = Design((20, 10), Duplication(), n_augmented=10, alpha=0.4)
    arguments = (design.row_counts(), design.row_weights())
    (turn, _), (drawn, _) = (
        power_sums(*arguments, use, None) for use in ("copy in turn", "copy at random")
    )
    np.testing.assert_allclose(turn[:, 0], drawn[:, 0])
    assert (drawn[:, 1:] > turn[:, 1:]).all()  # drawing adds to the spread of the weights


def test_ten_times_the_rows_neglect_a_hundredth() -> None:
    few, many = (limits(TOKENS, Design((n, n), weighting="group")) for n in (400, 4000))
    assert few.order == "self-consistent"
    assert few.parameters_per_row == pytest.approx(4 / 800)
    assert many.ratio == pytest.approx(few.ratio / 10, rel=0.2)
    assert 60 < few.neglected / many.neglected < 160  # directions are drawn
    assert not many.warnings
    assert many.share < TRUSTED
    assert 0 < many.std_error < many.neglected


def test_few_rows_are_warned_of() -> None:
    found = limits(TOKENS, Design((30, 30), weighting="group"))
    assert found.share > TRUSTED
    (warning,) = found.warnings
    assert "informative rows" in warning


def test_a_prediction_without_an_estimate_is_not_trusted() -> None:
    unknown = PredictionLimits("first", 3, 20.0, 1.0, 0.1, 1.2, *[float("nan")] * 2)
    assert unknown.share == np.inf
    assert "no prediction" in unknown.warnings[0]


@pytest.mark.slow
def test_the_estimate_is_what_simulation_finds() -> None:
    """Nearly separated classes: many rows, few of which are in doubt."""
    setting = GaussianMixture([[-1.85, 0.0], [1.85, 0.0]])
    design = Design((500, 300), weighting="group")
    n = 40_000
    values = replicate_metrics(setting, design, key=3, n_replicates=n, calibration=False)
    excess = values["excess_balanced_risk"]
    found = limits(setting, design)
    error = excess.std(ddof=1) / np.sqrt(n)
    off = excess.mean() - found.excess
    assert off > 0.04 * found.excess  # though there are 125 rows for each parameter
    assert abs(off - found.neglected) < 3 * error + abs(found.neglected) / 4


@pytest.mark.slow
def test_other_laws_have_an_estimate_where_they_have_nodes() -> None:
    table = np.array([[[0.4, 0.1], [0.1, 0.4]], [[0.3, 0.2], [0.1, 0.4]]])
    groups = (Group("a", 0, mixed=True), Group("b", 1, mixed=True))
    law = FiniteLaw(table, np.array([[0.0], [1.0]]), groups)

    class Tokens(LawSetting):
        name = "tokens"

        @property
        def law(self) -> FiniteLaw:
            return law

    found = limits(Tokens(), Design((80, 40), Oracle(law), n_augmented=20, alpha=0.3))
    assert 0 < abs(found.neglected) < found.excess


def test_responses_are_probabilities() -> None:
    scores = np.array([[0.0, 1000.0], [-3.0, 0.5]])
    logistic = response(scores, "logistic")
    np.testing.assert_allclose(logistic[0], [0.0, 1.0], atol=1e-12)
    assert (logistic.sum(axis=1) <= 1).all()
    assert response(scores, "squared") is scores
