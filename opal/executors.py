"""Where cells are computed: in this process, in several of this machine, or on a Dask cluster."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import pkgutil
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.synchronize import Event
from pathlib import Path
from threading import Thread
from types import FrameType
from typing import TYPE_CHECKING, Any

from opal import __version__
from opal.files import writable_folder
from opal.interrupts import Terminated

if TYPE_CHECKING:
    from distributed import Client

_CONNECT = 5.0  # seconds until a scheduler that does not answer counts as unreachable
_FIRST_WORKER = 10.0  # seconds that the first worker has to register
_COMPILED = "opal-compiled-"  # name of a folder of compiled functions; the process follows
_ON_PARENTS_DEATH = 1  # PR_SET_PDEATHSIG of Linux's prctl
_VERSION = "opal:__version__"
_START = "Start one with `dask scheduler`, and on each machine `dask worker ADDRESS --nthreads 1`"


# Of a worker process, once it is one.
_stopped: Event | None = None
_busy = _interrupted = False


class WorkersError(RuntimeError):
    """Workers that cannot compute the cells, or could not finish them."""


def check(workers: int, scheduler: str | None) -> None:
    """Refuse what cannot be asked for together.

    Raises:
        ValueError: ``workers`` is not positive, or more than one beside a scheduler.
    """
    if workers < 1:
        raise ValueError(f"--workers must be at least 1; got {workers}.")
    if scheduler is not None and workers > 1:
        raise ValueError(
            f"--workers counts processes of this machine, and a scheduler has workers of its own; "
            f"got --workers {workers} and --scheduler {scheduler}. Leave one of the two out."
        )


@contextmanager
def executor(workers: int, scheduler: str | None, folder: Path) -> Iterator[Executor | None]:
    """What :mod:`opal.runner` maps cells over; None for the calling process.

    Args:
        workers: processes of this machine.
        scheduler: address of a Dask scheduler; its workers are used instead.
        folder: where cells go; Dask's workers must see it under this absolute path.

    Raises:
        ValueError: both are asked for, or the address is malformed.
        ImportError: there is no Dask.
        ConnectionError: no scheduler answers at the address.
        WorkersError: the workers are none, run another opal, cannot write ``folder``, or died.
    """
    check(workers, scheduler)
    if scheduler is not None:
        with _dask(scheduler, folder) as cluster:
            yield cluster
    elif workers == 1:
        yield None
    else:
        with _processes(workers) as processes:
            yield processes


@contextmanager
def _processes(workers: int) -> Iterator[Executor]:
    """Processes of this machine."""
    # A forked process hangs once JAX has started its threads; a spawned one does not.
    context = multiprocessing.get_context("spawn")
    stopped = context.Event()
    _remove_left_behind()
    from_main = threading.current_thread() is threading.main_thread()
    with (
        tempfile.TemporaryDirectory(prefix=f"{_COMPILED}{os.getpid()}-") as compiled,
        _Processes(
            workers,
            mp_context=context,
            initializer=_become_worker,
            initargs=(compiled, stopped, from_main),
        ) as processes,
    ):
        try:
            yield processes
        except BrokenProcessPool as error:
            raise WorkersError(
                f"a worker must survive its cell; one of {workers} processes was killed. Too "
                "little memory is the usual reason: use fewer --workers. Finished cells are kept, "
                "and the same command resumes."
            ) from error
        except BaseException as error:
            stopped.set()
            if isinstance(error, Terminated):  # who sends SIGTERM sends SIGKILL soon
                for worker in multiprocessing.active_children():
                    worker.kill()
            elif isinstance(error, KeyboardInterrupt):
                sys.stderr.write("stopping when the running cells end; Ctrl-C again leaves them\n")
            processes.shutdown(cancel_futures=True)  # and waits: a second call would take it back
            raise


def _remove_left_behind() -> None:
    """Remove what runs that were killed have compiled."""
    if os.name != "posix":
        return  # where asking for a process ends it
    for folder in Path(tempfile.gettempdir()).glob(f"{_COMPILED}*-*"):
        pid = folder.name.removeprefix(_COMPILED).partition("-")[0]
        if pid.isdecimal() and not _lives(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        pass  # another user's
    return True


class _Processes(ProcessPoolExecutor):
    """A pool that does not begin the calls its processes hold in reserve once it is stopped."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        with _held_back():
            return super().submit(_unless_stopped, fn, *args, **kwargs)


@contextmanager
def _held_back() -> Iterator[None]:
    """Hold an interrupt back, also from processes that start: they are not ready for it yet."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _unless_stopped(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    global _busy
    if _interrupted or (_stopped is not None and _stopped.is_set()):
        raise KeyboardInterrupt
    try:
        _busy = True
        return function(*args, **kwargs)
    except KeyboardInterrupt:  # a terminal interrupts all its processes, this one perhaps first
        if _stopped is not None:
            _stopped.set()
        raise
    finally:
        _busy = False


def _become_worker(folder: str, stopped: Event, from_main: bool) -> None:
    """Let a new process end with its parent, stop with it, and read what others have compiled."""
    global _stopped
    _stopped = stopped
    if from_main:  # or another thread of the parent, which may end before it
        _be_killed_with_parent()
    Thread(target=_end_with_parent, args=(folder,), daemon=True).start()
    signal.signal(signal.SIGINT, _on_interrupt)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:  # the user may have one for that
        os.environ["JAX_COMPILATION_CACHE_DIR"] = folder
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    # Another process may be writing the entry: it is compiled instead.
    warnings.filterwarnings("ignore", "Error reading persistent compilation cache entry")


def _on_interrupt(number: int, frame: FrameType | None) -> None:
    """Leave a cell; a worker that waits for one begins no other."""
    global _interrupted
    _interrupted = True
    if _busy:
        raise KeyboardInterrupt


def _be_killed_with_parent() -> None:
    """Let Linux kill this process with the thread that started it, whatever it computes then.

    A thread of Python's own (:func:`_end_with_parent`) waits for the interpreter, which a long call
    may hold, but it works on every system, and leaves nothing behind.
    """
    if sys.platform == "linux":
        import ctypes

        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_ON_PARENTS_DEATH, signal.SIGKILL)


def _end_with_parent(folder: str) -> None:
    """A parent that is killed cannot tell its workers, which would wait for cells for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(1)


