"""The estimator's law under a design: its expansion in 1/n, and to all orders in p/n."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float

from opal import losses
from opal.objective import GeneratorRows, RowCounts, RowWeights, require_setting
from opal.settings.law import ScoreLaw, SmoothLaw, SmoothTruth, lacking, require_pytree
from opal.theory.asymptotics import Asymptotics, asymptotics
from opal.theory.cavity import SelfConsistent, self_consistent
from opal.theory.seeds import copied_in_turn, of_generator, shares, squared_weights

if TYPE_CHECKING:
    from opal.objective import Design
    from opal.settings.setting import Setting


class SyntheticRows(NamedTuple):
    """What theory knows of a design's synthetic rows.

    Attributes:
        law: that a synthesizer's law ends up with; the truth for a design without a synthesizer.
        seed_use: how they depend on the seeds, see :mod:`opal.theory.seeds`.
        shrinkage: γ of the covariance, where the law follows the seeds' moments.
    """

    law: SmoothLaw
    seed_use: str = "none"
    shrinkage: float = 0.0


def expand(setting: Setting, design: Design) -> Asymptotics:
    """The estimator's expansion for a design; call under ``jax.enable_x64(True)``.

    Raises:
        ValueError: see :func:`opal.theory.predict.predict`.
    """
    check_groups(setting, design)
    truth, made = truth_of(setting), synthetic_rows(setting, design)
    return asymptotics(
        truth,
        made.law,
        design.row_counts(),
        design.row_weights(),
        seed_use=made.seed_use,
        generator=_generator_of(design, made.seed_use),
        shrinkage=made.shrinkage,
        ridge=design.ridge,
        shift=threshold_shift(truth, made.law, design),
        loss=design.loss,
    )


def resum(
    setting: Setting, design: Design, first: Asymptotics, *, times: int = 1
) -> SelfConsistent | Asymptotics:
    """The estimator's law to all orders in p/n, or ``first`` where only that is known.

    Known for one score, rows that are not copied at random, and laws with score nodes
    (:class:`opal.settings.law.ScoreLaw`). Call under ``jax.enable_x64(True)``.

    Args:
        setting: the truth.
        design: how to train.
        first: the design's expansion to order 1/n.
        times: how many times the design's rows of every kind there are, each weighing as much less.
    """
    truth, made = truth_of(setting), synthetic_rows(setting, design)
    if not _is_resummed(truth, made, design):
        return first
    generator = _generator_of(design, made.seed_use)
    return self_consistent(
        _with_more_rows(first, times),
        truth,
        made.law,
        RowCounts(*(n * times for n in design.row_counts())),
        RowWeights(*(w / times for w in design.row_weights())),
        seed_use=made.seed_use,
        generator=generator and GeneratorRows(*(n * times for n in generator)),
        shrinkage=made.shrinkage,
        ridge=design.ridge,
        shift=threshold_shift(truth, made.law, design),
        loss=design.loss,
    )


def _is_resummed(truth: SmoothTruth, made: SyntheticRows, design: Design) -> bool:
    """Whether the leave-one-out equations are known for a design."""
    if made.seed_use == "copy at random" or losses.n_scores(design.loss, truth.n_classes) > 1:
        return False
    return isinstance(truth, ScoreLaw) and isinstance(made.law, ScoreLaw)


def _with_more_rows(first: Asymptotics, times: int) -> Asymptotics:
    return first._replace(
        drift=first.drift / times,
        covariance=first.covariance / times,
        drift_risk=first.drift_risk / times,
        variance=first.variance / times,
    )


def _generator_of(design: Design, seed_use: str) -> GeneratorRows | None:
    """The generator's rows, said of every fitted law so that all of them share a compilation."""
    if seed_use == "moments":
        design = design.with_(n_generator=design.n_fitted, n_shared=design.n_in_training)
    return design.generator_rows()


def truth_of(setting: Setting) -> SmoothTruth:
    """The law of a setting, once it is known to have derivatives.

    Raises:
        ValueError: it lacks some, or is no pytree.
    """
    _require_smooth(setting.law, f"the law of {setting.name}")
    law: Any = setting.law
    return law


def synthetic_rows(setting: Setting, design: Design) -> SyntheticRows:
    """The synthetic rows of a design, from where its synthesizer ends up.

    Raises:
        ValueError: that is not known, or its law has no derivatives; or the truth has none.
    """
    if design.synthesizer is None:
        return SyntheticRows(truth_of(setting))
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
    return SyntheticRows(found.law, found.seed_use, found.shrinkage)


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
    require_setting(setting, design)
    n_groups = len(setting.law.groups)
    if len(design.counts) != n_groups:
        raise ValueError(
            f"counts needs one number for each of {n_groups} groups of {setting.name}; "
            f"got {list(design.counts)}."
        )


def effective_rows(setting: Setting, design: Design) -> Float[np.ndarray, " g"]:
    """``(Σw)²/Σw²`` over the rows of each group [G]; a seed has the weight of what is made of it.

    Rows that are drawn count besides, so that few of them are not taken for what they came from.
    """
    rows, weights, generator = design.row_counts(), design.row_weights(), design.generator_rows()
    use = synthetic_rows(setting, design).seed_use
    if use == "copy in turn":
        numbers, sizes = (np.asarray(k) for k in copied_in_turn(rows, weights, generator))
        return np.asarray((numbers * sizes).sum(axis=0) ** 2 / (numbers * sizes**2).sum(axis=0))
    real, made = (np.asarray(share) for share in shares(rows, weights))
    n, drawn = np.asarray(rows.real), np.asarray(squared_weights(rows, weights))
    if use == "none":
        return np.asarray((real + made) ** 2 / (real**2 / n + drawn))
    fitted, shared = (np.asarray(k) for k in of_generator(rows, generator))
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
