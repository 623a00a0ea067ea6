from __future__ import annotations

from collections.abc import Sequence
from html.parser import HTMLParser

import pytest
from rich.console import Console

from opal.bridge import render
from opal.bridge.render import (
    Block,
    Cell,
    Figure,
    Folded,
    Heading,
    Hyperlink,
    Items,
    Paragraph,
    Quote,
    Table,
    Toned,
)

HOSTILE = "<script>alert(1)</script> [bold]x[/bold] \x1b[31m *a* | [b](c) \u202egnp.exe \ud800"
BLOCKS: list[Block] = [
    Heading("first part"),
    Paragraph("Said in a sentence."),
    Items([("copies", "three of ten"), ("", HOSTILE)], tone="bad"),
    Table(("group", "rows", "share"), [("a", 12, 0.123456), (HOSTILE, 3, None)], "counts", "note"),
    Heading("second part"),
    Table(("why", "text"), [("near", Quote(HOSTILE, "by GPT"))], "examples"),
    Figure(b"png", "differences.png", "what differs"),
]


def _printed(blocks: Sequence[Block], width: int = 120) -> str:
    console = Console(width=width, color_system=None, force_terminal=False)
    with console.capture() as capture:
        console.print(render.terminal(blocks))
    return capture.get()


def test_a_terminal_shows_every_block_and_acts_on_none_of_their_texts() -> None:
    text = _printed(BLOCKS)
    for said in ("first part", "Said in a sentence.", "- copies three of ten", "0.1235", "note"):
        assert said in text
    assert "[by GPT] <script>" in text
    assert "what differs: differences.png" in text
    assert "[bold]x[/bold]" in text  # rich's markup is text
    assert not any(bad in text for bad in ("\x1b", "\u202e", "\ud800"))
    assert "␛[31m" in text


def test_numbers_stand_to_the_right_and_words_to_the_left() -> None:
    table = Table(
        ("name", "n", "gap", "interval"), [("a", 1, 0.5, "+1 [0, 2]"), ("b", 10, None, "–")]
    )
    assert table.words == [True, False, False, False]
    lines = _printed([table]).splitlines()
    assert lines[1].index("1 ") > lines[2].index("10")


def test_what_is_wider_than_the_console_is_shown_in_parts_and_nothing_is_cut() -> None:
    names = [f"column_{k}" for k in range(12)]
    text = _printed([Table(names, [[1.5 + k for k in range(12)], [2.5] * 12])], width=60)
    assert all(name in text for name in names)
    assert text.count("#") > 1
    assert all(len(line) <= 60 for line in text.splitlines())


def test_markdown_has_a_table_and_no_live_markup() -> None:
    text = render.markdown("Report", BLOCKS)
    assert text.startswith(
        "# Report\n\n## first part\n\nSaid in a sentence.\n\n- *copies* three of"
    )
    assert "| group | rows | share |\n| --- | ---: | ---: |\n| a | 12 | 0.1235 |" in text
    assert "![what differs](differences.png)" in text
    assert r"\<script>" in text
    assert r"\*a\* \| [b\](c)" in text


class _Seen(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.anchors: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [str(v) for k, v in attrs if k == "href"]
        self.anchors += [str(v) for k, v in attrs if k == "id"]


def test_a_page_is_whole_links_its_parts_and_runs_nothing() -> None:
    page = render.html("Report <b>", BLOCKS)
    seen = _Seen()
    seen.feed(page)
    assert "script" not in seen.tags
    assert page.count("<html") == page.count("</html>") == 1
    assert seen.links == ["#part1", "#part2"]
    assert seen.anchors == ["part1", "part2"]
    assert seen.tags.count("table") == 2
    assert "<title>Report &lt;b&gt;</title>" in page
    assert "default-src 'none'" in page
    assert 'src="data:image/png;base64,cG5n"' in page
    assert "<small>by GPT</small>" in page
    page.encode("utf-8")  # half characters are no longer there
    assert "\x1b" not in page


def test_a_page_leads_to_anchors_and_files_and_folds_what_is_asked_for_later() -> None:
    picture = Figure(b"<svg>", "s.svg", media="image/svg+xml")
    verdict, file = Toned("FAILS", "bad"), Hyperlink("c[d] |", "c%5B.pdf")
    rows: list[list[Cell]] = [[Hyperlink("a [b]", "#there"), verdict], [file, "x"]]
    blocks: list[Block] = [
        Table(("name", "verdict"), rows),
        Heading("there", 3, "there"),
        Folded("more", [Paragraph("Folded away."), picture]),
    ]
    page = render.html("Report", blocks, generator="opal report")
    seen = _Seen()
    seen.feed(page)
    assert seen.links == ["#there", "c%5B.pdf"]
    assert seen.anchors == ["there"]
    assert seen.tags.count("details") == seen.tags.count("summary") == 1
    assert '<b class="bad">FAILS</b>' in page
    assert 'src="data:image/svg+xml;base64,' in page
    assert render.generator_of(page) == "opal report"
    assert render.generator_of(f"<!DOCTYPE html>{page[20:]}") == "opal report"
    assert render.generator_of(f" {page}") is None
    text = render.markdown("Report", blocks)
    assert "| a [b] | FAILS |" in text
    assert r"| [c\[d\] \|](c%5B.pdf) | x |" in text
    assert "### more\n\nFolded away.\n\n![s.svg](s.svg)" in text
    assert "Folded away." in _printed(blocks)


@pytest.mark.parametrize(
    "said",
    ["# a", "## a", "> a", "- a", "+ a", "---", "===", "~~~", "[a]: http://b", "&lt;", "&#60;"],
)
def test_a_line_of_markdown_begins_nothing(said: str) -> None:
    assert render.markdown("Report", [Paragraph(said)]) == f"# Report\n\n\\{said}\n"
    assert f"| \\{said} | -1.5 |" in render.markdown("Report", [Table("ab", [(said, -1.5)])])


def test_a_page_of_one_part_has_no_links() -> None:
    assert "<nav>" not in render.html("Report", [Heading("only"), Paragraph("this", "good")])


@pytest.mark.parametrize("blocks", [[], [Table(("a",), [])]])
def test_nothing_to_say_is_said(blocks: list[Block]) -> None:
    _printed(blocks)
    assert render.markdown("Report", blocks).startswith("# Report")
    assert "<h1>Report</h1>" in render.html("Report", blocks)


@pytest.mark.parametrize("shape", ["items", "paragraph", "note"])
def test_what_a_report_says_itself_is_not_cut(shape: str) -> None:
    said = " ".join(f"word{k}" for k in range(200))
    block: dict[str, Block] = {
        "items": Items([("verdict:", said)]),
        "paragraph": Paragraph(said),
        "note": Table(("a",), [(1,)], "counts", said),
    }
    blocks = [block[shape]]
    for shown in (
        _printed(blocks),
        render.markdown("report", blocks),
        render.html("report", blocks),
    ):
        assert "word199" in shown
        assert "characters)" not in shown
    of_somebody = [Table(("text",), [(Quote(said),)])]
    assert "characters)" in _printed(of_somebody)
    assert "characters)" in render.html("report", of_somebody)
