"""What looks alike is told to be alike, and what does not is not."""

from __future__ import annotations

import pytest

from opal.spelling import alike, canonical, folded, name, plain, words


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Stra\u00dfe 5", "STRASSE 5"),
        ("\u00c5ngstr\u00f6m", "A\u030angstro\u0308m"),
        ("\u0130stanbul", "istanbul"),
        ("\u0141\u00f3d\u017a", "Lodz"),
        ("sm\u00f8rrebr\u00f8d", "smorrebrod"),
        ("c\u0153ur na\u00eff", "coeur naif"),
        ("\u03c3\u03af\u03c3\u03bf\u03c2", "\u03a3\u0399\u03a3\u039f\u03a3"),
        ("\u0435\u0449\u0451", "\u0435\u0449\u0435"),
        ("\u05e9\u05b8\u05c1\u05dc\u05d5\u05b9\u05dd", "\u05e9\u05dc\u05d5\u05dd"),
        ("\u0645\u064f\u062d\u064e\u0645\u064e\u0651\u062f", "\u0645\u062d\u0645\u062f"),
        ("\u0645\u06cc\u200c\u062e\u0648\u0631\u062f", "\u0645\u06cc\u062e\u0648\u0631\u062f"),
        ("\ud55c\uad6d\uc5b4", "\u1112\u1161\u11ab\u1100\u116e\u11a8\u110b\u1165"),
        ("\uff76\uff9e\uff72\uff84\uff9e", "\u30ac\u30a4\u30c9"),
        ("caf\u00e9\u2009:\u202foui", "cafe: oui"),
        ("2\u00a0\u00bd \u20ac", "2 1\u20442 \u20ac"),
        ("don&#x27;t &amp; won&rsquo;t", "don't & won't"),
        ("a\u2028b", "a b"),
        ("co\u00adop\u2060erate", "cooperate"),
        ("ok\ufe0f \u2714\ufe0f", "ok \u2714"),
    ],
)  # fmt: skip
def test_spellings_of_one_text_are_one(one: str, other: str) -> None:
    assert folded(one) == folded(other) != ""


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("it is good", "it is wood"),
        (":)", ":("),
        ("5 of 10", "5 of 100"),
        ("\u0939\u093f\u0928\u094d\u0926\u0940", "\u0939\u0928\u0926"),  # vowel signs are letters
        ("\u304b", "\u304c"),
        ("\u0439\u043e\u0434", "\u0439\u0430\u0434"),
        ("\U0001f600", "\U0001f622"),
        ("re-sign", "resign"),
    ],
)
def test_other_texts_are_others(one: str, other: str) -> None:
    assert folded(one) != folded(other)


def test_each_form_is_coarser_than_the_one_before() -> None:
    text = " \u201cCa\u0301fe\u201d\u00a0&amp; BAR "
    assert canonical(text) == "\u201cC\u00e1fe\u201d\u00a0&amp; BAR"
    assert plain(text) == '"c\u00e1fe" &amp; bar'
    assert folded(text) == "cafe bar"
    assert words(text) == ["c\u00e1fe", "amp", "bar"]  # accents are what readers are shown
    for form in (canonical, plain, folded, name):
        assert form(form(text)) == form(text)


def test_joiners_within_a_label_stay() -> None:
    pilot = "\U0001f469\u200d\u2708\ufe0f"
    assert name(f"\u200d {pilot}\u200b ") == pilot
    assert name("a\n  b\t c") == "a\n b c"


def test_alike_labels_are_found_together() -> None:
    assert alike(["a", "b", "b"]) == []
    assert alike(["No", "no", "NO", "n\u043e"]) == [("No", "no", "NO", "n\u043e")]
    assert alike(["0", "0.0", "-0", "00"]) == [("0", "0.0", "-0", "00")]
    assert alike(["1e3", "1000", "1000.5"]) == [("1e3", "1000")]
    assert alike(["9" * 45, "9" * 45 + ".0", "pa\u0301", "pa"]) == []
    assert alike(["9" * 40, "9" * 39 + "8", "0." + "1" * 50, "0." + "1" * 51]) == []
    assert alike(["9" * 40, "9" * 40 + ".0"]) == [("9" * 40, "9" * 40 + ".0")]
