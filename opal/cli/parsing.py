"""From words on the command line to a dataclass, with help that shows an example."""

from __future__ import annotations

import contextlib
import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from itertools import zip_longest
from types import NoneType
from typing import Any, TypeVar, get_args

import tyro
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from opal.names import unknown as unknown
from opal.validation import flag

T = TypeVar("T")

HELP_FLAGS = frozenset({"-h", "--help"})
_SECRET = re.compile(r"--[\w-]*(key|secret|password)[\w-]*", re.IGNORECASE)
_COMMA = re.compile(r"[+-]?\d+(,\d+)+")
_MARKERS = (tyro.conf.FlagCreatePairsOff,)
# Sections of a docstring that speak to programmers, not to people at a terminal.
_PROGRAMMERS = ("Attributes:", "Raises:", "Returns:")

REGISTRY = ConstructorRegistry()


@REGISTRY.primitive_rule
def _optional(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    """A flag that may be left out is told as one of its type; ``None`` still says that it is."""
    kinds = [kind for kind in get_args(info.type) if kind is not NoneType]
    if len(kinds) != 1 or NoneType not in get_args(info.type):
        return None
    of = PrimitiveTypeInfo.make(kinds[0], info.markers)
    spec = ConstructorRegistry.get_primitive_spec(of)
    if not isinstance(spec, PrimitiveConstructorSpec) or spec.nargs != 1 or spec.choices:
        return None
    return replace(
        spec,
        instance_from_str=lambda words: (
            None if words == ["None"] else spec.instance_from_str(words)
        ),
        is_instance=lambda value: value is None or spec.is_instance(value),
        str_from_instance=lambda v: ["None"] if v is None else spec.str_from_instance(v),
    )


def parse(command: type[T], args: Sequence[str], *, prog: str, description: str | None = None) -> T:
    """Build a dataclass from flags; ``--help`` and bad flags end the process (status 0 and 2)."""
    _refuse_keys(command, args)
    _refuse_commas(command, args)
    text = help_text(command) if description is None else description
    return tyro.cli(
        command, args=list(args), prog=prog, description=text, config=_MARKERS, registry=REGISTRY
    )


def _refuse_keys(command: type[Any], args: Sequence[str]) -> None:
    """Refuse a flag for a key before what follows it is printed as one that nobody knows."""
    known = {flag(each.name) for each in fields(command)}
    for word in args:
        name = word.partition("=")[0]
        if _SECRET.fullmatch(name) and name.replace("_", "-") not in known:
            raise ValueError(
                f"{name} is no flag, and what follows it was not read: a key stays in the "
                "environment, in the variable that --key-variable names."
            )


def _refuse_commas(command: type[Any], args: Sequence[str]) -> None:
    """Refuse a comma within a number before it is told as a word that is no number."""
    numbers = {flag(e.name) for e in fields(command) if re.match(r"float\b", str(e.type))}
    for word, following in zip_longest(args, args[1:], fillvalue=""):
        name, is_assigned, value = word.partition("=")
        given = value if is_assigned else following
        if name.replace("_", "-") not in numbers or not _COMMA.fullmatch(given):
            continue
        point = given.replace(",", ".")
        grouped = re.fullmatch(r"[+-]?\d{1,3}(,\d{3})+", given)
        thousands = f", or {given.replace(',', '')} if it groups thousands" if grouped else ""
        remedy = f"write {point}{thousands}" if point.count(".") == 1 else f"write{thousands[4:]}"
        raise ValueError(
            f"{name} must be a number with a decimal point; got {given!r}, with a comma: {remedy}."
        )


def choose(
    commands: Mapping[str, type[Any]], args: Sequence[str], *, prog: str, description: str
) -> Any:
    """Build the dataclass of the subcommand that ``args`` begin with.

    Raises:
        UnknownNameError: there is no such subcommand.
    """
    if not args or args[0] in HELP_FLAGS:
        summaries = {name: help_text(command).split("\n")[0] for name, command in commands.items()}
        show_help(prog, description, summaries)
        raise SystemExit(0 if args else 2)
    name, *rest = args
    if name not in commands:
        raise unknown(f"command of `{prog}`", name, commands)
    return parse(commands[name], rest, prog=f"{prog} {name}")


def show_help(prog: str, description: str, summaries: Mapping[str, str]) -> None:
    """Print the help of a command that has subcommands, one line for each."""
    app = tyro.extras.SubcommandApp()
    for name, summary in summaries.items():
        app.command(name=name, help=summary)(_nothing)
    with contextlib.suppress(SystemExit):
        app.cli(args=["--help"], prog=prog, description=description, use_underscores=True)


def _nothing() -> None:
    """Stand for a subcommand in help; the subcommand itself is parsed where it lives."""


def help_text(command: type[Any]) -> str:
    """The docstring of a command, example included, without the sections for programmers."""
    text = inspect.getdoc(command) or ""
    for section in _PROGRAMMERS:
        text = text.split(f"\n{section}")[0]
    return text.strip()
