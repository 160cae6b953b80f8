"""Modules that stand for others while something is imported that would import those and not use them."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import ModuleType


@contextmanager
def standing_in(modules: Iterable[ModuleType]) -> Iterator[None]:
    """Inside, modules stand for those of their names that aren't imported yet; while this process has one thread.

    Args:
        modules: by their names; one that was replaced meanwhile is left as it is then.
    """
    stand_ins = {module.__name__: module for module in modules if module.__name__ not in sys.modules}
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        for name, stand_in in stand_ins.items():
            if sys.modules.get(name) is stand_in:
                del sys.modules[name]
