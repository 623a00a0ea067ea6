"""Problems of two groups in d dimensions, training on their rows, and what the exact limit says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jaxtyping import Array, Key
from scipy.stats import norm

from opal import records
from opal.draws import as_key, replicate_keys, standard_normal
from opal.estimators import fit_logistic, fit_ridge
from opal.objective import Design, Oversampling
from opal.risk import flatten_metrics, mean_and_std_error
from opal.settings import GaussianMixture
from opal.synthesis import Duplication, Oracle
from opal.theory.high_dim import Components, Spheres, best, evaluate, of_design
from opal.theory.high_dim.margins import MarginLoss

LABELS = np.array([-1.0, 1.0])
KINDS = ("exact", "rotated", "shifted", "shrunk", "all", "copies")


@dataclass(frozen=True)
class TwoGroupProblem:
    """Two groups, the law of synthetic rows, a design, and how to train."""

    truth: GaussianMixture  # means in the space that holds all of them, and variances
    design: Design  # counts, N, α, λ and the synthesizer (an oracle in that space, or copies)
    loss: MarginLoss  # squared, logistic or hinge
    dim: int  # d
    kind: str  # what is wrong with the synthetic rows

    def with_alpha(self, alpha: float) -> TwoGroupProblem:
        """The same with another weight of augmented rows."""
        return replace(self, design=self.design.with_(alpha=alpha))

    @property
    def copies(self) -> bool:
        """Whether synthetic rows are copies of the seeds."""
        return isinstance(self.design.synthesizer, Duplication)

    def spheres(self) -> tuple[np.ndarray, np.ndarray]:
        """Means [4, q] and variances [4]: the true groups, then the synthetic ones."""
        maker = self.design.synthesizer
        laws = (self.truth.law, maker.law if isinstance(maker, Oracle) else self.truth.law)
        means = np.concatenate([np.asarray(law.means)[:, 0] for law in laws])
        variances = np.concatenate([np.asarray(law.covariances)[:, 0, 0, 0] for law in laws])
        return means, variances


def drawn(
    rng: np.random.Generator, loss: MarginLoss, *, dim: int, max_imbalance: float
) -> TwoGroupProblem:
    """A problem with everything drawn: densities, distances, generator, N, α and λ."""
    n_min = round(dim * np.exp(rng.uniform(*np.log([0.05, 0.4]))))
    ratio = np.exp(rng.uniform(0, np.log(max_imbalance)))
    n_max = max(n_min, min(round(ratio * n_min), 2 * dim))
    counts = (n_max, n_min) if rng.random() < 0.5 else (n_min, n_max)
    means = 0.5 * rng.uniform(1.5, 3.5) * np.outer(LABELS, np.eye(4)[0])
    means += 0.3 * rng.normal(size=4)
    scale = rng.uniform(0.6, 1.4, 2)
    kind = str(rng.choice(KINDS))
    dials: dict[str, dict[str, Any]] = {
        "rotated": {"angle": rng.uniform(0.3, 1.5)},
        "shifted": {"shift": 0.5 * rng.normal(size=(2, 4))},
        "shrunk": {"shrink": rng.uniform(0.2, 0.8)},
    }
    chosen = dials.get(kind, {})
    if kind == "all":
        chosen = {name: value for dial in dials.values() for name, value in dial.items()}
    ridges = {"squared": (0.01, 1.0), "logistic": (0.003, 0.3), "hinge": (0.05, 0.5)}
    oversample: Oversampling = "balance" if rng.random() < 0.6 else "none"
    design = Design(
        tuple(int(n) for n in counts),
        Duplication() if kind == "copies" else _generator(means, scale, **chosen),
        n_augmented=round(dim * np.exp(rng.uniform(*np.log([0.15, 1.0])))),
        alpha=float(rng.uniform(0.1, 0.9)),
        oversample=oversample,
        ridge=float(np.exp(rng.uniform(*np.log(ridges[loss])))),
    )
    return TwoGroupProblem(_mixture(means, scale), design, loss, dim, kind)


def of_quality(quality: str, loss: MarginLoss, *, dim: int) -> TwoGroupProblem:
    """The problem behind a curve: one minority row for ten, and as many augmented rows as d."""
    means, scale = 1.25 * np.outer(LABELS, np.eye(4)[0]), np.ones(2)
    dials: dict[str, dict[str, float]] = {
        "exact": {},
        "rotated": {"angle": np.pi / 4},
        "shrunk": {"shrink": 0.3},
    }
    design = Design(
        (dim, dim // 10),
        _generator(means, scale, **dials[quality]),
        n_augmented=dim,
        alpha=0.5,
        ridge={"squared": 0.1, "logistic": 0.02}[loss],
    )
    return TwoGroupProblem(_mixture(means, scale), design, loss, dim, quality)


def _mixture(means: np.ndarray, scale: np.ndarray) -> GaussianMixture:
    return GaussianMixture(means, scale[:, None, None] * np.eye(4), name="two groups")


def _generator(
    means: np.ndarray,
    scale: np.ndarray,
    *,
    angle: float = 0.0,
    shift: np.ndarray | float = 0.0,
    shrink: float = 1.0,
) -> Oracle:
    """Rows whose means are turned in the first two coordinates and moved, and less spread out."""
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    made = _mixture(means @ turn.T + shift, shrink * scale)
    return Oracle(
        made.law, "exact" if not angle and shrink == 1 and not np.any(shift) else "biased"
    )


class RowOrigins(NamedTuple):
    """Where each training row comes from [n], padded with rows of no weight."""

    source: np.ndarray  # the normal draw behind the row: copies share it
    centre: np.ndarray  # [n, q]
    spread: np.ndarray
    label: np.ndarray  # 0 or 1
    weight: np.ndarray


def rows_of(problem: TwoGroupProblem) -> RowOrigins:
    """Real, oversampled and augmented rows, each kind group after group."""
    design = problem.design
    means, variances = problem.spheres()
    sizes = np.array(design.row_counts(), dtype=int)  # [kind, group]
    group = np.concatenate([np.repeat([0, 1], kind) for kind in sizes])
    kind = np.repeat([0, 1, 2], sizes.sum(axis=1))
    place = np.concatenate([np.arange(n) for n in sizes.ravel()])  # within its kind and group
    source = np.arange(len(group))
    if problem.copies:
        n = np.array(design.counts)
        source = np.where(group == 0, 0, n[0]) + place % n[group]
    law = np.where(kind == 0, group, 2 + group)
    weight = np.array(design.row_weights())[kind, group]
    extra = -len(group) % (2 * problem.dim)  # designs of about the same size share a compilation
    padded = [np.pad(part, (0, extra)) for part in (source, law, group, weight)]
    return RowOrigins(
        padded[0], means[padded[1]], np.sqrt(variances[padded[1]]), padded[2], padded[3]
    )


def simulated(problem: TwoGroupProblem, *, key: int, n_replicates: int) -> pd.DataFrame:
    """Train on drawn rows and take the exact error and risk of each rule: means over replicates."""
    rows = rows_of(problem)
    with jax.enable_x64(True):
        keys = replicate_keys(as_key(key), jnp.arange(n_replicates))
        if problem.loss == "hinge":
            rules = np.stack([_hinge_rule(problem, rows, k) for k in keys])
        else:
            rules = np.asarray(
                _rules(rows, np.float64(problem.design.ridge), keys, problem.dim, problem.loss)
            )
    means, variances = problem.spheres()
    along, size, intercept = rules[:, :4], rules[:, 4], rules[:, 5]
    margin = LABELS * (along @ means[:2].T + intercept[:, None])
    values = _metrics(margin, size[:, None] * np.sqrt(variances[:2]), problem.loss)
    worst = int(np.asarray(_theory(problem).error)[:2].argmax())
    values["worst_error"] = values["error"][:, worst]
    return _records(problem, values, n_replicates, "simulation")


@partial(jax.jit, static_argnames=("dim", "loss"))
def _rules(rows: RowOrigins, ridge: Array, keys: Key[Array, " r"], dim: int, loss: str) -> Array:
    """Of each replicate: the rule along the first four axes, its size, and its intercept [r, 6]."""

    def rule(key: Key[Array, ""]) -> Array:
        x, label, weight = _features(rows, key, dim), jnp.asarray(rows.label), rows.weight
        if loss == "squared":
            theta = fit_ridge(x, label, jnp.asarray(weight), ridge=ridge)
        else:
            fit = fit_logistic(x, label, jnp.asarray(weight), ridge=ridge)
            theta = jnp.where(fit.converged, fit.theta, jnp.nan)
        return jnp.concatenate([theta[:4], jnp.linalg.norm(theta[:-1])[None], theta[-1:]])

    return jax.lax.map(rule, keys)


@partial(jax.jit, static_argnames=("dim",))
def _features(rows: RowOrigins, key: Key[Array, ""], dim: int) -> Array:
    normals = standard_normal(key, len(rows.source), dim)[rows.source]
    return (normals * jnp.asarray(rows.spread)[:, None]).at[:, :4].add(rows.centre)


def _hinge_rule(problem: TwoGroupProblem, rows: RowOrigins, key: Key[Array, ""]) -> np.ndarray:
    """The support vector machine of scikit-learn, as :func:`_rules`."""
    from sklearn.svm import SVC

    used = rows.weight > 0
    x = np.asarray(_features(rows, key, problem.dim))[used]
    machine = SVC(C=1.0, kernel="precomputed", tol=1e-6, cache_size=400)
    penalties = rows.weight[used] / problem.design.ridge
    machine.fit(x @ x.T, rows.label[used], sample_weight=penalties)
    w = machine.dual_coef_[0] @ x[machine.support_]
    return np.array([*w[:4], np.linalg.norm(w), machine.intercept_[0]])


def _metrics(margin: np.ndarray, spread: np.ndarray, loss: MarginLoss) -> dict[str, np.ndarray]:
    """Errors and risks where margins are normal [r, 2]."""
    error = norm.cdf(-margin / spread)
    if loss == "squared":
        risk = 0.5 * ((1 - margin) ** 2 + spread**2)
    elif loss == "hinge":
        gap = 1 - margin
        risk = gap * norm.cdf(gap / spread) + spread * norm.pdf(gap / spread)
    else:
        nodes, weights = np.polynomial.hermite_e.hermegauss(80)
        values = np.logaddexp(0, -(margin[..., None] + spread[..., None] * nodes))
        risk = values @ (weights / weights.sum())
    balanced = {"balanced_error": error.mean(axis=-1), "balanced_risk": risk.mean(axis=-1)}
    return {"error": error, "risk": risk, **balanced}


def predicted(problem: TwoGroupProblem, mistake: str = "") -> pd.DataFrame:
    """What theory says of the true groups, or what it would say under a mistake."""
    found = _theory(problem, mistake)
    values = {
        "error": np.asarray(found.error)[None, :2],
        "risk": np.asarray(found.risk)[None, :2],
        **{
            name: np.asarray(getattr(found, name))[None]
            for name in ("balanced_error", "worst_error", "balanced_risk")
        },
    }
    return _records(problem, values, 0, "theory")


def _theory(problem: TwoGroupProblem, mistake: str = "") -> Any:
    with jax.enable_x64(True):
        made = _components(problem, mistake)
        if mistake == "equal_weights":
            equal = jnp.ones_like(jnp.asarray(made.weight)) / jnp.sum(jnp.asarray(made.density))
            made = made._replace(weight=equal)
        parts = Components(*(np.asarray(part) for part in made))
        return evaluate(parts, problem.design.ridge, loss=problem.loss)


def best_alpha(problem: TwoGroupProblem) -> float:
    """The α of least balanced error, by the gradient of theory."""

    def build(at: Mapping[str, Array]) -> Any:
        return _components(problem, alpha=at["alpha"]), problem.design.ridge

    return best(build, {"alpha": (0.001, 0.999)}, loss=problem.loss, n_starts=2).at["alpha"]


def _components(problem: TwoGroupProblem, mistake: str = "", alpha: Array | None = None) -> Any:
    """The rows in the limit, with another weight of augmented rows if one is given."""
    means, variances = problem.spheres()
    truth, made = (Spheres(means[part], variances[part]) for part in (slice(2), slice(2, 4)))
    return of_design(
        problem.design,
        truth,
        truth if mistake == "truth_for_synthetic" else made,
        LABELS,
        dim=problem.dim,
        seed_use="copy in turn" if problem.copies else "none",
        alpha=alpha,
    )


def _records(
    problem: TwoGroupProblem, values: dict[str, np.ndarray], n_replicates: int, source: str
) -> pd.DataFrame:
    flat = flatten_metrics(values, [group.name for group in problem.truth.groups])
    rows = {where: mean_and_std_error(v) for where, v in flat.items()}
    frame = records.of_design(
        problem.truth,
        problem.design,
        rows,
        study="high_dim",
        n_replicates=n_replicates,
        source=source,
    )
    return frame.assign(
        loss=problem.loss, kind=problem.kind, ridge=problem.design.ridge, dim=problem.dim
    )
