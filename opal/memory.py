"""Whether arrays fit into this machine, said before they are made."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

# What a container may use, in version 2 and 1 of Linux's control groups.
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


@cache
def size() -> int | None:
    """Bytes of memory that this machine, or its container, has; None where it does not say."""
    try:
        found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    except (AttributeError, ValueError, OSError):
        return None
    for path in map(Path, _LIMITS):
        try:
            found.append(int(path.read_text(encoding="ascii")))
        except (OSError, ValueError):
            continue
    return min(each for each in found if each > 0)


def require(n_bytes: float, what: str, remedy: str) -> None:
    """Check that arrays fit into the memory of this machine.

    Args:
        n_bytes: that they take at the very least.
        what: takes so much, with the value that was asked for.
        remedy: what to do instead.

    Raises:
        ValueError: they do not fit.

    >>> require(8e15, "1e15 rows of one column", "Ask for fewer rows")
    Traceback (most recent call last):
    ValueError: 1e15 rows of one column take at least 8e+06 GB of memory; ... Ask for fewer rows.
    """
    held = size()
    if held is not None and n_bytes > held:
        raise ValueError(
            f"{what} take at least {n_bytes / 1e9:.2g} GB of memory; this machine has "
            f"{held / 1e9:.2g} GB. {remedy}."
        )
