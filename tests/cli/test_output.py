"""Tables for people: what does not fit beside each other is printed below each other."""

from __future__ import annotations

import pytest

from opal.cli import output


def test_wide_tables_are_printed_in_parts_with_numbered_rows(
    capsys: pytest.CaptureFixture[str],
) -> None:
    columns = [f"column {k}" for k in range(30)]
    rows = [["first", *(1000.0 + k for k in range(29))], ["second", *([0.5] * 29)]]
    output.print_table("many", columns, rows)
    lines = capsys.readouterr().out.splitlines()
    heads = [line for line in lines if line.startswith("#")]
    assert len(heads) == 3
    assert [word for head in heads for word in head.split()[1:]] == " ".join(columns).split()
    assert max(len(line) for line in lines) <= 140
    assert [line.split()[0] for line in lines if line and line[0].isdigit()] == ["1", "2"] * 3
    assert "1028" in lines[-2]


def test_narrow_tables_and_long_words_stay_in_one_part(
    capsys: pytest.CaptureFixture[str],
) -> None:
    output.print_table("few", ["name", "claim"], [["a", "word " * 60], ["b", 1.0]])
    out = capsys.readouterr().out
    assert "#" not in out
    assert out.count("name") == 1
    assert out.split().count("word") == 60
