"""Files that are either whole or absent."""

from __future__ import annotations

import json
import os
import secrets
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

NamedPath = tuple[str, Path | None]


def write_atomically(path: Path, write: Callable[[Path], None], *, private: bool = False) -> None:
    """Let ``write`` fill a temporary sibling of ``path``, then move it there in one step.

    A reader, or a run that was killed, therefore never sees half a file. A link stays one: what it
    leads to is replaced. A ``private`` file can be read by its owner alone.

    Raises:
        OSError: the folder of ``path`` cannot be made or written, or ``path`` is a folder.
        ValueError: ``path`` is a device or a pipe.
    """
    path = resolved(path)
    writable_folder(path.parent)
    _require_plain("the file that is written", path)
    # Not tempfile's: its files may be read by their owner only, and stay so when renamed.
    temporary = path.with_name(f".{path.name[:100]}.{secrets.token_hex(8)}")
    try:
        if private:
            temporary.touch(mode=0o600)
        write(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
    """Write ``content`` as indented JSON, atomically."""
    write_text(path, json.dumps(content, indent=2, sort_keys=True) + "\n")


def write_text(path: Path, text: str, *, private: bool = False) -> None:
    """Write ``text`` as UTF-8, with its line ends as they are, atomically."""
    content = text.encode("utf-8")

    def fill(temporary: Path) -> None:
        temporary.write_bytes(content)

    write_atomically(path, fill, private=private)


def require_distinct(read: Iterable[NamedPath], written: Iterable[NamedPath]) -> None:
    """Check that nothing a command writes is what it reads, or what it writes beside.

    Paths are the same where they lead to one file, by links of either kind too.

    Args:
        read: what each file that is read is called, and its path if there is one.
        written: likewise for those that are written.

    Raises:
        ValueError: two paths are one file, or one to be written is a device or a pipe.
        IsADirectoryError: one to be written is a folder.
    """
    taken: list[NamedPath] = [(what, path) for what, path in read if path is not None]
    for what, path in written:
        if path is None:
            continue
        _require_plain(what, path)
        for other, there in taken:
            if there is not None and _are_one(path, there):
                raise ValueError(
                    f"every output must have a file of its own; {path} is {other} and {what}: "
                    "name another file."
                )
        taken.append((what, path))


def _are_one(path: Path, other: Path) -> bool:
    if resolved(path) == resolved(other):
        return True
    return path.exists() and other.exists() and path.samefile(other)


def _require_plain(what: str, path: Path) -> None:
    if path.is_dir():
        raise IsADirectoryError(f"{what} must be a file; {path} is a folder: name a file in it.")
    if path.exists() and not path.is_file():
        raise ValueError(
            f"{what} must be a file; {path} is a device or a pipe: name a file, which is put there "
            "whole."
        )


def resolved(path: Path) -> Path:
    """The path without links.

    Raises:
        OSError: one leads to itself.
    """
    try:
        return path.resolve()
    except RuntimeError:
        raise OSError(f"{path} is a link that leads to itself: name another file.") from None


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
