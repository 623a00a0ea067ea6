"""`opal tabular generate --fine-tune`: rows of each group, and all that they come from."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks._causal import saved
from opal.bridge import tabular
from opal.cli import main
from opal.columns import as_whole

pytest.importorskip("torch", reason="needs the extra text")

ROOT = Path(__file__).parents[4]
SMALL = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 96, "initializer_range": 0.06}
NO_DROPOUT = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}


def pieces(table: pd.DataFrame) -> list[str]:
    """What a tokenizer learns numbers and names from."""
    rows = table.astype(object).to_dict("records")
    return [f" {name} is {value}," for row in rows for name, value in row.items()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of two small groups and two large ones, and a model that knows nothing yet."""
    path = tmp_path_factory.mktemp("fine-tune")
    rng = np.random.default_rng(0)
    side, y = np.repeat([[0, 0], [0, 1], [1, 0], [1, 1]], [14, 6, 6, 14], axis=0).T
    x = (y + rng.integers(0, 6, size=40) / 10).round(1)
    table = pd.DataFrame({"x": x, "side": side, "y": y})
    table.to_csv(path / "mine.csv", index=False)
    saved(path / "model", pieces(table), tokens=290, words=False, **SMALL, **NO_DROPOUT)
    return path


def command(folder: Path, *words: str) -> list[str]:
    learning = ["--epochs", "80", "--batch", "8", "--learning-rate", "5e-3"]
    return [
        *("tabular", "generate", str(folder / "mine.csv"), "--group", "side"),
        *("--fine-tune", str(folder / "model"), "--work", str(folder / "work"), *learning, *words),
    ]


