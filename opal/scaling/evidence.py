"""What a fit, or parameters that are known, say to a planner."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from opal.scaling.diagnostics import of_extrapolation
from opal.scaling.exchange import CrossLaw, Mixture
from opal.scaling.fit import Fit
from opal.scaling.table import columns_of

Source = Fit | Mapping[str, float]
_OF_EXPONENT = ("few sizes", "sizes span too little")  # warnings that a known exponent answers


def laws_of(source: Source, subsample: float | None = None) -> tuple[Mixture, Mixture | None]:
    """The law at its estimate, and its bootstrap draws.

    Raises:
        ValueError: the law is no mixture, or ``subsample`` is no share.
    """
    if subsample is not None and not 0 < subsample < 1:
        raise ValueError(
            f"subsample is the share of one pool that each seed draws, in (0, 1); got {subsample}. "
            "Leave it out if seeds have samples of their own."
        )
    if not isinstance(source, Fit):
        return Mixture.of(source), None
    if source.settings.link != "identity":
        raise ValueError(
            f"a plan weighs risks and needs a fit without a link; got {source.settings.link!r}. "
            "Fit with link identity."
        )
    names = source.law.params
    exponent = {"beta": source.law.beta} if isinstance(source.law, CrossLaw) else {}
    estimate = {name: source.params[name].estimate for name in names}
    law = Mixture.of({**estimate, **exponent})
    values = source.draws
    if subsample is not None:
        n_seeds = source.frame[source.roles.seed].nunique() if source.roles.seed else 1
        centre = np.array([estimate[name] for name in names])
        wider = np.sqrt(n_seeds * subsample / (1 - subsample))
        low = np.array([source.law.bounds[name][0] for name in names])
        values = np.maximum(centre + wider * (values - centre), low)
    columns = {name: values[:, index] for index, name in enumerate(names)}
    return law, Mixture.of({**columns, **exponent})


def measured_best(source: Source) -> tuple[float, float] | None:
    """N and α with the least mean value among points at the largest n."""
    if not isinstance(source, Fit):
        return None
    x = {name: source.roles.x[name] for name in ("n", "N", "alpha")}
    rows = source.frame[source.frame[x["n"]] == source.frame[x["n"]].max()]
    mean = rows.groupby([x["N"], x["alpha"]])[source.roles.y].mean()
    N, alpha = mean.idxmin()
    return (float(N), float(alpha)) if alpha > 0 else (0.0, 0.0)


def warnings(source: Source, n: float, N: float, alpha: float) -> list[str]:
    """What the fit warns of, and whether the design (n, N, α) lies far beyond its table."""
    if not isinstance(source, Fit):
        return []
    seen = columns_of(source.frame, source.law, source.roles)
    at = {"n": np.array([n]), "N": np.array([max(N, 1.0)]), "alpha": np.array([alpha])}
    known = _OF_EXPONENT if isinstance(source.law, CrossLaw) else ()
    kept = [text for text in source.warnings if not text.startswith(known)]
    return [*kept, *of_extrapolation(source.law, seen, at)]
