"""What does not fit into this machine is told before anything is made."""

from __future__ import annotations

from pathlib import Path

import pytest

import opal
from opal import memory
from opal.cli import main


def test_the_size_is_that_of_the_machine_or_less() -> None:
    size = memory.size()
    assert size is None or 2**28 < size < 2**50


def test_a_smaller_limit_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = tmp_path / "memory.max"
    limit.write_text("123456\n")
    monkeypatch.setattr(memory, "_LIMITS", (str(limit), str(tmp_path / "absent")))
    memory.size.cache_clear()
    try:
        assert memory.size() == 123456
        memory.require(123456, "a table", "Take less")
        message = r"^a table take at least 0\.00012 GB of memory; this machine has .* Take less\.$"
        with pytest.raises(ValueError, match=message):
            memory.require(123457, "a table", "Take less")
        limit.write_text("max\n")
        memory.size.cache_clear()
        assert memory.size() != 123456
    finally:
        memory.size.cache_clear()


def test_a_machine_that_does_not_say_refuses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "size", lambda: None)
    memory.require(1e300, "a table", "Take less")


def test_rows_count_three_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """As drawn, joined and read by the fit; once alone would be a third of what is measured."""
    setting = opal.GaussianMixture([[-1.0, 0.0], [1.0, 0.0]])
    numbers = 3 * 200  # two features and an intercept
    design = opal.Design((100, 100))
    monkeypatch.setattr(memory, "size", lambda: 3 * 8 * numbers - 1)
    with pytest.raises(ValueError, match="200 rows of 2 columns"):
        opal.simulate(setting, design, key=0, n_replicates=2)
    monkeypatch.setattr(memory, "size", lambda: 3 * 8 * numbers)
    assert len(opal.simulate(setting, design, key=0, n_replicates=2))


def test_a_simulation_that_cannot_be_held_is_refused_and_a_prediction_is_not() -> None:
    setting = opal.GaussianMixture([[-1.0, 0.0], [1.0, 0.0]])
    large = opal.Design((100, 10), opal.Oracle(setting.law), n_augmented=10**12, alpha=0.3)
    with pytest.raises(ValueError, match=r"2e\+12 rows of 2 columns.*n_augmented = 1000000000000"):
        opal.simulate(setting, large, key=0, n_replicates=2)
    small = opal.Design((100, 10))
    with pytest.raises(ValueError, match=r"1e\+13 replicates of 3 parameters.*Lower n_replicates"):
        opal.simulate(setting, small, key=0, n_replicates=10**13)
    assert opal.predict(setting, large)["value"].notna().all()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "alpha", "--n-augmented", "1000000000000"], "--n-augmented 1000000000000: so"),
        (["run", "alpha", "--n-replicates", str(2**63)], "--n-replicates must be at least"),
        (["run", "alpha", "--n-alphas", "-2"], "--n-alphas must be at least 0"),
        (["run", "alpha", "--shift", "nan"], "--shift must be finite; got nan"),
        (["plan", "--pilot", "--n-real", "9", "--price-synthetic", "1e-320", "--budget", "5"],
         "a number of samples that can be counted; 5 buys"),
        (["plan", "--pilot", "--n-real", "9", "--price-synthetic", "1", "--budget", "1e300"],
         "Raise the price, or lower the budget"),
        (["plan", "--pilot", "--n-real", "9", "--price-synthetic", "1", "--budget", "50",
          "--groups", str(2**63)], "--groups must be at most 1,000,000"),
    ],
)  # fmt: skip
def test_commands_refuse_what_cannot_be(
    words: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
