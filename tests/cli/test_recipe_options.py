"""``funcam explain --method ... --layer ... --combine ... --smooth ... --contrast ...``"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_line import SCENES, Funcam, Ran
from compiled import COMPILER
from PIL import Image

import funcam as library
from funcam.cli.compiler import begin_compiling
from funcam.scenes import CLASSES
from funcam.scenes.network import inputs
from funcam.zoo.nets import build_net


def record_of(ran: Ran) -> dict[str, Any]:
    assert (ran.code, ran.err) == (0, ""), ran
    found: dict[str, Any] = json.loads(ran.out)
    return found


def test_several_methods_each_have_their_pictures(funcam: Funcam, image: Path) -> None:
    run = ("explain", image, *SCENES, "--method", "layer-cam", "-m", "gradient,eigen-cam,grad-cam", "--json")
    record = record_of(funcam(*run))

    assert record["methods"] == ["layer-cam", "gradient", "eigen-cam", "grad-cam"]
    kinds = ["layer-cam-heatmap", "layer-cam", "gradient", "eigen-cam-heatmap", "eigen-cam", "heatmap", "cam"]
    assert list(record["explained"][0]["files"]) == kinds
    assert {f"pic-scenes-{kind}.jpg" for kind in kinds} < {path.name for path in Path("results").iterdir()}
    assert [made["layer"] for made in record["maps"]] == [
        "trunk_output",
        "whole network",
        "trunk_output",
        "trunk_output",
    ]


def test_several_layers_side_by_side_and_combined(funcam: Funcam, image: Path) -> None:
    run = ("explain", image, *SCENES, "-m", "layer-cam", "-l", "trunk_output", "-l", "trunk_output.block1", "--maps")
    apart = record_of(funcam(*run, "--json"))
    assert apart["methods"] == ["layer-cam@trunk_output", "layer-cam@trunk_output.block1"]
    assert apart["layer"] == "trunk_output, trunk_output.block1"
    with np.load("results/pic-scenes-maps.npz") as maps:
        assert [maps[name].shape for name in apart["methods"]] == [(1, 16, 16), (1, 32, 32)]

    one = record_of(funcam(*run, "--combine", "product", "--out", "combined", "--json"))
    assert one["methods"] == ["layer-cam"]
    assert one["layer"] == "trunk_output+trunk_output.block1"
    assert one["combine"] == "product"
    with np.load("combined/pic-scenes-maps.npz") as maps:
        assert maps["layer-cam"].shape == (1, 32, 32)


def test_what_is_computed_is_what_the_library_computes(funcam: Funcam) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    Image.fromarray(pixels).save("pic.png")
    asked = (
        "--class",
        "star",
        "--contrast",
        "ring",
        "--smooth",
        "aug",
        "--smooth",
        "eigen",
        "-m",
        "grad-cam",
        "--maps",
    )
    record = record_of(funcam("explain", "pic.png", *SCENES, *asked, "--json"))

    star, ring = CLASSES.index("star"), CLASSES.index("ring")
    assert record["contrast"] == ring
    assert record["smooth"] == ["aug", "eigen"]
    model = build_net("scenes").model
    rule = library.contrast([[star]], ring)
    want = library.explain(model, inputs([pixels]), rule, smooth=["aug", "eigen"]).maps[0]
    with np.load("results/pic-scenes-maps.npz") as maps:
        np.testing.assert_allclose(maps["grad-cam"], want, rtol=1e-3, atol=1e-5 * float(want.max()))


def test_the_runner_up(funcam: Funcam, image: Path) -> None:
    record = record_of(funcam("explain", image, *SCENES, "--contrast", "runner-up", "-m", "grad-cam", "--json"))
    assert record["contrast"] == "runner-up"


def test_options_of_methods(funcam: Funcam, image: Path) -> None:
    run = ("explain", image, *SCENES, "-m", "score-cam,guided-grad-cam", "--set", "score-cam.strongest=3")
    record = record_of(funcam(*run, "--set", "guided-grad-cam.cam=layer-cam", "--json"))
    assert [made["options"] for made in record["maps"]] == [{"strongest": 3}, {"cam": "layer-cam"}]


def test_the_record_says_what_was_not_asked_for_too(funcam: Funcam, image: Path) -> None:
    record = record_of(funcam("explain", image, *SCENES, "-m", "smooth-grad,shapley-cam,grad-cam", "--json"))
    smooth, shapley, plain = record["maps"]
    assert smooth["options"] == {"samples": 25, "noise": 0.15, "seed": 0}
    assert shapley["explains"] == "logit and log-probability"
    assert (plain["explains"], plain["options"]) == ("logit", {})


def test_every_method_that_the_network_can_have(funcam: Funcam, image: Path) -> None:
    record = record_of(funcam("explain", image, *SCENES, "--method", "all", "--class", "star", "--class", 1, "--json"))

    assert set(record["methods"]) == set(library.METHODS) - {"le-grad"}
    assert any(note.startswith("no le-grad: le-grad is for Vision Transformers") for note in record["notes"])
    files = [name for entry in record["explained"] for name in entry["files"].values()]
    assert len(set(files)) == len(files)  # no picture overwrites another
    with Image.open("results/pic-scenes-panel.png") as panel:
        assert panel.width < 4000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--method", "gradcam"), r"--method: unknown method 'gradcam'; nearest: 'grad-cam'"),
        (("--method", "all", "--method", "grad-cam"), r"--method all stands alone; got all, grad-cam"),
        (("--combine", "mean"), r"--combine mean makes one map of several layers; give --layer more than once"),
        (
            ("--layer", "a", "--layer", "b", "--combine", "sum"),
            r"--combine 'sum' is unknown; expected mean, max or product",
        ),
        (("--smooth", "blur"), r"--smooth 'blur' is unknown; expected aug or eigen"),
        (("--set", "strongest=3"), r"--set 'strongest=3' is not METHOD.OPTION=VALUE"),
        (("--set", "layer-cam.k=3"), r"layer-cam is not among the methods that are computed; add --method layer-cam"),
        (("--set", "scorecam.strongest=3"), r"--set: unknown method 'scorecam'; nearest: 'score-cam'"),
        (("-m", "score-cam", "--set", "score-cam.strong=1"), r"score-cam has no option 'strong'; it has 'strongest'"),
        (("-m", "all", "--set", "grad-cam.k=1"), r"grad-cam has no option 'k'; it has none"),
    ],
)
def test_wrong_words_are_found_before_any_work(funcam: Funcam, image: Path, arguments: Any, message: str) -> None:
    funcam("explain", image, *SCENES, *arguments).error(2, message)


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("score-cam.strongest=none", "a whole number of at least 1"),
        ("score-cam.strongest=-4", "a whole number of at least 1"),
        ("score-cam.strongest=2.5", "a whole number of at least 1"),
        ("score-cam.strongest=true", "a whole number of at least 1"),
        ("smooth-grad.samples=null", "a whole number of at least 1"),
        ("smooth-grad.seed=-1", "a whole number of at least 0"),
        ("smooth-grad.noise=NaN", "a number of at least 0"),
        ("smooth-grad.noise=loud", "a number of at least 0"),
        ("finer-cam.similar=0", "a whole number of at least 1"),
        ("eigen-cam.centre=1", "true or false"),
        ("kpca-cam.kernel=sigmoyd", "sigmoid or rbf"),
        ("guided-grad-cam.cam=gradient", "takes a map as its mask"),
    ],
)
def test_wrong_values_of_options_are_found_before_any_work(
    funcam: Funcam, image: Path, setting: str, expected: str
) -> None:
    method = setting.partition(".")[0]
    for run in (("explain", image), ("compare", "--scenes", 2), ("batch", image, "--out", "store")):
        line = funcam(*run, "--net", "scenes", "-m", method, "--set", setting).error(2, f"--set '{setting}'")
        assert expected in line
    assert [path.name for path in Path().iterdir()] == [image.name]


def test_what_an_option_may_be_besides(funcam: Funcam, image: Path) -> None:
    run = ("explain", image, *SCENES, "-m", "score-cam,kpca-cam", "--pictures", "none")
    values = ("--set", "score-cam.strongest=null", "--set", "kpca-cam.kernel=rbf", "--set", "kpca-cam.gamma=2")
    assert funcam(*run, *values).code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("-m", "le-grad"), r"le-grad is for Vision Transformers.*use grad-cam"),
        (("-m", "eigen-cam", "--smooth", "eigen"), r"no weighted channels to smooth"),
        (("--class", "star", "--contrast", "star"), r"class 8 is contrasted with itself"),
        (("--contrast", "nobody"), r"nobody"),
    ],
)
def test_what_the_network_cannot_have_is_refused(funcam: Funcam, image: Path, arguments: Any, message: str) -> None:
    funcam("explain", image, *SCENES, *arguments).error(1, message)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "give --method"),
        (("-m", "all"), "give --method"),
        (("-m", "grad-cam", "-l", "trunk_output", "-l", "trunk_output.block1"), "one --layer"),
        (("-m", "grad-cam", "--contrast", "runner-up"), "--contrast can't be prepared"),
        (("-m", "grad-cam", "--layout", "channels-last"), "--layout can't be prepared"),
    ],
)
def test_what_can_not_be_fast_is_a_wrong_word(funcam: Funcam, image: Path, options: tuple[str, ...], said: str) -> None:
    funcam("explain", image, *SCENES, "--fast", *options).error(2, said)


@pytest.fixture
def torch_logs() -> Iterator[None]:
    """torch's own settings, again when the test is over."""
    yield
    torch._logging.set_logs()


