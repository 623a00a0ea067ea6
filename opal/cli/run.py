"""``opal run STUDY``: from the flags of a study's own configuration to records."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opal import executors, interrupts
from opal.cli import configuration, output, registry
from opal.cli.configuration import NOT_JUDGED, UNJUDGED, USUAL
from opal.cli.parsing import HELP_FLAGS, parse, show_help

if TYPE_CHECKING:
    import pandas as pd

    from opal.checks import Check

_MOST_ROWS = 40  # of a table that is printed: more of them hide its head
DESCRIPTION = """Run a study and write its records; `opal run STUDY --help` shows the study's flags.

Finished cells are kept under OUT/cells, so that a run that was killed resumes. The status is 1 if a
check of the study fails; the preset tiny is too small to be judged.

Example:
    opal run alpha --preset quick --out results"""


@dataclass(frozen=True)
class Options:
    """What every study can be asked."""

    preset: str = USUAL
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

    label = configuration.label(name, options.preset, asdict(config))
    table = options.out / f"{name}-{label}.parquet"
    if table.exists():
        records.check(table)  # what another opal wrote is not overwritten
    else:
        records.check_free(table)
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
        found = study.findings(frame) if hasattr(study, "findings") else []
        _say(report, study.comparison(frame), found, checks)
    else:
        _say(report, frame, [], checks)
    return 0 if not judged or passed(checks) else 1


def passed(checks: Sequence[Check]) -> bool:
    """Whether something was checked, and everything holds."""
    return bool(checks) and all(check.passed for check in checks)


def verdict(check: Check, *, judged: bool) -> str:
    """What is said of a check; where the study is too small to be judged, neither that it holds."""
    if not judged:
        return "not judged"
    return "holds" if check.passed else "FAILS"


def configure(name: str, args: Sequence[str]) -> tuple[Options, Any]:
    """The options and the study's configuration, from a preset and the flags that change it.

    Raises:
        UnknownNameError: there is no such study or preset.
        ValueError: the number of workers is not positive, or given beside a scheduler.
    """
    command = configuration.command(Options, [name], configuration.preset_in(args))
    claim = registry.claims("study")[name]
    example = f"{claim}\n\nExample:\n    opal run {name} --preset quick --out results"
    options = parse(command, args, prog=f"opal run {name}", description=example)
    executors.check(options.workers, options.scheduler)
    config = getattr(options, name)
    configuration.check(config)
    return options, config


def differing(frame: pd.DataFrame) -> list[str]:
    """The columns that do not say the same in all rows."""
    return [name for name in frame.columns if frame[name].nunique(dropna=False) > 1]


def _say(
    report: dict[str, Any], frame: pd.DataFrame, findings: Sequence[str], checks: Sequence[Check]
) -> None:
    """Print the first rows of a study's own comparison, or of its records, and what is found."""
    varying = differing(frame)
    rows = frame[varying].head(_MOST_ROWS).itertuples(index=False)
    output.print_table(f"{report['study']}: {len(frame)} rows", varying, rows)
    if len(frame) > _MOST_ROWS:
        output.print_lines(f"… and {len(frame) - _MOST_ROWS} more rows, of the records below")
    output.print_lines(*findings)
    for check in checks:
        said = verdict(check, judged=report["judged"])
        output.print_lines(f"{said}: {check.name}: {output.comparison(check)}")
    if "checks" in report and not report["judged"]:
        output.print_lines(NOT_JUDGED)
    output.print_lines(f"records: {report['records']}")
