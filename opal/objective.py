r"""The OPAL objective: how many rows each group gets, and what each row weighs. Decided here only.

.. math::
    \hat R(θ) = \; & \frac{1-α}{Σn+Σm} Σ_g \Big[ Σ_{i≤n_g} ℓ(θ; z_i)
        + Σ_{i≤m_g} ℓ(θ; \tilde z_i) \Big] \\
    & + \frac{α}{N|G|} Σ_g Σ_{i≤N} ℓ(θ; \tilde z_i')

(arXiv 2406.03628). Plain empirical risk and group weighting are the same objective without
synthetic rows and with other row weights; bias-corrected synthesis (arXiv 2510.26046) moves weight
of the largest group from its synthetic rows to its real ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from opal.arrays import AnyArray
from opal.losses import LOSSES, Loss
from opal.settings.groups import validate_count, validate_counts, validate_number

if TYPE_CHECKING:
    from opal.synthesis.synthesizer import Synthesizer

Weighting = Literal["opal", "group"]
Threshold = Literal["fitted", "balanced"]
Oversampling = Literal["balance", "none"] | tuple[int, ...]


class RowCounts(NamedTuple):
    """Rows of each kind in each group [G]: real n, oversampled m, augmented N."""

    real: Float[AnyArray, " g"]
    oversampled: Float[AnyArray, " g"]
    augmented: Float[AnyArray, " g"]


class RowWeights(NamedTuple):
    """Weight of one row of each kind in each group [G]: r, o, a."""

    real: Float[AnyArray, " g"]
    oversampled: Float[AnyArray, " g"]
    augmented: Float[AnyArray, " g"]


class GeneratorRows(NamedTuple):
    """Real rows of each group [G] that a generator was fitted to: how many, and in training."""

    fitted: Float[AnyArray, " g"]
    shared: Float[AnyArray, " g"]


@dataclass(frozen=True)
class Design:
    """A way to train: the data of each group, what is synthesised, and the weights.

    Attributes:
        counts: real rows n_g of each group [G].
        synthesizer: who makes synthetic rows; None for none.
        n_augmented: N, rows added to every group beyond balance.
        alpha: α in [0, 1], weight of the augmented part.
        oversample: fill every group to the largest (``"balance"``), not at all (``"none"``), or
            add the given m_g rows to each group.
        weighting: ``"opal"`` for the objective above; ``"group"`` gives the real rows of every
            group the same total weight, beside which there may be augmented rows.
        threshold: ``"balanced"`` moves the decision threshold after the fit to where it would be
            for balanced classes.
        loss: logistic or squared.
        ridge: λ of the penalty ``λ‖w‖²/2`` on all but the intercept.
        name: the arm's name in records; the synthesizer's if empty.
        n_generator: real rows that the synthesizer is fitted to, one number for all groups or one
            for each [G]; None fits it to the design's own real rows.
        n_shared: how many of these are training rows too, one number or one for each group [G]: 0
            for a generator that never saw the training set, ``n_real`` for one that saw all of it.
        correction: λ in [0, 1], the share of the largest group's bias that is subtracted from the
            synthetic rows of every group: there are real rows enough there to see what its N
            augmented rows get wrong (docs/theory.md, section 16.1).

    Raises:
        ValueError: a count below 1, α or λ outside [0, 1], N = 0 with α > 0 or λ > 0, synthetic
            rows without a synthesizer, a synthesizer that is none, more shared rows than there are,
            rows for a synthesizer that looks at none, an unknown option.
    """

    counts: tuple[int, ...]
    synthesizer: Synthesizer | None = None
    n_augmented: int = 0
    alpha: float = 0.0
    oversample: Oversampling = "balance"
    weighting: Weighting = "opal"
    threshold: Threshold = "fitted"
    loss: Loss = "logistic"
    ridge: float = 0.0
    name: str = ""
    n_generator: int | tuple[int, ...] | None = None
    n_shared: int | tuple[int, ...] = 0
    correction: float = 0.0

    def __post_init__(self) -> None:
        """Check the numbers against each other; lists become tuples, which have a hash."""
        counts = validate_counts(self.counts, None, what="counts", minimum=1)
        object.__setattr__(self, "counts", counts)
        validate_count(self.n_augmented, "n_augmented", minimum=0)
        validate_number(self.alpha, "alpha is a weight in [0, 1]", least=0.0, most=1.0)
        if self.alpha > 0 and self.n_augmented == 0:
            raise ValueError(
                f"alpha = {self.alpha} gives weight to augmented rows, but n_augmented is 0; "
                "set n_augmented ≥ 1 or alpha = 0."
            )
        validate_number(self.correction, "correction is a share in [0, 1]", least=0.0, most=1.0)
        if self.correction > 0 and self.n_augmented == 0:
            raise ValueError(
                f"correction = {self.correction} compares real with augmented rows of the largest "
                "group, but n_augmented is 0; set n_augmented ≥ 1 (alpha may be 0), or "
                "correction = 0."
            )
        validate_number(self.ridge, "ridge is a finite penalty of at least 0", least=0.0)
        for field, options in (
            ("loss", LOSSES),
            ("weighting", ("opal", "group")),
            ("threshold", ("fitted", "balanced")),
        ):
            if getattr(self, field) not in options:
                raise ValueError(f"{field} must be one of {options}; got {getattr(self, field)!r}.")
        self._check_oversample()
        self._check_synthesizer()
        self._check_generator()

    def _check_oversample(self) -> None:
        if isinstance(self.oversample, str):
            if self.oversample not in ("balance", "none"):
                raise ValueError(
                    "oversample must be 'balance', 'none' or one number for each group; "
                    f"got {self.oversample!r}."
                )
            return
        added = validate_counts(self.oversample, self.n_groups, what="oversample", minimum=0)
        object.__setattr__(self, "oversample", added)

    def _check_synthesizer(self) -> None:
        if self.synthesizer is None:
            if self.n_augmented or not isinstance(self.oversample, str):
                raise ValueError(
                    "synthetic rows need a synthesizer; got n_augmented = "
                    f"{self.n_augmented}, oversample = {self.oversample!r} and none. Name one, "
                    "such as Duplication(), or leave n_augmented and oversample out."
                )
            return
        from opal.synthesis.synthesizer import Synthesizer  # theory, too, imports this module

        maker: object = self.synthesizer
        if isinstance(maker, type) or not isinstance(maker, Synthesizer):
            got = f"the class {maker.__name__}" if isinstance(maker, type) else repr(maker)
            asked = ("name", "min_seeds", "fit", "population")
            lacks = [member for member in asked if not hasattr(maker, member)]
            nearly = 0 < len(lacks) < len(asked)
            without = f", which has no {' and no '.join(lacks)}" if nearly else ""
            raise ValueError(
                "synthesizer must be an object such as Duplication() or Smote(5); "
                f"got {got}{without}."
            )
        if self.weighting == "group" and any(self.n_oversampled):
            raise ValueError(
                "group weighting replaces synthetic rows; use weighting='opal' to fill groups up, "
                "oversample='none' to augment only, or leave the synthesizer out."
            )

    def _check_generator(self) -> None:
        if self.n_generator is None:
            if np.any(self.n_shared):
                raise ValueError(
                    "n_shared says how many of the generator's rows are training rows; got "
                    f"n_shared = {self.n_shared!r} without n_generator. Give both, or neither for "
                    "a synthesizer that is fitted to the training rows."
                )
            object.__setattr__(self, "n_shared", 0)
            return
        if self.synthesizer is None or not getattr(self.synthesizer, "uses_seeds", True):
            who = self.synthesizer.name if self.synthesizer else "none"
            raise ValueError(
                f"n_generator is about a synthesizer that is fitted to real rows; got "
                f"n_generator = {self.n_generator!r} and the synthesizer {who}. Name one that is, "
                "such as GaussianFit(), or leave n_generator out."
            )
        fitted = _for_each_group(self.n_generator, self.n_groups, "n_generator", minimum=1)
        shared = _for_each_group(self.n_shared, self.n_groups, "n_shared", minimum=0)
        for index, (both, own, real) in enumerate(zip(shared, fitted, self.counts, strict=True)):
            if both > min(own, real):
                raise ValueError(
                    "n_shared counts rows that the generator and the training set have in common, "
                    f"at most min(n_generator, n_real) = {min(own, real)} in group {index}; got "
                    f"{both}. Lower n_shared, or raise n_generator or the count."
                )
        object.__setattr__(self, "n_generator", fitted)
        object.__setattr__(self, "n_shared", shared)

    @property
    def n_groups(self) -> int:
        """Number of groups ``|G|``."""
        return len(self.counts)

    @property
    def arm(self) -> str:
        """Name of the arm in records."""
        return self.name or (self.synthesizer.name if self.synthesizer else self.weighting)

    @property
    def n_oversampled(self) -> tuple[int, ...]:
        """m_g [G]."""
        if self.synthesizer is None or self.oversample == "none":
            return (0,) * self.n_groups
        if isinstance(self.oversample, tuple):
            return self.oversample
        return tuple(max(self.counts) - n for n in self.counts)

    @property
    def n_fitted(self) -> tuple[int, ...]:
        """Real rows that the synthesizer is fitted to, if there is one [G]."""
        return self.n_generator if isinstance(self.n_generator, tuple) else self.counts

    @property
    def n_in_training(self) -> tuple[int, ...]:
        """Those of :attr:`n_fitted` that are training rows [G]: the first ones of either."""
        return self.n_shared if isinstance(self.n_shared, tuple) else self.counts

    @property
    def n_rows(self) -> int:
        """Rows that are drawn for a fit, those that only the generator sees among them."""
        drawn = sum(self.counts) + sum(self.n_oversampled) + self.n_augmented * self.n_groups
        return drawn + sum(self.n_fitted) - sum(self.n_in_training)

    def generator_rows(self) -> GeneratorRows | None:
        """The generator's rows as numbers; None for one that is fitted to the training rows."""
        if self.n_generator is None:
            return None
        return GeneratorRows(np.array(self.n_fitted, float), np.array(self.n_in_training, float))

    def row_counts(self) -> RowCounts:
        """Number of rows of each kind."""
        kinds = (self.counts, self.n_oversampled, (self.n_augmented,) * self.n_groups)
        return RowCounts(*(np.array(kind, dtype=float) for kind in kinds))

    def row_weights(self) -> RowWeights:
        """Weight of each kind of row; with the numbers of rows they sum to one.

        With a correction, augmented rows of the largest group may weigh less than nothing.
        """
        n, m, _ = self.row_counts()
        each = self.alpha / (self.n_augmented * self.n_groups) if self.n_augmented else 0.0
        augmented = np.full(self.n_groups, each)
        if self.weighting == "group":
            real, oversampled = (1 - self.alpha) / (self.n_groups * n), np.zeros_like(n)
        else:
            real = np.full(self.n_groups, (1 - self.alpha) / (n.sum() + m.sum()))
            oversampled = real.copy()
        weights = RowWeights(real, oversampled, augmented)
        return (
            corrected(self.row_counts(), weights, self.correction) if self.correction else weights
        )

    def with_(self, **changes: Any) -> Design:
        """The same design with some fields changed."""
        return replace(self, **changes)


