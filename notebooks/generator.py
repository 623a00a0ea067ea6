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
# # A transformer as a generator
#
# A language model that is shown a few rows of a group and asked for more has to guess the law that
# they came from. Here the whole situation is small enough to be known: a decoder is trained in a
# minute, rows are tokens of a finite alphabet, and everything that is said of the generator is an
# exact sum. At the end a classifier is trained on its rows, and its risk is predicted beforehand.
# Derivations: `docs/theory.md`, section 13. Guide: `docs/generator.md`.

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

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.patches import Ellipse

from opal import Design, GaussianFit, GaussianMixture, Oracle, baselines
from opal.draws import as_key, named, replicate_keys
from opal.plotting import ARMS, PAPER, SERIES, legend
from opal.settings.tokens import Alphabet, Prior, TokenSetting
from opal.simulation import replicate_metrics
from opal.synthesis.transformer.cached import trained
from opal.synthesis.transformer.gaussian_generator import GaussianGenerator
from opal.synthesis.transformer.gaussian_stream import GaussianStream
from opal.synthesis.transformer.generator import TokenGenerator
from opal.synthesis.transformer.model import ModelConfig
from opal.synthesis.transformer.quantise import Quantiser
from opal.synthesis.transformer.sample import law_of, laws_along
from opal.synthesis.transformer.streams import TokenStream
from opal.synthesis.transformer.train import TrainConfig
from opal.theory.end_to_end import excess_of_seeds
from opal.theory.generator import add_half, bayes, kl, tightest_bound, total_variation

plt.style.use([PAPER, {"figure.dpi": 144}])  # the paper's style, larger for a screen
TINY = bool(os.environ.get("OPAL_TINY"))  # the tests set it: a small decoder, few subjects
SHAPE = {"context": 9, "width": 16, "depth": 1} if TINY else {"context": 65, "width": 64}
STEPS = {"steps": 40, "batch": 32, "slice": 8, "warm_up": 20} if TINY else {"steps": 700}
N_SEEDS = [0, 1, 4, 8] if TINY else [0, 1, 2, 4, 8, 16, 32, 64]
SHOWN = N_SEEDS[-2:] if TINY else [4, 16, 64]  # where few curves are enough
N_SUBJECTS = 32 if TINY else 512
N_DRAWS = 100 if TINY else 500  # of a posterior
KEY = 5

# %% [markdown]
# ## An alphabet and its subjects
#
# Each of `d` tokens has an embedding with `r` numbers. A group is a *subject* `t`: it draws token
# `x` with probability proportional to `exp(⟨u_x, t⟩/η)`. The generator knows the alphabet and what
# subjects are like in general (standard normal); of the subject at hand it sees only the seeds.

# %%
alphabet = Alphabet.random(8, 2, key=0) if TINY else Alphabet.random(32, 4, key=0)
d, r = alphabet.n_tokens, alphabet.rank
stream = TokenStream(alphabet)

# %% [markdown]
# ## A small decoder
#
# It reads `[BOS, x1, x2, …]` and is trained to say the next token, on subjects that are drawn anew
# for every sequence. Nobody tells it that there are subjects. A trained decoder is kept in a cache
# folder (`OPAL_GENERATORS` names another), so that the second time this cell takes no time; the bar
# shows its KL on subjects that it does not train on.

# %%
decoder = trained(
    ModelConfig(vocab=d + 1, **SHAPE), TrainConfig(**STEPS), stream, progress=not TINY
).decoder
f"{sum(leaf.size for leaf in jax.tree.leaves(decoder)):,} parameters"

# %% [markdown]
# ## What it makes of the seeds
#
# From here on all subjects are new to it. `laws_along` gives its law after 0, 1, 2, … seeds of each
# in one pass. Beside it are the *posterior predictive* law of Bayes, who knows how subjects are
# drawn, and counts (plus one half), which know nothing but the seeds.


# %%
def held_out(stream):
    """True laws of new subjects [S, d], and tokens of each [S, n]."""
    with jax.enable_x64(True):
        length = decoder.config.context
        draw = jax.jit(lambda key: stream.batch(0, N_SUBJECTS, length, key=key))
        batch = draw(named(as_key(KEY), "held out"))
        laws = np.asarray(batch.laws[:, 0], float)
    return laws / laws.sum(axis=1, keepdims=True), np.asarray(batch.inputs[:, 1:])


