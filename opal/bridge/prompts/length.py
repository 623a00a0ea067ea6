"""How long the examples of a request are, and therefore its answer should be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_LONGEST_WORD = 10  # characters a word, on average, above which a text has no words to count
_SLACK = 10


@dataclass(frozen=True)
class Length:
    """Shortest, mean and longest of some texts, in words, or in characters where spaces are rare.

    >>> Length.of(["one two three", "one two three four five"])
    Length(unit='words', least=3, mean=4, most=5)
    >>> Length.of(["第一句话是这样写的没有空格也没有词", "这是第二句"]).unit
    'characters'
    """

    unit: str
    least: int
    mean: int
    most: int

    @classmethod
    def of(cls, texts: Sequence[str]) -> Length:
        """The length of texts."""
        n_words = sum(len(text.split()) for text in texts)
        spaced = sum(map(len, texts)) <= _LONGEST_WORD * n_words
        unit = "words" if spaced else "characters"
        counts = [_count(text, unit) for text in texts]
        return cls(unit, min(counts), round(sum(counts) / len(counts)), max(counts))

    @property
    def limit(self) -> int:
        """A text beyond this is no match: twice the longest, and ten more."""
        return 2 * self.most + _SLACK

    def count(self, text: str) -> int:
        """The length of another text in the same unit."""
        return _count(text, self.unit)

    def __str__(self) -> str:
        if self.least == self.most:
            return f"about {self.most} {self.unit}"
        return f"between {self.least} and {self.most} {self.unit}, about {self.mean} on average"


def _count(text: str, unit: str) -> int:
    return len(text.split()) if unit == "words" else len(text)
