"""Rows as texts ``name is value, name is value``, and those as tokens of a model."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np

from opal.bridge.prompts import transcript
from opal.bridge.prompts.common import RejectedError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class RowTexts:
    """The rows of a table in the tokens of a model.

    A text is written clause by clause, and each clause has tokens of its own: those of a row's
    beginning are then the same whatever follows. Numbers are as short as in the file: ``41`` in a
    column of whole numbers, ``0.5`` and ``1.0`` in another.

    Attributes:
        columns: of the table.
        values: [n, d].
        longest: tokens of the longest row in the order of its columns that needs most, its end
            included.
        end: token that ends a row.
    """

    def __init__(
        self, columns: Sequence[str], values: np.ndarray, tokenizer: PreTrainedTokenizerBase
    ) -> None:
        """Write every row.

        Raises:
            ValueError: the tokenizer loses something of a row.
        """
        self.columns, self.values = tuple(columns), np.asarray(values, dtype=float)
        self._tokenizer, self._known = tokenizer, dict[str, list[int]]()
        self._whole = (self.values == self.values.round()).all(axis=0)
        self.end = int(tokenizer.eos_token_id)
        begin = tokenizer.bos_token_id
        self._begin = [] if begin is None else [int(begin)]
        order = range(len(self.columns))
        for i in range(len(self.values)):
            self._check(i, order)
        self.longest = max(map(self._most, self.values))

    def tokens(self, row: int, order: Sequence[int]) -> list[int]:
        """A whole row, its columns in this order."""
        values = self.values[row]
        last = len(order) - 1
        found = list(self._begin)
        for place, column in enumerate(order):
            found += self._clause(column, values[column], first=place == 0, last=place == last)
        return [*found, self.end]

    def prompt(self, values: Sequence[tuple[int, float]]) -> list[int]:
        """The beginning of a row that has these values, by column, up to the next column's name."""
        found = list(self._begin)
        for place, (column, value) in enumerate(values):
            found += self._clause(column, value, first=place == 0, last=False)
        return found

    def text(self, tokens: Sequence[int]) -> str:
        """What tokens say, on one line: a line end inside a row is shown, and is never right."""
        said = str(self._tokenizer.decode(list(tokens), skip_special_tokens=True))
        return "\\n".join(said.splitlines()).strip()

    def room(self, model: Any, max_tokens: int) -> int:
        """Tokens that a row may have when it is written: a quarter more than the longest has.

        Raises:
            ValueError: the longest itself has more than ``max_tokens``, or than the model can read,
                or the model does not know a token of the rows.
        """
        known = model.get_input_embeddings().num_embeddings
        largest = max(self.end, *self._begin, *map(max, self._known.values()))
        if largest >= known:
            raise ValueError(
                f"the model must know the tokens of its tokenizer; it has {known}, and a row needs "
                f"token {largest}: name a folder whose tokenizer is that of its model."
            )
        context = getattr(model.config, "max_position_embeddings", None) or max_tokens
        if self.longest > max_tokens:
            raise ValueError(
                f"the longest row must fit into --max-tokens {max_tokens}; it has {self.longest}: "
                "raise it."
            )
        if self.longest > context:
            raise ValueError(
                f"the longest row must fit into the {context} tokens that the model can read; it "
                f"has {self.longest}: leave columns out, or shorten their names."
            )
        return min(ceil(1.25 * self.longest), max_tokens, context)

    def _clause(self, column: int, value: float, *, first: bool, last: bool) -> list[int]:
        number = transcript.number(value) if self._whole[column] else repr(float(value))
        piece = f"{'' if first else ' '}{self.columns[column]} is {number}{'' if last else ','}"
        if piece not in self._known:
            found = self._tokenizer(piece, add_special_tokens=False)["input_ids"]
            self._known[piece] = [int(token) for token in found]
        return self._known[piece]

    def _most(self, values: np.ndarray) -> int:
        """Tokens of a row in the order that needs most: only its first and last clause differ."""
        first, middle, last = (
            np.array([len(self._clause(i, v, first=f, last=z)) for i, v in enumerate(values)])
            for f, z in ((True, False), (False, False), (False, True))
        )
        ends = np.add.outer(first - middle, last - middle)
        np.fill_diagonal(ends, ends.min())  # no clause is both
        return len(self._begin) + int(middle.sum() + ends.max()) + 1

    def _check(self, row: int, order: Sequence[int]) -> None:
        """Refuse a row that cannot be read back."""
        said = self.text(self.tokens(row, order))
        try:
            read = tuple(transcript.read_row(said, self.columns).values())
        except RejectedError:
            read = ()
        if read != tuple(self.values[row]):
            raise ValueError(
                "the model's tokenizer must give every row back as it is; data row "
                f"{row + 1} came back as {said!r}: rename its columns in plain letters, or name "
                "another model."
            )
