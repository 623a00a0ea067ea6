"""Scaling laws: functions of sizes, with the derivatives that a fit needs, and those with a name.

A law is ``f(x; params)``. Most are linear in some of their parameters: given the nonlinear ones,
``f = basis(nonlinear, x) @ linear``, and a fit needs to search over the nonlinear ones only.

The equations take parameters as an array and the variables as columns. ``*_columns`` is the basis
that the linear parameters multiply; the others return ``(f [rows], ∂f/∂params [rows, p])``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy import special

from opal import names

Columns = Mapping[str, np.ndarray]
_EXPONENT = (0.01, 5.0)
_POSITIVE = (0.0, np.inf)
_STARTS = (0.1, 0.25, 0.5, 0.8, 1.2, 2.0)


@dataclass(frozen=True)
class ScalingLaw:
    """A functional form ``f(x; params)``.

    Attributes:
        name: as in :data:`LAWS`.
        equation: the law in one line.
        variables: names of the columns it reads, in the order of the command line's ``--x``.
        params: names of its parameters.
        bounds: lower and upper bound of each parameter.
        derivatives: ``(values of params [p], x) -> (f [rows], ∂f/∂params [rows, p])``.
        amplitudes: positive parameters that multiply a power; a fit works on their logarithm.
        sizes: the variables that count samples.
        given: variables that multiply no parameter of their own, so that they need not vary.
        linear: names of the parameters in which the law is linear, if it is separable.
        nonlinear: names of the coordinates that the basis depends on.
        columns: the basis, ``(nonlinear [q], x) -> [rows, n_linear]``.
        assemble: ``(linear, nonlinear) -> values of params [p]``.
        grid: values of each nonlinear coordinate from which a fit starts.
        least_sizes: how many different values of each size its parameters need.
    """

    name: str
    equation: str
    variables: tuple[str, ...]
    params: tuple[str, ...]
    bounds: Mapping[str, tuple[float, float]]
    derivatives: Callable[[np.ndarray, Columns], tuple[np.ndarray, np.ndarray]]
    amplitudes: tuple[str, ...] = ()
    sizes: tuple[str, ...] = ()
    given: tuple[str, ...] = ()
    linear: tuple[str, ...] = ()
    nonlinear: tuple[str, ...] = ()
    columns: Callable[[np.ndarray, Columns], np.ndarray] | None = None
    assemble: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None
    grid: Mapping[str, Sequence[float]] = field(default_factory=dict)
    least_sizes: int = 3

    @property
    def separable(self) -> bool:
        """Whether the law is linear in some parameters."""
        return self.columns is not None

    def basis(self, nonlinear: np.ndarray, x: Columns) -> np.ndarray:
        """Columns ``[rows, n_linear]`` that the linear parameters multiply.

        Raises:
            ValueError: the law is not separable.
        """
        if self.columns is None:
            raise ValueError(f"law {self.name!r} has no linear parameters, so no basis.")
        return self.columns(np.asarray(nonlinear, float), self.arrays(x))

    def predict(self, params: Mapping[str, float], x: Columns) -> np.ndarray:
        """Values of the law ``[rows]`` at ``x``."""
        values = np.array([params[name] for name in self.params], float)
        return self.derivatives(values, self.arrays(x))[0]

    def arrays(self, x: Columns) -> dict[str, np.ndarray]:
        """The variables as float arrays of one length.

        Raises:
            ValueError: a variable is missing.
        """
        missing = [name for name in self.variables if name not in x]
        if missing:
            raise ValueError(
                f"law {self.name!r} needs the variables {list(self.variables)}; missing: {missing}."
            )
        arrays = [np.asarray(x[name], float) for name in self.variables]
        shaped = np.broadcast_arrays(*(np.atleast_1d(a) for a in arrays))
        return dict(zip(self.variables, shaped, strict=True))

    def check_x(self, x: Columns, columns: Mapping[str, str] | None = None) -> None:
        """Check that variables are finite, sizes positive, and weights within [0, 1].

        A size whose weight is zero is not used (:meth:`used`) and may be anything.

        Args:
            x: the variables.
            columns: what the user calls them.

        Raises:
            ValueError: a value is out of range.
        """
        name_of = columns or {name: name for name in self.variables}
        arrays = self.arrays(x)
        if "alpha" in arrays:
            alpha = arrays["alpha"]
            within = (alpha >= 0) & (alpha <= 1)
            if not np.all(within):
                bad = alpha[~within][0]
                raise ValueError(
                    f"{name_of['alpha']!r} is a weight in [0, 1]; got {bad:g}. "
                    "If it is in percent, divide by 100."
                )
        used = self.used(arrays)
        for name in self.sizes:
            wrong = arrays[name][used[name] & ~np.isfinite(arrays[name])]
            if len(wrong):
                raise ValueError(
                    f"sizes are finite numbers; {name_of[name]!r} has the value {wrong[0]:g}. "
                    "Give a number."
                )
            if self.separable and np.any(arrays[name][used[name]] <= 0):
                raise ValueError(
                    f"sizes must be positive; {name_of[name]!r} has the value "
                    f"{arrays[name][used[name]].min():g} in a row that uses it. Drop the "
                    "row or point."
                )
        if "n_shared" in arrays:
            _check_shared(arrays, used["n"] & used["n_gen"], name_of)

    def used(self, arrays: Columns) -> dict[str, np.ndarray]:
        """Which rows use each size: N and n_gen where α > 0, n where α < 1, others everywhere."""
        found = {name: np.ones(arrays[name].shape, bool) for name in self.sizes}
        if "alpha" in arrays:
            synthetic, real = arrays["alpha"] > 0, arrays["alpha"] < 1
            found |= {"n": real, "N": synthetic, "n_gen": synthetic}
        return found

    def signed(self) -> ScalingLaw:
        """The law on a link's scale, which has no sign: floors may be negative.

        Amplitudes may be too, so that a metric that rises with size can be fitted, where each of
        them multiplies a term of its own; those of the mixture law do not.
        """
        own = set(self.amplitudes) <= set(self.linear)
        free = [name for name in self.linear if own or name not in self.amplitudes]
        bounds = {**self.bounds, **dict.fromkeys(free, (-np.inf, np.inf))}
        return replace(self, bounds=bounds, amplitudes=() if own else self.amplitudes)

    @classmethod
    def of_function(
        cls,
        function: Callable[[Mapping[str, float], Columns], np.ndarray],
        params: Sequence[str],
        bounds: Mapping[str, tuple[float, float]],
        *,
        variables: Sequence[str] = ("x",),
        name: str = "user",
    ) -> ScalingLaw:
        """Any function ``f(params, x)`` as a law; its derivatives are central differences.

        Args:
            function: maps parameter values and columns of equal length to values ``[rows]``.
            params: names of the parameters.
            bounds: finite lower and upper bound of each, between which the fit starts.
            variables: names of the columns that the function reads.
            name: what results call it.

        Raises:
            ValueError: a parameter has no finite bounds.
        """
        for parameter in params:
            low, high = bounds.get(parameter, (np.nan, np.nan))
            if not (np.isfinite([low, high]).all() and low < high):
                raise ValueError(
                    f"every parameter of a law needs finite bounds (low, high) with low < high; "
                    f"{parameter!r} has {bounds.get(parameter)}. Add it to bounds."
                )
        own = tuple(params)

        def derivatives(values: np.ndarray, x: Columns) -> tuple[np.ndarray, np.ndarray]:
            def at(point: np.ndarray) -> np.ndarray:
                return np.asarray(function(dict(zip(own, point, strict=True)), x), float)

            return at(values), central_differences(at, values)

        return cls(
            name=name,
            equation=(function.__doc__ or f"{name}(x; {', '.join(own)})").strip().split("\n")[0],
            variables=tuple(variables),
            params=own,
            bounds={p: (float(bounds[p][0]), float(bounds[p][1])) for p in own},
            derivatives=derivatives,
            sizes=tuple(variables),
            nonlinear=own,
            least_sizes=2,
        )


def _check_shared(arrays: Columns, used: np.ndarray, name_of: Mapping[str, str]) -> None:
    """Rows that two sets have in common are rows of both."""
    shared, most = arrays["n_shared"], np.minimum(arrays["n"], arrays["n_gen"])
    wrong = np.flatnonzero(used & ~((shared >= 0) & (shared <= most)))
    if len(wrong):
        raise ValueError(
            f"{name_of['n_shared']!r} counts rows that are among the {name_of['n']!r} and among "
            f"the {name_of['n_gen']!r}, so at least 0 and at most {most[wrong[0]]:g} in one row; "
            f"it has the value {shared[wrong[0]]:g} there. Write 0 for a generator with rows of "
            "its own."
        )


def in_order(linear: np.ndarray, nonlinear: np.ndarray) -> np.ndarray:
    """Linear parameters, then nonlinear ones."""
    return np.concatenate([linear, nonlinear])


def central_differences(at: Callable[[np.ndarray], np.ndarray], point: np.ndarray) -> np.ndarray:
    """Slopes ``[rows, p]`` of a function of ``point`` by central differences."""
    steps = np.cbrt(np.finfo(float).eps) * np.maximum(np.abs(point), 1e-2)
    moves = np.diag(steps)
    return np.stack(
        [(at(point + m) - at(point - m)) / (2 * h) for m, h in zip(moves, steps, strict=True)],
        axis=-1,
    )


def _power(values: np.ndarray, x: Columns) -> tuple[np.ndarray, np.ndarray]:
    """E + A n^(−a)."""
    floor, amplitude, exponent = values
    log_n = np.log(x["n"])
    decay = np.exp(-exponent * log_n)
    term = amplitude * decay
    return floor + term, np.stack([np.ones_like(decay), decay, -term * log_n], axis=-1)


def _power_columns(nonlinear: np.ndarray, x: Columns) -> np.ndarray:
    """Columns of E and A, given a."""
    return np.stack([np.ones_like(x["n"]), x["n"] ** -nonlinear[0]], axis=-1)


def _additive(values: np.ndarray, x: Columns) -> tuple[np.ndarray, np.ndarray]:
    """E + A x1^(−a) + B x2^(−b)."""
    floor, first, second, a, b = values
    logs = np.log(x["x1"]), np.log(x["x2"])
    decays = np.exp(-a * logs[0]), np.exp(-b * logs[1])
    terms = first * decays[0], second * decays[1]
    slopes = (np.ones_like(logs[0]), *decays, -terms[0] * logs[0], -terms[1] * logs[1])
    return floor + terms[0] + terms[1], np.stack(slopes, axis=-1)


def _additive_columns(nonlinear: np.ndarray, x: Columns) -> np.ndarray:
    """Columns of E, A and B, given a and b."""
    ones = np.ones_like(x["x1"])
    return np.stack([ones, x["x1"] ** -nonlinear[0], x["x2"] ** -nonlinear[1]], axis=-1)


def _shares(x: Columns) -> tuple[np.ndarray, np.ndarray]:
    """Logarithms of α²/N and (1−α)²/n; −∞ where the weight is zero, whatever the size."""
    with np.errstate(divide="ignore", invalid="ignore"):
        synthetic = 2 * np.log(x["alpha"]) - np.log(x["N"])
        real = 2 * np.log1p(-x["alpha"]) - np.log(x["n"])
    return (
        np.where(x["alpha"] > 0, synthetic, -np.inf),
        np.where(x["alpha"] < 1, real, -np.inf),
    )


def _mixture(values: np.ndarray, x: Columns) -> tuple[np.ndarray, np.ndarray]:
    """E + α²R_s + [α²(A_s N^(−β))^(1/β) + (1−α)²(A_r n^(−β))^(1/β)]^β."""
    return _joined(values, x["alpha"] ** 2, np.stack(_shares(x)))


def _joined(
    values: np.ndarray, square: np.ndarray, logs: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """E + α²R_s + [Σ_j c_j A_j^(1/β)]^β and its slopes, from log c_j ``[j, rows]``."""
    floor, synthetic_floor, *rest, beta = values
    some = np.maximum(rest, np.finfo(float).tiny)  # zero has no logarithm
    amplitudes = some.reshape(-1, *[1] * (logs.ndim - 1))
    parts = logs + np.log(amplitudes) / beta
    total = special.logsumexp(parts, axis=0)
    shares = np.exp(parts - total)
    term = np.exp(beta * total)
    # A part whose share is zero does not count, however far off its amplitude.
    mean = np.where(shares > 0, shares * np.log(amplitudes), 0.0).sum(axis=0)
    slopes = (
        np.ones_like(term),
        square,
        *(term * shares / amplitudes),
        term * (total - mean / beta),
    )
    return floor + square * synthetic_floor + term, np.stack(slopes, axis=-1)


def _mixture_columns(nonlinear: np.ndarray, x: Columns) -> np.ndarray:
    """Columns of E, R_s and A_r, given β and log q: the bracket is A_r^(1/β)(α²q/N + (1−α)²/n)."""
    beta, log_q = nonlinear
    synthetic, real = _shares(x)
    term = np.exp(beta * np.logaddexp(synthetic + log_q, real))
    return np.stack([np.ones_like(term), x["alpha"] ** 2, term], axis=-1)


def _mixture_values(linear: np.ndarray, nonlinear: np.ndarray) -> np.ndarray:
    """Parameters from linear and nonlinear coordinates: A_s = A_r q^β."""
    floor, synthetic_floor, a_r = linear
    beta, log_q = nonlinear
    return np.array([floor, synthetic_floor, a_r * np.exp(beta * log_q), a_r, beta])


def _generator_shares(x: Columns) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logarithms of α²/N, α²/n_gen + 2α(1−α)k/(n n_gen) and (1−α)²/n; −∞ for parts not there."""
    synthetic, real = _shares(x)
    alpha, both = x["alpha"], (x["alpha"] > 0) & (x["alpha"] < 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        overlap = np.where(both, 2 * alpha * (1 - alpha) * x["n_shared"] / x["n"], 0.0)
        seeds = np.log(alpha**2 + overlap) - np.log(x["n_gen"])
    return synthetic, np.where(alpha > 0, seeds, -np.inf), real


def _generator(values: np.ndarray, x: Columns) -> tuple[np.ndarray, np.ndarray]:
    """The mixture law with the noise of a generator's seeds: docs/theory.md, (3.15) at β = 1."""
    return _joined(values, x["alpha"] ** 2, np.stack(_generator_shares(x)))


def _generator_columns(nonlinear: np.ndarray, x: Columns) -> np.ndarray:
    """Columns of E, R_s and A_r, given β and the logarithms of q_s and q_g, as in the mixture."""
    beta, log_s, log_g = nonlinear
    synthetic, seeds, real = _generator_shares(x)
    term = np.exp(beta * special.logsumexp([synthetic + log_s, seeds + log_g, real], axis=0))
    return np.stack([np.ones_like(term), x["alpha"] ** 2, term], axis=-1)


def _generator_values(linear: np.ndarray, nonlinear: np.ndarray) -> np.ndarray:
    """Parameters from linear and nonlinear coordinates: A_s = A_r q_s^β, A_g = A_r q_g^β."""
    floor, synthetic_floor, a_r = linear
    beta, *logs = nonlinear
    return np.array([floor, synthetic_floor, *(a_r * np.exp(beta * np.array(logs))), a_r, beta])


LAWS: Mapping[str, ScalingLaw] = {
    "power": ScalingLaw(
        name="power",
        equation="E + A n^(-a)",
        variables=("n",),
        params=("E", "A", "a"),
        bounds={"E": _POSITIVE, "A": _POSITIVE, "a": _EXPONENT},
        derivatives=_power,
        amplitudes=("A",),
        sizes=("n",),
        linear=("E", "A"),
        nonlinear=("a",),
        columns=_power_columns,
        assemble=in_order,
        grid={"a": _STARTS},
    ),
    # Hoffmann et al. 2022 (arXiv 2203.15556), equation 2.
    "additive": ScalingLaw(
        name="additive",
        equation="E + A x1^(-a) + B x2^(-b)",
        variables=("x1", "x2"),
        params=("E", "A", "B", "a", "b"),
        bounds={"E": _POSITIVE, "A": _POSITIVE, "B": _POSITIVE, "a": _EXPONENT, "b": _EXPONENT},
        derivatives=_additive,
        amplitudes=("A", "B"),
        sizes=("x1", "x2"),
        linear=("E", "A", "B"),
        nonlinear=("a", "b"),
        columns=_additive_columns,
        assemble=in_order,
        grid={"a": _STARTS, "b": _STARTS},
    ),
    # Jain et al. 2024 (arXiv 2402.04376); the basis has q = (A_s/A_r)^(1/beta) in it.
    "mixture": ScalingLaw(
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
        derivatives=_mixture,
        amplitudes=("A_s", "A_r"),
        sizes=("n", "N"),
        linear=("E", "R_s", "A_r"),
        nonlinear=("beta", "log_q"),
        columns=_mixture_columns,
        assemble=_mixture_values,
        grid={"beta": _STARTS, "log_q": (-6.0, -3.0, -1.0, 0.0, 1.0, 3.0, 6.0)},
        least_sizes=2,
    ),
    # Section 3.5 of docs/theory.md, under the exponent of the mixture law.
    "generator": ScalingLaw(
        name="generator",
        equation=(
            "E + alpha^2 R_s + [alpha^2 (A_s N^-beta)^(1/beta) + (alpha^2 + 2 alpha (1-alpha)"
            " n_shared/n) (A_g n_gen^-beta)^(1/beta) + (1-alpha)^2 (A_r n^-beta)^(1/beta)]^beta"
        ),
        variables=("n", "N", "n_gen", "n_shared", "alpha"),
        params=("E", "R_s", "A_s", "A_g", "A_r", "beta"),
        bounds={
            **dict.fromkeys(("E", "R_s", "A_s", "A_g", "A_r"), _POSITIVE),
            "beta": _EXPONENT,
        },
        derivatives=_generator,
        amplitudes=("A_s", "A_g", "A_r"),
        sizes=("n", "N", "n_gen"),
        given=("n_shared",),
        linear=("E", "R_s", "A_r"),
        nonlinear=("beta", "log_q_s", "log_q_g"),
        columns=_generator_columns,
        assemble=_generator_values,
        grid={
            "beta": _STARTS,
            "log_q_s": (-3.0, -1.0, 0.0, 1.0, 3.0),
            "log_q_g": (-3.0, -1.0, 0.0, 1.0, 3.0),
        },
        least_sizes=2,
    ),
}


def get(name: str) -> ScalingLaw:
    """The law of that name.

    Raises:
        ValueError: there is none; says what there is, and the nearest match.

    >>> get("power").params
    ('E', 'A', 'a')
    """
    names.check("law", [name], LAWS)
    return LAWS[name]
