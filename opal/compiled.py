"""How XLA compiles for a command, and letting go of what it compiled."""

from __future__ import annotations

import os
from importlib.metadata import version
from pathlib import Path

_MAPS = Path("/proc/self/maps")
_LIMIT = Path("/proc/sys/vm/max_map_count")
_FLAG = "--xla_cpu_use_fusion_emitters"
_KNOWS_THE_FLAG = "0.10."  # an XLA that does not would end the process


def leave_out_fusion_emitters() -> None:
    """Let this process, if XLA has not started in it, and its children compile for CPUs faster.

    A quick study is mostly compilation, of which XLA's fusion emitters are a third; what they emit
    is no faster in opal's functions. Results differ by rounding. Whoever sets the flag in
    ``XLA_FLAGS`` decides; other versions of jaxlib than the one that opal is locked to are left as
    they are.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if _FLAG not in flags and version("jaxlib").startswith(_KNOWS_THE_FLAG):
        os.environ["XLA_FLAGS"] = f"{flags} {_FLAG}=false".strip()


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
