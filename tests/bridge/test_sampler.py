"""The sampler: imbalanced-learn's contract, the objective's weights, and no leaks by lineage."""

from __future__ import annotations

import json
import pickle
import runpy
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

pytest.importorskip("imblearn", reason="needs the extra tabular")

from imblearn.pipeline import make_pipeline
from imblearn.utils.estimator_checks import estimator_checks_generator
from sklearn.base import clone
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score

from opal.bridge.classifier import OpalClassifier
from opal.bridge.llm.request import ModelSettings, Reply, Request
from opal.bridge.prompts.common import identity
from opal.bridge.sampler import OpalSampler
from opal.bridge.supply import Asked, Real
from opal.bridge.text.corpus import text_table
from opal.objective import Design
from opal.synthesis import Duplication, GaussianFit, Smote

COUNTS = (12, 4, 30)


CHECKED = [OpalSampler(random_state=0), OpalSampler(GaussianFit(0.1), random_state=0)]
CHECKS = [pair for sampler in CHECKED for pair in estimator_checks_generator(sampler)]


@pytest.mark.parametrize(("sampler", "check"), CHECKS)
def test_the_checks_of_imbalanced_learn(sampler: OpalSampler, check: Any) -> None:
    check(sampler)


def test_copies_have_the_checks_of_gaps_and_words_too() -> None:
    copies, numbers = ({c.func.__name__ for s, c in CHECKS if s is some} for some in CHECKED)
    assert copies - numbers == {"check_samplers_nan", "check_samplers_string"}
    assert len(numbers) == 14


@pytest.fixture
def table() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(3), COUNTS)
    return rng.normal(size=(len(y), 2)) + y[:, None], y


@pytest.fixture
def said() -> tuple[list[str], list[str]]:
    kinds = {"praise": "lovely food and kind staff", "complaint": "cold food and rude staff"}
    counts = {"praise": 12, "complaint": 6}
    rows = [(f"{kinds[k]}, visit {i}", k) for k, n in counts.items() for i in range(n)]
    return [text for text, _ in rows], [label for _, label in rows]


def pool_of(said: tuple[list[str], list[str]], per_text: int = 2) -> pd.DataFrame:
    """Texts made of each text, and one made of two."""
    x, y = said
    made: list[tuple[str, str, tuple[str, ...]]] = [
        (f"{text}, told anew {j}", label, (text,))
        for j in range(per_text)
        for text, label in zip(x, y, strict=True)
    ]
    made.append((f"{x[0]} and {x[1]}", y[0], (x[0], x[1])))
    return text_table(
        [row[0] for row in made],
        [row[1] for row in made],
        source="gpt-4",
        seeds=[tuple(map(identity, row[2])) for row in made],
    )


@pytest.mark.parametrize("weighting", ["opal", "group"])
def test_weights_are_those_of_the_objective(
    table: tuple[np.ndarray, np.ndarray], weighting: Any
) -> None:
    x, y = table
    sampler = OpalSampler(
        n_augmented=5, alpha=0.3, weighting=weighting, return_weights=True, random_state=1
    )
    x_, y_, weights = sampler.fit_resample(x, y)
    filled: tuple[int, ...] = (18, 26, 0) if weighting == "opal" else (0, 0, 0)
    design = Design(COUNTS, Duplication(), 5, 0.3, oversample=filled, weighting=weighting)
    expected = np.asarray([*design.row_weights()])
    kind = sampler.lineage_["kind"]
    for row, name in enumerate(("real", "oversampled", "augmented")):
        for k in range(3):
            inside = (kind == name).to_numpy() & (y_ == k)
            assert inside.sum() == np.asarray([*design.row_counts()])[row, k]
            np.testing.assert_allclose(weights[inside], len(x_) * expected[row, k], rtol=1e-12)
    assert weights.mean() == pytest.approx(1.0)
    assert np.array_equal(x_[: len(x)], x)


