r"""Texts of others inside a prompt: always data, on one line of JSON that they cannot end.

Quotes and line ends are escaped by JSON itself. On top of that, what a chat template or a terminal
would obey is written as ``\uXXXX``: markup (``<|im_end|>``, ``</s>``, ``[INST]`` end a message in
some models), line separators, control characters and marks that turn the direction of writing. A
reader of JSON gets every text back exactly.
"""

from __future__ import annotations

import json
import re

LIMIT = 2000
"""Characters of a text that a prompt shows."""

# Markup; DEL and the second block of control characters, half characters, line and paragraph ends;
# marks of direction. The first block of control characters is JSON's own work.
_OBEYED = re.compile(
    r"[<>]|\[(?=/?[A-Z_]+\])"
    "|[\x7f-\x9f\ud800-\udfff\u2028\u2029]"
    "|[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)


def encoded(content: object) -> str:
    r"""JSON on one line, in which nothing but JSON has a meaning.

    >>> encoded({"text": 'she said "no"\n<|im_end|> \u202e'})
    '{"text": "she said \\"no\\"\\n\\u003c|im_end|\\u003e \\u202e"}'
    """
    return _OBEYED.sub(_escape, json.dumps(content, ensure_ascii=False))


def shortened(text: str, limit: int = LIMIT) -> str:
    """The first characters of a text, as many as a prompt shows."""
    return text[:limit]


def _escape(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"
