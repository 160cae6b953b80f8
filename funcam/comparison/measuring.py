"""Measuring one batch of images with one network: one forward pass for all methods and layers, then the metrics."""

from __future__ import annotations

import base64
import io
from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import Any

import torch
from PIL import Image

from funcam.comparison.batches import Batch, Made, baselines, explained
from funcam.comparison.instances import Item, Placed
from funcam.comparison.plan import LOCALISATION, Plan, Rival
from funcam.comparison.scoring import Values, scores
from funcam.imaging.render import picture_size, resize_picture, signed_picture
from funcam.targets.target import logits_of
from funcam.zoo.preprocessing import normalised

_PICTURE = 160  # pixels of the longer side of a picture in the journal


Known = dict[Hashable, list[Values]]
"""How the baselines localise, by images and how they are seen: the same for all networks."""


def measure(
    items: Sequence[Item], rival: Rival, plan: Plan, device: str, known: Known | None = None
) -> list[dict[str, Any]]:
    """The records of some items: predictions, and for each layer and method the map and its metrics.

    Args:
        items: of one size.
        rival: the network, on the device.
        plan: what is computed.
        device: where.
        known: what earlier networks found on the same images; added to.

    Returns:
        A record for each item, ready for JSON.

    Raises:
        FuncamError: the network can't take the images or can't have a method.
    """
    images = normalised(rival.net, [item.image for item in items], device)
    items, images, targets = _with_targets(items, rival, images)
    made, classes, probabilities = explained(rival, plan, images, targets)
    truth = Placed.of(items, classes.tolist(), device, plan.against) if LOCALISATION in plan.groups else None
    batch = Batch(rival, plan, images, classes, made, truth)
    nothing = replace(batch, made=baselines([item.subject.name for item in items], images))
    found = [*scores(batch, plan.groups), *_of_baselines(nothing, items, {} if known is None else known)]
    names = rival.net.classes
    records = [_record(item, int(c), p, names) for item, c, p in zip(items, classes, probabilities, strict=True)]
    pictures = [_shown(one) for one in made] + [[{}] * len(items) for _ in nothing.made]
    for result, shown, values in zip([*made, *nothing.made], pictures, found, strict=True):
        columns = {name: _plain(column) for name, column in values.items()}
        for index, record in enumerate(records):
            row = {name: column[index] for name, column in columns.items()}
            record["maps"].append({"layer": result.layer, "method": result.method, **shown[index], **row})
    return records


def _of_baselines(nothing: Batch, items: Sequence[Item], known: Known) -> list[Values]:
    """The baselines' values: where they lie is the same for every network, what the networks make of them is not."""
    others = [group for group in nothing.plan.groups if group != LOCALISATION]
    found = scores(nothing, others)
    if nothing.truth is not None:
        key = tuple((item.subject.name, int(c), item.view) for item, c in zip(items, nothing.classes, strict=True))
        if key not in known:
            known[key] = scores(nothing, [LOCALISATION])
        found = [{**where, **more} for where, more in zip(known[key], found, strict=True)]
    return found


def _with_targets(
    items: Sequence[Item], rival: Rival, images: torch.Tensor
) -> tuple[Sequence[Item], torch.Tensor, torch.Tensor | None]:
    """The class of each item: of several that fit (a dog may be of any breed) the network's own favourite.

    Where two choices of an image (cars and trucks) have one favourite, it is explained once.
    """
    if not items[0].labels:
        return items, images, None
    if all(len(item.labels) == 1 for item in items):
        return items, images, torch.tensor([item.labels[0] for item in items], device=images.device)
    with torch.no_grad():
        logits = logits_of(rival.net.model(images))
    best = [item.labels[int(row[list(item.labels)].argmax())] for item, row in zip(items, logits, strict=True)]
    names = [(item.subject.name, label) for item, label in zip(items, best, strict=True)]
    firsts = [index for index, name in enumerate(names) if name not in names[:index]]
    targets = torch.tensor([best[index] for index in firsts], device=images.device)
    return [items[index] for index in firsts], images[firsts], targets


def _record(item: Item, explained_class: int, probabilities: torch.Tensor, names: Sequence[str]) -> dict[str, Any]:
    predicted = int(probabilities.argmax())
    return {
        "image": item.subject.name,
        "subset": item.subject.subset,
        "asked": item.labels[0] if item.labels else None,
        "class": explained_class,
        "name": names[explained_class],
        "probability": round(float(probabilities[explained_class]), 6),
        "predicted": predicted,
        "predicted_name": names[predicted],
        "predicted_probability": round(float(probabilities[predicted]), 6),
        "view": list(item.view.box),
        "size": list(item.view.image_size),
        "maps": [],
    }


def _shown(made: Made) -> list[dict[str, Any]]:
    """What the report draws of each map."""
    return [_pictured(one) if made.pixels else _drawn(one) for one in made.maps]


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
