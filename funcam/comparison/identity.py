"""What a model computes, in a few letters: its modules, their settings and values, and the code that they are in."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import partial
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

import numpy as np
import torch
from torch import nn

from funcam.comparison.sources import source_letters
from funcam.network.held import is_filled

_PLAIN = (
    *(bool, int, float, complex, str, bytes, type(None), range, slice, Enum),
    *(np.generic, torch.dtype, torch.device, torch.layout),
)


def model_letters(model: nn.Module) -> str:
    """What tells a model from others that compute something else: equal letters, equal results.

    Example:
        >>> model_letters(nn.ReLU()) == model_letters(nn.ReLU()) != model_letters(nn.GELU())
        True
    """
    return letters_of([*model.named_parameters(), *model.named_buffers(), model])


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

    def tell(self, value: Any) -> None:
        """A value, and what it holds, once."""
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
        elif isinstance(value, np.ndarray):
            self._add(f"array {value.dtype} {value.shape}", value.tobytes())
        elif isinstance(value, Mapping):
            self._tell_mapping(value)
        elif isinstance(value, list):
            self._tell_all(f"list of {len(value)}", value)
        elif isinstance(value, set | frozenset):
            self._tell_all(f"set of {len(value)}", sorted(value, key=repr))
        elif isinstance(value, type | FunctionType | BuiltinFunctionType | MethodType | partial):
            self._tell_code(value)
        else:
            self._tell_object(value)

    def _tell_object(self, value: Any) -> None:
        """A module with everything in it; of a dataclass its fields; of anything else its class and plain values."""
        for base in type(value).__mro__[:-1]:
            self._tell_code(base)
        if isinstance(value, nn.Module):
            self._tell_mapping(vars(value))
            code = getattr(value, "code", None)  # of a graph, or of a script
            self.tell(code if isinstance(code, str) else None)
        elif is_dataclass(value):
            self._tell_all("fields", [getattr(value, field.name) for field in fields(value)])
        else:
            held = getattr(value, "__dict__", {})
            self._tell_mapping({name: part for name, part in held.items() if isinstance(part, _PLAIN)})

    def _tell_mapping(self, value: Mapping[Any, Any]) -> None:
        """By their names; what goes by numbers (hooks: the how manieth of the process) in its order."""
        named = all(isinstance(key, str) for key in value)
        self._add(f"mapping of {len(value)}")
        for key, part in value.items():
            self.tell(key if named else None)
            self.tell(part)

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

    def _tell_all(self, what: str, values: Any) -> None:
        self._add(what)
        for value in values:
            self.tell(value)

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
