"""``opal fit``: what a user types and what comes back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from opal.cli import main
from opal.scaling.fit import Fit


@pytest.fixture
def tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a table of two sizes, and one of seeds and groups."""
    monkeypatch.chdir(tmp_path)
    first, second = (
        a.ravel() for a in np.meshgrid(np.geomspace(1e7, 1e10, 5), [1e8, 1e9, 1e10, 1e11])
    )
    loss = 1.69 + 406.4 * first**-0.34 + 410.7 * second**-0.28
    pd.DataFrame({"params": first, "tokens": second, "loss": loss}).to_csv("two.csv", index=False)
    n, seeds = np.geomspace(50, 5e4, 6), np.arange(5)
    noise = np.random.default_rng(0).normal(1, 0.02, (2, 5, 6))
    rows = [
        (f"g{group}", seed, size, (0.1 + 0.1 * group + size**-0.5) * noise[group, seed, i])
        for group in range(2)
        for seed in seeds
        for i, size in enumerate(n)
    ]
    frame = pd.DataFrame(rows, columns=["group", "seed", "n", "value"])
    frame.assign(metric="risk").to_parquet("runs.parquet")
    frame.replace({"group": {"g0": None}}).to_csv("holes.csv", index=False)
    return tmp_path


def report(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert main(["fit", *words, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


ADDITIVE = ("two.csv", "--law", "additive", "--x", "params", "tokens", "--y", "loss")


def test_json_has_the_documented_fields(tables: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = report(capsys, *ADDITIVE, "--loss", "huber-log")
    assert set(found) == {
        *("law", "equation", "columns", "loss", "link", "level", "intervals"),
        *("params", "predictions", "residuals", "run_noise", "warnings", "n_rows"),
    }
    assert (found["law"], found["loss"], found["n_rows"]) == ("additive", "huber-log", 20)
    assert found["columns"] == {"x": {"x1": "params", "x2": "tokens"}, "y": "loss"}
    truth = {"E": 1.69, "A": 406.4, "B": 410.7, "a": 0.34, "b": 0.28}
    params = found["params"]
    assert isinstance(params, dict)
    assert set(params) == set(truth)
    for name, value in truth.items():
        assert set(params[name]) == {"estimate", "ci"}
        assert params[name]["estimate"] == pytest.approx(value, rel=1e-6)
        low, high = params[name]["ci"]
        assert low <= params[name]["estimate"] <= high
    assert isinstance(found["predictions"], list)
    (prediction,) = found["predictions"]
    assert prediction["x"] == {"x1": 1e11, "x2": 1e12}


def test_predictions_are_made_where_asked(tables: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = report(capsys, *ADDITIVE, "--at", "1e8", "1e9", "1e13", "1e9")
    assert isinstance(found["predictions"], list)
    first, second = found["predictions"]
    assert first["estimate"] == pytest.approx(1.69 + 406.4 * 1e8**-0.34 + 410.7 * 1e9**-0.28)
    assert second["x"] == {"x1": 1e13, "x2": 1e9}
    assert "far extrapolation" in str(found["warnings"])


def test_groups_are_fitted_each(tables: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = report(capsys, "runs.parquet", "--x", "n", "--seed", "seed", "--group-by", "group")
    assert isinstance(found["fits"], list)
    assert [fit["group"] for fit in found["fits"]] == ["g0", "g1"]
    floors = [fit["params"]["E"] for fit in found["fits"]]
    for floor, truth in zip(floors, (0.1, 0.2), strict=True):
        assert floor["ci"][0] < truth < floor["ci"][1]


def test_people_get_a_table(tables: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["fit", "runs.parquet", "--x", "n", "--seed", "seed", "--where", "group=g1"]
    assert main([*words, "--metric", "risk", "--at", "1e7"]) == 0
    said = capsys.readouterr().out
    assert "power: E + A n^(-a), 30 rows" in said
    assert "95% interval" in said
    assert main([*words, "--level", "0.999"]) == 0
    assert "99.9% interval" in capsys.readouterr().out
    assert "predictions" in said
    assert "warning: far extrapolation" in said


def test_a_fit_is_saved(tables: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = report(capsys, *ADDITIVE, "--save", "fit.json")
    again = Fit.load(tables / "fit.json").to_dict()
    assert json.loads(json.dumps(again["params"])) == found["params"]


def test_a_picture_is_drawn_of_each_group(tables: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["runs.parquet", "--x", "n", "--seed", "seed"]
    report(capsys, *words, "--group-by", "group", "--plot", "out/fit.png")
    assert sorted(path.name for path in (tables / "out").iterdir()) == ["fit-g0.png", "fit-g1.png"]


def test_laws_are_compared(tables: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["runs.parquet", "--x", "n", "--seed", "seed", "--where", "group=g0"]
    found = report(capsys, *words, "--compare", "power", "broken", "--plot", "best.pdf")
    assert found["best"] == "power"
    assert found["verdict"] == "only power could be fitted."
    first, second = found["compared"]
    assert (first["law"], first["reason"], second["law"]) == ("power", None, "broken")
    assert "needs at least 6 different sizes in 'n'; got 4" in second["reason"]
    assert len(found["held_out"]["values"]) == 2
    assert (tables / "best.pdf").exists()
    assert main(["fit", *words, "--held-out", "1"]) == 2
    assert "--held-out is of --compare" in capsys.readouterr().err
    assert main(["fit", *words, "--compare", "--held-out", "1"]) == 0
    said = capsys.readouterr().out
    assert "predicts the held-out points best" in said
    assert "broken could not be fitted: law 'broken' needs at least 6" in said


def test_the_best_sizes_for_a_budget_are_said(
    tables: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = report(capsys, *ADDITIVE, "--compute", "1e21")
    exponent = found["compute_optimal"]["exponents"]["x1"]["estimate"]
    assert exponent == pytest.approx(0.28 / 0.62)
    assert main(["fit", *ADDITIVE, "--compute", "1e21", "1e22", "--compute-factor", "5"]) == 0
    said = capsys.readouterr().out
    assert "best sizes, compute = 5 x params x tokens" in said
    assert "best params grows as compute^0.452" in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["two.csv", "--law", "aditive", "--x", "params"], "did you mean 'additive'?"),
        (
            ["two.csv", "--law", "additive", "--x", "params"],
            "reads 2 column(s), in the order x1 x2; --x named 1: params. Name one for each",
        ),
        (["two.csv", "--x", "parms", "--y", "loss"], "did you mean 'params'?"),
        (
            ["none.csv", "--x", "n"],
            "none.csv must be a CSV file with a header and rows; No",
        ),
        (["two.csv", "--x", "--y", "loss"], "--x named 0: none. Name one for each"),
        (
            [*ADDITIVE, "--save", "./two.csv"],
            "two.csv is the table that is read and --save: name another",
        ),
        (
            [*ADDITIVE, "--plot", "./two.csv"],
            "--plot names a file that ends in .png, .pdf, .svg; got two.csv",
        ),
        ([*ADDITIVE, "--plot", "a.png", "--save", "a.png"], "a.png is --save and --plot: name"),
        ([*ADDITIVE, "--compare", "power"], "'power' reads 1 (n) and --x names 2. Leave it out"),
        ([*ADDITIVE, "--compare", "--at", "1e9", "1e9"], "several laws, and --at asks of one"),
        ([*ADDITIVE, "--compute", "-1"], "compute and its factor are positive numbers; got -1"),
        (
            ["runs.parquet", "--x", "n", "--where", "group=g0", "--compute", "1e21"],
            "compute-optimal sizes are those of the law 'additive'",
        ),
        ([*ADDITIVE, "--at", "1e9"], "--at takes 2 numbers for each point (params tokens); got 1"),
        ([*ADDITIVE, "--at", "1e9", "nan"], "sizes are finite numbers; 'x2' has the value nan"),
        (
            ["holes.csv", "--x", "n", "--group-by", "group"],
            "every row needs a group; 30 of 60 rows have an empty 'group'. Fill or drop them",
        ),
        (["runs.parquet", "--x", "n"], "the column 'group' holds 2 different values (g0, g1)"),
        (["runs.parquet", "--x", "n", "--metric", "accuracy"], "no row has metric = 'accuracy'"),
        (
            ["runs.parquet", "--x", "n", "--group-by", "group", "--std-error", "seed"],
            "group = g0: standard errors must be positive",
        ),
        (
            ["runs.parquet", "--x", "n", "--group-by", "group", "--save", "x.json"],
            "--save keeps one fit",
        ),
    ],
)
def test_refusals_are_one_line(
    tables: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    before = {path: path.read_bytes() for path in tables.iterdir()}
    assert main(["fit", *words]) == 2
    assert {path: path.read_bytes() for path in tables.iterdir()} == before
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
