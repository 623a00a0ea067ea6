"""``opal report``: one page of what the other commands wrote, whatever else lies beside it."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from opal.cli import main, result_folder

HOSTILE = '<script>alert(1)</script> "quoted" *a* | [b](http://c.example) `d` & é'
KEY = "sk-proj-0123456789abcdefghij"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(20) + b"IEND\xaeB`\x82"


class _Seen(HTMLParser):
    """Tags, addresses and text of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.anchors: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        given = dict(attrs)
        assert not any(name.startswith("on") for name in given)
        self.addresses += [str(given[name]) for name in ("href", "src") if name in given]
        self.anchors += [str(given["id"])] if "id" in given else []

    def handle_data(self, data: str) -> None:
        self.text += data


def seen(page: Path) -> _Seen:
    found = _Seen()
    found.feed(page.read_text(encoding="utf-8"))
    return found


def report(capsys: pytest.CaptureFixture[str], *words: str, status: int = 0) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["report", *words, "--json"]) == status
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def unread(found: Mapping[str, Any]) -> dict[str, str]:
    return {each["name"]: each["reason"] for each in found["not_read"]}


def figure(folder: Path, file: str, /, **changed: Any) -> dict[str, Any]:
    """The file of a figure as `opal figures` writes it, with fields changed."""
    check = {"name": "a check", "statistic": 1.0, "threshold": 2.0, "passed": True, "detail": "d"}
    content = {
        "name": file, "caption": "What is seen.", "preset": "quick", "config": {"study": {"n": 3}},
        "checks": [check], "pictures": [], "passed": True, "git_commit": "abc", "versions": {},
    } | changed  # fmt: skip
    (folder / f"{file}.json").write_text(json.dumps(content), encoding="utf-8")
    return content


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the results of the commands are kept for the next test."""
    return tmp_path_factory.mktemp("kept") / "written"


@pytest.fixture
def folder(
    example: Path,
    kept: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """What real commands write at tiny sizes: a figure, records, a fit, a pilot and parsed rows."""
    there = example / "results"
    if kept.exists():
        shutil.copytree(kept, example, dirs_exist_ok=True)
        return there
    monkeypatch.setenv("EXAMPLE_STUDY_LIMIT", "9")
    (example / "printed").mkdir()
    for words in (
        "run example_study --out results/runs",
        "figures example_figure --out results --format svg pdf",
    ):
        capsys.readouterr()
        assert main([*words.split(), "--json"]) == 0
        printed = example / "printed" / f"{words.split()[0]}.json"
        printed.write_text(capsys.readouterr().out, encoding="utf-8")
    sizes = np.tile([10.0, 30.0, 100.0, 300.0, 1000.0], 4)
    noise = np.random.default_rng(0).normal(0, 0.003, len(sizes))
    seeds = np.repeat(range(4), 5)
    frame = pd.DataFrame({"n": sizes, "y": 0.1 + sizes**-0.5 + noise, "seed": seeds})
    frame.to_csv("runs.csv", index=False)
    Path("rows.txt").write_text("age is 3, sex is 1.\nwhat?\nage is 4, sex is 0.\n")
    for name, words in {
        "fit": "fit runs.csv --x n --y y --seed seed",
        "pilot": "plan --pilot --n-real 300 --price-synthetic 0.01 --budget 240",
        "rows": "tabular parse rows.txt",
        "listed": "list",
    }.items():
        capsys.readouterr()
        assert main([*words.split(), "--json"]) == 0
        (there / f"{name}.json").write_text(capsys.readouterr().out, encoding="utf-8")
    for name in ("results", "printed"):
        shutil.copytree(example / name, kept / name)
    return there


def test_a_page_shows_what_commands_wrote(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = report(capsys, "results", "--title", "For colleagues")
    assert found["passed"] is True
    assert [each["name"] for each in found["figures"]] == ["example_figure"]
    assert found["figures"][0]["picture"] == "example_figure.svg"
    assert [each["name"] for each in found["studies"]] == ["runs/example_study-quick"]
    commands = {each["name"]: each["command"] for each in found["results"]}
    assert commands == {
        "fit": "opal fit", "pilot": "opal plan --pilot", "rows": "opal tabular parse",
    }  # fmt: skip
    assert unread(found).keys() == {"listed.json"}, "finished cells are told of by their records"
    page = seen(folder / "report.html")
    shown = " ".join(page.text.split())
    for said in (
        "For colleagues", "All 2 checks that are judged hold.", "Squares grow faster",
        "largest square: 9 against 9", "fit: E + A n^(-a): E = ", "n = 10,000 gives y = ",
        "points to run",
        "2 rows and 1 rejected lines", "metrics: square", "largest", "git commit", "Not read",
    ):  # fmt: skip
        assert said in shown, said
    assert "script" not in page.tags
    local = [a for a in page.addresses if not a.startswith(("#", "data:image/"))]
    assert local == ["example_figure.pdf"]
    assert {a[1:] for a in page.addresses if a.startswith("#")} <= {*page.anchors}
    assert any(a.startswith("data:image/svg+xml;base64,") for a in page.addresses)
    text = (folder / "report.md").read_text(encoding="utf-8")
    assert "](example_figure.svg)" in text
    assert "[example_figure.pdf](example_figure.pdf)" in text
    assert "# For colleagues" in text
    assert str(folder) not in text + page.text


def test_the_same_folder_gives_the_same_bytes(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def written() -> list[bytes]:
        return [(folder / f"report.{kind}").read_bytes() for kind in ("html", "md")]

    first = report(capsys, "results"), written()
    assert (report(capsys, "results"), written()) == first
    again = folder.parent / "moved" / "results"
    shutil.copytree(folder, again)
    report(capsys, str(again), "--out", str(again / "other.html"))
    assert (again / "other.html").read_bytes() == first[1][0]


def test_what_is_printed_for_people_begins_with_the_checks(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", "results"]) == 0
    said = capsys.readouterr().out
    assert "All 2 checks that are judged hold." in said
    assert "wrote results/report.html" in said
    assert not list(folder.glob(".report*"))


def test_a_check_that_fails_is_loud(
    example: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXAMPLE_STUDY_LIMIT", "8")
    assert main(["run", "example_study"]) == 1
    check = {"name": "largest", "statistic": 9, "threshold": 5, "passed": False, "detail": ""}
    figure(example / "results", "squares", checks=[check])
    found = report(capsys, "results", status=1)
    assert found["passed"] is False
    shown = seen(example / "results" / "report.html").text
    assert shown.index("FAILED: 2 of 2 checks.") < shown.rindex("At a glance")
    assert "FAILED squares, largest: 9 against 5" in " ".join(shown.split())
    assert "holds:" not in shown
    page = (example / "results" / "report.html").read_text(encoding="utf-8")
    assert page.count('<b class="bad">FAILS</b>') == 2


def test_the_preset_tiny_is_not_judged(
    example: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXAMPLE_STUDY_LIMIT", "0.5")
    assert main(["run", "example_study", "--preset", "tiny"]) == 0
    found = report(capsys, "results")
    assert found["studies"][0]["judged"] is False
    shown = seen(example / "results" / "report.html").text
    assert "Not judged: example_study-tiny" in shown
    assert "would fail" in shown
    assert "FAIL" not in shown
    assert "All" not in shown


def test_a_figure_that_compared_nothing_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figure(tmp_path, "empty", checks=[])
    assert report(capsys, str(tmp_path), status=1)["passed"] is False
    assert "no check was stated" in seen(tmp_path / "report.html").text


def test_what_was_printed_and_written_is_shown_once(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree("printed", folder / "printed")
    found = report(capsys, "results")
    assert [each["name"] for each in found["studies"]] == ["runs/example_study-quick"]
    assert [each["name"] for each in found["figures"]] == ["example_figure"]
    found = report(capsys, "printed")
    assert [each["name"] for each in found["studies"]] == ["run"]
    assert [each["name"] for each in found["figures"]] == ["figures: example_figure"]


def test_what_others_wrote_is_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = "a\"b'<i>&) [x](javascript:alert(1))"
    config = {HOSTILE: {HOSTILE: [HOSTILE]}}
    check = {"name": HOSTILE, "statistic": None, "threshold": 1, "passed": True, "detail": HOSTILE}
    figure(tmp_path, "f", caption=HOSTILE, name=HOSTILE, config=config, checks=[check])
    (tmp_path / f"{name}.png").write_bytes(PNG)
    (tmp_path / "javascript:alert(2).pdf").write_bytes(b"%PDF")
    figure(tmp_path, "javascript:alert(2)", preset=HOSTILE)
    (tmp_path / os.fsdecode(b"\xff\xfe.txt")).write_bytes(b"")
    found = report(capsys, str(tmp_path), "--title", HOSTILE)
    assert found["pictures"] == [f"{name}.png"]
    page = seen(tmp_path / "report.html")
    assert {"script", "i"}.isdisjoint(page.tags)
    assert page.text.count("<script>alert(1)</script>") > 5
    assert not any(re.match(r"\w+:", a) for a in page.addresses if not a.startswith("data:"))
    assert "javascript%3Aalert%282%29.pdf" in page.addresses
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert re.search(r"(?<!\\)<script", text) is None
    assert "](http" not in text.replace("\\](http", "")
    assert "](javascript:" not in text.replace("\\](javascript:", "")


def test_keys_are_not_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figure(tmp_path, "f", caption=f"asked with {KEY}", config={"s": {"key": KEY, KEY: 1}})
    (tmp_path / f"{KEY}.txt").write_text("")
    (tmp_path / f"{KEY}.svg").write_text("<svg></svg>")
    found = report(capsys, str(tmp_path))
    written = (tmp_path / "report.html").read_text() + (tmp_path / "report.md").read_text()
    assert KEY not in json.dumps(found) + written
    assert "[key]" in written


def test_what_is_damaged_is_named_with_the_reason(
    example: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXAMPLE_STUDY_LIMIT", "9")
    main(["run", "example_study"])
    there = example / "results"
    whole = (there / "example_study-quick.parquet").read_bytes()
    for name, content in {
        "cut.json": b'{"a": ',
        "half.json": b"\xff\x00{",
        "deep.json": b"[" * 100_000,
        "empty.json": b"",
        "shape.json": b'{"recommendation": "buy", "alternatives": [], "marginal_gain": []}',
        "rows.parquet": whole,
        "picture.png": b"GIF89a",
        "half.png": PNG[:-4],
        "half.svg": b"<svg><g>",
        "mine.html": b"<!DOCTYPE html><title>mine</title>",
        "notes.md": b"# Mine",
        "data.csv": b"a,b\n",
    }.items():
        (there / name).write_bytes(content)
    figure(there, "unchecked", checks=[{"name": "a"}])
    shutil.copy(there / "example_study-quick.json", there / "torn.json")
    (there / "torn.parquet").write_bytes(whole[:-20])
    other = json.loads((there / "torn.json").read_text()) | {"schema_version": 99}
    (there / "later.json").write_text(json.dumps(other))
    (there / "later.parquet").write_bytes(whole)
    found = report(capsys, "results")
    reasons = unread(found)
    for name, reason in {
        "cut.json": "damaged", "half.json": "damaged", "deep.json": "nested too deeply",
        "empty.json": "damaged", "shape.json": "looks like a result of `opal plan`",
        "rows.parquet": "no JSON sidecar", "picture.png": "no whole PNG",
        "half.png": "no whole PNG", "half.svg": "no whole SVG", "mine.html": "neither",
        "notes.md": "neither", "data.csv": "neither", "unchecked.json": "a check has the fields",
        "torn.parquet": "not a readable Parquet", "later.parquet": "schema version 99",
    }.items():  # fmt: skip
        assert reason in reasons[name], (name, reasons[name])
    assert str(example) not in json.dumps(reasons)
    assert [s["name"] for s in found["studies"]] == ["example_study-quick", "later", "torn"]
    assert "The table of its records cannot be read." in seen(there / "report.html").text


def test_a_result_with_other_things_in_its_fields_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every field of real results is once missing, and once something else."""
    there = folder / "bent"
    there.mkdir()
    for name in ("fit", "pilot"):
        whole = json.loads((folder / f"{name}.json").read_text())
        for k, field in enumerate(whole):
            for value in (None, {"a": [1]}, ["x", 3]):
                bent = json.dumps(whole | {field: value})
                (there / f"{name}-{k}-{type(value).__name__}.json").write_text(bent)
            left = {each: whole[each] for each in whole if each != field}
            (there / f"{name}-{k}-less.json").write_text(json.dumps(left))
    reasons = unread(report(capsys, "results"))
    left_out = [reason for name, reason in reasons.items() if name.startswith("bent/")]
    assert len(left_out) > 30
    assert all("looks like" in reason or "neither" in reason for reason in left_out)


