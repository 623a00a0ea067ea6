"""Replicates of regression against exact excess risks, in the sequence model and on random rows."""

from __future__ import annotations

import re
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from opal.checks import z_threshold
from opal.draws import as_key, named, replicate_keys
from opal.estimators.kernel_ridge import fit_fourier_ridge
from opal.objective import Design
from opal.regression import kernel_ridge_excess, sequence_excess
from opal.settings.sequence import SobolevRegression
from opal.synthesis.function_oracle import FunctionOracle
from opal.theory.random_design import random_design_excess
from opal.theory.rates import Smoother, best_bandwidth
from opal.theory.rates import sequence_excess as exact_excess

TRUTH = SobolevRegression.of_smoothness(2.0, n_frequencies=16, spread=0.8, noise=0.5, key=1)
MAKER = FunctionOracle(TRUTH.biased((0.3, 0.1)))
DESIGN = Design((150, 30), MAKER, n_augmented=60, alpha=0.4)
SMOOTHER = Smoother("ridge", 2)
BEST = best_bandwidth(TRUTH, MAKER.law, DESIGN, SMOOTHER)
RUN: dict[str, Any] = {"order": 2, "ridge": SMOOTHER.ridge(BEST.bandwidth), "key": 2}


def test_the_sequence_model_has_its_exact_excess() -> None:
    designs = [DESIGN.with_(alpha=alpha) for alpha in (0.0, 0.4, 1.0)]
    bandwidths = (2.0, 4.0, 6.0)
    ridges = [SMOOTHER.ridge(k) for k in bandwidths]
    excess = sequence_excess(TRUTH, MAKER.law, designs, ridges, order=2, key=3, n_replicates=4000)
    exact = [
        exact_excess(TRUTH, MAKER.law, design, SMOOTHER, k)
        for design, k in zip(designs, bandwidths, strict=True)
    ]
    errors = excess.std(axis=0, ddof=1) / np.sqrt(len(excess))
    z = (excess.mean(axis=0) - [part.total for part in exact]) / errors
    assert np.abs(z).max() < z_threshold(3)
    # Without the synthetic functions' error, or with half the noise, the same test fails.
    unbiased = [
        exact_excess(TRUTH, TRUTH, design, SMOOTHER, k).total
        for design, k in zip(designs, bandwidths, strict=True)
    ]
    assert np.abs((excess.mean(axis=0) - unbiased) / errors).min() > 10
    halved = [part.bias + part.variance / 2 for part in exact]
    assert np.abs((excess.mean(axis=0) - halved) / errors).min() > 10


def test_replicates_do_not_depend_on_chunks_or_their_number() -> None:
    def run(chunk: int | None, n_replicates: int = 7) -> np.ndarray:
        return sequence_excess(
            TRUTH,
            MAKER.law,
            [DESIGN],
            [1e-4],
            order=2,
            key=3,
            n_replicates=n_replicates,
            chunk_size=chunk,
        )

    whole = run(None)
    np.testing.assert_array_equal(run(1), whole)
    np.testing.assert_array_equal(run(3), whole)
    np.testing.assert_array_equal(run(3, 4), whole[:4])
    assert len(np.unique(whole)) == 7


def test_designs_share_their_noise() -> None:
    sizes = [DESIGN.with_(n_augmented=n, alpha=1.0) for n in (100, 400)]
    few, many = sequence_excess(TRUTH, TRUTH, sizes, [0.0, 0.0], order=2, key=0, n_replicates=5).T
    np.testing.assert_allclose(few, 4 * many, rtol=1e-12)


@pytest.fixture(scope="module")
def on_random_rows() -> np.ndarray:
    return kernel_ridge_excess(TRUTH, MAKER.law, DESIGN, **RUN, n_replicates=600)


def test_random_rows_have_their_self_consistent_excess(on_random_rows: np.ndarray) -> None:
    error = on_random_rows.std(ddof=1) / np.sqrt(len(on_random_rows))
    predicted = random_design_excess(TRUTH, MAKER.law, DESIGN, order=2, ridge=RUN["ridge"])
    assert abs(on_random_rows.mean() - predicted.total) / error < z_threshold(1)
    assert abs(on_random_rows.mean() - BEST.excess) / error > 10  # the sequence model


def test_rows_are_drawn_as_a_law_draws_them_and_weighed_as_a_design_says(
    on_random_rows: np.ndarray,
) -> None:
    few = kernel_ridge_excess(TRUTH, MAKER.law, DESIGN, **RUN, n_replicates=2)
    np.testing.assert_array_equal(few, on_random_rows[:2])
    key = replicate_keys(as_key(RUN["key"]), jnp.arange(1))[0]
    kinds = zip(
        ("real", "oversample", "augment"),
        (TRUTH, MAKER.law, MAKER.law),
        DESIGN.row_counts(),
        DESIGN.row_weights(),
        strict=True,
    )
    parts, weights = [], []
    for name, law, counts, weight in kinds:
        parts.append(law.sample([int(n) for n in counts], key=named(key, name)))
        weights.append(weight[parts[-1].group])
    x = np.concatenate([part.x[:, 0] for part in parts])
    y = np.concatenate([part.y for part in parts])
    theta = fit_fourier_ridge(x, y, np.concatenate(weights), dim=33, order=2, ridge=RUN["ridge"])
    expected = np.sum((np.asarray(theta) - TRUTH.optimum()) ** 2)
    # Draws have the precision of float32, and are rounded otherwise once compiled.
    np.testing.assert_allclose(few[0], expected, rtol=1e-6)


OTHER = SobolevRegression.of_smoothness(2.0, n_frequencies=8, key=1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ridge": 0.0}, "ridge must be positive: the kernel may be singular; got 0.0."),
        ({"order": 0}, "order must be a whole number of at least 1; got 0."),
        ({"n_replicates": 0}, "n_replicates must be a whole number of at least 1; got 0."),
        ({"synthetic": OTHER}, "shape (2, 33) and (2, 17)"),
        ({"design": Design((5, 5, 5))}, "one number for each of the 2 groups; got [5, 5, 5]"),
    ],
)
def test_impossible_replicates_are_refused(changes: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {"synthetic": MAKER.law, "design": DESIGN, "ridge": 1e-3}
    arguments |= {"order": 1, "key": 0, "n_replicates": 2} | changes
    with pytest.raises(ValueError, match=re.escape(message)):
        kernel_ridge_excess(TRUTH, **arguments)


@pytest.mark.parametrize("ridges", [[1e-3], [1e-3, -1.0]])
def test_each_design_needs_a_penalty(ridges: list[float]) -> None:
    with pytest.raises(ValueError, match="at least 0 for each of 2 designs; got"):
        sequence_excess(TRUTH, MAKER.law, [DESIGN] * 2, ridges, order=1, key=0, n_replicates=2)
