"""What is wrong, in sentences: beyond chance, and large enough to matter."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from opal.bridge.text.audit.errors import beyond
from opal.bridge.text.audit.stock import ALL
from opal.checks import z_threshold

LEVEL = 0.01


@dataclass(frozen=True)
class Test:
    """A comparison with what is normal.

    Attributes:
        kind: what is compared.
        name: class, or all of them.
        z: how far beyond it, positive is worse; infinite for what must never be.
        matters: whether it is large enough to matter.
        said: the finding in words.
    """

    kind: str
    name: str
    z: float
    matters: bool
    said: str


def verdicts(found: Mapping[str, Any]) -> dict[str, Any]:
    """The findings of an audit, worst first.

    A finding matters and lies beyond ``threshold``, which holds the chance of any false one below
    1 % over all ``n_tests`` comparisons.
    """
    tests = [test for part in _PARTS for test in part(found)]
    threshold = z_threshold(max(len(tests), 1), LEVEL)
    guilty = [test for test in tests if test.matters and test.z > threshold]
    # Of several numbers that say the same of a class, the clearest one speaks.
    clearest = {(test.kind, test.name): test for test in sorted(guilty, key=lambda test: test.z)}
    guilty = list(clearest.values())
    guilty.sort(key=lambda test: (_order(test.kind), test.name != ALL, -test.z))
    return {
        "n_tests": len(tests),
        "threshold": threshold,
        "findings": [
            {"kind": t.kind, "class": t.name, "z": min(t.z, 99.0), "said": t.said} for t in guilty
        ],
    }


def _order(kind: str) -> int:
    kinds = ("leak", "copies", "near copies", "labels", "attribute", "repeated", "openings")
    return kinds.index(kind) if kind in kinds else len(kinds)


def _copies(found: Mapping[str, Any]) -> Iterator[Test]:
    for role, rows in found["copies"].items():
        for row in rows:
            n, chance = row["n"], row["chance"]
            for kind, count in (
                ("copies", row["exact"] + row["folded"]),
                ("near copies", row["near"]),
            ):
                z = beyond(count, n, chance[kind.split()[0]], chance["of"])
                said = f"{count} of {n} texts are {kind} of {role} texts"
                if chance["of"]:
                    said += f"; of {chance['of']} other real texts {chance[kind.split()[0]]} are"
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
            yield _similar(row)
        if row["expected"]:
            gap = row["expected"] - row["used"]
            z = gap / row["expected_error"] if row["expected_error"] > 0 else math.inf * gap
            share = f"{row['used']} of {row['base']} base texts were used as seeds"
            said = f"{share}; {row['expected']:.0f} would be if seeds were drawn at random"
            yield Test("coverage", name, z if gap > 0 else 0.0, gap > 0.1 * row["expected"], said)


def _similar(row: Mapping[str, Any]) -> Test:
    count, n = row["over_0.9"], row["with_seeds"]
    z = beyond(count, n, row["others_over"], row["others"])
    said = f"{count} of {n} texts have a similarity of .90 or more to a seed of theirs"
    return Test("similarity", row["class"], z, count > 0.01 * n, said)


def _variety(found: Mapping[str, Any]) -> Iterator[Test]:
    for row in found["variety"]:
        name, n = row["class"], row["n"]
        if row["contradictory"]:
            said = f"{row['contradictory']} of {n} texts occur in another class too"
            yield Test("labels", name, math.inf, True, said)
        if row["reason"] is not None:
            continue
        for k in (1, 2, 3):
            a = row[f"distinct_{k}"]
            said = f"distinct-{k} is {a['synthetic']:.2f} against {a['real']:.2f} of real texts"
            yield Test("variety", name, -_z(a), a["synthetic"] < 0.9 * a["real"], said)
        for k in (3, 4, 5):
            a = row[f"opening_{k}"]
            words, share = _first(row["openings"])
            said = (
                f"{_percent(a['synthetic'])} of texts share their first {k} words with another, "
                f"against {_percent(a['real'])} of real texts; {_percent(share)} begin "
                f"“{words}”"
            )
            yield Test("openings", name, _z(a), a["synthetic"] > a["real"] + 0.05, said)
        a = row["repeated"]
        said = (
            f"{row['n_repeated']} of {n} texts repeat an earlier one, the most frequent one "
            f"{row['most']} times; of equally many, {_percent(a['synthetic'])} equal another one, "
            f"against {_percent(a['real'])} of real texts"
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
            f"{a['real']:.2f}, words unseen {_percent(unseen['synthetic'])} against "
            f"{_percent(unseen['real'])}"
        )
        if row["more"]:
            said += "; more often " + ", ".join(f"“{w['word']}”" for w in row["more"][:4])
        yield Test("vocabulary", name, _z(a), a["synthetic"] > 1.1 * a["real"], said)


def _labels(found: Mapping[str, Any]) -> Iterator[Test]:
    for row in found["labels"]:
        if row["reason"] is not None or row["z"] is None:
            continue
        said = (
            f"a classifier of real texts agrees with {_percent(row['agree'])} of the labels, "
            f"against {_percent(row['real_agree'])} of those of real texts"
        )
        if row["instead"]:
            said += f"; it often sees {row['instead']} ({_percent(row['instead_share'])})"
        matters = row["agree"] < row["real_agree"] - 0.05
        yield Test("labels", row["class"], -row["z"], matters, said)


def _two_sample(found: Mapping[str, Any]) -> Iterator[Test]:
    for row in found["two_sample"]:
        if row["reason"] is None:
            z = (row["auc"] - 0.5) / row["std_error"] if row["std_error"] > 0 else math.inf
            said = (
                f"a classifier tells them from real texts with AUC {row['auc']:.2f} ± "
                f"{row['std_error']:.2f} (real from real: {row['null']:.2f})"
            )
            yield Test("recognisable", row["class"], z, row["auc"] > 0.6, said)


def _composition(found: Mapping[str, Any]) -> Iterator[Test]:
    for row in (found["composition"] or {"seen": []})["seen"]:
        if row["z"] is None or row["real"] is None:
            continue
        rebuilt = (row["real"] - row["stated"]) * (row["seen"] - row["expected"]) > 0
        said = (
            f"{_percent(row['seen'])} of texts read as “{row['attribute']}”, where "
            f"{_percent(row['expected'])} would if they were as stated; in base texts the share is "
            f"{_percent(row['real'])}: the model rebuilt the correlation"
        )
        matters = rebuilt and row["seen"] - row["expected"] > 0.05
        yield Test("attribute", row["class"], row["z"], matters, said)


_PARTS: Sequence[Any] = (
    _copies, _seeds, _variety, _shift, _labels, _two_sample, _composition,
)  # fmt: skip


def _z(compared: Mapping[str, Any]) -> float:
    return 0.0 if compared["z"] is None else float(compared["z"])


def _first(openings: Sequence[Mapping[str, Any]]) -> tuple[str, float]:
    return (openings[0]["words"], openings[0]["share"]) if openings else ("", 0.0)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
