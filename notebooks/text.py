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
# # What is a synthetic text worth?
#
# A few labelled texts are at hand, and a language model writes more of them. This notebook goes
# once through what `opal text` computes: learning curves against the number of added texts, the
# weight that added texts deserve, what they are worth in human ones, and an audit that says why.
#
# The texts are sentences of a small grammar, so that the truth is known: the error of every rule
# on the grammar's words is an exact sum over all sentences. The guide for texts of your own is
# `docs/text.md`.

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
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from opal.bridge import text
from opal.plotting import PAPER, SERIES, legend

plt.switch_backend(plt.get_backend())  # the first figure is a picture, too
plt.style.use([PAPER, {"figure.dpi": 144}])  # the paper's style, larger for a screen
pd.set_option("display.max_colwidth", None)  # texts whole
TINY = bool(os.environ.get("OPAL_TINY"))  # the tests set it: two seeds, three sizes
SEEDS = 2 if TINY else 6
SIZES = (60, 250, 500) if TINY else (30, 60, 120, 250, 500, 1000, 2000)

# %% [markdown]
# ## The corpus
#
# Every text praises or complains, of a hotel or of a tavern. In the human texts complaint goes with
# hotels and praise with taverns: a *spurious* attribute, which helps as long as the mix stays as
# it is. The test texts have all four groups alike. Two writers made 4,000 texts each, every one
# from a base text: one is faithful, the other mixes up classes, prefers a few words, and brings the
# attribute back when it was asked for the rare pairs.

# %%
corpus = text.load_corpus("grammar")
counts = {
    name: frame.groupby(["label", "attribute"]).size()
    for name, frame in (("base", corpus.base), ("test", corpus.test), *corpus.synthetic.items())
}
pd.DataFrame(counts)

# %%
made = corpus.synthetic["biased"].iloc[0]
seed_text = corpus.base.set_index("id")["text"][made["seeds"][0]]
print(f"seed:  {seed_text}\nmade:  {made['text']}\nas:    {made['label']}, {made['attribute']}")

# %% [markdown]
# Texts of your own are a table in a file: CSV, JSON, Parquet, a data set of the Hugging Face hub.
# Which column is the text and which the class is guessed where there is no doubt. The human texts
# of a table, and those that a model made of them, become a corpus like the one above.

# %%
with TemporaryDirectory() as folder:
    mine, samples = Path(folder, "mine.csv"), Path(folder, "samples.jsonl")
    corpus.base.rename(columns={"label": "class"})[["text", "class"]].to_csv(mine, index=False)
    text.write_texts(corpus.synthetic["faithful"][:300], samples)
    human, synthetic = text.read_texts(mine), text.read_texts(samples)
own = text.corpus_of(pd.concat([human, synthetic], ignore_index=True))
print(f"{len(own.base)} base texts, {len(own.test)} to test on, of classes {own.labels}")
human.head(3)

# %% [markdown]
# ## Lineage
#
# A text that was made from a held-out text knows something of it. So it is held out as well: it is
# neither trained on, nor may it tell how well a rule does. Below, 48 of the 240 base texts are held
# out; as many texts of the writer go with them.

# %%
held_out = corpus.base["id"].iloc[:48]
lost = text.leaks(corpus.synthetic["faithful"], held_out)
print(f"{lost.sum()} of {len(lost)} texts of the faithful writer are held out with them")

# %% [markdown]
# ## Learning curves
#
# Each seed draws half of the base texts: these are what you have. To them are added N texts of a
# writer, or N fresh human ones, groups taking turns. All arms of a seed train on the same base
# texts and are tested on the same test texts, so their differences are paired. Rules see which
# words occur, so the exact error of each is known.

# %%
found = text.evaluate_texts(corpus, seeds=SEEDS, encoder="words", sizes=SIZES, strength=10.0)
found.plot()

# %% [markdown]
# Weighting the groups costs nothing, and is what added texts have to beat (black line). The
# faithful writer's texts go on helping; the biased writer's soon meet a floor. Points are what you
# would see on 2,000 test texts, lines what is true of the same rules. All points share their test
# texts, so they lie off their lines together; the error bars hold that, differences between arms
# little of it.
#
# With ever more texts of a writer, and no others, a rule tends to that writer's own best rule. Its
# error is the floor that no number of texts gets below. The best rule there is has no writer:

# %%
table = found.table()


def chosen(source="data", **values):
    """Means over seeds with these values, in the order of their sizes."""
    rows = table[table["source"] == source]
    for name, value in values.items():
        rows = rows[rows[name] == value]
    return rows.sort_values("added")


