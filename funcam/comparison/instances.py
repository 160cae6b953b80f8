"""One image before one network, and where the objects of the explained class lie in the network's input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from funcam import metrics
from funcam.comparison.dataset import Example
from funcam.comparison.plan import Plan, Rival
from funcam.errors import FuncamError
from funcam.imaging.fit import View
from funcam.imaging.reading import Pixels
from funcam.metrics.inputs import any_pixel
from funcam.truth import Object
from funcam.truth.truth import Mask
from funcam.zoo.preprocessing import fitted


@dataclass(frozen=True)
class Instance:
    """One image before one network, and what of it is explained.

    Attributes:
        example: the image.
        image: as the network takes it.
        view: which part of it that is.
        labels: the classes that fit an object, of which the one is explained that the network finds most probable;
            empty for whatever the network says.
    """

    example: Example
    image: Pixels
    view: View
    labels: tuple[int, ...]


def instances_of(example: Example, image: Pixels, rival: Rival, plan: Plan) -> list[Instance]:
    """An image as the network takes it, once for each class (or choice of classes) that is explained.

    Raises:
        FuncamError: the image can't be fitted, or the truth is what is explained and names no class of the network.
    """
    net = rival.net
    seen, view = fitted(net, image, plan.fit)
    if plan.target == "predicted" or example.truth is None:
        return [Instance(example, seen, view, ())]
    fitting = (tuple(label for label in o.labels if label < len(net.classes)) for o in example.truth.objects)
    choices = list(dict.fromkeys(labels for labels in fitting if labels))
    if not choices:
        raise FuncamError(f"the truth of {example.name} names no class of {net.name}; use --target predicted")
    return [Instance(example, seen, view, labels) for labels in choices]


@dataclass(frozen=True)
class LocatedObjects:
    """The objects of the explained class of each instance, in the pixels of the network's input.

    Attributes:
        boxes: `[B, M, 4]`.
        valid: `[B, M]`.
        masks: bool `[B, M, H, W]`, what each object is measured against: its box or its own mask.
        whole: bool `[B, 1, H, W]`, all objects together.
        exact: bool `[B, 1, H, W]`, the objects' own masks together; None unless all have one.
    """

    boxes: torch.Tensor
    valid: torch.Tensor
    masks: torch.Tensor
    whole: torch.Tensor
    exact: torch.Tensor | None

    @classmethod
    def of(
        cls, instances: Sequence[Instance], classes: Sequence[int], device: str, against: str = "boxes"
    ) -> LocatedObjects:
        """The objects of each class, or of every class where the network's word is explained without truth.

        Args:
            instances: of one size.
            classes: the explained one of each instance.
            device: where the tensors go.
            against: `boxes` or `masks`, as in `Plan`.
        """
        size = instances[0].view.input_size
        located = [_located(instance, label) for instance, label in zip(instances, classes, strict=True)]
        boxes, valid = metrics.pad_boxes([[box for _, box in objects] for objects in located], device=device)
        boxed = metrics.box_masks(boxes, valid, size)
        own = boxed.clone()
        for row, (instance, objects) in enumerate(zip(instances, located, strict=True)):
            for column, (object_, _) in enumerate(objects):
                if object_.mask is not None:
                    own[row, column] = torch.tensor(_mask_seen(object_.mask, instance.view), device=device)
        masks = own if against == "masks" else boxed
        every = all(object_.mask is not None for objects in located for object_, _ in objects)
        exact = any_pixel(own, 1)[:, None] if every else None
        return cls(boxes, valid, masks, any_pixel(masks, 1)[:, None], exact)


def _located(instance: Instance, label: int) -> list[tuple[Object, NDArray[np.float64]]]:
    """The objects of a class with their boxes in the network's input, cut at its edges, without what it did not see."""
    truth = instance.example.truth
    objects = truth.of(label if instance.labels else None) if truth else ()
    x0, y0, x1, y1 = instance.view.box
    height, width = instance.view.input_size
    scale = np.array([width / (x1 - x0), height / (y1 - y0)] * 2)
    located = []
    for object_ in objects:
        box = (np.array(object_.box, np.float64) - np.array([x0, y0, x0, y0])) * scale
        box = box.clip(0, [width, height, width, height])
        if box[2] > box[0] and box[3] > box[1]:
            located.append((object_, box))
    return located


def _mask_seen(mask: Mask, view: View) -> NDArray[np.bool_]:
    """An object's pixels in the network's input: each pixel is what lies at its centre."""
    (height, width), (rows, columns) = view.image_size, view.input_size
    x0, y0, x1, y1 = view.box
    if (x0, y0, x1, y1) == (0, 0, width, height):
        return mask(rows, columns)
    down = np.floor(y0 + (np.arange(rows) + 0.5) * (y1 - y0) / rows).astype(int)
    across = np.floor(x0 + (np.arange(columns) + 0.5) * (x1 - x0) / columns).astype(int)
    seen = ((down >= 0) & (down < height))[:, None] & (across >= 0) & (across < width)
    picked: NDArray[np.bool_] = mask(height, width)[down.clip(0, height - 1)[:, None], across.clip(0, width - 1)]
    return picked & seen
