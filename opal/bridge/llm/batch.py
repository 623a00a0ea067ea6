"""The batch format of OpenAI and others: requests in a file, answers in another, hours later."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opal import files
from opal.bridge.llm.budget import FREE, Budget, Meter, Prices, bound
from opal.bridge.llm.completion import read_completion, read_object, read_usage
from opal.bridge.llm.dialect import Complaint, Dialect, LimitName
from opal.bridge.llm.ledger import Ledger
from opal.bridge.llm.report import pending
from opal.bridge.llm.request import Prompter, RefusedError, Request, digest
from opal.bridge.render import shown

# What providers take in one file.
MOST_REQUESTS, MOST_BYTES = 50_000, 200_000_000

_URL = "/v1/chat/completions"
_NO_BUDGET = Budget()
_SHOWN = 200  # characters of an error
# States of requests for which any result is news; of others, only an answer is.
_WAITING = ("exported", "released")


@dataclass(frozen=True)
class Exported:
    """The files of a batch, and how many requests are in them."""

    requests: int
    paths: tuple[Path, ...]


@dataclass(frozen=True)
class Loaded:
    """What files of results gave."""

    done: int  # answers
    failed: int  # requests without a usable one
    waiting: int  # requests that still wait in a batch
    known: int = 0  # results that the ledger had before, or that it has no use for
    late: int = 0  # results of released batches: what they cost is lost no more, but billed
    failures: tuple[str, ...] = ()  # why, the most frequent first, each with its number


def export(
    prompter: Prompter,
    wanted: Mapping[str, int],
    ledger: Ledger,
    path: Path,
    *,
    budget: Budget = _NO_BUDGET,
    limit_name: LimitName = "max_tokens",
    most_requests: int = MOST_REQUESTS,
    most_bytes: int = MOST_BYTES,
) -> Exported:
    """Write the requests that are missing, to be uploaded as a batch.

    They are not asked in any other way until their results are loaded or they are released. There
    must be no file of that ``path``, and where none is missing none is written. All of them
    together may cost what ``budget`` allows, at the prices of batches; ``limit_name`` is how the
    endpoint calls the limit of tokens. What is more than one file may hold goes into several, named
    after ``path`` with a number.

    Raises:
        ValueError: a file exists, or requests wait in a batch already.
        BudgetError: they may cost more than is left.
    """
    require_absent(path)
    files.writable_folder(files.resolved(path).parent, "--batch-out")
    meter, requests = Meter(budget, ledger.spent()), []
    for request in pending(prompter, wanted, ledger):
        if not meter.hold(worst := meter.worst(request)):
            raise meter.refusal(meter.held + worst)
        requests.append(request)
    if not requests:
        return Exported(0, ())
    dialect = Dialect(limit_name, has_schemas=False)  # no one is there to try without them
    parts = _parts((_line(each, dialect) for each in requests), most_requests, most_bytes)
    paths = [path] if len(parts) == 1 else [_numbered(path, k) for k in range(1, len(parts) + 1)]
    for each in paths:
        require_absent(each)
    with ledger.together():
        for request in requests:
            ledger.exported(request, meter.worst(request))
    ledger.flush()
    try:
        for each, lines in zip(paths, parts, strict=True):
            files.write_text(each, "".join(lines), private=True)
    except BaseException:
        ledger.take_back(request.key for request in requests)
        for each in paths:
            each.unlink(missing_ok=True)
        raise
    return Exported(len(requests), tuple(paths))


def load(paths: Sequence[Path], ledger: Ledger, prices: Prices | None = None) -> Loaded:
    """Take the results of batches into the ledger that exported them, all or none.

    Results that are known already are passed over, so that files may overlap. The late answer of a
    request that was released, or that failed, counts; what a batch that was released may have cost
    is no longer lost once its result says what it did.

    Args:
        paths: of the answers, or of the errors.
        ledger: that exported the requests.
        prices: of a million tokens in batches; None where nothing is paid.

    Raises:
        ValueError: a line is no result, or is of a request that the ledger did not export, or a
            file has two for one request; nothing is taken.
    """
    states, price = ledger.states(), prices or FREE
    outcomes = [_outcomes(path, states) for path in paths]
    known, late, why = 0, 0, Counter[str]()
    with ledger.together():
        before, released = ledger.batch_results()
        for key, outcome in (pair for found in outcomes for pair in found.items()):
            if (key, outcome.digest) in before:
                known += 1
                continue
            request, state = ledger.asked(key), states[key]
            # Of a request that waits in a second batch too, it is taken as that one's.
            is_late = released.get(key, 0) > 0 and state != "exported"
            taken = _take(ledger, request, state, outcome, price)
            if taken is None:
                known += 1
                if is_late:
                    ledger.bill(request, _cost(request, outcome, price))
            else:
                states[key] = "failed" if taken else "done"
                why[taken] += 1
            if taken is not None or is_late:
                ledger.batch_answered(key, outcome.digest, late=is_late)
                before.add((key, outcome.digest))
            if is_late:
                late, released[key] = late + 1, released[key] - 1
    ledger.flush()
    done = why.pop("", 0)
    told = tuple(f"{count} × {text}" for text, count in why.most_common(3))
    return Loaded(done, why.total(), ledger.waiting(), known, late, told)


@dataclass(frozen=True)
class _Outcome:
    """One line of results: an answer's JSON, or else the status and JSON of an error."""

    answer: Mapping[str, Any] | None
    status: int | None
    error: object
    digest: str  # of the line


