"""Models that can't be explained as they are: one line says what each is, and the way out that it names works."""

from __future__ import annotations

import copy
import subprocess
import sys
import types
from pathlib import Path

import pytest
import torch
from small import randomised, small
from torch import nn
from torch.nn.utils import parametrize

import funcam
from funcam import FuncamError
from funcam.network.refusals import devices_apart

IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
BACKBONE = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, stride=2)).eval()


class Behind(nn.Module):
    """A backbone, and layers behind it."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.conv = nn.Conv2d(8, 6, 3, padding=1)
        self.fc = nn.Linear(6, 4)

    def tail(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.conv(x).relu().mean((2, 3)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.tail(self.backbone(x))


@pytest.mark.filterwarnings("ignore:`torch.jit.(script|trace)(_method)?` is deprecated:FutureWarning")
@pytest.mark.parametrize("compiled", [torch.jit.script, lambda model: torch.jit.trace(model, IMAGES)])
@pytest.mark.parametrize("layer", [None, "conv", "backbone", "backbone.2"])
def test_torchscript_anywhere(compiled: types.FunctionType, layer: str | None) -> None:
    torch.manual_seed(0)
    model = Behind(BACKBONE).eval()
    wanted = funcam.explain(model, IMAGES, layer="backbone").maps
    model.backbone = compiled(BACKBONE)
    for call in (funcam.explain, lambda m, i, layer: funcam.split(m, layer), lambda m, i, layer: funcam.list_layers(m)):
        with pytest.raises(FuncamError, match=r"'backbone' \(\w+\) is TorchScript.*Python module.*\(features, head\)"):
            call(model, IMAGES, layer=layer)
    torch.testing.assert_close(funcam.explain((model.backbone, model.tail), IMAGES).maps, wanted)  # the way out
    with pytest.raises(FuncamError, match=r"is TorchScript"):
        funcam.explain(compiled(BACKBONE), IMAGES)


def test_a_lazy_model_and_its_way_out() -> None:
    model = nn.Sequential(nn.LazyConv2d(4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LazyLinear(3))
    for call in (lambda: funcam.split(model), lambda: funcam.explain(model, IMAGES)):
        with pytest.raises(FuncamError, match=r"'weight' of '0' \(LazyConv2d\) is lazy.*run it once: model\(images\)"):
            call()
    model(IMAGES)
    assert funcam.explain(model, IMAGES).maps.shape == (2, 30, 30)


def test_a_model_without_values_and_its_way_out() -> None:
    model = small().to("meta")
    assert [layer.name for layer in funcam.list_layers(model)] == [layer.name for layer in funcam.list_layers(small())]
    assert funcam.split(model).layer == funcam.split(small()).layer
    with pytest.raises(FuncamError, match=r"'stem.0.weight' and \d+ more of Small have no values.*to_em"):
        funcam.explain(model, IMAGES)
    model.to_empty(device="cpu").load_state_dict(small().state_dict())
    torch.testing.assert_close(funcam.explain(model, IMAGES).maps, funcam.explain(small(), IMAGES).maps)
    model.fc = model.fc.to("meta")
    with pytest.raises(FuncamError, match=r"'fc.weight' and 1 more of Small have no values"):
        funcam.explain(model, IMAGES)


def test_images_without_values() -> None:
    for model in (small(), small().to("meta")):
        with pytest.raises(FuncamError, match=r"^images are on the meta device and have no values; give images with"):
            funcam.explain(model, IMAGES.to("meta"))


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor:UserWarning")
def test_a_quantised_tensor() -> None:
    model = small()
    weight = torch.quantize_per_tensor(model.fc.weight.detach(), 0.1, 0, torch.qint8)
    model.fc.weight = nn.Parameter(weight, requires_grad=False)
    with pytest.raises(FuncamError, match=r"'weight' of 'fc' \(Linear\) is quantised and can't be .*float model"):
        funcam.explain(model, IMAGES)


@pytest.mark.parametrize("library", ["torchao.dtypes", "bitsandbytes.nn", "optimum.quanto.tensor"])
def test_tensors_and_modules_of_libraries_that_quantise(library: str) -> None:
    kind = type("Packed", (torch.Tensor,), {"__module__": library})
    model = small()
    model.fc.weight = nn.Parameter(model.fc.weight.detach().as_subclass(kind))
    with pytest.raises(FuncamError, match=r"'weight' of 'fc' \(Linear\) is quantised"):
        funcam.explain(model, IMAGES)
    model = small()
    model.fc.__class__ = type("Linear8", (nn.Linear,), {"__module__": library})
    with pytest.raises(FuncamError, match=r"'fc' \(Linear8\) is quantised"):
        funcam.explain(model, IMAGES)


def test_an_offloaded_model() -> None:
    """As accelerate leaves it (a stand-in, so that the test runs without it)."""
    model = small()
    model.fc._hf_hook = types.SimpleNamespace(offload=False)  # moves what goes in and out: nothing to refuse
    funcam.explain(model, IMAGES)
    for hook in (types.SimpleNamespace(offload=True), types.SimpleNamespace(hooks=[types.SimpleNamespace(offload=1)])):
        model = small()
        model.fc._hf_hook = hook
        with pytest.raises(FuncamError, match=r"'fc' \(Linear\) is offloaded.*remove_hook_from_submodules\(model\)"):
            funcam.explain(model, IMAGES)
        del model.fc._hf_hook  # what remove_hook_from_submodules does, the weights being there
        torch.testing.assert_close(funcam.explain(model, IMAGES).maps, funcam.explain(small(), IMAGES).maps)


def test_devices_apart() -> None:
    model = small()
    assert devices_apart(model, IMAGES) == ""
    assert devices_apart(model.to("meta"), IMAGES) == (
        "images are on cpu and the weights of Small on meta; give images.to('meta')"
    )
    model.fc = copy.deepcopy(small().fc)
    assert "several devices (meta, cpu)" in devices_apart(model, IMAGES)
    assert devices_apart(nn.ReLU(), IMAGES) == ""


SHARDED = """
import sys
import torch
import torch.distributed as dist
sys.path[:0] = sys.argv[1:]
dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import distribute_module
from small import small
import funcam

