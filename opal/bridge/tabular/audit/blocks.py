"""What an audit of rows found, as blocks of a report."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from opal.bridge.render import Block, Cell, Heading, Paragraph, Table


def audit(result: Mapping[str, Any]) -> Iterator[Block]:
    """The findings of one audit, or of several, and the tables behind them."""
    for name, found in result.get("audits", {"": result}).items():
        coding = f" ({found['coding']})" if found.get("coding") else ""
        yield Heading(
            f"{name or ', '.join(found['files'])}: {found['n_rows']} synthetic rows{coding}"
        )
        tables = audit_tables(found)
        findings = tables.pop("findings")
        yield findings if findings.rows else Paragraph("Nothing found.", "good")
        yield Paragraph(_note(found), "note")
        yield from (table for table in tables.values() if table.rows)


def audit_tables(found: Mapping[str, Any]) -> dict[str, Table]:
    """The tables of one audit by name, see :meth:`TableAudit.table`."""
    tables = {
        "findings": _findings(found["verdicts"]["findings"]),
        "copies": _copies(found["copies"]),
        "labels": _labels(found),
        "relations": _relations(found["relations"]),
        "composition": _composition(found["composition"]),
        "shift": _shift(found["shift"]),
        "two_sample": _two_sample(found["two_sample"]),
        "unseen": _unseen(found["unseen"]),
    }
    if found["composition"]["conditional"]:
        tables["conditional"] = _conditional(found["composition"])
    return tables


def _note(found: Mapping[str, Any]) -> str:
    left_out = ""
    if found["keys"]:
        left_out = f" Left out, since they number the real rows: {', '.join(found['keys'])}."
    if found["apart"]:
        left_out += (
            " Copies are looked for without those in which all real rows differ: "
            f"{', '.join(found['apart'])}."
        )
    return (
        f"Of {found['verdicts']['n_tests']} comparisons with what is normal among real rows. A "
        "finding is large enough to matter, and the chance of any false one is below 1 %. Which "
        "real rows a synthetic one was made from is not known: rows count as independent, so that "
        "those made from a few real ones look surer than they are, and a classifier may have met "
        f"what a row was made from, which makes its label look right.{left_out}"
    )


def _findings(found: Sequence[Mapping[str, Any]]) -> Table:
    rows: list[list[Cell]] = [[row["kind"], row["class"], row["said"]] for row in found]
    return Table(("kind", "rows", "finding"), rows, "findings, worst first")


def _labels(found: Mapping[str, Any]) -> Table:
    rows: list[list[Cell]] = []
    for row in found["labels"]:
        cells: list[Cell] = [row["class"], row["n"], row["n_real"]]
        if row["reason"] is None:
            share = f"{row['wrong']:+.2f} ± {row['std_error']:.2f}"
            least = "–" if row["detectable"] is None else f"{row['detectable']:.2f}"
            cells += [share, _signed(row["z"], 1), least, f"{row['auc']:.2f}"]
        rows.append(cells if row["reason"] is None else [*cells, row["reason"], None, None, None])
    note = (
        "Share of rows that read like other classes instead of their own, by a classifier of real "
        "rows; below 0: more typical than real rows. Would be found: the share of wrong labels "
        "that is a finding with probability .8. The z divides by the larger of two errors, of "
        "the share and of none wrong. AUC: how well it tells real rows of the class."
    )
    head = ("class", "rows", "real", "wrong labels", "z", "would be found", "AUC")
    return Table(head, rows, "wrong labels", note)


def _relations(found: Mapping[str, Any]) -> Table:
    rows: list[list[Cell]] = [
        [row["relation"], f"{row['broken']} / {row['n']}"] for row in found["found"]
    ]
    title = f"relations that hold in each of {found['n_real']} real rows"
    return Table(("relation", "broken by synthetic rows"), rows, title)


def _share(value: float | None) -> str | None:
    return None if value is None else f"{100 * value:.1f} %"


def _copies(found: Mapping[str, Any]) -> Table:
    rows = []
    for role, entry in found.items():
        if role != "within":
            exact = [entry["exact"], _share(entry["exact_share"]), _share(entry["by_chance"])]
            near = [entry["relabelled"], entry["near"], _share(entry["near_share"])]
            rows.append([role, *exact, *near])
    repeated, share = found["within"]["repeated"], _share(found["within"]["repeated_share"])
    head = ("copies of", "exact", "share", "by chance", "relabelled", "near")
    title = f"{repeated} rows repeat an earlier one ({share})"
    return Table((*head, "share (5 % expected)"), rows, title)


def _composition(found: Mapping[str, Any]) -> Table:
    rows = []
    for row in found["groups"]:
        shares = (_share(row["share"]), _share(row["asked_share"]))
        rows.append([row["group"], row["synthetic"], *shares, _signed(row["z"], 1)])
    head = ("group", "rows", "share", "asked for", "z")
    asked = found["asked"] or "not known; --prompt-rows says it"
    return Table(head, rows, f"composition; asked for: {asked}")


def _conditional(found: Mapping[str, Any]) -> Table:
    roles = list(found["n_rows"])
    rows: list[list[Cell]] = []
    for row in found["conditional"]:
        shares = [
            None if each["share"] is None else f"{each['share']:.2f} ({each['count']}/{each['of']})"
            for each in (row[role] for role in roles)
        ]
        rows.append([f"P({row['level']} | {row['given']})", *shares])
    return Table(("", *roles), rows, "attribute given label")


def _shift(found: Sequence[Mapping[str, Any]], most: int = 8) -> Table:
    rows = [
        [
            row["group"],
            row["feature"],
            "no unit" if row["shift_sd"] is None else _signed(row["shift_sd"], 2),
            None if row["sd_ratio"] is None else f"{row['sd_ratio']:.2f}",
            _signed(row["z"], 1),
        ]
        for row in found[:most]
    ]
    title = f"largest {len(rows)} of {len(found)} feature shifts"
    return Table(("group", "feature", "shift (SD)", "SD ratio", "z"), rows, title)


def _signed(value: float | None, digits: int) -> str | None:
    return None if value is None else f"{value:+.{digits}f}"


def _two_sample(found: Iterable[Mapping[str, Any]]) -> Table:
    rows = []
    for row in found:
        auc = row["reason"] or f"{row['auc']:.2f} ± {row['std_error']:.2f}"
        rows.append([row["group"], row["n_synthetic"], row["n_real"], auc])
    title = "can a forest tell synthetic from real? (0.5: no)"
    return Table(("group", "synthetic", "real", "AUC"), rows, title)


def _unseen(found: Mapping[str, Any]) -> Table:
    kinds = ("below", "above", "not_whole", "unseen")
    rows: list[list[Cell]] = [
        [row["feature"], f"{row['real_min']:g} to {row['real_max']:g}", *(row[k] for k in kinds)]
        for row in found["features"]
    ]
    labels = found["labels"].items()
    rows += [[f"label {label}", "unknown", None, None, None, count] for label, count in labels]
    head = ("column", "real range", "below", "above", "not whole", "unseen")
    natural = _share(found["natural"] / found["n_real"])
    title = f"{found['rows']} rows ({_share(found['share'])}) have values unseen in the "
    title += f"{found['n_real']} real rows; of these {natural} have one that no other has"
    return Table(head, rows, title)
