"""Several files of texts: their columns, and who wrote them."""

from __future__ import annotations

from pathlib import Path

import pytest

from opal.bridge.text.columns import Columns
from opal.bridge.text.files import read_each, read_files
from opal.bridge.text.reading import write_texts
from tests.bridge.text.saved import rows, save


def test_texts_of_several_columns_are_the_same_lines_in_all_files(tmp_path: Path) -> None:
    made: list[dict[str, object]] = [
        {"premise": "It rains.", "claim": "It is wet.", "label": "yes"},
        {"premise": "It snows.", "claim": "It is hot.", "label": "no"},
    ]
    path = save(tmp_path / "pairs.csv", made)
    pairs = Columns(text="premise, claim")
    expected = ["premise: It rains.\nclaim: It is wet.", "premise: It snows.\nclaim: It is hot."]
    plain = save(tmp_path / "made.jsonl", rows("yes", "no"))
    found = read_each([path], [plain], pairs)
    assert {each: own.columns for each, own in found.items()} == {path: pairs, plain: Columns()}
    with pytest.raises(ValueError, match=r"made.jsonl .* must be of the columns 'premise' and 'cl"):
        read_files(path, None, [plain], pairs)
    lines: list[dict[str, object]] = [
        {"text": f"premise: It is {i}.\nclaim: No.", "label": "no"} for i in range(2)
    ]
    whole = read_files(path, None, [save(plain, lines)], pairs).frame
    assert whole["text"].tolist() == [*expected, *(str(line["text"]) for line in lines)]
    save(plain, [{"text": "premise: It is so.", "label": "no"}])
    with pytest.raises(ValueError, match="have a line for each that begins with its name"):
        read_files(path, None, [plain], pairs)
    titled = save(tmp_path / "titled.csv", [{"title": "A", "text": t, "label": t} for t in "bc"])
    joined = save(tmp_path / "joined.csv", [{"text": "title: A\ntext: d", "label": "b"}])
    whole = read_files(titled, None, [joined], Columns(text="title,text")).frame
    assert whole["text"].tolist() == [f"title: A\ntext: {each}" for each in "bcd"]
    half = save(tmp_path / "half.csv", [{"claim": "It is.", "label": "no"}])
    with pytest.raises(ValueError, match=r"half.csv has no column 'premise', of 'premise, claim'"):
        read_files(path, half, [], pairs)


