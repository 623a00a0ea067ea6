"""Endpoints that fail as told, a ledger, and a key in the environment."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from opal.bridge.llm.ledger import Ledger
from tests.bridge.llm.server import Plan, Server

if TYPE_CHECKING:
    from opal.bridge.llm.client import OpenAIClient

KEY = "sk-proj-Zx81Qw-secret_90"
Serve = Callable[..., Server]
Open = Callable[..., "OpenAIClient"]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start an endpoint with a plan and a latency."""
    with ExitStack() as stack:

        def start(plan: Plan = lambda seen: "ok", latency: float = 0.0) -> Server:
            return stack.enter_context(closing(Server(plan, latency)))

        yield start


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Open:
    """Make a client of an endpoint; it waits little between attempts."""
    pytest.importorskip("openai", reason="needs the extra text")
    from opal.bridge.llm import breaker
    from opal.bridge.llm.client import OpenAIClient

    monkeypatch.setattr(breaker, "FIRST_WAIT", 0.01)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)

    def make(server: Server | str, *, timeout: float = 5.0, retries: int = 2) -> OpenAIClient:
        url = server if isinstance(server, str) else server.url
        return OpenAIClient(base_url=url, timeout=timeout, retries=retries)

    return make


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "ledger.db") as opened:
        yield opened
