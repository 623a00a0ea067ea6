"""Whatever ends a run, nothing stays alive, nothing is left behind, and what is kept is said."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from opal import executors, interrupts
from opal.cli import main
from tests import traced
from tests.traced import computed, wait_for

ROOT = Path(__file__).parents[1]
PROC = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
POOL = """
import sys
from pathlib import Path
from opal import cli, executors, interrupts, runner
from tests import test_interrupts, traced

def work():
    out = Path(sys.argv[2])
    with interrupts.keeps(interrupts.CELLS), executors.executor(2, None, out) as executor:
        if sys.argv[3] == "stuck":
            list(executor.map(test_interrupts.stuck, [sys.argv[1]] * 2))
        runner.run(traced.cells(sys.argv[1], 3, 600.0), out, executor=executor, progress=False)
    return 0

if __name__ == "__main__":
    cli._dispatch = lambda words: work()
    sys.argv[1:1] = []
    raise SystemExit(cli.main())
"""


def stuck(traces: str) -> None:
    """Hold the interpreter for longer than anybody waits: no other thread gets a turn."""
    (Path(traces) / f"0_{os.getpid()}_0").touch()
    re.match(r"(a+)+$", 40 * "a" + "b")


@pytest.fixture
def traces(tmp_path: Path) -> Path:
    folder = tmp_path / "traces"
    folder.mkdir()
    return folder


@contextmanager
def pool(traces: Path, tmp_path: Path, kind: str = "cells") -> Iterator[subprocess.Popen[str]]:
    """A run with two workers in a session of its own, once both are at work."""
    (tmp_path / "tmp").mkdir(exist_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-c", POOL, str(traces), str(tmp_path / "out"), kind],
        start_new_session=True,
        text=True,
        stderr=subprocess.PIPE,
        env=os.environ | {"TMPDIR": str(tmp_path / "tmp")},
    )
    try:
        wait_for(lambda: len(traced.processes_of(traces)) == 2)
        yield process
    finally:
        for pid in session_of(process.pid):
            os.kill(pid, signal.SIGKILL)
        process.wait(timeout=30)
        assert process.stderr is not None
        process.stderr.close()


def session_of(leader: int) -> set[int]:
    """Processes of a session that are not only waiting to be reaped."""
    found = set()
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            state = (folder / "stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if state[0] != "Z" and int(state[3]) == leader:
            found.add(int(folder.name))
    return found


def said(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    return process.stderr.read()


@PROC
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends what holds the interpreter")
def test_a_worker_that_holds_the_interpreter_ends_with_its_parent(
    traces: Path, tmp_path: Path
) -> None:
    with pool(traces, tmp_path, "stuck") as process:
        assert len(session_of(process.pid)) >= 3
        process.kill()
        process.wait(timeout=30)
        wait_for(lambda: not session_of(process.pid))


@PROC
def test_what_a_killed_run_has_compiled_is_removed_by_the_next(
    traces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pool(traces, tmp_path) as process:
        process.kill()
        process.wait(timeout=30)
        wait_for(lambda: not session_of(process.pid))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    mine = tmp_path / "tmp" / f"opal-compiled-{os.getpid()}-x"
    dead = tmp_path / "tmp" / f"opal-compiled-{process.pid}-x"
    strange = [tmp_path / "tmp" / f"opal-compiled-{name}-x" for name in ("notes", "²", "9" * 30)]
    for folder in (mine, dead, *strange):
        folder.mkdir()
    with executors.executor(2, None, tmp_path):
        left = {folder.name.rpartition("-")[0] for folder in (tmp_path / "tmp").iterdir()}
    assert left == {f"opal-compiled-{os.getpid()}", "opal-compiled-notes", "opal-compiled-²"}


@PROC
@pytest.mark.parametrize("everyone", [False, True], ids=["the run alone", "all its processes"])
def test_sigterm_ends_all_at_once_and_says_what_is_kept(
    traces: Path, tmp_path: Path, everyone: bool
) -> None:
    with pool(traces, tmp_path) as process:
        (os.killpg if everyone else os.kill)(process.pid, signal.SIGTERM)
        assert process.wait(timeout=20) == 143
        assert said(process).splitlines()[-1] == f"terminated; {interrupts.CELLS}"
        wait_for(lambda: not session_of(process.pid))
    assert list((tmp_path / "tmp").iterdir()) == []
    assert computed(traces) == [0, 1]


@PROC
def test_an_interrupt_of_all_ends_running_cells_without_a_traceback(
    traces: Path, tmp_path: Path
) -> None:
    with pool(traces, tmp_path) as process:
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(timeout=20) == 130
        lines = said(process).splitlines()
        wait_for(lambda: not session_of(process.pid))
    assert lines == [
        "stopping when the running cells end; Ctrl-C again leaves them",
        f"interrupted; {interrupts.CELLS}",
    ]
    assert list((tmp_path / "tmp").iterdir()) == []
    assert computed(traces) == [0, 1]


@PROC
def test_an_interrupt_while_workers_start_is_held_back(tmp_path: Path) -> None:
    """They import for seconds, and would print where they were."""
    code = POOL.replace("out = Path(sys.argv[2])", "import os, signal, threading, time; "
                        "out = Path(sys.argv[2]); threading.Timer(0.4, os.killpg, "
                        "(os.getpid(), signal.SIGINT)).start()")  # fmt: skip
    result = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), str(tmp_path / "out"), "cells"],
        start_new_session=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 130, result.stderr
    assert "Traceback" not in result.stderr
    assert result.stderr.splitlines()[-1] == f"interrupted; {interrupts.CELLS}"


CYCLE = """
import gc, multiprocessing
from opal import cli

