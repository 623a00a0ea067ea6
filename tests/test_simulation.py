"""Replicates: what they depend on, and that each is what a user would compute by hand."""

from __future__ import annotations

import inspect
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats
from sklearn.linear_model import LogisticRegression

from opal import chunks, records, simulation, threads
from opal.draws import as_key, named
from opal.objective import Design, RowWeights, baselines
from opal.settings import GaussianMixture, Group, Sample
from opal.simulation import compare, replicate_metrics, simulate
from opal.synthesis import Adasyn, Bias, Duplication, GaussianFit, Oracle, Smote, Synthesizer
from opal.training_rows import generator_rows, training_rows

SETTING = GaussianMixture(
    [[-0.6, 0.0], [0.6, 0.4]], [[[1.0, 0.3], [0.3, 1.0]], [[0.5, 0.0], [0.0, 1.5]]]
)
LAW = SETTING.law
ORACLE = Oracle.biased(LAW, Bias(mean_shift=0.3, label_flip=0.1))
DESIGN = Design((40, 15), ORACLE, n_augmented=20, alpha=0.3)
R = 12


@pytest.fixture(scope="module")
def baseline() -> dict[str, np.ndarray]:
    return replicate_metrics(SETTING, DESIGN, key=3, n_replicates=R)


@pytest.mark.parametrize(("chunk", "n"), [(1, R), (5, 7)])
def test_neither_chunks_nor_the_number_of_replicates_change_a_replicate(
    chunk: int, n: int, baseline: dict[str, np.ndarray]
) -> None:
    found = replicate_metrics(SETTING, DESIGN, key=3, n_replicates=n, chunk_size=chunk)
    assert set(found) == set(baseline)
    for name, values in found.items():
        assert len(values) == n
        # A fit ends at a gradient of 1e-9, and where it does may hang on rounding.
        np.testing.assert_allclose(values, baseline[name][:n], rtol=0, atol=2e-8, err_msg=name)


def test_chunks_do_not_matter_where_rows_are_separable_either() -> None:
    """The minimiser is at infinity: where the iterations stop must not depend on the chunk."""
    design = Design((6, 4), loss="logistic")
    whole, single = (
        replicate_metrics(SETTING, design, key=1, n_replicates=20, chunk_size=c, calibration=False)
        for c in (20, 1)
    )
    assert 0 < whole["separated"].mean() < 1
    for name, values in whole.items():
        assert np.isfinite(values).all()
        np.testing.assert_allclose(values, single[name], rtol=1e-10, atol=1e-10, err_msg=name)


def test_replicates_and_keys_differ(baseline: dict[str, np.ndarray]) -> None:
    assert len(np.unique(baseline["balanced_risk"])) == R
    other = replicate_metrics(SETTING, DESIGN, key=4, n_replicates=R)
    assert not np.any(other["balanced_risk"] == baseline["balanced_risk"])


def test_results_do_not_depend_on_the_precision_that_jax_is_set_to(
    baseline: dict[str, np.ndarray],
) -> None:
    with jax.enable_x64(False):
        assert jnp.zeros(1).dtype == "float32"
        setting = GaussianMixture(SETTING.means[:, 0], SETTING.covariances[:, 0])
        oracle = Oracle.biased(setting.law, Bias(mean_shift=0.3, label_flip=0.1))
        found = replicate_metrics(setting, DESIGN.with_(synthesizer=oracle), key=3, n_replicates=R)
    for name, values in found.items():
        assert values.dtype == np.float64
        np.testing.assert_array_equal(values, baseline[name], err_msg=name)


@partial(jax.jit, static_argnums=(3, 4))
def rows_of(
    key: jax.Array, synthesizer: Synthesizer, weights: RowWeights, counts: Any, sizes: Any
) -> tuple[Sample, jax.Array]:
    return training_rows(LAW, synthesizer, weights, counts, sizes, key=key)


