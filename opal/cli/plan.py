"""``opal plan``: how many synthetic samples to buy, from a pilot's table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from opal.cli import output, plan_report
from opal.cli.parsing import parse

if TYPE_CHECKING:
    from opal.scaling.fit import Fit
    from opal.scaling.pilot import Point
    from opal.scaling.plan import Plan
    from opal.scaling.purchase import PurchaseBudget

_GROUPS = 2  # where nothing says how many
_MOST_GROUPS = 1_000_000
_SEEDS = 12  # of a pilot to begin with
_SHARE = 0.5  # of its pool that each seed draws


@dataclass(frozen=True)
class Command:
    """How many synthetic samples to buy for a small group, at which weight, and whether to buy any.

    TABLE holds a pilot: risks of models trained on n real and N synthetic samples of each group,
    the latter with weight alpha, for several seeds; docs/plan.md says how to run one.

    Example:
        opal plan pilot.csv --price-real 2 --price-synthetic 0.01 --budget 100
    """

    table: Annotated[Path | None, tyro.conf.Positional, tyro.conf.arg(metavar="[TABLE]")] = None
    """CSV or Parquet; may be left out with --pilot, for a pilot to begin with."""
    price_real: float = float("inf")
    """Price of one real sample; without it none can be bought."""
    price_synthetic: float = 0.0
    """Price of one synthetic sample."""
    budget: float | None = None
    """Money; enough for ten times the largest N of the table if left out."""
    n_real: tuple[int, ...] = ()
    """Real samples of each group, or one number for all; the table's largest n if left out."""
    groups: int | None = None
    """Number of groups, where --n-real does not list them; 2 if left out."""
    x: tuple[str, str, str] = ("n", "N", "alpha")
    """Columns of the real and synthetic samples per group, and of the weight."""
    y: str = "value"
    """Column of the risks; smaller is better."""
    seed: str | None = "seed"
    """Column of the seeds; None if rows have none."""
    part: str | None = None
    """Column of the part of the validation rows that a risk is of; docs/plan.md, section 1."""
    metric: str | None = None
    """Keep the rows of this metric (the column `metric` of records)."""
    where: tuple[str, ...] = ()
    """Keep the rows that meet these conditions, each COLUMN=VALUE."""
    law: Literal["cross", "mixture"] = "cross"
    """The mixture law with a cross term and a known exponent, or without and with a fitted one."""
    beta: float = 1.0
    """Exponent of law cross: 1 for models with a fixed number of parameters."""
    all_points: bool = False
    """Fit all points of the table, and not only those that are near the best."""
    subsample: float | None = None
    """Share of one pool of samples that each seed drew; leave out if seeds have their own."""
    min_gain: float = 0.02
    """Least share of the excess risk that a purchase must take away."""
    level: float = 0.95
    """Confidence of the intervals."""
    accept_loss: bool = False
    """Buy on the expected gain alone, also where its interval includes a loss."""
    n_bootstrap: int = 200
    """Bootstrap draws of the fit."""
    strategies: tuple[str, ...] = ("reweight", "real", "augment", "balance", "validated")
    """Strategies to show beside the recommendation."""
    pilot: bool = False
    """Propose the next points to run instead of a purchase."""
    n_points: int = 8
    """Number of points that --pilot proposes."""
    json: bool = False
    """Print JSON."""


def main(args: Sequence[str]) -> int:
    """Print a plan, or a pilot."""
    command = parse(Command, args, prog="opal plan")
    if command.pilot and command.table is None:
        return _show_first(command)
    if command.table is None:
        raise ValueError("a plan needs the TABLE of a pilot; `opal plan --pilot` proposes one.")
    fitted, done, funds = _read(command, command.table)
    if command.pilot:
        return _show_next(command, fitted, done, funds)
    advice = _plan(command, fitted, funds, command.strategies)
    if command.json:
        output.print_json(advice.to_dict())
    else:
        output.print_blocks(plan_report.purchase(advice.to_dict()))
    return 0


