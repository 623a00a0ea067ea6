"""Checks of a study's fields that cost nothing, so that a study refuses before its first cell."""

from __future__ import annotations

import math

from opal.settings.groups import validate_count, validate_number


def require_counts(config: object, *names: str, minimum: int) -> None:
    """Check fields that hold a whole number, or one for each cell.

    Raises:
        ValueError: names the field.
    """
    for name in names:
        for value in _each(config, name):
            validate_count(value, name, minimum=minimum)


def require_numbers(config: object, *names: str, least: float = -math.inf) -> None:
    """Check fields that hold a finite number, or one for each cell.

    Raises:
        ValueError: names the field.
    """
    bound = "" if least == -math.inf else f" of at least {least:g}"
    for name in names:
        for value in _each(config, name):
            validate_number(value, f"{name} must be a finite number{bound}", least=least)


def require_range(name: str, ends: tuple[int, int]) -> None:
    """Check a range of whole numbers.

    Raises:
        ValueError: an end is below 1, or the ends are the wrong way round.
    """
    smallest, largest = ends
    if not 1 <= smallest <= largest:
        raise ValueError(
            f"{name} must be (smallest, largest) with 1 <= smallest <= largest; got {ends}."
        )


def _each(config: object, name: str) -> tuple[object, ...]:
    value = getattr(config, name)
    if value == ():
        raise ValueError(f"{name} needs at least one value, each of them a cell; got none.")
    return value if isinstance(value, tuple) else (value,)
