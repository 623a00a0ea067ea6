"""``opal figures``: run the studies, draw the pictures, hold them to their own checks."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import takewhile
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from opal import executors, interrupts
from opal.checks import Check
from opal.cli import configuration, drawing, output, registry
from opal.cli.configuration import NOT_JUDGED, UNJUDGED
from opal.cli.drawing import Source
from opal.cli.parsing import help_text, parse
from opal.cli.run import verdict

if TYPE_CHECKING:
    import pandas as pd

    from opal.runner import Cell, Started

_CELLS = "records"  # folder of finished cells under --out
_WIDE = "it needs the width of a page; leave --width column out"
_TYPICAL = 60.0  # seconds of a figure that does not say its own


@dataclass(frozen=True)
class Figures:
    """Draw figures and print a table of their self-checks; status 1 if one fails.

    The preset tiny is too small to be judged: its status is 0 whatever its checks say.

    Each figure becomes NAME.png, NAME.pdf and NAME.json (caption, checks, configuration, versions).
    With one figure named first, the flags of its study change single fields of the preset, and the
    files are NAME-XXXXXXXX: `opal figures NAME --help` shows them. A figure whose data cannot be
    had is left out, with one line that says how to get them.

    Examples:
        opal figures alpha imbalance --preset quick --out figures
        opal figures alpha --dim 10 --shift 0 .1 .3 .6
        opal figures --from results/alpha-quick.parquet --format svg
    """

    names: tyro.conf.Positional[tuple[str, ...]] = ()
    """Figures to draw; all of them if none is named."""
    preset: Literal["tiny", "quick", "full"] = "quick"
    """How large the studies are."""
    drawn_from: Annotated[tuple[Path, ...], tyro.conf.arg(name="from")] = ()
    """Records of `opal run` to draw, where nothing is to be run; without NAMES, all figures that
    they have the studies of."""
    formats: Annotated[tuple[Literal["png", "pdf", "svg"], ...], tyro.conf.arg(name="format")] = (
        "png",
        "pdf",
    )
    """Formats of the pictures."""
    width: Literal["text", "column"] = "text"
    """Of the page, or of one of its two columns (3.25 inches), for which panels stand below one
    another."""
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
    options, configs = configure(args)
    if options.drawn_from:
        return _told(*_redrawn(options, configs), options)
    names = options.names or tuple(registry.claims("figure"))
    modules = {name: registry.load("figure", name) for name in names}
    left_out = {n: reason for n, m in modules.items() if (reason := _missing(m, options.width))}
    possible = {name: module for name, module in modules.items() if name not in left_out}
    return _told(_drawn(possible, _studies(possible, configs, options), options), left_out, options)


def configure(args: Sequence[str]) -> tuple[Figures, dict[str, Any]]:
    """The options, and by study the configurations that flags may have changed.

    Raises:
        UnknownNameError: there is no such figure.
        ValueError: a list is empty, the number of workers is not positive, or a study can do
            nothing with a number.
    """
    names = list(takewhile(lambda word: not word.startswith("-"), args))
    studies = registry.load("figure", names[0]).STUDIES if len(names) == 1 else ()
    base = configuration.preset_in(args)
    command = configuration.command(Figures, studies, base) if studies else Figures
    options = parse(command, args, prog="opal figures", description=help_text(Figures))
    for name, given in (("--from", options.drawn_from), ("--format", options.formats)):
        if name in args and not given:
            raise ValueError(f"{name} needs at least one value; got none. Name one.")
    executors.check(options.workers, options.scheduler)
    configs = {study: getattr(options, study) for study in studies}
    for config in configs.values():
        configuration.check(config)
    return options, configs


def _told(drawn: Sequence[dict[str, Any]], left_out: Mapping[str, str], options: Figures) -> int:
    """Say what was drawn; the status."""
    judged = all(figure["preset"] != UNJUDGED for figure in drawn)
    complete = not left_out.keys() & {*options.names}
    holds = all(figure["passed"] for figure in drawn)
    if options.json:
        gaps = [{"name": name, "reason": reason} for name, reason in left_out.items()]
        verdict = {"passed": holds and complete, "judged": judged}
        output.print_json({**verdict, "figures": drawn, "left_out": gaps})
    else:
        _say(drawn, left_out)
        output.print_lines(*([] if judged else [NOT_JUDGED]))
    return 0 if complete and (holds or not judged) else 1


def _redrawn(
    options: Figures, configs: Mapping[str, Any]
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Draw what tables hold.

    Raises:
        ValueError: a table is none of `opal run`, two are of one study, one that a figure needs is
            not there or not whole, it would be replaced, or flags ask for something to be run.
    """
    from opal.files import writable_folder

    usual = {study: configuration.preset(study, options.preset) for study in configs}
    if usual != dict(configs) or options.preset != Figures.preset:
        raise ValueError(
            "--from draws records as they are; leave --preset and the flags of the study out."
        )
    tables = drawing.read(options.drawn_from)
    figures = {n: registry.load("figure", n) for n in options.names or registry.claims("figure")}
    chosen = {n: each for n, each in figures.items() if tables.keys() >= {*each.STUDIES}}
    for name in options.names:
        if name not in chosen:
            studies = ", ".join(figures[name].STUDIES)
            raise ValueError(
                f"figure {name} draws records of {studies}; --from holds {', '.join(tables)}. "
                f"Name those that `opal run` has written of {studies}."
            )
    if not chosen:
        raise ValueError(f"no figure draws records of {', '.join(tables)} alone.")
    wide = {name: _WIDE for name, each in chosen.items() if not _fits(each, options.width)}
    possible = {name: each for name, each in chosen.items() if name not in wide}
    for name, figure in possible.items():
        drawn_from = [tables[study][0] for study in figure.STUDIES]
        drawing.require_free(name, drawn_from, options.out, options.width)
    writable_folder(options.out)
    drawn = []
    for name, figure in possible.items():
        start = time.perf_counter()
        sources, parts = zip(*(tables[study] for study in figure.STUDIES), strict=True)
        try:
            drawn.append(_written(name, figure, parts, sources, start, options))
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise ValueError(
                f"figure {name} cannot be drawn of what --from names ({type(error).__name__}: "
                f"{error}). Run {', '.join(figure.STUDIES)} again, and draw those records."
            ) from error
    return drawn, wide


