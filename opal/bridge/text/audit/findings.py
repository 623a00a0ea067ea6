"""What is wrong: beyond chance, and large enough to matter; and the worst texts that show it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from opal.bridge import findings
from opal.bridge.findings import Test, beyond, percent
from opal.bridge.text.audit import copies, seeds
from opal.bridge.text.audit.labels import Seen
from opal.bridge.text.audit.tables import ALL, AuditData
from opal.bridge.text.audit.variety import OPENINGS, ORDERS

PER_CLASS = 3
_WORST = ("leak", "copies", "near copies", "labels", "attribute", "repeated", "openings")
_CLOSE = 0.85


def verdicts(found: Mapping[str, Any]) -> dict[str, Any]:
    """The findings of an audit, worst first; see :func:`opal.bridge.findings.verdicts`."""
    parts = (_copies, _seeds, _variety, _shift, _two_sample, _composition)
    tests = [test for part in parts for test in part(found)]
    labels = list(findings.label_tests(found["labels"], "texts"))
    return findings.verdicts(tests, labels, worst=_WORST, whole=ALL)


def examples(seen: Seen, writer: str, score: np.ndarray) -> list[dict[str, Any]]:
    """At most three texts of each kind and class, the worst first.

    Each has its ``kind``, ``class``, ``text`` and ``why``, and where there is one the ``other``
    text and what that is (``role``). Kinds: copies and near copies of each real table, texts
    closest to a seed of theirs, texts that the classifier gives another class most surely, the most
    repeated ones, and those most easily told from real ones, by their ``score`` [n], the
    probability that each is synthetic.
    """
    data = seen.data
    ours, text = data.made[writer], data.frame["text"].tolist()
    found: list[dict[str, Any]] = []
    for kind in _kinds(seen, writer, score):
        for number, name in enumerate(data.labels):
            candidates = np.flatnonzero((data.label[ours] == number) & (kind.value > 0))
            order = candidates[np.argsort(-kind.value[candidates], kind="stable")]
            for i in _different(data, ours, order):
                other = kind.other[i]
                row = {"kind": kind.name, "class": name, "why": kind.why(i), "text": text[ours[i]]}
                row["other"] = text[other] if other >= 0 else None
                found.append(row | {"role": kind.role if other >= 0 else None})
    return found


def _copies(found: Mapping[str, Any]) -> Iterator[Test]:
    for role, rows in found["copies"].items():
        for row in rows:
            n, chance, counts = row["n"], row["chance"], (row["exact"] + row["folded"], row["near"])
            for kind, count in zip(("copies", "near copies"), counts, strict=True):
                others = chance[kind.split()[0]]
                said = f"{count} of {n} texts are {kind} of {role} texts"
                if chance["of"]:
                    said += f"; of {chance['of']} other real texts {others} are"
                z = beyond(count, n, others, chance["of"])
                yield Test(kind, row["class"], z, count > 0, said)


def _seeds(found: Mapping[str, Any]) -> Iterator[Test]:
    for row in found["seeds"]:
        name, n = row["class"], row["n"]
        for kind, said in (
            ("leaked", "were made from test texts"),
            ("foreign", "have a seed of another class"),
            ("unknown", "have a seed that no table holds"),
        ):
            if name == ALL or len(found["seeds"]) == 1:
                sure = math.inf if row[kind] else 0.0
                what = "leak" if kind == "leaked" else "seeds"
                yield Test(what, name, sure, row[kind] > 0, f"{row[kind]} of {n} texts {said}")
        if row["with_seeds"]:
            count, among = row["over_0.9"], row["with_seeds"]
            z = beyond(count, among, row["others_over"], row["others"])
            said = f"{count} of {among} texts have a similarity of .90 or more to a seed of theirs"
            yield Test("similarity", name, z, count > 0.01 * among, said)
        if row["expected"]:
            gap = row["expected"] - row["used"]
            z = gap / row["expected_error"] if row["expected_error"] > 0 else math.inf * gap
            share = f"{row['used']} of {row['base']} base texts were used as seeds"
            said = f"{share}; {row['expected']:.0f} would be if seeds were drawn at random"
            yield Test("coverage", name, z if gap > 0 else 0.0, gap > 0.1 * row["expected"], said)


def _variety(found: Mapping[str, Any]) -> Iterator[Test]:
    for row in found["variety"]:
        name, n = row["class"], row["n"]
        counts = (row["contradictory"], n, row["real_contradictory"], row["n_real"])
        said = (
            f"{counts[0]} of {n} texts occur in another class too, and {counts[2]} of {counts[3]}"
        )
        yield Test("labels", name, beyond(*counts), counts[0] > 0, f"{said} real ones")
        if row["reason"] is not None:
            continue
        for k in ORDERS:
            a = row[f"distinct_{k}"]
            said = f"distinct-{k} is {a['synthetic']:.2f} against {a['real']:.2f} of real texts"
            yield Test("variety", name, -_z(a), a["synthetic"] < 0.9 * a["real"], said)
        for k in OPENINGS:
            a = row[f"opening_{k}"]
            first: Mapping[str, Any] = next(iter(row["openings"]), {"words": "", "share": 0.0})
            said = (
                f"{percent(a['synthetic'])} of texts share their first {k} words with another, "
                f"against {percent(a['real'])} of real texts; {percent(first['share'])} begin "
                f"“{first['words']}”"
            )
            yield Test("openings", name, _z(a), a["synthetic"] > a["real"] + 0.05, said)
        a = row["repeated"]
        said = (
            f"{row['n_repeated']} of {n} texts repeat an earlier one, the most frequent one "
            f"{row['most']} times; of equally many, {percent(a['synthetic'])} equal another one, "
            f"against {percent(a['real'])} of real texts"
        )
        yield Test("repeated", name, _z(a), a["synthetic"] > a["real"] + 0.01, said)


def _shift(found: Mapping[str, Any]) -> Iterator[Test]:
    for row in found["shift"]:
        if row["reason"] is not None:
            continue
        name = row["class"]
        if row["shift_sd"] is not None and row["length_z"] is not None:
            said = (
                f"texts have {row['words']:.1f} words against {row['real_words']:.1f} of real "
                f"texts ({row['shift_sd']:+.2f} SD)"
            )
            yield Test("length", name, abs(row["length_z"]), abs(row["shift_sd"]) > 0.2, said)
        a, unseen = row["divergence"], row["unseen"]
        said = (
            f"other words than in real texts: divergence {a['synthetic']:.2f} against "
            f"{a['real']:.2f}, words unseen {percent(unseen['synthetic'])} against "
            f"{percent(unseen['real'])}"
        )
        if row["more"]:
            said += "; more often " + ", ".join(f"“{w['word']}”" for w in row["more"][:4])
        yield Test("vocabulary", name, _z(a), a["synthetic"] > 1.1 * a["real"], said)


def _two_sample(found: Mapping[str, Any]) -> Iterator[Test]:
    for row in found["two_sample"]:
        if row["reason"] is None:
            said = (
                f"a classifier tells them from real texts with AUC {row['auc']:.2f} ± "
                f"{row['std_error']:.2f}"
            )
            if row["null"] is not None:
                said += f" (real from real: {row['null']:.2f})"
            yield Test("recognisable", row["class"], row["z"], row["auc"] > 0.6, said)


def _composition(found: Mapping[str, Any]) -> Iterator[Test]:
    for row in (found["composition"] or {"seen": []})["seen"]:
        if row["z"] is None or row["real"] is None:
            continue
        rebuilt = (row["real"] - row["stated"]) * (row["seen"] - row["expected"]) > 0
        said = (
            f"{percent(row['seen'])} of texts read as “{row['attribute']}”, where "
            f"{percent(row['expected'])} would if they were as stated; in base texts the share is "
            f"{percent(row['real'])}: the model rebuilt the correlation"
        )
        matters = rebuilt and row["seen"] - row["expected"] > 0.05
        yield Test("attribute", row["class"], row["z"], matters, said)


def _z(compared: Mapping[str, Any]) -> float:
    return float(compared["z"] or 0.0)


class _Kind(NamedTuple):
    """One way to be bad."""

    name: str  # of the kind
    value: np.ndarray  # badness of each text; 0 is not at all [n]
    other: np.ndarray  # row of the real text to show beside it, −1 for none [n]
    role: str  # what that text is
    why: Callable[[int], str]  # the reason for the text of a number


def _different(data: AuditData, ours: np.ndarray, order: np.ndarray) -> Iterator[int]:
    """The first texts that do not repeat one before."""
    shown: set[int] = set()
    for i in order:
        if len(shown) < PER_CLASS and data.key[ours[i]] not in shown:
            shown.add(int(data.key[ours[i]]))
            yield int(i)


def _kinds(seen: Seen, writer: str, score: np.ndarray) -> Iterator[_Kind]:
    data = seen.data
    ours = data.made[writer]
    for role in data.real:
        yield from _copied(data, writer, role)
    row, similar = seeds.closest(data, ours)
    close = np.where(np.nan_to_num(similar) >= _CLOSE, np.nan_to_num(similar), 0.0)
    yield _Kind("close to its seed", close, row, "its seed", _number("similarity", similar))
    yield _doubted(seen, writer, row)
    counts = Counter(data.key[ours].tolist())
    often = np.array([counts[int(key)] for key in data.key[ours]], float)
    value = np.where(often > 1, often, 0.0)
    yield _Kind("repeated", value, row, "its seed", lambda i: f"written {often[i]:.0f} times")
    told, near = np.where(np.nan_to_num(score) > 0.5, score, 0.0), data.near(writer, "base")
    why = _number("P(synthetic)", score)
    yield _Kind("easily told", told, near.row, "nearest base text", why)


def _copied(data: AuditData, writer: str, role: str) -> Iterator[_Kind]:
    ours, near = data.made[writer], data.near(writer, role)
    kinds = copies.kinds(data, ours, near, role)
    place = {int(data.key[row]): int(row) for row in data.real[role][::-1]}
    same = np.array([place.get(int(data.key[row]), -1) for row in ours])
    equal = (kinds["exact"] | kinds["folded"]).astype(float)

    def how(i: int) -> str:
        return "word for word" if kinds["exact"][i] else "but for case, marks and spacing"

    yield _Kind(f"copy of {role}", equal, same, f"a text of {role}", how)
    close = np.where(kinds["near"], near.cosine, 0.0)
    why = _number("cosine", near.cosine)
    yield _Kind(f"near copy of {role}", close, near.row, f"a text of {role}", why)


def _doubted(seen: Seen, writer: str, row: np.ndarray) -> _Kind:
    """Texts that read like another class, the likeliest wrong label first."""
    labels, mine = seen.data.labels, seen.of(writer)
    p, own = seen.label[mine], seen.own[mine]
    odds = np.array([seen.odds(number)[mine] for number in range(len(labels))])
    against = -odds[own, np.arange(len(own))]
    doubt = np.where(np.isfinite(against) & (against > 0), against, 0.0)

    def why(i: int) -> str:
        instead = p[i].argmax()
        return f"P({labels[own[i]]}) = {p[i, own[i]]:.2f}, P({labels[instead]}) = {p[i].max():.2f}"

    return _Kind("label doubted", doubt, row, "its seed", why)


def _number(name: str, values: np.ndarray) -> Callable[[int], str]:
    return lambda i: f"{name} {values[i]:.2f}"
