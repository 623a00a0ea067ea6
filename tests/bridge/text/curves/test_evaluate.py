"""Learning curves of texts: lineage, weights, and what texts of known quality are worth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import f1_score

from opal.bridge.text.corpus import TextCorpus, text_table
from opal.bridge.text.curves import design, evaluate, measures
from opal.bridge.text.curves.design import SplitData, TuningFold
from opal.bridge.text.encoders import MOST_WORDS, TfIdf
from opal.bridge.text.published import GRAMMAR, grammar_corpus
from opal.objective import Design
from opal.synthesis.resample import Duplication

SETTINGS = evaluate.CurveSettings(encoder="words", sizes=(60, 240), strength=10.0)


@pytest.fixture(scope="module")
def corpus() -> TextCorpus:
    """The grammar's corpus; beside its writers one that is perfect and one that tosses a coin."""
    found = grammar_corpus()
    human = found.human
    half = np.arange(len(human)) % 2 == 0
    perfect = human[half].assign(source="perfect").reset_index(drop=True)
    coin = np.random.default_rng(5).permutation(len(perfect))
    useless = perfect.assign(source="useless", label=perfect["label"].to_numpy()[coin])
    synthetic = {**found.synthetic, "perfect": perfect, "useless": useless}
    return replace(found, human=human[~half].reset_index(drop=True), synthetic=synthetic)


@pytest.fixture(scope="module")
def data(corpus: TextCorpus) -> SplitData:
    return design.split_data(corpus, 3)


def crossings(data: SplitData, fold: TuningFold) -> int:
    """How many texts that are trained on are, equal, or come from a text that is held out."""
    held_out = set(data.frame["id"].iloc[fold.held_out])
    trained = data.frame.iloc[np.concatenate([fold.base, *fold.added.values()])]
    crosses = [
        own in held_out or not held_out.isdisjoint(seeds)
        for own, seeds in zip(trained["id"], trained["seeds"], strict=True)
    ]
    return sum(crosses)


def test_seeds_and_their_texts_are_never_on_both_sides(data: SplitData) -> None:
    parts = list(design.folds(data, 3, seed=0))
    assert sorted(np.concatenate([part.held_out for part in parts])) == sorted(data.base)
    assert [crossings(data, part) for part in parts] == [0, 0, 0]
    for part in parts:
        made = sum(len(part.added[name]) for name in ("faithful", "biased"))
        whole = sum(len(data.added[name]) for name in ("faithful", "biased"))
        assert 0.5 * whole < made < 0.8 * whole  # two thirds of the seeds are trained on


def test_a_planted_violation_is_seen(data: SplitData) -> None:
    """A text of a held-out seed, and a copy of a held-out text, each put among the trained ones."""
    part = next(design.folds(data, 3, seed=0))
    left_out = np.setdiff1d(data.added["faithful"], part.added["faithful"])
    leaking = TuningFold(
        part.base, {"faithful": np.append(part.added["faithful"], left_out[0])}, part.held_out
    )
    copying = TuningFold(np.append(part.base, part.held_out[0]), part.added, part.held_out)
    assert crossings(data, leaking) == 1
    assert crossings(data, copying) == 1


def test_only_texts_of_drawn_seeds_are_at_hand(corpus: TextCorpus, data: SplitData) -> None:
    drawn = set(data.frame["id"].iloc[data.base])
    assert len(drawn) == pytest.approx(len(corpus.base) / 2, abs=2)
    for name in ("faithful", "biased"):
        seeds = data.frame["seeds"].iloc[data.added[name]]
        assert all(drawn.issuperset(each) for each in seeds)
        assert 0 < len(seeds) < len(corpus.synthetic[name])


def test_a_text_of_two_seeds_needs_both() -> None:
    frame = text_table(["a b", "c d"], ["x", "y"], source="m", seeds=[("1", "2"), ("1",)])
    assert design.usable(frame, {"1"}).tolist() == [False, True]
    assert design.usable(frame, {"1", "2"}).tolist() == [True, True]
    assert design.usable(frame, {"1", "2"}, {"2"}).tolist() == [False, True]


def test_sizes_are_nested_and_groups_take_turns(data: SplitData) -> None:
    order = data.added["faithful"]
    for size in (40, 80, 400):
        counts = np.bincount(data.group[order[:size]], minlength=4)
        assert counts.max() - counts.min() <= 1
    other = design.split_data(grammar_corpus(), 4)
    assert not np.array_equal(data.frame["id"].iloc[data.base], other.frame["id"].iloc[other.base])
    assert np.array_equal(data.frame["id"].iloc[data.test], other.frame["id"].iloc[other.test])


