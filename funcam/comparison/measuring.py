"""Measuring one batch of images with one network: one forward pass for all methods and layers, then the metrics."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from funcam import metrics
from funcam.comparison.plan import BASELINES, FAITHFULNESS, LOCALISATION, Plan, Rival
from funcam.comparison.subjects import Subject
from funcam.errors import FuncamError
from funcam.explanation import explain_methods
from funcam.fit import View
from funcam.images import Pixels
from funcam.inputs import fitted, normalised
from funcam.methods import METHODS
from funcam.render import picture_size, resize_picture, signed_picture

_CURVES = ("insertion", "deletion")
_PICTURE = 160  # pixels of the longer side of a picture in the journal


@dataclass(frozen=True)
class Item:
    """One image before one network, and one class of it that is explained."""

    subject: Subject
    image: Pixels
    view: View
    label: int | None


def items_of(subject: Subject, rival: Rival, plan: Plan) -> list[Item]:
    """An image as the network takes it, once for each class that is explained.

    Raises:
        FuncamError: the image can't be read or fitted, or it has no truth and the truth is what is explained.
    """
    net = rival.net
    image, view = fitted(net, subject.load(), plan.fit)
    if plan.target == "predicted" or subject.truth is None:
        return [Item(subject, image, view, None)]
    labels = [label for label in subject.truth.labels if label < len(net.classes)]
    if not labels:
        raise FuncamError(f"the truth of {subject.name} names no class of {net.name}; use --target predicted")
    return [Item(subject, image, view, label) for label in labels]


def measure(items: Sequence[Item], rival: Rival, plan: Plan, device: str) -> list[dict[str, Any]]:
    """The records of some items: predictions, and for each layer and method the map and its metrics.

    Args:
        items: of one size.
        rival: the network, on the device.
        plan: what is computed.
        device: where.

    Returns:
        A record for each item, ready for JSON.

    Raises:
        FuncamError: the network can't take the images or can't have a method.
    """
    net = rival.net
    images = normalised(net, [item.image for item in items], device)
    targets = None if items[0].label is None else torch.tensor([item.label for item in items], device=device)
    layers = plan.layers.get(rival.label, ())
    results = explain_methods(
        net.model,
        images,
        targets,
        methods=plan.methods,
        layer=list(layers) if len(layers) > 1 else layers[0] if layers else None,
        combine=plan.combine,
        smooth=plan.smooth,
        options=plan.options,
    )
    classes, probabilities = results[0].targets, results[0].logits.double().softmax(1)
    records = [_record(item, int(c), p, net.classes) for item, c, p in zip(items, classes, probabilities, strict=True)]
    truth = _Truth.of(items, classes, device) if LOCALISATION in plan.groups else None
    for result in results:
        pixels = METHODS[result.method].gives == "pixels"
        maps = result.maps.abs().amax(1) if pixels else result.maps
        found = _metrics(maps, images, classes, rival, plan, truth)
        for index, record in enumerate(records):
            place = {"layer": result.layer, "method": result.method}
            shown = _pictured(result.maps[index]) if pixels else _drawn(maps[index])
            record["maps"].append({**place, **shown, **{k: _plain(v[index]) for k, v in found.items()}})
    if truth is not None:
        _add_baselines(records, items, images, truth)
    return records


def _record(item: Item, explained: int, probabilities: torch.Tensor, names: Sequence[str]) -> dict[str, Any]:
    predicted = int(probabilities.argmax())
    return {
        "image": item.subject.name,
        "subset": item.subject.subset,
        "class": explained,
        "name": names[explained],
        "probability": round(float(probabilities[explained]), 6),
        "predicted": predicted,
        "predicted_name": names[predicted],
        "predicted_probability": round(float(probabilities[predicted]), 6),
        "view": list(item.view.box),
        "size": list(item.view.image_size),
        "maps": [],
    }


@dataclass(frozen=True)
class _Truth:
    """The objects of the explained class of each item, in the pixels of the network's input."""

    boxes: torch.Tensor
    valid: torch.Tensor
    masks: torch.Tensor

    @classmethod
    def of(cls, items: Sequence[Item], classes: torch.Tensor, device: str) -> _Truth:
        boxes = [_boxes_of(item, int(label)) for item, label in zip(items, classes, strict=True)]
        padded, valid = metrics.pad_boxes(boxes, device=device)
        return cls(padded, valid, metrics.box_masks(padded, valid, items[0].view.input_size))


