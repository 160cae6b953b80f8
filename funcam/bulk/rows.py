"""A batch of images before the network: a row for each, with its map or its own error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from funcam.bulk.asked import Asked, target_of
from funcam.bulk.ready import Ready
from funcam.errors import FuncamError, one_line
from funcam.pipeline.explain_recipe import explain_recipe
from funcam.pipeline.explaining import check_logits
from funcam.pipeline.predictions import Prediction, likeliest, predictions
from funcam.store import Row, figures
from funcam.targets.target import ClassScore, Targets, take
from funcam.zoo.preprocessing import normalised


class OutOfMemory(Exception):
    """So many images at once are too many for the memory that there is."""


class Rows:
    """Makes rows of images.

    Args:
        asked: what is asked of them.
    """

    def __init__(self, asked: Asked) -> None:
        self._asked, self._target = asked, target_of(asked)

    def of(self, images: Sequence[Ready], parts: int) -> list[Row]:
        """A row for each image, in their order.

        Which images go through the network together depends on the images and on `parts` alone.

        Args:
            images: read or with an error each.
            parts: into so many parts the batch is divided.

        Raises:
            OutOfMemory: the parts have to be smaller.
        """
        rows: dict[int, Row] = {}
        groups: dict[Any, list[tuple[Ready, int | None]]] = {}
        for image in images:
            target: int | None = None
            try:
                target = self._target(image.item.label) if image.pixels is not None else None
            except FuncamError as error:
                image = replace(image, error=image.item.unlabelled or str(error))
            if image.error is not None or image.pixels is None:  # without either, the first of its content tells
                rows[image.index] = _row(image, error=image.error)
            else:
                groups.setdefault((image.pixels.shape, target is None), []).append((image, target))
        for group in groups.values():
            length = max(-(-len(group) // parts), 1)
            for first in range(0, len(group), length):
                rows |= self._together(group[first : first + length])
        return [rows[image.index] for image in images]

    def _together(self, group: Sequence[tuple[Ready, int | None]]) -> dict[int, Row]:
        """The rows of images that go at once; where that fails, of each half of them."""
        try:
            return {row.index: row for row in self._explained([image for image, _ in group], [t for _, t in group])}
        except FuncamError as error:
            if len(group) == 1:
                return {group[0][0].index: _row(group[0][0], error=str(error))}
        except Exception as error:
            if _lacks_memory(error):
                raise OutOfMemory from error
            if len(group) == 1:
                return {group[0][0].index: _row(group[0][0], error=f"{type(error).__name__}: {one_line(str(error))}")}
        half = len(group) // 2
        return self._together(group[:half]) | self._together(group[half:])

    def _explained(self, images: Sequence[Ready], targets: Sequence[int | None]) -> list[Row]:
        asked, net = self._asked, self._asked.net
        pixels = [image.pixels for image in images if image.pixels is not None]
        (result,) = explain_recipe(
            net.model,
            normalised(net, pixels, asked.device),
            _targets(targets),
            asked.recipe,
            output=net.output,
            scores=net.scores,
            layout=asked.layout,
        )
        logits, maps = result.logits.float().cpu(), result.maps.float().cpu()
        maps = maps.mean(1) if maps.ndim == 4 else maps  # a clip's frames are all the image
        check_logits(logits, net)  # (the maps were looked at by who made them)
        chosen = [index if told is None else told for index, told in zip(result.targets.tolist(), targets, strict=True)]
        told = figures(maps.numpy(), asked.threshold)
        return [
            _row(
                image,
                top=tuple(_score(net.classes, said) for said in likeliest(net, logits[one])),
                target=chosen[one],
                score=_score(net.classes, predictions(net, logits[one], [chosen[one]])[0])[1],
                figures=told[one],
                map=maps[one].numpy(),
            )
            for one, image in enumerate(images)
        ]


def _row(image: Ready, **told: Any) -> Row:
    width, height = image.size or (None, None)
    return Row(image.index, image.item.path, image.item.label, image.content, width, height, **told)


def _targets(told: Sequence[int | None]) -> Targets:
    """Each image's class; what speaks against a class is asked of all images alike."""
    classes = [index for index in told if index is not None]
    if len(classes) < len(told):
        return None
    if classes[0] >= 0:
        return torch.tensor(classes)
    return ClassScore(~classes[0], lambda logits, chosen: -take(logits, chosen))


def _score(classes: Sequence[str], said: Prediction) -> tuple[int, float]:
    index = said.index if said.name == classes[said.index] else ~said.index
    return index, said.logit if said.probability is None else said.probability


def _lacks_memory(error: Exception) -> bool:
    """Whether it says that memory ran out, on a device or here (torch's own allocator says so in words only)."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)
