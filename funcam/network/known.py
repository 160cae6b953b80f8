"""What is known of a model, found out once and kept as long as it lives and stays as it is: graphs, shapes, cuts."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import nn

from funcam.errors import FuncamError
from funcam.network.choice import default_layer
from funcam.network.cuts import Cut, make_cut
from funcam.network.failures import PAIR
from funcam.network.fixed import Fixed
from funcam.network.graph import Graph, trace
from funcam.network.layers import Shapes, probe_shapes, shapes_of
from funcam.network.misfits import refuse_misfits
from funcam.network.recent import Recent
from funcam.network.refusals import refuse, refuse_kept_weights
from funcam.network.silent import grown, silent
from funcam.network.state import states
from funcam.network.tables import Tables, tables_of

Image = tuple[int, ...]
Fact = TypeVar("Fact")

_MOST_EXPORTS = 8
_MOST_SHAPES = 16
_MOST_OUTPUTS = 2


class TracedModel:
    """What is known of one graph of a model: shapes by image shape, cuts by layer."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._shapes: dict[tuple[int, ...] | None, Shapes] = {}
        self._defaults: weakref.WeakKeyDictionary[Shapes, str] = weakref.WeakKeyDictionary()
        self.lock = threading.RLock()
        self._cuts: dict[str, Cut] = {}

    def shapes(self, image: tuple[int, ...] | None) -> Shapes:
        """The shape of every node for images of a shape; for None, of a usual one."""
        if image is not None:
            refuse_misfits(self.graph, image)
        key = image and (1, *image[1:])
        if found := self._shapes.get(key):  # who has torch's tracers to itself must not wait for who waits for them
            return found
        with self.lock:
            if key not in self._shapes:
                shapes = probe_shapes(self.graph) if image is None else shapes_of(self.graph, image)
                self._shapes[key] = shapes
                while len(self._shapes) > _MOST_SHAPES:
                    del self._shapes[next(iter(self._shapes))]
            return self._shapes[key]

    def default(self, image: tuple[int, ...] | None) -> str:
        """The layer that is explained where none is named."""
        shapes = self.shapes(image)
        if shapes not in self._defaults:
            self._defaults[shapes] = default_layer(self.graph, shapes)
        return self._defaults[shapes]

    def cut(self, layer: str, image: tuple[int, ...] | None) -> Cut:
        """The graph cut at a layer."""
        if image is not None:
            refuse_misfits(self.graph, image)
        if found := self._cuts.get(layer):
            return found
        with self.lock:
            if layer not in self._cuts:
                self._cuts[layer] = make_cut(self.graph, layer)
            return self._cuts[layer]


