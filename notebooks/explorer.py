# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Explorer
#
# Sliders for the weight α, the augmented rows N, the generator's bias and the imbalance redraw the
# theory of the excess risk: no simulation, so a redraw takes milliseconds. Run all cells; the
# sliders are at the end. Formulas and symbols: `docs/theory.md`, sections 2 and 4.

# %%
import os
import time

import jax
import matplotlib.pyplot as plt
import numpy as np

from opal import Bias, Design, GaussianLaw, GaussianMixture, Oracle
from opal.objective import RowCounts, RowWeights
from opal.theory.asymptotics import Asymptotics, asymptotics
from opal.theory.optimal import WeightCurve, weight_curve

TINY = bool(os.environ.get("OPAL_TINY"))  # the tests set it
N_MAX = 1000  # rows of the large class
ALPHAS = np.linspace(0.0, 1.0, 5 if TINY else 41)
setting = GaussianMixture(
    means=[[-0.8, 0.0], [0.8, 0.3]],
    covariances=[[[1.0, 0.0], [0.0, 1.0]], [[0.7, 0.3], [0.3, 1.1]]],
    name="two classes",
)

# %% [markdown]
# Row counts, weights and the synthetic law are arrays, not constants: one compilation serves every
# position of every slider, and `vmap` gives the whole curve in α at once.


# %%
def expand_at(synthetic: GaussianLaw, rows: RowCounts, weights: RowWeights) -> Asymptotics:
    """The expansion of one design."""
    return asymptotics(setting.law, synthetic, rows, weights)


curve_of = jax.jit(jax.vmap(expand_at, in_axes=(None, None, 0)))


def design_of(n_augmented: int, shift: float, imbalance: float) -> Design:
    """The small class has ``N_MAX / imbalance`` rows, and a generator ``shift`` SD off."""
    bias = Bias(mean_shift=[[0.0, 0.0], [-shift, 0.0]])
    counts = (N_MAX, max(2, round(N_MAX / imbalance)))
    return Design(counts, Oracle.biased(setting.law, bias), n_augmented=n_augmented)


def theory_at(
    n_augmented: int, shift: float, imbalance: float
) -> tuple[Design, Asymptotics, WeightCurve]:
    """A design, its expansion at every α of the grid [k], and the small-bias parabola."""
    design = design_of(n_augmented, shift, imbalance)
    weights = [design.with_(alpha=float(a)).row_weights() for a in ALPHAS]
    stacked = RowWeights(*(np.stack(kind) for kind in zip(*weights, strict=True)))
    with jax.enable_x64(True):
        law = design.synthesizer.population(setting.law).law
        found = curve_of(law, design.row_counts(), stacked)
    return design, jax.device_get(found), weight_curve(setting, design)


# %% [markdown]
# ## How long a redraw takes
#
# The first call compiles; the later ones are what a slider costs, apart from drawing the picture.

# %%
positions = [(500, 0.1, 10.0), (1000, 0.2, 20.0), (4000, 0.3, 5.0), (200, 0.0, 50.0)]
started = time.perf_counter()
theory_at(*positions[0])
compiled = time.perf_counter()
times = []
for position in positions * 5:
    before = time.perf_counter()
    theory_at(*position)
    times.append(time.perf_counter() - before)
print(f"compiled once in {compiled - started:.1f} s")
print(
    f"theory on {len(ALPHAS)} values of α, and α*: {1e3 * np.median(times):.1f} ms (median of 20)"
)


# %% [markdown]
# ## The picture
#
# Left: excess against α. The solid line is the full expansion, the shaded parts are what it
# consists of: bias and drift (the drift falls with more rows, the bias does not), and variance.
# The dashed line is the small-bias parabola, the star its minimum α\*, and the upright line the
# chosen α. Right: the parts at the chosen α.


# %%
def redraw(
    alpha: float = 0.5, n_augmented: int = 1000, shift: float = 0.1, imbalance: float = 20.0
) -> plt.Figure:
    """Draw the excess against α, and its parts at the chosen α."""
    design, found, small_bias = theory_at(n_augmented, shift, imbalance)
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(7.5, 4.0), width_ratios=(3, 1), layout="constrained"
    )
    systematic = found.bias + found.drift_risk
    left.fill_between(ALPHAS, 0, systematic, color="0.55", label="bias and drift")
    left.fill_between(ALPHAS, systematic, found.excess, color="0.85", hatch="//", label="variance")
    left.plot(ALPHAS, found.excess, "k-", label="excess (theory)")
    left.plot(ALPHAS, small_bias.excess(ALPHAS), "k--", linewidth=1, label="small-bias parabola")
    best = small_bias.best_alpha
    label = f"α* = {best:.2f}"
    at_best = np.interp(best, ALPHAS, found.excess)
    left.plot(best, at_best, "k*", markersize=11, label=label, clip_on=False)
    left.axvline(alpha, color="k", linewidth=0.8, linestyle=":")
    left.set(xlim=(0, 1), xlabel="weight α of the augmented rows", ylabel="excess balanced risk")
    left.set_ylim(0, 1.3 * float(np.max(found.excess)))
    left.set_title(f"n = {design.counts}, N = {n_augmented}, shift {shift:g} SD", fontsize=9)
    figure.legend(
        *left.get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8
    )
    here = {
        part: float(np.interp(alpha, ALPHAS, getattr(found, name)))
        for part, name in (("bias", "bias"), ("drift", "drift_risk"), ("variance", "variance"))
    }
    right.bar(list(here), list(here.values()), color=["0.55", "0.7", "0.85"], edgecolor="k")
    right.axhline(0, color="k", linewidth=0.8)
    right.tick_params(axis="x", labelrotation=30)
    right.set_title(f"α = {alpha:g}", fontsize=9)
    return figure


redraw()
plt.show()

# %% [markdown]
# ## Sliders
#
# With a live kernel and ipywidgets the sliders appear below; without, a few positions are drawn
# instead.

# %%
try:
    import ipywidgets as widgets
except ImportError:
    widgets = None

if widgets is not None and not TINY:

    def show(alpha: float, n_augmented: int, shift: float, imbalance: float) -> None:
        """Redraw in place."""
        redraw(alpha, n_augmented, shift, imbalance)
        plt.show()

    widgets.interact(
        show,
        alpha=widgets.FloatSlider(0.5, min=0, max=1, step=0.05, description="α"),
        n_augmented=widgets.IntSlider(1000, min=50, max=10_000, step=50, description="N"),
        shift=widgets.FloatSlider(0.1, min=0, max=0.8, step=0.05, description="bias (SD)"),
        imbalance=widgets.FloatLogSlider(
            20, base=10, min=0, max=2, step=0.1, description="imbalance", readout_format=".0f"
        ),
    )
else:
    for position in ((0.2, 200, 0.0, 50.0), (0.5, 1000, 0.4, 10.0), (0.9, 5000, 0.1, 1.0)):
        redraw(*position)
        plt.show()