def corrected(rows: RowCounts, weights: RowWeights, share: float) -> RowWeights:
    """Weights that subtract a share of the largest group's bias from all synthetic rows.

    That share of the weight of all synthetic rows moves from the augmented rows of the largest
    group, the first of several, to its real ones (docs/theory.md, section 16.1). Groups keep their
    total weights.

    Args:
        rows: how many there are of each kind in each group [G].
        weights: of one row of each kind, without a correction [G].
        share: λ in [0, 1].

    Raises:
        ValueError: the largest group has no augmented rows.
    """
    large = int(np.argmax(rows.real))
    if not rows.augmented[large]:
        raise ValueError(
            "a correction compares real with augmented rows of the largest group; group "
            f"{large} has {rows.real[large]:.0f} real rows and no augmented one. Add some of it."
        )
    real, augmented = np.array(weights.real, float), np.array(weights.augmented, float)
    made = rows.oversampled * weights.oversampled + rows.augmented * augmented
    moved = share * made.sum()
    real[large] += moved / rows.real[large]
    augmented[large] -= moved / rows.augmented[large]
    return RowWeights(real, weights.oversampled, augmented)


class PoweredWeights(NamedTuple):
    """Weights of prediction-powered training.

    Attributes:
        real: of a labelled row with its own label [G].
        rectifying: of a labelled row with the model's labels [G]; not positive.
        unlabelled: of an unlabelled row with the model's labels.
        labels: factor ``1/(|G|q_k)`` of a row to which the model gives the label k [K].
    """

    real: Float[np.ndarray, " g"]
    rectifying: Float[np.ndarray, " g"]
    unlabelled: Float[np.ndarray, ""]
    labels: Float[np.ndarray, " k"]


