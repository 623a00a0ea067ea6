"""From a CSV to a verdict with what ``opal.bridge.tabular`` exports."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from opal.bridge import tabular
from tests.bridge.conftest import Draw

EVEN = {(0, 0): 30, (1, 0): 30, (0, 1): 30, (1, 1): 30}
FEW = {(0, 0): 8, (1, 0): 8, (0, 1): 24, (1, 1): 24}
LIGHT = tabular.SoundSettings(folds=2, draws=1)


def test_every_name_is_there_and_nothing_is_loaded_before() -> None:
    assert sorted(tabular._HOME) == sorted(tabular.__all__)
    for name in tabular.__all__:
        assert callable(getattr(tabular, name))
    with pytest.raises(AttributeError, match="no attribute 'evaluate'; it has"):
        tabular.evaluate  # noqa: B018
    code = "import sys, opal.bridge.tabular; print('pandas' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr


def test_rows_in_memory_are_evaluated(draw: Draw) -> None:
    dataset = tabular.from_tables(draw(FEW, 1), draw(EVEN, 2), draw(EVEN, 3), target="y")
    found = tabular.evaluate_rows(dataset, classifiers=("logistic",), settings=LIGHT)
    table = found.table()
    assert {"raw", "smote", "synthetic"} <= set(table["arm"])
    assert (table["lower"] <= table["upper"]).all()
    assert set(found.left_out) == {"table/imbalanced"}
    (verdict,) = found.verdict().itertuples()
    assert verdict.says in ("helps", "harms", "open")
    assert verdict.n_seeds == 1
    assert "its test rows alone" in verdict.sentence
    assert "has seen is not said" in verdict.sentence
    assert len(found.plot().axes) == 2
    page = found.to_html()
    assert "Synthetic rows against group weighting" in page
    assert "data:image/png;base64,iVBOR" in page


def test_files_and_tables_in_memory_are_the_same(draw: Draw, tmp_path: Path) -> None:
    tables = {"train": draw(FEW, 1), "test": draw(EVEN, 2), "synthetic": draw(EVEN, 3)}
    for name, table in tables.items():
        table.to_csv(tmp_path / f"{name}.csv", index=False)
    frames = [
        tabular.evaluate_rows(
            tabular.from_tables(**given, target="y", name="mine"),
            classifiers=("logistic",),
            settings=LIGHT,
        ).table()
        for given in (tables, {name: tmp_path / f"{name}.csv" for name in tables})
    ]
    pd.testing.assert_frame_equal(*frames)


def of_the_guide(holds: str) -> str:
    """The Python of the guide that holds these words."""
    guide = (Path(__file__).parents[3] / "docs/tabular.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", guide, flags=re.DOTALL)
    (code,) = (block for block in blocks if holds in block)
    return str(code)


def test_the_guide_writes_splits_with_rows_of_both_classes(
    mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(of_the_guide("SCALING"), "docs/tabular.md", "exec"), {})
    for name, target in (("craft", "Target"), ("adult", "class")):
        files = sorted(path.name for path in Path(f"splits/{name}").iterdir())
        roles = ("test", "train", "train_generate")
        assert files == sorted(f"{role}_rand{seed}.csv" for role in roles for seed in range(1, 6))
        train = pd.read_csv(f"splits/{name}/train_rand1.csv")[target]
        assert train.value_counts().tolist() == [800, 100]


def test_the_guide_says_so(draw: Draw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = of_the_guide("held_out")
    monkeypatch.chdir(tmp_path)
    for name, counts in {"mine": FEW, "made": EVEN, "held_out": EVEN}.items():
        table = draw(counts, len(name)).rename(columns={"side": "sex"})
        table.to_csv(f"{name}.csv", index=False)
    exec(compile(code, "docs/tabular.md", "exec"), {})
    assert {path.suffix for path in tmp_path.iterdir()} == {".csv", ".png", ".html"}


def test_an_audit_has_tables_and_a_page(draw: Draw) -> None:
    train = draw(FEW, 1)
    made = pd.concat([train.head(5), draw(EVEN, 3)], ignore_index=True)
    found = tabular.audit_rows(made, train, test=draw(EVEN, 2), target="y", attributes=["side"])
    copies = found.table("copies").set_index("copies of")
    assert copies.loc["train", "exact"] == 5
    assert len(found.table("two_sample")) == 4
    assert "5 rows" not in found.to_html()
    with pytest.raises(ValueError, match="did you mean 'copies'"):
        found.table("copys")


def test_a_model_writes_rows(draw: Draw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is asked in a dry run; the flags of the command are fields here."""
    monkeypatch.chdir(tmp_path)
    asking = tabular.Asking(
        model="m", base_url="http://127.0.0.1:9", ledger=tmp_path / "l.db", dry_run=True
    )
    made = tabular.generate_rows(draw(FEW, 1), asking, target="y", fill_to=50)
    assert made.result()["groups"]["y=0"] == {"originals": 16, "asked": 34}
    assert made.table().empty
    assert list(made.table().columns) == ["x1", "x2", "x3", "side", "y"]
    assert "Rows from a language model" in made.to_html()
    assert not list(tmp_path.iterdir())
