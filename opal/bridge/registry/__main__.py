"""Entry point of ``python -m opal.bridge.registry``."""

import sys
from pathlib import Path

from opal.bridge.registry import lines

if __name__ == "__main__":
    sys.stdout.write("\n".join(lines(Path(*sys.argv[1:5]))) + "\n")
