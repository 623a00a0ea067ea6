"""What ``opal tabular ...`` does: flags in, a JSON-able result and a table out.

Importing this package is cheap; everything heavy waits inside the functions.
"""

from opal.bridge.tabular.commands.audit import AuditRows
from opal.bridge.tabular.commands.evaluate import EvaluateRows
from opal.bridge.tabular.commands.generate import GenerateRows, ParseRows
from opal.bridge.tabular.commands.scaling import ScaleRows

__all__ = ["AuditRows", "EvaluateRows", "GenerateRows", "ParseRows", "ScaleRows"]
