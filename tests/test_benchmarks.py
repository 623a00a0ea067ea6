"""The benchmark runs on a tiny size and prints what it promises; how fast is not tested."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import _decoder_training, accelerator, fine_tune, generator, growth
from benchmarks._peer import SOLVERS, Peer

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("solver", SOLVERS)
def test_every_peer_reaches_the_tolerance_it_is_compared_at(solver: str) -> None:
    peer = Peer((180, 20), np.array([[0.0, 0.0], [1.0, 1.0]]), solver)
    x = peer.draw(peer.labels, np.random.default_rng(0))
    assert peer.gradient(x) < 1e-7
    assert 0.3 < peer.replicate(np.random.default_rng(1)) < 1.0


@pytest.mark.slow
def test_replicates_prints_its_schema() -> None:
    script = ROOT / "benchmarks" / "replicates.py"
    command = [sys.executable, str(script), "--json", "--tiny", "--repeats", "1"]
    command += ["--memory-replicates", "50"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    results = json.loads(printed.stdout)
    for name in ("replicates", "in_turn", "fits"):
        (entry,) = results[name]
        assert set(entry) == {"n", "d", "ratio", "seconds", "peer_seconds"}
        assert min(entry.values()) > 0
        assert entry["ratio"] == pytest.approx(entry["peer_seconds"] / entry["seconds"])
    (shares,) = results["shares"]
    assert shares["drawing"] + shares["fitting"] + shares["risk"] == pytest.approx(1)
    assert results["memory"]["n_replicates"] == 50
    assert 0 < results["memory"]["gib"] < 2


@pytest.mark.slow
def test_fits_prints_its_schema() -> None:
    script = ROOT / "benchmarks" / "fits.py"
    command = [sys.executable, str(script), "--json", "--tables", "2"]
    command += ["--grid-tables", "1", "--starts", "3"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    results = json.loads(printed.stdout)
    squares, huber = results["least_squares"], results["huber_log"]
    assert [entry["method"].split()[0] for entry in squares] == ["opal", "curve_fit", "curve_fit"]
    assert [entry["method"].split()[0] for entry in huber] == ["opal,", "grid"]
    for entry in (*squares, *huber):
        assert entry["seconds"] > 0
        assert 0 <= entry["optimum_found"] <= 1
    assert squares[0]["optimum_found"] == huber[0]["optimum_found"] == 1
    assert all(0 <= entry["least_coverage"] <= entry["largest_coverage"] <= 1 for entry in squares)


def test_generator_prints_its_schema_without_peers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)  # as where it is not installed
    monkeypatch.setitem(sys.modules, "transformers", None)
    generator.main(generator.Options(json=True, tiny=True, rounds=1))
    results = json.loads(capsys.readouterr().out)
    (trained,), (uncached, *generated) = results["training"], results["sampling"]
    assert [entry["peer"] for entry in generated] == ["generate, greedy", "generate, drawn"]
    for entry in (trained, uncached, *generated):
        assert min(entry["seconds"], entry["cpu_seconds"]) > 0
        tokens = entry["seconds"] * entry["tokens_per_s"]
        assert tokens == pytest.approx(4 * 9 if entry is trained else 2 * 8)
    ratio = uncached["peer_seconds"] / uncached["seconds"]
    assert uncached["ratio"] == pytest.approx(ratio)
    assert uncached["peer_tokens_per_s"] == pytest.approx(uncached["tokens_per_s"] / ratio)
    assert uncached["ratio_range"] == [uncached["ratio"]] * 2
    nothing = {"peer_seconds", "peer_cpu_seconds", "peer_tokens_per_s"}
    nothing |= {"ratio", "cpu_ratio", "ratio_range", "cpu_ratio_range"}
    for entry in (trained, *generated):
        assert set(entry) == set(uncached)
        assert {entry[name] for name in nothing} == {None}
    training, generate = results["left_out"]
    assert training == "training: torch not installed; pip install 'opal-scaling[text]'"
    assert "torch and transformers not installed" in generate


def test_what_is_measured_of_a_decoder_s_training() -> None:
    entry = _decoder_training.measured(accelerator.TINY.decoder, 1, 0.5)
    model, n_tokens = entry["model"], 4 * 9
    assert model["dtype"] == entry["compared"]["dtype"] == "bfloat16"
    assert entry["seconds"] * entry["tokens_per_s"] == pytest.approx(n_tokens)
    flop = 6 * (12 * 8**2 + 8 * 32) + 12 * 9 * 8  # one block of width 8, 32 tokens, 9 positions
    assert entry["tflops"] == pytest.approx(flop * entry["tokens_per_s"] / 1e12)
    assert entry["utilisation"] == pytest.approx(entry["tflops"] / 0.5)
    assert entry["difference"] == pytest.approx(entry["loss"] - entry["cpu_loss"], abs=1e-6)
    assert 0 < abs(entry["difference"]) < 0.02  # bfloat16 here, float32 there
    assert "no peak known" in _decoder_training.line({**entry, "utilisation": None})
    assert "of the peak (asked 40 %); loss" in _decoder_training.line(entry)


@pytest.mark.slow
def test_each_part_on_an_accelerator_prints_a_line(capfd: pytest.CaptureFixture[str]) -> None:
    """Without an accelerator both sides are the CPU, and agree."""
    pytest.importorskip("torch", reason="needs the extra text")
    accelerator.main(accelerator.Options(tiny=True, rounds=1))
    found = {row["part"]: row for row in map(json.loads, capfd.readouterr().out.splitlines())}
    assert tuple(found) == accelerator.PARTS
    assert not any("failed" in row for row in found.values()), found
    for part in ("replicates", "high_dim"):
        for measured in found[part]["sizes"].values():
            assert measured["ratio"] == pytest.approx(measured["per_s"] / measured["cpu_per_s"])
            assert measured["largest_difference"] < 1e-9
    assert found["decoder"]["tokens_per_s"] > 0
    assert found["texts"]["trained_texts_per_s"] > 0
    assert found["texts"]["sums_to_one"]


@pytest.mark.slow
def test_fine_tuning_is_measured_by_the_way_that_users_take(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="needs the extra text")
    flags = argparse.Namespace(
        size="tiny", device="cpu", rows=64, steps=30, learning_rate=5e-3, texts=16, temperature=0.7
    )
    found = fine_tune.measured(flags, tmp_path)
    assert found["steps"] == 30
    assert 60 < found["tokens_of_a_row"] < 90
    assert found["loss_end"] < found["loss_start"]
    assert found["rows_per_s"] == pytest.approx(found["share_of_rows"] * found["texts_per_s"])
    assert found["training_rows_per_s"] > 0
    assert found["example"].startswith("Target is 1, X6 is -1,")


@pytest.mark.slow
def test_growth_prints_each_size_and_its_power(capfd: pytest.CaptureFixture[str]) -> None:
    growth.main(growth.Options(rows=(100, 20_000), replicates=(2, 4_000), json=True))
    results = json.loads(capfd.readouterr().out)
    for kind in ("rows", "replicates"):
        small, large = results[kind]
        assert small["size"] < large["size"]
        assert 0 < small["cpu_seconds"] < large["cpu_seconds"]
        assert 0.1 < small["gib"] < 10
        assert results[f"{kind}_powers"] == growth.powers([small, large])
    assert growth.powers([{"size": n, "cpu_seconds": n**2} for n in (1, 10, 20)]) == [2, 2]
