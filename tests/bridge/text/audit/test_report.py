"""The page and the terminal show texts, and never act on them."""

from __future__ import annotations

import io
import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from opal.bridge import render
from opal.bridge.render import LIMIT, shown
from opal.bridge.text import reading
from opal.bridge.text.audit import blocks
from opal.bridge.text.audit.report import AuditReport, audit
from opal.bridge.text.audit.tables import FOLDS, AuditData, folds_of
from opal.bridge.text.commands.audit import Audit
from opal.bridge.text.commands.flags import ColumnFlags
from opal.bridge.text.corpus import leaks
from opal.bridge.text.encoders import Characters, Counted, TfIdf
from opal.cli.output import strict
from tests.bridge.text.audit import planted

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)> quoted',
    "</td></table></body> ends the page",
    "=HYPERLINK(\"http://x\") 'formula'",
    "{{ template }} &amp; &lt;b&gt; entities",
    "smile 🙂 and \u202eturned around",
    "שלום עולם טוב מאוד",
    "an escape \x1b[31m red, a null \x00 and a bell \x07",
    "line one\nline two\ttabbed\r\nline three",
    "long " + "x" * 100_000,
    "[bold]markup[/bold] of rich [/]",
)
ALLOWED = {
    *("html", "head", "meta", "title", "style", "body", "h1", "h2", "h3", "nav", "a", "section"),
    *("p", "ul", "li", "b", "br", "small", "div", "table", "thead", "tbody", "tr", "th", "td"),
}
VOID = {"meta", "br"}


