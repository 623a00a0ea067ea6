"""A process that loads a file of a batch's answers, for a test that kills it."""

from __future__ import annotations

import sys
from pathlib import Path

from opal.bridge.llm import batch
from opal.bridge.llm.budget import Prices
from opal.bridge.llm.ledger import Ledger

if __name__ == "__main__":
    with Ledger(sys.argv[1]) as ledger:
        sys.stdout.write("open\n")
        sys.stdout.flush()
        batch.load([Path(sys.argv[2])], ledger, Prices(1.0, 2.0))
