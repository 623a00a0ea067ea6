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
# is `docs/plan.md`; the derivations are in `docs/theory.md`, section 12.

# %%
import os

import jax
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

from opal import Bias, Design, GaussianMixture, Oracle
from opal.plotting import SERIES
from opal.scaling.exchange import Mixture
from opal.scaling.pilot import first_points
from opal.scaling.pilot_fit import fit_pilot
from opal.scaling.plan import Plan, plan
from opal.theory.exchange import mixture_parameters

TINY = bool(os.environ.get("OPAL_TINY"))  # the tests set it: fewer seeds
N_REAL, BUDGET = 300, 240.0
PRICES = {"price_real": 2.0, "price_synthetic": 0.01}
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
# notes the loss on validation samples.

# %%
with jax.enable_x64(True):
    real = setting.sample((N_REAL, N_REAL), key=1)
    validation = setting.sample((20_000, 20_000), key=2)
n_pool = int(0.1 * BUDGET / PRICES["price_synthetic"] / 2)  # of each group
points = first_points(N_REAL, n_pool)


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


def run_pilot(generator):
    """The pilot's table."""
    with jax.enable_x64(True):
        pool = generator.law.sample((n_pool, n_pool), key=jax.random.key(3))
    return pd.DataFrame(
        [
            {**point._asdict(), "seed": seed, "value": run_point(point, pool, rng)}
            for seed in SEEDS
            for point, rng in ((p, np.random.default_rng(seed)) for p in points)
        ]
    )


pilots = {name: run_pilot(generator) for name, generator in generators.items()}
pilots["slightly biased"].groupby(["n", "N", "alpha"])["value"].mean().unstack("alpha").round(4)

# %% [markdown]
# ## The plan
#
# `subsample=0.5`: the seeds drew halves of one pool, so they agree too well, and the intervals
# allow for it.


# %%
def ask(pilot) -> Plan:
    """A plan from a pilot's table."""
    fitted = fit_pilot(pilot, seed="seed")
    return plan(fitted, n_real=(N_REAL, N_REAL), budget=BUDGET, subsample=0.5, **PRICES)


plans = {name: ask(pilot) for name, pilot in pilots.items()}
columns = ["recommendation", "n_augmented", "alpha", "n_equiv", "expected_gain", "cost", "decided"]
pd.DataFrame({name: advice.to_dict() for name, advice in plans.items()}).loc[columns]

# %% [markdown]
# The other strategies, for the generator that is worth buying from:

# %%
pd.DataFrame([option.to_dict() for option in plans["slightly biased"].alternatives])

# %% [markdown]
# ## Held against theory
#
# With the laws known, the parameters of the mixture law follow by theory, with nothing fitted. The
# curves are the least excess over all weights for each number of synthetic samples; circles are the
# plans made from the pilots, placed on what theory says of them. From the bad generator every
# purchase is worth next to nothing: the money is better kept, or spent on real samples.
#
# Theory averages over all samples; you own one. Weighed by validation, even a bad generator can
# pull the rule of your sample a little towards the truth: one number tuned among p parameters takes
# away a share of about 1/p of the excess, whatever the generator. With 20 features that is little;
# with two or three it may be worth a purchase, and the plan will say so. A generator whose classes
# are too close to each other shrinks the rule, which helps where rows are few for each parameter.

# %%
figure, axes = plt.subplots(figsize=(5.6, 3.4), layout="constrained")
sizes = np.geomspace(30, BUDGET / PRICES["price_synthetic"] / 2, 10 if TINY else 40)
for look, (name, generator) in zip(SERIES[::3], generators.items(), strict=False):
    design = Design(
        (N_REAL, N_REAL), generator, n_augmented=1000, oversample="none", weighting="group"
    )
    law = Mixture.of(mixture_parameters(setting, design))
    best = [float(law.excess(N_REAL, N, law.best_alpha(N_REAL, N))) for N in sizes]
    axes.plot(sizes, best, color=look.colour, linestyle=look.dashes, label=name)
    chosen = plans[name].chosen
    if chosen.n_augmented:
        at = float(law.excess(N_REAL, chosen.n_augmented, chosen.alpha))
        axes.plot(chosen.n_augmented, at, look.marker, color=look.colour, markersize=8)
alone = float(law.excess(N_REAL, 1.0, 0.0))
axes.axhline(alone, color="black", ls=":", label="real samples alone")
axes.set(xscale="log", xlabel="synthetic samples N of each group", ylabel="excess balanced risk")
axes.set_ylim(0, 1.15 * alone)
figure.legend(loc="outside right upper", frameon=False)
plt.show()

# %% [markdown]
# ## From a terminal, with your own table
#
# ```sh
# opal plan --pilot --n-real 300 --price-synthetic 0.01 --budget 240    # which points to run
# opal plan pilot.csv --price-real 2 --price-synthetic 0.01 --budget 240 --subsample 0.5
# ```
