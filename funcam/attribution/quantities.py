"""What methods are made of: each quantity that a method can be given, by name, from a batch run.

A tensor is for some of the K scores at a time (the `columns` of a chunk), `[k, B, ...]`, or for all alike,
`[B, ...]`; a function is for one image and all scores. Noise comes from a generator of its own and is the same for
every image, so that an image's map does not depend on its neighbours.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.func import vjp, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from funcam.attribution.batch_run import BatchRun
from funcam.attribution.rows import full_precision, unit_cotangents
from funcam.attribution.tails import Tensors
from funcam.errors import FuncamError
from funcam.maps import pooled
from funcam.methods import METHODS, Method
from funcam.methods.noise import DRAWN
from funcam.network.believed import graph_of
from funcam.network.budget import OF_FEATURES, OF_IMAGES, bytes_of
from funcam.network.derivative import pull
from funcam.network.forward_mode import pushforward
from funcam.network.graph import Graph
from funcam.network.heads import why_not_linear
from funcam.network.layers import find_node
from funcam.network.layout import of_images
from funcam.network.recent import Recent
from funcam.network.rewrites.attention import attention_run
from funcam.network.rewrites.biases import FullGradient, full_gradient
from funcam.network.rewrites.guidance import guided
from funcam.network.rewrites.once import once
from funcam.network.tracing import is_compiled
from funcam.targets.class_scores import as_probability, as_residual_softmax, similar_classes
from funcam.targets.target import ClassScore, Target, logits_of, restated, take

_RESTATED = {"probability": as_probability, "logit and log-probability": as_residual_softmax}
FINEST = 16
"""Pixels of the image to a side of a cell."""


@dataclass(eq=False)
class Chunk:
    """Some of a run's scores, and what was computed for them already.

    Attributes:
        run: the batch run.
        columns: which of the K scores, `[k]`.
        made: the quantities by name, shared by the methods.
    """

    run: BatchRun
    columns: torch.Tensor
    made: dict[Any, Any] = field(default_factory=dict)

    def get(self, key: Any, make: Callable[[], Any]) -> Any:
        """A quantity, computed once."""
        if key not in self.made:
            self.made[key] = make()
        return self.made[key]


Options = Mapping[str, Any]
Quantity = Callable[[Chunk, int, Method, Options], torch.Tensor | Tensors]


def explained(run: BatchRun, method: Method) -> Target:
    """The target as the method's paper wants it, where the caller named nothing but classes."""
    by = _RESTATED.get(method.explains)
    return restated(run.target, lambda: by(run.meaning(run.logits)), run.output) if by else run.target


def _features(chunk: Chunk, layer: int, _method: Method, _options: Options) -> torch.Tensor:
    return full_precision(chunk.run.features[layer])


