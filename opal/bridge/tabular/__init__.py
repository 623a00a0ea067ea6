"""Synthetic rows for a table of yours: made, audited, and weighed against what costs nothing.

=============== =================================================================================
read_table      a table from a CSV or Parquet file
generate_rows   a model writes rows of the small groups (:class:`Asking`, :class:`GeneratedRows`)
fine_tune_rows  a model that is fine-tuned here does (:class:`RowTuning`, :class:`FineTunedRows`)
audit_rows      recited, shifted, recognisable, impossible rows (:class:`TableAudit`)
audit_cases     the same of several files of one table, each a :class:`Case`
from_tables     training, test and synthetic rows as a data set to evaluate
from_folder     the same from a folder of splits; ``listed`` for the tables of arXiv 2406.03628
evaluate_rows   what they are worth beside weighting, SMOTE, … (:class:`TableEvaluation`)
=============== =================================================================================

Results have ``table()``, ``to_html()``, and ``plot()`` where there is a picture. Importing this is
cheap: names load on first use.

>>> import pandas as pd
>>> from opal.bridge import tabular
>>> rows = pd.DataFrame({"x": range(40), "y": [0, 1] * 20})
>>> made = pd.concat([rows.head(4), rows.tail(6) + 0.5], ignore_index=True)
>>> found = tabular.audit_rows(made.assign(y=1), rows, target="y")
>>> found.table("copies")["exact"].tolist()
[2]
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opal.bridge.llm.command import Asking
    from opal.bridge.tabular.audit.cases import Case
    from opal.bridge.tabular.audit.report import TableAudit, audit_cases, audit_rows
    from opal.bridge.tabular.classifiers import SoundSettings
    from opal.bridge.tabular.datasets import from_folder, from_tables, listed
    from opal.bridge.tabular.finetune.generate import fine_tune_rows
    from opal.bridge.tabular.finetune.report import FineTunedRows
    from opal.bridge.tabular.finetune.training import RowTuning
    from opal.bridge.tabular.generation import GeneratedRows, generate_rows
    from opal.bridge.tabular.sound import TableEvaluation, evaluate_rows
    from opal.reading import read_table

_HOMES = {
    "opal.bridge.llm.command": ("Asking",),
    "opal.bridge.tabular.audit.report": ("TableAudit", "audit_cases", "audit_rows"),
    "opal.bridge.tabular.classifiers": ("SoundSettings",),
    "opal.bridge.tabular.audit.cases": ("Case",),
    "opal.bridge.tabular.datasets": ("from_folder", "from_tables", "listed"),
    "opal.bridge.tabular.finetune.generate": ("fine_tune_rows",),
    "opal.bridge.tabular.finetune.report": ("FineTunedRows",),
    "opal.bridge.tabular.finetune.training": ("RowTuning",),
    "opal.bridge.tabular.generation": ("GeneratedRows", "generate_rows"),
    "opal.bridge.tabular.sound": ("TableEvaluation", "evaluate_rows"),
    "opal.reading": ("read_table",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Asking",
    "Case",
    "FineTunedRows",
    "GeneratedRows",
    "RowTuning",
    "SoundSettings",
    "TableAudit",
    "TableEvaluation",
    "audit_cases",
    "audit_rows",
    "evaluate_rows",
    "fine_tune_rows",
    "from_folder",
    "from_tables",
    "generate_rows",
    "listed",
    "read_table",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {__all__}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
