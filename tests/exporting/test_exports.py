"""Files of explainers say what `explain` says: of images, numbers and classes that they weren't traced with."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from small import randomised, small, state_of, tiny_swin, tiny_vit
from torch import Tensor, nn
from torchvision.models.vision_transformer import VisionTransformer

import funcam
from funcam import FuncamError
from funcam.exporting.files import METADATA

EXAMPLE = torch.zeros(1, 3, 32, 32)
IMAGES = torch.randn(5, 3, 32, 32, generator=torch.Generator().manual_seed(7))
FORMATS = ("onnx", "pt2")
# An .onnx file is made of what a .pt2 file holds. Where that is all that is asked the .pt2 file is for CI; where the
# writing is, the .onnx file.
CHEAPER = (pytest.param("onnx", marks=pytest.mark.slow), "pt2")
DEARER = ("onnx", pytest.param("pt2", marks=pytest.mark.slow))


class Deep(nn.Module):
    """Behind the features a convolution, both kinds of pooling, and two linear layers: all is differentiated."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU())
        self.behind = nn.Sequential(
            nn.Conv2d(8, 8, 3, stride=2, dilation=2, groups=2), nn.ReLU(), nn.MaxPool2d(2), nn.AvgPool2d(2)
        )
        self.pool = nn.AdaptiveAvgPool2d((2, 3))
        self.classifier = nn.Sequential(nn.Linear(48, 10), nn.Hardswish(), nn.Linear(10, 5))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.pool(self.behind(self.features(x))).flatten(1))


def deep() -> Deep:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Deep().eval()


def one_layer_vit() -> nn.Module:
    return randomised(VisionTransformer(32, 8, 1, 2, 16, 32, num_classes=5)).eval()


def ran(file: Path, *inputs: Tensor) -> list[Tensor]:
    """What a file says, without funcam."""
    if file.suffix == ".pt2":
        return list(torch.export.load(file).module()(*inputs))
    session = onnxruntime.InferenceSession(file)
    feed = {each.name: value.numpy() for each, value in zip(session.get_inputs(), inputs, strict=True)}
    return [torch.from_numpy(each) for each in session.run(None, feed)]


def assert_same(maps: Tensor, expected: Tensor) -> None:
    assert maps.shape == expected.shape
    assert expected.abs().max() > 0
    assert (maps - expected).abs().max() <= 1e-5 * expected.abs().max()


NAMES = ["ant", "bee", "cat", "dög", "elk"]


@pytest.fixture(scope="module", params=FORMATS)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> funcam.Exported:
    """A file of each format, which tells of itself what it can."""
    return funcam.export(
        small(),
        tmp_path_factory.mktemp("made") / f"explainer.{request.param}",
        example=EXAMPLE,
        classes=NAMES,
        mean=[0.5] * 3,
        std=[0.25] * 3,
        method="layer-cam",
    )


def test_the_predicted_class_for_any_number_of_images(made: funcam.Exported) -> None:
    model = small()
    for images in (IMAGES[:1], IMAGES):
        logits, classes, maps = ran(made.path, images)
        expected = funcam.explain(model, images, method="layer-cam")
        torch.testing.assert_close(logits, model(images).detach(), rtol=1e-4, atol=1e-5)
        assert torch.equal(classes, model(images).argmax(1))
        assert_same(maps, expected.maps)
    assert made.difference <= 1e-5
    assert (made.layer, made.method, f".{made.format}") == (expected.layer, "layer-cam", made.path.suffix)


def test_the_file_tells_of_itself(made: funcam.Exported) -> None:
    if made.format == "onnx":
        told: Any = onnxruntime.InferenceSession(made.path).get_modelmeta().custom_metadata_map
        assert {each.domain: each.version for each in onnx.load(made.path).opset_import}[""] >= 18
    else:
        extra = {METADATA: ""}
        torch.export.load(made.path, extra_files=extra)
        told = json.loads(extra[METADATA])
    assert told["funcam"] == funcam.__version__
    assert json.loads(told["classes"]) == NAMES
    assert (told["method"], told["layer"], told["explains"]) == ("layer-cam", made.layer, "predicted")
    assert (json.loads(told["mean"]), json.loads(told["std"])) == ([0.5] * 3, [0.25] * 3)
    assert told["normalised"] == "before the graph"
    assert told.items() >= made.metadata.items()


