"""The loop over replicates that a user would write with NumPy and scikit-learn."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

SOLVERS = ("lbfgs", "newton-cholesky", "newton-cg", "liblinear")
_LARGEST_GRADIENT = 1e-7  # a solver that stops above this has not converged, and is not compared
_N_TEST = 20_000


@dataclass(frozen=True)
class Peer:
    """Group-weighted logistic regression of two classes ``N(μ_k, I)``.

    Attributes:
        counts: rows of each class.
        means: μ [2, d].
        solver: of scikit-learn.
        threads: of BLAS; None for all.
    """

    counts: tuple[int, ...]
    means: np.ndarray
    solver: str = "lbfgs"
    threads: int | None = None

    @property
    def labels(self) -> np.ndarray:
        """Labels of the training rows [n]."""
        return np.repeat([0, 1], self.counts)

    @property
    def weights(self) -> np.ndarray:
        """Row weights [n] that sum to n."""
        return sum(self.counts) / (2 * np.array(self.counts)[self.labels])

    def draw(self, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Features [n, d] of rows with these labels."""
        return self.means[labels] + rng.standard_normal((len(labels), self.means.shape[1]))

    def fit(self, x: np.ndarray) -> LogisticRegression:
        """An unpenalised fit; liblinear cannot leave its penalty out, and gets a tiny one."""
        inverse_penalty = 1e8 if self.solver == "liblinear" else np.inf
        model = LogisticRegression(C=inverse_penalty, solver=self.solver, tol=1e-9, max_iter=1000)
        return model.fit(x, self.labels, sample_weight=self.weights)

    def gradient(self, x: np.ndarray) -> float:
        """Largest gradient entry at the fit, for weights of sum one."""
        miss = self.weights * (self.fit(x).predict_proba(x)[:, 1] - self.labels) / len(x)
        return max(float(np.abs(miss @ x).max()), abs(float(miss.sum())))

    def replicate(self, rng: np.random.Generator) -> float:
        """Balanced risk of one replicate, on fresh test points."""
        model = self.fit(self.draw(self.labels, rng))
        labels = np.repeat([0, 1], _N_TEST // 2)
        scores = model.decision_function(self.draw(labels, rng))
        return float(np.logaddexp(0, np.where(labels == 1, -scores, scores)).mean())


def fastest(counts: tuple[int, ...], means: np.ndarray) -> Peer:
    """The solver and number of BLAS threads with the fastest converged fit."""
    times: list[tuple[float, Peer]] = []
    for solver in SOLVERS:
        for threads in (1, None):
            peer = Peer(counts, means, solver, threads)
            x = peer.draw(peer.labels, np.random.default_rng(0))
            with threadpool_limits(threads):
                if peer.gradient(x) <= _LARGEST_GRADIENT:
                    times.append((min(time_of(partial(peer.fit, x)) for _ in range(5)), peer))
    if not times:
        raise RuntimeError(f"No solver of {SOLVERS} reached a gradient of {_LARGEST_GRADIENT}.")
    return min(times, key=lambda pair: pair[0])[1]


def time_of(work: Callable[[], Any]) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
