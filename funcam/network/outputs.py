"""What a model or a layer returned: the tensors in it, at any depth, and the same with others in their place."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from funcam.errors import FuncamError

Path = tuple[int | str, ...]
"""Where a tensor is in a value: keys, attributes and positions, one after the other."""


def leaves(value: Any) -> Iterator[tuple[Path, Tensor]]:
    """The tensors in a tensor, tuple, list, dict or dataclass, each with its place.

    Example:
        >>> [path for path, _ in leaves({"logits": torch.zeros(1), "states": (torch.zeros(2), None)})]
        [('logits',), ('states', 0)]
    """
    if isinstance(value, Tensor):
        yield (), value
        return
    for key, part in _parts(value):
        for path, tensor in leaves(part):
            yield (key, *path), tensor


def leaf(value: Any, path: Path) -> Any:
    """The part of a value at a place.

    Raises:
        LookupError: there is none.

    Example:
        >>> leaf({"states": [1, 2]}, ("states", 1))
        2
    """
    for key in path:
        parts = dict(_parts(value))
        if key not in parts and isinstance(key, int) and -len(parts) <= key < 0:
            key += len(parts)
        if key not in parts:
            raise LookupError(key)
        value = parts[key]
    return value


def with_leaf(value: Any, path: Path, change: Callable[[Any], Any]) -> Any:
    """The value with what is at a place changed; the value itself stays as it is.

    Example:
        >>> with_leaf((1, [2, 3]), (1, 0), lambda x: 10 * x)
        (1, [20, 3])
    """
    if not path:
        return change(value)
    key, *rest = path
    if isinstance(key, int) and key < 0:
        key += len(dict(_parts(value)))
    return _replaced(value, {key: with_leaf(leaf(value, (key,)), tuple(rest), change)})


def usual(outputs: Any) -> Tensor:
    """What of a model's outputs is usually meant: the entry `logits`, else the first tensor of floating point.

    Raises:
        LookupError: there is none.

    Example:
        >>> usual({"boxes": torch.zeros(1, 4), "logits": torch.zeros(1, 2)}).shape
        torch.Size([1, 2])
    """
    tensors = {path: tensor for path, tensor in leaves(outputs) if tensor.is_floating_point()}
    if not tensors:
        raise LookupError("there is no tensor of floating point in what the model returned")
    return tensors.get(("logits",), next(iter(tensors.values())))


def differentiable(outputs: Any, name: str) -> list[Tensor]:
    """The tensors of floating point in what a model returned: what can have a derivative.

    Args:
        outputs: what it returned.
        name: the model's name, for messages.

    Raises:
        FuncamError: there is none: what there is instead, and what to do.

    Example:
        >>> differentiable((torch.zeros(1, 2), torch.tensor([1])), "Net")
        [tensor([[0., 0.]])]
    """
    tensors = [tensor for _, tensor in leaves(outputs)]
    found = [tensor for tensor in tensors if tensor.is_floating_point()]
    if found:
        return found
    if tensors:
        kinds = ", ".join(dict.fromkeys(str(tensor.dtype) for tensor in tensors))
        parts = "their real parts, or .abs()" if any(t.is_complex() for t in tensors) else "logits"
        raise FuncamError(
            f"{name} returns {kinds} only, which has no derivative that a map could be made of; explain a module that "
            f"returns numbers of floating point: {parts}"
        )
    kind = type(outputs).__name__
    raise FuncamError(
        f"{name} returns a {kind}, in which no tensor is found; explain a module whose forward returns a tensor of it, "
        f"or say what is in it: torch.utils._pytree.register_pytree_node({kind}, lambda out: ([out.logits], None), "
        f"lambda parts, _: {kind}(*parts))"
    )


def mapped(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """The value with each tensor in it changed.

    Example:
        >>> mapped({"a": torch.ones(1), "b": 2}, lambda x: x + 1)
        {'a': tensor([2.]), 'b': 2}
    """
    if isinstance(value, Tensor):
        return change(value)
    parts = {key: mapped(part, change) for key, part in _parts(value)}
    return _replaced(value, parts) if parts else value


def unpacked(value: Any) -> tuple[list[Tensor], Callable[[Sequence[Tensor]], Any]]:
    """The tensors in a value, and how to put others in their place.

    Example:
        >>> tensors, rest = unpacked((torch.ones(1), 2))
        >>> rest([torch.zeros(1)])
        (tensor([0.]), 2)
    """
    if isinstance(value, Tensor):
        return [value], lambda tensors: tensors[0]
    tensors = [tensor for _, tensor in leaves(value)]

    def put_back(others: Sequence[Tensor]) -> Any:
        remaining = iter(others)
        return mapped(value, lambda _: next(remaining))

    return tensors, put_back


def _parts(value: Any) -> list[tuple[int | str, Any]]:
    if isinstance(value, Mapping):
        return list(value.items())
    if isinstance(value, tuple | list):
        return list(enumerate(value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [(field.name, getattr(value, field.name)) for field in dataclasses.fields(value)]
    if isinstance(value, torch.Size) or type(value).__module__ == "builtins":
        return []
    flat, structure = pytree.tree_flatten(value)  # a class that was registered there
    return [] if structure.is_leaf() else list(enumerate(flat))


def _replaced(value: Any, parts: Mapping[Any, Any]) -> Any:
    """A copy of a container with other parts."""
    if isinstance(value, Mapping):
        new = copy.copy(value)
        for key, part in parts.items():
            new[key] = part  # type: ignore[index]
        return new
    if isinstance(value, tuple | list):
        listed = [parts.get(i, part) for i, part in enumerate(value)]
        return type(value)(*listed) if hasattr(value, "_fields") else type(value)(listed)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        same = copy.copy(value)
        for key, part in parts.items():
            object.__setattr__(same, key, part)
        return same
    flat, structure = pytree.tree_flatten(value)
    return pytree.tree_unflatten([parts.get(i, part) for i, part in enumerate(flat)], structure)
