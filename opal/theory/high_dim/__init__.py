"""Exact errors where rows and dimensions are many and comparable (docs/theory.md, section 9)."""

from opal.theory.high_dim.components import Components, components
from opal.theory.high_dim.designs import Spheres, of_design, of_setting
from opal.theory.high_dim.predict import evaluate, predict
from opal.theory.high_dim.rule import HighDim, solve
from opal.theory.high_dim.tune import Best, best

__all__ = [
    "Best",
    "Components",
    "HighDim",
    "Spheres",
    "best",
    "components",
    "evaluate",
    "of_design",
    "of_setting",
    "predict",
    "solve",
]
