"""The layer beside a cut that sees more: the last feature map of the next larger grid."""

from __future__ import annotations

import weakref
from collections.abc import Callable

import torch
from torch import fx, nn

from funcam.errors import FuncamError
from funcam.network.believed import structure_of
from funcam.network.choice import carriers
from funcam.network.graph import Graph
from funcam.network.layers import Shapes, ancestors, find_node, name_of, of_images, shapes_of
from funcam.network.recent import Recent
from funcam.network.samples import sample_of
from funcam.network.settled import Settled, TapCut
from funcam.network.survey import outermost, survey
from funcam.network.tap import Inputs, Manner, Place
from funcam.network.traits import SPLITS, has_negative_constant, is_not_negative, keeps_sign, operation
from funcam.network.ways import settle


def finer_layer(model: nn.Module, layer: str, images: torch.Tensor) -> str | None:
    """The last layer with the next larger grid on the way to a layer, the one behind an activation if there is any.

    Args:
        model: a module.
        layer: the name of a layer.
        images: `[B, channels, *size]`; only their shape is looked at.

    Returns:
        Its name, or None where no layer before has a larger grid (Vision Transformers).

    Example:
        >>> import torchvision
        >>> finer_layer(torchvision.models.resnet18(), "layer4", torch.rand(1, 3, 224, 224))
        'layer3'
    """
    graph = structure_of(model, images).graph
    known = _CACHE.setdefault(graph, Recent())
    key = (layer, *images.shape[1:])
    return known.get(key, lambda: _find(graph, layer, (1, *images.shape[1:])))


def finer_place(model: nn.Module, place: Place, inputs: Inputs, manner: Manner) -> str | None:
    """As `finer_layer`, for a model whose own code is run: among what its modules return."""
    image = tuple(inputs.images.shape)
    seen = survey(model, inputs, manner)
    at = max((i for i, one in enumerate(seen) if one.place == place), default=0)
    larger = [one for one in seen[:at] if one.cells(image) > seen[at].cells(image)]
    if not larger:
        return None
    next_larger = min(one.cells(image) for one in larger)
    candidates = [one for one in larger if one.cells(image) == next_larger]
    active = [one for one in candidates if one.active]
    return str(outermost((active or candidates)[-1], candidates).place)


def finer_beside(cut: Settled, source: Callable[[], nn.Module] | None, given: Inputs) -> Settled | None:
    """The cut at the layer with a larger grid beside one; None where there is none, or what looks like one is none."""
    if source is None:  # a pair of functions: nobody knows what is in it
        return None
    if isinstance(cut.cut, TapCut):
        name = finer_place(source(), cut.cut.place, sample_of(given), cut.cut.manner)
    else:
        name = finer_layer(source(), cut.layer, given.images)
    try:
        return settle(source(), name, given, None) if name else None
    except FuncamError:
        return None


_CACHE: weakref.WeakKeyDictionary[Graph, Recent[str | None]] = weakref.WeakKeyDictionary()


def _find(graph: Graph, layer: str, image: tuple[int, ...]) -> str | None:
    node, shapes = find_node(graph, layer), shapes_of(graph, image)
    before = ancestors(node) & of_images(graph)
    larger = [n for n in graph.module.graph.nodes if n in before and shapes.cells(n) > shapes.cells(node)]
    larger = [n for n in larger if n.op != "placeholder"]
    if not larger:
        return None
    next_larger = min(map(shapes.cells, larger))
    candidates = [n for n in larger if shapes.cells(n) == next_larger]
    carrying = carriers(graph)
    candidates = [n for n in candidates if n in carrying] or candidates
    known: dict[fx.Node, bool] = {}
    active = [n for n in candidates if _not_negative(graph, shapes, n, known)]
    return name_of(graph, (active or candidates)[-1])


def _not_negative(graph: Graph, shapes: Shapes, node: fx.Node, known: dict[fx.Node, bool]) -> bool:
    """Whether none of a node's values can be negative."""
    if node not in known:
        given = [n for n in node.all_input_nodes if n in shapes.of or operation(graph, n) in SPLITS]
        keeping = bool(given) and keeps_sign(operation(graph, node)) and not has_negative_constant(graph, node)
        known[node] = is_not_negative(graph, node) or (
            keeping and all(_not_negative(graph, shapes, n, known) for n in given)
        )
    return known[node]
