"""A scaling law: a function of sizes, with the derivatives that a fit needs.

A law is ``f(x; params)``. Most are linear in some of their parameters: given the nonlinear ones,
``f = basis(nonlinear, x) @ linear``, and a fit needs to search over the nonlinear ones only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product

import numpy as np

Columns = Mapping[str, np.ndarray]
EXPONENT = (0.01, 5.0)
POSITIVE = (0.0, np.inf)
_BEYOND = 1e4  # times the sizes of the table: where a scale can no longer be seen
EXPONENT_STARTS = (0.1, 0.25, 0.5, 0.8, 1.2, 2.0)


@dataclass(frozen=True)
class ScalingLaw:
    """A functional form ``f(x; params)``.

    Attributes:
        name: as in :data:`opal.scaling.laws.LAWS`, if it is there.
        equation: the law in one line.
        variables: names of the columns it reads, in the order of the command line's ``--x``.
        params: names of its parameters.
        bounds: lower and upper bound of each parameter.
        derivatives: ``(values of params [p], x) -> (f [rows], ∂f/∂params [rows, p])``.
        amplitudes: positive parameters that multiply a power; a fit works on their logarithm.
        factors: parameters of either sign that multiply a power, on a link's scale.
        scales: positive parameters that are no amplitudes, as where a curve bends, and the size in
            whose unit they are (None: they are a number of times); a fit works on their logarithm
            too, and its coordinate ``log_NAME`` in ``grid`` counts from 0 at the smallest such size
            of the table to 1 at the largest.
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
    factors: tuple[str, ...] = ()
    scales: Mapping[str, str | None] = field(default_factory=dict)
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

    def starts(self, x: Columns) -> list[np.ndarray]:
        """Nonlinear coordinates ``[q]`` at each point of the grid, for a table with sizes ``x``."""
        values = {name: np.asarray(self.grid[name], float) for name in self.nonlinear}
        for name, size in self.scales.items():
            if size is not None:
                logs = np.log(x[size])
                values[f"log_{name}"] = logs.min() + np.ptp(logs) * values[f"log_{name}"]
        return [np.array(point) for point in product(*values.values())]

    def box(self, x: Columns) -> dict[str, tuple[float, float]]:
        """Between which values a fit looks for each scale: well beyond what a table can show."""
        ends = {
            name: (1.0, 1.0) if size is None else (float(x[size].min()), float(x[size].max()))
            for name, size in self.scales.items()
        }
        return {name: (low / _BEYOND, _BEYOND * high) for name, (low, high) in ends.items()}

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
        if "unique" in arrays and not np.all(arrays["unique"] > 0):
            raise ValueError(
                f"{name_of['unique']!r} counts the samples that differ, so more than 0; it has the "
                f"value {arrays['unique'].min():g}. Drop the row or point."
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
        if own:
            return replace(self, bounds=bounds, amplitudes=(), factors=self.amplitudes)
        return replace(self, bounds=bounds)

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


def last_is_log(linear: np.ndarray, nonlinear: np.ndarray) -> np.ndarray:
    """Linear parameters, then nonlinear ones, the last of which is the logarithm of a scale."""
    return np.concatenate([linear, nonlinear[:-1], np.exp(nonlinear[-1:])])


def central_differences(at: Callable[[np.ndarray], np.ndarray], point: np.ndarray) -> np.ndarray:
    """Slopes ``[rows, p]`` of a function of ``point`` by central differences."""
    steps = np.cbrt(np.finfo(float).eps) * np.maximum(np.abs(point), 1e-2)
    moves = np.diag(steps)
    return np.stack(
        [(at(point + m) - at(point - m)) / (2 * h) for m, h in zip(moves, steps, strict=True)],
        axis=-1,
    )
