"""The batch format of OpenAI and others: requests in a file, answers in another, hours later."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opal import files
from opal.bridge.llm.budget import FREE, Budget, Meter, Prices, bound
from opal.bridge.llm.client import LimitName, completion_body, read_completion
from opal.bridge.llm.ledger import Ledger
from opal.bridge.llm.report import pending
from opal.bridge.llm.request import Prompter, RefusedError, Request

_URL = "/v1/chat/completions"
_NO_BUDGET = Budget()
_AGAIN = (401, 403, 404, 408, 409, 429)


@dataclass(frozen=True)
class Loaded:
    """What a file of results gave."""

    done: int  # answers
    failed: int  # requests without a usable one
    waiting: int  # requests that still wait in a batch


def export(
    prompter: Prompter,
    wanted: Mapping[str, int],
    ledger: Ledger,
    path: Path,
    *,
    budget: Budget = _NO_BUDGET,
    limit_name: LimitName = "max_tokens",
) -> int:
    """Write the requests that are missing, to be uploaded as a batch; says how many they are.

    They are not asked in any other way until their results are loaded or they are released. There
    must be no file of that ``path``, and where none is missing none is written. All of them
    together may cost what ``budget`` allows, at the prices of batches; ``limit_name`` is how the
    endpoint calls the limit of tokens.

    Raises:
        ValueError: the file exists, or requests wait in a batch already.
        BudgetError: they may cost more than is left.
    """
    if path.exists():
        raise ValueError(f"{path} exists; name another file for the batch.")
    files.writable_folder(path.resolve().parent, "--batch-out")
    requests = list(pending(prompter, wanted, ledger))
    meter = Meter(budget, ledger.spent())
    for request in requests:
        if not meter.hold(worst := meter.worst(request)):
            raise meter.refusal(meter.held + worst)
    if not requests:
        return 0
    lines = [_line(request, limit_name) for request in requests]
    with ledger.together():
        for request in requests:
            ledger.exported(request, meter.worst(request))
    ledger.flush()
    try:
        files.write_text(path, "".join(lines))
    except BaseException:
        ledger.release(request.key for request in requests)
        raise
    return len(requests)


def load(path: Path, ledger: Ledger, prices: Prices | None = None) -> Loaded:
    """Take the results of a batch into the ledger that exported it, all or none.

    ``path`` is that of the answers, or of the errors; ``prices`` are of a million tokens in
    batches, None where nothing is paid.

    Raises:
        ValueError: a line is no result, or is of a request that the ledger did not export, or has
            an answer for already, or a second one in the file; nothing is taken.
    """
    results = _results(path, ledger)
    waiting, price, done = ledger.waiting(), prices or FREE, 0
    with ledger.together():
        for key, result in results.items():
            done += _take(ledger, waiting[key], result, price)
    ledger.flush()
    return Loaded(done, len(results) - done, len(waiting) - len(results))


def _line(request: Request, limit_name: LimitName) -> str:
    body = completion_body(request, limit_name)
    fields = {"custom_id": request.key, "method": "POST", "url": _URL, "body": body}
    return json.dumps(fields) + "\n"


def _results(path: Path, ledger: Ledger) -> dict[str, dict[str, Any]]:
    """Results by custom_id, all of them of requests that wait."""
    states, results = ledger.states(), dict[str, dict[str, Any]]()
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            result = _result(line, f"{path}, line {number}")
            key = result["custom_id"]
            problem = _problem(states.get(key), key in results)
            if problem:
                raise ValueError(
                    f"{path}, line {number}: request {key[:12]!r} {problem}. Nothing was loaded."
                )
            results[key] = result
    return results


def _result(line: str, where: str) -> dict[str, Any]:
    try:
        result = json.loads(line)
    except (json.JSONDecodeError, RecursionError):
        result = None
    if not isinstance(result, dict) or not isinstance(result.get("custom_id"), str):
        raise ValueError(
            f"{where} is no result of a batch: each line must be a JSON object with a custom_id. "
            "Nothing was loaded."
        )
    return result


def _problem(state: str | None, twice: bool) -> str | None:
    if twice:
        return "has two results in this file"
    if state is None:
        return "is not in this ledger: the file is of another one"
    if state == "done":
        return "has an answer already: the file was loaded before"
    if state != "exported":
        return "does not wait in a batch: it was released, or has failed"
    return None


def _take(ledger: Ledger, request: Request, result: dict[str, Any], price: Prices) -> bool:
    """Write one result; says whether it is an answer."""
    response, error = result.get("response"), result.get("error")
    status = response.get("status_code") if isinstance(response, dict) else None
    payload = response.get("body") if isinstance(response, dict) else None
    if status != 200:
        told = error if error else payload
        message = f"the batch gave no answer: {json.dumps(told)[:300]}"
        final = isinstance(status, int) and 400 <= status < 500 and status not in _AGAIN
        ledger.failed(request, f"batch {status or 'error'}", message, 0, final=final)
        return False
    try:
        reply = read_completion(payload)
    except RefusedError as refusal:
        cost = price.cost(*(refusal.tokens or bound(request)))
        ledger.failed(request, refusal.kind, str(refusal), cost, final=True, tokens=refusal.tokens)
        return False
    tokens = bound(request)  # the most that it can have, where the endpoint did not count
    if reply.tokens_in is not None and reply.tokens_out is not None:
        tokens = reply.tokens_in, reply.tokens_out
    ledger.done(request, reply, price.cost(*tokens))
    return True
