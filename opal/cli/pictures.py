"""Where the pictures of a command go: checked before any work starts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from opal.files import NamedPath, require_distinct, writable_folder

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = (".png", ".pdf", ".svg")


def picture_paths(
    plot: Path | None,
    groups: Sequence[object | None],
    *,
    read: Sequence[NamedPath],
    written: Sequence[NamedPath] = (),
) -> list[Path | None]:
    """The path of the picture of each group; None if none is asked for.

    Args:
        plot: the file that was named; the name of a group is put before its suffix.
        groups: names of groups; None for a table that has none.
        read: what the files are called that the command reads, and their paths.
        written: likewise for those that it writes beside the picture.

    Raises:
        ValueError: the format is not known, two files are one, or one is a device.
        OSError: the folder cannot be written.
    """
    if plot is None:
        require_distinct(read, written)
        return [None] * len(groups)
    if plot.suffix.lower() not in FORMATS:
        raise ValueError(f"--plot names a file that ends in {', '.join(FORMATS)}; got {plot}.")
    paths = [plot if group is None else _of_group(plot, group) for group in groups]
    flags = ["--plot" if group is None else f"--plot of {group}" for group in groups]
    require_distinct(read, [*written, *zip(flags, paths, strict=True)])
    writable_folder(plot.parent, "--plot")
    return [*paths]


def save(figure: Figure, path: Path) -> None:
    """Write a figure of pyplot's as :func:`opal.plotting.save` does, and close it."""
    from matplotlib import pyplot as plt

    from opal import plotting

    plotting.save(figure, path)
    plt.close(figure)


def _of_group(plot: Path, group: object) -> Path:
    safe = re.sub(r"[^\w.-]+", "_", str(group))
    return plot.with_name(f"{plot.stem}-{safe}{plot.suffix}")
