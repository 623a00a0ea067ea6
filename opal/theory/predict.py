"""Theory with the face of a simulation: a setting and a design in, records out."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from opal import losses, risk
from opal.losses import Loss
from opal.settings.law import ScoreLaw, SmoothLaw, SmoothTruth, lacking, require_pytree
from opal.settings.quadrature import N_SCRAMBLES, scrambled_normals
from opal.theory.asymptotics import Asymptotics, asymptotics, scrambled_excess
from opal.theory.cavity import SelfConsistent, self_consistent
from opal.theory.seeds import copied_in_turn, shares, squared_weights

if TYPE_CHECKING:
    import pandas as pd

    from opal.objective import Design, GeneratorRows
    from opal.settings.setting import Setting


Order = Literal["self-consistent", "first"]
_POINTS = 128  # of each scramble


def predict(
    setting: Setting,
    design: Design,
    *,
    order: Order = "self-consistent",
    study: str = "predict",
) -> pd.DataFrame:
    """Predict what :func:`opal.simulation.simulate` would measure.

    The balanced excess risk is an exact average over the estimator's Gaussian law. Its expansion to
    order 1/n is also reported, whole (``excess_first_order``) and by part (``excess_bias``,
    ``excess_drift``, ``excess_variance``). ``informative_rows`` of a group are its rows, as many as
    would count if all weighed alike, times the mean curvature of the loss (``E p(1 − p)`` for two
    classes and the logistic loss): what the self-consistent order neglects is 0.3 to 0.7 over the
    least of them (docs/theory.md, section 8).
    Other metrics are averages over the same Gaussian law, so that a worst group is the worst of
    each replicate.

    Args:
        setting: the truth; its law has the gradient, Hessian and score covariance of its groups
            (:class:`opal.settings.law.SmoothLaw`), whatever its class.
        design: how to train.
        order: ``"self-consistent"`` solves the leave-one-out equations (all orders in p/n) for two
            classes, rows that are not copied at random, and laws that offer their score nodes;
            it is the same as ``"first"`` (order 1/n) for others.
        study: name in the records.

    Returns:
        Records with the columns of :data:`opal.records.COLUMNS`, source ``"theory"``; standard
        errors are those of the quadrature, zero where it is exact, and leave out what the expansion
        itself neglects. Where the
        leave-one-out equations have no solution, since so few rows tend to be separable, what
        depends on them is NaN.

    Raises:
        ValueError: the synthesizer's law is not known, or the design has no theory here.
    """
    from opal import records

    if order not in ("self-consistent", "first"):
        raise ValueError(f"order must be 'self-consistent' or 'first'; got {order!r}.")
    with jax.enable_x64(True):
        first = expand(setting, design)
        law = resum(setting, design, first) if order == "self-consistent" else first
        rows = _metrics(_truth(setting), first, law, design.counts, design.loss)
        told = zip(setting.law.groups, _effective_rows(setting, design) * first.doubt, strict=True)
        rows |= {("informative_rows", group.name): (float(n), 0.0) for group, n in told}
        errors = _expansion_errors(setting, design, first)
        rows |= {key: (rows[key][0], error) for key, error in errors.items()}
    return records.of_design(setting, design, rows, study=study, source="theory")


def resum(setting: Setting, design: Design, first: Asymptotics) -> SelfConsistent | Asymptotics:
    """The estimator's law to all orders in p/n, or ``first`` where only that is known.

    Known for one score, rows that are not copied at random, and laws with score nodes
    (:class:`opal.settings.law.ScoreLaw`). Call under ``jax.enable_x64(True)``.
    """
    truth, population = _truth(setting), _population(setting, design)
    seed_use = population.seed_use if population else "none"
    synthetic = population.law if population else truth
    if seed_use == "copy at random":
        return first
    if losses.n_scores(design.loss, truth.n_classes) > 1:
        return first
    if not isinstance(truth, ScoreLaw) or not isinstance(synthetic, ScoreLaw):
        return first
    return self_consistent(
        first,
        truth,
        synthetic,
        design.row_counts(),
        design.row_weights(),
        seed_use=seed_use,
        generator=_generator(design, seed_use),
        shrinkage=population.shrinkage if population else 0.0,
        ridge=design.ridge,
        shift=threshold_shift(truth, synthetic, design),
        loss=design.loss,
    )


def expand(setting: Setting, design: Design) -> Asymptotics:
    """The estimator's expansion for a design; call under ``jax.enable_x64(True)``.

    Raises:
        ValueError: see :func:`predict`.
    """
    check_groups(setting, design)
    truth, population = _truth(setting), _population(setting, design)
    synthetic = population.law if population else truth
    seed_use = population.seed_use if population else "none"
    return asymptotics(
        truth,
        synthetic,
        design.row_counts(),
        design.row_weights(),
        seed_use=seed_use,
        generator=_generator(design, seed_use),
        shrinkage=population.shrinkage if population else 0.0,
        ridge=design.ridge,
        shift=threshold_shift(truth, synthetic, design),
        loss=design.loss,
    )


def _generator(design: Design, seed_use: str) -> GeneratorRows | None:
    """The generator's rows, said of every fitted law so that all of them share a compilation."""
    if seed_use == "moments":
        design = design.with_(n_generator=design.n_fitted, n_shared=design.n_in_training)
    return design.generator_rows()


