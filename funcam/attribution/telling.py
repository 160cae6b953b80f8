"""An explanation in words and plain values: which classes, with which probabilities, and where the maps peak."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from funcam.attribution.knowing import Context
from funcam.errors import FuncamError
from funcam.methods import METHODS
from funcam.targets.concrete import is_concrete
from funcam.targets.probabilities import as_probabilities, find_scores

if TYPE_CHECKING:
    from funcam.attribution.explanation import Explanation

_LIKELIEST = 5
_TOLD = 3


@dataclass(frozen=True)
class Said:
    """A class, and what the model says of it."""

    index: int
    name: str
    score: float
    probability: float | None


def context_of(explanation: Explanation) -> Context:
    """What is known of the network and the pictures; of a plain model nothing."""
    return explanation.context or Context()


def title_of(explanation: Explanation) -> str:
    """What the method is called among people: `Grad-CAM`."""
    method = METHODS.get(explanation.method)
    return method.title if method else explanation.method


def gives_pixels(explanation: Explanation) -> bool:
    """Whether the maps have the image's channels in front of space."""
    return explanation.method in METHODS and METHODS[explanation.method].gives == "pixels"


def explained(explanation: Explanation, index: int, most: int | None = None) -> list[Said]:
    """What is explained of one image: one class or several (the first so many), or scores of a caller's."""
    context, targets = context_of(explanation), explanation.targets
    chosen = targets[index].reshape(-1)[:most].tolist()
    scores = explanation.scores[index].detach().reshape(-1)[:most].tolist()
    wording, several = context.wording, targets.ndim == 2
    shares = _probabilities(explanation, index) if wording is None or wording.probable else None
    name = partial(_name, context)
    return [
        Said(
            number,
            name(number) if wording is None else wording.said(index, number, several, name),
            score,
            _share(shares, number),
        )
        for number, score in zip(chosen, scores, strict=True)
    ]


def likeliest(explanation: Explanation, index: int) -> list[Said]:
    """The likeliest classes of one image, the likeliest first; none where the model's outputs are no logits."""
    shares = _probabilities(explanation, index)
    if shares is None:
        return []
    context, logits = context_of(explanation), explanation.logits[index].detach()
    order = logits.topk(min(_LIKELIEST, len(logits))).indices.tolist()
    return [Said(each, _name(context, each), float(logits[each]), _share(shares, each)) for each in order]


def as_dict(explanation: Explanation, maps: bool) -> dict[str, Any]:
    """An explanation as values that JSON knows."""
    images = [
        {
            "predictions": [asdict(said) for said in likeliest(explanation, index)],
            "explained": [
                asdict(said) | {"peak": _peak(explanation, index, place)}
                for place, said in enumerate(explained(explanation, index))
            ],
        }
        for index in range(len(explanation.targets))
    ]
    told: dict[str, Any] = {
        "method": explanation.method,
        "layer": explanation.layer,
        "net": context_of(explanation).net or None,
        "targets": explanation.targets.tolist(),
        "scores": explanation.scores.detach().tolist(),
        "shape": list(explanation.maps.shape),
        "images": images,
    }
    return told | ({"maps": explanation.maps.detach().tolist()} if maps else {})


def in_words(explanation: Explanation, most: int = 3) -> str:
    """One short line: the method, the layer, the classes of the first images, and the maps' shape."""
    shape = list(explanation.maps.shape)
    parts = [f"{explanation.method} at {explanation.layer}", f"maps {shape}"]
    if is_concrete(explanation.targets) and is_concrete(explanation.maps) and not explanation.targets.is_meta:
        count = len(explanation.targets)
        told = [_of_image(explained(explanation, index, _TOLD + 1)) for index in range(min(count, most))]
        parts.insert(1, "; ".join([*told, "..."] if count > most else told) or "no images")
    return ", ".join(parts)


def _of_image(said: list[Said]) -> str:
    words = [
        each.name + ("" if each.probability is None else f" {100 * each.probability:.1f} %") for each in said[:_TOLD]
    ]
    return " + ".join([*words, "..."] if len(said) > len(words) else words)


def _name(context: Context, index: int) -> str:
    return context.classes[index] if index < len(context.classes) else f"class {index}"


def _share(shares: torch.Tensor | None, index: int) -> float | None:
    """A class's probability; None for what is none."""
    share = math.nan if shares is None or index >= len(shares) else float(shares[index])
    return share if 0 <= share <= 1 else None


def _probabilities(explanation: Explanation, index: int) -> torch.Tensor | None:
    """What the model gives each class, where its outputs are logits or probabilities."""
    try:
        logits = explanation.logits
    except FuncamError:
        return None
    if logits.ndim != 2 or not is_concrete(logits) or logits.is_meta or len(logits) != len(explanation.targets):
        return None
    scores = context_of(explanation).scores or find_scores(logits.detach(), lambda: None)
    return as_probabilities(logits[index].detach().double(), scores)


def _peak(explanation: Explanation, index: int, place: int) -> list[float] | None:
    """Where a map is largest, each axis of space in 0..1; None where nothing speaks for the class."""
    values = explanation.maps[index].detach().reshape(-1, *explanation.maps.shape[explanation.targets.ndim :])[place]
    values = values.abs().amax(0) if gives_pixels(explanation) else values
    if not bool((values > 0).any()):
        return None
    cell = torch.unravel_index(values.argmax(), values.shape)
    return [round((int(at) + 0.5) / side, 4) for at, side in zip(cell, values.shape, strict=True)]
