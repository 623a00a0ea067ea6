"""The code of docs/extend.md runs as it stands there, from a law to its figure."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import opal.settings
import opal.synthesis
import paper_figures
import simulations
from opal import plotting
from opal.cli import main, registry

GUIDE = Path(__file__).parents[1] / "docs" / "extend.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), re.M | re.S)
FILES = {m[1]: b for b in BLOCKS if (m := re.match(r"# (\S+\.py)\n", b))}
SNIPPETS = [block for block in BLOCKS if block not in FILES.values()]
HOMES = {
    "opal/settings": opal.settings,
    "opal/synthesis": opal.synthesis,
    "simulations": simulations,
    "paper_figures": paper_figures,
}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The guide's files, found beside those of the repository; returns their folder."""
    root = tmp_path_factory.mktemp("house")
    with pytest.MonkeyPatch.context() as patch:
        for name, text in FILES.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text, encoding="utf-8")
            package = HOMES[str(Path(name).parent)]
            patch.setattr(package, "__path__", [*package.__path__, str((root / name).parent)])
        yield root
    for name in FILES:
        sys.modules.pop(name.removesuffix(".py").replace("/", "."), None)


def test_the_guide_has_a_file_of_each_kind() -> None:
    assert sorted(FILES) == [
        "opal/settings/student.py",
        "opal/synthesis/jitter.py",
        "paper_figures/student.py",
        "simulations/student.py",
    ]
    assert len(SNIPPETS) == 3


# The first compares a thousand replicates with theory; that the files work is seen below too.
@pytest.mark.parametrize("number", [pytest.param(0, marks=pytest.mark.slow), 1])
def test_a_snippet_runs(number: int, house: Path) -> None:
    assert "assert " in SNIPPETS[number]  # what it shows, it checks itself
    exec(compile(SNIPPETS[number], f"extend.md, snippet {number + 1}", "exec"), {})


@pytest.mark.slow
def test_a_panel_goes_into_a_paper(
    house: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["run", "student", "--preset", "tiny", "--json"]) == 0
    exec(compile(SNIPPETS[2], "extend.md, snippet 3", "exec"), {})
    assert (tmp_path / "student.pdf").stat().st_size > 5000


@pytest.mark.slow
def test_the_study_becomes_its_figure(
    house: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "student" in registry.claims("study")
    status = main(["figures", "student", "--preset", "tiny", "--out", str(tmp_path), "--json"])
    (figure,) = json.loads(capsys.readouterr().out)["figures"]
    assert status == 0
    assert [check["name"] for check in figure["checks"]] == [
        "theory of Student-t classes",
        "bias is not ignored",
    ]
    assert (tmp_path / "student.png").stat().st_size > 10_000
    from opal import records

    (cell,) = (tmp_path / "records" / "student").glob("*.parquet")
    frame = records.read(cell)
    picture = registry.load("figure", "student").draw(frame)
    said = {text.get_text() for text in picture.legends[0].get_texts()}
    assert said == set(frame["arm"])
    assert "jitter" not in plotting.ARMS
    theory = frame[frame["source"] == "theory"]
    assert set(theory["arm"]) == set(frame["arm"]) - {"jitter"}
