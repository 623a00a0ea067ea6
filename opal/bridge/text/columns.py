"""Which column of a table holds the texts, and which their labels, and what stands there.

Columns are told by :class:`Columns`, or guessed where there is no doubt. A text of several columns,
as sentence pairs are, is named by all of them: ``premise,hypothesis`` is ``premise: …`` on one line
and ``hypothesis: …`` on the next.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import pandas as pd

from opal import names, spelling
from opal.bridge.text.corpus import COLUMNS, require_strings

_GUESSES: Mapping[str, Collection[str]] = {
    "text": (
        *("text", "sentence", "content", "review", "tweet", "document"),
        *("h_text", "augmented_text", "augmented_h_text"),
    ),
    "label": ("label", "target", "class", "category"),
}


@dataclass(frozen=True)
class Columns:
    """Which column of a table holds what; None is a guess for text and label, and none otherwise.

    A table that :func:`opal.bridge.text.reading.write_texts` made needs none of them named.

    Attributes:
        text: the text; several columns, with commas between, are lines of one text.
        label: its class.
        attribute: what the label may spuriously go with.
        seed: what the text was made from: the seed's text, its id, or a list of either.
        source: ``human``, or the model that wrote the text.
        id: the table's names of its texts, by which seeds, those of other files too, refer to them.
    """

    text: str | None = None
    label: str | None = None
    attribute: str | None = None
    seed: str | None = None
    source: str | None = None
    id: str | None = None

    @classmethod
    def of(cls, flags: object) -> Columns:
        """Those that the flags ``--ROLE-column`` of a command name.

        Raises:
            ValueError: a flag names nothing, or ids that no column of seeds refers to.
        """
        given = {f.name: getattr(flags, f"{f.name}_column", None) for f in fields(cls)}
        for role, name in given.items():
            parts = () if name is None else name.split(",") if role == "text" else (name,)
            if not all(part.strip() for part in parts):
                raise ValueError(f"--{role}-column must name a column; got {name!r}.")
        if given["id"] is not None and given["seed"] is None:
            raise ValueError(
                "--id-column is what the seeds of a column refer to; name that one with "
                "--seed-column, or leave --id-column out."
            )
        return cls(**{role: name and spelling.name(name) for role, name in given.items()})


def texts_of(
    table: pd.DataFrame,
    where: str | Path,
    column: str | None = None,
    *,
    like: Sequence[str] = (),
    flag: str = "--text-column",
) -> list[str]:
    """The texts of a table of strings that need no labels, one for each row.

    Args:
        table: as :func:`opal.reading.read_strings` gives it.
        where: its path or name, for errors.
        column: of the texts, or several with commas between, as in :class:`Columns`; a guess if
            None.
        like: columns of other texts, where these have several: texts of other names would differ
            in words.
        flag: that names the column, for errors.

    Raises:
        ValueError: there is no such column, or a row without a text; or the columns are several and
            not those of the other texts.
    """
    there = list(table.columns)
    if column is None and like and set(like) <= set(there):
        column = ",".join(like)
    chosen = _guess("text", there, str(where), flag) if column is None else spelling.name(column)
    parts = split_name("text", chosen, there)
    for name in parts:
        require_column(name, "text", there, f"{where} has")
    if (like or len(parts) > 1) and parts != tuple(like):
        raise ValueError(
            "texts must be of the same columns, in the same order, as those that are trained on; "
            f"these are of {' and '.join(map(repr, like)) or 'a single one'}, those of {where} of "
            f"{' and '.join(map(repr, parts))}. Rename the columns, and name the same ones."
        )
    texts = pd.DataFrame({"text": joined_cells(table, parts)}, dtype=object)
    try:
        require_strings(texts, "text", "give a text for every row, or drop the rows without")
    except ValueError as error:
        raise ValueError(f"{where} (text in column {chosen!r}): {error}") from error
    return texts["text"].tolist()


def resolved(columns: Columns, there: Sequence[str], where: str) -> Columns:
    """Every column that is to be read, under its name in the table, with guesses for the rest.

    Raises:
        ValueError: ``where`` has no column of a name, or none that could be guessed, or a column
            has two roles.
    """
    asked = {role: name for role, name in asdict(columns).items() if name is not None}
    taken: dict[str, str] = {}
    for role, wanted in asked.items():
        for name in split_name(role, wanted, there):
            require_column(name, role, there, f"{where} has")
            if name in taken:
                raise ValueError(
                    f"{where} must have a column for each role; {name!r} is named for the "
                    f"{taken[name]} and for the {role}. Name another one, or none."
                )
            taken[name] = role
    if set(COLUMNS) <= set(there):
        free = set(there) - set(taken)
        own = {role: _own(role, free) for role in asdict(columns)} | asked
        for role in _GUESSES:
            if own[role] is None:
                raise ValueError(
                    f"{where} must have a column for each role; {role!r} is named for the "
                    f"{taken[role]}. Name another one, or none."
                )
        return Columns(**own)
    guessed = {
        role: _guess(role, there, where, taken=taken) for role in _GUESSES if role not in asked
    }
    return Columns(**guessed | asked)


def require_column(name: str, role: str, there: Collection[str], having: str) -> None:
    """Refuse a column that is not there.

    Args:
        name: of the column.
        role: what it was to hold.
        there: the columns that there are.
        having: who has them, and the verb, for the error.

    Raises:
        ValueError: there is no such column.
    """
    if name not in there:
        raise ValueError(
            f"{having} no column {name!r} for the {role}{names.hint(name, there)} "
            f"There are: {', '.join(there)}."
        )


def split_name(role: str, name: str, there: Collection[str]) -> tuple[str, ...]:
    """The columns of a name: those of a text may be several, with commas between."""
    if role != "text" or name in there:
        return (name,)
    return tuple(part.strip() for part in name.split(","))


def joined_cells(table: pd.DataFrame, parts: Sequence[str]) -> list[object]:
    """The texts of a column; of several columns, a line for each with its name."""
    if len(parts) == 1:
        return table[parts[0]].tolist()
    return [
        "\n".join(f"{name}: {said}" for name, said in zip(parts, row, strict=True))
        if all(isinstance(said, str) and said.strip() for said in row)
        else None
        for row in zip(*(table[name] for name in parts), strict=True)
    ]


def is_usual(role: str, name: str) -> bool:
    """Whether a column of that name is taken for the one of a text or label."""
    return name.strip().lower() in _GUESSES[role]


def require_case(name: str, role: str, there: Collection[str], where: str | Path) -> None:
    """Refuse a table that has a column of that name but for capitals, and would not be read.

    Raises:
        ValueError: it has.
    """
    same = [each for each in there if each.strip().casefold() == name.strip().casefold()]
    if same and name not in there and not (role in _GUESSES and is_usual(role, same[0])):
        raise ValueError(
            f"{where} has no column {name!r} for the {role}, but {same[0]!r}. Give it the same "
            "name in all files."
        )


def _own(role: str, there: Collection[str]) -> str | None:
    """Column of a table that ``write_texts`` made; the ids follow from the texts."""
    name = "seeds" if role == "seed" else role
    return name if name in there and role != "id" else None


def _guess(
    role: str,
    there: Sequence[str],
    where: str,
    flag: str | None = None,
    taken: Collection[str] = (),
) -> str:
    likely = [name for name in there if is_usual(role, name) and name not in taken]
    if len(likely) == 1:
        return likely[0]
    doubt = f"could be {' or '.join(map(repr, likely))}" if likely else "has no usual name"
    several = ", several with commas between" if role == "text" else ""
    raise ValueError(
        f"{where} must name the column of the {role}: it {doubt}. Name it with "
        f"{flag or f'--{role}-column'}{several}, or add it; there are: {', '.join(there)}."
    )
