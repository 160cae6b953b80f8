"""Networks of one's own at the command line: one logit, probabilities, several outputs, other inputs, layouts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_line import Funcam, Ran
from PIL import Image

OWN = """
import torch
from torch import nn

from funcam.zoo import own_net


def body(channels=3):
    torch.manual_seed(0)
    return [nn.Conv2d(channels, 8, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]


def one():
    return own_net(nn.Sequential(*body(), nn.Linear(8, 1)), input_size=32, classes=["cat"])


def probabilities():
    return own_net(nn.Sequential(*body(), nn.Linear(8, 4), nn.Softmax(1)), input_size=32)


def several():
    return own_net(nn.Sequential(*body(), nn.Linear(8, 4), nn.Sigmoid()), input_size=32)


def number():
    return own_net(nn.Sequential(*body(), nn.Linear(8, 1)), input_size=32, scores="none")


def grey():
    return own_net(nn.Sequential(*body(1), nn.Linear(8, 3)), input_size=(48, 24), mean=(0.5,))


def alpha():
    return own_net(nn.Sequential(*body(4), nn.Linear(8, 3)), input_size=32, mean=(0.5,) * 4)


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.a, self.b = nn.Sequential(*body()), nn.Linear(8, 3), nn.Linear(8, 5)

    def forward(self, x):
        return {"a": self.a(self.body(x)), "b": self.b(self.body(x))}


def two():
    return Two()


def named():
    return own_net(Two(), input_size=32, classes=["x", "y", "z"], scores="sigmoid")


def first():
    return own_net(Two(), input_size=32, output="a")


class Clip(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body, self.head = nn.Sequential(nn.Conv3d(3, 8, (1, 3, 3)), nn.ReLU()), nn.Linear(8, 4)

    def forward(self, clips):
        return self.head(self.body(clips.transpose(1, 2)).mean((2, 3, 4)))


def clip():
    return own_net(Clip(), input_size=32, frames=4)


class Turned(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body, self.layer, self.head = nn.Conv2d(3, 8, 3), nn.Identity(), nn.Linear(8, 4)

    def forward(self, x):
        return self.head(self.layer(self.body(x).flip(-1).permute(0, 2, 3, 1)).mean((1, 2)))


def turned():
    return own_net(Turned(), input_size=32)
"""


@pytest.fixture
def own(image: Path) -> Path:
    Path("own.py").write_text(OWN)
    return image


def record(ran: Ran) -> dict[str, Any]:
    assert (ran.code, ran.err) == (0, ""), ran
    document: dict[str, Any] = json.loads(ran.out)
    return document


def explained(funcam: Funcam, image: Path, name: str, *options: Any) -> dict[str, Any]:
    return record(funcam("explain", image, "--net", f"own.py:{name}", "--method", "grad-cam", "--json", *options))


def input_of(image: Path, size: tuple[int, int]) -> torch.Tensor:
    """The image as the default preprocessing puts it before a network."""
    with Image.open(image) as picture:
        small = picture.convert("RGB").resize(size[::-1], Image.Resampling.BILINEAR)
    values = torch.from_numpy(np.array(small)).permute(2, 0, 1)[None] / 255
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return (values - mean.view(3, 1, 1)) / std.view(3, 1, 1)


def made(name: str) -> Any:
    scope: dict[str, Any] = {}
    exec(OWN, scope)
    return scope[name]()


def test_one_logit_is_a_yes_or_no_and_both_can_be_explained(funcam: Funcam, own: Path) -> None:
    logit = made("one").model.eval()(input_of(own, (32, 32))).item()
    yes = explained(funcam, own, "one")
    assert yes["scores"] == "sigmoid"
    said = {entry["name"]: entry["probability"] for entry in yes["predictions"]}
    assert said == pytest.approx({"cat": 1 / (1 + np.exp(-logit)), "not cat": 1 / (1 + np.exp(logit))}, abs=1e-5)
    assert next(iter(said)) == max(said, key=lambda name: said[name])
    assert any("sigmoid of its one logit" in note for note in yes["notes"])
    no = explained(funcam, own, "one", "--class", "not cat")
    (entry,) = no["explained"]
    assert (entry["name"], entry["probability"]) == ("not cat", said["not cat"])
    both = explained(funcam, own, "one", "-c", "not cat", "-c", "cat", "--maps")
    with np.load(f"results/{both['files']['maps']}") as maps:
        assert maps["grad-cam"].shape[0] == 2
        assert not np.array_equal(*maps["grad-cam"])


@pytest.mark.parametrize("name", ["probabilities", "several"])
def test_probabilities_are_shown_as_the_network_gives_them(funcam: Funcam, own: Path, name: str) -> None:
    want = made(name).model.eval()(input_of(own, (32, 32)))[0].detach()
    shown = explained(funcam, own, name)
    assert shown["scores"] == "none"
    assert {e["index"]: e["probability"] for e in shown["predictions"]} == pytest.approx(
        dict(enumerate(want.tolist())), abs=1e-5
    )
    said = explained(funcam, own, name, "--scores", "softmax")
    total = sum(entry["probability"] for entry in said["predictions"])
    assert (said["scores"], total) == ("softmax", pytest.approx(1))


def test_a_number_is_no_probability(funcam: Funcam, own: Path) -> None:
    shown = explained(funcam, own, "number")
    value = made("number").model.eval()(input_of(own, (32, 32))).item()
    assert [(e["probability"], e["logit"]) for e in shown["predictions"]] == [
        (None, pytest.approx(value, abs=1e-5))
    ] or 0 <= value <= 1
    ran = funcam("explain", own, "--net", "own.py:number", "--method", "grad-cam")
    assert ran.code == 0
    assert "%" not in ran.out.split("written")[0] or 0 <= value <= 1


@pytest.mark.parametrize(("name", "size"), [("grey", (48, 24)), ("alpha", (32, 32)), ("clip", (32, 32))])
def test_other_inputs(funcam: Funcam, own: Path, name: str, size: tuple[int, int]) -> None:
    shown = explained(funcam, own, name, "--maps")
    assert shown["input_size"] == {"height": size[0], "width": size[1]}
    with np.load(f"results/{shown['files']['maps']}") as maps:
        rows, columns = ((side - 1) // 2 if name != "clip" else side - 2 for side in size)
        assert maps["grad-cam"].shape == (1, rows, columns)
    every = funcam("explain", own, "--net", f"own.py:{name}", "--quiet")
    assert (every.code, every.err) == (0, "")


def test_grey_is_the_luma_and_alpha_is_one(funcam: Funcam, own: Path) -> None:
    rgb = input_of(own, (32, 32))
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    colours = rgb * std.view(3, 1, 1) + mean.view(3, 1, 1)
    four = (torch.cat([colours, torch.ones(1, 1, 32, 32)], 1) - 0.5) / 0.226
    want = made("alpha").model.eval()(four).softmax(1)[0].detach().tolist()
    shown = explained(funcam, own, "alpha")
    assert {e["index"]: e["probability"] for e in shown["predictions"]} == pytest.approx(
        dict(enumerate(want)), abs=1e-4
    )


def test_which_of_several_outputs(funcam: Funcam, own: Path) -> None:
    assert len(explained(funcam, own, "two", "--output", "b")["predictions"]) == 5
    assert len(explained(funcam, own, "two", "--output", "a")["predictions"]) == 3
    funcam("explain", own, "--net", "own.py:two").error(1, r"returned a dict with 'a', 'b'")
    funcam("explain", own, "--net", "scenes", "--output", "b").error(2, "--output 'b': scenes has one output")


def test_which_of_several_outputs_of_a_network_that_says_none(funcam: Funcam, own: Path) -> None:
    shown = explained(funcam, own, "named", "--output", "a")
    assert {each["name"] for each in shown["predictions"]} == {"x", "y", "z"}
    want = made("two").eval()(input_of(own, (32, 32)))["a"].sigmoid()[0].tolist()
    assert {e["index"]: e["probability"] for e in shown["predictions"]} == pytest.approx(
        dict(enumerate(want)), abs=1e-3
    )
    assert len(explained(funcam, own, "first", "--output", "b")["predictions"]) == 5  # what is said last holds
    assert len(explained(funcam, own, "first")["predictions"]) == 3
    funcam("explain", own, "--net", "own.py:named").error(1, r"returned a dict with 'a', 'b'.*--output KEY")
    funcam("explain", own, "--net", "own.py:named", "--output", "c").error(1, "there is no 'c'")


def test_a_layout_in_words(funcam: Funcam, own: Path) -> None:
    here = ("--layer", "layer", "--layout", "channels-last")
    assert explained(funcam, own, "turned", *here)["layer"] == "layer"
    funcam("explain", own, "--net", "own.py:turned", "--layer", "layer").error(1, "undecided.*layout='channels-first'")
    funcam("explain", own, "--net", "own.py:turned", "--layout", "sideways").error(2, "--layout='sideways' is unknown")
    funcam("explain", own, "--net", "own.py:turned", "--scores", "maybe").error(2, "--scores 'maybe' is unknown")


def test_what_speaks_against_a_class_has_no_contrast(funcam: Funcam, own: Path) -> None:
    ran = funcam("explain", own, "--net", "own.py:two", "--output", "a", "-c", "not class 1", "--contrast", "class 0")
    ran.error(1, "what speaks against a class has no contrast")


def test_clips_are_not_compared(funcam: Funcam, own: Path) -> None:
    funcam("compare", own, "--net", "own.py:clip", "--net", "own.py:alpha").error(1, "clip takes clips of 4 frames")
