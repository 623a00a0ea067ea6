"""The transformer of quantised rows, trained on what the study says."""

from __future__ import annotations

from opal.synthesis.transformer.cached import trained
from opal.synthesis.transformer.gaussian_generator import GaussianGenerator
from opal.synthesis.transformer.model import ModelConfig
from opal.synthesis.transformer.train import TrainConfig
from simulations.generator_gaussian import DIM, TRANSFORMER, Config, stream


def generator(config: Config) -> GaussianGenerator:
    """The transformer, trained unless it was before."""
    source = stream(config)
    context = DIM * config.most_seeds + DIM  # the beginning, and all of the next row but its end
    sizes = (config.width, config.depth)
    model = ModelConfig(source.vocab, context, *sizes, positions=config.positions)
    slice_ = next(k for k in range(min(32, config.batch), 0, -1) if config.batch % k == 0)
    warm_up = min(TrainConfig.warm_up, config.steps // 2)
    training = TrainConfig(config.steps, config.batch, slice_, warm_up=warm_up)
    decoder = trained(model, training, source).decoder
    return GaussianGenerator(
        decoder, DIM, source.quantiser, n_context=config.most_seeds, name=TRANSFORMER
    )
