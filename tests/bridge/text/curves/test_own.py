"""A corpus of a table of one's own: which texts are base texts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from opal.bridge.prompts.common import identity
from opal.bridge.text import reading
from opal.bridge.text.columns import Columns
from opal.bridge.text.corpus import ATTRIBUTE, corpus_of, text_table
from opal.bridge.text.curves import evaluate
from opal.bridge.text.curves.evaluate import CurveSettings
from opal.bridge.text.files import read_files
from opal.cli import main

RARE, COMMON = (
    [f"{label} text number {i}" for i in range(n)] for label, n in (("a", 9), ("b", 30))
)
HUMAN = text_table(RARE + COMMON, ["a"] * 9 + ["b"] * 30)
TEST = text_table(["held out", "kept apart"], ["a", "b"])


def made(n: int) -> pd.DataFrame:
    """Texts of class a alone, each made from one of the first n."""
    seeds = [(identity(text),) for text in RARE[:n]]
    return text_table([f"made {i}" for i in range(n)], ["a"] * n, source="model", seeds=seeds)


def test_a_class_that_no_text_was_written_for_is_trained_on_as_it_is() -> None:
    found = corpus_of(pd.concat([HUMAN, made(6)]), TEST)
    assert sorted(found.base["text"]) == sorted([*RARE[:6], *COMMON])
    assert sorted(found.human["text"]) == sorted(RARE[6:])


def test_texts_that_are_held_back_are_told_with_the_flag_that_trains_on_them() -> None:
    texts = pd.concat([HUMAN, made(6)])
    (said,) = corpus_of(texts, TEST).notes
    assert said.startswith(
        "3 of 39 human texts (3 of 'a') are held back: no synthetic text was made from them. "
        "All rules train on the other 36"
    )
    assert "--train-on-all" in said
    whole = corpus_of(texts, TEST, train_on_all=True)
    assert sorted(whole.base["text"]) == sorted(HUMAN["text"])
    assert not len(whole.human)
    assert whole.notes == ()


def test_none_is_held_back_where_they_are_too_few_to_be_added() -> None:
    texts = pd.concat([HUMAN, made(6)])
    enough, few = corpus_of(texts, TEST, least=3), corpus_of(texts, TEST, least=4)
    assert len(enough.human) == 3
    assert not len(few.human)
    assert sorted(few.base["text"]) == sorted(HUMAN["text"])
    (said,) = few.notes
    assert said.startswith("all 39 human texts are trained on: the 3 that could be held back")
    assert said.endswith("fewer than the least size, 4")


@pytest.mark.parametrize(
    ("held_out", "said"),
    [
        (HUMAN, r"are the same: all \(39 of 39 human texts\)"),
        (
            HUMAN.assign(
                text=HUMAN["text"].str.upper(), id=HUMAN["text"].str.upper().map(identity)
            ),
            r"are the same: all \(39 of 39 human texts\)",
        ),
        (pd.concat([HUMAN[:9], TEST]), r"are the same: those of 'a' \(9 of 39 human texts\)"),
    ],
)
def test_test_texts_that_are_the_training_texts_are_named(
    held_out: pd.DataFrame, said: str
) -> None:
    with pytest.raises(
        ValueError, match=said + r".*Name a file of other texts to test on, or none"
    ):
        corpus_of(HUMAN, held_out)


def test_the_training_file_is_no_test_file(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = str(folder / "mine.csv")
    words = ["text", "evaluate", "--file", mine, "--test", mine, "--out", str(folder / "out")]
    assert main(words) == 2
    assert "test texts must be others than the texts to train on" in capsys.readouterr().err
    assert not (folder / "out").exists()


def test_all_texts_are_trained_on_where_asked(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["text", "evaluate", "--file", str(folder / "mine.csv"), "--sizes", "4", "6"]
    words += ["--seeds", "2", "--synthetic", str(folder / "samples.jsonl"), "--json"]
    words += ["--test", str(folder / "held_out.csv"), "--out", str(folder / "out")]
    assert main([*words, "--train-on-all"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["source"] for row in found["sources"]] == ["model"]
    assert found["notes"]["mine"] == [
        f"{name}: text in 'text', label in 'label', seed in 'seeds', source in 'source'"
        for name in ("mine.csv", "held_out.csv", "samples.jsonl")
    ]
    assert found["sources"][0]["floor_why"] == "the error is 0.5 at all sizes: nothing falls"
    assert main(["text", "evaluate", "--train-on-all"]) == 2
    assert "--train-on-all" in capsys.readouterr().err


def test_half_of_the_texts_are_base_texts_where_none_was_written() -> None:
    found = corpus_of(HUMAN, TEST)
    assert found.base["label"].value_counts().to_dict() == {"a": 4, "b": 15}
    assert len(found.human) == 20
    (said,) = found.notes
    assert "20 of 39 human texts (5 of 'a', 15 of 'b') are held back: no text is known" in said
    assert "All rules train on the other 19" in said
    alone = corpus_of(HUMAN)
    assert alone.notes[0].startswith("13 of the human texts, a third of each class, are tested on")


def test_what_must_be_known_of_the_texts_is_printed(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A copy of a test text, in capitals: told in JSON and below the tables."""
    copied = pd.concat([made(6), text_table(["HELD OUT"], ["a"], source="model")])
    reading.write_texts(copied, folder / "samples.jsonl")
    words = ["text", "evaluate", "--file", str(folder / "mine.csv"), "--sizes", "4", "--seeds", "2"]
    words += ["--synthetic", str(folder / "samples.jsonl"), "--test", str(folder / "held_out.csv")]
    words += ["--sources", "model", "--out", str(folder / "out")]
    said = "model: 1 of 7 equal one of test but for case, marks and spelling"
    assert main([*words, "--json"]) == 0
    assert said in json.loads(capsys.readouterr().out)["notes"]["mine"]
    assert main(words) == 0
    assert said in " ".join(capsys.readouterr().out.split())