def test_nothing_outside_the_folder_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outside, there = tmp_path / "outside", tmp_path / "there"
    (there / "sub" / "below").mkdir(parents=True)
    outside.mkdir()
    figure(outside, "secret", caption="SECRET")
    figure(there / "sub", "inner")
    figure(there / "sub" / "below", "deeper", caption="DEEPER")
    (there / "secret.json").symlink_to(outside / "secret.json")
    (there / "linked").symlink_to(outside)
    (there / "again").symlink_to(there / "sub")
    (there / "loop.json").symlink_to(there / "loop.json")
    (there / "gone.json").symlink_to(there / "nowhere.json")
    os.mkfifo(there / "pipe.json")
    found = report(capsys, str(there))
    assert [each["name"] for each in found["figures"]] == ["sub/inner"]
    reasons = unread(found)
    for name, reason in {
        "secret.json": "leads out of the folder", "linked": "leads out of the folder",
        "again": "a link to a folder", "gone.json": "leads nowhere", "pipe.json": "a pipe",
        "sub/": "only one level of folders is read, and it holds 1 more folder",
    }.items():  # fmt: skip
        assert reason in reasons[name]
    assert "loop.json" in reasons
    written = (there / "report.html").read_text()
    assert "SECRET" not in written
    assert "DEEPER" not in written


