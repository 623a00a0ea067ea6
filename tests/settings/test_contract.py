"""Every law keeps its word: risks against Monte Carlo, derivatives against autodiff.

A new law is one line in ``LAWS``.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from opal import checks, losses
from opal.losses import LOSSES, Loss
from opal.settings import (
    Alphabet,
    Bias,
    Craft,
    FiniteLaw,
    GaussianMixture,
    Grammar,
    SpuriousCorrelation,
    TokenSetting,
)
from opal.settings.law import ScoreLaw, SmoothLaw, SmoothTruth, TrueLaw, require_pytree
from opal.settings.setting import LawSetting
from opal.synthesis.transformer.quantise import Quantiser
from opal.synthesis.transformer.quantised_law import QuantisedLaw

MODES = GaussianMixture(
    [[[-1.0, 0.2], [0.5, 0.0]], [[1.0, 0.3], [0.2, -1.0]]], [[1.0, 0.4], [0.4, 0.8]]
)
THREE = GaussianMixture([[-1.0, 0.0], [1.0, 0.3], [0.2, 1.1]])
TOKENS = TokenSetting.drawn(Alphabet.random(12, 3, key=0), 2, n_labels=2, key=1)
CELLS = np.random.default_rng(0).dirichlet(np.ones(16), size=2)
LAWS: dict[str, SmoothLaw] = {
    "gaussian modes": MODES.law,
    "flipped labels": MODES.law.biased(Bias(mean_shift=0.3, label_flip=0.2)),
    "three classes": THREE.law,
    "spurious": SpuriousCorrelation(noise_dim=1).law,
    "tokens": TOKENS.law,
    "grammar": Grammar.reviews().law,
    "craft": Craft().law,
    "quantised": QuantisedLaw(CELLS, Quantiser(4), 2, MODES.law.groups),
}
N_ROWS = 20_000
CASES = [(name, loss) for name in LAWS for loss in LOSSES]


def rule(law: SmoothLaw, loss: Loss) -> jax.Array:
    """A rule that is neither very sure nor indifferent [p]."""
    p = losses.n_parameters(loss, law.n_classes, law.dim)  # type: ignore[attr-defined]
    return jnp.asarray(0.7 * np.random.default_rng(3).normal(size=p))


def said(law: SmoothLaw, loss: Loss) -> dict[str, np.ndarray]:
    """What a law says of a rule, and the automatic derivatives of its risk."""

    @jax.jit
    def of(law: SmoothLaw, theta: jax.Array) -> dict[str, jax.Array]:
        slope = jax.jacfwd(lambda t: law.group_risk(t, loss))
        return {
            "risk": law.group_risk(theta, loss),
            "error": law.group_error(theta, loss),
            "gradient": law.group_gradient(theta, loss),
            "hessian": law.group_hessian(theta, loss),
            "covariance": law.group_score_covariance(theta, loss),
            "slope": slope(theta),
            "bend": jax.jacfwd(slope)(theta),
        }

    return {name: np.asarray(value) for name, value in of(law, rule(law, loss)).items()}


@pytest.mark.parametrize(("name", "loss"), CASES)
def test_derivatives_are_those_of_the_risk(name: str, loss: Loss) -> None:
    found = said(LAWS[name], loss)
    # Nodes are fixed points in the scores, so that derivatives of a mean are means of derivatives
    # up to the quadrature.
    np.testing.assert_allclose(found["gradient"], found["slope"], rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(found["hessian"], found["bend"], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("name", "loss"), CASES)
def test_expectations_are_those_of_draws(name: str, loss: Loss) -> None:
    law, theta = LAWS[name], rule(LAWS[name], loss)
    found = said(law, loss)
    n_classes, dim = law.n_classes, law.dim  # type: ignore[attr-defined]
    drawn = law.sample((N_ROWS,) * len(law.groups), key=jax.random.key(5))
    w, b = losses.weights_and_intercepts(theta, dim)
    scores = drawn.x @ w.T + b[None, :]
    own = jnp.arange(len(drawn.y)), drawn.y
    rows = {
        "risk": losses.values(scores, n_classes, loss)[own],
        "error": (losses.predictions(scores, n_classes, loss) != drawn.y).astype(float),
    }
    lifted = np.column_stack([drawn.x, np.ones(len(drawn.x))])
    slopes = np.asarray(losses.slopes(scores, n_classes, loss)[own])
    score = (slopes[:, :, None] * lifted[:, None, :]).reshape(len(lifted), -1)
    z_scores: list[float] = []
    for g in range(len(law.groups)):
        part = drawn.rows(g)
        centred = score[part] - found["gradient"][g]
        pairs = [(np.asarray(rows[key])[part], found[key][g]) for key in rows]
        pairs += [(centred[:, i] ** 2, found["covariance"][g, i, i]) for i in range(len(theta))]
        pairs += [(centred[:, 0] * centred[:, i], found["covariance"][g, 0, i]) for i in (1, -1)]
        for sampled, expected in pairs:
            error = sampled.std() / np.sqrt(N_ROWS) + 1e-9
            z_scores.append((sampled.mean() - expected) / error)
    check = checks.within_standard_errors(name, z_scores, level=0.001)
    assert check.passed, check


@pytest.mark.parametrize("name", LAWS)
def test_a_law_states_what_it_can(name: str) -> None:
    law = LAWS[name]
    require_pytree(law, "the law")
    assert isinstance(law, SmoothLaw)
    if name != "quantised":
        assert isinstance(law, SmoothTruth)
        assert isinstance(law, ScoreLaw)
        assert isinstance(law, TrueLaw)


@pytest.mark.parametrize("name", [name for name in LAWS if name != "quantised"])
def test_the_optimum_has_no_slope(name: str) -> None:
    law = LAWS[name]
    assert isinstance(law, SmoothTruth)
    best = jax.jit(lambda law: law.optimum())(law)
    slope = jax.jit(lambda law, t: law.group_gradient(t).mean(axis=0))(law, best)
    assert np.abs(slope).max() < 1e-9


def test_a_wrong_law_fails_the_same_test() -> None:
    """The negative control: the risk of a law that says another's numbers is refused."""
    moved = MODES.law.biased(Bias(mean_shift=0.4))
    theta = rule(moved, "logistic")
    drawn = MODES.law.sample((N_ROWS, N_ROWS), key=jax.random.key(5))
    w, b = losses.weights_and_intercepts(theta, 2)
    values = losses.values(drawn.x @ w.T + b[None, :], 2, "logistic")
    rows = np.asarray(values[jnp.arange(len(drawn.y)), drawn.y]).reshape(2, -1)
    z = (
        (rows.mean(axis=1) - np.asarray(moved.group_risk(theta)))
        * np.sqrt(N_ROWS)
        / rows.std(axis=1)
    )
    assert not checks.within_standard_errors("moved", z.tolist(), level=0.001).passed


def test_a_law_that_is_no_pytree_is_told() -> None:
    class Plain(LawSetting):
        law = object()  # type: ignore[assignment]
        name = "plain"

    with pytest.raises(ValueError, match=r"must be a JAX pytree.*object is none"):
        require_pytree(Plain().law, "the law of plain")
    worded = FiniteLaw(TOKENS.law.table, np.array([["a"]]), TOKENS.law.groups)
    with pytest.raises(ValueError, match=r"FiniteLaw.features is .*Declare it as field"):
        require_pytree(worded, "the law")