def _truth(setting: Setting) -> SmoothTruth:
    """The law of a setting, once it is known to have derivatives.

    Raises:
        ValueError: it lacks some, or is no pytree.
    """
    _require_smooth(setting.law, f"the law of {setting.name}")
    law: Any = setting.law
    return law


def _population(setting: Setting, design: Design) -> Any:
    """Where a design's synthesizer ends up (its ``PopulationLaw``); None where it has none.

    Raises:
        ValueError: that is not known, or its law has no derivatives.
    """
    if design.synthesizer is None:
        return None
    found = design.synthesizer.population(setting.law)
    if found is None:
        raise ValueError(
            f"theory needs the law of synthetic rows; {design.synthesizer.name} has none that is "
            f"known in {setting.name}. Simulate this arm instead."
        )
    for group, count in zip(setting.law.groups, design.n_fitted, strict=True):
        if count < found.min_seeds:
            raise ValueError(
                f"{design.synthesizer.name} needs at least {found.min_seeds} seeds in every group; "
                f"group {group.name!r} has {count}. Collect more, or leave it out."
            )
    _require_smooth(found.law, f"the law of {design.synthesizer.name}'s rows")
    return found


def _require_smooth(law: object, what: str) -> None:
    missing = lacking(law)
    if missing:
        raise ValueError(
            f"theory needs the gradient, Hessian and score covariance of each group; {what} is a "
            f"{type(law).__name__} without {', '.join(missing)}. Add them "
            "(opal.settings.law.SmoothLaw), or simulate."
        )
    require_pytree(law, what)


def check_groups(setting: Setting, design: Design) -> None:
    """Check that a design has a count for each group of a setting.

    Raises:
        ValueError: it has not.
    """
    n_groups = len(setting.law.groups)
    if len(design.counts) != n_groups:
        raise ValueError(
            f"counts needs one number for each of {n_groups} groups of {setting.name}; "
            f"got {list(design.counts)}."
        )


def _effective_rows(setting: Setting, design: Design) -> Float[np.ndarray, " g"]:
    """``(Σw)²/Σw²`` over the rows of each group [G]; a seed has the weight of what is made of it.

    Rows that are drawn count besides, so that few of them are not taken for what they came from.
    """
    rows, weights, generator = design.row_counts(), design.row_weights(), design.generator_rows()
    population = _population(setting, design)
    use = population.seed_use if population is not None else "none"
    if use == "copy in turn":
        numbers, sizes = (np.asarray(k) for k in copied_in_turn(rows, weights, generator))
        return np.asarray((numbers * sizes).sum(axis=0) ** 2 / (numbers * sizes**2).sum(axis=0))
    real, made = (np.asarray(share) for share in shares(rows, weights))
    n, drawn = np.asarray(rows.real), np.asarray(squared_weights(rows, weights))
    if use == "none":
        return np.asarray((real + made) ** 2 / (real**2 / n + drawn))
    fitted, shared = (np.asarray(k) for k in generator or (n, n))
    each, more = real / n, made / fitted
    seeds = (n - shared) * each**2 + shared * (each + more) ** 2 + (fitted - shared) * more**2
    return np.asarray((real + made) ** 2 / (seeds + drawn))


def threshold_shift(
    truth: SmoothTruth, synthetic: SmoothLaw, design: Design
) -> Float[np.ndarray, " p"]:
    """What moving the threshold to the balanced point adds to θ [p]; zeros if it is not moved.

    Minus the log odds of the classes among all rows that have weight: a fixed number, as long as
    every row carries its group's label (docs/theory.md, section 2).

    Raises:
        ValueError: the shift is itself random (squared loss, or synthetic rows with random labels).
    """
    if design.threshold == "fitted":
        return np.zeros(losses.n_parameters(design.loss, truth.n_classes, truth.dim))
    if design.loss != "logistic":
        raise ValueError("a moved threshold has theory for the logistic loss only; simulate it.")
    if any(group.mixed for group in synthetic.groups):
        raise ValueError(
            "a moved threshold has theory where every synthetic row has its group's label; "
            f"{design.arm} flips labels. Simulate this arm instead."
        )
    labels = np.array([group.label for group in truth.groups])
    totals = sum(n * w for n, w in zip(design.row_counts(), design.row_weights(), strict=True))
    shares = np.bincount(labels, weights=totals, minlength=truth.n_classes)
    shift = np.zeros((truth.n_classes - 1, truth.dim + 1))
    shift[:, -1] = -np.log(shares[1:] / shares[0])
    return shift.ravel()


