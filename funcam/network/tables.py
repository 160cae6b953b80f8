"""A model's tables as they were, which Python compares by itself, and what its signature tells of all else.

Walking through a model of 200 modules takes a millisecond behind a forward pass, which has left nothing of them in the
caches; this takes less than half of it. Walked through are only the modules with settings that are written into, and
the code that isn't a library's.
"""

from __future__ import annotations

import operator
import weakref
from itertools import chain, repeat
from operator import itemgetter
from typing import Any

import torch
from torch import nn

from funcam.network.codes import is_library_code
from funcam.network.held import PLAIN, of_library, settings_of
from funcam.network.state import HOOKS, told_besides
from funcam.network.values import VALUES


class Tables:
    """What is in the tables of a model whose modules have no hooks, and what is told besides.

    Held are plain values alone: nothing that leads to the model, now or once it is written into, and keeps it alive.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
        >>> tables = Tables(model)
        >>> tables.hold(model)
        True
        >>> model[0].stride = (2, 2)
        >>> tables.hold(model)
        False
    """

    def __init__(self, model: nn.Module) -> None:
        """Note what is in them.

        Raises:
            ValueError: a signature tells more of the model than they do.
        """
        modules = list(model.modules())
        compared = [[name for name in settings_of(each) if _is_compared(vars(each)[name])] for each in modules]
        self._kinds = list(dict.fromkeys(map(type, modules)))
        self._own_kinds = [kind for kind in self._kinds if not of_library(kind)]
        self._modules = list(map(weakref.ref, modules))
        self._places = {id(module): place for place, module in enumerate(modules)}
        self._settings = [itemgetter(*_TWO, *names) for names in compared]
        self._own = [place for place, module in enumerate(modules) if not of_library(type(module))]
        self._walked = [place for place, names in enumerate(compared) if len(names) < len(settings_of(modules[place]))]
        noted = None if any(issubclass(kind, torch.jit.ScriptModule) for kind in self._kinds) else self._now()
        if noted is None:
            raise ValueError("hooks, or a module that keeps all it has elsewhere")
        self._noted = [[*map(_copy, noted[0])], *noted[1:]]
        self._besides = self._told_besides()

    def hold(self, model: nn.Module) -> bool:
        """Whether they are still what they were.

        Args:
            model: the one that they were made of.
        """
        if self._modules[0]() is not model:
            return False
        try:
            same = self._now() == self._noted
        except Exception:  # a setting is gone, or what it is now can't be compared: an array, an object of the caller's
            return False
        return same and self._besides == self._told_besides()

    def _now(self) -> list[Any] | None:
        """The settings, and which modules, parameters and buffers there are; None where there are hooks.

        With the types of a caller's own modules' settings, as Python takes 1, 1.0 and True for equal.
        """
        modules = list(map(operator.call, self._modules))
        if any(map(operator.is_, modules, repeat(None))):
            return None
        tables = list(map(vars, modules))
        if any(chain.from_iterable(map(_HOOKS, tables))):
            return None
        settings = list(map(operator.call, self._settings, tables))
        held = list(chain.from_iterable(map(_HELD, tables)))
        filled = list(filter(None, held))
        which = [*chain.from_iterable(filled), *map(id, chain.from_iterable(map(dict.values, filled)))]
        codes = [getattr(getattr(kind, "forward", None), "__code__", None) for kind in self._kinds]
        kinds = [*map(type, modules), *map(type, chain.from_iterable(settings[place] for place in self._own))]
        return [settings, codes, kinds, which, [*map(len, held), *map(len, tables)]]

    def _told_besides(self) -> list[Any]:
        """What a signature tells of the modules that are walked through, and of a caller's own code."""
        if not (self._own_kinds or self._walked):
            return []
        walked = [module for place in self._walked if (module := self._modules[place]()) is not None]
        return told_besides(self._places, self._own_kinds, walked)


def _copy(settings: tuple[Any, ...]) -> tuple[Any, ...]:
    """The settings, with copies of lists."""
    return tuple(list(value) if type(value) is list else value for value in settings)


def _is_compared(value: Any) -> bool:
    """Whether a copy of a setting can be compared with what becomes of it."""
    kind = type(value)
    if kind in PLAIN or kind in VALUES:
        return True
    if kind is type:
        return is_library_code(value)  # a caller's class has settings of its own
    return kind in (tuple, list, torch.Size) and PLAIN.issuperset(map(type, value))


_HOOKS, _HELD = itemgetter(*HOOKS), itemgetter("_modules", "_parameters", "_buffers")
_TWO = ("_is_full_backward_hook",) * 2
"""A field that is nowhere else, and changes where hooks do: of less than two an `itemgetter` makes no tuple."""


def tables_of(model: nn.Module) -> Tables | None:
    """The tables of a model; None where a signature tells more of it than they do.

    Example:
        >>> hooked = nn.ReLU()
        >>> _ = hooked.register_forward_hook(lambda module, given, output: None)
        >>> tables_of(nn.ReLU()) is None, tables_of(hooked) is None
        (False, True)
    """
    try:
        return Tables(model)
    except (
        ValueError,
        KeyError,
        RuntimeError,
    ):  # (of another torch's file one may be missing, or grow just now)
        return None
