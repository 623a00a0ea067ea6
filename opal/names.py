"""Names that people type, and the nearest one that exists."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UnknownNameError(ValueError):
    """A study, figure, preset, command, data set, column, … that does not exist."""


def hint(name: str, known: Iterable[str]) -> str:
    """The end of a sentence: the nearest match, or a full stop.

    >>> hint("Alhpa", ["alpha", "spurious"]), hint("x", ["alpha"])
    ("; did you mean 'alpha'?", '.')
    """
    lowered = {entry.lower(): entry for entry in known}
    nearest = difflib.get_close_matches(str(name).lower(), lowered, n=1, cutoff=0.5)
    return f"; did you mean {lowered[nearest[0]]!r}?" if nearest else "."


def unknown(kind: str, name: str, known: Iterable[str]) -> UnknownNameError:
    """The error that names what exists and the nearest match.

    >>> str(unknown("study", "alhpa", ["alpha", "spurious"]))
    "unknown study 'alhpa'; did you mean 'alpha'? There are: alpha, spurious."
    """
    names = sorted(known)
    there = f"There are: {', '.join(names)}." if names else "There are none."
    return UnknownNameError(f"unknown {kind} {name!r}{hint(name, names)} {there}")


def check(kind: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Check that all names exist.

    Raises:
        UnknownNameError: for the first that does not.
    """
    names = list(known)
    for name in given:
        if name not in names:
            raise unknown(kind, name, names)
