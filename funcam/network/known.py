"""What is known of a model, found out once and kept as long as it lives and stays as it is: graphs, shapes, cuts."""

from __future__ import annotations

import threading
import weakref
from typing import Any

import torch
from torch import fx, nn

from funcam.errors import FuncamError
from funcam.network.choice import default_layer
from funcam.network.cuts import Cut, make_cut
from funcam.network.failures import PAIR
from funcam.network.graph import Graph, trace
from funcam.network.layers import Shapes, find_node, probe_shapes, shapes_of
from funcam.network.misfits import refuse_misfits
from funcam.network.twin import signature
from funcam.network.wrappers import refuse, unwrapped

Image = tuple[int, ...]


class TracedModel:
    """What is known of one graph of a model: shapes by image shape, cuts by layer."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._shapes: dict[tuple[int, ...] | None, Shapes] = {}
        self._defaults: dict[tuple[int, ...] | None, str] = {}
        self._cuts: dict[str, Cut] = {}

    def shapes(self, image: tuple[int, ...] | None) -> Shapes:
        if image is not None:
            refuse_misfits(self.graph, image)
        key = image and (1, *image[1:])
        with _LOCK:
            if key not in self._shapes:
                shapes = probe_shapes(self.graph) if image is None else shapes_of(self.graph, image)
                if not self._shapes:  # cuts made before a size was known lack their patch
                    self._cuts.clear()
                self._shapes[key] = shapes
            return self._shapes[key]

    def default(self, image: tuple[int, ...] | None) -> str:
        key = image and image[1:]
        if key not in self._defaults:
            self._defaults[key] = default_layer(self.graph, self.shapes(image))
        return self._defaults[key]

    def cut(self, layer: str, image: tuple[int, ...] | None) -> Cut:
        if image is not None:
            refuse_misfits(self.graph, image)
        if not self._shapes:
            self._learn_shapes(image)
        cut = self._cuts.get(layer)
        if cut is None:
            with _LOCK:
                node = find_node(self.graph, layer)
                cut = self._cuts.get(layer) or make_cut(self.graph, layer, self._patch(node))
                self._cuts[layer] = cut
        return cut

    def _learn_shapes(self, image: tuple[int, ...] | None) -> None:
        try:
            self.shapes(image)
        except FuncamError:  # tokens then wait for images that the model takes, other layers need nothing
            if image is not None:
                raise

    def _patch(self, node: fx.Node) -> tuple[int, ...]:
        """The patch size behind a layer of tokens, read off any image size that the model is known to take."""
        shapes = next(iter(self._shapes.values()), None)
        layout = shapes.layout(node) if shapes else None
        if shapes is None or layout is None:
            return ()
        return tuple(whole // part for whole, part in zip(shapes.image[2:], layout.grid, strict=False))


class _Known:
    """What is known of one state of a model: its graph by `torch.fx`, or else those by `torch.export`.

    Those are for one size, type and device of images. What could not be traced is not tried again: why is kept, as
    words, because an exception would keep the model alive.
    """

    def __init__(self, state: list[Any]) -> None:
        self.state = state
        self.traced: TracedModel | None = None
        self._failure = ""
        self._exports: dict[tuple[Any, ...], TracedModel] = {}
        self._last: TracedModel | None = None

    def graph(self, model: nn.Module, images: torch.Tensor | Image | None, via: str | None) -> TracedModel:
        """The model's graph by the way that was asked for, or the first that works."""
        if via != "export":
            if self.traced is None and not self._failure:
                self._trace(model)
            if self.traced is not None:
                return self.traced
            if via == "fx":
                raise FuncamError(f"{self._failure}; {PAIR}")
        if images is None:
            if self._last is None:
                raise FuncamError(
                    f"{self._failure or 'torch.export needs images'}; give example images, split(model, layer, "
                    f"example=images), so that torch.export can be tried; or {PAIR}"
                )
            return self._last
        self._last = self._exported(model, images)
        return self._last

    def _trace(self, model: nn.Module) -> None:
        try:
            self.traced = TracedModel(trace(model))
        except FuncamError as error:
            self._failure = str(error)

    def _exported(self, model: nn.Module, images: torch.Tensor | Image) -> TracedModel:
        images = images if isinstance(images, torch.Tensor) else _blank(model, images)
        key = (*images.shape[1:], images.dtype, images.device)
        if key not in self._exports:
            from funcam.network.exported import export  # torch.export takes a while to import, and few models need it

            try:
                self._exports[key] = TracedModel(export(model, images))
            except FuncamError as error:
                reasons = "; ".join(filter(None, (self._failure, str(error))))
                raise FuncamError(f"{reasons}; {PAIR}") from error
        return self._exports[key]


def _blank(model: nn.Module, image: Image) -> torch.Tensor:
    """Images of a shape, of the type and on the device of the model's weights, without their memory."""
    like = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(()))
    return torch.empty((), dtype=like.dtype, device=like.device).expand(image)


_LOCK = threading.RLock()
_CACHE: weakref.WeakKeyDictionary[nn.Module, _Known] = weakref.WeakKeyDictionary()


def traced_model(model: nn.Module, images: torch.Tensor | Image | None = None, via: str | None = None) -> TracedModel:
    """What is known of the model's graph, by the way that was asked for or the first that works."""
    model = unwrapped(model)
    state = signature(model)
    with _LOCK:
        known = _CACHE.get(model)
        if known is None or known.state != state:
            refuse(model)
            known = _CACHE[model] = _Known(state)
        return known.graph(model, images, via)


def graph_of(model: nn.Module, images: torch.Tensor | Image | None = None) -> Graph:
    """The model's graph, made once and cached with its cuts.

    Args:
        model: a module; it is only read.
        images: images that the graph is for, or their shape. A model that only `torch.export` can follow has a graph
            for each size; without images it is the one that was asked for last.
    """
    return traced_model(model, images).graph
