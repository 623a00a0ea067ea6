"""What ``opal plan`` says to people, a purchase or a pilot, as blocks of a report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from opal.bridge.render import Block, Cell, Paragraph, Table


def purchase(found: Mapping[str, Any]) -> Iterator[Block]:
    """The recommendation, the other strategies and the warnings, of ``Plan.to_dict``."""
    yield from map(Paragraph, advice(found))
    marginal = found["marginal_gain"]
    least = "nothing that is known" if marginal is None else f"{marginal:.3g}"
    yield Paragraph(f"one more unit of money takes away {least}; {found['stop']}")
    columns = ["strategy", "N", "alpha", "real", "cost", "gain", "interval", "n_equiv"]
    yield Table(columns, [_strategy(option) for option in found["alternatives"]], "strategies")
    yield from (Paragraph(f"warning: {text}", "bad") for text in found["warnings"])


def advice(found: Mapping[str, Any]) -> list[str]:
    """What to buy, and what it is expected to gain: a sentence each."""
    bought = (
        f"{found['recommendation']}: N = {found['n_augmented']} for each group with weight "
        f"{found['alpha']:.3g}, {found['n_real_bought']} real samples; cost {found['cost']:.6g}"
    )
    gained = (
        f"expected gain {found['expected_gain']['estimate']:.3g} ({_interval(found)}), "
        f"{100 * found['gain_share']:.3g} % of the excess; {_worth(found)}"
    )
    return [bought, gained]


def pilot(found: Mapping[str, Any]) -> Iterator[Block]:
    """The points to run, what they cost, and what is gained by running them."""
    yield Table(
        ["n", "N", "alpha"],
        [[point[name] for name in ("n", "N", "alpha")] for point in found["points"]],
        "points to run",
    )
    yield Paragraph(
        f"pool of {found['pool']:g} synthetic samples a group; cost {found['cost']:.6g}"
    )
    yield Paragraph(f"run every point with {found['n_seeds']} seeds{_of_share(found['subsample'])}")
    if "gain_std_error" in found:
        error = found["gain_std_error"]
        yield Paragraph(
            f"standard error of the gain: {error['now']:.3g} now, {error['after'][-1]:.3g} after"
        )
        word = "decided as it stands" if found["decided"] else "undecided"
        yield Paragraph(f"the plan is {word}")
        yield from (Paragraph(f"warning: {text}", "bad") for text in found["warnings"])


def _strategy(option: Mapping[str, Any]) -> list[Cell]:
    names = ("strategy", "n_augmented", "alpha", "n_real_bought", "cost")
    gain = option["expected_gain"]["estimate"]
    return [*(option[name] for name in names), gain, _interval(option), option["n_equiv"]]


def _interval(option: Mapping[str, Any]) -> str:
    ends = option["expected_gain"]["ci"]
    return "no interval" if ends is None else "{:.3g} … {:.3g}".format(*ends)


def _worth(found: Mapping[str, Any]) -> str:
    if found["n_equiv"] is None:
        return str(found["n_equiv_why"])
    return f"as good as {found['n_equiv']:.4g} real samples of each group"


def _of_share(share: float | None) -> str:
    if share is None:
        return ""
    return (
        f"; each draws the share {share:g} of the pool at random, and rows of its own where a "
        f"point has fewer than all real ones; then ask with --subsample {share:g}"
    )
