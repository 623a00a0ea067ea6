"""Corpora of texts: as published, with what is wrong in them told; and the grammar's."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from opal import checks
from opal.bridge import download as files
from opal.bridge.download import Repository
from opal.bridge.prompts.common import identity
from opal.bridge.text import published
from opal.bridge.text.corpus import TextCorpus, faults, leaks, text_table, validate_texts
from opal.bridge.text.published import GRAMMAR, WRITERS, grammar_corpus
from opal.settings import FiniteLaw

CORPUS = grammar_corpus(0)
FEW = (
    "test: {} texts: an error near .5 of such a class is known to ± {} at best, however many draws "
    "there are"
)


def digest(corpus: TextCorpus) -> str:
    """Of all texts, their order and their seeds."""
    parts = [
        str(part)
        for name, frame in corpus.tables()
        for part in (name, *frame["id"], *frame["seeds"], *frame["label"], *frame["attribute"])
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def members(frame: pd.DataFrame, g: int) -> pd.DataFrame:
    """The rows of one group of the grammar."""
    group = GRAMMAR.groups[g]
    of_class = frame["label"] == GRAMMAR.labels[group.label]
    return frame[of_class & (frame["attribute"] == GRAMMAR.attributes[group.attribute or 0])]


def scores(frame: pd.DataFrame, g: int, law: FiniteLaw) -> list[float]:
    """Standard scores of the words of a group's texts against a law."""
    rows = GRAMMAR.features[[GRAMMAR.parse(text) for text in members(frame, g)["text"]]]
    share = np.asarray(law.table)[g].sum(axis=1) @ GRAMMAR.features
    spread = np.sqrt(share * (1 - share) / len(rows))
    return ((rows.mean(axis=0) - share) / spread).tolist()


def test_the_grammar_needs_nothing(offline: None) -> None:
    assert published.names()[0] == published.DEFAULT == "grammar"
    assert published.unavailable("grammar") is None
    assert digest(published.load_corpus()) == digest(CORPUS)


def test_the_grammar_has_few_human_texts_and_many_synthetic() -> None:
    assert CORPUS.labels == ("complaint", "praise")
    sizes = {name: [len(members(frame, g)) for g in range(4)] for name, frame in CORPUS.tables()}
    assert sizes == {
        "base": [51, 9, 27, 153],
        "human": [850, 150, 450, 2550],
        "test": [500] * 4,
        "faithful": [1000] * 4,
        "biased": [1000] * 4,
    }
    for name, frame in CORPUS.tables():
        validate_texts(frame)
        assert set(frame["source"]) == {name if name in WRITERS else "human"}
        assert frame["label"].iloc[:200].nunique() == 2  # rows come in no order
    assert CORPUS.notes == faults(CORPUS) == ()


def test_synthetic_texts_come_from_base_texts_of_their_group() -> None:
    base = CORPUS.base.set_index("id")
    for frame in CORPUS.synthetic.values():
        assert set(frame["seeds"].map(len)) == {1}
        seeds = base.loc[frame["seeds"].str[0]]
        np.testing.assert_array_equal(seeds["label"], frame["label"])
        np.testing.assert_array_equal(seeds["attribute"], frame["attribute"])
        assert frame["seeds"].nunique() > 230
    kept = CORPUS.apart().synthetic["biased"]
    held = base.index[:20]
    assert 0 < leaks(kept, held).sum() < len(kept) / 4


def test_texts_of_the_grammar_follow_its_laws() -> None:
    pool = [np.array([GRAMMAR.parse(t) for t in members(CORPUS.base, g)["text"]]) for g in range(4)]
    laws = {name: writer.given(GRAMMAR, pool) for name, writer in WRITERS.items()}
    laws |= dict.fromkeys(("human", "test"), GRAMMAR.law)
    tables = dict(CORPUS.tables())
    found = [
        z for name, law in laws.items() for g in range(4) for z in scores(tables[name], g, law)
    ]
    check = checks.within_standard_errors("words", found)
    assert check.passed, check
    control = scores(tables["biased"], 0, GRAMMAR.law)
    assert not checks.within_standard_errors("no bias", control).passed


def test_the_grammar_is_the_same_in_every_process() -> None:
    assert digest(CORPUS)[:16] == "566f9b07fa5342bf"
    assert digest(published.load_corpus(key=1)) != digest(CORPUS)


