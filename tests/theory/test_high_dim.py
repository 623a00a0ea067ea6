"""The exact limit: closed forms, independent solvers, and training on drawn rows."""

from __future__ import annotations

import time
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, optimize
from scipy.stats import norm

from opal.arrays import AnyArray
from opal.checks import z_threshold
from opal.theory.high_dim import Components, HighDim, components, evaluate, solve
from opal.theory.high_dim.general import _scaled_equations
from opal.theory.high_dim.margins import MarginLoss, pull, risk
from opal.theory.high_dim.ridge import ridge_rule

LOSSES: tuple[MarginLoss, ...] = ("squared", "logistic", "hinge")
LABEL = np.array([-1.0, 1.0] * 3)
RIDGE = 0.2
D = 100
N = np.array([75, 15, 20, 30, 40, 30])


@cache
def problem() -> Components:
    """Two true groups, rows that fill them up, and augmented rows, all different."""
    rng = np.random.default_rng(5)
    means = 0.9 * np.outer(LABEL, np.eye(3)[0]) + 0.4 * rng.normal(size=(6, 3))
    return components(
        N / D,
        LABEL,
        weight=rng.uniform(0.3, 1.5, 6),
        means=means,
        scale=rng.uniform(0.5, 1.5, 6),
        test=[0.5, 0.5, 0, 0, 0, 0],
    )


@cache
def solved(loss: MarginLoss) -> HighDim:
    return evaluate(problem(), RIDGE, loss=loss)


def ridge_by_gram(made: Components, ridge: float) -> np.ndarray:
    """Errors of each component by the equations in the Gram matrix, v by SciPy's bracketing."""
    alpha, y, omega, _, delta, _ = (np.asarray(part) for part in made)
    gram = np.asarray(made.gram)

    def excess(v: float) -> float:
        return v * (ridge + np.sum(alpha * omega * delta / (1 + omega * delta * v))) - 1

    v = optimize.brentq(excess, 1e-12, 1e12, xtol=1e-14, rtol=1e-14)
    c = alpha * omega / (1 + omega * delta * v)
    projection = np.diag(c) - np.outer(c, c) / c.sum()
    m = np.linalg.solve(np.eye(len(y)) + v * gram @ projection, v * gram @ projection @ y)
    b = c @ (y - m) / c.sum()
    r, pulled = y - m - b, projection @ (y - m)
    w = alpha * omega**2 / (1 + omega * delta * v) ** 2
    s = v**2 * (np.sum(w * delta * r**2) + pulled @ gram @ pulled)
    s /= 1 - v**2 * np.sum(w * delta**2)
    return norm.sf(y * (m + b) / np.sqrt(delta * s))


@pytest.mark.parametrize("ridge", [1e-6, RIDGE, 50.0])
def test_ridge_solves_the_equations_of_the_gram_matrix(ridge: float) -> None:
    error = evaluate(problem(), ridge).error
    np.testing.assert_allclose(error, ridge_by_gram(problem(), ridge), rtol=1e-8, atol=1e-12)


def test_a_gram_matrix_says_the_same_as_means() -> None:
    made = problem()
    again = components(
        made.density,
        made.label,
        weight=made.weight,
        gram=made.gram,
        scale=made.scale,
        test=made.test,
    )
    np.testing.assert_allclose(evaluate(again, RIDGE).error, solved("squared").error, rtol=1e-9)


def test_a_large_penalty_adds_up_labelled_rows() -> None:
    """The rule is then proportional to Σ y x: for a balanced pair, mean plus noise of size Δ/α."""
    alpha, delta, square = 0.7, 1.3, 2.0
    pair = components(
        np.full(2, alpha / 2), [-1, 1], gram=square * np.array([[1, -1], [-1, 1]]), scale=delta
    )
    error = norm.sf(square / np.sqrt(delta * (square + delta / alpha)))
    np.testing.assert_allclose(evaluate(pair, 1e7).error, error, rtol=1e-5)