@pytest.mark.parametrize("source", [Smote(3), GaussianFit(0.2)])
def test_synthesizers_fill_up_and_repeat_under_a_seed(
    table: tuple[np.ndarray, np.ndarray], source: Any
) -> None:
    x, y = table
    samplers = [OpalSampler(source, n_augmented=2, random_state=seed) for seed in (3, 3, 4)]
    found = [sampler.fit_resample(x, y) for sampler in samplers]
    assert Counter(found[0][1].tolist()) == {0: 32, 1: 32, 2: 32}
    np.testing.assert_array_equal(found[0][0], found[1][0])
    assert not np.allclose(found[0][0], found[2][0])
    new = found[0][0][len(x) :]
    assert not np.isin(new, x).all(axis=1).any()
    for k in range(3):
        own = new[found[0][1][len(x) :] == k].mean(axis=0)
        assert np.abs(own - x[y == k].mean(axis=0)).max() < 1.0


def test_frames_keep_their_types(table: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = table
    frame = pd.DataFrame({"a": x[:, 0], "n": np.arange(len(y))})
    sampler = OpalSampler(GaussianFit(0.2), random_state=0)
    x_, y_ = sampler.fit_resample(frame, pd.Series(y, name="class"))
    assert list(x_.columns) == ["a", "n"]
    assert x_["n"].dtype == frame["n"].dtype
    assert y_.name == "class"
    # Whole numbers are rounded, not cut off: their mean stays where it is.
    inside = (y_ == 1).to_numpy()
    assert abs(x_["n"][inside].mean() - frame["n"][y == 1].mean()) < 1.0


def test_a_pool_of_rows_is_used_in_its_order(table: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = table
    frame = pd.DataFrame(x, columns=["a", "b"])
    real = Real(x, y, (0, 1, 2), ("a", "b"), "kind")
    pool = pd.DataFrame({"a": np.arange(90.0), "b": 0.0, "kind": np.tile([0, 1, 2], 30)})
    pool["seeds"] = [(real.ids[0],)] * 88 + [("0" * 16,), ("0" * 16,)]
    sampler = OpalSampler(pool, random_state=0)
    x_, _ = sampler.fit_resample(frame, pd.Series(y, name="kind"))
    added = x_[len(x) :]
    assert added["a"].tolist() == [3.0 * i for i in range(18)] + [3.0 * i + 1 for i in range(26)]
    with pytest.raises(ValueError, match="must hold 31 samples of class 2; it holds 29"):
        OpalSampler(pool, target="kind", sampling_strategy={2: 61}).fit_resample(frame, y)
    with pytest.raises(ValueError, match="the pool needs the columns a, b, label; missing: label"):
        OpalSampler(pool).fit_resample(frame, y)


@pytest.mark.parametrize("seeds", ["0123456789abcdef 0123456789abcdef", float("nan")])
def test_seeds_of_a_pool_that_are_no_lists_are_refused(
    said: tuple[list[str], list[str]], seeds: object
) -> None:
    pool = pool_of(said).assign(seeds=seeds)
    with pytest.raises(
        ValueError, match=r"lists of ids; it holds .* in row 0\. Read the file with"
    ):
        OpalSampler(pool).fit_resample(*said)


def test_texts_come_back_as_they_were_given(said: tuple[list[str], list[str]]) -> None:
    x, y = said
    for given in (x, np.array(x, dtype=object), np.array(x), pd.Series(x, name="text")):
        sampler = OpalSampler(pool_of(said), random_state=0)
        x_, y_ = sampler.fit_resample(given, y)
        assert isinstance(x_, type(given))
        assert isinstance(y_, list)
        assert Counter(y_) == {"praise": 12, "complaint": 12}
        assert list(x_[:18]) == x
        assert all("told anew" in text for text in list(x_)[18:])
    copies, labels = OpalSampler().fit_resample(x, y)
    assert Counter(zip(copies, labels, strict=True)).most_common(1)[0][1] == 2
    assert sampler.lineage_["source"].tolist()[18:] == ["gpt-4"] * 6


def test_no_text_of_a_held_out_seed_is_used(said: tuple[list[str], list[str]]) -> None:
    x, y = said
    pool = pool_of(said, per_text=3)
    seen: list[pd.DataFrame] = []

    class Watched(OpalSampler):
        def fit_resample(self, X: Any, y: Any, **params: Any) -> tuple[Any, ...]:
            found = super().fit_resample(X, y, **params)
            known = {identity(text) for text in X}
            used = {seed for seeds in self.lineage_["seeds"] for seed in seeds}
            assert used <= known
            seen.append(self.lineage_)
            return found

    rule = OpalClassifier(
        make_pipeline(TfidfVectorizer(), LogisticRegression(C=10.0)),
        Watched(pool, n_augmented=3, alpha=0.2),
    )
    score = cross_val_score(rule, x, np.array(y), cv=3, scoring="balanced_accuracy")
    assert len(seen) == 3
    assert {"oversampled", "augmented"} <= set(seen[0]["kind"])
    assert score.mean() == 1.0
    # Without the column nothing is known, and all of the pool is used: the control.
    blind = OpalSampler(pool.drop(columns="seeds"), n_augmented=30, random_state=0)
    with pytest.raises(ValueError, match="whose seeds are all in X"):
        OpalSampler(pool, n_augmented=30).fit_resample(x[:6] + x[-6:], y[:6] + y[-6:])
    few = blind.set_params(n_augmented=12).fit_resample(x[:6] + x[-6:], y[:6] + y[-6:])[0]
    assert sum(t.split(", told")[0] not in x[:6] + x[-6:] for t in few) > 0


def test_a_short_pool_gives_what_it_has(said: tuple[list[str], list[str]]) -> None:
    x, y = said
    options: dict[str, Any] = {"n_augmented": 50, "alpha": 0.2, "shortage": "fewer"}
    sampler = OpalSampler(pool_of(said), return_weights=True, **options)
    _, y_, weights = sampler.fit_resample(x, y)
    # Of twelve complaints six fill the class up and six are left, and so many of the other class.
    assert Counter(y_) == {"praise": 18, "complaint": 18}
    augmented = (sampler.lineage_["kind"] == "augmented").to_numpy()
    assert weights[augmented].sum() / weights.sum() == pytest.approx(0.2)
    with pytest.raises(ValueError, match=r"none left of class 'complaint'.* set alpha=0"):
        OpalSampler(pool_of(said, 1), **options).fit_resample(x, y)


class Echo:
    """A model that answers each request with a text of its own."""

    def __init__(self) -> None:
        self.asked = 0

    async def ask(self, request: Request, *, idempotency_key: str, gate: Any) -> Reply:
        del idempotency_key
        await gate()
        self.asked += 1
        text = f"a {request.group} of stay {request.index}"
        if request.group.startswith("label="):
            label = request.group.split("=")[1]
            text = f"x1 is {request.index}.5, x2 is 2, label is {label}."
            return Reply(text, 10, 10, "stop", "echo")
        return Reply(json.dumps({"text": text}), 10, 10, "stop", "echo")

    async def close(self) -> None:
        """Nothing to close."""


def test_a_model_is_asked_once(said: tuple[list[str], list[str]], tmp_path: Path) -> None:
    x, y = said
    echo = Echo()
    source = Asked(ModelSettings("echo"), tmp_path / "ledger.sqlite", lambda: echo)
    sampler = OpalSampler(source, n_augmented=1)
    first, again = (clone(sampler).fit_resample(x, y) for _ in range(2))
    assert first == again
    assert echo.asked == 8
    assert first[0][18:24] == [f"a complaint of stay {i}" for i in range(6)]
    sampler.fit_resample(x, y)
    assert set(sampler.lineage_["source"][18:]) == {"echo"}
    assert all(len(seeds) == 5 for seeds in sampler.lineage_["seeds"][18:])


def test_a_model_writes_rows(table: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    x, y = table
    keep = y != 1
    source = Asked(ModelSettings("echo"), tmp_path / "ledger.sqlite", Echo)
    x_, y_ = OpalSampler(source).fit_resample(x[keep].round(2), y[keep])
    assert Counter(y_.tolist()) == {0: 30, 2: 30}
    assert x_[-1].tolist() == [17.5, 2.0]


def test_it_can_be_cloned_set_and_pickled() -> None:
    sampler = OpalSampler(Smote(3), n_augmented=4, alpha=0.5, random_state=2)
    other = clone(sampler).set_params(alpha=0.25)
    assert other.get_params()["source"] == Smote(3)
    assert (sampler.alpha, other.alpha) == (0.5, 0.25)
    assert pickle.loads(pickle.dumps(other)).get_params()["n_augmented"] == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": 0.5}, "set n_augmented ≥ 1 or alpha = 0"),
        ({"alpha": 2.0}, "The 'alpha' parameter of OpalSampler must be"),
        ({"n_augmented": -1}, "The 'n_augmented' parameter of OpalSampler must be"),
        ({"source": 3}, "The 'source' parameter of OpalSampler must be"),
        ({"source": Smote(5)}, "needs at least 6 seeds in every group"),
        ({"sampling_strategy": {1: 2}}, "should be greater or equal"),
        ({"sampling_strategy": {1: 9.5}}, "whole number of rows of each class; of class 1 .* 5.5"),
        ({"source": Smote}, r"such as Duplication\(\) or Smote\(5\); got the class Smote"),
        ({"random_state": -1}, "The 'random_state' parameter of OpalSampler must be"),
        ({"n_augmented": 10**12}, "3e.12 samples of 2 columns take at least .* Lower n_augmented"),
    ],
)
def test_bad_parameters_are_told(
    table: tuple[np.ndarray, np.ndarray], options: dict[str, Any], message: str
) -> None:
    x, y = table
    with pytest.raises(ValueError, match=message):
        OpalSampler(**options).fit_resample(x, y)


def test_bad_data_are_told(
    table: tuple[np.ndarray, np.ndarray], said: tuple[list[str], list[str]]
) -> None:
    x, y = table
    with pytest.raises(TypeError, match=r"[Ss]parse data was passed"):
        OpalSampler().fit_resample(sparse.csr_matrix(x), y)
    with pytest.raises(ValueError, match="every text must be a string that is not empty; got None"):
        OpalSampler().fit_resample(["a", None, "b", "c"], [0, 0, 0, 1])
    with pytest.raises(ValueError, match="texts need Duplication"):
        OpalSampler(Smote(1)).fit_resample(*said)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        OpalSampler().fit_resample(said[0], said[1][:-1])


def test_its_absence_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "imblearn"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "imblearn", None)
    with pytest.raises(ImportError, match=r"pip install 'opal-scaling\[tabular\]'"):
        runpy.run_path(str(Path(__file__).parents[2] / "opal/bridge/sampler.py"))


def test_the_command_line_does_not_load_it() -> None:
    code = (
        "import sys, opal.cli.text, opal.bridge.text.commands.audit\n"
        "print({'imblearn', 'sklearn', 'pandas', 'torch'} & set(sys.modules))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "set()"


def test_a_class_that_the_pool_lacks_is_told_with_the_pools_labels(
    said: tuple[list[str], list[str]],
) -> None:
    pool = pool_of(said)
    only = pool[pool["label"] == "praise"]
    with pytest.raises(ValueError, match=r"class 'complaint'; it holds 0 .* labels are 'praise'\."):
        OpalSampler(only, n_augmented=1).fit_resample(*said)


def test_texts_in_a_table_of_one_column_are_told_from_rows(
    said: tuple[list[str], list[str]],
) -> None:
    x, y = said
    with pytest.raises(ValueError, match=r"give X as one column, X\['review'\]"):
        OpalSampler(pool_of(said)).fit_resample(pd.DataFrame({"review": x}), y)