def test_unknown_names_are_told_with_a_hint() -> None:
    for asked in (published.load_corpus, published.unavailable):
        with pytest.raises(
            ValueError, match=r"unknown corpus of texts 'ten-dims'; did you mean 'ten-"
        ):
            asked("ten-dims")


def leaky() -> TextCorpus:
    """Every fault that is looked for, once or twice."""
    base = text_table(["b one", "b two", "t one"], ["x", "y", "x"])
    human = text_table(["b one", "t two", "h", "h", "g"], ["x", "x", "x", "y", "y"])
    test = text_table(["t one", "t two"], ["x", "y"])
    one, two, tested = base["id"]
    made = text_table(
        ["s", "s", "b two", "t two", "u", "v"],
        ["x", "x", "y", "y", "y", "y"],
        source="m",
        seeds=[(one,), (two,), (two,), (two,), (tested,), ("0" * 16,)],
    )
    return TextCorpus("leaky", ("x", "y"), base, human, test, {"m": made})


def test_faults_are_counted() -> None:
    assert faults(leaky()) == (
        "base: 1 of 3 equal a text of test",
        "human: 1 of 5 repeat an earlier text",
        "human: 2 of 5 occur with another label too",
        "human: 1 of 5 equal a text of base",
        "human: 1 of 5 equal a text of test",
        "m: 1 of 6 repeat an earlier text",
        "m: 1 of 6 equal a text of base",
        "m: 1 of 6 equal a text of human",
        "m: 1 of 6 equal a text of test",
        "m: 2 of 6 were made from several seeds, word for word the same",
        "m: 1 of 6 have a seed that is not in base",
        "m: 1 of 6 have a seed that is in test",
        "m: 2 of 6 have a seed of another class",
    )


def test_what_is_kept_apart_has_nothing_of_the_test() -> None:
    apart = leaky().apart()
    assert apart.base["text"].tolist() == ["b one", "b two"]
    assert apart.human["text"].tolist() == ["h", "h", "g"]
    assert apart.synthetic["m"]["text"].tolist() == ["s", "s", "b two", "v"]
    assert apart.test.equals(leaky().test)