@dataclass(frozen=True)
class PredictionPowered:
    r"""A way to train on few labelled rows and many that a model has labelled (arXiv 2311.01453).

    .. math::
        \hat g(θ) = Σ_g \frac{1}{|G| n_g} Σ_{i≤n_g} ∇ℓ(θ; x_i, g) + λ \Big[ \frac{1}{u} Σ_{i≤u}
            \frac{∇ℓ(θ; x_i, ŷ_i)}{|G|q_{ŷ_i}} - Σ_g \frac{π_g}{n_g} Σ_{i≤n_g}
            \frac{∇ℓ(θ; x_i, ŷ_i)}{|G|q_{ŷ_i}} \Big] ,

    ŷ being the model's label and ``q_k`` the share of rows of which it says k. Both terms in
    brackets have the same mean, whatever the model: it may be wrong, and the rule is not biased
    (docs/theory.md, section 16.4).

    Attributes:
        counts: labelled rows n_g of each class [G].
        n_unlabelled: rows of each class without a label [G]. Which is which is not known in
            training; their shares π_g are.
        confusion: probability that the model says k of a row of class g [G, K]; its errors do not
            depend on the row otherwise, and it has not seen these rows.
        power: λ in [0, 1], the weight of the model's labels; 0 is weighting.
        name: the arm's name in records.

    Raises:
        ValueError: a count below 1, λ outside [0, 1], rows of ``confusion`` that are no
            probabilities, or more than two classes.
    """

    counts: tuple[int, ...]
    n_unlabelled: tuple[int, ...]
    confusion: tuple[tuple[float, ...], ...]
    power: float = 1.0
    name: str = "prediction-powered"

    def __post_init__(self) -> None:
        """Check the numbers against each other; lists become tuples, which have a hash."""
        counts = validate_counts(self.counts, 2, what="counts", minimum=1)
        unlabelled = validate_counts(self.n_unlabelled, 2, what="n_unlabelled", minimum=1)
        validate_number(self.power, "power is a weight in [0, 1]", least=0.0, most=1.0)
        object.__setattr__(self, "counts", counts)
        object.__setattr__(self, "n_unlabelled", unlabelled)
        object.__setattr__(self, "confusion", _probabilities(self.confusion))

    @property
    def arm(self) -> str:
        """Name of the arm in records."""
        return self.name

    @property
    def loss(self) -> Loss:
        """The logistic loss."""
        return "logistic"

    @property
    def n_rows(self) -> int:
        """Rows of a fit: labelled ones twice, with their own and with the model's label."""
        return 2 * sum(self.counts) + sum(self.n_unlabelled)

    @property
    def shares(self) -> Float[np.ndarray, " g"]:
        """π_g, the share of each class among unlabelled rows [G]."""
        return np.array(self.n_unlabelled, float) / sum(self.n_unlabelled)

    def with_(self, **changes: Any) -> PredictionPowered:
        """The same design with some fields changed."""
        return replace(self, **changes)

    def row_weights(self) -> PoweredWeights:
        """Weight of one row of each kind."""
        n, pi = np.array(self.counts, float), self.shares
        rectifying, unlabelled = -self.power * pi / n, self.power / sum(self.n_unlabelled)
        said = pi @ np.array(self.confusion)
        labels = np.divide(0.5, said, out=np.zeros(2), where=said > 0)
        return PoweredWeights(1 / (2 * n), rectifying, np.asarray(unlabelled), labels)


