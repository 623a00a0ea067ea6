"""Texts that a language model wrote for small classes: made, judged, and what they are worth.

=================== =============================================================================
read_texts          a table of texts from a file or a data set of the Hugging Face hub
write_texts         such a table to a file
load_corpus         a published corpus, or the grammar's
corpus_of           a corpus made of a table of one's own
leaks               which texts must not be trained on while others are held out
generate_texts      a model writes texts of the small classes (:class:`Generated`)
audit_texts         copies, leaks, sameness, shifts, wrong labels (:class:`AuditReport`)
evaluate_texts      learning curves, worth and plan (:class:`Evaluation`)
impute_texts        a small class filled up, by cross-validation (:class:`Imputation`)
label_texts         labels of a corpus, by the rule of an arm (:class:`Labelled`)
=================== =============================================================================

Results have ``table()``, ``to_html()``, and ``plot()`` where there is a picture. Importing this is
cheap: names load on first use.

>>> from opal.bridge import text
>>> text.load_corpus("grammar").labels
('complaint', 'praise')
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opal.bridge.llm.command import Asking
    from opal.bridge.text.audit.report import AuditReport, audit_texts
    from opal.bridge.text.columns import Columns
    from opal.bridge.text.corpus import TextCorpus, corpus_of, leaks, text_table
    from opal.bridge.text.curves.report import Evaluation, evaluate_texts
    from opal.bridge.text.generation import Generated, generate_texts
    from opal.bridge.text.impute.report import Imputation, impute_texts
    from opal.bridge.text.labelling import Labelled, label_texts
    from opal.bridge.text.published import load_corpus
    from opal.bridge.text.reading import read_texts, write_texts

_HOMES = {
    "opal.bridge.llm.command": ("Asking",),
    "opal.bridge.text.audit.report": ("AuditReport", "audit_texts"),
    "opal.bridge.text.columns": ("Columns",),
    "opal.bridge.text.corpus": ("TextCorpus", "corpus_of", "leaks", "text_table"),
    "opal.bridge.text.curves.report": ("Evaluation", "evaluate_texts"),
    "opal.bridge.text.generation": ("Generated", "generate_texts"),
    "opal.bridge.text.impute.report": ("Imputation", "impute_texts"),
    "opal.bridge.text.labelling": ("Labelled", "label_texts"),
    "opal.bridge.text.published": ("load_corpus",),
    "opal.bridge.text.reading": ("read_texts", "write_texts"),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Asking",
    "AuditReport",
    "Columns",
    "Evaluation",
    "Generated",
    "Imputation",
    "Labelled",
    "TextCorpus",
    "audit_texts",
    "corpus_of",
    "evaluate_texts",
    "generate_texts",
    "impute_texts",
    "label_texts",
    "leaks",
    "load_corpus",
    "read_texts",
    "text_table",
    "write_texts",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {__all__}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
