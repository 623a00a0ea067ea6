"""``opal plan``: from a pilot's CSV to an answer, and the pilots themselves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from opal.cli import main
from opal.scaling.laws.cross import cross_law
from opal.scaling.pilot import first_points

PARAMS = {"E": 0.5, "R_s": 0.001, "C": 0.0, "A_s": 3.0, "A_r": 2.5}
FEW = ["--n-bootstrap", "20"]
PRICES = ["--price-synthetic", "0.01", "--budget", "240", *FEW]


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    rng, law = np.random.default_rng(4), cross_law()
    points = pd.concat([pd.DataFrame(first_points(300, 1200))] * 5, ignore_index=True)
    x = {name: points[name].to_numpy(float) for name in ("n", "N", "alpha")}
    exact = law.predict(PARAMS, {**x, "N": np.maximum(x["N"], 1.0)})
    noise = 0.1 * (exact - 0.5) * rng.normal(size=len(exact))
    seeds = np.repeat(np.arange(5), len(points) // 5)
    return points.assign(seed=seeds, value=exact + noise)


@pytest.fixture
def pilot(frame: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    frame.to_csv(tmp_path / "pilot.csv", index=False)
    monkeypatch.chdir(tmp_path)
    return "pilot.csv"


def report(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert main(["plan", *words, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_json_has_the_documented_fields(pilot: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = report(capsys, pilot, *PRICES, "--price-real", "2", "--n-real", "300", "300")
    page = (Path(__file__).parents[2] / "docs" / "plan.md").read_text(encoding="utf-8")
    assert [name for name in found if f"`{name}`" not in page] == []
    assert [name for name in found["alternatives"][0] if f"`{name}`" not in page] == []
    assert found["recommendation"] == "buy synthetic"
    assert found["n_augmented"] == 12_000
    low, high = found["expected_gain"]["ci"]
    assert low < found["expected_gain"]["estimate"] < high
    assert found["n_equiv"] > 300
    assert found["cost"] == pytest.approx(240)
    assert {option["strategy"] for option in found["alternatives"]} == {
        *("reweight", "real", "augment", "validated")
    }


def test_people_get_a_sentence_a_table_and_warnings(
    pilot: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", pilot, *PRICES, "--n-real", "900", "180"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("buy synthetic: N = 12000 for each group")
    assert "as good as" in said
    assert "balance" in said
    assert "warning: far extrapolation" in said


def test_what_is_left_out_is_read_off_the_table(
    pilot: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = report(capsys, pilot, "--price-synthetic", "0.01", "--groups", "3", *FEW)
    same = ["--n-real", "300", "--groups", "3", *FEW]
    assert report(capsys, pilot, "--price-synthetic", "0.01", *same) == found
    assert found["n_augmented"] == 6000  # ten times the largest N
    assert found["cost"] == pytest.approx(180)


def test_other_column_names_and_the_plain_law(
    frame: pd.DataFrame, pilot: str, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {"n": "real", "N": "made", "alpha": "weight", "value": "loss", "seed": "run"}
    frame.rename(columns=names).to_csv("other.csv", index=False)
    words = ["--x", "real", "made", "weight", "--y", "loss", "--seed", "run"]
    found = report(capsys, "other.csv", *words, *PRICES)
    (far,) = found.pop("warnings")
    assert far.startswith("far extrapolation: made = 12000")
    own = report(capsys, pilot, *PRICES)
    assert own.pop("warnings") == [far.replace("made =", "N =")]
    assert found == own
    plain = report(capsys, pilot, *PRICES, "--law", "mixture", "--all-points")
    assert plain["recommendation"] == "buy synthetic"


def test_one_metric_of_several(
    frame: pd.DataFrame, pilot: str, capsys: pytest.CaptureFixture[str]
) -> None:
    other = frame.assign(metric="error", value=frame["value"] / 2)
    pd.concat([frame.assign(metric="risk"), other]).to_csv("both.csv", index=False)
    found = report(capsys, "both.csv", *PRICES, "--metric", "risk")
    assert found == report(capsys, pilot, *PRICES)
    assert found == report(capsys, "both.csv", *PRICES, "--where", "metric=risk")
    assert main(["plan", "both.csv", *PRICES]) == 2
    assert "(--metric error)" in capsys.readouterr().err


def test_a_pilot_to_begin_with(pilot: str, capsys: pytest.CaptureFixture[str]) -> None:
    del pilot
    found = report(capsys, "--pilot", *PRICES, "--n-real", "300")
    assert found["pool"] == 1200
    assert found["cost"] == pytest.approx(24)  # a tenth of the budget
    assert found["points"] == [p._asdict() for p in first_points(300, 1200)]


def test_the_next_points_narrow_the_interval(
    pilot: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = report(capsys, pilot, "--pilot", *PRICES, "--n-points", "3", "--subsample", "0.5")
    assert len(found["points"]) == 3
    error = found["gain_std_error"]
    assert error["now"] > error["after"][0] > error["after"][2] > 0
    assert main(["plan", pilot, "--pilot", *PRICES]) == 0
    assert "standard error of the gain" in capsys.readouterr().out


def test_the_next_points_come_with_why_the_plan_is_undecided(
    pilot: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever is shown of a plan, it is the purchase whose gain is uncertain."""
    share = report(capsys, pilot, *PRICES)["gain_share"]
    words = [pilot, *PRICES, "--pilot", "--min-gain", f"{share:.6f}"]
    whole = report(capsys, *words)
    less = report(capsys, *words, "--strategies", "reweight")
    assert less["gain_std_error"] == whole["gain_std_error"]
    assert less["gain_std_error"]["now"] > 0
    assert not less["decided"]
    assert main(["plan", *words, "--strategies", "reweight"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "the plan is undecided" in said
    assert "warning: undecided: " in said


def test_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["plan", "--help"])
    assert end.value.code == 0
    assert "opal plan pilot.csv --price-real 2" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--price-synthetic", "-1"], "--price-synthetic is the price of one synthetic sample"),
        ([], "--price-synthetic is the price of one synthetic sample and must be positive; got 0"),
        ([*PRICES, "--price-real", "-3"], "price_real is the price of one sample and must be"),
        (
            ["--price-synthetic", "1", "--budget", "0", *FEW],
            "budget is the money that may be spent",
        ),
        ([*PRICES, "--n-real", "0"], "n_real is the number of real samples of each group"),
        ([*PRICES, "--strategies", "vtss"], "unknown strategy 'vtss'"),
        ([*PRICES, "--y", "risk"], "seed, value. Name yours with --x, --y and --seed"),
        ([*PRICES, "--x", "n", "N", "w"], "the table has no column 'w'"),
        ([*PRICES, "--beta", "-1"], "beta is the exponent of the curves"),
        (["--price-synthetic", "1", "--budget", "1.5", *FEW], "synthetic sample of each group, 2;"),
        ([*PRICES, "--groups", "0"], "--groups is the number of groups, at least 1; got 0"),
        (
            [*PRICES, "--n-real", "9", "9", "--groups", "3"],
            "one number for all; got 2 numbers for 3 groups",
        ),
        ([*PRICES, "--seed", "None", "--subsample", "0.5"], "so rows need a column of seeds"),
    ],
)
def test_refusals_are_one_line(
    pilot: str, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", pilot, *words]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        ("alpha == 0.1", "a pilot needs several weights"),
        ("N in (0, 600)", "several numbers of"),
        ("n == 300", "'n' holds 300 only where 'alpha' is 0"),
    ],
)
def test_a_pilot_that_shows_too_little_is_refused(
    frame: pd.DataFrame, pilot: str, keep: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    frame.query(keep).to_csv(pilot, index=False)
    assert main(["plan", pilot, *PRICES]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("column", "cell", "message"),
    [
        ("alpha", 1.2, "'alpha' is a weight in [0, 1]; got 1.2"),
        ("n", 0, "sizes must be positive; 'n' has the value 0"),
        ("value", np.inf, "every row needs a finite number in 'value'; 1 of"),
        ("value", "n/a?", "the column 'value' must hold numbers; it holds 'n/a?'"),
        ("value", -0.3, "risks must not be negative; the least of 'value' is -0.3"),
    ],
)
def test_a_slip_in_a_row_far_from_the_best_is_refused(
    frame: pd.DataFrame,
    pilot: str,
    column: str,
    cell: Any,
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    slip = frame.astype({column: object})
    slip.loc[0, column] = (
        cell  # a quarter of the real samples: not among the points that are fitted
    )
    slip.to_csv(pilot, index=False)
    assert main(["plan", pilot, *PRICES]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


def test_points_to_run_come_with_seeds_and_the_share_of_the_pool(
    pilot: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", "--pilot", *PRICES, "--n-real", "300"]) == 0
    assert "with 12 seeds; each draws the share 0.5 of the pool" in capsys.readouterr().out
    assert main(["plan", pilot, "--pilot", *PRICES, "--subsample", "0.5"]) == 0
    assert "with 5 seeds; each draws the share 0.5 of the pool" in capsys.readouterr().out


def test_the_next_points_need_no_more_than_the_pool_in_hand_and_no_second_run(
    frame: pd.DataFrame, pilot: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [pilot, "--pilot", *PRICES, "--subsample", "0.5", "--n-points", "99"]
    found = report(capsys, *words)
    assert (found["pool"], found["cost"]) == (1200, 0.0)  # each seed drew half: 600 of 1200
    assert max(point["N"] for point in found["points"]) <= 600
    proposed = {tuple(point.values()) for point in found["points"]}
    assert proposed.isdisjoint(frame[["n", "N", "alpha"]].itertuples(index=False, name=None))
    alone = [point for point in found["points"] if point["alpha"] == 1]
    assert alone == []  # their n is of no account, and all their N were run
    rest = pd.DataFrame(found["points"]).merge(frame[["seed"]].drop_duplicates(), how="cross")
    pd.concat([frame, rest.assign(value=0.51 + 0.01 * np.sin(rest.index))]).to_csv(pilot)
    assert main(["plan", *words]) == 2
    assert "were run already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (PRICES, "a plan needs the TABLE of a pilot"),
        (["--pilot", *PRICES], "needs --n-real, the real samples of each group, and --budget"),
        (["none.csv", *PRICES], "none.csv must be a CSV file with a header and rows; No such file"),
    ],
)
def test_what_is_missing_is_named(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", *words]) == 2
    assert message in capsys.readouterr().err