@dataclass(frozen=True)
class Toy(Repository):
    """A repository whose files are those of a folder."""

    def registry(self) -> Mapping[str, str]:
        root = files._folder(self)
        return {
            path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in root.rglob("*.json")
        }


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Folder of the corpora of a mirror that replaces the published ones; it is empty."""
    repository = Toy("toy", "me", "texts", "c1", "MIT", "a toy")
    monkeypatch.setattr(files, "TEXTS", repository)
    monkeypatch.setenv(files.MIRROR_VARIABLE, str(tmp_path))
    return tmp_path / repository.location / "data"


def test_rows_without_text_or_label_are_left_out_and_told(toy: Path) -> None:
    folder = toy / "ten-dim"
    folder.mkdir(parents=True)
    human = [{"text": "around a", "h_text": "a", "target": "x"}]
    human.append({"text": "around b", "h_text": "b", "target": "y"})
    for role in ("base", "train", "test"):
        (folder / f"{role}.json").write_text(json.dumps(human))
    (folder / "train.json").write_text(json.dumps([*human, {**human[0], "target": None}]))
    made = [
        {"h_text": "a", "augmented_h_text": said, "target": "x"} for said in ("a 1", "", " ", None)
    ]
    for model in ("gpt-4", "llama-2-70b"):
        (folder / f"balanced_{model}_augmented.json").write_text(json.dumps(made))
    corpus = published.load_corpus("ten-dim")
    assert corpus.notes[:4] == (
        "train: 1 of 3 rows without text or label left out",
        "gpt-4: 3 of 4 rows without text or label left out",
        "llama-2-70b: 3 of 4 rows without text or label left out",
        FEW.format("1 of 'x', 1 of 'y' among 2", "0.98"),
    )
    only = corpus.synthetic["gpt-4"]
    assert only["text"].tolist() == ["a 1"]
    assert only["seeds"].tolist() == [(identity("a"),)]


@pytest.fixture
def danish(toy: Path) -> Path:
    """A Danish corpus of a few texts: two training texts of nine are a base and a test text."""
    folder = toy / "hate-speech"
    folder.mkdir(parents=True)
    said = {
        "base": ["et", "to"],
        "train": ["ET!", "tre", "fire", "fem", "fem", "seks", "syv", "otte", "ni"],
        "test": ["ni", "ti"],
    }
    for role, texts in said.items():
        rows = [{"tweet": text, "target": "NOT"} for text in texts]
        (folder / f"{role}.json").write_text(json.dumps(rows))
    made = [{"tweet": "et", "augmented_tweet": "en", "target": "OFF"}]
    (folder / "balanced_gpt-4_augmented.json").write_text(json.dumps(made))
    return folder


def test_the_danish_corpus_has_one_writer(danish: Path) -> None:
    corpus = published.load_corpus("hate-speech")
    assert set(corpus.synthetic) == {"gpt-4"}
    assert corpus.synthetic["gpt-4"]["seeds"].tolist() == [(identity("et"),)]
    assert corpus.test["text"].tolist() == ["ni", "ti"]


@pytest.mark.parametrize("n", [1, 3, 6])
def test_what_is_held_out_is_tested_on_and_nothing_else(danish: Path, n: int) -> None:
    corpus = published.load_corpus("hate-speech", hold_out=n)
    more = corpus.test["text"].tolist()[2:]
    assert len(set(more)) == n
    assert set(more) <= {"tre", "fire", "fem", "seks", "syv", "otte"}
    train = json.loads((danish / "train.json").read_text())
    assert corpus.human["text"].tolist() == [r["tweet"] for r in train if r["tweet"] not in more]
    assert corpus.base["text"].tolist() == ["et", "to"]
    assert f"test: {n} of its texts are of train.json, and are not added" in corpus.notes
    again = published.load_corpus("hate-speech", hold_out=n)
    assert again.test["text"].tolist() == corpus.test["text"].tolist()


@pytest.mark.parametrize("n", [-1, 7])
def test_more_than_there_is_cannot_be_held_out(danish: Path, n: int) -> None:
    with pytest.raises(ValueError, match=rf"--hold-out must be 0 to 6, .*; got {n}\."):
        published.load_corpus("hate-speech", hold_out=n)
    with pytest.raises(ValueError, match="--hold-out is of published corpora; the grammar has 500"):
        published.load_corpus("grammar", hold_out=3)


PUBLISHED = {
    "hypo-l": (2, 290, 2613, 323, 2610, 2530),
    "sentiment": (3, 500, 4500, 12284, 4500, 4178),
    "ten-dim": (9, 500, 4500, 1497, 4500, 4473),
    "crowdflower": (13, 500, 4500, 2022, 4500, 4476),
    "hate-speech": (2, 246, 2460, 329, 2430),
}
COLUMN = {"ten-dim": "h_text", "hate-speech": "tweet"}
TOLD = {
    "hypo-l": "llama-2-70b: 630 of 2530 repeat an earlier text",
    "sentiment": "llama-2-70b: 713 of 4178 repeat an earlier text",
    "ten-dim": "human: 81 of 4500 equal a text of test",
    "crowdflower": "gpt-4: 18 of 4500 have a seed that is in test",
    "hate-speech": FEW.format("41 of 'OFF' among 329", "0.15"),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_corpora_are_read_as_they_are(name: str, mirror: Path) -> None:
    assert published.unavailable(name) is None
    corpus = published.load_corpus(name)
    sizes = (len(corpus.labels), *(len(frame) for _, frame in corpus.tables()))
    assert sizes == PUBLISHED[name]
    assert TOLD[name] in corpus.notes
    assert not any("not in base" in note or "left out" in note for note in corpus.notes)
    apart = corpus.apart()
    for _, frame in apart.tables():
        if frame is not apart.test:
            assert not leaks(frame, set(corpus.test["id"])).any()
    raw = json.loads((mirror / files.TEXTS.location / f"data/{name}/base.json").read_text())
    column = COLUMN.get(name, "text")
    assert corpus.base["text"].tolist() == [row[column] for row in raw]
    assert Counter(corpus.base["label"]) == Counter(row["target"] for row in raw)


def test_without_network_or_mirror_a_line_says_so(offline: None) -> None:
    assert published.ENGLISH == ("hypo-l", "sentiment", "ten-dim", "crowdflower")
    assert [published.language(name) for name in ("grammar", "hate-speech")] == ["en", "da"]
    reason = published.unavailable("sentiment")
    assert reason is not None
    assert "AndersGiovanni/worker_vs_gpt" in reason
    assert "\n" not in reason