def _line(request: Request, dialect: Dialect) -> str:
    fields = {"custom_id": request.key, "method": "POST", "url": _URL}
    return json.dumps(fields | {"body": dialect.body(request)}) + "\n"


def _parts(lines: Iterator[str], most_requests: int, most_bytes: int) -> list[list[str]]:
    """The lines, file by file; they are ASCII, so that a character is a byte."""
    parts: list[list[str]] = [[]]
    size = 0
    for line in lines:
        if parts[-1] and (len(parts[-1]) == most_requests or size + len(line) > most_bytes):
            parts.append([])
            size = 0
        parts[-1].append(line)
        size += len(line)
    return parts


def _numbered(path: Path, k: int) -> Path:
    return path.with_name(f"{path.stem}-{k}{path.suffix}")


def require_absent(path: Path) -> None:
    """Check that a batch would replace no file.

    Raises:
        ValueError: there is one.
    """
    if path.exists():
        raise ValueError(f"{path} exists; name another file for the batch.")


def _outcomes(path: Path, states: Mapping[str, str]) -> dict[str, _Outcome]:
    """Outcomes by custom_id, all of them of requests that the ledger knows."""
    from opal import reading

    found: dict[str, _Outcome] = {}
    # Not splitlines: JSON may hold other line ends within its texts.
    for number, line in enumerate(reading.read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            key, outcome = _outcome(line)
            if key in found:
                raise ValueError(f"request {key[:12]!r} has two results in this file")
            if key not in states:
                raise ValueError(
                    f"request {key[:12]!r} is not in this ledger: the file is of another one"
                )
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}. Nothing was loaded.") from None
        found[key] = outcome
    if not found:
        raise ValueError(f"{path} holds no result of a batch. Nothing was loaded.")
    return found


def _outcome(line: str) -> tuple[str, _Outcome]:
    """The key of a result, and what it says.

    Raises:
        ValueError: the line is no result of a chat completion.
    """
    result = read_object(line)
    key = result.get("custom_id") if result else None
    if result is None or not isinstance(key, str):
        raise ValueError(
            "it is no result of a batch: each line must be a JSON object with a custom_id"
        )
    response, error = result.get("response"), result.get("error")
    if response is None and error is None and "body" in result and "url" in result:
        raise ValueError(
            "it is a request: this is the file that was sent. Name the file of answers"
        )
    status, body = _unwrapped(response)
    if body and (body.get("object") in ("response", "text_completion") or "output" in body):
        raise ValueError(
            "it is an answer of another kind (of /v1/responses or /v1/completions); the requests "
            f"were of {_URL}. Upload them as they are"
        )
    if body and status in (None, 200) and "choices" in body:
        return key, _Outcome(body, 200, None, digest(result))
    told = error or (body and (body.get("error") or body))
    if not told or status == 200:
        fields = sorted(map(str, result if body is None else body))
        raise ValueError(
            "it holds neither a chat completion nor an error; its fields are "
            f"{shown(', '.join(fields), _SHOWN) or 'none'}"
        )
    return key, _Outcome(None, status, told, digest(result))


def _unwrapped(response: object) -> tuple[int | None, dict[str, Any] | None]:
    """Status and JSON of a response, in the forms that providers give it."""
    if not isinstance(response, dict):
        return None, None
    if "choices" in response:
        return 200, response
    status, body = response.get("status_code"), response.get("body")
    if isinstance(body, str):
        body = read_object(body)
    number = int(str(status)) if str(status).isdecimal() else None
    if not isinstance(body, dict):
        return number, None
    if body.get("error") and number in (None, 200) and "choices" not in body:
        number = 500
    return number, body


def _take(
    ledger: Ledger, request: Request, state: str, outcome: _Outcome, price: Prices
) -> str | None:
    """Write one result; says why it is no answer, with nothing if it is one, None if known."""
    if state == "done":
        return None
    if outcome.answer is None:
        return None if state not in _WAITING else _failed(ledger, request, outcome)
    try:
        reply = read_completion(outcome.answer)
    except RefusedError as refusal:
        if state not in _WAITING:
            return None  # as it failed before
        cost = price.cost(*(refusal.tokens or bound(request)))
        ledger.failed(request, refusal.kind, str(refusal), cost, final=True, tokens=refusal.tokens)
        return refusal.kind
    if state == "sent":
        ledger.give_up(request)
    if state == "failed":
        ledger.reopen(request)
    # The most that it can cost, where the endpoint did not count.
    ledger.done(request, reply, price.cost(*(reply.tokens or bound(request))))
    return ""


def _cost(request: Request, outcome: _Outcome, price: Prices) -> int:
    """Billionths that a result was billed: the most that it can be where nobody counted."""
    if outcome.answer is None:
        return 0
    return price.cost(*(read_usage(outcome.answer.get("usage")) or bound(request)))


def _failed(ledger: Ledger, request: Request, outcome: _Outcome) -> str:
    """Write an error, and say it; the request is asked again unless its own text is to blame."""
    told = json.dumps(outcome.error)
    kind = f"batch {outcome.status or 'error'}"
    complaint = Complaint(outcome.status or 0, told.lower())
    final = 400 <= complaint.status < 500 and complaint.is_of_content
    ledger.failed(request, kind, f"the batch gave no answer: {shown(told, _SHOWN)}", 0, final=final)
    error = outcome.error
    message = error.get("message") if isinstance(error, dict) else None
    return f"{kind}: {shown(str(message or told), _SHOWN)} {complaint.remedy}".strip()
