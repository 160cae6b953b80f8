"""Attention maps and their gradients for LeGrad: the traced graph rewritten so that every attention map is a value."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable
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
    return attention_run(model, images).gradients(score, memory)


@dataclass(frozen=True, eq=False)
class BlockRun:
    """A block that was run.

    Attributes:
        attention: its attention map.
        tokens: what it returned.
        pullback: cotangents of the tokens -> the gradient with respect to the map.
    """

    attention: torch.Tensor
    tokens: torch.Tensor
    pullback: Callable[[torch.Tensor], tuple[torch.Tensor]]


@dataclass(frozen=True, eq=False)
class AttentionRun:
    """A Vision Transformer that was run on images, its blocks ready to be differentiated. Made by `attention_run`.

    Attributes:
        outputs: what the model returns.
        blocks: the blocks in order.
        end: output tokens of any block -> what the model would return if it were the last.
        layout: how the tokens hold the grid of patches.
    """

    outputs: Any
    blocks: tuple[BlockRun, ...]
    end: Callable[[torch.Tensor], Any]
    layout: Layout

    def gradients(self, score: Callable[[Any], torch.Tensor], memory: int) -> tuple[torch.Tensor, ...]:
        """What `attention_gradients` returns."""
        return tuple(self._of_block(block, score, memory) for block in self.blocks)

    def _of_block(self, block: BlockRun, score: Callable[[Any], torch.Tensor], memory: int) -> torch.Tensor:
        scores, by_tokens, *_ = vjp(lambda tokens: score(self.end(tokens)), block.tokens)

        def pullback(cotangents: torch.Tensor) -> tuple[torch.Tensor]:
            return block.pullback(*by_tokens(cotangents))

        chunks = gradients_in_chunks(pullback, scores, bytes_of(block.attention) * OF_FEATURES, memory)
        g = torch.cat([gradient for (gradient,) in chunks])
        g = g.reshape(*g.shape[:2], -1, *g.shape[-2:])[..., self.layout.prefix :]  # [K, B, heads, T, keys]
        return torch.unflatten(g, -1, self.layout.grid)


def attention_run(model: nn.Module, images: torch.Tensor) -> AttentionRun:
    """Run a Vision Transformer once, each block so that it can be differentiated.

    Args:
        model: as in `attention_gradients`.
        images: `[B, channels, *size]`.

    Raises:
        FuncamError: as in `attention_gradients`.
    """
    graph = graph_of(model, images)
    network = transformer(graph)
    layout = network.layout(graph, tuple(images.shape))
    blocks, skipping, outputs = network.forward(images)
    for path, block in zip(network.paths, blocks, strict=True):
        _check_map(network.model, path, block.attention, layout, len(images))
    return AttentionRun(outputs, tuple(blocks), lambda tokens: network.end(tokens, *skipping), layout)


@dataclass(frozen=True, eq=False)
class Transformer:
    """A Vision Transformer whose attention maps are values of its graph. Made by `transformer`.

    Attributes:
        model: the class name of the model.
        paths: the blocks' module paths.
        forward: images -> for each block a `BlockRun`; what the end needs besides; what the model returns.
        end: output tokens of any block (and what it needs besides) -> what the model returns.
    """

    model: str
    paths: tuple[str, ...]
    forward: fx.GraphModule
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


def _check_map(model: str, path: str, A: torch.Tensor, layout: Layout, batch: int) -> None:
    tokens = layout.prefix + math.prod(layout.grid)
    if A.ndim < 3 or A.shape[-2:] != (tokens, tokens) or len(A) % batch:
        raise _no_transformer(model, f"no attention over all {tokens} tokens: {path!r} has maps {list(A.shape)}")


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
    end, skipping = between([outputs[-1]], copied.output_node())
    return Transformer(
        model=graph.model,
        paths=tuple(paths),
        forward=_recording(root, copied, maps, outputs, skipping),
        end=part(root, outputs[-1], skipping, end, None),
        _entry=graph.inputs[paths[0]],
        _exit=graph.outputs[paths[-1]],
    )


class _Recorded(nn.Module):
    """A block from its attention map on, run so that it can be differentiated."""

    def __init__(self, tail: fx.GraphModule) -> None:
        super().__init__()
        self.tail = tail

    def forward(self, A: torch.Tensor, *crossing: Any) -> BlockRun:
        tokens, pullback, *_ = vjp(lambda A: self.tail(A, *crossing), A)
        return BlockRun(A, tokens, pullback)


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


def _recording(
    root: nn.Module, graph: fx.Graph, maps: list[fx.Node], outputs: list[fx.Node], skipping: list[fx.Node]
) -> fx.GraphModule:
    """The graph with each block recorded from its map on. What of it only the block's output needs isn't run twice."""
    copied = fx.Graph()
    placed: dict[fx.Node, fx.Node] = {}
    blocks: list[fx.Node] = []
    for node in graph.nodes:
        if node not in outputs:
            if node.op != "output":
                placed[node] = copied.node_copy(node, placed.__getitem__)
            continue
        start, name = maps[len(blocks)], f"recorded{len(blocks)}"
        inner, crossing = between([start], node)
        root._modules[name] = _Recorded(part(root, start, crossing, inner, node))
        blocks.append(copied.call_module(name, tuple(placed[given] for given in (start, *crossing))))
        placed[node] = copied.call_function(getattr, (blocks[-1], "tokens"))
    returned = fx.node.map_arg((skipping, graph.output_node().args[0]), placed.__getitem__)
    copied.output((blocks, *returned))
    module = fx.GraphModule(root, copied)
    module.graph.eliminate_dead_code()
    module.recompile()
    return acyclic(module.eval())