def test_a_column_of_the_source_is_named_where_it_calls_some_human(tmp_path: Path) -> None:
    made: list[dict[str, object]] = [
        {"text": f"text {i}", "label": "ab"[i % 2], "source": ("human", "gpt-4")[i // 4]}
        for i in range(6)
    ]
    path = save(tmp_path / "made.csv", made)
    with pytest.raises(
        ValueError,
        match=r"made.csv has a column 'source' that calls some texts 'human' and others 'gpt-4'",
    ):
        read_files(path, None, [], Columns())
    named = read_files(path, None, [], Columns(source="source")).frame
    assert named["source"].tolist() == ["human"] * 4 + ["gpt-4"] * 2
    other = read_files(path, None, [], Columns(attribute="source")).frame
    assert other["source"].unique() == ["human"]
    mine = save(tmp_path / "mine.csv", [row | {"by": "human"} for row in rows("a", "b")])
    mixed = save(tmp_path / "test.csv", [row | {"by": row["source"]} for row in made])
    with pytest.raises(ValueError, match=r"real texts are of people, .* 2 of 6 in .* of 'gpt-4'"):
        read_files(mine, mixed, [], Columns(source="by"))
    channels = [row | {"source": ("sms", "mail")[i % 2]} for i, row in enumerate(made)]
    plain = read_files(save(path, channels), None, [], Columns()).frame
    assert plain["source"].unique() == ["human"]
    with pytest.raises(ValueError, match=r"must be of people, .* has those of 'sms', 'mail' alone"):
        read_files(path, None, [], Columns(source="source"))


def test_files_of_a_model_are_read_once(tmp_path: Path) -> None:
    mine = save(tmp_path / "mine.csv", rows("yes", "no"))
    made: list[dict[str, object]] = [{"text": f"made {i}", "label": "yes"} for i in range(2)]
    one = save(tmp_path / "samples.csv", made)
    (tmp_path / "other").mkdir()
    other = save(tmp_path / "other" / "samples.csv", [{"text": "more", "label": "yes"}])
    for files in ([one, one], [mine]):
        with pytest.raises(ValueError, match=r"is named 2 times. Name it once"):
            read_files(mine, None, files, Columns())
    with pytest.raises(ValueError, match=r"files are models by their names, and .* have the same"):
        read_files(mine, None, [one, other], Columns())
    named = save(other, [{"text": "more", "label": "yes", "by": "llama"}])
    whole = read_files(mine, None, [one, named], Columns(source="by")).frame
    assert list(whole["source"].unique()) == ["human", "samples", "llama"]


@pytest.mark.parametrize(
    ("column", "people"),
    [("SOURCE", "human"), ("written_by", "Human-written"), ("author", "people")],
)
def test_a_column_of_authors_is_named_where_it_calls_some_human(
    tmp_path: Path, column: str, people: str
) -> None:
    made = [row | {column: (people, "llama")[i // 4]} for i, row in enumerate(rows(*"ababab"))]
    path = save(tmp_path / "made.csv", made)
    match = rf"a column '{column}' that calls some texts '{people}' and others 'llama'"
    with pytest.raises(ValueError, match=match):
        read_files(path, None, [], Columns())
    if people != "human":
        with pytest.raises(ValueError, match="Write 'human' for people, or name another column"):
            read_files(path, None, [], Columns(source=column))
    alone = [row | {column: people} for row in made]  # all of people
    found = read_files(save(path, alone), None, [], Columns())
    assert found.notes == (f"made.csv: text in 'text', label in 'label'; not read: '{column}'",)


def test_another_column_that_calls_some_texts_human_is_told(tmp_path: Path) -> None:
    topics = [row | {"topic": ("human", "plant")[i % 2]} for i, row in enumerate(rows(*"abab"))]
    found = read_files(save(tmp_path / "own.csv", topics), None, [], Columns())
    assert len(found.frame) == 4
    assert found.notes[1].startswith("own.csv: 'topic' calls 2 texts human, and is not read: if it")
    field = [row | {"source": ("humanities", "law")[i % 2]} for i, row in enumerate(rows(*"abab"))]
    assert len(read_files(save(tmp_path / "own.csv", field), None, [], Columns()).notes) == 1
    many = [row | {"topic": f"human {i}"} for i, row in enumerate(rows(*"ab" * 15))]
    assert len(read_files(save(tmp_path / "own.csv", many), None, [], Columns()).notes) == 1


def test_a_file_of_several_models_names_them(tmp_path: Path) -> None:
    mine = save(tmp_path / "mine.csv", rows("yes", "no"))
    both = [row | {"Source": ("gpt-4", "llama")[i]} for i, row in enumerate(rows("yes", "no"))]
    made = save(tmp_path / "made.csv", [row | {"text": f"made {row['text']}"} for row in both])
    with pytest.raises(
        ValueError, match=r"made.csv is one model's, .* says 'gpt-4', 'llama'. Name"
    ):
        read_files(mine, None, [made], Columns())
    found = read_files(mine, None, [made], Columns(source="Source")).frame
    assert found["source"].tolist() == ["human", "human", "gpt-4", "llama"]
    save(made, [row | {"model": "human"} for row in rows("yes", "no")])
    with pytest.raises(ValueError, match=r"made.csv has a column 'model' that says 'human'. Leave"):
        read_files(mine, None, [made], Columns())
    save(made, [row | {"who": "Human-written"} for row in rows("yes", "no")])
    with pytest.raises(ValueError, match=r"made.csv calls some of them 'Human-written'. Rename"):
        read_files(mine, None, [made], Columns(source="who"))
    save(mine, [r | {"source": ("", "law")[i]} for i, r in enumerate(rows("yes", "no"))])
    models = [r | {"source": m} for r, m in zip(rows(*"aba"), ("gpt", "llama", ""), strict=True)]
    save(made, models)
    with pytest.raises(ValueError, match=r"made.csv is one model's, .* 'gpt', 'llama'. Name"):
        read_files(mine, None, [made], Columns())
    # Real texts come by the same channels: these are no models.
    channels = [row | {"source": ("sms", "mail")[i]} for i, row in enumerate(rows("yes", "no"))]
    save(mine, channels)
    save(made, [row | {"text": f"made {row['text']}"} for row in channels])
    found = read_files(mine, None, [made], Columns()).frame
    assert found["source"].tolist() == ["human", "human", "made", "made"]


def test_seeds_may_be_ids_of_another_file(tmp_path: Path) -> None:
    mine = save(tmp_path / "mine.csv", [r | {"nr": i} for i, r in enumerate(rows("yes", "no"))])
    lines: list[dict[str, object]] = [
        {"text": f"made {i}", "label": "yes", "nr": i, "of": seed}  # numbers of its own
        for i, seed in enumerate([1.0, None, 0.0])
    ]
    made = save(tmp_path / "made.csv", lines)
    columns = Columns(seed="of", id="nr")
    found = read_files(mine, None, [made], columns).frame
    ids = found["id"].tolist()
    assert found["seeds"].tolist() == [(), (), (ids[1],), (), (ids[0],)]
    save(made, [{name: row[name] for name in ("text", "label", "of")} for row in lines])
    again = read_files(mine, None, [made], columns).frame
    assert again["seeds"].tolist() == found["seeds"].tolist()
    own = save(tmp_path / "own.jsonl", [r | {"seeds": ["f" * 16]} for r in rows("yes", "no")])
    table = read_files(mine, None, [own], Columns()).frame  # a table of opal's knows its seeds
    write_texts(table[table["source"] != "human"], own)
    both = read_files(mine, None, [made, own], columns).frame
    assert both["seeds"].tolist() == [*found["seeds"], *table["seeds"][2:]]
    save(mine, [r | {"nr": 1} for r in rows("yes", "no")])
    with pytest.raises(ValueError, match=r"mine.csv: an id must be that of one text; '1' is that"):
        read_files(mine, None, [made], columns)
    save(mine, [r | {"nr": i} for i, r in enumerate(rows("yes", "no"))])
    save(made, [row | {"of": 7} for row in lines])
    with pytest.raises(ValueError, match=r"seeds must be ids of texts; '7' in data row 1 is none"):
        read_files(mine, None, [made], columns)


def test_a_named_column_is_not_passed_over_for_its_capitals(tmp_path: Path) -> None:
    def told(name: str, **columns: str) -> list[dict[str, object]]:
        return [
            {columns.get(role, role): cell for role, cell in row.items()}
            for row in rows(name, "no")
        ]

    mine = save(tmp_path / "mine.csv", told("yes", text="said", label="mood"))
    named = Columns(text="said", label="mood")
    other = save(tmp_path / "test.csv", [r | {"Mood": "no"} for r in told("yes", text="said")])
    with pytest.raises(
        ValueError, match=r"test.csv has no column 'mood' for the label, but 'Mood'"
    ):
        read_files(mine, other, [], named)
    save(other, told("yes", text="said", label="kind"))
    with pytest.raises(
        ValueError, match=r"test.csv has no column 'mood' for the label. There are:"
    ):
        read_files(mine, other, [], named)
    for usual in ("label", "Label"):  # which is told
        save(other, told("yes", text="said", label=usual))
        notes = read_files(mine, other, [], named).notes
        assert f"test.csv: text in 'said', label in '{usual}'" in notes
    save(mine, told("yes", text="said", label="Label"))
    save(other, told("yes", text="said"))
    assert len(read_files(mine, other, [], Columns(text="said", label="Label")).frame) == 2


def test_the_seed_of_a_synthetic_text_may_be_called_as_the_text_is_elsewhere(
    tmp_path: Path,
) -> None:
    mine = save(tmp_path / "base.csv", rows("yes", "no"))
    made = [row | {"made_text": f"so {row['text']}"} for row in rows("yes", "no")]
    columns = Columns(text="made_text", seed="text")
    found = read_files(mine, None, [save(tmp_path / "made.csv", made)], columns).frame
    assert found["seeds"].tolist() == [(), (), (found["id"][0],), (found["id"][1],)]
    said = save(tmp_path / "said.csv", [{"said": r["text"], "label": r["label"]} for r in made])
    for row in made:
        row["generated"] = row.pop("made_text")
    # A synthetic file whose text is not named is not read by its seeds.
    with pytest.raises(ValueError, match=r"made.csv must name the column of the text"):
        read_files(said, None, [save(tmp_path / "made.csv", made)], Columns("said", seed="text"))