def counts_of(tokens):
    """How often each token is among the first n, for each n of N_SEEDS [N, S, d]."""
    running = np.cumsum(np.eye(d)[tokens], axis=1)
    running = np.concatenate([np.zeros_like(running[:, :1]), running], axis=1)
    return running[:, N_SEEDS].swapaxes(0, 1)


def made_of(tokens):
    """The decoder's law after each n of N_SEEDS [N, S, d]."""
    with jax.enable_x64(True):
        laws = np.asarray(laws_along(decoder, tokens))
    return laws[:, N_SEEDS].swapaxes(0, 1)


def believer(counts, prior):
    """The posterior predictive law of one who believes in a prior [N, S, d]."""
    return np.asarray(bayes(alphabet, counts, prior, key=KEY, n_draws=N_DRAWS).law)


truth, tokens = held_out(stream)
counts = counts_of(tokens)
with jax.enable_x64(True):
    half = np.asarray(add_half(counts))
laws = {"transformer": made_of(tokens), "Bayes": believer(counts, Prior()), "counts": half}
LOOKS = dict(zip(laws, (SERIES[0], ARMS["raw"], SERIES[2]), strict=True))

# %%
subject = 3  # one of them
order = np.argsort(-truth[subject])
after = [0, *SHOWN]
places = [N_SEEDS.index(n) for n in after]
top = 1.1 * max(truth[subject].max(), *(law[places, subject].max() for law in laws.values()))
figure, panels = plt.subplots(len(after), 1, figsize=(6, 1.4 * len(after)), sharex=True)
for panel, n, at in zip(panels, after, places, strict=True):
    panel.bar(range(d), truth[subject][order], color="0.85", label="truth")
    for name, style in (("counts", "^"), ("Bayes", "x"), ("transformer", "o")):
        law = laws[name][at, subject][order]
        look = {"color": LOOKS[name].colour, "markerfacecolor": "none"}
        panel.plot(law, style, label=name, **look)
    panel.set(title=f"after {n} seeds" if n else "without seeds", ylabel="probability")
    panel.set_ylim(0, top)
panels[-1].set_xlabel("tokens, the most probable of this subject first")
legend(figure, *panels[0].get_legend_handles_labels())
figure.set_layout_engine("constrained")
plt.show()

# %% [markdown]
# Look for the circles on the crosses: the decoder found out by itself what Bayes computes. Without
# seeds both say what tokens are like on average over subjects. After four seeds both are close to
# the truth even for tokens that were not seen, since tokens with similar embeddings go together.
# Counts have to see every token for themselves.
#
# ## How fast it learns from seeds
#
# The distance of a law from the truth is its KL divergence, here a finite sum. With many seeds that
# of Bayes is `r/2n`: the dimension of a subject counts, not the size of the alphabet. Counts pay
# `(d − 1)/2n`. The published bound, `c₁/√d + c₂ log d/√n`, gets the least constants that hold up to
# eight seeds.


# %%
def divergences(truth, laws):
    """KL of each subject after each number of seeds [N, S]."""
    with jax.enable_x64(True):
        return np.asarray(kl(truth[None], laws))


def mean(values):
    """Mean over subjects, and two standard errors."""
    return values.mean(axis=-1), 2 * values.std(axis=-1, ddof=1) / np.sqrt(values.shape[-1])


def seeds_axis(axes):
    """Seeds on a scale on which none have a place."""
    axes.set_xscale("symlog", linthresh=1, linscale=0.5)
    axes.set_xticks(N_SEEDS, labels=map(str, N_SEEDS))
    axes.minorticks_off()
    axes.set(xlabel="seeds n in the context", xlim=(-0.2, 1.3 * N_SEEDS[-1]))


found = {name: divergences(truth, law) for name, law in laws.items()}
level, error = mean(found["transformer"])
n = np.array(N_SEEDS)
few = (n > 0) & (n <= 8)
bound = tightest_bound(np.full(few.sum(), d), n[few], (level + error)[few])

