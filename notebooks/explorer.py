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
import threading
import time
from functools import lru_cache
from io import BytesIO

import jax
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg

from opal import Bias, Design, GaussianLaw, GaussianMixture, Oracle
from opal.objective import RowCounts, RowWeights
from opal.plotting import PAPER, legend
from opal.theory.asymptotics import Asymptotics, asymptotics
from opal.theory.optimal import WeightCurve, weight_curve

plt.style.use([PAPER, {"figure.dpi": 144}])  # the paper's style, larger for a screen
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
# position of every slider, and `vmap` gives the whole curve in α at once. What α is chosen changes
# nothing of it.


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


@lru_cache(maxsize=256)
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
# ## The picture
#
# Left: excess against α. The solid line is the full expansion, the shaded parts are what it
# consists of: bias and drift (the drift falls with more rows, the bias does not), and variance.
# The dashed line is the small-bias parabola, the star its minimum α\*, and the upright line the
# chosen α. Right: the parts at the chosen α, on the same axis. Where the dashed line is far off or
# out of the picture, the bias is not small. A move shifts what is drawn and makes nothing anew; the
# axis ends at round numbers, and stays as it is while α moves.


# %%
def round_up(value: float) -> float:
    """The next of few round numbers, so that an axis seldom changes."""
    power = 10.0 ** np.floor(np.log10(value))
    return power * min(step for step in (1, 1.5, 2, 3, 5, 7, 10) if step * power >= value)


class Picture:
    """The excess against α, and its parts at the chosen α, drawn once and then moved."""

    def __init__(self, *position: float) -> None:
        self.figure, (self.left, self.right) = plt.subplots(
            1, 2, figsize=(6.4, 3.6), width_ratios=(3, 1), sharey=True
        )
        self.figure.subplots_adjust(left=0.13, right=0.98, bottom=0.23, top=0.91, wspace=0.12)
        left, right, nothing = self.left, self.right, np.zeros_like(ALPHAS)
        self.systematic = left.fill_between(ALPHAS, 0, nothing, color="0.55")
        self.variance = left.fill_between(ALPHAS, 0, nothing, color="0.85")
        (self.excess,) = left.plot(ALPHAS, nothing, "k-")
        (self.parabola,) = left.plot(ALPHAS, nothing, "k--", linewidth=0.9)
        (self.best,) = left.plot([0], [0], "k*", markersize=9, clip_on=False, linestyle="none")
        self.chosen = left.axvline(0, color="k", linewidth=0.8, linestyle=":")
        left.set(
            xlim=(0, 1), xlabel="weight α of the augmented rows", ylabel="excess balanced risk"
        )
        colours = ["0.55", "0.7", "0.85"]
        self.bars = right.bar(["bias", "drift", "variance"], [0] * 3, color=colours)
        right.axhline(0, color="k", linewidth=0.8)
        named = {
            "bias and drift": self.systematic,
            "variance": self.variance,
            "excess (theory)": self.excess,
            "small-bias parabola": self.parabola,
            "α*": self.best,
            "chosen α": self.chosen,
        }
        legend(self.figure, list(named.values()), list(named), ncols=3)
        self.moving = (
            *(self.systematic, self.variance, self.excess, self.parabola, self.best, self.chosen),
            *(*self.bars, left.title, right.title),
        )
        for artist in self.moving:
            artist.set_animated(True)
        self.canvas, self.still, self.limits = None, None, None
        self.move(*position)

    def move(self, alpha: float, n_augmented: int, shift: float, imbalance: float) -> None:
        """Show another position."""
        design, found, small_bias = theory_at(n_augmented, shift, imbalance)
        systematic = found.bias + found.drift_risk
        self.systematic.set_data(ALPHAS, 0, systematic)
        self.variance.set_data(ALPHAS, systematic, found.excess)
        self.excess.set_ydata(found.excess)
        self.parabola.set_ydata(small_bias.excess(ALPHAS))
        best = small_bias.best_alpha
        self.best.set_data([best], [np.interp(best, ALPHAS, found.excess)])
        self.chosen.set_xdata([alpha, alpha])
        parts = (found.bias, found.drift_risk, found.variance)
        for bar, part in zip(self.bars, parts, strict=True):
            bar.set_height(np.interp(alpha, ALPHAS, part))
        top = round_up(1.05 * np.max(found.excess))
        self.left.set_ylim(-0.1 * top if np.min(found.drift_risk) < -1e-3 * top else 0, top)
        counts = " and ".join(map(str, design.counts))
        self.left.set_title(f"{counts} rows, N = {n_augmented}, {shift:g} SD, α* = {best:.2f}")
        self.right.set_title(f"α = {alpha:.2f}")

    def png(self) -> bytes:
        """The picture as it is now."""
        if self.canvas is None:
            self.canvas = FigureCanvasAgg(self.figure)  # a figure that pyplot has closed has none
        canvas, limits = self.canvas, self.left.get_ylim()
        if self.still is None or limits != self.limits:  # axes, labels and legend
            canvas.draw()
            self.still, self.limits = canvas.copy_from_bbox(self.figure.bbox), limits
        canvas.restore_region(self.still)
        for artist in self.moving:
            self.figure.draw_artist(artist)
        content = BytesIO()
        fast = {"compress_level": 1}
        plt.imsave(content, np.asarray(canvas.buffer_rgba()), format="png", pil_kwargs=fast)
        return content.getvalue()


