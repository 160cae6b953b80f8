"""A network that is ready to predict, and what is known of one: the zoo's two types. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from funcam.errors import FuncamError, whole_number
from funcam.recipe import Scores

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Net:
    """A network that is ready to predict, and what it wants of its input.

    Attributes:
        name: what it is called.
        model: in evaluation mode, float32, on the CPU.
        classes: the name of each logit; "class 17" where nobody named it.
        weights: where the values come from: a name such as IMAGENET1K_V1, a path, or a word.
        input_size: side of the input in pixels.
        resize_size: length of the image's shorter edge before `input_size` is cropped from its centre.
        mean: what is subtracted of red, green and blue in 0..1.
        std: what the difference is divided by.
        interpolation: how the image is resized: "bilinear" or "bicubic".
        fixed_size: whether the network takes `input_size` and no other.
        min_size: the smallest side of an input that the network takes.
        width: the input's width where it is no square; its height is `input_size` then.
        frames: how many frames of a clip `[B, T, C, H, W]` the network takes, all of them the image; None for images.
        scores: what makes probabilities of what it returns: `softmax`, `sigmoid`, or `none`.
        output: where the logits are in what it returns (see `funcam.logits_of`).
    """

    name: str
    model: nn.Module
    classes: tuple[str, ...]
    weights: str
    input_size: int
    resize_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str
    fixed_size: bool
    min_size: int
    width: int | None = None
    frames: int | None = None
    scores: Scores = "softmax"
    output: str | int | None = None

    def __repr__(self) -> str:
        return f"Net({self.name}, weights: {self.weights}, {len(self.classes)} classes, takes {list(self.image_shape)})"

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the input in pixels."""
        return self.input_size, self.width or self.input_size

    @property
    def image_shape(self) -> tuple[int, ...]:
        """The shape of one image as the network takes it, `[channels, H, W]` or `[frames, channels, H, W]`."""
        return (*(() if self.frames is None else (self.frames,)), len(self.mean), *self.size)


@dataclass(frozen=True)
class NetInfo:
    """What `funcam nets` says about a network, known without building it.

    Attributes:
        name: a name of `NETS`.
        aliases: other names that `load_net` takes.
        parameters: how many.
        input_size: side of the input in pixels.
        fixed_size: whether the network takes `input_size` and no other.
        classes: how many logits.
        weights: the names that `load_net` takes as `weights`, the default first; none for the network in the package.
        megabytes: size of the default weights' file.
        accuracy: top-1 accuracy on ImageNet in percent with the default weights, as published; None for others.
    """

    name: str
    aliases: tuple[str, ...]
    parameters: int
    input_size: int
    fixed_size: bool
    classes: int
    weights: tuple[str, ...]
    megabytes: float
    accuracy: float | None


MOST_PIXELS = 2**22
"""Of an input that is asked for: a network takes up to 2 kB for each."""


def at_size(net: Net, size: int | None) -> Net:
    """The network with an input of another size: coarse maps become finer where it is larger.

    Args:
        net: any network.
        size: side of the input in pixels (its height, where it is no square: the width follows); None leaves the
            network as it is.

    Raises:
        FuncamError: the network takes its own size and no other, or none that small, or it is more than 4 megapixels.

    Example:
        >>> from funcam.zoo import build_net
        >>> at_size(build_net("resnet18"), 320).input_size
        320
    """
    if size is None or whole_number("size", size) == net.input_size:
        return net
    scale = size / net.input_size
    width = None if net.width is None else max(round(net.width * scale), 1)
    if net.fixed_size or min(size, width or size) < net.min_size:
        smallest = f"exactly {net.input_size}" if net.fixed_size else f"at least {net.min_size}"
        raise FuncamError(f"{net.name} can't take images of {size} pixels; it takes {smallest}")
    if size * (width or size) > MOST_PIXELS:
        raise FuncamError(
            f"an input of {width or size}x{size} pixels is more than {MOST_PIXELS:,}: its memory, up to 2 kB a pixel, "
            f"grows with it; give a smaller size such as {2 * net.input_size}"
        )
    return replace(net, input_size=size, width=width, resize_size=max(round(net.resize_size * scale), 1))


def labelled(net: Net, names: Sequence[str]) -> Net:
    """The network with these names for its classes.

    Raises:
        FuncamError: there are not as many names as classes.

    Example:
        >>> from funcam.zoo import build_net
        >>> labelled(build_net("resnet18", num_classes=2), ["cat", "dog"]).classes
        ('cat', 'dog')
    """
    if len(names) != len(net.classes):
        message = f"{len(names)} class names were given, but {net.name} with the weights {net.weights} has"
        raise FuncamError(f"{message} {len(net.classes)} classes; give one name for each, in their order")
    return replace(net, classes=tuple(names))
