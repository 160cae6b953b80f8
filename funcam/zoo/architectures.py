"""Networks built without values: only the names and shapes of their tensors, in hundredths of a second."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torchvision import models

AUXILIARY = ("AuxLogits.", "aux1.", "aux2.")
"""Classifiers that Inception v3 and GoogLeNet have for training only."""

WITH_AUXILIARY = ("googlenet", "inception_v3")


def construct(
    name: str, *, num_classes: int | None = None, image_size: int | None = None, transform_input: bool = True
) -> nn.Module:
    """The network of that canonical name, torchvision's (or the scenes network), with random values.

    Inception v3 and GoogLeNet come without their auxiliary classifiers, which evaluation never runs.

    Args:
        name: a canonical name of the zoo.
        num_classes: so many logits; None for the network's own number.
        image_size: the side of the input, for Vision Transformers only.
        transform_input: whether Inception v3 and GoogLeNet turn ImageNet's normalisation into the one that their
            published weights were trained with.

    Example:
        >>> construct("resnet18", num_classes=7).fc.out_features
        7
    """
    if name == "scenes":
        from funcam.scenes.network import architecture

        return architecture()  # type: ignore[no-any-return, unused-ignore]  # torchvision is untyped
    options: dict[str, Any] = {"num_classes": num_classes, "image_size": image_size}
    if name in WITH_AUXILIARY:
        # Their own initialisation is slow, and torchvision warns where it isn't declined.
        options |= {"aux_logits": False, "init_weights": False, "transform_input": transform_input}
    stated = {key: value for key, value in options.items() if value is not None}
    network: nn.Module = models.get_model(name, weights=None, **stated)
    return network


def meta_network(name: str, **options: Any) -> nn.Module:
    """`construct` without values: its parameters and buffers are on the meta device, no random number is drawn.

    Example:
        >>> meta_network("vit_h_14").conv_proj.weight.is_meta
        True
    """
    with _NoValues():
        return construct(name, **options)


def shapes(model: nn.Module) -> dict[str, tuple[int, ...]]:
    """The shape of each entry of a network's state dict.

    Example:
        >>> shapes(meta_network("resnet18"))["fc.weight"]
        (1000, 512)
    """
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def class_axes(build: Callable[[int], nn.Module]) -> dict[str, int]:
    """Which entries' shapes depend on the number of classes, and at which axis.

    Args:
        build: number of classes -> network; two numbers are tried and the shapes compared.

    Example:
        >>> class_axes(lambda count: meta_network("vgg16", num_classes=count))
        {'classifier.6.weight': 0, 'classifier.6.bias': 0}
    """
    two, three = shapes(build(2)), shapes(build(3))
    return {
        name: next(axis for axis, (a, b) in enumerate(zip(two[name], three[name], strict=True)) if a != b)
        for name in two
        if two[name] != three[name]
    }


def count_classes(model: nn.Module) -> int:
    """The number of logits of a network of the zoo: in all of them the classifier comes last, classes first.

    Example:
        >>> count_classes(meta_network("resnet18", num_classes=7))
        7
    """
    return int(list(model.parameters())[-1].shape[0])


class _NoValues(TorchFunctionMode):
    """Puts new parameters and buffers on the meta device.

    `torch.device("meta")` would put every tensor there, also those that RegNet's constructor computes its widths
    with and Swin's its position indices; so only the factories that allocate parameters are redirected. Filling
    a tensor that has no values is skipped: torch would spend most of the time of the construction on its shapes.
    """

    factories = frozenset({torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn})
    fillers = frozenset(
        getattr(Tensor, f"{name}_") for name in ("normal", "uniform", "fill", "zero", "erfinv", "mul", "add", "clamp")
    )

    def __torch_function__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        options = dict(kwargs or {})
        if func in self.fillers or getattr(func, "__module__", "") == "torch.nn.init":
            tensor = args[0] if args else options["tensor"]
            if tensor.is_meta:
                return tensor
        if func in self.factories and options.get("device") is None:
            options["device"] = "meta"
        return func(*args, **options)


def is_complete(model: nn.Module) -> bool:
    """Whether every parameter and buffer has values."""
    tensors: list[Tensor] = [*model.parameters(), *model.buffers()]
    return not any(tensor.is_meta for tensor in tensors)
