"""The guides name code that exists and files that are there."""

from __future__ import annotations

import pkgutil
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
GUIDES = sorted(DOCS.glob("*.md"))
THEORY = (DOCS / "theory.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.stem)
def test_links_lead_somewhere(guide: Path) -> None:
    targets = re.findall(r"\]\(([^)#:]+)\)", guide.read_text(encoding="utf-8"))
    assert [target for target in targets if not (DOCS / target).exists()] == []


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.stem)
def test_links_within_a_guide_have_a_heading(guide: Path) -> None:
    text = guide.read_text(encoding="utf-8")
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= anchors


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(opal\.[\w.]+)`", THEORY))))
def test_code_that_theory_names_exists(name: str) -> None:
    assert pkgutil.resolve_name(name) is not None


def test_every_guide_is_listed() -> None:
    own = {"README", "api", "changelog", "explorer", "guides", "index"}  # pages of the site alone
    names = [guide.stem for guide in GUIDES if guide.stem not in own]
    listed = (DOCS / "README.md").read_text(encoding="utf-8")
    toctree = (DOCS / "guides.md").read_text(encoding="utf-8").split("\n")
    assert [name for name in names if f"({name}.md)" not in listed] == []
    assert [name for name in names if name not in toctree] == []


def test_equations_are_numbered_once_and_references_hit_one() -> None:
    equations = re.findall(r"```math\n(.*?)```", THEORY, flags=re.DOTALL)
    numbers = [re.findall(r"\\tag\{([\d.]+)\}", equation) for equation in equations]
    assert all(len(found) == 1 for found in numbers)
    tags = [found[0] for found in numbers]
    assert len(set(tags)) == len(tags)
    assert set(re.findall(r"\((?:equation )?(\d+\.\d)\)", THEORY)) <= set(tags)


def test_docstrings_refer_to_sections_that_exist() -> None:
    sources = (DOCS.parent / "opal").glob("**/*.py")
    text = " ".join(path.read_text(encoding="utf-8") for path in sources)
    references = re.findall(r"theory\.md,\s+sections? ([\d.]+\d|\d)", text)
    assert references
    sections = set(re.findall(r"^##+ (\d+(?:\.\d)?) ", THEORY, flags=re.MULTILINE))
    assert set(references) <= sections
