"""``opal figures``: run the studies, draw the pictures, hold them to their own checks."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

import tyro

from opal import executors, interrupts
from opal.cli import output, registry
from opal.cli.parsing import parse
from opal.cli.run import NOT_JUDGED, UNJUDGED, passed, preset

if TYPE_CHECKING:
    import pandas as pd

    from opal.runner import Cell, Started

_CELLS = "records"  # folder of finished cells under --out
_TYPICAL = 60.0  # seconds of a figure that does not say its own


@dataclass(frozen=True)
class Figures:
    """Draw figures and print a table of their self-checks; status 1 if one fails.

    The preset tiny is too small to be judged: its status is 0 whatever its checks say.

    Each figure becomes NAME.png, NAME.pdf and NAME.json (caption, checks, versions). A figure
    whose data cannot be had is left out, with one line that says how to get them.

    Example:
        opal figures alpha imbalance --preset quick --out figures
    """

    names: tyro.conf.Positional[tuple[str, ...]] = ()
    """Figures to draw; all of them if none is named."""
    preset: Literal["tiny", "quick", "full"] = "quick"
    """How large the studies are."""
    out: Path = Path("figures")
    """Folder for pictures, checks and records."""
    workers: int = 1
    """Processes; one is usually best, since JAX already uses all cores."""
    scheduler: str | None = None
    """Dask scheduler whose workers compute the cells, tcp://HOST:PORT; they must see OUT."""
    json: bool = False
    """Print JSON."""


def main(args: Sequence[str]) -> int:
    """Draw the figures that were asked for; 1 if a check fails or one asked by name is left out.

    At the preset tiny no check is judged.
    """
    options = parse(Figures, args, prog="opal figures")
    executors.check(options.workers, options.scheduler)
    names = options.names or tuple(registry.claims("figure"))
    modules = {name: registry.load("figure", name) for name in names}
    left_out = {name: reason for name, module in modules.items() if (reason := _missing(module))}
    possible = {name: module for name, module in modules.items() if name not in left_out}
    studies = _studies(possible, options)
    drawn = _drawn(possible, studies, options)
    judged, complete = options.preset != UNJUDGED, not left_out.keys() & {*options.names}
    holds = all(figure["passed"] for figure in drawn)
    if options.json:
        gaps = [{"name": name, "reason": reason} for name, reason in left_out.items()]
        verdict = {"passed": holds and complete, "judged": judged}
        output.print_json({**verdict, "figures": drawn, "left_out": gaps})
    else:
        _say(drawn, left_out)
        output.print_lines(*([] if judged else [NOT_JUDGED]))
    return 0 if complete and (holds or not judged) else 1


def _missing(figure: ModuleType) -> str | None:
    """Why a figure cannot be drawn here; None if it can."""
    reason: str | None = figure.unavailable() if hasattr(figure, "unavailable") else None
    return reason


def _studies(
    figures: Mapping[str, ModuleType], options: Figures
) -> dict[str, tuple[list[Cell], Path]]:
    """Cells and folder of each study that figures read, all checked before any of them starts."""
    from opal import runner

    studies = {}
    for study in dict.fromkeys(name for figure in figures.values() for name in figure.STUDIES):
        cells = registry.load("study", study).cells(preset(study, options.preset))
        folder = options.out / _CELLS / study
        runner.check_finished(cells, folder)
        studies[study] = cells, folder
    return studies