@pytest.mark.parametrize(
    ("layer", "method", "kind"),
    [
        pytest.param("features", "finer-cam", "onnx", marks=pytest.mark.slow),
        pytest.param("behind.2", "layer-cam", "onnx", marks=pytest.mark.slow),
        ("behind.2", "finer-cam", "pt2"),
    ],
)
def test_a_class_that_goes_in_where_all_behind_the_layer_is_differentiated(
    layer: str, method: str, kind: str, tmp_path: Path
) -> None:
    model, targets = deep(), torch.tensor([4, 0, 1, 1, 2])
    made = funcam.export(model, tmp_path / f"e.{kind}", example=EXAMPLE, targets="input", method=method, layer=layer)
    assert made.inputs == ("image", "target")
    _, classes, maps = ran(made.path, IMAGES, targets)
    assert torch.equal(classes, targets)
    assert_same(maps, funcam.explain(model, IMAGES, targets, method=method, layer=layer).maps)


@pytest.mark.parametrize("kind", DEARER)
@pytest.mark.parametrize(
    "build", [pytest.param(build, marks=pytest.mark.slow) for build in (one_layer_vit, tiny_vit, tiny_swin)]
)
def test_attention_behind_the_layer(build: Callable[[], nn.Module], kind: str, tmp_path: Path) -> None:
    """Linear layers of tokens, of which torch.func settles the number of images if it is let."""
    model, targets = build(), torch.tensor([3, 1, 0, 2, 2])
    made = funcam.export(model, tmp_path / f"e.{kind}", example=EXAMPLE, targets="input")
    _, _, maps = ran(made.path, IMAGES, targets)
    assert_same(maps, funcam.explain(model, IMAGES, targets).maps)


class Written(nn.Module):
    """Views of the whole are written in place: its rows, a permutation."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.shift = nn.Linear(8, 5), nn.Parameter(torch.linspace(-1, 1, 8))

    def forward(self, A: Tensor) -> Tensor:
        rows = (A * A).permute(2, 3, 0, 1).contiguous()
        rows.flatten(0, 1).add_(self.shift)
        rows.permute(2, 3, 0, 1).mul_(A.sigmoid())
        return self.fc(rows.mean((0, 1)))


class LastChannels(nn.Module):
    """A mean over space of what holds its channels last, as ConvNeXt and Swin do."""

    def __init__(self) -> None:
        super().__init__()
        self.mix, self.pool, self.fc = nn.Linear(8, 8), nn.AdaptiveAvgPool2d(1), nn.Linear(8, 5)

    def forward(self, A: Tensor) -> Tensor:
        mixed = nn.functional.gelu(self.mix(A.permute(0, 2, 3, 1)))
        return self.fc(self.pool(mixed.permute(0, 3, 1, 2)).flatten(1))


class Parts(nn.Module):
    """Parts are taken: one place, several in a row, from the end, every other."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(8, 5)

    def forward(self, A: Tensor) -> Tensor:
        A = A**2
        parts = A[:, :, 2, -1], A[:, :, 1:3].mean((2, 3)), A[..., -2:].sum((2, 3)), A[:, :, ::2].amax((2, 3))
        return self.fc(parts[0] + parts[1] * parts[2] + parts[3])


class Behind(nn.Module):
    """Features, and what is behind them: of several, the sum."""

    def __init__(self, *heads: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 8, 3, stride=4), nn.ReLU())
        self.heads = nn.ModuleList(head() for head in heads)

    def forward(self, x: Tensor) -> Tensor:
        A = self.features(x)
        return torch.stack([head(A) for head in self.heads]).sum(0)


