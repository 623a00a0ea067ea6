"""The audit of the synthetic texts of one source or several."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from opal import checks
from opal.bridge.text import texts
from opal.bridge.text.audit import (
    composition,
    copies,
    examples,
    labels,
    seeds,
    shift,
    twosample,
    variety,
)
from opal.bridge.text.audit.stock import REAL, Stock
from opal.bridge.text.audit.verdicts import verdicts
from opal.bridge.text.corpora import TextCorpus
from opal.bridge.text.encoders import Encoder

STEPS = 5
"""How often progress is told of, for each source."""


def audit(
    real: Mapping[str, pd.DataFrame],
    synthetic: Mapping[str, pd.DataFrame],
    *,
    encoder: Encoder,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> dict[str, dict[str, Any]]:
    """Audit synthetic texts, source by source.

    Args:
        real: tables of texts: ``base``, from which the synthetic texts were made, and where there
            are any ``human``, more real texts, and ``test``.
        synthetic: tables of texts by source.
        encoder: of the classifiers; embeddings also measure similarity to seeds.
        seed: of the folds and splits.
        progress: told what is done next.

    Returns:
        For each source, JSON-able: ``n``, ``classes``, ``scale`` (of similarity), ``copies``,
        ``seeds``, ``variety``, ``shift``, ``labels``, ``two_sample``, ``composition`` (None without
        an attribute), ``examples`` and ``verdicts``; see the modules of these names.

    Raises:
        ValueError: a table is empty, unknown or breaks the rules of tables of texts, or ``seed`` is
            out of range.
    """
    checks.require_seed(seed)
    if "base" not in real or not set(real) <= set(REAL):
        raise ValueError(
            f"real texts are base and, where there are any, human and test; got {sorted(real)}."
        )
    if not synthetic:
        raise ValueError("an audit needs synthetic texts of a source; got none.")
    stock = Stock.of(real, synthetic, encoder)
    seen = labels.Seen(stock, seed)
    return {source: _source(seen, source, progress) for source in synthetic}


def tables(corpus: TextCorpus) -> tuple[dict[str, pd.DataFrame], dict[str, pd.DataFrame]]:
    """Real and synthetic tables of a corpus, as it was published: leaks are to be found."""
    real = {"base": corpus.base, "human": corpus.human, "test": corpus.test}
    return {name: each for name, each in real.items() if len(each)}, dict(corpus.synthetic)


def _source(
    seen: labels.Seen, source: str, progress: Callable[[str], None] | None
) -> dict[str, Any]:
    stock, seed = seen.stock, seen.seed
    tell = progress or (lambda _: None)
    rows = stock.made[source]
    found: dict[str, Any] = {
        "source": source,
        "n": len(rows),
        "n_real": {role: len(theirs) for role, theirs in stock.real.items()},
        "classes": sorted(set(stock.own(rows)["label"])),
        "attribute": bool(stock.attributes) and texts.ATTRIBUTE,
        "encoder": stock.encoder.name,
        "scale": stock.scale,
    }
    tell(f"{source}: copies")
    found["copies"] = copies.report(stock, source, seed)
    tell(f"{source}: seeds")
    found["seeds"] = seeds.report(stock, source, seed)
    tell(f"{source}: variety")
    found["variety"] = variety.report(stock, source, seed)
    found["shift"] = shift.report(stock, source, seed)
    tell(f"{source}: labels")
    found["labels"] = labels.report(seen, source)
    found["composition"] = composition.report(seen, source)
    tell(f"{source}: two samples")
    found["two_sample"], score = twosample.report(stock, source, seed)
    found["examples"] = examples.report(seen, source, score)
    found["verdicts"] = verdicts(found)
    return found
