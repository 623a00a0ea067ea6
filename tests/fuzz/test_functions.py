"""No public function answers a hostile argument with anything but a result or a refusal."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.fuzz import calls, harness


def _report(folder: str, n: int, seed: int) -> None:
    os.chdir(folder)
    (Path(folder) / "faults.txt").write_text("\n\n".join(calls.faults(n, seed)), encoding="utf-8")


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_hostile_arguments(tmp_path: Path) -> None:
    """In a process of its own: here types are checked before the function sees them."""
    process = harness.context().Process(target=_report, args=(str(tmp_path), 240, 11))
    process.start()
    process.join(300)
    hangs = process.is_alive()
    if hangs:
        process.kill()
        process.join()
    assert not hangs
    assert (tmp_path / "faults.txt").read_text(encoding="utf-8") == ""
    assert [path.name for path in tmp_path.iterdir()] == ["faults.txt"]


@pytest.mark.parametrize(
    ("function", "fault"),
    [
        (lambda n: [][n], "IndexError"),
        (lambda n: 1 / 0, "ZeroDivisionError"),
        (lambda n: int("x"), ""),
        (lambda n: None, ""),
    ],
)
def test_a_bug_is_told_from_a_refusal(
    function: object, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = calls.Call("f", function, {}, ("n",))  # type: ignore[arg-type]
    monkeypatch.setattr(calls, "calls", lambda: [call])
    monkeypatch.setattr(calls, "hostile", lambda: [3])
    found = calls.faults(1, 0)
    assert len(found) == (fault != "")
    assert all(fault in each for each in found)
