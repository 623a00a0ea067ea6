"""Laws of tokens: every expectation is the sum it stands for, and simulations run on them."""

from __future__ import annotations

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit

from opal import checks, losses
from opal.losses import LOSSES, Loss
from opal.objective import Design
from opal.settings import Alphabet, FiniteLaw, Group, Sample, TokenSetting
from opal.simulation import replicate_metrics, simulate
from opal.synthesis import Bias, Duplication, GaussianFit, Oracle, Smote

N_TOKENS, RANK = 6, 2
CASES = [(k, loss) for k in (2, 3) for loss in LOSSES]
CLASSES = TokenSetting.drawn(Alphabet.random(N_TOKENS, RANK, key=0), key=1)
PAIRS = TokenSetting.drawn(CLASSES.alphabet, n_labels=2, key=2)
DESIGN = Design((400, 100))
MANY = (30_000, 5, 30_000)


def law_of(n_classes: int) -> FiniteLaw:
    """Random tables of three groups, the last with impossible tokens at both ends."""
    rng = np.random.default_rng(n_classes)
    table = rng.dirichlet(np.ones(N_TOKENS * n_classes), size=3)
    table[2, [0, 3, -1]] = 0
    table /= table.sum(axis=1, keepdims=True)
    groups = tuple(Group(f"subject {g}", 0, g, True) for g in range(3))
    features = rng.normal(size=(N_TOKENS, RANK))
    return FiniteLaw(table.reshape(3, N_TOKENS, n_classes), features, groups)


def rule(n_classes: int, loss: Loss) -> jax.Array:
    p = losses.n_parameters(loss, n_classes, RANK)
    return jnp.asarray(np.random.default_rng(7).normal(size=p))


@partial(jax.jit, static_argnames=("loss",))
def said(law: FiniteLaw, theta: jax.Array, loss: Loss) -> dict[str, jax.Array]:
    """What a law says about a rule, and the automatic derivatives of its risk."""
    slope = jax.jacfwd(lambda t: law.group_risk(t, loss))
    return {
        "risk": law.group_risk(theta, loss),
        "error": law.group_error(theta, loss),
        "gradient": law.group_gradient(theta, loss),
        "hessian": law.group_hessian(theta, loss),
        "covariance": law.group_score_covariance(theta, loss),
        "score": law.score_table(theta, loss),
        "slope": slope(theta),
        "bend": jax.jacfwd(slope)(theta),
    }


@partial(jax.jit, static_argnames=("counts",))
def drawn(law: FiniteLaw, counts: tuple[int, ...], seed: int) -> tuple[Sample, jax.Array]:
    rows = law.sample(counts, key=jax.random.key(seed))
    return rows, law.tally(rows)


def test_samples_have_the_law_and_impossible_tokens_never_occur() -> None:
    law, n = law_of(2), MANY[0]
    rows, tally = drawn(law, MANY, 0)
    assert rows.counts == MANY
    assert rows.x.shape == (2 * n + 5, RANK)
    assert rows.x.dtype == "float64"
    counts = np.asarray(tally)
    np.testing.assert_array_equal(counts.sum(axis=(1, 2)), rows.counts)
    p = law.table[[0, 2]]
    assert np.all(counts[[0, 2]][p == 0] == 0)
    z = (counts[[0, 2]] - n * p)[p > 0] / np.sqrt(n * p * (1 - p))[p > 0]
    check = checks.within_standard_errors("frequencies", z.tolist())
    assert check.passed, check


def test_more_rows_extend_fewer_and_features_name_their_token() -> None:
    law = law_of(2)
    (few, _), (more, _) = drawn(law, (4, 0, 7), 3), drawn(law, MANY, 3)
    for g in range(3):
        same = slice(more.rows(g).start, more.rows(g).start + few.counts[g])
        np.testing.assert_array_equal(few.x[few.rows(g)], more.x[same])
        np.testing.assert_array_equal(few.y[few.rows(g)], more.y[same])
    np.testing.assert_array_equal(law.features[law.tokens(few.x)], few.x)


@pytest.mark.parametrize(("n_classes", "loss"), CASES)
def test_risks_and_errors_are_sums(n_classes: int, loss: Loss) -> None:
    law, theta = law_of(n_classes), rule(n_classes, loss)
    weights, intercepts = losses.weights_and_intercepts(theta, RANK)
    risk, error = np.zeros(3), np.zeros(3)
    for x, u in enumerate(law.features):
        scores = weights @ u + intercepts
        value = np.asarray(losses.values(scores, n_classes, loss))
        predicted = int(losses.predictions(scores, n_classes, loss))
        for y in range(n_classes):
            risk += law.table[:, x, y] * value[y]
            error += law.table[:, x, y] * (predicted != y)
    found = said(law, theta, loss)
    np.testing.assert_allclose(found["risk"], risk, rtol=1e-12)
    np.testing.assert_allclose(found["error"], error, rtol=1e-12)
    assert losses.n_classes_of(loss, len(theta), RANK) == n_classes


