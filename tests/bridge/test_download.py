from __future__ import annotations

import hashlib
import re
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from opal.bridge import download
from opal.bridge.download import DownloadError, Repository

CONTENT = b"a,b\n1,2\n"
SHA = hashlib.sha256(CONTENT).hexdigest()


@dataclass(frozen=True)
class Toy(Repository):
    """A corpus of one file, on a server of the test's own."""

    server: str = ""
    files: tuple[tuple[str, str], ...] = field(default=(("data/t.csv", SHA),))

    def url(self, name: str) -> str:
        return f"{self.server}/{name}"

    def registry(self) -> Mapping[str, str]:
        return dict(self.files)


def toy(commit: str, server: str = "") -> Toy:
    return Toy("toy", "me", "repo", commit, "MIT", "a toy", server=server)


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    root = tmp_path / "served"
    (root / "data").mkdir(parents=True)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(root))) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}", root / "data/t.csv"
        running.shutdown()


@pytest.fixture
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.delenv(download.MIRROR_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path / "cache"


def test_download_lands_in_the_cache_whole(server: tuple[str, Path], own_cache: Path) -> None:
    url, served = server
    served.write_bytes(CONTENT)
    path = toy("c1", url).path("data/t.csv")
    assert path.read_bytes() == CONTENT
    assert path == own_cache / "opal/me/repo/c1/data/t.csv"


def test_corrupted_download_says_file_and_hashes_and_keeps_nothing(
    server: tuple[str, Path], own_cache: Path
) -> None:
    url, served = server
    served.write_bytes(CONTENT + b"x")
    received = hashlib.sha256(CONTENT + b"x").hexdigest()
    with pytest.raises(DownloadError, match="corrupted") as error:
        toy("c2", url).path("data/t.csv")
    assert "data/t.csv" in str(error.value)
    assert SHA in str(error.value)
    assert received in str(error.value)
    assert [path for path in own_cache.rglob("*") if path.is_file()] == []


def test_absent_file_on_the_server_says_how_to_get_it(
    server: tuple[str, Path], own_cache: Path
) -> None:
    expected = (
        r"cannot be downloaded \(HTTP status 404\); run `opal data fetch` later, or set OPAL_D"
    )
    with pytest.raises(DownloadError, match=expected):
        toy("c3", server[0]).path("data/t.csv")


def test_corrupted_file_in_the_cache_is_told_from_an_absent_one(own_cache: Path) -> None:
    """Nothing listens at the address: what is here is all there is."""
    entry = toy("c6", "http://127.0.0.1:9")
    with pytest.raises(
        DownloadError, match=r"^http://127.*cannot be downloaded \(ConnectionError\)"
    ):
        entry.path("data/t.csv")
    local = own_cache / "opal/me/repo/c6/data/t.csv"
    local.parent.mkdir(parents=True, exist_ok=True)
    local.write_bytes(b"half")
    received = hashlib.sha256(b"half").hexdigest()
    expected = (
        f"^{re.escape(str(local))} is corrupted .*{SHA}; got {received}.*cannot be downloaded"
    )
    with pytest.raises(DownloadError, match=expected):
        entry.path("data/t.csv")


def test_files_that_are_here_are_checked_and_none_is_downloaded(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    entry = toy("c7", "http://127.0.0.1:9")
    entry.check(["data/t.csv"])
    local = own_cache / "opal/me/repo/c7/data/t.csv"
    local.parent.mkdir(parents=True)
    local.write_bytes(b"half")
    with pytest.raises(DownloadError, match="is corrupted"):
        entry.check(["data/t.csv"])
    monkeypatch.setenv(download.MIRROR_VARIABLE, str(tmp_path))
    with pytest.raises(DownloadError, match="the mirror has no file"):
        entry.check(["data/t.csv"])


def test_mirror_that_is_no_folder_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(download.MIRROR_VARIABLE, "/nonexistent")
    expected = f"{download.MIRROR_VARIABLE} must name a folder .* there is none at /nonexistent"
    for refused in (download.verify, download.listing):
        with pytest.raises(DownloadError, match=expected):
            refused()
    assert re.match(expected, download.availability() or "")


def test_mirror_is_read_and_verified(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(download.MIRROR_VARIABLE, str(tmp_path))
    file = tmp_path / "me/repo/c4/data/t.csv"
    file.parent.mkdir(parents=True)
    file.write_bytes(CONTENT)
    assert toy("c4").path("data/t.csv") == file
    assert download.availability(toy("c4")) is None


def test_corrupted_mirror_says_file_and_hashes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(download.MIRROR_VARIABLE, str(tmp_path))
    file = tmp_path / "me/repo/c5/data/t.csv"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"something else")
    received = hashlib.sha256(b"something else").hexdigest()
    expected = f"{re.escape(str(file))} is corrupted.*{SHA}.*{received}.*Replace it"
    with pytest.raises(DownloadError, match=expected):
        toy("c5").path("data/t.csv")


def test_incomplete_mirror_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(download.MIRROR_VARIABLE, str(tmp_path))
    reason = download.availability()
    assert reason is not None
    assert "\n" not in reason
    assert "Xyc-arch/OPAL" in reason


def test_a_part_of_a_mirror_has_what_it_has(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(download.MIRROR_VARIABLE, str(tmp_path))
    entry = replace(toy("c6"), files=(("data/a/t.csv", SHA), ("data/b/t.csv", SHA)))
    file = tmp_path / entry.location / "data/a/t.csv"
    file.parent.mkdir(parents=True)
    file.write_bytes(CONTENT)
    assert download.availability(entry, "data/a/") is None
    assert "has not all files of me/repo/c6/data/b/;" in (
        download.availability(entry, "data/b/") or ""
    )


def test_offline_is_said_in_one_line_and_soon(offline: None) -> None:
    start = time.monotonic()
    reason = download.availability()
    assert time.monotonic() - start < download.PROBE_TIMEOUT_S + 2
    assert reason is not None
    assert "\n" not in reason
    assert "opal data fetch" in reason
    assert download.MIRROR_VARIABLE in reason


def test_unregistered_file_and_unknown_corpus_are_refused() -> None:
    with pytest.raises(DownloadError, match="no file 'nothing'"):
        download.OPAL.path("nothing")
    with pytest.raises(ValueError, match="did you mean 'opal'"):
        download.repository("opla")


def test_registry_holds_a_sha256_for_every_file() -> None:
    registry = download.OPAL.registry()
    results = [name for name in registry if name.startswith("main/results/")]
    assert len(results) == 72
    assert all(re.fullmatch("[0-9a-f]{64}", sha) for sha in registry.values())


def test_registry_lines_are_made_from_files(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/t.csv").write_bytes(CONTENT)
    assert download.registry_lines(tmp_path) == [f"a/t.csv {SHA}"]


@pytest.mark.parametrize(("name", "n_files"), [("opal", 375), ("worker_vs_gpt", 27)])
def test_mirror_is_whole(name: str, n_files: int, mirror: Path) -> None:
    found = download.verify(name)
    assert found["ok"]
    assert found["n_verified"] == found["n_files"] == n_files
    assert download.availability(name) is None
    assert {row["corpus"]: row["n_local"] for row in download.listing()}[name] == n_files
