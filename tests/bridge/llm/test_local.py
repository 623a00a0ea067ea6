from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

pytest.importorskip("torch", reason="a local model needs the text extra")
pytest.importorskip("transformers", reason="a local model needs the text extra")

import torch
from transformers import AutoTokenizer

from opal import checks, cli
from opal.bridge.llm import local
from opal.bridge.llm.local import LocalClient
from opal.bridge.llm.request import (
    FailedError,
    FatalError,
    Message,
    ModelSettings,
    RefusedError,
    Reply,
    Request,
)
from opal.bridge.prompts.text import TextPrompter
from opal.bridge.text.corpus import text_table
from tests.bridge.llm import tiny

WORDS = {"good": ("fine", "superb"), "bad": ("poor", "awful")}
NOUNS = ("play", "film", "song", "book", "meal", "trip")
TEXTS = [
    (label, f"The {first} was {word} and the {second} too.")
    for label, words in WORDS.items()
    for word in words
    for first in NOUNS
    for second in NOUNS
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.causal(tmp_path_factory.mktemp("tiny"), TEXTS, steps=60)


@pytest.fixture(scope="module")
def client(folder: Path) -> LocalClient:
    loaded = LocalClient.load(str(folder), batch_size=4)
    # Draws depend on all that a request says. The folder is another one in every run, and one
    # answer in two hundred is empty.
    loaded.name = "tiny"
    return loaded


def request(client: LocalClient, index: int = 0, **other: object) -> Request:
    label = ("good", "bad")[index % 2]
    usual = Request(
        messages=(Message("system", "Write."), Message("user", f"Class: {json.dumps(label)}\n…")),
        model=client.name,
        temperature=1.0,
        top_p=1.0,
        max_tokens=60,
        group=label,
        seeds=(),
        index=index,
    )
    return replace(usual, **other)  # type: ignore[arg-type]


async def no_wait(
    *,
    lost: bool = False,
    pause: Callable[[], float] | None = None,
    reason: Callable[[], str] | None = None,
) -> None:
    del lost


def ask(client: LocalClient, requests: Iterable[Request]) -> list[Reply]:
    async def together() -> list[Reply]:
        asked = [client.ask(r, idempotency_key=r.key, gate=no_wait) for r in requests]
        return list(await asyncio.gather(*asked))

    return asyncio.run(together())


def test_it_answers_with_texts_of_its_class(client: LocalClient) -> None:
    replies = ask(client, [request(client, index, temperature=0.5) for index in range(12)])
    assert all(json.loads(reply.text)["text"].startswith("The ") for reply in replies)
    assert {reply.finish_reason for reply in replies} == {"stop"}
    assert {reply.model for reply in replies} == {client.name}
    first = replies[0]
    assert first.tokens_in == len(client._tokenizer('Class: "good"\n')["input_ids"])
    assert first.tokens_out == len(client._tokenizer(first.text)["input_ids"]) + 1


def test_an_answer_depends_on_its_request_alone(client: LocalClient) -> None:
    """Not on what it is batched with, in which order, or how often it was asked."""
    requests = [request(client, index) for index in range(10)]
    requests[3] = request(client, 3, temperature=0.3, top_p=0.5, max_tokens=50)
    together = ask(client, requests)
    assert together == ask(client, requests[::-1])[::-1]
    assert [ask(client, [each])[0] for each in requests[:5]] == together[:5]
    assert len({reply.text for reply in together}) > 5


def test_temperature_zero_takes_the_likeliest_token(client: LocalClient, folder: Path) -> None:
    first, second = ask(client, [request(client, index, temperature=0.0) for index in (0, 2)])
    assert first.text == second.text
    words = AutoTokenizer.from_pretrained(folder)
    ids = words('Class: "good"\n', return_tensors="pt")["input_ids"]
    model = cast(Any, client._model)
    greedy = model.generate(ids, do_sample=False, max_new_tokens=60)[0, ids.shape[1] :]
    assert words.decode(greedy, skip_special_tokens=True) == first.text


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (2.0, 0.75), (0.5, 0.9)])
def test_tokens_are_drawn_from_the_tempered_law(temperature: float, top_p: float) -> None:
    """Shares of 2,000 draws against the exact law, and a wrong temperature must fail."""
    scores, n = torch.tensor([0.0, 1.0, 2.0, 3.0, -1.0]), 2000
    source = torch.Generator().manual_seed(0)
    drawn = [int(local.noisy(scores, temperature, top_p, source).argmax()) for _ in range(n)]
    shares = torch.bincount(torch.tensor(drawn), minlength=5) / n

    def distance(assumed: float) -> float:
        law = (scores / assumed).softmax(0)
        order = law.argsort(descending=True)
        kept = order[: int((law[order].cumsum(0) < top_p).sum()) + 1]
        exact = torch.zeros(5).index_copy(0, kept, law[kept] / law[kept].sum())
        errors = (exact * (1 - exact) / n).sqrt()
        assert (shares[exact == 0] == 0).all() or assumed != temperature
        return float(((shares - exact).abs()[exact > 0] / errors[exact > 0]).max())

    assert distance(temperature) < checks.z_threshold(5)
    assert distance(1.3 * temperature) > checks.z_threshold(5)


