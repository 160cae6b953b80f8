"""Augmentation smoothing: maps averaged over flipped and rescaled copies of the images. It takes any method."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch

from funcam.errors import FuncamError, shown
from funcam.network.layout import of_images

Change = Callable[[torch.Tensor], torch.Tensor]
Back = Callable[[torch.Tensor, int], torch.Tensor]

_FACTORS = (0.9, 1.0, 1.1)


def columns_of(images: Sequence[int]) -> int:
    """The axis along which images of a shape are mirrored: the last, or the one before the channels.

    Example:
        >>> columns_of((1, 3, 64, 64)), columns_of((1, 64, 64, 3))
        (-1, -2)
    """
    return -2 if of_images(images).kind == "channels-last" else -1


def variants(*, flip: bool = True) -> Iterator[tuple[Change, Back]]:
    """The changes besides none at all, each with what brings a map back: values times 0.9, 1.0, 1.1, mirrored or not.

    What brings a map back is told along which axis of the map the columns are.

    Args:
        flip: whether to mirror; not for a target that knows of places, such as a mask.

    Example:
        >>> [float(change(torch.ones(1, 1, 2, 2)).mean()) for change, _ in variants(flip=False)]
        [0.8999999761581421, 1.100000023841858]
    """
    for mirrored in (False, True) if flip else (False,):
        for factor in _FACTORS:
            if mirrored or factor != 1.0:
                yield _change(factor, mirrored), _flip if mirrored else _keep


def augmented(explainer: Change, *, flip: bool = True) -> Change:
    """An explainer, `images [B, channels, *size] -> maps [..., *S]`, averaged over changed copies of the images.

    Args:
        explainer: any function of the images; it must explain the same classes for each copy.
        flip: as in `variants`.

    Raises:
        FuncamError: the explainer is no function, or returns no maps.

    Source:
        `aug_smooth` of pytorch-grad-cam, which names no paper: six copies.

    Example:
        >>> import torchvision
        >>> from funcam import explain
        >>> model = torchvision.models.resnet18()
        >>> smooth = augmented(lambda images: explain(model, images, 3).maps)
        >>> smooth(torch.rand(1, 3, 64, 64)).shape
        torch.Size([1, 2, 2])
    """
    if not callable(explainer):
        raise FuncamError(f"the explainer is {shown(explainer)}; expected a function, images -> maps")
    if not isinstance(flip, bool):
        raise FuncamError(f"flip is {shown(flip)}; expected True or False")

    def explained(images: torch.Tensor) -> torch.Tensor:
        maps = explainer(images)
        if not isinstance(maps, torch.Tensor):
            raise FuncamError(
                f"the explainer returned a {type(maps).__name__}; expected maps, a tensor: "
                "lambda images: funcam.explain(model, images, classes).maps"
            )
        return maps

    def average(images: torch.Tensor) -> torch.Tensor:
        changed = [back(explained(change(images)), -1) for change, back in variants(flip=flip)]
        return torch.stack([explained(images), *changed]).mean(0)

    return average


def _change(factor: float, mirrored: bool) -> Change:
    return lambda images: _flip(images * factor, columns_of(images.shape)) if mirrored else images * factor


def _flip(tensor: torch.Tensor, columns: int) -> torch.Tensor:
    return tensor.flip(columns)


def _keep(tensor: torch.Tensor, _columns: int) -> torch.Tensor:
    return tensor
