"""How the text commands grow with a corpus: dry run, replay, audit and evaluation.

A corpus of n labelled texts of two classes is drawn, and a ledger of 2 n answers is written. Each
command then runs in a process of its own, as a user starts it; counted are its seconds on the wall
and the most memory that it held, and told is the power of n as which the seconds grow.

Run ``python -m benchmarks.texts``, or with ``--json``.
"""

from __future__ import annotations

import csv
import json
import math
import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import tyro

from opal.bridge.llm.ledger import Ledger
from opal.bridge.llm.request import ModelSettings, Reply
from opal.bridge.prompts.text import TextPrompter
from opal.bridge.text.reading import read_texts

_CLASSES = ("good", "bad")
_TEST = 2000
_MODEL = ["--model", "model", "--price-input", "0.15", "--price-output", "0.6", "--budget", "1000"]


@dataclass(frozen=True)
class Options:
    """Time the text commands on corpora of several sizes.

    Example:
        python -m benchmarks.texts --sizes 500 5000
    """

    sizes: tuple[int, ...] = (500, 5_000)
    """Labelled texts; the ledger holds twice as many answers."""
    commands: tuple[str, ...] = ("dry run", "replay", "second replay", "audit", "evaluate")
    """What is timed."""
    seeds: int = 2
    """Draws of the evaluation."""
    json: bool = False
    """Print JSON."""


def main(options: Options) -> None:
    """Time all, and print it."""
    rows = []
    for size in options.sizes:
        with tempfile.TemporaryDirectory() as folder:
            _make(Path(folder), size)
            for name, arguments in _commands(Path(folder), size, options.seeds).items():
                if name in options.commands or name == "replay":
                    seconds, gigabytes = _timed(arguments)
                    rows.append({"size": size, "command": name, "s": seconds, "gb": gigabytes})
                    if not options.json:
                        print(f"{size:>8,} {name:14} {seconds:8.1f} s {gigabytes:6.2f} GB")
    powers = _powers(rows, options)
    if options.json:
        print(json.dumps({"rows": rows, "powers": powers}, indent=2))
        return
    for name, power in powers.items():
        print(f"{name:14} grows as the power {power:.2f} of the size")


def _powers(rows: list[dict[str, object]], options: Options) -> dict[str, float]:
    """By command: the power of the size as which the seconds grow, between the last two sizes."""
    seconds = {(row["command"], row["size"]): float(str(row["s"])) for row in rows}
    ends = list(pairwise(sorted(options.sizes)))[-1:]
    return {
        name: math.log(seconds[name, high] / seconds[name, low]) / math.log(high / low)
        for low, high in ends
        for name in options.commands
    }


def _commands(folder: Path, size: int, seeds: int) -> dict[str, list[str]]:
    mine, samples, ledger = folder / "mine.csv", folder / "samples.jsonl", folder / "ledger.sqlite"
    quota = ["--per-class", f"{size}"]
    generate = ["text", "generate", f"{mine}", *quota, *_MODEL]
    replay = [*generate, "--ledger", f"{ledger}", "--offline", "--out", f"{samples}"]
    test = ["--test", f"{folder / 'test.csv'}"]
    return {
        "dry run": [*generate, "--ledger", f"{folder / 'empty.sqlite'}", "--dry-run"],
        "replay": replay,
        "second replay": replay,
        "audit": [
            "text", "audit", f"{samples}", "--train", f"{mine}", *test,
            "--out", f"{folder / 'audit.html'}",
        ],
        "evaluate": [
            "text", "evaluate", "--file", f"{mine}", "--synthetic", f"{samples}", *test,
            "--seeds", f"{seeds}", "--out", f"{folder / 'evaluation'}",
        ],
    }  # fmt: skip


def _timed(arguments: list[str]) -> tuple[float, float]:
    """Seconds on the wall, and the most memory in GB, of a command that ends well."""
    command = [sys.executable, "-m", "opal", *arguments]
    with tempfile.TemporaryFile() as said:
        begin = time.perf_counter()
        process = subprocess.Popen(command, stdout=said, stderr=said)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            raise RuntimeError(f"{' '.join(command)}: {said.read().decode()[-2000:]}")
    unit = 1 if sys.platform == "darwin" else 1024
    return seconds, usage.ru_maxrss * unit / 1e9


def _make(folder: Path, size: int) -> None:
    """Texts to train and test on, and a ledger of their answers."""
    draw = random.Random(size)
    letters = "abcdefghijklmnoprstuvw"
    words = ["".join(draw.choices(letters, k=draw.randint(3, 9))) for _ in range(8000)]
    own = {"good": words[:300], "bad": words[300:600]}

    def text(label: str) -> str:
        length = draw.randint(12, 30)
        return " ".join(
            draw.choice(own[label] if draw.random() < 0.12 else words) for _ in range(length)
        )

    for name, rows in (("mine", size), ("test", _TEST)):
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["text", "label"])
            labels = draw.choices(_CLASSES, k=rows)
            writer.writerows((text(label), label) for label in labels)
    prompter = TextPrompter(read_texts(folder / "mine.csv"), ModelSettings("model"))
    with Ledger(folder / "ledger.sqlite") as ledger, ledger.together():
        for label in prompter.groups:
            for index in range(size):
                request = prompter.request(label, index)
                reply = Reply(json.dumps({"text": text(label)}), 300, 30, "stop", "model")
                ledger.exported(request, 0)
                ledger.done(request, reply, 1000)


if __name__ == "__main__":
    main(tyro.cli(Options, description=Options.__doc__))
