"""Whether a caller's model is what it was: values, classes, containers, hooks, flags, and whether it can be pickled."""

from __future__ import annotations

import io
import pickle
import zlib
from typing import Any

import torch
from torch import Tensor, nn

Snapshot = dict[str, Any]


def snapshot(model: nn.Module) -> Snapshot:
    """What is compared; tensors by their bytes' checksum."""
    modules = dict(model.named_modules(remove_duplicate=False))
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return {
        "state": {name: (tuple(tensor.shape), str(tensor.dtype), checksum(tensor)) for name, tensor in tensors.items()},
        "classes": {name: f"{type(module).__module__}.{type(module).__qualname__}" for name, module in modules.items()},
        "attributes": {name: sorted(vars(module)) for name, module in modules.items()},
        "containers": {
            f"{name}.{key}": contents(value)
            for name, module in modules.items()
            for key, value in vars(module).items()
            if isinstance(value, dict | list | set)
        },
        "flags": {name: (tensor.requires_grad, tensor.grad is None) for name, tensor in tensors.items()},
        "training": {name: module.training for name, module in modules.items()},
        "pickling": can_be_pickled(model),
    }


def differences(before: Snapshot, after: Snapshot) -> list[str]:
    """What was changed, a line each: which kind, and the first name."""
    lines = []
    for kind, old in before.items():
        new = after[kind]
        if old != new and isinstance(old, dict):
            names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
            lines.append(f"{kind} of {names[0] or 'the model'!r} ({len(names)}): {_shown(old, new, names[0])}")
        elif old != new:
            lines.append(f"{kind}: {old} before, {new} after")
    return lines


def _shown(old: dict[str, Any], new: dict[str, Any], name: str) -> str:
    return f"{str(old.get(name))[:80]} before, {str(new.get(name))[:80]} after"


def checksum(tensor: Tensor) -> int:
    """Of a tensor's bytes."""
    values = tensor.detach().cpu().contiguous()
    return zlib.crc32(memoryview(values.view(-1).view(torch.uint8).numpy())) if values.numel() else 0


def contents(value: Any) -> tuple[int, list[str]]:
    """The length of a container, and its keys or the types of its items."""
    if isinstance(value, dict):
        return len(value), [f"{type(key).__name__} {key!s:.60}" for key in value]
    return len(value), sorted(type(item).__name__ for item in value)


class _Light(pickle.Pickler):
    """Leaves the tensors' values out: what is asked is whether everything else can be pickled."""

    def persistent_id(self, value: Any) -> str | None:
        plain = type(value) in (Tensor, nn.Parameter) and not torch._C._functorch.is_functorch_wrapped_tensor(value)
        return f"tensor of {value.shape}" if plain else None


def can_be_pickled(model: nn.Module) -> bool:
    try:
        _Light(io.BytesIO()).dump(model)
    except Exception:
        return False
    return True
