"""What an audit of texts found, as blocks of a report."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from opal.bridge import render
from opal.bridge.findings import percent
from opal.bridge.text.audit.copies import NEAR
from opal.bridge.text.audit.seeds import LEVELS
from opal.bridge.text.audit.tables import ALL
from opal.bridge.text.audit.variety import OPENINGS, ORDERS

_SENTENCES = 2
_BOTH = {"n": "texts", "n_real": "real"}
_NOTHING = ("Nothing found.", "good")
_COMPARED = {
    "variety": "variety",
    "shift": "length and vocabulary",
    "labels": "wrong labels",
    "two_sample": "whether they can be told from real texts",
}  # parts that need enough texts of a class


def audit(result: Mapping[str, Any], *, brief: bool = False) -> Iterator[render.Block]:
    """What was found, the tables behind it, and the worst texts.

    ``result`` is of :meth:`AuditReport.result` or :meth:`AuditReport.write`; ``brief`` shows one
    example of each kind, as in a terminal.
    """
    for name, entry in result["audits"].items():
        for writer, found in entry["sources"].items():
            yield render.Heading(f"{name}, {writer}")
            yield render.Paragraph(_headline(found))
            yield from _findings(found)
            yield from (table for table in audit_tables(found).values() if table.rows)
            if found["examples"]:
                yield _examples(found, brief=brief)
        if entry["notes"]:
            yield render.Heading("Notes", 3)
            yield render.Items([("", note) for note in entry["notes"]])
    if "written" in result:
        yield render.Paragraph(f"wrote {result['written']}")


def _headline(found: Mapping[str, Any]) -> str:
    real = ", ".join(f"{n} of {role}" for role, n in found["n_real"].items())
    n_classes = len(found["classes"])
    classes = "1 class" if n_classes == 1 else f"{n_classes} classes"
    return f"{found['n']} texts of {classes} against {real}; classifiers on {found['encoder']}"


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
            entries.append((kind, f"of {len(rows) - _SENTENCES} more: {others}."))
    missing = [*_missing(found)]
    nothing = ("Nothing found in what could be compared.", "note") if missing else _NOTHING
    yield render.Items(entries, "bad") if entries else render.Paragraph(*nothing)
    if missing:
        yield render.Paragraph(f"Not compared: {'; '.join(missing)}.", "bad")
    yield render.Paragraph(
        f"Of {found['verdicts']['n_tests']} comparisons with what is normal among real texts. A "
        "finding is large enough to matter, and the chance of any false one is below 1 %.",
        "note",
    )


def _missing(found: Mapping[str, Any]) -> Iterator[str]:
    """What nothing can be said of, and of which classes; the tables say why."""
    for name, title in _COMPARED.items():
        lacking = [row["class"] for row in found[name] if row["reason"] is not None]
        if lacking:
            some = "" if len(lacking) == len(found[name]) else f" of {', '.join(lacking)}"
            yield f"{title}{some}"
    if not any(row["with_seeds"] for row in found["seeds"]):
        yield (
            "seeds, and leaks of test texts through them (it is known of no text what it was made "
            "from: name the column that says it, --seed-column)"
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


def audit_tables(found: Mapping[str, Any]) -> dict[str, render.Table]:
    """The tables of one writer by name: :data:`TABLES`, those that are there."""
    shown = TABLES if found["composition"] else TABLES[:-2]
    return {name: _MAKERS[name](found) for name in shown}


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
        f"{found['verdicts']['label_threshold']:.1f}. The z divides by the "
        "larger of two errors, of the share and of none wrong. AUC: how well it tells real texts "
        "of the class from others. Agrees: share of texts it gives their own class. Synthetic "
        "(real)."
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


_MAKERS = {
    "copies": _copies,
    "seeds": _seeds,
    "coverage": _coverage,
    "variety": _variety,
    "openings": _openings,
    "shift": _shift,
    "words": _words,
    "labels": _labels,
    "two_sample": _two_sample,
    "groups": _groups,
    "attributes": _attributes,
}
TABLES = tuple(_MAKERS)
"""Names of the tables; the last two only where there is an attribute."""
