"""``opal infer``: a regression on labels of a classifier, corrected by human ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from opal.cli import output
from opal.cli.parsing import parse

_SHOWN = 5
TRAINED_ON = "trained_on"
"""The column by which `opal text label` tells which texts a rule has seen."""

if TYPE_CHECKING:
    import pandas as pd

    from opal.bridge.downstream import Regression
    from opal.bridge.render import Block


@dataclass(frozen=True)
class Infer:
    """Coefficients of a regression on a classifier's labels, and intervals that cover.

    TABLE has one row for each text that the classifier was not trained on (--trained-on leaves out
    others): its label in every row, a human label in some, drawn at random. The label is the
    outcome, or with --outcome one of the covariates. docs/infer.md says more.

    Example:
        opal infer corpus.csv --human label --predicted said --covariates age female --positive yes
    """

    table: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="TABLE")]
    """CSV or Parquet file."""
    human: str
    """Column of the human labels, empty where there is none."""
    predicted: str
    """Column of the classifier's labels, or of its probabilities of the positive label."""
    covariates: tuple[str, ...] = ()
    """Numeric columns that are regressed on; a category is a column of 0 and 1 for each of its
    values but one."""
    outcome: str | None = None
    """Column of the outcome; without it, the label is the outcome."""
    model: Literal["logistic", "linear"] = "logistic"
    """The regression: logistic of an outcome that is 0 or 1, linear of any."""
    positive: str | None = None
    """The label that counts as 1; labels that are 0 and 1 need none."""
    probability: str | None = None
    """Column of the probability that people label a row, where it differs between rows."""
    trained_on: str | None = None
    """Column that is 1 where the classifier was trained on the row, and 0 elsewhere, as `opal text
    label` writes it; the former are left out."""
    level: float = 0.95
    """Confidence of the intervals."""
    json: bool = False
    """Print JSON."""


def main(args: Sequence[str]) -> int:
    """Print coefficients by human labels, by the classifier's, and by both."""
    from opal import progress
    from opal.bridge.downstream import agreement, infer, regression_of
    from opal.bridge.render import Paragraph
    from opal.reading import read_table

    command = parse(Infer, args, prog="opal infer")
    table = read_table(command.table)
    task = regression_of(
        table,
        human=command.human,
        predicted=command.predicted,
        covariates=command.covariates,
        outcome=command.outcome,
        model=command.model,
        positive=command.positive,
        probability=command.probability,
        trained_on=command.trained_on,
    )
    with progress.bar("solving equations", quiet=command.json) as shown:
        found = infer(task, level=command.level, progress=shown.update)
    agreed = agreement(task)
    notes = _labels(command, table)
    if command.json:
        coefficients, said = (t.to_dict("records") for t in (found, agreed))
        counts = {"rows": len(task.human), "human": int(task.labelled.sum())}
        counts |= {"trained_on": len(table) - len(task.human)}
        output.print_json(
            {**counts, "coefficients": coefficients, "agreement": said, "notes": notes}
        )
    else:
        blocks = _blocks(task, found, agreed, command, table)
        output.print_blocks([*blocks, *map(Paragraph, notes)])
    return 0


def _blocks(
    task: Regression, found: pd.DataFrame, agreed: pd.DataFrame, command: Infer, table: pd.DataFrame
) -> list[Block]:
    """The tables, and what they say."""
    from opal.bridge.render import Paragraph, Table

    columns = ["term", "method", "estimate", "std_error", "lower", "upper"]
    rows = found.sort_values("term", key=lambda term: term.map(task.terms.index), kind="stable")
    what = "the label" if task.outcome is None else "the outcome, with the label as a covariate"
    scale = ", log-odds" if task.model == "logistic" else ""
    title = (
        f"{task.model} regression of {what}{scale}, {100 * command.level:.10g}% intervals: "
        f"{len(task.human):,} rows, {int(task.labelled.sum()):,} labelled by people"
    )
    if left_out := len(table) - len(task.human):
        title += f"; {left_out:,} that were trained on are left out"
    one = f": 1 is {command.positive!r}" if command.positive is not None else ""
    if command.probability is not None:
        one += ("," if one else ":") + " rates are those of the corpus"
    return [
        Table(columns, rows[columns].to_numpy(object).tolist(), title),
        Table(
            ["people say", "rows", "classifier says 1"],
            agreed.to_numpy(object).tolist(),
            f"rows that both have labelled{one}",
        ),
        *(Paragraph(sentence) for sentence in _sentences(task, found)),
        *(Paragraph(sentence) for sentence in _kept_in(table, command.trained_on)),
    ]


