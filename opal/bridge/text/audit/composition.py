"""How many texts of each class and attribute there are, and whether an attribute came back.

A model that was asked for texts of a class and an attribute may write those of the attribute that
usually goes with the class: the stated attribute does not show it, but a classifier of real texts
does.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from opal.bridge.text.audit.errors import clustered, ratio
from opal.bridge.text.audit.labels import Seen
from opal.bridge.text.audit.seeds import family
from opal.bridge.text.audit.splits import LEAST


def report(seen: Seen, source: str) -> dict[str, Any] | None:
    """Counts by class and attribute; None where some table has no attribute.

    ``groups``: how many texts of each (class, attribute) each table has.

    ``seen``: for each class and attribute, the share of the class's synthetic texts that are said
    to have it (``stated``), the share in which a classifier of real texts sees it (``seen``), and
    the share in which it would see it if all were as they are said to be (``expected``, from what
    it sees in real texts of the same class and attribute that it was not trained on). ``z`` is the
    difference of the last two over its error. ``real`` is the share among base texts: a z of the
    sign of ``real`` minus ``stated`` is a correlation that the model rebuilt.
    """
    stock = seen.stock
    if not stock.attributes:
        return None
    tables = {**stock.real, source: stock.made[source]}
    groups = []
    for c, label in enumerate(stock.labels):
        for a, value in enumerate(stock.attributes):
            row: dict[str, Any] = {"class": label, "attribute": value}
            inside = (stock.label == c) & (stock.attribute == a)
            groups.append(row | {name: int(inside[rows].sum()) for name, rows in tables.items()})
    return {"tables": list(tables), "groups": groups, "seen": _seen(seen, source)}


def _seen(seen: Seen, source: str) -> list[dict[str, Any]]:
    stock, made = seen.stock, seen.of(source)
    own, said = stock.label[seen.rows], seen.attribute.argmax(axis=1)
    known = np.isfinite(seen.attribute[:, 0])
    rows = []
    for c, label in enumerate(stock.labels):
        ours = made & known & (own == c)
        base = stock.real["base"][stock.label[stock.real["base"]] == c]
        if not ours.any():
            continue
        for a, value in enumerate(stock.attributes):
            row: dict[str, Any] = {"class": label, "attribute": value, "n": int(ours.sum())}
            row["stated"] = float(np.mean(seen.stated[ours] == a))
            row["seen"] = float(np.mean(said[ours] == a))
            row["real"] = float(np.mean(stock.attribute[base] == a)) if len(base) else None
            rows.append(row | _expected(seen, ours, known & seen.real & (own == c), said == a))
    return rows


def _expected(seen: Seen, ours: np.ndarray, real: np.ndarray, hit: np.ndarray) -> dict[str, Any]:
    """What would be seen if the texts were as stated, and how far what is seen is from that."""
    expected, variance = 0.0, 0.0
    rate = np.zeros(len(seen.stock.attributes))
    for a in np.unique(seen.stated[ours]):
        like = real & (seen.stated == a)
        if like.sum() < LEAST:
            return {"expected": None, "z": None}
        share, rate[a] = float(np.mean(seen.stated[ours] == a)), float(hit[like].mean())
        expected += share * rate[a]
        variance += share**2 * rate[a] * (1 - rate[a]) / int(like.sum())
    values = hit[ours] - rate[seen.stated[ours]]
    error = clustered(values, family(seen.stock, seen.rows[ours]))
    return {"expected": expected, "z": ratio(float(values.mean()), error, float(np.sqrt(variance)))}