figure, axes = plt.subplots(figsize=(5.6, 3.4), layout="constrained")
for name in ("Bayes", "counts"):
    look = LOOKS[name]
    axes.plot(n, mean(found[name])[0], linestyle=look.dashes, color=look.colour, label=name)
fine = np.geomspace(1, n[-1], 40)
axes.plot(fine, r / (2 * fine), "--", color="0.5", label="r/2n")
axes.plot(fine, bound.at(d, fine), "-.", color=SERIES[3].colour, label="published bound")
look = LOOKS["transformer"]
axes.errorbar(n, level, error, fmt="o", color=look.colour, label="transformer")
seeds_axis(axes)
axes.set(yscale="log", ylabel="KL from the truth (nats)")
legend(figure, *axes.get_legend_handles_labels())
plt.show()

ratio = pd.DataFrame({"n": n, "transformer / Bayes": level / mean(found["Bayes"])[0]})
ratio.set_index("n").T.round(3)

# %% [markdown]
# The points follow the line of Bayes, which no generator can beat on average, and fall towards
# `r/2n`. What is missing at the right end is training: `opal figures generator_capacity` says how
# much of it buys how many seeds. The bound holds, and falls only half as fast.
#
# ## When its beliefs are wrong
#
# Now subjects come from elsewhere: each coordinate has mean 1, where the training had 0. The
# generator cannot know. Beside it: Bayes with the same wrong belief, and Bayes with the right one.

# %%
elsewhere = Prior(mean=1.0)
truth_there, tokens_there = held_out(TokenStream(alphabet, elsewhere))
counts_there = counts_of(tokens_there)
there = {
    "transformer": made_of(tokens_there),
    "Bayes, the training's prior": believer(counts_there, Prior()),
    "Bayes, the right prior": believer(counts_there, elsewhere),
}
there = {name: mean(divergences(truth_there, law)) for name, law in there.items()}

figure, axes = plt.subplots(figsize=(5.6, 3.4), layout="constrained")
for name, dashes in (("Bayes, the training's prior", "-"), ("Bayes, the right prior", ":")):
    axes.plot(n, there[name][0], color="black", linestyle=dashes, label=name)
(level_there, error_there), look = there["transformer"], LOOKS["transformer"]
axes.errorbar(n, level_there, error_there, fmt="o", color=look.colour)
axes.plot([], [], "o", color=look.colour, label="transformer")
seeds_axis(axes)
axes.set(yscale="log", ylabel="KL from the truth (nats)")
legend(figure, *axes.get_legend_handles_labels())
plt.show()

# %% [markdown]
# The points are near the solid line: the decoder errs as one who believes in its training does (and
# a little more after many seeds, on subjects of a kind that it seldom met). The distance of the two
# lines is the price of the wrong belief. It is largest without seeds, and the seeds overrule it: it
# falls like `1/n²`, faster than the rest. `opal run generator_prior` does this for other priors,
# with theory for the price.
#
# ## Temperature and top-p
#
# A sampler can make a law sharper (τ < 1) or flatter (τ > 1), or cut off its rare tokens (top-p).
# Since the law stays a finite table, its distance from the truth does too. KL is infinite for a law
# that leaves a token out, so top-p is judged by total variation.

# %%
bent = jax.jit(law_of)
chosen = [N_SEEDS.index(m) for m in SHOWN]
with jax.enable_x64(True):
    scores = jnp.log(jnp.asarray(laws["transformer"][chosen]))
    temperatures = [0.7, 1.0, 1.3] if TINY else [0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4]
    heated = {t: np.asarray(bent(scores, t, 1.0)) for t in temperatures}
    keep = [0.9, 1.0] if TINY else [0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0]
    true = np.broadcast_to(truth, scores.shape)
    cut = np.array([total_variation(true, bent(scores, 1.0, p)).mean(axis=1) for p in keep])
hot = np.array([divergences(truth, law).mean(axis=1) for law in heated.values()])

