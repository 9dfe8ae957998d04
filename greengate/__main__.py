"""`python -m greengate`."""

from __future__ import annotations

import sys


def main() -> None:
    """Enter from the console script."""
    from greengate.cli.door import run

    sys.exit(run())


if __name__ == "__main__":
    main()
