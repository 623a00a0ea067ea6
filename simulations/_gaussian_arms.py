"""Arms of the study of quantised rows: classes, makers of rows, and how to train."""

from __future__ import annotations

from jaxtyping import Array, Key

from opal.draws import as_key, named
from opal.objective import Design, baselines
from opal.settings import GaussianMixture, SpuriousCorrelation
from opal.settings.setting import GaussianSetting
from opal.synthesis import GaussianFit, Oracle, Synthesizer
from opal.synthesis.transformer.gaussian_generator import GaussianGenerator
from simulations._gaussian_posterior import PosteriorPredictive
from simulations.generator_gaussian import BAYES, FIT, ORACLE, TRANSFORMER, Point

CORRELATION = 0.8  # of the two features of every class in the case of that name


def setting(case: str) -> GaussianSetting:
    """Two classes at distance 2, or two labels and two attributes."""
    if case == "spurious":
        return SpuriousCorrelation()
    off = CORRELATION if case == "correlated" else 0.0
    return GaussianMixture([[-1.0, 0.0], [1.0, 0.0]], [[1.0, off], [off, 1.0]], name=case)


def designs(at: Point, maker: GaussianGenerator) -> dict[str, Design]:
    """Small groups filled up by each maker of rows, and all groups augmented by two of them."""
    config, truth = at.config, setting(at.case)
    large, small = config.n_max, at.n
    counts = (large, small, small, large) if at.case == "spurious" else (large, small)
    every: dict[str, Synthesizer] = {
        FIT: GaussianFit(),
        TRANSFORMER: maker,
        BAYES: PosteriorPredictive(),
        ORACLE: Oracle(truth.law),
    }
    plain = baselines(counts)
    arms = {name: plain[name] for name in ("raw", "weighting")}
    arms |= {name: Design(counts, every[name], name=name) for name in config.makers}
    if config.n_augmented:
        more = {"n_augmented": config.n_augmented, "alpha": config.alpha}
        for name in (FIT, TRANSFORMER):
            arms[f"{name}, augmented"] = arms[name].with_(name=f"{name}, augmented", **more)
    return arms


def replicates(at: Point) -> Key[Array, ""]:
    """Key of the replicates, which all arms share and no other point does."""
    return named(as_key(at.config.seed), f"{at.case}, {at.n}")
