"""The audit of synthetic texts, and how it is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from opal import names, validation
from opal.bridge import render
from opal.bridge.findings import percent
from opal.bridge.text.audit.copies import NEAR, copies
from opal.bridge.text.audit.findings import examples, verdicts
from opal.bridge.text.audit.labels import Seen, composition, labels
from opal.bridge.text.audit.seeds import LEVELS, seeds
from opal.bridge.text.audit.tables import ALL, REAL, AuditData
from opal.bridge.text.audit.two_sample import two_sample
from opal.bridge.text.audit.variety import OPENINGS, ORDERS, shift, variety
from opal.bridge.text.corpus import ATTRIBUTE, TextCorpus
from opal.bridge.text.encoders import Encoder, encoder
from opal.files import write_text

STEPS = 5
"""How often progress is told of, for each writer."""
Progress = Callable[[str], None]
_SENTENCES = 2
_HEAD = ("corpus", "source", "class", "kind", "finding")
_BOTH = {"n": "texts", "n_real": "real"}


@dataclass(frozen=True, eq=False)
class AuditReport:
    """What an audit found.

    Attributes:
        audits: by corpus, its ``sources`` (of :func:`audit`) and its ``notes``.
    """

    audits: Mapping[str, Mapping[str, Any]]

    def table(self) -> pd.DataFrame:
        """What is wrong, a row for each finding, worst first."""
        rows = [
            (name, writer, each["class"], each["kind"], each["said"])
            for name, entry in self.audits.items()
            for writer, found in entry["sources"].items()
            for each in found["verdicts"]["findings"]
        ]
        return pd.DataFrame(rows, columns=list(_HEAD))

    def to_html(self) -> str:
        """One page with the worst texts side by side; it needs nothing else, and runs nothing."""
        return render.html("Audit of synthetic texts", blocks(self.result()))

    def result(self) -> dict[str, Any]:
        """What was found, JSON-able."""
        return {"audits": dict(self.audits)}

    def write(self, path: Path) -> dict[str, Any]:
        """Write the page, all of it or nothing; what was found, and where it is written."""
        write_text(path, self.to_html())
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
        features: of the classifiers: ``tfidf``, ``minilm``, or a transformer's folder or name.
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


def blocks(result: Mapping[str, Any], *, brief: bool = False) -> Iterator[render.Block]:
    """What was found, the tables behind it, and the worst texts.

    ``result`` is of :meth:`AuditReport.result` or :meth:`AuditReport.write`; ``brief`` shows one
    example of each kind, as in a terminal.
    """
    for name, entry in result["audits"].items():
        for writer, found in entry["sources"].items():
            yield render.Heading(f"{name}, {writer}")
            yield render.Paragraph(_headline(found))
            yield from _findings(found)
            yield from (table for table in _tables(found) if table.rows)
            if found["examples"]:
                yield _examples(found, brief=brief)
        if entry["notes"]:
            yield render.Heading("Notes", 3)
            yield render.Items([("", note) for note in entry["notes"]])
    if "written" in result:
        yield render.Paragraph(f"wrote {result['written']}")


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


def _headline(found: Mapping[str, Any]) -> str:
    real = ", ".join(f"{n} of {role}" for role, n in found["n_real"].items())
    return (
        f"{found['n']} texts of {len(found['classes'])} classes against {real}; "
        f"classifiers on {found['encoder']}"
    )


def _findings(found: Mapping[str, Any]) -> Iterator[render.Block]:
    """Of each kind the clearest findings, and where else it is."""
    found_of: dict[str, list[Mapping[str, Any]]] = {}
    for row in found["verdicts"]["findings"]:
        found_of.setdefault(row["kind"], []).append(row)
    entries = []
    for kind, rows in found_of.items():
        entries += [(kind, f"({row['class']}): {row['said']}.") for row in rows[:_SENTENCES]]
        if len(rows) > _SENTENCES:
            others = ", ".join(row["class"] for row in rows[_SENTENCES:])
            entries.append((kind, f"(also): {others}."))
    nothing = render.Paragraph("Nothing found.", "good")
    yield render.Items(entries, "bad") if entries else nothing
    yield render.Paragraph(
        f"Of {found['verdicts']['n_tests']} comparisons with what is normal among real texts. A "
        "finding is large enough to matter, and the chance of any false one is below 1 %.",
        "note",
    )


def _examples(found: Mapping[str, Any], *, brief: bool) -> render.Table:
    """Side by side: the synthetic text, and the real one that shows what is wrong."""
    chosen = found["examples"]
    if brief:
        first = {row["kind"]: row for row in reversed(chosen)}
        chosen = [*reversed(first.values())]
    rows: list[list[render.Cell]] = [
        [
            f"{row['kind']} ({row['class']}): {row['why']}",
            render.Quote(row["text"]),
            "" if row["other"] is None else render.Quote(row["other"], row["role"]),
        ]
        for row in chosen
    ]
    note = f"Texts are shown up to {render.LIMIT} characters."
    return render.Table(("why", "synthetic", "beside it"), rows, "Worst examples", note)


def _tables(found: Mapping[str, Any]) -> list[render.Table]:
    parts = [_copies, _seeds, _coverage, _variety, _openings, _shift, _words, _labels, _two_sample]
    if found["composition"]:
        parts += [_groups, _attributes]
    return [part(found) for part in parts]


def _copies(found: Mapping[str, Any]) -> render.Table:
    kinds = ("exact", "folded", "near", "relabelled", "distinct")
    rows = [
        [role, row["class"], row["n"], *(row[kind] for kind in kinds)]
        + [_ratio(row["chance"][kind], row["chance"]["of"]) for kind in ("copies", "near")]
        for role, classes in found["copies"].items()
        for row in classes
        if row["class"] == ALL or len(classes) == 1 or any(row[kind] for kind in kinds)
    ]
    head = ("of", "class", "texts", "exact", "same words", "near", "relabelled", "distinct")
    note = (
        f"Near: cosine of four letters in a row of at least {NEAR:g}, or a real text and something "
        "around it. By chance: among other real texts of the class. Classes without copies are "
        "left out."
    )
    return render.Table((*head, "by chance", "near by chance"), rows, "Copies of real texts", note)


def _seeds(found: Mapping[str, Any]) -> render.Table:
    rows = [
        [row["class"], row["with_seeds"], _plus_minus(row["similarity"], row["std_error"])]
        + [_number(row["p95"])]
        + [_ratio(row[f"over_{level:g}"], row["with_seeds"]) for level in LEVELS]
        + [_number(row["to_others"])]
        for row in found["seeds"]
        if row["with_seeds"]
    ]
    over = tuple(f"≥ {level:.2f}" for level in LEVELS)
    head = ("class", "texts", "mean", "95th percentile", *over, "mean to other base texts")
    return render.Table(head, rows, "Similarity to their own seeds", f"Scale: {found['scale']}.")


def _coverage(found: Mapping[str, Any]) -> render.Table:
    kinds = ("seedless", "unknown", "foreign", "leaked")
    rows = [
        [row["class"], _ratio(row["used"], row["base"])]
        + [_number(row[name], ".1f") for name in ("expected", "per_seed")]
        + [row["most"], _number(row["effective"], ".1f"), *(row[kind] for kind in kinds)]
        for row in found["seeds"]
        if row["with_seeds"]
    ]
    note = (
        "Used: base texts of the class that are seeds; expected: if as many had been drawn at "
        "random. Effective: equally used seeds that would weigh as much. Unknown: no table holds "
        "the seed; foreign: it is of another class; leaked: it is a test text."
    )
    head = ("class", "used", "expected", "texts a seed", "most", "effective")
    return render.Table((*head, *kinds), rows, "Coverage of the seeds", note)


def _variety(found: Mapping[str, Any]) -> render.Table:
    def cells(row: Mapping[str, Any]) -> list[str]:
        distinct = [_pair(row[f"distinct_{n}"]) for n in ORDERS]
        openings = [_pair(row[f"opening_{k}"], share=True) for k in OPENINGS]
        return [_pair(row["repeated"], share=True), *distinct, *openings]

    note = (
        "Synthetic (real), of equally many texts: share that another text equals, distinct runs of "
        "1, 2, 3 words, share whose first 3, 4, 5 words another text shares. ↓ or ↑: beyond three "
        "standard errors."
    )
    counts = {"n": "texts", "n_repeated": "repeats", "most": "most"}
    head = ("repeated", "distinct-1", "-2", "-3", "opening 3", "4", "5")
    return _described("Variety", found["variety"], counts, head, cells, note)


def _openings(found: Mapping[str, Any]) -> render.Table:
    rows = [
        [row["class"], ", ".join(f"{o['words']} ({percent(o['share'])})" for o in row["openings"])]
        for row in found["variety"]
        if row["openings"]
    ]
    return render.Table(("class", "words (share)"), rows, "Most frequent first three words")


def _shift(found: Mapping[str, Any]) -> render.Table:
    def cells(row: Mapping[str, Any]) -> list[str]:
        forms = {"shift_sd": "+.2f", "length_z": "+.1f", "sd_ratio": ".2f"}
        words = f"{row['words']:.1f} ({row['real_words']:.1f})"
        length = [_number(row[name], form) for name, form in forms.items()]
        return [words, *length, _pair(row["divergence"]), _pair(row["unseen"], share=True)]

    note = (
        "Synthetic (real). Shift of the mean length in standard deviations of real lengths, and "
        "its z. Divergence of the words' frequencies (Jensen-Shannon distance) and share of unseen "
        "words, against real texts of equal number. ↓ or ↑: beyond three standard errors."
    )
    head = ("words", "shift (SD)", "z", "SD ratio", "divergence", "unseen words")
    return _described("Length and vocabulary", found["shift"], _BOTH, head, cells, note)


def _words(found: Mapping[str, Any]) -> render.Table:
    rows = [
        [row["class"], _listed(row["more"]), _listed(row["less"])]
        for row in found["shift"]
        if row["reason"] is None and (row["more"] or row["less"])
    ]
    note = "Share of the synthetic texts with the word, and in brackets of the real ones."
    return render.Table(("class", "more", "less"), rows, "Words used more and less often", note)


def _labels(found: Mapping[str, Any]) -> render.Table:
    rows: list[list[render.Cell]] = []
    for row in found["labels"]:
        shares: list[render.Cell] = [row["reason"], "", "", ""]
        if row["reason"] is None:
            shares = [
                _plus_minus(row["wrong"], row["std_error"], "+.2f"),
                _number(row["z"], "+.1f"),
            ]
            shares += [_number(row["detectable"]), _number(row["auc"])]
        agree = [row.get(name) for name in ("agree", "real_agree")]
        instead = row.get("instead") and (
            f"{row['instead']} {percent(row['instead_share'])} ({percent(row['real_instead'])})"
        )
        agrees = ["" if share is None else percent(share) for share in agree]
        rows.append([row["class"], row["n"], row["n_real"], *shares, *agrees, instead])
    note = (
        "Wrong: share of texts that read like other classes instead of their own, by a classifier "
        "of real texts that has seen no relative of theirs; below 0: more typical than real texts. "
        "Would be found: the share of wrong labels that is a finding with probability .8, at z > "
        f"{found['verdicts']['label_threshold']:.1f}. AUC: how well it tells real texts of the "
        "class from others. Agrees: share of texts it gives their own class. Synthetic (real)."
    )
    head = ("class", *_BOTH.values(), "wrong labels", "z", "would be found", "AUC", "agrees")
    return render.Table((*head, "on real texts", "instead often"), rows, "Wrong labels", note)


def _two_sample(found: Mapping[str, Any]) -> render.Table:
    def cells(row: Mapping[str, Any]) -> list[str]:
        pairs = (("auc", "std_error"), ("null", "null_error"))
        return [_plus_minus(row[name], row[error]) for name, error in pairs]

    note = (
        "AUC of a classifier that tells synthetic from real texts, on texts without relatives in "
        "its training; .5: it cannot."
    )
    title, head = "Can they be told from real texts?", ("AUC", "real from real")
    return _described(title, found["two_sample"], _BOTH, head, cells, note)


def _groups(found: Mapping[str, Any]) -> render.Table:
    head = ("class", "attribute", *found["composition"]["tables"])
    rows = [[row[name] for name in head] for row in found["composition"]["groups"]]
    return render.Table(head, rows, "Texts of each class and attribute", "As stated.")


def _attributes(found: Mapping[str, Any]) -> render.Table:
    shares = ("real", "stated", "expected", "seen")
    rows = [
        [row["class"], row["attribute"], row["n"]]
        + [None if row[name] is None else percent(row[name]) for name in shares]
        + [_number(row["z"], "+.1f")]
        for row in found["composition"]["seen"]
    ]
    note = (
        "Seen: share in which a classifier of real texts sees the attribute; expected: share in "
        "which it would if all texts were as stated."
    )
    head = ("class", "attribute", "texts", "in base", *shares[1:], "z")
    return render.Table(head, rows, "Attribute given the class", note)


def _described(
    title: str,
    found: Sequence[Mapping[str, Any]],
    counts: Mapping[str, str],
    head: Sequence[str],
    cells: Callable[[Mapping[str, Any]], Sequence[render.Cell]],
    note: str,
) -> render.Table:
    """Class, counts and cells of each row; where nothing can be said, the reason."""
    rows: list[list[render.Cell]] = [
        [row["class"], *(row[name] for name in counts)]
        + ([row["reason"], *[""] * (len(head) - 1)] if row["reason"] else [*cells(row)])
        for row in found
    ]
    return render.Table(("class", *counts.values(), *head), rows, title, note)


def _number(value: float | None, form: str = ".2f") -> str:
    return "–" if value is None else format(value, form)


def _plus_minus(value: float | None, error: float | None, form: str = ".2f") -> str:
    return _number(value, form) if error is None else f"{_number(value, form)} ± {_number(error)}"


def _ratio(count: int, of: int) -> str:
    return f"{count} / {of}" if of else "–"


def _pair(compared: Mapping[str, Any], share: bool = False) -> str:
    """That of synthetic texts, and in brackets of real ones; an arrow where z exceeds 3."""
    z = compared["z"] or 0.0
    mark = " ↑" if z > 3 else " ↓" if z < -3 else ""
    shown = percent if share else _number
    return f"{shown(compared['synthetic'])} ({shown(compared['real'])}){mark}"


def _listed(words: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(
        f"{w['word']} {percent(w['share'])} ({percent(w['real_share'])})" for w in words[:6]
    )
