"""A corpus of a table of one's own: which texts are base texts."""

from __future__ import annotations

import pandas as pd
import pytest

from opal.bridge.text import own, texts

RARE, COMMON = (
    [f"{label} text number {i}" for i in range(n)] for label, n in (("a", 9), ("b", 30))
)
HUMAN = texts.table(RARE + COMMON, ["a"] * 9 + ["b"] * 30)
TEST = texts.table(["held out", "kept apart"], ["a", "b"])


def made(n: int) -> pd.DataFrame:
    """Texts of class a alone, each made from one of the first n."""
    seeds = [(texts.identity(text),) for text in RARE[:n]]
    return texts.table([f"made {i}" for i in range(n)], ["a"] * n, source="model", seeds=seeds)


def test_a_class_that_no_text_was_written_for_is_trained_on_as_it_is() -> None:
    found = own.corpus(pd.concat([HUMAN, made(6)]), TEST)
    assert sorted(found.base["text"]) == sorted([*RARE[:6], *COMMON])
    assert sorted(found.human["text"]) == sorted(RARE[6:])


def test_half_of_the_texts_are_base_texts_where_none_was_written() -> None:
    found = own.corpus(HUMAN, TEST)
    assert found.base["label"].value_counts().to_dict() == {"a": 4, "b": 15}
    assert len(found.human) == 20


def test_a_single_base_text_of_a_class_is_too_few() -> None:
    with pytest.raises(ValueError, match=r"two different base texts.*'a' has 1"):
        own.corpus(pd.concat([HUMAN, made(1)]), TEST)
