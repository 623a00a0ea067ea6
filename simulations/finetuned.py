"""Whether a fine-tuned encoder says of added texts what a rule on its frozen embeddings says.

Both classifiers train on the same rows with the same weights and are tested on the same texts: that
one gains by added texts and the other does not is a difference of paired differences.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from opal.cli import run_study
from opal.runner import Cell

if TYPE_CHECKING:
    import pandas as pd

    from opal.bridge.text.classifiers import FineTuning
    from opal.checks import Check

ARMS = ("raw", "synthetic", "synthetic_weighting")
"""What can be compared with weighting."""


@dataclass(frozen=True)
class Config:
    """Which corpora, and how both classifiers are trained."""

    corpora: tuple[str, ...] = ("grammar",)
    """grammar, hypo-l, sentiment, ten-dim, crowdflower, hate-speech."""
    model: str = "minilm"
    """minilm, multilingual-minilm, or the folder or hub name of a transformer; embedded, and
    fine-tuned."""
    sources: tuple[str, ...] = ()
    """Who writes the added texts; all that a corpus has if none is named."""
    sizes: tuple[int, ...] = (250, 1000)
    """Numbers of added texts; those beyond a source are left out."""
    arms: tuple[str, ...] = ("synthetic_weighting",)
    """raw, synthetic, synthetic_weighting; weighting is always there."""
    seeds: int = 3
    """Draws of base texts, each a cell of each corpus and size."""
    folds: int = 3
    """Folds that choose the penalty of the linear rule."""
    share: float = 0.5
    """Share of the base texts that a seed draws."""
    most_test: int = 1000
    """Test texts at most."""
    epochs: int = 4
    """Passes of fine-tuning over its texts, at most."""
    most_steps: int = 100
    """Steps of fine-tuning at most, 16 texts each."""
    learning_rate: float = 2e-4
    """Largest one of fine-tuning."""


PRESETS = {
    "tiny": Config(
        sources=("faithful",), sizes=(40,), seeds=1, folds=2, most_test=60, most_steps=5
    ),
    "quick": Config(
        sources=("biased", "human"), sizes=(250,), seeds=2, most_test=400, most_steps=50
    ),
    "full": Config(corpora=("sentiment", "hypo-l")),
}


@dataclass(frozen=True)
class CorpusSeed:
    """One seed of one corpus, with one number of added texts."""

    corpus: str
    seed: int
    size: int
    model: str
    sources: tuple[str, ...]
    arms: tuple[str, ...]
    folds: int
    share: float
    most_test: int
    epochs: int
    most_steps: int
    learning_rate: float


def cells(config: Config) -> list[Cell]:
    """A cell for each size, seed and corpus, in this order: a run that is stopped is balanced.

    The largest size comes first. A cell trains its own reference, so that it stands alone.

    Raises:
        ValueError: a number is too small, or a name is unknown or cannot be had.
        ImportError: the extra ``text`` is not installed.
    """
    from dataclasses import asdict
    from itertools import product

    from opal import names
    from opal.bridge.text import embeddings, encoders, published
    from opal.bridge.text.curves import evaluate
    from opal.validation import require_at_least

    require_at_least("seeds", config.seeds, 1)
    require_at_least("most_steps", config.most_steps, 1)
    if not config.corpora or not config.arms:
        raise ValueError("--corpora and --arms must name at least one each; got none.")
    names.check("arm", config.arms, ARMS)
    if not isinstance(encoders.encoder(config.model), embeddings.Frozen):
        raise ValueError(
            f"--model must be a transformer, which can be fine-tuned; got {config.model!r}."
        )
    encoders.require_loadable(config.model)
    evaluate.CurveSettings(
        sizes=config.sizes, folds=config.folds, share=config.share, most_test=config.most_test
    )
    for name in config.corpora:
        if (why := published.unavailable(name)) is not None:
            raise ValueError(f"corpus {name!r} cannot be had here: {why}")
    shared = asdict(config)
    del shared["corpora"], shared["seeds"], shared["sizes"]
    _tuning(config)  # refuses bad numbers
    turns = product(sorted(set(config.sizes), reverse=True), range(config.seeds), config.corpora)
    return [
        Cell(case_cell, CorpusSeed(name, seed, size, **shared), f"{name} seed {seed} + {size}")
        for size, seed, name in turns
    ]


def case_cell(config: CorpusSeed) -> pd.DataFrame:
    """Records of one seed of one corpus, with one number of added texts."""
    from opal import records
    from opal.bridge.text import encoders, published
    from opal.bridge.text.curves import design

    from . import _finetuned

    corpus = published.load_corpus(config.corpus)
    data = design.split_data(
        corpus,
        config.seed,
        chosen=config.sources,
        share=config.share,
        most_test=config.most_test,
    )
    asked = _finetuned.ArmSettings(config.arms, config.size, config.folds)
    encoder = encoders.encoder(config.model)
    frame = _finetuned.compared(data, config.seed, encoder, _tuning(config), asked)
    named = {"study": "finetuned", "setting": config.corpus, "replicate": config.seed}
    return records.validate(frame.assign(**named, share=config.share))


def _tuning(config: Config | CorpusSeed) -> FineTuning:
    """How the encoder is fine-tuned; the texts are short."""
    from opal.bridge.text.classifiers import FineTuning

    return FineTuning(
        model=config.model,
        epochs=config.epochs,
        learning_rate=config.learning_rate,
        max_tokens=64,
        most_steps=config.most_steps,
        by_length=True,
        bfloat16=True,
    )


def checks(records: pd.DataFrame) -> list[Check]:
    """What must show where both classifiers are trained; what texts are worth is a finding."""
    from . import _finetuned

    return _finetuned.checks(records)


def comparison(records: pd.DataFrame) -> pd.DataFrame:
    """Both classifiers' changes by added texts, their difference, and what it says of a corpus."""
    from . import _finetuned

    return _finetuned.comparison(records)


if __name__ == "__main__":
    run_study("finetuned")
