"""Write the sha256 registry of a corpus from files at hand.

    python -m opal.bridge.registry MIRROR OWNER REPO COMMIT > opal/bridge/registry/NAME.txt

``MIRROR`` is laid out as ``owner/repo/commit/path``. The output is a pooch registry: one line per
file, its path in the repository and its sha256. No row of data enters the package.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path


def lines(folder: Path) -> list[str]:
    """The registry lines of every file under ``folder``, sorted by path."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return [
        f"{path.relative_to(folder).as_posix()} {hashlib.sha256(path.read_bytes()).hexdigest()}"
        for path in files
    ]


if __name__ == "__main__":
    sys.stdout.write("\n".join(lines(Path(*sys.argv[1:5]))) + "\n")
