"""The ledger: what was asked, answered and paid, in one SQLite file.

A request is ``sent`` before it leaves, and ``done`` or ``failed`` before it counts; ``exported``
while it waits in a batch. What is done is never asked again. What was sent when a process died is
asked again under the same key, and what that may have cost stays booked as lost.

A slot is a request's place in a run: how many samples its answer gave to the group. Slots are all
that a run must read to go on.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from opal.bridge.llm.budget import UNITS
from opal.bridge.llm.database import BATCHED, Database, damaged
from opal.bridge.llm.request import Reply, Request, encodable

_PAGE = 500
_RELEASED = "state = 'failed' AND kind = 'released'"


@dataclass(frozen=True)
class Entry:
    """What the ledger says of a request.

    A final one failed and is not asked again.
    """

    state: str  # exported, sent, done or failed
    final: bool
    kind: str | None  # of failure
    reply: Reply | None  # if done


class Ledger(Database):
    """A ledger, open in this process alone; use it in ``with``."""

    def sent(self, request: Request, reserved: int, tokens: int) -> None:
        """Write that a request leaves now, which may cost so many billionths, and tokens."""
        with self.together():
            self._write(request, "sent", reserved)
            self._leave(request, tokens, 0)

    def again(self, request: Request, tokens: int, *, lost: int) -> None:
        """Write that the next attempt of a request leaves now.

        The attempt before may have cost ``lost`` billionths for nothing.
        """
        with self.together():
            self._leave(request, tokens, lost)

    def exported(self, request: Request, reserved: int) -> None:
        """Write that a request is in a batch."""
        self._write(request, "exported", reserved)

    def done(self, request: Request, reply: Reply, cost: int) -> Reply:
        """Write an answer; it comes back with its date and cost."""
        now, counts = time.time(), (reply.tokens_in, reply.tokens_out)
        row, total = self._end(request.key, "done", cost, counts, now)
        text = json.dumps([reply.text, reply.finish_reason, reply.model])
        checksum = _checksum(text, total, *counts, now)
        self.run("UPDATE bodies SET reply = ?, seal = ? WHERE id = ?", text, checksum, row)
        return self._reply(text, checksum, total, *counts, now)

    def failed(
        self,
        request: Request,
        kind: str,
        message: str,
        cost: int,
        *,
        final: bool,
        lost: int = 0,
        tokens: tuple[int, int] | None = None,
    ) -> None:
        """Write that no usable answer came; after a final failure the request is not asked again.

        So many billionths (``cost``) and tokens were billed, and ``lost`` may have been billed for
        an answer that never came. ``kind`` is a word, ``message`` a line.
        """
        row, _ = self._end(request.key, "failed", cost, tokens or (None, None), time.time())
        self.run(
            "UPDATE requests SET kind = ?, error = ?, final = ?, lost = lost + ? WHERE id = ?",
            kind, encodable(message), int(final), lost, row,
        )  # fmt: skip

    def entry(self, request: Request) -> Entry | None:
        """What is known of a request; None if it was never asked.

        Raises:
            LedgerError: its answer is not as it was written.
        """
        row = self.run(
            "SELECT id, state, final, kind, cost, tokens_in, tokens_out, ended_at "
            "FROM requests WHERE key = ?", request.key,
        ).fetchone()  # fmt: skip
        if row is None:
            return None
        number, state, final, kind, *rest = row
        reply = None
        if state == "done":
            body = self.run("SELECT reply, seal FROM bodies WHERE id = ?", number).fetchone()
            if body is None:
                raise damaged(self.name, "an answer is not there")
            reply = self._reply(*body, *rest)
        return Entry(state, bool(final), kind, reply)

    def slots(self, run: str, group: str) -> dict[int, int]:
        """Samples that each settled request of a run gave to a group, by index."""
        select = "SELECT idx, samples FROM slots WHERE run = ? AND grp = ? ORDER BY idx"
        return dict(self.rows(select, run, group))

    def settle(self, run: str, request: Request, samples: int, reason: str | None) -> None:
        """Write what a request gave to its group, or why nothing."""
        self.run(
            "INSERT OR REPLACE INTO slots(run, grp, idx, request, samples, reason) "
            "SELECT ?, ?, ?, id, ?, ? FROM requests WHERE key = ?",
            run, request.group, request.index, samples, reason and reason[:500], request.key,
        )  # fmt: skip

    def replies(self, run: str, group: str) -> Iterator[tuple[Request, Reply]]:
        """Answers that gave samples to a group, in the order of their requests.

        Raises:
            LedgerError: an answer or a request is not as it was written.
        """
        select = (
            "SELECT slots.idx, key, bodies.request, reply, seal, cost, tokens_in, tokens_out, "
            "ended_at FROM slots JOIN requests ON requests.id = slots.request "
            "JOIN bodies USING (id) WHERE run = ? AND slots.grp = ? AND slots.idx > ? "
            "AND samples > 0 ORDER BY slots.idx LIMIT ?"
        )
        index = -1
        # Page by page: a query that is left open would keep the file locked after it is closed.
        while rows := self.rows(select, run, group, index, _PAGE):
            for place, key, text, *rest in rows:
                if place <= index:
                    raise damaged(self.name, "its requests are out of order")
                index = place
                yield self._request(key, text), self._reply(*rest)

    def waiting(self) -> int:
        """How many requests wait in a batch."""
        return self.total("state = 'exported'")

    def asked(self, key: str) -> Request:
        """The request of that key.

        Raises:
            LedgerError: it is not there, or not as it was written.
        """
        row = self.run(
            "SELECT request FROM requests JOIN bodies USING (id) WHERE key = ?", key
        ).fetchone()
        if row is None:
            raise damaged(self.name, f"request {key[:12]} is not there")
        return self._request(key, row[0])

    def states(self) -> dict[str, str]:
        """The state of every request, by key; a failed one may be ``released`` from a batch."""
        return dict(self.rows(f"SELECT key, CASE WHEN {_RELEASED} THEN kind ELSE state END "
                              "FROM requests"))  # fmt: skip

    def release(self) -> int:
        """Let all requests that wait in a batch be asked again; says how many did.

        What they may cost stays booked, as lost: the batch may be answered all the same.
        """
        with self.together():
            self.run(BATCHED)
            self.run("INSERT INTO batched(request, lost) SELECT id, reserved FROM requests "
                     "WHERE state = 'exported'")  # fmt: skip
            return self.run("UPDATE requests SET state = 'failed', kind = 'released', "
                            "lost = lost + reserved, reserved = 0 "
                            "WHERE state = 'exported'").rowcount  # fmt: skip

    def batch_results(self) -> tuple[set[tuple[str, str]], dict[str, int]]:
        """(key, digest) of each result of a batch that was taken, and keys of given-up ones.

        With the key of a request comes how often it was in a batch that was released and whose
        result has not come.
        """
        self.run(BATCHED)
        select = "SELECT key, result FROM batched JOIN requests ON requests.id = request WHERE "
        taken = {(key, result) for key, result in self.rows(select + "result IS NOT NULL")}
        released = Counter(key for key, _ in self.rows(select + "result IS NULL"))
        return taken, dict(released)

    def batch_answered(self, key: str, result: str, *, late: bool) -> None:
        """Write that a batch gave this result (a digest) for a request.

        A late one is of a batch that was released: what that may have cost is lost no more.
        """
        (row,) = self.run("SELECT id FROM requests WHERE key = ?", key).fetchone()
        if not late:
            insert = "INSERT INTO batched(request, lost, result) VALUES (?, 0, ?)"
            self.run(insert, row, result)
            return
        place, lost = self.run(
            "SELECT rowid, lost FROM batched WHERE request = ? AND result IS NULL LIMIT 1", row
        ).fetchone()
        self.run("UPDATE batched SET result = ?, lost = 0 WHERE rowid = ?", result, place)
        self.run("UPDATE requests SET lost = lost - ? WHERE id = ?", lost, row)

    def bill(self, request: Request, cost: int) -> None:
        """Add to what an answered request cost: another answer to it was billed too."""
        row, text, *counts = self.run(
            "UPDATE requests SET cost = cost + ? WHERE key = ? RETURNING id, "
            "(SELECT reply FROM bodies WHERE bodies.id = requests.id), "
            "cost, tokens_in, tokens_out, ended_at", cost, request.key,
        ).fetchone()  # fmt: skip
        self.run("UPDATE bodies SET seal = ? WHERE id = ?", _checksum(text, *counts), row)

    def take_back(self, keys: Iterable[str]) -> None:
        """Undo the export of requests whose file was never written."""
        with self.together():
            for key in keys:
                self.run(
                    "UPDATE requests SET state = 'failed', kind = 'unsent', reserved = 0 "
                    "WHERE state = 'exported' AND key = ?", key,
                )  # fmt: skip

    def ends(self, run: str, group: str) -> list[tuple[int, str]]:
        """Index and key of the first and the last settled request of a run."""
        select = (
            "SELECT slots.idx, key FROM slots JOIN requests ON requests.id = slots.request "
            "WHERE run = ? AND slots.grp = ? ORDER BY slots.idx {} LIMIT 1"
        )
        orders = ("ASC", "DESC")
        return [row for order in orders for row in self.rows(select.format(order), run, group)]

    def last(self, group: str) -> int:
        """The highest index of a group's requests in any run; -1 if there are none."""
        select = "SELECT coalesce(max(idx), -1) FROM requests WHERE grp = ?"
        return int(self.run(select, group).fetchone()[0])

    def spent(self) -> int:
        """Billionths that are spent, that may be lost, or that a batch may cost."""
        return self.total("cost + lost + reserved")

    def lost(self) -> int:
        """Billionths that may have been billed for answers that never came."""
        return self.total(
            f"lost + CASE WHEN state = 'sent' OR ({_RELEASED}) THEN reserved ELSE 0 END"
        )

    def give_up(self, request: Request) -> None:
        """Book what a request reserved as lost, for its answer now comes another way."""
        self.run(
            "UPDATE requests SET lost = lost + reserved, reserved = 0 WHERE key = ?", request.key
        )

    def reopen(self, request: Request) -> None:
        """Forget that a request gave no sample, for its answer comes after all."""
        self.run(
            "DELETE FROM slots WHERE samples = 0 AND request = "
            "(SELECT id FROM requests WHERE key = ?)", request.key,
        )  # fmt: skip

    def total(self, what: str) -> int:
        """A sum over all requests."""
        (value,) = self.run(f"SELECT coalesce(sum({what}), 0) FROM requests").fetchone()
        return int(value)

    def recent(self, seconds: float) -> list[tuple[float, int]]:
        """(seconds ago, tokens) of attempts that left within that time, the oldest first."""
        now, found = time.time(), []
        for at, tokens in self.run("SELECT at, tokens FROM sendings ORDER BY id DESC"):
            if at <= now - seconds:
                break
            found.append((max(now - at, 0.0), tokens))
        return found[::-1]

    def _write(self, request: Request, state: str, reserved: int) -> None:
        """The row of a request; what was held when a process died may be lost, and stays booked."""
        (row,) = self.run(
            "INSERT INTO requests(key, grp, idx, state, reserved) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT(key) DO UPDATE SET state = excluded.state, lost = lost + reserved, "
            "reserved = excluded.reserved RETURNING id",
            request.key, request.group, request.index, state, reserved,
        ).fetchone()  # fmt: skip
        self.run("INSERT OR IGNORE INTO bodies(id, request) VALUES (?, ?)", row, request.text)

    def _leave(self, request: Request, tokens: int, lost: int) -> None:
        now = time.time()
        (row,) = self.run(
            "UPDATE requests SET attempts = attempts + 1, lost = lost + ?, sent_at = ? "
            "WHERE key = ? RETURNING id", lost, now, request.key,
        ).fetchone()  # fmt: skip
        insert = "INSERT INTO sendings(request, at, tokens) VALUES (?, ?, ?)"
        self.run(insert, row, now, tokens)

    def _end(
        self, key: str, state: str, cost: int, tokens: tuple[int | None, int | None], at: float
    ) -> tuple[int, int]:
        """The row of a request that is on its way no more, and what it cost in all."""
        row, total = self.run(
            "UPDATE requests SET state = ?, reserved = 0, cost = cost + ?, tokens_in = ?, "
            "tokens_out = ?, ended_at = ?, kind = NULL, error = NULL WHERE key = ? "
            "RETURNING id, cost", state, cost, *tokens, at, key,
        ).fetchone()  # fmt: skip
        return int(row), int(total)

    def _request(self, key: str, text: str) -> Request:
        if hashlib.sha256(text.encode("utf-8", "replace")).hexdigest() != key:
            raise damaged(self.name, f"request {key[:12]} is not as it was written")
        return Request.read(text)

    def _reply(
        self,
        text: str | None,
        checksum: str | None,
        cost: int,
        tokens_in: int | None,
        tokens_out: int | None,
        at: float,
    ) -> Reply:
        if text is None or _checksum(text, cost, tokens_in, tokens_out, at) != checksum:
            raise damaged(self.name, "an answer is not as it was written")
        content, finish_reason, model = json.loads(text)
        date = datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
        return Reply(content, tokens_in, tokens_out, finish_reason, model, date, cost / UNITS)


def _checksum(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode("ascii")).hexdigest()[:16]