@pytest.mark.usefixtures("torch_logs")
@pytest.mark.parametrize("asked", [None, "+dynamo"])
def test_what_torch_says_of_compiling_is_kept_back_unless_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder, asked: Any
) -> None:
    monkeypatch.delenv("TORCH_LOGS", raising=False)
    if asked is not None:
        monkeypatch.setenv("TORCH_LOGS", asked)
    begin_compiling(("grad-cam", "layer-cam"), silent=False)
    said = capfd.readouterr().err
    assert said.startswith("funcam: --fast: torch compiles grad-cam, layer-cam before the first image")
    begin_compiling(("grad-cam",), silent=True)
    assert capfd.readouterr().err == ""
    for name in ("torch.utils.cpp_extension", "torch._inductor.utils", "torch._dynamo"):
        log = logging.getLogger(name)
        assert (log.isEnabledFor(logging.WARNING), log.isEnabledFor(logging.ERROR)) == (asked is not None, True)
    warnings.warn_explicit("cores for TF32", UserWarning, "compile_fx.py", 1, module="torch._inductor.compile_fx")
    warnings.warn_explicit("the user's", UserWarning, "own.py", 1, module="own")
    assert [str(one.message) for one in recwarn] == (["cores for TF32"] if asked else []) + ["the user's"]


@pytest.mark.slow
@pytest.mark.skipif(not COMPILER, reason="torch.compile needs a C++ compiler and Python's headers")
def test_fast_writes_the_same_and_says_how_long_it_took(funcam: Funcam, image: Path) -> None:
    run = ("explain", image, *SCENES, "-m", "grad-cam", "--maps", "--json")
    funcam(*run)
    with np.load("results/pic-scenes-maps.npz") as maps:
        exact = maps["grad-cam"]
    ran = funcam(*run, "--fast", "--out", "fast")
    assert ran.err == ""  # of a run that prints JSON only, torch's talk of it included
    record = json.loads(ran.out)
    with np.load("fast/pic-scenes-maps.npz") as maps:
        np.testing.assert_allclose(maps["grad-cam"], exact, rtol=1e-3, atol=1e-3 * np.abs(exact).max())
    assert any(note.startswith("prepared in ") and "compiled" in note for note in record["notes"])
