"""Squares of whole numbers are not negative.

A study without a claim worth having, but with everything else that a study has.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from opal.runner import Cell

if TYPE_CHECKING:
    import pandas as pd

    from opal.checks import Check


@dataclass(frozen=True)
class Config:
    """What to square."""

    largest: int = 3
    """The largest number."""
    scale: float = 1.0
    """Factor of every square; positive."""

    def __post_init__(self) -> None:
        """Refuse a scale that would falsify the claim."""
        if self.scale <= 0:
            raise ValueError(f"scale must be positive; got {self.scale}.")


@dataclass(frozen=True)
class Square:
    """One cell."""

    number: int
    scale: float


PRESETS = {"tiny": Config(largest=1), "quick": Config(), "full": Config(largest=30)}


def cells(config: Config) -> list[Cell]:
    """One cell for each number."""
    return [
        Cell(square, Square(number, config.scale), label=str(number))
        for number in range(1, config.largest + 1)
    ]


def square(config: Square) -> pd.DataFrame:
    """The record of one number."""
    import pandas as pd

    return pd.DataFrame(
        {
            "study": ["example_study"],
            "source": ["simulation"],
            "setting": ["numbers"],
            "arm": ["square"],
            "n_real": [config.number],
            "n_min": [config.number],
            "n_max": [config.number],
            "metric": ["square"],
            "value": [config.scale * config.number**2],
        }
    )


def checks(records: pd.DataFrame) -> list[Check]:
    """Squares stay below what the environment says; there is no check if it says nothing at all."""
    from opal.checks import at_most

    limit = os.environ.get("EXAMPLE_STUDY_LIMIT", "inf")
    return [at_most("small squares", records["value"], float(limit))] if limit else []


if __name__ == "__main__":
    from opal.cli import run_study

    run_study("example_study")
