"""What is wrong with synthetic rows: beyond chance, and large enough to matter."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from opal.bridge import findings
from opal.bridge.findings import Test, beyond, percent
from opal.bridge.label_noise import LEAST
from opal.bridge.tabular.audit.cases import ALL
from opal.bridge.tabular.audit.copies import NEAR_SHARE

_BUT_FOR = "copies but for a column"
_WORST = ("copies", _BUT_FOR, "near copies", "labels", "relations", "groups", "repeated", "shift")


def verdicts(found: Mapping[str, Any]) -> dict[str, Any]:
    """The findings of an audit, worst first; see :func:`opal.bridge.findings.verdicts`."""
    parts = (_copies, _relations, _groups, _shift, _two_sample, _unseen)
    tests = [test for part in parts for test in part(found)]
    labels = list(findings.label_tests(found["labels"], "rows"))
    return findings.verdicts(tests, labels, worst=_WORST, whole=ALL)


def _copies(found: Mapping[str, Any]) -> Iterator[Test]:
    for role, row in found["copies"].items():
        if role == "within":
            continue
        n, others = row["n_rows"], row["others"]
        said = f"{row['exact']} of {n} rows are {role} rows"
        if others:
            said += f"; of {others} other real rows {row['coincide']} are"
        z = beyond(row["exact"], n, row["coincide"], others)
        yield Test("copies", role, z, row["exact_share"] > 0.01, said)
        others = max(n - row["exact"] - row["relabelled"], 1)
        said = f"{row['all_but']} of {others} rows are {role} rows but for {row['column']}; of "
        said += f"{row['n_real']} {role} rows {row['twins']} so equal another one"
        z = beyond(row["all_but"], others, row["twins"], row["n_real"])
        yield Test(_BUT_FOR, role, z, row["all_but"] > 0.01 * n, said)
        usual = round(NEAR_SHARE * row["n_real"])
        said = f"{row['near']} of {n} rows are nearer to {role} rows than 95 % of these are"
        z = beyond(row["near"], n, usual, row["n_real"])
        yield Test("near copies", role, z, row["near_share"] > 2 * NEAR_SHARE, said)
    row = found["copies"]["within"]
    said = f"{row['repeated']} of {row['n_rows']} rows repeat an earlier one"
    said += f"; of {row['real']} training rows {row['real_repeated']} do"
    z = beyond(row["repeated"], row["n_rows"], row["real_repeated"], row["real"])
    yield Test("repeated", ALL, z, row["repeated_share"] > 0.01, said)


def _relations(found: Mapping[str, Any]) -> Iterator[Test]:
    """Orders are many, and some hold by luck: each is judged as one of all that were looked for."""
    n_real = found["relations"]["n_real"]
    for row in found["relations"]["found"]:
        z = beyond(row["broken"], row["n"], 0, n_real)
        if row["kind"] == "order":
            z = _of_many(z, found["relations"]["n_orders"])
        said = f"{row['relation']} holds in all {n_real} real rows, and not in {row['broken']} of "
        said += f"{row['n']} synthetic ones"
        yield Test("relations", row["relation"], z, row["broken"] > 0.01 * row["n"], said)


def _groups(found: Mapping[str, Any]) -> Iterator[Test]:
    for row in found["composition"]["groups"]:
        if row["z"] is not None:
            said = (
                f"{percent(row['share'])} of the rows, and {percent(row['asked_share'])} asked for"
            )
            apart = abs(row["share"] - row["asked_share"]) > 0.1
            yield Test("groups", row["group"], abs(row["z"]), apart, said)


def _shift(found: Mapping[str, Any]) -> Iterator[Test]:
    """By Student's t of the smaller kind, whose variance is not known."""
    for row in found["shift"]:
        least = min(row["n_synthetic"], row["n_real"])
        if least < LEAST or row["z"] is None or row["shift_sd"] is None:
            continue
        said = f"{row['feature']} lies {row['shift_sd']:+.2f} SD from its mean in real rows"
        matters = abs(row["shift_sd"]) > 0.3
        yield Test("shift", row["group"], _normal(abs(row["z"]), least - 1), matters, said)


def _two_sample(found: Mapping[str, Any]) -> Iterator[Test]:
    for row in found["two_sample"]:
        if row["reason"] is None:
            said = f"a forest tells them from real rows with AUC {row['auc']:.2f} ± "
            said += f"{row['std_error']:.2f}"
            yield Test("recognisable", row["group"], row["z"], row["auc"] > 0.6, said)


def _unseen(found: Mapping[str, Any]) -> Iterator[Test]:
    row = found["unseen"]
    n, n_real = found["n_rows"], row["n_real"]
    z = beyond(row["rows"], n, row["natural"], n_real)
    said = f"{row['rows']} of {n} rows hold a value unseen in the {n_real} real rows, of which "
    said += f"{row['natural']} hold one that no other does"
    yield Test("unseen values", ALL, z, row["share"] > 0.05, said)


def _of_many(z: float, n: int) -> float:
    from scipy.stats import norm

    return float(norm.isf(min(1.0 - 1e-9, n * norm.sf(z)))) if math.isfinite(z) else z


def _normal(t: float, dof: int) -> float:
    from scipy.stats import norm
    from scipy.stats import t as student

    return float(norm.isf(max(student.sf(t, dof), 1e-300)))
