"""What looks like an API key is not shown."""

from __future__ import annotations

import re

HIDDEN = "[key]"

# A key, or part of one as servers print it back.
_PART = re.compile(r"(?i)\bsk-[\w*.\-]+|(?<=bearer )\S+")
# A whole key of a known provider: what nobody would call a file, a model or a class.
_WHOLE = re.compile(r"\b(?:sk-|sk_|gsk_|hf_|xai-|AIza|pplx-|nvapi-|r8_|ghp_)[\w-]{20,}")


def redacted(text: str) -> str:
    """A text without what looks like a key or a part of one.

    >>> redacted("who is sk-ab***9? Bearer abc")
    'who is [key]? Bearer [key]'
    """
    return _WHOLE.sub(HIDDEN, _PART.sub(HIDDEN, text))


def holds_key(text: str) -> bool:
    """Whether a text holds a whole key, by its look.

    >>> holds_key("sk-learn"), holds_key("sk-proj-0123456789abcdefghij")
    (False, True)
    """
    return _WHOLE.search(text) is not None
