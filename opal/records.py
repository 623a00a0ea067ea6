"""The one table that every study writes and every figure, fit and plan reads.

A records table is a tidy :class:`pandas.DataFrame`, one row per number. The columns of
:data:`COLUMNS` come first and are always there; a study may add columns of its own after them
(``bias``, ``strength``, …). On disk it is ``NAME.parquet`` beside ``NAME.json``, which holds the
configuration, seed, library versions, git commit and wall time.

``n_generator`` says how many real rows a synthesizer has seen, so that arms can be compared by all
that they were given: 0 without a synthesizer, infinity for one that is given its law (an oracle),
missing where nobody said. ``n_shared`` of them are among the ``n_real``.
"""

from __future__ import annotations

import json
import platform
import subprocess
from collections.abc import Mapping
from importlib import metadata as distributions
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd

from opal.files import write_atomically, write_json

if TYPE_CHECKING:
    from opal.objective import Design, PredictionPowered

SCHEMA_VERSION = 1


class HasName(Protocol):
    """What records know of a setting."""

    @property
    def name(self) -> str:
        """Short description."""
        ...


COLUMNS: Mapping[str, str] = {
    "study": "str",
    "source": "str",  # simulation | theory | data
    "setting": "str",
    "synthesizer": "str",
    "arm": "str",
    "n_real": "int64",  # over all groups
    "n_min": "int64",
    "n_max": "int64",
    "n_generator": "float64",  # real rows of all groups that synthetic ones come from
    "n_shared": "float64",  # those of them that are training rows
    "n_oversampled": "int64",  # over all groups
    "n_augmented": "int64",  # N, for each group
    "alpha": "float64",
    "replicate": "Int64",  # missing for an aggregate
    "n_replicates": "int64",
    "group": "str",  # "all" for balanced, worst, …
    "metric": "str",
    "value": "float64",
    "std_error": "float64",  # missing for a single replicate
}
SOURCES = ("simulation", "theory", "data")
# What pandas 3 calls "str"; by that name pandas 2 makes a missing text "nan" or "None".
_TEXT = pd.StringDtype(na_value=np.nan)
_DTYPES: Mapping[str, Any] = {k: _TEXT if kind == "str" else kind for k, kind in COLUMNS.items()}
_DEFAULTS: Mapping[str, Any] = {
    "synthesizer": "none",
    "n_generator": np.nan,
    "n_shared": np.nan,
    "n_oversampled": 0,
    "n_augmented": 0,
    "alpha": 0.0,
    "replicate": pd.NA,
    "n_replicates": 1,
    "group": "all",
    "std_error": np.nan,
}


def validate(frame: pd.DataFrame) -> pd.DataFrame:
    """Return ``frame`` with the records columns first and in their types.

    Columns with an obvious neutral value (:data:`synthesizer`, ``alpha``, ``group``, …) may be
    left out; the others must be there.

    Raises:
        ValueError: a required column is missing, a source is unknown, or α lies outside [0, 1].
    """
    frame = frame.assign(**{k: v for k, v in _DEFAULTS.items() if k not in frame.columns})
    missing = [name for name in COLUMNS if name not in frame.columns]
    if missing:
        raise ValueError(
            f"a records table needs the columns {list(COLUMNS)}; missing: {missing}. "
            "Add them, or rename yours to these names."
        )
    unknown = sorted(set(frame["source"]) - set(SOURCES))
    if unknown:
        raise ValueError(f"source must be one of {SOURCES}; got {unknown}.")
    if not frame["alpha"].between(0.0, 1.0).all():
        bad = frame.loc[~frame["alpha"].between(0.0, 1.0), "alpha"].iloc[0]
        raise ValueError(f"alpha is a weight in [0, 1]; got {bad}.")
    extra = [name for name in frame.columns if name not in COLUMNS]
    typed = frame.astype(dict(_DTYPES))
    return typed[[*COLUMNS, *extra]].reset_index(drop=True)


def of_design(
    setting: HasName,
    design: Design | PredictionPowered,
    rows: Mapping[tuple[str, str], tuple[Any, Any]],
    *,
    study: str,
    n_replicates: int = 0,
    source: str = "simulation",
) -> pd.DataFrame:
    """Records of one design, from ``(metric, group) ↦ (value, standard error)``."""
    measured = pd.DataFrame(
        [
            {"metric": metric, "group": group, "value": float(value), "std_error": float(error)}
            for (metric, group), (value, error) in rows.items()
        ]
    )
    return validate(
        measured.assign(
            study=study,
            source=source,
            setting=setting.name,
            arm=design.arm,
            n_real=sum(design.counts),
            n_min=min(design.counts),
            n_max=max(design.counts),
            **_added(design),
            n_replicates=n_replicates,
        )
    )


def _added(design: Design | PredictionPowered) -> dict[str, object]:
    """What a design adds to its labelled rows: synthetic rows, or real ones without a label."""
    from opal.objective import PredictionPowered

    if isinstance(design, PredictionPowered):
        more = {"n_unlabelled": sum(design.n_unlabelled), "power": design.power}
        none = {"synthesizer": "none", "n_oversampled": 0, "n_augmented": 0, "alpha": 0.0}
        return {**none, "n_generator": 0.0, "n_shared": 0.0, **more}
    return {
        "synthesizer": design.synthesizer.name if design.synthesizer else "none",
        "n_oversampled": sum(design.n_oversampled),
        "n_augmented": design.n_augmented,
        "alpha": design.alpha,
        **_seen(design),
    }


