from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from opal.bridge import resampling
from opal.bridge.tabular import datasets, splits
from opal.bridge.tabular.audit import cases, copies, relations, report
from opal.bridge.tabular.audit.cases import Case, Grouping
from opal.bridge.tabular.audit.labels import labels
from opal.bridge.tabular.audit.two_sample import two_sample
from opal.bridge.tabular.audit.values import unseen
from opal.bridge.tabular.splits import keys
from tests.bridge.conftest import Draw

EVEN = {(0, 0): 40, (1, 0): 40, (0, 1): 40, (1, 1): 40}


def run(draw: Draw, synthetic: pd.DataFrame, **options: Any) -> dict[str, Any]:
    train, test, rest = draw(EVEN, 1), draw(EVEN, 2), draw(EVEN, 3)
    source = pd.concat([train, test, rest], ignore_index=True)
    arguments = {"source": source, "target": "y", "attributes": ["side"], "trees": 5, **options}
    return report.audit_cases([Case("made.csv", synthetic, train, test)], **arguments).result()


def test_a_table_of_labels_alone_is_refused(draw: Draw) -> None:
    alone = draw(EVEN, 1)[["y"]]
    with pytest.raises(ValueError, match=r"training table of made\.csv has none beside 'y'"):
        report.audit_cases([Case("made.csv", alone, alone)], target="y")


def test_planted_copies_are_counted(draw: Draw) -> None:
    made = draw(EVEN, 9)
    train, test = draw(EVEN, 1), draw(EVEN, 2)
    made.iloc[0:5] = train.iloc[0:5]
    made.iloc[5:8] = test.iloc[0:3]
    made.iloc[8:10] = test.iloc[0:1]  # recited twice more
    made.iloc[10] = train.iloc[7]
    made.loc[10, "y"] = 1 - made.loc[10, "y"]
    made.loc[11, ["x1", "x2", "x3"]] = train.loc[8, ["x1", "x2", "x3"]] + 0.001
    made.loc[11, "side"] = train.loc[8, "side"]
    found = run(draw, made)["copies"]
    assert (found["train"]["exact"], found["train"]["distinct"]) == (5, 5)
    assert (found["test"]["exact"], found["test"]["distinct"]) == (5, 3)
    assert found["source"]["exact"] == 10
    assert found["source"]["exact_share"] == pytest.approx(10 / 160)
    assert found["train"]["relabelled"] == 1
    assert found["train"]["near"] >= 1
    assert found["within"]["repeated"] == 2
    assert found["train"]["by_chance"] == found["source"]["by_chance"] == 0.0
    assert found["source"]["by_file"] == {"made.csv": 10}


def test_fresh_real_rows_are_near_at_the_stated_rate(draw: Draw) -> None:
    many = dict.fromkeys(EVEN, 1000)
    shares = [
        copies.copies([Case("", draw(many, 10 + s), draw(EVEN, s))], None)["train"]["near_share"]
        for s in range(4)
    ]
    assert np.mean(shares) == pytest.approx(copies.NEAR_SHARE, abs=0.025)


def test_copies_by_chance_are_told_where_rows_coincide(draw: Draw) -> None:
    """With whole numbers only, real rows coincide: that rate is the one to compare with."""
    many = dict.fromkeys(EVEN, 500)
    made, test = draw(many, 1).round(0), draw(many, 2).round(0)
    found = copies.copies([Case("", made, draw(EVEN, 3).round(0), test)], None)["train"]
    assert found["by_chance"] == pytest.approx(found["exact_share"], abs=0.05)
    assert found["by_chance"] > 0.2


def test_planted_shift_comes_first(draw: Draw) -> None:
    made = draw(EVEN, 9)
    inside = (made["side"] == 1) & (made["y"] == 0)
    made.loc[inside, "x3"] += 1.5
    first = run(draw, made)["shift"][0]
    assert (first["group"], first["feature"]) == ("side=1,y=0", "x3")
    assert first["shift_sd"] == pytest.approx(1.5, abs=0.45)
    assert first["z"] > 5


