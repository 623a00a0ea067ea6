"""Numbers and weights of rows are those of the objective (DESIGN, section 1)."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from opal.objective import Design, RowCounts, RowWeights, baselines, corrected
from opal.synthesis import Duplication, Oracle

COPIES = Duplication()
KINDS = ("counts", "weights")


def total_weight(design: Design) -> float:
    counts, weights = design.row_counts(), design.row_weights()
    return float(sum(np.sum(n * w) for n, w in zip(counts, weights, strict=True)))


DESIGNS = {
    "plain": Design((7, 3)),
    "oversampled": Design((7, 3), COPIES),
    "augmented": Design((7, 3), COPIES, n_augmented=5, alpha=0.3),
    "synthetic only": Design((7, 3), COPIES, n_augmented=5, alpha=1.0),
    "augmented without weight": Design((7, 3), COPIES, n_augmented=5),
    "not oversampled": Design((7, 3), COPIES, n_augmented=5, alpha=0.3, oversample="none"),
    "some oversampled": Design((7, 3, 2), COPIES, oversample=(0, 2, 4)),
    "weighted": Design((7, 3, 2), weighting="group"),
    "weighted and augmented": Design(
        (7, 3, 2), COPIES, n_augmented=4, alpha=0.3, oversample="none", weighting="group"
    ),
    "corrected": Design((7, 3, 2), COPIES, n_augmented=4, alpha=0.3, correction=0.5),
    "four groups": Design((9, 5, 2, 9), COPIES, n_augmented=4, alpha=0.6),
}


@pytest.mark.parametrize("name", DESIGNS)
def test_weights_sum_to_one(name: str) -> None:
    np.testing.assert_allclose(total_weight(DESIGNS[name]), 1.0, rtol=1e-14)


def test_the_formula_on_a_small_example() -> None:
    """Every row written out: n = (3, 1), m = (0, 2), N = 2, α = 0.4."""
    design = Design((3, 1), COPIES, n_augmented=2, alpha=0.4)
    assert design.n_oversampled == (0, 2)
    real = {0: [1.0, 2.0, 4.0], 1: [8.0]}
    over: dict[int, list[float]] = {0: [], 1: [16.0, 32.0]}
    augmented = {0: [64.0, 128.0], 1: [256.0, 512.0]}
    bulk = sum(sum(real[g]) + sum(over[g]) for g in (0, 1))
    extra = sum(sum(augmented[g]) for g in (0, 1))
    expected = (1 - 0.4) / (4 + 2) * bulk + 0.4 / (2 * 2) * extra
    weights = design.row_weights()
    found = sum(
        weight[g] * sum(losses[g])
        for weight, losses in zip(weights, (real, over, augmented), strict=True)
        for g in (0, 1)
    )
    np.testing.assert_allclose(found, expected, rtol=1e-14)


def test_a_correction_subtracts_the_bias_of_the_largest_group() -> None:
    """(16.1) written out: n = (3, 1), m = (0, 2), N = 4, α = 0.4, λ = 0.5."""
    plain = Design((3, 1), COPIES, n_augmented=4, alpha=0.4)
    corrected = plain.with_(correction=0.5)
    synthetic = 2 * 0.6 / 6 + 0.4
    differences = [
        after - before
        for after, before in zip(corrected.row_weights(), plain.row_weights(), strict=True)
    ]
    moved = 0.5 * synthetic
    np.testing.assert_allclose(differences[0], [moved / 3, 0], rtol=1e-14)
    np.testing.assert_allclose(differences[1], [0, 0])
    np.testing.assert_allclose(differences[2], [-moved / 4, 0], rtol=1e-14)
    alone = Design((3, 1), COPIES, n_augmented=4, correction=1.0).row_weights()
    assert alone.augmented[0] < 0  # rows that are the yardstick alone
    assert alone.augmented[1] == 0


def test_a_correction_of_any_counts_moves_a_share_within_the_largest_group() -> None:
    rows = RowCounts(*(np.array(n, float) for n in ((3, 5, 5), (2, 0, 0), (4, 6, 1))))
    weights = RowWeights(
        *(np.array(w) for w in ((0.1, 0.2, 0.3), (0.4, 0.0, 0.0), (0.5, 0.1, 0.7)))
    )
    after = corrected(rows, weights, 0.5)
    moved = 0.5 * (2 * 0.4 + 4 * 0.5 + 6 * 0.1 + 0.7)
    np.testing.assert_allclose(after.real, [0.1, 0.2 + moved / 5, 0.3], rtol=1e-14)
    np.testing.assert_array_equal(after.oversampled, weights.oversampled)
    np.testing.assert_allclose(after.augmented, [0.5, 0.1 - moved / 6, 0.7], rtol=1e-14)
    none = rows._replace(augmented=np.array([4.0, 0.0, 1.0]))
    with pytest.raises(ValueError, match="group 1 has 5 real rows and no augmented one"):
        corrected(none, weights, 0.5)


def test_counts_are_those_of_the_objective() -> None:
    counts = DESIGNS["four groups"].row_counts()
    np.testing.assert_array_equal(counts.real, [9, 5, 2, 9])
    np.testing.assert_array_equal(counts.oversampled, [0, 4, 7, 0])
    np.testing.assert_array_equal(counts.augmented, [4, 4, 4, 4])


def test_the_synthetic_share_is_that_of_the_design_page() -> None:
    """``w_g = (1−α)ρ_g + α`` with ``ρ_g = m_g/n_max``, as a share of the group's weight."""
    design = DESIGNS["four groups"]
    counts, weights = design.row_counts(), design.row_weights()
    made = counts.oversampled * weights.oversampled + counts.augmented * weights.augmented
    rho = np.array([0, 4, 7, 0]) / 9
    np.testing.assert_allclose(4 * made, (1 - 0.6) * rho + 0.6, rtol=1e-14)


