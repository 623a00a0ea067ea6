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
_CLEAR = 3.0  # standard errors
_ROUNDING = 1e-3  # of the range of the values: what solvers and the order of rows make


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
    if subsample is not None and source.roles.seed is None:
        raise ValueError(
            "subsample says what share of one pool each seed drew, so rows need a column of seeds; "
            f"got {subsample} and no column. Name it, or leave subsample out."
        )
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
        centre = np.array([estimate[name] for name in names])
        wider = np.sqrt(widening(source, subsample))
        low = np.array([source.law.bounds[name][0] for name in names])
        values = np.maximum(centre + wider * (values - centre), low)
    columns = {name: values[:, index] for index, name in enumerate(names)}
    return law, Mixture.of({**columns, **exponent})


def widening(fit: Fit, subsample: float | None) -> float:
    """Variance under fresh pools over that of a mean of seeds (docs/theory.md, section 12.3)."""
    if subsample is None:
        return 1.0
    n_seeds = fit.frame[fit.roles.seed].nunique() if fit.roles.seed else 1
    return float(n_seeds * subsample / (1 - subsample))


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


def of_pool(source: Source, subsample: float | None) -> list[str]:
    """Seeds that train on the same real samples: did they draw from one pool as well?"""
    if not isinstance(source, Fit) or subsample is not None or source.roles.seed is None:
        return []
    alone = source.frame[source.frame[source.roles.x["alpha"]] == 0]
    n = alone[source.roles.x["n"]]
    values = alone.loc[n == n.max(), source.roles.y]
    if len(values) < 2 or np.ptp(values) > _ROUNDING * np.ptp(source.frame[source.roles.y]):
        return []
    text = (
        f"all seeds have one risk with all real samples alone ({values.iloc[0]:.4g}). If each drew "
        "half of one pool of synthetic samples too, say --subsample 0.5: without it the intervals "
        "are far too narrow."
    )
    return [text]


def of_measured(source: Source, law: Mixture, least: float) -> list[str]:
    """A gain above ``least`` that the pilot measured, where the law says that nothing helps."""
    best = measured_best(source)
    if not isinstance(source, Fit) or best is None or best[1] == 0:
        return []
    x, y = source.roles.x, source.frame[source.roles.y]
    n = source.frame[x["n"]].max()
    own = source.frame[x["n"]] == n
    alone = y[own & (source.frame[x["alpha"]] == 0)]
    mixed = y[own & (source.frame[x["N"]] == best[0]) & (source.frame[x["alpha"]] == best[1])]
    gain = alone.mean() - mixed.mean()
    error = np.sqrt(
        sum(np.var(v, ddof=1) / len(v) if len(v) > 1 else np.inf for v in (alone, mixed))
    )
    if alone.empty or not gain > max(least, _CLEAR * error):
        return []
    expected = float(law.excess(n, 1, 0.0) - law.excess(n, *best))
    text = (
        f"the pilot measured {gain:.3g} less risk at N = {best[0]:g}, alpha = {best[1]:g} than "
        f"with real samples alone; the law expects {expected:.3g} and does not hold there. "
        "Validate that point on other samples before you decide to go without."
    )
    return [text]
