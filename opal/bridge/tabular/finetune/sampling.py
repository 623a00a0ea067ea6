"""Rows that a fine-tuned model writes, group by group, kept on disk batch by batch.

A row begins with the label and the attributes of its group, so that each group gets as many rows as
it needs. Every row has uniform numbers of its own, one a token, and takes the tokens in which these
fall: what it says does not depend on what it is batched with, but for rounding. A batch is one line
of a file, written when it is done: a run that was killed reads what it has, and goes on with the
next batch as if nothing had happened.
"""

from __future__ import annotations

import json
import os
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from opal.bridge.llm.loop import HopelessError
from opal.bridge.prompts import transcript
from opal.bridge.prompts.common import RejectedError
from opal.bridge.tabular.finetune.rows import RowTexts
from opal.bridge.tabular.finetune.training import RowTuning

_AT_ONCE = {"cuda": 256}  # rows of a batch
_ON_A_CPU = 64
_QUOTED = re.compile(r"['\"].*['\"]|['\"].*")
_LEAST_SHARE = 0.1  # of rows among what is written, by which the next batch is sized


class Written(NamedTuple):
    """A text of a model, and the row that it is, or why it is none."""

    text: str
    row: tuple[float, ...] | None
    reason: str


@dataclass
class GroupDraws:
    """What was written for a group, in the order in which it was drawn."""

    texts: list[Written] = field(default_factory=list)
    fruitless: int = 0  # batches without a row since the last with one
    n_rows: int = 0

    def add(self, texts: Sequence[Written]) -> None:
        """Take a batch."""
        found = sum(each.row is not None for each in texts)
        self.texts += texts
        self.n_rows += found
        self.fruitless = 0 if found else self.fruitless + 1

    def rows(self, n: int) -> Iterator[tuple[int, Written]]:
        """The first n rows, with their places among all that was drawn."""
        found = ((i, each) for i, each in enumerate(self.texts) if each.row is not None)
        return (each for each, _ in zip(found, range(n), strict=False))


class RowWriter:
    """A fine-tuned model that writes rows of groups.

    Args:
        model: causal, of `transformers`; on a GPU its weights become bfloat16.
        rows: that it was fine-tuned on.
        tuning: temperature, seed and patience.
        draws: file of all that was written.
        most: tokens of a row.
    """

    def __init__(
        self, model: Any, rows: RowTexts, tuning: RowTuning, draws: Path, *, most: int
    ) -> None:
        self._model, self._rows, self._tuning = model.eval(), rows, tuning
        self._path, self._most = draws, most
        if model.device.type == "cuda":
            model.bfloat16()
        self._groups: dict[str, GroupDraws] = {}
        for group, first, batch in _lines(draws):
            held = self._groups.setdefault(group, GroupDraws())
            if first == len(held.texts):  # or two runs wrote at once: the same
                held.add([self.read(text, ended) for text, ended in batch])

    def fill(
        self,
        group: str,
        values: Sequence[tuple[int, float]],
        n: int,
        told: Callable[[int], None],
    ) -> GroupDraws:
        """Draw until the group has n rows.

        Args:
            group: its name, of which the draws depend.
            values: of label and attributes, by column: with these a row begins.
            n: rows, those of earlier runs included.
            told: how many of them there are, and then come with each batch.

        Raises:
            HopelessError: too many batches in a row had no row.
        """
        held = self._groups.setdefault(group, GroupDraws())
        told(min(held.n_rows, n))
        at_once = _AT_ONCE.get(self._model.device.type, _ON_A_CPU)
        while held.n_rows < n:
            if held.fruitless >= self._tuning.patience:
                raise _hopeless(group, held, self._path)
            share = max(held.n_rows / len(held.texts), _LEAST_SHARE) if held.texts else 1.0
            size = min(at_once, ceil((n - held.n_rows) / share))
            first = len(held.texts)
            batch = self.draw(group, values, range(first, first + size))
            _append(self._path, [group, first, batch])
            before = held.n_rows
            held.add([self.read(text, ended) for text, ended in batch])
            told(min(held.n_rows, n) - before)
        return held

    def draw(
        self, group: str, values: Sequence[tuple[int, float]], places: range
    ) -> list[tuple[str, bool]]:
        """Texts of a group, those of these places, and whether each came to an end."""
        prompt = self._rows.prompt(values)
        uniform = _uniform(self._tuning.seed, group, places, self._most - len(prompt))
        written = continued(self._model, prompt, uniform, self._tuning.temperature, self._rows.end)
        found = []
        for tokens in written:
            ended = self._rows.end in tokens
            own = tokens[: tokens.index(self._rows.end)] if ended else tokens
            found.append((self._rows.text([*prompt, *own]), ended))
        return found

    def read(self, text: str, ended: bool) -> Written:
        """The row that a text is, once it has come to an end."""
        try:
            if not ended:  # its last number may be cut
                raise RejectedError("the row does not end where rows end")
            row = tuple(transcript.read_row(text, self._rows.columns).values())
        except RejectedError as reason:
            return Written(text, None, str(reason))
        return Written(text, row, "")


