"""The records table: columns, types, round trip, and what is refused."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from opal import records
from opal.objective import Design
from opal.settings import GaussianMixture
from opal.synthesis import Duplication, Oracle

SETTING = GaussianMixture([[-1.0], [1.0]], name="two")
DESIGN = Design((20, 5), Duplication(), n_augmented=4, alpha=0.25, name="arm")
ROWS = {("risk", "class 0"): (0.5, 0.1), ("balanced_risk", "all"): (np.float64(0.6), np.nan)}


def table() -> pd.DataFrame:
    return records.of_design(SETTING, DESIGN, ROWS, study="test", n_replicates=7)


def test_a_design_fills_every_column() -> None:
    frame = table()
    assert list(frame.columns) == list(records.COLUMNS)
    assert {name: str(t) for name, t in frame.dtypes.items()} == dict(records.COLUMNS)
    first = frame.iloc[0].to_dict()
    assert pd.isna(first.pop("replicate"))
    assert first == {
        "study": "test",
        "source": "simulation",
        "setting": "two",
        "synthesizer": "duplication",
        "arm": "arm",
        "n_real": 25,
        "n_min": 5,
        "n_max": 20,
        "n_generator": 25.0,
        "n_shared": 25.0,
        "n_oversampled": 15,
        "n_augmented": 4,
        "alpha": 0.25,
        "n_replicates": 7,
        "group": "class 0",
        "metric": "risk",
        "value": 0.5,
        "std_error": 0.1,
    }


@pytest.mark.parametrize(
    ("design", "seen"),
    [
        (Design((20, 5)), (0.0, 0.0)),
        (DESIGN, (25.0, 25.0)),
        (DESIGN.with_(n_generator=100), (200.0, 0.0)),
        (DESIGN.with_(n_generator=(20, 7), n_shared=(20, 4)), (27.0, 24.0)),
        (DESIGN.with_(synthesizer=Oracle(SETTING.law)), (np.inf, 0.0)),
    ],
)
def test_records_say_which_real_rows_a_generator_saw(
    design: Design, seen: tuple[float, float]
) -> None:
    frame = records.of_design(SETTING, design, ROWS, study="test")
    names = ["n_generator", "n_shared"]
    assert frame[names].to_numpy().tolist() == [[*seen], [*seen]]
    assert records.validate(frame.drop(columns=names))[names].isna().all(axis=None)


def test_a_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    frame = table().assign(bias=[0.1, 0.2], replicate=pd.array([3, None], dtype="Int64"))
    path = records.write(frame, tmp_path / "t.parquet", metadata={"seed": 5})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["t.json", "t.parquet"]
    pd.testing.assert_frame_equal(records.read(path), frame)
    sidecar = records.read_metadata(path)
    assert (sidecar["seed"], sidecar["n_rows"]) == (5, 2)
    assert sidecar["schema_version"] == records.SCHEMA_VERSION


def test_neutral_columns_may_be_left_out_and_others_follow() -> None:
    needed = [name for name in records.COLUMNS if name not in records._DEFAULTS]
    short = table()[needed].assign(strength=0.9)[["strength", *needed]]
    frame = records.validate(short)
    assert list(frame.columns) == [*records.COLUMNS, "strength"]
    assert frame["synthesizer"].tolist() == ["none", "none"]
    assert frame["replicate"].isna().all()


@pytest.mark.parametrize("column", ["study", "value", "metric", "n_real"])
def test_a_missing_column_is_named(column: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"missing: ['{column}']. Add them, or rename")):
        records.validate(table().drop(columns=column))


def test_a_misspelt_column_is_named() -> None:
    with pytest.raises(ValueError, match=re.escape("missing: ['metric']")):
        records.validate(table().rename(columns={"metric": "metrik"}))


@pytest.mark.parametrize(
    ("column", "bad", "message"),
    [
        ("source", "guess", "source must be one of ('simulation', 'theory', 'data'); got"),
        ("alpha", 1.5, "alpha is a weight in [0, 1]; got 1.5"),
        ("alpha", np.nan, "alpha is a weight in [0, 1]; got nan"),
    ],
)
def test_impossible_values_are_refused(column: str, bad: object, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        records.validate(table().assign(**{column: bad}))


def test_nothing_is_written_of_a_table_that_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="source"):
        records.write(table().assign(source="guess"), tmp_path / "t.parquet")
    assert list(tmp_path.iterdir()) == []


def test_a_table_without_rows_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"at least one row; the table for t\.parquet has none"):
        records.write(table().head(0), tmp_path / "t.parquet")
    assert list(tmp_path.iterdir()) == []


def test_a_dot_in_a_name_stays(tmp_path: Path) -> None:
    path = records.write(table(), tmp_path / "a.b")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.b.json", "a.b.parquet"]
    pd.testing.assert_frame_equal(records.read(tmp_path / "a.b"), records.read(path))


def test_another_version_is_refused(tmp_path: Path) -> None:
    path = records.write(table(), tmp_path / "t.parquet")
    sidecar = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps({**sidecar, "schema_version": 99}))
    with pytest.raises(ValueError, match=r"schema version 99, this opal reads 1\. Run the study"):
        records.read(path)


def test_a_damaged_table_is_refused(tmp_path: Path) -> None:
    path = records.write(table(), tmp_path / "t.parquet")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match="not a readable Parquet file"):
        records.read(path)


@pytest.mark.parametrize("content", [None, "{", "[1]"])
def test_a_sidecar_that_says_nothing_is_refused(content: str | None, tmp_path: Path) -> None:
    path = records.write(table(), tmp_path / "t.parquet")
    sidecar = path.with_suffix(".json")
    sidecar.unlink()
    if content is not None:
        sidecar.write_text(content)
    with pytest.raises(ValueError, match="JSON"):
        records.read(path)


def test_no_table_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no records at"):
        records.read(tmp_path / "t.parquet")


def test_the_commit_of_another_project_is_not_opal_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = tmp_path / ".venv" / "opal" / "records.py"
    installed.parent.mkdir(parents=True)
    installed.write_text("")
    commit = ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "-m", "theirs"]
    (tmp_path / "theirs.py").write_text("")
    for words in (["init", "--quiet"], ["add", "theirs.py"], commit):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    monkeypatch.setattr(records, "__file__", str(installed))
    assert records.provenance()["git_commit"] is None
    # Control: where its files are tracked, it is a commit.
    subprocess.run(["git", "add", ".venv"], cwd=tmp_path, check=True)
    assert re.fullmatch(r"[0-9a-f]{40}", records.provenance()["git_commit"])


def test_provenance_names_versions_and_the_commit() -> None:
    made = records.provenance()
    assert {"python", "jax", "numpy", "pandas"} <= set(made["versions"])
    assert made["git_commit"] is None or re.fullmatch(r"[0-9a-f]{40}", made["git_commit"])
