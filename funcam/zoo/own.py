"""A model of one's own as a network of the zoo. Importing this module imports neither torch nor torchvision."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import TYPE_CHECKING

from funcam.errors import FuncamError, finite_number, shown, whole_number
from funcam.recipe import Scores
from funcam.zoo.labels import numbered
from funcam.zoo.net import Net, labelled

if TYPE_CHECKING:
    from torch import nn

_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_CHANNELS = (1, 3, 4)
_GREY_STD = 0.226  # the mean of ImageNet's three
_ASKED: ContextVar[str | int | None] = ContextVar("output", default=None)


@contextmanager
def reading(output: str | int | None) -> Iterator[None]:
    """Inside, this is where `own_net` finds the logits, unless it is told: what the command line says.

    Example:
        >>> with reading("logits"):
        ...     pass
    """
    token = _ASKED.set(output)
    try:
        yield
    finally:
        _ASKED.reset(token)


def own_net(
    model: nn.Module,
    *,
    input_size: int | tuple[int, int] = 224,
    mean: Sequence[float] = _IMAGENET_MEAN,
    std: Sequence[float] | None = None,
    classes: Sequence[str] | None = None,
    name: str | None = None,
    interpolation: str = "bilinear",
    fixed_size: bool = False,
    frames: int | None = None,
    scores: Scores | None = None,
    output: str | int | None = None,
) -> Net:
    """A model of one's own, with what it wants of its input and what its outputs mean.

    Args:
        model: images `[B, C, H, W]` -> logits `[B, K]` (a tensor, or what `funcam.logits_of` finds them in).
            It stays as it is: one that is in training mode, in half precision or on a GPU is copied first.
        input_size: side of the input in pixels, or `(height, width)`.
        mean: with which an image in 0..1 is normalised, a number for each channel; ImageNet's unless given. Three are
            RGB, one is grey (Rec. 601), four are RGB and alpha, which is 1.
        std: as `mean`; None for ImageNet's (0.226 for every channel that isn't RGB).
        classes: the K names. Otherwise ImageNet's for 1,000 classes and numbers for any other count.
        name: what to call it; None for the model's class.
        interpolation: how images are resized, "bilinear" or "bicubic".
        fixed_size: whether it takes `input_size` and no other.
        frames: for models of clips `[B, T, C, H, W]`: how many frames T, all of them the image.
        scores: what makes probabilities of the outputs: "softmax", "sigmoid" (one logit, or classes that may all be
            there) or "none" (they are probabilities, or plain numbers); None to find out: see `funcam.explain`.
        output: where the logits are in what the model returns: a key, an attribute or an index (`funcam.logits_of`);
            None for the only ones, or what `--output` says.

    Raises:
        FuncamError: a value can't be, the model can't take such an input, or the names are not as many as its logits.

    Example:
        >>> from torch import nn
        >>> model = nn.Sequential(nn.Conv2d(1, 2, 9), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        >>> net = own_net(model, input_size=(64, 32), mean=(0.5,), std=(0.25,), classes=("cat", "dog"))
        >>> net.classes, net.image_shape
        (('cat', 'dog'), (1, 64, 32))
    """
    from funcam.zoo.user_models import ready

    height, width = _size(input_size)
    mean, std = _normalisation(mean, std)
    if interpolation not in ("bilinear", "bicubic"):
        raise FuncamError(f"interpolation={interpolation!r} is unknown; expected 'bilinear' or 'bicubic'")
    net = Net(
        name=type(model).__name__ if name is None else name,
        model=ready(model),
        classes=(),
        weights="its own",
        input_size=height,
        resize_size=max(height, width),
        mean=mean,
        std=std,
        interpolation=interpolation,
        fixed_size=fixed_size,
        min_size=min(height, width) if fixed_size else 1,
        width=None if width == height else width,
        frames=None if frames is None else whole_number("frames", frames, 1),
        output=_ASKED.get() if output is None else output,
    )
    net = answered(net, scores)
    return net if classes is None else labelled(net, classes)


def answered(net: Net, scores: Scores | None = None) -> Net:
    """A network with as many classes as it says that there are, and what its outputs mean.

    Args:
        net: the network; its classes keep their names where they are as many.
        scores: what the outputs mean; None to find out.

    Raises:
        FuncamError: it can't take its input, or returns no logits.
    """
    from funcam.zoo.published import default
    from funcam.zoo.user_models import first_answer

    answer = first_answer(net, scores)
    imagenet = tuple(default("resnet50").meta["categories"])
    known = imagenet if answer.classes == len(imagenet) else numbered(answer.classes)
    return replace(net, classes=net.classes if len(net.classes) == answer.classes else known, scores=answer.scores)


def _size(given: int | tuple[int, int]) -> tuple[int, int]:
    sides = [*given] if isinstance(given, tuple | list) else [given, given]
    if len(sides) != 2:
        raise FuncamError(f"input_size={shown(given)} has {len(sides)} sides; expected one number, or (height, width)")
    for side in sides:
        if whole_number("input_size", side) < 1:
            raise FuncamError(
                f"input_size={shown(given)} is too small; give the side of the input in pixels, such as 224, or its "
                "(height, width)"
            )
    return int(sides[0]), int(sides[1])


def _normalisation(mean: Sequence[float], std: Sequence[float] | None) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel."""
    means = _channels("mean", mean)
    if std is None:
        return means, _IMAGENET_STD if len(means) == 3 else (_GREY_STD,) * len(means)
    stds = _channels("std", std)
    if len(stds) != len(means):
        raise FuncamError(
            f"std has {len(stds)} values and mean has {len(means)}; expected one of each for each channel"
        )
    if min(stds) <= 0:
        raise FuncamError(f"std={stds} divides by zero or less; expected positive values, such as 0.25")
    return means, stds


def _channels(what: str, values: Sequence[float]) -> tuple[float, ...]:
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise FuncamError(
            f"{what} is {shown(values)}; expected 3 numbers, for red, green and blue in 0..1 (1 for grey, 4 with alpha)"
        )
    numbers = tuple(finite_number(what, value) for value in values)
    if len(numbers) not in _CHANNELS:
        raise FuncamError(
            f"{what} has {len(numbers)} values; expected 3 (red, green and blue in 0..1), 1 (grey) or 4 (RGB and alpha)"
        )
    return numbers
