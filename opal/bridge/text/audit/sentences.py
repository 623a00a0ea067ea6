"""What an audit says in words: what was compared, and what was found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_SHOWN = 2


def headline(found: Mapping[str, Any]) -> str:
    """One line on what was audited, against what."""
    real = ", ".join(f"{n} of {role}" for role, n in found["n_real"].items())
    return (
        f"{found['n']} texts of {len(found['classes'])} classes against {real}; "
        f"classifiers on {found['encoder']}"
    )


def sentences(found: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Kind, class and sentence of the findings: of each kind the clearest, and where else it is."""
    by_kind: dict[str, list[Mapping[str, Any]]] = {}
    for row in found["verdicts"]["findings"]:
        by_kind.setdefault(row["kind"], []).append(row)
    for kind, rows in by_kind.items():
        for row in rows[:_SHOWN]:
            yield kind, row["class"], row["said"]
        if len(rows) > _SHOWN:
            yield kind, "also", ", ".join(row["class"] for row in rows[_SHOWN:])
