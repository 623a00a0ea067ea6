"""Every figure draws from its tiny records and states checks, whatever they say at that size."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from opal import plotting, records
from opal.cli import main, registry

FIGURES = sorted(registry.claims("figure"))
# Quick tests draw one of the simulated figures, and published tables; make figures draws all.
SLOW = (
    *("alpha", "correction", "downstream", "end_to_end", "generator_capacity", "generator_data"),
    *("high_dim", "imbalance", "imputation", "mixture_law", "plan", "spurious", "tabular", "text"),
)


def test_there_are_figures() -> None:
    assert {"imbalance", "spurious", "alpha", "tabular"} <= set(FIGURES)


@pytest.mark.parametrize(
    "name", [pytest.param(k, marks=pytest.mark.slow) if k in SLOW else k for k in FIGURES]
)
def test_figure_draws_and_states_checks(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(["figures", name, "--preset", "tiny", "--out", str(tmp_path), "--json"])
    report = json.loads(capsys.readouterr().out)
    if report["left_out"]:
        assert "OPAL_DATA_MIRROR" in report["left_out"][0]["reason"]
        assert status == 1  # it was asked for by name
        return
    (figure,) = report["figures"]
    assert status == 0  # at this size no check is judged
    assert report["judged"] is False
    assert figure["checks"]
    assert all(check["name"] and check["detail"] for check in figure["checks"])
    assert figure["caption"].endswith(".")
    assert (tmp_path / f"{name}.png").stat().st_size > 10_000
    _check_column(name, tmp_path, capsys)
    for study in registry.load("figure", name).STUDIES:
        for cell in (tmp_path / "records" / study).glob("*.parquet"):
            frame = records.read(cell)
            assert set(frame["study"]) == {study}
            assert list(frame.columns[: len(records.COLUMNS)]) == list(records.COLUMNS)


def _check_column(name: str, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In a column of a page the PDF is 3.25 inches wide, or the figure says that it has no form."""
    words = ["figures", name, "--preset", "tiny", "--out", str(out), "--json"]
    status = main([*words, "--width", "column", "--format", "pdf"])
    report = json.loads(capsys.readouterr().out)
    fits = getattr(registry.load("figure", name), "FITS_COLUMN", False)
    assert status == (0 if fits else 1)
    if not fits:
        assert "needs the width of a page" in report["left_out"][0]["reason"]
        return
    content = (out / f"{name}-column.pdf").read_bytes()
    assert b"/Type3" not in content
    box = re.search(rb"/MediaBox \[ 0 0 ([\d.]+) ", content)
    assert box is not None
    assert float(box[1]) == pytest.approx(72 * plotting.COLUMN)
