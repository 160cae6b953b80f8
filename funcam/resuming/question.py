"""The question that a result answers: what was asked, and what computes it. No torch.

Only what is in the images is no part of it. Other options, another network, another kind of device or other versions
are another question.
"""

from __future__ import annotations

import json
import re
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

from funcam.resuming.content import letters
from funcam.resuming.versions import all_versions

if TYPE_CHECKING:
    from funcam.zoo.net import Net


_MADE = re.compile(r"^(as \S+ makes them) \([0-9a-f]+\)$")  # (letters of values: a function may make others next time)


def question_letters(told: Any) -> str:
    """What tells a question, or a part of one, from others.

    Args:
        told: what JSON can say, data classes, and anything else by what it holds.

    Example:
        >>> question_letters({"a": 1, "b": 2}) == question_letters({"b": 2, "a": 1}) != question_letters({"a": 1})
        True
    """
    return letters(json.dumps(told, sort_keys=True, default=_plain).encode())


def network_named(net: Net) -> dict[str, Any]:
    """A network by its words: its name, where its values came from, how it takes images, what its outputs mean."""
    told = {field.name: getattr(net, field.name) for field in fields(net) if field.name != "model"}
    return {"net": told.pop("name"), **told, "weights": _MADE.sub(r"\1", net.weights)}


def computed_by(net: Net, device: str, model: str | None = None) -> dict[str, Any]:
    """What computes: a network by its values, its code and how it takes images, a kind of device, the versions.

    Another file of weights under the same name is another network, the same file under another name the same.

    Args:
        net: the network.
        device: where it is.
        model: the letters of its model, for who has them already.

    Example:
        >>> from funcam.zoo import build_net
        >>> computed_by(build_net("resnet18"), "cuda:1", "a1")["device"]
        'cuda'
    """
    if model is None:
        from funcam.resuming.identity import model_letters

        model = model_letters(net.model)
    told = {name: value for name, value in network_named(net).items() if name != "weights"}
    return {**told, "model": model, "device": device.partition(":")[0], "versions": dict(all_versions())}


def _plain(value: Any) -> Any:
    """What JSON doesn't know: the fields of a data class; of all else, such as a tensor, what it holds."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    from funcam.resuming.identity import letters_of

    return letters_of(value)