mesh, images = init_device_mesh("cpu", (1,)), torch.randn(2, 3, 32, 32)
wanted = funcam.explain(small(), images).maps
for shard in (lambda model: fully_shard(model, mesh=mesh), lambda model: distribute_module(model, mesh)):
    model = small()
    shard(model)
    try:
        funcam.explain(model, images)
    except funcam.FuncamError as error:
        print(error)
    plain = small(1)
    plain.load_state_dict(get_model_state_dict(model, options=StateDictOptions(full_state_dict=True)))
    print(torch.equal(funcam.explain(plain, images).maps, wanted))
dist.destroy_process_group()
"""


@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch without distributed")
def test_really_sharded_models_and_their_way_out() -> None:
    folder = Path(__file__).parents[1] / "helpers"
    run = subprocess.run([sys.executable, "-c", SHARDED, str(folder)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    fsdp, same, spread, same_again = run.stdout.splitlines()
    assert fsdp.startswith("FSDPSmall is sharded (FSDP)")
    assert "get_model_state_dict(model, options=StateDictOptions(full_state_dict=True))" in fsdp
    assert spread.startswith("'weight' of 'stem.0' (Conv2d) is a DTensor")
    assert "get_model_state_dict(model, options=StateDictOptions(full_state_dict=True))" in spread
    assert same == same_again == "True"


def test_what_is_fine_is_not_refused() -> None:
    model = randomised(Behind(nn.Sequential(*BACKBONE))).eval()
    model.conv.weight = nn.Parameter(model.conv.weight.detach().clone(), requires_grad=False)
    assert funcam.explain(model, IMAGES).maps.shape[0] == 2


def test_weights_that_torch_keeps_for_a_while() -> None:
    class Scaled(nn.Module):
        def forward(self, w: torch.Tensor) -> torch.Tensor:
            return 1.5 * w

    model = randomised(Behind(nn.Sequential(*BACKBONE))).eval()
    plain = copy.deepcopy(model)
    parametrize.register_parametrization(model.conv, "weight", Scaled())
    before = model(IMAGES)
    expected = funcam.explain(model, IMAGES, 1).maps
    with parametrize.cached():
        for call in (funcam.explain, funcam.split, funcam.list_layers):
            with pytest.raises(FuncamError, match=r"'conv'.*outside of cached\(\)"):
                call(model, IMAGES) if call is not funcam.split else call(model, example=IMAGES)
        assert torch.equal(model(IMAGES), before)
        assert funcam.explain(plain, IMAGES).maps.any()  # one without such weights isn't refused
    assert torch.equal(funcam.explain(model, IMAGES, 1).maps, expected)
