from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from opal import cli, records
from opal.bridge import render
from opal.bridge.tabular import datasets, published
from opal.bridge.tabular.audit import blocks

LIGHT = ("--classifiers", "logistic", "--folds", "2", "--draws", "1")
OWN = ("audit", "a.csv", "--train", "a.csv")


def inside(folder: Path, task: str = "imbalanced") -> Path:
    return folder / f"toy_see_small_raw40_{task}_focus"


def run(capsys: pytest.CaptureFixture[str], *words: object, status: int = 0) -> str:
    """Output of a command that ends with this status; its error where that is not 0."""
    found = cli.main(["tabular", *map(str, words)])
    captured = capsys.readouterr()
    assert found == status, captured.err
    return captured.err if status else captured.out


def test_importing_the_commands_is_cheap() -> None:
    code = (
        "import sys, opal.bridge.tabular.commands\n"
        "heavy = {'pandas', 'sklearn', 'scipy', 'matplotlib', 'statsmodels', 'catboost'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "[]", result.stderr


def test_published_of_a_folder_that_is_not_listed(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = datasets.from_folder(folder, "y", "side")
    results = folder.parent.parent / "main/results"
    results.mkdir(parents=True)
    for name, table in published.evaluate(dataset, "spurious", "logistic").items():
        mean, deviation = published.summarise(table)
        (results / name).write_text(f"Mean: {mean.tolist()}\nStd: {deviation.tolist()}\n")
    words = ("evaluate", "--protocol", "published", "--compare", "--folder", folder)
    named = ("--target", "y", "--attribute", "side", "--classifiers", "logistic")
    found = json.loads(run(capsys, *words, *named, "--json"))
    assert sorted(found) == ["files", "max_abs_difference", "n_files"]
    assert (found["n_files"], found["max_abs_difference"]) == (5, 0.0)
    assert "5 files, largest difference 0.0e+00" in run(capsys, *words, *named)


def test_published_reads_every_table_before_it_fits(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The spoiled table belongs to the last task; no fit may have started by then."""
    path = inside(folder, "spurious") / "test_colsbase_size200_rand2.csv"
    pd.read_csv(path).drop(columns="x3").to_csv(path, index=False)
    monkeypatch.setattr(published, "evaluate", _never)
    words = ("evaluate", "--protocol", "published", "--folder", folder, "--attribute", "side")
    error = run(capsys, *words, "--classifiers", "logistic", status=2)
    assert "rand2.csv needs a column 'x3'" in error
    assert "add or rename the column, or correct the flag" in error


def _never(*_: object) -> None:
    raise AssertionError("a fit started")


def test_published_without_comparison(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("evaluate", "--protocol", "published", "--folder", inside(folder))
    found = json.loads(run(capsys, *words, "--classifiers", "logistic", "--json"))
    assert len(found["files"]["_imbalanced_focus_logistic_toy.txt"]["mean"]) == 6


def test_sound_writes_page_figure_and_records(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    words = ("evaluate", "--folder", folder, "--attribute", "side", "--out", out, *LIGHT)
    found = json.loads(run(capsys, *words, "--json"))
    assert [e["task"] for e in found["evaluations"]] == ["imbalanced", "spurious"]
    arms = {arm["arm"]: arm for arm in found["evaluations"][0]["arms"]}
    assert arms["weighting"]["balanced_error_difference"]["value"] == 0.0
    frame = records.read(out / "tabular.parquet")
    assert set(frame["setting"]) == {"toy/imbalanced", "toy/spurious"}
    page = (out / "tabular.md").read_text()
    sentences = [e["verdict"]["sentence"] for e in found["evaluations"]]
    assert all(sentence in page.replace("\\", "") for sentence in sentences)
    balanced = arms["smote"]["balanced_error"]["value"]
    assert f"| SMOTE | 24 | {balanced:.3f} [" in page
    assert (out / "tabular.png").stat().st_size > 10_000
    assert sorted(p.suffix for p in out.iterdir()) == [".json", ".md", ".parquet", ".pdf", ".png"]


def test_sound_on_own_files(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = inside(folder) / "train_colsbase_size40_total200_rand1.csv"
    test = inside(folder) / "test_colsbase_size200_rand1.csv"
    words = ("evaluate", "--train", train, "--test", test, "--target", "y", "--out", tmp_path)
    found = json.loads(run(capsys, *words, *LIGHT, "--json"))
    shown = [arm["arm"] for arm in found["evaluations"][0]["arms"]]
    assert shown == ["raw", "threshold", "weighting", "duplication", "smote"]
    left_out = next(iter(found["left_out"].values()))
    assert left_out["real_balanced"].startswith("there is no source table")
    assert found["evaluations"][0]["verdict"] is None


def test_the_last_lines_are_the_verdict_and_know_the_maker(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a model was fine-tuned on stands in the record beside the rows that it wrote."""
    tables = {
        "--train": inside(folder) / "train_colsbase_size40_total200_rand1.csv",
        "--test": inside(folder) / "test_colsbase_size200_rand1.csv",
        "--synthetic": inside(folder) / "train_generate_colsbase_rand1.csv",
    }
    record = tables["--synthetic"].with_name(f"{tables['--synthetic'].name}.json")
    record.write_text(json.dumps({"generator": {"n_generator": 1234}}))
    files = [word for pair in tables.items() for word in pair]
    words = ("evaluate", *files, "--target", "y", "--out", tmp_path, *LIGHT)
    last = " ".join(run(capsys, *words).split("Verdict")[-1].split())
    assert "imbalanced task, logistic:" in last
    assert last.endswith(
        "Each rule saw 40 real rows; the maker of the synthetic ones was given 1,234."
    )


def test_audit_of_own_files(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [inside(folder) / f"train_generate_colsbase_rand{s}.csv" for s in (1, 2)]
    trains = [inside(folder) / f"train_colsbase_size40_total200_rand{s}.csv" for s in (1, 2)]
    table = pd.read_csv(files[0])
    table.iloc[:3] = pd.read_csv(trains[0]).iloc[:3].to_numpy()
    table.to_csv(files[0], index=False)
    words = (
        "audit",
        *files,
        "--train",
        *trains,
        "--target",
        "y",
        "--attribute",
        "side",
        "--rows",
        60,
    )
    found = json.loads(run(capsys, *words, "--json"))
    assert found["n_rows"] == 120
    assert found["copies"]["train"]["by_file"] == {str(files[0]): 3, str(files[1]): 0}
    assert found["composition"]["n_rows"]["generated"] == 240
    shown = run(capsys, *words)
    for title in ("copies of", "composition", "feature shifts", "can a forest tell", "unseen"):
        assert title in shown


def test_keys_of_text_are_left_out_where_they_are_named(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = pd.read_csv(inside(folder) / "train_colsbase_size40_total200_rand1.csv")
    named = tmp_path / "train.csv"
    train.assign(who=[f"p-{k:04}" for k in range(len(train))]).to_csv(named, index=False)
    made = tmp_path / "made.csv"
    train.head(20).to_csv(made, index=False)  # without the key, as models are asked for rows
    words = ("audit", made, "--train", named, "--target", "y", "--json")
    assert "leave it out (--key" in run(capsys, *words, status=2)
    found = json.loads(run(capsys, *words, "--key", "who"))
    assert found["copies"]["train"]["exact"] == 20
    assert "unknown column of" in run(capsys, *words, "--key", "whom", status=2)


def test_parse_writes_rows_and_reports_rejections(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "rows.txt"
    text.write_text("a is 1, b is 2.\na is x, b is 2.\n")
    words = ("parse", text, "--out", tmp_path / "rows.csv")
    found = json.loads(run(capsys, *words, "--json"))
    assert (found["n_rows"], found["n_rejected"]) == (1, 1)
    assert found["rejected"][0]["line"] == 2
    assert pd.read_csv(tmp_path / "rows.csv").to_dict("records") == [{"a": 1.0, "b": 2.0}]
    assert "must be a number; got 'x'" in run(capsys, *words)


@pytest.mark.parametrize(
    ("content", "words", "message"),
    [
        (b"", (), "a text of rows has lines"),
        (b"a \xff\x00", (), "rows.txt must be a text file (UTF-8); 'utf-8' codec can't decode"),
        (
            b"lips_thin is 1.\n",
            ("--columns", "lips_thn"),
            "did you mean 'lips_thin'? There are: lip",
        ),
        (
            b"a is 1, b is 2.\n",
            ("--columns", "a"),
            "line 1 is none: there is no column 'b'. Correct",
        ),
        (b"\na is x.\n", (), "line 2 is none: the value of 'a' must be a number; got 'x'. Correct"),
    ],
)
def test_a_text_without_rows_writes_nothing(
    content: bytes,
    words: tuple[str, ...],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = tmp_path / "rows.txt"
    text.write_bytes(content)
    out = tmp_path / "made/rows.csv"
    assert message in run(capsys, "parse", text, "--out", out, *words, status=2)
    assert [p.name for p in tmp_path.iterdir()] == ["rows.txt"]


def test_rows_are_not_written_over_a_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "rows.txt"
    text.write_text("a is 1.\n")
    error = run(capsys, "parse", text, "--out", tmp_path, status=2)
    assert f"--out must be a file; {tmp_path} is a folder: name a file in it." in error


def test_bad_input_is_refused_and_nothing_is_written(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """NaN, a misspelt column, an absent group: one message, status 2, no folder."""
    path = inside(folder) / "test_colsbase_size200_rand1.csv"
    whole = pd.read_csv(path)
    out = tmp_path / "out"
    base = ("evaluate", "--folder", inside(folder), "--out", out, *LIGHT)
    spoiled = {
        "'x1' must be complete": whole.assign(x1=whole["x1"].where(whole.index > 0)),
        "did you mean 'X1'": whole.rename(columns={"x1": "X1"}),
        "['y=1'] has none": whole[whole["y"] == 0],
        "'x2' must hold numbers; data row 1 holds 'tall'": whole.assign(x2="tall"),
        "rand1.csv must be a CSV file with a header and rows; there are none": whole.head(0),
    }
    for message, table in spoiled.items():
        table.to_csv(path, index=False)
        error = run(capsys, *base, status=2)
        assert message in error
        assert error.startswith("error: ")
        assert not out.exists()
    whole.to_csv(path, index=False)
    assert "did you mean 'y'" in run(capsys, *base, "--target", "yy", status=2)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("evaluate", "--compare"), "--compare needs --protocol published"),
        (("evaluate", "--datasets", "gendr"), "unknown dataset 'gendr'; did you mean 'gender'?"),
        (("evaluate", "--classifiers", "logistc"), "did you mean 'logistic'?"),
        (("evaluate", "--classifiers", "svm"), "There are: catboost, forest, logistic."),
        (("evaluate", "--draws", "0"), "--draws must be at least 1; got 0."),
        (("evaluate", "--draws", "-3"), "--draws must be at least 1; got -3."),
        (("evaluate", "--folds", "1"), "--folds must be at least 2; got 1."),
        (("evaluate", "--trees", "0"), "--trees must be at least 1; got 0."),
        (("evaluate", "--seed", "-1"), "--seed must be at least 0; got -1."),
        (("evaluate", "--seed", str(2**32)), "--seed must be at most 4294967295, the largest"),
        (("evaluate", "--protocol", "published", "--out", "o"), "--out needs --protocol sound"),
        (("evaluate", "--protocol", "published", "--seed", "1"), "--seed needs --protocol sound"),
        (("evaluate", "--test", "a.csv"), "--test needs --train"),
        (("evaluate", "--target", "y"), "--target needs --train or --folder"),
        (("evaluate", "--train", "a.csv"), "--train needs --test"),
        (("evaluate", "--folder", "x", "--datasets", "gender"), "exclude one another"),
        (("evaluate", "--folder", "nowhere"), "--folder must be a folder"),
        (("audit", "a.csv"), "name --train"),
        (("audit", "--train", "a.csv"), "need FILES"),
        (("audit", "--prompt-rows", "5"), "need FILES"),
        (("audit", "--key", "id"), "need FILES"),
        (("audit", "a.csv", "--datasets", "gender"), "FILES exclude --datasets and --tasks"),
        (("audit", "a.csv", "--tasks", "spurious"), "FILES exclude --datasets and --tasks"),
        ((*OWN, "--rows", "0"), "--rows must be at least 1; got 0."),
        ((*OWN, "--rows", "5000"), "--rows must be at most 1, the number of rows of a.csv; got"),
        ((*OWN, "--prompt-rows", "-1"), "--prompt-rows must be at least 0; got -1."),
        ((*OWN, "--prompt-rows", "9"), "--prompt-rows must be at most 1, the number of training"),
        ((*OWN, "--seed", "-1"), "--seed must be at least 0; got -1."),
        (("audit", "a.csv", "--train", "nowhere.csv"), "nowhere.csv must be a CSV file with a"),
        (("audit", ".", "--train", "a.csv"), ". must be a CSV file with a header and rows; Is a"),
        (("parse", "nowhere.txt"), "nowhere.txt must be a text file (UTF-8); No such file"),
        (("parse", "."), ". must be a text file (UTF-8); Is a directory."),
    ],
)
def test_requests_that_cannot_be_met(
    words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        (tmp_path / "a.csv").write_text("x,y\n1,0\n")
        assert message in run(capsys, *words, status=2)
        assert [p.name for p in tmp_path.iterdir()] == ["a.csv"]


def test_output_folder_that_cannot_be_written(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file stands where the folder should be: root may write anywhere else."""
    (tmp_path / "taken").write_text("")
    words = ("evaluate", "--folder", folder, "--out", tmp_path / "taken", *LIGHT)
    assert "the output folder must be writable" in run(capsys, *words, status=2)


def test_offline_tables_are_one_message(
    offline: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    error = run(capsys, "evaluate", "--datasets", "gender", "--out", tmp_path / "o", status=2)
    assert "opal data fetch" in error
    assert not (tmp_path / "o").exists()


@pytest.mark.slow
def test_listed_audit_and_mirror_folder(mirror: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("audit", "--datasets", "heart_failure", "--tasks", "spurious", "--json")
    found = json.loads(run(capsys, *words))["audits"]["heart_failure/spurious"]
    assert found["copies"]["source"]["exact"] == 0
    assert found["n_rows"] == 250
    assert found["coding"] == "DEATH_EVENT 1: died of heart failure"
    Console(width=120).print(render.terminal(blocks.audit(found)))
    assert "250 synthetic rows (DEATH_EVENT 1: died of heart failure)" in capsys.readouterr().out
    error = run(capsys, *words, "--rows", "5000", status=2)
    assert "--rows must be at most 110, the number of rows of heart_failure/spurious, seed" in error
    words = ("evaluate", "--protocol", "published", "--compare", "--folder", "data/gender")
    named = ("--target", "gender", "--tasks", "imbalanced", "--classifiers", "logistic", "--json")
    assert json.loads(run(capsys, *words, *named))["max_abs_difference"] <= 1e-9
    assert os.environ["OPAL_DATA_MIRROR"] == str(mirror)


def _own(folder: Path, out: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> list[str]:
    """Flags for a table of one's own whose files were changed."""
    names = {
        "train": "train_colsbase_size40_total200_rand1",
        "test": "test_colsbase_size200_rand1",
        "synthetic": "train_generate_colsbase_rand1",
    }
    words = []
    for role, name in names.items():
        path = out / f"{role}.csv"
        change(pd.read_csv(inside(folder) / f"{name}.csv")).to_csv(path, index=False)
        words += [f"--{role}", str(path)]
    return [*words, "--target", "y"]


def _numbered(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(number=range(1, len(table) + 1))[["number", *table.columns]]


def _errors(capsys: pytest.CaptureFixture[str], *words: object) -> dict[str, Any]:
    found = json.loads(run(capsys, "evaluate", *words, *LIGHT, "--json"))
    return {arm["arm"]: arm["balanced_error"] for arm in found["evaluations"][0]["arms"]}


def test_a_column_that_numbers_rows_is_no_feature(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The numbers change nothing, are told, and synthetic rows need not have them."""
    bare = _errors(capsys, *_own(folder, tmp_path, lambda t: t), "--out", tmp_path / "out")
    words = (*_own(folder, tmp_path, _numbered), "--out", tmp_path / "out")
    made = tmp_path / "synthetic.csv"
    for _ in range(2):
        assert _errors(capsys, *words) == bare
        pd.read_csv(made).drop(columns="number", errors="ignore").to_csv(made, index=False)
    assert "they only tell rows apart: number" in run(capsys, "evaluate", *words, *LIGHT)
    assert "they only tell rows apart: number" in (tmp_path / "out/tabular.md").read_text()


def test_a_key_of_words_is_left_out_where_it_is_named(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = _errors(capsys, *_own(folder, tmp_path, lambda t: t), "--out", tmp_path / "out")

    def named(table: pd.DataFrame) -> pd.DataFrame:
        return _numbered(table).assign(number=[f"p{k}" for k in range(len(table))])

    words = (*_own(folder, tmp_path, named), "--out", tmp_path / "out")
    assert "--key" in run(capsys, "evaluate", *words, *LIGHT, status=2)
    assert _errors(capsys, *words, "--key", "number") == bare
    wrong = run(capsys, "evaluate", *words, "--key", "nunber", status=2)
    assert "did you mean 'number'?" in wrong
    assert "--key needs --train or --folder" in run(capsys, "evaluate", "--key", "x1", status=2)


@pytest.mark.parametrize("command", ["evaluate", "audit"])
@pytest.mark.parametrize(
    ("value", "match"), [("1e300", "at most 3.4e+38"), ("12345678901234567891", "beyond 2^53")]
)
def test_numbers_that_no_classifier_holds_are_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, value: str,
    match: str,
) -> None:  # fmt: skip
    def large(table: pd.DataFrame) -> pd.DataFrame:
        return table.assign(x1=[value if k == 3 else str(k % 7) for k in range(len(table))])

    words = _own(folder, tmp_path, large)
    if command == "audit":
        words = [words[5], *words[:4], *words[6:]]
    error = run(capsys, command, *words, status=2)
    assert match in error
    assert "'x1'" in error
    assert "data row 4" in error


def test_a_label_that_is_an_amount_is_not_audited(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = _own(folder, tmp_path, lambda t: t)
    error = run(capsys, "audit", words[5], "--train", words[1], "--target", "x1", status=2)
    assert "at least 2 different real rows" in error
    assert "name a --target of classes" in error


@pytest.mark.parametrize("flag", ["--attribute", "--group"])
def test_one_word_names_the_attribute_in_all_commands(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], flag: str
) -> None:
    words = (*_own(folder, tmp_path, lambda t: t), flag, "sid")
    for command in (
        ("evaluate", *words),
        ("audit", words[5], *words[:4], *words[6:]),
        ("generate", words[1], *words[6:], "--per-group", 5, "--fine-tune", "gpt2"),
        ("generate", words[1], *words[6:], "--per-group", 5, "--model", "m", "--dry-run"),
    ):
        assert "did you mean 'side'?" in run(capsys, *command, status=2)
    columns = ("--tables", "craft", flag, "sid")
    assert "--attribute needs --folder" in run(capsys, "scaling", *columns, status=2)


def test_parsed_numbers_are_those_of_the_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Decimal commas are read, counts stay whole, and the header of a table is no blank line."""
    text, out = tmp_path / "said.txt", tmp_path / "rows.csv"
    text.write_text("| age | dose |\n|---|---|\n| 41 | 2,5 |\n| 40 | 3,25 |\n")
    said = " ".join(run(capsys, "parse", text, "--out", out).split())
    assert "0 blank, 2 that only mark something" in said
    assert out.read_text() == "age,dose\n41,2.5\n40,3.25\n"
    found = json.loads(run(capsys, "parse", text, "--json"))
    assert json.dumps(found["rows"]) == "[[41, 2.5], [40, 3.25]]"
