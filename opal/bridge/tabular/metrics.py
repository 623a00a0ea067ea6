"""Balanced, minority and worst-group error of several seeds, and what each test row does to them.

Seeds have test rows of their own, the same ones, or splits of one table that share some. A row
that several seeds are tested on is one row: its influences on them are kept side by side, and
:func:`opal.bridge.resampling.crossed` counts it once.

The worst group of an arm is the one that errs most on average over the seeds; the mean of each
seed's largest error would add the noise of small test groups to it. Its error is linear in the
rows' errors once the group is chosen, and has a kink where two groups are as bad: the estimate is
then too high by part of its noise, and so is that of the arm that it is compared with.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from opal.bridge.tabular.splits import TableRows, keys

METRICS = ("balanced_error", "minority_error", "worst_error")


class Measured(NamedTuple):
    """A metric of every arm in every seed."""

    values: np.ndarray  # [S, arms]
    influence: np.ndarray  # of each test row of any seed, 0 where a seed lacks it [S, n, arms]


def measured(
    errors: Sequence[np.ndarray], tests: Sequence[TableRows], minority: np.ndarray
) -> dict[str, Measured]:
    """Each of :data:`METRICS`, for :func:`opal.bridge.resampling.crossed`.

    Args:
        errors: for each seed, the error of each test row under each arm, ``(n_s, arms)`` in [0, 1].
        tests: for each seed, its test rows; every group has some.
        minority: ``(K,)`` True for the groups behind ``minority_error``.
    """
    n_groups, place = len(minority), _places(tests)
    means = np.stack([_group_means(e, t, n_groups) for e, t in zip(errors, tests, strict=True)])
    n = 1 + max(int(each.max()) for each in place)
    found = {}
    for metric, weight in _weights(means.mean(axis=0), minority).items():
        influence = np.zeros((len(errors), n, means.shape[2]))
        for line, e, test, mean, at in zip(influence, errors, tests, means, place, strict=True):
            size = test.counts(n_groups)
            scale = weight / np.sqrt(size * np.maximum(size - 1, 1))[:, None]
            line[at] = (e - mean[test.group]) * scale[test.group]
        found[metric] = Measured(np.einsum("ska,ka->sa", means, weight), influence)
    return found


def shared(tests: Sequence[TableRows]) -> float:
    """The share of a seed's test rows that another seed has too, on average; 0 for one seed."""
    held = [set(each.tolist()) for each in _places(tests)]
    pairs = [len(a & b) / len(a) for a in held for b in held if a is not b]
    return float(np.mean(pairs)) if pairs else 0.0


def _group_means(errors: np.ndarray, test: TableRows, n_groups: int) -> np.ndarray:
    return np.stack([errors[test.group == g].mean(axis=0) for g in range(n_groups)])


def _weights(means: np.ndarray, minority: np.ndarray) -> dict[str, np.ndarray]:
    """What the error of each group counts in each metric ``(K, arms)``, from their means."""
    few = np.repeat(minority[:, None] / minority.sum(), means.shape[1], axis=1)
    worst = np.eye(len(means))[means.argmax(axis=0)].T
    return dict(zip(METRICS, (np.full(means.shape, 1 / len(means)), few, worst), strict=True))


def _places(tests: Sequence[TableRows]) -> list[np.ndarray]:
    """A number for each test row; equal rows of two seeds have the same, twins of one have two."""
    number: dict[tuple[bytes, int], int] = {}
    places = []
    for test in tests:
        seen: Counter[bytes] = Counter()
        for key in keys(np.column_stack([test.x, test.y])):
            seen[key] += 1
            number.setdefault((key, seen[key]), len(number))
            places.append(number[key, seen[key]])
    return np.split(np.array(places), np.cumsum([len(test) for test in tests])[:-1])
