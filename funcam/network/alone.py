"""One thread at a time, for what torch keeps once for all threads: its forward mode's level, its tracers' patches."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class _Turn:
    """Whose turn it is."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """A new lock: in a child of a fork one that another thread held there is held for ever."""
        self.lock = threading.RLock()


_TURN = _Turn()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_TURN.renew)


@contextmanager
def alone() -> Iterator[None]:
    """Inside, no other thread of funcam's differentiates forwards, traces, exports, compiles or looks for shapes.

    Forward derivatives share one level: those of two threads would be lost or mixed. Tracers replace the calls of all
    modules, and two would put back each other's. While one notes what it follows, torch's own code for derivatives and
    shapes fails in other threads.

    What is inside waits for no model's lock (`known`), which is taken before: another thread may hold that, and wait.

    Example:
        >>> import torch
        >>> with alone(), alone():
        ...     torch.func.jvp(torch.sin, (torch.zeros(1),), (torch.ones(1),))[1]
        tensor([1.])
    """
    with _TURN.lock:
        yield
