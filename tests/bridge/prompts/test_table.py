from __future__ import annotations

import json
import re

import numpy as np
import pandas as pd
import pytest

from opal.bridge.llm.request import ModelSettings, Rejection, Reply, Request
from opal.bridge.prompts import transcript
from opal.bridge.prompts.table import TablePrompter, numeric

SETTINGS = ModelSettings("some-model")


def table(n: int = 12) -> pd.DataFrame:
    """Two columns of numbers, an attribute and a label; n rows of each group."""
    rng = np.random.default_rng(0)
    groups = [(sex, y) for sex in (0, 1) for y in (0, 1) for _ in range(n)]
    return pd.DataFrame(
        {
            "age": rng.integers(20, 80, len(groups)),
            "dose mg": np.round(rng.normal(size=len(groups)), 3),
            "sex": [sex for sex, _ in groups],
            "y": [y for _, y in groups],
        }
    )


def reply(text: str) -> Reply:
    return Reply(text, 300, 60, "stop", "some-model", "2026-11-21", 0.06)


def shown(request: Request) -> list[str]:
    (line,) = [
        line for line in request.messages[1].content.split("\n") if line.startswith("Rows: ")
    ]
    found: list[str] = json.loads(line.removeprefix("Rows: "))
    return found


ROW = "age is {age}, dose mg is {dose}, sex is 0, y is 1."
THREE = "\n".join(ROW.format(age=30 + k, dose=k / 8) for k in range(3))


def prompter(**options: object) -> TablePrompter:
    usual: dict[str, object] = {"attributes": ("sex", "y"), "per_request": 3}
    return TablePrompter(table(), "y", SETTINGS, **{**usual, **options})  # type: ignore[arg-type]


def test_groups_are_label_and_attributes() -> None:
    assert prompter().groups == ("sex=0, y=0", "sex=0, y=1", "sex=1, y=0", "sex=1, y=1")
    assert prompter(attributes=()).groups == ("y=0", "y=1")


def test_a_request_shows_rows_of_its_group() -> None:
    request = prompter(n_examples=7).request("sex=0, y=1", 0)
    frame = table()
    inside = frame[(frame["sex"] == 0) & (frame["y"] == 1)].astype(float)
    own = {transcript.sentence(list(frame.columns), row) for row in inside.itertuples(index=False)}
    assert len(shown(request)) == len(request.seeds) == 7
    assert set(shown(request)) <= own
    assert "Write 3 more rows" in request.messages[1].content
    assert '"sex is 0, y is 1"' in request.messages[1].content


def test_columns_are_described() -> None:
    first = prompter(description="Patients.").request("sex=0, y=1", 0).messages[1].content
    found = json.loads(first.split("\n")[0].removeprefix("Table: "))
    assert found["about"] == "Patients."
    assert found["columns"]["sex"] == {"values": "whole numbers", "smallest": "0", "largest": "1"}
    assert found["columns"]["dose mg"]["values"] == "decimal numbers"


def test_shown_rows_read_back_exactly() -> None:
    values = (0.1, 1e-300, -3.0, 123456789.123, 2.0**60, 1 / 3)
    names = [f"c{k}" for k in range(len(values))]
    found = transcript.parse(transcript.sentence(names, values), names)
    assert tuple(found.rows.iloc[0]) == values


def test_an_answer_of_rows_is_read() -> None:
    one = prompter()
    request = one.request("sex=0, y=1", 0)
    found = one.parse(request, reply(THREE))
    assert isinstance(found, list)
    assert [sample.place for sample in found] == [0, 1, 2]
    assert found[1].content == {"age": 31.0, "dose mg": 0.125, "sex": 0.0, "y": 1.0}
    assert sum(sample.cost for sample in found) == pytest.approx(0.06)
    assert {sample.key for sample in found} == {request.key}
    assert one.read(request, reply(THREE)).rejections == ()
    fenced = one.parse(request, reply(f"```\n{THREE}\n```"))
    assert fenced == found


