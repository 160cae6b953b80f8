"""One rule of what is done, for explain, compare and batch: whatever computes otherwise is another question."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from funcam.bulk.asked import Asked, question_of
from funcam.cli.skip_done import asked
from funcam.comparison.plan import Plan, Rival
from funcam.pipeline.stream import Job
from funcam.pipeline.writing import Style
from funcam.recipe import Recipe
from funcam.resuming.content import content_hash, file_letters, letters
from funcam.resuming.question import question_letters
from funcam.zoo.net import Net
from funcam.zoo.nets import load_net

NET = load_net("scenes")
RECIPE = Recipe(("grad-cam",))
OTHERS: dict[str, Any] = {
    "name": "other",
    "classes": ("a", *NET.classes[1:]),
    "input_size": 96,
    "resize_size": 99,
    "mean": (0.1, 0.2, 0.3),
    "std": (1.0, 2.0, 3.0),
    "interpolation": "bicubic",
    "fixed_size": not NET.fixed_size,
    "min_size": NET.min_size + 1,
    "width": 300,
    "frames": None,  # of clips, which neither compare nor batch take
    "scores": "sigmoid",
    "output": "logits",
    "weights": "elsewhere.pth",
}


def of_explain(net: Net, device: str = "cpu") -> str:
    job = Job("scenes", net, device, None, None, "squash", RECIPE, None, Style(), Path("results"))
    return asked([job], later=True, overwrite=False)[0].question


def of_compare(net: Net, device: str = "cpu") -> str:
    return Plan(RECIPE).key(Rival("scenes", net, device))


def of_batch(net: Net, device: str = "cpu") -> str:
    sizes = {"map_type": "float16", "shard_size": 4, "batch_size": 2}
    return question_letters(question_of(Asked(replace(net, weights=""), RECIPE, device=device), **sizes))


COMMANDS: dict[str, Callable[..., str]] = {"explain": of_explain, "compare": of_compare, "batch": of_batch}


def other_value(net: Net) -> Net:
    model = load_net("scenes").model
    with torch.no_grad():
        next(model.parameters()).flatten()[0] += 1e-3
    return replace(net, model=model)


@pytest.mark.parametrize("command", COMMANDS)
def test_what_computes_otherwise_is_another_question(command: str) -> None:
    letters_of = COMMANDS[command]
    own = letters_of(NET)
    assert own == letters_of(load_net("scenes"))  # the same, loaded once more
    assert set(OTHERS) == {field.name for field in fields(Net)} - {"model"}
    for name, value in OTHERS.items():
        same = name in ("frames", "weights")
        assert (letters_of(replace(NET, **{name: value})) == own) == same, name
    assert letters_of(other_value(NET)) != own
    assert letters_of(NET, "cuda:0") == letters_of(NET, "cuda:1") != own


@pytest.mark.parametrize("command", COMMANDS)
def test_other_versions_are_another_question(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    own = COMMANDS[command](NET)
    monkeypatch.setattr("funcam.resuming.question.all_versions", lambda: (("torch", "0"),))
    assert COMMANDS[command](NET) != own


def test_content_is_the_files_bytes(tmp_path: Path) -> None:
    for data in (b"", b"a", b"b" * 100_000):
        (tmp_path / "file").write_bytes(data)
        assert file_letters(tmp_path / "file") == letters(data) == content_hash(data)[:32]
