"""Numbers of an audit as cells of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def number(value: float | None, digits: int = 2) -> str:
    """A number, or a dash."""
    return "–" if value is None else f"{value:.{digits}f}"


def signed(value: float | None, digits: int = 2) -> str:
    """The same with its sign."""
    return "–" if value is None else f"{value:+.{digits}f}"


def plus_minus(value: float | None, error: float | None) -> str:
    """A number and its standard error, if it has one."""
    return number(value) if error is None else f"{number(value)} ± {number(error)}"


def percent(share: float) -> str:
    """A share."""
    return f"{100 * share:.0f} %"


def ratio(count: int, of: int) -> str:
    """A count of so many, or a dash of none."""
    return f"{count} / {of}" if of else "–"


def pair(compared: Mapping[str, Any], share: bool = False) -> str:
    """That of synthetic texts, and in brackets of real ones; an arrow where z exceeds 3."""
    z = compared["z"] or 0.0
    mark = " ↑" if z > 3 else " ↓" if z < -3 else ""
    shown = percent if share else number
    return f"{shown(compared['synthetic'])} ({shown(compared['real'])}){mark}"


def listed(words: Sequence[Mapping[str, Any]]) -> str:
    """Words with the share of texts that have them, and that of real ones."""
    return ", ".join(
        f"{w['word']} {percent(w['share'])} ({percent(w['real_share'])})" for w in words[:6]
    )
