"""Replicates of a design: draw, synthesise, weigh, fit, and take the exact risk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from opal import chunks, memory, risk, threads
from opal.arrays import AnyArray
from opal.draws import as_key, replicate_keys
from opal.estimators import fit_logistic, fit_ridge, move_to_balance
from opal.losses import Loss
from opal.objective import Design, PoweredWeights, PredictionPowered, RowWeights, require_setting
from opal.settings.groups import Sample, validate_count, validate_counts
from opal.settings.law import TrueLaw, require_pytree
from opal.settings.setting import Setting
from opal.synthesis.synthesizer import Synthesizer
from opal.training_rows import Fitted, powered_rows, training_rows

if TYPE_CHECKING:
    import pandas as pd

AnyDesign = Design | PredictionPowered


def simulate(
    setting: Setting,
    design: AnyDesign,
    *,
    key: int | Key[Array, ""],
    n_replicates: int,
    study: str = "simulate",
    chunk_size: int | None = None,
) -> pd.DataFrame:
    """Simulate a design and aggregate: means over replicates with their standard errors.

    Args:
        setting: the truth.
        design: how to train.
        key: seed or key; designs that share it share their real rows.
        n_replicates: number of replicates, at least 2 for standard errors.
        study: name in the records.
        chunk_size: see :func:`replicate_metrics`; results do not depend on it.

    Returns:
        Records with the columns of :data:`opal.records.COLUMNS`, one row for each metric of
        :func:`opal.risk.exact_metrics` and each group, source ``"simulation"``.

    Raises:
        TypeError: ``setting`` or ``design`` is something else.
        ValueError: the design does not fit the setting, a group has too few seeds, or the rows do
            not fit into memory.
    """
    values = replicate_metrics(
        setting, design, key=key, n_replicates=n_replicates, chunk_size=chunk_size
    )
    from opal import records

    flat = risk.flatten_metrics(values, [group.name for group in setting.law.groups])
    rows = {where: risk.mean_and_std_error(v) for where, v in flat.items()}
    return records.of_design(setting, design, rows, study=study, n_replicates=n_replicates)


def compare(
    setting: Setting,
    designs: Mapping[str, AnyDesign],
    *,
    reference: str,
    key: int | Key[Array, ""],
    n_replicates: int,
    study: str = "simulate",
) -> pd.DataFrame:
    """Simulate several arms on the same real rows, with their paired differences.

    Besides the rows of :func:`simulate` for each arm there is, for each scalar metric, a row
    ``"METRIC minus REFERENCE"`` whose standard error is that of the paired difference.

    Args:
        setting: the truth.
        designs: the arms by name.
        reference: the arm the others are compared with.
        key: shared by all arms.
        n_replicates: replicates of each arm.
        study: name in the records.

    Raises:
        ValueError: ``reference`` is not an arm; otherwise see :func:`simulate`.
    """
    import pandas as pd

    from opal import records

    if reference not in designs:
        raise ValueError(f"reference must be one of the arms {list(designs)}; got {reference!r}.")
    names = [group.name for group in setting.law.groups]
    values = {
        arm: risk.flatten_metrics(
            replicate_metrics(setting, design, key=key, n_replicates=n_replicates), names
        )
        for arm, design in designs.items()
    }
    frames = []
    for arm, design in designs.items():
        rows = {where: risk.mean_and_std_error(v) for where, v in values[arm].items()}
        for (metric, group), v in values[arm].items():
            if group == "all" and (metric, group) in values[reference]:
                difference = v - values[reference][metric, group]
                rows[f"{metric} minus {reference}", group] = risk.mean_and_std_error(difference)
        frames.append(
            records.of_design(
                setting, design.with_(name=arm), rows, study=study, n_replicates=n_replicates
            )
        )
    return pd.concat(frames, ignore_index=True)


def replicate_metrics(
    setting: Setting,
    design: AnyDesign,
    *,
    key: int | Key[Array, ""],
    n_replicates: int,
    chunk_size: int | None = None,
    calibration: bool = True,
) -> dict[str, np.ndarray]:
    """Exact metrics of every replicate.

    Replicate r depends on ``key`` and r alone: neither the chunk size nor the number of replicates
    changes its draws.

    Args:
        setting: the truth.
        design: how to train.
        key: seed or key; arms that share it share their real rows.
        n_replicates: number of replicates R.
        chunk_size: replicates whose rows are drawn and fitted at once; chosen by the cache if
            None.
        calibration: also compute the calibration error (the costliest metric).

    Returns:
        Metrics of :func:`opal.risk.exact_metrics` as [R] or [R, G], and ``separated``: whether the
        training rows were linearly separable, or a correction left the objective without a
        minimum, so that the fit is not a minimiser.

    Raises:
        ValueError: see :func:`simulate`.
    """
    require_setting(setting, design)
    validate_count(n_replicates, "n_replicates", minimum=1)
    if chunk_size is not None:
        validate_count(chunk_size, "chunk_size", minimum=1)
    validate_counts(design.counts, len(setting.law.groups), what="counts", minimum=1)
    require_pytree(setting.law, f"the law of {setting.name}")
    if isinstance(design, Design) and design.synthesizer is not None:
        require_pytree(design.synthesizer, "a synthesizer")
    _require_memory(setting.law.dim, design, n_replicates)
    with jax.enable_x64(True):
        law, key = setting.law, as_key(key)
        if isinstance(design, Design):
            _check_seeds(law, design)
        shape = (design.n_rows, law.dim)
        chunk = chunk_size or chunks.default_size(*shape, n_replicates)
        at_once = _at_once(law, design, chunk)
        calls = chunks.of_replicates(*shape, n_replicates, chunk, at_once)
        rules = threads.map_in_threads(partial(_fitted, law, design, key), calls, at_once)
        theta, separated = (
            np.concatenate(part)[:n_replicates] for part in zip(*rules, strict=True)
        )
        found = threads.map_in_threads(
            partial(
                _metrics,
                law,
                best_risk=_best_risk(law, design.loss),
                order=risk.order_of_sizes(design.counts),
                loss=design.loss,
                calibration=calibration,
            ),
            chunks.of_rules(theta, risk.rules_at_once(law, design.loss), at_once),
            at_once,
        )
        metrics = {name: np.concatenate([part[name] for part in found]) for name in found[0]}
        values = {**metrics, "separated": separated.astype(float)}
    return {name: value[:n_replicates] for name, value in values.items()}


def _fitted(
    law: TrueLaw, design: AnyDesign, key: Key[Array, ""], indices: np.ndarray
) -> tuple[Array, Array]:
    """θ [r, p] of the replicates ``indices`` [n_chunks, chunk], and whether rows were separable.

    Rows, fits and metrics are compiled apart: arms with as many rows share the fit, and all arms
    the metrics.
    """
    ridge, balanced = 0.0, False
    if isinstance(design, PredictionPowered):
        weights = PoweredWeights(*(np.asarray(w) for w in design.row_weights()))
        sizes = {"counts": design.counts, "n_unlabelled": design.n_unlabelled}
        confusion = np.array(design.confusion)
        rows, row_weights = _powered_rows(law, confusion, weights, key, indices, **sizes)
    else:
        ridge, balanced = design.ridge, design.threshold == "balanced"
        rows, row_weights = _rows(
            law,
            _anonymous(design.synthesizer),
            RowWeights(*(np.asarray(w) for w in design.row_weights())),
            key,
            indices,
            counts=design.counts,
            n_oversampled=design.n_oversampled,
            n_augmented=design.n_augmented,
            fitted=(design.n_fitted, design.n_in_training),
        )
    options = {"n_classes": law.n_classes, "loss": design.loss}
    return _fits(rows, row_weights, np.float64(ridge), np.array(balanced), **options)


def _at_once(law: TrueLaw, design: AnyDesign, chunk_size: int) -> int:
    """Calls to run at the same time.

    What a user wrote is called alone: it may use XLA's batched LU or QR, which opal avoids, and two
    of these can wait for each other for ever.
    """
    if not _is_ours((law, getattr(design, "synthesizer", None))):
        return 1
    return chunks.calls_at_once(design.n_rows, law.dim, chunk_size)


def _check_seeds(law: TrueLaw, design: Design) -> None:
    """Let the synthesizer refuse too few seeds under its own name, before anything is compiled."""
    synthesizer = design.synthesizer
    if synthesizer is None or not (any(design.n_oversampled) or design.n_augmented):
        return
    n = sum(design.n_fitted)
    x, y = jax.ShapeDtypeStruct((n, law.dim), float), jax.ShapeDtypeStruct((n,), int)
    jax.eval_shape(
        lambda x, y, key: synthesizer.fit(Sample(x, y, design.n_fitted), law.groups, key=key),
        *(x, y, jax.random.key(0)),
    )


def _anonymous(synthesizer: Synthesizer | None) -> Synthesizer | None:
    """One of opal's own without its name, so that arms that differ in it share a compilation.

    A user's may do what its name says.
    """
    plain: Any = synthesizer
    has_name = is_dataclass(plain) and any(field.name == "name" for field in fields(plain))
    return replace(plain, name="") if _is_ours(plain) and has_name else plain


def _is_ours(made: Any) -> bool:
    """Whether opal made it and all in it, static fields and functions among them.

    Decoders are not, as Flax holds their parameters: what they compute takes more memory than is
    counted here, and most of all cores.
    """
    package = str(getattr(made, "__module__", type(made).__module__)).split(".")[0]
    if package not in {__name__.split(".")[0], "builtins", "jax", "jaxlib", "numpy"}:
        return False
    if is_dataclass(made):
        inside = [getattr(made, field.name) for field in fields(made)]
    else:
        inside = jax.tree.leaves(made, is_leaf=lambda node: node is not made)
    return all(_is_ours(each) for each in inside if each is not made)


def _require_memory(dim: int, design: AnyDesign, n_replicates: int) -> None:
    """Check that a replicate's rows, and the rules of all, can be held."""
    powered = isinstance(design, PredictionPowered)
    kind = "n_unlabelled" if powered else "n_augmented"
    added = f"{kind} = {getattr(design, kind)}"
    n_rows = design.n_rows
    memory.require(
        24.0 * n_rows * (dim + 1),  # drawn, joined and read by the fit: three are held at once
        f"{n_rows:.3g} rows of {dim} columns, which is one replicate of {added} and counts = "
        f"{design.counts},",
        "Lower them; predict() needs no rows",
    )
    memory.require(
        8.0 * n_replicates * (dim + 1),
        f"{n_replicates:.3g} replicates of {dim + 1} parameters",
        "Lower n_replicates",
    )


