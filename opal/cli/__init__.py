"""The command line: thin, and quick to answer because heavy imports wait inside functions."""

from __future__ import annotations

import gc
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from signal import SIGINT, SIGTERM

import opal
from opal import interrupts
from opal.cli import output
from opal.cli.parsing import HELP_FLAGS, show_help, unknown
from opal.compiled import leave_out_fusion_emitters
from opal.redaction import holds_key

DESCRIPTION = """Theory and simulation of synthetic oversampling and augmentation.

Example:
    opal figures alpha --preset quick --out figures"""

SUMMARIES = {
    "list": "Studies and figures, each with its claim.",
    "data": "Real data: list, fetch and verify the files that some studies read.",
    "run": "Run a study and write its records.",
    "figures": "Draw figures, with a table of their self-checks.",
    "fit": "Fit a scaling law to a table, with intervals and warnings.",
    "plan": "How many synthetic samples to buy, and whether to buy any, from a pilot's table.",
    "tabular": "Generate, evaluate and audit synthetic rows of real tables; parse GPT-4's text.",
    "report": "One page of a folder of results, for people who will not run anything.",
    "infer": "Regressions on a classifier's labels, corrected by human ones.",
    "text": "Texts that a language model writes for small classes: make them, judge them.",
}
_INTERRUPTED = 128  # as shells do: the number of the signal is added
# Modules that are not named after their command: "list" would shadow a builtin.
_MODULES = {"list": "listing"}


def main(args: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    0 is success, 1 a self-check that failed, 2 a request that cannot be met (one clear message,
    no traceback: set ``OPAL_TRACEBACK=1`` to see where it arose), 130 an interrupt, 143 SIGTERM.
    """
    if args is None:
        return _left(main(sys.argv[1:]))
    words = list(args)
    return _guarded(lambda: _dispatch(words))


def run_study(name: str) -> None:
    """Be ``opal run NAME`` with the arguments of this process: ``python -m simulations.NAME``."""
    raise SystemExit(_left(main(["run", name, *sys.argv[1:]])))


def _left(status: int) -> int:
    """End this process at once if it was interrupted: what JAX compiles then would crash it."""
    if status > _INTERRUPTED:
        sys.stdout.flush()
        sys.stderr.flush()
        gc.collect()  # an error's cycle of frames may hold semaphores, whose tracker would complain
        os._exit(status)
    return status


def _dispatch(args: list[str]) -> int:
    if args == ["--version"]:
        sys.stdout.write(f"opal {opal.__version__}\n")
        return 0
    if not args or args[0] in HELP_FLAGS:
        show_help("opal", DESCRIPTION, SUMMARIES)
        return 0 if args else 2
    if any(map(holds_key, args)):
        raise ValueError(
            "an argument looks like an API key, and others on this machine can read arguments: put "
            "the key into a variable of the environment, and name that with --key-variable."
        )
    command, *rest = args
    if command not in SUMMARIES:
        raise unknown("command", command, SUMMARIES)
    leave_out_fusion_emitters()
    module = importlib.import_module(f"opal.cli.{_MODULES.get(command, command)}")
    status: int = module.main(rest)
    return status


def _guarded(command: Callable[[], int]) -> int:
    """Turn a refused request into a message and a status; a bug keeps its traceback."""
    try:
        with interrupts.terminable():
            return command()
    except BrokenPipeError:
        # The reader has gone (`opal list | head`); keep the interpreter from flushing at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt as stop:
        sys.stderr.write(f"{interrupts.told(stop)}\n")
        return _INTERRUPTED + (SIGTERM if isinstance(stop, interrupts.Terminated) else SIGINT)
    except MemoryError as error:
        why = str(error) or "it does not"
        output.print_error(
            f"what was asked for must fit into memory; {why}. Lower the sizes that you set."
        )
        return 2
    except Exception as error:
        if os.environ.get("OPAL_TRACEBACK") or not _is_refusal(error):
            raise
        where = "".join(f" ({note})" for note in getattr(error, "__notes__", ()))
        output.print_error(f"{error}{where}")
        return 2


def _is_refusal(error: Exception) -> bool:
    """Whether an error speaks of the request (bad input, a file, a missing extra), not of a bug."""
    ours = type(error).__module__.split(".")[0] == opal.__name__
    return ours or isinstance(error, ValueError | OSError | ImportError)