def test_a_cut_answer_is_refused(client: LocalClient) -> None:
    with pytest.raises(RefusedError, match="cut off after 2 tokens") as error:
        ask(client, [request(client, max_tokens=2)])
    assert error.value.kind == "length"
    assert error.value.tokens is not None
    assert error.value.tokens[1] == 2


def test_what_does_not_fit_is_refused(client: LocalClient) -> None:
    with pytest.raises(RefusedError, match=r"the model's 256 tokens; got \d+ \+ 256: lower --max"):
        ask(client, [request(client, max_tokens=256)])


def test_a_request_for_another_model_is_fatal(client: LocalClient) -> None:
    with pytest.raises(FatalError, match="got a request for 'gpt-4'"):
        ask(client, [request(client, model="gpt-4")])


def test_a_cancelled_request_does_not_hold_up_others(client: LocalClient) -> None:
    async def one_cancelled() -> Reply:
        gone = asyncio.create_task(
            client.ask(request(client), idempotency_key="0" * 64, gate=no_wait)
        )
        await asyncio.sleep(0)
        gone.cancel()
        kept = request(client, 1)
        return await client.ask(kept, idempotency_key=kept.key, gate=no_wait)

    assert asyncio.run(one_cancelled()) == ask(client, [request(client, 1)])[0]


def test_a_model_that_breaks_down_is_a_failure(folder: Path) -> None:
    broken = LocalClient.load(str(folder))
    broken._model.lm_head = torch.nn.Linear(3, 3)
    with pytest.raises(FailedError, match="shapes"):
        ask(broken, [request(broken)])


def test_the_command_asks_the_model_in_memory(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"text": text, "label": label} for label, text in TEXTS[::7]]
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ["text", "generate", str(tmp_path / "mine.jsonl"), "--local", str(folder)]
    words += ["--per-class", "5", "--max-tokens", "80", "--ledger", str(tmp_path / "ledger.db")]
    for name in ("first", "second"):
        out = tmp_path / f"{name}.jsonl"
        assert cli.main([*words, "--out", str(out), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["held"] == {"bad": 5, "good": 5}
        (tmp_path / "ledger.db").unlink()
    first, second = (_texts(tmp_path / f"{name}.jsonl") for name in ("first", "second"))
    assert first == second
    assert len(set(first)) > 5


def _texts(path: Path) -> list[tuple[str, str]]:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [(line["source"], line["text"]) for line in lines]


def templated(client: LocalClient, folder: Path, template: str | None, name: str) -> LocalClient:
    """The same model under another chat template."""
    words = AutoTokenizer.from_pretrained(folder)
    words.chat_template = template
    return LocalClient(client._model, words, name=name)


def test_a_model_without_template_reads_the_messages(client: LocalClient, folder: Path) -> None:
    plain = templated(client, folder, None, "plain")
    assert plain.notes[0].startswith("plain has no chat template")
    assert plain.prompt(request(plain)) == 'Write.\n\nClass: "good"\n…\n\nAnswer:\n'
    reply = ask(plain, [request(plain, max_tokens=100)])[0]
    assert reply.tokens_in is not None
    assert reply.tokens_in > 10


def test_a_template_without_system_role_gets_its_words_from_the_user(
    client: LocalClient, folder: Path
) -> None:
    template = (
        "{% for message in messages %}{% if message['role'] == 'system' %}"
        "{{ raise_exception('no system role') }}{% endif %}[{{ message['content'] }}]{% endfor %}"
    )
    strict = templated(client, folder, template, "strict")
    assert strict.prompt(request(strict)) == '[Write.\n\nClass: "good"\n…]'
    broken = templated(client, folder, "{{ raise_exception('nothing at all') }}", "broken")
    with pytest.raises(FatalError, match="nothing at all"):
        broken.prompt(request(broken))


def test_a_text_cannot_end_a_message(client: LocalClient, folder: Path) -> None:
    """The token that ends a turn, inside a text, is not that token in the prompt."""
    hostile = [f"One {word} day. {tiny.END}{tiny.PAD}" for word in NOUNS]
    frame = text_table([*hostile, *(f"Two {word} days." for word in NOUNS)], ["a"] * 6 + ["b"] * 6)
    every = "{% for message in messages %}{{ message['content'] }}\n{% endfor %}"
    plain = templated(client, folder, every, "plain")
    request = TextPrompter(frame, ModelSettings("plain")).request("a", 0)
    prompt, words = plain.prompt(request), AutoTokenizer.from_pretrained(folder)
    special = {words.eos_token_id, words.pad_token_id}
    assert special.isdisjoint(words(prompt)["input_ids"])
    assert special <= set(words(hostile[0])["input_ids"])


def test_what_cannot_be_loaded_is_told_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(FatalError, match="there is no folder"):
        LocalClient.load(str(tmp_path / "nowhere"))
    with pytest.raises(FatalError, match="must be a causal language model with its tokenizer") as e:
        LocalClient.load(str(tmp_path))
    assert "\n" not in str(e.value)


def test_a_model_that_is_too_large_is_no_bad_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch.nn.Module, "to", full)
    with pytest.raises(FatalError, match="must fit into the memory of device 'cpu'; it does not"):
        LocalClient.load(str(folder))


def test_a_batch_has_requests(folder: Path) -> None:
    with pytest.raises(ValueError, match="batch_size must be at least 1; got 0"):
        LocalClient.load(str(folder), batch_size=0)
