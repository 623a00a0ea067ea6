"""Theory and simulation of the scaling law of synthetic oversampling and augmentation.

Importing ``opal`` is cheap: rooms (``opal.settings``), names (``opal.Design``) load on first use,
so that ``opal --help`` does without JAX. The verbs stay in their rooms:
:func:`opal.simulate.simulate`, :func:`opal.theory.predict.predict`.

>>> import opal
>>> opal.Design(counts=(500, 50), synthesizer=opal.Smote()).n_oversampled
(0, 450)
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opal.objective import Design, baselines
    from opal.settings import GaussianLaw, GaussianMixture, Group, Sample, SpuriousCorrelation
    from opal.synthesis import Adasyn, Bias, Duplication, GaussianFit, Oracle, Smote

__version__ = "0.1.0"

_HOMES = {
    "objective": ("Design", "baselines"),
    "settings": ("GaussianLaw", "GaussianMixture", "Group", "Sample", "SpuriousCorrelation"),
    "synthesis": ("Adasyn", "Bias", "Duplication", "GaussianFit", "Oracle", "Smote"),
}
_HOME = {name: room for room, names in _HOMES.items() for name in names}

__all__ = [
    "Adasyn",
    "Bias",
    "Design",
    "Duplication",
    "GaussianFit",
    "GaussianLaw",
    "GaussianMixture",
    "Group",
    "Oracle",
    "Sample",
    "Smote",
    "SpuriousCorrelation",
    "baselines",
]


def _rooms() -> list[str]:
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def __getattr__(name: str) -> Any:
    """Import a public name, or a room of the package, when it is first asked for."""
    if name in _HOME:
        return getattr(importlib.import_module(f"opal.{_HOME[name]}"), name)
    if name.startswith("_") or name not in _rooms():
        known = [*__all__, *_rooms()]
        raise AttributeError(f"module 'opal' has no attribute {name!r}; it has {known}")
    return importlib.import_module(f"opal.{name}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_rooms()})
