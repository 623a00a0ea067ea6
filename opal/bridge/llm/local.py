"""A causal model of ``transformers`` on this machine, behind the same face as an endpoint.

Requests that wait together are answered in one batch. The same request gets the same answer,
whatever it is batched with: a batch shares the model's work and nothing else, and the draws of a
request come from its own key. A draw is an argmax: with Gumbel noise G, argmax(s/T + G) is
distributed as softmax(s/T), and it changes only where two sums tie to rounding.

A model without a chat template is given the contents of the messages, a blank line between them
and ``Answer:`` at the end; one whose template has no system role finds the system's words at the
head of the user's.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, cast

from opal.bridge import hub
from opal.bridge.llm.dialect import without_system
from opal.bridge.llm.request import (
    NOTHING,
    FailedError,
    FatalError,
    Gate,
    RefusedError,
    Reply,
    Request,
)

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_PLAIN = "{} has no chat template: it reads the messages one after the other, then `Answer:`."
_SEED_DIGITS = 15  # hexadecimal digits of a request's key that fit into torch's seeds
_TINY = 1e-20  # a uniform draw of 0 would give an infinite Gumbel


@dataclass(frozen=True)
class _Waiting:
    """A request, the tokens of its prompt, the seed of its draws, and its answer to be."""

    request: Request
    tokens: tuple[int, ...]
    seed: int
    answered: asyncio.Future[Reply]


class LocalClient:
    """Asks a model in memory.

    Attributes:
        name: of the model; requests must ask for it.
        notes: what the user should know of the model.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        name: str,
        batch_size: int = 8,
    ) -> None:
        """Take a model and its tokenizer.

        Raises:
            ValueError: the batch size is not positive.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1; got {batch_size}.")
        self.name = name
        self._model, self._tokenizer = model.eval(), tokenizer
        self._batch_size = batch_size
        self._ends = _ends(model, tokenizer)
        pad = tokenizer.pad_token_id
        self._pad = int(pad) if pad is not None else min(self._ends, default=0)
        self._waiting: list[_Waiting] = []
        self._worker: asyncio.Task[None] | None = None
        self.notes: tuple[str, ...] = () if tokenizer.chat_template else (_PLAIN.format(name),)

    @classmethod
    def load(cls, path: str, *, device: str = "cpu", batch_size: int = 8) -> LocalClient:
        """Load a folder that ``save_pretrained`` wrote, or a model of the Hub by its name.

        Args:
            path: folder or name.
            device: ``cpu``, ``cuda``, ``mps``.
            batch_size: requests answered at once.

        Raises:
            FatalError: there is no such model, or it cannot be loaded.
        """
        import torch

        model, tokenizer = loaded(path, device)
        # Threads that share a core with another process wait for one another, many times as long.
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // 2))
        return cls(model, tokenizer, name=path, batch_size=batch_size)

    async def ask(self, request: Request, *, idempotency_key: str, gate: Gate) -> Reply:
        """The model's answer; it must fit into the context, be whole, and not be empty."""
        if request.model != self.name:
            raise FatalError(
                f"the model here is {self.name!r}; got a request for {request.model!r}."
            )
        await gate()
        tokens, seed = self._tokens(request), int(idempotency_key[:_SEED_DIGITS], 16)
        answered = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(request, tokens, seed, answered))
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        return await answered

    async def close(self) -> None:
        """Wait for the batch that is being written."""
        if self._worker is not None and not self._worker.done():
            await self._worker

    def prompt(self, request: Request) -> str:
        """What the model reads.

        Raises:
            FatalError: its chat template takes no such messages.
        """
        from jinja2 import TemplateError

        if not self._tokenizer.chat_template:
            return "\n\n".join([*(each.content for each in request.messages), "Answer:\n"])
        reason = ""
        for tried in (request.messages, without_system(request.messages)):
            try:
                return str(
                    self._tokenizer.apply_chat_template(
                        list(map(asdict, tried)), tokenize=False, add_generation_prompt=True
                    )
                )
            except TemplateError as error:
                reason = str(error)
        raise FatalError(f"the chat template of {self.name!r} refuses the prompt: {reason}")

    def _tokens(self, request: Request) -> tuple[int, ...]:
        # A template writes the tokens that begin a text itself.
        bare = not self._tokenizer.chat_template
        found = self._tokenizer(self.prompt(request), add_special_tokens=bare)["input_ids"]
        tokens = tuple(int(token) for token in found)
        most = getattr(self._model.config, "max_position_embeddings", None)
        if most is not None and len(tokens) + request.max_tokens > most:
            raise RefusedError(
                f"prompt and answer must fit into the model's {most} tokens; got {len(tokens)} + "
                f"{request.max_tokens}: lower --max-tokens, or shorten the texts.",
                kind="length",
                tokens=NOTHING,
            )
        return tokens

    async def _work(self) -> None:
        await asyncio.sleep(0)  # requests of the same moment join the first batch
        while self._waiting:
            batch = self._waiting[: self._batch_size]
            del self._waiting[: self._batch_size]
            alive = [each for each in batch if not each.answered.done()]
            if alive:
                await self._answer(alive)

    async def _answer(self, batch: list[_Waiting]) -> None:
        try:
            replies = await asyncio.to_thread(self._replies, batch)
        except (RuntimeError, ValueError, IndexError, MemoryError) as error:
            for each in batch:
                if not each.answered.done():
                    failure = FailedError(f"{self.name}: {error}", kind="model", tokens=NOTHING)
                    each.answered.set_exception(failure)
            return
        for each, reply in zip(batch, replies, strict=True):
            if not each.answered.done():
                _settle(each, reply)

    def _replies(self, batch: Sequence[_Waiting]) -> list[Reply]:
        """The answers to a batch; shorter prompts are filled from the left."""
        import torch
        from transformers import GenerationConfig, LogitsProcessorList

        width = max(len(each.tokens) for each in batch)
        gaps = [width - len(each.tokens) for each in batch]
        rows = [(self._pad,) * gap + each.tokens for gap, each in zip(gaps, batch, strict=True)]
        seen = [[0] * gap + [1] * (width - gap) for gap in gaps]
        # Sampling is the processor's work; what is left to `generate` is the argmax.
        config = GenerationConfig(
            do_sample=False,
            max_new_tokens=max(each.request.max_tokens for each in batch),
            eos_token_id=sorted(self._ends) or None,
            pad_token_id=self._pad,
        )
        with torch.inference_mode():
            generate = cast("Callable[..., torch.Tensor]", self._model.generate)
            written = generate(
                torch.tensor(rows, device=self._model.device),
                attention_mask=torch.tensor(seen, device=self._model.device),
                generation_config=config,
                logits_processor=LogitsProcessorList([_Drawn(batch)]),
            )
        return [self._reply(*each) for each in zip(batch, written[:, width:].tolist(), strict=True)]

    def _reply(self, waiting: _Waiting, written: Sequence[int]) -> Reply:
        """What one prompt was answered: up to its end, and no more tokens than asked for."""
        own = written[: waiting.request.max_tokens]
        end = next((place for place, token in enumerate(own) if token in self._ends), None)
        return Reply(
            text=str(self._tokenizer.decode(list(own[:end]), skip_special_tokens=True)),
            tokens_in=len(waiting.tokens),
            tokens_out=len(own) if end is None else end + 1,
            finish_reason="length" if end is None else "stop",
            model=self.name,
        )