@pytest.mark.parametrize(
    ("text", "kept", "reason"),
    [
        (THREE + "\n" + ROW.format(age=70, dose=1), 3, "more rows than the 3 asked for"),
        (THREE.split("\n")[0], 1, "fewer rows than asked for: 1 of 3"),
        (THREE.replace("y is 1", "y is 0", 1), 2, "group 'sex=0, y=0'; asked for 'sex=0, y=1'"),
        (THREE.replace("sex is 0", "sex is 1", 1), 2, "group 'sex=1, y=1'"),
        (THREE.replace("age is 31", "age is 30").replace("0.125", "0"), 2, "the same row twice"),
        (f"Here you are:\n{THREE}", 3, "each part must be `name is value`"),
        (THREE.replace("age is 30", "age is old"), 2, "'age' must be a number; got 'old'"),
        (THREE.replace(", y is 1", "", 1), 2, "missing: y"),
        (THREE.replace("age is 30", "Age is 30"), 2, "no column 'Age'; did you mean 'age'?"),
    ],
)
def test_each_fault_has_its_reason_and_the_rest_counts(text: str, kept: int, reason: str) -> None:
    one = prompter()
    found = one.read(one.request("sex=0, y=1", 0), reply(text))
    assert len(found.samples) == kept
    assert any(reason in rejection.reason for rejection in found.rejections)


def test_a_copy_of_a_shown_row_is_rejected() -> None:
    one = prompter()
    request = one.request("sex=0, y=1", 0)
    copy = shown(request)[0].replace("sex is 0", "sex is 0.0")
    found = one.read(request, reply(f"{THREE.splitlines()[0]}\n{copy}"))
    assert len(found.samples) == 1
    assert "a copy of a row that was shown" in [r.reason for r in found.rejections]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no line is a row"),
        ("I cannot do that.", "no line is a row"),
        ("age is 30, y is 1.", "no line is a row"),
        ("```\n```", "no line is a row"),
        (THREE.replace("y is 1", "y is 0"), "a row of the group"),
    ],
)
def test_an_answer_without_samples_is_a_rejection(text: str, reason: str) -> None:
    one = prompter()
    found = one.parse(one.request("sex=0, y=1", 0), reply(text))
    assert isinstance(found, Rejection)
    assert reason in found.reason
    assert len(found.reason) <= 300


def test_requests_do_not_depend_on_the_order_of_the_rows() -> None:
    usual = prompter()
    turned = TablePrompter(table()[::-1], "y", SETTINGS, attributes=("sex",), per_request=3)
    assert usual.identity == turned.identity
    others = (
        prompter(key=1),
        prompter(per_request=4),
        prompter(n_examples=6),
        prompter(fixed_seeds=True),
    )
    assert usual.identity not in {other.identity for other in others}


def test_duplicates_count_once_and_are_told() -> None:
    frame = pd.concat([table(), table().head(2)])
    one = TablePrompter(frame, "y", SETTINGS)
    assert one.notes == ("2 of 50 rows repeat another one; each counts once.",)


def test_whole_numbers_that_floats_hold_are_taken() -> None:
    found = numeric(table().assign(age=2**60, y=np.uint64(2**63)))
    assert set(found["age"]) == {2.0**60}
    assert set(found["y"]) == {2.0**63}


@pytest.mark.parametrize(
    ("frame", "options", "message"),
    [
        (table(4), {}, "'sex=0, y=0' has 4"),
        (table().assign(age=np.nan), {}, "'age' has nan in data row 1"),
        (table().assign(age="old"), {}, "'age' has 'old' in data row 1"),
        (table().assign(age=np.inf), {}, "'age' has inf"),
        (table().assign(age=2**53 + 1), {}, "'age' has 9007199254740993, beyond 2^53, in"),
        (table().assign(age=str(-(2**64) - 1)), {}, "'age' has -18446744073709551617, beyond"),
        (table().rename(columns={"age": "a, b"}), {}, "got 'a, b': rename it"),
        (table().rename(columns={"age": "this is it"}), {}, "got 'this is it'"),
        (table().rename(columns={"age": " sex"}), {}, "columns 1 and 3 are both 'sex'"),
        (table().head(0), {}, "needs rows"),
        (table().rename(columns={"y": "Y"}), {}, "unknown column 'y'; did you mean 'Y'"),
        (table(), {"attributes": ("sx",)}, "unknown column 'sx'; did you mean 'sex'"),
        (table(), {"per_request": 0}, "at least 1 row; got 5 and 0"),
        (table(), {"fixed_seeds": True, "n_examples": 13}, "at least 13 different rows"),
    ],
)
def test_what_cannot_be_imitated_is_refused(
    frame: pd.DataFrame, options: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        TablePrompter(frame, "y", SETTINGS, **{"attributes": ("sex",), **options})  # type: ignore[arg-type]
