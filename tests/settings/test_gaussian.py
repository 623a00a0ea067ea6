"""Exact risks and their derivatives, against integration that shares no code with them."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats
from scipy.special import expit, log1p

from opal import checks, losses
from opal.losses import LOSSES, Loss
from opal.settings import GaussianLaw, GaussianMixture, Group, Sample

FUNCTIONALS = ("group_risk", "group_error", "group_gradient", "group_hessian")
EVERYTHING = (*FUNCTIONALS, "group_score_covariance")
N_ROWS = 40_000


def spd(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Random covariances [*shape, d, d]; the last entry of ``shape`` is d."""
    d = shape[-1]
    root = rng.normal(size=(*shape, 2 * d))
    return root @ root.swapaxes(-1, -2) / (2 * d) + 0.1 * np.eye(d)


def random_law(n_classes: int, dim: int, n_modes: int, *, flips: bool, seed: int) -> GaussianLaw:
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.full(n_modes, 3.0), size=n_classes)
    labels = None
    if flips:
        labels = rng.dirichlet(np.ones(n_classes), size=(n_classes, n_modes))
    return GaussianLaw(
        weights,
        rng.normal(size=(n_classes, n_modes, dim)),
        spd(rng, n_classes, n_modes, dim),
        labels,
        tuple(Group(f"class {k}", k) for k in range(n_classes)),
        n_classes,
    )


def random_theta(loss: Loss, n_classes: int, dim: int, seed: int) -> np.ndarray:
    size = losses.n_parameters(loss, n_classes, dim)
    return np.random.default_rng(seed).normal(scale=0.8, size=size)


@partial(jax.jit, static_argnames="counts")
def sample(law: GaussianLaw, counts: tuple[int, ...], seed: int) -> Sample:
    return law.sample(counts, key=jax.random.key(seed))


def exact(law: GaussianLaw, theta: np.ndarray, loss: Loss) -> dict[str, np.ndarray]:
    """Everything a law knows about a rule, compiled at once."""

    @jax.jit
    def all_of_it(t: jax.Array) -> dict[str, jax.Array]:
        return {name: getattr(law, name)(t, loss) for name in EVERYTHING}

    return {name: np.asarray(value) for name, value in all_of_it(jnp.asarray(theta)).items()}


def loss_at(score: np.ndarray, label: int, loss: Loss) -> np.ndarray:
    sign = 2 * label - 1
    return np.logaddexp(0, -sign * score) if loss == "logistic" else 0.5 * (sign - score) ** 2


def slope_at(score: np.ndarray, label: int, loss: Loss) -> np.ndarray:
    return expit(score) - label if loss == "logistic" else score - (2 * label - 1)


def curvature_at(score: np.ndarray, loss: Loss) -> np.ndarray:
    return expit(score) * expit(-score) if loss == "logistic" else np.ones_like(score)


