"""How far a prediction can be trusted: what it neglects, from the next order of its expansion."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import jax
import numpy as np

from opal import losses, risk
from opal.settings.law import ScoreLaw
from opal.theory import seeds
from opal.theory.asymptotics import Asymptotics
from opal.theory.cavity import SelfConsistent
from opal.theory.estimator import (
    effective_rows,
    expand,
    resum,
    synthetic_rows,
    threshold_shift,
    truth_of,
)
from opal.theory.next_order import NextOrder, next_order
from opal.theory.ray import PointRule
from opal.theory.row_points import power_sums, row_points

if TYPE_CHECKING:
    from opal.objective import Design
    from opal.settings.setting import Setting

TRUSTED = 0.02  # share of the excess up to which what is neglected goes without a warning
_SETS = 4  # of points, over which the next order is averaged
_MANY = 100  # times the rows, where the leave-one-out equations are their first two orders


class PredictionLimits(NamedTuple):
    """What is known of a prediction's own error.

    Attributes:
        order: ``"self-consistent"`` or ``"first"``.
        n_parameters: p.
        effective_rows: n_eff = 1/Σω² over independent rows.
        informative_rows: the least of all groups, see :func:`opal.theory.predict.predict`.
        excess: predicted excess balanced risk; not a number where the equations have no solution.
        ratio: of the order 1/n² of Gaussian noise to the variance: from one on the expansion says
            nothing.
        neglected: estimate of what the excess leaves out; not a number where there is none.
        std_error: of the estimate, by the directions and points that were drawn.
    """

    order: str
    n_parameters: int
    effective_rows: float
    informative_rows: float
    excess: float
    ratio: float
    neglected: float
    std_error: float

    @property
    def share(self) -> float:
        """What is neglected as a share of the excess: infinite where there is no estimate."""
        found = abs(self.neglected / self.excess) if self.excess else np.nan
        return float(found) if np.isfinite(found) else np.inf

    @property
    def parameters_per_row(self) -> float:
        """p/n_eff."""
        return self.n_parameters / self.effective_rows

    def rows(self) -> dict[tuple[str, str], tuple[float, float]]:
        """Value and standard error of the metrics that records have, by metric and group."""
        found = {
            "self_consistent": (float(self.order == "self-consistent"), 0.0),
            "parameters_per_row": (self.parameters_per_row, 0.0),
            "excess_neglected": (self.neglected, self.std_error),
        }
        return {(name, "all"): value for name, value in found.items()}

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader must know; nothing where the prediction is good to :data:`TRUSTED`."""
        if self.share <= TRUSTED:
            return ()
        rows = f"{self.informative_rows:.2g} informative rows in the least informative group"
        if not np.isfinite(self.share):
            return (f"no prediction of the excess: {rows}, so that classes may be separable.",)
        per_row = f"{self.parameters_per_row:.2g} parameters a row ({self.order} order)"
        return (
            f"the predicted excess may be off by {self.share:.0%}: {rows}, {per_row}. Simulate it.",
        )


def limits(setting: Setting, design: Design) -> PredictionLimits:
    """Estimate the error of :func:`opal.theory.predict.predict` on the excess balanced risk.

    It is the order 1/n² less what the leave-one-out equations have of it, continued as a geometric
    series (docs/theory.md, section 8). Noise of a fitted generator enters by its first order. Known
    for laws with score nodes (:class:`opal.settings.law.ScoreLaw`); others have no estimate.

    Raises:
        ValueError: see :func:`opal.theory.predict.predict`.
    """
    with jax.enable_x64(True):
        first = expand(setting, design)
        return limits_of(setting, design, first, resum(setting, design, first))


def limits_of(
    setting: Setting, design: Design, first: Asymptotics, law: SelfConsistent | Asymptotics
) -> PredictionLimits:
    """The same of a prediction that is made; call under ``jax.enable_x64(True)``."""
    ratio = neglected = std_error = np.nan
    orders = _second_orders(setting, design, first)
    if orders:
        ratio = abs(float(np.mean([each.gaussian for each in orders]))) / float(first.variance)
        known = _of_equations(setting, design, first) if isinstance(law, SelfConsistent) else 0.0
        missing, error = risk.mean_and_std_error(np.array([each.total - known for each in orders]))
        if ratio < 1:
            neglected, std_error = float(missing) / (1 - ratio), float(error) / (1 - ratio)
    informative = effective_rows(setting, design) * np.asarray(first.doubt)
    return PredictionLimits(
        order="self-consistent" if isinstance(law, SelfConsistent) else "first",
        n_parameters=len(first.target),
        effective_rows=_rows_in_all(setting, design),
        informative_rows=float(informative.min()),
        excess=float(law.excess),
        ratio=ratio,
        neglected=neglected,
        std_error=std_error,
    )


def _rows_in_all(setting: Setting, design: Design) -> float:
    """n_eff, of all groups together."""
    real, made = seeds.shares(design.row_counts(), design.row_weights())
    shares = np.asarray(real + made)
    return float(1 / (shares**2 / effective_rows(setting, design)).sum())


def _of_equations(setting: Setting, design: Design, first: Asymptotics) -> float:
    """The order 1/n² of the leave-one-out equations: all that they add, where it is small."""
    many = resum(setting, design, first, times=_MANY)
    alike = first.bias + (first.drift_risk + first.variance) / _MANY
    return float(many.excess - alike) * _MANY**2


def _second_orders(setting: Setting, design: Design, first: Asymptotics) -> list[NextOrder]:
    """The order 1/n² of the expansion by each set of points; none of laws without score nodes."""
    truth, (synthetic, use, _) = truth_of(setting), synthetic_rows(setting, design)
    if not isinstance(truth, ScoreLaw) or not isinstance(synthetic, ScoreLaw):
        return []
    rows, weights = design.row_counts(), design.row_weights()
    shift = threshold_shift(truth, synthetic, design)
    theta = np.asarray(first.target) - shift
    every = np.asarray(first.covariance) if use == "moments" else None
    sums = power_sums(rows, weights, use, design.generator_rows())
    n_scores = losses.n_scores(design.loss, truth.n_classes)
    penalty = np.full((n_scores, truth.dim + 1), design.ridge)
    penalty[:, -1] = 0.0
    at = (theta.reshape(n_scores, -1), shift.reshape(n_scores, -1), penalty.ravel())
    found, rng = [], np.random.default_rng(0)
    for _ in range(_SETS):
        points = row_points(truth, synthetic, sums, theta, design.loss, rng)
        rule = PointRule(points, *at, len(truth.groups), truth.n_classes, design.loss)
        found.append(next_order(rule, every, _SETS, rng))
    return found
