"""Batched LU and QR can hang on two cores (NOTES): compiled work is Cholesky only."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import opal
from opal import risk, simulation
from opal.objective import Design, RowWeights
from opal.settings import GaussianLaw, GaussianMixture
from opal.synthesis import Adasyn, Duplication, GaussianFit, Oracle
from opal.theory.asymptotics import asymptotics

# NumPy's own run on the host, outside of compiled work.
CALLS = re.compile(
    r"(?<!\bnp\.)linalg\.((inv|pinv|qr|lstsq|det|slogdet|eig|lu\w*)\(|solve\((?!.*pos))"
)
RISKY = {"lu", "lu_pivots_to_permutation", "geqrf", "geqp3", "qr", "householder_product"}
RISKY |= {"eig", "schur", "hessenberg"}


def two() -> GaussianLaw:
    return GaussianMixture([[0.0, 0.0], [1.0, 0.5]]).law


def three() -> GaussianLaw:
    return GaussianMixture([[0.0, 0.0], [1.0, 0.5], [0.0, 2.0]]).law


DESIGNS: dict[str, tuple[Callable[[], GaussianLaw], Design]] = {
    "binary": (two, Design((9, 5), Oracle(two()), n_augmented=3, alpha=0.5)),
    "softmax": (three, Design((9, 5, 4), GaussianFit(0.1))),
    "squared": (two, Design((9, 5), Adasyn(2), loss="squared", ridge=0.1)),
    "threshold": (two, Design((9, 5), Duplication(), oversample="none", threshold="balanced")),
}


def program(function: Callable[..., Any], *arguments: Any) -> set[str]:
    """Names of all primitives that a function runs, in inner functions and loops as well."""
    found: set[str] = set()

    def walk(jaxpr: Any) -> None:
        for equation in jaxpr.eqns:
            found.add(equation.primitive.name)
            for inner in jax.tree.leaves(
                list(equation.params.values()), is_leaf=lambda p: hasattr(p, "eqns")
            ):
                if hasattr(inner, "eqns"):
                    walk(inner)

    walk(jax.make_jaxpr(function)(*arguments))
    return found


def test_the_search_finds_what_it_looks_for() -> None:
    for risky in (
        lambda a: jnp.linalg.solve(a, a),
        lambda a: jnp.linalg.inv(a),
        lambda a: jnp.linalg.qr(a)[0],
        lambda a: jnp.linalg.slogdet(a)[1],
    ):
        assert RISKY & program(jax.vmap(risky), jnp.ones((2, 3, 3)))
    for call in ("jnp.linalg.inv(a)", "scipy.linalg.solve(a, b)", "linalg.lu_factor(a)"):
        assert CALLS.search(call)
    assert not CALLS.search('linalg.solve(a, b, assume_a="pos")')
    assert not CALLS.search("np.linalg.inv(a)")


@pytest.mark.parametrize("name", DESIGNS)
def test_replicates_use_cholesky_only(name: str) -> None:
    make_law, design = DESIGNS[name]
    law = make_law()

    def run(key: jax.Array, indices: jax.Array) -> Any:
        rows, weights = simulation._rows(
            law,
            design.synthesizer,
            RowWeights(*(np.asarray(w) for w in design.row_weights())),
            key,
            indices,
            counts=design.counts,
            n_oversampled=design.n_oversampled,
            n_augmented=design.n_augmented,
        )
        theta, _ = simulation._fits(
            rows,
            weights,
            np.asarray(design.ridge),
            np.asarray(design.threshold == "balanced"),
            n_classes=law.n_classes,
            loss=design.loss,
        )
        return simulation._metrics(
            law,
            theta[None],
            best_risk=jnp.zeros(()),
            order=risk.order_of_sizes(design.counts),
            loss=design.loss,
            calibration=design.loss == "logistic",
        )

    primitives = program(run, jax.random.key(0), jnp.zeros((1, 2), int))
    assert "cholesky" in primitives
    assert "while" in primitives or "dot_general" in primitives
    assert primitives.isdisjoint(RISKY)


HOUSE = Path(opal.__file__).parent
ROOMS = ("settings", "synthesis", "estimators", "theory")
SOURCES = [path for room in ROOMS for path in sorted((HOUSE / room).glob("**/*.py"))]
SOURCES += [HOUSE / f"{room}.py" for room in ("newton", "risk", "simulation")]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_sources_ask_for_cholesky(path: Path) -> None:
    assert CALLS.findall(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("seed_use", ["none", "moments"])
def test_theory_uses_cholesky_only(seed_use: str) -> None:
    design = DESIGNS["binary"][1]

    def run(law: GaussianLaw) -> Any:
        return asymptotics(
            law, law, design.row_counts(), design.row_weights(), seed_use=seed_use
        ).excess

    primitives = program(run, two())
    assert "cholesky" in primitives
    assert "while" in primitives or "dot_general" in primitives
    assert primitives.isdisjoint(RISKY)
