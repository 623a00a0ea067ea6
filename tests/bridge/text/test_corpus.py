"""The table of texts: identity, rules and lineage."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from opal.bridge.prompts.common import identity
from opal.bridge.text.corpus import (
    TextCorpus,
    faults,
    labels_of,
    leaks,
    text_table,
    validate_texts,
)


def test_equal_texts_are_one() -> None:
    frame = text_table(["caf\u00e9", " cafe\u0301 ", "tea"], ["a", "a", "b"])
    assert frame["id"].nunique() == 2
    assert frame["text"].tolist()[1] == " cafe\u0301 "  # as it came
    assert labels_of(frame) == ("a", "b")
    assert identity("lone \ud800") != identity("lone ")


def test_what_leaks_is_copies_and_children() -> None:
    humans = text_table(["one", "two", "three"], ["a", "a", "b"])
    one, two, _ = humans["id"]
    made = text_table(
        ["child of one", "child of both", "two", "orphan", "child of both"],
        ["a", "a", "a", "b", "a"],
        source="model",
        seeds=[(one,), (one, two), (), (), ()],
    )
    assert leaks(made, {two}).tolist() == [False, True, True, False, True]
    assert leaks(made, [one]).tolist() == [True, True, False, False, True]
    assert leaks(humans, {one, two}).tolist() == [True, True, False]
    assert not np.any(leaks(made, ()))


@pytest.mark.parametrize(
    ("text", "label", "options", "match"),
    [
        (["a", "  "], ["x", "y"], {}, r"text must be .* got '  ' in row 1"),
        (["a", "b"], ["x", None], {}, r"label must be .* got nan in row 1: label every text"),
        ([f"t{i}" for i in range(6)], [""] * 6, {}, r"rows 0, 1, 2 and 3 more"),
        (["a"], ["x", "y"], {}, r"lengths .*'text': 1, 'label': 2"),
        (["a"], ["x"], {"source": ""}, r"source must be"),
        (["a"], ["x"], {"attribute": [3]}, r"attribute must be .* got .*3"),
    ],
)
def test_refused(
    text: list[object], label: list[object], options: dict[str, Any], match: str
) -> None:
    with pytest.raises(ValueError, match=match):
        text_table(text, label, **options)


def test_tables_of_others_are_checked() -> None:
    frame = text_table(["a", "b"], ["x", "y"])
    with pytest.raises(ValueError, match="missing: seeds"):
        validate_texts(frame.drop(columns="seeds"))
    with pytest.raises(ValueError, match="id must be that of the text; it is not in row 0"):
        validate_texts(frame.assign(text=["changed", "b"]))


def test_a_test_text_in_another_spelling_leaks_and_is_told() -> None:
    """Case, marks, spacing and the form of characters hide a copy; another word does not."""
    test = text_table(["Well, done café!", "Bad."], ["good", "bad"])
    spelt = ["well done  CAFE\u0301", "\uff57ell done café", "well done, cafés", "Bad."]
    made = text_table(spelt, ["good", "good", "good", "bad"], source="m")
    child = text_table(["made of a copy"], ["good"], source="m", seeds=[(made["id"][0],)])
    base = text_table(["fine", "awful"], ["good", "bad"])
    synthetic = {"m": pd.concat([made, child], ignore_index=True)}
    corpus = TextCorpus("c", ("bad", "good"), base, base[:0], test, synthetic)
    assert corpus.apart().synthetic["m"]["text"].tolist() == ["well done, cafés"]
    told = faults(corpus)
    assert "m: 1 of 5 equal a text of test" in told
    assert "m: 2 of 5 equal one of test but for case, marks and spelling" in told
