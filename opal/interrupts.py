"""What an interrupt, Ctrl-C or SIGTERM, says and leaves behind."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

CELLS = "finished cells are kept, and the same command resumes"
NOTHING = "nothing is kept, and the same command begins anew"


def in_file(path: Path) -> str:
    """What is kept by a command that puts what it gets into a file at once."""
    return f"what was there is kept in {path}, and the same command goes on"


class Terminated(KeyboardInterrupt):
    """SIGTERM asked this process to end, as a terminal does with SIGINT."""


@contextmanager
def keeps(what: str) -> Iterator[None]:
    """Let an interrupt of this block tell what is kept of it, and how to go on."""
    try:
        yield
    except KeyboardInterrupt as stop:
        stop.add_note(what)
        raise


def told(stop: KeyboardInterrupt) -> str:
    """What happened and what is kept, in a line.

    >>> told(KeyboardInterrupt())
    'interrupted; nothing is kept, and the same command begins anew'
    """
    kept = [*getattr(stop, "__notes__", ()), NOTHING][0]
    return f"{'terminated' if isinstance(stop, Terminated) else 'interrupted'}; {kept}"


@contextmanager
def terminable() -> Iterator[None]:
    """Turn SIGTERM into :class:`Terminated` in this block, so that what is open is closed.

    A second one ends the process at once, as do all where this is not the main thread.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        raise Terminated

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