def test_cells_of_a_run_are_told_of_by_its_records_alone(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stopped = folder.parent / "stopped"
    shutil.copytree(folder / "runs" / "cells", stopped / "cells")
    assert main(["report", str(stopped), "--json"]) == 2
    assert "cells/example_study/: cells of a run that has not ended" in capsys.readouterr().err
    (stopped / "cells" / "example_study" / "notes.txt").write_text("of others")
    shutil.copy(folder / "fit.json", stopped)
    found = report(capsys, str(stopped))
    assert "it holds 1 more folder" in unread(found)["cells/"]


def test_a_figure_without_its_picture_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figure(tmp_path, "whole")
    (tmp_path / "whole.png").write_bytes(PNG)
    said = "Its picture is not here"
    report(capsys, str(tmp_path))
    assert said not in seen(tmp_path / "report.html").text
    (tmp_path / "whole.png").write_bytes(PNG[:-4])
    report(capsys, str(tmp_path))
    assert said in seen(tmp_path / "report.html").text


def test_large_files_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    figure(tmp_path, "f")
    with (tmp_path / "huge.json").open("wb") as file:
        file.truncate(result_folder.LARGEST + 1)
    (tmp_path / "one.png").write_bytes(PNG)
    (tmp_path / "two.png").write_bytes(PNG)
    monkeypatch.setattr(result_folder, "MOST_PICTURES", len(PNG))
    found = report(capsys, str(tmp_path))
    assert "8.0 MB: files of at most 8 MB are read" in unread(found)["huge.json"]
    assert found["pictures"] == ["one.png"]
    assert "pictures already" in unread(found)["two.png"]


def test_long_tables_are_cut_and_say_so(example: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--pilot", "--n-real", "300", "--price-synthetic", "0.01",
                 "--budget", "240", "--json"]) == 0  # fmt: skip
    there = example / "results"
    there.mkdir()
    pilot = json.loads(capsys.readouterr().out)
    (there / "pilot.json").write_text(json.dumps(pilot))
    report(capsys, "results")
    n = len(pilot["points"])
    said = f"The first 30 of {n} rows. All are in pilot.json."
    assert said in seen(there / "report.html").text
    assert said in (there / "report.md").read_text()


