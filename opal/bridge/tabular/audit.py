"""What synthetic rows are: recited, shifted, recognisable, impossible, or of the wrong groups.

Works on any numeric tables with a label column. Everything that has a natural rate among real rows
is reported beside that rate: identical people exist (``by_chance``), real rows have near neighbours
(5 % by construction), real groups have shares.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from opal import names, validation
from opal.bridge import render, resampling
from opal.bridge.tabular import report
from opal.bridge.tabular.cases import Case, Grouping, Tables, composition, copies
from opal.bridge.tabular.splits import keys

_FEW_VALUES = 10
_FOLDS = 5
_LEAST_ROWS = 10
_REAL_PER_SYNTHETIC = 5


@dataclass(frozen=True)
class TableAudit:
    """What an audit found.

    Attributes:
        findings: JSON-able: ``n_rows``, ``files``, ``copies``, ``shift``, ``two_sample``,
            ``violations``, ``composition``; see the functions that make them.
    """

    findings: Mapping[str, Any]

    def table(self, name: str = "composition") -> pd.DataFrame:
        """One of its tables, as a reader sees it.

        Args:
            name: ``copies``, ``composition``, ``shift``, ``two_sample``, ``violations``, or
                ``conditional`` where there are attributes.

        Raises:
            UnknownNameError: there is no such table.
        """
        tables = report.audit_tables(self.findings)
        names.check("table of an audit", [name], tables)
        return pd.DataFrame(list(tables[name].rows), columns=list(tables[name].head))

    def result(self) -> dict[str, Any]:
        """What ``opal tabular audit --json`` prints."""
        return dict(self.findings)

    def to_html(self) -> str:
        """The report as one page that needs nothing else."""
        return render.html("Audit of synthetic rows", list(report.audit(self.findings)))


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
        seed: of the two-sample test.
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
            composition is what it was asked for; 0: equal groups were asked for.
        trees: trees of the forests of the two-sample test.
        seed: seed of the folds and forests of the two-sample test.

    Raises:
        ValueError: a column is missing or misspelt, holds text, or has an empty cell; there are
            fewer training rows than ``prompt_rows``; or ``seed`` is out of range.
    """
    validation.require_seed(seed)
    validation.require_at_least("prompt_rows", prompt_rows, 0)
    for case in cases:
        what = f"the number of training rows of {case.name}"
        validation.require_at_most("prompt_rows", prompt_rows, len(case.train), what)
    tables = Tables.of(cases, source, target, attributes)
    groups = Grouping.of(tables.real, target, tables.attributes)
    found = {
        "target": target,
        "attributes": list(tables.attributes),
        "n_rows": len(tables.synthetic),
        "n_real": len(tables.real),
        "files": [case.name for case in tables.cases],
        "copies": copies(tables.cases, tables.source),
        "shift": shift(tables, groups),
        "two_sample": two_sample(
            tables.synthetic, tables.real, tables.features, groups, trees, seed
        ),
        "violations": violations(tables.synthetic, tables.real, target),
        "composition": composition(tables.cases, tables.source, groups, prompt_rows),
    }
    return TableAudit(found)


def shift(tables: Tables, groups: Grouping) -> list[dict[str, Any]]:
    """Feature means of synthetic minus real rows within each group, in real SD units of the group.

    ``z`` is the shift over its standard error. A feature that does not vary among the group's real
    rows has no unit; its shift is None unless it is 0. Largest shifts come first.
    """
    rows = []
    synthetic, real = tables.synthetic, tables.real
    of_synthetic, of_real = groups.label(synthetic), groups.label(real)
    for group in groups.names:
        ours, theirs = synthetic[of_synthetic == group], real[of_real == group]
        if ours.empty or theirs.empty:
            continue
        for feature in tables.features:
            a, b = ours[feature].to_numpy(dtype=float), theirs[feature].to_numpy(dtype=float)
            rows.append({"group": group, "feature": feature, **_shift(a, b)})
    return sorted(rows, key=lambda row: -abs(row["shift_sd"] or 0.0))


def _shift(ours: np.ndarray, theirs: np.ndarray) -> dict[str, Any]:
    difference, unit = float(ours.mean() - theirs.mean()), float(theirs.std())
    error = float(np.sqrt(ours.var() / len(ours) + theirs.var() / len(theirs)))
    scaled = difference / unit if unit > 0 else (0.0 if difference == 0 else None)
    return {
        "shift_sd": scaled,
        "sd_ratio": float(ours.std()) / unit if unit > 0 else None,
        "z": difference / error if error > 0 else None,
        "n_synthetic": len(ours),
        "n_real": len(theirs),
    }