def test_shifts_of_fresh_rows_are_within_their_errors(draw: Draw) -> None:
    z = [row["z"] for row in run(draw, draw(EVEN, 9))["shift"] if row["z"] is not None]
    assert len(z) == 12
    assert np.abs(z).max() < 3.5


def test_two_samples_of_one_law_are_not_told_apart(draw: Draw) -> None:
    rows = run(draw, draw(dict.fromkeys(EVEN, 100), 9), trees=50)["two_sample"]
    z = [(row["auc"] - 0.5) / row["std_error"] for row in rows]
    assert np.abs(z).max() < 3.3
    assert abs(np.mean(z)) < 1.5


def test_shifted_rows_are_told_apart(draw: Draw) -> None:
    made = draw(EVEN, 9)
    made["x3"] += 4.0
    assert min(row["auc"] for row in run(draw, made)["two_sample"]) > 0.95


def test_recitation_does_not_push_the_auc_below_half(draw: Draw) -> None:
    """Every synthetic row is a real row: with copies in one fold the forest learns nothing."""
    real = draw({(0, 0): 150}, 1)
    groups = Grouping.of(real, "y", ())
    row = two_sample(real.head(75), real, ["x1", "x2", "x3"], groups, 50, 0)[0]
    assert abs(row["auc"] - 0.5) < 3 * row["std_error"]


def test_equal_rows_share_a_fold(draw: Draw) -> None:
    real = draw({(0, 0): 60}, 1)
    both = pd.concat([real.head(30), real])
    row_keys = keys(both)
    is_synthetic = np.arange(90) < 30
    fold = resampling.deal(resampling.lineages(row_keys), is_synthetic, 5, seed=0)
    assert all(
        len({f for f, k in zip(fold, row_keys, strict=True) if k == key}) == 1
        for key in set(row_keys)
    )
    assert np.bincount(fold[:30]).tolist() == [6] * 5


def test_group_with_few_rows_has_a_reason_and_no_auc(draw: Draw) -> None:
    rows = run(draw, draw({(0, 0): 40, (1, 1): 3}, 9))["two_sample"]
    few = next(row for row in rows if row["group"] == "side=1,y=1")
    assert few["auc"] is None
    assert "one kind has 3" in few["reason"]


def test_unseen_values_are_counted(draw: Draw) -> None:
    made = draw(EVEN, 9)
    made[["x1", "x2", "x3"]] = made[["x1", "x2", "x3"]].clip(0, 1)
    made.loc[0, "x1"] = 99.0
    made.loc[1, "x1"] = -99.0
    made["side"] = made["side"].astype(float)
    made.loc[2, "side"] = 0.5
    made.loc[3, "y"] = 7
    found = run(draw, made)["unseen"]
    by_name = {row["feature"]: row for row in found["features"]}
    assert (by_name["x1"]["above"], by_name["x1"]["below"]) == (1, 1)
    assert (by_name["side"]["not_whole"], by_name["side"]["unseen"]) == (1, 1)
    assert found["labels"] == {"7": 1}
    assert found["rows"] == 4


def test_composition_is_held_against_the_prompt_alone(draw: Draw) -> None:
    made = draw({(0, 0): 70, (1, 0): 30, (0, 1): 50, (1, 1): 50}, 9)
    found = run(draw, made)["composition"]
    assert found["asked"] is None
    first = found["groups"][0]
    assert (first["group"], first["synthetic"], first["share"]) == ("side=0,y=0", 70, 0.35)
    assert (first["asked_share"], first["z"]) == (None, None)
    entry = next(
        row for row in found["conditional"] if row["level"] == "side=1" and row["given"] == "y=0"
    )
    assert entry["synthetic"] == {"count": 30, "of": 100, "share": 0.3}
    prompt = run(draw, made, prompt_rows=10)["composition"]
    shown = draw(EVEN, 1).head(10)
    counts = {row["group"]: row["prompt"] for row in prompt["groups"]}
    share = prompt["groups"][0]["prompt"] / 10
    assert prompt["groups"][0]["z"] == pytest.approx(
        (0.35 - share) / np.sqrt(share * (1 - share) / 200)
    )
    assert counts["side=1,y=1"] == ((shown["side"] == 1) & (shown["y"] == 1)).sum()