ends = pd.concat([chosen("theory", arm=arm, metric="balanced_error") for arm in ("best", "limit")])
ends.set_index("synthesizer")["value"].round(3).to_frame("balanced error with endless texts")

# %% [markdown]
# ## The weight of added texts
#
# The objective gives added texts the weight α, and real ones 1 − α. The pilot tries a grid of
# weights with an eighth and a half of a writer's largest size. The curves below are of the half,
# exact and on test texts.

# %%
records = found.records
pilot = records[(records["arm"] == "pilot") & (records["metric"] == "balanced_risk")]
free = chosen("theory", metric="balanced_risk", arm="weighting")["value"].iloc[0]
figure, axes = plt.subplots(figsize=(5.2, 3.2), layout="constrained")
for writer, look in zip(("faithful", "biased"), SERIES[::2], strict=False):
    rows = pilot[pilot["synthesizer"] == writer]
    rows = rows[rows["added"] == rows["added"].max()]
    mean = rows.groupby(["source", "alpha"])["value"].mean()
    named = {"color": look.colour, "label": f"{writer} writer, N = {rows['added'].max():,}"}
    axes.plot(mean["data"].index, mean["data"], look.marker, **named)
    alpha, risk = np.r_[0, mean["theory"].index], np.r_[free, mean["theory"]]
    axes.plot(alpha, risk, color=look.colour, linestyle=look.dashes)
axes.plot(0, free, "ks", label="weighting, nothing added")
axes.set(xlabel="weight α of the added texts", ylabel="log loss, groups alike (nats)")
legend(figure, *axes.get_legend_handles_labels(), ncols=2)
plt.show()

# %% [markdown]
# In practice α is chosen by cross-validation on the base texts, with folds by lineage. It is
# written as what one added text weighs in real ones, ρ: `α = ρN/(n + ρN)`.

# %%
ratios = records[(records["arm"] == "synthetic_alpha") & (records["metric"] == "balanced_error")]
ratios.groupby(["synthesizer", "replicate"])["rho"].first().unstack("replicate")

# %% [markdown]
# ## What they are worth in human texts
#
# N texts are worth as many human ones as lead to the same error, read off the measured curves. The
# interval holds every number of human texts whose difference to the N texts is within chance; `inf`
# is more than there are. Because rules are known exactly here, the same number can be read off the
# exact curves.


# %%
def read_off(writer):
    """Human texts with the same exact error as the most of a writer's, between the sizes tried."""
    kind = {"metric": "balanced_error", "arm": "synthetic_weighting"}
    human = chosen("theory", synthesizer="human", **kind)
    alone = chosen("theory", metric="balanced_error", arm="weighting")["value"].iloc[0]
    error = chosen("theory", synthesizer=writer, **kind)["value"].iloc[-1]
    sizes, errors = np.r_[0, human["added"]], np.minimum.accumulate(np.r_[alone, human["value"]])
    return float(np.interp(-error, -errors, sizes))


worth = found.worth().set_index("source").drop(index="human")
worth["exact"] = [read_off(writer) for writer in worth.index]
worth[["added", "worth", "worth_low", "worth_high", "exact"]].round(0)

# %% [markdown]
# Where both curves are nearly flat, a small difference of errors is a large number of texts: the
# interval is wide, and its end is often open. All seeds share the test texts, so more seeds do not
# narrow it much; more test texts do.
#
# The same table says what a pilot on half of the texts would advise, and what came of it:

# %%
columns = ["advice", "wanted", "wanted_alpha", "promised", "measured", "measured_error", "came"]
worth.reindex(columns=columns).round(3)

# %% [markdown]
# ## Why: the audit
#
# An audit compares a writer's texts with what real texts do among themselves. A finding has to be
# beyond chance, over all comparisons, and large enough to matter. `to_html()` is a page with the
# worst texts side by side.

# %%
audited = corpus
if TINY:
    few = {"biased": corpus.synthetic["biased"][:200]}
    audited = replace(corpus, human=corpus.human[:300], test=corpus.test[:300], synthetic=few)
report = text.audit_texts(audited)
report.table()

# %% [markdown]
# ## From a terminal, with your own texts
#
# ```sh
# opal text generate mine.csv --per-class 300 --model … --price-input … --price-output … --budget 2
# opal text audit samples.jsonl --train mine.csv --test held_out.csv
# opal text evaluate --file mine.csv --synthetic samples.jsonl --test held_out.csv
# ```
