"""The composition: split the model, differentiate the head, apply a method, in chunks that fit in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.func import vjp, vmap

from funcam.cutting import Split, split
from funcam.errors import FuncamError
from funcam.guidance import guided
from funcam.methods import METHODS, Method, find_method
from funcam.targets import Targets, class_targets, is_concrete

Pullback = Callable[[torch.Tensor], tuple[torch.Tensor, ...]]

# Looked up once: the compiler can't follow an import.
_FUNCTIONS = {name: method.function() for name, method in METHODS.items()}

# A gradient with respect to the image passes through gradients of early layers: at most about this many times as large.
_EARLY_LAYERS = 64
_COPIES = 4


@dataclass(frozen=True, eq=False)
class Explanation:
    """What :func:`explain` returns.

    Attributes:
        maps: the method's own values, float, not rescaled and not upsampled: ``targets.shape + S`` for class activation
            maps, ``targets.shape + [channels, *image size]`` for guided backpropagation and Guided Grad-CAM.
        logits: what the model returned, ``[B, N]``.
        targets: the classes that are explained, ``[B]`` or ``[B, K]``.
        layer: the name of the layer where the model was cut.
        method: the name of the method.
    """

    maps: torch.Tensor
    logits: torch.Tensor
    targets: torch.Tensor
    layer: str
    method: str


def explain(
    model: nn.Module | Split,
    images: torch.Tensor,
    targets: Targets = None,
    *,
    method: str = "grad-cam",
    layer: str | None = None,
    memory: int = 2**28,
    differentiable: bool = False,
) -> Explanation:
    """Explain what a model says of some images.

    Args:
        model: a classifier, or a split of one.
        images: ``[B, channels, *size]``, normalised as the model expects.
        targets: the classes to explain: None for the predicted one, an index, ``[B]``, ``[B, K]`` or ``"all"``.
        method: the name of a method (``funcam methods`` lists them).
        layer: where to cut the model (see :func:`split`).
        memory: about how many bytes the gradients of one chunk of classes may take.
        differentiable: whether the maps can be differentiated in turn, with respect to the images and the weights.

    Returns:
        The explanation: maps, logits, targets, layer and method.

    Raises:
        FuncamError: the model can't be split there, images or targets have another shape, or values aren't finite.

    Example:
        >>> import torchvision
        >>> model = torchvision.models.resnet18()
        >>> explain(model, torch.rand(2, 3, 64, 64), [[1, 2, 3], [4, 5, 6]], layer="layer3").maps.shape
        torch.Size([2, 3, 4, 4])
    """
    (explanation,) = explain_methods(
        model, images, targets, methods=[method], layer=layer, memory=memory, differentiable=differentiable
    )
    return explanation


def explain_methods(
    model: nn.Module | Split,
    images: torch.Tensor,
    targets: Targets = None,
    *,
    methods: list[str],
    layer: str | None = None,
    memory: int = 2**28,
    differentiable: bool = False,
) -> list[Explanation]:
    """Explain with several methods at once: they share the passes through the network. Otherwise as :func:`explain`.

    Example:
        >>> import torchvision
        >>> model = torchvision.models.resnet18()
        >>> results = explain_methods(model, torch.rand(1, 3, 64, 64), methods=["grad-cam", "guided-backprop"])
        >>> [tuple(result.maps.shape) for result in results]
        [(1, 2, 2), (1, 3, 64, 64)]
    """
    table = [find_method(name) for name in methods]
    if isinstance(model, Split) and layer not in (None, model.layer):
        raise FuncamError(f"the model is split at {model.layer!r}; to explain it at {layer!r}, split it there")
    with _modes(differentiable):
        if isinstance(model, Split):
            cut, (A, head) = model, model(images)
        else:
            cut = split(model, layer, example=images)
            A, head = cut.unchecked(images)
        logits, pullback, *_ = vjp(head, A)
        _check_logits(logits, images)
        classes = class_targets(targets, logits)
        found: dict[str, torch.Tensor] = {}
        cams = [method for method in table if method.kind == "map"]
        if any(method.kind == "guided" for method in table) and "grad-cam" not in methods:
            cams.append(find_method("grad-cam"))
        found |= _maps(cams, A, pullback, logits, classes, memory)
        if any(method.kind != "map" for method in table):
            found["guided-backprop"] = _guided_gradients(cut.model(), images, classes, memory)
        for method in table:
            if method.kind == "guided":
                found[method.name] = _per_map(method, found["guided-backprop"], found["grad-cam"], classes.ndim)
    for name in methods:
        _check_finite(found[name], name, cut.layer)
    return [Explanation(found[name], logits, classes, cut.layer, name) for name in methods]


@contextmanager
def _modes(differentiable: bool) -> Iterator[None]:
    """Autograd records nothing of ours unless it was asked for; inference mode, in which nothing can be
    differentiated, is left for the duration."""
    if torch.compiler.is_compiling():  # the compiler asks that inference mode be left alone
        with torch.set_grad_enabled(differentiable):
            yield
    else:
        with torch.inference_mode(False), torch.set_grad_enabled(differentiable):
            yield


def one_hot(classes: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """Cotangents that pick a class: ``[..., B]`` -> ``[..., B, N]`` (a comparison, because it can be traced).

    Example:
        >>> one_hot(torch.tensor([1]), torch.zeros(1, 3))
        tensor([[0., 1., 0.]])
    """
    return (classes[..., None] == torch.arange(logits.shape[-1], device=logits.device)).to(logits.dtype)


def _maps(
    methods: list[Method],
    A: torch.Tensor,
    pullback: Pullback,
    logits: torch.Tensor,
    classes: torch.Tensor,
    memory: int,
) -> dict[str, torch.Tensor]:
    """Each method's maps, ``classes.shape + S``: gradients for a chunk of classes, then the methods, then the next."""
    if not methods:
        return {}
    chunks: dict[str, list[torch.Tensor]] = {method.name: [] for method in methods}
    wide = _full_precision(A)
    for part in _chunks(classes, A.numel() * A.element_size() * _COPIES, memory):
        g = _full_precision(_pull(pullback, one_hot(part, logits)))
        for method in methods:
            chunks[method.name].append(_apply(_FUNCTIONS[method.name], wide, g))
    return {name: _join(parts, classes) for name, parts in chunks.items()}


