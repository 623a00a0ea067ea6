"""The ledger: what it refuses to open, what it remembers, and what resuming reads."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from opal.bridge.llm.budget import Budget, Meter, Prices
from opal.bridge.llm.database import LedgerError
from opal.bridge.llm.generate import generate
from opal.bridge.llm.ledger import Ledger
from opal.bridge.llm.report import report
from opal.bridge.llm.request import FailedError, Gate, Reply, Request
from opal.bridge.llm.run_state import RunState
from tests.bridge.llm.plain import Plain, indices

WRITER = Plain()


class Instant:
    """A client that answers at once."""

    async def ask(self, request: Request, *, idempotency_key: str, gate: Gate) -> Reply:
        await gate()
        return Reply("yes", 1, 1, "stop", "model")

    async def close(self) -> None: ...


def fill(path: Path, number: int) -> None:
    """Answers 0, 1, ... of group a."""
    with Ledger(path) as ledger, ledger.together():
        for index in range(number):
            request = WRITER.request("a", index)
            ledger.exported(request, 0)
            text = f"answer {index} " + "and more words " * 20
            ledger.done(request, Reply(text, 10, 5, "stop", "model"), 100)
            ledger.settle(WRITER.identity, request, 1, None)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def foreign(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE precious(x)")
        connection.commit()


def of_another_version(path: Path) -> None:
    fill(path, 3)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 7")


def cut(path: Path) -> None:
    fill(path, 200)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def scrambled(path: Path) -> None:
    """Its head is whole; all the rest is not."""
    fill(path, 200)
    content = path.read_bytes()
    path.write_bytes(content[:100] + bytes(len(content) - 100))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.write_text("id,text\n1,hello\n" * 50), "is no ledger; it was left"),
        (lambda path: path.write_bytes(b""), "is no ledger"),
        (lambda path: path.write_bytes(b"SQLite format 3\x00"), "is no ledger"),
        (foreign, "a database of another program"),
        (of_another_version, "has schema 7; this version of opal reads 1"),
        (cut, "is damaged"),
        (scrambled, "is damaged"),
        (lambda path: path.mkdir(), "is a folder"),
    ],
)
def test_what_is_no_ledger_is_told_and_left_untouched(
    tmp_path: Path, make: object, message: str
) -> None:
    path = tmp_path / "ledger.db"
    make(path)  # type: ignore[operator]
    before = digest(path) if path.is_file() else ""
    with pytest.raises(LedgerError, match=message):
        Ledger(path)
    assert [each.name for each in tmp_path.iterdir()] == ["ledger.db"]
    assert not path.is_file() or digest(path) == before
    with pytest.raises(LedgerError, match=message):  # not "in use"
        Ledger(path)


def test_a_copy_is_told_by_the_name_of_what_was_copied(tmp_path: Path) -> None:
    (tmp_path / "copy").write_text("no ledger" * 100)
    with pytest.raises(LedgerError, match=r"^mine.db is no ledger"):
        Ledger(tmp_path / "copy", copy_of=Path("mine.db"))


@pytest.mark.parametrize("table", ["reply", "request"])
def test_a_changed_answer_or_request_is_never_served(tmp_path: Path, table: str) -> None:
    path = tmp_path / "ledger.db"
    fill(path, 50)
    content = path.read_bytes()
    what = b"answer 31 and" if table == "reply" else b"a 31 on rain"
    assert content.count(what) == 1
    path.write_bytes(content.replace(what, what.upper()))
    before = digest(path)
    with Ledger(path) as ledger, pytest.raises(LedgerError, match="not as it was written"):
        generate(WRITER, {"a": 50}, None, ledger)
    assert digest(path) == before
    with Ledger(path) as ledger:
        assert len(generate(WRITER, {"a": 31}, None, ledger)) == 31


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    code = f"from opal.bridge.llm.ledger import Ledger; Ledger({str(path)!r})"
    with Ledger(path):
        with pytest.raises(LedgerError, match="in use by another run; wait for its end"):
            Ledger(path)
        second = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert f"the ledger {path} is in use by another run" in second.stderr
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_an_unwritable_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="must be writable"):
        Ledger(tmp_path / "file" / "ledger.db")


def test_what_was_on_its_way_may_be_lost_and_stays_booked(tmp_path: Path) -> None:
    path, request = tmp_path / "ledger.db", WRITER.request("a", 0)
    with Ledger(path) as ledger:
        ledger.sent(request, 700, 50)
    with Ledger(path) as ledger:
        assert ledger.spent() == 700
        assert report(ledger).lost == pytest.approx(700e-9)
        ledger.sent(request, 700, 50)
        assert ledger.spent() == 1400
        ledger.again(request, 50, lost=700)
        ledger.done(request, Reply("x", 1, 1, "stop", "m"), 30)
        assert ledger.spent() == 1430
        told = report(ledger)
        assert (told.attempts, told.cost, told.lost) == (3, 30e-9, 1400e-9)
        assert [tokens for _, tokens in ledger.recent(60.0)] == [50] * 3
        assert ledger.recent(0.0) == []


class Lost(Instant):
    """A client whose answers are lost."""

    async def ask(self, request: Request, *, idempotency_key: str, gate: Gate) -> Reply:
        await gate()
        raise FailedError("it broke.", kind="connection", tokens=None)


def test_a_failure_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    budget = Budget(1.0, Prices(1.0, 1.0))
    with Ledger(tmp_path / "l.db") as ledger:
        ledger.run(
            "CREATE TEMP TRIGGER stops BEFORE UPDATE ON requests WHEN NEW.error IS NOT NULL "
            "BEGIN SELECT RAISE(ABORT, 'stopped'); END"
        )
        with pytest.raises(LedgerError, match="stopped"):
            generate(WRITER, {"a": 1}, Lost(), ledger, budget=budget)
        assert report(ledger).unknown == 1
        worst = Meter(budget, 0).worst(WRITER.request("a", 0))
        assert ledger.spent() == ledger.lost() == worst


class Flaky(Ledger):
    """A ledger on a disk that fails at first."""

    flushes = 0

    def flush(self) -> None:
        self.flushes += 1
        if self.flushes == 1:
            raise OSError("the disk is away")
        super().flush()


class Slow(Instant):
    """A client that takes its time."""

    async def ask(self, request: Request, *, idempotency_key: str, gate: Gate) -> Reply:
        await asyncio.sleep(0.3)
        return await super().ask(request, idempotency_key=idempotency_key, gate=gate)


def test_a_disk_that_is_away_for_a_moment_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("opal.bridge.llm.loop._FLUSH_SECONDS", 0.01)
    with Flaky(tmp_path / "l.db") as ledger:
        assert len(generate(WRITER, {"a": 1}, Slow(), ledger)) == 1
        assert ledger.flushes > 2  # the failed one, and the last


def test_answers_come_back_as_they_were(tmp_path: Path) -> None:
    text = "quote \" and ' <b>&amp;</b> =1+1 🙂 \u202eright to left\u0000 \ud800 " + "x" * 100_000
    with Ledger(tmp_path / "ledger.db") as ledger:
        request = WRITER.request("a", 0)
        ledger.sent(request, 0, 1)
        ledger.done(request, Reply(text, None, None, None, ""), 0)
        ledger.settle(WRITER.identity, request, 1, None)
        (sample,) = generate(WRITER, {"a": 1}, None, ledger)
    assert sample.content == text


def test_resuming_reads_no_prompt_and_no_answer(tmp_path: Path) -> None:
    """2,000 answers are known by their slots; bodies are read only when samples are served."""
    path, number = tmp_path / "ledger.db", 2000
    fill(path, number)
    read: set[str] = set()

    def watch(action: int, table: str | None, column: str | None, *_: object) -> int:
        if action == sqlite3.SQLITE_READ and table is not None:
            read.add(f"{table}.{column}")
        return sqlite3.SQLITE_OK

    class Counting(Plain):
        asked = 0

        def request(self, group: str, index: int) -> Request:
            Counting.asked += 1
            return super().request(group, index)

    with Ledger(path) as ledger:
        ledger._connection.set_authorizer(watch)
        (quota,) = RunState(Counting(), ledger).groups({"a": number + 5}, patience=20)
        assert (quota.held, quota.next(), quota.short) == (number, number, True)
        ledger.spent()
        ledger._connection.set_authorizer(None)
        assert Counting.asked == 2  # the first and the last, to see that they are the same
        assert {each.split(".")[0] for each in read} == {"slots", "requests"}
        samples = generate(WRITER, {"a": number}, None, ledger)
    assert indices(samples) == [*range(number)]


def test_a_full_disk_is_told_and_what_was_there_stays(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    fill(path, 20)
    with Ledger(path) as ledger:
        pages = ledger.rows("PRAGMA page_count")[0][0]
        ledger.rows(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(LedgerError, match="disk is full"):
            generate(WRITER, {"a": 900}, Instant(), ledger)
    with Ledger(path) as ledger:
        assert len(generate(WRITER, {"a": 20}, None, ledger)) == 20


def test_flushing_needs_no_log(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with Ledger(path) as ledger:
        ledger.flush()
        ledger.sent(WRITER.request("a", 0), 0, 1)
        assert path.with_name("ledger.db-wal").stat().st_size > 0
        ledger.flush()
    ledger.flush()


def test_a_pipe_is_no_ledger(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/null"), Path("/dev/full")):
        with pytest.raises(LedgerError, match=r"must be a file; .* is a device or a pipe"):
            Ledger(path)


def test_the_last_answers_of_a_ledger_that_is_gone_are_not_mixed_with_a_new_one(
    tmp_path: Path,
) -> None:
    path, away = tmp_path / "ledger.db", tmp_path / "away.db"
    code = (
        "import os, sys; from tests.bridge.llm.test_ledger import *\n"
        "ledger = Ledger(sys.argv[1]); ledger.sent(WRITER.request('a', 0), 5, 1); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)
    path.rename(away)
    with pytest.raises(LedgerError, match=r"there is no ledger .*, but ledger\.db-wal beside it"):
        Ledger(path)
    assert not path.exists()
    away.rename(path)
    with Ledger(path) as ledger:
        assert report(ledger).unknown == 1


def test_a_ledger_is_its_owners(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.db") as ledger:
        ledger.sent(WRITER.request("a", 0), 0, 1)
        modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in tmp_path.iterdir()}
    assert modes
    assert set(modes.values()) == {0o600}


def test_a_ledger_is_made_where_there_are_no_hard_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("no hard links here")

    monkeypatch.setattr("opal.bridge.llm.database.os.link", refuse)
    with Ledger(tmp_path / "ledger.db") as ledger:
        assert report(ledger).requests == 0
    assert [each.name for each in tmp_path.iterdir()] == ["ledger.db"]


def test_a_disk_that_is_full_when_a_ledger_is_made_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        tables = "PRAGMA max_page_count = 2; CREATE TABLE a(b); CREATE TABLE c(d)"
        patched.setattr("opal.bridge.llm.database._TABLES", tables)
        with pytest.raises(LedgerError, match=r"ledger\.db cannot be .* disk is full"):
            Ledger(tmp_path / "ledger.db")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("what", ["zeros", "ones", "noise"])
def test_damage_anywhere_is_told_or_does_no_harm(what: str, tmp_path: Path) -> None:
    """512 bytes of each page and of its middle: no wait without end, and no wrong sample."""
    whole, path, number = tmp_path / "whole", tmp_path / "ledger.db", 120
    fill(whole, number)
    with Ledger(whole) as ledger:
        true = [each.content for each in generate(WRITER, {"a": number}, None, ledger)]
    content, draw, harmless, told = whole.read_bytes(), random.Random(3), 0, 0
    for start in range(512, len(content), 1536):
        damage = {"zeros": bytes(512), "ones": b"\xff" * 512, "noise": draw.randbytes(512)}[what]
        path.write_bytes(content[:start] + damage + content[start + 512 :])
        try:
            with Ledger(path) as ledger:
                found = generate(WRITER, {"a": number}, None, ledger)
        except LedgerError:
            told += 1
        else:
            harmless += 1
            assert [each.content for each in found] == true
    assert told > 10
    assert harmless > 0
