"""Small networks with random values that matter, for packages whose models are made from a configuration."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import torch
from torch import Tensor, nn


def usual_sizes(model: nn.Module) -> nn.Module:
    """Gives every parameter random values of a usual size, in place.

    Transformers and the like begin with weights of 0.02, LayerScale of 0.00001, and zeros for tokens, positions and the
    last layer of a branch: a block then hardly does anything, and a map through it would be right by chance.

    Args:
        model: the network; BatchNorm's running statistics stay as they are.

    Returns:
        The same network in evaluation mode.
    """
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not parameter.is_floating_point() or parameter.ndim == 0:
                continue
            if parameter.ndim == 1:
                centre, spread = (0.0, 0.1) if name.endswith("bias") else (1.0, 0.2)
            elif name.rsplit(".", 1)[-1].endswith("weight"):
                centre, spread = 0.0, (2.0 / prod(parameter.shape[1:])) ** 0.5
            else:  # tokens, positions, tables of relative positions, scales of weight_norm
                centre, spread = 0.0, 0.2
            parameter.normal_(centre, spread)
    return model.eval()


def tiny(name: str, **settings: Any) -> Callable[[], nn.Module]:
    """How to make a class of transformers from a small configuration of its own: nothing is downloaded.

    Args:
        name: the class, `ViTForImageClassification`.
        settings: what its configuration takes; a callable is called when the model is made.

    Returns:
        A function without arguments that makes the model.
    """

    def make() -> nn.Module:
        import transformers

        network = getattr(transformers, name)
        made = {key: value() if callable(value) else value for key, value in settings.items()}
        return usual_sizes(network(network.config_class(**made)))

    return make


def calibrated(make: Callable[[], nn.Module], image: tuple[int, ...]) -> Callable[[], nn.Module]:
    """The same network with BatchNorm's statistics of its own random values.

    With the statistics it is made with, a long row of random convolutions and gates dies out or explodes.

    Args:
        make: makes the model.
        image: the shape of one image.

    Returns:
        A function that makes the model in evaluation mode.
    """

    def run_once() -> nn.Module:
        model = make()
        norms = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
        usual = [norm.momentum for norm in norms]
        for norm in norms:
            norm.train()
            norm.momentum = 1.0
        with torch.no_grad():
            model(torch.randn(4, *image))
        for norm, momentum in zip(norms, usual, strict=True):
            norm.momentum = momentum
        return model.eval()

    return run_once


def config(name: str, **settings: Any) -> Callable[[], Any]:
    """A configuration within a configuration (`backbone_config`), made when the model is.

    Args:
        name: the class of the configuration, `ResNetConfig`.
        settings: what it takes.

    Returns:
        A function without arguments that makes the configuration.
    """

    def make() -> Any:
        import transformers

        return getattr(transformers, name)(**settings)

    return make


def first_component(key: str) -> Callable[[Any], Tensor]:
    """A score for models that return no classes: the first component of an embedding.

    Args:
        key: where the embedding `[B, C]` is in what the model returns, `pooler_output`.

    Returns:
        From what the model returns to `[B]`.
    """
    return lambda returned: returned[key][:, 0]


def class_over_pixels(key: str | None = None) -> Callable[[Any], Tensor]:
    """A score of a segmentation: class 1 summed over all pixels.

    Args:
        key: where the logits `[B, classes, *S]` are in what the model returns; None where it returns them.

    Returns:
        From what the model returns to `[B]`.
    """
    return lambda returned: (returned if key is None else returned[key])[:, 1].flatten(1).sum(1)


def class_over_queries(key: str) -> Callable[[Any], Tensor]:
    """A score of a detector: class 1 summed over all queries.

    Args:
        key: where the logits `[B, queries, classes]` are in what the model returns.

    Returns:
        From what the model returns to `[B]`.
    """
    return lambda returned: returned[key][:, :, 1].sum(1)


class ImageByName(nn.Module):
    """A model whose first argument isn't the image: the image is given to it by name.

    Attributes:
        model: the model.
        key: the name of the argument that is the image.
    """

    def __init__(self, model: nn.Module, key: str = "pixel_values") -> None:
        super().__init__()
        self.model = model
        self.key = key

    def forward(self, image: Tensor, **others: Any) -> Any:
        """What the model returns for the image and everything else it takes."""
        return self.model(**{self.key: image}, **others)


class ColourTokens(nn.Module):
    """A model that reads an image as one token of colour for each pixel, row after row (ImageGPT).

    Attributes:
        model: takes `[B, H * W]` token numbers.
        colours: how many tokens of colour there are.
    """

    def __init__(self, model: nn.Module, colours: int) -> None:
        super().__init__()
        self.model = model
        self.colours = colours

    def forward(self, image: Tensor) -> Any:
        """What the model returns for the grey value of each pixel, as a number of a colour."""
        grey = image.mean(1).flatten(1).sigmoid()
        return self.model(input_ids=(grey * (self.colours - 1)).round().long())
