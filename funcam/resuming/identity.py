"""What a model computes, in a few letters: its modules, their settings and values, and the code that they are in."""

from __future__ import annotations

import hashlib
import uuid
from collections import deque
from collections.abc import Iterable, Mapping
from enum import Enum
from functools import partial
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import fx, nn

from funcam.network.held import fields_of, is_filled
from funcam.resuming.held import state_of, used_by
from funcam.resuming.sources import is_installed, source_letters

_PLAIN = (
    *(bool, int, float, complex, str, bytes, type(None), range, slice, Enum),
    *(np.generic, torch.dtype, torch.device, torch.layout),
)


def model_letters(model: nn.Module) -> str:
    """What tells a model from others that compute something else: equal letters, equal results.

    A model that can't be told is like no other, itself included: what is measured with it is measured anew.

    Example:
        >>> model_letters(nn.ReLU()) == model_letters(nn.ReLU()) != model_letters(nn.GELU())
        True
    """
    try:
        return letters_of([*model.named_parameters(), *model.named_buffers(), model])
    except Exception:  # classes of others may raise whenever they are asked for something
        return uuid.uuid4().hex


def letters_of(value: Any) -> str:
    """What tells any value from others: numbers, tensors, functions, modules, and what holds them.

    Example:
        >>> letters_of({"baseline": torch.zeros(9)}) != letters_of({"baseline": torch.ones(9)})
        True
    """
    said = _Said()
    said.tell(value)
    for letters in source_letters(said.definitions):
        said.tell(letters)
    return said.digest.hexdigest()[:32]


class _Said:
    """What was told of a model so far, and the classes and functions that it is made of."""

    def __init__(self) -> None:
        self.digest = hashlib.sha256()
        self.definitions: dict[Any, None] = {}
        self._met: dict[int, tuple[int, Any]] = {}  # with the thing itself, which keeps its id its own
        self._waiting: deque[Any] = deque()

    def tell(self, value: Any) -> None:
        """A value, and all that it holds, once; one after the other, as values may be nested thousands deep."""
        self._waiting.append(value)
        while self._waiting:
            self._tell_one(self._waiting.popleft())

    def _tell_one(self, value: Any) -> None:
        if isinstance(value, _PLAIN):
            self._add(f"{type(value).__name__} {value!r}")
        elif isinstance(value, tuple):  # Python may hold equal ones once or twice
            self._tell_all(f"tuple of {len(value)}", value)
        elif id(value) in self._met:
            self._add(f"again {self._met[id(value)][0]}")
        else:
            self._met[id(value)] = len(self._met), value
            self._tell_new(value)

    def _tell_new(self, value: Any) -> None:
        if isinstance(value, torch.Tensor):
            self._tell_tensor(value)
        elif isinstance(value, np.ndarray) and not value.dtype.hasobject:
            self._add(f"array {value.dtype} {value.shape}", value.tobytes())
        elif isinstance(value, type | FunctionType | BuiltinFunctionType | MethodType | partial):
            self._tell_code(value)
        elif isinstance(value, ModuleType):
            self._add(f"module {value.__name__}")  # what of it is used is told of who uses it
        elif isinstance(value, fx.Graph | fx.Node):
            self._add(str(value))
        else:
            self._tell_object(value)

    def _tell_object(self, value: Any) -> None:
        """Its classes, what it holds as a container, and its state."""
        self._tell_all("object", type(value).__mro__[:-1])
        if isinstance(value, Mapping):
            self._tell_mapping(value)
        elif isinstance(value, list):
            self._tell_all(f"list of {len(value)}", value)
        elif isinstance(value, set | frozenset):
            self._tell_all(f"set of {len(value)}", sorted(value, key=repr))
        if isinstance(value, nn.Module | Mapping | list | set | frozenset):
            self._tell_mapping(fields_of(value))
        else:
            self._tell_mapping(state_of(value))
        if isinstance(value, nn.Module):
            code = getattr(value, "code", None)  # of a graph, or of a script
            self._tell_all("code", [code if isinstance(code, str) else None])

    def _tell_mapping(self, value: Mapping[Any, Any]) -> None:
        """By their names; what goes by numbers (hooks: the how manieth of the process) in its order."""
        named = all(isinstance(key, str) for key in value)
        self._tell_all(f"mapping of {len(value)}", [part for pair in value.items() for part in pair[not named :]])

    def _tell_code(self, code: Any) -> None:
        if isinstance(code, partial):
            self._tell_all("partial", [code.func, code.args, code.keywords])
        elif isinstance(code, MethodType):
            self._tell_all("method", [code.__func__, code.__self__])
        else:
            self._add(f"{code.__module__} {code.__qualname__}")
            self.definitions[code] = None
            if isinstance(code, FunctionType):
                self._tell_all("defaults", [code.__defaults__, code.__kwdefaults__])
                cells = code.__closure__ or ()
                self._tell_all("closed over", [cell.cell_contents if is_filled(cell) else None for cell in cells])
            if not is_installed(code):
                self._tell_mapping(used_by(code))

    def _tell_all(self, what: str, values: Iterable[Any]) -> None:
        self._add(what)
        self._waiting.extend(values)

    def _tell_tensor(self, tensor: torch.Tensor) -> None:
        self._add(f"tensor {tensor.dtype} {tuple(tensor.shape)}")
        if tensor.layout is torch.strided and not tensor.is_quantized and tensor.device.type != "meta":
            plain = torch.view_as_real(tensor.detach()) if tensor.is_complex() else tensor.detach()
            whole = plain.resolve_neg().cpu().contiguous().flatten()
            self.digest.update(whole.view(torch.uint8).numpy().tobytes() if len(whole) else b"")
        elif tensor.device.type != "meta":
            self._add(repr(tensor.detach().to_dense() if not tensor.is_quantized else tensor.dequantize()))

    def _add(self, text: str, data: bytes = b"") -> None:
        self.digest.update(f"{text}\n".encode(errors="backslashreplace"))
        self.digest.update(data)
