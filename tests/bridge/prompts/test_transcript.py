from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from opal.bridge.prompts import transcript
from opal.bridge.tabular import datasets, splits
from opal.bridge.tabular.splits import keys

TEXT = """age is 41.0, sex is 1, y is 0.
Here are more records:
sex is 0, age is 30, y is 1
age is 41.0, sex is 1

age is 41.0, sx is 1, y is 0.
age is forty, sex is 1, y is 0.
age is 1, age is 2, sex is 1, y is 0.
age is 1e400, sex is 1, y is 0.
age is 263,000, sex is 1, y is 0.
age is -3.5e1, sex is 1, y is 0.
"""


@pytest.mark.parametrize("part", ["-", "--|", "-- ", ":--:", "*-_=", "1,"])
def test_a_long_line_that_is_nearly_a_rule_takes_no_time(part: str) -> None:
    start = time.process_time()
    found = transcript.parse(f"age is 4, y is 1.\n{part * 34}x\n", ["age", "y"])
    assert time.process_time() - start < 1
    assert (len(found.rows), len(found.rejected)) == (1, 1)


@pytest.mark.parametrize(
    "part",
    ["*", "_", "`", "* ", "- ", "1) ", "a) ", "#1 ", " *a", " _a", " `a", "|", ";", "1,", "<"],
)
@pytest.mark.parametrize("form", ["age is {}", "- {} is 1", "{}"])
def test_a_long_line_of_one_mark_takes_time_as_its_length(part: str, form: str) -> None:
    """A pattern that reads the line again from each place needs 16 times as long, not 4."""
    taken = []
    for n in (20_000, 80_000):
        line = form.format((part * n)[:n])
        start = time.process_time()
        found = transcript.parse(f"age is 4, y is 1.\n{line}\n", ["age", "y"])
        taken.append(time.process_time() - start)
        assert found.rows.to_dict("split")["data"] == [[4, 1]]
    assert taken[1] < 9 * taken[0] + 0.2


def test_rows_keep_their_order_and_columns() -> None:
    found = transcript.parse(TEXT)
    assert list(found.rows.columns) == ["age", "sex", "y"]
    assert found.rows.to_numpy().tolist() == [[41, 1, 0], [30, 0, 1], [-35, 1, 0]]
    assert (found.n_lines, found.n_blank) == (11, 1)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (2, "each part must be `name is value`"),
        (4, "missing: y"),
        (6, "no column 'sx'; did you mean 'sex'?"),
        (7, "the value of 'age' must be a number; got 'forty'"),
        (8, "column 'age' is there twice"),
        (9, "the value of 'age' must be a number; got '1e400'"),
        (10, "each part must be `name is value`; got '000'"),
    ],
)
def test_every_rejected_line_has_its_number_and_reason(line: int, reason: str) -> None:
    rejected = {r.line: r.reason for r in transcript.parse(TEXT).rejected}
    assert reason in rejected[line]


def test_every_line_is_a_row_a_rejection_or_blank() -> None:
    found = transcript.parse(TEXT)
    assert len(found.rows) + len(found.rejected) + found.n_blank == found.n_lines
    assert found.n_marks == 0


def test_given_columns_decide() -> None:
    found = transcript.parse("a is 1, b is 2\n", columns=["b", "a"])
    assert found.rows.to_dict("records") == [{"b": 2.0, "a": 1.0}]
    assert transcript.parse("a is 1, b is 2\n", columns=["a"]).rows.empty


def test_column_that_no_line_has_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown column 'aeg'; did you mean 'age'"):
        transcript.parse(TEXT, columns=["aeg", "sex", "y"])


def test_text_without_rows_is_refused() -> None:
    with pytest.raises(ValueError, match="none is"):
        transcript.parse("no rows here\n")


SAID = ("bmi is 21.5, smokes is 0, sick is 1", "bmi is 30, smokes is 1, sick is 0")
READ = [[21.5, 0, 1], [30, 1, 0]]


@pytest.mark.parametrize(
    "form",
    [
        "- {}.",
        "  * {}",
        "+ {};",
        "\u2022\u00a0{}.",
        "\u2013 {}.",
        "> {}.",
        "- [x] {}.",
        "{n}. {}.",
        "{n}) {}.",
        "({n}) {}.",
        "{n}.{}.",
        "**{n}.** {}.",
        "- {n}: {}.",
        "#{n} {}.",
        "Row {n}: {}.",
        "Patient #{n}. {}.",
        "{letter}) {}.",
        '"{}.",',
        "\u201c{}\u201d",
        "`{}`",
        "**{}.**",
        "<li>{}.</li>",
        "\ufeff{}.",
        "\u200b{}.",
    ],
)
@pytest.mark.parametrize(
    ("part", "as_"),
    [
        ("", ""),
        (", sick", ", and sick"),
        (", sick", " and sick"),
        (", ", "; "),
        ("smokes", "**smokes**"),
        ("smokes", "_smokes_"),
        ("21.5", "*21.5*"),
        (" is ", "\u00a0is "),
    ],
)
def test_marks_around_rows_are_no_part_of_them(form: str, part: str, as_: str) -> None:
    rows = [row.replace(part, as_) if part else row for row in SAID]
    lines = [form.format(row, n=k + 1, letter="ab"[k]) for k, row in enumerate(rows)]
    for text in ("\n".join(lines), "```\n" + "\r\n".join(lines) + "\n```\n"):
        found = transcript.parse(text)
        assert found.rejected == ()
        assert list(found.rows.columns) == ["bmi", "smokes", "sick"]
        assert found.rows.to_numpy().tolist() == READ
        assert len(found.rows) + found.n_blank + found.n_marks == found.n_lines