def _seen(design: Design) -> dict[str, float]:
    """Real rows that a design's synthetic rows come from; none where there are no such rows."""
    if design.synthesizer is None or not (any(design.n_oversampled) or design.n_augmented):
        return {"n_generator": 0.0, "n_shared": 0.0}
    if not getattr(design.synthesizer, "uses_seeds", True):
        return {"n_generator": np.inf, "n_shared": 0.0}
    return {"n_generator": sum(design.n_fitted), "n_shared": sum(design.n_in_training)}


def write(frame: pd.DataFrame, path: Path, *, metadata: Mapping[str, Any] | None = None) -> Path:
    """Write ``path`` (``.parquet``, appended if need be) and its JSON sidecar, each atomically.

    The sidecar goes first: a Parquet file that exists is therefore always described.

    Raises:
        ValueError: the table is refused by :func:`validate`, or has no rows.
    """
    path = _parquet(path)
    frame = validate(frame)
    if frame.empty:
        raise ValueError(
            f"records need at least one row; the table for {path.name} has none. "
            "Look for the condition that left nothing to measure."
        )
    sidecar = {"schema_version": SCHEMA_VERSION, "n_rows": len(frame), **(metadata or {})}
    write_json(path.with_suffix(".json"), sidecar)
    write_atomically(path, lambda temporary: frame.to_parquet(temporary, index=False))
    return path


def read(path: Path) -> pd.DataFrame:
    """Read a records table written by :func:`write`.

    Raises:
        FileNotFoundError: there is no such table.
        ValueError: the table is of another schema version, has no sidecar, or is damaged.
    """
    path = _parquet(path)
    if not path.exists():
        raise FileNotFoundError(f"no records at {path}; write them with `opal run STUDY`.")
    check_version(path)
    try:
        frame = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} is not a readable Parquet file ({error}). Delete it.") from error
    return validate(frame)


def check(path: Path) -> None:
    """Check that this opal can read the records table at ``path``, by its sidecar and its footer.

    Raises:
        ValueError: it is of another schema version, has no sidecar, or is damaged.
    """
    from pyarrow import ArrowInvalid, parquet

    check_version(path)
    try:
        parquet.read_metadata(path)
    except (OSError, ArrowInvalid) as error:
        raise ValueError(f"{path} is not a readable Parquet file ({error}). Delete it.") from error


def check_free(path: Path) -> None:
    """Check that a table that is not there yet can have its sidecar, which may be left of a crash.

    Raises:
        ValueError: there is another file of that name, as a figure's.
    """
    sidecar = _parquet(path).with_suffix(".json")
    if sidecar.exists() and "schema_version" not in read_metadata(path):
        raise ValueError(
            f"records replace no other file; their sidecar would replace {sidecar}, which is none: "
            "name another folder."
        )


def check_version(path: Path) -> None:
    """Check that this opal can read the records table at ``path``.

    Raises:
        ValueError: its schema version is another, or its sidecar cannot be read.
    """
    version = read_metadata(path).get("schema_version")
    if version != SCHEMA_VERSION:
        raise ValueError(
            f"{path} has records schema version {version!r}, this opal reads {SCHEMA_VERSION}. "
            "Run the study again into a new folder, or install the opal that wrote it."
        )


def read_metadata(path: Path) -> dict[str, Any]:
    """Read the sidecar of a records table.

    Raises:
        ValueError: the sidecar is missing or is not JSON.
    """
    sidecar = _parquet(path).with_suffix(".json")
    try:
        content = json.loads(sidecar.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(
            f"records need a JSON sidecar; {sidecar} cannot be read ({error}). "
            f"Delete {_parquet(path).name}: the same command makes it again."
        ) from error
    if not isinstance(content, dict):
        raise ValueError(f"{sidecar} must hold a JSON object; got {type(content).__name__}.")
    return content


def _parquet(path: Path) -> Path:
    """``path`` with ``.parquet`` at its end; a dot inside a name is part of the name."""
    path = Path(path)
    return path if path.suffix == ".parquet" else path.with_name(f"{path.name}.parquet")


def provenance() -> dict[str, Any]:
    """Versions and git commit under which records are made."""
    names = ("jax", "jaxlib", "numpy", "scipy", "pandas", "scikit-learn")
    return {
        "versions": {
            "python": platform.python_version(),
            **{name: distributions.version(name) for name in names},
        },
        "git_commit": _git_commit(),
    }


def _git_commit() -> str | None:
    """The commit of the checkout that opal runs from; None outside a checkout.

    An opal that is installed within the repository of another project is not tracked there.
    """
    file = Path(__file__)
    if _git(file.parent, "ls-files", "--error-unmatch", file.name) is None:
        return None
    return _git(file.parent, "rev-parse", "HEAD")


def _git(folder: Path, *words: str) -> str | None:
    try:
        result = subprocess.run(
            ["git", *words], cwd=folder, capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() if result.returncode == 0 else None
