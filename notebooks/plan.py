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
# # How many should I buy?
#
# Three hundred real samples of each group, a generator that charges by the sample, and a budget.
# This notebook runs a pilot with a tenth of the budget, fits the mixture law to it, and asks for a
# plan: how many synthetic samples, with which weight, or none. Because the setting is simulated,
# theory knows the right answer, and the plan can be held against it. The guide for your own table
# is `docs/plan.md`; the derivations are in `docs/theory.md`, section 12. With the file
# of a pilot that you have run, the notebook makes its plan from that.

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
FILE = None  # a CSV of your own

# %% [markdown]
# With a file, say here what you have and may spend, and name the columns: `n` real and `N`
# synthetic samples of each group, the weight `alpha` of the latter, the risk on held-out real
# samples, and the seed. If validation rows were split into parts, add `"part": "part"`. `SUBSAMPLE`
# is the share of one pool of synthetic samples that each seed drew (None: each has its own).

# %%
COLUMNS = {"x": {"n": "n", "N": "N", "alpha": "alpha"}, "y": "value", "seed": "seed"}
N_REAL, BUDGET, SUBSAMPLE = (300, 300), 240.0, 0.5
PRICES = {"price_real": 2.0, "price_synthetic": 0.01}

# %%
import tempfile
from pathlib import Path

import jax
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

from opal import Bias, Design, GaussianMixture, Oracle
from opal.plotting import PAPER, SERIES, legend
from opal.reading import read_table
from opal.scaling.exchange import Mixture, laws_of
from opal.scaling.pilot import first_points
from opal.scaling.pilot_fit import PilotFit, fit_pilot
from opal.scaling.plan import Plan, plan
from opal.scaling.table import check_columns, check_numbers
from opal.theory.exchange import mixture_parameters

plt.style.use([PAPER, {"figure.dpi": 144}])  # the paper's style, larger for a screen
TINY = bool(os.environ.get("OPAL_TINY"))  # the tests set it: fewer seeds
SEEDS = range(4 if TINY else 12)

DIM = 20
axis = np.eye(DIM)  # features
setting = GaussianMixture([-0.7 * axis[0], 0.7 * axis[0] + 0.3 * axis[1]], name="two classes")

# %% [markdown]
# ## Two generators
#
# Both are wrong: in their samples a feature that has nothing to do with the class goes with it. In
# one by little, in one by a lot. In practice nobody tells you which of the two you have.

# %%
generators = {
    name: Oracle.biased(setting.law, Bias(mean_shift=[0 * axis[2], size * axis[2]]))
    for name, size in (("slightly biased", 0.15), ("badly biased", 1.5))
}

# %% [markdown]
# ## The pilot
#
# A tenth of the budget buys a pool of synthetic samples. Each seed draws half of it; each point
# trains on `n` real and `N` synthetic samples of each group, the latter with weight `alpha`, and
# notes the loss on validation samples. The table is written to a file, and read as yours is.


# %%
def rows_of(sample, size, rng):
    """Places of ``size`` random rows of each group."""
    starts = np.cumsum((0, *sample.counts[:-1]))
    pairs = zip(starts, sample.counts, strict=True)
    return np.concatenate([start + rng.permutation(count)[:size] for start, count in pairs])


def run_point(point, pool, rng):
    """Balanced validation loss of one training."""
    parts = [(real, int(point.n), 1 - point.alpha), (pool, int(point.N), point.alpha)]
    x, y, weights = [], [], []
    for sample, size, weight in parts:
        if weight > 0:
            chosen = rows_of(sample, size, rng)
            x.append(np.asarray(sample.x)[chosen])
            y.append(np.asarray(sample.y)[chosen])
            weights.append(np.full(len(chosen), weight / len(chosen)))
    weights = np.concatenate(weights) * sum(map(len, x))
    model = LogisticRegression(C=1e6).fit(np.concatenate(x), np.concatenate(y), weights)
    score = model.decision_function(np.asarray(validation.x))
    return np.mean(np.logaddexp(0, np.where(np.asarray(validation.y) == 1, -score, score)))


def write_pilot(generator, path):
    """Run the pilot of a generator, one row for each point and seed."""
    n_pool = int(0.1 * BUDGET / PRICES["price_synthetic"] / len(N_REAL))  # of each group
    with jax.enable_x64(True):
        pool = generator.law.sample((n_pool, n_pool), key=jax.random.key(3))
    rows = [
        {**point._asdict(), "seed": seed, "value": run_point(point, pool, rng)}
        for seed in SEEDS
        for point, rng in (
            (p, np.random.default_rng(seed)) for p in first_points(N_REAL[0], n_pool)
        )
    ]
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


with tempfile.TemporaryDirectory() as folder:
    files = {"your pilot": FILE}
    if FILE is None:
        with jax.enable_x64(True):
            real = setting.sample(N_REAL, key=1)
            validation = setting.sample((20_000, 20_000), key=2)
        files = {
            name: write_pilot(generator, Path(folder) / f"{name}.csv")
            for name, generator in generators.items()
        }
    pilots = {name: read_table(path) for name, path in files.items()}

