"""A law of two sizes whose decays multiply."""

from __future__ import annotations

import numpy as np

from opal.scaling import forms
from opal.scaling.law import Columns, Law


def product_law() -> Law:
    """E + A x1^(-a) x2^(-b): before a floor is near, a larger model gains a share at every budget.

    The additive law of ``opal.scaling`` adds what size and training lack, as near convergence.
    """
    exponent, grid = (0.01, 5.0), (0.1, 0.25, 0.5, 0.8, 1.2, 2.0)
    return Law(
        name="product",
        equation="E + A x1^(-a) x2^(-b)",
        variables=("x1", "x2"),
        params=("E", "A", "a", "b"),
        bounds={"E": (0.0, np.inf), "A": (0.0, np.inf), "a": exponent, "b": exponent},
        derivatives=_product,
        amplitudes=("A",),
        sizes=("x1", "x2"),
        linear=("E", "A"),
        nonlinear=("a", "b"),
        columns=_product_columns,
        assemble=forms.in_order,
        grid={"a": grid, "b": grid},
        least_sizes=2,
    )


def _product(values: np.ndarray, x: Columns) -> tuple[np.ndarray, np.ndarray]:
    """Values of the law and their slopes in E, A, a and b."""
    floor, amplitude, a, b = values
    first, second = np.log(x["x1"]), np.log(x["x2"])
    decay = np.exp(-a * first - b * second)
    term = amplitude * decay
    slopes = (np.ones_like(decay), decay, -term * first, -term * second)
    return floor + term, np.stack(slopes, axis=-1)


def _product_columns(nonlinear: np.ndarray, x: Columns) -> np.ndarray:
    """Columns of E and A, given a and b."""
    decay = x["x1"] ** -nonlinear[0] * x["x2"] ** -nonlinear[1]
    return np.stack([np.ones_like(decay), decay], axis=-1)
