"""Synthetic texts that are, or nearly are, real ones."""

from __future__ import annotations

from typing import Any

import numpy as np

from opal.bridge.text.audit.tables import AuditData, Near, by_class

NEAR = 0.8
"""Cosine of four letters in a row from which two texts count as nearly the same."""
MOST_OTHERS = 2000
_LEAST_WORDS = 5


def copies(data: AuditData, writer: str, seed: int) -> dict[str, list[dict[str, Any]]]:
    """Copies of ``base``, ``human`` and ``test``, class by class.

    - ``exact``: the same text (spaces around it and composition of characters aside);
    - ``folded``: the same words in another spelling (:func:`opal.spelling.folded`);
    - ``near``: cosine of at least :data:`NEAR`, or a real text of five words or more and something
      around it;
    - ``relabelled``: exact or folded copies of texts that have other classes only;
    - ``distinct``: how many real texts were copied;
    - ``chance``: copies (exact or folded) and near copies among other real texts of the class, up
      to 2,000 of all classes: what would be found without copying. Where there is no other table,
      it is the texts of the table itself, each beside all others.
    """
    rng = np.random.default_rng(seed)
    return {role: _role(data, writer, role, rng) for role in data.real}


def kinds(data: AuditData, ours: np.ndarray, near: Near, role: str) -> dict[str, np.ndarray]:
    """Which of the rows are which kind of copy, as masks."""
    theirs = data.own(data.real[role])
    exact = data.own(ours)["id"].isin(theirs["id"]).to_numpy()
    equal = np.isin(data.key[ours], data.key[data.real[role]])
    inside = [
        len(data.words[b]) >= _LEAST_WORDS and f" {data.folded[b]} " in f" {data.folded[a]} "
        for a, b in zip(ours, near.row, strict=True)
    ]
    return {
        "exact": exact,
        "folded": equal & ~exact,
        "near": ((near.cosine >= NEAR) | np.array(inside, dtype=bool)) & ~equal & ~exact,
    }


def _role(
    data: AuditData, writer: str, role: str, rng: np.random.Generator
) -> list[dict[str, Any]]:
    ours = data.made[writer]
    found = kinds(data, ours, data.near(writer, role), role)
    others, natural = _natural(data, role, rng)
    pair = data.key * len(data.labels) + data.label
    relabelled = ~np.isin(pair[ours], pair[data.real[role]])
    label = data.frame["label"].to_numpy()
    rows = []
    for name, inside in by_class(data, ours, data.labels):
        if not inside.any():
            continue
        same = np.ones(len(others), bool) if inside.all() else label[others] == name
        copied = inside & (found["exact"] | found["folded"])
        chance = {
            "of": int(same.sum()),
            "copies": int((natural["exact"] | natural["folded"])[same].sum()),
            "near": int(natural["near"][same].sum()),
        }
        rows.append(
            {
                "class": name,
                "n": int(inside.sum()),
                **{kind: int((mask & inside).sum()) for kind, mask in found.items()},
                "relabelled": int((copied & relabelled).sum()),
                "distinct": len(set(data.key[ours[copied]])),
                "chance": chance,
            }
        )
    return rows


def _natural(
    data: AuditData, role: str, rng: np.random.Generator
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Other real texts, at most 2,000, and which of them are which kind of copy of a role's."""
    theirs, rest = data.real[role], data.rest(role)
    others = rest if len(rest) else theirs
    if len(others) > MOST_OTHERS:
        others = np.sort(rng.choice(others, MOST_OTHERS, replace=False))
    near = data.nearest(others, theirs)
    if len(rest):
        return others, kinds(data, others, near, role)
    again = np.bincount(data.key[theirs])[data.key[others]] > 1
    close = (near.cosine >= NEAR) & ~again
    return others, {"exact": again, "folded": np.zeros(len(others), bool), "near": close}
