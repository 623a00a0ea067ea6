"""What is wrong with made rows: beyond chance, and large enough to matter."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from opal.bridge import label_noise
from opal.checks import z_threshold

LEVEL = 0.01
"""Chance of any false finding in an audit."""

_SHARE = 0.05  # of wrong labels, from which it matters
_BETWEEN = 2.5


class Test(NamedTuple):
    """A comparison with what is normal."""

    kind: str  # what is compared
    name: str  # class or group, or all of them
    z: float  # how far beyond it, positive is worse; infinite for what must never be
    matters: bool  # whether it is large enough to matter
    said: str  # the finding in words


def verdicts(
    tests: Sequence[Test], labels: Sequence[Test], *, worst: Sequence[str], whole: str
) -> dict[str, Any]:
    """The findings of an audit, worst first.

    A finding matters and lies beyond its threshold. Half of the chance of 1 % of any false finding
    goes to the comparisons of labels, which are few and need it most; the other half to all others.
    ``worst`` are kinds in their order, others come after them; ``whole`` is the name of all classes
    together, which come first.
    """
    limits = z_threshold(max(len(tests), 1), LEVEL - label_noise.LEVEL)
    of_labels = label_noise.threshold(len(labels))
    guilty = [test for test in tests if test.matters and test.z > limits]
    guilty += [test for test in labels if test.matters and test.z > of_labels]
    # Of several numbers that say the same of a class, the clearest one speaks.
    clearest = {(test.kind, test.name): test for test in sorted(guilty, key=lambda test: test.z)}
    guilty = list(clearest.values())
    rank = {kind: place for place, kind in enumerate(worst)}
    guilty.sort(key=lambda test: (rank.get(test.kind, len(rank)), test.name != whole, -test.z))
    return {
        "n_tests": len(tests) + len(labels),
        "threshold": limits,
        "label_threshold": of_labels,
        "findings": [
            {"kind": t.kind, "class": t.name, "z": min(t.z, 99.0), "said": t.said} for t in guilty
        ],
    }


def label_tests(found: Iterable[Mapping[str, Any]], rows: str) -> Iterator[Test]:
    """Comparisons of labels, from what is ``found`` of each class; ``rows`` is what is labelled.

    Each has ``class``, ``reason`` and, where that is None, ``wrong``, ``std_error``, ``z``,
    ``auc``, ``between`` and ``instead``, of :mod:`opal.bridge.label_noise`.
    """
    for row in found:
        if row["reason"] is not None:
            continue
        said = (
            f"{percent(row['wrong'])} ± {percent(row['std_error'])} of the {rows} read like other "
            f"classes instead of their own, as so many wrong labels would (AUC {row['auc']:.2f})"
        )
        if row.get("instead"):
            said += f"; most often like “{row['instead']}”"
        if row["between"] is not None and row["between"] < -_BETWEEN:
            said += f"; but many lie between the classes, as {rows} of another manner do too"
        yield Test("labels", row["class"], row["z"], row["wrong"] > _SHARE, said)


def beyond(count: int, of: int, natural: int, natural_of: int) -> float:
    """How far a count lies above a natural rate, as the z of Fisher's exact one-sided test.

    Where there is nothing to learn the rate from, an equally large set without a case stands in.
    """
    from scipy.stats import fisher_exact, norm

    if not natural_of:
        natural, natural_of = 0, of
    table = [[count, of - count], [natural, natural_of - natural]]
    return float(norm.isf(max(fisher_exact(table, alternative="greater").pvalue, 1e-300)))


def percent(share: float) -> str:
    """A share in words.

    >>> percent(0.125)
    '12 %'
    """
    return f"{100 * share:.0f} %"
