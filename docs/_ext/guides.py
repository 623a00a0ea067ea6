"""Guides are written to be read as plain Markdown; on the site, what they name becomes a link."""

from __future__ import annotations

import pkgutil
import re
from functools import cache
from types import ModuleType

from sphinx.application import Sphinx

_EQUATION = re.compile(r"```math\n(.*?)```", re.DOTALL)
_TAG = re.compile(r"\\tag\{([\d.]+)\}")
_FENCE = re.compile(r"(^ *```.*?^ *```[^\n]*$)", re.DOTALL | re.MULTILINE)
_SPAN = re.compile(r"(`[^`]*`|\$[^$]*\$|\]\([^)]*\))")
_REFERENCE = re.compile(r"\((?:equation )?(\d+\.\d+)\)")
_NAME = re.compile(r"`(opal(?:\.\w+)+)`")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("source-read", _read)
    return {"parallel_read_safe": True}


def _read(app: Sphinx, page: str, source: list[str]) -> None:
    if page.partition("/")[0] not in ("api", "gallery", "notebooks"):
        source[0] = linked(source[0])


def linked(text: str) -> str:
    """A guide in which equations can be linked to, and numbers of equations and names of code link.

    Args:
        text: Markdown as GitHub reads it.
    """
    tags = {tag for equation in _EQUATION.findall(text) for tag in _TAG.findall(equation)}
    text = _EQUATION.sub(_anchored, text)
    parts = _FENCE.split(text)
    parts[::2] = [_prose(part, tags) for part in parts[::2]]
    return "".join(parts)


def _anchored(found: re.Match[str]) -> str:
    """An equation with a place to link to; Sphinx's own wrapping has no room for a number."""
    tag = _TAG.search(found[1])
    if tag is None:
        return found[0]
    body = f"\\begin{{equation*}}\n{found[1]}\\end{{equation*}}"
    return f"({_anchor(tag[1])})=\n```{{math}}\n:no-wrap:\n\n{body}\n```"


def _anchor(tag: str) -> str:
    return f"equation-{tag.replace('.', '-')}"


def _prose(text: str, tags: set[str]) -> str:
    def number(found: re.Match[str]) -> str:
        tag = found[1]
        return f"[{found[0]}](#{_anchor(tag)})" if tag in tags else found[0]

    parts = _SPAN.split(text)
    parts[::2] = [_REFERENCE.sub(number, part) for part in parts[::2]]
    return _NAME.sub(_code, "".join(parts))


def _code(found: re.Match[str]) -> str:
    home = _home(found[1])
    return f"{{py:obj}}`{found[1]} <{home}>`" if home else found[0]


@cache
def _home(name: str) -> str | None:
    """Where a name is documented, which is where it is defined; None for what is not there."""
    try:
        thing = pkgutil.resolve_name(name)
    except (ImportError, AttributeError):
        return None
    if isinstance(thing, ModuleType):
        return name
    module, own = getattr(thing, "__module__", None), getattr(thing, "__qualname__", None)
    return f"{module}.{own}" if module and own and module.startswith("opal") else name
