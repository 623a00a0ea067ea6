"""Bad tables: the rule, the value received, and the remedy, before any fit."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from opal.scaling import table
from opal.scaling.fit import fit
from opal.scaling.laws import LAWS
from opal.scaling.scaling_law import ScalingLaw

N = np.geomspace(50, 5e4, 6)
GOOD = pd.DataFrame(
    {"n": np.tile(N, 2), "y": np.tile(0.1 + N**-0.5, 2), "seed": np.repeat([0, 1], 6)}
)


def test_whole_numbers_beyond_64_bits_and_decimals_are_fitted() -> None:
    expected = fit(LAWS["power"], GOOD, x={"n": "n"}, y="y", seed="seed")
    exact = GOOD.assign(
        n=[int(n) for n in GOOD["n"]],
        y=pd.Series([Decimal(repr(y)) for y in GOOD["y"]], dtype=object),
    )
    as_objects = fit(LAWS["power"], exact, x={"n": "n"}, y="y", seed="seed")
    rounded = fit(LAWS["power"], exact.astype({"y": float}), x={"n": "n"}, y="y", seed="seed")
    assert as_objects.params == rounded.params
    large = pd.Series([int(n) * 10**17 for n in exact["n"]], dtype=object)
    assert max(large) > 2**64
    scaled = fit(LAWS["power"], GOOD.assign(n=large), x={"n": "n"}, y="y", seed="seed")
    assert scaled.params["a"].estimate == pytest.approx(expected.params["a"].estimate, rel=1e-3)


def test_columns_of_one_name_are_refused() -> None:
    frame = pd.concat([GOOD, 3 * GOOD[["y"]]], axis=1)
    assert "columns 2 and 4 are both 'y'" in refusal(frame)


def test_rows_are_counted_as_in_the_file_where_some_are_left_out() -> None:
    bad = GOOD.assign(y=[*GOOD["y"][:-1], np.nan], part=["a"] * 6 + ["b"] * 6)
    with pytest.raises(ValueError, match=r"1 of 6 rows have none, the first is data row 12\."):
        fit("power", table.where(bad, ["part=b"]), x={"n": "n"}, y="y")


def refusal(frame: pd.DataFrame, law: str = "power", **settings: str) -> str:
    variables = {
        "power": ("n",),
        "additive": ("n", "m"),
        "mixture": ("n", "m", "w"),
        "generator": ("n", "m", "g", "k", "w"),
    }[law]
    x = dict(zip(LAWS[law].variables, variables, strict=True))
    options = {"y": "y", **settings}
    with pytest.raises(ValueError, match=r"\w") as caught:
        fit(
            law,
            frame,
            x=x,
            y=options["y"],
            seed=options.get("seed"),
            std_error=options.get("std_error"),
            link=options.get("link", "identity"),
            loss=options.get("loss", "least-squares"),
        )
    return str(caught.value)


def test_too_few_sizes() -> None:
    assert "at least 3 different sizes in 'n'; got 2: 50, 199" in refusal(GOOD[GOOD["n"] < 500])


def test_fewer_points_than_parameters() -> None:
    three = [10.0, 100.0, 1000.0]
    frame = pd.DataFrame({"n": three, "m": three, "y": [0.5, 0.3, 0.2]})
    assert "has 5 parameters and needs at least as many different points; got 3" in refusal(
        frame, "additive"
    )


def test_one_seed_only() -> None:
    said = refusal(GOOD.assign(seed=7), seed="seed")
    assert "at least two seeds; 'seed' holds only '7'" in said
    assert "leave the seed column out" in said


def test_a_column_with_two_roles() -> None:
    assert "'n' was named 2 times" in refusal(GOOD, seed="n")
    assert "Name another column" in refusal(GOOD, y="n")


def test_rows_that_were_entered_twice() -> None:
    twice = pd.concat([GOOD, GOOD[:2]], ignore_index=True)
    said = refusal(twice, seed="seed")
    assert "2 of 14 rows repeat another one in every column, the first is data row 13" in said
    assert "Drop the copies" in said


@pytest.mark.parametrize("factor", [1e-12, 1e30])
def test_values_of_an_absurd_unit(factor: float) -> None:
    said = refusal(GOOD.assign(y=factor * GOOD["y"]))
    assert "the largest value must lie between 1e-09 and 1e+12; that of 'y' is 2.4" in said
    assert "multiply the column by a power of ten" in said


def test_an_empty_seed() -> None:
    frame = GOOD.assign(seed=[None, *range(11)])
    assert "every row needs a seed; 1 of 12 rows have an empty 'seed'. Fill" in refusal(
        frame, seed="seed"
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"link": "log"}, "the log link needs positive"),
        ({"loss": "huber-log"}, "loss huber-log needs"),
    ],
)
def test_values_that_have_no_logarithm(settings: dict[str, str], message: str) -> None:
    said = refusal(GOOD.assign(y=GOOD["y"] - 0.2), **settings)
    assert message in said
    assert "'y' has 10 that are not, the least is -0.0955" in said


def test_negative_values_of_a_law_that_has_none() -> None:
    frame = GOOD.assign(y=GOOD["y"] - 0.3)
    said = refusal(frame)
    assert "law 'power' has no negative values" in said
    assert f"the least mean is {frame['y'].min():g}" in said
    assert "link log" in said
    assert "no negative values" in refusal(frame.assign(e=0.01), std_error="e")


def test_values_that_scatter_below_zero_are_not_refused() -> None:
    one = GOOD["seed"] == 0
    scattered = GOOD.assign(y=GOOD["y"] - 0.1 + np.where(one, 0.05, -0.05))
    assert scattered["y"].min() < 0
    assert fit("power", scattered, x={"n": "n"}, y="y", seed="seed").n_rows == 12
    means = GOOD[one].assign(y=GOOD["y"] - 0.12, e=0.01)
    assert means["y"].min() < 0
    assert fit("power", means, x={"n": "n"}, y="y", std_error="e").n_rows == 6


def test_a_law_of_ones_own_may_be_negative() -> None:
    line = ScalingLaw.of_function(
        lambda p, x: p["c"] + p["d"] * np.log(x["n"]),
        ("c", "d"),
        {"c": (-10, 10), "d": (-1, 1)},
        variables=("n",),
    )
    frame = GOOD.assign(y=1 - 0.3 * np.log(GOOD["n"]))
    found = fit(line, frame, x={"n": "n"}, y="y")
    assert found.params["d"].estimate == pytest.approx(-0.3, rel=1e-6)


def test_constant_columns() -> None:
    assert "the column 'n' is constant (5)" in refusal(GOOD.assign(n=5.0))
    assert "the column 'y' is constant (0.5): there is no curve" in refusal(GOOD.assign(y=0.5))
    frame = GOOD.assign(m=GOOD["n"], w=0.5)
    assert "the column 'w' is constant (0.5)" in refusal(frame, "mixture")
    frame = frame.assign(g=GOOD["n"], k=0.0)
    assert "the column 'w' is constant (0.5)" in refusal(frame, "generator")
    one = frame.assign(g=7.0 * GOOD["seed"], w=0.5 * GOOD["seed"])  # 0 where nothing is made
    assert "the column 'g' is constant (7)" in refusal(one, "generator")


def test_percent_under_a_logit() -> None:
    said = refusal(GOOD.assign(y=100 * GOOD["y"]), link="logit")
    assert "between 0 and 1; 'y' goes from 10.4472 to 24.1421" in said
    assert "divide by 100" in said
    assert "Use another link" in refusal(GOOD.assign(y=GOOD["y"] - 0.2), link="logit")


def test_percent_and_fraction_in_one_column() -> None:
    mixed = GOOD.assign(y=GOOD["y"] * np.where(GOOD["seed"] == 1, 100, 1))
    said = refusal(mixed)
    assert "values from 0.104472 to 0.241421 and others from 10.4472 to 24.1421" in said
    assert "Divide the percents by 100; if all are of one unit, multiply all by 1000." in said


def test_a_curve_over_decades_is_not_taken_for_mixed_units() -> None:
    frame = pd.DataFrame({"n": N, "y": 0.05 + 600 * N**-0.9})
    assert frame["y"].max() > 10
    assert frame["y"].min() < 1
    fit("power", frame, x={"n": "n"}, y="y")


def test_standard_errors_in_another_unit() -> None:
    said = refusal(GOOD.assign(se=1.5), std_error="se")
    assert "the median of 'se' is 1.5" in said
    assert "Is one in percent" in said


def test_standard_errors_that_are_not_positive() -> None:
    said = refusal(GOOD.assign(se=[0.0] + [0.01] * 11), std_error="se")
    assert "standard errors must be positive; 'se' has 1 that are not, the least is 0" in said


@pytest.mark.parametrize("name", ["metric", "group", "setting", "source"])
@pytest.mark.parametrize("first", ["b", None])
def test_several_curves_in_one_column(name: str, first: str | None) -> None:
    said = refusal(GOOD.assign(**{name: [first, *["a", "b"] * 5, "a"]}))
    assert f"the column {name!r} holds 2 different values (a, b)" in said
    flag = "--metric a" if name == "metric" else f"--where {name}=a"
    assert flag in said
    assert f"--group-by {name}" in said


def test_a_misspelt_column() -> None:
    said = refusal(GOOD.rename(columns={"y": "error_rate"}), y="eror_rate")
    assert "no column 'eror_rate'; did you mean 'error_rate'? It has: n, error_rate, seed" in said


def test_rows_without_a_number() -> None:
    holes = GOOD.assign(y=[np.nan, np.inf, *GOOD["y"][2:]])
    assert "a finite number in 'y'; 2 of 12 rows have none, the first is data row 1" in refusal(
        holes
    )
    said = refusal(GOOD.assign(y=[*map(str, range(11)), "7%"]))
    assert "'y' must hold numbers; it holds '7%' as str in data row 12" in said
    assert "Write plain numbers" in said
    assert "it holds 'True' as bool in data row 1" in refusal(GOOD.assign(y=GOOD["y"] > 0))
    said = refusal(GOOD.assign(y=GOOD["y"].astype(str)))
    assert "as str in data row 1. Convert the column" in said


def test_sizes_out_of_range() -> None:
    assert "sizes must be positive; 'n' has the value -1" in refusal(
        GOOD.assign(n=[-1.0, *GOOD["n"][1:]])
    )
    frame = GOOD.assign(m=GOOD["n"][::-1].to_numpy(), w=50.0 * (GOOD["seed"] + 1))
    assert "'w' is a weight in [0, 1]; got 50" in refusal(frame, "mixture")
    frame = GOOD.assign(m=[0.0, *GOOD["n"][1:]], w=0.1 + 0.5 * GOOD["seed"])
    assert "'m' has the value 0 in a row that uses it" in refusal(frame, "mixture")


@pytest.mark.parametrize("shared", [-1.0, 60.0])
def test_more_shared_rows_than_there_are(shared: float) -> None:
    frame = GOOD.assign(m=GOOD["n"], g=GOOD["n"][::-1].to_numpy(), w=0.1 + 0.5 * GOOD["seed"])
    said = refusal(frame.assign(k=[shared, *np.zeros(11)]), "generator")
    assert "'k' counts rows that are among the 'n' and among the 'g', so at least 0" in said
    assert f"at most 50 in one row; it has the value {shared:g} there. Write 0 for" in said


@pytest.mark.parametrize("size", [np.nan, np.inf])
def test_predictions_at_no_number(size: float) -> None:
    found = fit("power", GOOD, x={"n": "n"}, y="y")
    with pytest.raises(ValueError, match=f"sizes are finite numbers; 'n' has the value {size:g}"):
        found.to_dict({"n": np.array([size])})
    with pytest.raises(ValueError, match=r"a weight in \[0, 1\]; got nan"):
        LAWS["mixture"].check_x(
            {"n": 5.0 * np.ones(1), "N": np.ones(1), "alpha": np.array([np.nan])}
        )


def test_a_header_that_was_not_split() -> None:
    with pytest.raises(ValueError, match=r"It has: n;y\. That is one column: .* by commas"):
        table.check_columns(pd.DataFrame({"n;y": ["1;2"]}), ["n"])


def test_wrong_variables() -> None:
    with pytest.raises(ValueError, match=r"law 'power' reads 1 column\(s\), for \['n'\]"):
        fit("power", GOOD, x={"size": "n"}, y="y")


def test_conditions() -> None:
    frame = GOOD.assign(arm=["a", "b"] * 6, part=["b", None, "a"] * 4, empty=None)
    assert len(table.where(frame, ["arm=a", "seed=1"])) == 3
    assert len(table.where(frame, ["n=50.0"])) == 2
    for condition, message in (
        ("arm", "COLUMN=VALUE; got 'arm'"),
        ("arms=a", "no column 'arms'; did you mean 'arm'"),
        ("arm=c", "no row has arm = 'c'; it holds a, b"),
        ("part=c", r"no row has part = 'c'; it holds a, b\."),
        ("empty=c", r"no row has empty = 'c'; it holds nothing\."),
    ):
        with pytest.raises(ValueError, match=message):
            table.where(frame, [condition])
