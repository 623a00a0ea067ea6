"""Designs in the limit: what their rows become, what is refused, and the best α, N and λ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize

from opal.objective import Design
from opal.settings import GaussianMixture, SpuriousCorrelation
from opal.synthesis import Bias, Duplication, GaussianFit, Oracle, Smote
from opal.theory import seeds
from opal.theory.high_dim import Components, Spheres, best, evaluate, of_design, of_setting, predict

D = 40
LABEL = np.array([-1.0, 1.0])
SETTING = GaussianMixture(np.outer(LABEL, np.eye(D)[0]), np.eye(D))
MAKER = Oracle.biased(SETTING.law, Bias(mean_shift=0.1, covariance_scale=0.5))
DESIGN = Design((60, 12), MAKER, n_augmented=30, alpha=0.4, ridge=0.1, loss="squared")
COPIES = Design((60, 12), Duplication(), n_augmented=31, alpha=0.4, ridge=0.1, loss="squared")


def numbers(made: Components) -> Components:
    return Components(*(np.asarray(part, dtype=float) for part in made))


def test_weights_and_penalty_are_those_of_the_design() -> None:
    made = numbers(of_setting(SETTING, DESIGN))
    assert made.density @ made.weight == pytest.approx(1.0)
    np.testing.assert_allclose(made.density * D, [60, 12, 0, 48, 30, 30])
    np.testing.assert_allclose(made.scale, [1, 1, 0.5, 0.5, 0.5, 0.5])
    np.testing.assert_allclose(made.test, [0.5, 0.5, 0, 0, 0, 0])
    np.testing.assert_allclose(made.gram[0, 0], 1.0)
    shifted = np.eye(D)[0] + 0.1
    np.testing.assert_allclose(made.gram[1, 3], shifted[0])
    np.testing.assert_allclose(made.gram[3, 3], shifted @ shifted)


def test_real_numbers_of_alpha_and_rows_replace_those_of_the_design() -> None:
    said = numbers(of_setting(SETTING, DESIGN.with_(alpha=0.25, n_augmented=50)))
    told = numbers(of_setting(SETTING, DESIGN, alpha=0.25, n_augmented=50.0))
    for one, other in zip(said, told, strict=True):
        np.testing.assert_allclose(one, other)


def test_copies_are_weights_of_the_seeds() -> None:
    made = numbers(of_setting(SETTING, COPIES))
    counts, sizes = seeds.copied_in_turn(COPIES.row_counts(), COPIES.row_weights())
    for group in range(2):
        mine = made.label == LABEL[group]
        assert made.density[mine].sum() * D == pytest.approx(COPIES.counts[group])
        for power in (1, 2):
            expected = float(jnp.sum(counts[:, group] * (D * sizes[:, group]) ** power))
            assert (made.density * made.weight**power)[mine].sum() * D == pytest.approx(expected)


def test_whole_copies_are_group_weighting() -> None:
    copies = Design((60, 12), Duplication(), ridge=0.1, loss="squared")
    weighted = Design((60, 12), weighting="group", ridge=0.1, loss="squared")
    errors = [evaluate(numbers(of_setting(SETTING, d)), 0.1).error[:2] for d in (copies, weighted)]
    np.testing.assert_allclose(errors[0], errors[1], rtol=1e-9)
    independent = evaluate(numbers(of_setting(SETTING, DESIGN.with_(alpha=0.0))), 0.1).error[:2]
    assert np.abs(independent - errors[0]).max() > 1e-3


def test_records_are_those_of_a_simulation() -> None:
    table = predict(SETTING, DESIGN).set_index(["metric", "group"])
    error = evaluate(numbers(of_setting(SETTING, DESIGN)), 0.1).error
    assert set(table["source"]) == {"theory"}
    assert table.loc[("error", "class 1"), "value"] == pytest.approx(error[1])
    assert table.loc[("balanced_error", "all"), "value"] == pytest.approx(error[:2].mean())
    assert table.loc[("minority_error", "all"), "value"] == pytest.approx(error[1])


def build(t: Mapping[str, jax.Array]) -> tuple[Components, jax.Array]:
    made = of_setting(SETTING, DESIGN, alpha=t["alpha"], n_augmented=t["n_augmented"])
    return made, t["ridge"]


def test_the_best_design_is_better_than_its_neighbours() -> None:
    bounds = {"alpha": (0.01, 0.99), "n_augmented": (5.0, 30.0), "ridge": (1e-3, 10.0)}
    found = best(build, bounds, n_starts=1)

    def error(**change: float) -> float:
        made, ridge = build({name: jnp.asarray(x) for name, x in (found.at | change).items()})
        return float(evaluate(numbers(made), float(ridge)).balanced_error)

    assert found.value == pytest.approx(error(), rel=1e-9)
    assert found.at["n_augmented"] == pytest.approx(30.0)
    assert found.at["ridge"] == pytest.approx(10.0)
    for name, factor in (("alpha", 0.8), ("alpha", 1.2), ("ridge", 0.8), ("n_augmented", 0.8)):
        assert error(**{name: found.at[name] * factor}) > found.value


def test_a_penalty_within_its_bounds_is_found() -> None:
    found = best(lambda t: (of_setting(SETTING, DESIGN), t["ridge"]), {"ridge": (1e-3, 1e4)})
    made = numbers(of_setting(SETTING, DESIGN))

    def error(log_ridge: float) -> float:
        return float(evaluate(made, float(np.exp(log_ridge))).balanced_error)

    scanned = optimize.minimize_scalar(error, bounds=np.log([1.0, 1e3]), options={"xatol": 1e-8})
    assert found.converged
    assert found.at["ridge"] == pytest.approx(np.exp(scanned.x), rel=1e-3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bounds": {}}, "at least one number to tune"),
        ({"n_starts": 0}, "and one start"),
        (
            {"bounds": {"alpha": (0.1, 0.9), "n_augmented": (5.0, 30.0), "ridge": (-2.0, -1.0)}},
            "no answer at any of 5 starts",
        ),
        ({"metric": "accuracy"}, "metric must be one of"),
        ({"bounds": {"alpha": (0.5, 0.1)}}, "finite interval"),
    ],
)
def test_a_bad_search_is_refused(change: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {"bounds": {"alpha": (0.1, 0.9)}, **change}
    with pytest.raises(ValueError, match=message):
        best(build, arguments.pop("bounds"), **arguments)


STRETCHED = GaussianMixture(np.outer(LABEL, np.eye(D)[0]), np.linspace(0.5, 1.5, D))
THREE = GaussianMixture(np.eye(D)[:3])


@pytest.mark.parametrize(
    ("setting", "design", "message"),
    [
        (SETTING, DESIGN.with_(synthesizer=Smote()), "SMOTE is not covered.*Simulate"),
        (SETTING, DESIGN.with_(synthesizer=Duplication(in_turn=False)), "'copy at random'.*not"),
        (SETTING, DESIGN.with_(synthesizer=GaussianFit()), "'moments'.*not covered"),
        (SETTING, DESIGN.with_(threshold="balanced"), "threshold is not covered"),
        (SETTING, DESIGN.with_(counts=(60, 12, 5)), "one number for each of 2 groups"),
        (STRETCHED, Design((60, 12)), "one isotropic Gaussian"),
        (THREE, Design((60, 12, 12)), "two classes"),
    ],
)
def test_what_the_limit_does_not_cover_is_refused(
    setting: GaussianMixture, design: Design, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        of_setting(setting, design)


def test_flipped_labels_are_refused() -> None:
    flipped = Oracle.biased(SETTING.law, Bias(label_flip=0.1))
    with pytest.raises(ValueError, match="random labels: True"):
        of_setting(SETTING, DESIGN.with_(synthesizer=flipped))


def test_a_law_and_a_dimension_are_needed() -> None:
    truth = Spheres(np.array([[-1.0], [1.0]]), np.ones(2))
    with pytest.raises(ValueError, match="give the law"):
        of_design(DESIGN, truth, None, LABEL, dim=D)
    with pytest.raises(ValueError, match="at least 1; got 0"):
        of_design(DESIGN, truth, truth, LABEL, dim=0)


def test_four_groups_of_two_labels() -> None:
    setting = SpuriousCorrelation(1, 1, D - 2, 1.0, 1.0)
    made = numbers(of_setting(setting, Design((50, 10, 10, 50))))
    assert made.test[:4].tolist() == [0.25] * 4
    assert sorted(made.label[:4]) == [-1, -1, 1, 1]
