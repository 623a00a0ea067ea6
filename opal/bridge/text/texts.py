"""The table of labelled texts, one row a text, that all of the bridge to text reads.

=========== ====================================================================================
id          16 hexadecimal digits of the sha256 of the text: equal texts are one
text        the text, as it came
label       its class
source      ``human``, or the name of the model that wrote it
seeds       ids of the texts that it was made from; none for a human's
attribute   optional: what the label may spuriously go with
=========== ====================================================================================
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import numpy as np
import pandas as pd

from opal.bridge.prompts.common import identity as identity

HUMAN = "human"
COLUMNS = ("id", "text", "label", "source", "seeds")
ATTRIBUTE = "attribute"


def table(
    text: Sequence[object],
    label: Sequence[object],
    *,
    source: str = HUMAN,
    seeds: Iterable[Collection[str]] | None = None,
    attribute: Sequence[object] | None = None,
) -> pd.DataFrame:
    """A table of texts of one source.

    Args:
        text: n strings.
        label: their classes, strings.
        source: ``human``, or the name of the model that wrote them.
        seeds: ids of the texts that each was made from; none by default.
        attribute: of each text, a string, if there is one.

    Raises:
        ValueError: the rules of :func:`validate`, or columns of different lengths.
    """
    made_from = [()] * len(text) if seeds is None else [tuple(each) for each in seeds]
    columns = {"text": list(text), "label": list(label), "seeds": made_from}
    if attribute is not None:
        columns[ATTRIBUTE] = list(attribute)
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"every text needs each of its columns once; got lengths {lengths}.")
    frame = pd.DataFrame({"source": [source] * len(text), **columns})
    _require_strings(frame, "text", "give a text for every row, or drop the rows without")
    frame.insert(0, "id", [identity(each) for each in frame["text"]])
    rest = [ATTRIBUTE] if attribute is not None else []
    return validate(frame[[*COLUMNS, *rest]])


def validate(frame: pd.DataFrame) -> pd.DataFrame:
    """The table, once it is known to follow the rules.

    Raises:
        ValueError: a column is missing, a text or label is no string or empty, an id is not that
            of its text.
    """
    missing = [name for name in COLUMNS if name not in frame]
    if missing:
        raise ValueError(
            f"a table of texts needs the columns {', '.join(COLUMNS)}; missing: "
            f"{', '.join(missing)}. Build it with opal.bridge.text.texts.table."
        )
    _require_strings(frame, "text", "give a text for every row, or drop the rows without")
    _require_strings(frame, "label", "label every text, or drop the rows without a label")
    _require_strings(frame, "source", "name the model, or write 'human'")
    if ATTRIBUTE in frame:
        _require_strings(frame, ATTRIBUTE, "give an attribute for every text, or leave it out")
    wrong = [i != identity(text) for i, text in zip(frame["id"], frame["text"], strict=True)]
    if any(wrong):
        raise ValueError(
            f"id must be that of the text; it is not in {_places(np.array(wrong))}. Build the "
            "table with opal.bridge.text.texts.table."
        )
    return frame


def leaks(frame: pd.DataFrame, held_out: Collection[str]) -> np.ndarray:
    """Which texts must not be trained on while others are held out [n].

    Those that equal a held-out text, those that were made from one, and all that equal such a
    one: a model may write the same text from two seeds.

    Args:
        frame: n texts.
        held_out: ids.
    """
    hidden = frozenset(held_out)
    made = [not hidden.isdisjoint(seeds) for seeds in frame["seeds"]]
    hidden |= set(frame["id"][np.array(made, dtype=bool)])
    return frame["id"].isin(hidden).to_numpy()


def labels(*frames: pd.DataFrame) -> tuple[str, ...]:
    """All classes of the tables, sorted."""
    return tuple(sorted({label for frame in frames for label in frame["label"].unique()}))


def _require_strings(frame: pd.DataFrame, name: str, remedy: str) -> None:
    values = frame[name]
    wrong = np.array([not isinstance(value, str) or not value.strip() for value in values], bool)
    if wrong.any():
        got = values.to_numpy()[wrong][0]
        raise ValueError(
            f"{name} must be a string that is not empty; got {got!r} in {_places(wrong)}: {remedy}."
        )


def _places(wrong: np.ndarray) -> str:
    """``row 3`` or ``rows 3, 5, 9 and 12 more``, counted from 0."""
    rows = np.flatnonzero(wrong)
    shown = ", ".join(str(row) for row in rows[:3])
    more = f" and {len(rows) - 3} more" if len(rows) > 3 else ""
    return f"row{'s' if len(rows) > 1 else ''} {shown}{more}"