HEADS = (Written, LastChannels, Parts)


@pytest.mark.slow
@pytest.mark.parametrize("heads", [HEADS, *(pytest.param((head,), marks=pytest.mark.slow) for head in HEADS)])
def test_what_is_written_in_place_or_taken_apart_behind_the_layer(
    heads: tuple[type[nn.Module], ...], tmp_path: Path
) -> None:
    """autograd undoes it on memory, which ONNX doesn't know."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = Behind(*heads).eval()
    targets = torch.tensor([3, 1, 0, 2, 2])
    made = funcam.export(model, tmp_path / "e.onnx", example=EXAMPLE, targets="input", layer="features")
    _, _, maps = ran(made.path, IMAGES, targets)
    assert_same(maps, funcam.explain(model, IMAGES, targets, layer="features").maps)


def test_grad_cam_of_a_file_is_autograd_s(tmp_path: Path) -> None:
    """The formula by hand, with plain autograd."""
    model = deep()
    made = funcam.export(model, tmp_path / "e.onnx", example=EXAMPLE, targets=3, layer="features")
    A = model.features(IMAGES)
    g = torch.autograd.grad(model.classifier(model.pool(model.behind(A)).flatten(1))[:, 3].sum(), A)[0]
    by_hand = (g.mean((2, 3), keepdim=True) * A).sum(1).relu().detach()
    _, classes, maps = ran(made.path, IMAGES)
    assert classes.tolist() == [3] * 5
    assert_same(maps, by_hand)


class Squeezed(nn.Module):
    """A head as SqueezeNet's: a convolution of single cells, a ReLU and the mean over space."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.ReLU())
        self.classifier = nn.Sequential(nn.Dropout(), nn.Conv2d(8, 40, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x)).flatten(1)


def squeezed() -> Squeezed:
    with torch.random.fork_rng():
        torch.manual_seed(2)
        return Squeezed().eval()


def grad_cam_by_hand(model: Any, images: Tensor, classes: list[int]) -> Tensor:
    """With plain autograd."""
    A = model.features(images)
    logits = model.classifier(A).flatten(1)
    g = torch.autograd.grad(logits[torch.arange(len(images)), torch.tensor(classes)].sum(), A)[0]
    return (g.mean((2, 3), keepdim=True) * A).sum(1).relu().detach()


@pytest.mark.parametrize("kind", CHEAPER)
def test_a_head_that_keeps_channels_apart_of_any_classes_and_number_of_images(kind: str, tmp_path: Path) -> None:
    model = squeezed()
    made = funcam.export(model, tmp_path / f"e.{kind}", example=EXAMPLE, targets="input", layer="features")
    for classes in ([39], [0, 17, 3], [8, 8, 39, 1, 0]):
        images = IMAGES[: len(classes)]
        logits, _, maps = ran(made.path, images, torch.tensor(classes))
        assert_same(maps, grad_cam_by_hand(model, images, classes))
        torch.testing.assert_close(logits, model(images).detach(), rtol=1e-4, atol=1e-5)


def test_a_head_that_keeps_channels_apart_is_in_the_file_once(tmp_path: Path) -> None:
    """Nothing but the network's own two convolutions, each with its weights, and products of one class's row."""
    model, normalisation = squeezed(), {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.4]}
    made = funcam.export(
        model, tmp_path / "e.onnx", example=EXAMPLE, layer="features", preprocessing=True, **normalisation
    )
    graph = onnx.load(made.path).graph
    assert [node.op_type for node in graph.node if node.op_type in ("Conv", "ConvTranspose", "Gemm")] == ["Conv"] * 2
    assert sum(np.prod(each.dims) == 8 * 40 for each in graph.initializer) == 1
    pixels = torch.randint(256, (3, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))
    mean, std = (torch.tensor(normalisation[name]) for name in ("mean", "std"))
    _, classes, maps = ran(made.path, pixels)
    assert_same(maps, grad_cam_by_hand(model, ((pixels / 255 - mean) / std).permute(0, 3, 1, 2), classes.tolist()))


