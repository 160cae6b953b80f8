"""What tells a model from another of the same weights: what its objects hold, its code takes, and its code reads."""

from __future__ import annotations

import argparse
import logging
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from funcam.comparison import Plan, Rival
from funcam.resuming.identity import letters_of, model_letters
from funcam.resuming.sources import source_letters
from funcam.zoo.nets import load_net
from funcam.zoo.user_code import Factory, load_from_factory


class Plain:
    """An object as user code has them for its settings."""

    def __init__(self, held: Any) -> None:
        self.held = held


class Slotted:
    __slots__ = ("held",)

    def __init__(self, held: Any) -> None:
        self.held = held


@dataclass
class Fields:
    held: Any


class Words(dict):  # type: ignore[type-arg]
    """A dict with an attribute."""


def worded(held: Any) -> Words:
    words = Words(a=1)
    words.held = held  # type: ignore[attr-defined]
    return words


HOLDERS: dict[str, Callable[[Any], Any]] = {
    "an object": Plain,
    "an object in an object": lambda held: Plain(Plain({"a": held})),
    "slots": Slotted,
    "fields": Fields,
    "a namespace": lambda held: SimpleNamespace(held=held),
    "arguments": lambda held: argparse.Namespace(held=held),
    "a queue": lambda held: deque([held]),
    "objects in an array": lambda held: np.array([held, None], dtype=object),
    "a dict with attributes": worded,
    "a default": lambda held: lambda x=held: x,
}


@pytest.mark.parametrize("holder", HOLDERS)
@pytest.mark.parametrize(
    "pair", [([1, 2], [1, 3]), ({"a": 1}, {"a": 2}), (Path("a"), Path("b")), (b"a", bytearray(b"a"))]
)
def test_what_an_object_of_a_model_holds(holder: str, pair: tuple[Any, Any]) -> None:
    def letters(held: Any) -> str:
        model = nn.ReLU()
        model.settings = HOLDERS[holder](held)
        return model_letters(model)

    assert letters(pair[0]) == letters(pair[0]) != letters(pair[1])


def test_values_that_are_nested_without_end_and_things_that_hold_what_no_two_processes_share() -> None:
    model, deep = nn.ReLU(), Plain(None)
    for _ in range(20_000):
        deep = Plain(deep)
    model.settings = [deep, Lock(), logging.getLogger("mine"), np, iter([1]), object(), torch.nn.functional.relu]
    assert model_letters(model) == model_letters(model)


def test_a_model_that_cannot_be_told_is_like_no_other() -> None:
    class Raises:
        @property
        def __dict__(self) -> Any:  # type: ignore[override]
            raise RuntimeError

    model = nn.ReLU()
    model.settings = Raises()
    assert model_letters(model) != model_letters(model)


NET = """
import json
from pathlib import Path
from torch import nn
{top}

class Mine(nn.Module):
    {held}

    def __init__(self):
        super().__init__()
        self.head = nn.Conv2d(3, 10, 4, bias=False)
        nn.init.constant_(self.head.weight, 0.1)

    def forward(self, images):
        {lazy}
        return self.head(images * {gain}).amax((2, 3))

def mine():
    return Mine()
"""
READ = 'json.loads(Path(__file__).with_name("gains" + ".json").read_text())'
CODES = {
    "a global": {"top": f"GAIN = {READ}", "gain": "GAIN['gain']"},
    "a global of a function": {"top": f"GAIN = {READ}\ndef gain():\n    return GAIN['gain']", "gain": "gain()"},
    "a value of a class": {"held": f"GAIN = {READ}", "gain": "self.GAIN['gain']"},
    "a global of a module": {"top": "import {beside}", "gain": "{beside}.GAIN['gain']"},
    "of a module that is imported late": {"lazy": "import {beside} as late", "gain": "late.GAIN['gain']"},
    "a value from a module": {"top": "from {beside} import GAIN", "gain": "GAIN['gain']"},
    "a property": {"held": "gain = property(lambda self: GAIN['gain'])", "top": f"GAIN = {READ}", "gain": "self.gain"},
    "a file that is named": {"gain": READ.replace('"gains" + ".json"', '"gains.json"') + "['gain']"},
    "a file in a folder": {"gain": 'json.loads((Path(__file__).parent / "data" / "more.json").read_text())'},
}


@pytest.mark.parametrize("kind", CODES)
def test_what_the_code_of_a_model_takes_from_around_it(tmp_path: Path, kind: str) -> None:
    """The same code and the same weights, each time imported anew, as it is in each process."""
    beside = f"beside_{tmp_path.name}"
    words = {"top": "", "held": "pass", "lazy": "pass", **CODES[kind]}
    words = {name: text.replace("{beside}", beside) for name, text in words.items()}
    (tmp_path / "mine.py").write_text(NET.format(**words))
    (tmp_path / f"{beside}.py").write_text(f"import json\nfrom pathlib import Path\nGAIN = {READ}\n")
    (tmp_path / "data").mkdir()

    def letters(gain: float) -> str:
        (tmp_path / "gains.json").write_text(f'{{"gain": {gain}}}')
        (tmp_path / "data" / "more.json").write_text(f"{gain}")
        for name in [
            name for name, module in sys.modules.items() if str(tmp_path) in str(vars(module).get("__file__"))
        ]:
            del sys.modules[name]
        return model_letters(load_from_factory(Factory(str(tmp_path / "mine.py"), "mine")).model)

    first = letters(0.5)
    assert letters(0.7) != first
    assert letters(0.5) == first


def test_globals_that_the_code_does_not_take_do_not_count(tmp_path: Path) -> None:
    words = {"held": "pass", "lazy": "pass", "gain": "1.0"}
    (tmp_path / "mine.py").write_text(NET.format(top="import time\nSTARTED = time.perf_counter_ns()", **words))
    net = load_from_factory(Factory(str(tmp_path / "mine.py"), "mine"))
    first = model_letters(net.model)
    sys.modules[type(net.model).__module__].STARTED = 0  # type: ignore[attr-defined]
    assert model_letters(net.model) == first


def test_images_at_once_count() -> None:
    """The sixth digit of a figure depends on what else is in a batch."""
    rival = Rival("a", load_net("scenes"))
    assert Plan(batch=2).key(rival) == Plan(batch=2).key(rival) != replace(Plan(), batch=3).key(rival)


def test_letters_of_a_function_hold_what_it_takes() -> None:
    def of(held: Any) -> str:
        return letters_of(lambda: held)

    assert of([1]) == of([1]) != of([2])


@pytest.mark.parametrize("folder", ["site-packages", "dist-packages", "mine"])
def test_packages_of_another_environment_on_the_path_are_not_followed(tmp_path: Path, folder: str) -> None:
    """Torch of the system, or of the user: its thousand files took minutes."""
    home = tmp_path / folder
    home.mkdir()
    (home / f"deep_{tmp_path.name}.py").write_text("GAIN = 1\n")
    words = {"top": f"import deep_{tmp_path.name}", "held": "pass", "lazy": "pass", "gain": "1.0"}
    (home / "mine.py").write_text(NET.format(**words))
    net = load_from_factory(Factory(str(home / "mine.py"), "mine"))
    assert len(source_letters([type(net.model)])) == (2 if folder == "mine" else 1)
