"""Files that are either whole or absent."""

from __future__ import annotations

import json
import os
import secrets
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Let ``write`` fill a temporary sibling of ``path``, then move it there in one step.

    A reader, or a run that was killed, therefore never sees half a file.

    Raises:
        OSError: the folder of ``path`` cannot be made or written, or ``path`` is a folder.
    """
    writable_folder(path.parent)
    if path.is_dir():
        raise IsADirectoryError(f"a file is to be written; {path} is a folder. Name a file in it.")
    # Not tempfile's: its files may be read by their owner only, and stay so when renamed.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        write(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
    """Write ``content`` as indented JSON, atomically."""
    write_text(path, json.dumps(content, indent=2, sort_keys=True) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8, with its line ends as they are, atomically."""
    content = text.encode("utf-8")

    def fill(temporary: Path) -> None:
        temporary.write_bytes(content)

    write_atomically(path, fill)


def require_distinct(*files: tuple[str, Path | None]) -> None:
    """Check that no two of a command's files are one, so that nothing replaces what was read.

    Args:
        files: what each is, and its path if there is one; those that are read first.

    Raises:
        ValueError: two paths are the same file, or one that is written is a folder.
    """
    taken: dict[Path, str] = {}
    for place, (what, path) in enumerate(files):
        if path is None:
            continue
        if place and path.is_dir():
            raise ValueError(f"{what} must be a file; {path} is a folder: name another file.")
        other = taken.setdefault(path.resolve(), what)
        if other != what:
            raise ValueError(
                f"every output must have a file of its own; {path} is {other} and {what}: name "
                "another file."
            )


def writable_folder(path: Path, flag: str = "--out") -> Path:
    """Create ``path`` if need be and prove that files can be written there.

    Args:
        path: the folder.
        flag: with which another one is named.

    Raises:
        OSError: the folder cannot be created or written; said before any work starts.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        reason = error.strerror or str(error)
        raise OSError(
            f"the output folder must be writable; {path} is not ({reason}). "
            f"Name another folder with {flag}."
        ) from error
    return path
