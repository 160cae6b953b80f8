"""Wrappers are looked through, or refused with the reason."""

from __future__ import annotations

import copy
import types

import pytest
import torch
import torchvision
from small import small, state_of, tiny_vit
from torch import nn

import funcam
from funcam import FuncamError

IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def ddp(model: nn.Module) -> nn.Module:
    """A ``DistributedDataParallel`` as it is between calls, without a process group."""
    wrapper = object.__new__(nn.parallel.DistributedDataParallel)
    nn.Module.__init__(wrapper)
    wrapper.module = model
    return wrapper


WRAPPERS = {
    "DataParallel": (nn.DataParallel, "module."),
    "DistributedDataParallel": (ddp, "module."),
    "compile": (lambda model: torch.compile(model, backend="eager"), "_orig_mod."),
    "both": (lambda model: torch.compile(nn.DataParallel(model), backend="eager"), "_orig_mod.module."),
}


@pytest.mark.parametrize("name", WRAPPERS)
def test_a_wrapped_model_is_split_like_itself(name: str) -> None:
    wrap, prefix = WRAPPERS[name]
    model = small()
    wrapped = wrap(model)
    before = state_of(model)
    want = funcam.explain(model, IMAGES).maps
    torch.testing.assert_close(funcam.explain(wrapped, IMAGES).maps, want)
    for layer in ("blocks.1.conv2", prefix + "blocks.1.conv2"):
        cut = funcam.split(wrapped, layer)
        assert cut.layer == "blocks.1.conv2"
        A, head = cut(IMAGES)
        torch.testing.assert_close(head(A), model(IMAGES))
    assert funcam.list_layers(wrapped) == funcam.list_layers(model)
    del wrapped
    assert cut.model() is model
    assert state_of(model) == before


def test_a_child_that_is_called_module_keeps_its_name() -> None:
    model = nn.Sequential()
    model.module = nn.Conv2d(3, 4, 3)
    model.end = nn.Sequential(nn.Flatten(), nn.LazyLinear(5))
    model.eval()(IMAGES)
    assert funcam.split(model, "module").layer == "module"
    assert funcam.split(nn.DataParallel(model), "module.module").layer == "module"


@pytest.mark.parametrize("dtype", [pytest.param(torch.float16, marks=pytest.mark.slow), torch.bfloat16])
@pytest.mark.parametrize("via", ["fx", pytest.param("export", marks=pytest.mark.slow)])
def test_half_precision(dtype: torch.dtype, via: str) -> None:
    model, images = tiny_vit().to(dtype), IMAGES.to(dtype)
    A, head = funcam.split(model, example=images, via=via)(images)
    assert A.dtype == head(A).dtype == dtype
    torch.testing.assert_close(head(A), model(images))
    g = torch.func.vjp(head, A)[1](torch.ones(2, 5, dtype=dtype))[0]
    assert bool(g.isfinite().all())


# --- refused ---------------------------------------------------------------------------------------------------------


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x: torch.Tensor, y: torch.Tensor, scale: float = 1.0) -> torch.Tensor:
        return (self.conv(x) + y).mean((2, 3)) * scale


def test_several_inputs() -> None:
    model, y = Two(), torch.ones(())
    message = r"Two takes several inputs \(x, y\).*split\(model\)\(images, y=\.\.\.\).*inputs=\{'y': \.\.\.\}"
    for call in (
        lambda: funcam.split(model, example=IMAGES),
        lambda: funcam.split(model)(IMAGES),
        lambda: funcam.explain(model, IMAGES),
    ):
        with pytest.raises(FuncamError, match=message):
            call()
    A, head = funcam.split(model, "conv")(IMAGES, y=y)  # the ways out that the message names
    torch.testing.assert_close(head(A), model(IMAGES, y))
    torch.testing.assert_close(funcam.explain(model, IMAGES, layer="conv", inputs={"y": y}).logits, model(IMAGES, y))


@pytest.mark.parametrize(
    "make", [torchvision.models.detection.ssdlite320_mobilenet_v3_large, torchvision.models.detection.fcos_resnet50_fpn]
)
def test_a_detector(make: types.FunctionType) -> None:
    with torch.device("meta"):
        model = make(weights=None, weights_backbone=None)
    with pytest.raises(FuncamError, match=r"takes a list of images.*funcam\.detector\(model\)"):
        funcam.split(model, example=IMAGES)


@pytest.mark.filterwarnings("ignore:torch.ao.quantization is deprecated:DeprecationWarning")  # but people have them
@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor:UserWarning")
def test_a_quantised_model() -> None:
    if "fbgemm" not in torch.backends.quantized.supported_engines:
        pytest.skip("no quantised kernels here")
    model = small()
    dynamic = torch.ao.quantization.quantize_dynamic(copy.deepcopy(model), {nn.Linear}, dtype=torch.qint8)
    with pytest.raises(FuncamError, match=r"'fc' \(Linear\) is quantised and can't be differentiated; .*float model"):
        funcam.split(dynamic, example=IMAGES)
    static = nn.Sequential(torch.ao.nn.quantized.Conv2d(3, 4, 3), nn.Flatten())
    with pytest.raises(FuncamError, match=r"'0' \(Conv2d\) is quantised"):
        funcam.split(static)


def test_a_sharded_model() -> None:
    class FSDPModule:  # what torch mixes into the class of a sharded module
        pass

    model = small()
    model.blocks.__class__ = type("FSDPSequential", (FSDPModule, nn.Sequential), {})
    with pytest.raises(FuncamError, match=r"'blocks' \(FSDPSequential\) is sharded \(FSDP\).*gather"):
        funcam.split(model)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("resnet18", r"'resnet18' is a name.*funcam\.zoo\.load_net\('resnet18'\)\.model.*torchvision"),
        (None, r"a NoneType is no model; give a torch\.nn\.Module, or a pair"),
        (torch.zeros(3), r"a Tensor is no model"),
        ({"state": 1}, r"a dict is no model"),
    ],
)
def test_what_is_no_model(given: object, message: str) -> None:
    with pytest.raises(FuncamError, match=message):
        funcam.split(given)
    for images in (IMAGES, "dog.jpg", None):
        with pytest.raises(FuncamError, match=message):
            funcam.explain(given, images)
