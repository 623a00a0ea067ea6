from __future__ import annotations

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
