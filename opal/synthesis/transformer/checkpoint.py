"""Checkpoints of a training run: whole or absent, and of the run that asks for them.

A folder holds ``generator.json`` (the configurations and opal's version) and, for each of the last
few saved steps, an Orbax checkpoint with the digests of its files. What cannot be read, or is of
another run, is left as it is. One process at a time trains in a folder.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import IO, Any, TypeVar

import jax
import orbax.checkpoint as ocp

from opal import __version__, files
from opal.arrays import AnyArray

Tree = TypeVar("Tree")
_IDENTITY = "generator.json"
_LOCK = ".generator.lock"
_DIGESTS = "digests.json"  # its presence says that a checkpoint is whole
_KEPT = 3


class Checkpoints:
    """The checkpoints of one run in one folder.

    Args:
        folder: made if it does not exist.
        identity: JSON-able configurations of the run.

    Raises:
        ValueError: the folder holds something else, or the checkpoints of another run.
        OSError: the folder cannot be written.
    """

    def __init__(self, folder: Path, identity: dict[str, Any]) -> None:
        self.folder = Path(folder).absolute()
        # As JSON gives it back: tuples are lists there.
        expected = json.loads(json.dumps({**identity, "opal": __version__}))
        if self._is_empty():
            with self._locked():
                if self._is_empty():  # still, now that no other process can begin there
                    files.write_json(self.folder / _IDENTITY, expected)
        _check_same(self._identity(), expected, self.folder)

    @contextmanager
    def alone(self, last: int) -> Iterator[None]:
        """Keep other processes from the folder; wait for the one that has it.

        The lock ends with the process. A run that has its last checkpoint needs none, so that it
        can be read where nothing can be written.

        Args:
            last: step of the run's last checkpoint.

        Raises:
            OSError: the folder cannot be written.
        """
        ended = (self.folder / str(last) / _DIGESTS).exists()
        with nullcontext() if ended else self._locked():
            yield

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            file = (self.folder / _LOCK).open("w")
        except OSError as error:
            raise OSError(
                f"checkpoints need a folder that can be written; {self.folder} cannot "
                f"({error.strerror}). Name another one (for the cache of generators: in the "
                "environment variable OPAL_GENERATORS)."
            ) from error
        with file:
            _wait(file, self.folder)
            yield

    def _is_empty(self) -> bool:
        """Whether nothing is there but what a killed process began to write."""
        if not self.folder.exists():
            return True
        if not self.folder.is_dir():
            raise ValueError(f"checkpoints need a folder; {self.folder} is a file. Name another.")
        begun = (f".{_IDENTITY}.", _LOCK)
        return all(entry.name.startswith(begun) for entry in self.folder.iterdir())

    def _identity(self) -> dict[str, Any]:
        path = self.folder / _IDENTITY
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ValueError(
                f"a folder of checkpoints must be empty or have a readable {_IDENTITY}; "
                f"{self.folder} has not ({error}). Nothing was touched; name another folder."
            ) from error
        if not isinstance(found, dict):
            raise ValueError(
                f"{path} must hold the configurations of a run; got {found!r}. Nothing was "
                "touched; name another folder."
            )
        return found

    def save(self, step: int, tree: Any) -> None:
        """Write the leaves of a pytree; the oldest of more than three checkpoints goes.

        Raises:
            OSError: the checkpoint cannot be written; those before it are whole.
        """
        try:
            self._write(step, tree)
        except Exception as error:  # Orbax and TensorStore raise many kinds
            raise OSError(
                f"the checkpoint of step {step} could not be written to {self.folder} "
                f"({type(error).__name__}: {error}). Those before it are whole: make room or let "
                "the folder be written, and start again to go on from the last of them."
            ) from error

    def _write(self, step: int, tree: Any) -> None:
        options = ocp.CheckpointManagerOptions(
            max_to_keep=_KEPT, enable_async_checkpointing=False, cleanup_tmp_directories=True
        )
        with ocp.CheckpointManager(self.folder, options=options) as manager:
            for stale in manager.all_steps():
                if stale >= step:  # a process was killed before it wrote the digests
                    manager.delete(stale)
            state = ocp.args.StandardSave(_leaves(tree))
            manager.save(step, args=ocp.args.Composite(state=state))
        written = self.folder / str(step)
        files.write_json(written / _DIGESTS, _digests(written))

    def latest(self, like: Tree) -> Tree | None:
        """The last saved pytree; None before the first was saved.

        Args:
            like: a pytree of the same structure, shapes and types.

        Raises:
            ValueError: the checkpoint is damaged, or its arrays are not those of ``like``.
        """
        whole = [int(path.parent.name) for path in self.folder.glob(f"[0-9]*/{_DIGESTS}")]
        if not whole:
            return None
        step = max(whole)
        self._check_digests(step)
        names = list(_leaves(like))  # in the order of the tree; JAX sorts those of a dict
        shapes = jax.tree.map(ocp.utils.to_shape_dtype_struct, _leaves(like))
        state = ocp.args.StandardRestore(shapes)
        options = ocp.CheckpointManagerOptions(create=False)
        with ocp.CheckpointManager(self.folder, options=options) as manager:
            try:
                leaves = manager.restore(step, args=ocp.args.Composite(state=state))["state"]
            except Exception as error:  # Orbax and TensorStore raise many kinds
                raise ValueError(self._damaged(step, f"{type(error).__name__}: {error}")) from error
        return jax.tree.unflatten(jax.tree.structure(like), [leaves[name] for name in names])

    def _check_digests(self, step: int) -> None:
        """Orbax is given only what was saved: it would leave half of its reads behind."""
        written = self.folder / str(step)
        try:
            expected = json.loads((written / _DIGESTS).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ValueError(self._damaged(step, f"{_DIGESTS}: {error}")) from error
        found = _digests(written)
        if found != expected:
            names = sorted({*found, *expected})
            first = next(name for name in names if found.get(name) != expected.get(name))
            raise ValueError(self._damaged(step, f"{first} is not as written"))

    def _damaged(self, step: int, reason: str) -> str:
        return (
            f"a checkpoint must be as it was saved; {self.folder / str(step)} is damaged "
            f"({reason}). Nothing was touched; remove that folder to go on from the checkpoint "
            f"before it, or all of {self.folder} to train again."
        )


def _check_same(found: dict[str, Any], expected: dict[str, Any], folder: Path) -> None:
    """Raise a ValueError that names what differs between two identities."""
    a, b = _flat(found), _flat(expected)
    differing = [
        f"{name} is {a.get(name)!r} and not {b.get(name)!r}"
        for name in sorted({*a, *b})
        if a.get(name) != b.get(name)
    ]
    if differing:
        remedy = "ask for the same run"
        if a.get("opal") != b["opal"]:
            remedy += f" with opal {a.get('opal')}"
        raise ValueError(
            f"{folder} holds the checkpoints of another run: {'; '.join(differing)}. Nothing was "
            f"touched; name another folder, or {remedy}."
        )


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        inside = isinstance(value, dict)
        flat |= _flat(value, f"{prefix}{name}.") if inside else {prefix + name: value}
    return flat


def _wait(file: IO[str], folder: Path) -> None:
    """Hold the lock of a file, once nobody else does; where the system has none, go on."""
    try:
        import fcntl
    except ImportError:  # Windows
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        logging.getLogger(__name__).warning("waiting for the process that trains in %s", folder)
        fcntl.flock(file, fcntl.LOCK_EX)


def _leaves(tree: Any) -> dict[str, AnyArray]:
    """Leaves by their paths."""
    pairs, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {jax.tree_util.keystr(path): leaf for path, leaf in pairs}


def _digests(folder: Path) -> dict[str, str]:
    """sha256 of each file of a checkpoint."""
    paths = [path for path in folder.rglob("*") if path.is_file() and path.name != _DIGESTS]
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in paths
    }
