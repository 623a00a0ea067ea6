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
# # A tour of the scaling law
#
# A group of data is small. Synthetic rows are cheap and biased; real rows are neither. How many
# synthetic rows are worth adding, with what weight, and where do they stop helping? This notebook
# goes once through the answer: each picture has simulations (points, bars of two standard errors)
# and theory (lines, with nothing fitted). The derivations are in `docs/theory.md`.

# %% [markdown]
# The next cell installs opal where it is missing, as on a hosted runtime. The package is not on an
# index yet: let `OPAL_PACKAGE` name a wheel, a checkout, or whatever else pip can install.

# %%
import importlib.util
import os
import subprocess
import sys

if importlib.util.find_spec("opal") is None:
    package = os.environ.get("OPAL_PACKAGE", "opal-scaling")
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", package], check=True)
    importlib.invalidate_caches()

# %%
import jax
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from opal import Bias, Design, Duplication, GaussianFit, GaussianMixture, Oracle, baselines
from opal.plotting import ARMS, PAPER, SERIES, legend, line, points
from opal.simulation import compare, simulate
from opal.theory.estimator import expand
from opal.theory.optimal import best_minority_size, weight_curve
from opal.theory.predict import predict

plt.style.use([PAPER, {"figure.dpi": 144}])  # the paper's style, larger for a screen
TINY = bool(os.environ.get("OPAL_TINY"))  # the tests set it: few points, few replicates
N_REPLICATES = 40 if TINY else 1000
KEY = 1

# %% [markdown]
# ## The problem in one picture
#
# Two Gaussian classes in the plane. A *setting* is a small object that is its equation; how
# imbalanced the data are is decided by the counts that are drawn. A rule is judged by its
# **balanced risk**, the mean of the two classes' risks; its *excess* is over the best rule θ\*.

# %%
setting = GaussianMixture(
    means=[[-0.8, 0.0], [0.8, 0.3]],
    covariances=[[[1.0, 0.0], [0.0, 1.0]], [[0.7, 0.3], [0.3, 1.1]]],
    name="two classes",
)
counts = (400, 40)

with jax.enable_x64(True):  # single precision is JAX's default, and too coarse for excess risks
    rows = setting.sample(counts, key=KEY)
    best = np.asarray(setting.optimum())
    raw = np.asarray(expand(setting, baselines(counts)["raw"]).target)

figure, axes = plt.subplots(figsize=(5.2, 3.4), layout="constrained")
for group, marker in enumerate("ox"):
    x = np.asarray(rows.x[rows.rows(group)])
    name = f"{setting.groups[group].name}: {counts[group]} rows"
    axes.plot(*x.T, marker, color=SERIES[group * 3].colour, alpha=0.7, label=name)
across = np.array([-3.5, 3.5])
for theta, style, name in ((best, "-", "best balanced rule θ*"), (raw, "--", "plain risk, n → ∞")):
    axes.plot(-(theta[1] * across + theta[2]) / theta[0], across, f"k{style}", label=name)
axes.set(xlim=(-4, 4), ylim=(-3.5, 3.5), xlabel="first feature", ylabel="second feature")
legend(figure, *axes.get_legend_handles_labels())
plt.show()

# %% [markdown]
# The dashed rule is what plain empirical risk tends to, with ever more data in these proportions:
# it gives the small class away. More data of the same kind do not help.
#
# ## Simulation and theory share a call
#
# A *design* says how to train. Here the small class is filled up by a Gaussian fitted to its 40
# rows. `simulate` draws, fits and takes the exact risk of each fitted rule; `predict` draws
# nothing. Both return the same columns, so comparing them is a join.

# %%
design = Design(counts, synthesizer=GaussianFit())
simulated = simulate(setting, design, key=KEY, n_replicates=N_REPLICATES)
theory = predict(setting, design)
both = simulated.merge(theory, on=["metric", "group"], suffixes=("", "_theory"))
both["z"] = (both["value"] - both["value_theory"]) / both["std_error"]
both[["metric", "group", "value", "std_error", "value_theory", "z"]].round(4)