@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_many_rows_find_the_minimiser_of_the_expected_loss(loss: MarginLoss) -> None:
    made = problem()
    many = made._replace(density=np.asarray(made.density) * 1e7)
    found = evaluate(many, 0.0, loss=loss)
    mass = np.asarray(made.density * made.weight)
    average = jax.jit(risk, static_argnums=2)

    def expected(x: np.ndarray) -> float:
        centre = LABEL * (made.means @ x[:3] + x[3])
        spread = np.sqrt(np.asarray(made.scale) * (x[:3] @ x[:3]))
        return float(mass @ np.asarray(average(jnp.asarray(centre), jnp.asarray(spread), loss)))

    best = optimize.minimize(expected, np.full(4, 0.1), tol=1e-12, method="BFGS").x
    rule = np.append(found.along, found.intercept)
    np.testing.assert_allclose(rule, best, atol=2e-4)
    assert float(found.across) < 1e-3


def test_the_equations_of_any_loss_hold_for_ridge_with_squared_loss() -> None:
    made = Components(*(jnp.asarray(part) for part in problem()))
    ridge = jnp.asarray(RIDGE)
    rule = ridge_rule(made, ridge)
    z = jnp.stack([*rule.along, rule.across, rule.intercept, jnp.log(rule.response)])
    miss = jax.jit(_scaled_equations, static_argnums=1)
    np.testing.assert_allclose(miss(made, "squared", ridge, z), 0.0, atol=1e-9)
    for index in range(len(z)):
        moved = miss(made, "squared", ridge, z.at[index].add(0.01))
        assert np.abs(moved).max() > 1e-3


def pull_by_quadrature(loss: MarginLoss, c: float, sigma: float, gamma: float) -> list[float]:
    """Averages of f, f² and of the slope of f over ε, by SciPy: f (m)·E[ε f]/σ is E f'."""

    def f(m: float) -> float:
        if loss == "hinge":
            return min(1.0, max(0.0, (1 - m) / gamma))
        if loss == "squared":
            return (1 - m) / (1 + gamma)
        t = optimize.brentq(lambda t: t - gamma / (1 + np.exp(t)) - m, m - 1, m + gamma + 1)
        return float(1 / (1 + np.exp(t)))

    kinks = sorted(((1 - gamma - c) / sigma, (1 - c) / sigma))

    def average(power: int, by: int) -> float:
        value, _ = integrate.quad(
            lambda z: f(c + sigma * z) ** power * z**by * norm.pdf(z),
            -9,
            9,
            points=np.clip(kinks, -8.9, 8.9),
            limit=300,
        )
        return float(value)

    return [average(1, 0), average(2, 0), -average(1, 1) / sigma]