class Known:
    """What is known of one state of a model: its graph by `torch.fx`, those by `torch.export`, and what checks found.

    An exported graph is for one size, type and device of images. What could not be traced is not tried again: why is
    kept, as words, because an exception would keep the model alive.

    Attributes:
        state: the model's signature.
        hooks: what the hooks on it held when they were judged.
        tables: its tables, where they tell as much as the signature does.
        silent: its weights behind which nothing could be seen when this was found out.
        fixed: its tensors whose values are numbers in the graph by `torch.fx`.
        lock: held while something is found out of the model.
        facts: what was found out for some kind of input; the latest are kept.
        outputs: what the model returned for a sample of some kind; they may be large, and few are kept.
    """

    state: list[Any]
    hooks: list[Any]
    tables: Tables | None
    silent: list[torch.Tensor]
    fixed: Fixed | None
    lock: threading.RLock
    facts: Recent[Any]
    outputs: Recent[Any]

    def __init__(self, state: list[Any], hooks: list[Any], silent: list[torch.Tensor]) -> None:
        self.state = state
        self.hooks = hooks
        self.tables = None
        self.silent = silent
        self.fixed = None
        self.lock = threading.RLock()
        self.facts = Recent()
        self.outputs = Recent(_MOST_OUTPUTS)
        self._lasting: Recent[Any] = Recent()
        self._traced: TracedModel | None = None
        self._failure = ""
        self._exports: dict[tuple[Any, ...], TracedModel] = {}
        self._last: TracedModel | None = None

    def fact(self, key: Any, find: Callable[[], Fact], lasting: bool = False) -> Fact:
        """Something about the model, found out once.

        Args:
            key: the question.
            find: answers it.
            lasting: whether what the hooks on the model do has no part in it.
        """
        with self.lock:
            return (self._lasting if lasting else self.facts).get(key, find)  # type: ignore[no-any-return]

    def traced(self, model: nn.Module) -> TracedModel | None:
        """The model's graph by `torch.fx`, whether it is believed or not; None where it has none."""
        with self.lock:
            if self._traced is None and not self._failure:
                try:
                    graph = trace(model)
                    self._traced, self.fixed = TracedModel(graph), Fixed(model, graph.fixed)
                except FuncamError as error:
                    self._failure = str(error)
            return self._traced

    def outdated(self) -> bool:
        """Whether the model's weights are such that what was found out may be wrong."""
        return grown(self.silent) or (self.fixed is not None and self.fixed.changed())

    def renew_locks(self) -> None:
        """Locks that nobody holds, in the child of a fork."""
        self.lock = threading.RLock()
        for traced in filter(None, (self._traced, *self._exports.values())):
            traced.lock = threading.RLock()

    def forget(self, hooks: list[Any]) -> None:
        """What is no longer known where hooks hold something else: all but the graphs, which have no hooks."""
        with self.lock:
            self.hooks = hooks
            self.facts = Recent()
            self.outputs = Recent(_MOST_OUTPUTS)

    @property
    def failure(self) -> str:
        """Why `torch.fx` can't follow the model."""
        return self._failure

    def exported(self, model: nn.Module, images: torch.Tensor | Image | None, why: str) -> TracedModel:
        """The model's graph by `torch.export` for images; without images the one that was asked for last.

        Raises:
            FuncamError: it can't be exported, or no images were given yet; `why` `torch.fx` won't do is told before.
        """
        with self.lock:
            if images is None:
                if self._last is None:
                    raise FuncamError(
                        f"{why}; give example images, split(model, layer, example=images), so that torch.export can be "
                        f"tried; or {PAIR}"
                    )
                return self._last
            images = images if isinstance(images, torch.Tensor) else blank(model, images)
            key = (*images.shape[1:], images.dtype, images.device)
            if key not in self._exports:
                self._exports[key] = _exported(model, images, why)
                while len(self._exports) > _MOST_EXPORTS:
                    del self._exports[next(iter(self._exports))]
            self._last = self._exports[key]
            return self._last


def _exported(model: nn.Module, images: torch.Tensor, why: str) -> TracedModel:
    from funcam.network.exported import export  # torch.export takes a while to import, and few models need it

    try:
        return TracedModel(export(model, images))
    except FuncamError as error:
        reasons = "; ".join(filter(None, (why, str(error))))
        raise FuncamError(f"{reasons}; {PAIR}") from error


def blank(model: nn.Module, image: Image) -> torch.Tensor:
    """Images of a shape, of the type and on the device of the model's weights, without their memory."""
    like = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(()))
    return torch.empty((), dtype=like.dtype, device=like.device).expand(image)


class _Memo:
    """What is known of every living model."""

    def __init__(self) -> None:
        self.models: weakref.WeakKeyDictionary[nn.Module, Known] = weakref.WeakKeyDictionary()
        self.lock = threading.Lock()

    def renew_locks(self) -> None:
        """In a child of a fork: a lock that another thread held there is held for ever."""
        self.lock = threading.Lock()
        for known in list(self.models.values()):
            known.renew_locks()


_MEMO = _Memo()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_MEMO.renew_locks)


def known_of(model: nn.Module) -> Known:
    """What is known of a model as it is now; nothing yet where it was changed.

    Raises:
        FuncamError: it is a model that can't be explained whichever way it is followed, or not where it is called.
    """
    refuse_kept_weights(model)
    with _MEMO.lock:
        known = _MEMO.models.get(model)
        if known is not None and known.tables is not None and known.tables.hold(model) and not known.outdated():
            return known
    state, hooks = states(model)
    with _MEMO.lock:
        known = _MEMO.models.get(model)
        if known is None or known.state != state or known.outdated():
            refuse(model)
            known = _MEMO.models[model] = Known(state, hooks, silent(model))
            known.tables = tables_of(model)
        elif known.hooks != hooks:
            known.forget(hooks)
        elif known.tables is not None:  # another mode, say, of which the signature knows nothing
            known.tables = tables_of(model)
        return known
