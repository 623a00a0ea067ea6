"""The audit of synthetic rows, and how it is shown.

Works on any numeric tables with a label column. Everything that has a natural rate among real rows
is reported beside that rate: identical people exist (``by_chance``), real rows have near neighbours
(5 % by construction), real groups have shares.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from opal import names, validation
from opal.bridge import render
from opal.bridge.tabular.audit import blocks
from opal.bridge.tabular.audit.cases import Case, Grouping, Tables, composition
from opal.bridge.tabular.audit.copies import copies
from opal.bridge.tabular.audit.findings import verdicts
from opal.bridge.tabular.audit.labels import labels
from opal.bridge.tabular.audit.relations import relations
from opal.bridge.tabular.audit.two_sample import two_sample
from opal.bridge.tabular.audit.values import shift, unseen


@dataclass(frozen=True)
class TableAudit:
    """What an audit found.

    Attributes:
        findings: JSON-able: ``n_rows``, ``files``, ``keys`` (columns that only tell rows apart, and
            are left out), ``copies``, ``labels``, ``relations``, ``shift``, ``two_sample``,
            ``unseen``, ``composition`` and ``verdicts``; see the modules and functions of these
            names.
    """

    findings: Mapping[str, Any]

    def table(self, name: str = "findings") -> pd.DataFrame:
        """One of its tables, as a reader sees it.

        Args:
            name: ``findings``, ``copies``, ``labels``, ``relations``, ``composition``, ``shift``,
                ``two_sample``, ``unseen``, or ``conditional`` where there are attributes.

        Raises:
            UnknownNameError: there is no such table.
        """
        tables = blocks.audit_tables(self.findings)
        names.check("table of an audit", [name], tables)
        return pd.DataFrame(list(tables[name].rows), columns=list(tables[name].head))

    def result(self) -> dict[str, Any]:
        """What ``opal tabular audit --json`` prints."""
        return dict(self.findings)

    def to_html(self) -> str:
        """The report as one page that needs nothing else."""
        return render.html("Audit of synthetic rows", list(blocks.audit(self.findings)))


def audit_rows(
    synthetic: pd.DataFrame,
    train: pd.DataFrame,
    *,
    test: pd.DataFrame | None = None,
    source: pd.DataFrame | None = None,
    target: str | None = None,
    attributes: Sequence[str] = (),
    prompt_rows: int = 0,
    seed: int = 0,
) -> TableAudit:
    """Audit synthetic rows; :func:`audit_cases` for several tables of them, and what is found.

    Args:
        synthetic: the rows that are used.
        train: the training table that their maker saw (part of).
        test: the test table of the same split.
        source: the full table that training and test rows were drawn from.
        target: label column; the last column of ``train`` if None.
        attributes: columns that, with the label, make the groups.
        prompt_rows: like ``seed``, and what is refused, see :func:`audit_cases`.
        seed: of the folds and forests.
    """
    return audit_cases(
        [Case("synthetic rows", synthetic, train, test)],
        source=source,
        target=target or str(train.columns[-1]),
        attributes=attributes,
        prompt_rows=prompt_rows,
        seed=seed,
    )


def audit_cases(
    cases: Sequence[Case],
    *,
    source: pd.DataFrame | None = None,
    target: str,
    attributes: Sequence[str] = (),
    prompt_rows: int = 0,
    trees: int = 100,
    seed: int = 0,
) -> TableAudit:
    """Audit one or more files of synthetic rows of the same table.

    Args:
        cases: files with their own training (and test) tables; at least one.
        source: the full table that training and test rows were drawn from.
        target: label column.
        attributes: columns that, with the label, make the groups; none: groups are labels.
        prompt_rows: the model was shown this many first rows of the training table, and their
            composition is what it was asked for; 0: what was asked for is not known.
        trees: trees of the forests.
        seed: seed of the folds and forests.

    Raises:
        ValueError: a column is missing or misspelt, holds text, or has an empty cell; a label has
            one real row alone, as amounts have; there are fewer training rows than
            ``prompt_rows``; or ``seed`` is out of range.
    """
    validation.require_seed(seed)
    validation.require_at_least("prompt_rows", prompt_rows, 0)
    for case in cases:
        what = f"the number of training rows of {case.name}"
        validation.require_at_most("prompt_rows", prompt_rows, len(case.train), what)
    tables = Tables.of(cases, source, target, attributes)
    groups = Grouping.of(tables.real, target, tables.attributes)
    real, made = tables.real, tables.synthetic
    features = tables.features
    found: dict[str, Any] = {
        "target": target,
        "attributes": list(tables.attributes),
        "keys": list(tables.keys),
        "apart": list(tables.apart),
        "n_rows": len(made),
        "n_real": len(real),
        "files": [case.name for case in tables.cases],
        "copies": copies(*tables.bare),
        "labels": labels(tables, groups, trees, seed),
        "relations": relations(real[features], made[features]),
        "shift": shift(tables, groups),
        "two_sample": two_sample(made, real, features, groups, trees, seed),
        "unseen": unseen(made, real, target),
        "composition": composition(tables.cases, tables.source, groups, prompt_rows),
    }
    found["verdicts"] = verdicts(found)
    return TableAudit(found)
