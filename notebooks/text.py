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

# %%
import os

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from opal.bridge.text import encoders, published
from opal.bridge.text.audit.report import audit as audited
from opal.bridge.text.audit.report import tables
from opal.bridge.text.corpus import leaks
from opal.bridge.text.curves import evaluate, exchange
from opal.plotting import SERIES

TINY = bool(os.environ.get("OPAL_TINY"))  # the tests set it: two seeds, three sizes
SEEDS = range(2 if TINY else 6)
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
corpus = published.load_corpus("grammar")
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
# ## Lineage
#
# A text that was made from a held-out text knows something of it. So it is held out as well: it is
# neither trained on, nor may it tell how well a rule does. Below, 48 of the 240 base texts are held
# out; as many texts of the writer go with them.

# %%
held_out = corpus.base["id"].iloc[:48]
lost = leaks(corpus.synthetic["faithful"], held_out)
print(f"{lost.sum()} of {len(lost)} texts of the faithful writer are held out with them")

# %% [markdown]
# ## Learning curves
#
# Each seed draws half of the base texts: these are what you have. To them are added N texts of a
# writer, or N fresh human ones, groups taking turns. All arms of a seed train on the same base
# texts and are tested on the same test texts, so their differences are paired. Rules see which
# words occur, so the exact error of each is known.

# %%
settings = evaluate.Settings(encoder="words", sizes=SIZES, strength=10.0)
records = pd.concat([evaluate.evaluate(corpus, seed, settings) for seed in SEEDS])
table = evaluate.summary(records)

NAMES = {"human": "human texts", "faithful": "faithful writer", "biased": "biased writer"}
LOOKS = dict(zip(NAMES, SERIES[::2], strict=False))


def chosen(frame, source="data", **values):
    """Rows with these values, in the order of their sizes."""
    for name, value in values.items():
        frame = frame[frame[name] == value]
    return frame[frame["source"] == source].sort_values("added")


def curve(axes, metric, arm):
    """Test texts (points, 95 % intervals) and exact values (lines) against N."""
    for index, (writer, look) in enumerate(LOOKS.items()):
        rows = chosen(table, metric=metric, arm=arm, synthesizer=writer)
        exact = chosen(table, "theory", metric=metric, arm=arm, synthesizer=writer)
        style = {"color": look.colour, "label": NAMES[writer]}
        at = rows["added"] * 1.06 ** (index - 1)
        axes.errorbar(at, rows["value"], 1.96 * rows["std_error"], fmt=look.marker, **style)
        axes.plot(exact["added"], exact["value"], color=look.colour, linestyle=look.dashes)
    free = chosen(table, "theory", metric=metric, arm="weighting")["value"].iloc[0]
    axes.axhline(free, color="black", linewidth=0.8, label="weighting, nothing added")
    axes.set(xscale="log", xlabel="added texts N")
    axes.set_xticks(SIZES[::2], labels=[f"{n:,}" for n in SIZES[::2]])
    axes.minorticks_off()


figure, axes = plt.subplots(1, 2, figsize=(7.4, 3.4), layout="constrained", sharey=True)
for panel, metric in zip(axes, ("balanced_error", "worst_error"), strict=True):
    curve(panel, metric, "synthetic_weighting")
    panel.set_title(metric.replace("_", " "))
best = chosen(records, "theory", metric="balanced_error", arm="best")["value"].iloc[0]
axes[0].axhline(best, color="black", linestyle=":", linewidth=0.8, label="best rule there is")
axes[0].set_ylabel("error")
handles, labels = axes[0].get_legend_handles_labels()
figure.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False)
plt.show()

# %% [markdown]
# Weighting the groups costs nothing, and is what added texts have to beat. The faithful writer's
# texts go on helping; the biased writer's soon meet a floor. Points are what you would see on 2,000
# test texts, lines what is true of the same rules. All points share their test texts, so they lie
# off their lines together; the error bars hold that, differences between arms little of it.
#
# With ever more texts of a writer, and no others, a rule tends to that writer's own best rule. Its
# error is the floor that no number of texts gets below:

# %%
limits = records[(records["arm"] == "limit") & (records["metric"] == "balanced_error")]
limits.groupby("synthesizer")["value"].mean().round(3).to_frame("balanced error with endless texts")

