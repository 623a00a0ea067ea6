r"""Weighted kernel ridge regression on random rows, by its self-consistent equations.

The sequence model takes the places of the rows for an even grid. Random places make the weighted
Gram matrix of the basis fluctuate, which costs a share of the order of parameters to rows, and they
turn the differences between the groups' functions into noise. Both are derived in
docs/theory.md, section 10.4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import brentq

from opal.settings.sequence import penalties
from opal.theory.rates import Excess, pseudo_target

if TYPE_CHECKING:
    from opal.objective import Design
    from opal.settings.sequence import SobolevRegression


def random_design_excess(
    truth: SobolevRegression,
    synthetic: SobolevRegression,
    design: Design,
    *,
    order: int,
    ridge: float,
) -> Excess:
    """Predicted excess of :func:`opal.regression.kernel_ridge_excess`.

    Args:
        truth: law of real rows; D coefficients are estimated.
        synthetic: law of oversampled and augmented rows.
        design: numbers of rows and their weights.
        order: m of the Sobolev norm.
        ridge: λ.

    Raises:
        ValueError: the laws and the design do not fit each other, or λ is not positive.
    """
    if not ridge > 0:
        raise ValueError(f"ridge must be positive: the kernel may be singular; got {ridge}.")
    pseudo_target(truth, synthetic, design)  # checks that the three fit each other
    counts = np.concatenate(list(design.row_counts()))
    weights = np.concatenate(list(design.row_weights()))
    laws = (truth, synthetic, synthetic)
    functions = np.concatenate([law.coefficients for law in laws])
    noises = np.repeat([law.noise**2 for law in laws], design.n_groups)
    penalty = ridge * penalties(functions.shape[1], order)

    leverage = _leverage(counts, weights, penalty)
    pull = counts * weights / (1 + weights * leverage)
    total = float(np.sum(pull))
    h = total / (total + penalty)
    mean = h * (pull @ functions) / total
    # The error of a row that was left out is noise to the others, and depends on their variance.
    gain = counts * (weights / (1 + weights * leverage)) ** 2
    spread = (h / total) ** 2
    misfit = (mean - functions) ** 2
    own = (noises + misfit.sum(axis=1)) * spread.sum() - misfit @ spread
    variance = float(gain @ own) / (1 - float(spread.sum() * gain.sum()))
    return Excess(float(np.sum((mean - truth.optimum()) ** 2)), variance)


def _leverage(counts: np.ndarray, weights: np.ndarray, penalty: np.ndarray) -> float:
    """The root t of ``t = Σ_k 1/(ρ(t) + λ_k)``, ``ρ(t) = Σ_i ω_i/(1 + ω_i t)`` (equation 10.7).

    ``Σ_k 1/(tρ(t) + tλ_k)`` falls from infinity to zero in t, so a bracket always holds the root.
    """

    def surplus(log_t: float) -> float:
        t = np.exp(log_t)
        total = np.sum(counts * weights * t / (1 + weights * t))
        return float(np.log(np.sum(1 / (total + penalty * t))))

    low = high = np.log(np.sum(1 / (1 + penalty)))
    while surplus(low) < 0:
        low -= 1.0
    while surplus(high) > 0:
        high += 1.0
    return float(np.exp(brentq(surplus, low - 1e-9, high + 1e-9, xtol=1e-13)))