@pytest.mark.parametrize(
    "text",
    [
        "| bmi | smokes | sick |\n|-----|:---:|--:|\n| 21.5 | 0 | 1 |\n| 30 | 1 | 0 |\n",
        "bmi | **smokes** | sick\n--- | --- | ---\n21.5 | 0 | 1\n30 | 1 | 0",
        "| # | bmi | smokes | sick |\n|--|--|--|--|\n| 1 | 21.5 | 0 | 1 |\n| 2 | 30 | 1 | 0 |",
        "```csv\nbmi,smokes,sick\n21.5,0,1\n30,1,0\n```",
        "\ufeffbmi;smokes;sick\n21.5;0;1\n30;1;0",
        "bmi\tsmokes\tsick\r\n21.5\t0\t1\r\n30\t1\t0\r\n",
        '"bmi", "smokes", "sick"\n"21.5", "0", "1"\n30, 1, 0',
    ],
)
def test_a_table_with_a_header_is_read(text: str) -> None:
    for columns in (None, ["bmi", "smokes", "sick"]):
        found = transcript.parse(text, columns)
        assert found.rejected == ()
        assert found.rows.to_dict("split")["data"] == READ
        assert list(found.rows.columns) == ["bmi", "smokes", "sick"]
    said = transcript.parse(f"Sure! The table is here:\n\n{text}\nThat is all.")
    assert said.rows.to_numpy().tolist() == READ


def test_lines_of_a_table_that_are_no_rows_are_rejected() -> None:
    text = "Here:\n| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | many |\n| 4 |\nDone."
    found = transcript.parse(text)
    assert found.rows.to_dict("records") == [{"a": 1.0, "b": 2.0}]
    assert [line.line for line in found.rejected] == [1, 5, 6, 7]
    assert found.rejected[1].reason == "the value of 'b' must be a number; got 'many'"
    assert (found.n_blank, found.n_marks) == (0, 2)  # the header and its rule


def test_a_name_that_begins_as_a_list_does_is_kept_where_it_is_named() -> None:
    text = "1. ring is 3, x1*x2 is 4\n1. ring is 5, x1*x2 is 6\n"
    found = transcript.parse(text, ["1. ring", "x1*x2"])
    assert found.rows.to_numpy().tolist() == [[3, 4], [5, 6]]
    assert list(transcript.parse(text).rows.columns) == ["ring", "x1*x2"]


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("\u2756 bmi is 1, sick is 0\n\u2756 bmi is 2, sick is 1", "got '\u2756 bmi', whose first"),
        ("Case A: bmi is 1, sick is 0\nCase B: bmi is 2, sick is 1", "no two lines have the same"),
        ("21.5,0,1\n30,1,0", "none is"),
        ("bmi: 1, sick: 0", "none is"),
    ],
)
def test_names_that_may_hold_a_mark_are_refused(text: str, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        transcript.parse(text)


def test_commas_within_numbers_are_never_read_as_others() -> None:
    found = transcript.parse("a is 3,5; b is 1\na is 3.5; b is 1\n")
    assert found.rows.to_dict("records") == [{"a": 3.5, "b": 1.0}]
    assert found.rejected[0].reason == "the value of 'a' must be a number; got '3,5'"


@pytest.mark.parametrize(
    "text",
    [
        "age is 41,5, class is 1.\nage is 3, class is 0.\n",
        "age is 41,5,class is 1\nage is 3,class is 0\n",
        "- age is 41,5; class is 1\n- age is 3; class is 0\n",
        "age;class\n41,5;1\n3;0\n",
        "age\tclass\n41,5\t1\n3\t0\n",
        "| age | class |\n|---|---|\n| 41,5 | 1 |\n| 3 | 0 |\n",
    ],
)
def test_decimal_commas_are_read_where_they_can_be_nothing_else(text: str) -> None:
    found = transcript.parse(text)
    assert found.rows.to_dict("split")["data"] == [[41.5, 1], [3.0, 0]]
    assert found.rows["class"].dtype.kind == "i"
    assert found.rejected == ()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a is 1,250, b is 1\na is 1, b is 2\n", "each part must be `name is value`; got '250'"),
        ("a is 1, 250, b is 1\na is 1, b is 2\n", "each part must be `name is value`; got '250'"),
        ("|a|b|\n|--|--|\n|1,250|1|\n|1|2|\n", "the value of 'a' must be a number; got '1,250'"),
        ("a;b\n1.250,5;1\n1;2\n", "the value of 'a' must be a number; got '1.250,5'"),
    ],
)
def test_what_may_be_thousands_is_rejected(text: str, reason: str) -> None:
    assert [line.reason for line in transcript.parse(text, ["a", "b"]).rejected] == [reason]


def test_a_name_may_begin_with_a_digit_behind_a_comma() -> None:
    found = transcript.parse("a is 1,2nd is 3\na is 4,2nd is 5\n")
    assert found.rows.to_dict("split")["data"] == [[1, 3], [4, 5]]


def test_gpt4_text_is_the_published_rows(mirror: Path) -> None:
    """All 30 files: the same rows as in the CSV, counted (the imbalanced CSVs are reordered)."""
    n_files = 0
    for name in datasets.NAMES:
        dataset = datasets.listed(name)
        for task in datasets.TASKS:
            for seed in datasets.SEEDS:
                text = dataset.files.path(f"{dataset.folders[task, 'focus']}/4-rand{seed}.txt")
                found = transcript.parse(text.read_text())
                csv = splits.load(dataset, task, "focus", seed).synthetic
                rows = pd.DataFrame(found.rows)[list(csv.columns)]
                assert found.rejected == ()
                assert Counter(keys(rows)) == Counter(keys(csv))
                n_files += 1
    assert n_files == 30
