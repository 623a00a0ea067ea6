"""Configurations of studies: a preset, and the flags that change single fields of it."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, field, fields, make_dataclass
from typing import Any

import tyro

from opal import memory
from opal.cli import registry
from opal.cli.parsing import unknown
from opal.validation import flag

_EACH = 40.0  # bytes that a row of two columns or a result takes, with the work on it
UNJUDGED = "tiny"  # preset at which checks are stated, but say nothing
NOT_JUDGED = f"checks are not judged at --preset {UNJUDGED}, which is too small for them"
USUAL = "quick"  # preset where none is named


def preset(study: str, name: str) -> Any:
    """A configuration that the study itself proposes.

    Raises:
        UnknownNameError: there is no such study or preset.
    """
    presets = registry.load("study", study).PRESETS
    if name not in presets:
        raise unknown(f"preset of {study}", name, presets)
    return presets[name]


def preset_in(args: Sequence[str]) -> str:
    """The preset named in ``args``: it must be known before the flags can be read over it."""
    for index, word in enumerate(args):
        if word.startswith("--preset="):
            return word.removeprefix("--preset=")
        if word == "--preset" and index + 1 < len(args):
            return args[index + 1]
    return USUAL


def command(options: type[Any], studies: Sequence[str], base: str) -> type[Any]:
    """The dataclass of a command's options and of the configurations of studies.

    The flags of one study are its fields; those of several begin with the name of theirs, as do
    those of a study of which one is called as an option is.

    Args:
        options: of the command.
        studies: whose configurations it takes, each as a field of the study's name.
        base: preset that flags change.

    Raises:
        UnknownNameError: there is no such study or preset.
    """
    configs = {study: preset(study, base) for study in studies}
    members: list[Any] = []
    for study, config in configs.items():
        clash = {f.name for f in fields(config)} & {f.name for f in fields(options)}
        plain: Any = tyro.conf.OmitArgPrefixes
        kind: Any = type(config) if clash or len(configs) > 1 else plain[type(config)]
        members.append((study, kind, field(default=config)))
    return make_dataclass("Run", members, bases=(options,), frozen=True)


def check(config: Any) -> None:
    """Check what no study can do with a number, whatever it means there.

    Raises:
        ValueError: a number is not finite, or a whole one is negative, cannot be counted to, or is
            of more things than memory can hold.
    """
    for each in fields(config):
        _check_numbers(each.name, getattr(config, each.name))


def label(study: str, base: str, config: Mapping[str, Any]) -> str:
    """The preset's name if this is its configuration, otherwise eight digits of its own."""
    if base in registry.load("study", study).PRESETS and _text(config) == _text(
        asdict(preset(study, base))
    ):
        return base
    return hashlib.sha256(_text(config).encode()).hexdigest()[:8]


def _text(config: Mapping[str, Any]) -> str:
    return json.dumps(config, sort_keys=True, default=str)


def _check_numbers(name: str, value: Any) -> None:
    if isinstance(value, tuple | list):
        for each in value:
            _check_numbers(name, each)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{flag(name)} must be finite; got {value}.")
    elif isinstance(value, int) and not isinstance(value, bool):
        if not 0 <= value < 2**63:
            raise ValueError(f"{flag(name)} must be at least 0 and below 2^63; got {value}.")
        if "seed" not in name:
            memory.require(
                _EACH * value, f"{flag(name)} {value}: so many rows or results", "Lower it"
            )
