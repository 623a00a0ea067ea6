"""The worst synthetic texts, each beside the real text that shows why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from opal.bridge.text.audit import copies, seeds
from opal.bridge.text.audit.labels import Seen
from opal.bridge.text.audit.stock import Stock

PER_CLASS = 3
_CLOSE = 0.85


class _Kind(NamedTuple):
    """One way to be bad.

    Attributes:
        name: of the kind.
        value: badness of each text; 0 is not at all [n].
        other: row of the real text to show beside it, −1 for none [n].
        role: what that text is.
        why: the reason for the text of a number.
    """

    name: str
    value: np.ndarray
    other: np.ndarray
    role: str
    why: Callable[[int], str]


def report(seen: Seen, source: str, score: np.ndarray) -> list[dict[str, Any]]:
    """At most three texts of each kind and class, the worst first.

    Each has its ``kind``, ``class``, ``text`` and ``why``, and where there is one the ``other``
    text and what that is (``role``). Kinds: copies and near copies of each real table, texts
    closest to a seed of theirs, texts that the classifier gives another class most surely, the most
    repeated ones, and those most easily told from real ones.

    Args:
        seen: what the classifier sees.
        source: of the synthetic texts.
        score: probability that each of them is synthetic [n].
    """
    stock = seen.stock
    ours, text = stock.made[source], stock.frame["text"].tolist()
    found: list[dict[str, Any]] = []
    for kind in _kinds(seen, source, score):
        for number, name in enumerate(stock.labels):
            candidates = np.flatnonzero((stock.label[ours] == number) & (kind.value > 0))
            order = candidates[np.argsort(-kind.value[candidates], kind="stable")]
            for i in _different(stock, ours, order):
                other = kind.other[i]
                row = {"kind": kind.name, "class": name, "why": kind.why(i), "text": text[ours[i]]}
                row["other"] = text[other] if other >= 0 else None
                found.append(row | {"role": kind.role if other >= 0 else None})
    return found


def _different(stock: Stock, ours: np.ndarray, order: np.ndarray) -> Iterator[int]:
    """The first texts that do not repeat one before."""
    shown: set[int] = set()
    for i in order:
        if len(shown) < PER_CLASS and stock.key[ours[i]] not in shown:
            shown.add(int(stock.key[ours[i]]))
            yield int(i)


def _kinds(seen: Seen, source: str, score: np.ndarray) -> Iterator[_Kind]:
    stock = seen.stock
    ours = stock.made[source]
    for role in stock.real:
        yield from _copied(stock, source, role)
    row, similar = seeds.closest(stock, ours)
    close = np.where(np.nan_to_num(similar) >= _CLOSE, np.nan_to_num(similar), 0.0)
    yield _Kind("close to its seed", close, row, "its seed", _number("similarity", similar))
    yield _doubted(seen, source, row)
    counts = Counter(stock.key[ours].tolist())
    often = np.array([counts[int(key)] for key in stock.key[ours]], float)
    value = np.where(often > 1, often, 0.0)
    yield _Kind("repeated", value, row, "its seed", lambda i: f"written {often[i]:.0f} times")
    told, near = np.where(np.nan_to_num(score) > 0.5, score, 0.0), stock.near(source, "base")
    why = _number("P(synthetic)", score)
    yield _Kind("easily told", told, near.row, "nearest base text", why)


def _copied(stock: Stock, source: str, role: str) -> Iterator[_Kind]:
    """Copies and near copies of a real table."""
    ours, near = stock.made[source], stock.near(source, role)
    kinds = copies.kinds(stock, ours, near, role)
    place = {int(stock.key[row]): int(row) for row in stock.real[role][::-1]}
    same = np.array([place.get(int(stock.key[row]), -1) for row in ours])
    equal = (kinds["exact"] | kinds["folded"]).astype(float)

    def how(i: int) -> str:
        return "word for word" if kinds["exact"][i] else "but for case, marks and spacing"

    yield _Kind(f"copy of {role}", equal, same, f"a text of {role}", how)
    close = np.where(kinds["near"], near.cosine, 0.0)
    why = _number("cosine", near.cosine)
    yield _Kind(f"near copy of {role}", close, near.row, f"a text of {role}", why)


def _doubted(seen: Seen, source: str, row: np.ndarray) -> _Kind:
    """Texts to which the classifier gives another class."""
    labels, mine = seen.stock.labels, seen.of(source)
    p, own = seen.label[mine], seen.stock.label[seen.rows[mine]]
    other, of_own = p.max(axis=1), p[np.arange(len(own)), own]
    doubt = np.where(np.isfinite(of_own) & (other > of_own), other - of_own, 0.0)

    def why(i: int) -> str:
        instead = labels[int(p[i].argmax())]
        return f"P({labels[own[i]]}) = {of_own[i]:.2f}, P({instead}) = {other[i]:.2f}"

    return _Kind("label doubted", doubt, row, "its seed", why)


def _number(name: str, values: np.ndarray) -> Callable[[int], str]:
    return lambda i: f"{name} {values[i]:.2f}"