@partial(jax.jit, static_argnames=("loss",))
def _best_risk(law: TrueLaw, loss: Loss) -> Float[Array, ""]:
    return law.group_risk(law.optimum(loss), loss).mean()


@partial(jax.jit, static_argnames=("counts", "n_oversampled", "n_augmented", "fitted"))
def _rows(
    law: TrueLaw,
    synthesizer: Synthesizer | None,
    weights: RowWeights,
    key: Key[Array, ""],
    indices: AnyArray,
    *,
    counts: tuple[int, ...],
    n_oversampled: tuple[int, ...],
    n_augmented: int,
    fitted: Fitted | None = None,
) -> tuple[tuple[Array, Array], Array]:
    """What :func:`_rows_of_replicates` gives, of a design."""
    sizes = (n_oversampled, (n_augmented,) * len(counts))
    return _rows_of_replicates(
        lambda key: training_rows(law, synthesizer, weights, counts, sizes, fitted, key=key),
        *(key, indices),
    )


@partial(jax.jit, static_argnames=("counts", "n_unlabelled"))
def _powered_rows(
    law: TrueLaw,
    confusion: Float[AnyArray, "g k"],
    weights: PoweredWeights,
    key: Key[Array, ""],
    indices: AnyArray,
    *,
    counts: tuple[int, ...],
    n_unlabelled: tuple[int, ...],
) -> tuple[tuple[Array, Array], Array]:
    """What :func:`_rows_of_replicates` gives, of prediction-powered training."""
    return _rows_of_replicates(
        lambda key: powered_rows(law, confusion, weights, counts, n_unlabelled, key=key),
        *(key, indices),
    )