def test_all_classes_of_a_convolution_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FuncamError, match=r"one linear layer.*targets='input'"):
        funcam.export(squeezed(), tmp_path / "e.pt2", example=EXAMPLE, targets="all", layer="features")


@pytest.mark.parametrize("kind", CHEAPER)
def test_all_classes_behind_one_linear_layer(kind: str, tmp_path: Path) -> None:
    model = small()
    made = funcam.export(model, tmp_path / f"e.{kind}", example=EXAMPLE, targets="all", method="grad-cam++")
    logits, classes, maps = ran(made.path, IMAGES[:3])
    assert torch.equal(classes, logits.argmax(1))
    assert_same(maps, funcam.explain(model, IMAGES[:3], "all", method="grad-cam++").maps)


def test_all_classes_are_refused_behind_more_than_one_linear_layer(tmp_path: Path) -> None:
    with pytest.raises(FuncamError, match=r"one linear layer.*targets='input'"):
        funcam.export(deep(), tmp_path / "e.pt2", example=EXAMPLE, targets="all")
    assert list(tmp_path.iterdir()) == []


ONE_PASS = {
    *("cam", "grad-cam", "grad-cam++", "grad-cam++-normalised", "xgrad-cam", "hires-cam", "element-wise-grad-cam"),
    *("layer-cam", "finer-cam", "eigen-cam", "eigen-grad-cam", "seg-eigen-cam", "kpca-cam", "fem"),
}
# Whose formulas are made of the same operations as another's there, or which other tests write into files.
ALIKE = {
    *("grad-cam++-normalised", "xgrad-cam", "hires-cam", "element-wise-grad-cam", "eigen-grad-cam", "seg-eigen-cam"),
    *("eigen-cam", "grad-cam", "grad-cam++", "layer-cam"),
}


@pytest.mark.parametrize(
    "method", [pytest.param(name, marks=pytest.mark.slow) if name in ALIKE else name for name in sorted(ONE_PASS)]
)
def test_every_method_of_one_pass(method: str, tmp_path: Path) -> None:
    model = small()
    made = funcam.export(model, tmp_path / "e.pt2", example=EXAMPLE, method=method)
    _, classes, maps = ran(made.path, IMAGES)
    expected = funcam.explain(model, IMAGES, classes, method=method).maps
    assert (maps - expected).abs().max() <= 1e-4 * expected.abs().max()


@pytest.mark.parametrize("method", sorted(funcam.METHODS.keys() - ONE_PASS))
def test_every_other_method_is_refused_with_the_reason(method: str, tmp_path: Path) -> None:
    with pytest.raises(FuncamError, match=rf"^{method.replace('+', '.')} (runs|is made of|brings) .*take grad-cam$"):
        funcam.export(small(), tmp_path / "e.pt2", example=EXAMPLE, method=method)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("method", ["eigen-cam", "seg-eigen-cam"])
def test_what_onnx_has_no_operator_for_is_named(method: str, tmp_path: Path) -> None:
    with pytest.raises(FuncamError, match=r"_linalg_eigh.*\.pt2"):
        funcam.export(small(), tmp_path / "e.onnx", example=EXAMPLE, method=method)
    assert list(tmp_path.iterdir()) == []


def test_a_function_of_one_s_own_and_its_options(tmp_path: Path) -> None:
    def squared(A: Tensor, g: Tensor, *, power: float = 1.0) -> Tensor:
        return (A * g).sum(0).abs() ** power

    made = funcam.export(small(), tmp_path / "e.pt2", example=EXAMPLE, method=squared, power=2.0)
    _, classes, maps = ran(made.path, IMAGES)
    assert_same(maps, funcam.explain(small(), IMAGES, classes, method=squared, power=2.0).maps)
    assert json.loads(made.metadata["options"]) == {"power": 2.0}


