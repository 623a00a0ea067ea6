"""Fits: exact recovery, the true optimum, links, files, comparison, warnings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import optimize

from opal.scaling.compare import compare_laws
from opal.scaling.fit import Estimate, Fit, fit
from opal.scaling.laws import LAWS
from opal.scaling.problem import HUBER_DELTA, Settings
from opal.scaling.scaling_law import Columns, ScalingLaw
from simulations.fit_coverage import ALWAYS_IDENTIFIED, Config, draw_truth, points, simulate

CONFIG = Config(n_seeds=5)


def named(law: ScalingLaw) -> dict[str, str]:
    return {name: name for name in law.variables}


def exact(name: str, seed: int) -> tuple[pd.DataFrame, dict[str, float]]:
    truth = draw_truth(name, np.random.default_rng(seed))
    x = points(name, identified=True)
    return pd.DataFrame({**x, "y": LAWS[name].predict(truth, x)}), truth


def noisy(name: str, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    law = LAWS[name]
    return simulate(law, points(name, identified=True), draw_truth(name, rng), CONFIG, rng)


@pytest.mark.parametrize("loss", ["least-squares", "huber-log"])
@pytest.mark.parametrize("name", LAWS)
def test_noise_free_tables_give_the_truth(name: str, loss: str) -> None:
    for seed in range(4):
        frame, truth = exact(name, seed)
        found = fit(name, frame, x=named(LAWS[name]), y="y", loss=loss)
        for parameter, value in truth.items():
            assert found.params[parameter].estimate == pytest.approx(value, rel=1e-6)
            assert found.params[parameter].low == pytest.approx(value, rel=1e-5)
        assert not any("bound" in warning for warning in found.warnings)


def test_a_floor_of_zero_is_found_and_told() -> None:
    n = np.geomspace(50, 5e4, 8)
    frame = pd.DataFrame({"n": n, "y": 2 * n**-0.4})
    found = fit("power", frame, x={"n": "n"}, y="y")
    assert found.params["E"].estimate == pytest.approx(0, abs=1e-9)
    assert found.params["a"].estimate == pytest.approx(0.4, rel=1e-6)
    assert any("E is at its bound" in warning for warning in found.warnings)


@pytest.mark.parametrize("name", LAWS)
def test_no_start_of_a_general_optimiser_ends_lower(name: str) -> None:
    frame, law = noisy(name), LAWS[name]
    found = fit(law, frame, x=named(law), y="y", seed="seed")
    problem, phi = found.covariance.problem, found.covariance.phi
    least = problem.deviance(phi)[0]
    low = np.maximum(problem.bounds[0], phi - 2)
    high = np.minimum(problem.bounds[1], phi + 2)
    rng = np.random.default_rng(1)
    for _ in range(3):
        start = rng.uniform(low, high)
        bounds = list(zip(low, high, strict=True))
        other = optimize.minimize(
            problem.deviance, start, jac=True, method="L-BFGS-B", bounds=bounds
        )
        assert other.fun >= least * (1 - 1e-9)


def test_huber_on_logs_is_hoffmanns_sum() -> None:
    frame = noisy("additive")
    found = fit("additive", frame, x=named(LAWS["additive"]), y="y", loss="huber-log")
    residuals = np.abs(np.log(frame["y"]) - np.log(found.predict(frame)))
    small = residuals <= HUBER_DELTA
    huber = np.where(small, residuals**2 / 2, HUBER_DELTA * (residuals - HUBER_DELTA / 2))
    deviance, gradient = found.covariance.problem.deviance(found.covariance.phi)
    assert deviance == pytest.approx(2 * huber.sum())
    slopes = np.abs(found.covariance.problem.residuals(found.covariance.phi)[1]).sum(axis=0)
    assert np.all(np.abs(gradient) < 1e-4 * HUBER_DELTA * slopes)


def test_an_outlier_moves_least_squares_and_not_huber() -> None:
    frame, truth = exact("power", 0)
    frame.loc[3, "y"] *= 1.5
    errors = {
        loss: abs(
            fit("power", frame, x={"n": "n"}, y="y", loss=loss).params["a"].estimate - truth["a"]
        )
        for loss in ("least-squares", "huber-log")
    }
    assert errors["huber-log"] < 0.01 * errors["least-squares"]


@pytest.mark.parametrize("link", ["log", "logit"])
def test_links_fit_on_their_scale(link: str) -> None:
    n = np.geomspace(100, 1e5, 8)
    z = -2.0 + 5.0 * n**-0.4
    y = np.exp(z) if link == "log" else 1 / (1 + np.exp(-z))
    frame = pd.DataFrame({"n": n, "accuracy": 1 - y if link == "logit" else y})
    sign = -1.0 if link == "logit" else 1.0  # accuracy rises: on the logit scale signs turn
    found = fit("power", frame, x={"n": "n"}, y="accuracy", link=link)
    values = [found.params[name].estimate for name in ("E", "A", "a")]
    np.testing.assert_allclose(values, [-2.0 * sign, 5.0 * sign, 0.4], rtol=1e-6)
    low, high = found.predict_interval({"n": n[:2]})
    np.testing.assert_allclose(found.predict({"n": n}), frame["accuracy"], rtol=1e-9)
    np.testing.assert_allclose(low, high, rtol=1e-6)


def test_standard_errors_weigh_rows() -> None:
    frame, truth = exact("power", 1)
    wrong = frame.assign(y=frame["y"] * np.where(np.arange(len(frame)) % 3 == 0, 1.2, 1.0))
    errors = np.where(np.arange(len(frame)) % 3 == 0, 1e3, 1e-4)
    found = fit("power", wrong.assign(se=errors), x={"n": "n"}, y="y", std_error="se")
    assert found.params["a"].estimate == pytest.approx(truth["a"], rel=1e-4)


def test_a_user_function_is_fitted() -> None:
    def saturating(params: Mapping[str, float], x: Columns) -> np.ndarray:
        return params["R"] / (1 + x["n"] / params["K"])

    bounds = {"R": (0.01, 10.0), "K": (1.0, 1e6)}
    law = ScalingLaw.of_function(
        saturating, ("R", "K"), bounds, variables=("n",), name="saturating"
    )
    n = np.geomspace(10, 1e4, 8)
    frame = pd.DataFrame({"n": n, "y": 2.0 / (1 + n / 300)})
    found = fit(law, frame, x={"n": "n"}, y="y")
    assert found.params["R"].estimate == pytest.approx(2.0, rel=1e-6)
    assert found.params["K"].estimate == pytest.approx(300, rel=1e-6)
    assert found.warnings == ()
    noise = np.random.default_rng(0).normal(1, 0.03, 8)
    rough = fit(law, frame.assign(y=frame["y"] * noise), x={"n": "n"}, y="y")
    assert rough.params["K"].low < 300 < rough.params["K"].high
    assert rough.warnings == ()
    flat = fit(law, frame.assign(y=2.0 * noise), x={"n": "n"}, y="y")
    assert any("K is not identified" in warning for warning in flat.warnings)


def test_a_fit_is_kept_in_full_precision(tmp_path: Path) -> None:
    found = fit("power", noisy("power"), x={"n": "n"}, y="y", seed="seed", n_bootstrap=20)
    found.save(str(tmp_path / "fit.json"))
    again = Fit.load(str(tmp_path / "fit.json"))
    assert again.params == found.params
    assert again.warnings == found.warnings
    pd.testing.assert_frame_equal(again.frame, found.frame)
    at = {"n": np.array([1e5, 1e6])}
    np.testing.assert_array_equal(again.predict(at), found.predict(at))
    np.testing.assert_allclose(again.predict_interval(at), found.predict_interval(at), rtol=1e-6)
    np.testing.assert_allclose(again.draws, found.draws, rtol=1e-6)


def test_another_file_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "fit.json").write_text('{"schema_version": 0}')
    with pytest.raises(ValueError, match="fit schema version 0, this opal reads 1"):
        Fit.load(tmp_path / "fit.json")


def test_held_out_sizes_tell_the_right_law() -> None:
    frame = noisy("power")

    def line(params: Mapping[str, float], x: Columns) -> np.ndarray:
        """C - k log n."""
        return params["c"] - params["k"] * np.log(x["n"])

    wrong = ScalingLaw.of_function(
        line, ("c", "k"), {"c": (0.0, 5.0), "k": (0.0, 1.0)}, variables=("n",), name="line"
    )
    table = compare_laws(["power", wrong], frame, x={"n": "n"}, y="y", by="n", seed="seed")
    assert table["law"].tolist() == ["power", "line"]
    assert table["error"][0] < 0.5 * table["error"][1]
    assert table["within"][0] > table["within"][1]
    with pytest.raises(ValueError, match="leave at least 3 sizes; 'n' has 10 and n_held_out is 9"):
        compare_laws(["power"], frame, x={"n": "n"}, y="y", by="n", n_held_out=9)


def warnings_of(name: str, frame: pd.DataFrame, seed: str | None = None) -> str:
    found = fit(name, frame, x=named(LAWS[name]), y="y", seed=seed)
    return " | ".join(found.to_dict()["warnings"])


@pytest.mark.parametrize("name", [name for name in LAWS if name not in ALWAYS_IDENTIFIED])
def test_unidentified_tables_are_told(name: str) -> None:
    for seed in range(2):
        rng = np.random.default_rng(seed)
        x, truth = points(name, identified=False), draw_truth(name, rng)
        frame = simulate(LAWS[name], x, truth, CONFIG, rng, shared=False)
        found = fit(name, frame, x=named(LAWS[name]), y="y", seed="seed")
        assert "not identified" in " ".join(found.warnings)
        ends = np.array([end.low for end in found.params.values()])
        assert not np.any((ends > 0) & (ends < 1e-12))  # a bound of zero, not its rounding


@pytest.mark.parametrize("name", LAWS)
def test_identified_tables_are_not(name: str) -> None:
    assert "identified" not in warnings_of(name, noisy(name), seed="seed")


def test_short_and_few_sizes_are_told() -> None:
    n = np.array([100.0, 200.0, 400.0])
    said = warnings_of("power", pd.DataFrame({"n": n, "y": 0.1 + n**-0.5}))
    assert "few sizes: 'n' has 3 different values" in said
    assert "sizes span too little: 'n' goes from 100 to 400" in said
    assert "as many parameters as rows" in said


def test_values_that_rise_are_told() -> None:
    n = np.geomspace(10, 1e4, 8)
    said = warnings_of("power", pd.DataFrame({"n": n, "y": 0.9 - n**-0.5}))
    assert "the values rise with size" in said


def test_on_a_link_the_sign_of_an_amplitude_does_not_make_it_open() -> None:
    n = np.tile(np.geomspace(20, 2000, 7), 4)
    seed = np.repeat(np.arange(4), 7)
    noise = 0.01 * np.random.default_rng(1).normal(size=n.size)
    logit = 2.0 - 6.0 * n**-0.4 + noise
    frame = pd.DataFrame({"n": n, "y": 1 / (1 + np.exp(-logit)), "seed": seed})
    found = fit("power", frame, x={"n": "n"}, y="y", seed="seed", link="logit")
    assert found.params["A"].low < -6.0 < found.params["A"].high < 0
    assert not any("is open" in warning for warning in found.warnings)


@pytest.mark.parametrize(("link", "sign"), [("log", 1), ("logit", 1), ("logit", -1)])
def test_on_a_link_an_amplitude_may_be_as_unsure_as_without_one(link: str, sign: int) -> None:
    """Amplitude and exponent trade: ends that differ by a factor of four are no open interval."""
    n, told = np.geomspace(50, 5e4, 9), []
    for index in range(6):
        noise = 0.05 * np.random.default_rng(index).normal(size=9)
        value = -1.0 + sign * 4 * n**-0.3 + noise
        y = np.exp(value) if link == "log" else 1 / (1 + np.exp(-value))
        found = fit("power", pd.DataFrame({"n": n, "y": y}), x={"n": "n"}, y="y", link=link)
        ends = found.params["A"]
        told.append("A is not identified" in " ".join(found.warnings))
        assert told[-1] == (ends.low <= 0 <= ends.high or abs(ends.high / ends.low) > 1e5)
    assert not all(told)


def test_an_amplitude_that_may_have_either_sign_is_open() -> None:
    n = np.geomspace(50, 5e4, 9)
    noise = 0.05 * np.random.default_rng(0).normal(size=9)
    frame = pd.DataFrame({"n": n, "y": np.exp(-1 + noise)})
    found = fit("power", frame, x={"n": "n"}, y="y", link="log")
    assert "A is not identified" in " ".join(found.warnings)


def test_residuals_are_value_less_fitted_on_the_scale_of_the_metric() -> None:
    frame = noisy("power")
    found = fit("power", frame, x={"n": "n"}, y="y", seed="seed", link="log")
    left = found.residuals
    assert list(left.columns) == ["n", "value", "fitted", "residual", "std_error"]
    np.testing.assert_allclose(left["fitted"], found.predict({"n": frame["n"].to_numpy()}))
    np.testing.assert_allclose(left["residual"], frame["y"] - left["fitted"])
    scatter = frame.groupby("n")["y"].std().median()
    assert left["std_error"].median() == pytest.approx(scatter, rel=0.5)
    (first, *_) = found.to_dict()["residuals"]
    assert first["x"] == {"n": frame["n"][0]}
    assert first["residual"] == left["residual"][0]
    assert set(first) == {"x", "value", "fitted", "residual", "std_error"}


def test_the_standard_error_of_a_residual_is_that_of_the_table_or_unknown() -> None:
    means = noisy("power").groupby("n")["y"].agg(["mean", "sem"]).reset_index()
    found = fit("power", means, x={"n": "n"}, y="mean", std_error="sem")
    np.testing.assert_allclose(found.residuals["std_error"], means["sem"])
    unknown = fit("power", means, x={"n": "n"}, y="mean")
    assert unknown.residuals["std_error"].isna().all()
    assert unknown.to_dict()["residuals"][0]["std_error"] is None


def test_where_a_part_is_absent_its_exponent_may_be_anything() -> None:
    n = np.tile([100.0, 200.0, 500.0, 1e3, 3e3, 1e4, 3e4], 6)
    seeds = np.repeat(np.arange(6), 7)
    rng = np.random.default_rng(7)
    rising = 0.95 - n**-0.3 + 0.01 * rng.normal(size=6)[seeds] + 0.003 * rng.normal(size=n.size)
    frame = pd.DataFrame({"n": n, "y": rising, "seed": seeds})
    found = fit("power", frame, x={"n": "n"}, y="y", seed="seed")
    assert found.params["A"] == Estimate(0.0, 0.0, np.inf)
    assert (found.params["a"].low, found.params["a"].high) == (0.01, 5.0)
    assert any("A is at its bound (0)" in warning for warning in found.warnings)
    assert any("a is not identified" in warning for warning in found.warnings)
    assert found.predict({"n": np.array([1e5])}) == found.params["E"].estimate


@pytest.mark.parametrize("factor", [1e-7, 1e9])
def test_a_unit_changes_no_warning(factor: float) -> None:
    frame = noisy("power")
    plain = fit("power", frame, x={"n": "n"}, y="y", seed="seed")
    other = fit("power", frame.assign(y=factor * frame["y"]), x={"n": "n"}, y="y", seed="seed")
    assert plain.warnings == other.warnings == ()
    for name, unit in (("E", factor), ("A", factor), ("a", 1.0)):
        ours, theirs = plain.params[name], other.params[name]
        assert theirs.estimate == pytest.approx(unit * ours.estimate, rel=1e-5)
        assert theirs.high == pytest.approx(unit * ours.high, rel=1e-3)


def test_rows_that_repeat_others_are_told_where_seeds_are_not_named() -> None:
    frame = noisy("power")
    twice = pd.concat([frame, frame[:3]], ignore_index=True)
    assert "3 rows repeat another one" in warnings_of("power", twice)
    assert "repeat" not in warnings_of("power", frame)


def test_a_column_that_tells_curves_apart_is_told() -> None:
    first = noisy("power")
    both = pd.concat([first.assign(bias=0.0), first.assign(y=first["y"] + 0.3, bias=0.5)])
    said = warnings_of("power", both.assign(row=range(len(both))), seed="seed")
    assert "rows of one size differ in 'bias' (0.0, 0.5)" in said
    assert "--group-by bias" in said
    assert "'row'" not in said
    assert "differ" not in warnings_of("power", first.assign(arm="a"), seed="seed")


def test_a_bootstrap_over_few_seeds_is_told() -> None:
    for intervals in ("bootstrap", "profile"):
        found = fit(
            *("power", noisy("power")),
            x={"n": "n"},
            y="y",
            seed="seed",
            intervals=intervals,
            n_bootstrap=20,
        )
        told = any("5 seeds, and with fewer than 20" in warning for warning in found.warnings)
        assert told == (intervals == "bootstrap")


def test_a_law_that_does_not_fit_is_told() -> None:
    frame = noisy("power")
    frame["y"] += 0.05 * np.cos(np.log(frame["n"]))
    assert "Another law may fit" in warnings_of("power", frame, seed="seed")
    means = frame.groupby("n")["y"].agg(["mean", "sem"]).reset_index()
    found = fit("power", means, x={"n": "n"}, y="mean", std_error="sem")
    assert any("times their standard errors" in warning for warning in found.warnings)


def test_far_extrapolation_is_told() -> None:
    found = fit("power", noisy("power"), x={"n": "n"}, y="y", seed="seed")
    assert "far extrapolation" not in " ".join(found.to_dict()["warnings"])
    said = found.to_dict({"n": np.array([5e8])})["warnings"]
    assert said[-1].startswith("far extrapolation: n = 5e+08 is 1e+04 times the largest")


def test_far_more_passes_than_were_seen_are_told() -> None:
    frame = noisy("repeated").rename(columns={"tokens": "seen"})  # 64 passes at most
    names = {"params": "params", "unique": "unique", "tokens": "seen"}
    found = fit("repeated", frame, x=names, y="y", seed="seed")
    (said,) = found.to_dict()["warnings"]
    assert said.startswith(
        "far extrapolation: 'seen' are 6.4e+04 passes over the 'unique' that differ, 1e+03 times "
    )
    few = {"params": [1e9], "unique": [1e8], "tokens": [6.4e10]}  # 640 passes
    assert found.to_dict({name: np.array(value) for name, value in few.items()})["warnings"] == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (Settings(loss="huber"), "loss must be one of .* got 'huber'"),
        (Settings(link="probit"), "link must be one of .* got 'probit'"),
        (Settings(intervals="wald"), "intervals must be one of .* got 'wald'"),
        (Settings(level=95.0), "level must lie between 0 and 1; got 95"),
        (Settings(n_bootstrap=1), "n_bootstrap must be at least 20; got 1"),
        (Settings(loss="huber-log", link="log"), "takes logarithms itself; got link 'log'"),
    ],
)
def test_settings_that_do_not_exist_are_refused(settings: Settings, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        settings.check()


def test_fit_checks_its_settings_first() -> None:
    with pytest.raises(ValueError, match="level must lie between 0 and 1"):
        fit("power", pd.DataFrame(), x={"n": "n"}, y="y", level=95.0)


def test_what_no_row_shows_makes_predictions_wide() -> None:
    rng = np.random.default_rng(0)
    truth, x = draw_truth("repeated", rng), points("repeated", identified=False)
    frame = simulate(LAWS["repeated"], x, truth, CONFIG, rng)  # no token is seen twice
    found = fit("repeated", frame, x=named(LAWS["repeated"]), y="y", seed="seed")
    assert (found.params["R"].low, found.params["R"].high) == (0, np.inf)
    billion = np.full(2, 1e9)
    at = {"params": billion, "unique": billion, "tokens": np.array([1e9, 1e12])}
    low, high = found.predict_interval(at)
    once = LAWS["repeated"].predict(truth, {**at, "unique": at["tokens"]})
    assert low[1] < once[1]  # repetitions may be worth as much as new tokens
    assert high[1] == pytest.approx(high[0], rel=1e-3)  # or nothing
    assert high[1] - low[1] > 4 * (high[0] - low[0])


@pytest.mark.parametrize("name", ["shifted", "repeated"])
def test_scales_are_kept_in_a_file(name: str, tmp_path: Path) -> None:
    frame = noisy(name)
    found = fit(name, frame, x=named(LAWS[name]), y="y", seed="seed", link="log")
    found.save(tmp_path / "fit.json")
    again = Fit.load(tmp_path / "fit.json")
    assert again.law == found.law
    assert dict(again.params) == dict(found.params)
    np.testing.assert_array_equal(again.predict(found.beyond()), found.predict(found.beyond()))
