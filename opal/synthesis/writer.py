r"""A writer of known quality: sentences of a grammar with faults that are dialled in.

Asked for a text of class y and attribute a, it chooses the word of a slot by

.. math:: Q_s(· | y) = (1-ε-φ) P_s(· | y) + ε \bar P_s(· | y) + φ 1\{· = f_s(y)\},

where ``P̄`` is the mean over the other classes and ``f`` its favourite word, and the attribute's
word by ``P_A`` with the attribute a' instead of a,

.. math:: Q(a' | y, a) = (1-κ) 1\{a' = a\} + κ [λ 1\{a' = a_y\} + (1-λ)/(A-1) 1\{a' ≠ a_y\}]:

it writes the attribute that it believes goes with the class, whatever it is asked for. Each word is
taken from its seed instead with probability η. The law of a text, its seed a text of the same
group, is then of the grammar's kind, with ``η P + (1-η) Q`` in each slot; given the seeds at hand
it is the mean over them. Either way it is a finite law, and its bias ``b_g`` a sum (docs/theory.md,
section 14).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Array, Float, Int, Key

from opal.draws import as_key, named, on_host
from opal.losses import Loss
from opal.settings.finite import FiniteLaw
from opal.settings.grammar import Grammar, picked
from opal.settings.groups import validate_number


@dataclass(frozen=True)
class Writer:
    """A generator of sentences, as good as its dials say; all at 0 it writes the true law.

    Attributes:
        confusion: ε, the chance that a word is one of another class.
        favour: φ, the chance of its favourite word; ε + φ ≤ 1.
        favourites: for each class a word of each of its slots; None for the most common ones.
        rebuild: κ, the chance that it chooses the attribute itself.
        link: λ, the chance that it then chooses the one that goes with the class.
        echo: η, the chance that a word is that of its seed.
        name: used in records.

    Raises:
        ValueError: a dial outside [0, 1], or ε + φ above 1.
    """

    confusion: float = 0.0
    favour: float = 0.0
    favourites: tuple[tuple[str, ...], ...] | None = None
    rebuild: float = 0.0
    link: float = 0.5
    echo: float = 0.0
    name: str = "writer"

    def __post_init__(self) -> None:
        """Check the dials."""
        for dial in ("confusion", "favour", "rebuild", "link", "echo"):
            rule = f"{dial} is a probability, in [0, 1]"
            validate_number(getattr(self, dial), rule, least=0.0, most=1.0)
        total = self.confusion + self.favour
        validate_number(
            total, "confusion + favour is a probability", most=1 + sys.float_info.epsilon
        )

    def chances(self, grammar: Grammar, group: int) -> tuple[np.ndarray, ...]:
        """Q: chance of each word of each slot where none is the seed's, the attribute's last.

        Raises:
            ValueError: a favourite is no word of its slot, or their number is wrong.
        """
        y, a = grammar.level(group)
        *slots, attribute = grammar.wording.slots
        rest = 1 - self.confusion - self.favour
        made = []
        for s, slot in enumerate(slots):
            others = np.delete(slot.chances, y, axis=0).mean(axis=0)
            q = rest * slot.chances[y] + self.confusion * others
            q[self._favourite(grammar, y, s)] += self.favour
            made.append(q)
        asked = grammar.link(y, grammar.rho) if a is None else np.eye(len(grammar.attributes))[a]
        written = (1 - self.rebuild) * asked + self.rebuild * grammar.link(y, self.link)
        return *made, written @ attribute.chances

    def law(self, grammar: Grammar) -> FiniteLaw:
        """The law of its texts where seeds are texts of the true law.

        Raises:
            ValueError: the favourites do not fit the grammar.
        """
        groups = range(grammar.n_groups)
        pairs = [zip(grammar.chances(g), self.chances(grammar, g), strict=True) for g in groups]
        return grammar.law_of([[self._mixed(p, q) for p, q in slots] for slots in pairs])

    def given(self, grammar: Grammar, seeds: Sequence[Int[np.ndarray, " _"]]) -> FiniteLaw:
        """The law of its texts where a seed is any of those at hand, equally likely.

        Args:
            grammar: of the texts.
            seeds: meanings of each group's seeds, by number.

        Raises:
            ValueError: a group has no seeds, or the favourites do not fit the grammar.
        """
        if len(seeds) != grammar.n_groups or min(map(len, seeds)) < 1:
            raise ValueError(
                f"each of the {grammar.n_groups} groups needs at least one seed; got "
                f"{[len(each) for each in seeds]}."
            )
        return grammar.law_with(np.stack([self._mean(grammar, g, s) for g, s in enumerate(seeds)]))

    def bias(
        self, grammar: Grammar, theta: Float[Array, " p"], loss: Loss = "logistic"
    ) -> Float[Array, " g"]:
        """``b_g(θ) = E_{Q_g} ℓ − E_{P_g} ℓ`` of the linear rule θ, exactly [G]."""
        return self.law(grammar).group_risk(theta, loss) - grammar.group_risk(theta, loss)

    def rewrite(
        self,
        grammar: Grammar,
        seeds: Int[np.ndarray, " n"],
        groups: Int[np.ndarray, " n"],
        *,
        key: int | Key[Array, ""],
    ) -> Int[np.ndarray, " n"]:
        """Meanings of the texts that it makes of seeds, one of each, for these groups [n].

        The first do not depend on how many there are.
        """
        shape = grammar.shape
        u = on_host(named(as_key(key), "writer")).random((len(seeds), 2 * len(shape)))
        words = grammar.meanings[seeds].copy()
        for g in range(grammar.n_groups):
            of_group = groups == g
            for s, q in enumerate(self.chances(grammar, g)):
                chosen = picked(q, u[of_group, s])
                kept = u[of_group, len(shape) + s] < self.echo
                words[of_group, s] = np.where(kept, words[of_group, s], chosen)
        return np.ravel_multi_index(tuple(words.T), shape)

    def _mean(self, grammar: Grammar, group: int, seeds: np.ndarray) -> np.ndarray:
        """Probability of each meaning, the mean over the seeds [d]."""
        shares = np.ones((len(seeds), 1))
        for s, q in enumerate(self.chances(grammar, group)):
            each = self._mixed(np.eye(len(q))[grammar.meanings[seeds, s]], q[None, :])
            shares = (shares[:, :, None] * each[:, None, :]).reshape(len(seeds), -1)
        return shares.mean(axis=0)

    def _mixed(self, seed: np.ndarray, own: np.ndarray) -> np.ndarray:
        return self.echo * seed + (1 - self.echo) * own

    def _favourite(self, grammar: Grammar, label: int, s: int) -> int:
        slot = grammar.wording.slots[s]
        if self.favourites is None:
            return int(np.argmax(slot.chances[label]))
        n_slots = len(grammar.wording.slots) - 1
        if len(self.favourites) != len(grammar.labels) or len(self.favourites[label]) != n_slots:
            raise ValueError(
                f"favourites must be a word of each of {n_slots} slots for each of "
                f"{len(grammar.labels)} classes; got {self.favourites!r}."
            )
        word = self.favourites[label][s]
        if word not in slot.words:
            known = ", ".join(slot.words)
            raise ValueError(f"a favourite of {slot.name!r} is one of {known}; got {word!r}.")
        return slot.words.index(word)