figure, (left, right) = plt.subplots(1, 2, figsize=(7, 3.2), layout="constrained")
for m, look, by_heat, by_cut in zip(SHOWN, SERIES, hot.T, cut.T, strict=False):
    style = {"color": look.colour, "marker": look.marker, "linestyle": look.dashes}
    left.plot(temperatures, by_heat, label=f"{m} seeds", **style)
    right.plot(keep, by_cut, **style)
left.set(yscale="log", xlabel="temperature τ", ylabel="KL from the truth (nats)")
right.set(xlabel="mass kept, top-p", ylabel="total variation from the truth", ylim=(0, None))
legend(figure, *left.get_legend_handles_labels(), title="in the context")
plt.show()

# %% [markdown]
# Each curve on the left is lowest near τ = 1: a generator that was trained to be right is best left
# alone, and with many seeds a wrong temperature is most of its error. Cutting, on the right, costs
# with any number of seeds. Beware of judging rows by how well the best rule does on them: sharper
# rows look better there (theory, 13.6), and train worse rules.
# `opal run generator_temperature` has the risks of classifiers.
#
# ## Does it copy?
#
# How probable is it that the next row is a token among the seeds? On a finite alphabet that happens
# to fresh rows of the truth too; what counts is the excess over them.

# %%
seen = counts[chosen] > 0
arms = {
    "truth": true,
    **{name: law[chosen] for name, law in laws.items()},
    "transformer, τ = 0.7": heated[0.7],
    "transformer, τ = 1.3": heated[1.3],
}
copied = pd.DataFrame({name: (law * seen).sum(axis=2).mean(axis=1) for name, law in arms.items()})
copied.assign(seeds=SHOWN).set_index("seeds").T.round(3)

# %% [markdown]
# On average Bayes copies as often as the truth, exactly, and the decoder does too: reading seeds is
# not repeating them. What copies too much is a temperature below one; counts copy too little.
# `opal run generator_copies` has standard errors, and rows that a stream repeats.
#
# ## The loop: seeds, synthetic rows, a classifier
#
# Two subjects are two classes. The large one has 400 rows, the small one `n`, all of them seeds:
# the generator reads them and fills the class up to 400. A logistic rule is trained on everything.
# All of this is one `Design`, as for any other synthesizer.
#
# Theory predicts the excess risk of *each replicate* from its seeds: given them, the generator's
# law is a known table, and all other rows are independent draws of known laws. Nothing is fitted,
# and no classifier is trained. What it may not forget is that the seeds are in the training set
# too. Forgetting that is tried as well: each replicate gets the generator of another one's seeds.

# %%
classes = TokenSetting.drawn(alphabet, key=3)
N_LARGE = 40 if TINY else 400
sizes = SHOWN[-1:] if TINY else [16, 32, 64]
law, key = classes.law, named(as_key(KEY), "classes")


@jax.jit
def small_class(keys):
    """Tokens of the small class in each replicate: its first rows, however many it has."""
    most = decoder.config.context - 1

    def one(key):
        return law.tokens(law.sample((most, most), key=named(key, "real")).x)[most:]

    return jax.vmap(one)(keys)


with jax.enable_x64(True):
    rows = np.asarray(small_class(replicate_keys(key, jnp.arange(N_SUBJECTS))))
of_rows, laws_of_rows = counts_of(rows), made_of(rows)


def table_of(small):
    """Tables of both classes in each replicate, with those of the small one given [R, 2, d, 2]."""
    tables = np.zeros((len(small), *law.table.shape))
    tables[:, 1, :, 1] = small
    return tables


def excess_of(design):
    """Simulated excess risk of each replicate [R]."""
    found = replicate_metrics(classes, design, key=key, n_replicates=N_SUBJECTS, calibration=False)
    return found["excess_balanced_risk"]


