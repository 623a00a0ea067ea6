"""``opal text``: texts that a language model writes for small classes, and what they are worth."""

from __future__ import annotations

from collections.abc import Sequence

from opal.cli import output
from opal.cli.parsing import choose

DESCRIPTION = """Texts of small classes, written by a language model, and what they are worth.

Without a command: evaluate, on a corpus that needs no data, network or key.

Examples:
    opal text
    opal text evaluate --corpus sentiment --encoder minilm
    opal text generate mine.csv --fill-to 200 --local ./models/llama"""


def main(args: Sequence[str]) -> int:
    """Run one of the text commands, which know what they compute and how it is shown."""
    from opal.bridge.text.commands.audit import Audit
    from opal.bridge.text.commands.evaluate import Evaluate
    from opal.bridge.text.commands.generate import Generate
    from opal.bridge.text.commands.impute import Impute
    from opal.bridge.text.commands.label import Label

    commands = {
        "evaluate": Evaluate,
        "generate": Generate,
        "audit": Audit,
        "impute": Impute,
        "label": Label,
    }
    command = choose(commands, args or ("evaluate",), prog="opal text", description=DESCRIPTION)
    result = command.run()
    if command.json:
        output.print_json(result)
    else:
        output.console().print(command.table(result))
    return 0
