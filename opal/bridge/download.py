"""Files of public repositories at a fixed commit: from the network, or from a mirror.

A file is known by its path in the repository and its sha256 (``opal/bridge/registry/``). It is read
from ``$OPAL_DATA_MIRROR/owner/repo/commit/path`` where that variable is set, and otherwise
downloaded once from ``raw.githubusercontent.com`` into ``pooch.os_cache("opal")``. Whichever way it
comes, its sha256 is checked before its first use in a process.

The registry of a corpus is written from files at hand, laid out as in a mirror:

    python -m opal.bridge.download MIRROR OWNER REPO COMMIT > opal/bridge/registry/NAME.txt
"""

from __future__ import annotations

import hashlib
import os
import sys
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from opal import names

MIRROR_VARIABLE = "OPAL_DATA_MIRROR"
CONNECT_TIMEOUT_S = 10.0
PROBE_TIMEOUT_S = 6.0


class DownloadError(RuntimeError):
    """A file of a corpus cannot be had, or is not the file it should be."""


@dataclass(frozen=True)
class Repository:
    """A public repository at one commit."""

    name: str
    owner: str
    repository: str
    commit: str
    licence: str
    describes: str

    @property
    def location(self) -> str:
        """``owner/repo/commit``: the folder of the corpus in a mirror and in the cache."""
        return f"{self.owner}/{self.repository}/{self.commit}"

    def url(self, name: str) -> str:
        """Where a file is downloaded from."""
        return f"https://raw.githubusercontent.com/{self.location}/{name}"

    def registry(self) -> Mapping[str, str]:
        """Path in the repository → sha256, for every file of the corpus."""
        return _registry(self.name)

    def names(self) -> Iterable[str]:
        """Every path in the repository that the corpus holds."""
        return self.registry().keys()

    def path(self, name: str) -> Path:
        """A local, verified copy of one file.

        Raises:
            DownloadError: the file is not registered, cannot be had, or has another sha256.
        """
        if name not in self.registry():
            raise DownloadError(
                f"the corpus {self.name!r} has no file {name!r}. See `opal data list`."
            )
        mirror = _mirror()
        return _mirrored(self, name, mirror) if mirror else _downloaded(self, name)

    def check(self, chosen: Iterable[str]) -> None:
        """Verify those of the files that are here; what a mirror holds must be complete.

        Raises:
            DownloadError: a file is corrupted, or the mirror does not have it.
        """
        for name in chosen:
            if _mirror() or _local(self, name).exists():
                self.path(name)


OPAL = Repository(
    name="opal",
    owner="Xyc-arch",
    repository="OPAL",
    commit="3c08fdf9ff8c90e2638165b9563ddf8ab3a84c08",
    licence="none stated: read, never redistribute",
    describes="GPT-4 rows and published results of arXiv 2406.03628 (three tables)",
)
TEXTS = Repository(
    name="worker_vs_gpt",
    owner="AndersGiovanni",
    repository="worker_vs_gpt",
    commit="7af9edea6a10afc5a9ad59e8cebb24060b16bbef",
    licence="MIT; hate-speech: CC BY 4.0",
    describes="five corpora of texts, and what GPT-4 and Llama-2 made of them (EACL 2024)",
)
SCALING = Repository(
    name="scaling_law",
    owner="Xyc-arch",
    repository="scaling-law",
    commit="3a997ef00a0457605bd75ab8103acf190a0c66a9",
    licence="none stated: read, never redistribute",
    describes="GPT-2 rows and published curves of arXiv 2406.03628 (four tables, 146 MB)",
)
REPOSITORIES: Mapping[str, Repository] = {e.name: e for e in (OPAL, TEXTS, SCALING)}