def _apply(function: Callable[..., Any], A: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
    """A method for one image and one class, over the images ``[B, ...]`` and classes ``[K, B, ...]``."""
    maps: torch.Tensor
    if len(g) == len(A) == 1:  # spared the cost of batching, which is that of the method itself many times over
        maps = function(A[0], g[0, 0])[None, None]
    else:
        maps = vmap(vmap(function), in_dims=(None, 0))(A, g)
    return maps


def _guided_gradients(model: nn.Module, images: torch.Tensor, classes: torch.Tensor, memory: int) -> torch.Tensor:
    """Guided backpropagation, ``classes.shape + [channels, *size]``: ``vmap`` of :func:`guided_backprop` over both.

    One pass for the whole batch takes half the time of ``vmap`` over its images, whose convolutions are slower.
    """
    logits, pullback, *_ = vjp(guided(model).network, images)
    size = images.numel() * images.element_size() * _EARLY_LAYERS
    parts = [_full_precision(_pull(pullback, one_hot(part, logits))) for part in _chunks(classes, size, memory)]
    return _join(parts, classes)


def _chunks(classes: torch.Tensor, bytes_each: int, memory: int) -> tuple[torch.Tensor, ...]:
    """Classes as ``[K, B]`` in chunks of K whose gradients fit into the memory; at least one class at a time."""
    columns = classes[None] if classes.ndim == 1 else classes.T
    return torch.split(columns, max(1, memory // max(1, bytes_each)))


def _pull(pullback: Pullback, cotangents: torch.Tensor) -> torch.Tensor:
    """Gradients for cotangents ``[K, B, N]``, all at once."""
    if len(cotangents) == 1:  # the usual case, spared the cost of batching
        return pullback(cotangents[0])[0][None]
    return vmap(pullback)(cotangents)[0]


def _join(parts: list[torch.Tensor], classes: torch.Tensor) -> torch.Tensor:
    """Chunks of ``[K, B, ...]`` to ``classes.shape + ...``."""
    whole = parts[0] if len(parts) == 1 else torch.cat(parts)
    return whole[0] if classes.ndim == 1 else whole.transpose(0, 1)


def _per_map(method: Method, gradients: torch.Tensor, maps: torch.Tensor, axes: int) -> torch.Tensor:
    function = _FUNCTIONS[method.name]
    for _ in range(axes):
        function = vmap(function)
    result: torch.Tensor = function(gradients, maps)
    return result


def _full_precision(tensor: torch.Tensor) -> torch.Tensor:
    """Sums over half-precision cells lose their digits: methods compute in float32 at least."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def _check_logits(logits: Any, images: torch.Tensor) -> None:
    if not isinstance(logits, torch.Tensor) or logits.ndim != 2 or len(logits) != len(images):
        given = f"shape {list(logits.shape)}" if isinstance(logits, torch.Tensor) else f"a {type(logits).__name__}"
        raise FuncamError(
            f"the model returned {given} for images of {list(images.shape)}; expected logits [{len(images)}, N]"
        )


def _check_finite(maps: torch.Tensor, method: str, layer: str) -> None:
    if is_concrete(maps) and not bool(torch.isfinite(maps).all()):
        raise FuncamError(
            f"{method} at {layer!r} is not finite (NaN or infinity): look for NaN in the weights or the images, "
            "or use a wider type than " + str(maps.dtype)
        )
