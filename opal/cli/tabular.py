"""``opal tabular``: make and judge synthetic rows of real tables."""

from __future__ import annotations

from collections.abc import Sequence

from opal.cli import output
from opal.cli.parsing import choose

DESCRIPTION = """Generate, evaluate and audit synthetic rows of tables; parse GPT-4's text.

Example:
    opal tabular evaluate --protocol published --compare"""


def main(args: Sequence[str]) -> int:
    """Run one of the tabular commands, which know what they compute and how it is shown."""
    from opal.bridge.tabular.commands import (
        AuditRows,
        EvaluateRows,
        GenerateRows,
        ParseRows,
        ScaleRows,
    )

    commands = {
        "generate": GenerateRows,
        "evaluate": EvaluateRows,
        "audit": AuditRows,
        "parse": ParseRows,
        "scaling": ScaleRows,
    }
    command = choose(commands, args, prog="opal tabular", description=DESCRIPTION)
    result = command.run()
    if command.json:
        output.print_json(result)
    else:
        output.console().print(command.table(result))
    return 0
