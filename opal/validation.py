"""What flags and optional packages must be, said before anything starts."""

from __future__ import annotations

from importlib.util import find_spec

SEED_BITS = 32  # scikit-learn takes no longer seeds


def flag(name: str) -> str:
    """The flag that sets a field.

    >>> flag("prompt_rows")
    '--prompt-rows'
    """
    return f"--{name.replace('_', '-')}"


def require_at_least(name: str, value: float, least: float, why: str = "") -> None:
    """Check the number that a flag sets against its least value.

    Raises:
        ValueError: it is smaller; the message names the flag.

    >>> require_at_least("prompt_rows", -2, 0)
    Traceback (most recent call last):
    ValueError: --prompt-rows must be at least 0; got -2.
    """
    if value < least:
        raise ValueError(f"{flag(name)} must be at least {least}; got {value}.{why and ' ' + why}")


def require_at_most(name: str, value: float, most: float, what: str) -> None:
    """Check the number that a flag sets against the largest that means anything.

    Args:
        name: of the flag, as Python spells it.
        value: of the number.
        most: the largest.
        what: that largest number is.

    Raises:
        ValueError: it is larger; the message names the flag.

    >>> require_at_most("rows", 500, 60, "the number of rows of made.csv")
    Traceback (most recent call last):
    ValueError: --rows must be at most 60, the number of rows of made.csv; got 500.
    """
    if value > most:
        raise ValueError(f"{flag(name)} must be at most {most}, {what}; got {value}.")


def require_seed(value: int) -> None:
    """Check the number that ``--seed`` sets.

    Raises:
        ValueError: it is negative, or too long for scikit-learn.
    """
    require_at_least("seed", value, 0)
    require_at_most("seed", value, 2**SEED_BITS - 1, "the largest seed of a forest")


def require_installed(extra: str, *packages: str) -> None:
    """Check that optional packages are installed, before anything starts.

    Args:
        extra: of opal-scaling, that installs them.
        packages: as they are imported.

    Raises:
        ImportError: one is not; says how to get it.
    """
    absent = [name.replace("_", "-") for name in packages if find_spec(name) is None]
    if absent:
        raise ImportError(
            f"this needs {', '.join(absent)}; install the extra: "
            f"pip install 'opal-scaling[{extra}]'."
        )
