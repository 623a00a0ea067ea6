"""The packages of the extra ``text``, asked for before anything starts."""

from __future__ import annotations

from importlib.util import find_spec


def check(*packages: str) -> None:
    """Check that packages of the extra are installed.

    Raises:
        ImportError: one is not; says how to get it.
    """
    absent = [name.replace("_", "-") for name in packages if find_spec(name) is None]
    if absent:
        raise ImportError(
            f"this needs {', '.join(absent)}; install the extra: pip install 'opal-scaling[text]'."
        )
