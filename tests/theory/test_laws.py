"""Theory works for laws that are not Gaussian, for what they can say and not for their class."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from opal import losses
from opal.objective import Design
from opal.settings import Alphabet, Bias, FiniteLaw, GaussianMixture, Grammar, Group, TokenSetting
from opal.settings.setting import LawSetting, Setting
from opal.simulation import replicate_metrics
from opal.synthesis import Duplication, GaussianFit, Oracle
from opal.theory import asymptotics
from opal.theory.estimator import expand
from opal.theory.predict import predict

TOKENS = TokenSetting.drawn(Alphabet.random(24, 3, eta=1.0, key=0), key=2)
MIXED = TokenSetting.drawn(Alphabet.random(24, 3, eta=1.0, key=0), n_labels=2, key=1)
GRAMMAR = Grammar.reviews()
FLIP = Bias(label_flip=0.05)
N_REPLICATES = 1500


def arms(setting: TokenSetting | Grammar, counts: tuple[int, ...]) -> dict[str, Design]:
    made = Oracle.biased(setting.law, FLIP)
    return {
        "weighting": Design(counts, weighting="group"),
        "synthetic": Design(counts, made, n_augmented=400, alpha=0.3),
    }


CASES: dict[str, tuple[Setting, Design]] = {
    f"{name}, {arm}": (setting, design)
    for name, setting, counts in (
        ("tokens", TOKENS, (800, 200)),
        ("mixed labels", MIXED, (800, 200)),
        ("grammar", GRAMMAR, (800, 200, 200, 800)),
    )
    for arm, design in arms(setting, counts).items()
}


def value(frame: Any, metric: str) -> float:
    return float(frame.set_index(["metric", "group"]).loc[(metric, "all"), "value"])


SLOW = (
    "grammar, weighting",
    "tokens, synthetic",
    "grammar, synthetic",
    "mixed labels, weighting",
    "mixed labels, synthetic",
)


@pytest.mark.parametrize(
    "name", [pytest.param(k, marks=pytest.mark.slow) if k in SLOW else k for k in CASES]
)
def test_the_excess_is_that_of_simulation(name: str) -> None:
    setting, design = CASES[name]
    simulated = replicate_metrics(setting, design, key=1, n_replicates=N_REPLICATES)
    excess = simulated["excess_balanced_risk"]
    error = excess.std(ddof=1) / np.sqrt(N_REPLICATES)
    assert error < 0.04 * excess.mean()  # the comparison can tell
    predicted = value(predict(setting, design), "excess_balanced_risk")
    assert abs(excess.mean() - predicted) < max(3 * error, 0.02 * predicted)
    # The negative control: without the noise of half of the rows the same comparison fails.
    assert abs(excess.mean() - predicted / 2) > 3 * error


@pytest.mark.slow
@pytest.mark.parametrize("key", [1, 2])
def test_what_is_left_out_is_below_one_over_the_informative_rows(key: int) -> None:
    """Two hundred rows of concentrated tokens may say no more than four."""
    setting = TokenSetting.drawn(Alphabet.random(32, 4, key=0), key=key)
    for counts in ((800, 200), (3200, 800)):
        design, n = Design(counts, weighting="group"), 20_000
        simulated = replicate_metrics(setting, design, key=3, n_replicates=n, calibration=False)
        excess = simulated["excess_balanced_risk"]
        error = excess.std(ddof=1) / np.sqrt(n)
        frame = predict(setting, design)
        rows = frame.loc[frame["metric"] == "informative_rows", "value"].min()
        predicted = value(frame, "excess_balanced_risk")
        assert abs(excess.mean() - predicted) < max(predicted / rows, 3 * error)
        if counts == (800, 200):  # all rows do not bound it
            assert abs(excess.mean() - predicted) > 2 * predicted / min(counts) + 3 * error


def test_informative_rows_are_those_in_doubt() -> None:
    design = Design((800, 200), weighting="group")
    frame = predict(TOKENS, design)
    told = frame.loc[frame["metric"] == "informative_rows"].set_index("group")["value"]
    law = TOKENS.law
    w, b = np.split(np.asarray(law.optimum()), [law.dim])
    p = 1 / (1 + np.exp(-(np.asarray(law.features) @ w + b)))
    shares = np.asarray(law.table).sum(axis=2)
    expected = np.array(design.counts) * (shares @ (p * (1 - p)))
    np.testing.assert_allclose([told[group.name] for group in law.groups], expected, rtol=1e-8)


def test_rows_that_weigh_nothing_inform_of_nothing() -> None:
    maker = Oracle(TOKENS.law)

    def told(**design: Any) -> np.ndarray:
        frame = predict(TOKENS, Design((800, 200), maker, oversample="none", **design))
        return frame.loc[frame["metric"] == "informative_rows", "value"].to_numpy()

    synthetic = told(n_augmented=50, alpha=1.0)
    assert synthetic[0] / synthetic[1] == pytest.approx(
        told(n_augmented=400, alpha=1.0)[0] / told(n_augmented=400, alpha=1.0)[1]
    )
    np.testing.assert_allclose(told(n_augmented=400, alpha=1.0) / synthetic, 8.0, rtol=1e-6)
    # A pair of 50 rows of weight 0.95 and 200 of 0.05 says hardly more than the 50.
    n, m, a = 200, 50, 0.95
    mixed = told(n_augmented=m, alpha=a, weighting="group")
    real = told(alpha=0.0, n_augmented=m, weighting="group")
    ratio = 1 / ((1 - a) ** 2 + a**2 * n / m)
    assert mixed[1] / real[1] == pytest.approx(ratio, rel=1e-6)


@pytest.mark.slow
def test_few_rows_of_a_generator_with_many_inform_of_little() -> None:
    setting = GaussianMixture([[-0.8, 0.0], [0.8, 0.0]])

    def told(maker: Any, **design: Any) -> np.ndarray:
        chosen = Design((50, 50), maker, n_augmented=10, alpha=0.9, **design)
        frame = predict(setting, chosen, order="first")
        return frame.loc[frame["metric"] == "informative_rows", "value"].to_numpy()

    oracle = told(Oracle(setting.law))
    endless = told(GaussianFit(), n_generator=10**9)
    np.testing.assert_allclose(endless, oracle, rtol=1e-3)  # its ten rows weigh nearly everything
    assert (told(GaussianFit(), n_generator=2000) < oracle).all()
    copies = told(Duplication(), n_generator=2000)
    np.testing.assert_allclose(copies, oracle, rtol=1e-6)  # ten different rows are copied


def test_doubt_counts_the_class_of_reference_like_the_others() -> None:
    law = TokenSetting.drawn(Alphabet.random(24, 3, eta=1.0, key=0), 3, key=2).law
    theta = np.random.default_rng(0).normal(size=2 * (law.dim + 1))
    w, b = losses.weights_and_intercepts(jnp.asarray(theta), law.dim)
    scores = np.asarray(law.features) @ np.asarray(w).T + np.asarray(b)
    p = np.asarray(jax.nn.softmax(np.column_stack([np.zeros(len(scores)), scores])))
    expected = np.asarray(law.table).sum(axis=2) @ (p * (1 - p)).sum(axis=1) / 2
    found = asymptotics._doubt(law, jnp.asarray(theta), "logistic")
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    assert asymptotics._doubt(law, jnp.asarray(theta), "squared").tolist() == [1.0, 1.0, 1.0]


@dataclass(frozen=True)
class Silent:
    """A law that says nothing of its derivatives."""

    groups: tuple[Group, ...] = TOKENS.law.groups
    dim: int = 3
    n_classes: int = 2


class Described(LawSetting):
    """A setting with any law."""

    name = "mine"

    def __init__(self, law: Any) -> None:
        self.own = law

    @property
    def law(self) -> Any:
        return self.own


def test_what_a_law_lacks_is_told() -> None:
    with pytest.raises(ValueError, match=re.escape("Silent without group_gradient, group_hessian")):
        predict(Described(Silent()), Design((40, 20)))


@dataclass(frozen=True)
class Wrapped(FiniteLaw):
    """The law of tokens as a user may write it: a dataclass that JAX does not know."""


def test_a_law_that_is_no_pytree_is_told_before_anything_is_compiled() -> None:
    law = Wrapped(TOKENS.law.table, TOKENS.law.features, TOKENS.law.groups)
    with pytest.raises(ValueError, match="must be a JAX pytree"):
        predict(Described(law), Design((40, 20)))
    with pytest.raises(ValueError, match="must be a JAX pytree"):
        replicate_metrics(Described(law), Design((40, 20)), key=0, n_replicates=2)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Smooth:
    """Derivatives alone, without nodes of the scores: theory to order 1/n."""

    law: FiniteLaw
    tag: str = field(default="", metadata={"static": True})

    def __getattr__(self, name: str) -> Any:
        if name in ("score_nodes", "law", "tag") or name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.law, name)


def test_a_law_without_score_nodes_is_expanded_to_first_order() -> None:
    design = CASES["tokens, weighting"][1]
    plain = predict(Described(Smooth(TOKENS.law)), design)
    full = predict(TOKENS, design, order="first")
    for metric in ("excess_balanced_risk", "excess_first_order"):
        assert value(plain, metric) == pytest.approx(value(full, metric), rel=1e-9)
    assert value(predict(TOKENS, design), "excess_balanced_risk") > value(
        plain, "excess_first_order"
    )


def test_copies_of_tokens_are_weights() -> None:
    """Filling groups by whole copies is weighting them, in theory as in simulation."""
    copied, weighted = Design((800, 200), Duplication()), Design((800, 200), weighting="group")
    with jax.enable_x64(True):
        one, other = (float(expand(TOKENS, design).excess) for design in (copied, weighted))
    assert one == pytest.approx(other, rel=1e-10)


def test_memory_of_many_classes_is_that_of_their_results() -> None:
    """Hessians of ten classes in groups one after another: no array of all points and groups."""
    law = GaussianMixture(np.random.default_rng(0).normal(size=(10, 4))).law
    theta = jnp.zeros(9 * 5)
    compiled = jax.jit(lambda law, t: law.group_hessian(t)).lower(law, theta).compile()
    report: Any = compiled.memory_analysis()
    whole = 10 * 4096 * 9 * 5 * 8  # rows of all groups at once
    assert report.temp_size_in_bytes < whole / 2