started = time.perf_counter()
picture = Picture(0.5, 1000, 0.1, 20.0)
print(f"compiled and drawn in {time.perf_counter() - started:.1f} s")
plt.show()

# %% [markdown]
# ## How long a redraw takes
#
# What a step of a slider costs, from its position to an image. For the bias that is theory on the
# whole grid of α, the drawing, and now and then another axis; where only α moves, theory is known.

# %%
drags = {
    "bias": [(0.5, 2000, float(shift), 30.0) for shift in np.linspace(0, 0.8, 3 if TINY else 30)],
    "α": [(float(alpha), 2000, 0.8, 30.0) for alpha in np.linspace(0, 1, 3 if TINY else 30)],
}
for name, positions in drags.items():
    seconds = []
    for position in positions:
        before = time.perf_counter()
        picture.move(*position)
        picture.png()
        seconds.append(time.perf_counter() - before)
    print(f"{name}: {1e3 * np.median(seconds):.0f} ms (median of {len(seconds)} redraws)")

# %% [markdown]
# ## A few positions

# %%
for position in ((0.2, 200, 0.0, 50.0), (0.5, 1000, 0.4, 10.0), (0.9, 5000, 0.1, 1.0)):
    Picture(*position)
    plt.show()

# %% [markdown]
# ## Sliders
#
# With a live kernel and ipywidgets the sliders appear below. A thread draws where the sliders
# stand when it is free: positions that were passed over meanwhile are never drawn, so that dragging
# leaves no queue behind.

# %%
try:
    import ipywidgets as widgets
except ImportError:
    widgets = None


def explorer():
    """Sliders over a picture that follows them."""
    sliders = (
        widgets.FloatSlider(0.5, min=0, max=1, step=0.05, description="α"),
        widgets.IntSlider(1000, min=50, max=10_000, step=50, description="N"),
        widgets.FloatSlider(0.1, min=0, max=0.8, step=0.05, description="bias (SD)"),
        widgets.FloatLogSlider(
            20, base=10, min=0, max=2, step=0.1, description="imbalance", readout_format=".0f"
        ),
    )
    picture = Picture(*(slider.value for slider in sliders))
    plt.close(picture.figure)  # shown below as an image, and not by itself
    image = widgets.Image(value=picture.png(), format="png", layout={"max_width": "100%"})
    moved = threading.Event()

    def follow() -> None:
        """Draw the latest position, whenever there is one that was not drawn."""
        while moved.wait():
            moved.clear()
            picture.move(*(slider.value for slider in sliders))
            image.value = picture.png()

    for slider in sliders:
        slider.observe(lambda change: moved.set(), "value")
    threading.Thread(target=follow, daemon=True).start()
    return widgets.VBox([*sliders, image])


explorer() if widgets else None