# %% [markdown]
# Forty rows are few: theory is an expansion in one over the number of rows and leaves out the next
# order, which thousands of replicates can see. The row `excess_neglected` of `predict` estimates
# what that is worth, and `opal run prediction_limits` shows how well.
#
# ## What oversampling does
#
# The arms of the next picture all aim at balance: weights (free), exact copies, a fitted Gaussian,
# fresh draws from the true law (which nobody has), and draws from a law that is off by 0.2
# standard deviations. Plain risk is beside them.


# %%
def excess(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows with the excess balanced risk."""
    return frame[frame["metric"] == "excess_balanced_risk"]


def biased(shift: float) -> Oracle:
    """A generator whose small class lies too near the large one."""
    return Oracle.biased(setting.law, Bias(mean_shift=[[0.0, 0.0], [-shift, 0.0]]))


makers = {
    "duplication": Duplication(),
    "Gaussian fit": GaussianFit(),
    "oracle": Oracle(setting.law),
    "biased oracle": biased(0.2),
}
sizes = [40] if TINY else [20, 40, 100, 300]
parts = []
for n_min in sizes:
    now = (400, n_min)
    arms = {arm: Design(now, maker, name=arm) for arm, maker in makers.items()}
    for arm in {**arms, **{name: baselines(now)[name] for name in ("raw", "weighting")}}.values():
        parts += [simulate(setting, arm, key=KEY, n_replicates=N_REPLICATES), predict(setting, arm)]
imbalance = excess(pd.concat(parts))

figure, axes = plt.subplots(figsize=(5.6, 3.4), layout="constrained")
for arm in ("raw", "weighting", *makers):
    chosen = imbalance[imbalance["arm"] == arm]
    line(axes, chosen[chosen["source"] == "theory"], "n_min", ARMS[arm])
    points(axes, chosen[chosen["source"] == "simulation"], "n_min", ARMS[arm], label=arm)
axes.set(xscale="log", yscale="log", ylabel="excess balanced risk")
axes.set_xticks(sizes, labels=map(str, sizes))
axes.minorticks_off()
axes.set_xlabel("rows of the small class (of 400 in the large one)")
legend(figure, *axes.get_legend_handles_labels())
plt.show()

# %% [markdown]
# - Copies in turn are weights: the two arms coincide.
# - A Gaussian fitted to the seeds knows what the seeds know. Here it cannot beat weights either.
# - Fresh rows of the true law would carry new information; that is the upper end of what a
#   generator can do.
# - A biased generator wins while the data are few, and loses once the variance it saves is less
#   than the bias it brings.
#
# ## α and N: where it stops
#
# Augmentation adds `N` further rows to *every* group, with total weight `α`. As `N` grows the
# excess falls like 1/N towards a floor: what real rows leave of noise, and what the generator has
# of bias. The floor is theory at `N` = ∞.

# %%
sizes = [1000] if TINY else [100, 300, 1000, 3000, 10_000]
alpha = 0.7
figure, axes = plt.subplots(figsize=(5.6, 3.4), layout="constrained")
for shift, look in zip((0.0, 0.1, 0.2), SERIES, strict=False):
    parts = []
    for n_augmented in sizes:
        arm = Design(counts, biased(shift), n_augmented=n_augmented, alpha=alpha)
        parts += [simulate(setting, arm, key=KEY, n_replicates=N_REPLICATES), predict(setting, arm)]
    curve = excess(pd.concat(parts))
    line(axes, curve[curve["source"] == "theory"], "n_augmented", look)
    simulated = curve[curve["source"] == "simulation"]
    points(axes, simulated, "n_augmented", look, label=f"{shift:g} SD")
    with jax.enable_x64(True):
        endless = Design(counts, biased(shift), n_augmented=10**9, alpha=alpha)
        floor = float(expand(setting, endless).excess)
    axes.axhline(floor, color=look.colour, linewidth=0.8, linestyle=":")
axes.set(xscale="log", yscale="log", ylabel="excess balanced risk")
axes.set_xlabel(f"augmented rows N of each class (α = {alpha:g}); dotted: N = ∞")
legend(figure, *axes.get_legend_handles_labels(), title="shift of the\ngenerator")
plt.show()

# %% [markdown]
# ## The best weight α\*
#
# For a small bias the excess is a parabola in α, and its minimum is known in closed form (star).
# The line is the full expansion, which does not need the bias to be small.

# %%
n_augmented = 1000
alphas = np.linspace(0, 1, 3 if TINY else 11)
figure, axes = plt.subplots(figsize=(5.6, 3.4), layout="constrained")
for shift, look in zip((0.0, 0.1, 0.2), SERIES, strict=False):
    base = Design(counts, biased(shift), n_augmented=n_augmented)
    designs = [base.with_(alpha=float(a)) for a in alphas]
    theory = excess(pd.concat([predict(setting, arm) for arm in designs]))
    line(axes, theory, "alpha", look)
    simulated = [simulate(setting, a, key=KEY, n_replicates=N_REPLICATES) for a in designs[::2]]
    points(axes, excess(pd.concat(simulated)), "alpha", look, label=f"{shift:g} SD")
    star = weight_curve(setting, base).best_alpha
    with jax.enable_x64(True):
        height = float(expand(setting, base.with_(alpha=star)).excess)
    axes.plot(star, height, "*", color=look.colour, markeredgecolor="black", markersize=9)
axes.set(yscale="log", xlabel="weight α of the augmented rows", ylabel="excess balanced risk")
legend(figure, *axes.get_legend_handles_labels(), title="shift of the\ngenerator")
plt.show()

# %% [markdown]
# How many rows the small class should get is a trade of one bias against another, when variance is
# left aside: exact balance (360 here) for an unbiased generator, and another number otherwise.

# %%
shifts = (0.0, 0.1, 0.2, 0.4)
sizes = [best_minority_size(setting, Design(counts, biased(shift))) for shift in shifts]
pd.DataFrame({"shift (SD)": shifts, "ñ*": sizes}).round(1)

# %% [markdown]
# ## Against what costs nothing
#
# An arm with synthetic rows is to be compared with group weighting and with a threshold that is
# moved after the fit, not with plain risk alone. All arms see the same real rows, so differences
# are paired and their standard errors small.

# %%
star = weight_curve(setting, Design(counts, biased(0.2), n_augmented=n_augmented)).best_alpha
arms = {
    **baselines(counts),
    "Gaussian fit": Design(counts, GaussianFit()),
    "generator, 0.2 SD, to balance": Design(counts, biased(0.2)),
    "generator, 0.2 SD, N = 1000, α*": Design(
        counts, biased(0.2), n_augmented=n_augmented, alpha=star
    ),
}
table = compare(setting, arms, reference="weighting", key=KEY, n_replicates=N_REPLICATES)
columns = ["excess_balanced_risk", "balanced_error", "worst_error"]
shown = table[table["metric"].isin([f"{c} minus weighting" for c in columns])]
shown = shown.assign(
    difference=[
        f"{v:+.4f} ± {2 * e:.4f}" for v, e in zip(shown["value"], shown["std_error"], strict=True)
    ]
)
shown.pivot(index="arm", columns="metric", values="difference").loc[list(arms)]

# %% [markdown]
# Plain risk loses by a wide margin, and moving its threshold recovers most of it for nothing. What
# is left for a generator is what it *knows*: an arm that gains over weighting brought information
# that the seeds did not have. The biased generator gains on average and makes the worst group
# worse. Whether that is a gain at all depends on what you are after; look at both columns.
#
# ## Where next
#
# - `notebooks/explorer.py`: sliders for α, N, bias and imbalance.
# - `docs/theory.md`: each formula, derived, with the function that computes it.
# - `opal figures`: the figures at full size, with their self-checks.
# - `docs/tabular.md`: the same questions for real tables and rows that GPT-4 wrote.