def violations(synthetic: pd.DataFrame, real: pd.DataFrame, target: str) -> dict[str, Any]:
    """Labels, ranges and value sets of the synthetic rows against the real ones.

    ``labels``: rows whose label no real row has, by label. ``features``: for each feature with a
    violation, its real range, rows ``below`` and ``above`` it, rows ``not_whole`` where all real
    values are whole, and rows with ``unseen`` values where the real column has at most 10. ``rows``
    counts rows with at least one violation.
    """
    wrong_label = ~synthetic[target].isin(real[target].unique())
    ours, theirs = (table.drop(columns=target).astype(float) for table in (synthetic, real))
    whole, few = (theirs == theirs.round()).all(), theirs.nunique() <= _FEW_VALUES
    unseen = {name: few[name] & ~ours[name].isin(theirs[name]) for name in theirs}
    kinds = {
        "below": ours < theirs.min(),
        "above": ours > theirs.max(),
        "not_whole": (ours != ours.round()) & whole,
        "unseen": pd.DataFrame(unseen),
    }
    wrong = kinds["below"] | kinds["above"] | kinds["not_whole"] | kinds["unseen"]
    features = [
        {"feature": name, "real_min": float(theirs[name].min())}
        | {"real_max": float(theirs[name].max())}
        | {kind: int(rows[name].sum()) for kind, rows in kinds.items()}
        for name in theirs
        if wrong[name].any()
    ]
    bad = wrong_label | wrong.any(axis=1)
    labels = synthetic.loc[wrong_label, target].value_counts()
    return {
        "rows": int(bad.sum()),
        "share": float(bad.mean()),
        "labels": {f"{label:g}": int(count) for label, count in labels.items()},
        "features": features,
    }


def two_sample(
    synthetic: pd.DataFrame,
    real: pd.DataFrame,
    features: list[str],
    groups: Grouping,
    trees: int,
    seed: int,
) -> list[dict[str, Any]]:
    """Cross-validated AUC of a forest that tells synthetic from real rows, group by group.

    0.5: indistinguishable; 1: every synthetic row is recognised. All copies of one row, real or
    synthetic, are kept in one fold: otherwise a recited row would be met in training under the
    other name, and recitation would push the AUC below one half. ``std_error`` is Hanley and
    McNeil's (1982). A group with fewer than 10 different rows of a kind has no AUC but a reason.
    """
    of_synthetic, of_real = groups.label(synthetic), groups.label(real)
    found = []
    for index, group in enumerate(groups.names):
        rng = np.random.default_rng([seed, index])
        ours = synthetic.loc[of_synthetic == group, features]
        theirs = real.loc[of_real == group, features]
        row: dict[str, Any] = {"group": group, "n_synthetic": len(ours), "n_real": len(theirs)}
        most = _REAL_PER_SYNTHETIC * max(len(ours), _LEAST_ROWS)
        if len(theirs) > most:
            theirs = theirs.iloc[rng.choice(len(theirs), most, replace=False)]
        distinct = min(len(set(keys(ours))), len(set(keys(theirs))))
        auc = error = reason = None
        if distinct < _LEAST_ROWS:
            reason = f"needs {_LEAST_ROWS} different rows of each kind; one kind has {distinct}"
        else:
            auc = _auc(ours, theirs, trees, rng)
            error = resampling.auc_error(auc, len(ours), len(theirs))
        found.append(row | {"auc": auc, "std_error": error, "reason": reason})
    return found


def _auc(ours: pd.DataFrame, theirs: pd.DataFrame, trees: int, rng: np.random.Generator) -> float:
    from sklearn.ensemble import RandomForestClassifier

    rows = pd.concat([ours, theirs])
    x, is_synthetic = rows.to_numpy(dtype=float), np.arange(len(rows)) < len(ours)
    lineage = resampling.lineages(keys(rows))
    fold = resampling.deal(lineage, is_synthetic, _FOLDS, seed=int(rng.integers(2**32)))
    score = np.full(len(rows), np.nan)
    for k in range(_FOLDS):
        held_out = fold == k
        if len(set(is_synthetic[held_out])) < 2:
            continue
        forest = RandomForestClassifier(
            trees,
            min_samples_leaf=3,
            class_weight="balanced",
            random_state=int(rng.integers(2**31)),
        ).fit(x[~held_out], is_synthetic[~held_out])
        score[held_out] = forest.predict_proba(x[held_out])[:, 1]
    return resampling.mean_auc(is_synthetic, score, fold)
