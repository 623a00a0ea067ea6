"""A transformer that is small enough to train in a test."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="package")
def small_bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A BERT of one narrow layer with MiniLM's tokenizer, saved locally."""
    transformers = pytest.importorskip("transformers", reason="needs the extra text")
    from opal.bridge.text.embeddings import model_path

    folder = tmp_path_factory.mktemp("bert")
    tokenizer = transformers.AutoTokenizer.from_pretrained(model_path("minilm"))
    config = transformers.BertConfig(
        vocab_size=tokenizer.vocab_size,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
    )
    tokenizer.save_pretrained(folder)
    torch = pytest.importorskip("torch", reason="needs the extra text")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        transformers.BertModel(config).save_pretrained(folder)
    return str(folder)
