"""Synthetic rows for a table of yours: made, audited, and weighed against what costs nothing.

Read a CSV with :func:`read`, let a model write rows with :func:`generate` and :class:`Asking`, see
what they are with :func:`audit`, and what they are worth with :func:`evaluate`. Results have
``table()`` (a DataFrame), ``to_html()`` (a page) and, where there is a picture, ``plot()``.

>>> import pandas as pd
>>> from opal.bridge import tabular
>>> rows = pd.DataFrame({"x": range(40), "y": [0, 1] * 20})
>>> made = pd.concat([rows.head(4), rows.tail(6) + 0.5], ignore_index=True)
>>> found = tabular.audit(made.assign(y=1), rows, target="y")
>>> found.table("copies")["exact"].tolist()
[2]
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opal.bridge.llm.command import Asking
    from opal.bridge.tabular.audit_report import audit, audit_cases
    from opal.bridge.tabular.classifiers import SoundSettings
    from opal.bridge.tabular.composition import Case
    from opal.bridge.tabular.datasets import from_folder, from_tables, listed
    from opal.bridge.tabular.generation import generate
    from opal.bridge.tabular.sound import evaluate_all as evaluate
    from opal.reading import read_table as read

_HOMES = {
    "Asking": "opal.bridge.llm.command:Asking",
    "Case": "opal.bridge.tabular.composition:Case",
    "SoundSettings": "opal.bridge.tabular.classifiers:SoundSettings",
    "audit": "opal.bridge.tabular.audit_report:audit",
    "audit_cases": "opal.bridge.tabular.audit_report:audit_cases",
    "evaluate": "opal.bridge.tabular.sound:evaluate_all",
    "from_folder": "opal.bridge.tabular.datasets:from_folder",
    "from_tables": "opal.bridge.tabular.datasets:from_tables",
    "generate": "opal.bridge.tabular.generation:generate",
    "listed": "opal.bridge.tabular.datasets:listed",
    "read": "opal.reading:read_table",
}

__all__ = [
    "Asking",
    "Case",
    "SoundSettings",
    "audit",
    "audit_cases",
    "evaluate",
    "from_folder",
    "from_tables",
    "generate",
    "listed",
    "read",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {__all__}")
    module, _, inside = _HOMES[name].partition(":")
    return getattr(import_module(module), inside)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