def _metrics(
    law: SmoothTruth,
    first: Asymptotics,
    estimator: SelfConsistent | Asymptotics,
    counts: tuple[int, ...],
    loss: Loss,
) -> dict[tuple[str, str], tuple[float, float]]:
    """Value and standard error of each metric, by metric and group."""
    order = risk.order_of_sizes(counts)
    moments = (estimator.target + estimator.drift, estimator.covariance)
    blocks = jax.device_get(_expected_metrics(law, *moments, counts=order, loss=loss))
    names = [group.name for group in law.groups]
    expected = risk.flatten_metrics(blocks, names)
    own = _quadrature_errors(law, moments[0], loss)
    rows = {}
    for (metric, group), values in expected.items():
        mean, error = risk.mean_and_std_error(values)
        # Nodes of the law's own quadrature are the same for all rules: their error is not averaged.
        each = own["risk" if metric.endswith("risk") else "error"]
        shared = each[names.index(group)] if group in names else each.max()
        rows[metric, group] = (float(mean), float(np.hypot(error, shared)))
    parts = {
        "excess_balanced_risk": estimator.excess,
        "excess_first_order": first.excess,
        "excess_bias": first.bias,
        "excess_drift": first.drift_risk,
        "excess_variance": first.variance,
    }
    # The error of a value that is not a number is none either.
    exact = {(name, "all"): (float(value), 0.0 * float(value)) for name, value in parts.items()}
    return rows | exact


def _quadrature_errors(
    law: SmoothTruth, theta: Float[Array, " p"], loss: Loss
) -> dict[str, Float[np.ndarray, " g"]]:
    """Standard errors of ``risk`` and ``error`` [G] of the law's own quadrature at θ.

    Only a law that has ``scrambled_risks`` and ``scrambled_errors``, means over independent sets of
    points [G, S], of which there is more than one, has any.
    """
    errors = {name: np.zeros(len(law.groups)) for name in ("risk", "error")}
    for name in errors:
        if n_scrambles(law, loss, name) > 1:
            blocks = partial(getattr(law, f"scrambled_{name}s"), loss=loss)
            values = np.asarray(jax.jit(blocks)(theta))
            errors[name] = risk.mean_and_std_error(values.T)[1]
    return errors


def n_scrambles(law: Any, loss: Loss, what: str = "risk") -> int:
    """Independent sets of points that a law's risks (or errors) are means over; 1 if exact."""
    blocks = getattr(law, f"scrambled_{what}s", None)
    if blocks is None:
        return 1
    p = losses.n_parameters(loss, law.n_classes, law.dim)
    shape = jax.eval_shape(partial(blocks, loss=loss), jax.ShapeDtypeStruct((p,), float)).shape
    return int(shape[-1])


def _expansion_errors(
    setting: Setting, design: Design, first: Asymptotics
) -> dict[tuple[str, str], float]:
    """Standard errors of the excess and its parts, where risks are means over scrambles.

    That of the drift is not known, nor is any for rows whose law follows the seeds' moments.
    """
    truth, population = _truth(setting), _population(setting, design)
    synthetic = population.law if population else truth
    if max(n_scrambles(law, design.loss) for law in (truth, synthetic)) == 1:
        return {}
    if not all(hasattr(law, "one_scramble") for law in (truth, synthetic)):
        return {}
    bias = variance = total = drift = np.nan
    if population is None or population.seed_use != "moments":
        parts = scrambled_excess(
            truth,
            synthetic,
            design.row_counts(),
            design.row_weights(),
            first,
            seed_use=population.seed_use if population else "none",
            generator=design.generator_rows(),
            ridge=design.ridge,
            shift=threshold_shift(truth, synthetic, design),
            loss=design.loss,
        )
        columns = np.column_stack([parts, np.sum(parts, axis=1)])
        bias, variance, total = risk.mean_and_std_error(columns)[1].tolist()
    names = ("excess_bias", "excess_variance", "excess_drift")
    found = dict(zip(names, (bias, variance, drift), strict=True))
    found |= {"excess_balanced_risk": total, "excess_first_order": total}
    doubt = {("informative_rows", group.name): np.nan for group in truth.groups}
    return {(name, "all"): error for name, error in found.items()} | doubt


@partial(jax.jit, static_argnames=("counts", "loss"))
def _expected_metrics(
    law: SmoothTruth,
    centre: Float[Array, " p"],
    covariance: Float[Array, "p p"],
    *,
    counts: tuple[int, ...],
    loss: Loss,
) -> dict[str, Array]:
    """Metrics averaged over ``θ̂ ~ N(centre, covariance)``, by each scramble of Sobol' points."""
    p = losses.n_parameters(loss, law.n_classes, law.dim)
    many = losses.n_scores(loss, law.n_classes) > 2
    n_points = _POINTS // 8 if many else _POINTS
    normals = jnp.asarray(scrambled_normals(p)[:, :n_points]).reshape(-1, p)
    jitter = 1e-14 * jnp.trace(covariance) * jnp.eye(p)
    factor = jnp.linalg.cholesky(covariance + jitter)
    thetas = centre[None, :] + normals @ factor.T
    metrics = jax.lax.map(
        lambda theta: risk.exact_metrics(law, theta, counts, loss=loss),
        thetas,
        batch_size=risk.rules_at_once(law, loss),
    )
    return {
        name: values.reshape(N_SCRAMBLES, n_points, *values.shape[1:]).mean(axis=1)
        for name, values in metrics.items()
    }
