"""Theory and simulation of the scaling law of synthetic oversampling and augmentation.

Importing ``opal`` is cheap: modules (``opal.settings``), classes (``opal.Design``) and functions
(``opal.simulate``) load on first use, so that ``opal --help`` does without JAX.

>>> import opal
>>> setting = opal.GaussianMixture([[-1.0, 0.0], [1.0, 0.0]])
>>> design = opal.Design(counts=(500, 50), synthesizer=opal.Oracle(setting.law))
>>> design.n_oversampled
(0, 450)
>>> predicted = opal.predict(setting, design).set_index(["metric", "group"])["value"]
>>> float(round(predicted["excess_balanced_risk", "all"], 4))
0.0013
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opal.objective import Design, PredictionPowered, baselines
    from opal.scaling.fit import fit
    from opal.scaling.plan import plan
    from opal.settings import (
        Alphabet,
        Bias,
        Craft,
        GaussianLaw,
        GaussianMixture,
        Grammar,
        Group,
        Sample,
        SpuriousCorrelation,
        TokenSetting,
    )
    from opal.simulation import compare, simulate
    from opal.synthesis import Adasyn, Duplication, GaussianFit, Oracle, Smote
    from opal.theory.optimal import best_minority_size, best_weights, weight_curve
    from opal.theory.predict import predict

__version__ = "0.2.0"

_HOMES = {
    "objective": ("Design", "PredictionPowered", "baselines"),
    "scaling.fit": ("fit",),
    "scaling.plan": ("plan",),
    "settings": (
        *("Alphabet", "Bias", "Craft", "GaussianLaw", "GaussianMixture", "Grammar", "Group"),
        *("Sample", "SpuriousCorrelation", "TokenSetting"),
    ),
    "simulation": ("compare", "simulate"),
    "synthesis": ("Adasyn", "Duplication", "GaussianFit", "Oracle", "Smote"),
    "theory.optimal": ("best_minority_size", "best_weights", "weight_curve"),
    "theory.predict": ("predict",),
}
_HOME = {name: room for room, names in _HOMES.items() for name in names}

__all__ = [
    "Adasyn",
    "Alphabet",
    "Bias",
    "Craft",
    "Design",
    "Duplication",
    "GaussianFit",
    "GaussianLaw",
    "GaussianMixture",
    "Grammar",
    "Group",
    "Oracle",
    "PredictionPowered",
    "Sample",
    "Smote",
    "SpuriousCorrelation",
    "TokenSetting",
    "baselines",
    "best_minority_size",
    "best_weights",
    "compare",
    "fit",
    "plan",
    "predict",
    "simulate",
    "weight_curve",
]


def _rooms() -> list[str]:
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def __getattr__(name: str) -> Any:
    """Import a public name, or a module of the package, when it is first asked for."""
    if name in _HOME:
        return getattr(importlib.import_module(f"opal.{_HOME[name]}"), name)
    if name.startswith("_") or name not in _rooms():
        known = [*__all__, *_rooms()]
        raise AttributeError(f"module 'opal' has no attribute {name!r}; it has {known}")
    return importlib.import_module(f"opal.{name}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_rooms()})