def _read(command: Command, path: Path) -> tuple[Fit, list[Point], PurchaseBudget]:
    """The fitted law, the points that were run, and what is in hand."""
    from opal.reading import read_table
    from opal.scaling import table
    from opal.scaling.diagnostics import FAR
    from opal.scaling.laws import LAWS
    from opal.scaling.laws.cross import cross_law
    from opal.scaling.pilot import Point
    from opal.scaling.pilot_fit import VARIABLES, fit_pilot
    from opal.scaling.purchase import PurchaseBudget

    _check_price(command)
    counts = _counts(command)
    frame = table.where(read_table(path), command.where, metric=command.metric)
    x = dict(zip(VARIABLES, command.x, strict=True))
    seed = command.seed if command.seed != "seed" or "seed" in frame.columns else None
    columns = [*x.values(), command.y, *([seed] if seed else [])]
    table.check_columns(frame, columns, remedy=table.NAME_YOURS)
    fitted = fit_pilot(
        frame,
        x=x,
        y=command.y,
        seed=seed,
        part=command.part,
        law=cross_law(command.beta) if command.law == "cross" else LAWS["mixture"],
        all_points=command.all_points,
        level=command.level,
        n_bootstrap=command.n_bootstrap,
    )
    n_real = counts or (float(frame[x["n"]].max()),) * (command.groups or _GROUPS)
    money = command.budget
    if money is None:
        money = FAR * float(frame[x["N"]].max()) * len(n_real) * command.price_synthetic
    prices = command.price_real, command.price_synthetic
    funds = PurchaseBudget(n_real, *prices, money, command.min_gain, command.level)
    done = {Point(*map(float, row)) for row in frame[list(x.values())].to_numpy(float)}
    return fitted, sorted(done), funds


def _counts(command: Command) -> tuple[float, ...]:
    """Real samples of each group; one number is for every group.

    Raises:
        ValueError: there is no group, or --n-real lists another number of groups.
    """
    counts, groups = tuple(float(n) for n in command.n_real), command.groups
    if groups is not None and groups < 1:
        raise ValueError(f"--groups is the number of groups, at least 1; got {groups}.")
    if groups is not None and groups > _MOST_GROUPS:
        raise ValueError(f"--groups must be at most {_MOST_GROUPS:,}; got {groups}.")
    if groups is not None and len(counts) not in (0, 1, groups):
        raise ValueError(
            f"--n-real names the real samples of each group, or one number for all; got "
            f"{len(counts)} numbers for {groups} groups. Leave --groups out, or list {groups}."
        )
    return counts * (groups or _GROUPS) if len(counts) == 1 else counts


def _check_price(command: Command) -> None:
    if not command.price_synthetic > 0:
        raise ValueError(
            f"--price-synthetic is the price of one synthetic sample and must be positive; "
            f"got {command.price_synthetic}. For samples that cost next to nothing give a small "
            "price."
        )


def _plan(command: Command, fitted: Fit, funds: PurchaseBudget, strategies: Sequence[str]) -> Plan:
    from opal.scaling.plan import plan

    return plan(
        fitted,
        n_real=funds.counts,
        price_real=funds.price_real,
        price_synthetic=funds.price_synthetic,
        budget=funds.money,
        strategies=strategies,
        subsample=command.subsample,
        min_gain=funds.min_gain,
        level=funds.level,
        accept_loss=command.accept_loss,
    )


def _show_first(command: Command) -> int:
    """A pilot to begin with, on a tenth of the budget."""
    from opal.scaling.pilot import first_points
    from opal.scaling.purchase import PurchaseBudget

    _check_price(command)
    if not command.n_real or command.budget is None:
        raise ValueError(
            "a pilot to begin with needs --n-real, the real samples of each group, and --budget, "
            f"a tenth of which it spends; got {list(command.n_real)} and {command.budget}."
        )
    funds = PurchaseBudget(
        _counts(command), command.price_real, command.price_synthetic, command.budget
    )
    pool = funds.largest_size // 10
    report = {
        "points": [point._asdict() for point in first_points(funds.n, pool)],
        "pool": pool,
        "cost": funds.cost(pool),
        "n_seeds": _SEEDS,
        "subsample": _SHARE,
    }
    return _print_points(command, report)


def _show_next(command: Command, fitted: Fit, done: list[Point], funds: PurchaseBudget) -> int:
    """The points that narrow the interval of the gain most."""
    from opal.scaling.pilot import propose

    share = command.subsample or 1.0
    owned = round(max(point.N for point in done) / share)
    pool = max(funds.largest_size // 10, owned)
    # Whatever is shown of a plan, the question is what the purchase gains.
    advice = _plan(command, fitted, funds, ("augment",))
    found = propose(
        fitted,
        advice.alternative("augment"),
        n=funds.n,
        largest_pool=share * pool,
        subsample=command.subsample,
        n_points=command.n_points,
        done=done,
    )
    report = {
        "points": [point._asdict() for point in found.points],
        "pool": pool,
        "cost": funds.cost(pool - owned),
        "n_seeds": fitted.n_seeds,
        "subsample": command.subsample,
        "decided": advice.decided,
        "gain_std_error": {"now": found.std_error, "after": list(found.std_errors)},
        "warnings": list(advice.warnings),
    }
    return _print_points(command, report)


def _print_points(command: Command, report: dict[str, Any]) -> int:
    if command.json:
        output.print_json(report)
        return 0
    output.print_blocks(plan_report.pilot(report))
    return 0
