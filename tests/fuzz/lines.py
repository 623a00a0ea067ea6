"""Command lines that nobody should type: a command's own flags with values that they do not take.

A command line begins as one that works (``STARTS``); then a flag is set to something hostile, or a
file that is read is damaged. All follows from a seed.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

NUMBERS = (
    *("0", "-1", "1", "2", "nan", "inf", "-inf", "1e20", "-1e20", "1e308", "1e-320", "0.5", "-0.5"),
    *(str(2**63), str(2**31), "-1000000000", "1000000000", "0.999999999", "", "x", "1,2", "1_000"),
)
VALUES = (
    *NUMBERS,
    *(" ", "None", "True", "x" * 5000, "é̂\u202e", "--", "../..", "/", "absent.csv", "a=b", "%s{}"),
    *("y", "n", "seed", "label", "text", "runs.csv", "train.csv", "texts.csv", "١٢", "0x10"),
)
# What would work for long, reach out of the folder, or is not the command's own to refuse.
LEFT_OUT = {"dry_run", "offline", "workers", "scheduler", "device", "local", "encoder", "fine_tune"}


class Start(NamedTuple):
    """A command line that works, and the module and name of the dataclass of its flags."""

    words: tuple[str, ...]
    module: str
    name: str


def _asking(*words: str) -> tuple[str, ...]:
    prices = ("--price-input", "1", "--price-output", "1", "--budget", "1", "--dry-run")
    return (*words, "--model", "m", *prices)


TEXT, TABLE = "opal.bridge.text.commands", "opal.bridge.tabular.commands"
STARTS: tuple[Start, ...] = (
    Start(("fit", "runs.csv", "--x", "n", "--y", "y", "--seed", "seed"), "opal.cli.fit", "Fit"),
    Start(
        ("fit", "runs.csv", "--x", "n", "--y", "y", "--intervals", "bootstrap"),
        "opal.cli.fit",
        "Fit",
    ),
    Start(("plan", "pilot.csv", "--price-synthetic", "0.01"), "opal.cli.plan", "Command"),
    Start(
        ("plan", "--pilot", "--n-real", "300", "--price-synthetic", ".01", "--budget", "240"),
        "opal.cli.plan",
        "Command",
    ),
    Start(("figures", "absent"), "opal.cli.figures", "Figures"),
    Start(("data", "verify"), "opal.cli.data", "Verify"),
    Start(("tabular", "parse", "rows.txt"), f"{TABLE}.generate", "ParseRows"),
    Start(
        ("tabular", "audit", "made.csv", "--train", "train.csv", "--target", "y"),
        f"{TABLE}.audit",
        "AuditRows",
    ),
    Start(
        _asking("tabular", "generate", "train.csv", "--target", "y", "--per-group", "2"),
        f"{TABLE}.generate",
        "GenerateRows",
    ),
    Start(("tabular", "evaluate", "--folder", "absent"), f"{TABLE}.evaluate", "EvaluateRows"),
    Start(("tabular", "scaling", "--folder", "absent"), f"{TABLE}.scaling", "ScaleRows"),
    Start(
        _asking("text", "generate", "texts.csv", "--per-class", "2"), f"{TEXT}.generate", "Generate"
    ),
    Start(("text", "audit", "told.csv", "--train", "texts.csv"), f"{TEXT}.audit", "Audit"),
    Start(("text", "evaluate", "--file", "absent.csv"), f"{TEXT}.evaluate", "Evaluate"),
    Start(("text", "impute", "absent.csv", "--class", "rude"), f"{TEXT}.impute", "Impute"),
)  # fmt: skip
STUDIES = ("alpha", "imbalance", "scaling", "high_dim", "spurious", "mixture_law", "misfit")


def flags(kind: type[Any]) -> list[tuple[str, bool]]:
    """The flags of a command, as they are typed, and whether each takes a number."""
    found: list[tuple[str, bool]] = []
    for field in dataclasses.fields(kind):
        if field.name in LEFT_OUT:
            continue
        default = field.default
        if default is dataclasses.MISSING and field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        if dataclasses.is_dataclass(default) and not isinstance(default, type):
            found += flags(type(default))
        elif not isinstance(default, bool):
            number = any(word in str(field.type) for word in ("int", "float"))
            found.append((f"--{field.name.replace('_', '-')}", number))
    return found


def lines(kinds: Mapping[Start, type[Any]], n: int, seed: int) -> Iterator[tuple[str, ...]]:
    """``n`` command lines with one or two hostile values, evenly over the commands."""
    draw = random.Random(seed)
    for k in range(n):
        start = STARTS[k % len(STARTS)]
        words = [*start.words]
        for _ in range(draw.choice((1, 1, 2))):
            flag, number = draw.choice(flags(kinds[start]))
            words += [flag, draw.choice(NUMBERS if number else VALUES)]
        yield tuple(words)


def study_lines(configs: Mapping[str, Any], n: int, seed: int) -> Iterator[tuple[str, ...]]:
    """``n`` command lines of studies at their tiny preset with a number that cannot be."""
    draw = random.Random(seed)
    counts = ("-1", "nan", "1e20", str(2**63), "10000000000000", "", "x" * 5000)
    others = ("nan", "inf", "-inf", "", "x" * 5000)  # any finite number may be meant
    for k in range(n):
        study = STUDIES[k % len(STUDIES)]
        field = draw.choice(dataclasses.fields(configs[study]))
        value = draw.choice(others if "float" in str(field.type) else counts)
        yield ("run", study, "--preset", "tiny", f"--{field.name.replace('_', '-')}", value)


def damaged(content: bytes, draw: random.Random) -> bytes:
    """A file with one thing wrong that files have."""
    half = len(content) // 2
    at = draw.randrange(len(content))
    return draw.choice(
        (
            b"",
            content[:half],
            b"\xef\xbb\xbf" + content,
            content.decode().encode("utf-16"),
            content.replace(b",", b";"),
            content.replace(b"\n", b"\r\n"),
            content[:at] + b"\xff\x00" + content[at:],
            content[:at] + b'"' + content[at:],
            content.replace(b"1", b"nan"),
            content.replace(b"0", b""),
            content.replace(b"1", b"9" * 400),
            content.split(b"\n")[0] + b"\n",
            content + content,
            b"\n".join(content.split(b"\n")[1:]),
            content.split(b"\n")[0].replace(b",", b",x,") + b"\n" + content,
            b"PAR1" + content,
        )
    )