@contextmanager
def _dask(address: str, folder: Path) -> Iterator[Executor]:
    """The executor of a Dask cluster that has proved able to compute cells."""
    _check_scheduler(address, *_place(address))
    from distributed import Client, KilledWorker

    with Client(address, timeout=_CONNECT, set_as_default=False) as client:
        _check_workers(client, address)
        _check_versions(client)
        _check_folder(client, folder)
        try:
            yield client.get_executor(pure=False)
        except KilledWorker as error:
            cell = " ".join(getattr(error, "__notes__", ()))
            raise WorkersError(
                f"a worker must survive its cell; {error.allowed_failures + 1} died {cell}, the "
                f"last at {error.last_worker.address}. Too little memory is the usual reason: see "
                "the log of that worker, and its --memory-limit. Finished cells are kept."
            ) from error
        except CancelledError as error:
            raise WorkersError(
                f"the scheduler must stay until the last cell is done; {address} was lost or "
                "cancelled a cell. Finished cells are kept: start it again, and the same command "
                "resumes."
            ) from error


def _place(address: str) -> tuple[str, int]:
    """Host and port of a scheduler."""
    try:
        from distributed.comm.addressing import get_address_host_port
    except ImportError as error:
        raise ImportError(
            f"--scheduler needs Dask, which is not installed ({error}). "
            "Install it: pip install 'opal-scaling[dask]'"
        ) from error
    try:
        host: str
        port: int
        host, port = get_address_host_port(address)
        if not host or not 0 < port < 65536:
            raise ValueError("host or port is out of range")
    except ValueError as error:
        raise ValueError(
            f"a scheduler's address is tcp://HOST:PORT (or tls://…); got {address!r} ({error}). "
            "`dask scheduler` prints its address as it starts."
        ) from error
    return host, port


def _check_scheduler(address: str, host: str, port: int) -> None:
    """Ask who is there. A Client alone would wait for ever for a server that speaks no Dask."""
    try:
        # Dask knocks again for all of _CONNECT at a door that nobody keeps.
        socket.create_connection((host, port), timeout=_CONNECT).close()
        kind = asyncio.run(asyncio.wait_for(_identity(address), _CONNECT))["type"]
    except Exception as error:  # a server that speaks no Dask can answer anything
        reason = str(error) or f"no answer within {_CONNECT:g} s"
        raise ConnectionError(
            f"--scheduler must be a Dask scheduler that can be reached; {address} is not "
            f"({reason}). {_START}."
        ) from error
    if kind != "Scheduler":
        raise ConnectionError(
            f"--scheduler must be a Dask scheduler; {address} is a {kind}. Give the address that "
            "the workers were started with."
        )


async def _identity(address: str) -> dict[str, Any]:
    from distributed import Security, rpc

    arguments = Security().get_connection_args("client")
    async with rpc(address, timeout=_CONNECT, connection_args=arguments) as scheduler:
        answer: dict[str, Any] = await scheduler.identity()
    return answer


def _check_workers(client: Client, address: str) -> None:
    """Somebody computes: without workers cells would wait for ever."""
    try:
        client.wait_for_workers(1, timeout=_FIRST_WORKER)
    except TimeoutError as error:
        raise WorkersError(
            f"a sweep needs at least one worker; the scheduler at {address} has none. "
            f"Start it: `dask worker {address} --nthreads 1`."
        ) from error


def _check_versions(client: Client) -> None:
    """The scheduler, which reads the cells, and all workers run the opal that made them."""
    found = client.run(pkgutil.resolve_name, _VERSION, on_error="return")
    try:
        found["the scheduler"] = client.run_on_scheduler(pkgutil.resolve_name, _VERSION)
    except ImportError as error:
        found["the scheduler"] = error
    others = [
        f"{where} has {version}" for where, version in found.items() if version != __version__
    ]
    if others:
        raise WorkersError(
            f"scheduler and workers must run opal {__version__} as this process does; "
            f"{'; '.join(others)}. Install it there, and start them again."
        )


def _check_folder(client: Client, folder: Path) -> None:
    """A file that is written here can be seen from each worker, which can write beside it."""
    probe = writable_folder(folder).absolute() / f".{secrets.token_hex(8)}.probe"
    probe.touch()
    try:
        found = client.run(_blindness, probe, on_error="return")
    finally:
        probe.unlink(missing_ok=True)
    blind = [f"{worker} {reason}" for worker, reason in found.items() if reason]
    if blind:
        raise WorkersError(
            f"the output folder must be shared with every worker under the same path; for "
            f"{probe.parent}: {'; '.join(blind)}. Name a shared folder with --out."
        )


def _blindness(probe: Path) -> str:
    """Why a worker cannot use the folder of ``probe``; empty if it can."""
    if not probe.exists():
        return "does not see it"
    try:
        writable_folder(probe.parent)
    except OSError as error:
        return f"cannot write it ({error.__cause__ or error})"
    return ""
