"""Python's garbage collector, off while a command starts: the one place that turns it off and on.

torch and a traced network are a million objects that stay: searching them for garbage takes 0.8 s.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_off() -> Iterator[None]:
    """Nothing is collected inside, unless the command calls `collect_again`; behind it all is as it was before.

    Example:
        >>> with collector_off():
        ...     gc.isenabled()
        False
        >>> gc.isenabled()
        True
    """
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()
        else:
            gc.disable()


def collect_again() -> None:
    """A command has started, what is there stays, and what follows is long: collect from here on."""
    gc.enable()
