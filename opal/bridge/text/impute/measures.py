"""Measures of a rule on original texts that were held out, and on synthetic ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from opal.bridge.text.impute.arms import ArmData


def measures(
    training: ArmData, said: np.ndarray, true: np.ndarray, tests: Mapping[str, np.ndarray]
) -> Iterator[dict[str, Any]]:
    """Measures of what was said of held-out texts, then of those of ``tests``, by whose they are.

    ``said`` is whether a text was said to be of the class, ``true`` whether one that was held out
    is.
    """
    said_held_out, rest = said[: len(true)], said[len(true) :]
    positives, false = int(true.sum()), int((said_held_out & ~true).sum())

    def f1(recall: float) -> float:
        return 2 * recall * positives / (recall * positives + false + positives)

    recall = float(said_held_out[true].mean())
    different = len(np.unique(training.rows[len(training.rows) - training.n_category :]))
    first = {"f1": f1(recall), "recall": recall}
    first |= {"n_trained": float(training.n_category), "n_different": float(different)}
    if training.shared is not None:
        first["shared"] = training.shared
    yield from ({"tested": "human", "metric": k, "value": v} for k, v in first.items())
    ends = np.cumsum([len(rows) for rows in tests.values()], dtype=int)
    for writer, part in zip(tests, np.split(rest, ends)[:-1], strict=True):
        other = f1(float(part.mean()))
        yield {"tested": writer, "metric": "f1_synthetic", "value": other}
        yield {"tested": writer, "metric": "gap", "value": other - first["f1"]}


def f1_mixed(said: np.ndarray, true: np.ndarray) -> dict[str, Any]:
    """F1 of the class on original and synthetic texts together, as public scripts report it.

    ``said`` is whether a text was said to be of the class, ``true`` whether it is; one is.
    """
    value = 2 * int((said & true).sum()) / int(said.sum() + true.sum())
    return {"tested": "human", "metric": "f1_mixed", "value": value}
