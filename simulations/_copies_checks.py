"""Tables of the study of copies, and what it states about itself."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from opal.checks import Check, at_least, at_most, within_standard_errors, z_threshold

TRANSFORMER, BAYES, COUNTS, TRUTH = "transformer", "Bayes", "add-½ counts", "truth"
STREAM, INDEPENDENT = "stream", "independent rows"
FEW = 0.02  # difference from Bayes or the truth that is called small, a probability


def table(records: pd.DataFrame, names: dict[str, str], on: list[str]) -> pd.DataFrame:
    """Metrics under other names, with standard errors."""
    rows = records[records["metric"].isin(names)]
    pivot = rows.pivot(index=on, columns="metric", values=["value", "std_error"])
    columns = {}
    for metric, name in names.items():
        columns[name] = pivot["value", metric]
        columns[f"std_error_{name}"] = pivot["std_error", metric]
    return pivot.iloc[:, :0].droplevel(0, axis=1).assign(**columns).reset_index()


def _z(records: pd.DataFrame, arm: str, metric: str) -> pd.DataFrame:
    rows = records[(records["arm"] == arm) & (records["metric"] == metric)]
    return rows.assign(z=rows["value"] / rows["std_error"])


def of_copies(records: pd.DataFrame) -> Iterator[Check]:
    """Bayes and truth copy equally often, the transformer nearly; counts do not."""
    plain = records[records["temperature"] == 1]
    yield within_standard_errors(
        "seeds are those of the truth", list(_z(plain, TRUTH, "copy minus expected")["z"])
    )
    yield within_standard_errors(
        "Bayes copies as often as the truth",
        [
            z
            for metric in ("copy minus truth", "copy_once minus truth")
            for z in _z(plain, BAYES, metric)["z"]
        ],
    )
    counts = _z(plain, COUNTS, "copy minus truth")["z"].abs()
    yield at_least(
        "counts do not",
        float(counts.max()),
        z_threshold(len(counts)),
        f"largest |z| of add-½ counts at {len(counts)} n, which must fail",
    )
    own = _z(plain, TRANSFORMER, "copy minus Bayes")
    worst = own.loc[own["value"].abs().idxmax()]
    yield at_most(
        "the transformer copies as often as Bayes",
        float(abs(worst["value"])),
        FEW,
        f"largest difference at temperature 1: {worst['value']:.4f} ± {worst['std_error']:.4f} at "
        f"n = {worst['n_real']}",
    )
    apart = _z(records, TRANSFORMER, "copy minus plain")
    z = apart["z"] * (1 - 2 * (apart["temperature"] > 1))
    yield at_least(
        "cold rows copy more and hot ones less",
        float(z.min()),
        z_threshold(len(z)),
        f"least paired z of {len(z)} temperatures and n against temperature 1",
    )


def of_streams(records: pd.DataFrame) -> Iterator[Check]:
    """Streams are as diverse as the truth, independent rows more."""
    plain = records[records["temperature"] == 1]
    alone = _z(plain, INDEPENDENT, "equal minus truth")["z"]
    yield at_least(
        "independent rows are equal less often than true ones",
        float(-alone.max()),
        z_threshold(len(alone)),
        f"least z at temperature 1, {len(alone)} n (docs/theory.md, 13.43)",
    )
    own = _z(plain, STREAM, "equal minus truth")
    yield at_most(
        "rows of a stream are equal as often as true ones",
        float(own["value"].abs().max()),
        FEW,
        f"largest difference at temperature 1, standard error at most "
        f"{own['std_error'].max():.4f}; largest |z| {own['z'].abs().max():.1f}",
    )


def of_draws(records: pd.DataFrame) -> Iterator[Check]:
    """Rows drawn have the exact laws, and not those of a wrong theory."""
    rows = [_z(records, STREAM, f"{name} minus exact") for name in ("copied", "twice")]
    yield within_standard_errors("rows drawn have the exact law", [z for r in rows for z in r["z"]])
    wrong = _z(records[records["temperature"] != 1], STREAM, "copied minus plain")["z"].abs()
    yield at_least(
        "the temperature is not ignored",
        float(wrong.min()),
        z_threshold(len(wrong)),
        f"least |z| of copies at {len(wrong)} temperatures and n against the law at temperature 1, "
        "which must fail",
    )
    wrong = _z(records, STREAM, "equal minus independent")["z"].abs()
    yield at_least(
        "rows of a stream are not independent",
        float(wrong.max()),
        z_threshold(len(wrong)),
        f"largest |z| of equal rows against independent ones given the seeds, {len(wrong)} "
        "temperatures and n, which must fail",
    )
