"""The laws that can be named: a power with a floor, two sizes, and OPAL's mixture."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from opal import names
from opal.scaling import forms
from opal.scaling.law import Columns, Law

__all__ = ["LAWS", "Columns", "Law", "get"]

_EXPONENT = (0.01, 5.0)
_POSITIVE = (0.0, np.inf)
_STARTS = (0.1, 0.25, 0.5, 0.8, 1.2, 2.0)

LAWS: Mapping[str, Law] = {
    "power": Law(
        name="power",
        equation="E + A n^(-a)",
        variables=("n",),
        params=("E", "A", "a"),
        bounds={"E": _POSITIVE, "A": _POSITIVE, "a": _EXPONENT},
        derivatives=forms.power,
        amplitudes=("A",),
        sizes=("n",),
        linear=("E", "A"),
        nonlinear=("a",),
        columns=forms.power_columns,
        assemble=forms.in_order,
        grid={"a": _STARTS},
    ),
    # Hoffmann et al. 2022 (arXiv 2203.15556), equation 2.
    "additive": Law(
        name="additive",
        equation="E + A x1^(-a) + B x2^(-b)",
        variables=("x1", "x2"),
        params=("E", "A", "B", "a", "b"),
        bounds={"E": _POSITIVE, "A": _POSITIVE, "B": _POSITIVE, "a": _EXPONENT, "b": _EXPONENT},
        derivatives=forms.additive,
        amplitudes=("A", "B"),
        sizes=("x1", "x2"),
        linear=("E", "A", "B"),
        nonlinear=("a", "b"),
        columns=forms.additive_columns,
        assemble=forms.in_order,
        grid={"a": _STARTS, "b": _STARTS},
    ),
    # Jain et al. 2024 (arXiv 2402.04376); the basis has q = (A_s/A_r)^(1/beta) in it.
    "mixture": Law(
        name="mixture",
        equation=(
            "E + alpha^2 R_s + [alpha^2 (A_s N^-beta)^(1/beta)"
            " + (1-alpha)^2 (A_r n^-beta)^(1/beta)]^beta"
        ),
        variables=("n", "N", "alpha"),
        params=("E", "R_s", "A_s", "A_r", "beta"),
        bounds={
            **dict.fromkeys(("E", "R_s", "A_s", "A_r"), _POSITIVE),
            "beta": _EXPONENT,
        },
        derivatives=forms.mixture,
        amplitudes=("A_s", "A_r"),
        sizes=("n", "N"),
        linear=("E", "R_s", "A_r"),
        nonlinear=("beta", "log_q"),
        columns=forms.mixture_columns,
        assemble=forms.mixture_values,
        grid={"beta": _STARTS, "log_q": (-6.0, -3.0, -1.0, 0.0, 1.0, 3.0, 6.0)},
        least_sizes=2,
    ),
}


def get(name: str) -> Law:
    """The law of that name.

    Raises:
        ValueError: there is none; says what there is, and the nearest match.

    >>> get("power").params
    ('E', 'A', 'a')
    """
    names.check("law", [name], LAWS)
    return LAWS[name]
