r"""What all prompts share: which examples they show, and how texts of others stand in them.

A text inside a prompt is data, on one line of JSON that it cannot end. Quotes and line ends are
escaped by JSON itself. On top of that, what a chat template or a terminal would obey is written as
``\uXXXX``: markup (``<|im_end|>``, ``</s>``, ``[INST]`` end a message in some models), line
separators, control characters and marks that turn the direction of writing. A reader of JSON gets
every text back exactly.
"""

from __future__ import annotations

import bisect
import hashlib
import json
import re
from collections.abc import Mapping, Sequence

from opal.spelling import canonical

N_EXAMPLES = 5  # of arXiv 2504.15160
LEAST_ROWS = 2
"""Different rows without which a group has no law to be told."""
LIMIT = 2000
"""Characters of a text that a prompt shows."""
_DIGITS = 16  # of an id

# Markup; DEL and the second block of control characters, half characters, line and paragraph ends;
# marks of direction. The first block of control characters is JSON's own work.
_OBEYED = re.compile(
    r"[<>]|\[(?=/?[A-Z_]+\])"
    "|[\x7f-\x9f\ud800-\udfff\u2028\u2029]"
    "|[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)
# What ends thoughts; what opens them may be in the prompt's template, and not in the answer.
_THOUGHT = re.compile(
    r"</(?:think|thinking|thought|reasoning)>|<\|channel\|>final[^<]{0,40}<\|message\|>",
    re.IGNORECASE,
)
_OPENS = re.compile(r"\s*<(?:think|thinking|thought|reasoning)>", re.IGNORECASE)
_FENCE = "```"
_ENDS = ("<|return|>", "<|end|>", "<|im_end|>", "<|eot_id|>")


def identity(text: str) -> str:
    r"""The id of a text: the same for all spellings of its characters, and for spaces around it.

    >>> identity("caf\u00e9") == identity(" cafe\u0301\n")
    True
    """
    # A lone surrogate is no character, but files of others have them.
    spelt = canonical(text).encode("utf-8", "surrogatepass")
    return hashlib.sha256(spelt).hexdigest()[:_DIGITS]


def drawn(
    ids: Sequence[str], n: int, *, key: int, group: str, index: int | None
) -> tuple[str, ...]:
    """As many different ids as asked for, all sets equally likely; without an index always one set.

    The draw is a hash of key, group and index, and does not depend on the version of a library, so
    that a run that is resumed years later asks the same requests. The ids must be sorted; with an
    index it takes as long for many of them as for few.

    >>> drawn(["a", "b", "c"], 2, key=0, group="x", index=7)
    ('c', 'b')
    """
    if index is None:
        return tuple(sorted(ids, key=lambda id_: _number(key, group, "fixed", id_))[:n])
    taken: list[int] = []  # in order
    chosen = []
    for place in range(min(n, len(ids))):
        # A place among those that are left; those taken before it move it on.
        at = _number(key, group, index, place) % (len(ids) - place)
        for other in taken:
            at += other <= at
        bisect.insort(taken, at)
        chosen.append(ids[at])
    return tuple(chosen)


def require_enough(
    counts: Mapping[str, int],
    n: int,
    kind: str,
    use: str = "imitated",
    remedy: str = "collect more, or leave the group out",
) -> None:
    """Refuse groups with fewer than n different examples.

    Args:
        counts: different examples of each group.
        n: examples that a group needs.
        kind: what an example is called.
        use: what is to be done with them.
        remedy: what to do about a small group.

    Raises:
        ValueError: names the smallest such group.
    """
    few = {group: count for group, count in counts.items() if count < n}
    if few:
        group = min(few, key=lambda name: (few[name], name))
        more = f" ({len(few)} such groups)" if len(few) > 1 else ""
        raise ValueError(
            f"a group needs at least {n} different {kind} to be {use}; {group!r} has "
            f"{few[group]}{more}: {remedy}."
        )


def _number(*parts: object) -> int:
    """A whole number of 256 bits; repr keeps 1 and '1' apart, and where one part ends."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode("utf-8", "surrogatepass")).digest())


def encoded(content: object) -> str:
    r"""JSON on one line, in which nothing but JSON has a meaning.

    >>> encoded({"text": 'she said "no"\n<|im_end|> \u202e'})
    '{"text": "she said \\"no\\"\\n\\u003c|im_end|\\u003e \\u202e"}'
    """
    said = json.dumps(content, ensure_ascii=False)
    return _OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", said)


class RejectedError(ValueError):
    """Why an answer is no sample, or a line no row."""


def bare(answer: str) -> str:
    r"""The answer without a model's thoughts before it, and without what is around a code fence.

    Where there are several fences, nobody knows which of them is the answer, and all stay.

    >>> bare("Let me see.</think> Here it is:\n```json\n[1]\n```\nI hope it helps.")
    '[1]'
    """
    text = answer.strip()
    if not text.startswith("{"):
        ends = [found.end() for found in _THOUGHT.finditer(text)]
        if ends:
            text = text[ends[0] if _OPENS.match(text) else ends[-1] :].strip()
    for end in _ENDS:
        text = text.removesuffix(end).rstrip()
    parts = text.split(_FENCE)
    if len(parts) != 3 or text.startswith("{"):
        return text
    inside = parts[1]
    return (inside[4:] if inside[:4].lower() == "json" else inside).strip()
