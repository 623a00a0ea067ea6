from __future__ import annotations

import subprocess
import sys
from collections import Counter
from itertools import combinations

import pytest

from opal import checks
from opal.bridge.prompts import common

IDS = [f"{k:02x}" for k in range(20)]
N_REQUESTS = 2000


def test_a_draw_takes_one_after_the_other_from_those_that_are_left() -> None:
    for index in range(200):
        left, taken = list(IDS), []
        for place in range(5):
            number = common._number(0, "a", index, place)
            taken.append(left.pop(number % len(left)))
        assert common.drawn(IDS, 5, key=0, group="a", index=index) == tuple(taken)


def test_another_process_draws_the_same() -> None:
    code = (
        "from opal.bridge.prompts import common\n"
        f"print(*common.drawn({IDS!r}, 5, key=1, group='ä', index=9))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={"PYTHONHASHSEED": "77"}
    )
    assert result.stdout.split() == list(common.drawn(IDS, 5, key=1, group="ä", index=9))


@pytest.mark.parametrize(("key", "group", "index"), [(1, "a", 3), (0, "b", 3), (0, "a", 4)])
def test_key_group_and_index_each_change_the_draw(key: int, group: str, index: int) -> None:
    usual = common.drawn(IDS, 5, key=0, group="a", index=3)
    assert usual != common.drawn(IDS, 5, key=key, group=group, index=index)


def test_every_pair_of_texts_is_drawn_equally_often_and_none_twice() -> None:
    """Chi-squared of 20 counts, and of 190 pairs; five texts of a request differ."""
    draws = [common.drawn(IDS, 5, key=0, group="a", index=k) for k in range(N_REQUESTS)]
    assert {len(set(draw)) for draw in draws} == {5}
    assert len(set(draws)) > 0.99 * N_REQUESTS
    for size, n_kinds, in_each in ((1, 20, 5), (2, 190, 10)):
        expected = N_REQUESTS * in_each / n_kinds
        counts = Counter(kind for draw in draws for kind in combinations(sorted(draw), size))
        chi = sum((count - expected) ** 2 / expected for count in counts.values())
        assert len(counts) == n_kinds
        assert chi - (n_kinds - 1) < checks.z_threshold(1) * (2 * (n_kinds - 1)) ** 0.5


def test_a_group_of_few_is_drawn_whole() -> None:
    assert sorted(common.drawn(IDS[:3], 5, key=0, group="a", index=1)) == IDS[:3]


def test_fixed_seeds_are_different_and_always_the_same() -> None:
    chosen = common.drawn(IDS, 5, key=0, group="a", index=None)
    assert chosen == common.drawn(IDS[::-1], 5, key=0, group="a", index=None)
    assert len(set(chosen)) == 5
    assert chosen != common.drawn(IDS, 5, key=1, group="a", index=None)


def test_a_small_group_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 5 different texts to be imitated; 'b' has 3"):
        common.require_enough({"a": 4, "b": 3, "c": 9}, 5, "texts")
    common.require_enough({"a": 5}, 5, "texts")
