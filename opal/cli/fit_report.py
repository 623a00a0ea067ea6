"""What ``opal fit`` says to people: tables, and sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from opal.cli import output


def say(report: dict[str, Any], title: str, x: Sequence[str], y: str) -> None:
    """Print parameters, predictions, best sizes and warnings.

    Args:
        report: the fields of a fit.
        title: what comes before the name of the law.
        x: what the law's variables are called.
        y: what the values are called.
    """
    title += f"{report['law']}: {report['equation']}, {report['n_rows']} rows"
    interval = f"{100 * report['level']:.4g}% interval"
    params = [(name, *_cells(found)) for name, found in report["params"].items()]
    output.print_table(title, ["parameter", "estimate", f"{interval} from", "to"], params)
    points = [
        (*point["x"].values(), *_cells(point), *(point["new_run"] or ()))
        for point in report["predictions"]
    ]
    columns = [*x, y, f"{interval} from", "to"]
    known = report["predictions"][0]["new_run"] is not None
    columns += ["one new run from", "to"] if known else []
    output.print_table("predictions", columns, points)
    output.print_lines(f"noise of one new run: {report['run_noise']}.")
    if "compute_optimal" in report:
        _say_optimum(report["compute_optimal"], x, y)
    output.print_lines(*(f"warning: {warning}" for warning in report["warnings"]))


def _say_optimum(found: dict[str, Any], x: Sequence[str], y: str) -> None:
    rows = [
        (each["compute"], *_cells(each["x1"]), *_cells(each["x2"]), *_cells(each["value"]))
        for each in found["optima"]
    ]
    names = [column for name in (*x, y) for column in (name, "from", "to")]
    title = f"best sizes, compute = {found['factor']:g} x {' x '.join(x)}"
    output.print_table(title, ["compute", *names], rows)
    for size, name in zip(("x1", "x2"), x, strict=True):
        best, low, high = _cells(found["exponents"][size])
        output.print_lines(f"best {name} grows as compute^{best:.3f} [{low:.3f}, {high:.3f}]")
    output.print_lines(*(f"warning: {warning}" for warning in found["warnings"]))


def _cells(found: dict[str, Any]) -> tuple[float, float, float]:
    return (found["estimate"], *found["ci"])
