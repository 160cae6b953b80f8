"""A model's tables as they were, which Python compares by itself, and what its signature tells of all else.

Walking through a model of 200 modules takes a millisecond behind a forward pass, which has left nothing of them in the
caches; this takes less than half of it. Walked through are only the modules with settings that are written into, and
the code that isn't a library's.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from itertools import chain
from operator import itemgetter
from typing import Any

import torch
from torch import nn

from funcam.network.codes import is_library_code
from funcam.network.held import PLAIN, of_library
from funcam.network.state import HOOKS, told_besides
from funcam.network.values import VALUES


class Tables:
    """The tables of a model whose modules have no hooks, and what is told besides.

    Held are the modules that lead nowhere but to their own parts, so that nothing here keeps the model alive.

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
        """Note how they are.

        Raises:
            ValueError: a signature tells more of the model than they do.
        """
        modules = list(model.modules())
        kinds = dict.fromkeys(map(type, modules))
        if any(issubclass(kind, torch.jit.ScriptModule) for kind in kinds):
            raise ValueError("it keeps all it has elsewhere")
        closed = _closed(modules)
        self._kind, self._kinds = type(model), list(kinds)
        self._own_kinds = [kind for kind in kinds if not of_library(kind)]
        self._places = {id(module): place for place, module in enumerate(modules)}
        compared = [module for module in modules if id(module) in closed]
        self._held = [module for module in compared if module is not model]  # else others might come to their places
        self._walked = [weakref.ref(module) for module in modules if id(module) not in closed]
        self._tables = list(map(vars, compared))
        self._hooks = [fields[name] for fields in map(vars, modules) for name in HOOKS if name in fields]
        if any(self._hooks):
            raise ValueError("hooks")  # (while there are none, they stay the same objects, in which one is seen)
        self._copies = list(map(_copy, self._tables))
        self._own = [vars(module) for module in compared if type(module) in self._own_kinds]
        inside = list(chain.from_iterable(map(_HELD, self._tables)))
        self._filled, self._empty = list(filter(None, inside)), [each for each in inside if not each]
        self._noted, self._besides = self._within(), self._told_besides()

    def hold(self, model: nn.Module) -> bool:
        """Whether they are still what they were, and the model's.

        Args:
            model: the one that they were made of.
        """
        if type(model) is not self._kind or id(model) not in self._places or any(self._hooks) or any(self._empty):
            return False
        same = self._tables == self._copies and self._noted == self._within()
        return same and self._besides == self._told_besides()

    def _within(self) -> list[Any]:
        """Which modules, of which classes, parameters and buffers are in them, and what the classes do.

        With the types of the settings of a caller's own modules, as Python takes 1, 1.0 and True for equal.
        """
        inside = list(chain.from_iterable(map(dict.values, self._filled)))
        codes = [getattr(getattr(kind, "forward", None), "__code__", None) for kind in self._kinds]
        types = map(type, chain.from_iterable(map(dict.values, self._own)))
        return [codes, *chain.from_iterable(self._filled), *map(type, inside), *map(id, inside), *types]

    def _told_besides(self) -> list[Any]:
        """What a signature tells of the other modules, and of a caller's own code."""
        walked = [module for reference in self._walked if (module := reference()) is not None]
        if not (self._own_kinds or self._walked):
            return []
        return [len(walked), *told_besides(self._places, self._own_kinds, walked)]


def _closed(modules: Sequence[nn.Module]) -> frozenset[int]:
    """The identities of the modules whose tables Python can compare, and those of all that are in them, too."""
    known: dict[int, bool] = {}

    def is_closed(module: nn.Module) -> bool:
        place = id(module)
        if place not in known:
            inside = [is_closed(each) for each in module._modules.values() if each is not None]
            known[place] = all(inside) and all(map(_is_compared, vars(module).items()))
        return known[place]

    return frozenset(id(module) for module in modules if is_closed(module))


def _copy(fields: dict[str, Any]) -> dict[str, Any]:
    """A table, with copies of its lists."""
    return {name: list(value) if type(value) is list else value for name, value in fields.items()}


def _is_compared(field: tuple[str, Any]) -> bool:
    """Whether a copy of a field can be compared with what becomes of it (`nn.Module`'s own are looked into apart)."""
    name, value = field
    kind = type(value)
    if kind in PLAIN or kind in VALUES or name in _OWN:
        return True
    if kind is type:
        return is_library_code(value)  # a caller's class has settings of its own
    return kind in (tuple, list, torch.Size) and PLAIN.issuperset(map(type, value))


_OWN = frozenset(nn.Module().__dict__)
_HELD = itemgetter("_modules", "_parameters", "_buffers")


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
    except ValueError:
        return None