def test_weights_are_the_objective_s(data: SplitData) -> None:
    base, added = data.base, data.added["faithful"][:80]
    training = design.adding("synthetic_alpha", data, base, added, ratio=0.3)
    counts = np.bincount(data.group[base])
    objective = Design(
        tuple(int(n) for n in counts),
        Duplication(),
        n_augmented=20,
        alpha=0.3 * 80 / (len(base) + 0.3 * 80),
        oversample="none",
        weighting="group",
    )
    expected = objective.row_weights()
    n = len(base)
    np.testing.assert_allclose(training.weights[:n], expected.real[data.group[base]], rtol=1e-12)
    np.testing.assert_allclose(
        training.weights[n:], expected.augmented[data.group[added]], rtol=1e-12
    )
    assert training.weights.sum() == pytest.approx(1)


def test_alpha_zero_is_weighting(data: SplitData) -> None:
    weighting = design.baseline("weighting", data, data.base, np.random.default_rng(0))
    zero = design.adding("synthetic_alpha", data, data.base, data.added["biased"][:80], ratio=0.0)
    np.testing.assert_array_equal(zero.rows, weighting.rows)
    np.testing.assert_array_equal(zero.weights, weighting.weights)
    assert zero.alpha == 0


def test_a_group_without_one_kind_gives_its_weight_to_the_other() -> None:
    real, added = np.array([0, 0, 1]), np.array([1, 1, 2])
    weights = design.mixed(real, added, alpha=0.4)
    own = np.concatenate([real, added])
    np.testing.assert_allclose([weights[own == g].sum() for g in range(3)], 1 / 3)
    np.testing.assert_allclose(weights, [1 / 6, 1 / 6, 0.2, 1 / 15, 1 / 15, 1 / 3])


def test_duplication_fills_every_group(data: SplitData) -> None:
    training = design.baseline("duplication", data, data.base, np.random.default_rng(0))
    counts = np.bincount(data.group[training.rows])
    assert set(counts) == {np.bincount(data.group[data.base]).max()}
    assert set(training.rows) == set(data.base)


def test_features_are_learned_from_training_texts_alone() -> None:
    said = ["a good day", "a bad day", "good good times", "unheard words only"]
    known = TfIdf().features(said)
    rows = np.array([0, 2])
    options = {"token_pattern": r"(?u)\b\w+\b|[^\w\s]", "ngram_range": (1, 2)}
    fitted = TfidfVectorizer(max_features=MOST_WORDS, sublinear_tf=True, **options)
    fitted.fit([said[i] for i in rows])
    ours, theirs = known.given(rows).toarray(), fitted.transform(said).toarray()
    np.testing.assert_allclose(ours @ ours.T, theirs @ theirs.T, atol=1e-12)
    assert not np.allclose(ours, known.given(np.array([0, 1, 2])).toarray())


def test_measures_agree_with_their_definitions() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=400)
    p = softmax(rng.normal(size=(400, 3)) + np.eye(3)[y], axis=1)
    found = measures.measures(p, y, y)
    assert found["macro_f1"].value == pytest.approx(f1_score(y, p.argmax(1), average="macro"))
    wrong = [np.mean(p.argmax(1)[y == g] != g) for g in range(3)]
    assert found["balanced_error"].value == pytest.approx(np.mean(wrong))
    assert found["worst_error"].value == pytest.approx(max(wrong))
    loss = [-np.log(p[y == g, g]).mean() for g in range(3)]
    assert found["balanced_risk"].value == pytest.approx(np.mean(loss))


@pytest.mark.parametrize("metric", ["macro_f1", "balanced_error", "balanced_risk"])
def test_standard_errors_over_tests_are_those_of_a_bootstrap(metric: str) -> None:
    """And they notice what is wrong: half the influence is not within the same bounds."""
    rng = np.random.default_rng(1)
    y = np.sort(rng.integers(2, size=300))
    p = softmax(1.5 * rng.normal(size=(300, 2)) + np.eye(2)[y], axis=1)
    said = measures.std_error(measures.measures(p, y, y)[metric].influence)
    values = []
    for _ in range(400):
        rows = np.concatenate([rng.choice(np.flatnonzero(y == g), np.sum(y == g)) for g in (0, 1)])
        values.append(measures.measures(p[rows], y[rows], y[rows])[metric].value)
    drawn = np.std(values)
    tolerance = 4 / np.sqrt(2 * 400)
    assert abs(said / drawn - 1) < tolerance
    assert abs(0.5 * said / drawn - 1) > tolerance


@pytest.fixture(scope="module")
def frame(corpus: TextCorpus) -> pd.DataFrame:
    sources = ("perfect", "useless", "human")
    chosen = replace(SETTINGS, sources=sources)
    return pd.concat([evaluate.evaluate(corpus, seed, chosen) for seed in range(6)])


