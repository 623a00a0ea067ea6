"""Learning curves of texts that GPT-4, Llama-2 or humans add to a few labelled ones.

The default corpus is that of a grammar, of which all laws are known: a second set of cells trains
on its words, so that exact errors stand beside those on test texts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from opal.cli import run_study
from opal.runner import Cell

if TYPE_CHECKING:
    import pandas as pd

    from opal.checks import Check

PUBLISHED = ("hypo-l", "sentiment", "ten-dim", "crowdflower")


@dataclass(frozen=True)
class Config:
    """Which corpora, and how they are evaluated."""

    corpora: tuple[str, ...] = ("grammar",)
    """grammar, hypo-l, sentiment, ten-dim, crowdflower, hate-speech."""
    encoder: str = "tfidf"
    """tfidf, characters, minilm, multilingual-use, multilingual-minilm, multilingual-e5, or the
    folder or hub name of a transformer."""
    exact: bool = True
    """Evaluate the grammar by its words too, where errors are exact."""
    sources: tuple[str, ...] = ()
    """Who writes the added texts; all that a corpus has if none is named."""
    sizes: tuple[int, ...] = (30, 60, 120, 250, 500, 1000, 2000, 4000)
    """Numbers of added texts; those beyond a source are left out."""
    seeds: int = 5
    """Draws of base texts, each a cell."""
    folds: int = 3
    """Folds that choose the weight of added texts and the penalty."""
    share: float = 0.5
    """Share of the base texts that a seed draws."""
    most_test: int = 2000
    """Test texts at most."""


PRESETS = {
    "tiny": Config(sizes=(30, 60, 120, 250), seeds=2, most_test=400),
    "quick": Config(),
    "full": Config(corpora=PUBLISHED, encoder="minilm", seeds=10),
}


def cells(config: Config) -> list[Cell]:
    """A cell for each corpus, encoder and seed.

    Raises:
        ValueError: a number is too small, or a corpus is unknown or cannot be had.
        ImportError: the extra ``text`` is not installed and an encoder needs it.
    """
    from dataclasses import replace

    from opal.bridge.text.curves import evaluate
    from opal.bridge.text.curves.evaluate import CurveSettings
    from opal.bridge.text.encoders import WORDS, require_loadable
    from opal.bridge.text.published import DEFAULT
    from opal.validation import require_at_least

    require_at_least("seeds", config.seeds, 1)
    if not config.corpora:
        raise ValueError("--corpora must name at least one corpus; got none.")
    require_loadable(config.encoder)
    settings = CurveSettings(
        encoder=config.encoder,
        sources=config.sources,
        sizes=config.sizes,
        folds=config.folds,
        share=config.share,
        most_test=config.most_test,
    )
    found = evaluate.of_corpora(config.corpora, settings, config.seeds)
    if config.exact and DEFAULT in config.corpora and config.encoder != WORDS:
        words = replace(settings, encoder=WORDS)
        found += evaluate.of_corpora((DEFAULT,), words, config.seeds)
    return found


def checks(records: pd.DataFrame) -> list[Check]:
    """What must hold whatever the texts are, and exact errors where there are any."""
    from . import _text

    return _text.checks(records)


def comparison(records: pd.DataFrame) -> pd.DataFrame:
    """Floors, what a synthetic text is worth, and what came of the plan, for each corpus."""
    from opal.bridge.text.curves.plan import comparison

    return comparison(records)


if __name__ == "__main__":
    run_study("text")
