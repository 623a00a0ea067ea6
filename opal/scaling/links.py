"""Link functions: the scale of a bounded metric on which a law is fitted."""

from __future__ import annotations

import numpy as np
from scipy import special

LINKS = ("identity", "log", "logit")


def forward(y: np.ndarray, link: str) -> np.ndarray:
    """Values on the link's scale."""
    if link == "log":
        return np.log(y)
    return special.logit(y) if link == "logit" else np.asarray(y, float)


def slope(y: np.ndarray, link: str) -> np.ndarray:
    """Derivative of the link at ``y``: what turns a standard error into one on the link's scale."""
    if link == "log":
        return 1 / y
    return 1 / (y * (1 - y)) if link == "logit" else np.ones_like(y)


def inverse(z: np.ndarray, link: str) -> np.ndarray:
    """Values of the metric from the link's scale."""
    if link == "log":
        return np.exp(z)
    return special.expit(z) if link == "logit" else np.asarray(z, float)
