"""A corpus made of a table of texts of one's own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from opal.bridge.text import texts
from opal.bridge.text.corpora import TextCorpus, measured
from opal.draws import as_key, named, on_host

TESTED = 1 / 3
"""Share of the human texts of each class that are tested on where no test texts are given."""


def corpus(
    frame: pd.DataFrame, test: pd.DataFrame | None = None, *, name: str = "own", key: int = 0
) -> TextCorpus:
    """Base, human, test and synthetic texts of a table.

    Base texts are those that a synthetic text was made from, and those of classes without synthetic
    texts; where there are none, half of the human texts that are not tested on. All other human
    texts can be added.

    Args:
        frame: texts of humans, and of generators if there are any.
        test: human texts to test on; a third of the table's, at random, if None.
        name: of the corpus.
        key: chooses test and base texts.

    Raises:
        ValueError: too few human texts, or a test text of a class that the table lacks.
    """
    human = frame[frame["source"] == texts.HUMAN]
    rest = frame[frame["source"] != texts.HUMAN]
    rng = on_host(named(as_key(key), "own texts"))
    if test is None:
        chosen = _share(human, TESTED, rng)
        test, human = human[chosen], human[~chosen]
    seeds = {seed for made in rest["seeds"] for seed in made}
    is_base = human["id"].isin(seeds).to_numpy()
    if is_base.any():
        is_base = is_base | ~human["label"].isin(human["label"][is_base]).to_numpy()
    else:
        is_base = _share(human, 0.5, rng)
    base, more = human[is_base], human[~is_base]
    _require(base, test)
    synthetic = {
        str(source): each.reset_index(drop=True) for source, each in rest.groupby("source")
    }
    base, more, test = (each.reset_index(drop=True) for each in (base, more, test))
    labels = texts.labels(base, more, test, *synthetic.values())
    found = TextCorpus(name, labels, base, more, test, synthetic)
    unknown = tuple(
        f"{source}: no text says what it was made from, so that nothing can be held out with it"
        for source, each in synthetic.items()
        if not any(each["seeds"])
    )
    return replace(found, notes=(*unknown, *measured(found)))


def _share(frame: pd.DataFrame, share: float, rng: np.random.Generator) -> np.ndarray:
    """A share of each class's different texts, with all their repetitions [n]."""
    chosen: set[str] = set()
    for _, ids in frame.drop_duplicates("id").groupby("label")["id"]:
        chosen.update(rng.permutation(ids.to_numpy())[: round(share * len(ids))])
    return frame["id"].isin(chosen).to_numpy()


def _require(base: pd.DataFrame, test: pd.DataFrame) -> None:
    """Every class that is tested needs base texts to be trained on, and be folded."""
    counts = base.drop_duplicates("id")["label"].value_counts()
    for label in texts.labels(base, test):
        if counts.get(label, 0) < 2:
            raise ValueError(
                f"every class needs two different base texts, which synthetic texts were made "
                f"from; {label!r} has {counts.get(label, 0)}. Give more human texts of it, or "
                "leave it out."
            )
