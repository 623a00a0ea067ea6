"""One figure: its records, its pictures, its checks, and the file that says all of them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from opal.cli import configuration, output, registry
from opal.cli.run import passed

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Source:
    """Where the records of a study come from."""

    study: str
    preset: str
    config: Mapping[str, Any]

    @property
    def label(self) -> str:
        """The preset, or digits of another configuration."""
        return configuration.label(self.study, self.preset, self.config)

    @property
    def is_preset(self) -> bool:
        """Whether the configuration is one that the study proposes."""
        return self.label == self.preset


def require_free(name: str, sources: Sequence[Source], out: Path, width: str) -> None:
    """Check that no records are in ``out`` whose sidecar the file of a figure would replace.

    Raises:
        ValueError: there are: figure and study are called alike, and their configuration is one.
    """
    table = out / f"{_stem(name, sources, width)}.parquet"
    if table.exists():
        raise ValueError(
            f"a figure replaces no records; its {table.with_suffix('.json')} would replace the "
            f"sidecar of {table}: name another folder with --out."
        )


def _stem(name: str, sources: Sequence[Source], width: str) -> str:
    own = [source.label for source in sources if not source.is_preset]
    return "-".join([name, *own, *(["column"] if width == "column" else [])])


def write(
    name: str,
    figure: ModuleType,
    frame: pd.DataFrame,
    sources: Sequence[Source],
    start: float,
    out: Path,
    formats: Sequence[str],
    width: str,
) -> dict[str, Any]:
    """Draw a figure of records, check it, and write all into ``out``.

    Args:
        name: of the figure; what is written is called after it and any configuration of its own.
        figure: its module.
        frame: records of all its studies.
        sources: of the records, study by study.
        start: when work on the figure began, by :func:`time.perf_counter`.
        out: folder.
        formats: of the pictures.
        width: text, or column: the name of what is written then ends in it.

    Returns:
        What was written, as JSON-able fields.
    """
    from opal import records
    from opal.files import write_json

    stem = _stem(name, sources, width)
    pictures = [out / f"{stem}.{kind}" for kind in formats]
    _draw(figure, frame, pictures, width)
    checks = figure.checks(frame)
    report = {
        "name": name,
        "passed": passed(checks),
        "caption": figure.caption(frame) if hasattr(figure, "caption") else figure.CAPTION,
        "preset": sources[0].preset,
        "config": {source.study: dict(source.config) for source in sources},
        "pictures": [str(picture) for picture in pictures],
        "checks": [check.as_dict() for check in checks],
        "wall_time_s": time.perf_counter() - start,
    }
    stored = output.strict({**report, **records.provenance()})
    write_json(out / f"{stem}.json", stored)
    return report


def _draw(figure: ModuleType, frame: pd.DataFrame, paths: Sequence[Path], width: str) -> None:
    """Write the picture in each format, each whole or absent."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    from opal import plotting

    size: dict[Any, Any] = {"figure.figsize": (plotting.COLUMN, 2.4)} if width == "column" else {}
    with mpl.rc_context(size):
        picture = figure.draw(frame)
    for path in paths:
        plotting.save(picture, path)
    plt.close(picture)


def read(paths: Sequence[Path]) -> dict[str, tuple[Source, pd.DataFrame]]:
    """Records of `opal run` by study, and what is known of them.

    Raises:
        FileNotFoundError: there are none at a path.
        ValueError: a path is of no table, a table is of no study, or of another one than its
            sidecar says, or two are of one.
    """
    from opal import records

    found: dict[str, tuple[Source, pd.DataFrame]] = {}
    for path in paths:
        if path.is_dir() or (path.exists() and path.suffix != ".parquet"):
            what = "a folder" if path.is_dir() else "no Parquet file"
            raise ValueError(
                f"--from must name tables that `opal run` has written; {path} is {what}: name "
                "files that end in .parquet."
            )
        frame, told = records.read(path), records.read_metadata(path)
        study, preset, config = (told.get(each) for each in ("study", "preset", "config"))
        if (
            not isinstance(study, str)
            or study not in registry.claims("study")
            or not isinstance(config, dict)
        ):
            raise ValueError(
                f"--from must name records that `opal run` has written; {path} says of no study "
                "that it is its."
            )
        if {*frame["study"]} != {study}:
            inside = ", ".join(map(str, frame["study"].unique()[:5]))
            raise ValueError(
                f"--from must name records as `opal run` has written them; the rows of {path} are "
                f"of {inside}, and its JSON says {study}. Run the study again."
            )
        if study in found:
            raise ValueError(f"--from names two tables of study {study}; the second is {path}.")
        found[study] = Source(study, str(preset), config), frame
    return found
