"""Imputation: what each arm trains on, and what tests it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from opal.bridge.text.corpus import text_table
from opal.bridge.text.impute import arms, evaluate
from opal.bridge.text.impute.arms import ArmData, Fold, Pool
from opal.bridge.text.impute.task import Task
from tests.bridge.text.impute import toy
from tests.bridge.text.impute.toy import TRIAL, written


@pytest.fixture(scope="module")
def task() -> Task:
    return toy.task()


Trained = tuple[ArmData, np.ndarray, pd.DataFrame, int]


@pytest.fixture(scope="module")
def trained(task: Task) -> list[Trained]:
    """Every training of an evaluation, the held-out rows, all texts and n, as a learner is told."""
    seen: list[Trained] = []
    ssmba = written(np.random.default_rng(5), task.originals, 250, 1).assign(source="ssmba")
    five = task.originals["id"][:5]
    fixed = written(np.random.default_rng(6), task.originals[:5], 50, 1)
    fixed = fixed.assign(seeds=[tuple(five)] * 50, source="fixed")
    whole = replace(task, ssmba=ssmba, fixed={"fixed": fixed})
    original = arms.trainings

    def note(fold: Fold, pools: Any, chosen: Any, rng: Any) -> Iterator[ArmData]:
        for training in original(fold, pools, chosen, rng):
            seen.append((training, fold.held_out, stock[1], len(fold.own)))
            yield training

    stock: tuple[Any, pd.DataFrame] = ({}, pd.DataFrame())
    kept = arms.pools

    def keep(*args: Any, **more: Any) -> tuple[Any, pd.DataFrame]:
        nonlocal stock
        stock = kept(*args, **more)
        return stock

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arms, "trainings", note)
        patch.setattr(arms, "pools", keep)
        evaluate.evaluate(whole, TRIAL, lambda _, k: lambda *_: lambda rows: np.eye(k)[rows % k])
    return seen


def seeds_of(frame: pd.DataFrame, rows: np.ndarray) -> set[str]:
    return {seed for seeds in frame["seeds"].iloc[rows] for seed in seeds}


def test_all_arms_are_there(trained: list[Trained]) -> None:
    assert {each.arm for each, *_ in trained} == {*arms.BASELINES, *arms.WRITTEN, arms.ALL_REAL}
    naive = {each.writer for each, *_ in trained if each.arm == "naive_folds"}
    assert naive == {"model", "ssmba"}


def test_nothing_trained_on_was_made_from_what_is_held_out(trained: list[Trained]) -> None:
    for training, held_out, frame, _ in trained:
        hidden = set(frame["id"].iloc[held_out])
        assert not hidden & set(frame["id"].iloc[training.rows])
        if training.arm != "naive_folds":
            assert not hidden & seeds_of(frame, training.rows)


def test_folds_without_lineage_would_leak(trained: list[Trained]) -> None:
    leaks = [
        set(frame["id"].iloc[held_out]) & seeds_of(frame, training.rows)
        for training, held_out, frame, _ in trained
        if training.arm == "naive_folds"
    ]
    assert sum(map(bool, leaks)) > 0.8 * len(leaks)


def test_tested_synthetic_texts_are_of_the_held_out_side(trained: list[Trained]) -> None:
    counts = 0
    for training, held_out, frame, _ in trained:
        hidden = set(frame["id"].iloc[held_out])
        for rows in training.tests.values():
            assert not set(frame["id"].iloc[rows]) & set(frame["id"].iloc[training.rows])
            if training.arm != "naive_folds":
                assert all(hidden & set(seeds) for seeds in frame["seeds"].iloc[rows])
                counts += len(rows)
    assert counts > 100


def test_filled_arms_have_as_many_texts_as_all_real(trained: list[Trained]) -> None:
    m = {t.n_category for t, *_ in trained if t.arm == "all_real"}
    assert m == {32}
    for training, held_out, frame, n in trained:
        mine = frame["label"].iloc[training.rows].to_numpy() == "bad"
        assert mine.sum() == training.n_category
        # Once in five folds the fixed seeds are held out, and nothing is left to fill with.
        if training.arm in ("duplication", "synthetic", "ssmba"):
            assert training.n_category == 32
        if training.arm in ("raw", "weighting"):
            assert training.n_category == n
        if training.arm == "weighting":
            assert training.weights[mine].sum() == pytest.approx(32)
            assert (training.weights[~mine] == 1).all()
        assert len(held_out) + (~mine).sum() >= 70


def test_the_originals_at_hand_alone_are_used(trained: list[Trained]) -> None:
    for training, _, frame, n in trained:
        if training.arm in ("raw", "weighting", "duplication"):
            mine = training.rows[frame["label"].iloc[training.rows] == "bad"]
            assert len(set(mine)) == n
            assert mine.max() < 20


def test_fixed_seeds_are_few(task: Task) -> None:
    pool = arms._in_turn(
        task.synthetic["model"], frozenset(task.originals["id"]), np.random.default_rng(0)
    )
    ids = np.array([*task.originals["id"], *pool["id"]], dtype=object)
    own, rows = np.arange(5, 25), np.arange(25, 25 + len(pool))
    fold = Fold(0, ids, np.arange(5), own[:0], own, own, 100, 20)
    stock = {"synthetic": {"model": Pool(pool, rows, np.zeros(len(pool)))}}
    few = ("fixed_seeds", "drawn_seeds")
    found, drawn = arms.trainings(fold, stock, few, np.random.default_rng(0))
    added, anew = found.rows[len(own) :], drawn.rows[len(own) :]
    lineage, spread = (pool["seeds"].iloc[rows - 25].str[0] for rows in (added, anew))
    assert (found.arm, drawn.arm) == few
    assert found.n_category == drawn.n_category == 100
    assert set(lineage) == set(ids[5:10])
    # Five seeds have too few texts: they are repeated, and so are equally many of any seeds.
    assert len(set(added)) == len(set(anew)) < len(added)
    assert spread.nunique() == 20


def test_synthetic_texts_take_turns_and_count_once(task: Task) -> None:
    whole = pd.concat([task.synthetic["model"], task.synthetic["model"][:50]])
    first = frozenset(task.originals["id"][:12])
    pool = arms._in_turn(whole, first, np.random.default_rng(0))
    assert not pool["id"].duplicated().any()
    assert first.issuperset(seed for seeds in pool["seeds"] for seed in seeds)
    assert pool["seeds"][:12].nunique() == 12


def test_a_text_written_twice_has_all_seeds() -> None:
    synthetic = text_table(["same", "same"], ["bad"] * 2, source="m", seeds=[("a",), ("b",)])
    pool = arms._in_turn(synthetic, frozenset("ab"), np.random.default_rng(0))
    assert sorted(pool["seeds"].iloc[0]) == ["a", "b"]
    assert arms._in_turn(synthetic, frozenset("a"), np.random.default_rng(0)).empty
