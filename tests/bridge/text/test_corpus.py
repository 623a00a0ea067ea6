"""The table of texts: identity, rules and lineage."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd
import pytest

from opal.bridge.prompts.common import identity
from opal.bridge.text.corpus import (
    TextCorpus,
    corpus_of,
    faults,
    labels_of,
    leaks,
    one_spelling,
    text_table,
    validate_texts,
)
from opal.spelling import folded


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
        (["a", "  "], ["x", "y"], {}, r"text must be .* got '  ' in data row 2"),
        (["a", "b"], ["x", None], {}, r"label must be .* got nan in data row 2: label every text"),
        ([f"t{i}" for i in range(6)], [""] * 6, {}, r"data rows 1, 2, 3 and 3 more"),
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
    with pytest.raises(ValueError, match="id must be that of the text; it is not in data row 1"):
        validate_texts(frame.assign(text=["changed", "b"]))


@pytest.mark.parametrize(
    "spelt",
    [
        "THE CR\u00caPE'S DOUGH WASN'T READY - AGAIN",
        "the cre\u0302pe\u2019s dough wasn\u2019t ready \u2014 again",
        "the crepe's dough wasn't ready; again!",
        "the\u00a0cr\u00eape's dough was\u200bn't ready,  again.",
        "\ufeffthe cr\u00eape's dough wasn't re\u00adady \u2212 again",
        "\uff54\uff48\uff45 cr\u00eape's dough wasn't ready - again",
        "the cr\u00eape&#39;s dough wasn&rsquo;t ready &ndash; again",
        "**the cr\u00eape's** dough _wasn't_ ready - again",
        "the cr\u00eape\u02bcs dough wasn\u00b4t ready \u2011 again",
        "\u201cThe cr\u00eape's dough wasn't ready \u2015 again\u201d",
        "the \u0441r\u00ea\u0440\u0435's dough wasn't ready - again",
    ],
)
def test_a_copy_in_another_spelling_has_one_id_and_is_not_trained_on(spelt: str) -> None:
    told = text_table(["the cr\u00eape's dough wasn't ready - again", "Fine."], ["bad", "good"])
    base = text_table(["so so", "nice", spelt], ["bad", "good", "bad"])
    child = text_table(["of the copy"], ["bad"], source="m", seeds=[(base["id"][2],)])
    corpus = TextCorpus("c", ("bad", "good"), base, base[:0], told, {"m": child})
    tests, others = one_spelling(told, base)
    assert others["id"][2] == tests["id"][0]
    apart = corpus.apart()
    assert apart.base["text"].tolist() == ["so so", "nice"]
    assert apart.synthetic["m"].empty


def test_copies_in_another_spelling_are_on_one_side_of_a_split() -> None:
    said = [f"the {what} number {k} was late" for what in ("tram", "ferry") for k in range(30)]
    label = ["tram"] * 30 + ["ferry"] * 30
    both = text_table([*said, *(each.upper() + "!" for each in said)], label * 2)
    for key in range(3):
        corpus = corpus_of(both, key=key)
        parts = [{folded(text) for text in part["text"]} for _, part in corpus.tables()]
        assert [len(part) for part in parts] == [20, 20, 20]
        assert not any(a & b for a, b in itertools.combinations(parts, 2))


def test_labels_of_test_texts_that_training_lacks_are_named() -> None:
    base = text_table([f"t {k}" for k in range(8)], ["yes", "no"] * 4)
    test = text_table(["u 1", "u 2", "u 3"], ["1", "0", "no"])
    with pytest.raises(ValueError, match=r"2 of 3 test texts .* training lacks: '0', '1'"):
        corpus_of(base, test)
    made = text_table(["v"], ["maybe"], source="m")
    with pytest.raises(ValueError, match=r"1 of 1 synthetic texts .* lacks: 'maybe'. It has: 'no'"):
        corpus_of(pd.concat([base, made]), test[2:])
    with pytest.raises(ValueError, match=r"texts to test on; of 1 none is of 'yes'"):
        corpus_of(base, test[2:])
    groups = text_table(["u 1", "u 2"], ["yes", "no"], attribute=["Sea", "land"])
    with pytest.raises(ValueError, match=r"each attribute must .* 'Sea' .1 ×. and 'sea' .8 ×."):
        corpus_of(base.assign(attribute="sea"), groups)
    alike = text_table(["u 1", "u 2"], ["Yes", "no"])
    with pytest.raises(ValueError, match=r"'Yes' .1 ×. and 'yes' .2 ×., which look"):
        corpus_of(base, alike)


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


def test_writers_of_the_same_texts_are_told() -> None:
    base = text_table([f"t {k}" for k in range(8)], ["yes", "no"] * 4)
    made = text_table(["v", "w", "x"], ["yes", "no", "no"], source="one")
    other = text_table(["v", "w", "y"], ["yes", "no", "no"], source="two")
    test = text_table(["u 1", "u 2"], ["yes", "no"])
    assert (
        "two: 2 of 3 equal a text of one" in corpus_of(pd.concat([base, made, other]), test).notes
    )
    apart = text_table(["y", "z"], ["yes", "no"], source="two")
    found = corpus_of(pd.concat([base, made, apart]), test)
    assert not any("equal a text" in note for note in found.notes)
