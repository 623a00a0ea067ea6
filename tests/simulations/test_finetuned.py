"""Two classifiers on the same texts: that they are paired, and what their contrast says."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from opal import records
from opal.bridge.text.classifiers import FineTuning, fine_tune
from opal.bridge.text.corpus import TextCorpus
from opal.bridge.text.curves import design
from opal.bridge.text.curves.evaluate import CurveSettings, evaluate
from opal.bridge.text.encoders import encoder
from opal.bridge.text.published import grammar_corpus
from opal.names import UnknownNameError
from simulations import _finetuned
from simulations import finetuned as study
from simulations._finetuned import CONTRAST, FROZEN, TUNED

TINY = study.PRESETS["tiny"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A BERT of one narrow layer, with words of the grammar, saved locally."""
    transformers = pytest.importorskip("transformers", reason="needs the extra text")
    torch = pytest.importorskip("torch", reason="needs the extra text")
    from tests.bridge.llm import tiny

    folder = tmp_path_factory.mktemp("bert")
    words = tiny.tokenizer(grammar_corpus().base["text"].tolist())
    config = transformers.BertConfig(
        vocab_size=len(words),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=tiny.CONTEXT,
        pad_token_id=words.pad_token_id,
        initializer_range=0.1,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        transformers.BertModel(config).save_pretrained(folder)
    words.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def corpus() -> TextCorpus:
    """A part of the grammar's."""
    whole = grammar_corpus()
    return replace(
        whole, human=whole.human[:300], synthetic={"faithful": whole.synthetic["faithful"][:600]}
    )


@pytest.fixture(scope="module")
def tuning(model: str) -> FineTuning:
    return FineTuning(model, epochs=20, learning_rate=1e-2, most_steps=120, by_length=True)


@pytest.fixture(scope="module")
def frame(corpus: TextCorpus, tuning: FineTuning) -> pd.DataFrame:
    """A seed by the narrow model, every arm at one of two sizes."""
    data = design.split_data(corpus, 0, most_test=300)
    asked = [
        _finetuned.ArmSettings(study.ARMS, 60, 3),
        _finetuned.ArmSettings(("raw", "synthetic"), 240, 3),
    ]
    chosen = encoder(tuning.model)
    found = [_finetuned.compared(data, 0, chosen, tuning, each) for each in asked]
    told = pd.concat(found, ignore_index=True)
    return records.validate(told.assign(study="finetuned", setting="grammar", replicate=0))


def _wide(frame: pd.DataFrame, column: str = "value") -> pd.DataFrame:
    keys = ["replicate", "synthesizer", "arm", "added", "metric"]
    once = frame.drop_duplicates([*keys, "classifier"])
    return once.set_index([*keys, "classifier"])[column].unstack("classifier")


@pytest.mark.slow
def test_each_size_has_the_same_reference(frame: pd.DataFrame) -> None:
    keys = ["replicate", "arm", "metric", "classifier"]
    alone = frame[frame["arm"].isin(["raw", "weighting"])]
    assert (alone.groupby(keys)["value"].size() == 2).all()
    assert (alone.groupby(keys)["value"].nunique() == 1).all()


@pytest.mark.slow
def test_the_contrast_is_the_difference_of_the_changes(frame: pd.DataFrame) -> None:
    wide = _wide(frame)
    changes = wide[wide.index.get_level_values("metric").str.endswith("_difference")]
    assert len(changes) == 3 * (2 + 2 * 2 + 2)  # metrics; alone, two sources of 60, and of 240
    np.testing.assert_allclose(changes[CONTRAST], changes[TUNED] - changes[FROZEN], atol=1e-12)
    own = wide.xs("balanced_error", level="metric")
    reference = own.xs("weighting", level="arm").droplevel(["synthesizer", "added"])
    told = changes.xs("balanced_error_difference", level="metric")
    for name in (FROZEN, TUNED):
        expected = own[name] - reference[name].reindex(own.index, level="replicate")
        np.testing.assert_allclose(told[name], expected.reindex(told.index), atol=1e-12)
    alone = changes.xs("weighting", level="arm")
    np.testing.assert_array_equal(alone.to_numpy(), 0.0)


@pytest.mark.slow
def test_errors_of_contrasts_are_paired(frame: pd.DataFrame) -> None:
    """A standard error over common texts lies between difference and sum of those of its parts."""
    wide = _wide(frame, "std_error").xs("balanced_error_difference", level="metric")
    errors = wide[wide.index.get_level_values("added") > 0]
    assert (errors > 0).all(axis=None)
    contrast, both = errors[CONTRAST], errors[[FROZEN, TUNED]]
    assert (contrast <= both.sum(axis=1) + 1e-12).all()
    assert (contrast >= both[TUNED].sub(both[FROZEN]).abs() - 1e-12).all()
    assert (np.abs(contrast - np.hypot(both[FROZEN], both[TUNED])) > 1e-5).all()  # if drawn apart


@pytest.mark.slow
def test_the_frozen_rule_is_that_of_the_evaluation(
    frame: pd.DataFrame, corpus: TextCorpus, model: str
) -> None:
    settings = CurveSettings(
        encoder=model,
        sizes=(60, 240),
        most_test=300,
        strength=float(frame["strength"].iloc[0]),
    )
    known = evaluate(corpus, 0, settings)
    keys = ["synthesizer", "arm", "added", "metric"]
    own = frame[frame["classifier"] == FROZEN].set_index(keys)
    other = known[known["group"] == "all"].set_index(keys)
    joined = own.merge(other, left_index=True, right_index=True, suffixes=("", " known"))
    assert len(joined) == len(own)
    for column in ("value", "std_error", "n_real", "total"):
        np.testing.assert_allclose(joined[column], joined[f"{column} known"], atol=4e-3)


@pytest.mark.slow
def test_how_training_ended_is_told(frame: pd.DataFrame) -> None:
    assert set(frame["steps"]) == {120}
    assert frame["training_accuracy"].between(0.6, 1).all()
    learned, *_ = _finetuned.checks(frame)
    assert learned.name == "fine-tuning learns its texts"
    assert learned.passed


@pytest.mark.slow
def test_training_ends_where_it_is_told_and_half_precision_is_close(
    corpus: TextCorpus, tuning: FineTuning
) -> None:
    said, y = corpus.base["text"].tolist(), corpus.base["label"].eq("praise").to_numpy(int)
    found = []
    for half in (False, True):
        short = replace(tuning, most_steps=7, learning_rate=1e-3, bfloat16=half)
        rule = fine_tune(said, y, np.ones(len(y)), n_classes=2, settings=short)
        assert len(rule.losses) == len(rule.accuracies) == 7
        found.append(rule.probabilities(said))
    np.testing.assert_allclose(found[0], found[1], atol=0.05)
    assert found[0].std(axis=0).min() > 0
    with pytest.raises(ValueError, match="most_steps must be at least 0; got -1"):
        replace(tuning, most_steps=-1)


def test_what_is_cut_is_not_there_and_the_rest_is_the_same() -> None:
    whole = design.split_data(grammar_corpus(), 1, most_test=200)
    some = _finetuned.cut(whole, 70)
    assert len(some.frame) == len(whole.base) + 3 * 70 + 200
    for name, rows in some.added.items():
        kept = whole.added[name][:70]
        assert some.frame["text"].iloc[rows].tolist() == whole.frame["text"].iloc[kept].tolist()
        np.testing.assert_array_equal(some.y[rows], whole.y[kept])
        np.testing.assert_array_equal(some.group[rows], whole.group[kept])
    for rows, before in ((some.base, whole.base), (some.test, whole.test)):
        assert some.frame["id"].iloc[rows].tolist() == whole.frame["id"].iloc[before].tolist()


def _planted(frozen: list[float], tuned: list[float], error: float = 0.01) -> pd.DataFrame:
    """Records of two seeds in which so many sources change the metrics so much.

    ``error`` is the standard error over test texts, of which there are a hundred blocks.
    """
    base = {"setting": "planted", "n_real": 100, "alpha": 0.0, "rho": np.nan, "total": 100.0}
    base |= {"n_classes": 2, "training_loss": 0.2, "training_accuracy": 0.9}
    rows, influence = [], error * np.sqrt(0.99) / 10 * np.tile([1.0, -1.0], 50)
    for index, (one, other) in enumerate([(0.0, 0.0), *zip(frozen, tuned, strict=True)]):
        arm = "synthetic_weighting" if index else "weighting"
        own = base | {"synthesizer": f"source {index}", "arm": arm, "added": 10 * bool(index)}
        for sign, metric in ((1, "balanced_error"), (-1, "macro_f1"), (1, "balanced_risk")):
            for classifier, value in ((FROZEN, one), (TUNED, other), (CONTRAST, other - one)):
                said = own | {"classifier": classifier, "std_error": error, "influence": influence}
                change = said | {"metric": f"{metric}_difference", "value": sign * value}
                rows += [change, said | {"metric": metric, "value": 0.4 + sign * value}]
    return pd.concat([pd.DataFrame(rows).assign(replicate=seed) for seed in range(2)])


def test_what_planted_changes_say() -> None:
    """The metrics, of which one is better where it is larger, say the same."""
    found = _finetuned.comparison(
        _planted([-0.1, 0.1, 0.0, -0.1, 0.05], [-0.08, 0.1, 0.01, 0.0, -0.05])
    )
    assert found["metric"].tolist() == [name for name in _finetuned.METRICS for _ in range(5)]
    expected = ["both better", "both worse", "both open", "better, open", "contradicts"]
    assert (found["training_accuracy"] == 0.9).all()
    for _, rows in found.groupby("metric"):
        assert rows["says"].tolist() == expected
        assert set(rows["corpus_says"]) == {"contradicts"}


@pytest.mark.parametrize(
    ("frozen", "tuned", "verdict"),
    [
        ([-0.1, 0.0], [-0.1, 0.01], "confirms"),
        ([-0.1, 0.0], [-0.03, -0.05], "open"),  # ranked the other way round
        ([-0.01, 0.01], [-0.01, 0.01], "open"),  # nothing was found by either
        ([-0.1, 0.02], [-0.1, -0.02], "contradicts"),
        ([-0.1, 0.005], [-0.1, -0.005], "confirms"),  # signs differ by chance
    ],
)
def test_what_a_corpus_says(frozen: list[float], tuned: list[float], verdict: str) -> None:
    found = _finetuned.comparison(_planted(frozen, tuned))
    assert set(found["corpus_says"]) == {verdict}


def test_chance_over_many_sources_contradicts_nothing() -> None:
    """2.2 standard errors: enough for one comparison, and not for twelve."""
    few, many = [0.011], [0.011] * 12
    for changes, verdict in ((few, "contradicts"), (many, "open")):
        found = _finetuned.comparison(_planted(changes, [-c for c in changes]))
        assert set(found["corpus_says"]) == {verdict}


def test_checks_that_must_fail() -> None:
    good = _planted([-0.1, -0.05], [-0.1, -0.05]).replace({"synthesizer": {"source 1": "human"}})
    assert [check.passed for check in _finetuned.checks(good)] == [True] * 4
    guessing = good["metric"] == "balanced_error"
    blind = good.assign(value=good["value"].where(~guessing, 0.5))
    blind["std_error"] = blind["std_error"].where(~guessing, 0.0)
    changes = zip(blind["influence"], guessing, strict=True)
    blind["influence"] = [0.0 * each if none else each for each, none in changes]
    idle = good.assign(training_loss=0.6)
    useless = good[good["synthesizer"] != "human"].replace({"synthesizer": {"source 2": "human"}})
    useless = useless.assign(value=useless["value"].where(useless["arm"] == "weighting", 0.0))
    for wrong, failing in ((blind, {1}), (idle, {0}), (useless, {2, 3})):
        checks = _finetuned.checks(wrong)
        assert {i for i, check in enumerate(checks) if not check.passed} == failing


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seeds": 0}, "--seeds must be at least 1; got 0"),
        ({"most_steps": 0}, "--most-steps must be at least 1; got 0"),
        ({"corpora": ()}, "--corpora and --arms must name at least one each"),
        ({"arms": ("synthetic_alpha",)}, "synthetic_alpha"),
        ({"model": "tfidf"}, "--model must be a transformer"),
        ({"model": "characters"}, "which can be fine-tuned; got 'characters'"),
        ({"sizes": ()}, "--sizes must name at least one"),
        ({"learning_rate": 2.0}, "learning_rate must be in (0, 1)"),
        ({"epochs": 0}, "epochs must be at least 1; got 0"),
    ],
)
def test_refused_before_the_first_cell(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        study.cells(replace(TINY, **change))


def test_unknown_names_are_guessed() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'sentiment'"):
        study.cells(replace(TINY, corpora=("sentimnt",)))


def test_a_run_that_is_stopped_is_balanced() -> None:
    found = study.cells(replace(TINY, sizes=(30, 60), seeds=2))
    told = [f"grammar seed {seed} + {size}" for size in (60, 30) for seed in (0, 1)]
    assert [cell.label for cell in found] == told
    assert len({cell.key() for cell in found}) == len(found)
