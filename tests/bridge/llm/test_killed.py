"""The process dies at random points: nothing is lost, nothing that is done is asked again."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from opal.bridge.llm.generate import generate
from opal.bridge.llm.ledger import Ledger
from opal.bridge.llm.report import report
from tests.bridge.llm.conftest import KEY, Serve
from tests.bridge.llm.plain import Plain
from tests.bridge.llm.server import Seen, Server, answer

pytest.importorskip("openai", reason="needs the extra text")

from tests.bridge.llm.forked import GAVE_UP

ROOT = Path(__file__).parents[3]
KILLS, AT_A_TIME = 20, 4
QUOTAS = {"a": 110, "b": 40}
FAULTS = ["429", "500", "reset", "cut", "half", "empty", "refusal", "shape", "timeout"]


def plan(seen: Seen) -> str:
    choice = int(seen.key[:6], 16)
    if choice % 5 or seen.attempt > 1:
        return "ok"
    return FAULTS[choice // 5 % 9]


@pytest.fixture
def forks(monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[str]]:
    environment = os.environ | {"OPENAI_API_KEY": KEY, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.bridge.llm.forked"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment
    ) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(10) == 0


def begin(process: subprocess.Popen[str], **arguments: object) -> int:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(arguments) + "\n")
    process.stdin.flush()
    return int(process.stdout.readline())


def end(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    return int(process.stdout.readline())


def kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def strike(server: Server, target: int, timer: threading.Timer, seen: Seen) -> str:
    """As planned, but start the timer when request number ``target`` comes."""
    if len(server.seen) + 1 == target:
        timer.start()
    return plan(seen)


def test_a_killed_client_resumes_exactly(
    serve: Serve, forks: subprocess.Popen[str], tmp_path: Path
) -> None:
    server, path, draw = serve(latency=0.01), tmp_path / "ledger.db", random.Random(7)
    arguments = {"url": server.url, "ledger": str(path), "quotas": QUOTAS, "concurrency": AT_A_TIME}
    done: set[str] = set()
    unsettled: set[str] = set()
    asked: set[str] = set()
    killed = repeated = 0
    while True:
        before, pid = len(server.seen), begin(forks, **arguments)
        if killed < KILLS:
            # At a random request of this run, a random while after it arrived.
            target, delay = before + draw.randint(1, 8), draw.uniform(0, 0.02)
            timer = threading.Timer(delay, kill, [pid])
            server.plan = partial(strike, server, target, timer)
        else:
            server.plan = plan
        code = end(forks)
        run = set(server.keys()[before:])
        assert not run & done, "an answer in the ledger was asked for again"
        assert run & asked <= unsettled, "only what was on its way, or failed, is repeated"
        repeated += len(run & asked)
        asked |= run
        if code == 0:
            break
        # In an unlucky order of planned faults a client rightly gives up before it is killed.
        assert code in (-signal.SIGKILL, GAVE_UP)
        killed += code == -signal.SIGKILL
        with Ledger(path) as ledger:
            states = ledger.states()
            failed = ledger.rows("SELECT key FROM requests WHERE state = 'failed' AND NOT final")
        done = {key for key, state in states.items() if state == "done"}
        flying = {key for key, state in states.items() if state == "sent"}
        assert len(flying) <= AT_A_TIME
        assert run <= set(states), "a request left before the ledger knew of it"
        unsettled = flying | {key for (key,) in failed}
    assert killed == KILLS
    assert repeated >= KILLS
    assert set(FAULTS) <= {seen.action for seen in server.seen}
    bodies: dict[str, object] = {}
    assert all(bodies.setdefault(seen.key, seen.body) == seen.body for seen in server.seen)
    with Ledger(path) as ledger:
        samples = generate(Plain(), QUOTAS, None, ledger)
        assert report(ledger).unknown == 0
    assert [s.group for s in samples] == [g for g, n in QUOTAS.items() for _ in range(n)]
    assert len({s.key for s in samples}) == len(samples)
    assert all(s.content == answer(f"{s.group} {int(s.seeds[0], 16)} on rain") for s in samples)