def test_a_study_shows_its_own_comparison(
    example: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["run", "example_study"])
    module = example / "simulations" / "example_study.py"
    module.write_text(
        f"{module.read_text()}\n\ndef comparison(records):\n"
        "    return records.assign(twice=2 * records['value'])[['value', 'twice']]\n"
    )
    sys.modules.pop("simulations.example_study")
    report(capsys, "results")
    text = (example / "results" / "report.md").read_text()
    assert "| value | twice |\n| ---: | ---: |\n| 1 | 2 |\n| 4 | 8 |\n| 9 | 18 |" in text


def test_a_report_replaces_nothing_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figure(tmp_path, "f")
    for name, words in {
        "report.html": [], "report.md": [], "f.html": ["--out", str(tmp_path / "f.html")],
    }.items():  # fmt: skip
        (tmp_path / name).write_text("mine")
        assert main(["report", str(tmp_path), *words]) == 2
        assert "replaces no other file" in capsys.readouterr().err
        assert (tmp_path / name).read_text() == "mine"
        (tmp_path / name).unlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f.json"]
    report(capsys, str(tmp_path))
    report(capsys, str(tmp_path))


def test_a_page_elsewhere_leads_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    there = tmp_path / "the results"
    there.mkdir()
    figure(there, "f")
    (there / "f.png").write_bytes(PNG)
    (there / "f.pdf").write_bytes(b"%PDF")
    report(capsys, str(there), "--out", str(tmp_path / "pages" / "page.html"))
    assert "../the%20results/f.pdf" in seen(tmp_path / "pages" / "page.html").addresses
    text = (tmp_path / "pages" / "page.md").read_text()
    assert "](../the%20results/f.png)" in text