@pytest.mark.parametrize(("n_classes", "loss"), CASES)
def test_derivatives_are_those_of_the_risk(n_classes: int, loss: Loss) -> None:
    law, theta = law_of(n_classes), rule(n_classes, loss)
    found = said(law, theta, loss)
    np.testing.assert_allclose(found["gradient"], found["slope"], atol=1e-12)
    np.testing.assert_allclose(found["hessian"], found["bend"], atol=1e-12)
    score = np.asarray(found["score"]).reshape(N_TOKENS * n_classes, -1)
    for g, probabilities in enumerate(law.table.reshape(3, -1)):
        expected = np.cov(score.T, aweights=probabilities, ddof=0)
        np.testing.assert_allclose(found["covariance"][g], expected, atol=1e-12)


def test_the_optimum_has_no_slope_and_no_better_neighbour() -> None:
    law = law_of(3)
    best = jax.jit(FiniteLaw.optimum)(law)
    found = said(law, best, "logistic")
    np.testing.assert_allclose(found["gradient"].mean(axis=0), 0, atol=1e-11)
    near = best + 0.01 * jnp.asarray(np.random.default_rng(0).normal(size=best.shape))
    assert said(law, near, "logistic")["risk"].mean() > found["risk"].mean()


def test_calibration_is_a_sum_over_tokens() -> None:
    law, theta = law_of(2), rule(2, "logistic")
    pooled = law.table.mean(axis=0)
    promised = expit(law.features @ np.asarray(theta[:2]) + float(theta[2]))
    expected = sum(
        pooled[x].sum() * abs(pooled[x, 1] / pooled[x].sum() - promised[x]) for x in range(N_TOKENS)
    )
    np.testing.assert_allclose(
        jax.jit(FiniteLaw.calibration_error)(law, theta), expected, rtol=1e-12
    )


def test_simulations_run_on_tokens() -> None:
    design = DESIGN.with_(synthesizer=Oracle(CLASSES.law), n_augmented=20, alpha=0.5)
    frame = simulate(CLASSES, design, key=0, n_replicates=40)
    found = frame.set_index(["metric", "group"])
    excess = found.loc[("excess_balanced_risk", "all")]
    assert excess["value"] > 3 * excess["std_error"]
    assert {("risk", "class 1"), ("f1", "all"), ("calibration_error", "all")} <= set(found.index)
    assert set(frame["setting"]) == {CLASSES.name}
    assert set(frame["synthesizer"]) == {"oracle"}


def test_duplication_in_turn_is_weighting_of_tokens() -> None:
    """Filling groups with equal numbers of copies is the same objective as weighting them."""
    plain = DESIGN.with_(loss="squared")
    arms = [plain.with_(synthesizer=Duplication()), plain.with_(weighting="group")]
    first, second = (replicate_metrics(PAIRS, arm, key=3, n_replicates=40) for arm in arms)
    np.testing.assert_allclose(first["risk"], second["risk"], rtol=1e-10)
    assert first["risk"].std(axis=0).min() > 0
    assert "f1" not in first  # it would need one label for each group


def test_those_who_label_by_group_refuse_mixed_groups() -> None:
    rows = Sample(jnp.zeros((9, RANK)), jnp.zeros(9, int), (5, 4))
    for synthesizer in (Smote(3), GaussianFit()):
        message = (
            f"{synthesizer.name} gives every row its group's label; rows of group 'subject 0' "
            "have several labels. Make each label a group of its own, or leave"
        )
        with pytest.raises(ValueError, match=re.escape(message)):
            synthesizer.fit(rows, PAIRS.groups, key=jax.random.key(0))


def test_tokens_flip_labels_and_refuse_to_move() -> None:
    flipped = CLASSES.law.biased(Bias(label_flip=[0.0, 0.25]))
    assert [group.mixed for group in flipped.groups] == [False, True]
    np.testing.assert_allclose(flipped.table[0], CLASSES.law.table[0])
    np.testing.assert_allclose(flipped.table[1, :, 0], 0.25 * CLASSES.law.table[1].sum(axis=1))
    with pytest.raises(ValueError, match="its tokens stay where they are, so it has no mean_shift"):
        Oracle.biased(CLASSES.law, Bias(mean_shift=0.3))
    assert GaussianFit(0.1).population(CLASSES.law) is None
