"""Every fault that is planted is found, and honest texts are not accused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from opal.bridge.text.audit import copies, findings, labels
from opal.bridge.text.audit.report import audit
from opal.bridge.text.audit.tables import AuditData
from opal.bridge.text.corpus import text_table
from opal.bridge.text.encoders import TfIdf
from tests.bridge.text.audit import planted

Tables = dict[str, pd.DataFrame]
Fault = Callable[[np.random.Generator, Tables, pd.DataFrame], pd.DataFrame]


def tables(seed: int) -> tuple[Tables, pd.DataFrame]:
    rng = np.random.default_rng(seed)
    real = {name: planted.real(rng, n) for name, n in (("base", 60), ("human", 280), ("test", 60))}
    return real, planted.made(rng, real["base"], 60)


def run(real: Tables, synthetic: pd.DataFrame, seed: int = 0) -> dict[str, Any]:
    return audit(real, {"model": synthetic}, encoder=TfIdf(), seed=seed)["model"]


@pytest.mark.parametrize("seed", [1, 2])
def test_honest_texts_are_not_accused(seed: int) -> None:
    found = run(*tables(seed), seed=seed)
    assert found["verdicts"]["findings"] == []
    assert found["verdicts"]["n_tests"] > 50
    for row in found["two_sample"]:
        if row["reason"] is None:
            assert abs(row["auc"] - 0.5) < 4 * row["std_error"]


def copied(rng: np.random.Generator, real: Tables, made: pd.DataFrame) -> pd.DataFrame:
    """Eight of test word for word, and eight of base in other case and marks."""
    own = made.index[made["label"] == "good"][:16]
    test = real["test"]["text"][real["test"]["label"] == "good"][:8]
    base = real["base"]["text"][real["base"]["label"] == "good"][:8]
    said = [*test, *(f"“{text.upper().replace(' ', ',  ')}!”" for text in base)]
    return planted.with_text(made, own, said)


def nearly(rng: np.random.Generator, real: Tables, made: pd.DataFrame) -> pd.DataFrame:
    """Ten test texts with one word more, and ten with talk around them."""
    test = real["test"]["text"].tolist()
    said = [f"{text} indeed" for text in test[:10]]
    said += [
        f"Sure! Here is what you asked for: {text}. Shall I write another?" for text in test[10:20]
    ]
    return planted.with_text(made, range(20), said)


def leaking(rng: np.random.Generator, real: Tables, made: pd.DataFrame) -> pd.DataFrame:
    seeds = made["seeds"].tolist()
    return made.assign(seeds=[*seeds[:-1], (real["test"]["id"][0],)])


def repeating(rng: np.random.Generator, real: Tables, made: pd.DataFrame) -> pd.DataFrame:
    own = np.flatnonzero((made["label"] == "bad") & (made["attribute"] == "inn"))
    first = made["text"][own[0]]
    return planted.with_text(made, own[:30], [first] * 30)


def opening(rng: np.random.Generator, real: Tables, made: pd.DataFrame) -> pd.DataFrame:
    own = np.flatnonzero(made["label"] == "good")[::2]
    return planted.with_text(made, own, [f"as they say {made['text'][i]}" for i in own])


def mislabelled(rng: np.random.Generator, real: Tables, made: pd.DataFrame) -> pd.DataFrame:
    own = np.flatnonzero(made["label"] == "bad")[::2]
    said = [planted.sentence(rng, "good", made["attribute"][i]) for i in own]
    return planted.with_text(made, own, said)


def rebuilding(rng: np.random.Generator, real: Tables, made: pd.DataFrame) -> pd.DataFrame:
    """Half of the texts that should be of the rare attribute are of the usual one."""
    usual = {"bad": "inn", "good": "ship"}
    own = np.arange(0, len(made), 2)
    said = [planted.sentence(rng, made["label"][i], usual[made["label"][i]]) for i in own]
    return planted.with_text(made, own, said)


def longer(rng: np.random.Generator, real: Tables, made: pd.DataFrame) -> pd.DataFrame:
    more = [f"{text} {planted.sentence(rng, *kind)}" for text, *kind in
            zip(made["text"], made["label"], made["attribute"], strict=True)]  # fmt: skip
    return planted.with_text(made, range(len(made)), more)


def mannered(rng: np.random.Generator, real: Tables, made: pd.DataFrame) -> pd.DataFrame:
    """A word that no human uses, somewhere in most texts."""
    own = np.flatnonzero(rng.random(len(made)) < 0.7)
    said = []
    for i in own:
        words = made["text"][i].split()
        words[rng.integers(len(words))] = "delve"
        said.append(" ".join(words))
    return planted.with_text(made, own, said)


def narrow(rng: np.random.Generator, real: Tables, made: pd.DataFrame) -> pd.DataFrame:
    """A quarter of the seeds are used, and one text is made from a text of the other class."""
    kinds = list(zip(made["label"], made["attribute"], strict=True))
    first: dict[tuple[str, str], list[tuple[str, ...]]] = {kind: [] for kind in kinds}
    for kind, seeds in zip(kinds, made["seeds"], strict=True):
        first[kind].append(seeds)
    few = [first[kind][i % 6] for i, kind in enumerate(kinds)]
    return made.assign(seeds=[first["good", "inn"][0], *few[1:]])


def contradicting(rng: np.random.Generator, real: Tables, made: pd.DataFrame) -> pd.DataFrame:
    bad, good = (np.flatnonzero(made["label"] == label)[-30:] for label in planted.CLASSES)
    return planted.with_text(made, bad, made["text"][good].tolist())


@pytest.mark.parametrize(
    ("faults", "expected"),
    [
        (
            (narrow, nearly, copied, leaking, contradicting),
            {("copies", "good"), ("near copies", "all classes"), ("leak", "all classes"),
             ("coverage", "all classes"), ("seeds", "all classes"), ("labels", "bad, ship")},
        ),
        (
            (longer, opening, mislabelled, repeating),
            {("length", "good, ship"), ("openings", "good, inn"), ("openings", "good, ship"),
             ("labels", "bad"), ("repeated", "bad, inn")},
        ),
        ((rebuilding,), {("attribute", "good"), ("attribute", "bad")}),
        ((mannered,), {("recognisable", "bad, inn"), ("recognisable", "good, ship")}),
    ],
    ids=["copies", "style", "attribute", "manner"],
)  # fmt: skip
def test_planted_faults_are_found(
    faults: tuple[Fault, ...], expected: set[tuple[str, str]]
) -> None:
    real, made = tables(5)
    for fault in faults:
        made = fault(np.random.default_rng(6), real, made)
    found = run(real, made)
    told = {(row["kind"], row["class"]) for row in found["verdicts"]["findings"]}
    assert expected <= told, found["verdicts"]["findings"]
    if mannered in faults:
        assert {row["more"][0]["word"] for row in found["shift"]} == {"delve"}


def test_copies_are_counted_by_kind_and_shown() -> None:
    real, honest = tables(5)
    made = copied(np.random.default_rng(6), real, honest)
    seen = labels.Seen(AuditData.of(real, {"model": made}, TfIdf()), 0)
    counted = copies.copies(seen.data, "model", 0)
    worst = findings.examples(seen, "model", np.zeros(len(made)))
    rows = {role: {row["class"]: row for row in part} for role, part in counted.items()}
    assert (rows["test"]["good"]["exact"], rows["test"]["good"]["folded"]) == (8, 0)
    assert (rows["base"]["good"]["exact"], rows["base"]["good"]["folded"]) == (0, 8)
    assert rows["test"]["good"]["distinct"] == 8
    assert rows["test"]["bad"]["exact"] == rows["test"]["all classes"]["relabelled"] == 0
    shown = [row for row in worst if row["kind"] == "copy of test"]
    assert len(shown) == 3
    assert all(row["text"] == row["other"] and row["why"] == "word for word" for row in shown)
    shown = [row for row in worst if row["kind"] == "copy of base"]
    assert all(row["text"].startswith("“") and row["role"] == "a text of base" for row in shown)


def test_a_classifier_never_saw_the_seed() -> None:
    """Copies of texts whose labels are noise: one that saw the seeds would agree with all."""
    rng = np.random.default_rng(0)
    said = [planted.sentence(rng, "bad", "inn") for _ in range(300)]
    label = [planted.CLASSES[i] for i in rng.integers(2, size=300)]
    base = text_table(said, label)
    made = text_table(
        [f"{text}!" for text in said], label, source="model", seeds=[(i,) for i in base["id"]]
    )
    whole = agreement(base, made)
    assert abs(whole["agree"] - 0.5) < 0.12
    # The control: with another word in them, and no lineage, nobody knows.
    blind = planted.with_text(made, range(300), [f"{text} now" for text in said])
    assert agreement(base, blind.assign(seeds=[()] * 300))["agree"] > 0.8


def test_a_rare_class_whose_labels_are_all_wrong_is_found() -> None:
    """The classifier seldom says a rare class, of right or wrong texts: agreement tells nothing."""
    rng = np.random.default_rng(0)
    base = planted.table(rng, [("bad", "inn")] * 40 + [("good", "inn")] * 560)
    wrong = planted.table(rng, [("good", "inn")] * 60, source="model").assign(label="bad")
    right = planted.table(rng, [("bad", "inn")] * 60, source="model")
    one, none = (run({"base": base}, made)["labels"][0] for made in (wrong, right))
    assert one["wrong"] == pytest.approx(1.0, abs=0.3)
    assert one["z"] > 5
    assert none["z"] < 2.5
    assert 0.1 < none["detectable"] < 0.9


def agreement(base: pd.DataFrame, made: pd.DataFrame) -> dict[str, Any]:
    seen = labels.Seen(AuditData.of({"base": base}, {"model": made}, TfIdf()), 0)
    return labels.labels(seen, "model")[-1]


def test_few_texts_are_told_and_do_not_break() -> None:
    rng = np.random.default_rng(0)
    base = planted.table(rng, [("bad", "inn")] * 4 + [("good", "ship")] * 6)
    made = planted.table(rng, [("bad", "inn")] * 2, source="model", seeds=[(base["id"][0],), ()])
    real, made = {"base": base.drop(columns="attribute")}, made.drop(columns="attribute")
    found = run(real, made)
    assert found == run(real, made)
    assert found["composition"] is None
    assert found["variety"][0]["reason"] == "needs 20 real texts; there are 4"
    assert found["labels"][0]["reason"].startswith("needs 10 synthetic rows, and 30 real ones")
    assert found["seeds"][0]["seedless"] == 1
    assert found["verdicts"]["findings"] == []


def test_bad_tables_are_refused() -> None:
    real, honest = tables(1)
    with pytest.raises(ValueError, match=r"real texts are base and, .*; got \['test'\]"):
        run({"test": real["test"]}, honest)
    with pytest.raises(ValueError, match="model must hold texts; it has none"):
        run(real, honest[:0])
    with pytest.raises(ValueError, match="needs synthetic texts of a source"):
        audit(real, {}, encoder=TfIdf())
    with pytest.raises(ValueError, match="--seed must be"):
        run(real, honest, seed=-1)
