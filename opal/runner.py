"""Independent cells of a study, mapped over an executor, each on disk before it counts as done."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, as_completed
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opal import __version__
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
    import pandas as pd

    from opal import records

    if not cells:
        raise ValueError("a study needs at least one cell; got none.")
    check_finished(cells, out)
    folder = writable_folder(out).absolute()  # workers need not share the working folder
    paths = {cell.key(): (cell, folder / f"{cell.key()}.parquet") for cell in cells}
    pending = [(cell, path) for cell, path in paths.values() if not path.exists()]
    with bar("cells", len(paths), quiet=not (progress and pending), stays=True) as shown:
        shown.update(len(paths) - len(pending))
        for label in _compute(pending, executor):
            shown.advance(doing=label)
    return pd.concat([records.read(path) for _, path in paths.values()], ignore_index=True)


def check_finished(cells: Sequence[Cell], out: Path) -> None:
    """Check that this opal can read the cells that ``out`` holds, before others are computed.

    Raises:
        ValueError: one is of another schema version, or damaged.
    """
    from opal import records

    for path in (out / f"{cell.key()}.parquet" for cell in cells):
        if path.exists():
            records.check(path)


def _compute(pending: Sequence[tuple[Cell, Path]], executor: Executor | None) -> Iterator[str]:
    """Finish each cell and yield its label."""
    if executor is None:
        for cell, path in pending:
            _finish(cell, path)
            yield cell.label
        return
    futures: dict[Future[None], Cell] = {executor.submit(_finish, c, p): c for c, p in pending}
    try:
        for future in as_completed(futures):
            label = futures[future].label
            try:
                future.result()
            except Exception as error:
                error.add_note(f"in cell {label!r}")
                raise
            yield label
    except BaseException:
        # A failed cell ends the study, but what others have finished stays on disk.
        for future in futures:
            future.cancel()
        raise


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
