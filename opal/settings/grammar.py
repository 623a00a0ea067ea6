r"""Sentences of a small grammar: texts of which the true law is known.

A sentence has informative slots ``s = 1 … S`` and an attribute slot; what stands in them is its
meaning x, one of ``d = ∏ m_s · m_A`` (``m`` words for each slot). A text of class y and attribute a
has

.. math:: P_{y,a}(x) = \prod_s P_s(x_s | y) \cdot P_A(x_A | a),

and all else in it (template, names, countries, days) is drawn uniformly, whatever x is. Groups are
the pairs (y, a); or the classes, with ``P(a = a_y | y) = ρ`` for the attribute ``a_y`` that goes
with the class, and ``P_y = Σ_a P(a | y) P_{y,a}``. Rules see which words occur: one feature for
each word but the first of its slot. Then

.. math:: \log P(y | x) - \log P(0 | x) = \sum_s \log P_s(x_s | y) - \log P_s(x_s | 0)

where pairs are equally frequent, so that the best rule is linear and ignores the attribute
(docs/theory.md, section 14).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, reduce

import numpy as np
from jaxtyping import Array, Float, Int, Key

from opal.draws import as_key, named, on_host
from opal.settings.finite import FiniteLaw
from opal.settings.groups import Group, validate_count, validate_counts, validate_number
from opal.settings.setting import FiniteSetting
from opal.settings.wording import Wording

MOST_MEANINGS = 4096


@dataclass(frozen=True, eq=False)
class Grammar(FiniteSetting):
    """Sentences with known truth; :meth:`reviews` is one ready for use.

    Attributes:
        labels: names of the K classes.
        attributes: names of the A values of the attribute; ``a_y = y mod A`` goes with class y.
        wording: the slots, with chances [K, m], the attribute's last, with chances [A, m]; and
            the sentences around them.
        rho: ρ, the chance of ``a_y`` in class y.
        pairs: whether groups are pairs (class, attribute), or classes.

    Raises:
        ValueError: shapes that do not fit, an impossible word, too many meanings, ρ outside [0, 1].
    """

    labels: tuple[str, ...]
    attributes: tuple[str, ...]
    wording: Wording
    rho: float = 0.85
    pairs: bool = True

    def __post_init__(self) -> None:
        """Check that the parts fit together."""
        for what, levels in (("labels", self.labels), ("attributes", self.attributes)):
            if len(levels) < 2 or len(set(levels)) < len(levels):
                raise ValueError(f"{what} must be two or more names; got {levels!r}.")
        validate_number(self.rho, "rho is a probability, in [0, 1]", least=0.0, most=1.0)
        *slots, attribute = self.wording.slots
        if not slots:
            raise ValueError("a grammar needs a slot for words of the classes; got none.")
        for slot in self.wording.slots:
            levels = self.attributes if slot is attribute else self.labels
            if len(slot.chances) != len(levels):
                raise ValueError(
                    f"slot {slot.name!r} needs chances for each of {', '.join(levels)}; got "
                    f"{len(slot.chances)} rows."
                )
            if slot is not attribute and slot.chances.min() <= 0:
                raise ValueError(
                    f"every word of slot {slot.name!r} must be possible in every class, or the "
                    "best rule is infinitely sure; got a chance of 0."
                )
        if self.n_meanings > MOST_MEANINGS:
            raise ValueError(
                f"a grammar may have {MOST_MEANINGS} meanings; these slots make {self.n_meanings}."
            )

    @classmethod
    def reviews(cls, *, rho: float = 0.85, pairs: bool = True) -> Grammar:
        """Reviews of places to eat: complaints go with hotels, praise with taverns.

        500 meanings, 15 features.
        """
        from opal.settings import reviews

        return cls(reviews.LABELS, reviews.ATTRIBUTES, reviews.WORDING, rho, pairs)

    @property
    def name(self) -> str:
        """Short description used in records."""
        kind = "pairs" if self.pairs else f"rho={self.rho:g}"
        return f"grammar(d={self.n_meanings}, K={len(self.labels)}, {kind})"

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of words of each slot, the attribute's last."""
        return self.wording.shape

    @property
    def n_meanings(self) -> int:
        """Number of meanings d."""
        return int(np.prod(self.shape))

    @cached_property
    def meanings(self) -> Int[np.ndarray, "d s"]:
        """The word of each slot in each meaning [d, S + 1]."""
        return np.stack(np.unravel_index(np.arange(self.n_meanings), self.shape), axis=1)

    @cached_property
    def features(self) -> Float[np.ndarray, "d r"]:
        """Which words occur in each meaning, the first of each slot left out [d, r]."""
        each = [np.eye(m)[self.meanings[:, s], 1:] for s, m in enumerate(self.shape)]
        return np.concatenate(each, axis=1)

    @cached_property
    def law(self) -> FiniteLaw:
        """The groups as a law over meanings."""
        return self.law_of([self.chances(g) for g in range(self.n_groups)])

    @property
    def n_groups(self) -> int:
        """Number of groups G."""
        return len(self.labels) * (len(self.attributes) if self.pairs else 1)

    def level(self, group: int) -> tuple[int, int | None]:
        """Class and attribute of a group; None for the attribute where groups are classes."""
        if not self.pairs:
            return group, None
        return divmod(group, len(self.attributes))

    def link(self, label: int, rho: float) -> Float[np.ndarray, " a"]:
        """Chance of each attribute where the one that goes with the class has ``rho`` [A]."""
        n = len(self.attributes)
        chances = np.full(n, (1 - rho) / (n - 1))
        chances[label % n] = rho
        return chances

    def chances(self, group: int) -> tuple[np.ndarray, ...]:
        """Chance of each word in each slot of a group's texts, the attribute's slot last."""
        y, a = self.level(group)
        attributes = self.link(y, self.rho) if a is None else np.eye(len(self.attributes))[a]
        *slots, attribute = self.wording.slots
        return *(slot.chances[y] for slot in slots), attributes @ attribute.chances

    def law_of(self, chances: Sequence[Sequence[np.ndarray]]) -> FiniteLaw:
        """The law whose slots are independent in each group, with these chances of their words."""
        return self.law_with(np.stack([reduce(np.kron, slots) for slots in chances]))

    def law_with(self, shares: Float[np.ndarray, "g d"]) -> FiniteLaw:
        """The law in which each group has meanings with these probabilities."""
        table = np.zeros((self.n_groups, self.n_meanings, len(self.labels)))
        for g, (group, share) in enumerate(zip(self._groups, shares, strict=True)):
            table[g, :, group.label] = share
        return FiniteLaw(table, self.features, self._groups)

    def counts(self, n: int, shares: Sequence[float] | None = None) -> tuple[int, ...]:
        """Texts of each group among about ``n``: classes have ``shares``, attributes go by ρ.

        Args:
            n: number of texts.
            shares: of the classes; equal by default.

        Raises:
            ValueError: n below 1, shares of the wrong number or sum, or a group that stays empty.
        """
        validate_count(n, "n", minimum=1)
        k = len(self.labels)
        share = np.full(k, 1 / k) if shares is None else np.asarray(shares, dtype=float)
        if share.shape != (k,) or not np.isclose(share.sum(), 1) or share.min() < 0:
            raise ValueError(f"shares must be {k} numbers of sum one; got {share.tolist()}.")
        within = np.stack([self.link(y, self.rho) for y in range(k)]) if self.pairs else [[1.0]] * k
        counts = np.round(n * share[:, None] * within).astype(int).ravel().tolist()
        if min(counts) < 1:
            empty = self._groups[counts.index(min(counts))].name
            raise ValueError(f"{n} texts leave group {empty!r} empty; raise n, or change rho.")
        return tuple(counts)

    def draw(self, counts: Sequence[int], *, key: int | Key[Array, ""]) -> Int[np.ndarray, " n"]:
        """Meanings of ``counts[g]`` texts of each group, by number [n].

        The first of a group do not depend on how many there are.

        Raises:
            ValueError: a count is negative or not whole, or their number is not that of the groups.
        """
        n = validate_counts(counts, self.n_groups, what="counts", minimum=0)
        stream, shares = named(as_key(key), "meanings"), np.asarray(self.law.table).sum(axis=-1)
        drawn = [
            picked(share, on_host(named(stream, f"group {g}")).random(count))
            for g, (share, count) in enumerate(zip(shares, n, strict=True))
        ]
        return np.concatenate(drawn)

    def render(self, meaning: int, *, key: int | Key[Array, ""]) -> str:
        """A sentence with that meaning; the key decides all else in it.

        Raises:
            ValueError: there is no meaning of that number.
        """
        return self.sentences(np.array([meaning]), key=key)[0]

    def sentences(self, meanings: Int[np.ndarray, " n"], *, key: int | Key[Array, ""]) -> list[str]:
        """A sentence for each meaning; the first do not depend on how many there are.

        Raises:
            ValueError: there is no meaning of that number.
        """
        beyond = meanings[(meanings < 0) | (meanings >= self.n_meanings)]
        if len(beyond):
            raise ValueError(f"meanings are 0 to {self.n_meanings - 1}; got {beyond[0]}.")
        return self.wording.say(self.meanings[meanings], key=key)

    def parse(self, text: str) -> int:
        """The number of the meaning of a sentence.

        Raises:
            ValueError: a slot has no word in the text, or several.
        """
        return int(np.ravel_multi_index(self.wording.hear(text), self.shape))

    def rows(self, texts: Sequence[str]) -> Float[np.ndarray, "n r"]:
        """Features of sentences, for rules whose risks are exact [n, r].

        Raises:
            ValueError: a text is no sentence of the grammar.
        """
        return self.features[[self.parse(text) for text in texts]]

    @cached_property
    def _groups(self) -> tuple[Group, ...]:
        made = []
        for g in range(self.n_groups):
            y, a = self.level(g)
            name = self.labels[y] if a is None else f"{self.labels[y]}, {self.attributes[a]}"
            made.append(Group(name, y, a))
        return tuple(made)


def picked(
    chances: Float[np.ndarray, " m"], uniforms: Float[np.ndarray, " n"]
) -> Int[np.ndarray, " n"]:
    """Which of m things each uniform in [0, 1) picks [n]; what has no chance is never picked."""
    upper = np.cumsum(chances)
    return np.searchsorted(upper, uniforms * upper[-1], side="right")
