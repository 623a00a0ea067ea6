"""An interrupt: what is on its way comes home, and a second one leaves it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from opal.bridge.llm.generate import generate
from opal.bridge.llm.ledger import Ledger
from opal.bridge.llm.report import report
from tests.bridge.llm.conftest import KEY, Open, Serve
from tests.bridge.llm.plain import Plain
from tests.bridge.llm.server import Server

pytest.importorskip("openai", reason="needs the extra text")

ROOT = Path(__file__).parents[3]
# Where a shell starts tests in the background, they ignore interrupts, and their children too.
CODE = """
import signal
import sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from opal.bridge.llm.budget import Limits
from opal.bridge.llm.client import OpenAIClient
from opal.bridge.llm.generate import generate
from opal.bridge.llm.ledger import Ledger
from tests.bridge.llm.plain import Plain
url, path, rpm = sys.argv[1:]
limits = Limits(concurrency=4, requests_per_minute=int(rpm) or None)
with Ledger(path) as ledger:
    generate(Plain(), {"a": 40}, OpenAIClient(base_url=url, timeout=30), ledger, limits=limits)
"""


def begin(server: Server, ledger: Path, rpm: int = 0) -> subprocess.Popen[str]:
    environment = os.environ | {"OPENAI_API_KEY": KEY, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-c", CODE, server.url, str(ledger), str(rpm)],
        cwd=ROOT, env=environment, text=True, stderr=subprocess.PIPE,
    )  # fmt: skip


def until(holds: Callable[[], bool]) -> None:
    ends = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < ends, "it took too long"
        time.sleep(0.01)


def test_what_is_on_its_way_comes_home(serve: Serve, client: Open, tmp_path: Path) -> None:
    server, path = serve(latency=0.7), tmp_path / "ledger.db"
    with begin(server, path) as process:
        until(lambda: len(server.seen) >= 3 and server.flying >= 2)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT
    assert "KeyboardInterrupt" in told
    with Ledger(path) as ledger:
        found = report(ledger)
        assert (found.done, found.unknown, found.lost) == (len(server.seen), 0, 0)
        # The next run asks for what is left, and for nothing of that.
        before = set(server.keys())
        generate(Plain(), {"a": len(before) + 2}, client(server), ledger)
    assert len(server.seen) == len(before) + 2


def test_a_second_interrupt_leaves_it(serve: Serve, tmp_path: Path) -> None:
    server, path = serve(latency=0.0), tmp_path / "ledger.db"
    with begin(server, path) as process:
        until(lambda: len(server.seen) >= 2)
        server.latency = 20.0
        until(lambda: server.flying >= 3)
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        assert process.poll() is None, "it waits for what is on its way"
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert time.monotonic() - began < 10
    with Ledger(path) as ledger:
        found = report(ledger)
        assert found.unknown + found.failed.get("stopped", 0) + found.done == found.requests
        assert found.unknown >= 1


def test_what_waits_for_its_turn_does_not_leave(serve: Serve, tmp_path: Path) -> None:
    server, path = serve(), tmp_path / "ledger.db"
    with begin(server, path, rpm=3) as process:
        until(lambda: len(server.seen) == 3 and server.flying == 0)
        time.sleep(0.3)
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert time.monotonic() - began < 10
    assert len(server.seen) == 3
    with Ledger(path) as ledger:
        assert report(ledger).done == report(ledger).requests == 3
