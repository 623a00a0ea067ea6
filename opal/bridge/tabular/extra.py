"""The packages of the extra ``tabular``, asked for before anything starts."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec


def check(protocol: str, classifiers: Iterable[str]) -> None:
    """Check that the packages of an evaluation are installed.

    Args:
        protocol: ``"sound"`` or ``"published"``.
        classifiers: names in that protocol.

    Raises:
        ImportError: one is not; says how to get it.
    """
    asked = {name.lower() for name in classifiers}
    needed = {"catboost"} if "catboost" in asked else set()
    if protocol == "sound" and asked:
        needed.add("imblearn")
    elif "logistic" in asked:
        needed.add("statsmodels")
    absent = sorted(name for name in needed if find_spec(name) is None)
    if absent:
        raise ImportError(
            f"this evaluation needs {', '.join(absent)}; install the extra: "
            "pip install 'opal-scaling[tabular]'."
        )
