"""An endpoint on loopback that answers or fails as told, and remembers what it was asked."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.bridge.llm.behaviours import Behaviour

RETRY_AFTER = 0.05


@dataclass(frozen=True)
class Seen:
    """A request as it came.

    Attributes:
        at: monotonic seconds.
        key: of idempotency.
        attempt: of that key, from 0.
        action: what was done with it.
        body: JSON.
        behaviour: what was done with it, where it is one of :mod:`tests.bridge.llm.behaviours`.
    """

    at: float
    key: str
    attempt: int
    action: str
    body: dict[str, Any]
    behaviour: Behaviour | None = None

    @property
    def size(self) -> int:
        return sum(len(each["content"].encode()) for each in self.body["messages"])


Plan = Callable[[Seen], "str | Behaviour"]


class Server:
    """Answers chat completions; ``plan`` chooses the action for each request.

    Actions: ok; 400, 401, 404, 429, 500 and other statuses; quota; timeout; drip (a byte at a
    time); reset; cut (less than the length told); half (whole, but half of the JSON); html; empty;
    refusal; length; shape; uncounted (no usage).
    """

    def __init__(self, plan: Plan = lambda seen: "ok", latency: float = 0.0) -> None:
        self.plan, self.latency = plan, latency
        self.seen: list[Seen] = []
        self.heads: list[str] = []
        self.retry_after = {"retry-after-ms": str(int(RETRY_AFTER * 1000))}
        self.said = "try later"
        self.flying = self.most_flying = 0
        self._attempts: Counter[str] = Counter()
        self._loop = asyncio.new_event_loop()
        self._server = self._loop.run_until_complete(
            asyncio.start_server(self._serve, "127.0.0.1", 0)
        )
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/v1"
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        async def end() -> None:
            self._server.close()
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def keys(self, action: str | None = None) -> list[str]:
        """Keys asked, in order; those of an action only, if one is named."""
        return [each.key for each in self.seen if action in (None, each.action)]

    async def _serve(self, reader: asyncio.StreamReader, prompter: asyncio.StreamWriter) -> None:
        try:
            while await self._exchange(reader, prompter):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # one cancelled is left by close(), which waits for all
        finally:
            prompter.close()

    async def _exchange(self, reader: asyncio.StreamReader, prompter: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        self.heads.append(head)
        fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
        body = json.loads(await reader.readexactly(int(fields["content-length"])))
        key = fields["idempotency-key"]
        seen = Seen(time.monotonic(), key, self._attempts[key], "", body)
        self._attempts[key] += 1
        planned = self.plan(seen)
        does = None if isinstance(planned, str) else planned
        action = planned if isinstance(planned, str) else planned.name
        self.seen.append(Seen(seen.at, key, seen.attempt, action, body, does))
        self.flying += 1
        self.most_flying = max(self.most_flying, self.flying)
        try:
            await asyncio.sleep(self.latency)
            if does is not None:
                return await self._behave(does, seen, prompter)
            return await self._act(action, seen, prompter)
        finally:
            self.flying -= 1

    async def _behave(self, does: Behaviour, seen: Seen, prompter: asyncio.StreamWriter) -> bool:
        content = does.content(seen)
        if does.wire == "reset":
            prompter.transport.abort()
            return False
        if does.wire == "late":
            await asyncio.sleep(2)
        if does.wire in ("endless", "drip"):
            prompter.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n")
            part, pause = (b" ", 0.02) if does.wire == "drip" else (b" " * 2**20, 0)
            for _ in range(1000):
                prompter.write(part)
                await prompter.drain()
                await asyncio.sleep(pause)
            return False
        extra = 100 if does.wire == "cut" else 0
        lines = [f"HTTP/1.1 {does.status} told", f"content-length: {len(content) + extra}"]
        lines += [f"{name}: {value}" for name, value in does.headers.items()]
        prompter.write("\r\n".join(lines).encode() + b"\r\n\r\n" + content)
        await prompter.drain()
        return does.wire == "plain"

    async def _act(self, action: str, seen: Seen, prompter: asyncio.StreamWriter) -> bool:
        if action == "timeout":
            await asyncio.sleep(60)
            return False
        if action == "drip":
            prompter.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
            for _ in range(1000):
                prompter.write(b" ")
                await prompter.drain()
                await asyncio.sleep(0.02)
        if action == "reset":
            prompter.transport.abort()
            return False
        status, payload, headers = self._answer(action, seen)
        length = len(payload) + (100 if action == "cut" else 0)
        lines = [f"HTTP/1.1 {status} told", "content-type: application/json"]
        lines += [f"content-length: {length}", *(f"{k}: {v}" for k, v in headers.items())]
        prompter.write("\r\n".join(lines).encode() + b"\r\n\r\n" + payload)
        await prompter.drain()
        return action != "cut"

    def _answer(self, action: str, seen: Seen) -> tuple[int, bytes, dict[str, str]]:
        if action.isdigit() or action == "quota":
            code = "insufficient_quota" if action == "quota" else None
            error = {"error": {"message": self.said, "code": code}}
            headers = {} if action == "quota" else self.retry_after
            status = 429 if action == "quota" else int(action)
            return status, json.dumps(error).encode(), headers
        if action == "html":
            return 200, b"<html><body>hello</body></html>", {}
        payload = json.dumps(completion(seen, action)).encode()
        return 200, payload[: len(payload) // 2] if action == "half" else payload, {}


def answer(prompt: str) -> str:
    """What the endpoint answers to a prompt."""
    return f"answer to {prompt}"


def completion(seen: Seen, action: str = "ok") -> dict[str, Any]:
    """The JSON of an answer; it is billed what a request can take at most."""
    content: str | None = answer(seen.body["messages"][-1]["content"])
    reason, message = "stop", dict[str, Any]()
    if action == "empty":
        content = " \n"
    if action == "refusal":
        content, message = None, {"refusal": "I cannot help with that."}
    if action == "length":
        reason = "length"
    message |= {"role": "assistant", "content": content}
    tokens_in = seen.size + 16 * len(seen.body["messages"]) + 64
    most = seen.body.get("max_tokens") or seen.body["max_completion_tokens"]
    usage = {"prompt_tokens": tokens_in, "completion_tokens": most}
    return {
        "id": "x",
        "object": "chat.completion",
        "model": seen.body["model"],
        "choices": None if action == "shape" else [{"finish_reason": reason, "message": message}],
        **({} if action == "uncounted" else {"usage": usage}),
    }
