"""A masked language model grows from an encoder without a head, on texts that are not tried."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra text")
pytest.importorskip("transformers", reason="needs the extra text")

from opal.bridge.text import masked_lm, published
from opal.bridge.text.impute import sources
from opal.bridge.text.impute.evaluate import Trial
from opal.bridge.text.impute.task import draw, of_corpus
from opal.bridge.text.masked_lm import Growing, Grown, Masking
from tests.bridge.text.masked import masked

WHO, WHAT, HOW = ("waiter", "cook", "guest"), ("soup", "bread", "wine"), ("warm", "cold", "fine")
LINES = [f"the {a} said the {b} was {c} today" for a in WHO for b in WHAT for c in HOW]
SAID = [f"{line} {i}" for i in range(4) for line in LINES]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An encoder that knows the language, saved without its head."""
    from transformers import AutoModel, AutoTokenizer

    whole, bare = tmp_path_factory.mktemp("whole"), tmp_path_factory.mktemp("bare")
    masked(whole, LINES * 4)
    AutoModel.from_pretrained(whole).save_pretrained(bare)
    AutoTokenizer.from_pretrained(whole).save_pretrained(bare)
    return str(bare)


@pytest.fixture(scope="module")
def settings(encoder: str) -> Growing:
    return Growing(encoder, steps=60, learning_rate=4e-3, bfloat16=False)


@pytest.fixture(scope="module")
def grown(settings: Growing) -> Grown:
    return masked_lm.grow(SAID, settings)


@pytest.mark.slow
def test_a_head_grows(grown: Grown, settings: Growing) -> None:
    """It guesses what frequencies cannot; before it was trained it could not either."""
    assert grown.skill.accuracy > grown.unigram.accuracy + 0.2
    assert grown.skill.loss < grown.unigram.loss - 0.5
    before = masked_lm.grow(SAID, replace(settings, steps=1))
    assert before.unigram == grown.unigram
    assert before.skill.loss > grown.skill.loss + 0.3
    assert grown.n_texts == len(SAID) - round(0.1 * len(SAID))
    assert f"grown on {grown.n_texts} texts" in grown.told()


def test_the_encoder_itself_is_left_as_it_was(grown: Grown, encoder: str) -> None:
    from opal.bridge.text import embeddings

    kept = embeddings.loaded(encoder)[1].state_dict()
    name = "embeddings.word_embeddings.weight"
    assert not np.array_equal(kept[name], grown.model.bert.state_dict()[name])
    table = grown.model.get_output_embeddings().weight
    assert table is grown.model.get_input_embeddings().weight


def test_a_frozen_encoder_does_not_move(settings: Growing, encoder: str) -> None:
    from opal.bridge.text import embeddings

    found = masked_lm.grow(SAID, replace(settings, steps=3, frozen=True))
    kept = embeddings.loaded(encoder)[1].state_dict()
    for name, weights in found.model.bert.state_dict().items():
        assert np.array_equal(weights, kept[name])


def test_the_same_seed_grows_the_same_model(settings: Growing) -> None:
    few = replace(settings, steps=3)
    first, again, other = (masked_lm.grow(SAID, few, seed=seed) for seed in (0, 0, 1))
    assert first.skill == again.skill != other.skill


def test_corruption_has_its_three_shares(grown: Grown) -> None:
    words = grown.words
    tokens = tuple(words(" ".join(LINES))["input_ids"])
    corrupted = Masking(words, 0.5).corrupted(tokens, np.random.default_rng(0))
    changed = corrupted.tokens[corrupted.at]
    assert len(corrupted.at) == round(0.5 * len(tokens))
    assert np.isin(changed, words.mask_token_id).mean() == pytest.approx(0.8, abs=0.1)
    assert np.mean(changed == np.array(tokens)[corrupted.at]) == pytest.approx(0.1, abs=0.08)
    rest = np.setdiff1d(np.arange(len(tokens)), corrupted.at)
    assert np.array_equal(corrupted.tokens[rest], np.array(tokens)[rest])


@pytest.mark.slow
def test_it_grows_on_texts_that_nothing_else_uses(settings: Growing) -> None:
    corpus = published.load_corpus("grammar")
    task = of_corpus(corpus, "praise", n_others=200)
    trial = Trial((50,), n_repeats=2)
    said = sources.outside(corpus, task, trial)
    assert len(said) > 500
    tried = {*task.originals["text"], *task.others["text"], *corpus.test["text"]}
    for repeat in range(2):
        drawn, _ = draw(task, 200, key=trial.key(task.name, repeat))
        tried |= set(drawn["text"])
    assert tried.isdisjoint(said)
    assert set(said) <= set(corpus.human["text"])
    few = replace(task, originals=task.originals[:10])
    found = sources.with_neighbours(few, trial, sources.GROWN, corpus, replace(settings, steps=2))
    assert found.ssmba is not None
    assert set(found.ssmba["source"]) == {"ssmba grown"}
    assert "masked language model grown on" in found.notes[-1]


def test_a_file_has_nothing_to_grow_on() -> None:
    task = of_corpus(published.load_corpus("grammar"), "praise", n_others=200)
    with pytest.raises(ValueError, match=r"a file has none\. Name the folder of a model"):
        sources.with_neighbours(task, Trial((50,)), sources.GROWN)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("steps", 0, "steps must be at least 1; got 0."),
        ("max_tokens", 2, "max_tokens must be at least 3; got 2."),
        ("rate", 1.0, "rate must be in (0, 1); got 1.0."),
        ("held_out", 0.0, "held_out must be in (0, 1); got 0.0."),
    ],
)
def test_bad_settings(field: str, value: float, message: str) -> None:
    given: dict[str, Any] = {field: value}
    with pytest.raises(ValueError, match=re.escape(message)):
        Growing(**given)


def test_too_few_texts(settings: Growing) -> None:
    with pytest.raises(ValueError, match=r"needs at least 40 texts to grow on; got 39\."):
        masked_lm.grow(SAID[:39], settings)


def test_an_encoder_of_another_family(tmp_path: Path) -> None:
    from transformers import RobertaConfig, RobertaModel

    from tests.bridge.llm import tiny

    config = RobertaConfig(
        vocab_size=300,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
    )
    RobertaModel(config).save_pretrained(tmp_path)
    tiny.tokenizer(LINES).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"grows from an encoder of the BERT family"):
        masked_lm.grow(SAID, Growing(str(tmp_path)))
