"""`explain(..., fast=True)`: prepared functions, made where there is none yet and kept as long as their model lives."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Hashable
from getpass import getuser
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn

from funcam.attribution.explanation import Explanation, explain
from funcam.attribution.prepared import Prepared
from funcam.attribution.preparing import are_of_each, prepare
from funcam.errors import FuncamError, shown
from funcam.network.recent import Recent
from funcam.network.wrappers import unwrapped
from funcam.targets.concrete import as_tensor

_OF_PREPARE = {"example", "dtype", "dynamic", "backend"}
_MOST = 8
"""So many prepared functions of a model are kept, each with a copy of its weights."""


def explain_fast(model: Any, images: torch.Tensor, targets: Any, **options: Any) -> Explanation:
    """As `explain`, by a prepared function.

    Args:
        model: a module.
        images: as in `explain`.
        targets: classes, as in `explain`.
        **options: what else `explain` takes.

    Raises:
        FuncamError: the model can't be explained so, or the targets are no classes.
    """
    for name in _OF_PREPARE & options.keys():
        raise FuncamError(f"explain has no option {name!r}; give it to funcam.prepare, and call what you get")
    if isinstance(images, torch.Tensor) and not len(images):  # there is nothing to prepare it with
        return explain(model, images, targets, **options)
    run = prepared_for(model, images, targets, **options)
    return run(images, targets if run.takes_classes else None)


def prepared_for(model: Any, images: torch.Tensor, targets: Any = None, **options: Any) -> Prepared:
    """The prepared function of a model for such images, made anew when the model was changed.

    Under autocast the network runs in autocast's type. For another number of images of a size it is made once more, for
    any number.

    Args:
        model: a module.
        images: as in `explain`.
        targets: classes, as in `explain`.
        **options: what else `prepare` takes.

    Raises:
        FuncamError: the model can't be prepared, or the targets are no classes.

    Example:
        >>> import torchvision
        >>> model, images = torchvision.models.resnet18().eval(), torch.rand(2, 3, 64, 64)
        >>> run = prepared_for(model, images, backend=None)
        >>> prepared_for(model, images, backend=None) is run, run.folded
        (True, 20)
    """
    own = _kind_of(targets)
    if not isinstance(model, nn.Module) or not isinstance(images, torch.Tensor) or own is _UNFIT:
        return prepare(model, example=images, targets=targets, **options)  # refuses them in words
    if callable(targets) or not (targets is None or isinstance(targets, int | str) or are_of_each(targets)):
        raise FuncamError(
            f"fast=True explains classes and was given {shown(targets)}; prepare it once and call what you get, "
            "fast = funcam.prepare(model, example=images, targets=...)"
        )
    kind = images.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None
    key = (own, tuple(images.shape[1:]), images.dtype, images.device, dtype, *map(_named, sorted(options.items())))
    with _LOCK:
        kept = _KEPT.setdefault(unwrapped(model), Recent(_MOST))
        found = kept.get(key, lambda: None)
        if found is None or found.stale() or not found.takes(images):
            dynamic = found is not None and not found.stale()
            found = prepare(model, example=images, targets=targets, dtype=dtype, dynamic=dynamic, **options)
            kept.put(key, found)
    return found


def said_of(run: Prepared) -> str:
    """What was prepared, in a sentence.

    Args:
        run: the prepared function.
    """
    how = f"compiled (torch keeps what it compiled in {_cache()})" if run.compiled else run.why or "not compiled"
    norms = f"{run.folded} BatchNorm{'s' * (run.folded != 1)} folded"
    return f"prepared in {run.seconds:.1f} s: {norms}, {how}"


def _kind_of(targets: Any) -> Any:
    """Classes of each image's own are given with it: of these it is the shape that is prepared for."""
    if not are_of_each(targets):
        return targets
    try:
        return "classes", tuple(as_tensor(targets).shape[1:])
    except (TypeError, ValueError, RuntimeError):
        return _UNFIT


def _named(option: tuple[str, Any]) -> tuple[str, Any]:
    name, value = option
    return name, value if isinstance(value, Hashable) else repr(value)


def _cache() -> str:
    return os.environ.get("TORCHINDUCTOR_CACHE_DIR") or os.path.join(
        tempfile.gettempdir(), f"torchinductor_{getuser()}"
    )


_UNFIT = object()
_KEPT: WeakKeyDictionary[nn.Module, Recent[Prepared | None]] = WeakKeyDictionary()
_LOCK = threading.RLock()