def _finer_features(chunk: Chunk, layer: int, _method: Method, _options: Options) -> torch.Tensor:
    """The features of the layer with the next larger grid, `[B, D, *T]`; without channels where there is none.

    Cells of less than `FINEST` pixels are averaged: they see too little of the image to say what it shows there.
    """
    run = chunk.run
    A, finer = full_precision(run.features[layer]), run.finer[layer]
    if finer is None:
        return A[:, :0]
    image = of_images(run.images.shape).spatial(run.images.shape)
    sizes = zip(A.shape[2:], finer.shape[2:], image, strict=True)
    return pooled(full_precision(finer), [min(there, max(ours, -(-side // FINEST))) for ours, there, side in sizes])


def _gradient(chunk: Chunk, layer: int, method: Method, _options: Options) -> torch.Tensor:
    run, target = chunk.run, explained(chunk.run, method)

    def make() -> Tensors:
        pullback = run.own_pullback() if target is run.target else run.differentiated(target)
        return pull(pullback, unit_cotangents(chunk.columns, run.scores))

    gradients: Tensors = chunk.get(("g", method.explains if target is not run.target else ""), make)
    return full_precision(gradients[layer])


def _hessian_times_features(chunk: Chunk, layer: int, method: Method, _options: Options) -> torch.Tensor:
    """`H A`: the derivative of the gradient in the direction of the features."""
    run, target = chunk.run, explained(chunk.run, method)
    A, head = run.at(layer)

    def along_features(cotangent: torch.Tensor) -> torch.Tensor:
        def gradient(A: torch.Tensor) -> torch.Tensor:
            return vjp(lambda features: target(head(features)), A)[1](cotangent)[0]  # type: ignore[no-any-return]

        return _along(gradient, A)

    cotangents = unit_cotangents(chunk.columns, run.scores)
    with sdpa_kernel(SDPBackend.MATH), _second_derivative(A.device):  # fused attention has no forward derivative
        if len(cotangents) == 1:
            return full_precision(along_features(cotangents[0])[None])
        return full_precision(vmap(along_features)(cotangents))


def _along(gradient: Callable[[torch.Tensor], torch.Tensor], A: torch.Tensor) -> torch.Tensor:
    """Forward over reverse; reverse over reverse, which is dearer, where torch has no forward derivative (SiLU)."""
    try:
        return pushforward(gradient, (A,), (A,))  # type: ignore[no-any-return]
    except NotImplementedError:
        return vjp(gradient, A)[1](A)[0]  # type: ignore[no-any-return]  # (H is symmetric)


@contextmanager
def _second_derivative(device: torch.device) -> Iterator[None]:
    """What torch says where it has no second derivative, in our words: the first one was had."""
    try:
        yield
    except (RuntimeError, FuncamError) as error:
        kind = device.type
        if isinstance(error, torch.OutOfMemoryError) or kind == "meta" or is_compiled():
            raise
        cast = torch.is_autocast_enabled(kind)
        under, out = (" under autocast", "call it outside of torch.autocast, ") if cast else ("", "")
        raise FuncamError(
            f"shapley-cam takes a second derivative, and torch has none of this head{under}; {out}name a later layer, "
            "or take grad-cam"
        ) from error


def _noisy_gradients(chunk: Chunk, layer: int, _method: Method, options: Options) -> torch.Tensor:
    """The gradient for noisy copies of the images, `[k, B, samples, C, *S]`."""
    run = chunk.run
    cotangents = unit_cotangents(chunk.columns, run.scores)
    gradients = []
    for noise in _noise(run.images, options["samples"], options["noise"], options["seed"]):
        A, head = run.at_images(layer, run.images + noise)
        pullback = run.pullback_of(partial(_scores_behind, run, head), A)
        gradients.append(full_precision(pull(pullback, cotangents)[0]))
    return torch.stack(gradients, 2)


def _scores_behind(run: BatchRun, head: Callable[[torch.Tensor], Any], features: torch.Tensor) -> torch.Tensor:
    return run.target(head(features))


def _noise(images: torch.Tensor, samples: int, scale: float, seed: int) -> torch.Tensor:
    """Gaussian noise, with a standard deviation relative to the range of each image's values, `[samples, B, ...]`."""
    generator = torch.Generator().manual_seed(seed)
    unit = torch.randn((samples, 1, *images.shape[1:]), generator=generator, **DRAWN).to(images)
    flat = images.flatten(1)
    spread = (flat.amax(1) - flat.amin(1)) if flat.shape[0] else flat.sum(1)
    return unit * scale * spread.view(-1, *[1] * (images.ndim - 1))


def _similar_gradients(chunk: Chunk, layer: int, _method: Method, options: Options) -> torch.Tensor:
    """The gradient of the classes most similar to each explained one, `[k, B, similar, C, *S]`."""
    run, target = chunk.run, similar_target(chunk, options)
    others = target.indices
    every = torch.arange(others.shape[1], device=others.device)
    (*gradients,) = pull(run.differentiated(target), unit_cotangents(every, others.to(run.scores.dtype)))
    g = full_precision(gradients[layer])
    return g.view(len(chunk.columns), -1, *g.shape[1:]).transpose(1, 2)


def similar_target(chunk: Chunk, options: Options) -> Target:
    """The logits of the classes most similar to each explained one, one class after the other: `[B, k * similar]`."""
    run = chunk.run
    chosen = run.target.constants[0][:, chunk.columns]

    def score(outputs: Any, classes: torch.Tensor) -> torch.Tensor:
        return take(logits_of(outputs, run.output), classes)

    others = similar_classes(run.logits.detach(), chosen, _similar_count(run, options["similar"])).flatten(1)
    return Target(others, score, (others,), ClassScore(others, take))


def _similar_count(run: BatchRun, asked: int) -> int:
    """How many similar classes: of a model with few, the usual number is as many as there are."""
    others = run.logits.shape[1] - 1
    if others < 1:
        raise FuncamError("finer-cam contrasts classes and the model has one; use grad-cam, which is the same of one")
    return min(asked, others) if asked == METHODS["finer-cam"].options["similar"] else asked


def _random_weights(chunk: Chunk, layer: int, _method: Method, options: Options) -> torch.Tensor:
    """Numbers between -1 and 1 for each channel, those of a class the same for every image, `[k, B, C]`."""
    A, run = chunk.run.features[layer], chunk.run
    rows = run.logits.shape[1] if run.target.class_score else run.scores.shape[1]
    generator = torch.Generator().manual_seed(options["seed"])
    table = torch.rand((rows, A.shape[1]), generator=generator, **DRAWN) * 2 - 1
    indices = run.target.indices if run.target.indices.ndim == 2 else run.target.indices[:, None]
    return full_precision(table.to(A)[indices[:, chunk.columns].T])


def _full_gradient(chunk: Chunk) -> FullGradient:
    run = chunk.run
    model = module_of(run, "full-grad needs the whole network")
    made: FullGradient = chunk.get(
        "full gradient", lambda: full_gradient(model, run.images, _some(chunk), memory=run.memory)
    )
    return made


def _image_term(chunk: Chunk, _layer: int, _method: Method, _options: Options) -> torch.Tensor:
    return full_precision(_full_gradient(chunk).image)


def _bias_terms(chunk: Chunk, _layer: int, _method: Method, _options: Options) -> Tensors:
    return tuple(map(full_precision, _full_gradient(chunk).biases))


def _attention_gradients(chunk: Chunk, _layer: int, _method: Method, _options: Options) -> Tensors:
    run = chunk.run
    if run.attention is None:
        run.attention = attention_run(module_of(run, "le-grad needs the whole network"), run.images)
    return tuple(map(full_precision, run.attention.gradients(_some(chunk), run.memory)))


def _some(chunk: Chunk) -> Callable[[Any], torch.Tensor]:
    """The chunk's scores as a function of the outputs, `[B, k]`."""
    return lambda outputs: chunk.run.target(outputs)[:, chunk.columns]


PER_SCORE: dict[str, Quantity] = {
    "g": _gradient,
    "h": _hessian_times_features,
    "noisy_g": _noisy_gradients,
    "similar_g": _similar_gradients,
    "random": _random_weights,
    "image_term": _image_term,
    "bias_terms": _bias_terms,
    "attention_g": _attention_gradients,
}
FOR_ALL: dict[str, Quantity] = {"A": _features, "finer": _finer_features}


def guided_rows(
    run: BatchRun, index: int | slice, target: Target, *, plain: bool = False
) -> Callable[[torch.Tensor], torch.Tensor]:
    """As `BatchRun.network`, through guided ReLUs; `plain` where plain autograd differentiates it once."""
    model = module_of(run, "guided backpropagation rewrites the whole network")
    made = guided(model, run.images)
    network = once(made.graph).module if plain else made.network
    score = target.of_image(index)
    return lambda images: full_precision(score(network(images.to(run.images.dtype))))


def require_linear_head(run: BatchRun, method: Method) -> None:
    """Refuse a method that is defined for a head of pooling and one linear layer only.

    Raises:
        FuncamError: the head at one of the layers is something else, or unknown.
    """
    model = module_of(run, f"{method.name} has to look into the head")
    if run.linear is not None:  # it was found and checked
        return
    for cut in run.cuts:
        graph = graph_of(model, run.images)
        known = _HEADS.setdefault(graph, Recent())
        key = (cut.layer, *run.images.shape[1:])
        why = known.get(key, partial(why_not_linear, graph, find_node(graph, cut.layer), (1, *run.images.shape[1:])))
        if why is not None:
            raise FuncamError(
                f"{method.name} is defined where the head is pooling and one linear layer; {why}; use grad-cam, which "
                "is the same there and defined everywhere"
            )


_HEADS: weakref.WeakKeyDictionary[Graph, Recent[str | None]] = weakref.WeakKeyDictionary()


def bytes_each(run: BatchRun, method: Method, options: Options) -> int:
    """About how many bytes one score's quantities take."""
    if any(name in method.takes for name in ("bias_terms", "attention_g")):
        return bytes_of(run.images) * OF_IMAGES
    copies: int = 1 + max(options.get("samples", 0), options.get("similar", 0))
    return bytes_of(*run.features) * OF_FEATURES * copies


def module_of(run: BatchRun, what: str) -> nn.Module:
    """The module behind a run, for what needs all of it.

    Raises:
        FuncamError: there is none, but a pair of functions; or it takes more than images.
    """
    if run.source is None:
        raise FuncamError(
            f"{what}: this needs the whole model, and a pair (features, head) has none; use a method that needs only "
            "the features and the head (as grad-cam), or give the module"
        )
    if run.given.has_others:
        raise FuncamError(f"{what}, as a graph of images alone, and this one takes more; use grad-cam")
    return run.source()