@pytest.mark.parametrize(
    ("kind", "channels"),
    [("pt2", 1), *(pytest.param(kind, count, marks=pytest.mark.slow) for kind, count in (("onnx", 1), ("pt2", 3)))],
)
def test_pixels_are_normalised_inside(kind: str, channels: int, tmp_path: Path) -> None:
    mean, std = ([0.4], [0.2]) if channels == 1 else ([0.4, 0.5, 0.6], [0.2, 0.3, 0.4])
    model = small()
    model.stem[0] = nn.Conv2d(channels, 6, 3, stride=2, padding=1) if channels == 1 else model.stem[0]
    made = funcam.export(
        model, tmp_path / f"e.{kind}", example=EXAMPLE[:, :channels], mean=mean, std=std, preprocessing=True
    )
    pixels = torch.randint(256, (4, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))
    colours = pixels.numpy().astype(np.float64) / 255
    values = colours @ np.array([[0.299], [0.587], [0.114]]) if channels == 1 else colours
    images = torch.from_numpy((values - mean) / std).float().permute(0, 3, 1, 2)
    _, classes, maps = ran(made.path, pixels)
    assert made.inputs == ("pixels",)
    assert_same(maps, funcam.explain(model, images, classes).maps)


@pytest.mark.parametrize("kind", DEARER)
def test_the_model_is_only_read(kind: str, tmp_path: Path) -> None:
    model = small().train()
    model.fc.requires_grad_(False)
    calls: list[int] = []
    model.fc.register_forward_hook(lambda *_: calls.append(1))
    before, flags = state_of(model), [each.requires_grad for each in model.parameters()]
    modes = [module.training for module in model.modules()]
    random = torch.get_rng_state()
    funcam.export(model, tmp_path / f"e.{kind}", example=EXAMPLE, hooks=False)
    assert state_of(model) == before
    assert [each.requires_grad for each in model.parameters()] == flags
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), random)
    assert all(each.grad is None for each in model.parameters())


@pytest.mark.parametrize("kind", DEARER)
def test_a_file_that_says_another_thing_is_not_left(kind: str, tmp_path: Path) -> None:
    class Another(nn.Module):
        """Computes another thing while it is traced."""

        def __init__(self) -> None:
            super().__init__()
            self.conv, self.relu, self.fc = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Linear(4, 5)

        def forward(self, x: Tensor) -> Tensor:
            scale = 1.0 if isinstance(x.shape[0], int) else 2.0
            return self.fc(scale * self.relu(self.conv(x)).mean((2, 3)))

    file = tmp_path / f"e.{kind}"
    file.write_bytes(b"as it was")
    with pytest.raises(FuncamError, match="no file is left"):
        funcam.export(Another().eval(), file, example=EXAMPLE)
    assert [each.name for each in tmp_path.iterdir()] == [file.name]
    assert file.read_bytes() == b"as it was"


