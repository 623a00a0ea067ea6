"""Flags that commands of texts share."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class OriginalColumns:
    """Which column of original texts is what; text and label need a flag if no name tells."""

    text_column: str | None = None
    """Column of the texts; several, as premise,hypothesis, are lines of one text."""
    label_column: str | None = None
    """Column of the classes."""
    source_column: str | None = None
    """Column that says who wrote a text: human, or a model."""


@dataclass(frozen=True)
class MadeColumns(OriginalColumns):
    """Which column is what, in the files that have it, some of texts that a model wrote."""

    seed_column: str | None = None
    """Column of what synthetic texts were made from: a text, its id, or a list of either."""
    id_column: str | None = None
    """Column of ids, if seeds are named by them; those of the real files come first."""


@dataclass(frozen=True)
class ColumnFlags(MadeColumns):
    """Which column is what, in the files that have it, with groups."""

    attribute_column: str | None = None
    """Column of what the class may spuriously go with: groups are then (class, attribute)."""
