"""A process that imports once and forks a client for each line of its input, for tests that kill.

It says the process id of each and, when that has ended, how.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from typing import Any
from unittest.mock import patch

from openai import AsyncOpenAI

from opal.bridge.llm import breaker
from opal.bridge.llm.budget import Limits
from opal.bridge.llm.client import OpenAIClient
from opal.bridge.llm.generate import generate
from opal.bridge.llm.ledger import Ledger
from opal.bridge.llm.loop import HopelessError
from tests.bridge.llm.plain import Plain

GAVE_UP = 5
"""Status of a client that gave its endpoint up, as too many attempts in a row came to nothing."""


def client(url: str, ledger: str, quotas: dict[str, int], concurrency: int) -> None:
    client = OpenAIClient(base_url=url, timeout=1.0, retries=2)
    with Ledger(ledger) as opened:
        samples = generate(Plain(), quotas, client, opened, limits=Limits(concurrency=concurrency))
    sys.exit(0 if len(samples) == sum(quotas.values()) else 3)


def fork(arguments: dict[str, Any]) -> None:
    child = os.fork()
    if child == 0:
        try:
            client(**arguments)
        except SystemExit as end:
            os._exit(int(str(end.code)))
        except HopelessError:
            os._exit(GAVE_UP)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(4)
    say(child)
    say(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def say(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    AsyncOpenAI(api_key="x").chat.completions  # noqa: B018  (what a client imports late)
    with patch.object(breaker, "FIRST_WAIT", 0.01):
        for line in sys.stdin:
            fork(json.loads(line))