@pytest.mark.parametrize(
    ("make", "words", "message"),
    [
        ("there", ["there"], "in there there are none: it is empty. Write some with `opal figures"),
        ("there/sub", ["there"], "it is empty"),
        ("", ["there"], "there is none at there"),
        ("there/page.html", ["there", "--out", "there/page.html"], "a folder: name a file in it"),
        ("there", ["there", "--out", "there/page.pdf"], "ends in .html; got there/page.pdf"),
    ],
)
def test_refusals_name_the_rule_and_the_remedy(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    make: str,
    words: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / make).mkdir(parents=True, exist_ok=True)
    assert main(["report", *words]) == 2
    assert message in capsys.readouterr().err
    assert not [*tmp_path.rglob("*.md")]


def test_a_folder_without_results_says_what_it_holds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data.csv").write_text("a\n")
    assert main(["report", str(tmp_path)]) == 2
    assert "what is there is not read (data.csv: neither" in capsys.readouterr().err
    assert main(["report", str(tmp_path / "data.csv")]) == 2
    assert "is a file: name its folder" in capsys.readouterr().err


def test_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["report", "--help"])
    assert 'opal report results --title "What' in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "command", "verdict"),
    [
        ("text evaluate --seeds 2 --sizes 50 200", "opal text evaluate", "undecided"),
        ("text impute --folds 3 --repeats 2", "opal text impute", "originals filled to"),
        ("text audit", "opal text audit", "nothing found"),
    ],
)
def test_verdicts_of_the_text_commands_come_first(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: str,
    command: str,
    verdict: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*words.split(), "--json"]) == 0
    (tmp_path / "results" / "result.json").write_text(capsys.readouterr().out)
    found = report(capsys, "results")
    (result,) = found["results"]
    assert result["command"] == command
    assert any(verdict in said for said in result["verdicts"])
    shown = seen(tmp_path / "results" / "report.html").text
    assert shown.index("What was found") < shown.index(verdict)