@pytest.mark.parametrize("loss", LOSSES)
def test_averages_of_the_pull(loss: MarginLoss) -> None:
    cases = np.array([[0.5, 1.0, 0.7], [-2.0, 3.0, 5.0], [1.5, 0.2, 0.01]])
    centre, spread, step = (jnp.asarray(column) for column in cases.T)
    found = pull(centre, spread, step, loss)
    for index, case in enumerate(cases):
        expected = pull_by_quadrature(loss, *case)
        np.testing.assert_allclose([float(part[index]) for part in found], expected, atol=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("loss", LOSSES)
def test_the_rule_solves_the_fixed_point_equations(loss: MarginLoss) -> None:
    """The equations of docs/theory.md, section 9.3, with averages by SciPy."""
    made, found = problem(), solved(loss)
    alpha, y, omega, means, delta, _ = (np.asarray(part) for part in made)
    size = np.sqrt(found.along @ found.along + found.across**2)
    v = float(found.response)
    f = np.array(
        [
            pull_by_quadrature(loss, c, sigma, gamma)
            for c, sigma, gamma in zip(
                y * (means @ found.along + found.intercept),
                np.sqrt(delta) * size,
                omega * delta * v,
                strict=True,
            )
        ]
    )
    pulls = alpha * omega * y * f[:, 0]
    np.testing.assert_allclose(pulls.sum(), 0, atol=1e-7)
    np.testing.assert_allclose(found.along, v * pulls @ means, atol=1e-7)
    np.testing.assert_allclose(
        found.across**2, v**2 * np.sum(alpha * omega**2 * delta * f[:, 1]), rtol=1e-6
    )
    np.testing.assert_allclose(1 / v, RIDGE + np.sum(alpha * omega * delta * f[:, 2]), rtol=1e-6)


@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_gradients_are_those_of_finite_differences(loss: MarginLoss) -> None:
    made = problem()

    def error(t: jax.Array) -> jax.Array:
        density = jnp.asarray(made.density).at[4:].multiply(t[1])
        moved = made._replace(density=density, weight=made.weight * t[2])
        return jnp.asarray(solve(moved, t[0], loss=loss).balanced_error)

    at = np.array([RIDGE, 1.0, 1.2])
    slope = np.asarray(jax.jit(jax.grad(error))(jnp.asarray(at)))
    step = 1e-4 * np.eye(3)
    rises = [float(error(at + h) - error(at - h)) / 2e-4 for h in step]
    np.testing.assert_allclose(slope, rises, rtol=1e-5, atol=1e-8)
    assert np.abs(slope).min() > 1e-4


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("ridge", [1e-3, 10.0, 1e5])
def test_any_penalty_is_solved(loss: MarginLoss, ridge: float) -> None:
    found = evaluate(problem(), ridge, loss=loss)
    assert bool(found.converged)
    assert np.isfinite(found.error).all()


def test_a_vanishing_penalty_separates_with_the_widest_margin() -> None:
    """Rows that can be separated: hinge tends to a limit, and logistic grows beyond any number."""
    errors = [evaluate(problem(), ridge, loss="hinge").error for ridge in (1e-5, 1e-9)]
    np.testing.assert_allclose(errors[0], errors[1], rtol=1e-6)
    grown = evaluate(problem(), 1e-12, loss="logistic")
    assert not grown.converged
    assert np.isnan(grown.error).all()


@pytest.mark.parametrize("loss", LOSSES)
def test_without_a_minimiser_there_is_no_number(loss: MarginLoss) -> None:
    """Rows that can be separated, and no penalty."""
    few = problem()._replace(density=np.asarray(problem().density) / 10)
    found = evaluate(few, 0.0, loss=loss)
    assert not found.converged
    assert np.isnan(found.error).all()
    assert np.isnan(found.balanced_error)


def test_summaries_are_of_tested_components_only() -> None:
    found = solved("logistic")
    assert found.balanced_error == pytest.approx(found.error[:2].mean())
    assert found.worst_error == found.error[:2].max()
    assert found.worst_risk == found.risk[:2].max()
    assert found.balanced_risk == pytest.approx(found.risk[:2].mean())


def test_a_ridge_point_takes_two_milliseconds_at_most() -> None:
    made = Components(*(jnp.asarray(part) for part in problem()))
    times = []
    for ridge in np.geomspace(0.01, 1, 40):
        start = time.perf_counter()
        jax.block_until_ready(solve(made, ridge).error)
        times.append(time.perf_counter() - start)
    assert min(times[1:]) < 2e-3  # the least: other processes share the machine


@cache
def trained(loss: MarginLoss, n_replicates: int = 30) -> tuple[np.ndarray, np.ndarray]:
    """Mean errors of rules that NumPy and scikit-learn train, with standard errors [6] each."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import SVC

    made = Components(*(np.asarray(part) for part in problem()))
    rng = np.random.default_rng(8)
    kind = np.repeat(np.arange(6), N)
    label, weight = LABEL[kind], made.weight[kind]
    means = np.pad(made.means, ((0, 0), (0, D - 3)))
    errors = []
    for _ in range(n_replicates):
        noise = np.sqrt(made.scale[kind])[:, None] * rng.normal(size=(len(kind), D))
        x = means[kind] + noise
        if loss == "squared":
            rows = np.column_stack([x, np.ones(len(x))])
            penalty = RIDGE * D * np.append(np.ones(D), 0)
            gram = rows.T @ (weight[:, None] * rows) + np.diag(penalty)
            *w, b = np.linalg.solve(gram, rows.T @ (weight * label))
        else:
            kinds = {
                "logistic": LogisticRegression(C=1 / (RIDGE * D), tol=1e-8, max_iter=500),
                "hinge": SVC(C=1 / (RIDGE * D), kernel="linear", tol=1e-6),
            }
            machine = kinds[loss].fit(x, label, sample_weight=weight)
            w, b = machine.coef_[0], machine.intercept_[0]
        margin = LABEL * (means @ np.array(w) + b)
        errors.append(norm.sf(margin / np.sqrt(made.scale) / np.linalg.norm(w)))
    values = np.array(errors)
    return values.mean(axis=0), values.std(axis=0, ddof=1) / np.sqrt(n_replicates)


def largest_z(loss: MarginLoss, error: AnyArray) -> float:
    mean, std_error = trained(loss)
    return float(np.abs((mean - error) / std_error).max())


@pytest.mark.parametrize("loss", LOSSES)
def test_theory_is_what_training_does(loss: MarginLoss) -> None:
    assert largest_z(loss, solved(loss).error) < z_threshold(6)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("mistake", ["equal weights", "true means", "true scales"])
def test_wrong_theory_is_noticed(loss: MarginLoss, mistake: str) -> None:
    made = Components(*(np.asarray(part) for part in problem()))
    true = np.tile([0, 1], 3)
    wrong = {
        "equal weights": made._replace(weight=np.full(6, made.weight.mean())),
        "true means": made._replace(means=made.means[true]),
        "true scales": made._replace(scale=made.scale[true]),
    }[mistake]
    assert largest_z(loss, evaluate(wrong, RIDGE, loss=loss).error) > z_threshold(6)


GOOD = {"density": [1.0, 0.1], "label": [-1.0, 1.0], "gram": [[1.0, -1.0], [-1.0, 1.0]]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gram": [[1.0, 2.0], [2.0, 1.0]]}, "positive semi-definite.*-1"),
        ({"gram": [[1.0, 0.5], [0.0, 1.0]]}, "symmetric"),
        ({"gram": [[1.0, np.nan], [np.nan, 1.0]]}, "finite square"),
        ({"means": [[1.0], [2.0]]}, "not both"),
        ({"gram": None}, "either means or a Gram matrix"),
        ({"density": [1.0, -0.1]}, "density must be at least 0.*-0.1"),
        ({"density": [[1.0]]}, "density must be one number for each"),
        ({"weight": [1.0, -2.0]}, "weight must be at least 0.*-2"),
        ({"weight": [1.0, 2.0, 3.0]}, "weight must be a number or one for each"),
        ({"scale": [1.0, 0.0]}, "scale must be a positive variance"),
        ({"label": [0.0, 1.0]}, "label must be -1 or 1"),
        ({"label": [1.0, 1.0]}, "both labels"),
        ({"test": [0.5, 0.6]}, "sum to 1"),
        ({"test": [1.5, -0.5]}, "test must be at least 0"),
        ({"gram": None, "means": [[1.0]]}, "one row for each of 2"),
    ],
)
def test_bad_components_are_refused(change: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {**GOOD, **change}
    density, label = arguments.pop("density"), arguments.pop("label")
    with pytest.raises(ValueError, match=message):
        components(density, label, **arguments)


@pytest.mark.parametrize("ridge", [-0.1, np.nan, np.inf])
def test_a_bad_penalty_is_refused(ridge: float) -> None:
    with pytest.raises(ValueError, match="penalty λ of at least 0"):
        evaluate(problem(), ridge)


def test_an_unknown_loss_is_refused() -> None:
    with pytest.raises(ValueError, match=r"loss must be one of .*squared.*'exponential'"):
        evaluate(problem(), RIDGE, loss="exponential")
