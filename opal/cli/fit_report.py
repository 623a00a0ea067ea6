"""What ``opal fit`` says to people, as blocks of a report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from opal.bridge.render import Block, Paragraph, Table


def blocks(report: Mapping[str, Any], title: str = "") -> Iterator[Block]:
    """Parameters, predictions, best sizes and warnings.

    Args:
        report: the fields of a fit.
        title: what comes before the name of the law.
    """
    named, y = columns(report)
    x = [named[name] for name in report["predictions"][0]["x"]]
    title += f"{report['law']}: {report['equation']}, {report['n_rows']} rows"
    interval = f"{100 * report['level']:.4g}% interval"
    params = [(name, *_cells(found)) for name, found in report["params"].items()]
    yield Table(["parameter", "estimate", f"{interval} from", "to"], params, title)
    points = [
        (*point["x"].values(), *_cells(point), *(point["new_run"] or ()))
        for point in report["predictions"]
    ]
    head = [*x, y, f"{interval} from", "to"]
    known = report["predictions"][0]["new_run"] is not None
    head += ["one new run from", "to"] if known else []
    yield Table(head, points, "predictions")
    yield Paragraph(f"noise of one new run: {report['run_noise']}.")
    if "compute_optimal" in report:
        yield from _optimum(report["compute_optimal"], x, y)
    yield from warnings(report)


def columns(report: Mapping[str, Any]) -> tuple[Mapping[str, str], str]:
    """Column of each variable of the law, and of the values; as in the law if it is not said."""
    said = report.get("columns") or {"x": {name: name for name in report["predictions"][0]["x"]}}
    return said["x"], said.get("y", "value")


def warnings(found: Mapping[str, Any]) -> Iterator[Block]:
    """A paragraph for each warning."""
    yield from (Paragraph(f"warning: {warning}", "bad") for warning in found["warnings"])


def _optimum(found: Mapping[str, Any], x: Sequence[str], y: str) -> Iterator[Block]:
    rows = [
        (each["compute"], *_cells(each["x1"]), *_cells(each["x2"]), *_cells(each["value"]))
        for each in found["optima"]
    ]
    names = [column for name in (*x, y) for column in (name, "from", "to")]
    title = f"best sizes, compute = {found['factor']:g} x {' x '.join(x)}"
    yield Table(["compute", *names], rows, title)
    for size, name in zip(("x1", "x2"), x, strict=True):
        best, low, high = _cells(found["exponents"][size])
        yield Paragraph(f"best {name} grows as compute^{best:.3f} [{low:.3f}, {high:.3f}]")
    yield from warnings(found)


def _cells(found: Mapping[str, Any]) -> tuple[float, float, float]:
    return (found["estimate"], *found["ci"])
