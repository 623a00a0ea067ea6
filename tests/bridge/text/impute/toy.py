"""A class of few texts, two others, and texts that were made of the first."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from opal.bridge.text.corpus import text_table
from opal.bridge.text.impute.evaluate import Trial
from opal.bridge.text.impute.task import Task

GOOD, BAD, REST = ("fine", "lovely", "kind"), ("awful", "rude", "cold"), ("menu", "room", "street")


def said(rng: np.random.Generator, words: tuple[str, ...], n: int, tag: str) -> list[str]:
    """Different texts, of words of a class and words of all, some of them crossed over."""
    pools = {"own": words, "all": (*GOOD, *BAD, *REST)}
    drawn = [[*rng.choice(pools["own"], 2), *rng.choice(pools["all"], 3)] for _ in range(n)]
    return [f"{' '.join(each)} {tag}{i}" for i, each in enumerate(drawn)]


def written(
    rng: np.random.Generator, originals: pd.DataFrame, n: int, n_seeds: int
) -> pd.DataFrame:
    """Texts made from originals: a seed's words in another order, with a mark of the seed."""
    rows = [rng.choice(len(originals), n_seeds) for _ in range(n)]
    lines = [
        f"{' '.join(rng.permutation(originals['text'].iloc[row[0]].split()))} w{i}"
        for i, row in enumerate(rows)
    ]
    ids = originals["id"].to_numpy()
    seeds = [tuple(dict.fromkeys(ids[row])) for row in rows]
    return text_table(lines, ["bad"] * n, source="model", seeds=seeds)


def task() -> Task:
    """25 originals of the class bad, 35 spare, 70 texts of two others; 300 written ones."""
    rng = np.random.default_rng(0)
    bad = text_table(said(rng, BAD, 60, "b"), ["bad"] * 60)
    others = text_table(
        said(rng, GOOD, 40, "g") + said(rng, REST, 30, "r"), ["good"] * 40 + ["rest"] * 30
    )
    originals = bad[:25]
    return Task(
        "toy/bad",
        "bad",
        originals,
        bad[25:],
        others,
        {"model": written(rng, originals, 300, 1)},
        fixed={},
    )


TRIAL = Trial((10, 20), fill_to=40, n_folds=5, n_repeats=2)


def narrow(folder: Path) -> str:
    """A BERT of one narrow layer in place of RoBERTa-large, in a folder."""
    transformers = pytest.importorskip("transformers", reason="needs the extra text")
    from tests.bridge.llm import tiny

    words = tiny.tokenizer(task().others["text"].tolist())
    config = transformers.BertConfig(
        vocab_size=len(words), hidden_size=8, num_hidden_layers=1, num_attention_heads=1,
        intermediate_size=8, pad_token_id=words.pad_token_id,
    )  # fmt: skip
    words.save_pretrained(folder)
    transformers.BertModel(config).save_pretrained(folder)
    return str(folder)
