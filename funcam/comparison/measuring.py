"""Measuring one batch of images with one network: one forward pass for all methods and layers, then the metrics."""

from __future__ import annotations

import base64
import io
from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import Any

import torch
from PIL import Image

from funcam.comparison.batches import Batch, MethodMaps, baselines, explained
from funcam.comparison.instances import Instance, LocatedObjects
from funcam.comparison.plan import LOCALISATION, Plan, Rival
from funcam.comparison.scoring import Values, scores
from funcam.imaging.render import picture_size, resize_picture, signed_picture
from funcam.targets.target import logits_of
from funcam.zoo.preprocessing import normalised

_PICTURE = 160  # pixels of the longer side of a picture in the journal


Known = dict[Hashable, list[Values]]
"""How the baselines localise, by images and how they are seen: the same for all networks."""


def measure(
    instances: Sequence[Instance], rival: Rival, plan: Plan, known: Known | None = None
) -> list[dict[str, Any]]:
    """The records of some instances: predictions, and for each layer and method the map and its metrics.

    Args:
        instances: of one size.
        rival: the network.
        plan: what is computed.
        known: what earlier networks found on the same images; added to.

    Returns:
        A record for each instance, ready for JSON.

    Raises:
        FuncamError: the network can't take the images or can't have a method.
    """
    images = normalised(rival.net, [instance.image for instance in instances], rival.device)
    instances, images, targets = _with_targets(instances, rival, images)
    method_maps, classes, probabilities = explained(rival, plan, images, targets)
    truth = None
    if LOCALISATION in plan.groups:
        truth = LocatedObjects.of(instances, classes.tolist(), rival.device, plan.against)
    batch = Batch(rival, plan, images, classes, method_maps, truth)
    nothing = replace(batch, method_maps=baselines([instance.example.name for instance in instances], images))
    measured = [*scores(batch, plan.groups), *_of_baselines(nothing, instances, {} if known is None else known)]
    names = rival.net.classes
    records = [
        _record(instance, int(c), p, names) for instance, c, p in zip(instances, classes, probabilities, strict=True)
    ]
    pictures = [_shown(one) for one in method_maps] + [[{}] * len(instances) for _ in nothing.method_maps]
    for result, shown, values in zip([*method_maps, *nothing.method_maps], pictures, measured, strict=True):
        columns = {name: _plain(column) for name, column in values.items()}
        for index, record in enumerate(records):
            row = {name: column[index] for name, column in columns.items()}
            record["maps"].append({"layer": result.layer, "method": result.method, **shown[index], **row})
    return records


def _of_baselines(nothing: Batch, instances: Sequence[Instance], known: Known) -> list[Values]:
    """The baselines' values: where they lie is the same for every network, what the networks make of them is not."""
    others = [group for group in nothing.plan.groups if group != LOCALISATION]
    measured = scores(nothing, others)
    if nothing.truth is not None:
        key = tuple(
            (instance.example.name, int(c), instance.view)
            for instance, c in zip(instances, nothing.classes, strict=True)
        )
        if key not in known:
            known[key] = scores(nothing, [LOCALISATION])
        measured = [{**where, **more} for where, more in zip(known[key], measured, strict=True)]
    return measured


def _with_targets(
    instances: Sequence[Instance], rival: Rival, images: torch.Tensor
) -> tuple[Sequence[Instance], torch.Tensor, torch.Tensor | None]:
    """The class of each instance: of several that fit (a dog may be of any breed) the network's own favourite.

    Where two choices of an image (cars and trucks) have one favourite, it is explained once.
    """
    if not instances[0].labels:
        return instances, images, None
    if all(len(instance.labels) == 1 for instance in instances):
        return instances, images, torch.tensor([instance.labels[0] for instance in instances], device=images.device)
    with torch.no_grad():
        logits = logits_of(rival.net.model(images), rival.net.output)
    best = [
        instance.labels[int(row[list(instance.labels)].argmax())]
        for instance, row in zip(instances, logits, strict=True)
    ]
    names = [(instance.example.name, label) for instance, label in zip(instances, best, strict=True)]
    firsts = [index for index, name in enumerate(names) if name not in names[:index]]
    targets = torch.tensor([best[index] for index in firsts], device=images.device)
    return [instances[index] for index in firsts], images[firsts], targets


def _record(
    instance: Instance, explained_class: int, probabilities: torch.Tensor, names: Sequence[str]
) -> dict[str, Any]:
    predicted = int(probabilities.argmax())
    return {
        "image": instance.example.name,
        "subset": instance.example.subset,
        "asked": instance.labels[0] if instance.labels else None,
        "class": explained_class,
        "name": names[explained_class],
        "probability": round(float(probabilities[explained_class]), 6),
        "predicted": predicted,
        "predicted_name": names[predicted],
        "predicted_probability": round(float(probabilities[predicted]), 6),
        "view": list(instance.view.box),
        "size": list(instance.view.image_size),
        "maps": [],
    }


def _shown(method_maps: MethodMaps) -> list[dict[str, Any]]:
    """What the report draws of each map."""
    return [_pictured(one) if method_maps.pixels else _drawn(one) for one in method_maps.maps]


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


def _plain(values: torch.Tensor) -> list[Any]:
    """A column as Python's numbers, rounded: a journal of short lines."""
    digits = 4 if values.ndim > 1 else 6
    column = values.double().mul(10**digits).round().div(10**digits)
    plain: list[Any] = column.tolist()
    return plain
