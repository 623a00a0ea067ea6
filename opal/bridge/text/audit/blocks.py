"""The findings of an audit as tables of strings, for the terminal and for the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from opal.bridge.text.audit.copies import NEAR
from opal.bridge.text.audit.figures import (
    listed,
    number,
    pair,
    percent,
    plus_minus,
    ratio,
    signed,
)
from opal.bridge.text.audit.seeds import LEVELS
from opal.bridge.text.audit.stock import ALL


@dataclass(frozen=True)
class Block:
    """A table.

    Attributes:
        title: what it shows.
        note: how to read it.
        head: names of the columns.
        rows: cells.
    """

    title: str
    note: str
    head: tuple[str, ...]
    rows: Sequence[Sequence[str]]


def blocks(found: Mapping[str, Any]) -> list[Block]:
    """All tables of the audit of one source."""
    shown = [_copies(found), _seeds(found), _coverage(found), _variety(found), _openings(found)]
    shown += [_shift(found), _words(found), _labels(found), _two_sample(found)]
    if found["composition"]:
        shown += [_groups(found), _attributes(found)]
    return [block for block in shown if block.rows]


def _copies(found: Mapping[str, Any]) -> Block:
    rows = []
    for role, classes in found["copies"].items():
        for row in classes:
            kinds = [row[kind] for kind in ("exact", "folded", "near", "relabelled", "distinct")]
            if row["class"] == ALL or len(classes) == 1 or any(kinds):
                chance = row["chance"]
                natural = [ratio(chance[kind], chance["of"]) for kind in ("copies", "near")]
                rows.append([role, row["class"], str(row["n"]), *map(str, kinds), *natural])
    head = ("of", "class", "texts", "exact", "same words", "near", "relabelled", "distinct")
    note = (
        f"Near: cosine of four letters in a row of at least {NEAR:g}, or a real text and something "
        "around it. By chance: among other real texts of the class. Classes without copies are "
        "left out."
    )
    return Block("Copies of real texts", note, (*head, "by chance", "near by chance"), rows)


def _seeds(found: Mapping[str, Any]) -> Block:
    rows = [
        [
            row["class"],
            str(row["with_seeds"]),
            plus_minus(row["similarity"], row["std_error"]),
            number(row["p95"]),
            *(ratio(row[f"over_{level:g}"], row["with_seeds"]) for level in LEVELS),
            number(row["to_others"]),
        ]
        for row in found["seeds"]
        if row["with_seeds"]
    ]
    over = tuple(f"≥ {level:.2f}" for level in LEVELS)
    head = ("class", "texts", "mean", "95th percentile", *over, "mean to other base texts")
    return Block("Similarity to their own seeds", f"Scale: {found['scale']}.", head, rows)


def _coverage(found: Mapping[str, Any]) -> Block:
    rows = []
    for row in found["seeds"]:
        if row["with_seeds"]:
            counts = [str(row[k]) for k in ("seedless", "unknown", "foreign", "leaked")]
            means = [number(row[k], 1) for k in ("expected", "per_seed")]
            used = ratio(row["used"], row["base"])
            most = [str(row["most"]), number(row["effective"], 1)]
            rows.append([row["class"], used, *means, *most, *counts])
    note = (
        "Used: base texts of the class that are seeds; expected: if as many had been drawn at "
        "random. Effective: equally used seeds that would weigh as much. Unknown: no table holds "
        "the seed; foreign: it is of another class; leaked: it is a test text."
    )
    head = ("class", "used", "expected", "texts a seed", "most", "effective")
    return Block(
        "Coverage of the seeds", note, (*head, "seedless", "unknown", "foreign", "leaked"), rows
    )


def _variety(found: Mapping[str, Any]) -> Block:
    distinct, openings = ("distinct_1", "distinct_2", "distinct_3"), ("opening_3", "opening_4")
    names = ("repeated", *distinct, *openings, "opening_5")
    rows = []
    for row in found["variety"]:
        cells = [row["class"], str(row["n"]), str(row["n_repeated"]), str(row["most"])]
        share = (True, False, False, False, True, True, True)
        pairs = zip(names, share, strict=True)
        cells += [row["reason"]] if row["reason"] else [pair(row[k], s) for k, s in pairs]
        rows.append(cells + [""] * (4 + len(names) - len(cells)))
    note = (
        "Synthetic (real), of equally many texts: share that another text equals, distinct runs of "
        "1, 2, 3 words, share whose first 3, 4, 5 words another text shares. ↓ or ↑: beyond three "
        "standard errors."
    )
    head = ("class", "texts", "repeats", "most", "repeated", "distinct-1", "-2", "-3")
    return Block("Variety", note, (*head, "opening 3", "4", "5"), rows)


def _openings(found: Mapping[str, Any]) -> Block:
    rows = [
        [row["class"], ", ".join(f"{o['words']} ({percent(o['share'])})" for o in row["openings"])]
        for row in found["variety"]
        if row["openings"]
    ]
    return Block("Most frequent first three words", "", ("class", "words (share)"), rows)


def _shift(found: Mapping[str, Any]) -> Block:
    rows = []
    for row in found["shift"]:
        cells = [row["class"], str(row["n"]), str(row["n_real"])]
        if row["reason"]:
            cells += [row["reason"], "", "", "", "", ""]
        else:
            words = f"{row['words']:.1f} ({row['real_words']:.1f})"
            cells += [words, signed(row["shift_sd"]), signed(row["length_z"], 1)]
            cells += [number(row["sd_ratio"])]
            cells += [pair(row["divergence"]), pair(row["unseen"], share=True)]
        rows.append(cells)
    note = (
        "Synthetic (real). Shift of the mean length in standard deviations of real lengths, and "
        "its z. Divergence of the words' frequencies (Jensen-Shannon distance) and share of unseen "
        "words, against real texts of equal number. ↓ or ↑: beyond three standard errors."
    )
    head = ("class", "texts", "real", "words", "shift (SD)", "z", "SD ratio", "divergence")
    return Block("Length and vocabulary", note, (*head, "unseen words"), rows)


def _words(found: Mapping[str, Any]) -> Block:
    rows = [
        [row["class"], listed(row["more"]), listed(row["less"])]
        for row in found["shift"]
        if row["reason"] is None and (row["more"] or row["less"])
    ]
    note = "Share of the synthetic texts with the word, and in brackets of the real ones."
    return Block("Words used more and less often", note, ("class", "more", "less"), rows)


def _labels(found: Mapping[str, Any]) -> Block:
    rows = []
    for row in found["labels"]:
        cells = [row["class"], str(row["n"]), str(row["n_real"])]
        if row["reason"]:
            rows.append([*cells, row["reason"], "", "", "", ""])
            continue
        instead = "–"
        if row["instead"]:
            shares = f"{percent(row['instead_share'])} ({percent(row['real_instead'])})"
            instead = f"{row['instead']} {shares}"
        agree = [percent(row["agree"]), percent(row["real_agree"]), signed(row["z"], 1)]
        sure = f"{row['confidence']:.2f} ({row['real_confidence']:.2f})"
        rows.append([*cells, *agree, sure, instead])
    note = (
        "Share of texts that a classifier of real texts, which has seen no relative of theirs, "
        "gives their own class. Synthetic (real)."
    )
    head = ("class", "texts", "real", "agrees", "on real texts", "z", "P(own class)")
    return Block("Consistency of the labels", note, (*head, "instead often"), rows)


def _two_sample(found: Mapping[str, Any]) -> Block:
    rows = []
    for row in found["two_sample"]:
        cells = [row["class"], str(row["n"]), str(row["n_real"])]
        if row["reason"]:
            rows.append([*cells, row["reason"], ""])
        else:
            pairs = (("auc", "std_error"), ("null", "null_error"))
            rows.append([*cells, *(plus_minus(row[a], row[b]) for a, b in pairs)])
    note = (
        "AUC of a classifier that tells synthetic from real texts, on texts without relatives in "
        "its training; .5: it cannot."
    )
    head = ("class", "texts", "real", "AUC", "real from real")
    return Block("Can they be told from real texts?", note, head, rows)


def _groups(found: Mapping[str, Any]) -> Block:
    composition = found["composition"]
    rows = [
        [row["class"], row["attribute"], *(str(row[name]) for name in composition["tables"])]
        for row in composition["groups"]
    ]
    head = ("class", "attribute", *composition["tables"])
    return Block("Texts of each class and attribute", "As stated.", head, rows)


def _attributes(found: Mapping[str, Any]) -> Block:
    rows = []
    for row in found["composition"]["seen"]:
        shares = [row[name] for name in ("real", "stated", "expected", "seen")]
        cells = ["–" if share is None else percent(share) for share in shares]
        rows.append([row["class"], row["attribute"], str(row["n"]), *cells, signed(row["z"], 1)])
    note = (
        "Seen: share in which a classifier of real texts sees the attribute; expected: share in "
        "which it would if all texts were as stated."
    )
    head = ("class", "attribute", "texts", "in base", "stated", "expected", "seen", "z")
    return Block("Attribute given the class", note, head, rows)
