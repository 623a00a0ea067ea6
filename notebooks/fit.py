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
# # Fit your own curve
#
# You have trained a model on more and more data and written down its loss. What will ten times as
# much data bring, and how sure can you be? All you need is a table: a column of sizes, a column of
# values, and, if you have several runs of a size, a column that says which run it was. This
# notebook makes such a table with scikit-learn, fits it, and then looks whether what the fit said
# came true. The guide is `docs/fit.md`; the derivations are in `docs/theory.md`, section 11.

# %%
import os
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from opal.plotting import SERIES
from opal.scaling.compare import compare_laws
from opal.scaling.fit import Fit, fit
from opal.scaling.scaling_law import ScalingLaw

TINY = bool(os.environ.get("OPAL_TINY"))  # the tests set it: fewer runs
SIZES = (100, 200, 400, 800, 1600) if TINY else (100, 140, 200, 280, 400, 560, 800, 1130, 1600)
SEEDS = range(4 if TINY else 12)

# %% [markdown]
# ## A table of runs
#
# Ten features that matter, ten that do not, and some wrong labels. Every seed draws its own
# training rows; runs of a seed at several sizes share rows, and so noise, which the fit should
# know.

# %%
x, y = make_classification(
    80_000, n_informative=10, n_redundant=0, flip_y=0.1, class_sep=0.8, random_state=0
)
test = slice(40_000, None)


def run(n: int, seed: int) -> float:
    """Test loss of a logistic regression on n rows; more rows of a seed extend fewer."""
    rows = np.random.default_rng(seed).permutation(40_000)[:n]
    model = LogisticRegression(C=10.0, max_iter=300).fit(x[rows], y[rows])
    return float(log_loss(y[test], model.predict_proba(x[test])))


runs = pd.DataFrame([{"n": n, "seed": s, "loss": run(n, s)} for n in SIZES for s in SEEDS])
runs.groupby("n")["loss"].agg(["mean", "sem"]).round(4)

# %% [markdown]
# ## The fit
#
# The power law `E + A n^(−a)`: a floor `E` that no amount of data removes, and a part that falls.
# Intervals are those of a profile likelihood; `seed` says which rows share noise.

# %%
fitted = fit("power", runs, x={"n": "n"}, y="loss", seed="seed")
pd.DataFrame({name: e.to_dict() for name, e in fitted.params.items()}).T

# %%
fitted.warnings

# %% [markdown]
# What it says of ten times the largest size, and what ten times the largest size says:

# %%
grid = {"n": np.geomspace(SIZES[0], 10 * SIZES[-1], 12 if TINY else 30)}
low, high = fitted.predict_interval(grid)
truth = [run(10 * SIZES[-1], seed) for seed in (SEEDS if TINY else range(4))]

figure, axes = plt.subplots(figsize=(5.2, 3.4), layout="constrained")
means = runs.groupby("n")["loss"].agg(["mean", "sem"])
axes.errorbar(means.index, means["mean"], 2 * means["sem"], fmt="ko", capsize=2, label="runs")
axes.plot(grid["n"], fitted.predict(grid), color=SERIES[0].colour, label="fit")
axes.fill_between(grid["n"], low, high, color=SERIES[0].colour, alpha=0.2, label="95 % interval")
axes.plot(10 * SIZES[-1], np.mean(truth), "D", color=SERIES[3].colour, label="run afterwards")
axes.axhline(fitted.params["E"].estimate, color="gray", ls=":", label="floor E")
axes.set(xscale="log", xlabel="training rows n", ylabel="test log loss")
figure.legend(loc="outside right upper", frameon=False)
plt.show()

# %% [markdown]
# ## Which law?
#
# Another functional form fits nearly as well inside the table and says something else outside.
# Hold out the largest sizes and ask each law for them. Any function can be a law; here it is a
# straight line in log n, which has no floor.


# %%
def line_in_log(params: dict[str, float], x: dict[str, np.ndarray]) -> np.ndarray:
    """c − s log n."""
    return params["c"] - params["s"] * np.log(x["n"])


bounds = {"c": (-5.0, 5.0), "s": (0.0, 2.0)}
straight = ScalingLaw.of_function(
    line_in_log, ("c", "s"), bounds, variables=("n",), name="line in log n"
)
compare_laws(["power", straight], runs, x={"n": "n"}, y="loss", by="n", seed="seed", n_held_out=2)

# %% [markdown]
# ## When a fit should not be believed
#
# Three sizes close to each other do not tell a floor from a slow fall. The fit says so, and its
# intervals are as wide as they must be.

# %%
few = runs[runs["n"].between(SIZES[-3], SIZES[-1])].reset_index(drop=True)
doubtful = fit("power", few, x={"n": "n"}, y="loss", seed="seed")
print(*doubtful.warnings, sep="\n")
pd.DataFrame({name: e.to_dict() for name, e in doubtful.params.items()}).T

# %% [markdown]
# ## The same from a terminal
#
# `opal fit runs.csv --x n --y loss --seed seed --at 16000` prints the same table; `--json` prints
# it for programs. A fit is saved with its rows, in full precision:

# %%
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "fit.json"
    fitted.save(path)
    again = Fit.load(path)
pd.DataFrame({name: e.to_dict() for name, e in again.params.items()}).T
