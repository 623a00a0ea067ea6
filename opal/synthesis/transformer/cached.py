"""Generators that were trained before are not trained again."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import numpy as np

from opal import __version__
from opal.synthesis.transformer.config import ModelConfig, TrainConfig
from opal.synthesis.transformer.streams import Stream
from opal.synthesis.transformer.train import TrainedDecoder, identity, train

VARIABLE = "OPAL_GENERATORS"


def folder_of(model: ModelConfig, config: TrainConfig, stream: Stream) -> Path:
    """Where the generator of these configurations and this version of opal is kept.

    The environment variable ``OPAL_GENERATORS`` names another folder than pooch's cache.
    """
    import pooch

    fields = {**identity(model, config, stream), "opal": __version__}
    digest = hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()
    home = os.environ.get(VARIABLE)
    return (Path(home) if home else Path(pooch.os_cache("opal")) / "generators") / digest[:20]


def trained(
    model: ModelConfig,
    config: TrainConfig,
    stream: Stream,
    *,
    progress: bool = False,
    reference: np.ndarray | None = None,
) -> TrainedDecoder:
    """The trained generator: read if it was trained before, else trained (or its training ended).

    Processes that ask for the same generator at once wait for the first. ``progress`` and
    ``reference`` are those of :func:`opal.synthesis.transformer.train.train`.

    Raises:
        ValueError: as for :func:`opal.synthesis.transformer.train.train`.
        OSError: the cache cannot be written.
    """
    folder = folder_of(model, config, stream)
    return train(model, config, stream, folder=folder, progress=progress, reference=reference)
