"""Results as tables for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group
from rich.table import Table

from opal.bridge.tabular.page import cells


def _table(title: str, head: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for index, name in enumerate(head):
        table.add_column(name, justify="left" if index == 0 else "right", overflow="fold")
    for row in rows:
        table.add_row(*(f"{cell:.4g}" if isinstance(cell, float) else str(cell) for cell in row))
    return table


def sound_table(result: Mapping[str, Any]) -> Group:
    """Balanced error and its difference to weighting, one table for each evaluation."""
    shown: list[Table | str] = []
    for entry in result["evaluations"]:
        head, rows = cells(entry, intervals=False)
        title = f"\n{entry['dataset']}, {entry['task']}, {entry['classifier']}"
        shown.append(_table(title, head, rows))
    for setting, reasons in result["left_out"].items():
        shown += [f"{setting}: {arm} left out: {why}" for arm, why in reasons.items()]
    return Group(*shown, *(f"wrote {path}" for path in result["written"].values()))


def published_table(result: Mapping[str, Any]) -> Table:
    """Mean errors for 0 to 5 chunks, one line for each result file."""
    rows = [[name, *found["mean"]] for name, found in result["files"].items()]
    return _table("mean error by chunks of synthetic rows", ["file", *map(str, range(6))], rows)


def comparison(result: Mapping[str, Any]) -> Group:
    """The largest difference to each published file."""
    rows = [[name, f"{value:.1e}"] for name, value in result["files"].items()]
    table = _table("largest difference to the published file", ["file", "difference"], rows)
    if not rows:
        return Group("nothing is published for these tables.")
    return Group(table, f"{len(rows)} files, largest difference {result['max_abs_difference']:.1e}")


def audit_table(result: Mapping[str, Any]) -> Group:
    """The findings of one audit, or of several."""
    audits = result.get("audits", {"": result})
    shown: list[Table | str] = []
    for name, found in audits.items():
        coding = f" ({found['coding']})" if found.get("coding") else ""
        title = name or ", ".join(found["files"])
        shown.append(f"\n{title}: {found['n_rows']} synthetic rows{coding}")
        shown += [_copies(found), _shares(found), _shift(found), _auc(found), _violations(found)]
        if found["composition"]["conditional"]:
            shown.append(_conditional(found))
    return Group(*shown)


def _share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def _copies(found: Mapping[str, Any]) -> Table:
    rows = [
        [
            role,
            entry["exact"],
            _share(entry["exact_share"]),
            _share(entry["by_chance"]),
            entry["relabelled"],
            entry["near"],
            _share(entry["near_share"]),
        ]
        for role, entry in found["copies"].items()
        if role != "within"
    ]
    head = [
        "copies of",
        "exact",
        "share",
        "by chance",
        "relabelled",
        "near",
        "share (5 % expected)",
    ]
    repeated = found["copies"]["within"]
    title = (
        f"{repeated['repeated']} rows repeat an earlier one ({_share(repeated['repeated_share'])})"
    )
    return _table(title, head, rows)


def _shares(found: Mapping[str, Any]) -> Table:
    composition = found["composition"]
    rows = [
        [
            row["group"],
            row["synthetic"],
            _share(row["share"]),
            _share(row["asked_share"]),
            "–" if row["z"] is None else f"{row['z']:+.1f}",
        ]
        for row in composition["groups"]
    ]
    head = ["group", "rows", "share", "asked for", "z"]
    return _table(f"composition; asked for: {composition['asked']}", head, rows)


def _conditional(found: Mapping[str, Any]) -> Table:
    roles = list(found["composition"]["n_rows"])
    rows = []
    for row in found["composition"]["conditional"]:
        cells = [
            "–"
            if row[role]["share"] is None
            else f"{row[role]['share']:.2f} ({row[role]['count']}/{row[role]['of']})"
            for role in roles
        ]
        rows.append([f"P({row['level']} | {row['given']})", *cells])
    return _table("attribute given label", ["", *roles], rows)


def _shift(found: Mapping[str, Any], head: int = 8) -> Table:
    rows = [
        [
            row["group"],
            row["feature"],
            "no unit" if row["shift_sd"] is None else f"{row['shift_sd']:+.2f}",
            "–" if row["sd_ratio"] is None else f"{row['sd_ratio']:.2f}",
            "–" if row["z"] is None else f"{row['z']:+.1f}",
        ]
        for row in found["shift"][:head]
    ]
    title = f"largest {len(rows)} of {len(found['shift'])} feature shifts"
    return _table(title, ["group", "feature", "shift (SD)", "SD ratio", "z"], rows)


def _auc(found: Mapping[str, Any]) -> Table:
    rows = [
        [
            row["group"],
            row["n_synthetic"],
            row["n_real"],
            row["reason"] if row["auc"] is None else f"{row['auc']:.2f} ± {row['std_error']:.2f}",
        ]
        for row in found["two_sample"]
    ]
    head = ["group", "synthetic", "real", "AUC"]
    return _table("can a forest tell synthetic from real? (0.5: no)", head, rows)


def _violations(found: Mapping[str, Any]) -> Table:
    rows = [
        [row["feature"], f"{row['real_min']:g} to {row['real_max']:g}"]
        + [row[kind] for kind in ("below", "above", "not_whole", "unseen")]
        for row in found["violations"]["features"]
    ]
    labels = found["violations"]["labels"]
    rows += [[f"label {label}", "unknown", "", "", "", count] for label, count in labels.items()]
    title = f"{found['violations']['rows']} rows have impossible values"
    return _table(title, ["column", "real range", "below", "above", "not whole", "unseen"], rows)


def parse_table(result: Mapping[str, Any]) -> Group:
    """Counts, then each rejected line with its reason."""
    rows = [[row["line"], row["reason"], row["text"][:60]] for row in result["rejected"]]
    counts = (
        f"{result['n_rows']} rows and {result['n_rejected']} rejected lines in "
        f"{result['n_lines']} lines ({result['n_blank']} blank)"
    )
    shown: list[Table | str] = [counts]
    if rows:
        shown.append(_table("rejected", ["line", "reason", "text"], rows))
    if result["out"]:
        shown.append(f"wrote {result['out']}")
    return Group(*shown)