def _written(
    name: str,
    figure: ModuleType,
    parts: Sequence[pd.DataFrame],
    sources: Sequence[Source],
    start: float,
    options: Figures,
) -> dict[str, Any]:
    """Draw a figure of the records of its studies, as the options say."""
    import pandas as pd

    frame = pd.concat(parts, ignore_index=True)
    out, formats, width = options.out, options.formats, options.width
    return drawing.write(name, figure, frame, sources, start, out, formats, width)


def _fits(figure: ModuleType, width: str) -> bool:
    return width != "column" or getattr(figure, "FITS_COLUMN", False)


def _missing(figure: ModuleType, width: str) -> str | None:
    """Why a figure cannot be drawn here of records that are yet to be made; None if it can."""
    if not _fits(figure, width):
        return _WIDE
    reason: str | None = figure.unavailable() if hasattr(figure, "unavailable") else None
    return reason


def _studies(
    figures: Mapping[str, ModuleType], configs: Mapping[str, Any], options: Figures
) -> dict[str, tuple[Source, list[Cell]]]:
    """Each study that figures read, with its cells, all checked before any of them starts."""
    from opal import runner

    studies = {}
    for study in dict.fromkeys(name for figure in figures.values() for name in figure.STUDIES):
        config = configs.get(study, configuration.preset(study, options.preset))
        cells = registry.load("study", study).cells(config)
        runner.check_finished(cells, options.out / _CELLS / study)
        studies[study] = Source(study, options.preset, asdict(config)), cells
    return studies


def _drawn(
    figures: Mapping[str, ModuleType],
    studies: Mapping[str, tuple[Source, list[Cell]]],
    options: Figures,
) -> list[dict[str, Any]]:
    """Draw figure after figure, while the workers are on to the next ones' cells."""
    from opal import runner
    from opal.files import writable_folder

    sources = {name: [studies[s][0] for s in each.STUDIES] for name, each in figures.items()}
    for name in figures:
        drawing.require_free(name, sources[name], options.out, options.width)
    folder = writable_folder(options.out / _CELLS)
    if not figures:
        return []
    with (
        interrupts.keeps(interrupts.CELLS),
        executors.executor(options.workers, options.scheduler, folder) as executor,
    ):
        started: dict[str, Started] = {}
        before: Started | None = None
        for study, (_, cells) in studies.items():
            now = started[study] = runner.start(cells, folder / study, executor=executor)
            if before is not None:  # whose first cell is under way, and compiles for the others
                before.proceed()
            before = now
        if before is not None:
            before.proceed()
        work = {name: _work(each, sources[name], started) for name, each in figures.items()}
        begin = time.perf_counter()
        drawn: list[dict[str, Any]] = []
        for name, figure in figures.items():
            start = time.perf_counter()
            if not options.json:
                left = time_left(work, name, start - begin, options)
                output.print_lines(f"{name} … ({len(drawn) + 1} of {len(figures)}{left})")
            parts = [started[s].finish(progress=not options.json) for s in figure.STUDIES]
            drawn.append(_written(name, figure, parts, sources[name], start, options))
    return drawn


def _work(figure: ModuleType, sources: Sequence[Source], started: Mapping[str, Started]) -> float:
    """What is still to be computed for a figure, in seconds of one core at the quick preset.

    Nothing is known of another configuration.
    """
    if not all(source.is_preset for source in sources):
        return 0.0
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


def _say(drawn: Sequence[dict[str, Any]], left_out: Mapping[str, str]) -> None:
    rows = [
        (
            figure["name"],
            check.name,
            output.number(check.statistic),
            output.number(check.threshold),
            verdict(check, judged=figure["preset"] != UNJUDGED),
            check.detail,
        )
        for figure in drawn
        for check in (Check(**stored) for stored in figure["checks"])
    ]
    columns = ("figure", "check", "statistic", "threshold", "verdict", "detail")
    if rows:
        output.print_table("\nself-checks", columns, rows)
    for figure in drawn:
        output.print_lines(f"{figure['pictures'][0]}  {figure['caption']}")
    for name, reason in left_out.items():
        output.print_lines(f"{name} left out: {reason}")