def _labels(command: Infer, table: pd.DataFrame) -> list[str]:
    """What is said of human labels that count as 0, or as none, and may not be meant to."""
    from opal.bridge.downstream import other_labels
    from opal.reading import read_strings
    from opal.signatures import PACKED

    said, column = [], command.human
    learnt = command.trained_on
    human = (table if learnt is None else table[table[learnt] == 0])[column]
    others = {} if command.positive is None else other_labels(human, command.positive)
    if len(others) > 1:
        shown = ", ".join(f"{label!r} ({n:,})" for label, n in list(others.items())[:_SHOWN])
        more = f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
        said.append(
            f"0 is every other human label: {shown}{more}. Where one says that nobody could tell, "
            "leave the cell empty."
        )
    path = command.table
    inner = Path(path.stem) if path.suffix.lower() in PACKED else path
    if inner.suffix.lower() in (".csv", ".tsv"):
        words = read_strings(path)[column][human.index[human.isna()]].dropna().str.strip()
        words = words[words != ""]
        if len(words):
            which = ", ".join(map(repr, words.unique()[:_SHOWN]))
            said.append(
                f"{len(words):,} cells of {column!r} are {which}, and count as empty: if that is a "
                "label, write it otherwise."
            )
    return said


def _kept_in(table: pd.DataFrame, trained_on: str | None) -> list[str]:
    """What is said where a table tells that its rows were trained on, and nobody asked."""
    if trained_on is not None or TRAINED_ON not in table:
        return []
    n = int((table[TRAINED_ON] == 1).sum())
    said = (
        f"{n:,} rows have 1 in the column {TRAINED_ON!r}. If the classifier was trained on them, "
        "all intervals but those of human labels alone are wrong: leave them out by --trained-on "
        f"{TRAINED_ON}."
    )
    return [said] if n else []


def _sentences(task: Regression, found: pd.DataFrame) -> list[str]:
    """What the classifier's labels are worth, and where taking them for true misleads."""
    from opal.bridge.downstream import DESIGN, HUMAN, LABEL, NAIVE, POWERED

    by: Any = {method: part.set_index("term") for method, part in found.groupby("method")}
    slopes = [term for term in task.terms if term != "intercept"] or ["intercept"]
    n = int(task.labelled.sum())
    ratio = (by[HUMAN]["std_error"] / by[POWERED]["std_error"])[slopes]
    worth = {_name(term, LABEL): n * r**2 for term, r in ratio.items()}
    each = ", ".join(f"{t} {w:.0f}{'' if round(w) > n else ' (no gain)'}" for t, w in worth.items())
    powers = {_name(term, LABEL): power for term, power in by[POWERED]["power"][slopes].items()}
    used = ", ".join(f"{term} {power:.2f}" for term, power in powers.items())
    first = (
        f"Together with the classifier's labels, the {n} human labels are as precise as this many "
        f"human labels alone: {each}. λ, how far the classifier is used: {used}."
    )
    said = [first]
    means = [task.predicted[task.human == k].mean() for k in (0, 1)]
    if means[1] < means[0]:
        said.append(
            "The classifier says 1 less often where people say 1 than where they say 0: if it is "
            "the probability of another label, name that one as --positive, or another column."
        )
    if (task.human == task.predicted)[task.labelled].all():
        said.append(
            f"The classifier agrees with people on all {n} rows. If it was trained on them, or its "
            "labels there are copies of theirs, all intervals but those of human labels alone "
            "are wrong: give its labels as they are of rows that it has not seen."
        )
    said += [
        f"There are no {method} rows, as their equations have no solution: the classifier's "
        "labels go too little with human ones, or are parted by the covariates. Report the "
        "prediction-powered rows."
        for method in (NAIVE, DESIGN)
        if method not in by
    ]
    if NAIVE not in by:
        return said
    naive, corrected = by[NAIVE]["estimate"], by[POWERED]
    inside = (corrected["lower"] <= naive) & (naive <= corrected["upper"])
    missed = [term for term in slopes if not inside[term]]
    if missed:
        names = ", ".join(_name(term, LABEL) for term in missed)
        said.append(
            "Taken for true, the classifier's labels give coefficients outside of the corrected "
            f"intervals: {names}. Report the prediction-powered rows."
        )
    else:
        said.append(
            "The naive coefficients lie inside the corrected intervals: that does not make naive "
            "intervals right, which know nothing of the classifier's errors."
        )
    return said


def _name(term: str, label: str) -> str:
    return "the label" if term == label else term