def registry_lines(folder: Path) -> list[str]:
    """Path and sha256 of every file under a folder, sorted by path: a registry of pooch."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return [f"{path.relative_to(folder).as_posix()} {_sha256(path)}" for path in files]


def repository(name: str) -> Repository:
    """The corpus of that name.

    Raises:
        UnknownNameError: there is none; the message lists those there are.
    """
    names.check("corpus", [name], REPOSITORIES)
    return REPOSITORIES[name]


def listing() -> list[dict[str, Any]]:
    """What ``opal data list`` shows: each corpus, its source, licence, files and where they are."""
    return [
        {
            "corpus": entry.name,
            "repository": f"https://github.com/{entry.owner}/{entry.repository}",
            "commit": entry.commit,
            "licence": entry.licence,
            "n_files": len(entry.registry()),
            "n_local": sum(_local(entry, name).exists() for name in entry.names()),
            "folder": str(_folder(entry)),
            "describes": entry.describes,
        }
        for entry in REPOSITORIES.values()
    ]


def chosen(name: str | None = None) -> list[Repository]:
    """The :func:`repository` of that name; all of them by default."""
    return [repository(name)] if name else list(REPOSITORIES.values())


def verify(name: str | None = None) -> dict[str, Any]:
    """Hash what is here already and compare; nothing is downloaded.

    Returns:
        ``n_files``, ``n_verified``, ``missing`` and ``corrupted`` (lists of paths), ``ok``.

    Raises:
        DownloadError: the mirror is no folder.
    """
    files = [(entry, *each) for entry in chosen(name) for each in entry.registry().items()]
    missing, corrupted, n_files = [], [], len(files)
    for entry, path, expected in files:
        local = _local(entry, path)
        if not local.exists():
            missing.append(f"{entry.location}/{path}")
        elif _sha256(local) != expected:
            corrupted.append(f"{entry.location}/{path}")
    n_verified = n_files - len(missing) - len(corrupted)
    return {
        "n_files": n_files,
        "n_verified": n_verified,
        "missing": missing,
        "corrupted": corrupted,
        "ok": n_verified == n_files,
    }


def availability(corpus: str | Repository = "opal", under: str = "") -> str | None:
    """None if the corpus can be had; otherwise one line that says what is missing and what to do.

    It is of the files whose path begins as ``under`` does, by default of all.

    Costs a look at the folder, and a request of one small file where not everything is local. It
    answers within :data:`PROBE_TIMEOUT_S` seconds even where name resolution hangs.
    """
    entry = repository(corpus) if isinstance(corpus, str) else corpus
    try:
        mirror = _mirror()
    except DownloadError as error:
        return str(error)
    needed = [path for path in entry.names() if path.startswith(under)]
    missing = [path for path in needed if not _local(entry, path).exists()]
    if not missing:
        return None
    if mirror:
        return f"{MIRROR_VARIABLE} has not all files of {entry.location}/{under}; {_remedy(entry)}"
    failure: list[Exception] = []
    probe = threading.Thread(target=_probe, args=(entry, missing, failure), daemon=True)
    probe.start()
    probe.join(PROBE_TIMEOUT_S)
    if probe.is_alive() or failure:
        return f"the files of {entry.location} cannot be downloaded here; {_remedy(entry)}"
    return None


def _probe(entry: Repository, missing: Iterable[str], failure: list[Exception]) -> None:
    """Fetch one of the files, a text if there is one; a failure is left in the list."""
    name = min(missing, key=lambda path: (not path.endswith(".txt"), path))
    try:
        entry.path(name)
    except DownloadError as error:
        failure.append(error)


def _remedy(entry: Repository, first: str = "go online and run `opal data fetch`") -> str:
    return (
        f"{first}, or set {MIRROR_VARIABLE} to a folder laid out as "
        f"owner/repo/commit/path that holds {entry.location}."
    )


def _mirror() -> Path | None:
    """The folder that replaces the network, if one is named."""
    named = os.environ.get(MIRROR_VARIABLE)
    if named and not Path(named).is_dir():
        raise DownloadError(
            f"{MIRROR_VARIABLE} must name a folder laid out as owner/repo/commit/path; there is "
            f"none at {named}. Correct or unset it."
        )
    return Path(named) if named else None


def _folder(entry: Repository) -> Path:
    mirror = _mirror()
    if mirror:
        return mirror / entry.location
    import pooch

    return Path(pooch.os_cache("opal")) / entry.location


def _local(entry: Repository, name: str) -> Path:
    return _folder(entry) / name


@cache
def _registry(name: str) -> Mapping[str, str]:
    text = (Path(__file__).parent / "registry" / f"{name}.txt").read_text(encoding="utf-8")
    return dict(line.rsplit(" ", 1) for line in text.splitlines() if line.strip())


@cache
def _mirrored(entry: Repository, name: str, mirror: Path) -> Path:
    """A file of the mirror, verified once per process."""
    path = mirror / entry.location / name
    if not path.exists():
        raise DownloadError(f"the mirror has no file {path}; {_remedy(entry)}")
    received = _sha256(path)
    if received != entry.registry()[name]:
        raise DownloadError(
            f"{path} is corrupted: its sha256 must be {entry.registry()[name]}; got {received}. "
            f"Replace it by the file of https://github.com/{entry.owner}/{entry.repository} at "
            f"commit {entry.commit}."
        )
    return path


@cache
def _downloaded(entry: Repository, name: str) -> Path:
    """A file of the cache, downloaded if need be; pooch writes it only when its hash matches."""
    import pooch
    import requests

    pooch.get_logger().setLevel("WARNING")
    url = entry.url(name)
    local = _local(entry, name)
    try:
        return Path(
            pooch.retrieve(
                url,
                known_hash=f"sha256:{entry.registry()[name]}",
                fname=local.name,
                path=local.parent,
                downloader=pooch.HTTPDownloader(timeout=CONNECT_TIMEOUT_S),
            )
        )
    except ValueError as error:
        raise DownloadError(
            f"the download of {url} is corrupted: its sha256 must be {entry.registry()[name]}; "
            f"{error} Nothing was kept; try again, or report it if it happens twice."
        ) from error
    except (requests.exceptions.RequestException, OSError) as error:
        raise DownloadError(_not_downloaded(entry, name, error)) from error


def _not_downloaded(entry: Repository, name: str, error: Exception) -> str:
    """Why a file cannot be had from the network, and whether a corrupted one is in its place."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    reason = f"HTTP status {status}" if status else type(error).__name__
    local = _local(entry, name)
    state = ""
    if local.exists():  # pooch downloads a file that exists only where its sha256 differs
        state = (
            f"{local} is corrupted (its sha256 must be {entry.registry()[name]}; got "
            f"{_sha256(local)}), and "
        )
    remedy = _remedy(entry, "run `opal data fetch` later") if status else _remedy(entry)
    return f"{state}{entry.url(name)} cannot be downloaded ({reason}); {remedy}"


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    sys.stdout.write("\n".join(registry_lines(Path(*sys.argv[1:5]))) + "\n")
