"""Many comparisons accuse no more often than one would."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import stats

from opal.bridge import findings, label_noise
from opal.bridge.findings import Test as Comparison


def honest(z: list[float], of_labels: list[float]) -> list[dict[str, Any]]:
    tests = [Comparison("variety", str(k), each, True, "") for k, each in enumerate(z)]
    labels = [Comparison("labels", str(k), each, True, "") for k, each in enumerate(of_labels)]
    found: list[dict[str, Any]] = findings.verdicts(tests, labels, worst=(), whole="all")[
        "findings"
    ]
    return found


def test_many_comparisons_accuse_no_more_than_one_honest_audit_in_a_hundred() -> None:
    """Where all is as it should be, 60 comparisons together have the chance that one would have."""
    rng, n, audits = np.random.default_rng(0), 60, 3000
    accused = sum(
        bool(honest(rng.standard_normal(n).tolist(), rng.standard_normal(4).tolist()))
        for _ in range(audits)
    )
    assert 0 < accused < stats.binom.ppf(0.999, audits, findings.LEVEL)
    assert honest([3.0], []) != []  # alone it would be beyond chance
    assert honest([3.0, *np.zeros(n - 1)], []) == []


def test_labels_have_a_threshold_of_their_own() -> None:
    z = label_noise.threshold(3) + 0.01
    assert [each["kind"] for each in honest([z, *np.zeros(59)], [z, 0.0, 0.0])] == ["labels"]


def test_a_finding_says_what_it_rests_on() -> None:
    row = {"class": "a", "reason": None, "wrong": 0.31, "std_error": 0.05, "z": 6.2, "auc": 0.83}
    [test] = findings.label_tests([row | {"between": -3.0, "instead": "b"}], "texts")
    assert test.matters
    for said in ("31 % ± 5 %", "AUC 0.83", "like “b”", "texts of another manner"):
        assert said in test.said
    [mixed] = findings.label_tests([row | {"wrong": 0.04, "between": None}], "texts")
    assert not mixed.matters
    assert "manner" not in mixed.said
