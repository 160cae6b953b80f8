"""The modules that lie beside a file of the user's: found while its code runs, and by nobody afterwards.

`sys.path` is as it was behind the call. What was imported stays imported; where two folders hold modules of the same
name, each folder's code is given its own.
"""

from __future__ import annotations

import importlib
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

_ONE_AT_A_TIME = threading.RLock()
"""`sys.path` and `sys.modules` belong to all threads; a function may itself load another's network."""


def _renew_lock() -> None:
    """In a child of a fork: a lock that another thread held there is held for ever."""
    global _ONE_AT_A_TIME
    _ONE_AT_A_TIME = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)

_IMPORTED: dict[str, dict[str, ModuleType]] = {}
"""By folder: the modules that were imported from there, by name."""

_RUNNING: list[str] = []
"""The folders whose code is running, the innermost last."""


@contextmanager
def importing_from(folder: str) -> Iterator[None]:
    """Have modules looked for in a folder first, as Python does for the folder of a script.

    Args:
        folder: an absolute path.

    Example:
        >>> before = [*sys.path]
        >>> with importing_from("/nowhere"):
        ...     sys.path[0]
        '/nowhere'
        >>> sys.path == before
        True
    """
    with _ONE_AT_A_TIME:
        outer = _RUNNING[-1] if _RUNNING else None
        if outer is not None:
            _remember(outer)
        aside = _make_room(folder)
        _RUNNING.append(folder)
        sys.path.insert(0, folder)
        importlib.invalidate_caches()  # the files may be new
        try:
            yield
        finally:
            _RUNNING.pop()
            if folder in sys.path:  # the code may have changed it
                sys.path.remove(folder)
            _remember(folder)
            free = {_top(name) for name in aside} - sys.modules.keys()
            sys.modules.update({name: module for name, module in aside.items() if _top(name) in free})
            if outer is not None:
                _make_room(outer)


def _remember(folder: str) -> None:
    _IMPORTED[folder] = {name: module for name, module in [*sys.modules.items()] if _lies_in(folder, name)}


def _make_room(folder: str) -> dict[str, ModuleType]:
    """Put the folder's own modules in the place of their namesakes, and return these."""
    aside = _namesakes(folder)
    for name in aside:
        del sys.modules[name]
    replaced = {_top(name) for name in aside}
    own = _IMPORTED.get(folder, {})
    sys.modules.update({name: module for name, module in own.items() if _top(name) in replaced})
    return aside


def _namesakes(folder: str) -> dict[str, ModuleType]:
    """The modules from other folders that stand in the way of this folder's own."""
    return {
        name: module
        for other, modules in _IMPORTED.items()
        if other != folder
        for name, module in modules.items()
        if sys.modules.get(name) is module and _holds(folder, _top(name))
    }


def _top(name: str) -> str:
    """The package that a module is in, or the module itself."""
    return name.partition(".")[0]


def _holds(folder: str, name: str) -> bool:
    """Whether a folder holds a module or package of that name."""
    path = os.path.join(folder, name)
    return os.path.isfile(f"{path}.py") or os.path.isdir(path)


def _lies_in(folder: str, name: str) -> bool:
    """Whether a module, or the package that it is in, lies in the folder itself."""
    known = getattr(sys.modules.get(_top(name)), "__dict__", {})
    places = [*(known.get("__path__") or ()), known.get("__file__")]
    return isinstance(places[0], str) and os.path.dirname(places[0]) == folder
