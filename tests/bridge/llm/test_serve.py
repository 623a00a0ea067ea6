"""The whole path against a real server: prompts, HTTP, ledger, samples, and what they are worth."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="a local model needs the text extra")
pytest.importorskip("transformers", reason="a local model needs the text extra")
pytest.importorskip("openai", reason="asking an endpoint needs the text extra")
pytest.importorskip("fastapi", reason="the server needs transformers[serving]")
pytest.importorskip("uvicorn", reason="the server needs transformers[serving]")

import numpy as np
import pandas as pd
import torch

from opal import checks, cli
from opal.bridge.llm.budget import Budget, Limits, Prices
from opal.bridge.llm.client import OpenAIClient
from opal.bridge.llm.generate import generate
from opal.bridge.llm.ledger import Ledger
from opal.bridge.llm.loop import HopelessError
from opal.bridge.llm.report import report
from opal.bridge.llm.request import ModelSettings, WrittenSample
from opal.bridge.prompts.common import identity
from opal.bridge.prompts.text import TextPrompter
from opal.bridge.text import published, reading
from opal.bridge.text.audit.report import audit
from opal.bridge.text.corpus import TextCorpus, leaks, text_table
from opal.bridge.text.encoders import TfIdf
from opal.bridge.text.impute.evaluate import linear
from tests.bridge.llm import tiny

pytestmark = pytest.mark.slow

QUOTAS = {"complaint": 20, "praise": 6}
KEY = "sk-a-key-that-must-not-be-kept"
PATIENCE_S = 150.0


@dataclass(frozen=True)
class Server:
    """A running server: its model and its address."""

    model: str
    url: str


@pytest.fixture(scope="module")
def corpus() -> TextCorpus:
    return published.load_corpus("grammar").apart()


@pytest.fixture(scope="module")
def server(corpus: TextCorpus, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """``transformers serve`` with a model that was trained on texts of the corpus."""
    torch.set_num_threads(1)
    human = corpus.human.groupby("label").head(700)
    pairs = list(zip(human["label"], human["text"], strict=True))
    folder = tiny.causal(tmp_path_factory.mktemp("model"), pairs, steps=120)
    home = tmp_path_factory.mktemp("home")
    (home / "hub").mkdir()
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    command = [str(Path(sys.executable).with_name("transformers")), "serve", str(folder)]
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"],
            env=os.environ | {"HF_HOME": str(home), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait(f"http://127.0.0.1:{port}/health", process, home / "log")
        yield Server(str(folder), f"http://127.0.0.1:{port}/v1")
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        assert process.poll() is None, log.read_text()[-2000:]
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"no answer within {PATIENCE_S} s: {log.read_text()[-2000:]}")


@pytest.fixture(scope="module")
def written(
    server: Server, corpus: TextCorpus, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, TextPrompter, list[WrittenSample]]:
    """A ledger, its prompter, and the samples that were asked for."""
    path = tmp_path_factory.mktemp("asked") / "ledger.sqlite"
    prompter = TextPrompter(
        corpus.base, ModelSettings(server.model, temperature=0.9, max_tokens=120)
    )
    with pytest.MonkeyPatch.context() as patch, Ledger(path) as ledger:
        patch.setenv("OPAL_TEST_KEY", KEY)
        client = OpenAIClient(base_url=server.url, key_variable="OPAL_TEST_KEY")
        samples = generate(
            prompter,
            QUOTAS,
            client,
            ledger,
            limits=Limits(concurrency=4),
            budget=Budget(1.0, Prices(1.0, 2.0)),
        )
    return path, prompter, samples


def test_exactly_as_many_texts_of_each_class(
    written: tuple[Path, TextPrompter, list[WrittenSample]], corpus: TextCorpus
) -> None:
    _, _, samples = written
    assert Counter(sample.group for sample in samples) == QUOTAS
    originals = set(corpus.base["id"])
    for sample in samples:
        assert isinstance(sample.content, str)
        assert identity(sample.content) not in originals
        assert len(sample.seeds) == 5
        assert set(sample.seeds) <= originals


def test_every_sample_has_its_lineage_and_its_price(
    written: tuple[Path, TextPrompter, list[WrittenSample]], server: Server
) -> None:
    path, prompter, samples = written
    with Ledger(path) as ledger:
        found = report(ledger)
        requests = {
            request.key: request
            for group in QUOTAS
            for request, _ in ledger.replies(prompter.identity, group)
        }
    for sample in samples:
        request = requests[sample.key]
        assert request == prompter.request(request.group, request.index)
        assert (sample.seeds, sample.temperature) == (request.seeds, 0.9)
        assert sample.model.startswith(server.model)
        assert sample.date.startswith("20")
    assert found.done >= len(samples)
    assert found.lost == 0
    assert found.cost == pytest.approx((found.tokens_in + 2 * found.tokens_out) / 1e6)
    shared_out = sum(sample.cost for sample in samples)
    assert shared_out <= found.cost * (1 + 1e-12)  # both sums are rounded
    assert found.cost < 1.0


def test_the_ledger_replays_without_the_server(
    written: tuple[Path, TextPrompter, list[WrittenSample]],
) -> None:
    path, prompter, samples = written
    with Ledger(path) as ledger:
        before = report(ledger)
        assert generate(prompter, QUOTAS, None, ledger) == samples
        assert report(ledger) == before


def test_the_key_is_nowhere(written: tuple[Path, TextPrompter, list[WrittenSample]]) -> None:
    for file in written[0].parent.iterdir():
        assert KEY.encode() not in file.read_bytes()


def test_the_command_writes_samples_that_read_back(
    server: Server, corpus: TextCorpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reading.write_texts(corpus.base, tmp_path / "mine.csv")
    words = ["text", "generate", str(tmp_path / "mine.csv"), "--model", server.model]
    words += ["--base-url", server.url, "--ledger", str(tmp_path / "ledger.sqlite")]
    words += ["--per-class", "3", "--out", str(tmp_path / "made.jsonl"), "--max-tokens", "120"]
    assert cli.main([*words, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["held"] == {"complaint": 3, "praise": 3}
    made = reading.read_texts(tmp_path / "made.jsonl")
    assert list(made["label"]) == ["complaint"] * 3 + ["praise"] * 3
    assert (made["source"].str.startswith(server.model)).all()
    assert {len(seeds) for seeds in made["seeds"]} == {5}
    first = json.loads((tmp_path / "made.jsonl").read_text().splitlines()[0])
    assert first["prompt"][1]["content"].startswith('Class: "complaint"\nExamples: ["')
    content = (tmp_path / "made.jsonl").read_bytes()
    assert cli.main([*words, "--offline"]) == 0
    assert (tmp_path / "made.jsonl").read_bytes() == content


@pytest.fixture
def synthetic(written: tuple[Path, TextPrompter, list[WrittenSample]]) -> pd.DataFrame:
    """The samples as a table of texts."""
    samples = written[2]
    return text_table(
        [str(sample.content) for sample in samples],
        [sample.group for sample in samples],
        source="served",
        seeds=[sample.seeds for sample in samples],
    )


def test_the_audit_reads_the_samples(synthetic: pd.DataFrame, corpus: TextCorpus) -> None:
    """The prompter lets no copy through; the audit finds the one that is put among the samples."""
    recited = synthetic.assign(id=corpus.base["id"].iloc[0], text=corpus.base["text"].iloc[0])
    given = pd.concat([synthetic.iloc[1:], recited.iloc[:1]], ignore_index=True)
    found = audit({"base": corpus.base}, {"served": given}, encoder=TfIdf())["served"]
    assert found["n"] == sum(QUOTAS.values())
    assert found["copies"]["base"][-1]["exact"] == 1


def test_a_classifier_learns_from_the_samples(synthetic: pd.DataFrame, corpus: TextCorpus) -> None:
    """Balanced accuracy on real texts is above chance; with the labels swapped it is below."""
    assert not leaks(synthetic, set(corpus.test["id"])).any()
    train = pd.concat([corpus.base, synthetic])
    right = _balanced_accuracy(train, corpus)
    error = 0.5 / (len(corpus.test) / 2) ** 0.5
    assert right > 0.5 + checks.z_threshold(2) * error
    swapped = dict(zip(corpus.labels, corpus.labels[::-1], strict=True))
    wrong = _balanced_accuracy(train.assign(label=train["label"].map(swapped)), corpus)
    assert wrong < 0.5 - checks.z_threshold(2) * error


def _balanced_accuracy(train: pd.DataFrame, corpus: TextCorpus) -> float:
    """Of a rule whose training classes weigh the same."""
    y = train["label"].map(corpus.labels.index).to_numpy()
    weights = 1.0 / np.bincount(y)[y]
    rows, tested = np.split(np.arange(len(train) + len(corpus.test)), [len(train)])
    fit = linear(TfIdf())([*train["text"], *corpus.test["text"]], 2)
    said = fit(rows, y, weights / weights.sum(), 0)(tested).argmax(axis=1)
    true = corpus.test["label"].map(corpus.labels.index).to_numpy()
    return float(np.mean([(said[true == k] == k).mean() for k in (0, 1)]))


def test_an_unknown_model_is_told(server: Server, corpus: TextCorpus, tmp_path: Path) -> None:
    prompter = TextPrompter(corpus.base, ModelSettings("no-such-model"))
    client = OpenAIClient(base_url=server.url)
    with (
        Ledger(tmp_path / "ledger.sqlite") as ledger,
        pytest.raises((HopelessError, ValueError), match=r"(?i)model"),
    ):
        generate(prompter, {"praise": 1}, client, ledger, patience=1)