@pytest.mark.parametrize("loss", LOSSES)
def test_risk_and_error_of_two_classes_are_one_dimensional_integrals(loss: Loss) -> None:
    law = random_law(2, 5, 2, flips=True, seed=1)
    theta = random_theta(loss, 2, 5, seed=2)
    found = exact(law, theta, loss)
    w, b = theta[:-1], theta[-1]
    labels = law.labels_of_modes()
    for g in range(2):
        risk = error = 0.0
        for m in range(2):
            centre = law.means[g, m] @ w + b
            spread = np.sqrt(w @ law.covariances[g, m] @ w)
            for y in (0, 1):
                share = law.weights[g, m] * labels[g, m, y]
                risk += (
                    share
                    * integrate.quad(
                        lambda u, y=y, c=centre, s=spread: (
                            loss_at(u, y, loss) * stats.norm.pdf(u, c, s)
                        ),
                        centre - 12 * spread,
                        centre + 12 * spread,
                        epsabs=1e-12,
                    )[0]
                )
                wrong_side = stats.norm.cdf if y == 1 else stats.norm.sf
                error += share * wrong_side(0, centre, spread)
        np.testing.assert_allclose(found["group_risk"][g], risk, atol=1e-11)
        np.testing.assert_allclose(found["group_error"][g], error, atol=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("flips", [False, True])
def test_derivatives_of_two_classes_are_integrals_over_the_plane(flips: bool, loss: Loss) -> None:
    """Gradient, Hessian and score covariance by adaptive cubature in x, not in the score."""
    law = random_law(2, 2, 2, flips=flips, seed=3)
    theta = random_theta(loss, 2, 2, seed=4)
    found = exact(law, theta, loss)
    labels = law.labels_of_modes()
    for g in range(2):
        gradient, hessian, second = np.zeros(3), np.zeros((3, 3)), np.zeros((3, 3))
        for m in range(2):
            factor = np.linalg.cholesky(law.covariances[g, m])

            def integrand(
                z: np.ndarray, g: int = g, m: int = m, factor: np.ndarray = factor
            ) -> np.ndarray:
                x = np.hstack([z @ factor.T + law.means[g, m], np.ones((len(z), 1))])
                u = x @ theta
                density = np.exp(-0.5 * np.sum(z**2, axis=1)) / (2 * np.pi)
                slopes = np.stack([slope_at(u, y, loss) for y in (0, 1)])
                outer = x[:, :, None] * x[:, None, :]
                parts = [
                    (labels[g, m] @ slopes * density)[:, None] * x,
                    ((curvature_at(u, loss) * density)[:, None, None] * outer).reshape(len(z), 9),
                    ((labels[g, m] @ slopes**2 * density)[:, None, None] * outer).reshape(
                        len(z), 9
                    ),
                ]
                return np.hstack(parts)

            box = np.full(2, 8.5)
            result = integrate.cubature(integrand, -box, box, rtol=1e-10, atol=1e-10)
            assert result.status == "converged"
            share = law.weights[g, m]
            gradient += share * result.estimate[:3]
            hessian += share * result.estimate[3:12].reshape(3, 3)
            second += share * result.estimate[12:].reshape(3, 3)
        covariance = second - np.outer(gradient, gradient)
        np.testing.assert_allclose(found["group_gradient"][g], gradient, atol=1e-8)
        np.testing.assert_allclose(found["group_hessian"][g], hessian, atol=1e-8)
        np.testing.assert_allclose(found["group_score_covariance"][g], covariance, atol=1e-8)


class Rows(NamedTuple):
    """One group's rows and what the loss does at each of them."""

    risk: np.ndarray
    wrong: np.ndarray
    gradient: np.ndarray
    hessian: np.ndarray


def evaluate(x: np.ndarray, y: np.ndarray, theta: np.ndarray, k: int, loss: Loss) -> Rows:
    """Loss, error, gradient and Hessian of each row, in NumPy from the formulas."""
    columns = np.hstack([x, np.ones((len(x), 1))])
    u = columns @ theta.reshape(-1, columns.shape[1]).T
    if loss == "logistic":
        logits = np.hstack([np.zeros((len(u), 1)), u])
        top = logits.max(axis=1, keepdims=True)
        logp = logits - top - np.log(np.exp(logits - top).sum(axis=1, keepdims=True))
        risk, predicted = -logp[np.arange(len(y)), y], logits.argmax(axis=1)
        p = np.exp(logp)[:, 1:]
        slope = p - np.eye(k)[y][:, 1:]
        curvature = p[:, :, None] * np.eye(k - 1) - p[:, :, None] * p[:, None, :]
    else:
        target = (2.0 * y - 1)[:, None] if k == 2 else np.eye(k)[y]
        slope = u - target
        risk = 0.5 * np.sum(slope**2, axis=1)
        predicted = (u[:, 0] > 0).astype(int) if k == 2 else u.argmax(axis=1)
        curvature = np.broadcast_to(np.eye(u.shape[1]), (len(u), u.shape[1], u.shape[1]))
    gradient = (slope[:, :, None] * columns[:, None, :]).reshape(len(u), -1)
    hessian = np.einsum("nce,ni,nj->nciej", curvature, columns, columns)
    p_total = gradient.shape[1]
    return Rows(
        risk, (predicted != y).astype(float), gradient, hessian.reshape(-1, p_total, p_total)
    )


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(("n_classes", "dim", "flips"), [(2, 4, True), (3, 2, False), (3, 2, True)])
def test_everything_agrees_with_a_large_sample(
    n_classes: int, dim: int, flips: bool, loss: Loss
) -> None:
    """Modes and label flips included; the law's own sampler is checked by the same numbers."""
    law = random_law(n_classes, dim, 2, flips=flips, seed=5)
    theta = random_theta(loss, n_classes, dim, seed=6)
    found = exact(law, theta, loss)
    drawn = sample(law, (N_ROWS,) * n_classes, 9)
    z_scores: list[float] = []
    qmc = 0.0 if n_classes == 2 else 2e-3  # relative to the spread of a row: see the test below
    for g in range(n_classes):
        rows = evaluate(
            np.asarray(drawn.x[drawn.rows(g)]),
            np.asarray(drawn.y[drawn.rows(g)]),
            theta,
            n_classes,
            loss,
        )
        centred = rows.gradient - rows.gradient.mean(axis=0)
        pairs = [
            (rows.risk, found["group_risk"][g]),
            (rows.wrong, found["group_error"][g]),
            (rows.gradient, found["group_gradient"][g]),
            (rows.hessian, found["group_hessian"][g]),
            (centred[:, :, None] * centred[:, None, :], found["group_score_covariance"][g]),
        ]
        for sampled, expected in pairs:
            # What no row changes (an intercept's curvature) is exact up to rounding.
            error = sampled.std(axis=0) * np.sqrt(1 / N_ROWS + qmc**2) + 1e-13
            z_scores += np.ravel((sampled.mean(axis=0) - expected) / error).tolist()
    check = checks.within_standard_errors("exact against sampled", z_scores)
    assert check.passed, check


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_derivatives_are_those_of_the_risk(n_classes: int, loss: Loss) -> None:
    law = random_law(n_classes, 3, 2, flips=True, seed=7)
    theta = random_theta(loss, n_classes, 3, seed=8)

    @jax.jit
    def automatic(t: jax.Array) -> tuple[jax.Array, jax.Array]:
        def risk(s: jax.Array) -> jax.Array:
            return law.group_risk(s, loss)

        return jax.jacrev(risk)(t), jax.jacfwd(jax.jacrev(risk))(t)

    gradient, hessian = automatic(jnp.asarray(theta))
    found = exact(law, theta, loss)
    np.testing.assert_allclose(found["group_gradient"], gradient, atol=1e-10)
    np.testing.assert_allclose(found["group_hessian"], hessian, atol=1e-9)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_optimum_is_stationary_and_a_minimum(n_classes: int, loss: Loss) -> None:
    law = random_law(n_classes, 3, 2, flips=False, seed=10)
    optimum = np.asarray(jax.jit(law.optimum, static_argnames="loss")(loss))
    found = exact(law, optimum, loss)
    assert np.abs(found["group_gradient"].mean(axis=0)).max() <= 1e-11
    # Groups pull in different directions there, so that the mean is small by balance alone.
    assert np.abs(found["group_gradient"]).max() > 1e-3
    assert np.linalg.eigvalsh(found["group_hessian"].mean(axis=0)).min() > 0
    moved = exact(law, optimum + 1e-2, loss)
    assert moved["group_risk"].mean() > found["group_risk"].mean()


def test_labels_of_every_maker_have_one_type() -> None:
    """A weak type would compile the fit of rows without synthetic ones again."""
    law = GaussianMixture(np.array([[-1.0, 0.0], [1.0, 0.0]])).law
    assert not law.sample((2, 3), key=jax.random.key(0)).y.weak_type


def test_the_optimum_of_equal_covariances_is_the_bayes_rule() -> None:
    means = np.array([[[-1.0, 0.5]], [[0.5, 1.0]]])
    sigma = np.array([[1.0, 0.3], [0.3, 0.5]])
    groups = (Group("a", 0), Group("b", 1))
    law = GaussianLaw(np.ones((2, 1)), means, np.broadcast_to(sigma, (2, 1, 2, 2)), None, groups, 2)
    w = np.linalg.solve(sigma, means[1, 0] - means[0, 0])
    b = -0.5 * (means[1, 0] + means[0, 0]) @ w
    np.testing.assert_allclose(law.optimum(), [*w, b], atol=1e-9)


def test_risk_and_its_derivatives_exist_where_the_weights_vanish() -> None:
    law = random_law(2, 3, 1, flips=False, seed=11)
    theta = np.array([0.0, 0.0, 0.0, 0.7])
    found = exact(law, theta, "logistic")
    np.testing.assert_allclose(found["group_risk"], [log1p(np.exp(0.7)), log1p(np.exp(-0.7))])
    np.testing.assert_allclose(found["group_error"], [1.0, 0.0], atol=1e-12)
    slopes = np.array([expit(0.7), expit(0.7) - 1])
    features = np.hstack([law.means[:, 0], np.ones((2, 1))])
    np.testing.assert_allclose(found["group_gradient"], slopes[:, None] * features, atol=1e-12)
    gradient = jax.jit(jax.grad(lambda t: law.group_risk(t).sum()))(jnp.asarray(theta))
    np.testing.assert_allclose(gradient, found["group_gradient"].sum(axis=0), atol=1e-7)


def test_two_classes_have_no_standard_error() -> None:
    law = random_law(2, 3, 1, flips=False, seed=12)
    for std_error in (law.group_risk_std_error, law.group_error_std_error):
        np.testing.assert_array_equal(jax.jit(std_error)(jnp.ones(4)), [0.0, 0.0])


@pytest.mark.parametrize("dim", [1, 2, 6])
def test_risks_of_three_classes_are_exact(dim: int) -> None:
    """Against Gauss and Hermite's nodes of the two scores, whose law is written out here."""
    law = random_law(3, dim, 1, flips=False, seed=14)
    t, w = np.polynomial.hermite_e.hermegauss(150)
    nodes = np.stack(np.meshgrid(t, t, indexing="ij"), axis=-1).reshape(-1, 2)
    weights = np.outer(w, w).ravel() / w.sum() ** 2
    for seed in range(3):
        theta = random_theta("logistic", 3, dim, seed)
        rule, intercept = theta.reshape(2, -1)[:, :-1], theta.reshape(2, -1)[:, -1]
        found = jax.jit(law.group_risk)(jnp.asarray(theta))
        np.testing.assert_array_equal(law.group_risk_std_error(jnp.asarray(theta)), np.zeros(3))
        for g in range(3):
            spread = rule @ law.covariances[g, 0] @ rule.T
            values, vectors = np.linalg.eigh(spread)
            root = vectors * np.sqrt(np.maximum(values, 0))
            u = nodes @ root.T + rule @ law.means[g, 0] + intercept
            logits = np.hstack([np.zeros((len(u), 1)), u])
            expected = weights @ (np.logaddexp.reduce(logits, axis=1) - logits[:, g])
            np.testing.assert_allclose(found[g], expected, rtol=1e-7)


@pytest.mark.parametrize("dim", [2, 6])
def test_the_standard_error_of_four_classes_is_honest(dim: int) -> None:
    """Against four times as many points of other scrambles, for many rules and both losses."""
    law = random_law(4, dim, 1, flips=False, seed=14)
    points = stats.norm.ppf(
        np.clip(stats.qmc.Sobol(dim, rng=1234).random_base2(14), 1e-12, 1 - 1e-12)
    )
    z_scores = []
    for loss in LOSSES:
        thetas = np.stack([random_theta(loss, 4, dim, seed) for seed in range(12)])

        def of(t: jax.Array, loss: Loss = loss) -> tuple[jax.Array, ...]:
            risk, error = law.group_risk(t, loss), law.group_error(t, loss)
            return (
                risk,
                law.group_risk_std_error(t, loss),
                error,
                law.group_error_std_error(t, loss),
            )

        found = [np.asarray(a) for a in jax.jit(jax.vmap(of))(jnp.asarray(thetas))]
        risks, risk_errors, wrong, wrong_errors = found
        assert (risk_errors > 0).all()
        for g in range(4):
            x = points @ np.linalg.cholesky(law.covariances[g, 0]).T + law.means[g, 0]
            columns = np.hstack([x, np.ones((len(x), 1))])
            for i, theta in enumerate(thetas):
                u = columns @ theta.reshape(-1, dim + 1).T
                logits = np.hstack([np.zeros((len(u), 1)), u]) if loss == "logistic" else u
                if loss == "logistic":
                    reference = np.mean(np.logaddexp.reduce(logits, axis=1) - logits[:, g])
                else:
                    reference = np.mean(0.5 * np.sum((np.eye(4)[g] - u) ** 2, axis=1))
                z_scores.append((risks[i, g] - reference) / risk_errors[i, g])
                missed = np.mean(logits.argmax(axis=1) != g)
                if 0.01 < missed < 0.99:  # where a scramble's points miss some and hit some
                    z_scores.append((wrong[i, g] - missed) / wrong_errors[i, g])
    sizes = np.abs(z_scores)
    student = stats.t(7)  # eight scrambles
    # Honest: 95 % intervals hold the truth about that often. The rules share their points, so
    # the share is far less certain than that of 192 independent intervals.
    assert np.mean(sizes < student.ppf(0.975)) > 0.85
    assert sizes.max() < student.ppf(1 - 0.005 / len(sizes))
    # Useful: errors are not so wide that nothing could fall outside.
    assert np.median(sizes) > 0.2


@pytest.mark.parametrize("flips", [False, True])
def test_samples_have_counts_labels_and_a_key(flips: bool) -> None:
    law = random_law(3, 2, 2, flips=flips, seed=15)
    drawn, again, other = (sample(law, (4, 0, 300), seed) for seed in (1, 1, 2))
    assert drawn.x.shape == (304, 2)
    assert drawn.x.dtype == "float64"
    assert np.issubdtype(drawn.y.dtype, np.integer)
    assert drawn.counts == (4, 0, 300)
    np.testing.assert_array_equal(drawn.x, again.x)
    np.testing.assert_array_equal(drawn.y, again.y)
    assert not np.any(np.asarray(drawn.x) == np.asarray(other.x))
    if flips:
        assert set(np.unique(drawn.y[4:])) == {0, 1, 2}
    else:
        np.testing.assert_array_equal(drawn.y, np.repeat([0, 2], [4, 300]))


@pytest.mark.parametrize("flips", [False, True])
def test_the_first_rows_of_a_group_do_not_depend_on_how_many_are_drawn(flips: bool) -> None:
    law = random_law(2, 3, 2, flips=flips, seed=16)
    short, long = (sample(law, counts, 3) for counts in ((7, 5), (40, 90)))
    for g in range(2):
        n = short.counts[g]
        # The normals are equal bit for bit (tests/test_draws.py); XLA may round their product with
        # the factor otherwise for another number of rows.
        few, many = short.x[short.rows(g)], long.x[long.rows(g)][:n]
        np.testing.assert_allclose(few, many, rtol=0, atol=1e-14)
        np.testing.assert_array_equal(short.y[short.rows(g)], long.y[long.rows(g)][:n])


def test_nothing_can_be_drawn() -> None:
    drawn = sample(random_law(2, 3, 1, flips=False, seed=17), (0, 0), 0)
    assert drawn.x.shape == (0, 3)
    assert drawn.y.shape == (0,)
