"""Attributes' docstrings as they are: Napoleon would take words before a colon for a type.

Python's own of a named tuple's fields, which count them, are left out.
"""

from __future__ import annotations

from typing import Any

from sphinx.application import Sphinx

_ATTRIBUTES = ("attribute", "data", "property")
_COUNTED = "Alias for field number"
_FIRST, _LAST = 100, 900  # Napoleon's priority is 500


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    written: dict[str, list[str]] = {}

    def keep(_: Sphinx, what: str, name: str, __: Any, ___: Any, lines: list[str]) -> None:
        if what in _ATTRIBUTES:
            written[name] = [line for line in lines if not line.startswith(_COUNTED)]

    def restore(_: Sphinx, what: str, name: str, __: Any, ___: Any, lines: list[str]) -> None:
        if what in _ATTRIBUTES and name in written:
            lines[:] = written.pop(name)

    app.connect("autodoc-process-docstring", keep, priority=_FIRST)
    app.connect("autodoc-process-docstring", restore, priority=_LAST)
    return {"parallel_read_safe": True}
