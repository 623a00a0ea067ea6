"""``opal list``: what there is to run and to draw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from opal.cli import output, registry
from opal.cli.parsing import parse


@dataclass(frozen=True)
class List:
    """Studies and figures, each with its claim.

    Example:
        opal list --json
    """

    json: bool = False
    """Print JSON."""


def main(args: Sequence[str]) -> int:
    """Print studies and figures; nothing heavy is imported for it."""
    options = parse(List, args, prog="opal list")
    found = {kind: registry.claims(kind) for kind in registry.PACKAGES}
    if options.json:
        plural = {"study": "studies", "figure": "figures"}
        output.print_json(
            {
                plural[kind]: [{"name": name, "claim": claim} for name, claim in claims.items()]
                for kind, claims in found.items()
            }
        )
        return 0
    for kind, claims in found.items():
        verb = {"study": "opal run STUDY", "figure": "opal figures NAME"}[kind]
        output.print_table(verb, [kind, "claim"], claims.items())
    return 0