def test_group_weighting_gives_each_group_the_same() -> None:
    design = DESIGNS["weighted"]
    np.testing.assert_allclose(design.row_counts().real * design.row_weights().real, 1 / 3)
    counts, weights = (getattr(DESIGNS["weighted and augmented"], f"row_{k}")() for k in KINDS)
    np.testing.assert_allclose(counts.real * weights.real, 0.7 / 3)
    np.testing.assert_allclose(counts.augmented * weights.augmented, 0.3 / 3)


def test_without_a_synthesizer_nothing_is_added() -> None:
    assert Design((7, 3)).n_oversampled == (0, 0)
    np.testing.assert_allclose(Design((7, 3)).row_weights().real, 0.1)


def test_baselines_share_counts_and_differ_in_one_thing() -> None:
    arms = baselines((9, 4), loss="squared")
    assert list(arms) == ["raw", "threshold", "weighting"]
    assert {d.counts for d in arms.values()} == {(9, 4)}
    assert {d.loss for d in arms.values()} == {"squared"}
    assert [d.threshold for d in arms.values()] == ["fitted", "balanced", "fitted"]
    assert [d.weighting for d in arms.values()] == ["opal", "opal", "group"]
    assert [d.arm for d in arms.values()] == list(arms)


def test_the_arm_is_called_after_what_sets_it_apart() -> None:
    assert Design((7, 3), COPIES).arm == "duplication"
    assert Design((7, 3), COPIES, name="mine").arm == "mine"
    assert Design((7, 3), weighting="group").arm == "group"


def test_a_changed_design_is_checked_again() -> None:
    design = DESIGNS["augmented"]
    assert design.with_(alpha=0.5).alpha == 0.5
    with pytest.raises(ValueError, match="alpha"):
        design.with_(alpha=1.5)


