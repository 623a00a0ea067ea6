"""The arms that stand beside each other in every comparison of synthetic samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike

    from opal.objective import Design
    from opal.settings.setting import GaussianSetting, Setting
    from opal.synthesis import Synthesizer

REFERENCE = "weighting"


def standard_arms(
    setting: GaussianSetting,
    counts: Sequence[int],
    *,
    mean_shift: ArrayLike,
    n_neighbours: int,
    shrinkage: float,
    where: str,
) -> dict[str, Design]:
    """Baselines without synthetic rows, then every way to fill the small groups.

    The biased oracle's groups are shifted, all alike [d] or each by its own [G, d]; ``where`` says
    which fields set the counts, and their values.

    Raises:
        ValueError: a dial is out of range, or the smallest group too small for an arm.
    """
    from opal.objective import Design, baselines
    from opal.synthesis import Bias, Duplication, GaussianFit, Oracle, Smote

    makers: dict[str, Synthesizer] = {
        "duplication": Duplication(),
        "SMOTE": Smote(n_neighbours),
        "Gaussian fit": GaussianFit(shrinkage),
        "oracle": Oracle(setting.law),
        "biased oracle": Oracle.biased(setting.law, Bias(mean_shift=mean_shift)),
    }
    n = tuple(counts)
    _require_seeds(min(n), setting.law.dim, n_neighbours, shrinkage, where)
    filled = {name: Design(n, maker, name=name) for name, maker in makers.items()}
    return {**baselines(n), **filled}


def _require_seeds(
    smallest: int, dim: int, n_neighbours: int, shrinkage: float, where: str
) -> None:
    """Refuse a group that is too small for SMOTE or for the fitted Gaussian."""
    if smallest <= n_neighbours:
        fewer = f", or choose --n-neighbours {smallest - 1} or less" if smallest > 1 else ""
        raise ValueError(
            f"n_min must exceed n_neighbours, as SMOTE needs a seed and its neighbours; {where} "
            f"means n_min = {smallest}, and n_neighbours is {n_neighbours}. "
            f"Ask for at least {n_neighbours + 1} rows in every group{fewer}."
        )
    if shrinkage == 0 and smallest <= dim:
        raise ValueError(
            "n_min must exceed the dimension, as a fitted Gaussian without shrinkage has no "
            f"inverse otherwise; {where} means n_min = {smallest}, and the dimension is {dim}. "
            f"Ask for at least {dim + 1} rows in every group, or choose --shrinkage above 0."
        )


def measure(setting: Setting, designs: dict[str, Design], config: Any, study: str) -> pd.DataFrame:
    """Simulated arms with paired differences, and theory for the arms whose law is known."""
    import pandas as pd

    from opal.simulation import compare
    from opal.theory.predict import predict

    options = {"key": config.seed, "n_replicates": config.n_replicates, "study": study}
    simulated = compare(setting, designs, reference=REFERENCE, **options)
    known = [
        design
        for design in designs.values()
        if design.synthesizer is None or design.synthesizer.population(setting.law) is not None
    ]
    return pd.concat(
        [simulated, *(predict(setting, design, study=study) for design in known)], ignore_index=True
    )
