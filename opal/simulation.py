"""Replicates of a design: draw, synthesise, weigh, fit, and take the exact risk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from opal import memory, risk, threads
from opal.arrays import AnyArray
from opal.draws import as_key, named, replicate_keys
from opal.estimators import fit_logistic, fit_ridge, move_to_balance
from opal.losses import Loss
from opal.objective import Design, PoweredWeights, PredictionPowered, RowWeights, require_setting
from opal.settings.groups import Sample, joined, validate_count, validate_counts
from opal.settings.law import TrueLaw, require_pytree
from opal.settings.setting import Setting
from opal.synthesis.synthesizer import Synthesizer

if TYPE_CHECKING:
    import pandas as pd

AnyDesign = Design | PredictionPowered
Fitted = tuple[tuple[int, ...], tuple[int, ...]]  # rows that a generator saw, and shared ones
_CACHE_BYTES = 4e6  # replicates of a chunk should stay in a core's cache
_ACCELERATOR_BYTES = 2e9
_CALL_BYTES = 3e7  # of a call, whose rows are all made first: little enough that memory is reused
_CALLS_BYTES = 1e9  # of all calls at once, but for one


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

    Returns:
        Records with the columns of :data:`opal.records.COLUMNS`, one row for each metric of
        :func:`opal.risk.exact_metrics` and each group, source ``"simulation"``.

    Raises:
        ValueError: the design does not fit the setting, or a group has too few seeds.
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
        chunk = chunk_size or default_chunk_size(law.dim, design, n_replicates)
        at_once = _at_once(law, design, chunk)
        calls = _calls(law.dim, design, n_replicates, chunk, at_once)
        rules = threads.each(partial(_fitted, law, design, key), calls, at_once)
        theta, separated = (
            np.concatenate(part)[:n_replicates] for part in zip(*rules, strict=True)
        )
        found = threads.each(
            partial(
                _metrics,
                law,
                best_risk=_best_risk(law, design.loss),
                order=risk.order_of_sizes(design.counts),
                loss=design.loss,
                calibration=calibration,
            ),
            _in_chunks(theta, risk.rules_at_once(law, design.loss), at_once),
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
        rows, each = _powered_rows(law, confusion, weights, key, indices, **sizes)
    else:
        ridge, balanced = design.ridge, design.threshold == "balanced"
        rows, each = _rows(
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
    return _fits(rows, each, np.float64(ridge), np.array(balanced), **options)


def _at_once(law: TrueLaw, design: AnyDesign, chunk: int) -> int:
    """Calls to run at once: one on each core, as far as memory goes.

    What a user wrote is called alone: XLA's batched LU and QR, which opal leaves alone, can wait
    for each other for ever.
    """
    if not _is_ours((law, getattr(design, "synthesizer", None))):
        return 1
    fit_memory = _CALLS_BYTES // max(_CALL_BYTES, chunk * _bytes_each(law.dim, design))
    return int(max(1, min(threads.cores(), fit_memory)))


def _in_chunks(theta: np.ndarray, chunk: int, n_parts: int) -> list[np.ndarray]:
    """Rules [R, p] in equal parts [n_chunks, chunk, p]; the first ones again at the end."""
    chunk = min(chunk, len(theta))
    n_chunks = -(-len(theta) // chunk)
    n_parts = min(n_parts, n_chunks)
    n_chunks = -(-n_chunks // n_parts) * n_parts
    return np.split(np.resize(theta, (n_chunks, chunk, theta.shape[-1])), n_parts)


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


def _calls(
    dim: int, design: AnyDesign, n_replicates: int, chunk: int, at_once: int
) -> list[np.ndarray]:
    """Replicate indices [n_chunks, chunk] of equal calls, so that one compilation serves all."""
    most = max(1, int(_CALL_BYTES / (chunk * _bytes_each(dim, design))))
    n_chunks = -(-n_replicates // chunk)
    rounds = -(-n_chunks // (most * at_once))
    per_call = -(-n_chunks // min(rounds * at_once, n_chunks))
    n_calls = -(-n_chunks // per_call)
    indices = np.arange(n_calls * per_call * chunk)
    return list(indices.reshape(n_calls, per_call, chunk))


def default_chunk_size(dim: int, design: AnyDesign, n_replicates: int) -> int:
    """Replicates whose rows fit the cache; a function of shapes and backend only."""
    budget = _CACHE_BYTES if jax.default_backend() == "cpu" else _ACCELERATOR_BYTES
    return int(np.clip(budget // _bytes_each(dim, design), 1, n_replicates))


def _bytes_each(dim: int, design: AnyDesign) -> int:
    """What the rows of a replicate and the work on them take, about."""
    return 20 * design.n_rows * (dim + 1)


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


def map_in_chunks(function: Callable[[Any], Any], values: Any, chunk_size: int) -> Any:
    """``function`` of each of ``values`` [R, …], a chunk at a time; R is a multiple of the chunk.

    One at a time is not a batch of one: XLA multiplies such a batch twice as slowly.
    """
    return jax.lax.map(function, values, batch_size=chunk_size if chunk_size > 1 else None)


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
    """Features [c, r, d, n], labels and weights [c, r, n] of replicates ``indices`` [c, r].

    Each feature runs along memory: it is drawn so, and read so by the fit.
    """
    sizes = (n_oversampled, (n_augmented,) * len(counts))

    def replicate(key: Key[Array, ""]) -> tuple[tuple[Array, Array], Array]:
        rows, each = training_rows(law, synthesizer, weights, counts, sizes, fitted, key=key)
        return (rows.x.T, rows.y), each

    keys = replicate_keys(key, jnp.ravel(indices))
    found = map_in_chunks(replicate, keys, indices.shape[1])
    return jax.tree.map(lambda leaf: leaf.reshape(*indices.shape, *leaf.shape[1:]), found)


def _said(
    rows: Sample, confusion: Float[AnyArray, "g k"], *, key: Key[Array, ""]
) -> Int[Array, " n"]:
    """What a model says of each row."""
    second = jnp.asarray(confusion)[rows.group, 1]
    return (jax.random.uniform(key, second.shape) < second).astype(rows.y.dtype)


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
    """Rows and weights of prediction-powered training, as those of :func:`_rows`."""

    def replicate(key: Key[Array, ""]) -> tuple[tuple[Array, Array], Array]:
        real = law.sample(counts, key=named(key, "real"))
        others = law.sample(n_unlabelled, key=named(key, "unlabelled"))
        first = _said(real, confusion, key=named(key, "labels"))
        second = _said(others, confusion, key=named(key, "unlabelled labels"))
        each: list[Array] = [
            jnp.asarray(weights.real)[real.group],
            jnp.asarray(weights.rectifying)[real.group] * jnp.asarray(weights.labels)[first],
            jnp.asarray(weights.unlabelled) * jnp.asarray(weights.labels)[second],
        ]
        x, y = [real.x, real.x, others.x], [real.y, first, second]
        return (jnp.concatenate(x).T, jnp.concatenate(y)), jnp.concatenate(each)

    keys = replicate_keys(key, jnp.ravel(indices))
    found = map_in_chunks(replicate, keys, indices.shape[1])
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
        (x, y), each = one
        sample = Sample(x.T, y, (len(y),))
        return fit(sample, each, n_classes=n_classes, ridge=ridge, loss=loss, balanced=balanced)

    flat = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), (rows, weights))
    found: tuple[Array, Array] = map_in_chunks(replicate, flat, weights.shape[1])
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
    found: dict[str, Array] = map_in_chunks(replicate, flat, theta.shape[1])
    return found


def training_rows(
    law: TrueLaw,
    synthesizer: Synthesizer | None,
    weights: RowWeights,
    counts: tuple[int, ...],
    sizes: tuple[tuple[int, ...], tuple[int, ...]],
    fitted: Fitted | None = None,
    *,
    key: Key[Array, ""],
) -> tuple[Sample, Float[Array, " n"]]:
    """Real, oversampled and augmented rows of one replicate, and the weight of each row.

    Args:
        law: the truth.
        synthesizer: who makes synthetic rows, if anyone does.
        weights: per kind and group.
        counts: real rows of each group.
        sizes: oversampled and augmented rows of each group.
        fitted: rows of each group that the synthesizer is fitted to, and how many of them are real
            rows of the sample; None for all real rows and no others.
        key: of the replicate; its stream ``"real"`` makes the real rows in every arm, and
            ``"generator"`` those that only the generator sees.

    Returns:
        Rows [n, d] in the order real, oversampled, augmented (each group after group), and their
        weights [n], of sum one.
    """
    parts = [law.sample(counts, key=named(key, "real"))]
    kinds = [weights.real]
    if synthesizer is not None and (any(sizes[0]) or any(sizes[1])):
        seeds = generator_rows(law, parts[0], fitted, key=key)
        synthetic = synthesizer.fit(seeds, law.groups, key=named(key, "fit"))
        parts.append(synthetic.sample(sizes[0], key=named(key, "oversample")))
        parts.append(synthetic.sample(sizes[1], key=named(key, "augment")))
        kinds += [weights.oversampled, weights.augmented]
    row_weights = [jnp.asarray(w)[part.group] for part, w in zip(parts, kinds, strict=True)]
    x, y = jnp.concatenate([p.x for p in parts]), jnp.concatenate([p.y for p in parts])
    return Sample(x, y, (len(x),)), jnp.concatenate(row_weights)


def generator_rows(
    law: TrueLaw, real: Sample, fitted: Fitted | None, *, key: Key[Array, ""]
) -> Sample:
    """Rows that a synthesizer is fitted to: the first real ones of each group, then its own.

    Args:
        law: the truth.
        real: training rows; not fewer of any group than are shared.
        fitted: rows of each group and how many of them are shared; None for all real rows.
        key: of the replicate; its stream ``"generator"`` makes the rows that are not shared, of
            which more extend fewer.
    """
    counts, shared = fitted or (real.counts, real.counts)
    if counts == shared == real.counts:
        return real
    unseen = tuple(n - k for n, k in zip(counts, shared, strict=True))
    own = law.sample(unseen, key=named(key, "generator"))
    return joined(real.within((0,) * len(shared), shared), own)


def fit(
    rows: Sample,
    weights: Float[Array, " n"],
    *,
    n_classes: int,
    ridge: AnyArray,
    loss: Loss,
    balanced: AnyArray | bool,
) -> tuple[Float[Array, " p"], Array]:
    """Fit the rule; returns θ [p] and whether the objective had no minimum."""
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
