"""What a reader of a plan must be told of the pilot behind it, and of the purchase."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from opal.scaling.diagnostics import of_extrapolation
from opal.scaling.exchange import FitOrParams, Mixture
from opal.scaling.fit import Fit
from opal.scaling.laws.cross import CrossLaw
from opal.scaling.pilot_fit import VARIABLES, measured_best
from opal.scaling.purchase import NO_NUMBER, Option
from opal.scaling.table import columns_of

_OF_EXPONENT = ("few sizes", "sizes span too little")  # warnings that a known exponent answers
_OF_POINTS = "the law misses"  # in standard errors, tiny where seeds share their real rows
_CLEAR = 3.0  # standard errors
_ROUNDING = 1e-3  # of the range of the values: what solvers and the order of rows make


def of_purchase(fitted: FitOrParams, n: float, best: Option) -> Iterator[str]:
    """What the fit warns of, a purchase far beyond its table, and a worth without a number."""
    if isinstance(fitted, Fit):
        known = _OF_EXPONENT if isinstance(fitted.law, CrossLaw) else ()
        yield from (text for text in fitted.warnings if not text.startswith((*known, _OF_POINTS)))
        seen = columns_of(fitted.frame, fitted.law, fitted.roles)
        point = {"n": n, "N": max(best.n_augmented, 1), "alpha": best.alpha}
        at = {name: np.array([value]) for name, value in point.items()}
        yield from of_extrapolation(fitted.law, seen, at, fitted.roles.x)
    if best.n_augmented > 0 and not np.isfinite(best.n_equiv):
        yield (
            f"n_equiv is infinite: {NO_NUMBER}. The real samples in hand are unlucky ones, or the "
            "curve is too short."
        )


def of_pool(fitted: FitOrParams, subsample: float | None) -> Iterator[str]:
    """Seeds that train on the same real samples: did they draw from one pool as well?"""
    if not isinstance(fitted, Fit) or subsample is not None or fitted.roles.seed is None:
        return
    alone = fitted.frame[fitted.frame[fitted.roles.x["alpha"]] == 0]
    n = alone[fitted.roles.x["n"]]
    values = alone.loc[n == n.max(), fitted.roles.y]
    if len(values) < 2 or np.ptp(values) > _ROUNDING * np.ptp(fitted.frame[fitted.roles.y]):
        return
    yield (
        f"all seeds have one risk with all real samples alone ({values.iloc[0]:.4g}). If each drew "
        "half of one pool of synthetic samples too, say --subsample 0.5: without it the intervals "
        "are far too narrow."
    )


def of_misfit(fitted: FitOrParams, asked: Option) -> Iterator[str]:
    """A law that misses the points with all real samples by more than the gain's interval allows.

    The root mean square miss, with the noise of the means over seeds taken off.
    """
    if not isinstance(fitted, Fit) or fitted.n_seeds < 2:
        return
    x, seen = fitted.roles.x, columns_of(fitted.frame, fitted.law, fitted.roles)
    rows = fitted.frame.assign(miss=fitted.frame[fitted.roles.y] - fitted.predict(seen))
    rows = rows[rows[x["n"]] == rows[x["n"]].max()]
    each = rows.groupby([x[name] for name in VARIABLES])["miss"]
    mean, noise = each.mean(), each.var() / each.size()
    miss = float(np.sqrt(max(np.mean(mean**2 - noise), 0.0)))
    half = (asked.ci[1] - asked.ci[0]) / 2
    if not miss > half:
        return
    yield (
        f"the law misses the pilot's risks with all real samples by {miss:.3g} (root mean square), "
        f"more than half of the gain's interval, {half:.3g}, which is then too narrow. Trust the "
        "measured gain of the validated point more than the expected one."
    )


def of_measured(fitted: FitOrParams, law: Mixture, least: float) -> Iterator[str]:
    """A gain above ``least`` that the pilot measured, where nothing is bought."""
    if not isinstance(fitted, Fit):
        return
    N, alpha = measured_best(fitted)
    if alpha == 0:
        return
    x, y = fitted.roles.x, fitted.frame[fitted.roles.y]
    n = fitted.frame[x["n"]].max()
    own = fitted.frame[x["n"]] == n
    alone = y[own & (fitted.frame[x["alpha"]] == 0)]
    mixed = y[own & (fitted.frame[x["N"]] == N) & (fitted.frame[x["alpha"]] == alpha)]
    gain = alone.mean() - mixed.mean()
    error = np.sqrt(
        sum(np.var(v, ddof=1) / len(v) if len(v) > 1 else np.inf for v in (alone, mixed))
    )
    if alone.empty or not gain > max(least, _CLEAR * error):
        return
    expected = float(law.excess(n, 1, 0.0) - law.excess(n, N, alpha))
    agrees = abs(gain - expected) <= _CLEAR * error
    yield (
        f"the pilot measured {gain:.3g} less risk at N = {N:g}, alpha = {alpha:g} than "
        f"with real samples alone; the law expects {expected:.3g}"
        f"{'' if agrees else ' and does not hold there'}. Validate that point on other samples "
        "before you decide to go without."
    )