risks, replicates = [], {}
for m in sizes:
    maker = TokenGenerator(decoder, alphabet, n_context=m)
    design, at = Design((N_LARGE, m), maker), N_SEEDS.index(m)
    seeds, made = table_of(of_rows[at]), table_of(laws_of_rows[at])
    made[:, 0] = law.table[0]  # no synthetic row is of the large class
    predicted = excess_of_seeds(law, design, seeds, made).total
    others = excess_of_seeds(law, design, seeds, np.roll(made, 1, axis=0)).total
    simulated = excess_of(design)
    replicates[m] = simulated, predicted, others
    arms = {"transformer": simulated, "predicted": predicted, "predicted, other seeds": others}
    if not TINY:
        arms["weighting"] = excess_of(baselines(design.counts)["weighting"])
    for name, values in arms.items():
        middle, bar = mean(values)
        risks.append({"n": m, "arm": name, "excess": middle, "bar": bar})
risks = pd.DataFrame(risks)
risks.pivot(index="n", columns="arm", values="excess").round(4)

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(7.4, 3.4), layout="constrained")
for name, dashes in (("predicted", "-"), ("predicted, other seeds", ":")):
    part = risks[risks["arm"] == name]
    left.plot(part["n"], part["excess"], color=SERIES[0].colour, linestyle=dashes, label=name)
for name, look in (("transformer", SERIES[0]), ("weighting", SERIES[3])):
    part = risks[risks["arm"] == name]
    style = {"fmt": look.marker, "color": look.colour}
    left.errorbar(part["n"], part["excess"], part["bar"], label=name, **style)
left.set(xscale="log", yscale="log", xlabel="rows of the small class, all seeds")
left.set_xticks(sizes, labels=map(str, sizes))
left.set_yticks([0.01, 0.02, 0.05], labels=["0.01", "0.02", "0.05"])
left.minorticks_off()
left.set_ylabel("excess balanced risk")
left.legend()
simulated, predicted, others = replicates[sizes[0]]
right.plot(others, simulated, "x", color="0.7", markersize=3, label="other seeds")
right.plot(predicted, simulated, "o", color=SERIES[0].colour, markersize=2, label="its seeds")
ends = [predicted.min(), predicted.max()]
right.plot(ends, ends, "k-", linewidth=0.8)
right.set(xscale="log", yscale="log", xlabel=f"predicted excess of a replicate, n = {sizes[0]}")
right.set_ylabel("simulated excess of it")
right.legend(loc="lower right")
plt.show()

# %% [markdown]
# Left: the points of the transformer are on the solid line. It beats weighting, which has the same
# seeds and no prior knowledge, by most where seeds are few. Right: replicate by replicate, the
# prediction from its own seeds knows which classifier will be bad; that from another's does not.
# `opal figures end_to_end` has other subjects, weights and numbers of rows, with checks.
#
# ## Numbers instead of tokens
#
# `GaussianGenerator` writes each feature as the token of its bin. This one learnt from Gaussian
# groups with unknown mean and covariance 1. Positions are *learned*: symbols take turns (first
# feature, second feature), which rotary positions tell badly.

# %%
quantiser = Quantiser(4 if TINY else 16, scale=2.5, reach=1.7)
gaussian_stream = GaussianStream(2, quantiser, degrees=None)
most = 4 if TINY else 32  # rows in the context
size = {"width": 16, "depth": 1} if TINY else {"width": 32}
steps = {"steps": 40, "batch": 32, "warm_up": 20} if TINY else {"steps": 600, "batch": 64}
writer = trained(
    ModelConfig(gaussian_stream.vocab, 2 * most + 2, positions="learned", **size),
    TrainConfig(**steps),
    gaussian_stream,
    progress=not TINY,
).decoder
maker = GaussianGenerator(writer, 2, quantiser, n_context=most)

mixture = GaussianMixture([[-1.0, 0.0], [1.0, 0.0]], name="as in training")
with jax.enable_x64(True):
    sample = mixture.sample((4, 4), key=KEY)
    tables = np.asarray(
        replace(maker, n_context=4).fit(sample, mixture.groups, key=as_key(KEY)).table
    )
edges, few = quantiser.edges(), np.asarray(sample.x[sample.rows(1)])
density = tables[1].reshape(quantiser.n_bins, -1) / np.outer(np.diff(edges), np.diff(edges))

