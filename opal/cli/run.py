"""``opal run STUDY``: from the flags of a study's own configuration to records."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, make_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from opal import executors, interrupts, memory
from opal.cli import output, registry
from opal.cli.parsing import HELP_FLAGS, parse, show_help, unknown
from opal.validation import flag

if TYPE_CHECKING:
    import pandas as pd

    from opal.checks import Check

DESCRIPTION = """Run a study and write its records; `opal run STUDY --help` shows the study's flags.

Finished cells are kept under OUT/cells, so that a run that was killed resumes. The status is 1 if a
check of the study fails; the preset tiny is too small to be judged.

Example:
    opal run alpha --preset quick --out results"""


_EACH = 40.0  # bytes that a row of two columns or a result takes, with the work on it
UNJUDGED = "tiny"  # preset at which checks are stated, but say nothing
NOT_JUDGED = f"checks are not judged at --preset {UNJUDGED}, which is too small for them"


@dataclass(frozen=True)
class Options:
    """What every study can be asked."""

    preset: str = "quick"
    """Configuration to start from (tiny, quick or full); the study's flags change single fields."""
    out: Path = Path("results")
    """Folder for the records."""
    workers: int = 1
    """Processes; one is usually best, since JAX already uses all cores."""
    scheduler: str | None = None
    """Dask scheduler whose workers compute the cells, tcp://HOST:PORT; they must see OUT."""
    json: bool = False
    """Print JSON."""


def main(args: Sequence[str]) -> int:
    """Run one study and say where its records are; 1 if one of its checks fails."""
    if not args or args[0] in HELP_FLAGS:
        show_help("opal run", DESCRIPTION, registry.claims("study"))
        return 0 if args else 2
    name, *rest = args
    options, config = configure(name, rest)
    with interrupts.keeps(interrupts.CELLS):
        return _run(name, options, config)


def _run(name: str, options: Options, config: Any) -> int:
    from opal import records, runner
    from opal.files import writable_folder

    table = options.out / table_name(name, options.preset, config)
    if table.exists():
        records.check(table)  # what another opal wrote is not overwritten
    start = time.perf_counter()
    study = registry.load("study", name)
    cells = study.cells(config)  # refuses a bad configuration before anything is written
    folder = writable_folder(options.out / "cells" / name)
    with executors.executor(options.workers, options.scheduler, folder) as executor:
        frame = runner.run(cells, folder, executor=executor, progress=not options.json)
    described: dict[str, Any] = {"study": name, "preset": options.preset, "config": asdict(config)}
    described["judged"] = judged = hasattr(study, "checks") and options.preset != UNJUDGED
    checks = study.checks(frame) if hasattr(study, "checks") else []
    if hasattr(study, "checks"):
        described["checks"] = output.strict([check.as_dict() for check in checks])
    wall_time = time.perf_counter() - start
    path = records.write(
        frame,
        table,
        metadata={**described, **records.provenance(), "wall_time_s": wall_time},
    )
    report = {**described, "records": str(path), "n_rows": len(frame), "wall_time_s": wall_time}
    if options.json:
        output.print_json(report)
    elif hasattr(study, "comparison"):
        compared = study.comparison(frame)
        _say(report, compared, checks, head=len(compared))
    else:
        _say(report, frame, checks, head=20)
    return 0 if not judged or passed(checks) else 1


def passed(checks: Sequence[Check]) -> bool:
    """Whether something was checked, and everything holds."""
    return bool(checks) and all(check.passed for check in checks)


def configure(name: str, args: Sequence[str]) -> tuple[Options, Any]:
    """The options and the study's configuration, from a preset and the flags that change it.

    Raises:
        UnknownNameError: there is no such study or preset.
        ValueError: the number of workers is not positive, or given beside a scheduler.
    """
    base = preset(name, _preset_in(args))
    claim = registry.claims("study")[name]
    example = f"{claim}\n\nExample:\n    opal run {name} --preset quick --out results"
    command = _command(base)
    options = parse(command, args, prog=f"opal run {name}", description=example)
    executors.check(options.workers, options.scheduler)
    for each in fields(options.config):
        _check_numbers(each.name, getattr(options.config, each.name))
    return options, options.config


def _check_numbers(name: str, value: Any) -> None:
    """Check what no study can do with a number, whatever it means there.

    Raises:
        ValueError: a number is not finite, or a whole one is negative, cannot be counted to, or is
            of more things than memory can hold.
    """
    if isinstance(value, tuple | list):
        for each in value:
            _check_numbers(name, each)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{flag(name)} must be finite; got {value}.")
    elif isinstance(value, int) and not isinstance(value, bool):
        if not 0 <= value < 2**63:
            raise ValueError(f"{flag(name)} must be at least 0 and below 2^63; got {value}.")
        if "seed" not in name:
            what = f"{flag(name)} {value}: so many rows or results"
            memory.require(_EACH * value, what, "Lower it")


def _command(base: Any) -> type[Any]:
    """A dataclass of the options and of a study's configuration, with ``base`` as its default."""
    clash = {f.name for f in fields(base)} & {f.name for f in fields(Options)}
    if clash:
        raise ValueError(
            f"a study's Config may not have a field named as an option of `opal run`; "
            f"{type(base).__module__} has {sorted(clash)}. Rename it."
        )
    flags: Any = tyro.conf.OmitArgPrefixes
    config = ("config", flags[type(base)], field(default=base))
    return make_dataclass("Run", [config], bases=(Options,), frozen=True)


def preset(study: str, name: str) -> Any:
    """A configuration that the study itself proposes.

    Raises:
        UnknownNameError: there is no such study or preset.
    """
    presets = registry.load("study", study).PRESETS
    if name not in presets:
        raise unknown(f"preset of {study}", name, presets)
    return presets[name]


def table_name(study: str, base: str, config: Any) -> str:
    """File name of a study's records: another configuration never overwrites them."""
    if config == preset(study, base):
        return f"{study}-{base}.parquet"
    text = json.dumps(asdict(config), sort_keys=True, default=str)
    return f"{study}-{hashlib.sha256(text.encode()).hexdigest()[:8]}.parquet"


def _preset_in(args: Sequence[str]) -> str:
    """The preset named in ``args``: it must be known before the flags can be read over it."""
    for index, word in enumerate(args):
        if word.startswith("--preset="):
            return word.removeprefix("--preset=")
        if word == "--preset" and index + 1 < len(args):
            return args[index + 1]
    return Options.preset


def _say(
    report: dict[str, Any], frame: pd.DataFrame, checks: Sequence[Check], *, head: int
) -> None:
    """Print the first rows of the study's own comparison, or of its records, and its checks."""
    varying = [name for name in frame.columns if frame[name].nunique(dropna=False) > 1]
    rows = frame[varying].head(head).itertuples(index=False)
    output.print_table(f"{report['study']}: {len(frame)} rows", varying, rows)
    if len(frame) > head:
        output.print_lines(f"… and {len(frame) - head} more rows")
    for check in checks:
        verdict = "holds" if check.passed else "FAILS"
        numbers = f"{check.statistic:.4g} against {check.threshold:.4g}"
        output.print_lines(f"{verdict}: {check.name}: {numbers} ({check.detail})")
    if report["preset"] == UNJUDGED and "checks" in report:
        output.print_lines(NOT_JUDGED)
    output.print_lines(f"records: {report['records']}")
