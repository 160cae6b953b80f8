"""Reading files of weights, and fitting what is in them to a network."""

from __future__ import annotations

import io
import os
import pickle
import sys
import tarfile
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision import models

from funcam.errors import FuncamError
from funcam.zoo.architectures import class_axes, count_classes, is_complete, meta_network
from funcam.zoo.checkpoints import read_checkpoint
from funcam.zoo.names import NETS
from funcam.zoo.state_dicts import build_with_state

State = dict[str, Tensor]


@pytest.fixture(scope="module")
def net() -> nn.Module:
    """A small network with values that no initialisation gives."""
    return filled(models.shufflenet_v2_x0_5(weights=None))


def filled(model: nn.Module) -> nn.Module:
    """The model with other values everywhere, BatchNorm's statistics included."""
    generator = torch.Generator().manual_seed(7)
    for tensor in model.state_dict().values():
        if tensor.ndim > 1:
            tensor.uniform_(-1, 1, generator=generator).mul_((3 / tensor[0].numel()) ** 0.5)
        elif tensor.is_floating_point():
            tensor.uniform_(0.5, 1.5, generator=generator)
    return model.eval()


def saved(content: Any, file: Path, **options: Any) -> Path:
    torch.save(content, file, **options)
    return file


def refusal(call: Callable[[], Any]) -> str:
    with pytest.raises(FuncamError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 700
    return message


def assert_same(state: State, expected: State) -> None:
    assert set(state) == set(expected)
    for name, tensor in expected.items():
        torch.testing.assert_close(state[name], tensor, rtol=0, atol=0)


# Reading


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        dict,
        lambda state: {"state_dict": state, "epoch": 3, "optimizer": {"state": {0: {"step": torch.tensor(1.0)}}}},
        lambda state: {"model": state, "model_ema": {"module.fc.bias": torch.zeros(3)}, "args": None},
        lambda state: {"epoch": torch.tensor(3), "net": {"state_dict": state}},
        lambda state: {"my weights": state, "epoch": 3},
        lambda state: {**state, "epoch": 3, "note": "the best"},
        lambda state: {f"module.{name}": tensor for name, tensor in state.items()},
        lambda state: {f"_orig_mod.module.{name}": tensor for name, tensor in state.items()},
        lambda state: {name.replace("conv1.", "conv1._orig_mod."): tensor for name, tensor in state.items()},
        lambda state: {"n_averaged": torch.tensor(9)} | {f"module.{name}": tensor for name, tensor in state.items()},
        lambda state: {"state_dict": {f"model.{name}": tensor for name, tensor in state.items()}},
    ],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_a_state_dict_is_found_wherever_it_lies(
    net: nn.Module, tmp_path: Path, wrap: Callable[[State], Any], zipped: bool
) -> None:
    state = net.state_dict()
    file = saved(wrap(state), tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
    assert_same(read_checkpoint(file), state)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_floats_of_any_width_become_float32(tmp_path: Path, dtype: torch.dtype) -> None:
    state = {"a": torch.randn(5).to(dtype), "count": torch.tensor(3)}
    read = read_checkpoint(saved(state, tmp_path / "a.pt"))
    assert_same(read, {"a": state["a"].float(), "count": state["count"]})


def test_safetensors(net: nn.Module, tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.torch")
    file = tmp_path / "a.safetensors"
    safetensors.save_file(net.state_dict(), file)
    assert_same(read_checkpoint(file), net.state_dict())
    file.write_bytes(file.read_bytes()[:5000])
    assert "is not a safetensors file" in refusal(lambda: read_checkpoint(file))


def test_safetensors_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.safetensors").write_bytes(b"x")
    monkeypatch.setitem(sys.modules, "safetensors", None)
    assert "pip install 'funcam[safetensors]'" in refusal(lambda: read_checkpoint(tmp_path / "a.safetensors"))


def test_the_tensors_outlive_the_file(net: nn.Module, tmp_path: Path) -> None:
    file = saved(net.state_dict(), tmp_path / "a.pth")
    state = read_checkpoint(file)
    os.truncate(file, 0)
    assert_same(state, net.state_dict())


def test_parameters_come_as_plain_tensors(tmp_path: Path) -> None:
    file = saved({"weight": nn.Parameter(torch.ones(3))}, tmp_path / "a.pth")
    assert not read_checkpoint(file)["weight"].requires_grad


class Bomb:
    """What a malicious file holds: unpickling it would run a command."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("form", ["zip", "legacy", "pickle", "protocol 5", "inside a state dict"])
def test_code_in_a_file_is_not_run(tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    file, target = tmp_path / "evil.pth", tmp_path / "made by the file"
    content = {"state_dict": {"fc.weight": torch.ones(2), "fc.bias": Bomb(target)}} if "dict" in form else Bomb(target)
    if form in ("pickle", "protocol 5"):
        file.write_bytes(pickle.dumps(content, protocol=5 if "5" in form else 2))
    else:
        torch.save(content, file, _use_new_zipfile_serialization=form != "legacy")
    message = refusal(lambda: read_checkpoint(file))
    assert not target.exists()
    assert ("mkdir" in message and "runs no code" in message) or form == "protocol 5"
    with file.open("rb") as stream:  # the bomb is live: whoever trusts the file runs it
        torch.load(stream, weights_only=False) if form not in ("pickle", "protocol 5") else pickle.load(stream)
    assert target.exists()


def bad_files(folder: Path) -> dict[str, tuple[Path, str]]:
    """Files that are no checkpoint, and what the message has to say about each."""

    def write(name: str, content: bytes) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    good = io.BytesIO()
    torch.save({"a": torch.ones(3000)}, good)
    legacy = io.BytesIO()
    torch.save({"a": torch.ones(3000)}, legacy, _use_new_zipfile_serialization=False)
    with zipfile.ZipFile(folder / "document.zip", "w") as archive:
        archive.writestr("a.txt", "b")
    with tarfile.open(folder / "old.tar", "w") as old:
        old.addfile(tarfile.TarInfo("storages"))
    return {
        "missing": (folder / "missing.pth", "does not exist"),
        "folder": (folder, "is a folder"),
        "empty": (write("empty.pth", b""), "is empty"),
        "text": (write("text.pth", b"hello world\n" * 50), "starts with b'hello"),
        "bytes": (write("bytes.pth", bytes(range(256)) * 20), "is not a checkpoint"),
        "pickle-like": (write("like.pth", b"\x80" + bytes(range(256)) * 20), "is not a checkpoint or is damaged"),
        "jpeg": (write("photo.jpg", b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(500)), "is not a checkpoint"),
        "lfs": (write("lfs.pth", b"version https://git-lfs.github.com/spec/v1\noid"), "git lfs pull"),
        "half": (write("half.pth", good.getvalue()[:5000]), "cut short or damaged"),
        "legacy half": (write("legacy.pth", legacy.getvalue()[:5000]), "is damaged"),
        "zip": (folder / "document.zip", "zip file but no PyTorch checkpoint"),
        "tar": (folder / "old.tar", "before 0.4"),
        "module": (saved(nn.Sequential(nn.Linear(2, 2)), folder / "m.pth"), "save model.state_dict()"),
        "legacy module": (
            saved(models.squeezenet1_1(), folder / "n.pth", _use_new_zipfile_serialization=False),
            "torchvision.models.squeezenet.SqueezeNet",
        ),
        "list": (saved([torch.ones(2)], folder / "list.pth"), "holds a list"),
        "tensor": (saved(torch.ones(2), folder / "tensor.pth"), "holds a Tensor"),
        "no tensors": (saved({"epoch": 3, "note": "x"}, folder / "none.pth"), "no state dict (it has 'epoch', 'note')"),
        "nothing": (saved({}, folder / "nothing.pth"), "it has nothing"),
        "two": (saved({"a": {"x": torch.ones(1)}, "b": {"x": torch.ones(1)}}, folder / "two.pth"), "no state dict"),
        "meta": (saved({"a": torch.ones(2, device="meta")}, folder / "meta.pth"), "'a' is a tensor without values"),
        "sparse": (saved({"a": torch.eye(2).to_sparse()}, folder / "sparse.pth"), "'a' is a tensor of torch.float32"),
    }


def test_files_that_are_no_checkpoint(tmp_path: Path) -> None:
    for file, part in bad_files(tmp_path).values():
        message = refusal(lambda file=file: read_checkpoint(file))  # type: ignore[misc]
        assert part in message
        assert str(file) in message


def test_a_torchscript_program(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as archive:
        for member in ("a/data.pkl", "a/constants.pkl", "a/code/__torch__.py"):
            archive.writestr(member, "")
    assert "TorchScript" in refusal(lambda: read_checkpoint(tmp_path / "a.pt"))


# Fitting


def light(name: str, **options: Any) -> State:
    """A state dict of any size that takes no memory: each tensor is one number, repeated."""
    state = meta_network(name, **options).state_dict()
    return {key: torch.zeros((), dtype=tensor.dtype).expand(tensor.shape) for key, tensor in state.items()}


@pytest.mark.parametrize("name", [name for name in NETS if name != "scenes"])
def test_every_network_is_built_to_fit_any_number_of_classes(name: str) -> None:
    random_state = torch.get_rng_state()
    state = light(name, num_classes=7)
    model = build_with_state(name, state)
    assert count_classes(model) == 7
    assert is_complete(model)
    assert not model.training
    assert all(tensor.shape == state[key].shape for key, tensor in model.state_dict().items())
    assert torch.equal(random_state, torch.get_rng_state())


@pytest.mark.parametrize(
    ("name", "axes"),
    [
        ("resnet18", {"fc.weight": 0, "fc.bias": 0}),
        ("vgg11", {"classifier.6.weight": 0, "classifier.6.bias": 0}),
        ("squeezenet1_0", {"classifier.1.weight": 0, "classifier.1.bias": 0}),
        ("densenet121", {"classifier.weight": 0, "classifier.bias": 0}),
        ("vit_b_16", {"heads.head.weight": 0, "heads.head.bias": 0}),
        ("swin_t", {"head.weight": 0, "head.bias": 0}),
        ("maxvit_t", {"classifier.5.weight": 0}),
        ("convnext_tiny", {"classifier.2.weight": 0, "classifier.2.bias": 0}),
    ],
)
def test_which_entries_depend_on_the_number_of_classes(name: str, axes: dict[str, int]) -> None:
    assert class_axes(lambda count: meta_network(name, num_classes=count)) == axes


SMALL: dict[str, Callable[..., nn.Module]] = {
    "regnet_y_400mf": models.regnet_y_400mf,
    "mnasnet0_5": models.mnasnet0_5,
    "shufflenet_v2_x0_5": models.shufflenet_v2_x0_5,
    "squeezenet1_1": models.squeezenet1_1,
    "densenet121": models.densenet121,
    "efficientnet_b0": models.efficientnet_b0,
    "swin_v2_t": models.swin_v2_t,
}


@pytest.mark.parametrize("name", SMALL)
def test_the_assembled_network_computes_what_torchvisions_own_does(name: str) -> None:
    own = SMALL[name](weights=None, num_classes=5).eval()
    images = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        expected = own(images)
        logits = build_with_state(name, own.state_dict())(images)
    torch.testing.assert_close(logits, expected, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["inception_v3", "googlenet"])
def test_inception_and_googlenet(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against torchvision's builder with published weights, which are replaced by values made here."""
    entries = models.get_model_weights(name)
    full = filled(models.get_model(name, weights=None, aux_logits=True, init_weights=False))
    monkeypatch.setattr(type(entries.DEFAULT), "get_state_dict", lambda *_, **__: full.state_dict())
    own = models.get_model(name, weights=entries.DEFAULT).eval()
    assert own.transform_input
    state = full.state_dict()
    slim = {key: tensor for key, tensor in state.items() if not key.startswith(("AuxLogits", "aux"))}
    assert len(slim) < len(state)
    images = torch.randn(1, 3, 75, 75)
    with torch.no_grad():
        expected = own(images)
        for given in (state, slim):
            torch.testing.assert_close(build_with_state(name, given)(images), expected, rtol=0, atol=0)
        plain = build_with_state(name, state, transform_input=False)(images)
    assert not torch.allclose(plain, expected)


def test_densenets_early_names() -> None:
    own = filled(models.densenet121(weights=None))
    early = OrderedDict()
    for key, tensor in own.state_dict().items():
        if "denselayer" in key:
            key = key.replace("norm1", "norm.1").replace("norm2", "norm.2")
            key = key.replace("conv1", "conv.1").replace("conv2", "conv.2")
        if not key.endswith("num_batches_tracked"):  # younger than those files
            early[key] = tensor
    assert any("denselayer1.norm.1.weight" in key for key in early)
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(build_with_state("densenet121", early)(images), own(images), rtol=0, atol=0)


def test_vision_transformers_early_names() -> None:
    state = light("vit_b_32")
    early = {
        key.replace("mlp.0.", "mlp.linear_1.").replace("mlp.3.", "mlp.linear_2."): tensor
        for key, tensor in state.items()
    }
    assert set(build_with_state("vit_b_32", early).state_dict()) == set(state)


@pytest.mark.parametrize(("name", "side"), [("vit_b_16", 384), ("vit_b_32", 64), ("vit_h_14", 518)])
def test_a_vision_transformers_image_size_is_read_off(name: str, side: int) -> None:
    model = build_with_state(name, light(name, image_size=side, num_classes=3))
    assert model.image_size == side
    assert count_classes(model) == 3


def without(state: State, *names: str) -> State:
    return {key: tensor for key, tensor in state.items() if key not in names}


def test_what_does_not_fit_is_named(net: nn.Module) -> None:
    state = dict(net.state_dict())
    state["conv1.0.weight"] = torch.zeros(24, 1, 3, 3)
    state["extra.weight"] = torch.zeros(1)
    message = refusal(lambda: build_with_state("shufflenet_v2_x0_5", without(state, "fc.bias"), origin="a.pth"))
    assert message.startswith("a.pth does not fit shufflenet_v2_x0_5: 1 missing: fc.bias; 1 unexpected: extra.weight;")
    assert "conv1.0.weight has the shape [24, 1, 3, 3], expected [24, 3, 3, 3]" in message
    assert "fits no other network" in message


def test_many_misfits_are_counted() -> None:
    message = refusal(lambda: build_with_state("resnet18", light("densenet121")))
    assert "and" in message
    assert "more" in message


@pytest.mark.parametrize(
    ("given", "fits"),
    [
        ("resnet50", "resnet101"),
        ("resnet50", "wide_resnet50_2"),
        ("vgg16", "resnet18"),
        ("alexnet", "vgg11"),
        ("resnet50", "googlenet"),
        ("resnet18", "swin_v2_b"),
        ("vgg11", "scenes"),
    ],
)
def test_the_network_that_the_file_fits_is_named(given: str, fits: str) -> None:
    assert f"the file fits {fits}: use --net {fits}" in refusal(
        lambda: build_with_state(given, light(fits, num_classes=2))
    )


def test_a_head_of_another_form() -> None:
    state = without(light("resnet18"), "fc.weight", "fc.bias") | {"fc.0.weight": torch.zeros(7, 512)}
    message = refusal(lambda: build_with_state("resnet18", state))
    assert "2 missing: fc.weight, fc.bias; 1 unexpected: fc.0.weight" in message


def test_integers_for_floats() -> None:
    state = light("resnet18") | {"fc.weight": torch.zeros(1000, 512, dtype=torch.int8)}
    assert "fc.weight is torch.int8, expected torch.float32" in refusal(lambda: build_with_state("resnet18", state))


@pytest.mark.parametrize(("value", "word"), [(float("nan"), "NaN"), (float("inf"), "an infinite value")])
def test_values_that_are_no_numbers(net: nn.Module, value: float, word: str) -> None:
    state = {key: tensor.clone() for key, tensor in net.state_dict().items()}
    state["stage2.0.branch1.0.weight"].view(-1)[3] = value
    message = refusal(lambda: build_with_state("shufflenet_v2_x0_5", state, origin="a.pth"))
    assert message.startswith(f"a.pth holds {word} in 'stage2.0.branch1.0.weight'")


def test_values_whose_sum_overflows_are_fine(net: nn.Module) -> None:
    state = {key: tensor.clone() for key, tensor in net.state_dict().items()}
    state["fc.weight"].fill_(3e38)
    assert count_classes(build_with_state("shufflenet_v2_x0_5", state)) == 1000


def test_buffers_that_no_state_dict_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """torchvision's networks have none today; one that comes with a newer torchvision still gets its values."""

    class Late(nn.Module):
        def __init__(self, num_classes: int = 1000) -> None:
            super().__init__()
            self.register_buffer("scale", torch.full((1,), 3.0), persistent=False)
            self.fc = nn.Linear(4, num_classes)

    monkeypatch.setattr(models, "get_model", lambda name, weights, **options: Late(**options))
    own, random_state = Late(num_classes=2), torch.get_rng_state()
    model = build_with_state("alexnet", own.state_dict())
    assert is_complete(model)
    assert dict(model.named_buffers())["scale"].tolist() == [3.0]
    assert torch.equal(model.state_dict()["fc.weight"], own.fc.weight)
    assert torch.equal(random_state, torch.get_rng_state())
