"""Texts of others, made fit to be looked at: nothing that a terminal or a browser would act on."""

from __future__ import annotations

LIMIT = 600
_KEPT = "\n\t"
# Marks that turn the direction of all that follows; a page keeps them inside their cell.
_TURNS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def shown(text: str, limit: int = LIMIT) -> str:
    r"""The beginning of a text, control and half characters made visible.

    >>> shown("a\x1b[31mb"), shown("abcdef", 3)
    ('a␛[31mb', 'abc … (6 characters)')
    """
    cut = text[:limit] + f" … ({len(text):,} characters)" if len(text) > limit else text
    return "".join(map(_mark, cut))


def line(text: str, limit: int) -> str:
    r"""The beginning of a text on one line, for a terminal.

    >>> line("a\n b", 9)
    'a b'
    """
    flat = "".join("�" if c in _TURNS else c for c in " ".join(text.split()))
    return shown(flat, limit)


def _mark(character: str) -> str:
    code = ord(character)
    if character in _KEPT:
        return character
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "␡"
    return "�" if 0x80 <= code < 0xA0 or 0xD800 <= code < 0xE000 or code >= 0xFFFE else character
