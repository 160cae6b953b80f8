"""Classes of their own for a twin's modules, so that a tracer sees what they do and nobody else sees the tracer."""

from __future__ import annotations

import builtins
import math
import types
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import nn
from torch.fx import _symbolic_trace

Called = Callable[[nn.Module, Callable[..., Any], Any, Any], Any]


@contextmanager
def confined(
    root: nn.Module, called: Called, attribute: Callable[[Any], Any], leaf_functions: set[int]
) -> Iterator[None]:
    """Inside this context each module of a twin has a class whose calls and parameters a tracer answers.

    Args:
        root: a twin.
        called: `(module, call, args, kwargs)` -> what a call of the module returns.
        attribute: a parameter, buffer or child of a module -> what its code sees.
        leaf_functions: the identities of functions that are recorded as one operation, as those of `torch.fx.wrap`.
    """
    shadows, observer = _Shadows(leaf_functions), _Observer(called, attribute)
    bases = [(module, type(module)) for module in root.modules()]
    classes: dict[type, type] = {}
    for module, base in bases:
        if base not in classes:
            classes[base] = _observed(base, observer, shadows.methods(base))
        module.__class__ = classes[base]
    try:
        yield
    finally:
        for module, base in bases:
            module.__class__ = base
        observer.forget()
        shadows.forget()


class _Observer:
    """What answers for the modules. A class lives until the garbage collector comes: it must not hold a model."""

    def __init__(self, called: Called, attribute: Callable[[Any], Any]) -> None:
        self.called, self.attribute = called, attribute

    def forget(self) -> None:
        """Hold no tracer any more, nor what it holds."""
        vars(self).clear()


def _observed(base: type, observer: _Observer, methods: Mapping[str, Any]) -> type[nn.Module]:
    def call(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        return observer.called(self, lambda *a, **k: base.__call__(self, *a, **k), args, kwargs)

    def lookup(self: nn.Module, name: str) -> Any:
        return observer.attribute(base.__getattr__(self, name))  # type: ignore[attr-defined]

    body = {"__call__": call, "__getattr__": lookup, "__module__": base.__module__, **methods}
    return type(base.__name__, (base,), body)


class _Shadows:
    """Copies of functions whose globals hold leaf functions: there they call recorders of these.

    `torch.fx` writes the recorders into the globals themselves, where every thread meets them.
    """

    def __init__(self, leaf_functions: set[int]) -> None:
        self.leaf_functions = leaf_functions
        self.wrapped: dict[int, set[str]] = {}
        for (_, name), namespace in list(_symbolic_trace._wrapped_fns_to_patch.items()):
            self.wrapped.setdefault(id(namespace), set()).add(name)
        self.globals: dict[int, dict[str, Any] | None] = {}
        self.math = types.SimpleNamespace(**{name: self._recorder(value) for name, value in vars(math).items()})

    def forget(self) -> None:
        """Empty the copied globals, which are in cycles with their functions: the caller's model may be one of them."""
        for namespace in filter(None, self.globals.values()):
            namespace.clear()

    def methods(self, base: type) -> dict[str, Any]:
        """The methods of a module's class, with the recorders in their globals where there are any to put there."""
        shadowed: dict[str, Any] = {}
        for one in base.__mro__:
            if one is nn.Module:
                break
            for name, value in list(vars(one).items()):
                function = getattr(value, "__func__", value) if isinstance(value, staticmethod) else value
                if name not in shadowed and isinstance(function, types.FunctionType):
                    shadow = self._shadow(function)
                    if shadow is not function:
                        shadowed[name] = staticmethod(shadow) if isinstance(value, staticmethod) else shadow
        return shadowed

    def _shadow(self, function: types.FunctionType) -> types.FunctionType:
        namespace = self._namespace(function.__globals__)
        return function if namespace is None else _rebuilt(function, namespace)

    def _namespace(self, namespace: dict[str, Any]) -> dict[str, Any] | None:
        """The globals with recorders in them; None where there is nothing to record."""
        if id(namespace) not in self.globals:
            names = self.wrapped.get(id(namespace), set())
            changed = {name: self._recorder(_looked_up(namespace, name), True) for name in names}
            for name, value in list(namespace.items()):
                if value is math:
                    changed[name] = self.math
                elif name not in changed and id(value) in self.leaf_functions:
                    changed[name] = self._recorder(value)
            self.globals[id(namespace)] = self._filled(namespace, changed) if changed else None
        return self.globals[id(namespace)]

    def _filled(self, namespace: dict[str, Any], changed: Mapping[str, Any]) -> dict[str, Any]:
        new = dict(namespace)
        for name, value in list(namespace.items()):  # (an import elsewhere may add to it)
            if isinstance(value, types.FunctionType) and value.__globals__ is namespace:
                new[name] = _rebuilt(value, new)
        new.update(changed)
        return new

    def _recorder(self, value: Any, wanted: bool = False) -> Any:
        if callable(value) and (wanted or id(value) in self.leaf_functions):
            return _symbolic_trace._create_wrapped_func(value)
        return value


def _looked_up(namespace: Mapping[str, Any], name: str) -> Any:
    return namespace[name] if name in namespace else getattr(builtins, name)


def _rebuilt(function: types.FunctionType, namespace: dict[str, Any]) -> types.FunctionType:
    copy = types.FunctionType(
        function.__code__, namespace, function.__name__, function.__defaults__, function.__closure__
    )
    copy.__kwdefaults__, copy.__dict__ = function.__kwdefaults__, dict(function.__dict__)
    copy.__annotations__ = function.__annotations__
    return copy
