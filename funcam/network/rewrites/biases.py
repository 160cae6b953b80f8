"""The full gradient of a network for FullGrad: its score taken apart into what the image and what each bias adds."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import fx, nn

from funcam.errors import FuncamError
from funcam.network.believed import graph_of
from funcam.network.budget import OF_TERMS, bytes_of, gradients_in_chunks
from funcam.network.checks import difference
from funcam.network.derivative import may_be_plain, recordable, vjp
from funcam.network.forward_mode import pushforward
from funcam.network.graph import Graph, acyclic
from funcam.network.layers import layout_of
from funcam.network.layout import of_images
from funcam.network.outputs import leaves
from funcam.network.rewrites.explicit_attention import STEPS, attentions_of, explicit
from funcam.network.traits import (
    BATCH_NORMS,
    BINARY_MATRIX_PRODUCTS,
    JOINS,
    MATRIX_PRODUCTS,
    PRODUCTS,
    QUOTIENTS,
    SOFTMAX,
    SUMS,
    WEIGHTED,
    is_homogeneous,
    operation,
    reads_shape,
)

# What an operation adds to its inputs, and how that is found.
_BIAS = "its bias"
_AFFINE = "its value at zero"
_CURVED = "its value less its tangent"

# these hold no feature map, though their shape may look like one
_BETWEEN_TOKENS = SOFTMAX | MATRIX_PRODUCTS | STEPS


@dataclass(frozen=True, eq=False)
class FullGradient:
    """A score taken apart. Made by `full_gradient`.

    Attributes:
        image: the image times its gradient, `[K, B, channels, *size]` however the model takes it.
        biases: for each operation that adds something, in order, what it adds times its gradient:
            `[K, B, C_l, *S_l]`, or `[K, B, C_l]` where it has no spatial extent (behind the pooling, at class
            tokens, between the two products of an attention).
    """

    image: torch.Tensor
    biases: tuple[torch.Tensor, ...]


def full_gradient(
    model: nn.Module, images: torch.Tensor, score: Callable[[Any], torch.Tensor], *, memory: int
) -> FullGradient:
    """The image and every bias of a network, times the gradient of the score with respect to them.

    A bias is all that an operation adds to what it is given: the bias of a convolution or linear layer, what a batch
    norm in evaluation mode adds (`beta - gamma mean / sqrt(var + eps)`), a parameter that is added or appended
    (position embeddings, class tokens); and the paper's implicit bias of an operation that isn't linear, `f(z) - J z`
    with its own Jacobian J: zero for ReLU, 6 where ReLU6 is cut off. The sum of all terms is the score (completeness),
    exactly for a score that is linear in the model's output. For networks of ReLUs the biases are the network's own
    constants. For others (GELU, layer norm, attention) the identity holds by the implicit biases alone, which depend on
    the image and can be as large as the activations: it holds of the linearisation, and says less of the network.

    Args:
        model: a module that can be traced; it is only read.
        images: `[B, channels, *size]`.
        score: what the model returns -> scores `[B, K]`, each row from its own image only.
        memory: about how many bytes the gradients of one chunk of scores may take.

    Returns:
        The terms, multiplied already.

    Raises:
        FuncamError: the model can't be traced, an operation can't be linearised, or several images are given to a
            model that mixes their axis with another (attention inside windows).

    Source:
        Srinivas and Fleuret, NeurIPS 2019, arXiv:1905.00780, Proposition 1 and section 3 (implicit biases).

    Example:
        >>> net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
        >>> images = torch.rand(1, 3, 8, 8)
        >>> terms = full_gradient(net, images, lambda logits: logits, memory=2**20)
        >>> [tuple(term.shape) for term in (terms.image, *terms.biases)]
        [(2, 1, 3, 8, 8), (2, 1, 4, 6, 6), (2, 1, 2)]
        >>> whole = sum(term.flatten(2).sum(2) for term in (terms.image, *terms.biases))
        >>> torch.allclose(whole.T, net(images), atol=1e-6)
        True
    """
    plan = _plan_of(graph_of(model, images))
    images = recordable(images)
    adder = _Adder(plan)
    adder.run(images)
    added = adder.added
    taps = [b.new_zeros(()).expand(b.shape) for b in added.values()]

    def tapped(images: torch.Tensor, *taps: torch.Tensor) -> torch.Tensor:
        return score(_Tapped(plan.graph.module, dict(zip(added, taps, strict=True))).run(images))

    plain = None if may_be_plain(images) else False  # (plain autograd's derivative has none in turn)
    scores, pullback, *_ = vjp(lambda *given: (tapped(*given), ()), (images, *taps), plain)
    factors = (images, *added.values())
    chunks = [
        [g * factor for g, factor in zip(gradients, factors, strict=True)]
        for gradients in gradients_in_chunks(pullback, scores, bytes_of(*factors) * OF_TERMS, memory)
    ]
    image, *terms = (torch.cat(parts) for parts in zip(*chunks, strict=True))
    biases: list[torch.Tensor] = []
    own = of_images(images.shape)
    plain_shape = own.to_map(images).shape
    for node, term in zip(added, terms, strict=True):
        biases += _as_maps(term, plain_shape, adder.grids[node], plan.names[node])
    return FullGradient(torch.unflatten(own.to_map(image.flatten(0, 1)), 0, image.shape[:2]), tuple(biases))


def _as_maps(term: torch.Tensor, image: torch.Size, grid: tuple[int, ...], name: str) -> list[torch.Tensor]:
    """A term `[K, *shape]` as `[K, B, C, *S]`; a layer of tokens as two, class and register tokens apart."""
    scores, batch, shape = len(term), image[0], term.shape[1:]
    if batch > 1 and shape[0] != batch:  # windows in the place of images, or tokens first: which is whose isn't known
        raise FuncamError(
            f"full-grad can't tell {batch} images apart in {name!r} of shape {list(shape)}; explain them one at a time"
        )
    layout = layout_of(shape, image, grid) if shape[0] == batch and name not in _BETWEEN_TOKENS else None
    if layout is None:
        return [term.reshape(scores, batch, -1)]
    maps = torch.unflatten(layout.to_map(term.flatten(0, 1)), 0, (scores, batch))
    return [term[:, :, : layout.prefix].flatten(2), maps] if layout.prefix else [maps]


# --- which operations add something, and what -------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Plan:
    """A graph (with attention written out), how each node that adds something does it, and what every node is."""

    graph: Graph
    kinds: dict[fx.Node, str]
    names: dict[fx.Node, str]
    dependent: frozenset[fx.Node]


_CACHE: weakref.WeakKeyDictionary[Graph, _Plan] = weakref.WeakKeyDictionary()


def _plan_of(graph: Graph) -> _Plan:
    if graph not in _CACHE:
        _CACHE[graph] = _plan(graph)
    return _CACHE[graph]


def _plan(graph: Graph) -> _Plan:
    # torch's fused attention has no tangent everywhere; written out it is a few ordinary operations
    copied, root, *_ = explicit(graph, attentions_of(graph))
    module = acyclic(fx.GraphModule(root, copied, graph.model).eval())
    written = replace(graph, module=module, shapes=None)
    names = {node: operation(written, node) for node in module.graph.nodes}
    first = next(node for node in module.graph.nodes if node.op == "placeholder")
    dependent = {first}
    kinds: dict[fx.Node, str] = {}
    for node in module.graph.nodes:
        on_image = [given for given in node.all_input_nodes if given in dependent]
        if on_image and not reads_shape(module, node) and node.op != "output":
            dependent.add(node)
            kind = _kind(node, names[node], on_image)
            if kind:
                kinds[node] = kind
    return _Plan(written, kinds, names, frozenset(dependent))


def _kind(node: fx.Node, name: str, on_image: list[fx.Node]) -> str | None:
    operands = _operands(node)
    if name in WEIGHTED and on_image == [operands[0]]:
        return _BIAS
    if name in BATCH_NORMS:
        return _AFFINE
    if name in SUMS | JOINS:
        return None if all(given in on_image for given in operands) else _AFFINE
    if name in PRODUCTS | BINARY_MATRIX_PRODUCTS and len(on_image) == 1 and operands.count(on_image[0]) == 1:
        return _CURVED if name in QUOTIENTS and operands[0] is not on_image[0] else None
    if is_homogeneous(name):
        return None
    return _AFFINE if name in ("pad", "constantpad2d") else _CURVED


def _operands(node: fx.Node) -> list[Any]:
    """What a sum or product is made of: its first two arguments, or the elements of the list that it was given."""
    given = [*node.args, *node.kwargs.values()]
    return list(given[0]) if isinstance(given[0], (list, tuple)) else given[:2]


class _Adder(fx.Interpreter):
    """Runs a network and notes what each operation adds to what it is given."""

    def __init__(self, plan: _Plan) -> None:
        super().__init__(plan.graph.module)
        self.plan = plan
        self.added: dict[fx.Node, torch.Tensor] = {}
        self.grids: dict[fx.Node, tuple[int, ...]] = {}
        self.grid: tuple[int, ...] = ()

    def run_node(self, n: fx.Node) -> Any:
        out = super().run_node(n)
        if isinstance(out, torch.Tensor) and self.plan.names[n].startswith("conv"):
            self.grid = tuple(out.shape[2:])
        kind = self.plan.kinds.get(n)
        if kind and _is_float(out):
            b = self._bias(n, out) if kind == _BIAS else self._at_zero(n) if kind == _AFFINE else self._curved(n, out)
            if b is not None:
                self.added[n], self.grids[n] = b, self.grid
        elif kind and not isinstance(out, torch.Tensor):
            self._refuse_added(n, out)
        return out

    def _bias(self, node: fx.Node, out: torch.Tensor) -> torch.Tensor | None:
        bias = self._bias_of(node)
        if bias is None:
            return None
        axis = 1 if "conv" in self.plan.names[node] else -1
        return bias.view(-1, *[1] * (out.ndim - 2 if axis == 1 else 0)).expand_as(out)

    def _bias_of(self, node: fx.Node) -> torch.Tensor | None:
        if node.op == "call_module":
            bias: torch.Tensor | None = self.fetch_attr(str(node.target)).bias
            return bias
        given = node.args[2] if len(node.args) > 2 else node.kwargs.get("bias")
        return self.env[given] if isinstance(given, fx.Node) else None

    def _at_zero(self, node: fx.Node) -> torch.Tensor:
        function, given = self._function(node)
        value: torch.Tensor = function(*(torch.zeros_like(z) for z in given))
        return value

    def _curved(self, node: fx.Node, out: torch.Tensor) -> torch.Tensor:
        function, given = self._function(node)
        curved: torch.Tensor = out - self._tangent(node, function, given)
        return curved

    def _refuse_added(self, node: fx.Node, out: Any) -> None:
        """Operations that return several tensors are followed where they add nothing: `topk`, but no LSTM."""
        function, given = self._function(node)
        tangents = self._tangent(node, lambda *values: _floats(function(*values)), given)
        if difference(tangents, _floats(out)):
            raise FuncamError(
                f"full-grad can't follow {self.plan.names[node]!r} (node {str(node)!r}), which returns several tensors "
                "and isn't linear; use gradient, or grad-cam"
            )

    def _tangent(self, node: fx.Node, function: Callable[..., Any], given: tuple[torch.Tensor, ...]) -> Any:
        try:
            return pushforward(function, given, given)
        except (RuntimeError, NotImplementedError) as error:
            raise FuncamError(
                f"full-grad can't linearise {self.plan.names[node]!r} (node {str(node)!r}): it has no forward "
                "derivative; use gradient, or grad-cam"
            ) from error

    def _function(self, node: fx.Node) -> tuple[Callable[..., Any], tuple[torch.Tensor, ...]]:
        """A node as a function of those of its inputs that depend on the image, and these inputs."""
        inputs = [given for given in node.all_input_nodes if given in self.plan.dependent]
        inputs = [given for given in inputs if _is_float(self.env[given])]
        env = {given: self.env[given] for given in node.all_input_nodes}

        def function(*values: torch.Tensor) -> Any:
            given = env | dict(zip(inputs, values, strict=True))
            args, kwargs = fx.node.map_arg((node.args, node.kwargs), given.__getitem__)
            return getattr(self, node.op)(node.target, args, kwargs)

        return function, tuple(env[given] for given in inputs)


def _is_float(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.is_floating_point()


def _floats(value: Any) -> list[torch.Tensor]:
    return [tensor for _, tensor in leaves(value) if _is_float(tensor)]


class _Tapped(fx.Interpreter):
    """Runs a network with something more added at some of its nodes."""

    def __init__(self, module: fx.GraphModule, taps: dict[fx.Node, torch.Tensor]) -> None:
        super().__init__(module)
        self.taps = taps

    def run_node(self, n: fx.Node) -> Any:
        out = super().run_node(n)
        return out + self.taps[n] if n in self.taps else out
