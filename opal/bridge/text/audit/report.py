"""The audit of synthetic texts, and how it is shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from opal import names, validation
from opal.bridge import render
from opal.bridge.text.audit import blocks
from opal.bridge.text.audit.copies import copies
from opal.bridge.text.audit.findings import examples, verdicts
from opal.bridge.text.audit.labels import Seen, composition, labels
from opal.bridge.text.audit.seeds import seeds
from opal.bridge.text.audit.tables import REAL, AuditData
from opal.bridge.text.audit.two_sample import two_sample
from opal.bridge.text.audit.variety import shift, variety
from opal.bridge.text.corpus import ATTRIBUTE, TextCorpus
from opal.bridge.text.encoders import Encoder, encoder
from opal.files import write_text

STEPS = 5
"""How often progress is told of, for each writer."""
Progress = Callable[[str], None]
_HEAD = ("corpus", "source", "class", "kind", "finding")


@dataclass(frozen=True, eq=False)
class AuditReport:
    """What an audit found.

    Attributes:
        audits: by corpus, its ``sources`` (of :func:`audit`) and its ``notes``.
    """

    audits: Mapping[str, Mapping[str, Any]]

    def table(self, name: str = "findings") -> pd.DataFrame:
        """One of its tables, as a reader sees it, over all corpora and sources.

        Args:
            name: ``findings``, worst first, or one of :data:`opal.bridge.text.audit.blocks.TABLES`.

        Raises:
            UnknownNameError: there is no such table.
        """
        names.check("table of an audit", [name], ("findings", *blocks.TABLES))
        if name != "findings":
            return self._shown(name)
        rows = [
            (name, writer, each["class"], each["kind"], each["said"])
            for name, entry in self.audits.items()
            for writer, found in entry["sources"].items()
            for each in found["verdicts"]["findings"]
        ]
        return pd.DataFrame(rows, columns=list(_HEAD))

    def _shown(self, name: str) -> pd.DataFrame:
        rows: list[tuple[Any, ...]] = []
        head: tuple[str, ...] = ()
        for corpus, entry in self.audits.items():
            for writer, found in entry["sources"].items():
                table = blocks.audit_tables(found).get(name)
                if table is not None:
                    head = tuple(table.head)
                    rows += [(corpus, writer, *row) for row in table.rows]
        return pd.DataFrame(rows, columns=[*_HEAD[:2], *head])

    def to_html(self) -> str:
        """One page with the worst texts side by side; it needs nothing else, and runs nothing."""
        return render.html("Audit of synthetic texts", blocks.audit(self.result()))

    def result(self) -> dict[str, Any]:
        """What was found, JSON-able."""
        return {"audits": dict(self.audits)}

    def write(self, path: Path) -> dict[str, Any]:
        """Write the page, all of it or nothing; what was found, and where it is written."""
        write_text(path, self.to_html(), private=True)  # it holds texts
        return self.result() | {"written": str(path)}


def audit_texts(
    *corpora: TextCorpus,
    sources: Sequence[str] = (),
    features: str = "tfidf",
    seed: int = 0,
    progress: Progress | None = None,
) -> AuditReport:
    """Find copies, leaks, sameness, shifts and wrong labels in texts that a model wrote.

    Args:
        corpora: as they were published, or made of tables of one's own: leaks are to be found.
        sources: models whose texts are audited; all by default.
        features: of the classifiers: of :data:`opal.bridge.text.encoders.ENCODERS`, or a
            transformer's folder or hub name.
        seed: of folds and splits.
        progress: told what is done next, :data:`STEPS` times for each writer.

    Raises:
        UnknownNameError: there is no such writer or encoder.
        ValueError: a table is empty or breaks the rules of tables of texts, or the seed is out of
            range.
        ImportError: the encoder needs the extra ``text``.
    """
    known, audits = encoder(features), {}

    def tell(name: str, step: str) -> None:
        if progress is not None:
            progress(f"{name}, {step}")

    for corpus in corpora:
        names.check("source", sources, corpus.synthetic)
    for corpus in corpora:
        tables = {"base": corpus.base, "human": corpus.human, "test": corpus.test}
        real = {name: each for name, each in tables.items() if len(each)}
        made = {name: corpus.synthetic[name] for name in sources or corpus.synthetic}
        told = partial(tell, corpus.name)
        found = audit(real, made, encoder=known, seed=seed, progress=told)
        audits[corpus.name] = {"sources": found, "notes": list(corpus.notes)}
    return AuditReport(audits)


def audit(
    real: Mapping[str, pd.DataFrame],
    synthetic: Mapping[str, pd.DataFrame],
    *,
    encoder: Encoder,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, dict[str, Any]]:
    """Audit the synthetic texts of each writer.

    ``real`` are tables ``base``, from which the texts were made, and where there are any ``human``
    and ``test``. What is found is JSON-able: ``n``, ``classes``, ``scale`` (of similarity),
    ``copies``, ``seeds``, ``variety``, ``shift``, ``labels``, ``two_sample``, ``composition`` (None
    without an attribute), ``examples`` and ``verdicts``; see the modules of these names.

    Raises:
        ValueError: a table is empty, unknown or breaks the rules of tables of texts, or ``seed`` is
            out of range.
    """
    validation.require_seed(seed)
    if "base" not in real or not set(real) <= set(REAL):
        raise ValueError(
            f"real texts are base and, where there are any, human and test; got {sorted(real)}."
        )
    if not synthetic:
        raise ValueError("an audit needs synthetic texts of a source; got none.")
    data = AuditData.of(real, synthetic, encoder)
    seen = Seen(data, seed)
    return {writer: _audit(seen, writer, progress) for writer in synthetic}


def _audit(seen: Seen, writer: str, progress: Progress | None) -> dict[str, Any]:
    data, seed, rows = seen.data, seen.seed, seen.data.made[writer]
    tell = progress or (lambda _: None)
    found: dict[str, Any] = {
        "source": writer,
        "n": len(rows),
        "n_real": {role: len(theirs) for role, theirs in data.real.items()},
        "classes": sorted(set(data.own(rows)["label"])),
        "attribute": bool(data.attributes) and ATTRIBUTE,
        "encoder": data.encoder.name,
        "scale": data.scale,
    }
    tell(f"{writer}: copies")
    found["copies"] = copies(data, writer, seed)
    tell(f"{writer}: seeds")
    found["seeds"] = seeds(data, writer, seed)
    tell(f"{writer}: variety")
    found["variety"] = variety(data, writer, seed)
    found["shift"] = shift(data, writer, seed)
    tell(f"{writer}: labels")
    found["labels"] = labels(seen, writer)
    found["composition"] = composition(seen, writer)
    tell(f"{writer}: two samples")
    found["two_sample"], score = two_sample(data, writer, seed)
    found["examples"] = examples(seen, writer, score)
    found["verdicts"] = verdicts(found)
    return found
