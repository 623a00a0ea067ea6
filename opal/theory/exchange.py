"""The parameters of the mixture law that a setting and a design have, by theory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax

from opal.theory.optimal import weight_curve

if TYPE_CHECKING:
    from opal.objective import Design
    from opal.settings.setting import GaussianSetting


def mixture_parameters(setting: GaussianSetting, design: Design) -> dict[str, float]:
    """E, R_s, C, A_s and A_r of equation 4.2 with β = 1 (docs/theory.md, section 12.1).

    ``n`` is the harmonic mean of the design's counts and ``N`` its augmented rows of each group.
    The design's α is ignored; its N may be any.

    Args:
        setting: the truth.
        design: how to train; real rows weighted by group and a synthesizer of known law.

    Raises:
        ValueError: real rows are not weighted by group, or see
            :func:`opal.theory.optimal.weight_curve`.
    """
    if design.weighting != "group":
        raise ValueError(
            "the mixture law is about reweighted real rows; use weighting='group' and "
            f"oversample='none', got weighting={design.weighting!r}."
        )
    few = weight_curve(setting, design)
    many = weight_curve(setting, design.with_(n_augmented=2 * design.n_augmented))
    n = design.n_groups / sum(1 / count for count in design.counts)
    noise = 2 * (few.augmented - many.augmented)  # of N rows: halves as N doubles
    with jax.enable_x64(True):
        floor = float(setting.law.group_risk(setting.law.optimum(design.loss), design.loss).mean())
    return {
        "E": floor,
        "R_s": max(0.5 * (few.augmented - noise), 0.0),
        "C": 0.5 * few.cross,
        "A_s": 0.5 * noise * design.n_augmented,
        "A_r": 0.5 * few.real * n,
    }
