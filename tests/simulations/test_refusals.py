"""Studies say what cannot be computed before their first cell."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from opal.cli import registry

SEEDS = (0, 1, 4, 8)


def least(name: str, minimum: int, value: Any) -> tuple[dict[str, Any], str]:
    got = value[-1] if isinstance(value, tuple) else value
    return {name: value}, f"{name} must be a whole number of at least {minimum}; got {got}."


OF_ALL = [
    least("batch", 1, 0),
    least("context", 9, 8),
    ({"n_seeds": ()}, "n_seeds needs at least one value"),
    least("n_subjects", 2, 1),
    ({"batch": 9}, "batch must be a multiple of 4, or below 8, as it is trained in slices; got 9."),
]
OF_KL = [
    *OF_ALL,
    *(least(name, 1, 0) for name in ("width", "depth", "n_draws", "n_slope")),
    least("steps", 1, (0,)),
    ({"steps": (40, 40)}, "steps needs a number for each of the 1 alphabets; got (40, 40)."),
    least("n_seeds", 0, (0, 4, -1)),
    least("n_more", 9, (16, 8)),
    ({"width": 6}, "an even number of numbers a head; got 3."),
    (
        {"n_slope": 8},
        f"of at least n_slope = 8, for a slope, and one of 1 … 8, for the bound; got {SEEDS}.",
    ),
    (
        {"n_seeds": (0, 16, 32), "context": 33, "n_more": (64,)},
        "one of 1 … 8, for the bound; got (0, 16, 32).",
    ),
    ({"alphabets": ()}, "alphabets needs at least one (tokens, rank, eta); got none."),
    ({"alphabets": ((1, 2, 0.5),)}, "n_tokens must be a whole number of at least 2; got 1."),
    ({"alphabets": ((8, 0, 0.5),)}, "rank must be a whole number of at least 1; got 0."),
    ({"alphabets": ((8, 2, 0.0),)}, "eta must be a finite number of at least 1e-3; got 0.0."),
]
OF_CAPACITY = [
    *OF_ALL,
    least("n_trainings", 2, 1),
    least("steps", 1, (8, 16, 0)),
    least("n_draws", 1, 0),
    least("n_seeds", 0, (0, 4, -1)),
    least("n_tokens", 2, 1),
    least("rank", 1, 0),
    ({"eta": float("nan")}, "eta must be a finite number of at least 1e-3; got nan."),
    (
        {"sizes": ((8, 1), (8, 1))},
        "three numbers of steps, the largest of which is held out; got ((8, 1), (8, 1)) and (8, ",
    ),
    ({"steps": (8, 16)}, "got ((8, 1), (16, 1), (16, 2)) and (8, 16)."),
    ({"sizes": ((8, 1), (16, 2), (8, 1))}, "sizes that differ in both, at least three"),
    ({"sizes": ((8, 1), (0, 1))}, "width must be a whole number of at least 1; got 0."),
    ({"sizes": ((8, 1), (8, 0))}, "depth must be a whole number of at least 1; got 0."),
    ({"sizes": ((8, 1), (6, 1))}, "an even number of numbers a head; got 3."),
]
OF_END_TO_END = [
    *OF_ALL[:-2],
    *(least(name, 1, 0) for name in ("n_pairs", "n_subjects", "rank", "width", "depth", "steps")),
    *(least(name, 2, 1) for name in ("n_tokens", "n_replicates")),
    OF_ALL[-1],
    least("n_seeds", 1, (4, 0)),
    least("n_majority", 8, 5),
    ({"n_seeds": (4, 9)}, "context must be a whole number of at least 10; got 9."),
    ({"width": 6}, "an even number of numbers a head; got 3."),
    ({"priors": ()}, "priors needs at least one pair of numbers; got none."),
    ({"priors": ((0.0, 0.0),)}, "scale must be a finite number of at least 1e-6"),
    ({"priors": ((1.0, float("inf")),)}, "mean must be a finite number; got inf"),
    ({"mixes": ()}, "mixes needs at least one pair of numbers; got none."),
    ({"mixes": ((60, 1.5),)}, "alpha is a weight in [0, 1]"),
    ({"mixes": ((0, 0.5),)}, "n_augmented is 0"),
    ({"eta": 0.0}, "eta must be a finite number of at least 0.001; got 0.0."),
]
OF_PLAN = [
    *(least(n, 1, 0) for n in ("shrink", "ratio", "n_seeds", "n_purchases", "n_bootstrap")),
    least("n_validation", 10, 0),
    least("families", 0, (0, -1)),
    ({"biases": (0, 99)}, "biases must be at most"),
]
OF_PLAN_LEARNERS = [
    *(least(n, 1, 0) for n in ("replicates", "n_real", "ratio", "n_seeds", "n_purchases")),
    *(least(n, minimum, 0) for n, minimum in (("n_bootstrap", 1), ("n_validation", 10))),
    ({"learners": (99,)}, "learners must be at most"),
    ({"dials": (99,)}, "dials must be at most"),
]
OF_TABLES = [least("n_tables", 1, 0), least("chunk", 1, 0)]
OF_TEXT_COVERAGE = [
    *(least(name, 1, (0,)) for name in ("sizes", "n_tests", "n_seeds")),
    least("n_test", 1, 0),
]
CASES = [
    (study, fields, message)
    for study, cases in {
        "generator_kl": OF_KL,
        "generator_capacity": OF_CAPACITY,
        "end_to_end": OF_END_TO_END,
        "plan": OF_PLAN,
        "plan_learners": OF_PLAN_LEARNERS,
        "misfit": OF_TABLES,
        "fit_coverage": [*OF_TABLES, least("n_seeds", 2, 1)],
        "text_coverage": OF_TEXT_COVERAGE,
    }.items()
    for fields, message in cases
]


@pytest.mark.parametrize(("study", "fields", "message"), CASES)
def test_a_study_refuses_before_its_first_cell(
    study: str, fields: dict[str, Any], message: str
) -> None:
    module = registry.load("study", study)
    assert module.cells(module.PRESETS["tiny"])
    with pytest.raises(ValueError, match=re.escape(message)):
        module.cells(replace(module.PRESETS["tiny"], **fields))
