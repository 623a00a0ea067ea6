"""The table of texts: identity, rules and lineage."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from opal.bridge.text import texts


def test_equal_texts_are_one() -> None:
    frame = texts.table(["caf\u00e9", " cafe\u0301 ", "tea"], ["a", "a", "b"])
    assert frame["id"].nunique() == 2
    assert frame["text"].tolist()[1] == " cafe\u0301 "  # as it came
    assert texts.labels(frame) == ("a", "b")
    assert texts.identity("lone \ud800") != texts.identity("lone ")


def test_what_leaks_is_copies_and_children() -> None:
    humans = texts.table(["one", "two", "three"], ["a", "a", "b"])
    one, two, _ = humans["id"]
    made = texts.table(
        ["child of one", "child of both", "two", "orphan", "child of both"],
        ["a", "a", "a", "b", "a"],
        source="model",
        seeds=[(one,), (one, two), (), (), ()],
    )
    assert texts.leaks(made, {two}).tolist() == [False, True, True, False, True]
    assert texts.leaks(made, [one]).tolist() == [True, True, False, False, True]
    assert texts.leaks(humans, {one, two}).tolist() == [True, True, False]
    assert not np.any(texts.leaks(made, ()))


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
        texts.table(text, label, **options)


def test_tables_of_others_are_checked() -> None:
    frame = texts.table(["a", "b"], ["x", "y"])
    with pytest.raises(ValueError, match="missing: seeds"):
        texts.validate(frame.drop(columns="seeds"))
    with pytest.raises(ValueError, match="id must be that of the text; it is not in row 0"):
        texts.validate(frame.assign(text=["changed", "b"]))
