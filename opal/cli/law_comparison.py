"""``opal fit --compare``: which law foresees the largest sizes of a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opal.bridge.render import Block, Paragraph, Table
from opal.cli.pictures import save

if TYPE_CHECKING:
    import pandas as pd

_COLUMNS = ("law", "n_params", "error", "relative_error", "within", "gap", "gap_noise")


def candidates(named: Sequence[str], columns: Sequence[str]) -> list[str]:
    """The laws to compare: those that are named, or all that read as many columns.

    Raises:
        ValueError: a law is not known, reads another number of columns, or none is left.
    """
    from opal.scaling import laws

    width = len(columns)
    wrong = [name for name in named if len(laws.get(name).variables) != width]
    if wrong:
        law = laws.get(wrong[0])
        raise ValueError(
            f"--compare holds laws of the same columns against one another; {law.name!r} reads "
            f"{len(law.variables)} ({' '.join(law.variables)}) and --x names {width}. Leave it out."
        )
    found = list(named) or [law.name for law in laws.LAWS.values() if len(law.variables) == width]
    if not found:
        raise ValueError(f"no law reads {width} columns. Name the columns of one law with --x.")
    return found


def report(
    frame: pd.DataFrame,
    names: Sequence[str],
    columns: Sequence[str],
    *,
    y: str,
    by: str,
    n_held_out: int,
    picture: Path | None,
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    """The comparison as JSON-able fields, and a picture of the best law with what it foresaw."""
    import numpy as np

    from opal.scaling import laws
    from opal.scaling.compare import compare_laws, held_out, verdict
    from opal.scaling.fit import fit

    x = {name: dict(zip(laws.get(name).variables, columns, strict=True)) for name in names}
    compared = compare_laws(names, frame, x=x, y=y, by=by, n_held_out=n_held_out, **settings)
    held = held_out(frame, by, n_held_out)
    best = str(compared["law"].iloc[0])
    if picture is not None:
        kept = frame[~held].reset_index(drop=True)
        fitted = fit(best, kept, x=x[best], y=y, **settings)
        save(fitted.plot(held_out=frame[held]), picture)
    rows = compared.astype(object).where(compared.notna(), None).to_dict("records")
    return {
        "compared": rows,
        "best": best,
        "verdict": verdict(compared),
        "held_out": {"column": by, "values": np.unique(frame.loc[held, by]).tolist()},
        "n_rows": len(frame),
    }


def blocks(found: Mapping[str, Any], title: str = "") -> Iterator[Block]:
    """The comparison for people; ``title`` comes before what it is of."""
    values = ", ".join(f"{value:g}" for value in found["held_out"]["values"])
    yield Table(
        ["law", "parameters", "error", "relative error", "within", "gap", "noise of the gap"],
        [[row[name] for name in _COLUMNS] for row in found["compared"] if row["reason"] is None],
        f"{title}{found['n_rows']} rows, held out: {found['held_out']['column']} = {values}",
    )
    yield Paragraph(found["verdict"])
    for row in found["compared"]:
        if row["reason"] is not None:
            yield Paragraph(f"{row['law']} could not be fitted: {row['reason']}")
        yield from (Paragraph(f"warning: {row['law']}: {each}", "bad") for each in row["warnings"])