def z_of(frame: pd.DataFrame, arm: str, source: str, metric: str, added: int = 240) -> float:
    """Mean over seeds in standard errors, test texts counted."""
    rows = frame[
        (frame["arm"] == arm)
        & (frame["synthesizer"] == source)
        & (frame["metric"] == metric)
        & (frame["added"] == added)
    ]
    (found,) = evaluate.summary(rows).to_dict("records")
    assert found["n_replicates"] == 6
    return float(found["value"] / found["std_error"])


@pytest.mark.slow
def test_texts_of_a_perfect_generator_are_worth_human_ones(frame: pd.DataFrame) -> None:
    arm = "synthetic_weighting"
    assert z_of(frame, arm, "perfect", "balanced_risk_difference") < -3
    assert abs(z_of(frame, arm, "perfect", "balanced_risk_to_human")) < 3
    assert abs(z_of(frame, arm, "perfect", "balanced_error_to_human")) < 3


@pytest.mark.slow
def test_texts_of_a_useless_generator_are_worth_none(frame: pd.DataFrame) -> None:
    """No better than none at all, worse than as many human texts, and given next to no weight."""
    arm = "synthetic_weighting"
    assert z_of(frame, arm, "useless", "balanced_risk_difference") > -3
    assert z_of(frame, arm, "useless", "balanced_error_difference") > -3
    assert z_of(frame, arm, "useless", "balanced_risk_to_human") > 3
    alpha = frame[frame["arm"] == "synthetic_alpha"].groupby("synthesizer")["rho"].mean()
    assert alpha["useless"] < 0.15 < alpha["perfect"]


@pytest.mark.slow
def test_exact_errors_stand_beside_estimates(frame: pd.DataFrame) -> None:
    rule = ["arm", "synthesizer", "added", "n_real", "alpha", "replicate"]
    metric = frame["metric"] == "balanced_error"
    measured = frame[metric & (frame["source"] == "data")].set_index(rule)
    known = frame[metric & (frame["source"] == "theory")].set_index(rule)
    joined = measured.join(known["value"].rename("exact"), how="inner")
    assert len(joined) == len(measured)
    assert (np.abs(joined["value"] - joined["exact"]) < 5 * joined["std_error"]).all()
    best = frame.loc[(frame["arm"] == "best") & metric, "value"]
    assert best.nunique() == 1
    assert known.drop(index="best", level="arm")["value"].min() > best.iloc[0]


def test_the_limit_of_a_biased_writer_lies_above_the_best_rule() -> None:
    rules = np.stack([np.asarray(GRAMMAR.law.optimum()), np.zeros(GRAMMAR.law.dim + 1)])
    risk, error = measures.under(GRAMMAR.law, rules)
    assert risk[1] == pytest.approx(np.log(2))
    assert error[0].mean() == pytest.approx(0.194, abs=1e-3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"folds": 1}, "--folds must be at least 2; got 1"),
        ({"sizes": ()}, "--sizes must name at least one"),
        ({"sizes": (0,)}, "--sizes must be at least 1; got 0"),
        ({"share": 0.0}, r"--share must be in \(0, 1\]; got 0.0"),
        ({"strength": -1.0}, "--strength must be positive; got -1.0"),
        ({"most_test": 0}, "--most-test must be at least 1; got 0"),
    ],
)
def test_bad_settings_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(SETTINGS, **change)  # type: ignore[arg-type]


def test_an_unknown_source_and_a_class_without_base_texts_are_refused(corpus: TextCorpus) -> None:
    with pytest.raises(ValueError, match="unknown source 'gpt-5'"):
        design.split_data(corpus, 0, chosen=("gpt-5",))
    praise = corpus.base[corpus.base["label"] == "praise"]
    with pytest.raises(ValueError, match="needs a base text of its own; 'complaint' has none"):
        design.split_data(replace(corpus, base=praise), 0)
    with pytest.raises(ValueError, match="needs texts to test on"):
        design.split_data(replace(corpus, test=corpus.test.iloc[:0]), 0)


def test_what_would_be_left_out_without_a_word_is_refused(
    corpus: TextCorpus, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"fewer than the least of --sizes, 100000"):
        evaluate.evaluate(corpus, 0, replace(SETTINGS, sizes=(100_000,)))
    human = replace(corpus, synthetic={})
    with pytest.raises(ValueError, match=r"the least of --sizes, 100000; the most that one has"):
        evaluate.evaluate(human, 0, replace(SETTINGS, sizes=(100_000,)))
    with pytest.raises(ValueError, match=r"read from a file; there is none at .*absent.csv"):
        evaluate.of_file(tmp_path / "absent.csv", None, (None,) * 6, SETTINGS, 1)
