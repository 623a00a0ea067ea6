"""Flags that commands of texts share."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ColumnFlags:
    """Which column of a file is what, if its name does not tell; of those files that have it."""

    text_column: str | None = None
    """Column of the texts; several, as premise,hypothesis, are lines of one text."""
    label_column: str | None = None
    """Column of the classes."""
    attribute_column: str | None = None
    """Column of an attribute: groups are then (class, attribute)."""
    seed_column: str | None = None
    """Column of what synthetic texts were made from: a text, its id, or a list of either."""
    source_column: str | None = None
    """Column that says who wrote a text."""
    id_column: str | None = None
    """Column of ids, if seeds are named by them."""
