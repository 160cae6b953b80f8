"""A refusal offers a way out; here it is taken, to see whether it leads anywhere."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

import funcam
from benchmarks.models import reference as ref
from benchmarks.models.entry import Entry

MOST = 3  # of the layers that a message names


def try_ways_out(entry: Entry, model: nn.Module, images: Tensor, right: ref.Reference, message: str) -> dict[str, Any]:
    """Every way that a message offers and that can be taken without a person.

    Returns:
        `{"offered": [...], "worked": [...]}`: layers named in the message, `layout=`, `example=`, `output=`, a pair
        (features, head). Both are empty where the message offers none of them.
    """
    ways: dict[str, dict[str, Any]] = {}
    written = re.search(r"layout=(\(lambda .+\)) takes", message)
    layers = _layers_in(message, model)[:MOST]
    if written is not None:
        pair = eval(written[1], {"torch": torch})  # a message of funcam's own, as a user would copy it
        ways["layout=(there, back)"] = {"layer": (layers or entry.layers)[0], "layout": pair}
    elif "layout=" in message and " hold maps of a part" not in message:
        ways["layout="] = {"layer": entry.layers[0], "layout": _layout_of(entry), "right": True}
    else:
        ways |= {f"layer={layer!r}": {"layer": layer} for layer in layers}
    if "example" in message:
        ways["example="] = {"example": True}
    if "output=" in message and isinstance(right.outputs, Mapping | tuple | list):
        ways["output="] = {"output": entry.output if entry.output is not None else 0}
    if "one at a time" in message:
        ways["one at a time"] = {"alone": True}
    if "(features, head)" in message and entry.layout != "other":
        ways["a pair"] = {"pair": True}
    worked = [way for way, options in ways.items() if _works(entry, model, images, right, options)]
    return {"offered": list(ways), "worked": worked}


def _layers_in(message: str, model: nn.Module) -> list[str]:
    """Names of modules in a message: in quotes, or in a list."""
    names = set(dict(model.named_modules())) - {""}
    words = [word.strip("'\"`,.;:()[]") for word in re.split(r"[\s,]+", message)]
    quoted = re.findall(r"['`\"]([\w.#]+)['`\"]", message)
    refused = re.match(r"(?:layer )?['`\"]([\w.#]+)['`\"]", message)
    offered = [word for word in [*quoted, *words] if word in names and not (refused and word == refused[1])]
    return list(dict.fromkeys(word for word in offered if "." in word or word in quoted))


def _works(entry: Entry, model: nn.Module, images: Tensor, right: ref.Reference, options: Mapping[str, Any]) -> bool:
    """Whether a call with these options gives finite maps, and for a pair the right ones."""
    extra: dict[str, Any] = {}
    if entry.target is None and (entry.output is not None or "output" in options):
        extra["output"] = options.get("output", entry.output)
    if entry.inputs:
        extra["inputs"] = entry.inputs(images)
    try:
        if "alone" in options:
            one = [funcam.explain(model, image[None], entry.target, layer=entry.layers[0], **extra) for image in images]
            return all(bool(torch.isfinite(result.maps).all()) for result in one)
        if "pair" in options:
            extra.pop("inputs", None)  # the functions close over them
            result = funcam.explain(pair_of(entry, model), images, entry.target, **extra)
            return ref.distance(result.maps, right.cam) < 1e-3
        if "example" in options:
            split = funcam.split(model, example=None if entry.inputs else images)
            return bool(torch.isfinite(funcam.explain(split, images, entry.target, **extra).maps).all())
        if "layout" in options:
            extra["layout"] = options["layout"]
        result = funcam.explain(model, images, entry.target, layer=options.get("layer"), **extra)
        finite = bool(torch.isfinite(result.maps).all())
        return finite and ("right" not in options or ref.distance(result.maps, right.cam) < 1e-3)
    except Exception:
        return False


def _layout_of(entry: Entry) -> Any:
    """The expected layout, as a person who knows the model would say it."""
    if entry.layout in ("channels-first", "channels-last"):
        return entry.layout
    if entry.layout == "tokens":
        return f"tokens {'x'.join(map(str, entry.grid))} prefix={entry.prefix} suffix={entry.suffix}"
    there = partial(ref.to_map, entry)

    def back(features: Tensor, tensor: Tensor) -> Tensor:
        """What takes values out of a tensor puts them back by its transpose."""
        held, put = torch.func.vjp(there, tensor)
        return tensor + put(features - held)[0]

    return there, back


def pair_of(entry: Entry, model: nn.Module) -> Any:
    """The model as a pair of functions, by a hook on a copy: what a user would write by hand."""
    twin = ref.copied(model, entry.make)

    def features(images: Tensor) -> tuple[Tensor, Any]:
        seen: list[Tensor] = []
        with ref.hooked(twin, entry.layers[0], entry.leaf, lambda part: seen.append(part.detach().clone())):
            ref.run(twin, entry, images)
        return ref.to_map(entry, seen[0]), (images, seen[0])

    def head(A: Tensor, rest: Any) -> Any:
        images, held = rest
        with ref.hooked(twin, entry.layers[0], entry.leaf, lambda part: _from_map(entry, A, held)):
            return ref.run(twin, entry, images)

    return features, head


def _from_map(entry: Entry, A: Tensor, held: Tensor) -> Tensor:
    if entry.layout == "channels-first":
        return A.clone()
    if entry.layout == "channels-last":
        return A.movedim(1, -1)
    parts = [held[:, : entry.prefix], A.flatten(2).transpose(1, 2), held[:, held.shape[1] - entry.suffix :]]
    return torch.cat(parts, 1)
