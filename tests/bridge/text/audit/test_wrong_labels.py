"""Labels flipped in human texts are found as often as is said, and honest ones are not accused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from opal.bridge.text import published
from opal.bridge.text.audit.labels import Seen, labels
from opal.bridge.text.audit.report import audit
from opal.bridge.text.audit.tables import AuditData
from opal.bridge.text.encoders import TfIdf

pytestmark = pytest.mark.slow
DRAWS = 6


def human(name: str) -> pd.DataFrame:
    corpus = published.load_corpus(name)
    texts = pd.concat([corpus.base, corpus.human, corpus.test]).drop_duplicates("id")
    return texts.drop(columns="attribute", errors="ignore").reset_index(drop=True)


def flipped(texts: pd.DataFrame, share: float, seed: int, n: int = 300) -> list[dict[str, Any]]:
    """Labels of ``n`` human texts of each class, of which a share is of the next class instead."""
    rng, parts = np.random.default_rng(seed), []
    classes = sorted(set(texts["label"]))
    rows = [rng.permutation(np.flatnonzero(texts["label"] == name)) for name in classes]
    wrong = round(share * n)
    for k, name in enumerate(classes):
        other = rows[(k + 1) % len(classes)]
        own = np.concatenate([rows[k][n : 2 * n - wrong], other[2 * n - wrong : 2 * n]])
        parts.append(texts.iloc[own].assign(label=name, source="model"))
    base = texts.iloc[np.concatenate([each[:n] for each in rows])].reset_index(drop=True)
    made = pd.concat(parts, ignore_index=True)
    seen = Seen(AuditData.of({"base": base}, {"model": made}, TfIdf()), seed)
    return labels(seen, "model")


@pytest.mark.parametrize("name", ["grammar", "sentiment"])
def test_one_in_five_wrong_labels_are_found(mirror: Path, name: str) -> None:
    """In all classes together; the AUCs are .86 and .75."""
    texts, found, shares = human(name), [], []
    for seed in range(DRAWS):
        whole = flipped(texts, 0.2, seed)[-1]
        found.append(whole["z"] > 3.1)  # beyond the threshold of four comparisons
        shares.append((whole["wrong"] - 0.2) / whole["std_error"])
        assert 0.05 < whole["detectable"] < 0.3
    assert np.mean(found) >= (0.8 if name == "grammar" else 0.5)
    assert abs(np.mean(shares)) < 4 / np.sqrt(DRAWS)


@pytest.mark.parametrize("name", ["hypo-l", "sentiment", "crowdflower", "grammar"])
def test_human_texts_are_not_accused(mirror: Path, name: str) -> None:
    texts, told = human(name), []
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(len(texts))
        base = texts.iloc[order[:900]].reset_index(drop=True)
        made = texts.iloc[order[900:1500]].assign(source="model").reset_index(drop=True)
        found = audit({"base": base}, {"model": made}, encoder=TfIdf(), seed=seed)["model"]
        told += found["verdicts"]["findings"]
    assert told == []
