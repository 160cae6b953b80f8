"""One batch before one model: run once, cut at one or several layers, its target settled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn
from torch.func import vjp, vmap
from torch.utils import _pytree as pytree

from funcam.errors import FuncamError
from funcam.network.cutting import Split, graph_of, split
from funcam.network.finer import finer_layer
from funcam.network.images import check_images
from funcam.network.layers import find_node
from funcam.network.rewrites.batchnorm import fused
from funcam.network.taps import run_tapped
from funcam.network.wrappers import plain_name
from funcam.targets.target import Output, Target, Targets, bind, logits_of

Tensors = tuple[torch.Tensor, ...]
Pullback = Callable[[torch.Tensor], Tensors]
Tail = Callable[..., tuple[Any, Tensors]]

# A pass through the network keeps activations of at most about this many times the image's size; without gradients
# only a few layers' are alive at a time.
EARLY_LAYERS = 64
_ALIVE = 20
_MOST_ON_CPU = 8  # larger batches are slower there: they leave the processor's cache


@dataclass(eq=False)
class BatchRun:
    """What `run_batch` returns.

    Attributes:
        splits: where it is cut.
        images: `[B, channels, *size]`.
        inputs: what the tail is differentiated with respect to, one tensor `[B, C, *S]` for each layer.
        tail: `(*inputs) -> (outputs, features of each layer)`.
        features: A of each layer, `[B, C, *S]`.
        finer: for each layer the features of the last layer with the next larger grid; None unless they were asked for.
        outputs: what the model returned.
        target: what is explained.
        scores: its values, `[B, K]`.
        pullback: cotangents of the scores `[B, K]` -> the gradient at each layer; None if it was not asked for.
        memory: about how many bytes a chunk may take.
        output: where the logits are in the outputs.
    """

    splits: tuple[Split, ...]
    images: torch.Tensor
    inputs: Tensors
    tail: Tail
    features: Tensors
    finer: tuple[torch.Tensor | None, ...]
    outputs: Any
    target: Target
    scores: torch.Tensor
    pullback: Pullback | None
    memory: int
    output: Output

    @property
    def logits(self) -> torch.Tensor:
        """The logits in what the model returned."""
        return logits_of(self.outputs, self.output)

    def differentiated(self, target: Target) -> Pullback:
        """The pullback of another target's scores through the tail."""

        def scores(*inputs: torch.Tensor) -> torch.Tensor:
            return target(self.tail(*inputs)[0])

        _, pullback, *_ = vjp(scores, *self.inputs)
        return pullback

    def at(self, layer: int, index: int | None = None) -> tuple[torch.Tensor, Callable[[torch.Tensor], Any]]:
        """Features and head at one layer, of one image or of all; run again only where they aren't there yet."""
        direct = len(self.splits) == 1 and self.finer[0] is None
        if direct and (index is None or len(self.images) == 1):
            return self.inputs[0], lambda A: self.tail(A)[0]
        return self.splits[layer].unchecked(self.images if index is None else self.images[index : index + 1])

    def head(self, layer: int, index: int, target: Target) -> Callable[[torch.Tensor], torch.Tensor]:
        """The scores of one image as a pure function of rows of changed features, `[n, C, *S] -> [n, K]`.

        `vmap` over the rows gives each of them the values that skip the cut.
        """
        A, head = self.at(layer, index)
        score = target.of_image(index)
        return vmap(lambda row: full_precision(score(head(row[None].to(A.dtype))))[0])

    def network(self, index: int, target: Target) -> Callable[[torch.Tensor], torch.Tensor]:
        """The scores of one image as a pure function of rows of changed images, `[n, channels, *size] -> [n, K]`."""
        score = target.of_image(index)

        def rows(images: torch.Tensor) -> torch.Tensor:
            A, head = self.splits[0].unchecked(images.to(self.images.dtype))
            return full_precision(score(head(A)))

        return rows

    def masked_network(self, index: int, target: Target) -> Callable[[torch.Tensor], torch.Tensor]:
        """As `network`, for very many images that nobody differentiates: some passes over them are saved."""
        try:
            model = None if torch.is_grad_enabled() else self.splits[0].model()
        except FuncamError:  # a pair of functions, or a model that is gone
            model = None
        if model is None:
            return self.network(index, target)
        run, score = fused(graph_of(model, self.images)), target.of_image(index)
        return lambda images: full_precision(score(run(images.to(self.images.dtype))))

    def chunk(self, row: torch.Tensor, times: int, most: int) -> int:
        """How many rows of this size, each with so many times its memory, fit into a chunk; at least one."""
        return max(1, min(most, self.memory // max(1, row.numel() * row.element_size() * times)))

    @property
    def image_chunk(self) -> int:
        """How many images may pass the network at once."""
        return self.chunk(self.images[:1], _ALIVE, _MOST_ON_CPU if self.images.device.type == "cpu" else 64)


def run_batch(
    model: Any,
    images: torch.Tensor,
    targets: Targets,
    layers: Sequence[str | None],
    *,
    memory: int,
    output: Output,
    gradient: bool,
    finer: bool = False,
) -> BatchRun:
    """Run the model once on the images and settle what is explained.

    Args:
        model: a module, a split of one, or a pair `(features, head)`.
        images: `[B, channels, *size]`.
        targets: see `funcam.targets.target.bind`.
        layers: where to cut; one or several.
        memory: about how many bytes a chunk may take.
        output: where the logits are in what the model returns.
        gradient: whether the gradient at the layers will be needed.
        finer: whether the features of the layers with the next larger grids will be needed.

    Raises:
        FuncamError: the model can't be cut there, or the targets don't fit.
    """
    check_images(images)
    if len(layers) > 1:
        splits = _distinct(model, [split(model, layer, example=images) for layer in layers], images)
    else:
        splits = (_split(model, layers[0], images),)
    beside = [_finer_layer(cut, images) for cut in splits] if finer else [None] * len(splits)
    here = [cut.layer for cut in splits]
    names = list(dict.fromkeys(name for name in beside if name and name not in here))
    if len(splits) > 1 or names:
        inputs, tail = _tapped(splits, names, images)
    else:
        inputs, tail = _single(splits[0], images, isinstance(model, Split))
    features, outputs, target, scores, pullback = _run(inputs, tail, targets, len(images), output, gradient)
    by_name = dict(zip([*here, *names], features, strict=True))
    finer_features = tuple(by_name[name] if name else None for name in beside)
    own = features[: len(splits)]
    return BatchRun(
        splits, images, inputs, tail, own, finer_features, outputs, target, scores, pullback, memory, output
    )


def _distinct(model: nn.Module, cuts: Sequence[Split], images: torch.Tensor) -> tuple[Split, ...]:
    """Each layer once: a name may be the default's, too, and `layer4` is its last block by another name."""
    graph = graph_of(model, images)
    by_node: dict[Any, Split] = {}
    for cut in cuts:
        by_node.setdefault(find_node(graph, cut.layer), cut)
    return tuple(by_node.values())


def _finer_layer(cut: Split, images: torch.Tensor) -> str | None:
    try:
        return finer_layer(cut.model(), cut.layer, images)
    except FuncamError:  # a pair of functions: nobody knows what is in it
        return None


def _tapped(splits: Sequence[Split], beside: Sequence[str], images: torch.Tensor) -> tuple[Tensors, Tail]:
    """Several layers in one pass. The tail is a function of the splits' layers; it also gives the features beside."""
    tapped = run_tapped(splits[0].model(), [*(cut.layer for cut in splits), *beside], images)
    count = len(splits)
    return tapped.inputs[:count], lambda *inputs: tapped.tail(*inputs, *tapped.inputs[count:])


def _split(model: Any, layer: str | None, images: torch.Tensor) -> Split:
    if not isinstance(model, Split):
        return split(model, layer, example=images)
    if layer is not None and plain_name({model.layer}, layer) != model.layer:
        raise FuncamError(f"the model is split at {model.layer!r}; to explain it at {layer!r}, split it there")
    return model


def _single(cut: Split, images: torch.Tensor, checked: bool) -> tuple[Tensors, Tail]:
    A, head = cut(images) if checked else cut.unchecked(images)
    return (A,), lambda features: (head(features), (features,))


def _run(
    inputs: Tensors, tail: Tail, targets: Targets, batch: int, output: Output, gradient: bool
) -> tuple[Tensors, Any, Target, torch.Tensor, Pullback | None]:
    """The tail's features and outputs, the target, its scores, and (if asked for) their pullback."""
    if not gradient:
        outputs, features = tail(*inputs)
        target = bind(targets, outputs, batch, output)
        return features, outputs, target, target(outputs), None
    seen: list[Any] = []

    def scores(*inputs: torch.Tensor) -> tuple[torch.Tensor, Any]:
        outputs, features = tail(*inputs)
        target = bind(targets, outputs, batch, output)
        tensors, rest = _tensors(outputs)
        seen.append((target, rest))
        return target(outputs), (tensors, features, target.indices, target.constants)

    values, pullback, *aux = vjp(scores, *inputs, has_aux=True)
    tensors, features, indices, constants = aux[0]
    target, rest = seen[0]
    class_score = target.class_score and replace(target.class_score, classes=indices)
    return (
        features,
        rest(tensors),
        replace(target, indices=indices, constants=constants, class_score=class_score),
        values,
        pullback,
    )


def _tensors(outputs: Any) -> tuple[list[torch.Tensor], Callable[[list[torch.Tensor]], Any]]:
    """The tensors in what a model returned, and how to put others in their place."""
    if isinstance(outputs, torch.Tensor):
        return [outputs], lambda tensors: tensors[0]
    leaves, structure = pytree.tree_flatten(outputs)
    places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, torch.Tensor)]

    def put_back(tensors: list[torch.Tensor]) -> Any:
        filled = list(leaves)
        for place, tensor in zip(places, tensors, strict=True):
            filled[place] = tensor
        return pytree.tree_unflatten(filled, structure)

    return [leaves[i] for i in places], put_back