def _drawn(
    figures: Mapping[str, ModuleType],
    studies: Mapping[str, tuple[list[Cell], Path]],
    options: Figures,
) -> list[dict[str, Any]]:
    """Draw figure after figure, while the workers are on to the next ones' cells."""
    from opal import runner
    from opal.files import writable_folder

    folder = writable_folder(options.out / _CELLS)
    if not figures:
        return []
    with (
        interrupts.keeps(interrupts.CELLS),
        executors.executor(options.workers, options.scheduler, folder) as executor,
    ):
        started: dict[str, Started] = {}
        before: Started | None = None
        for study, (cells, out) in studies.items():
            now = started[study] = runner.start(cells, out, executor=executor)
            if before is not None:  # whose first cell is under way, and compiles for the others
                before.proceed()
            before = now
        if before is not None:
            before.proceed()
        work = {name: _work(figure, started) for name, figure in figures.items()}
        begin = time.perf_counter()
        drawn: list[dict[str, Any]] = []
        for name, figure in figures.items():
            if not options.json:
                left = time_left(work, name, time.perf_counter() - begin, options)
                output.print_lines(f"{name} … ({len(drawn) + 1} of {len(figures)}{left})")
            drawn.append(_figure(name, figure, started, options))
    return drawn


def _work(figure: ModuleType, started: Mapping[str, Started]) -> float:
    """What is still to be computed for a figure, in seconds of one core at the quick preset."""
    studies = [started[study] for study in figure.STUDIES]
    pending = sum(len(study.pending) for study in studies)
    seconds: float = getattr(figure, "SECONDS", _TYPICAL)
    return seconds * pending / sum(len(study.cells) for study in studies)


def time_left(work: Mapping[str, float], name: str, elapsed: float, options: Figures) -> str:
    """About how long it takes from the figure ``name`` on; nothing where nobody can know yet."""
    place = list(work).index(name)
    before, rest = sum([*work.values()][:place]), sum([*work.values()][place:])
    if rest == 0:
        return ""
    if before > 0:
        seconds = elapsed * rest / before
    elif options.preset == "quick" and options.scheduler is None:
        seconds = rest / options.workers
    else:
        return ""
    said = f"{seconds / 60:.0f} min" if seconds > 90 else f"{seconds:.0f} s"
    return f", about {said} left"


def _figure(
    name: str, figure: ModuleType, started: Mapping[str, Started], options: Figures
) -> dict[str, Any]:
    """Wait for the studies of one figure, draw it, check it, and write all three."""
    import pandas as pd

    from opal import records
    from opal.files import write_json

    start = time.perf_counter()
    frame = pd.concat(
        [started[study].finish(progress=not options.json) for study in figure.STUDIES],
        ignore_index=True,
    )
    pictures = _draw(figure, frame, options.out / name)
    checks = figure.checks(frame)
    report = {
        "name": name,
        "passed": passed(checks),
        "caption": figure.caption(frame) if hasattr(figure, "caption") else figure.CAPTION,
        "preset": options.preset,
        "pictures": [str(picture) for picture in pictures],
        "checks": [check.as_dict() for check in checks],
        "wall_time_s": time.perf_counter() - start,
    }
    stored = output.strict({**report, **records.provenance()})
    write_json(options.out / f"{name}.json", stored)
    return report


def _draw(figure: ModuleType, frame: pd.DataFrame, stem: Path) -> list[Path]:
    """Write the picture as PNG and PDF, each whole or absent."""
    import matplotlib as mpl

    from opal import plotting

    mpl.use("Agg")
    paths = [stem.with_suffix(".png"), stem.with_suffix(".pdf")]
    plotting.save(figure.draw(frame), paths, dpi=160)
    return paths


def _say(drawn: Sequence[dict[str, Any]], left_out: dict[str, str]) -> None:
    rows = [
        (
            figure["name"],
            check["name"],
            check["statistic"],
            check["threshold"],
            "pass" if check["passed"] else "FAIL",
            check["detail"],
        )
        for figure in drawn
        for check in figure["checks"]
    ]
    columns = ("figure", "check", "statistic", "threshold", "verdict", "detail")
    if rows:
        output.print_table("\nself-checks", columns, rows)
    for figure in drawn:
        output.print_lines(f"{figure['pictures'][0]}  {figure['caption']}")
    for name, reason in left_out.items():
        output.print_lines(f"{name} left out: {reason}")