first, n, N, alpha = next(iter(pilots)), *COLUMNS["x"].values()
check_columns(pilots[first], [n, N, alpha, COLUMNS["y"]], remedy=" Name yours in COLUMNS.")
check_numbers(pilots[first], COLUMNS["y"])
pilots[first].groupby([n, N, alpha])[COLUMNS["y"]].mean().unstack(alpha).round(4)

# %% [markdown]
# The pilot of the first generator: mean risks, NaN where a point was not run.
#
# ## The plan
#
# The seeds drew halves of one pool, so they agree too well, and the intervals allow for it.


# %%
def ask(fitted: PilotFit) -> Plan:
    """A plan from a fitted pilot."""
    return plan(fitted, n_real=N_REAL, budget=BUDGET, subsample=SUBSAMPLE, **PRICES)


def flat(fields: dict) -> dict:
    """The fields of a plan or an option, with the ends of the gain's interval on their own."""
    gain = fields["expected_gain"]
    low, high = gain["ci"] or (None, None)
    return {**fields, "gain": gain["estimate"], "gain_low": low, "gain_high": high}


fits = {name: fit_pilot(pilot, **COLUMNS) for name, pilot in pilots.items()}
plans = {name: ask(fitted) for name, fitted in fits.items()}
for name, advice in plans.items():
    print(f"{name}: {advice.recommendation}. {advice.stop}", *advice.warnings, "", sep="\n")
numbers = ["n_augmented", "alpha", "n_real_bought", "cost", "n_equiv"]
gains = ["gain", "gain_low", "gain_high"]
answers = pd.DataFrame([flat(advice.to_dict()) for advice in plans.values()], index=plans)
answers[["recommendation", *numbers, *gains, "decided"]].round(4)

# %% [markdown]
# `n_equiv` is how many real samples of each group would have the same expected risk, `gain` by how
# much the risk falls, with its interval. The other strategies, for the first generator:

# %%
options = pd.DataFrame([flat(option.to_dict()) for option in plans[first].alternatives])
options.set_index("strategy")[[*numbers, *gains]].round(4)

# %% [markdown]
# ## Held against theory
#
# The curves are the least excess over all weights for each number of synthetic samples; markers are
# the plans made from the pilots, placed on them. With a file of yours, the curve is the fitted law.
# Here the laws are known, and the parameters of the mixture law follow by theory, with nothing
# fitted. From the bad generator every purchase is worth next to nothing: the money is better kept,
# or spent on real samples.
#
# Theory averages over all samples; you own one. Weighed by validation, even a bad generator can
# pull the rule of your sample a little towards the truth: one number tuned among p parameters takes
# away a share of about 1/p of the excess, whatever the generator. With 20 features that is little;
# with two or three it may be worth a purchase, and the plan will say so. A generator whose classes
# are too close to each other shrinks the rule, which helps where rows are few for each parameter.


# %%
def known_law(generator) -> Mixture:
    """The mixture law of a generator that is known."""
    design = Design(N_REAL, generator, n_augmented=1000, oversample="none", weighting="group")
    return Mixture.of(mixture_parameters(setting, design))


if FILE is None:
    laws = {name: known_law(generator) for name, generator in generators.items()}
else:
    laws = {name: laws_of(fitted)[0] for name, fitted in fits.items()}

n_real = len(N_REAL) / sum(1 / count for count in N_REAL)  # what groups of several sizes count for
most = BUDGET / PRICES["price_synthetic"] / len(N_REAL)
sizes = np.geomspace(30, most, 10 if TINY else 40)
figure, axes = plt.subplots(figsize=(5.6, 3.2), layout="constrained")
for look, (name, law) in zip(SERIES[::3], laws.items(), strict=False):
    best = [float(law.excess(n_real, N, law.best_alpha(n_real, N))) for N in sizes]
    axes.plot(sizes, best, color=look.colour, linestyle=look.dashes, label=name)
    chosen = plans[name].chosen
    if chosen.n_augmented:
        at = float(law.excess(n_real, chosen.n_augmented, chosen.alpha))
        axes.plot(chosen.n_augmented, at, look.marker, color=look.colour, markersize=7)
alone = float(law.excess(n_real, 1.0, 0.0))
axes.axhline(alone, color="black", ls=":", label="real samples alone")
axes.set(xscale="log", xlabel="synthetic samples N of each group", ylabel="excess balanced risk")
axes.set_ylim(0, 1.15 * alone)
legend(figure, *axes.get_legend_handles_labels())
plt.show()

# %% [markdown]
# ## From a terminal, with your own table
#
# ```sh
# opal plan --pilot --n-real 300 --price-synthetic 0.01 --budget 240    # which points to run
# opal plan pilot.csv --price-real 2 --price-synthetic 0.01 --budget 240 --subsample 0.5
# ```
