"""`python -m funcam` is the command `funcam`."""

from __future__ import annotations

import sys


def run() -> None:
    """Run the command; Ctrl-C while its modules are read ends in the line in which it ends later."""
    try:
        from funcam.cli import main
    except KeyboardInterrupt:
        print("funcam: interrupted", file=sys.stderr)
        sys.exit(130)
    main()


if __name__ == "__main__":
    run()
