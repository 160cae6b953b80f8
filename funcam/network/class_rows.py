"""A head that keeps channels apart behind its last layer: the derivative of a logit needs one row of that layer's."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.conv import _ConvNd

from funcam.network.checks import difference
from funcam.network.cuts import crossing_of, part
from funcam.network.graph import Graph
from funcam.network.known import TracedModel, known_of
from funcam.network.layers import dependants, output_of
from funcam.network.random_numbers import own_random_numbers
from funcam.network.samples import scattered
from funcam.network.settled import ClassRows, Settled
from funcam.network.tracing import is_batched, is_compiled, is_compiler_loaded, is_transformed
from funcam.network.traits import OTHER_ACTIVATIONS, SAME, is_dropout, is_mean, is_pooling, module_of, operation

_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
_ACTIVATIONS = OTHER_ACTIVATIONS - {"prelu", "rrelu"} | {"relu", "relu6", "hardtanh", "sigmoid", "hardsigmoid", "tanh"}
_APART = SAME | _ACTIVATIONS | {"flatten", "squeeze"}
_IMAGES = 2  # to check with: an axis of one place may be lost


def class_rows(settled: Settled, source: Callable[[], nn.Module] | None, images: Tensor) -> ClassRows | None:
    """A head, taken apart at its last layer, if each channel of what that returns goes its own way to one logit.

    The layer is linear, or a convolution of single cells; behind it come activations and pooling, or nothing. The graph
    says so, and a check, once for a model state and kind of images: some channels alone become what they become among
    all. Nothing is found where there are no numbers to check with, where the derivative is to be differentiated in
    turn, under autocast, where what the layer returns may have another type than its weights, nor where the compiler
    isn't loaded: there torch would import sympy for the rows' cotangents, which takes longer than they save.

    Args:
        settled: the cut.
        source: the model as it is now; None for a pair of functions.
        images: the images.
    """
    if torch.is_grad_enabled() or source is None or settled.way != "fx" or not is_compiler_loaded():
        return None
    if is_compiled() or is_transformed() or torch.is_autocast_enabled(images.device.type):
        return None
    if not settled.rows:
        if is_batched(images):
            return None
        model = source()
        traced = known_of(model).traced(model)
        assert traced is not None  # the cut is of that graph
        settled.rows.append(_found(traced, settled.layer, tuple(images.shape)))
    return settled.rows[0]


def _found(traced: TracedModel, layer: str, image: tuple[int, ...]) -> ClassRows | None:
    graph, shapes = traced.graph, traced.shapes(image).of
    crossing, last, logits = crossing_of(graph, layer), _last_layer(graph), output_of(graph).args[0]
    if last is None or last not in dependants(crossing):
        return None
    given, module = last.args[0], module_of(graph.module, last)
    assert isinstance(given, fx.Node)
    assert isinstance(logits, fx.Node)
    if shapes[logits] != shapes[last][:2] or not _is_of_cells(module, len(shapes[given]) - 2):
        return None
    behind = None if logits is last else part(graph, {last: "channels"}, logits)
    found = ClassRows(part(graph, crossing, given), module, behind)
    return found if _are_apart(found, shapes[last][2:]) else None


def _last_layer(graph: Graph) -> fx.Node | None:
    """A layer behind which one chain of operations leads to the logits, each of which may keep channels apart."""
    node = output_of(graph).args[0]
    while isinstance(node, fx.Node) and node.args and node.all_input_nodes == [node.args[0]]:
        if node.op == "call_module" and type(module_of(graph.module, node)) in _LAYERS:
            return node
        name = operation(graph, node)
        idle = is_dropout(name) and node.op == "call_module"  # (a function has a mode of its own)
        if not (name in _APART or is_mean(name) or is_pooling(name) or idle):
            return None
        node = node.args[0]
    return None


def _is_of_cells(layer: nn.Module, dimensions: int) -> bool:
    """Whether what a layer returns in a cell is its weights, as they stand there, times what it is given in that cell.

    Args:
        layer: one of `_LAYERS`.
        dimensions: how many axes of cells it is given.
    """
    if "forward" in vars(layer) or not isinstance(layer.weight, nn.Parameter):
        return False
    if isinstance(layer, _ConvNd):
        alone = {*layer.kernel_size, *layer.stride, layer.groups} == {1} and set(layer.padding) == {0}
        return alone and dimensions == len(layer.kernel_size)
    return dimensions == 0


def _are_apart(rows: ClassRows, cells: tuple[int, ...]) -> bool:
    """Whether a channel becomes alone the logit that it becomes among all, at numbers without a pattern."""
    weight = rows.weight
    channels = scattered((_IMAGES, len(weight), *cells), weight.dtype, weight.device)
    some = [[0], [len(weight) // 2], [len(weight) - 1]]
    with own_random_numbers(channels):
        together = rows.logits(channels)
        return not difference([rows.logits(channels[:, one]) for one in some], [together[:, one] for one in some])
