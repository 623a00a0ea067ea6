"""Pictures of fits: what they hold, and that nothing is cut off."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from opal.plotting import save
from opal.scaling.compare import held_out
from opal.scaling.fit import fit
from opal.scaling.laws import LAWS
from simulations.fit_coverage import Config, draw_truth, points, simulate


def table(law: str, x: dict[str, np.ndarray] | None = None, n_seeds: int = 4) -> pd.DataFrame:
    rng = np.random.default_rng(2)
    places = points(law, identified=True) if x is None else x
    return simulate(LAWS[law], places, draw_truth(law, rng), Config(n_seeds=n_seeds), rng)


def texts(figure: Figure) -> str:
    return " | ".join(text.get_text() for axes in figure.axes for text in axes.texts)


def test_a_curve_has_points_bands_residuals_and_what_was_held_out() -> None:
    frame = table("power")
    held = held_out(frame, "n", 3)
    kept = frame[~held].reset_index(drop=True)
    found = fit("power", kept, x={"n": "n"}, y="y", seed="seed")
    figure = found.plot(held_out=frame[held])
    top, below = figure.axes
    assert len(top.containers) == 2  # seen and held out, with bars
    assert top.containers[1][0].get_markerfacecolor() == "white"
    assert len(top.collections) >= 2
    means = frame.groupby("n")["y"].mean().to_numpy()
    seen = np.concatenate([np.asarray(bars[0].get_ydata(), float) for bars in top.containers])
    np.testing.assert_allclose(np.sort(seen), np.sort(means))
    low, high = below.get_ylim()
    for line in below.lines:
        values = np.asarray(line.get_ydata(), float)
        assert np.all((low < values) & (values < high))
    assert "open: held out" in texts(figure)
    assert "Warning" not in texts(figure)
    assert "one new run" in texts(figure)
    assert top.get_xlim()[1] >= 10 * kept["n"].max()


def test_warnings_stand_in_the_picture_and_misfit_is_not_cut_off() -> None:
    found = fit("power", table("broken", n_seeds=8), x={"n": "n"}, y="y", seed="seed")
    assert found.warnings
    figure = found.plot()
    assert "Warning: the law misses" in texts(figure).replace("\n", " ")
    residuals = np.concatenate(
        [np.asarray(line.get_ydata(), float) for line in figure.axes[1].lines]
    )
    assert np.max(np.abs(residuals)) > 10
    assert figure.axes[1].get_ylim()[1] > np.max(np.abs(residuals))


def test_two_sizes_are_families_or_fitted_against_observed() -> None:
    sizes = np.meshgrid(np.geomspace(1e7, 1e10, 5), np.geomspace(1e8, 1e11, 4))
    grid = table("additive", {"x1": sizes[0].ravel(), "x2": sizes[1].ravel()})
    x = {"x1": "x1", "x2": "x2"}
    families = fit("additive", grid, x=x, y="y", seed="seed").plot()
    assert len(families.axes) == 2
    assert texts(families).count("x2 1e+") == 4
    scattered = grid[grid["seed"] == 0].reset_index(drop=True)
    scattered["x2"] *= np.random.default_rng(0).uniform(0.9, 1.1, len(scattered))
    other = fit("additive", scattered, x=x, y="y").plot()
    assert [axes.get_xlabel() for axes in other.axes] == ["fitted", "x1", "x2"]


@pytest.mark.parametrize("law", ["power-no-floor", pytest.param("mixture", marks=pytest.mark.slow)])
def test_every_form_can_be_drawn_and_saved(law: str, tmp_path: Path) -> None:
    x = {name: name for name in LAWS[law].variables}
    frame = table(law)
    found = fit(law, frame[frame["seed"] < 2].reset_index(drop=True), x=x, y="y", seed="seed")
    for name in ("fit.png", "fit.pdf"):
        save(found.plot(), tmp_path / name)
        assert (tmp_path / name).stat().st_size > 5000
    assert b"/Type3" not in (tmp_path / "fit.pdf").read_bytes()
