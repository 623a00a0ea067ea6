"""The least and the largest value of a number that a flag sets."""

from __future__ import annotations

SEED_BITS = 32  # scikit-learn takes no longer seeds


def at_least(name: str, value: int, least: int, why: str = "") -> None:
    """Check a number against its least value.

    Raises:
        ValueError: it is smaller; the message names the flag.

    >>> at_least("prompt_rows", -2, 0)
    Traceback (most recent call last):
    ValueError: --prompt-rows must be at least 0; got -2.
    """
    if value < least:
        raise ValueError(f"{_flag(name)} must be at least {least}; got {value}.{why and ' ' + why}")


def at_most(name: str, value: int, most: int, what: str) -> None:
    """Check a number against the largest that means anything, which is ``what``.

    Raises:
        ValueError: it is larger; the message names the flag.

    >>> at_most("rows", 500, 60, "the number of rows of made.csv")
    Traceback (most recent call last):
    ValueError: --rows must be at most 60, the number of rows of made.csv; got 500.
    """
    if value > most:
        raise ValueError(f"{_flag(name)} must be at most {most}, {what}; got {value}.")


def seed(value: int) -> None:
    """Check a seed."""
    at_least("seed", value, 0)
    at_most("seed", value, 2**SEED_BITS - 1, "the largest seed of a forest")


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
