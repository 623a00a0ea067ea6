"""Theory and simulation of the scaling law of synthetic oversampling and augmentation.

Importing ``opal`` is cheap: its rooms are imported on first use, so ``opal.settings`` brings JAX in
and ``opal --help`` does not.

>>> import opal
>>> opal.__version__
'0.1.0'
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

__version__ = "0.1.0"


def _rooms() -> list[str]:
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def __getattr__(name: str) -> ModuleType:
    """Import a room of the package when it is first asked for."""
    if name.startswith("_") or name not in _rooms():
        raise AttributeError(f"module 'opal' has no attribute {name!r}; it has {_rooms()}")
    return importlib.import_module(f"opal.{name}")


def __dir__() -> list[str]:
    return [*globals(), *_rooms()]