def _boxes_of(item: Item, label: int) -> NDArray[np.float64]:
    """The boxes of a class in the network's input, cut at its edges; what the network did not see is left out."""
    truth = item.subject.truth
    found = truth.of(label if item.label is not None else None) if truth else ()
    boxes = np.array([object_.box for object_ in found if object_.box], np.float64).reshape(-1, 4)
    x0, y0, x1, y1 = item.view.box
    height, width = item.view.input_size
    scale = np.array([width / (x1 - x0), height / (y1 - y0)] * 2)
    placed = (boxes - np.array([x0, y0, x0, y0])) * scale
    placed[:, 0::2] = placed[:, 0::2].clip(0, width)
    placed[:, 1::2] = placed[:, 1::2].clip(0, height)
    seen: NDArray[np.float64] = placed[(placed[:, 2] > placed[:, 0]) & (placed[:, 3] > placed[:, 1])]
    return seen


def _metrics(
    maps: torch.Tensor,
    images: torch.Tensor,
    classes: torch.Tensor,
    rival: Rival,
    plan: Plan,
    truth: _Truth | None,
) -> dict[str, Any]:
    """Each metric's values, a row an item."""
    big = metrics.prepared(maps, images.shape[2:])
    found: dict[str, Any] = {}
    if truth is not None:
        found |= _localisation(big, truth)
    if FAITHFULNESS in plan.groups:
        found |= _faithfulness(big, images, classes, rival, plan)
    return found


def _localisation(big: torch.Tensor, truth: _Truth) -> dict[str, Any]:
    overlaps = metrics.box_overlaps(big, truth.boxes, truth.valid).largest
    return {
        "pointing-game": metrics.pointing_game(big, truth.masks),
        "energy": metrics.energy(big, truth.masks),
        "coverage": metrics.coverage(big, truth.masks),
        "hit-share": metrics.hit_share(big, truth.masks),
        "iou": metrics.iou_at(big, truth.masks),
        "overlaps": overlaps,
    }


def _faithfulness(
    big: torch.Tensor, images: torch.Tensor, classes: torch.Tensor, rival: Rival, plan: Plan
) -> dict[str, Any]:
    def network(rows: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            logits: torch.Tensor = rival.net.model(rows)
            return logits

    confidence = metrics.confidence(network, images, big, classes)
    found: dict[str, Any] = {
        "average-drop": metrics.average_drop(confidence),
        "increase": metrics.increase_in_confidence(confidence),
        "average-gain": metrics.average_gain(confidence),
    }
    for name, curve in zip(_CURVES, (metrics.insertion, metrics.deletion), strict=True):
        made = curve(network, images, big, classes, steps=plan.steps)
        found |= {name: made.area, f"{name}-curve": made.scores}
    return found


def _add_baselines(records: list[dict[str, Any]], items: Sequence[Item], images: torch.Tensor, truth: _Truth) -> None:
    """Maps that know nothing: a Gaussian in the centre, the same value everywhere, random numbers on a 7 x 7 grid."""
    count, size = len(items), images.shape[2:]
    seed = sum(map(ord, items[0].subject.name))
    grids = {
        "centre-gaussian": metrics.centre_gaussian(count, size, device=images.device),
        "uniform": metrics.uniform_maps(count, size, device=images.device),
        "random": metrics.random_maps(count, (7, 7), seed=seed, device=images.device),
    }
    for name in BASELINES:
        found = _localisation(metrics.prepared(grids[name], size), truth)
        for index, record in enumerate(records):
            record["maps"].append({"layer": "", "method": name, **{k: _plain(v[index]) for k, v in found.items()}})


def _drawn(map_: torch.Tensor) -> dict[str, Any]:
    """A map for the report: its grid and its cells in 0..255, cut at zero and divided by the maximum."""
    values = map_.detach().float().relu()
    values = values / values.amax().clamp(min=torch.finfo(values.dtype).tiny)
    while values.shape[0] > 64 or values.shape[1] > 64:  # a map of the image's size is drawn small enough
        values = torch.nn.functional.avg_pool2d(values[None, None], 2, ceil_mode=True)[0, 0]
    cells = (255 * values).round().to(torch.uint8).cpu().numpy()
    return {"grid": list(cells.shape), "cells": base64.b64encode(cells.tobytes()).decode()}


def _pictured(gradient: torch.Tensor) -> dict[str, Any]:
    """A gradient of the image for the report: a small picture of it with its signs, as a JPEG."""
    picture = signed_picture(gradient.movedim(0, -1).float().cpu().numpy())
    size = picture_size(picture.shape[:2], min(_PICTURE, max(picture.shape[:2])))
    stream = io.BytesIO()
    Image.fromarray(resize_picture(picture, size)).save(stream, "JPEG", quality=85)
    return {"picture": base64.b64encode(stream.getvalue()).decode()}


def _plain(value: torch.Tensor) -> Any:
    if value.ndim:
        return [round(float(v), 4) for v in value.flatten()]
    return round(float(value), 6)
