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
# You have trained a model on more and more data and written down its error. What will ten times as
# much data bring, and how sure can you be? All you need is a table: a column of sizes, a column of
# values, and, if you have several runs of a size, a column that says which run it was. This
# notebook makes such a table with scikit-learn, fits it, and then looks whether what the fit said
# came true. The guide is `docs/fit.md`; the derivations are in `docs/theory.md`, section 11.

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
# With a file, name its columns here: that of the law's `n`, that of the values (smaller is
# better), and that of the seeds. A table of means has `"std_error": "se"` in place of seeds; one of
# neither has neither.

# %%
COLUMNS = {"x": {"n": "n"}, "y": "error", "seed": "seed"}

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from opal.plotting import PAPER, SERIES, legend
from opal.reading import read_table
from opal.scaling.compare import compare_laws
from opal.scaling.fit import Fit, fit
from opal.scaling.scaling_law import ScalingLaw
from opal.scaling.table import check_columns, check_numbers

plt.style.use([PAPER, {"figure.dpi": 144}])  # the paper's style, larger for a screen
TINY = bool(os.environ.get("OPAL_TINY"))  # the tests set it: fewer runs
SIZES = (100, 200, 400, 800, 1600) if TINY else (100, 140, 200, 280, 400, 560, 800, 1130, 1600)
SEEDS = range(4 if TINY else 12)

# %% [markdown]
# ## A table of runs
#
# Without a file of yours: ten features that matter, ten that do not, and some wrong labels. Every
# seed draws its own training rows; runs of a seed at several sizes share rows, and so noise, which
# the fit should know. The error is the log loss on 40,000 test rows.


# %%
def run(n: int, seed: int) -> float:
    """Test loss of a logistic regression on n rows; more rows of a seed extend fewer."""
    rows = np.random.default_rng(seed).permutation(40_000)[:n]
    model = LogisticRegression(C=10.0, max_iter=300).fit(x[rows], y[rows])
    return float(log_loss(y[40_000:], model.predict_proba(x[40_000:])))


with tempfile.TemporaryDirectory() as folder:
    path = FILE
    if path is None:
        x, y = make_classification(
            80_000, n_informative=10, n_redundant=0, flip_y=0.1, class_sep=0.8, random_state=0
        )
        path = Path(folder) / "runs.csv"
        made = [{"n": n, "seed": s, "error": run(n, s)} for n in SIZES for s in SEEDS]
        pd.DataFrame(made).to_csv(path, index=False)
    runs = read_table(path)

size, value = COLUMNS["x"]["n"], COLUMNS["y"]
check_columns(runs, [size, value], remedy=" Name yours in COLUMNS.")
check_numbers(runs, value)
means = runs.groupby(size)[value].agg(["mean", "sem"])
if "std_error" in COLUMNS:
    means["sem"] = runs.groupby(size)[COLUMNS["std_error"]].mean()
sizes = means.index.to_numpy()
means.round(4)

# %% [markdown]
# ## The fit
#
# The power law `E + A n^(−a)`: a floor `E` that no amount of data removes, and a part that falls.
# Intervals are those of a profile likelihood; the seeds say which rows share noise. Warnings name
# what the table cannot tell.


# %%
def parameters(fitted: Fit) -> pd.DataFrame:
    """Estimates, and the ends of their 95 % intervals, to four digits."""
    rows = {name: (e.estimate, e.low, e.high) for name, e in fitted.params.items()}
    columns = ["estimate", "low", "high"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).map("{:.4g}".format)


fitted = fit("power", runs, **COLUMNS)
print(*(fitted.warnings or ["no warnings"]), sep="\n")
parameters(fitted)

# %% [markdown]
# What it says of ten times the largest size and, where the table was made here, what ten times the
# largest size says:

# %%
largest = 10 * sizes[-1]
grid = {"n": np.geomspace(sizes[0], largest, 12 if TINY else 30)}
low, high = fitted.predict_interval(grid)

figure, axes = plt.subplots(figsize=(5.2, 3.2), layout="constrained")
axes.errorbar(sizes, means["mean"], 2 * means["sem"], fmt="ko", capsize=2, label="runs")
axes.plot(grid["n"], fitted.predict(grid), color=SERIES[0].colour, label="fit")
axes.fill_between(grid["n"], low, high, color=SERIES[0].colour, alpha=0.2, label="95 % interval")
if FILE is None:
    truth = [run(largest, seed) for seed in (SEEDS if TINY else range(4))]
    axes.plot(largest, np.mean(truth), "D", color=SERIES[3].colour, label="run afterwards")
axes.axhline(fitted.params["E"].estimate, color="gray", ls=":", label="floor E")
axes.set(xscale="log", xlabel=f"training rows {size}", ylabel=value)
legend(figure, *axes.get_legend_handles_labels())
plt.show()

# %%
at_largest = {"predicted": fitted.predict(grid)[-1], "low": low[-1], "high": high[-1]}
pd.DataFrame(at_largest, index=pd.Index([largest], name=size)).round(4)

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


top = 10 * float(np.abs(runs[value]).max())
straight = ScalingLaw.of_function(
    line_in_log, ("c", "s"), {"c": (-top, top), "s": (0.0, top)}, variables=("n",), name="line"
)
n_held_out = 2 if len(sizes) > 4 else 1
compared = compare_laws(["power", straight], runs, by=size, n_held_out=n_held_out, **COLUMNS)
columns = ["law", "n_params", "error", "relative_error", "within", "gap", "gap_noise", "tied"]
compared[columns].round(4)

# %% [markdown]
# `error` is the root mean square of what a law misses at the sizes held out. `gap` is its mean
# square less that of the best; laws are tied where it is within `gap_noise`.
#
# ## When a fit should not be believed
#
# Three sizes close to each other do not tell a floor from a slow fall. The fit says so, and its
# intervals are as wide as they must be.

# %%
few = runs[runs[size] >= sizes[-3]].reset_index(drop=True)
doubtful = fit("power", few, **COLUMNS)
print(*doubtful.warnings, sep="\n")
parameters(doubtful)

# %% [markdown]
# ## The same from a terminal
#
# `opal fit runs.csv --x n --y error --seed seed --at 16000` prints the same table; `--json` prints
# it for programs. A fit is saved with its rows, in full precision:

# %%
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "fit.json"
    fitted.save(path)
    again = Fit.load(path)
parameters(again)
