"""One progress bar for all: what is done, how many of how many, and about how long is left."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

T = TypeVar("T")


@dataclass(frozen=True)
class Bar:
    """A bar that is told how far the work is; see :func:`bar`."""

    _progress: Progress
    _task: TaskID

    def advance(self, steps: int = 1, doing: str | None = None) -> None:
        """So many more steps are done, and ``doing`` is what goes on."""
        self._progress.update(self._task, advance=steps, description=doing)

    def update(self, done: int, total: int | None = None, doing: str | None = None) -> None:
        """So many steps are done, of so many if that has changed or was not known."""
        self._progress.update(self._task, completed=done, total=total, description=doing)


@contextmanager
def bar(
    doing: str, total: int | None = None, *, quiet: bool = False, stays: bool = False
) -> Iterator[Bar]:
    """A bar on standard error while the context is open.

    Args:
        doing: what goes on, in a word or two.
        total: steps; None while nobody knows.
        quiet: show nothing.
        stays: leave the last line, also in a file, for it says how the work ended.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("left"),
    )
    # Steps may take minutes: the speed is that of the whole run, not of its last 30 seconds.
    console = Console(stderr=True)
    with Progress(
        *columns,
        console=console,
        # What disappears would leave an empty line in a file.
        disable=quiet or not (stays or console.is_terminal),
        transient=not stays,
        speed_estimate_period=math.inf,
    ) as progress:
        yield Bar(progress, progress.add_task(doing, total=total))


def track(units: Sequence[T], doing: str, *, quiet: bool = False) -> Iterator[T]:
    """The units one by one, behind a bar that counts those that are done."""
    with bar(doing, len(units), quiet=quiet) as shown:
        for unit in units:
            yield unit
            shown.advance()