def pull(pullback: Pullback, cotangents: torch.Tensor) -> Tensors:
    """Gradients at each layer `[k, B, C, *S]` for cotangents `[k, B, K]`, all at once."""
    if len(cotangents) == 1:  # the usual case, spared the cost of batching
        return tuple(g[None] for g in pullback(cotangents[0]))
    try:
        gradients: Tensors = vmap(pullback)(cotangents)
    except RuntimeError as error:  # an operation that torch can't batch: one after the other, then
        if isinstance(error, torch.OutOfMemoryError) or torch.compiler.is_dynamo_compiling():
            raise
        gradients = tuple(map(torch.stack, zip(*(pullback(one) for one in cotangents), strict=True)))
    return gradients


def unit_cotangents(columns: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Cotangents that pick one score of every image: columns `[k]` of K scores `like [B, K]`, `[k, B, K]`.

    (A comparison: it can be traced.)

    Example:
        >>> unit_cotangents(torch.tensor([1]), torch.zeros(1, 3))
        tensor([[[0., 1., 0.]]])
    """
    one = columns[:, None] == torch.arange(like.shape[1], device=like.device)
    return one[:, None].to(like.dtype).expand(-1, *like.shape)


def full_precision(tensor: torch.Tensor) -> torch.Tensor:
    """Sums over half-precision cells lose their digits: methods compute in float32 at least."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def module_of(cut: Split, what: str) -> nn.Module:
    """The module behind a split, for what needs all of it."""
    try:
        return cut.model()
    except FuncamError as error:
        raise FuncamError(f"{what}: {error}") from error
