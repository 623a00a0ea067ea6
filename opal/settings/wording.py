"""Words and sentences: how meanings are said, and understood again."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from string import Formatter

import numpy as np
from jaxtyping import Array, Int, Key

from opal.draws import as_key, named, on_host
from opal.settings.groups import require_finite

_WORD = re.compile("[a-z]+")


@dataclass(frozen=True, eq=False)
class Slot:
    """A place in a sentence, and the chance of each word in it.

    Attributes:
        name: of the place, as templates have it.
        words: m words in small letters.
        chances: of each word, given the class (or the attribute, in its slot) [L, m].

    Raises:
        ValueError: fewer than two words, a word that is none or comes twice, chances that are not
            finite, negative or not of sum one, a word without a chance.
    """

    name: str
    words: tuple[str, ...]
    chances: np.ndarray

    def __post_init__(self) -> None:
        """Check the words and their chances."""
        chances = np.array(self.chances, dtype=float)
        if len(self.words) < 2 or len(set(self.words)) < len(self.words):
            raise ValueError(f"slot {self.name!r} needs two or more words; got {self.words!r}.")
        for word in self.words:
            if not _WORD.fullmatch(word):
                raise ValueError(
                    f"words have small letters a to z only; {self.name!r} has {word!r}."
                )
        if chances.ndim != 2 or chances.shape[1] != len(self.words):
            raise ValueError(
                f"chances of slot {self.name!r} must be [classes, {len(self.words)}]; got shape "
                f"{chances.shape}."
            )
        require_finite(chances, f"chances of slot {self.name!r}")
        sums = chances.sum(axis=1)
        if (
            chances.min() < 0
            or not np.allclose(sums, 1, atol=1e-9)
            or not chances.any(axis=0).all()
        ):
            raise ValueError(
                f"chances of slot {self.name!r} must be at least 0, of sum one, and leave every "
                f"word possible; got sums {sums.tolist()} and least {chances.min():g}."
            )
        object.__setattr__(self, "chances", chances / sums[:, None])


@dataclass(frozen=True, eq=False)
class Wording:
    """Sentences whose meaning is the words in their slots; all else in them says nothing.

    Attributes:
        slots: the places whose words make the meaning.
        templates: sentences with the name of every slot, and of any filler, in braces.
        fillers: words without meaning, for each name in the templates that is no slot's.

    Raises:
        ValueError: a word that stands for two things, a template with other names than it should
            have.
    """

    slots: tuple[Slot, ...]
    templates: tuple[str, ...]
    fillers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check that every sentence has one meaning."""
        if len(self._places) < sum(self.shape):
            raise ValueError("a word may stand in one slot only, or sentences have two meanings.")
        names = [slot.name for slot in self.slots]
        if not self.templates or len({*names, *self.fillers}) < len(names) + len(self.fillers):
            raise ValueError("sentences need a template, and one name for each slot and filler.")
        others = [word for words in self.fillers.values() for word in words]
        for template in self.templates:
            parts = list(Formatter().parse(template))
            held = [part[1] for part in parts if part[1] is not None]
            if sorted(name for name in held if name not in self.fillers) != sorted(names):
                raise ValueError(
                    f"a template has each of {', '.join(names)} once, and else names of fillers "
                    f"only; got {template!r}."
                )
            others += [part[0] for part in parts]
        shared = sorted(set(_WORD.findall(" ".join(others).lower())) & set(self._places))
        if shared:
            raise ValueError(
                f"words of slots must not stand elsewhere in a sentence; {shared[0]!r} does."
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of words of each slot."""
        return tuple(len(slot.words) for slot in self.slots)

    def say(self, words: Int[np.ndarray, "n s"], *, key: int | Key[Array, ""]) -> list[str]:
        """A sentence for each row of words; the first do not depend on how many there are."""
        choices = (self.templates, *self.fillers.values())
        u = on_host(named(as_key(key), "wording")).random((len(words), len(choices)))
        sizes = np.array([len(each) for each in choices])[None, :]
        picked = np.floor(u * sizes).astype(int).tolist()
        said = []
        for row, (template, *others) in zip(words.tolist(), picked, strict=True):
            meant = {slot.name: slot.words[i] for slot, i in zip(self.slots, row, strict=True)}
            filled = zip(self.fillers.items(), others, strict=True)
            fillers = {name: words[i] for (name, words), i in filled}
            said.append(self.templates[template].format(**meant, **fillers))
        return said

    def hear(self, text: str) -> tuple[int, ...]:
        """The word of each slot in a sentence.

        Raises:
            ValueError: a slot has no word in the text, or several.
        """
        found: dict[int, list[int]] = {}
        for word in _WORD.findall(text.lower()):
            if word in self._places:
                slot, index = self._places[word]
                found.setdefault(slot, []).append(index)
        for s, place in enumerate(self.slots):
            if len(found.get(s, ())) != 1:
                said = ", ".join(place.words[i] for i in found.get(s, ())) or "none"
                raise ValueError(
                    f"a sentence of the grammar has one of {', '.join(place.words)} as its "
                    f"{place.name}; got {said} in {text[:80]!r}."
                )
        return tuple(found[s][0] for s in range(len(self.slots)))

    @cached_property
    def _places(self) -> Mapping[str, tuple[int, int]]:
        """Slot and number of each word."""
        return {
            word: (s, i) for s, slot in enumerate(self.slots) for i, word in enumerate(slot.words)
        }