def test_lists_are_as_good_as_tuples() -> None:
    lists: dict[str, Any] = {"counts": [7, 3], "oversample": [1, 2]}
    design = Design(synthesizer=COPIES, **lists)
    assert design == Design((7, 3), COPIES, oversample=(1, 2))
    assert design.n_oversampled == (1, 2)
    assert hash(design.counts) == hash((7, 3))


class NoLimit:
    """A synthesizer but for its ``population``."""

    name, min_seeds = "no limit", 1

    def fit(self, seeds: object, groups: object, *, key: object) -> None: ...


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"counts": (5, 0)}, "group 1 has 0. Drop the group, or collect rows for it."),
        ({"counts": (-2, 5)}, "counts must be whole numbers of at least 1; group 0 has -2."),
        ({"counts": (True, 10)}, "counts must be whole numbers of at least 1; group 0 has True"),
        ({"counts": (5, 2.5)}, "counts must be whole numbers of at least 1; group 1 has 2.5"),
        ({"counts": (5, "2")}, "counts must be whole numbers of at least 1; group 1 has '2'"),
        ({"counts": (5, None)}, "counts must be whole numbers of at least 1; group 1 has None"),
        ({"counts": ()}, "counts needs one number for each group, such as (1000, 50); got []"),
        ({"counts": 100}, "counts needs one number for each group, such as (1000, 50); got 100"),
        ({"counts": "ab"}, "such as (1000, 50); got 'ab'"),
        ({"alpha": 1.2, "n_augmented": 3}, "alpha is a weight in [0, 1]; got 1.2"),
        ({"alpha": -0.1, "n_augmented": 3}, "got -0.1"),
        ({"alpha": float("nan"), "n_augmented": 3}, "got nan"),
        ({"alpha": "x"}, "alpha is a weight in [0, 1]; got 'x'"),
        ({"alpha": [0.5]}, "alpha is a weight in [0, 1]; got [0.5]"),
        ({"alpha": None}, "alpha is a weight in [0, 1]; got None"),
        ({"alpha": True, "n_augmented": 3}, "alpha is a weight in [0, 1]; got True"),
        ({"alpha": 0.5}, "but n_augmented is 0; set n_augmented ≥ 1 or alpha = 0"),
        ({"correction": 1.2, "n_augmented": 3}, "correction is a share in [0, 1]; got 1.2"),
        ({"correction": -0.1, "n_augmented": 3}, "correction is a share in [0, 1]; got -0.1"),
        ({"correction": None}, "correction is a share in [0, 1]; got None"),
        ({"correction": 0.5}, "but n_augmented is 0; set n_augmented ≥ 1 (alpha may be 0), or"),
        ({"n_augmented": -1}, "n_augmented must be a whole number of at least 0; got -1."),
        ({"n_augmented": 2.5}, "n_augmented must be a whole number of at least 0; got 2.5."),
        ({"oversample": (1, -1)}, "oversample must be whole numbers of at least 0; group 1"),
        ({"oversample": (1, 1, 1)}, "oversample needs one number for each of the 2 groups"),
        ({"oversample": 5}, "oversample needs one number for each of the 2 groups; got 5"),
        ({"oversample": None}, "oversample needs one number for each of the 2 groups; got None"),
        ({"oversample": "fill"}, "oversample must be 'balance', 'none' or one number"),
        ({"ridge": -1.0}, "ridge is a finite penalty of at least 0; got -1.0"),
        ({"ridge": float("nan")}, "ridge is a finite penalty of at least 0; got nan"),
        ({"ridge": float("inf")}, "ridge is a finite penalty of at least 0; got inf"),
        ({"synthesizer": "smote"}, "such as Duplication() or Smote(5); got 'smote'"),
        ({"synthesizer": Duplication}, "or Smote(5); got the class Duplication"),
        ({"synthesizer": NoLimit()}, "which has no population."),
        ({"loss": "hinge"}, "loss must be one of ('logistic', 'squared'); got 'hinge'"),
        ({"weighting": "class"}, "weighting must be one of ('opal', 'group'); got 'class'"),
        ({"threshold": 0.5}, "threshold must be one of ('fitted', 'balanced'); got 0.5"),
        ({"weighting": "group"}, "group weighting replaces synthetic rows; use weighting='opal'"),
    ],
)
def test_impossible_designs_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        Design(**{"counts": (5, 2), "synthesizer": COPIES, **arguments})