def test_contradictions_are_left_out_on_request(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = reading.read_texts(folder / "mine.csv")
    again = text_table([f" {COMMON[0]}"], ["a"])
    reading.write_texts(pd.concat([mine, again], ignore_index=True), folder / "two.csv")
    words = ["text", "evaluate", "--file", str(folder / "two.csv"), "--sizes", "4", "--seeds", "1"]
    words += ["--test", str(folder / "held_out.csv"), "--out", str(folder / "out"), "--json"]
    assert main(words) == 2
    assert "have several, such as 'b text number 0' with a, b" in capsys.readouterr().err
    assert main([*words, "--drop-contradictions"]) == 0
    found = read_files(folder / "two.csv", None, [], Columns(), drop_contradictions=True).frame
    assert sorted(found["text"]) == sorted(set(mine["text"]) - {COMMON[0]})
    assert main(["text", "evaluate", "--drop-contradictions"]) == 2
    assert "belong to --file" in capsys.readouterr().err


def test_a_single_base_text_of_a_class_is_too_few() -> None:
    with pytest.raises(ValueError, match=r"two different human texts.*'a' has 1"):
        corpus_of(pd.concat([HUMAN, made(1)]), TEST)


GUESSED = (None,) * 6


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files: a person's texts, two models' texts, test texts."""
    reading.write_texts(HUMAN, tmp_path / "mine.csv")
    reading.write_texts(TEST, tmp_path / "held_out.csv")
    reading.write_texts(made(6), tmp_path / "samples.jsonl")
    reading.write_texts(made(4).assign(source="other"), tmp_path / "more.csv")
    return tmp_path


def of_files(folder: Path, *synthetic: str, seeds: int = 2) -> list[evaluate.Own]:
    """Configurations of an evaluation of the files."""
    paths = tuple(folder / name for name in synthetic)
    settings = CurveSettings(encoder="tfidf", sizes=(3,), share=1.0)
    mine, test = folder / "mine.csv", folder / "held_out.csv"
    found = evaluate.of_file(mine, test, GUESSED, settings, seeds, paths)
    return [cell.config for cell in found if isinstance(cell.config, evaluate.Own)]


def test_files_of_synthetic_texts_are_as_good_as_one_file(folder: Path) -> None:
    first, second = of_files(folder, "samples.jsonl", "more.csv")
    assert (first.seed, second.seed) == (0, 1)
    apart = first.load()
    others = made(4).assign(source="other")
    whole = corpus_of(pd.concat([HUMAN, made(6), others], ignore_index=True), TEST, name="mine")
    assert set(apart.synthetic) == {"model", "other"}
    for name in ("base", "human", "test"):
        pd.testing.assert_frame_equal(getattr(apart, name), getattr(whole, name))
    for name, frame in whole.synthetic.items():
        pd.testing.assert_frame_equal(apart.synthetic[name], frame)


def test_a_changed_file_is_evaluated_again(folder: Path) -> None:
    before, _ = of_files(folder, "samples.jsonl")
    assert of_files(folder, "samples.jsonl")[0] == before
    reading.write_texts(made(5), folder / "samples.jsonl")
    after, _ = of_files(folder, "samples.jsonl")
    assert after.digest != before.digest
    assert after == replace(before, digest=after.digest)
    with pytest.raises(ValueError, match=r"must stay as they are.*mine\.csv has changed"):
        before.load()  # as a worker would, that reads the file when it has changed


@pytest.mark.parametrize("read", ["--file", "--test", "--synthetic"])
def test_no_output_replaces_a_file_that_is_read(
    folder: Path, read: str, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {"--file": "mine.csv", "--test": "held_out.csv", "--synthetic": "samples.jsonl"}
    there = folder / "text.parquet"
    there.write_bytes((folder / files[read]).read_bytes())
    before = there.read_bytes()
    chosen = files | {read: there.name}
    words = [word for flag, name in chosen.items() for word in (flag, str(folder / name))]
    assert main(["text", "evaluate", *words, "--out", str(folder)]) != 0
    assert "every output must have a file of its own" in " ".join(capsys.readouterr().err.split())
    assert there.read_bytes() == before
    audit = ["text", "audit", str(folder / "samples.jsonl"), "--train", str(folder / "mine.csv")]
    for name in ("samples.jsonl", "mine.csv"):
        before = (folder / name).read_bytes()
        assert main([*audit, "--out", str(folder / name)]) != 0
        assert (folder / name).read_bytes() == before


def test_a_file_without_sources_is_a_model_of_its_own_name(folder: Path) -> None:
    rows = ["text,label,seed"]
    rows += [f"written {i},a,{text}" for i, text in enumerate(RARE[:5])]
    (folder / "llama.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    columns = (None, None, None, "seed", None, None)
    mine = folder / "mine.csv"
    frame, test, _ = read_files(mine, None, [folder / "llama.csv"], Columns(*columns))
    assert test is None
    written = frame[frame["source"] == "llama"]
    assert list(written["seeds"]) == [(identity(text),) for text in RARE[:5]]


@pytest.mark.parametrize(
    ("columns", "change", "message"),
    [
        (
            (None, "labl", None, None, None, None),
            {},
            "and .*samples.jsonl have no column 'labl' for the label; did you mean 'label'",
        ),
        (
            GUESSED,
            {"source": "human"},
            r"synthetic texts are a model's; .*samples.jsonl calls some",
        ),
        (
            (None, None, "attribute", None, None, None),
            {"attribute": "x"},
            "all files need the attribute; .*mine.csv has no column 'attribute'",
        ),
    ],
)
def test_unfit_files_are_refused(
    folder: Path, columns: tuple[str | None, ...], change: dict[str, str], message: str
) -> None:
    reading.write_texts(made(6).assign(**change), folder / "samples.jsonl")
    with pytest.raises(ValueError, match=message):
        read_files(folder / "mine.csv", None, [folder / "samples.jsonl"], Columns(*columns))


def test_an_attribute_that_not_all_files_have_is_left_out(folder: Path) -> None:
    reading.write_texts(made(6).assign(attribute="x"), folder / "samples.jsonl")
    found = read_files(
        folder / "mine.csv", None, [folder / "samples.jsonl"], Columns(*GUESSED)
    ).frame
    assert ATTRIBUTE not in found


def test_synthetic_files_need_a_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    samples = str(folder / "samples.jsonl")
    assert main(["text", "evaluate", "--synthetic", samples]) != 0
    assert "--synthetic needs --file" in capsys.readouterr().err
    with pytest.raises(ValueError, match=r"there is none at .*absent.jsonl"):
        of_files(folder, "absent.jsonl")


def test_seeds_that_are_no_human_texts_are_told(folder: Path) -> None:
    strange = made(6).assign(seeds=[("0123456789abcdef",)] * 6)
    reading.write_texts(strange, folder / "samples.jsonl")
    with pytest.raises(ValueError, match=r"of 6 texts of 'model' none has. .*--seed-column"):
        of_files(folder, "samples.jsonl")
