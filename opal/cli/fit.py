"""``opal fit TABLE``: a scaling law fitted to any table with named columns."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from opal.cli import fit_report, law_comparison, output
from opal.cli.parsing import parse
from opal.cli.pictures import picture_paths, save

if TYPE_CHECKING:
    import pandas as pd

    from opal.scaling.fit import Fit as Fitted
    from opal.scaling.scaling_law import ScalingLaw


@dataclass(frozen=True)
class Fit:
    """Fit a scaling law: parameters, predictions, their intervals, a picture, and warnings.

    Laws of one size (--x n): power E + A n^-a; power-no-floor A n^-a; shifted E + A (n + n0)^-a;
    exponential E + A exp(-n/k); broken, a power whose exponent goes from a to a + c around n = d.
    Of two: additive E + A x1^-a + B x2^-b (--x x1 x2); repeated, the same for parameters and
    tokens of which some are seen again (--x params unique tokens). Mixture: the risk of n real and
    N synthetic samples of weight alpha (--x n N alpha); generator, the same with a generator that
    was fitted to n_gen real rows, n_shared of them among the n (--x n N n_gen n_shared alpha).
    docs/fit.md says more.

    Example:
        opal fit runs.csv --law power --x n --y error --seed seed --at 100000 --plot fit.png
        opal fit runs.csv --compare --x n --y error --seed seed
    """

    table: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="TABLE")]
    """CSV or Parquet file; records of `opal run` are Parquet."""
    x: tuple[str, ...]
    """Columns of the law's variables, in the order that the law names them."""
    y: str = "value"
    """Column of the values."""
    law: str = "power"
    """Name of the law."""
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
    plot: Path | None = None
    """Picture of the fit (.png, .pdf or .svg); with --group-by one for each, named after it."""
    compare: tuple[str, ...] | None = None
    """In place of one fit, fit these laws without the largest sizes and ask which foresees these;
    without a name, all laws of as many columns."""
    held_out: int | None = None
    """How many of the largest sizes --compare holds out; 2 if not given."""
    held_out_by: str | None = None
    """Column of the size that --compare holds out; the first of --x if not given."""
    compute: tuple[float, ...] = ()
    """Budgets for which the best two sizes are sought (law additive): compute = factor x1 x2."""
    compute_factor: float = 6.0
    """Operations for each x1 and x2: 6 for parameters and tokens."""
    save: Path | None = None
    """JSON file for the fit, rows included, to be read by opal.scaling.fit.Fit.load."""
    json: bool = False
    """Print JSON."""


def main(args: Sequence[str]) -> int:
    """Fit, and say what was found."""
    options = parse(Fit, args, prog="opal fit")
    law, names = _law(options), _candidates(options)
    at = None if law is None else _points(options, law)
    parts = _groups(options)
    pictures = picture_paths(
        options.plot,
        [name.get("group") for name, _rows in parts],
        read=[("the table that is read", options.table)],
        written=[("--save", options.save)],
    )
    reports = []
    for (name, rows), picture in zip(parts, pictures, strict=True):
        with _of_group(options, name):
            if law is None:
                found = _compared(options, names, rows, picture)
            else:
                found = _fitted(options, law, rows, at, picture)
        reports.append({**name, **found})
    _tell(options, reports)
    return 0


def _law(options: Fit) -> ScalingLaw | None:
    """The law that is fitted; None where laws are compared."""
    from opal.scaling import laws

    if options.save is not None and options.group_by is not None:
        raise ValueError("--save keeps one fit; with --group-by there are several. Leave one out.")
    if options.compare is not None:
        return None
    law = laws.get(options.law)
    if len(options.x) != len(law.variables):
        named = " ".join(options.x) or "none"
        raise ValueError(
            f"law {law.name!r} reads {len(law.variables)} column(s), in the order "
            f"{' '.join(law.variables)}; --x named {len(options.x)}: {named}. Name one for each."
        )
    return law


def _tell(options: Fit, reports: Sequence[dict[str, Any]]) -> None:
    """JSON for programs, tables for people."""
    comparing = options.compare is not None
    if options.json:
        key = "comparisons" if comparing else "fits"
        output.print_json(reports[0] if options.group_by is None else {key: reports})
        return
    for report in reports:
        title = f"{options.group_by} = {report['group']}: " if "group" in report else ""
        if comparing:
            output.print_blocks(law_comparison.blocks(report, title))
        else:
            output.print_blocks(fit_report.blocks(report, title))


def _candidates(options: Fit) -> list[str]:
    """The laws of ``--compare``; none without it."""
    if options.compare is None:
        for flag, of_several in (
            ("--held-out", options.held_out),
            ("--held-out-by", options.held_out_by),
        ):
            if of_several is not None:
                raise ValueError(f"{flag} is of --compare, which is not asked for: add it.")
        return []
    alone = (("--at", options.at), ("--compute", options.compute), ("--save", options.save))
    for flag, value in alone:
        if value:
            raise ValueError(f"--compare fits several laws, and {flag} asks of one: leave one out.")
    return law_comparison.candidates(options.compare, options.x)


@contextlib.contextmanager
def _of_group(options: Fit, name: dict[str, Any]) -> Iterator[None]:
    """Errors say of which group they are."""
    try:
        yield
    except ValueError as error:
        if not name:
            raise
        raise ValueError(f"{options.group_by} = {name['group']}: {error}") from error


def _settings(options: Fit) -> dict[str, Any]:
    names = ("std_error", "seed", "loss", "link", "level", "intervals", "n_bootstrap")
    return {name: getattr(options, name) for name in names}


def _compared(
    options: Fit, names: Sequence[str], frame: pd.DataFrame, picture: Path | None
) -> dict[str, Any]:
    return law_comparison.report(
        frame,
        names,
        options.x,
        y=options.y,
        by=options.held_out_by or options.x[0],
        n_held_out=2 if options.held_out is None else options.held_out,
        picture=picture,
        settings=_settings(options),
    )


def _fitted(
    options: Fit,
    law: ScalingLaw,
    frame: pd.DataFrame,
    at: dict[str, Any] | None,
    picture: Path | None,
) -> dict[str, Any]:
    """The fit as JSON-able fields; saved and drawn where asked."""
    from opal.scaling.fit import fit

    x = dict(zip(law.variables, options.x, strict=True))
    fitted = fit(law, frame, x=x, y=options.y, **_settings(options))
    found = {**fitted.to_dict(at), **_optimum(fitted, options)}
    if options.save is not None:
        fitted.save(options.save)
    if picture is not None:
        save(fitted.plot(at=at), picture)
    return found


def _optimum(fitted: Fitted, options: Fit) -> dict[str, Any]:
    """The best sizes for the budgets, if any are given."""
    from opal.scaling.compute_optimal import compute_optimal

    if not options.compute:
        return {}
    found = compute_optimal(fitted, options.compute, factor=options.compute_factor)
    return {"compute_optimal": found.to_dict()}


def _groups(options: Fit) -> list[tuple[dict[str, Any], pd.DataFrame]]:
    """The rows of each fit, and what they are called."""
    from opal.reading import read_table
    from opal.scaling import table

    frame = table.where(read_table(options.table), options.where, metric=options.metric)
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
    return [({"group": _plain(name)}, rows) for name, rows in parts]


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


def _plain(value: object) -> object:
    """A JSON-able number or string."""
    return value.item() if hasattr(value, "item") else value