def test_each_group_gets_its_rows_and_the_record_says_what_was_learnt(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, csv = folder / "s.jsonl", folder / "made.csv"
    files = ("--out", str(out), "--table-out", str(csv))
    assert main(command(folder, "--fill-to", "14", *files, "--json")) == 0
    found = json.loads(capsys.readouterr().out)
    asked = {"side=0, y=0": 0, "side=0, y=1": 8, "side=1, y=0": 8, "side=1, y=1": 0}
    assert {group: counts["asked"] for group, counts in found["groups"].items()} == asked
    made, mine = pd.read_csv(csv), pd.read_csv(folder / "mine.csv")
    assert made.value_counts(["side", "y"]).to_dict() == {(0, 1): 8, (1, 0): 8}
    assert ((made["x"] >= 1) == (made["y"] == 1)).mean() > 0.8  # rows are of their group
    assert made.dtypes.to_dict() == mine.dtypes.to_dict()
    assert found["generator"]["n_generator"] == len(mine) == 40
    assert found["generator"]["temperature"] == 0.7
    assert found["generator"]["rows"] == str(folder / "mine.csv")
    losses = found["generator"]["loss"]
    assert len(losses) == 80
    assert losses[-1] < 0.5 * losses[0]
    assert found["drawn"] == 16 + found["spare"] + sum(found["rejected"].values())
    equal = made.merge(mine.drop_duplicates(), how="inner")
    assert found["copies"] == len(equal)
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [tuple(line["row"].values()) for line in lines] == list(map(tuple, made.to_numpy()))
    assert {line["n_generator"] for line in lines} == {40}
    rejected = (folder / "s.rejected.jsonl").read_text().splitlines()
    assert len(rejected) == sum(found["rejected"].values())
    assert all(json.loads(line)["reason"] for line in rejected)
    assert json.loads((folder / "made.csv.json").read_text()) == found
    assert main(command(folder, "--fill-to", "14", *files)) == 0
    assert "(n_generator = 40): loss " in capsys.readouterr().out


def test_more_rows_are_asked_of_the_same_model(folder: Path) -> None:
    """Here and by the command: nothing is learnt again, and the first rows stay the first."""
    tuning = tabular.RowTuning(
        model=str(folder / "model"), epochs=80, batch=8, learning_rate=5e-3, quiet=True,
        work=folder / "work", out=folder / "t.jsonl",
    )  # fmt: skip
    mine = pd.read_csv(folder / "mine.csv")
    few, more = (
        tabular.fine_tune_rows(mine, tuning, attributes=["side"], per_group=n) for n in (8, 10)
    )
    assert len(list((folder / "work").iterdir())) == 1
    assert (more.table().groupby(["side", "y"]).head(8).to_numpy() == few.table().to_numpy()).all()
    assert len(more.table()) == 40
    assert "n_generator = 40" in more.to_html()
    audit = tabular.audit_rows(more.table(), mine, target="y", attributes=["side"])
    assert audit.table("copies")["exact"].tolist()[0] == more.result()["copies"]


def test_a_model_that_has_learnt_nothing_is_given_up(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--learning-rate", "1e-9", "--epochs", "1", "--patience", "2", "--per-group", "4")
    assert main(command(folder, *words, "--out", str(folder / "no.jsonl"))) == 2
    said = capsys.readouterr().err
    assert "2 batches in a row had no row" in said
    for remedy in ("--epochs", "--learning-rate", "--temperature", "--patience"):
        assert remedy in said
    (kept,) = re.findall(r"is kept in (\S+);", said)
    assert Path(kept).read_text().count("\n") == 2
    assert not (folder / "no.jsonl").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--fill-to", "9", "--model", "gpt-4o"), "Leave --model out."),
        (("--fill-to", "9", "--local", "x"), "Leave --local out."),
        (("--fill-to", "9", "--budget", "1"), "Leave --budget out."),
        (("--fill-to", "9", "--dry-run"), "Leave --dry-run out."),
        (("--fill-to", "9", "--top-p", "0.9"), "Leave --top-p out."),
        (("--fill-to", "9", "--shown", "3"), "Leave --shown out."),
        (("--fill-to", "9", "--temperature", "-1"), "--temperature must be at least 0"),
        (("--fill-to", "9", "--temperature", "nan"), "--temperature must be at least 0"),
        (("--fill-to", "9", "--epochs", "0"), "--epochs must be at least 1"),
        (("--fill-to", "9", "--learning-rate", "2"), "--learning-rate must be in (0, 1)"),
        (("--fill-to", "9", "--seed", "-1"), "--seed must be at least 0"),
        (("--fill-to", "9", "--target", "z"), "unknown column 'z'"),
        (("--fill-to", "9", "--attribute", "x", "side"), "name fewer with --attribute"),
        (("--fill-to", "9", "--max-tokens", "5"), "must fit into --max-tokens 5"),
        (("--fill-to", "9", "--device", "cuda:99"), "torch computes here, such as cpu; 'cuda:99'"),
        (("--fill-to", "9", "--device", "meta"), "torch computes here, such as cpu; 'meta'"),
        (("--fill-to", "9", "--out", "{0}/mine.csv"), "is the table that is read and --out: name"),
        (("--fill-to", "9", "--table-out", "{0}/model/../mine.csv"), "is read and --table-out"),
        (("--fill-to", "9", "--out", "a", "--table-out", "a"), "a is --out and --table-out: name"),
        (("--fill-to", "9", "--out", "a", "--table-out", "a.rejected.jsonl"), "the rejected texts"),
        (("--fill-to", "9", "--out", "a.json", "--table-out", "a"), "is --out and the record"),
        (("--fill-to", "9", "--out", "{0}"), "--out must be a file; {0} is a folder"),
        (("--fill-to", "9", "--table-out", "."), "--table-out must be a file; . is a folder"),
        (("--fill-to", "9", "--work", "{0}/mine.csv"), "Name another folder with --work."),
        (("--fill-to", "9", "--fine-tune", "no/such/one"), "there is no folder 'no/such/one'"),
        (("--fill-to", "2"), "nothing is to be made"),
        ((), "say how many samples: either --fill-to or --per-group"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_before_work_starts(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    words: Sequence[str],
    message: str,
) -> None:
    refused, before = folder / "refused", (folder / "mine.csv").read_bytes()
    given = [word.format(folder) for word in words]
    assert main([*command(folder), "--work", str(refused), *given]) == 2
    assert message.format(folder) in capsys.readouterr().err
    assert not refused.exists()
    assert (folder / "mine.csv").read_bytes() == before


def test_whole_numbers_stay_whole_where_floats_hold_them() -> None:
    like = pd.DataFrame({"a": [1e20, 2e20], "b": [0.5, 1.0], "y": [0.0, 1.0]})
    made = as_whole(pd.DataFrame([(3e20, 1.0, 1.0)], columns=list("aby")), like)
    assert made.dtypes.map(str).to_dict() == {"a": "float64", "b": "float64", "y": "int64"}
    assert made.to_numpy().tolist() == [[3e20, 1.0, 1.0]]


def test_flags_of_fine_tuning_need_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("generate", str(folder / "mine.csv"), "--per-group", "3", "--local", "x")
    assert main(["tabular", *words, "--epochs", "3"]) == 2
    assert "--epochs is of --fine-tune; name a model with it" in capsys.readouterr().err


@pytest.mark.parametrize("offline", [True, False])
def test_a_model_that_is_not_at_hand_has_a_remedy(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    offline: bool,
) -> None:
    """Where the Hub is asked and no one listens, it is asked once."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", offline)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(folder / "none"))
    assert main(command(folder, "--fill-to", "9", "--fine-tune", "nobody/absent-model")) == 2
    said = capsys.readouterr().err
    assert "'nobody/absent-model' is not on this disk" in said
    assert "the Hub cannot be reached" in said
    assert "HF_HOME" in said
    assert "Retrying" not in said + caplog.text
    assert len(said.strip().splitlines()) == 1
    assert "`hf download nobody/absent-model --local-dir FOLDER`" in said


def killed(words: Sequence[str], when: Callable[[], bool]) -> bool:
    """Whether a command was still at work when it was killed as soon as something has happened."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-m", "opal", *words], env=environment) as process:
        while process.poll() is None and not when():
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    return process.returncode == -signal.SIGKILL


@pytest.mark.slow
def test_craft_is_learnt_and_written_and_a_killed_run_gives_the_same_rows(
    mirror: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seeds = sorted(mirror.glob("Xyc-arch/scaling-law/3a997ef0*/data/craft/seed.csv"))
    if not seeds:
        pytest.skip(f"needs the table craft of Xyc-arch/scaling-law in {mirror}")
    table = pd.read_csv(seeds[0])
    shape = SMALL | NO_DROPOUT | {"n_embd": 64}
    saved(tmp_path / "model", pieces(table), tokens=320, words=False, **shape)

    def words(name: str) -> list[str]:
        files = ("--out", f"{name}.jsonl", "--table-out", f"{name}.csv", "--work", f"{name}-work")
        paths = [each if each[0] == "-" else str(tmp_path / each) for each in files]
        learning = ("--epochs", "60", "--batch", "16", "--learning-rate", "3e-3")
        given = (str(seeds[0]), "--target", "Target", "--group", "X6", "--per-group", "100")
        tuned = ("--fine-tune", str(tmp_path / "model"))
        return ["tabular", "generate", *given, *tuned, *learning, *paths, "--json"]

    def there(pattern: str) -> Callable[[], bool]:
        return lambda: any(
            each.stat().st_size for each in tmp_path.glob(f"second-work/*/{pattern}")
        )

    assert main(words("first")) == 0
    found = json.loads(capsys.readouterr().out)
    assert killed(words("second"), there("checkpoint.pt"))  # within the training
    assert not there("draws*")()
    assert killed(words("second"), there("draws*"))  # within the sampling
    assert not (tmp_path / "second.csv").exists()
    assert main(words("second")) == 0
    again = json.loads(capsys.readouterr().out)
    assert (tmp_path / "second.csv").read_bytes() == (tmp_path / "first.csv").read_bytes()
    assert (tmp_path / "second.jsonl").read_bytes() == (tmp_path / "first.jsonl").read_bytes()
    assert again["generator"]["loss"] == found["generator"]["loss"]
    assert sum(found["rejected"].values()) < 0.3 * found["drawn"], found["rejected"]
    made = pd.read_csv(tmp_path / "first.csv")
    assert made.value_counts(["X6", "Target"]).tolist() == [100] * 4
    assert found["generator"]["n_generator"] == 200
    check_use(made, table)


def check_use(made: pd.DataFrame, table: pd.DataFrame) -> None:
    """The rows go through audit and evaluation, and are of the table's kind."""
    train, test = table.iloc[::2], table.iloc[1::2]
    audit = tabular.audit_rows(made, train, test=test, target="Target", attributes=["X6"])
    assert audit.table("copies")["exact"].max() <= 20
    light = tabular.SoundSettings(folds=2, draws=1)
    dataset = tabular.from_tables(train, test, made, target="Target")
    worth = tabular.evaluate_rows(dataset, classifiers=("logistic",), settings=light)
    assert "synthetic" in set(worth.table()["arm"])
    shift = (made.mean() - table.mean()).abs() / table.std()
    assert shift.max() < 0.5, shift
    assert 0.5 < (made.std() / table.std()).drop(["X6", "Target"]).median() < 1.2
