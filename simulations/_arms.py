"""The arms that stand beside each other in every comparison of synthetic samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike

    from opal.objective import Design
    from opal.settings.setting import GaussianSetting
    from opal.synthesis import Synthesizer

REFERENCE = "weighting"


def standard_arms(
    setting: GaussianSetting,
    counts: Sequence[int],
    *,
    mean_shift: ArrayLike,
    n_neighbours: int,
    shrinkage: float,
) -> dict[str, Design]:
    """Baselines without synthetic rows, then every way to fill the small groups.

    Args:
        setting: the truth.
        counts: real rows of each group.
        mean_shift: shift of the biased oracle's groups, [d] or [G, d].
        n_neighbours: of SMOTE.
        shrinkage: of the fitted Gaussian.
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
    filled = {name: Design(n, maker, name=name) for name, maker in makers.items()}
    return {**baselines(n), **filled}


def measure(
    setting: GaussianSetting,
    designs: dict[str, Design],
    *,
    seed: int,
    n_replicates: int,
    study: str,
) -> pd.DataFrame:
    """Simulated arms with paired differences, and theory for the arms whose law is known."""
    import pandas as pd

    from opal.simulate import compare
    from opal.theory.predict import predict

    simulated = compare(
        setting, designs, reference=REFERENCE, key=seed, n_replicates=n_replicates, study=study
    )
    known = [
        design
        for design in designs.values()
        if design.synthesizer is None or design.synthesizer.population(setting.law) is not None
    ]
    return pd.concat(
        [simulated, *(predict(setting, design, study=study) for design in known)],
        ignore_index=True,
    )
