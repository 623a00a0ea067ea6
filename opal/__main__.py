"""``python -m opal`` is ``opal``."""

from opal.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
