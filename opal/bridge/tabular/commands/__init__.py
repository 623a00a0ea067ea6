"""What ``opal tabular ...`` does: flags in, a JSON-able result and a table out.

Importing this package is cheap; everything heavy waits inside the functions.
"""

from opal.bridge.tabular.commands.audit import Audit
from opal.bridge.tabular.commands.evaluate import Evaluate
from opal.bridge.tabular.commands.generate import Generate, Parse

__all__ = ["Audit", "Evaluate", "Generate", "Parse"]