def test_attribute_with_many_values_groups_by_zero(draw: Draw) -> None:
    table = draw(EVEN, 1)
    table["dose"] = np.where(table["side"] == 1, table["x2"].abs() + 0.01, 0.0)
    groups = Grouping.of(table, "y", ("dose",))
    assert groups.names == ("dose=0,y=0", "dose=0,y=1", "dose≠0,y=0", "dose≠0,y=1")


def test_result_is_json(draw: Draw) -> None:
    result = run(draw, draw({(0, 0): 40}, 9), prompt_rows=5)
    assert json.loads(json.dumps(result, allow_nan=False)) == result


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="x2"), "made.csv needs a column 'x2'"),
        (lambda t: t.rename(columns={"side": "Side"}), "did you mean 'Side'"),
        (lambda t: t.assign(x1=np.nan), "'x1' must be complete"),
        (lambda t: t.assign(x1="a"), "'x1' must hold numbers"),
        (lambda t: t.head(0), "must hold synthetic rows"),
    ],
)
def test_bad_tables_are_refused(
    draw: Draw, change: Callable[[pd.DataFrame], pd.DataFrame], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        run(draw, change(draw(EVEN, 9)))


def listed(name: str, task: str) -> dict[str, Any]:
    dataset = datasets.listed(name)
    loaded = [splits.load(dataset, task, "focus", seed) for seed in datasets.SEEDS]
    assert dataset.attribute is not None
    assert loaded[0].source is not None
    several = [
        Case(f"{s.seed}", s.synthetic.head(len(s.train)), s.train, s.test, s.synthetic)
        for s in loaded
    ]
    return {
        "copies": copies.copies(several, loaded[0].source),
        "composition": cases.composition(
            several,
            loaded[0].source,
            Grouping.of(loaded[0].source, dataset.target, (dataset.attribute,)),
            datasets.PROMPT_ROWS,
        ),
    }


def test_recited_diabetes_rows_are_found(mirror: Path) -> None:
    """41 % (imbalanced) and 51 % (spurious) of the used rows are rows of the public Pima table."""
    imbalanced, spurious = (listed("openmlDiabetes", task)["copies"] for task in datasets.TASKS)
    assert (imbalanced["source"]["exact"], imbalanced["source"]["n_rows"]) == (204, 500)
    assert (imbalanced["test"]["exact"], imbalanced["test"]["n_rows"]) == (80, 500)
    assert (spurious["source"]["exact"], spurious["source"]["n_rows"]) == (257, 500)
    assert imbalanced["source"]["by_chance"] == 0.0


def test_rebuilt_correlation_in_gender_is_found(mirror: Path) -> None:
    """P(long_hair | male): real .87, prompt .50, GPT-4 .22."""
    rows = listed("gender", "spurious")["composition"]["conditional"]
    male = next(r for r in rows if r["level"] == "long_hair=1" and r["given"] == "gender=0")
    assert male["source"] == {"count": 2165, "of": 2500, "share": pytest.approx(0.866)}
    assert male["prompt"] == {"count": 25, "of": 50, "share": 0.5}
    assert male["generated"] == {"count": 65, "of": 294, "share": pytest.approx(0.221, abs=5e-4)}
    assert male["synthetic"] == {"count": 28, "of": 122, "share": pytest.approx(0.2295, abs=5e-4)}


def findings_of(found: dict[str, Any]) -> set[tuple[str, str]]:
    return {(row["kind"], row["class"]) for row in found["verdicts"]["findings"]}


def test_wrong_labels_are_found_and_honest_ones_are_not(draw: Draw) -> None:
    made = draw(EVEN, 9)
    swapped = made.assign(y=np.where(np.arange(len(made)) % 5 < 2, 1 - made["y"], made["y"]))
    right, wrong = (run(draw, rows, attributes=[]) for rows in (made, swapped))
    assert findings_of(right) == set()
    assert ("labels", cases.ALL) in findings_of(wrong)
    row = wrong["labels"][-1]
    assert row["wrong"] == pytest.approx(0.4, abs=4 * row["std_error"])
    assert 0.05 < right["labels"][-1]["detectable"] < 0.4


def test_a_continuous_label_has_no_classes(draw: Draw) -> None:
    case = Case("", draw(EVEN, 2), draw(EVEN, 1))
    with pytest.raises(ValueError, match=r"at least 2 different real rows to be audited; 'x1="):
        cases.Tables.of([case], None, "x1", ())
    made, train = (t.assign(x1=np.arange(len(t)) % 12) for t in (case.synthetic, case.train))
    tables = cases.Tables.of([Case("", made, train)], None, "x1", ())
    [row] = labels(tables, Grouping.of(tables.real, "x1", ()), 5, 0)
    assert row["reason"] == "needs 2 to 10 values of the label; there are 12"


def test_copies_behind_a_key_are_found(draw: Draw) -> None:
    """Numbers of rows make every row its own: they are left out, and told."""
    train, test, made = (draw(EVEN, seed) for seed in (1, 2, 9))
    made.iloc[:40] = train.iloc[:40]
    numbered = [
        table.assign(number=start + np.arange(len(table)))[["number", *table.columns]]
        for table, start in ((made, 5000), (train, 0), (test, 900))
    ]
    case = Case("made.csv", *numbered)
    found = report.audit_cases([case], target="y", trees=5).result()
    assert found["keys"] == ["number"]
    assert found["copies"]["train"]["exact"] == 40
    assert ("copies", "train") in findings_of(found)
    page = report.TableAudit(found).to_html()
    assert "they number the real rows: number" in page
    assert "is not known" in page
    # x1 to x3 differ in most rows too, but are no whole numbers.
    assert cases.Tables.of([Case("", made, train, test)], None, "y", ()).keys == ()


@pytest.mark.parametrize("kind", ["time", "seldom twice", "few rows", "changed"])
def test_copies_but_for_one_column_are_found(draw: Draw, kind: str) -> None:
    """No rule says that the column is a key: it is that behind which the copies are."""
    n = 30 if kind == "few rows" else 160
    train, made = draw(EVEN, 1).sample(n, random_state=0), draw(EVEN, 9).sample(n, random_state=0)
    made.iloc[:25] = train.iloc[:25]
    rng, first = np.random.default_rng(0), np.arange(n, dtype=float)
    if kind == "time":
        first = 1.7e9 + rng.random(n).cumsum()
    elif kind == "seldom twice":
        first[-2:] = first[-4:-2]
    second = first + 10**6 if kind != "time" else first + 5e4
    columns = ["number", *train.columns]
    if kind == "changed":
        made.iloc[:25, 0] += 0.5
        columns = list(train.columns)
    numbered = (
        table.assign(number=own)[columns] for table, own in ((made, second), (train, first))
    )
    found = report.audit_cases([Case("made.csv", *numbered)], target="y", trees=5).result()
    row = found["copies"]["train"]
    assert (row["exact"], row["all_but"], row["twins"]) == (0, 25, 0)
    assert row["column"] == (train.columns[0] if kind == "changed" else "number")
    assert ("copies but for a column", "train") in findings_of(found)
    [said] = [each["said"] for each in found["verdicts"]["findings"] if each["class"] == "train"][
        :1
    ]
    assert said.startswith(f"25 of {n} rows are train rows but for {row['column']}; of {n} t")


def test_rows_of_few_values_are_no_copies_but_for_a_column() -> None:
    rng = np.random.default_rng(3)
    tables = [pd.DataFrame(rng.integers(0, 6, (200, 4)), columns=list("abcy")) for _ in range(2)]
    found = report.audit_cases([Case("made.csv", *tables)], target="y", trees=5).result()
    assert found["copies"]["train"]["all_but"] > 50
    assert not [each for each in found["verdicts"]["findings"] if "but for" in each["kind"]]


def test_amounts_that_differ_in_all_rows_are_no_keys(draw: Draw) -> None:
    """They hide copies as keys do, and are looked at for all else."""
    train, test, made = (draw(EVEN, seed) for seed in (1, 2, 9))
    made.iloc[:40] = train.iloc[:40]
    rng = np.random.default_rng(0)
    paid = [
        table.assign(income=rng.choice(10**6, len(table), replace=False) + more)[
            ["income", *table.columns]
        ]
        for table, more in ((made, 10**7), (train, 0), (test, 0))
    ]
    found = report.audit_cases([Case("made.csv", *paid)], target="y", trees=5).result()
    assert (found["keys"], found["apart"]) == ([], ["income"])
    assert found["copies"]["train"]["exact"] == 40
    assert any(row["feature"] == "income" and row["shift_sd"] > 5 for row in found["shift"])
    assert (
        "without those in which all real rows differ: income" in report.TableAudit(found).to_html()
    )


def test_relations_that_synthetic_rows_break_are_found() -> None:
    rng = np.random.default_rng(0)

    def rows(n: int) -> pd.DataFrame:
        a, b, c, d = (rng.normal(size=n).round(2) for _ in range(4))
        high = d + rng.exponential(size=n).round(1)
        table = pd.DataFrame({"a": a, "b": b, "c": c, "low": d, "high": high})
        return table.assign(product=(a * b).round(2), total=(a + 2 * b - c + 1).round(2))

    real, fresh = rows(120), rows(200)
    found = {row["relation"]: row for row in relations.relations(real, fresh)["found"]}
    assert {"product = a · b", "low ≤ high"} <= set(found)
    sums = [
        name for name in found if {"a", "b", "c", "total"} <= set(name.replace("·", " ").split())
    ]
    assert len(sums) == 1
    assert all(row["broken"] <= 0.02 * 200 for row in found.values())
    wrong = fresh.assign(product=fresh["product"].sample(frac=1, random_state=0).to_numpy())
    broken = {r["relation"]: r["broken"] for r in relations.relations(real, wrong)["found"]}
    assert broken["product = a · b"] > 150
    assert broken[sums[0]] <= 0.02 * 200
    assert relations.relations(real.head(40), fresh)["found"] == []


def test_independent_columns_have_no_relation() -> None:
    rng = np.random.default_rng(1)
    for _ in range(5):
        x = np.column_stack([rng.normal(size=(60, 6)).round(1), rng.integers(0, 2, (60, 6))])
        table = pd.DataFrame(x, columns=[f"x{k}" for k in range(12)])
        assert relations.relations(table, table)["found"] == []


def test_what_oversampling_asks_for_is_no_fault(draw: Draw) -> None:
    """Rows of the small group alone, some of them beyond the training range as fresh rows are."""
    found = run(draw, draw({(1, 1): 60}, 9))
    assert "groups" not in {kind for kind, _ in findings_of(found)}
    assert "unseen values" not in {kind for kind, _ in findings_of(found)}
    many = unseen(draw(dict.fromkeys(EVEN, 200), 3), draw(EVEN, 1), "y")
    natural = many["natural"] / many["n_real"]
    assert many["share"] == pytest.approx(natural, abs=0.03)
    assert 0 < natural < 0.1


@pytest.mark.slow
def test_the_identities_of_craft_are_found(mirror: Path) -> None:
    from opal.bridge import download

    craft = pd.read_csv(download.SCALING.path("data/craft/craft.csv")).drop(columns="Target")
    real, fresh = craft.iloc[:100], craft.iloc[100:600]
    broken = fresh + np.random.default_rng(0).normal(0, 0.3, fresh.shape).round(1)
    said = {row["relation"] for row in relations.relations(real, broken)["found"]}
    assert said == {"X9 = X1 · X2", "X8 = X2 · X3"}
    assert all(row["broken"] == 0 for row in relations.relations(real, fresh)["found"])
