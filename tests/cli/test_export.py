"""`funcam export`: a file from the command line; what is wrong is said before torch is there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from command_line import Funcam

import funcam as library
from funcam.zoo.nets import build_net


@pytest.mark.long
def test_a_file_that_says_what_explain_says(funcam: Funcam, tmp_path: Path) -> None:
    ran = funcam("export", "--net", "scenes=random", "--out", "e.pt2", "--class", "input", "-m", "layer-cam", "--json")
    assert (ran.code, ran.err) == (0, "")
    told = json.loads(ran.out)
    assert told["difference"] <= 1e-4
    assert told["metadata"]["method"] == "layer-cam"
    assert json.loads(told["metadata"]["classes"])[4] == "disk"
    images = torch.randn(3, 3, 128, 128, generator=torch.Generator().manual_seed(5))
    classes = torch.tensor([4, 0, 9])
    _, said, maps = torch.export.load(tmp_path / "e.pt2").module()(images, classes)
    expected = library.explain(build_net("scenes").model, images, classes, method="layer-cam")
    assert torch.equal(said, classes)
    assert (maps - expected.maps).abs().max() <= 1e-4 * expected.maps.max()


@pytest.mark.long
def test_the_difference_is_printed(funcam: Funcam, tmp_path: Path) -> None:
    ran = funcam(
        "export",
        "--net",
        "scenes=random",
        "-o",
        "e.pt2",
        "--class",
        "ring",
        "-m",
        "layer-cam",
        "--with-preprocessing",
        "--size",
        64,
    )
    assert ran.code == 0
    assert "pixels: uint8 RGB [batch, 64, 64, 3] -> logits, class, map [batch, *grid]" in ran.out
    assert "verified on 4 other images: maps differ by" in ran.out
    _, classes, _ = torch.export.load(tmp_path / "e.pt2").module()(torch.zeros(3, 64, 64, 3, dtype=torch.uint8))
    assert classes.tolist() == [6, 6, 6]


WRONG = [
    (("-o", "e"), "does not say its format; name it .onnx or .pt2"),
    (("-o", "e.onnx", "--format", "pt2"), "the format is pt2 and the file's name ends in .onnx"),
    (("-o", "e.pt2", "--format", "tflite"), "'tflite' is unknown; expected onnx or pt2"),
    (("-o", "e.pt2", "-m", "score-cam"), "score-cam runs the network many times for each image"),
    (("-o", "e.pt2", "-m", "grad-kam"), "unknown method 'grad-kam'"),
    (("-o", "e.pt2", "--labels", "none.txt"), "there is no such file"),
    (("-o", "e.pt2", "--set", "layer-cam.x=1"), "not among the methods"),
]


@pytest.mark.parametrize(("arguments", "expected"), WRONG)
def test_wrong_words_are_usage_errors(
    funcam: Funcam, arguments: tuple[str, ...], expected: str, tmp_path: Path
) -> None:
    funcam("export", "--net", "scenes", *arguments).error(2, expected)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("out", "expected"), [("none/e.pt2", "can't be written: No such file"), ("folder.pt2", "is a folder")]
)
def test_a_place_that_no_file_can_have_is_told_before_the_work(
    funcam: Funcam, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str, expected: str
) -> None:
    (tmp_path / "folder.pt2").mkdir()
    monkeypatch.setattr("funcam.cli.export.load", lambda *_, **__: pytest.fail("the network was loaded"))
    funcam("export", "--net", "scenes", "-o", out).error(1, expected)
    assert [path.name for path in tmp_path.rglob("*")] == ["folder.pt2"]


def test_wrong_words_need_no_torch(process: Callable[..., object]) -> None:
    program = (
        "import sys; from funcam.cli.main import app\n"
        "try: app(['export', '--net', 'scenes', '-o', 'e'], standalone_mode=False)\n"
        "except Exception as error: print(type(error).__name__, 'torch' in sys.modules)"
    )
    out, _ = process("-c", program).communicate()  # type: ignore[attr-defined]
    assert out == "UsageError False\n"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--class", "unicorn"), "unicorn"),
        (("--layer", "nowhere"), "nowhere"),
        (("-o", "none/e.pt2"), "can't be written"),
        (("-m", "eigen-cam", "--class", "all"), "one linear layer"),
    ],
)
def test_what_the_network_has_not_is_a_failure(
    funcam: Funcam, arguments: tuple[str, ...], expected: str, tmp_path: Path
) -> None:
    funcam("export", "--net", "scenes=random", "-o", "e.pt2", *arguments).error(1, expected)
    assert list(tmp_path.iterdir()) == []