def _rows_of_replicates(
    rows_of: Callable[[Key[Array, ""]], tuple[Sample, Array]],
    key: Key[Array, ""],
    indices: AnyArray,
) -> tuple[tuple[Array, Array], Array]:
    """Features [c, r, d, n], labels and weights [c, r, n] of replicates ``indices`` [c, r].

    Each feature runs along memory: it is drawn so, and read so by the fit.
    """

    def replicate(key: Key[Array, ""]) -> tuple[tuple[Array, Array], Array]:
        rows, row_weights = rows_of(key)
        return (rows.x.T, rows.y), row_weights

    keys = replicate_keys(key, jnp.ravel(indices))
    found = chunks.map_in_chunks(replicate, keys, indices.shape[1])
    return jax.tree.map(lambda leaf: leaf.reshape(*indices.shape, *leaf.shape[1:]), found)


@partial(jax.jit, static_argnames=("n_classes", "loss"))
def _fits(
    rows: tuple[Float[Array, "c r d n"], Array],
    weights: Float[Array, "c r n"],
    ridge: AnyArray,
    balanced: AnyArray,
    *,
    n_classes: int,
    loss: Loss,
) -> tuple[Float[Array, " cr p"], Array]:
    """The rule of each replicate, and whether its rows were separable."""

    def replicate(one: tuple[tuple[Array, Array], Array]) -> tuple[Array, Array]:
        (x, y), own = one
        sample = Sample(x.T, y, (len(y),))
        return fit(sample, own, n_classes=n_classes, ridge=ridge, loss=loss, balanced=balanced)

    flat = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), (rows, weights))
    found: tuple[Array, Array] = chunks.map_in_chunks(replicate, flat, weights.shape[1])
    return found