@pytest.mark.parametrize(
    ("arguments", "fitted", "shared"),
    [
        ({}, (5, 2), (5, 2)),
        ({"n_generator": 9}, (9, 9), (0, 0)),
        ({"n_generator": (9, 4), "n_shared": 2}, (9, 4), (2, 2)),
        ({"n_generator": [3, 1], "n_shared": np.array([3, 1])}, (3, 1), (3, 1)),
        ({"n_generator": (5, 2), "n_shared": (5, 2)}, (5, 2), (5, 2)),
    ],
)
def test_a_generator_has_the_training_rows_or_its_own(
    arguments: dict[str, Any], fitted: tuple[int, ...], shared: tuple[int, ...]
) -> None:
    design = Design((5, 2), COPIES, **arguments)
    assert (design.n_fitted, design.n_in_training) == (fitted, shared)
    assert hash(design) == hash(design.with_(name=""))
    rows = design.generator_rows()
    assert (rows is None) == (not arguments)
    if rows is not None:
        np.testing.assert_array_equal(rows, [fitted, shared])


def test_a_generator_can_be_taken_back_from_a_design() -> None:
    design = Design((5, 2), Duplication(), n_generator=9)
    assert design.with_(n_generator=None) == Design((5, 2), Duplication())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_shared": 2}, "got n_shared = 2 without n_generator. Give both, or neither"),
        ({"n_generator": 0}, "n_generator must be whole numbers of at least 1; group 0 has 0."),
        ({"n_generator": 2.5}, "n_generator must be whole numbers of at least 1; group 0 has 2.5"),
        ({"n_generator": "all"}, "n_generator needs one number for each of the 2 groups"),
        ({"n_generator": (5, 5, 5)}, "needs one number for each of the 2 groups; got [5, 5, 5]"),
        ({"n_generator": 9, "n_shared": -1}, "n_shared must be whole numbers of at least 0"),
        ({"n_generator": 9, "n_shared": None}, "n_shared must be whole numbers of at least 0"),
        ({"n_generator": 9, "n_shared": 3}, "min(n_generator, n_real) = 2 in group 1; got 3."),
        ({"n_generator": 1, "n_shared": (2, 1)}, "n_real) = 1 in group 0; got 2. Lower n_shared"),
        (
            {"n_generator": 9, "synthesizer": None},
            "got n_generator = 9 and the synthesizer none. Name one that is, such as GaussianFit()",
        ),
        (
            {"n_generator": 9, "synthesizer": Oracle(None)},
            "fitted to real rows; got n_generator = 9 and the synthesizer oracle. Name one that",
        ),
    ],
)
def test_impossible_rows_of_a_generator_are_refused(
    arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        Design(**{"counts": (5, 2), "synthesizer": COPIES, **arguments})


@pytest.mark.parametrize("arguments", [{"n_augmented": 3}, {"oversample": (0, 1)}])
def test_synthetic_rows_need_a_synthesizer(arguments: dict[str, Any]) -> None:
    message = "synthetic rows need a synthesizer; got .* Name one, such as Duplication"
    with pytest.raises(ValueError, match=message):
        Design((5, 2), **arguments)


def test_numbers_of_numpy_are_as_good_as_others() -> None:
    numbers: tuple[Any, ...] = (np.array([7, 3]), np.int64(5), np.float32(0.5))
    counts, n_augmented, alpha = numbers
    design = Design(counts, COPIES, n_augmented=n_augmented, alpha=alpha)
    assert design == Design((7, 3), COPIES, n_augmented=5, alpha=0.5)
    assert all(type(n) is int for n in design.counts)
