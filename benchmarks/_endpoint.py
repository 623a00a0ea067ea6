"""A chat endpoint on loopback in a process of its own, that answers after a fixed while."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection

ANSWER = json.dumps(
    {
        "id": "x",
        "object": "chat.completion",
        "model": "model",
        "choices": [
            {"finish_reason": "stop", "message": {"role": "assistant", "content": "A fine day."}}
        ],
        "usage": {"prompt_tokens": 200, "completion_tokens": 40, "total_tokens": 240},
    }
).encode()


@contextmanager
def endpoint(latency: float) -> Iterator[str]:
    """Base URL of an endpoint that answers after ``latency`` seconds."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(latency, theirs), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}/v1"
    finally:
        process.terminate()
        process.join()


def _serve(latency: float, told: Connection) -> None:
    async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                size = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
                await reader.readexactly(size)
                await asyncio.sleep(latency)
                length = b"content-length: %d\r\n\r\n" % len(ANSWER)
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n" + length)
                writer.write(ANSWER)
        except (ConnectionError, asyncio.IncompleteReadError):
            writer.close()

    async def work() -> None:
        server = await asyncio.start_server(exchange, "127.0.0.1", 0)
        told.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(work())
