"""``opal fit TABLE``: a scaling law fitted to any table with named columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from opal.cli import output
from opal.cli.parsing import parse

if TYPE_CHECKING:
    import pandas as pd

    from opal.scaling.fit import Fit as Fitted
    from opal.scaling.scaling_law import ScalingLaw


@dataclass(frozen=True)
class Fit:
    """Fit a scaling law: parameters, predictions, their intervals, and warnings.

    Laws: power E + A n^-a (--x n); additive E + A x1^-a + B x2^-b (--x x1 x2); mixture, the risk of
    n real and N synthetic samples of weight alpha (--x n N alpha); generator, the same with a
    generator that was fitted to n_gen real rows, n_shared of them among the n (--x n N n_gen
    n_shared alpha). docs/fit.md says more.

    Example:
        opal fit runs.csv --law power --x n --y error --seed seed --at 100000
    """

    table: Annotated[Path, tyro.conf.Positional]
    """CSV or Parquet file; records of `opal run` are Parquet."""
    x: tuple[str, ...]
    """Columns of the law's variables, in the order that the law names them."""
    y: str = "value"
    """Column of the values."""
    law: str = "power"
    """Name of the law: power, additive, mixture or generator."""
    std_error: str | None = None
    """Column of the standard errors of the values."""
    seed: str | None = None
    """Column that says which rows share a seed."""
    group_by: str | None = None
    """Column whose every value is fitted on its own."""
    metric: str | None = None
    """Keep the rows of this metric (the column `metric` of records)."""
    where: tuple[str, ...] = ()
    """Keep the rows that meet these conditions, each COLUMN=VALUE."""
    loss: Literal["least-squares", "huber-log"] = "least-squares"
    """Least squares, or Huber's loss on log residuals as in Hoffmann et al. 2022."""
    link: Literal["identity", "log", "logit"] = "identity"
    """Scale of the metric on which the law holds."""
    at: tuple[float, ...] = ()
    """Where to predict: one number for each column of --x, as many times as you like; 10 times the
    largest size if not given."""
    intervals: Literal["profile", "bootstrap"] = "profile"
    """Profile likelihood, or a bootstrap over seeds (too narrow with fewer than 20 seeds)."""
    level: float = 0.95
    """Confidence of the intervals."""
    n_bootstrap: int = 400
    """Bootstrap draws."""
    save: Path | None = None
    """JSON file for the fit, rows included, to be read by opal.scaling.fit.Fit.load."""
    json: bool = False
    """Print JSON."""


def main(args: Sequence[str]) -> int:
    """Fit, and say what was found."""
    options = parse(Fit, args, prog="opal fit")
    from opal.files import require_distinct
    from opal.scaling import laws

    law = laws.get(options.law)
    if len(options.x) != len(law.variables):
        named = " ".join(options.x) or "none"
        raise ValueError(
            f"law {law.name!r} reads {len(law.variables)} column(s), in the order "
            f"{' '.join(law.variables)}; --x named {len(options.x)}: {named}. Name one for each."
        )
    require_distinct(("the table that is read", options.table), ("--save", options.save))
    if options.save is not None and options.group_by is not None:
        raise ValueError("--save keeps one fit; with --group-by there are several. Leave one out.")
    at = _points(options, law)
    reports = [
        {**name, **_fit(options, law, rows, name).to_dict(at)} for name, rows in _groups(options)
    ]
    if options.json:
        grouped = options.group_by is not None
        output.print_json({"fits": reports} if grouped else reports[0])
        return 0
    for report in reports:
        _say(report, options)
    return 0


def _groups(options: Fit) -> list[tuple[dict[str, Any], pd.DataFrame]]:
    """The rows of each fit, and what they are called."""
    from opal.reading import read_table
    from opal.scaling import table

    frame = read_table(options.table)
    conditions = [*options.where]
    if options.metric is not None:
        conditions.append(f"metric={options.metric}")
    frame = table.where(frame, conditions)
    if options.group_by is None:
        return [({}, frame)]
    table.check_columns(frame, [options.group_by])
    empty = int(frame[options.group_by].isna().sum())
    if empty:
        raise ValueError(
            f"every row needs a group; {empty} of {len(frame)} rows have an empty "
            f"{options.group_by!r}. Fill or drop them."
        )
    parts = frame.groupby(options.group_by, sort=True)
    return [({"group": _plain(name)}, rows.reset_index(drop=True)) for name, rows in parts]


def _fit(options: Fit, law: ScalingLaw, frame: pd.DataFrame, name: dict[str, Any]) -> Fitted:
    from opal.scaling.fit import fit

    try:
        fitted = fit(
            law,
            frame,
            x=dict(zip(law.variables, options.x, strict=True)),
            y=options.y,
            std_error=options.std_error,
            seed=options.seed,
            loss=options.loss,
            link=options.link,
            level=options.level,
            intervals=options.intervals,
            n_bootstrap=options.n_bootstrap,
        )
    except ValueError as error:
        if not name:
            raise
        raise ValueError(f"{options.group_by} = {name['group']}: {error}") from error
    if options.save is not None:
        fitted.save(options.save)
    return fitted


def _points(options: Fit, law: ScalingLaw) -> dict[str, Any] | None:
    """The points of ``--at``; None if there are none."""
    if not options.at:
        return None
    width = len(law.variables)
    if len(options.at) % width:
        raise ValueError(
            f"--at takes {width} numbers for each point ({' '.join(options.x)}); got "
            f"{len(options.at)}. Write {width} for each."
        )
    return {name: list(options.at[i::width]) for i, name in enumerate(law.variables)}


def _say(report: dict[str, Any], options: Fit) -> None:
    title = f"{report['law']}: {report['equation']}, {report['n_rows']} rows"
    if "group" in report:
        title = f"{options.group_by} = {report['group']}: {title}"
    interval = f"{100 * report['level']:.4g}% interval"
    params = [(name, *_cells(found)) for name, found in report["params"].items()]
    output.print_table(title, ["parameter", "estimate", f"{interval} from", "to"], params)
    points = [(*point["x"].values(), *_cells(point)) for point in report["predictions"]]
    output.print_table("predictions", [*options.x, options.y, f"{interval} from", "to"], points)
    output.print_lines(*(f"warning: {warning}" for warning in report["warnings"]))


def _cells(found: dict[str, Any]) -> tuple[float, float, float]:
    return (found["estimate"], *found["ci"])


def _plain(value: object) -> object:
    """A JSON-able number or string."""
    return value.item() if hasattr(value, "item") else value
