"""Letting go of compiled functions before a long run exhausts the process's memory maps."""

from __future__ import annotations

from pathlib import Path

_MAPS = Path("/proc/self/maps")
_LIMIT = Path("/proc/sys/vm/max_map_count")


def release_when_many(share: float = 0.4) -> bool:
    """Drop JAX's compiled functions if they fill ``share`` of the memory maps that Linux allows.

    Every function that XLA compiles for the CPU holds several maps. A study of many shapes runs out
    of them (65,530 by default) after some hundred functions, and the process dies in LLVM with
    "Cannot allocate memory". What is dropped is compiled again when it is needed.

    Returns:
        Whether anything was dropped; never where the system does not tell its maps.
    """
    try:
        limit = int(_LIMIT.read_text())
        used = _MAPS.read_bytes().count(b"\n")
    except OSError:
        return False
    if used < share * limit:
        return False
    import jax

    jax.clear_caches()
    return True
