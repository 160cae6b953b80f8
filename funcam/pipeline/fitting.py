"""An image put before a network, at the size that a recipe asks for."""

from __future__ import annotations

from dataclasses import dataclass

from funcam.errors import FuncamError
from funcam.imaging.fit import View
from funcam.imaging.reading import Pixels
from funcam.recipe import Recipe
from funcam.zoo.nets import Net, at_size
from funcam.zoo.preprocessing import fitted

# Guided backpropagation keeps every activation: up to about 2 kB a pixel in the usual networks.
_MOST_NATIVE_PIXELS = 4_000_000


@dataclass(frozen=True)
class FittedImage:
    """An image and what a network sees of it.

    Attributes:
        image: uint8 RGB `[H, W, 3]`.
        pixels: as the network takes it, uint8 RGB `[h, w, 3]`.
        fit: how it was put there.
        view: which part of the image that is.
    """

    image: Pixels
    pixels: Pixels
    fit: str
    view: View


def fit_for(net: Net, image: Pixels, fit: str) -> FittedImage:
    """Put an image before a network of its `sized` input.

    Args:
        net: the network.
        image: uint8 RGB `[H, W, 3]`.
        fit: as in `explain_image`.

    Raises:
        FuncamError: the network can't take the image.
    """
    _check_native(net, image, fit)
    pixels, view = fitted(net, image, fit)
    return FittedImage(image, pixels, fit, view)


def sized(net: Net, recipe: Recipe, fit: str) -> Net:
    """The network with the input that the recipe asks for.

    Args:
        net: the network.
        recipe: the recipe.
        fit: as in `explain_image`.

    Raises:
        FuncamError: it can't have that input, or `fit` keeps the image's own size.
    """
    side = recipe.size_for(net.input_size)
    if fit == "native" and side != net.input_size:
        raise FuncamError(
            f"the recipe asks for an input of {side} pixels and fit='native' keeps the image's own size; "
            "use --fit squash, crop or pad"
        )
    return at_size(net, side)


def _check_native(net: Net, image: Pixels, fit: str) -> None:
    """A network must be able to take an image as it is."""
    height, width = image.shape[:2]
    if fit == "native":
        if net.fixed_size and (height, width) != net.size:
            raise FuncamError(
                f"{net.name} takes images of {net.size[1]}x{net.size[0]} only, this one has {width}x{height}; "
                "use --fit squash, crop or pad"
            )
        if min(height, width) < net.min_size:
            raise FuncamError(
                f"the image has {width}x{height} pixels and {net.name} needs at least {net.min_size} on each side; "
                "use --fit squash, crop or pad"
            )
        if height * width > _MOST_NATIVE_PIXELS:
            raise FuncamError(
                f"the image has {width}x{height} pixels, more than the {_MOST_NATIVE_PIXELS / 1e6:.0f} megapixels that "
                "--fit native takes (its memory grows with the image); use --fit squash, crop or pad"
            )