def test_weights_in_a_second_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from funcam.exporting import files

    monkeypatch.setattr(files, "INSIDE", 100)
    (tmp_path / "e.onnx").write_bytes(b"an old one")
    made = funcam.export(small(), tmp_path / "e.onnx", example=EXAMPLE)
    assert [file.name for file in made.files] == ["e.onnx", "e.onnx.data"]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["e.onnx", "e.onnx.data"]
    _, classes, maps = ran(made.path, IMAGES)
    assert_same(maps, funcam.explain(small(), IMAGES, classes).maps)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"targets": "every"}, "'every' is unknown; nearest"),
        ({"targets": 5}, "class 5 is out of range: the model has 5 classes"),
        ({"targets": [1, 2]}, "a file can't explain"),
        ({"targets": True}, "a file can't explain"),
        ({"format": "tflite"}, "expected onnx or pt2"),
        ({"format": "onnx"}, "ends in .pt2"),
        ({"layer": ["stem", "blocks"]}, "one layer"),
        ({"layer": "blocks.7"}, "nearest"),
        ({"example": torch.zeros(3)}, "expected images"),
        ({"classes": ["a", "b"]}, "2 names of classes .* 5 logits"),
        ({"mean": [0.5] * 3}, "go together"),
        ({"mean": [0.5], "std": [0.5]}, "don't fit images of 3 channels"),
        ({"mean": [0.5] * 3, "std": [0.5, 0.5, 0]}, "no std of zero"),
        ({"preprocessing": True}, "no mean and std"),
        ({"method": "no-cam"}, "unknown method"),
        ({"power": 2}, "grad-cam has no option 'power'"),
    ],
)
def test_bad_input_is_refused_and_nothing_is_left(change: dict[str, Any], expected: str, tmp_path: Path) -> None:
    given: dict[str, Any] = {"example": EXAMPLE, **change}
    with pytest.raises(FuncamError, match=expected):
        funcam.export(small(), tmp_path / "e.pt2", **given)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [("e", "does not say its format"), ("none/e.pt2", "can't be written"), ("folder.pt2", "a folder")],
)
def test_places_that_no_file_can_have(
    name: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "folder.pt2").mkdir()
    monkeypatch.setattr("funcam.exporting.exports.split", lambda *_, **__: pytest.fail("the work was begun"))
    with pytest.raises(FuncamError, match=expected):
        funcam.export(small(), tmp_path / name, example=EXAMPLE)


def test_a_package_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    find: Callable[..., Any] = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "onnxruntime" else find(name, *more)
    )
    with pytest.raises(FuncamError, match=r'onnxruntime, which is not installed; run pip install "funcam\[export\]"'):
        funcam.export(small(), tmp_path / "e.onnx", example=EXAMPLE)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_file_of_another_kind_stays(tmp_path: Path, kind: str) -> None:
    photo = tmp_path / "photo.png"
    photo.write_bytes(b"\x89PNG\r\n")
    with pytest.raises(FuncamError, match="is there and no explainer; choose another name, or remove it"):
        funcam.export(deep(), photo, example=EXAMPLE, format=kind)
    assert [(each.name, each.read_bytes()) for each in tmp_path.iterdir()] == [("photo.png", b"\x89PNG\r\n")]


@pytest.mark.parametrize("kind", CHEAPER)
def test_an_explainer_of_any_name_is_replaced_and_nothing_is_printed(
    tmp_path: Path, kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        funcam.export(deep(), tmp_path / "explainer", example=EXAMPLE, format=kind)
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_a_version_of_operators_is_that_of_the_file_or_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Torch writes another one where it can't write that which was asked for."""
    made = funcam.export(deep(), tmp_path / "new.onnx", example=EXAMPLE, opset=20)
    assert {each.domain: each.version for each in onnx.load(made.path).opset_import} == {"": 20}
    with pytest.raises(FuncamError, match="opset 99 is none that the packages onnx and onnxscript"):
        funcam.export(deep(), tmp_path / "later.onnx", example=EXAMPLE, opset=99)
    with pytest.raises(FuncamError, match=r"opset 18 is of \.onnx files, and this is a \.pt2 file; leave it out"):
        funcam.export(deep(), tmp_path / "other.pt2", example=EXAMPLE, opset=18)
    assert [each.name for each in tmp_path.iterdir()] == ["new.onnx"]
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pt2", "onnx"])
def test_a_full_disk_is_told(tmp_path: Path, kind: str) -> None:
    """By a limit on files' sizes in a process of its own: torch's own writer would end it."""
    pytest.importorskip("resource")
    program = (
        "import signal, resource, sys, torch, funcam\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())\n"
        f"funcam.export(model.eval(), 'full.{kind}', example=torch.zeros(1, 3, 8, 8))\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert ran.returncode == 1, ran
    assert ran.stderr.splitlines()[-1].endswith("can't be written: File too large; make room, or give another")
    assert list(tmp_path.iterdir()) == []
