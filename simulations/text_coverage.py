"""Whether what an evaluation of texts says is true: coverage, and how often it finds a gain.

Evaluations of the grammar with writers of dialled quality, of whose rules all errors are known:
intervals of differences, worths and floors against exact ones, and verdicts against true gains, by
number of test texts and of seeds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from opal.bridge.resampling import Z95
from opal.checks import Check, at_least, at_most, z_threshold
from opal.cli import run_study
from opal.runner import Cell

from . import _config

if TYPE_CHECKING:
    import pandas as pd

COVERAGE = {"difference": (0.93, 0.97), "worth": (0.93, 0.98), "floor": (0.93, 1.0)}
WRONG_RULES = ("seeds_alone", "added_up")
COUNTS = 4
"""True gains of as many times the least one that counts should be found."""
WRONG = 0.025


@dataclass(frozen=True)
class Config:
    """How many evaluations, and how large they are."""

    pools: int = 60
    """Corpora of base, added and test texts."""
    evaluations: int = 5
    """Evaluations of each corpus, each with seeds and test texts of its own."""
    writers: int = 3
    """Writers of each corpus, from a good to a bad one."""
    seeds: int = 5
    """Seeds of an evaluation."""
    more_seeds: int = 10
    """Seeds of a corpus that only its truth is made from."""
    sizes: tuple[int, ...] = (30, 60, 120, 250, 500, 1000)
    """Numbers of added texts."""
    n_test: int = 2000
    """Test texts of an evaluation."""
    n_tests: tuple[int, ...] = (500, 1000, 2000, 4000, 8000)
    """Test texts of the verdicts."""
    n_seeds: tuple[int, ...] = (5, 10, 20)
    """Seeds of the verdicts."""
    seed: int = 0
    """Number of the first corpus."""


PRESETS = {
    "tiny": Config(
        pools=1, evaluations=1, writers=1, seeds=2, more_seeds=2, sizes=(30, 60), n_test=100,
        n_tests=(100,), n_seeds=(2,),
    ),
    "quick": Config(pools=4, n_tests=(500, 2000), n_seeds=(5, 10)),
    "full": Config(),
}  # fmt: skip


@dataclass(frozen=True)
class PoolNumber:
    """One corpus and its evaluations."""

    number: int
    evaluations: int
    writers: int
    seeds: int
    more_seeds: int
    sizes: tuple[int, ...]
    n_test: int
    n_tests: tuple[int, ...]
    n_seeds: tuple[int, ...]


def cells(config: Config) -> list[Cell]:
    """A cell for each corpus.

    Raises:
        ValueError: a number is too small, or there are too few seeds or test texts.
    """
    from dataclasses import asdict

    from opal.validation import require_at_least, require_at_most

    for name in ("pools", "evaluations", "writers"):
        require_at_least(name, getattr(config, name), 1)
    for name in ("seeds", "more_seeds"):
        require_at_least(name, getattr(config, name), 2)
    _config.require_counts(config, sizes=1, n_test=1, n_tests=1, n_seeds=1)
    require_at_most("n_test", config.n_test, max(config.n_tests), "the largest of n_tests")
    most = config.evaluations * config.seeds
    require_at_most("n_seeds", max(config.n_seeds), most, "the seeds of all evaluations")
    shared = asdict(config)
    del shared["pools"]
    first = shared.pop("seed")
    numbers = range(first, first + config.pools)
    return [Cell(of_pool, PoolNumber(number, **shared), f"corpus {number}") for number in numbers]


def of_pool(config: PoolNumber) -> pd.DataFrame:
    """Records of one corpus: what each of its evaluations says, and what is true."""
    import pandas as pd

    from opal import records

    from . import _evaluations as known

    size = known.Size(
        config.evaluations,
        config.writers,
        config.seeds,
        config.more_seeds,
        config.sizes,
        config.n_tests,
        config.n_test,
    )
    pool = known.KnownPool(config.number, size)
    said = [*known.differences(pool), *known.worths(pool), *known.floors(pool)]
    said += known.verdicts(pool, config.n_seeds)
    standard = {"study": "text_coverage", "source": "simulation", "setting": f"{config.number}"}
    trained = pool.draws[0].records
    counts = {name: int(trained[name].max()) for name in ("n_real", "n_min", "n_max")}
    return records.validate(pd.DataFrame(said).assign(**standard, **counts))


def comparison(records: pd.DataFrame) -> pd.DataFrame:
    """Shares of intervals that hold the truth, and of verdicts, over all evaluations.

    Returns:
        Columns ``what``, ``n_test``, ``n_seeds`` (of verdicts), ``share`` of the ``cases``, with
        its ``std_error`` over corpora, which are independent. Controls hold intervals against the
        truth of another writer. ``width`` is the median width of an interval over that of the rule
        ``added_up``, and ``identified`` the share of floors that have an interval.
    """
    import pandas as pd

    rows = [*_covered(records), *_decided(records[records["metric"] == "verdict"])]
    return pd.DataFrame(rows)


def checks(records: pd.DataFrame) -> list[Check]:
    """Coverage within its range, wrong rules outside of it, and verdicts that are seldom wrong."""
    table = comparison(records)
    allowed = z_threshold(max(2 * len(table), 1))
    found = []
    for kind, (low, high) in COVERAGE.items():
        own = table[table["what"].str.startswith(kind)]
        below = (low - own["share"]) / own["std_error"]
        above = (own["share"] - high) / own["std_error"]
        seen = f"{own['share'].min():.3f} to {own['share'].max():.3f}, {own['cases'].sum()} cases"
        found.append(at_most(f"{kind}: standard errors below {low:.0%}", below, allowed, seen))
        found.append(at_most(f"{kind}: standard errors above {high:.0%}", above, allowed, seen))
    control = table[table["what"].str.startswith("control")]
    caught = (min(low for low, _ in COVERAGE.values()) - control["share"]) / control["std_error"]
    name = "control, truths of another writer: standard errors below"
    seen = f"{control['share'].min():.3f} to {control['share'].max():.3f} held, which must be few"
    found.append(at_least(name, caught, allowed, seen))
    wrong = table[table["what"] == "wrong"]
    beyond = (wrong["share"] - WRONG) / wrong["std_error"]
    seen = f"at most {wrong['share'].max():.3f} of {wrong['cases'].min()} to {wrong['cases'].max()}"
    found.append(
        at_most(f"helps without a gain: standard errors above {WRONG}", beyond, allowed, seen)
    )
    return found


def _covered(records: pd.DataFrame) -> Iterator[dict[str, object]]:
    """Coverage of each kind of interval, and of the wrong rules for differences."""
    kinds = {
        "difference, balanced error": records["metric"] == "balanced_error_difference",
        "difference, log loss": records["metric"] == "balanced_risk_difference",
        "worth": records["metric"] == "worth",
        "floor": (records["metric"] == "floor") & (records.get("identified") == 1.0),
    }
    for what, chosen in kinds.items():
        rows = records[chosen]
        noise = np.nan_to_num(Z95 * rows["exact_error"].to_numpy(dtype=float))
        near, exact = rows["value"].to_numpy(), rows["exact"].to_numpy()
        # A truth that is a mean over seeds errs too: ends move apart as independent errors do.
        low = near - np.hypot(near - rows["lower"], noise)
        high = near + np.hypot(rows["upper"] - near, noise)
        if what in ("worth", "floor"):
            low, high = rows["lower"], rows["upper"]
        about: dict[str, object] = {}
        if what == "floor":
            about = {"identified": len(rows) / max((records["metric"] == "floor").sum(), 1)}
        elif what != "worth":
            wide = (rows["upper"] - rows["lower"]) / (2 * rows["added_up"])
            about = {"width": wide.median()}
        yield {"what": what, **_share(rows, (low <= exact) & (exact <= high)), **about}
        if what != "floor":
            case = rows.groupby(["setting", "replicate", "arm", "added"])["exact"]
            wrong = case.transform(lambda each: np.roll(each, 1)).to_numpy()
            yield {"what": f"control, {what}", **_share(rows, (low <= wrong) & (wrong <= high))}
        if not what.startswith("difference"):
            continue
        for rule in WRONG_RULES:
            far = np.hypot(rows[rule], noise)
            held = np.abs(near - exact) <= far
            yield {"what": f"{rule}, {what.partition(', ')[2]}", **_share(rows, held)}


def _decided(verdicts: pd.DataFrame) -> Iterator[dict[str, object]]:
    """How often a gain that counts is found, and what does not help is said to."""
    counts = COUNTS * verdicts["least"]
    cases = {
        "found": (verdicts["exact"] < -counts, "helps"),
        "wrong": (verdicts["exact"] >= 0, "helps"),
        "open": (verdicts["exact"].abs() > counts, "open"),
    }
    for (n_test, n_seeds), rows in verdicts.groupby(["n_test", "n_seeds"]):
        for what, (chosen, says) in cases.items():
            own = rows[chosen[rows.index]]
            same = {"what": what, "n_test": n_test, "n_seeds": n_seeds}
            yield same | _share(own, own["says"] == says)


def _share(rows: pd.DataFrame, held: pd.Series) -> dict[str, float]:
    """A share, and its standard error over corpora."""
    from opal.bridge.resampling import clustered_error

    values = np.asarray(held, dtype=float)
    error = clustered_error(values, rows["setting"].to_numpy()) if len(values) else None
    mean = float(values.mean()) if len(values) else np.nan
    return {"cases": len(values), "share": mean, "std_error": np.nan if error is None else error}


if __name__ == "__main__":
    run_study("text_coverage")