# %% [markdown]
# ## The weight of added texts
#
# The objective gives added texts the weight α, and real ones 1 − α. The pilot tries a grid of
# weights with an eighth and a half of a writer's largest size. The curves below are of the half,
# exact and on test texts.

# %%
pilot = records[(records["arm"] == "pilot") & (records["metric"] == "balanced_risk")]
pilot = evaluate.summary(pilot.assign(weight=pilot["alpha"]), (*evaluate.KEYS, "weight"))
figure, axes = plt.subplots(figsize=(5.2, 3.2), layout="constrained")
free = chosen(table, "theory", metric="balanced_risk", arm="weighting")["value"].iloc[0]
for writer in ("faithful", "biased"):
    look, own = LOOKS[writer], pilot[pilot["synthesizer"] == writer]
    own = own[own["added"] == own["added"].max()].sort_values("alpha")
    rows, exact = (own[own["source"] == kind] for kind in ("data", "theory"))
    style = {"color": look.colour, "label": f"{NAMES[writer]}, N = {rows['added'].max():,}"}
    axes.errorbar(rows["alpha"], rows["value"], 1.96 * rows["std_error"], fmt=look.marker, **style)
    alpha, risk = np.r_[0, exact["alpha"]], np.r_[free, exact["value"]]
    axes.plot(alpha, risk, color=look.colour, linestyle=look.dashes)
axes.plot(0, free, "ks", label="weighting, nothing added")
axes.set(xlabel="weight α of the added texts", ylabel="log loss, groups alike (nats)")
figure.legend(loc="outside upper center", ncols=2, frameon=False)
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
# interval holds every number of human texts whose difference to the N texts is within chance.
# Because rules are known exactly here, the same number can be read off the exact curves.


# %%
def read_off(writer, size):
    """Human texts with the same exact error, between the sizes that were tried."""
    kind = {"metric": "balanced_error", "arm": "synthetic_weighting"}
    human = chosen(table, "theory", synthesizer="human", **kind)
    mine = chosen(table, "theory", synthesizer=writer, **kind)
    alone = chosen(table, "theory", metric="balanced_error", arm="weighting")["value"].iloc[0]
    error = mine.set_index("added")["value"][size]
    sizes, errors = np.r_[0, human["added"]], np.minimum.accumulate(np.r_[alone, human["value"]])
    return float(np.interp(-error, -errors, sizes))


def said(number):
    """A number of human texts; ``∞`` if more are needed than there are."""
    return f"{number:,.0f}" if np.isfinite(number) else "∞"


rows = []
for writer in ("faithful",) if TINY else ("faithful", "biased"):
    pair = exchange.curve(records, "human"), exchange.curve(records, writer)
    noise = exchange.errors_over_tests(records, writer)
    for each in exchange.worth(*pair, (250, SIZES[-1]), test_error=noise):
        worth = f"{said(each.human)} [{said(each.low)}, {said(each.high)}]"
        exact = round(read_off(writer, each.added))
        rows.append({"writer": writer, "N": each.added, "worth": worth, "exact": exact})
pd.DataFrame(rows)

# %% [markdown]
# Where both curves are nearly flat, a small difference of errors is a large number of texts: the
# interval is wide, and its end is often open. All seeds share the test texts, so more seeds do not
# narrow it much; more test texts do.
#
# ## Why: the audit
#
# An audit compares a writer's texts with what real texts do among themselves. A finding has to be
# beyond chance, over all comparisons, and large enough to matter.

# %%
real, made = tables(corpus)
if TINY:
    real = {name: frame[:300] for name, frame in real.items()}
    made = {"biased": made["biased"][:200]}
found = audited(real, made, encoder=encoders.TfIdf())
pd.set_option("display.max_colwidth", None)
pd.DataFrame(
    [
        {"writer": writer, "class": each["class"], "kind": each["kind"], "finding": each["said"]}
        for writer, report in found.items()
        for each in report["verdicts"]["findings"]
    ]
)

# %% [markdown]
# ## From a terminal, with your own texts
#
# ```sh
# opal text generate mine.csv --per-class 300 --model … --price-input … --price-output … --budget 2
# opal text audit samples.jsonl --train mine.csv --test held_out.csv
# opal text evaluate --file mine.csv --synthetic samples.jsonl --test held_out.csv
# ```
