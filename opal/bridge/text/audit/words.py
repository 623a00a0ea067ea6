"""Texts without what hides a copy, and the words in them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

_WORDS = re.compile(r"\w+")


def folded(text: str) -> str:
    """The words of a text in one spelling; of a text without words, its marks.

    >>> folded("  “Don’t”  PANIC!"), folded("don't panic")
    ('don t panic', 'don t panic')
    """
    plain = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(_WORDS.findall(plain) or plain.split())


def grams(words: Sequence[str], n: int) -> list[tuple[str, ...]]:
    """All runs of n words.

    >>> grams(["a", "b", "c"], 2)
    [('a', 'b'), ('b', 'c')]
    """
    return [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
