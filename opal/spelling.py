r"""Texts in one spelling, so that what looks alike is told to be alike.

Three forms, each coarser than the one before; all that compares texts or labels compares one:

============ ====================================================================================
canonical    one form of characters (NFC), no space around it: what the id of a text is of
plain        also one width, case, kind of space, quote and dash, and nothing that is invisible
folded       also without accents, marks and entities of HTML, letters of other alphabets that look
             like Latin ones written as these: what a copy of a text is told by
============ ====================================================================================
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from decimal import Context, Decimal

_WORDS = re.compile(r"[^\W_]+")
_NUMBER = re.compile(r"[+-]?\d{1,40}(\.\d*)?(e[+-]?\d{1,3})?")
_SPACES = re.compile(r"[^\S\n\r\u2028\u2029]+")
_JOINERS = "\u200c\u200d"  # parts of words in some scripts, and of emoji
_INVISIBLE = {
    *(code for code in range(0x10000) if unicodedata.category(chr(code)) == "Cf"),
    *range(0xE0000, 0xE0080),  # tags
    *range(0xFE00, 0xFE10),  # which picture of a sign is meant
    *(0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180E, 0x3164, 0xFFA0),  # fillers
}
_DELETED = dict.fromkeys(_INVISIBLE)
_DELETED_IN_NAMES = dict.fromkeys(_INVISIBLE - set(map(ord, _JOINERS)) - set(range(0xFE00, 0xFE10)))
_MARKS = {
    **dict.fromkeys(map(ord, "\u2018\u2019\u201a\u201b\u2032\u2039\u203a"), "'"),
    **dict.fromkeys(map(ord, "\u02bc\u02b9\u02bb\u00b4`"), "'"),
    **dict.fromkeys(map(ord, "\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb"), '"'),
    **dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63"), "-"),
}  # fmt: skip
# Cyrillic and Greek letters, small ones, that look like Latin ones.
_LOOK_ALIKE = str.maketrans("авекмнорстухіјѕԁһԛԝαβεικνορτυχ", "abekmhopctyxijsdhqwabeikvoptux")
# Letters that are no letter with an accent for Unicode, and what is written where there is no key.
_BARE: dict[int, int | str] = {
    **str.maketrans("øđłħŧıð", "odlhtid"),
    **{ord(letter): bare for letter, bare in zip("æœþß", ("ae", "oe", "th", "ss"), strict=True)},
}
_ACCENTS = re.compile(
    "[\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff"  # of European letters
    "\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7"  # vowels of Hebrew, and of Arabic
    "\u0610-\u061a\u064b-\u065f\u0670\u0640]"
)


def canonical(text: str) -> str:
    r"""The text in one form of its characters, without spaces around it.

    >>> canonical(" cafe\u0301\n") == "caf\u00e9"
    True
    """
    return unicodedata.normalize("NFC", text).strip()


def plain(text: str) -> str:
    r"""The text in one width, case, kind of space, quote and dash, without what is invisible.

    >>> plain(" \uff22\u200bad\u00a0news\u2014 \u201cNo\u201d ")
    'bad news- "no"'
    """
    if text.isascii():
        return " ".join(text.casefold().split()).replace("`", "'")
    seen = unicodedata.normalize("NFKC", text.translate(_MARKS).translate(_DELETED))
    cased = unicodedata.normalize("NFKC", seen.casefold())
    return " ".join(cased.translate(_MARKS).split())


def words(text: str) -> list[str]:
    """The words of a text, plain; of a text without words, its marks.

    >>> words("Don't PANIC!"), words(":-) :-(")
    (['don', 't', 'panic'], [':-)', ':-('])
    """
    spelt = plain(text)
    return _WORDS.findall(spelt) or spelt.split()


def folded(text: str) -> str:
    r"""The words of a text, however they are spelt; of a text without words, its marks.

    >>> (
    ...     folded("  “Don’t”  PANIC!"),
    ...     folded("don&#39;t panic"),
    ...     folded("bru\u0302l\u00e9e"),
    ... )
    ('don t panic', 'don t panic', 'brulee')
    """
    spelt = plain(html.unescape(text) if "&" in text else text)
    if not spelt.isascii():
        bare = _ACCENTS.sub("", unicodedata.normalize("NFKD", spelt)).translate(_BARE)
        spelt = unicodedata.normalize("NFC", bare).translate(_LOOK_ALIKE)
    return " ".join(_WORDS.findall(spelt) or spelt.split())


def name(label: str) -> str:
    r"""A label as it is shown: without what cannot be seen, with single spaces within its lines.

    Labels that no reader could tell apart become one.

    >>> name(" very\u00a0bad\u200b\ufeff ") == "very bad"
    True
    """
    shown = unicodedata.normalize("NFC", label).translate(_DELETED_IN_NAMES)
    return _SPACES.sub(" ", shown.strip(_JOINERS)).strip()


def alike(labels: Iterable[str]) -> list[tuple[str, ...]]:
    r"""Different labels that look alike, or are one number: ``Bad`` and ``bad``, ``1`` and ``1.0``.

    >>> alike(["good", "Bad", "1", "bad", "1.0", "-1"])
    [('Bad', 'bad'), ('1', '1.0')]
    """
    found: dict[str, list[str]] = defaultdict(list)
    for label in dict.fromkeys(labels):
        found[_appearance(label)].append(label)
    return [tuple(several) for several in found.values() if len(several) > 1]


def shown(label: str) -> str:
    r"""A label in a message: with its characters by number where they are not plain letters.

    >>> shown("bad"), shown("\u0421")
    ("'bad'", "'С' ('\\u0421')")
    """
    seen, numbered = repr(label), ascii(label)
    return seen if seen == numbered else f"{seen} ({numbered})"


def _appearance(label: str) -> str:
    spelt = plain(label).translate(_LOOK_ALIKE)
    if _NUMBER.fullmatch(spelt):
        number = Decimal(spelt).normalize(Context(prec=len(spelt)))  # not rounded
        return str(number) if number else "0"
    return spelt