figure, axes = plt.subplots(figsize=(4.6, 3.6), layout="constrained")
mesh = axes.pcolormesh(edges, edges, density.T, cmap="Blues")
figure.colorbar(mesh, shrink=0.7, label="density of the generator")
axes.plot(*few.T, "o", color=SERIES[3].colour, markeredgecolor="white", label="4 seeds")
values, vectors = np.linalg.eigh(np.cov(few.T))
turn = np.degrees(np.arctan2(*vectors[::-1, 0]))
for centre, (wide, high), angle, style, name in (
    ([1.0, 0.0], (1.0, 1.0), 0.0, "-", "truth"),
    (few.mean(axis=0), np.sqrt(np.maximum(values, 0)), turn, "--", "Gaussian fit"),
):
    oval = Ellipse(centre, 4 * wide, 4 * high, angle=angle, fill=False, linestyle=style, label=name)
    axes.add_patch(oval)
axes.set(xlabel="first feature", ylabel="second feature", aspect="equal")
axes.set_xticks([-4, -2, 0, 2, 4])
legend(figure, *axes.get_legend_handles_labels(), ncols=3)
plt.show()

# %% [markdown]
# The generator's rows are about as wide as the truth (ovals are two standard deviations), since it
# knows how wide such groups are. A Gaussian that is fitted to four seeds has to guess. Now in the
# loop: once with the covariance that the generator knows, and once with correlated features, where
# it believes something wrong and cannot see it.

# %%
n_small, n_replicates = (4, 32) if TINY else (16, 512)
counts_now = (N_LARGE, n_small)
cases = {"as in training": np.eye(2), "correlated": np.array([[1.0, 0.8], [0.8, 1.0]])}
table = {}
for name, covariance in cases.items():
    mixture = GaussianMixture([[-1.0, 0.0], [1.0, 0.0]], covariance, name=name)
    makers = {"transformer": maker, "Gaussian fit": GaussianFit()}
    if not TINY:
        makers["oracle"] = Oracle(mixture.law)
    arms = {arm: Design(counts_now, one) for arm, one in makers.items()}
    values = {
        arm: replicate_metrics(
            mixture, design, key=KEY, n_replicates=n_replicates, calibration=False
        )["excess_balanced_risk"]
        for arm, design in arms.items()
    }
    table[name] = {arm: "{:.4f} ± {:.4f}".format(*mean(value)) for arm, value in values.items()} | {
        "fit minus transformer": "{:+.4f} ± {:.4f}".format(
            *mean(values["Gaussian fit"] - values["transformer"])
        )
    }
pd.DataFrame(table)

# %% [markdown]
# What is known beforehand replaces seeds where it is right, and is a bias that no seed removes
# where it is wrong. The oracle draws from the truth, and bounds what any generator can do.
# `opal run generator_gaussian` has more seeds and the best that can be done with them.
#
# ## What a seed is worth
#
# How many seeds would counts need to be as close to the truth as the transformer is with `n`? That
# number over `n` is the worth of one seed, thanks to what was learnt from other subjects.

# %%
grid = np.unique(np.geomspace(1, 2048, 40).round().astype(int))
rng = np.random.default_rng(KEY)
many = np.stack([rng.multinomial(size, truth) for size in grid]).astype(float)
with jax.enable_x64(True):
    of_counts = np.asarray(kl(truth[None], add_half(many))).mean(axis=1)
falling = np.minimum.accumulate(of_counts)[::-1]
equal = np.exp(np.interp(np.log(level), np.log(falling), np.log(grid[::-1]), right=np.nan))
worth = pd.DataFrame({"seeds n": n, "KL": level, "seeds that counts need": equal})
worth = worth[worth["seeds n"] > 0].assign(multiplier=lambda t: t.iloc[:, 2] / t["seeds n"])
worth.set_index("seeds n").round(3)

# %% [markdown]
# One seed in the hands of one who knows subjects is worth many to one who does not. The worth falls
# towards `(d − 1)/r` as knowledge of where subjects come from wears off and only that of the
# alphabet remains, and further where the decoder's own error shows.
#
# ## Where next
#
# - `docs/generator.md`: your own training, streams, samplers, and what each study found.
# - `opal figures generator_kl generator_capacity end_to_end`: these pictures with checks.
# - `notebooks/tour.py`: what the rows of any generator do to the risk.
