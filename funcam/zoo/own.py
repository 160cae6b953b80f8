"""A model of one's own as a network of the zoo. Importing this module imports neither torch nor torchvision."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from funcam.errors import FuncamError, finite_number, shown, whole_number
from funcam.zoo.labels import numbered
from funcam.zoo.net import Net, labelled

if TYPE_CHECKING:
    from torch import nn

_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def own_net(
    model: nn.Module,
    *,
    input_size: int = 224,
    mean: Sequence[float] = _IMAGENET_MEAN,
    std: Sequence[float] = _IMAGENET_STD,
    classes: Sequence[str] | None = None,
    name: str | None = None,
    interpolation: str = "bilinear",
    fixed_size: bool = False,
) -> Net:
    """A model of one's own, with what it wants of its input.

    Args:
        model: images `[B, 3, H, W]` -> logits `[B, K]` (a tensor, or what `funcam.logits_of` finds them in).
            It stays as it is: one that is in training mode, in half precision or on a GPU is copied first.
        input_size: side of the input in pixels.
        mean: with which an RGB image in 0..1 is normalised; ImageNet's unless given.
        std: as `mean`.
        classes: the K names. Otherwise ImageNet's for 1,000 classes and numbers for any other count.
        name: what to call it; None for the model's class.
        interpolation: how images are resized, "bilinear" or "bicubic".
        fixed_size: whether it takes `input_size` and no other.

    Raises:
        FuncamError: a value can't be, the model can't take such an input, or the names are not as many as its logits.

    Example:
        >>> from torch import nn
        >>> model = nn.Sequential(nn.Conv2d(3, 2, 9), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        >>> own_net(model, input_size=64, mean=(0.5,) * 3, std=(0.25,) * 3, classes=("cat", "dog")).classes
        ('cat', 'dog')
    """
    from funcam.zoo.published import default
    from funcam.zoo.user_models import count_logits, ready

    _check_input(input_size, mean, std, interpolation)
    name = type(model).__name__ if name is None else name
    model = ready(model)
    count = count_logits(model, input_size, name)
    imagenet = tuple(default("resnet50").meta["categories"])
    net = Net(
        name=name,
        model=model,
        classes=imagenet if count == len(imagenet) else numbered(count),
        weights="its own",
        input_size=input_size,
        resize_size=input_size,
        mean=tuple(mean),
        std=tuple(std),
        interpolation=interpolation,
        fixed_size=fixed_size,
        min_size=input_size if fixed_size else 1,
    )
    return net if classes is None else labelled(net, classes)


def _check_input(input_size: int, mean: Sequence[float], std: Sequence[float], interpolation: str) -> None:
    whole_number("input_size", input_size)
    if input_size < 1:
        raise FuncamError(f"input_size={input_size} is too small; give the side of the input in pixels, such as 224")
    for what, values in (("mean", mean), ("std", std)):
        if isinstance(values, str) or not isinstance(values, Iterable):
            raise FuncamError(f"{what} is {shown(values)}; expected 3 numbers, for red, green and blue in 0..1")
        values = [finite_number(what, value) for value in values]
        if len(values) != 3:
            raise FuncamError(f"{what} has {len(values)} values; expected 3, for red, green and blue in 0..1")
    if min(std) <= 0:
        raise FuncamError(f"std={tuple(std)} divides by zero or less; expected 3 positive values, such as 0.25")
    if interpolation not in ("bilinear", "bicubic"):
        raise FuncamError(f"interpolation={interpolation!r} is unknown; expected 'bilinear' or 'bicubic'")
