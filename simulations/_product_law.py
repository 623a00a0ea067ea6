"""A law of three sizes whose decays multiply."""

from __future__ import annotations

import numpy as np

from opal.scaling import forms
from opal.scaling.law import Columns, Law


def product_law() -> Law:
    """A x1^(-a) x2^(-b) x3^(-c): each size gains a share, whatever the others are.

    It has no floor: what it is of can be brought to nothing. The additive law of ``opal.scaling``
    adds what size and training lack, as near convergence.
    """
    exponent, grid = (0.01, 5.0), (0.25, 0.5, 1.0, 2.0)
    names = ("a", "b", "c")
    return Law(
        name="product",
        equation="A x1^(-a) x2^(-b) x3^(-c)",
        variables=("x1", "x2", "x3"),
        params=("A", *names),
        bounds={"A": (0.0, np.inf), **dict.fromkeys(names, exponent)},
        derivatives=_product,
        amplitudes=("A",),
        sizes=("x1", "x2", "x3"),
        linear=("A",),
        nonlinear=names,
        columns=_product_columns,
        assemble=forms.in_order,
        grid=dict.fromkeys(names, grid),
        least_sizes=2,
    )


def _product(values: np.ndarray, x: Columns) -> tuple[np.ndarray, np.ndarray]:
    """Values of the law and their slopes in A, a, b and c."""
    decay = _decay(values[1:], x)
    term = values[0] * decay
    slopes = (decay, *(-term * np.log(each) for each in _sizes(x)))
    return term, np.stack(slopes, axis=-1)


def _product_columns(nonlinear: np.ndarray, x: Columns) -> np.ndarray:
    """The column of A, given the exponents."""
    return _decay(nonlinear, x)[:, None]


def _decay(exponents: np.ndarray, x: Columns) -> np.ndarray:
    powers = (each**-power for each, power in zip(_sizes(x), exponents, strict=True))
    product: np.ndarray = np.prod(np.stack(np.broadcast_arrays(*powers)), axis=0)
    return product


def _sizes(x: Columns) -> tuple[np.ndarray, ...]:
    return x["x1"], x["x2"], x["x3"]
