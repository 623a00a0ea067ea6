"""Two classes, and the arms that stand beside each other in every comparison on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from opal.objective import Design, baselines
from opal.settings import GaussianMixture
from opal.settings.setting import GaussianSetting, Setting
from opal.simulation import AnyDesign, compare
from opal.synthesis import Bias, Duplication, GaussianFit, Oracle, Smote, Synthesizer
from opal.theory.predict import predict

REFERENCE = "weighting"


def two_classes(
    dim: int, distance: float, variances: ArrayLike = 1.0
) -> tuple[GaussianMixture, np.ndarray]:
    """Two classes N(∓μ/2, diag(variances)) at a distance ‖μ‖, and the direction of μ [d]."""
    axis = np.full(dim, 1 / np.sqrt(dim))
    return GaussianMixture(np.outer([-0.5, 0.5], distance * axis), variances), axis


def shifted_second(setting: GaussianMixture, axis: np.ndarray, shift: float) -> Oracle:
    """An oracle of two classes that moves rows of the second towards the first."""
    return Oracle.biased(setting.law, Bias(mean_shift=[0 * axis, -shift * axis]))


def standard_arms(
    setting: GaussianSetting,
    counts: Sequence[int],
    config: Any,
    *,
    mean_shift: ArrayLike,
    where: str,
) -> dict[str, Design]:
    """Baselines without synthetic rows, then every way to fill the small groups.

    The biased oracle's groups are shifted, all alike [d] or each by its own [G, d]; ``config`` has
    the dials of SMOTE and of the Gaussian, and ``where`` says which of its fields set the counts.

    Raises:
        ValueError: a dial is out of range, or the smallest group too small for an arm.
    """
    makers: dict[str, Synthesizer] = {
        "duplication": Duplication(),
        "SMOTE": Smote(config.n_neighbours),
        "Gaussian fit": GaussianFit(config.shrinkage),
        "oracle": Oracle(setting.law),
        "biased oracle": Oracle.biased(setting.law, Bias(mean_shift=mean_shift)),
    }
    n = tuple(counts)
    _require_seeds(min(n), setting.law.dim, config, where)
    filled = {name: Design(n, maker, name=name) for name, maker in makers.items()}
    return {**baselines(n), **filled}


def _require_seeds(smallest: int, dim: int, config: Any, where: str) -> None:
    """Refuse a group that is too small for SMOTE or for the fitted Gaussian."""
    n_neighbours = config.n_neighbours
    if smallest <= n_neighbours:
        fewer = f", or choose --n-neighbours {smallest - 1} or less" if smallest > 1 else ""
        raise ValueError(
            f"n_min must exceed n_neighbours, as SMOTE needs a seed and its neighbours; {where} "
            f"means n_min = {smallest}, and n_neighbours is {n_neighbours}. "
            f"Ask for at least {n_neighbours + 1} rows in every group{fewer}."
        )
    if config.shrinkage == 0 and smallest <= dim:
        raise ValueError(
            "n_min must exceed the dimension, as a fitted Gaussian without shrinkage has no "
            f"inverse otherwise; {where} means n_min = {smallest}, and the dimension is {dim}. "
            f"Ask for at least {dim + 1} rows in every group, or choose --shrinkage above 0."
        )


def measure(
    setting: Setting, designs: Mapping[str, AnyDesign], config: Any, study: str
) -> pd.DataFrame:
    """Simulated arms with paired differences, and theory for the arms whose law is known."""
    options = {"key": config.seed, "n_replicates": config.n_replicates, "study": study}
    simulated = compare(setting, designs, reference=REFERENCE, **options)
    makers = {arm: getattr(design, "synthesizer", None) for arm, design in designs.items()}
    known = [
        designs[arm]
        for arm, maker in makers.items()
        if maker is None or maker.population(setting.law) is not None
    ]
    return pd.concat(
        [simulated, *(predict(setting, design, study=study) for design in known)], ignore_index=True
    )
