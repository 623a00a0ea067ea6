"""The two sizes that a compute budget is best spent on, by the additive law.

Compute is C = k x1 x2, with k = 6 for parameters and tokens: docs/theory.md, section 11.6.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from opal.scaling import diagnostics, intervals, table
from opal.scaling.fit import Estimate, Fit
from opal.scaling.intervals import Target

FACTOR = 6.0  # operations for each parameter and token, forward and backward
_COLUMNS = ("x1", "x2")


@dataclass(frozen=True)
class BestSizes:
    """The best sizes for one budget.

    Attributes:
        compute: the budget C.
        x1: first size.
        x2: second size, C / (k x1).
        value: the law there.
    """

    compute: float
    x1: Estimate
    x2: Estimate
    value: Estimate


@dataclass(frozen=True)
class ComputeOptimal:
    """How sizes grow with compute where the law is least.

    Attributes:
        factor: k, in C = k x1 x2.
        exponents: of C in the best x1 and x2: b/(a + b) and a/(a + b).
        optima: one for each budget.
        warnings: what a reader must know.
    """

    factor: float
    exponents: tuple[Estimate, Estimate]
    optima: tuple[BestSizes, ...]
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON-able fields."""
        exponents = zip(_COLUMNS, self.exponents, strict=True)
        return {
            "factor": self.factor,
            "exponents": {name: found.to_dict() for name, found in exponents},
            "optima": [
                {
                    "compute": optimum.compute,
                    "x1": optimum.x1.to_dict(),
                    "x2": optimum.x2.to_dict(),
                    "value": optimum.value.to_dict(),
                }
                for optimum in self.optima
            ],
            "warnings": list(self.warnings),
        }


def compute_optimal(
    fitted: Fit, compute: Sequence[float], *, factor: float = FACTOR
) -> ComputeOptimal:
    """The sizes x1 and x2 = C / (k x1) at which an additive law is least, for each budget.

    Intervals are by profile likelihood, as those of parameters are: the ends are the least and
    largest optimum of all parameters that the table allows.

    Args:
        fitted: a fit of the law ``additive`` without a link.
        compute: budgets C.
        factor: k, in C = k x1 x2.

    Raises:
        ValueError: another law or a link, a budget or factor that is not positive, or a part of
            the law that the table does not show: then there is no optimum.
    """
    _check(fitted, compute, factor)
    exponents = tuple(_estimate(fitted, _exponent(size)) for size in (0, 1))
    optima = tuple(_optimum(fitted, float(each), factor) for each in compute)
    said = tuple(_warnings(fitted, optima))
    return ComputeOptimal(factor, (exponents[0], exponents[1]), optima, said)


def _check(fitted: Fit, compute: Sequence[float], factor: float) -> None:
    if fitted.law.name != "additive" or fitted.settings.link != "identity":
        raise ValueError(
            "compute-optimal sizes are those of the law 'additive' without a link; got law "
            f"{fitted.law.name!r} with link {fitted.settings.link!r}. Fit --law additive."
        )
    wrong = [each for each in (factor, *compute) if not (np.isfinite(each) and each > 0)]
    if wrong:
        raise ValueError(
            f"compute and its factor are positive numbers; got {wrong[0]:g}. Give operations as "
            "1e21, and 6 operations for each parameter and token."
        )
    absent = [name for name in ("A", "B") if not fitted.params[name].estimate > 0]
    if absent:
        raise ValueError(
            f"no sizes are best: {absent[0]} is zero, so the table does not show what "
            f"{fitted.roles.x['x1' if absent[0] == 'A' else 'x2']!r} is worth. Add sizes where it "
            "changes the value."
        )


def _optimum(fitted: Fit, compute: float, factor: float) -> BestSizes:
    product = compute / factor
    best = _estimate(fitted, _log_size(product))
    low, middle, high = np.exp([best.low, best.estimate, best.high])
    return BestSizes(
        compute,
        Estimate(float(middle), float(low), float(high)),
        Estimate(float(product / middle), float(product / high), float(product / low)),
        _estimate(fitted, _least_value(fitted, product)),
    )


def _estimate(fitted: Fit, target: Target) -> Estimate:
    covariance = fitted.covariance
    low, high = intervals.profile_interval(covariance, target, fitted.settings.level)
    return Estimate(target(covariance.phi)[0], low, high)


def _exponent(size: int) -> Target:
    """b/(a + b) for the first size, a/(a + b) for the second, and its slope in (E, A, B, a, b)."""
    sign = 1.0 if size else -1.0

    def target(phi: np.ndarray) -> tuple[float, np.ndarray]:
        a, b = phi[3:]
        slope = sign * np.array([0.0, 0.0, 0.0, b, -a]) / (a + b) ** 2
        return float((a if size else b) / (a + b)), slope

    return target


def _log_size(product: float) -> Target:
    """Where log x1 = [log(aA/bB) + b log(x1 x2)]/(a + b); coordinates hold log A and log B."""

    def target(phi: np.ndarray) -> tuple[float, np.ndarray]:
        _, log_first, log_second, a, b = phi
        value = (np.log(a / b) + log_first - log_second + b * np.log(product)) / (a + b)
        by_b = np.log(product) - 1 / b - value
        return float(value), np.array([0.0, 1.0, -1.0, 1 / a - value, by_b]) / (a + b)

    return target


def _least_value(fitted: Fit, product: float) -> Target:
    """The law at its optimum; there the slope does not feel that the optimum moves."""
    log_size = _log_size(product)

    def target(phi: np.ndarray) -> tuple[float, np.ndarray]:
        first = np.exp(log_size(phi)[0])
        at = {"x1": np.array([first]), "x2": np.array([product / first])}
        f, slopes = fitted.covariance.problem.model(phi, at)
        return float(f[0]), slopes[0]

    return target


def _warnings(fitted: Fit, optima: Sequence[BestSizes]) -> Iterator[str]:
    unsettled = [name for name in ("A", "B", "a", "b") if _is_open(fitted, name)]
    if unsettled:
        yield (
            f"the best sizes are not identified: the table does not settle {', '.join(unsettled)}. "
            "Add sizes that tell both parts of the law: large x1 with small x2, and the reverse."
        )
    seen = table.columns_of(fitted.frame, fitted.law, fitted.roles)
    for optimum in optima:
        for name, found in zip(_COLUMNS, (optimum.x1, optimum.x2), strict=True):
            largest = float(np.max(seen[name]))
            if found.estimate > diagnostics.FAR * largest:
                yield (
                    f"far extrapolation: the best {fitted.roles.x[name]} for compute "
                    f"{optimum.compute:g} is {found.estimate / largest:.3g} times the largest "
                    "size in the table; the interval holds only if the law does."
                )


def _is_open(fitted: Fit, name: str) -> bool:
    found = fitted.params[name]
    return diagnostics.is_open(name, found.low, found.high, fitted.law, 0.0, 0.0)
