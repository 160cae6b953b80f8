"""One process at a time chooses names and writes results in a folder, of however many that explain into it. No torch.

Whoever looks which names are free and then writes would otherwise take a name that another has just found free.
"""

from __future__ import annotations

import os
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Condition

_PATIENCE = 60.0
"""Seconds that another process is waited for: one that was stopped (Ctrl-Z) would be waited for for ever."""
_PAUSE = 0.01
_TURN = 1.0
"""Seconds after which others have a turn, though this process' threads would go on."""


def lock(descriptor: int) -> None:
    """Hold a file, or on Unix a folder, until its descriptor is closed: no other process holds it meanwhile.

    Raises:
        OSError: another does (on Unix `BlockingIOError`), or what lies there can't be held.
    """
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


class _Folder:
    """A folder, held by no thread of this process, or by some."""

    def __init__(self) -> None:
        self.changed = Condition()
        self.threads, self.since, self.descriptor = 0, 0.0, -1

    def enter(self, path: Path) -> None:
        with self.changed:
            self.changed.wait_for(lambda: not self.threads or time.monotonic() - self.since < _TURN)
            if not self.threads:
                self.descriptor = _held(path)
                self.since = time.monotonic()
            self.threads += 1

    def leave(self) -> None:
        with self.changed:
            self.threads -= 1
            if not self.threads and self.descriptor >= 0:
                os.close(self.descriptor)  # and no longer held
                self.descriptor = -1
            self.changed.notify_all()


_folders: defaultdict[str, _Folder] = defaultdict(_Folder)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """In a folder no other process is in here meanwhile; other threads of this one may be.

    Don't enter it twice in one thread. Where the system can't hold a folder (Windows, some disks of a network), or
    another process has had it for a minute, it is entered all the same.

    Args:
        folder: where results go; it exists.

    Example:
        >>> with alone_in(Path()):
        ...     name = "results"
    """
    held = _folders[os.path.realpath(folder)]
    held.enter(folder)
    try:
        yield
    finally:
        held.leave()


def _held(path: Path) -> int:
    """A descriptor that holds the folder; -1 where none does."""
    with suppress(OSError):  # Windows opens no folder
        descriptor = os.open(path, os.O_RDONLY)
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end:
            try:
                lock(descriptor)
            except BlockingIOError:
                time.sleep(_PAUSE)
            except OSError:
                break
            else:
                return descriptor
        os.close(descriptor)
    return -1
