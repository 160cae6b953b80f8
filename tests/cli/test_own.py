"""A model of one's own on the command line: ``--net FILE.py:FUNCTION=weights.pth``."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import Funcam
from torch import nn

from funcam.cli.net_option import parse_net_spec
from funcam.zoo.user_code import Factory

SOURCE = """
from pathlib import Path
from torch import nn
from funcam.zoo.nets import own_net
from funcam.scenes import CLASSES
Path("ran").write_text(".")

def plain():
    layers = nn.Conv2d(3, 4, 3, stride=8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10)
    return nn.Sequential(*layers)

def of_scenes():
    return own_net(plain(), input_size=128, mean=(0.5,) * 3, std=(0.25,) * 3, classes=CLASSES)

def broken():
    raise RuntimeError("no")
"""


@pytest.fixture(autouse=True)
def source(funcam: Funcam, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file, in the folder in which the command line runs, and weights for it."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    Path("own.py").write_text(SOURCE)
    torch.manual_seed(3)
    layers = (nn.Conv2d(3, 4, 3, stride=8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10))
    torch.save(nn.Sequential(*layers).state_dict(), "own.pth")


@pytest.mark.parametrize(
    ("text", "label", "net", "weights"),
    [
        ("resnet50", "resnet50", "resnet50", None),
        ("resnet50=own.pth", "resnet50", "resnet50", "own.pth"),
        ("mine:resnet50=own.pth", "mine", "resnet50", "own.pth"),
        ("v1.2:resnet50", "v1.2", "resnet50", None),
        ("own.py:plain", "plain", Factory("own.py", "plain"), None),
        ("./own.py:plain=own.pth", "plain", Factory("./own.py", "plain"), "own.pth"),
        ("mine:own.py:plain=own.pth", "mine", Factory("own.py", "plain"), "own.pth"),
        ("a.b:make", "make", Factory("a.b", "make"), None),
        ("mine:a.b:make", "mine", Factory("a.b", "make"), None),
    ],
)
def test_what_is_meant(text: str, label: str, net: str | Factory, weights: str | None) -> None:
    found = parse_net_spec(text)
    assert (found.label, found.net, found.weights) == (label, net, weights)
    assert not Path("ran").exists()


def test_explain(funcam: Funcam, image: Path) -> None:
    ran = funcam("explain", image, "--net", "own.py:plain=own.pth", "--method", "grad-cam", "--json")
    document = json.loads(ran.out)
    assert (ran.code, ran.err) == (0, "")
    assert (document["net"], document["weights"]) == ("own.py:plain", "own.pth")
    assert document["predictions"][0]["name"].startswith("class ")
    assert Path("results/pic-plain-panel.png").exists()


def test_explain_with_weights_and_labels_apart(funcam: Funcam, image: Path) -> None:
    Path("names.txt").write_text("\n".join(f"name {number}" for number in range(10)))
    run = ("explain", image, "--net", "own.py:plain", "--weights", "own.pth", "--labels", "names.txt", "-m", "fem")
    document = json.loads(funcam(*run, "--json").out)
    assert document["weights"] == "own.pth"
    assert document["predictions"][0]["name"].startswith("name ")


def test_a_scene_is_known_to_a_network_of_the_scenes(funcam: Funcam) -> None:
    ran = funcam("explain", "--net", "own.py:of_scenes", "--scene", 3, "-m", "fem", "--json")
    assert "the scene shows" in json.loads(ran.out)["notes"][0]


def test_compare(funcam: Funcam) -> None:
    nets = ("--net", "scenes", "--net", "own.py:of_scenes=own.pth", "--net", "raw:own.py:of_scenes")
    run = ("compare", "--scenes", 2, *nets, "-m", "grad-cam", "--layer", "raw=1")
    ran = funcam(*run, "--json")
    document = json.loads(ran.out)
    assert (ran.code, ran.err) == (0, "")
    assert {row["net"] for row in document["results"]} == {"scenes", "of_scenes", "raw"}
    written = {net["label"]: (net["name"], net["weights"]) for net in document["config"]["nets"]}
    assert written["of_scenes"] == ("own.py:of_scenes", "own.pth")
    assert written["raw"][0] == "own.py:of_scenes"


def test_evaluate(funcam: Funcam) -> None:
    ran = funcam("evaluate", "--scenes", 6, "--net", "own.py:of_scenes=own.pth", "-m", "layer-cam", "-l", "1", "--json")
    assert (ran.code, ran.err) == (0, "")
    assert json.loads(ran.out)["net"] == "of_scenes"


def test_layers(funcam: Funcam) -> None:
    ran = funcam("layers", "own.py:of_scenes")
    rows = [line.split() for line in ran.out.splitlines()[1:-1]]
    assert ["1", "4x16x16", "default"] in rows
    assert ran.out.endswith("of an image of 128x128 pixels\n")


@pytest.mark.parametrize(
    ("net", "message"),
    [
        ("no.py:net", r"there is no file 'no\.py'"),
        ("own.py", r"give own\.py:FUNCTION"),
        ("own.py:plain=no.pth", r"there is no file 'no\.pth'"),
        ("mine:own.py:", r"names no function"),
        (":own.py:plain", r"no label before its first colon"),
        ("a/b:resnet18", r"a label holds no '/'"),
        ("own:plain", r"network 'plain' is not in the zoo"),
    ],
)
@pytest.mark.parametrize("command", [("explain", "pic.png", "--net"), ("compare", "--scenes", 2, "--net"), ("layers",)])
def test_wrong_words(funcam: Funcam, image: Path, command: tuple[Any, ...], net: str, message: str) -> None:
    funcam(*command, net).error(2, message)
    assert not Path("ran").exists()


def test_weights_twice(funcam: Funcam, image: Path) -> None:
    run = ("explain", image, "--net", "own.py:plain=own.pth", "--weights")
    funcam(*run, "own.pth").error(2, "give one or the other")
    funcam("explain", image, "--net", "own.py:plain", "--weights", "IMAGENET").error(2, "there is no such file")


def test_two_functions_of_one_name(funcam: Funcam) -> None:
    nets = ("--net", "own.py:plain", "--net", "own.py:plain=own.pth")
    funcam("compare", "--scenes", 2, *nets).error(2, "two networks are called 'plain'; .*LABEL:own.py:plain=")


def test_what_fails_is_one_line_with_its_place(funcam: Funcam, image: Path) -> None:
    number = 1 + SOURCE.splitlines().index('    raise RuntimeError("no")')
    funcam("explain", image, "--net", "own.py:broken").error(1, rf"RuntimeError: no \(.*own\.py, line {number}\)")
    funcam("layers", "own.py:nothing").error(1, "there is no function 'nothing' in own.py; nearest: ")


class Malice:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch executed",)


def test_a_file_of_weights_still_runs_no_code(funcam: Funcam, image: Path) -> None:
    Path("bad.pth").write_bytes(pickle.dumps({"0.weight": Malice()}, 2))
    funcam("explain", image, "--net", "own.py:plain=bad.pth").error(1, "bad.pth")
    assert not Path("executed").exists()


def test_usage_errors_do_not_import_torch(process: Callable[..., subprocess.Popen[str]]) -> None:
    program = (
        "import sys; from funcam.cli.net_option import parse_net_spec; parse_net_spec('own.py:plain');"
        "assert 'torch' not in sys.modules"
    )
    running = process("-c", program)
    assert (running.wait(), running.communicate()[1]) == (0, "")


@pytest.mark.parametrize("command", ["explain", "compare", "evaluate", "layers"])
def test_the_help_says_that_code_runs(funcam: Funcam, command: str) -> None:
    shown = " ".join(funcam(command, "--help").out.replace("│", " ").split())
    assert "FILE.py:FUNCTION" in shown
    assert "runs" in shown