@partial(jax.jit, static_argnames=("order", "loss", "calibration"))
def _metrics(
    law: TrueLaw,
    theta: Float[AnyArray, "c r p"],
    *,
    best_risk: Float[Array, ""],
    order: tuple[int, ...],
    loss: Loss,
    calibration: bool,
) -> dict[str, Array]:
    """Exact metrics of every rule, flattened to the first axis."""

    def replicate(theta: Array) -> dict[str, Array]:
        metrics = risk.exact_metrics(law, theta, order, loss=loss, best_risk=best_risk)
        if not calibration:
            metrics.pop("calibration_error", None)
        return metrics

    flat = theta.reshape(-1, theta.shape[-1])
    found: dict[str, Array] = chunks.map_in_chunks(replicate, flat, theta.shape[1])
    return found


def fit(
    rows: Sample,
    weights: Float[Array, " n"],
    *,
    n_classes: int,
    ridge: AnyArray,
    loss: Loss,
    balanced: AnyArray | bool,
) -> tuple[Float[Array, " p"], Array]:
    """Fit the rule of one replicate.

    Args:
        rows: features [n, d] and labels [n].
        weights: of each row [n]; some may be negative.
        n_classes: classes K.
        ridge: λ of the penalty on all but the intercept.
        loss: logistic or squared.
        balanced: whether the threshold is moved to the balanced point after the fit.

    Returns:
        θ [p], and whether the objective had no minimum.
    """
    if loss == "logistic":
        result = fit_logistic(rows.x, rows.y, weights, n_classes=n_classes, ridge=ridge)
        # Rows of negative weight can leave an objective without a minimum, too.
        theta = result.theta
        separated = result.separated | (jnp.any(weights < 0) & ~result.converged)
    else:
        theta = fit_ridge(rows.x, rows.y, weights, n_classes=n_classes, ridge=ridge)
        separated = jnp.any(weights < 0) & ~jnp.isfinite(theta).all()
    moved = move_to_balance(theta, rows.x, rows.y, weights, n_classes=n_classes, loss=loss)
    return jnp.where(balanced, moved, theta), separated
