"""Attention maps and their gradients for LeGrad: the traced graph rewritten so that every attention map is a value."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import torch
from torch import fx, nn
from torch.func import vjp

from funcam.errors import FuncamError
from funcam.network.believed import graph_of
from funcam.network.budget import OF_FEATURES, bytes_of, gradients_in_chunks
from funcam.network.graph import Graph, acyclic
from funcam.network.layers import Layout, between, layout_of, shapes_of
from funcam.network.rewrites.explicit_attention import attentions_of, explicit
from funcam.network.traits import operation


def attention_gradients(
    model: nn.Module, images: torch.Tensor, score: Callable[[Any], torch.Tensor], *, memory: int
) -> tuple[torch.Tensor, ...]:
    """What LeGrad is made of: for each block, the gradient of that block's own score with respect to its attention map.

    The score of a block is what the end of the network (the last norm, pooling and classifier) says of the tokens that
    the block returns, as if it were the last one.

    Args:
        model: a Vision Transformer; it is only read.
        images: `[B, channels, *size]`.
        score: what the model returns -> scores `[B, K]`, each row from its own image only.
        memory: about how many bytes the gradients of one chunk of scores may take.

    Returns:
        For each block `[K, B, heads, T, *S]`: K scores, B images, T query tokens (class and register tokens among
        them), and the key tokens of the patches on their grid S; the keys in front of the patches are left out.

    Raises:
        FuncamError: the model is no Vision Transformer: it has no attention that can be reached, or attention inside
            windows, or no blocks of one attention each.

    Source:
        Bousselham et al., arXiv:2404.03214, section 3; the sums over them are `methods.network.le_grad`.

    Example:
        >>> from torchvision.models import VisionTransformer
        >>> vit = VisionTransformer(32, 16, 2, 2, 8, 16, num_classes=3).eval()
        >>> gradients = attention_gradients(vit, torch.rand(1, 3, 32, 32), lambda logits: logits, memory=2**20)
        >>> [tuple(g.shape) for g in gradients]
        [(3, 1, 2, 5, 2, 2), (3, 1, 2, 5, 2, 2)]
    """
    graph = graph_of(model, images)
    network = transformer(graph)
    layout = network.layout(graph, tuple(images.shape))
    maps, values, skipping = network.forward(images)
    gradients = []
    for block, A, crossing in zip(network.blocks, maps, values, strict=True):
        _check_map(network.model, block, A, layout, len(images))
        scores, pullback, *_ = vjp(_scored(network, block, crossing, skipping, score), A)
        chunks = gradients_in_chunks(pullback, scores, bytes_of(A) * OF_FEATURES, memory)
        g = torch.cat([gradient for (gradient,) in chunks])
        g = g.reshape(*g.shape[:2], -1, *g.shape[-2:])[..., layout.prefix :]  # [K, B, heads, T, keys]
        gradients.append(torch.unflatten(g, -1, layout.grid))
    return tuple(gradients)


@dataclass(frozen=True, eq=False)
class Block:
    """A block of a transformer.

    Attributes:
        path: its module path.
        tail: its attention map (and what crosses beside it) -> its output tokens.
    """

    path: str
    tail: fx.GraphModule


@dataclass(frozen=True, eq=False)
class Transformer:
    """A Vision Transformer whose attention maps are values of its graph. Made by `transformer`.

    Attributes:
        model: the class name of the model.
        network: images -> what the model returns, computed with explicit attention maps.
        forward: images -> the attention maps; for each block what its tail needs besides; what the end needs besides.
        blocks: the blocks, each with its tail: attention map (and what it needs besides) -> output tokens.
        end: output tokens of any block (and what it needs besides) -> what the model returns.
    """

    model: str
    network: fx.GraphModule
    forward: fx.GraphModule
    blocks: tuple[Block, ...]
    end: fx.GraphModule
    _entry: fx.Node = field(repr=False)
    _exit: fx.Node = field(repr=False)
    _layouts: dict[tuple[int, ...], Layout] = field(default_factory=dict, repr=False)

    def layout(self, graph: Graph, image: tuple[int, ...]) -> Layout:
        """How the blocks' output holds the grid of patches, for images of a shape.

        Raises:
            FuncamError: it holds none.
        """
        if image[1:] not in self._layouts:
            shapes = shapes_of(graph, image)
            shape = shapes.of.get(self._exit, ())
            # the grid in force where the blocks begin: inside them maps of heads look like grids
            layout = layout_of(shape, image, shapes.grids[self._entry])
            if layout is None or layout.kind != "tokens":
                raise _no_transformer(self.model, f"no blocks that return the tokens of a patch grid ({list(shape)})")
            self._layouts[image[1:]] = layout
        return self._layouts[image[1:]]


def transformer(graph: Graph) -> Transformer:
    """A graph's blocks, attention maps and end; found once for each graph.

    Raises:
        FuncamError: there are none, see `attention_gradients`.
    """
    if graph not in _CACHE:
        _CACHE[graph] = _rewrite(graph)
    return _CACHE[graph]


_CACHE: weakref.WeakKeyDictionary[Graph, Transformer] = weakref.WeakKeyDictionary()


def _scored(
    network: Transformer, block: Block, crossing: Sequence[Any], skipping: Sequence[Any], score: Callable[[Any], Any]
) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda A: score(network.end(block.tail(A, *crossing), *skipping))


def _check_map(model: str, block: Block, A: torch.Tensor, layout: Layout, batch: int) -> None:
    tokens = layout.prefix + math.prod(layout.grid)
    if A.ndim < 3 or A.shape[-2:] != (tokens, tokens) or len(A) % batch:
        raise _no_transformer(model, f"no attention over all {tokens} tokens: {block.path!r} has maps {list(A.shape)}")


def _no_transformer(model: str, lack: str) -> FuncamError:
    return FuncamError(f"le-grad is for Vision Transformers: {model} has {lack}; use grad-cam or layer-cam")


# --- the rewrite ------------------------------------------------------------------------------------------------------


def _rewrite(graph: Graph) -> Transformer:
    attentions = attentions_of(graph)
    if not attentions:
        raise _no_transformer(graph.model, _lack(graph))
    paths = _blocks(graph, attentions)
    copied, root, placed, maps = explicit(graph, attentions)
    outputs = [placed[graph.outputs[path]] for path in paths]
    parts = [between([map_], output) for map_, output in zip(maps, outputs, strict=True)]
    end, skipping = between([outputs[-1]], copied.output_node())
    blocks = [
        Block(path, part(root, map_, crossing, inner, output))
        for path, map_, output, (inner, crossing) in zip(paths, maps, outputs, parts, strict=True)
    ]
    return Transformer(
        model=graph.model,
        network=acyclic(fx.GraphModule(root, copied, graph.model).eval()),
        forward=_returning(root, copied, (maps, [crossing for _, crossing in parts], skipping)),
        blocks=tuple(blocks),
        end=part(root, outputs[-1], skipping, end, None),
        _entry=graph.inputs[paths[0]],
        _exit=graph.outputs[paths[-1]],
    )


def _blocks(graph: Graph, attentions: list[fx.Node]) -> list[str]:
    """For each attention the path of its block: the outermost module that holds this attention and no other.

    A module holds the attentions that its output depends on and its input does not.
    """
    upstream: dict[fx.Node, frozenset[fx.Node]] = {}
    for node in graph.module.graph.nodes:
        own = frozenset([node] if node in attentions else [])
        upstream[node] = own.union(*(upstream[given] for given in node.all_input_nodes))
    blocks: dict[fx.Node, str] = {}
    for path in sorted(graph.outputs, key=lambda path: path.count(".")):
        if path and path in graph.inputs:
            held = upstream[graph.outputs[path]] - upstream[graph.inputs[path]]
            if len(held) == 1:
                blocks.setdefault(next(iter(held)), path)
    paths = [blocks.get(node, "") for node in attentions]
    chained = all(graph.inputs.get(after) is graph.outputs.get(before) for before, after in pairwise(paths))
    if "" in paths or not chained:
        raise _no_transformer(
            graph.model, "no chain of blocks with one attention each, each given what the last returned"
        )
    return paths


def _lack(graph: Graph) -> str:
    for node in graph.module.graph.nodes:
        if "window" in operation(graph, node):
            return "attention inside windows only"
        held = graph.module.get_submodule(str(node.target)).modules() if node.op == "call_module" else ()
        if any(isinstance(module, nn.MultiheadAttention) for module in held):
            return f"its attention out of reach inside {node.target!r}"
    return "no attention that can be reached"


# --- parts of a graph -------------------------------------------------------------------------------------------------


def part(
    root: nn.Module, start: fx.Node, crossing: list[fx.Node], inner: list[fx.Node], end: fx.Node | None
) -> fx.GraphModule:
    """The nodes between as a module: `start` and what crosses -> `end`, or what the graph returns."""
    copied = fx.Graph()
    placed = {node: copied.placeholder(f"crossing{i}") for i, node in enumerate([start, *crossing])}
    for node in inner:
        placed[node] = copied.node_copy(node, placed.__getitem__)
    if end is not None:
        copied.output(placed[end])
    return acyclic(fx.GraphModule(root, copied).eval())


def _returning(root: nn.Module, graph: fx.Graph, values: Any) -> fx.GraphModule:
    """The graph with other values of it returned."""
    copied = fx.Graph()
    placed: dict[fx.Node, fx.Node] = {}
    copied.graph_copy(graph, placed)
    copied.output(fx.node.map_arg(values, placed.__getitem__))
    module = fx.GraphModule(root, copied)
    module.graph.eliminate_dead_code()
    module.recompile()
    return acyclic(module.eval())
