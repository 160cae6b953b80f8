"""`python -m benchmarks.stores.peak batch ...`: the command line, and the most memory that it had, on standard error.

The process tells it itself: what its parent can ask for counts the parent's own memory before the program began.
"""

from __future__ import annotations

import atexit
import re
import sys
from pathlib import Path

WORD = "peak MiB:"


def tell() -> None:
    """The most memory that this process had at once."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    print(WORD, round(int(found[1]) / 1024, 1) if found else "unknown", file=sys.stderr)


if __name__ == "__main__":
    from funcam.cli import main

    atexit.register(tell)
    main()
