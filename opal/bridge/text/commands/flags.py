"""Flags that commands of texts share."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ColumnFlags:
    """Which column is what, in the files that have it; texts and labels if no name tells."""

    text_column: str | None = None
    """Column of the texts; several, as premise,hypothesis, are lines of one text."""
    label_column: str | None = None
    """Column of the classes."""
    attribute_column: str | None = None
    """Column of what the class may spuriously go with: groups are then (class, attribute)."""
    seed_column: str | None = None
    """Column of what synthetic texts were made from: a text, its id, or a list of either."""
    source_column: str | None = None
    """Column that says who wrote a text: human, or a model."""
    id_column: str | None = None
    """Column of ids, if seeds are named by them."""