def work(words):
    held = [multiprocessing.get_context("spawn").Event()]
    held.append(held)
    raise KeyboardInterrupt

if __name__ == "__main__":
    gc.disable()
    cli._dispatch = work
    raise SystemExit(cli.main())
"""


def test_an_interrupt_leaves_no_semaphore_of_an_errors_frames() -> None:
    """Python's tracker of semaphores would say so after the last line."""
    result = subprocess.run([sys.executable, "-c", CYCLE], capture_output=True, text=True)
    assert result.returncode == 130
    assert result.stderr.startswith("interrupted; ")
    assert "semaphore" not in result.stderr


@pytest.mark.parametrize(
    ("words", "promise"),
    [
        (["fit", "--x", "n", "--y", "y"], interrupts.NOTHING),
        (["run", "alpha", "--preset", "tiny"], interrupts.CELLS),
        (["figures", "alpha"], interrupts.CELLS),
        (
            ["text", "generate", "--per-class", "1", "--local", "m", "--ledger", "mine.sqlite"],
            interrupts.in_file(Path("mine.sqlite")),
        ),
        (
            ["tabular", "generate", "--per-group", "1", "--fine-tune", "m", "--work", "there"],
            interrupts.in_file(Path("there")),
        ),
        (["tabular", "audit", "--train", "made.csv", "--target", "y"], interrupts.NOTHING),
    ],
    ids=lambda words: " ".join(words[:2]) if isinstance(words, list) else "",
)
def test_an_interrupt_promises_what_the_command_keeps(
    words: list[str],
    promise: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from opal import reading, runner
    from opal.bridge.text import files

    def interrupted(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    if words[0] not in ("run", "figures"):
        Path("made.csv").write_text("n,y\n1,1\n2,2\n")
        words = [*words[:2], "made.csv", *words[2:]] if words[0] != "fit" else [
            "fit", "made.csv", *words[1:]
        ]  # fmt: skip
    for module, name in ((reading, "read_table"), (files, "read_each"), (runner, "start")):
        monkeypatch.setattr(module, name, interrupted)
    monkeypatch.setattr(runner, "run", interrupted)
    assert main(words) == 130
    assert capsys.readouterr().err == f"interrupted; {promise}\n"


def test_sigterm_is_an_interrupt_only_within_and_in_the_main_thread() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(interrupts.Terminated), interrupts.terminable():
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == before

    def elsewhere() -> None:
        with interrupts.terminable():
            found.append(signal.getsignal(signal.SIGTERM))

    found: list[object] = []
    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert found == [before]


@pytest.mark.slow
@pytest.mark.parametrize("wait", [6.0, 8.0, 10.0])
def test_an_interrupt_while_jax_compiles_is_no_crash(wait: float, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "opal", "run", "imbalance", "--out", str(tmp_path)]
    plain = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    process = subprocess.Popen(
        command, text=True, stderr=subprocess.PIPE, cwd=ROOT, env=plain | {"JAX_ENABLE_X64": "1"}
    )
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=wait)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert said.splitlines()[-1] == f"interrupted; {interrupts.CELLS}"