def continued(
    model: Any, prompt: Sequence[int], uniform: np.ndarray, temperature: float, end: int
) -> list[list[int]]:
    """Up to L tokens that follow a prompt, for each row of uniform numbers [n, L].

    A token is the one in whose share of the tempered law its number falls.
    """
    import torch

    numbers = torch.tensor(uniform, device=model.device)
    n, length = uniform.shape
    tokens = torch.tensor([prompt], device=model.device).expand(n, -1)
    seen = torch.ones((n, len(prompt) + length), dtype=torch.long, device=model.device)
    going = torch.ones(n, dtype=torch.bool, device=model.device)
    past, written = None, []
    with torch.inference_mode():
        for place in range(length):
            found = model(
                input_ids=tokens,
                attention_mask=seen[:, : len(prompt) + place],
                past_key_values=past,
                use_cache=True,
            )
            past, scores = found.past_key_values, found.logits[:, -1].double()
            if temperature == 0:
                drawn = scores.argmax(dim=-1)
            else:
                upto = (scores / temperature).softmax(dim=-1).cumsum(dim=-1)
                at = numbers[:, place, None] * upto[:, -1:]
                drawn = torch.searchsorted(upto, at, right=True)[:, 0]
            written.append(drawn)
            going &= drawn != end
            tokens = drawn[:, None]
            if not going.any():
                break
    return torch.stack(written, dim=1).tolist()


def rejections(groups: Mapping[str, GroupDraws]) -> Counter[str]:
    """How many texts were no rows, by reason without what differs from text to text."""
    return Counter(
        _QUOTED.sub("…", re.split("[;:]", each.reason)[0]).rstrip(".")
        for draws in groups.values()
        for each in draws.texts
        if each.row is None
    )


def _uniform(seed: int, group: str, places: range, n: int) -> np.ndarray:
    """Numbers in [0, 1) of each place, one a token: [len(places), n]."""
    name = zlib.crc32(group.encode())
    return np.array([np.random.default_rng([seed, name, place]).random(n) for place in places])


def _lines(path: Path) -> Iterator[tuple[str, int, list[tuple[str, bool]]]]:
    """The whole lines of a file of draws; the rest of one that was cut off is removed."""
    if not path.is_file():
        return
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(path, whole)
    for number, line in enumerate(content[:whole].split(b"\n")[:-1], 1):
        try:
            group, first, batch = json.loads(line)
            yield str(group), int(first), [(str(text), bool(ended)) for text, ended in batch]
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"line {number} of {path} must be a batch of draws; it cannot be read "
                f"({type(error).__name__}): restore the file, or delete it and all is drawn again."
            ) from error


def _append(path: Path, line: object) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
        file.flush()
        os.fsync(file.fileno())


def _hopeless(group: str, held: GroupDraws, path: Path) -> HopelessError:
    ((reason, count),) = rejections({group: held}).most_common(1)
    return HopelessError(
        f"group {group!r}: {held.fruitless} batches in a row had no row; {count} of "
        f"{len(held.texts)} texts: {reason} (as in {held.texts[-1].text[:100]!r}). Fine-tune "
        "longer (--epochs), or faster (--learning-rate), try another --temperature, or raise "
        f"--patience. What was drawn, for other groups too, is kept in {path}; the same model does "
        "not draw it again at the same temperature."
    )
