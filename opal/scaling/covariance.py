"""How far the estimates of a fit spread around the truth.

docs/theory.md, section 11.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import special, stats

from opal.scaling.problem import HUBER_DELTA, Problem
from opal.scaling.weights import Replicates

_ENOUGH_DF = 8.0  # behind a variance that is estimated from the residuals of rows with weights
_MOST_LEFT_OUT = 600  # clusters; with more, weights do not change when one is left out


@dataclass(frozen=True)
class SamplingCovariance:
    """Sampling covariance of estimates near the optimum φ.

    Attributes:
        problem: the fit.
        phi: coordinates of the optimum ``[p]``.
        kind: ``"known"`` (standard errors were given), ``"residual"`` (one unknown variance) or
            ``"clusters"`` (any variances, rows of a cluster dependent).
        replicates: what the weights were estimated from, if they were.
    """

    problem: Problem
    phi: np.ndarray
    kind: str
    replicates: Replicates | None = None

    @cached_property
    def _residuals(self) -> tuple[np.ndarray, np.ndarray]:
        return self.problem.residuals(self.phi)

    @cached_property
    def active(self) -> np.ndarray:
        """Which coordinates sit on a bound ``[p]``."""
        low, high = self.problem.bounds
        room = 1e-6 * np.maximum(1.0, np.abs(self.phi))
        return (self.phi - low < room) | (high - self.phi < room)

    @cached_property
    def unit(self) -> float:
        """What a direction must add to the deviance to be seen at all: one variance."""
        if self.problem.robust:
            return HUBER_DELTA**2
        return 1.0 if self.kind == "known" else self.inflation

    @cached_property
    def idle(self) -> np.ndarray:
        """Which coordinates the deviance does not feel, however far they move ``[p]``."""
        low, high = self.problem.bounds
        span = np.where(np.isfinite(high - low), high - low, 1.0)
        return span * np.linalg.norm(self._residuals[1], axis=0) < 0.1 * np.sqrt(self.unit)

    @cached_property
    def unseen(self) -> np.ndarray:
        """Which scales no row depends on ``[p]``: any value of theirs fits as well."""
        scale = self.problem.is_log & ~self.problem.is_amplitude
        return scale & (np.max(np.abs(self._residuals[1]), axis=0) == 0)

    @cached_property
    def curvature(self) -> np.ndarray:
        """Expected second derivative of the loss at each row ``[rows]``: 1 for least squares.

        Under Huber's loss it is the chance of a residual within ±δ, smoothed over rows by a normal
        kernel (Powell 1991), for δ is narrow. The fit draws about p residuals to zero: these many
        are not counted.
        """
        r = self._residuals[0]
        if not self.problem.robust:
            return np.ones(len(r))
        n = max(len(r) - len(self.phi), 1)
        scale = np.median(np.sort(np.abs(r))[-n:]) / special.ndtri(0.75)
        width = max(1.06 * scale * n**-0.2, 1e-300)
        inside = special.ndtr((HUBER_DELTA - r) / width) - special.ndtr((-HUBER_DELTA - r) / width)
        return inside * n / len(r)

    @cached_property
    def factor(self) -> np.ndarray:
        """R with RᵀR the Hessian of S/2, its flattest directions held off zero, ``[p, p]``."""
        slopes = np.sqrt(self.curvature)[:, None] * self._residuals[1]
        norms = np.maximum(np.linalg.norm(slopes, axis=0), 1e-150)
        _, values, rotation = np.linalg.svd(slopes / norms, full_matrices=False)
        values = np.maximum(values, 1e-8 * values[0])
        return values[:, None] * rotation * norms

    @cached_property
    def inverse(self) -> np.ndarray:
        """R⁻¹, ``[p, p]``; along scales that are unseen it does not move."""
        return np.where(self.unseen[:, None], 0.0, np.linalg.pinv(self.factor, rcond=0.0))

    @cached_property
    def n_free(self) -> int:
        """Rows less parameters."""
        return self.problem.n_rows - len(self.phi)

    @cached_property
    def inflation(self) -> float:
        """Residual variance per degree of freedom."""
        deviance = self.problem.deviance(self.phi)[0]
        return deviance / max(self.n_free, 1)

    def scale(self, slope: np.ndarray) -> tuple[float, float]:
        """True over nominal variance of ``slope · φ``, and the degrees of freedom behind it."""
        if self.kind == "residual" and not self.problem.robust:
            return self.inflation, float(max(self.n_free, 1))
        ratio, df = self._of_clusters(slope)
        if self.kind == "known":
            if df < _ENOUGH_DF:
                return (self.inflation, float(self.n_free)) if self.inflation > 1 else (1.0, np.inf)
            return ratio, df * self._evenness
        if self._left_out is not None:
            moves = self._left_out @ slope
            n, nominal = len(moves), np.sum((slope @ self.inverse) ** 2)
            ratio = (n - 1) / n * float(np.sum((moves - moves.mean()) ** 2) / nominal)
        return ratio, df

    @cached_property
    def _left_out(self) -> np.ndarray | None:
        """How φ moves when each cluster is left out and weights are estimated anew, ``[k, p]``.

        None where weights were given: then :meth:`_of_clusters` says the same.
        """
        clusters = self.problem.clusters
        n = int(clusters.max()) + 1
        if self.replicates is None or not 3 <= n <= _MOST_LEFT_OUT:
            return None
        root = self.problem.root_weights
        r, slopes = self._residuals[0] / root, self._residuals[1] / root[:, None]
        moves = []
        for cluster in range(n):
            kept = clusters != cluster
            errors = self.replicates.errors(kept)
            if errors is None:
                return None
            moves.append(np.linalg.lstsq(slopes[kept] / errors[:, None], r[kept] / errors)[0])
        return np.array(moves)

    @cached_property
    def _evenness(self) -> float:
        """Share of the degrees of freedom that heavy tails leave to a sum of squares.

        Its relative variance is κ − 1 a row, with κ the fourth moment: 2 if rows are normal.
        Standard errors from few seeds give residuals with heavy tails.
        """
        squares = self._residuals[0] ** 2
        kurtosis = float(np.mean(squares**2) / max(np.mean(squares) ** 2, 1e-300))
        return 2 / (max(kurtosis, 3.0) - 1)

    def standard_error(self, slope: np.ndarray) -> float:
        """Standard error of ``slope · φ``."""
        nominal = np.linalg.norm(slope @ self.inverse)
        return float(nominal * np.sqrt(self.scale(slope)[0]))

    def allowance(self, slope: np.ndarray, level: float) -> float:
        """By how much S may exceed its minimum within the interval of ``slope · φ``."""
        scale, df = self.scale(slope)
        return float(scale * stats.t.ppf((1 + level) / 2, df) ** 2)

    def _of_clusters(self, slope: np.ndarray) -> tuple[float, float]:
        """Bell and McCaffrey 2002: CR2 variance and Satterthwaite degrees of freedom."""
        q, scores, clusters, adjusted = self._parts
        direction = slope @ self.inverse  # in whitened coordinates
        direction = direction / max(float(np.linalg.norm(direction)), 1e-300)
        along = np.einsum("kij,j->ki", adjusted, direction)  # of each cluster
        weight = np.sum(q * along[clusters], axis=1)
        parts = np.bincount(clusters, weight * scores)
        if self.active.any():
            parts = parts - parts.mean()
        variance = float(np.sum(parts**2))
        # The degrees of freedom have no scale; fourth powers of a wild fit's would overflow.
        root = np.sqrt(self.curvature)
        weight = weight / max(float(np.max(root * np.abs(weight))), 1e-300)
        squares = np.bincount(clusters, (root * weight) ** 2)
        drawn = (root**2 * weight)[:, None] * q
        pulls = np.stack([np.bincount(clusters, column) for column in drawn.T], axis=1)
        # Trace and Frobenius norm of diag(squares) − pulls pullsᵀ, which may be large.
        trace = np.sum(squares) - np.sum(pulls**2)
        norm = np.sum(squares**2) - 2 * squares @ np.sum(pulls**2, axis=1)
        norm += np.sum((pulls.T @ pulls) ** 2)
        df = trace**2 / max(float(norm), 1e-300)
        return variance, max(float(df), 1.0)

    @cached_property
    def _parts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Whitened slopes, scores, cluster numbers, and (I − P_s)^(−1/2) on each cluster's rows."""
        r, slopes = self._residuals
        scores = np.clip(r, -HUBER_DELTA, HUBER_DELTA) if self.problem.robust else r
        clusters = self.problem.clusters
        q = slopes @ self.inverse
        grams = np.zeros((clusters.max() + 1, q.shape[1], q.shape[1]))
        products = self.curvature[:, None, None] * q[:, :, None] * q[:, None, :]  # sum to I
        np.add.at(grams, clusters, products)
        values, vectors = np.linalg.eigh(grams)
        roots = 1 / np.sqrt(np.maximum(1 - values, 1e-4))
        adjusted = np.einsum("kij,kj,klj->kil", vectors, roots, vectors)
        return q, scores, clusters, adjusted
