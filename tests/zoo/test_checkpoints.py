"""Reading files of weights."""

from __future__ import annotations

import io
import os
import pickle
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoint_cases import State, assert_same, filled, refusal, saved
from torch import nn
from torchvision import models

from funcam.zoo.checkpoints import read_checkpoint


@pytest.fixture(scope="module")
def net() -> nn.Module:
    """A small network with values that no initialisation gives."""
    return filled(models.shufflenet_v2_x0_5(weights=None))


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