def loaded(path: str, device: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A causal model and its tokenizer, from a folder or from the Hub.

    Raises:
        FatalError: there is no such model, it is of the Hub, which cannot be reached, it cannot be
            loaded or does not fit into memory, or the device is not there.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        away = hub.only_here(path)
    except FileNotFoundError as error:
        raise FatalError(str(error)) from None
    only = {"local_files_only": away}  # or each file is asked for again and again
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, **only)
        model = AutoModelForCausalLM.from_pretrained(path, **only)
        torch.nn.Module.to(model, device)
    except (MemoryError, torch.OutOfMemoryError):
        raise FatalError(
            f"{path!r} must fit into the memory of device {device!r}; it does not: free some, or "
            "name a smaller model or another device."
        ) from None
    except Exception as error:  # a spoiled file may raise any: safetensors and tokenizers their own
        reason = str(error).strip().split("\n")[0][:300]
        raise FatalError(
            f"{path!r} must be a causal language model with its tokenizer; {reason}"
        ) from error
    return model, tokenizer


def _settle(waiting: _Waiting, reply: Reply) -> None:
    """Hand an answer over, or say why it is of no use."""
    if reply.finish_reason == "length":
        most = waiting.request.max_tokens
        error = RefusedError(f"cut off after {most} tokens", kind="length", tokens=reply.tokens)
    elif not reply.text.strip():
        error = RefusedError("an empty answer", kind="empty", tokens=reply.tokens)
    else:
        waiting.answered.set_result(reply)
        return
    waiting.answered.set_exception(error)


def _ends(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """Tokens that end an answer: those of the model's own settings, and the tokenizer's."""
    config = getattr(model, "generation_config", None)
    found = getattr(config, "eos_token_id", None)
    several = found if isinstance(found, list) else [found]
    return frozenset(int(t) for t in (*several, tokenizer.eos_token_id) if t is not None)


def _or_1(value: float | None) -> float:
    return 1.0 if value is None else value


class _Drawn:
    """Scores [batch, vocabulary] in which the largest is the token drawn."""

    def __init__(self, batch: Sequence[_Waiting]) -> None:
        import torch

        self._draws = [
            (_or_1(asked.temperature), _or_1(asked.top_p), torch.Generator().manual_seed(seed))
            for asked, seed in ((each.request, each.seed) for each in batch)
        ]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        import torch

        pairs = zip(scores.float(), self._draws, strict=True)
        return torch.stack([noisy(row, *draw) for row, draw in pairs])


def noisy(
    scores: torch.Tensor, temperature: float, top_p: float, source: torch.Generator
) -> torch.Tensor:
    """Scores [vocabulary] with Gumbel noise: the largest is a draw from the tempered law.

    Temperature 0 takes the likeliest token; of the others, those are drawn that are the fewest
    with probability ``top_p`` together.
    """
    import torch

    if temperature == 0:
        return scores
    tempered = scores / temperature
    if top_p < 1:
        ordered, places = tempered.sort(descending=True)
        share = ordered.softmax(0)
        beyond = share.cumsum(0) - share >= top_p
        tempered = tempered.scatter(0, places, ordered.masked_fill(beyond, float("-inf")))
    uniform = torch.rand(len(scores), generator=source).clamp(min=_TINY).to(scores.device)
    return tempered - torch.log(-torch.log(uniform))
