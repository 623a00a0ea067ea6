from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from opal.bridge.render import markdown
from opal.bridge.tabular.scaling import published, readings, report
from opal.scaling.fit import fit
from opal.scaling.scaling_law import ScalingLaw

SIZES = 400 * np.arange(1, 10)


def curve(of_size: np.ndarray, noise: float = 1e-4, **columns: object) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = [
        {"n_added": n, "replicate": s, "value": v + noise * rng.normal()}
        for n, v in zip(SIZES, of_size, strict=True)
        for s in published.SEEDS
    ]
    n_base = 1800.0
    frame = pd.DataFrame(rows)
    weight = published.ADDED_WEIGHT * frame["n_added"]
    return frame.assign(
        alpha=weight / (n_base + weight), n_real=1000, n_generator=200.0, table="toy",
        task="imbalanced", experiment="additional", classifier="xgboost", synthesizer="mine",
        arm="augmented", metric="balanced_log_loss",
    ).assign(**columns)  # fmt: skip


@pytest.mark.parametrize(
    ("law", "of_size"),
    [
        (readings.LINE_IN_INVERSE, 0.5 + 40 / SIZES),
        (readings.LINE_IN_LOG, 1.2 - 0.07 * np.log(SIZES)),
        (readings.NO_FLOOR, 1.1 * SIZES**-0.12),
    ],
)
@pytest.mark.slow
def test_each_reading_predicts_its_own_curve_best(law: ScalingLaw, of_size: np.ndarray) -> None:
    (found,) = readings.of_curves(curve(of_size))
    errors = found["held_out"]
    assert errors[law.name] < 2e-3
    if law is not readings.NO_FLOOR:  # a power law with a floor contains the two others
        assert found["best"] in (law.name, "power")
    for other in (readings.LINE_IN_INVERSE, readings.LINE_IN_LOG):
        if other is not law and law is not readings.NO_FLOOR:
            assert errors[other.name] > 2 * errors[law.name]


def test_exponents_are_recovered_or_said_to_be_unknown() -> None:
    (clear,) = readings.of_curves(curve(0.3 + 30 * SIZES**-0.8, noise=1e-5))
    low, high = clear["power"]["params"]["a"]["ci"]
    assert low < 0.8 < high
    assert high - low < 0.1
    (blurred,) = readings.of_curves(curve(0.3 + 30 * SIZES**-0.8, noise=0.2))
    assert "a" in blurred["power"]["not_identified"]
    assert "not identified" in markdown("laws", report.laws_page([blurred]))


def test_the_mixture_law_at_one_number_of_real_rows() -> None:
    law = readings.mixture_at(1000.0)
    frame = curve(np.zeros(9), noise=0.0)
    truth = {"E": 0.4, "R_s": 0.2, "A_s": 3.0, "A_r": 2.0, "beta": 0.6}
    x = {"N": frame["n_added"].to_numpy(float), "alpha": frame["alpha"].to_numpy()}
    inside = (x["alpha"] ** 2 * (3.0 * x["N"] ** -0.6) ** (1 / 0.6)) + (1 - x["alpha"]) ** 2 * (
        2.0 * 1000.0**-0.6
    ) ** (1 / 0.6)
    assert law.predict(truth, x) == pytest.approx(0.4 + 0.2 * x["alpha"] ** 2 + inside**0.6)
    fitted = fit(
        law, frame.assign(value=law.predict(truth, x)), x={"N": "n_added", "alpha": "alpha"},
        y="value",
    )  # fmt: skip
    assert fitted.predict(x) == pytest.approx(law.predict(truth, x), abs=1e-4)


def test_share_of_calibration_and_its_interval() -> None:
    rng = np.random.default_rng(1)
    raw = curve(np.linspace(1.0, 0.6, 9), noise=0.005)
    same = raw.assign(classifier=published.CALIBRATED)
    flat = curve(np.linspace(0.7, 0.6, 9), noise=0.005, classifier=published.CALIBRATED)
    assert readings.calibration_share(raw, same)["share"] == pytest.approx(0)
    found = readings.calibration_share(raw, flat)
    assert found["lower"] < 0.75 < found["upper"]
    assert found["upper"] - found["lower"] < 0.2
    inside = 0
    for _ in range(200):  # Fieller's interval covers a ratio of means
        top, bottom = (pd.Series(m + rng.normal(0, 0.3, 5)) for m in (0.8, 1.0))
        low, high = readings.ratio_interval(top, bottom)
        inside += low <= 0.8 <= high
    assert 0.9 <= inside / 200 <= 0.99


def test_no_curve_is_refused() -> None:
    with pytest.raises(ValueError, match="experiment 'additional'; there are none"):
        readings.of_curves(curve(np.zeros(9), experiment="ratio"))