class Read(HTMLParser):
    """Checks that tags are known and closed, and collects texts and directions."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in ALLOWED
        assert {name for name, _ in attrs} <= {
            "class", "dir", "id", "href", "lang", "charset", "name", "content", "http-equiv"
        }  # fmt: skip
        assert all(str(value).startswith("#") for name, value in attrs if name == "href")
        if tag not in VOID:
            self.open.append(tag)
        if ("class", "text") in attrs:
            assert ("dir", "auto") in attrs
            self.texts.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "div" and self.texts:
            self.texts[-1] += data


def hostile() -> tuple[dict[str, pd.DataFrame], pd.DataFrame]:
    """Real texts of which a few would do harm, and synthetic ones that copy these."""
    rng = np.random.default_rng(0)
    base = planted.with_text(planted.real(rng, 40), range(len(HOSTILE)), HOSTILE)
    made = planted.made(rng, base, 12)
    made = planted.with_text(made, range(len(HOSTILE)), HOSTILE)
    label = ["<i>bad</i>" if each == "bad" else "good [/]" for each in base["label"]]
    other = ["<i>bad</i>" if each == "bad" else "good [/]" for each in made["label"]]
    return {"base": base.assign(label=label)}, made.assign(label=other)


@pytest.fixture(scope="module")
def result() -> dict[str, Any]:
    real, made = hostile()
    found = audit(real, {"<model>": made}, encoder=TfIdf())
    return {"audits": {"a & b": {"sources": found, "notes": ["<hr>"]}}, "written": "audit.html"}


def test_the_page_shows_texts_and_nothing_else(result: dict[str, Any]) -> None:
    content = AuditReport(result["audits"]).to_html()
    reader = Read()
    reader.feed(content)
    reader.close()
    assert reader.open == []
    examples = result["audits"]["a & b"]["sources"]["<model>"]["examples"]
    copies = [row for row in examples if row["kind"] == "copy of base"]
    assert len(copies) == 3
    for row in examples:
        assert shown(row["text"]) in reader.texts
    assert all(len(text) < LIMIT + 40 for text in reader.texts)
    assert "<script" not in content
    assert "\x00" not in content
    assert "\x1b" not in content


def test_every_hostile_text_survives_escaping() -> None:
    for text in HOSTILE:
        reader = Read()
        reader.feed(render.html("", [render.Table(("",), [[render.Quote(text)]])]))
        assert reader.texts == [shown(text)]
    raw = Read()
    with pytest.raises(AssertionError):
        raw.feed(f'<div class="text" dir="auto">{HOSTILE[0]}</div>')


def test_the_page_is_written_whole(result: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "new" / "audit.html"
    found = AuditReport(result["audits"])
    assert found.write(path) == found.result() | {"written": str(path)}
    assert path.read_text(encoding="utf-8") == found.to_html()
    assert path.stat().st_mode & 0o077 == 0  # it holds texts
    assert [each.name for each in path.parent.iterdir()] == ["audit.html"]
    with pytest.raises(IsADirectoryError, match="is a folder"):
        found.write(tmp_path)


def test_tables_have_names(result: dict[str, Any]) -> None:
    found = AuditReport(result["audits"])
    assert found.table()["kind"].tolist() == found.table("findings")["kind"].tolist()
    labels = found.table("labels")
    assert labels.columns[:3].tolist() == ["corpus", "source", "class"]
    assert set(labels["class"]) >= {"<i>bad</i>", "good [/]"}
    assert len(found.table("groups")) == 4
    with pytest.raises(ValueError, match="did you mean 'copies'"):
        found.table("copys")


def test_what_cannot_be_compared_is_told() -> None:
    """Few real texts of the class, and seeds that no one told: a page without a finding says so."""
    rng = np.random.default_rng(0)
    base, rare = planted.real(rng, 40), planted.real(rng, 12).query("label == 'bad'")
    real = {"base": pd.concat([base.query("label == 'good'"), rare], ignore_index=True)}
    made = planted.table(rng, [("bad", "inn")] * 40, source="model")
    found = audit(real, {"model": made}, encoder=TfIdf())
    page = render.html("Audit", blocks.audit({"audits": {"own": {"sources": found, "notes": []}}}))
    assert "40 texts of 1 class against" in page
    assert "Nothing found in what could be compared." in page
    assert (
        "Not compared: variety; length and vocabulary; wrong labels; whether they can be told from "
        "real texts; seeds, and leaks"
    ) in page


def test_seeds_are_counted_among_the_classes_that_are_written() -> None:
    """A writer of one class leaves the texts of the other out of its coverage."""
    from opal.bridge.text.audit.seeds import seeds

    rng = np.random.default_rng(0)
    base = planted.real(rng, 40)
    made = planted.made(rng, base, 30).query("label == 'bad'").reset_index(drop=True)
    rows = seeds(AuditData.of({"base": base}, {"model": made}, TfIdf()), "model", 0)
    n_bad = base.loc[base["label"] == "bad", "id"].nunique()
    assert {row["class"]: row["base"] for row in rows} == {"bad": n_bad, "all classes": n_bad}
    used = made["seeds"].map(lambda each: each[0]).nunique()
    assert {row["used"] for row in rows} == {used}


def test_the_terminal_is_not_acted_on(result: dict[str, Any]) -> None:
    console = Console(width=140, record=True, file=io.StringIO())
    console.print(render.terminal(blocks.audit(result, brief=True)))
    said = console.export_text()
    assert "\x1b" not in said
    assert "\u202e" not in said
    assert "copies" in said
    assert "good [/]" in said


def test_json_is_strict(result: dict[str, Any]) -> None:
    assert json.loads(json.dumps(strict(result), allow_nan=False))["written"] == "audit.html"


@pytest.mark.parametrize("n_seeds", [1, 5])
def test_no_relative_is_on_both_sides(n_seeds: int) -> None:
    rng = np.random.default_rng(1)
    base = planted.real(rng, 30)
    seeds = [tuple(rng.choice(base["id"], n_seeds)) for _ in range(240)]
    made = planted.made(rng, base, 60).assign(seeds=seeds)
    made = planted.with_text(made, range(20), [f"{text.upper()}!" for text in base["text"][:20]])
    made = planted.with_text(made, range(20, 40), made["text"][60:80].tolist())
    data = AuditData.of({"base": base}, {"model": made}, TfIdf())
    rows = np.arange(len(data.frame))
    folds = folds_of(data, rows, (rows >= len(base)).astype(int), 0)
    ids = data.frame["id"].to_numpy()
    n_trained = []
    for k in range(FOLDS):
        test, train = folds.home == k, ~folds.barred[k]
        assert not (test & train).any()
        assert not set(data.key[test]) & set(data.key[train])
        real = set(ids[test & (rows < len(base))])
        assert not leaks(data.frame[train], real).any()
        if n_seeds == 1:
            held = {seed for seeds in data.frame["seeds"][test] for seed in seeds}
            assert not any(held & set(each) for each in data.frame["seeds"][train])
        n_trained.append(train.sum())
    assert min(n_trained) > 60
    # The control: folds that ignore lineage break each of these.
    blind = np.random.default_rng(0).integers(FOLDS, size=len(rows)) == 0
    assert leaks(data.frame[~blind], set(ids[blind & (rows < len(base))])).any()


def test_characters_are_seen_of_the_rows_that_are_asked_for() -> None:
    rng = np.random.default_rng(1)
    base = planted.real(rng, 30)
    made = planted.made(rng, base, 60)
    data = AuditData.of({"base": base}, {"model": made}, Characters())
    rows = np.arange(5, len(data.frame), 3)
    seen, alone = data.features(rows), Characters().features(data.frame["text"].iloc[rows].tolist())
    assert isinstance(seen, Counted)
    assert seen.most == alone.most
    trained = np.arange(0, len(rows), 2)
    x, expected = seen.given(trained), alone.given(trained)
    np.testing.assert_allclose((x @ x.T).toarray(), (expected @ expected.T).toarray(), atol=1e-12)
    assert "letters in a row" in data.scale
    assert data.similarity(rows, rows) == pytest.approx(np.ones(len(rows)))


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    rng = np.random.default_rng(3)
    base, test = planted.real(rng, 30), planted.real(rng, 20)
    made = planted.made(rng, base, 10)
    made = planted.with_text(made, range(12), test["text"][:12].tolist())
    paths = {name: tmp_path / name for name in ("train.csv", "test.csv", "samples.jsonl")}
    plain = {"text": "said", "label": "kind", "attribute": "place"}
    for name, frame in (("train.csv", base), ("test.csv", test)):
        frame.rename(columns=plain)[list(plain.values())].to_csv(paths[name], index=False)
    lines = made.assign(
        model="m", cost=0.1, prompt=[[{"role": "user", "content": "?"}]] * len(made)
    )
    paths["samples.jsonl"].write_text(
        "".join(json.dumps(row) + "\n" for row in lines.to_dict("records")), encoding="utf-8"
    )
    return paths


def command(files: dict[str, Path], **options: Any) -> Audit:
    named = {"text_column": "said", "label_column": "kind", "attribute_column": "place"}
    named |= {name: options.pop(name) for name in list(options) if name.endswith("_column")}
    own: dict[str, Any] = {
        "train": files["train.csv"],
        "test": files["test.csv"],
        "json": True,
        "columns": ColumnFlags(**named),
    }
    return Audit(
        (files["samples.jsonl"],), out=files["train.csv"].parent / "a.html", **own | options
    )


def test_synthetic_labels_are_those_of_training(files: dict[str, Path]) -> None:
    """Else nothing would be compared, and nothing found."""
    made = pd.read_json(files["samples.jsonl"], lines=True)
    kinds = sorted(made["label"].unique())
    told = made.assign(label=made["label"].map({kind: str(i) for i, kind in enumerate(kinds)}))
    told.to_json(files["samples.jsonl"], orient="records", lines=True)
    with pytest.raises(ValueError, match=r"labels of --train, .*; got '0', '1'. Write the labels"):
        command(files).run()


def test_files_are_audited_with_their_lineage(files: dict[str, Path]) -> None:
    asked = command(files)
    found = asked.run()["audits"]["files"]["sources"]["model"]
    assert asked.out.is_file()
    assert found["copies"]["test"][-1]["exact"] == 12
    assert found["seeds"][-1]["with_seeds"] == 40
    assert found["seeds"][-1]["unknown"] == 0
    assert found["composition"] is not None
    told = {(row["kind"], row["class"]) for row in found["verdicts"]["findings"]}
    assert ("copies", "all classes") in told


def test_each_file_is_read_once(files: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    content = Path.read_bytes

    def counted(path: Path) -> bytes:
        read.append(path.name)
        return content(path)

    monkeypatch.setattr(Path, "read_bytes", counted)
    assert command(files)._files().synthetic.keys() == {"model"}
    assert sorted(read) == sorted(files)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"corpus": ("grammar",)}, "FILES exclude --corpus"),
        ({"train": None}, "name --train"),
        ({"text_column": "sad"}, "no column 'sad' for the text; did you mean 'said'"),
        ({"sources": ("gpt",)}, "unknown source 'gpt'"),
        ({"encoder": "minilmm"}, "unknown encoder 'minilmm'; did you mean 'minilm'"),
        ({"seed": -1}, "--seed must be"),
    ],
)
def test_bad_flags_are_told(files: dict[str, Path], options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        command(files, **options).run()


def test_flags_without_files_are_told() -> None:
    with pytest.raises(ValueError, match="--test needs FILES"):
        Audit(test=Path("x.csv")).run()
    with pytest.raises(ValueError, match="unknown corpus of texts 'gramar'"):
        Audit(corpus=("gramar",), out=Path("/tmp/opal-never.html")).run()


def test_contradictions_are_left_out_and_told(files: dict[str, Path]) -> None:
    frame = reading.read_texts(files["samples.jsonl"], source="model", n_classes=1)
    good = frame.index[frame["label"] == "good"][0]
    twice = planted.with_text(frame, [int(good)], [frame["text"][0]])
    reading.write_texts(twice, files["samples.jsonl"])
    notes = command(files).run()["audits"]["files"]["notes"]
    said = f"{files['samples.jsonl']}: 2 texts occur with several labels and are left out"
    assert [note for note in notes if "left out" in note] == [said]


def test_what_is_known_of_a_published_corpus(mirror: Path) -> None:
    """Counted by hand with pandas on the published files."""
    from opal.bridge.text import published
    from opal.bridge.text.audit.seeds import seeds
    from opal.bridge.text.audit.variety import variety

    corpus = published.load_corpus("hypo-l")
    base, llama = corpus.base, corpus.synthetic["llama-2-70b"]
    data = AuditData.of({"base": base}, {"llama": llama}, TfIdf())
    rows = {row["class"]: row for row in variety(data, "llama", 0)}
    own = llama[llama["label"] == "hyperbole"]
    assert rows["hyperbole"]["n_repeated"] >= int(own["id"].duplicated().sum()) > 600
    used = {row["class"]: row["used"] for row in seeds(data, "llama", 0)}
    assert used["all classes"] == llama["seeds"].map(lambda each: each[0]).nunique()
    assert used["all classes"] < 0.8 * len(base)


@pytest.mark.parametrize(("n", "told"), [(0, 0), (3, 1)])
def test_real_tables_share_few_texts(files: dict[str, Path], n: int, told: int) -> None:
    """What they share looks like what occurs by chance, and hides copies."""
    train, test = (pd.read_csv(files[name]) for name in ("train.csv", "test.csv"))
    pd.concat([test, train[:n]]).to_csv(files["test.csv"], index=False)
    notes = command(files)._files().notes
    shared = [note for note in notes if "in both --train and --test" in note]
    assert len(shared) == told
    pd.concat([test, train]).to_csv(files["test.csv"], index=False)
    with pytest.raises(ValueError, match=r"--train and --test must be of different texts"):
        command(files).run()