def _probabilities(confusion: object) -> tuple[tuple[float, ...], ...]:
    """A table of probabilities [2, 2], of which each row has the sum one."""
    try:
        table = np.asarray(confusion, float)
    except (TypeError, ValueError):
        table = np.empty(0)
    if table.shape != (2, 2) or not (table >= 0).all() or not np.allclose(table.sum(axis=1), 1):
        raise ValueError(
            "confusion must hold, for each of two classes, the probabilities of the model's two "
            f"labels, of sum one, such as ((0.9, 0.1), (0.2, 0.8)); got {confusion!r}."
        )
    return tuple(tuple(float(p) for p in row) for row in table)


def _for_each_group(value: object, n_groups: int, what: str, *, minimum: int) -> tuple[int, ...]:
    """One whole number for each group, from one for all or one for each."""
    each = value if isinstance(value, Iterable) else (value,) * n_groups
    return validate_counts(each, n_groups, what=what, minimum=minimum)


def require_setting(setting: object, design: object) -> None:
    """Check what is simulated or predicted.

    Raises:
        TypeError: ``setting`` has no law, or ``design`` is none.
        ValueError: prediction-powered training of other groups than two classes.
    """
    if not hasattr(setting, "law"):
        raise TypeError(
            "a setting such as GaussianMixture([[-1.0], [1.0]]) has a law; got "
            f"{type(setting).__name__}, which has none."
        )
    if not isinstance(design, Design | PredictionPowered):
        raise TypeError(
            "what is simulated or predicted is a Design, such as Design((100, 10)); got "
            f"{type(design).__name__}."
        )
    if isinstance(design, PredictionPowered):
        _check_classes(setting.law)


def _check_classes(law: Any) -> None:
    labels = [group.label for group in law.groups]
    if labels != [0, 1] or any(group.mixed for group in law.groups):
        raise ValueError(
            "prediction-powered training is of two classes, each a group of its own; got groups "
            f"of the labels {labels}. Use a Design for this setting."
        )


def baselines(counts: Sequence[int], *, loss: Loss = "logistic") -> dict[str, Design]:
    """The designs without synthetic rows that stand beside every synthetic arm.

    ``raw`` is plain empirical risk, ``threshold`` the same fit with its threshold moved to the
    balanced point, ``weighting`` gives all groups the same weight.
    """
    n = tuple(counts)
    return {
        "raw": Design(n, loss=loss, name="raw"),
        "threshold": Design(n, loss=loss, threshold="balanced", name="threshold"),
        "weighting": Design(n, loss=loss, weighting="group", name="weighting"),
    }
