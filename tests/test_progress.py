from __future__ import annotations

import pytest

from opal import progress


def test_it_says_how_many_of_how_many_and_what_goes_on_then_disappears(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # a console of its own believes in a terminal
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "xterm")
    with progress.bar("measuring [x]", 4) as bar:
        bar.advance()
        bar.update(3, doing="nearly [/done]")
        bar._progress.refresh()
    out, err = capsys.readouterr()
    assert out == ""
    assert "nearly [/done]" in err
    assert "3/4" in err
    assert "left" in err
    assert err.endswith("\x1b[2K")  # its line is erased


def test_a_file_gets_no_bar_and_neither_does_who_wants_quiet(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert list(progress.track([1, 2], "counting")) == [1, 2]
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert list(progress.track([1, 2], "counting", quiet=True)) == [1, 2]
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.strip() == ""


def test_what_is_left_follows_from_what_was_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    with progress.bar("cells", 10, quiet=True) as bar:
        now = [0.0]
        monkeypatch.setattr(bar._progress, "get_time", lambda: now[0])
        bar._progress.start_task(bar._task)
        for _ in range(4):
            now[0] += 100.0
            bar.advance()
        task = bar._progress.tasks[0]
        assert task.time_remaining == pytest.approx(600, abs=1)


def test_a_total_may_be_told_late() -> None:
    with progress.bar("asking", quiet=True) as bar:
        bar.update(2, 8)
        task = bar._progress.tasks[0]
    assert (task.completed, task.total, task.description) == (2, 8, "asking")