def rows(design: Design, replicate: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Training rows, labels and weights of a replicate under key 3."""
    assert design.synthesizer is not None
    sizes = (design.n_oversampled, (design.n_augmented,) * 2)
    weights = RowWeights(*(np.asarray(w) for w in design.row_weights()))
    key = jax.random.fold_in(as_key(3), replicate)
    sample, row_weights = rows_of(key, design.synthesizer, weights, design.counts, sizes)
    return np.asarray(sample.x), np.asarray(sample.y), np.asarray(row_weights)


def test_arms_share_their_real_rows_and_nothing_else() -> None:
    arms = (Oracle(LAW), Duplication(), GaussianFit(0.2), Smote(2), Adasyn(2))
    made = [rows(DESIGN.with_(synthesizer=arm), 5) for arm in arms]
    assert {len(x) for x, _, _ in made} == {40 + 15 + 25 + 2 * 20}
    for x, y, _ in made:
        np.testing.assert_array_equal(x[:55], made[0][0][:55])
        np.testing.assert_array_equal(y[:55], made[0][1][:55])
    assert len({x[60:].tobytes() for x, _, _ in made}) == len(arms)


def test_oversampled_and_augmented_rows_are_different_draws() -> None:
    x, _, weights = rows(DESIGN.with_(synthesizer=Oracle(LAW)), 5)
    assert len(np.unique(x, axis=0)) == len(x)
    np.testing.assert_allclose(weights.sum(), 1.0)
    expected = [0.7 / 80] * 80 + [0.3 / 40] * 40
    np.testing.assert_allclose(weights, expected)


def test_a_replicate_is_what_a_user_would_compute(baseline: dict[str, np.ndarray]) -> None:
    """The same rows, fitted by scikit-learn, and their risk by adaptive quadrature."""
    for replicate in (0, 7):
        x, y, weights = rows(DESIGN, replicate)
        peer = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-12)
        peer.fit(x, y, sample_weight=weights)
        w, b = peer.coef_[0], peer.intercept_[0]
        for g, sign in ((0, -1), (1, 1)):
            centre = LAW.means[g, 0] @ w + b
            spread = np.sqrt(w @ LAW.covariances[g, 0] @ w)
            risk = integrate.quad(
                lambda u, c=centre, s=spread, sign=sign: (
                    np.logaddexp(0, -sign * u) * stats.norm.pdf(u, c, s)
                ),
                centre - 10 * spread,
                centre + 10 * spread,
            )[0]
            error = stats.norm.cdf(-sign * centre / spread)
            np.testing.assert_allclose(baseline["risk"][replicate, g], risk, atol=1e-6)
            np.testing.assert_allclose(baseline["error"][replicate, g], error, atol=1e-6)
    least = LAW.group_risk(LAW.optimum("logistic"), "logistic").mean()
    excess = baseline["risk"].mean(axis=1) - np.asarray(least)
    np.testing.assert_allclose(baseline["excess_balanced_risk"], excess, atol=1e-9)
    minority = int(np.argmin(DESIGN.counts))
    np.testing.assert_allclose(baseline["minority_error"], baseline["error"][:, minority])


def test_a_simulation_is_the_mean_of_its_replicates(baseline: dict[str, np.ndarray]) -> None:
    frame = simulate(SETTING, DESIGN, key=3, n_replicates=R, study="mine")
    assert list(frame.columns) == list(records.COLUMNS)
    assert set(frame["source"]) == {"simulation"}
    assert set(frame["n_replicates"]) == {R}
    found = frame.set_index(["metric", "group"])
    for metric, group, values in (
        ("risk", "class 1", baseline["risk"][:, 1]),
        ("worst_error", "all", baseline["worst_error"]),
        ("excess_balanced_risk", "all", baseline["excess_balanced_risk"]),
    ):
        row = found.loc[(metric, group)]
        np.testing.assert_allclose(row["value"], values.mean(), rtol=1e-12)
        np.testing.assert_allclose(row["std_error"], values.std(ddof=1) / np.sqrt(R), rtol=1e-9)


OTHERS = DESIGN.with_(synthesizer=GaussianFit(0.1), n_generator=(60, 25), n_shared=(10, 15))


def test_a_generator_s_rows_are_the_first_real_ones_and_then_its_own() -> None:
    """More of its rows extend fewer, and the training rows stay what they are."""
    key = jax.random.fold_in(as_key(3), 5)
    real = LAW.sample((40, 15), key=named(key, "real"))
    found = generator_rows(LAW, real, ((60, 25), (10, 15)), key=key)
    assert found.counts == (60, 25)
    for g, shared in enumerate((10, 15)):
        seen = found.x[found.rows(g)]
        np.testing.assert_array_equal(seen[:shared], real.x[real.rows(g)][:shared])
        assert not np.isin(np.asarray(seen[shared:]), np.asarray(real.x)).any()
        np.testing.assert_array_equal(found.y[found.rows(g)], g)
    fewer = generator_rows(LAW, real, ((30, 12), (0, 0)), key=key)
    for g, shared in enumerate((10, 15)):
        own = found.x[found.rows(g)][shared:]
        np.testing.assert_array_equal(fewer.x[fewer.rows(g)][: len(own)], own[: fewer.counts[g]])
    assert generator_rows(LAW, real, ((40, 15), (40, 15)), key=key) is real


def test_the_training_rows_said_as_numbers_change_nothing() -> None:
    arm = DESIGN.with_(synthesizer=GaussianFit(0.1))
    same = arm.with_(n_generator=arm.counts, n_shared=arm.counts)
    default, other = (replicate_metrics(SETTING, d, key=3, n_replicates=R) for d in (arm, OTHERS))
    for name, values in replicate_metrics(SETTING, same, key=3, n_replicates=R).items():
        np.testing.assert_array_equal(values, default[name], err_msg=name)
    assert not np.any(other["balanced_risk"] == default["balanced_risk"])
    single = replicate_metrics(SETTING, OTHERS, key=3, n_replicates=5, chunk_size=1)
    for name, values in single.items():
        np.testing.assert_allclose(values, other[name][:5], rtol=0, atol=2e-8, err_msg=name)


def test_excess_is_never_negative(baseline: dict[str, np.ndarray]) -> None:
    assert baseline["excess_balanced_risk"].min() > 0


def test_arms_are_compared_in_pairs() -> None:
    arms = baselines((60, 20))
    frame = compare(SETTING, arms, reference="weighting", key=1, n_replicates=R)
    found = frame.set_index(["arm", "metric", "group"])
    metric = "balanced_error"
    paired = found.loc[("raw", f"{metric} minus weighting", "all")]
    raw, reference = (found.loc[(arm, metric, "all")] for arm in ("raw", "weighting"))
    np.testing.assert_allclose(paired["value"], raw["value"] - reference["value"], atol=1e-12)
    apart = np.hypot(raw["std_error"], reference["std_error"])
    assert 0 < paired["std_error"] < apart
    alone = simulate(SETTING, arms["raw"], key=1, n_replicates=R).set_index(["metric", "group"])
    np.testing.assert_allclose(alone.loc[(metric, "all")]["value"], raw["value"], rtol=1e-12)


@pytest.mark.parametrize(
    ("design", "n_replicates", "message"),
    [
        (DESIGN, 0, "n_replicates must be a whole number of at least 1; got 0."),
        (Design((5, 5, 5)), 3, "counts needs one number for each of the 2 groups; got [5, 5, 5]"),
        (
            Design((20, 4), Smote(5)),
            3,
            "SMOTE needs at least 6 seeds in every group; group 'class 1' has 4. Collect more",
        ),
        (
            Design((20, 10), Smote(5), n_generator=(30, 4)),
            3,
            "SMOTE needs at least 6 seeds in every group; group 'class 1' has 4. Collect more",
        ),
        (
            Design((20, 2), GaussianFit()),
            3,
            "Collect more, set shrinkage > 0 (then 2 are enough), or leave gaussian fit out.",
        ),
    ],
)
def test_what_cannot_be_simulated_is_refused(
    design: Design, n_replicates: int, message: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        replicate_metrics(SETTING, design, key=0, n_replicates=n_replicates)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"chunk_size": 0}, "chunk_size must be a whole number of at least 1; got 0."),
        ({"chunk_size": -1}, "chunk_size must be a whole number of at least 1; got -1."),
        ({"chunk_size": 2.5}, "chunk_size must be a whole number of at least 1; got 2.5."),
        ({"n_replicates": 1.5}, "n_replicates must be a whole number of at least 1; got 1.5."),
        ({"key": 2**70}, f"a key of jax.random.key; got {2**70}"),
    ],
)
def test_arguments_are_refused_before_work_starts(arguments: dict[str, Any], message: str) -> None:
    unchecked = inspect.unwrap(replicate_metrics)
    with pytest.raises(ValueError, match=re.escape(message)):
        unchecked(SETTING, DESIGN, **{"key": 0, "n_replicates": R, **arguments})


@pytest.mark.timeout(120)
def test_simulations_in_two_threads_do_not_wait_for_each_other() -> None:
    """Batched LU and QR can hang when two executions run at once (NOTES); Cholesky does not."""
    designs = [DESIGN, DESIGN.with_(loss="squared", ridge=0.1)]

    def work(design: Design) -> np.ndarray:
        return replicate_metrics(SETTING, design, key=3, n_replicates=R)["balanced_risk"]

    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(work, designs * 8))
    for left, right in zip(together[:2], together[-2:], strict=True):
        np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize("design", [DESIGN, DESIGN.with_(loss="squared", ridge=0.1)])
def test_cores_change_nothing_but_the_time(monkeypatch: pytest.MonkeyPatch, design: Design) -> None:
    monkeypatch.setattr(chunks, "_CALL_BYTES", 1e5)
    asked: list[tuple[int, bool]] = []
    map_in_threads = threads.map_in_threads

    def told(function: Any, values: list[Any], most: int) -> list[Any]:
        asked.append((most, len(values) > 1))
        return map_in_threads(function, values, most)

    monkeypatch.setattr(threads, "map_in_threads", told)
    found = []
    for cores in (1, 3):
        monkeypatch.setattr(threads, "cores", lambda cores=cores: cores)
        found.append(replicate_metrics(SETTING, design, key=3, n_replicates=200, chunk_size=5))
    # Rows and rules, then metrics.
    assert asked == [(1, True), (1, False), (3, True), (3, True)]
    for name, alone in found[0].items():
        np.testing.assert_array_equal(alone, found[1][name], err_msg=name)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Named:
    """A synthesizer that does what its name says."""

    name: str = field(default="true", metadata={"static": True})
    min_seeds = 1

    def fit(self, seeds: Sample, groups: Any, *, key: Any) -> Any:
        far = GaussianMixture([[-1.0, 3.0], [1.0, -3.0]])
        return (SETTING if self.name == "true" else far).law

    def population(self, truth: Any) -> None:
        return None


def test_a_user_s_synthesizer_keeps_its_name() -> None:
    def excess(name: str) -> float:
        design = Design((60, 20), Named(name), n_augmented=60, alpha=0.6)
        found = replicate_metrics(SETTING, design, key=0, n_replicates=20)
        return float(found["excess_balanced_risk"].mean())

    assert excess("far") > 2 * excess("true")


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class OfUser:
    """What a user wrote around a law."""

    law: Any


@pytest.mark.parametrize(
    ("design", "expected"),
    [
        (DESIGN, 8),
        (Design((60, 20), Named("far"), n_augmented=60), 1),
        (Design((60, 20), Oracle(OfUser(SETTING.law)), n_augmented=60), 1),
        (Design((800_000, 20)), 6),
        (Design((60_000_000, 20)), 1),
    ],
    ids=["opal's own", "a user's synthesizer", "an oracle of a user's law", "rows", "many rows"],
)
def test_calls_at_once_are_as_many_as_are_safe_and_fit(
    monkeypatch: pytest.MonkeyPatch, design: Design, expected: int
) -> None:
    monkeypatch.setattr(threads, "cores", lambda: 8)
    assert simulation._at_once(SETTING.law, design, 3) == expected


class GroupOfUser(Group):
    """A static field of a law."""


@pytest.mark.parametrize(
    ("made", "ours"),
    [
        (SETTING.law, True),
        (Oracle(SETTING.law, name="far"), True),
        (replace(SETTING.law, groups=(GroupOfUser("a", 0), GroupOfUser("b", 1))), False),
        (Oracle(OfUser(SETTING.law)), False),
        ((np.sin, jnp.sin, len, None, 1.0), True),
        ((np.sin, lambda x: x), False),
        ((partial(np.sin),), False),
    ],
)
def test_what_holds_anything_of_a_user_is_not_opal_s_own(made: Any, ours: bool) -> None:
    assert simulation._is_ours(made) == ours


def test_squares_that_a_correction_subtracts_are_told_where_none_are_least() -> None:
    """One augmented row, of which all synthetic weight is taken: no minimum, and it is marked."""
    setting = GaussianMixture([[-0.6, 0.0], [0.6, 0.4]])
    design = Design((200, 20), GaussianFit(), n_augmented=1, loss="squared", correction=1.0)
    found = replicate_metrics(setting, design, key=0, n_replicates=20)
    lost = ~np.isfinite(found["balanced_risk"])
    assert lost.any()
    np.testing.assert_array_equal(found["separated"], lost)
