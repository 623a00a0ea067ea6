"""A command line in a process and a folder of its own: how it ended, and what it left."""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

LIMIT = (
    120.0  # seconds after which a command counts as hanging; most take one, on a busy machine ten
)
_MEMORY = 12 << 30  # bytes of addresses: what asks for more is told so, and harms no one
_OFFLINE = {
    "OPAL_DATA_MIRROR": ".",  # read instead of the network
    "HF_HUB_OFFLINE": "1",
    "HTTPS_PROXY": "http://127.0.0.1:9",
    "HTTP_PROXY": "http://127.0.0.1:9",
    "MPLBACKEND": "Agg",
    "COLUMNS": "140",
}
_PRELOADED = (
    *("opal.cli", "opal.cli.fit", "opal.cli.plan", "opal.cli.figures", "opal.cli.run"),
    *("pandas", "scipy.stats", "opal.reading", "opal.scaling.fit", "opal.scaling.pilot_fit"),
    *("opal.scaling.plan", "opal.bridge.text.generation", "opal.bridge.tabular.generation"),
    *("sklearn.ensemble", "sklearn.feature_extraction.text", "sklearn.linear_model"),
    *("opal.bridge.text.commands.audit", "opal.bridge.text.commands.generate"),
    *("opal.bridge.text.commands.evaluate", "opal.bridge.text.commands.impute"),
    *("opal.bridge.tabular.commands", "tests.fuzz.harness"),
)


@dataclass(frozen=True)
class Outcome:
    """How a command ended.

    Attributes:
        words: the command line.
        status: its exit status; None if it had to be killed.
        errors: standard error.
        crash: traceback of an exception that reached the top.
        faults: what is wrong with the files that it left.
    """

    words: tuple[str, ...]
    status: int | None
    errors: str
    crash: str
    faults: tuple[str, ...]

    @property
    def fault(self) -> str:
        """What breaks the contract, in a line or a traceback; empty if nothing does."""
        if self.status is None:
            return f"hangs: {self.errors[-300:]}"
        if self.crash or "Traceback" in self.errors:
            return self.crash or self.errors
        if self.status not in (0, 1, 2):
            return f"ends with status {self.status}: {self.errors[-300:]}"
        if self.status == 2 and not self.errors.strip():
            return "refuses without a word"
        return "; ".join(self.faults)


def context() -> multiprocessing.context.ForkServerContext:
    """Processes that begin with everything imported, and nothing that has started threads."""
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(list(_PRELOADED))
    return found


@cache
def _ready() -> None:
    """Wait until all is imported, which no command has to answer for."""
    first = context().Process(target=_nothing)
    first.start()
    first.join()


def _nothing() -> None:
    """A process that only shows that others can begin."""


def command(
    words: Sequence[str], files: Mapping[str, bytes], folder: Path, limit: float = LIMIT
) -> Outcome:
    """Run ``opal WORDS`` in a new process, in ``folder``, where only ``files`` are."""
    for name, content in files.items():
        (folder / name).write_bytes(content)
    _ready()
    said = folder.with_name(f"{folder.name}.said")
    said.with_suffix(".status").unlink(missing_ok=True)
    process = context().Process(target=_work, args=(tuple(words), str(folder), str(said)))
    process.start()
    process.join(limit)
    hangs = process.is_alive()
    if hangs:
        process.kill()
        process.join()
    errors = _read(said.with_suffix(".err"))
    crash = _read(said.with_suffix(".crash"))
    # The server of forks says 255 where it lost an exit status, so the child leaves its own.
    told = _read(said.with_suffix(".status"))
    status = None if hangs else int(told) if told else process.exitcode
    return Outcome(tuple(words), status, errors, crash, tuple(faults(folder, files, hangs)))


def faults(folder: Path, files: Mapping[str, bytes], killed: bool = False) -> list[str]:
    """Files that were read and changed, half-written ones, and JSON that is none."""
    found = []
    for name, content in files.items():
        path = folder / name
        if not path.is_file() or path.read_bytes() != content:
            found.append(f"{name}, which was read, is not what it was")
    for path in sorted(folder.rglob("*")):
        if path.is_dir() or path.name in files:
            continue
        if path.name.startswith(".") and not killed:
            found.append(f"{path.name} was not finished")
        if path.suffix == ".json":
            try:
                json.loads(path.read_text(encoding="utf-8"))
            except ValueError:
                found.append(f"{path.name} is no JSON")
    return found


def _work(words: tuple[str, ...], folder: str, said: str) -> None:
    """In the child: everything goes into files, and so does what was not caught."""
    target = Path(said)
    for number, suffix in ((1, ".out"), (2, ".err")):
        where = os.open(target.with_suffix(suffix), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(where, number)
    os.environ.update(_OFFLINE)
    os.environ.pop("OPENAI_API_KEY", None)
    os.chdir(folder)
    if sys.platform == "linux":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    from opal.cli import main

    try:
        try:
            status = main(list(words))
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 0 if end.code is None else 99
    except BaseException:
        target.with_suffix(".crash").write_text(traceback.format_exc(), encoding="utf-8")
        status = 98
    sys.stdout.flush()
    sys.stderr.flush()
    target.with_suffix(".status").write_text(str(status), encoding="utf-8")
    os._exit(status)


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
