"""A progress bar on standard error."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any


def progress(units: Sequence[Any], doing: str, *, quiet: bool) -> Iterable[Any]:
    """The units behind a progress bar on standard error."""
    from rich.console import Console
    from rich.progress import track

    return track(units, doing, console=Console(stderr=True), disable=quiet)
