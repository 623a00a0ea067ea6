"""Exact errors of rules on the grammar's words, beside their estimates on test texts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from opal.bridge.text.grammar import GRAMMAR, WRITERS
from opal.settings.finite import FiniteLaw

if TYPE_CHECKING:
    from opal.bridge.text.curves.material import Material
    from opal.bridge.text.curves.trained import Trained
    from opal.estimators.wide import WideFit


def theta(rule: WideFit) -> np.ndarray:
    """A fitted two-class rule as the parameters (w, b) of the second class's score [r + 1]."""
    return np.append(rule.w[:, 1] - rule.w[:, 0], rule.b[1] - rule.b[0])


def under(law: FiniteLaw, rules: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Risk and error of each rule in each group of a law [rules, G]."""
    with jax.enable_x64(True):
        risk, error = _under(law, jnp.asarray(rules, dtype=float))
    return np.asarray(risk), np.asarray(error)


@jax.jit
def _under(law: FiniteLaw, rules: jax.Array) -> tuple[jax.Array, jax.Array]:
    return jax.vmap(lambda theta: (law.group_risk(theta), law.group_error(theta)))(rules)


def rows(data: Material, trained: Sequence[Trained]) -> Iterator[dict[str, Any]]:
    """Exact balanced and worst errors and balanced risks, ``source`` theory.

    Of each rule that was trained (``balanced_error_control`` is what a wrong law, that of the
    biased writer, says of it); of the best rule (arm ``best``); and of the rules that endless texts
    of each writer, given the seeds drawn, would lead to (arm ``limit``).
    """
    rules = np.stack([theta(each.rule) for each in trained])
    risk, error = under(GRAMMAR.law, rules)
    wrong = under(WRITERS["biased"].law(GRAMMAR), rules)[1].mean(axis=1)
    for index, each in enumerate(trained):
        same = each.described(data) | {"source": "theory"}
        yield from _of_rule(same, risk[index], error[index])
        yield same | {"metric": "balanced_error_control", "value": wrong[index]}
    yield from _limits(data, trained[0].described(data))


def _limits(data: Material, same: dict[str, Any]) -> Iterator[dict[str, Any]]:
    seeds = _seeds(data)
    laws = {name: writer.given(GRAMMAR, seeds) for name, writer in WRITERS.items()}
    with jax.enable_x64(True):
        ends = [GRAMMAR.law.optimum(), *(law.optimum() for law in laws.values())]
    risk, error = under(GRAMMAR.law, np.stack([np.asarray(end) for end in ends]))
    for index, name in enumerate(("none", *laws)):
        arm = "limit" if index else "best"
        plain = same | {
            "arm": arm,
            "synthesizer": name,
            "source": "theory",
            "alpha": float(bool(index)),
        }
        yield from _of_rule(plain, risk[index], error[index])


def _seeds(data: Material) -> list[np.ndarray]:
    """Meanings of the base texts that were drawn, of each group of the grammar."""
    meanings = np.array([GRAMMAR.parse(text) for text in data.frame["text"].iloc[data.base]])
    own = np.array(data.groups)[data.group[data.base]]
    return [meanings[own == group.name] for group in GRAMMAR.groups]


def _of_rule(same: dict[str, Any], risk: np.ndarray, error: np.ndarray) -> Iterator[dict[str, Any]]:
    found = {
        "balanced_error": error.mean(),
        "worst_error": error.max(),
        "balanced_risk": risk.mean(),
    }
    for metric, value in found.items():
        yield same | {"metric": metric, "value": float(value)}
