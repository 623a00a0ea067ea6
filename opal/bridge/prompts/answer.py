"""What a model answered, read as ``{"text": "..."}`` or rejected with the reason."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Sequence

_FENCE = re.compile(r"```(?:json)?[ \t]*\n?(.*?)\n?[ \t]*```", re.DOTALL | re.IGNORECASE)
_THOUGHT = re.compile(r"\s*<think>.*?</think>", re.DOTALL)
_KEPT = "\n\r\t"  # control characters that texts have
_SHOWN = 60  # characters of an answer in a reason


class RejectedError(ValueError):
    """Why an answer is no sample."""


def bare(answer: str) -> str:
    """The answer without a model's thoughts before it and without a code fence around it."""
    text = _THOUGHT.sub("", answer, count=1).strip()
    fenced = _FENCE.fullmatch(text)
    return fenced[1].strip() if fenced else text


def written_text(answer: str) -> str:
    """The text of an answer.

    Raises:
        RejectedError: the answer is empty, or no JSON object whose only name is ``text``, or the
            text is no string, empty, or not valid Unicode.
    """
    content = bare(answer)
    if not content:
        raise RejectedError("the answer is empty")
    try:
        found = json.loads(content, object_pairs_hook=_pairs)
    except (ValueError, RecursionError) as error:
        raise RejectedError(f"not JSON: {_start(content)}") from error
    if not isinstance(found, _Pairs) or [name for name, _ in found.pairs] != ["text"]:
        raise RejectedError(f'no object with "text" alone: {_start(content)}')
    return _checked(found.pairs[0][1])


class _Pairs:
    """A JSON object as it stands: a name that is there twice is seen twice."""

    def __init__(self, pairs: Sequence[tuple[str, object]]) -> None:
        self.pairs = pairs


def _pairs(pairs: list[tuple[str, object]]) -> _Pairs:
    return _Pairs(pairs)


def _checked(text: object) -> str:
    if not isinstance(text, str):
        raise RejectedError("the text is no string")
    if not text.strip():
        raise RejectedError("the text is empty")
    for char in text:
        category = unicodedata.category(char)
        if category == "Cs" or (category == "Cc" and char not in _KEPT):
            raise RejectedError(f"the text has a character that is none: U+{ord(char):04X}")
    return text


def _start(content: str) -> str:
    more = "…" if len(content) > _SHOWN else ""
    return repr(content[:_SHOWN] + more)
