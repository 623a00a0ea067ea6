"""A row for each corpus, encoder and source: floor, worth, and the plan; or why one is missing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from opal.bridge.text import texts
from opal.bridge.text.curves.advice import advice
from opal.bridge.text.curves.exchange import ARM, curve, errors_over_tests, law, worth
from opal.bridge.text.curves.outcome import outcome


def comparison(records: pd.DataFrame) -> pd.DataFrame:
    """A row for each corpus, encoder and source of added texts.

    Returns:
        Columns ``floor``, ``floor_low``, ``floor_high`` (of the balanced error); ``worth``,
        ``worth_low``, ``worth_high`` (human texts that ``added`` texts are worth); ``advice``
        (buy, none or open), ``wanted``, ``wanted_alpha`` (N and α that the plan's law likes best),
        ``tried``, ``tried_alpha`` (the trained purchase nearest to them), ``promised``,
        ``promised_low``, ``promised_high`` (its gain in log loss by the law), and those of
        :func:`opal.bridge.text.curves.outcome.outcome`. Where a number is missing, ``floor_why``,
        ``worth_why`` or ``plan_why`` says why; ``plan_why`` also says what decided.
    """
    data = records[records["source"] == "data"]
    return pd.DataFrame(
        [
            row
            for _, each in data.groupby(["setting", "encoder"], sort=False)
            for row in _compared(each)
        ]
    )


def _compared(records: pd.DataFrame) -> Iterator[dict[str, Any]]:
    own = dict.fromkeys(records.loc[records["arm"] == ARM, "synthesizer"])
    points = {source: curve(records, source) for source in own}
    human = points.get(texts.HUMAN)
    for source, each in points.items():
        largest = int(each["added"].max())
        row: dict[str, Any] = {
            "setting": records["setting"].iloc[0],
            "encoder": records["encoder"].iloc[0],
            "source": source,
            "added": largest,
            **_floor(each),
        }
        if source != texts.HUMAN:
            row |= _worth(human, each, largest, records, source) | _advised(records, source)
        yield row


def _floor(points: pd.DataFrame) -> dict[str, Any]:
    try:
        floor = law(points).params["E"]
    except ValueError as error:  # too few sizes, or a flat curve: there is no law
        return {"floor_why": _sentence(error)}
    return {"floor": floor.estimate, "floor_low": floor.low, "floor_high": floor.high}


def _worth(
    human: pd.DataFrame | None,
    points: pd.DataFrame,
    size: int,
    records: pd.DataFrame,
    source: str,
) -> dict[str, Any]:
    if human is None:
        return {"worth_why": "there are no human texts beyond the base texts to compare with"}
    error = errors_over_tests(records, source)
    (found,) = worth(human, points, (size,), test_error=error)
    return {"worth": found.human, "worth_low": found.low, "worth_high": found.high}


def _advised(records: pd.DataFrame, source: str) -> dict[str, Any]:
    try:
        made = advice(records, source)
    except ValueError as error:
        return {"plan_why": _sentence(error)}
    promised, low, high = made.promised
    return {
        "advice": made.says,
        "plan_why": made.why,
        "wanted": made.wanted[0],
        "wanted_alpha": made.wanted[1],
        "tried": made.tried[0],
        "tried_alpha": made.tried[1],
        "promised": promised,
        "promised_low": low,
        "promised_high": high,
        **outcome(records, source, made),
    }


def _sentence(error: ValueError) -> str:
    """What it says, on one line."""
    return " ".join(str(error).split()).rstrip(".")
