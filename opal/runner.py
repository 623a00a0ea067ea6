"""Independent cells of a study, mapped over an executor, each on disk before it counts as done."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opal import __version__, interrupts
from opal.compiled import release_when_many
from opal.files import writable_folder
from opal.progress import bar

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Cell:
    """A function of one configuration that returns records; independent of all other cells.

    Attributes:
        function: importable from the top level of its module, so that a worker process finds it.
        config: frozen dataclass of JSON-able fields; it alone decides the result.
        label: what the progress bar says.
    """

    function: Callable[[Any], pd.DataFrame]
    config: Any
    label: str = ""

    def identity(self) -> dict[str, Any]:
        """What decides the result: the function's name, its configuration, opal's version."""
        if not is_dataclass(self.config) or isinstance(self.config, type):
            raise TypeError(f"a cell's config must be a dataclass instance; got {self.config!r}.")
        name = f"{self.function.__module__}.{self.function.__qualname__}"
        return {"function": name, "config": asdict(self.config), "opal": __version__}

    def key(self) -> str:
        """File name of the cell: a hash of its identity."""
        text = json.dumps(self.identity(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:20]


def run(
    cells: Sequence[Cell],
    out: Path,
    *,
    executor: Executor | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Compute the cells that ``out`` does not hold yet and return the records of all of them.

    Args:
        cells: independent cells; equal cells are computed once.
        out: folder of finished cells, one records table each.
        executor: any :class:`concurrent.futures.Executor` (see :mod:`opal.executors`); the calling
            process if None, since JAX already uses all cores.
        progress: show a progress bar on standard error.

    Raises:
        OSError: ``out`` cannot be written (before any cell starts).
        ValueError: there are no cells, or ``out`` holds records that cannot be read.
    """
    return start(cells, out, executor=executor).finish(progress=progress)


@dataclass(frozen=True)
class Started:
    """Cells that an executor may be computing; see :func:`start`.

    Attributes:
        cells: all of them, by the path of their records.
        pending: paths that were not there at the start.
        executor: who computes; the calling process, at the end, if None.
        futures: what the executor was given, and the label of each.
    """

    cells: dict[Path, Cell]
    pending: tuple[Path, ...]
    executor: Executor | None
    futures: dict[Future[None], str]

    def proceed(self, most: int | None = None) -> None:
        """Hand the executor at ``most`` so many cells that it does not have yet; all if None."""
        if self.executor is not None:
            for path in self.pending[len(self.futures) :][:most]:
                cell = self.cells[path]
                self.futures[self.executor.submit(_finish, cell, path)] = cell.label

    def finish(self, *, progress: bool = True) -> pd.DataFrame:
        """Wait for all cells, or compute them here, and return their records.

        A failed cell ends the study, but what others have finished stays on disk.
        """
        import pandas as pd

        from opal import records

        quiet = not (progress and self.pending)
        with (
            interrupts.keeps(interrupts.CELLS),
            bar("cells", len(self.cells), quiet=quiet, stays=True) as shown,
        ):
            shown.update(len(self.cells) - len(self.pending))
            for label in self._labels():
                shown.advance(doing=label)
        return pd.concat([records.read(path) for path in self.cells], ignore_index=True)

    def _labels(self) -> Iterator[str]:
        """The label of each cell as it is finished."""
        if self.executor is None:
            for path in self.pending:
                with _naming(self.cells[path].label):
                    _finish(self.cells[path], path)
                yield self.cells[path].label
            return
        self.proceed()
        try:
            for future in as_completed(self.futures):
                label = self.futures[future]
                with _naming(label):
                    future.result()
                yield label
        except BaseException:
            for future in self.futures:
                future.cancel()
            raise


@contextmanager
def _naming(label: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        error.add_note(f"in cell {label!r}")
        raise


def start(cells: Sequence[Cell], out: Path, *, executor: Executor | None = None) -> Started:
    """Hand an executor the first cell that ``out`` does not hold yet, and do not wait for it.

    The first cell compiles what the others need, so they are better off a little later: start
    several studies, and let each ``proceed`` when the next has started. The arguments and errors
    are those of :func:`run`.
    """
    if not cells:
        raise ValueError("a study needs at least one cell; got none.")
    check_finished(cells, out)
    folder = writable_folder(out).absolute()  # workers need not share the working folder
    paths = {folder / f"{cell.key()}.parquet": cell for cell in cells}
    pending = tuple(path for path in paths if not path.exists())
    started = Started(paths, pending, executor, {})
    started.proceed(1)
    return started


def unfinished(cells: Sequence[Cell], out: Path) -> list[Cell]:
    """Those whose records ``out`` does not hold yet."""
    return [cell for cell in cells if not (out / f"{cell.key()}.parquet").exists()]


def check_finished(cells: Sequence[Cell], out: Path) -> None:
    """Check that this opal can read the cells that ``out`` holds, before others are computed.

    Raises:
        ValueError: one is of another schema version, or damaged.
    """
    from opal import records

    for path in (out / f"{cell.key()}.parquet" for cell in cells):
        if path.exists():
            records.check(path)


def _finish(cell: Cell, path: Path) -> None:
    """Compute one cell and put it on disk, in whichever process this runs.

    Raises:
        ValueError: this process would compute another cell than the one asked for.
    """
    from opal import records

    if path.stem != cell.key():
        raise ValueError(
            f"all processes of a run must have the same opal; cell {cell.label!r} reached one with "
            f"opal {__version__}, under which it is another cell. Install the same opal there."
        )
    if path.exists():
        return  # by a worker that was given up for dead, or in another run
    start = time.perf_counter()
    frame = cell.function(cell.config)
    wall_time = time.perf_counter() - start
    metadata = {**cell.identity(), **records.provenance(), "wall_time_s": wall_time}
    records.write(frame, path, metadata=metadata)
    release_when_many()
