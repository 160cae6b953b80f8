"""On a GPU maps are the CPU's, in the caller's memory, and the model, the random state and the card are left alone."""

from __future__ import annotations

import subprocess
import sys
import threading

import numpy as np
import pytest
import torch
import torchvision
from compiled import Branching
from PIL import Image
from small import Small, small, state_of, tiny_vit
from torch import nn

import funcam
from funcam import METHODS, FuncamError, metrics

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU that torch can use"),
    pytest.mark.filterwarnings("ignore:TensorFloat32"),  # what the compiler and its graphs advise
    pytest.mark.filterwarnings("ignore:The CUDA Graph is empty"),
]
IMAGES = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.fixture(autouse=True)
def _whole_float32(monkeypatch):
    """TF32, which is torch's default for convolutions, rounds to ten bits."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


def pair(make=small) -> tuple[nn.Module, nn.Module]:
    """The same network on the CPU and on the GPU."""
    return make().eval(), make().eval().cuda()


def same(found: torch.Tensor, expected: torch.Tensor, share: float = 2e-4) -> None:
    assert found.is_cuda
    assert found.shape == expected.shape
    gap = (found.cpu().double() - expected.double()).abs().max().item()
    assert gap <= share * max(expected.abs().max().item(), 1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_is_what_it_is_on_the_cpu(method):
    here, there = pair(tiny_vit if method == "le-grad" else small)
    targets = [0, 3, 4]
    found = funcam.explain(there, IMAGES.cuda(), targets, method=method)
    same(found.maps, funcam.explain(here, IMAGES, targets, method=method).maps)
    assert found.scores.is_cuda
    assert found.logits.is_cuda


@pytest.mark.parametrize("make", [small, tiny_vit, lambda: Branching()])
def test_all_classes_in_graphs_and_in_own_code(make):
    torch.manual_seed(0)
    here = make().eval()
    there = make().eval().cuda()
    there.load_state_dict(here.state_dict())
    same(funcam.explain(there, IMAGES.cuda(), "all").maps, funcam.explain(here, IMAGES, "all").maps)


def test_classes_on_the_cpu_go_with_images_on_the_gpu():
    here, there = pair()
    classes = torch.tensor([1, 2, 0])
    same(funcam.explain(there, IMAGES.cuda(), classes).maps, funcam.explain(here, IMAGES, classes).maps)


def test_images_and_model_on_two_devices_are_refused_in_words():
    here, there = pair()
    for model, images in ((there, IMAGES), (here, IMAGES.cuda())):
        with pytest.raises(FuncamError, match="cuda"):
            funcam.explain(model, images)


def test_nothing_is_changed_nor_kept():
    model, images = small().cuda().train(), IMAGES.cuda()
    model(images).sum().backward()
    for method in METHODS:  # what the libraries keep for good they have now
        if method != "le-grad":
            funcam.explain(model, images, method=method)
    before, seed = state_of(model), torch.cuda.get_rng_state()
    torch.cuda.synchronize()
    held = torch.cuda.memory_allocated()
    for method in METHODS:
        if method != "le-grad":
            funcam.explain(model, images, method=method)
    assert torch.equal(torch.cuda.get_rng_state(), seed)
    assert str(state_of(model)) == str(before)
    assert torch.cuda.memory_allocated() <= held


def test_threads_at_once():
    here, there = pair()
    expected, found = funcam.explain(here, IMAGES, "all").maps, {}

    def run(number: int) -> None:
        with torch.cuda.stream(torch.cuda.Stream()):
            found[number] = funcam.explain(there, IMAGES.cuda(), "all").maps
            torch.cuda.current_stream().synchronize()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    for maps in found.values():
        same(maps, expected)


@pytest.mark.parametrize("dtype", [None, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("dynamic", [False, True])
def test_the_fast_path_gives_memory_of_the_callers_own(dtype, dynamic):
    model, images = small().cuda(), IMAGES.cuda()
    fast = funcam.prepare(model, example=images, dtype=dtype, dynamic=dynamic)
    assert fast.compiled, fast.why
    first = fast(images)
    kept = first.maps.clone()
    second = fast(images.flip(0))
    assert torch.equal(first.maps, kept)
    assert not torch.equal(first.maps, second.maps)
    torch.testing.assert_close(second.maps.flip(0), first.maps, rtol=0.02, atol=0.02)
    exact = funcam.explain(model, images, first.targets).maps
    share = 1e-4 if dtype is None else 0.1
    assert (first.maps - exact).abs().max() <= share * exact.abs().max()


def test_the_fast_path_refuses_what_is_not_finite_and_what_is_stale():
    model, images = small().cuda(), IMAGES.cuda()
    fast = funcam.prepare(model, example=images)
    assert fast.compiled, fast.why
    broken = images.clone()
    broken[1, 0, 3, 3] = torch.nan
    with pytest.raises(FuncamError, match="image 1"):
        fast(broken)
    fast(images)
    with torch.no_grad():
        model.fc.weight.mul_(2)
    with pytest.raises(FuncamError, match="prepare it again"):
        fast(images)


def test_a_large_network_is_cut_by_its_graph_though_convolutions_round_to_ten_bits(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    model, images = torchvision.models.resnet50().eval().cuda(), torch.rand(2, 3, 224, 224, device="cuda")
    fast = funcam.prepare(model, example=images, backend=None)
    assert (fast.folded, fast.layer, fast.why) == (53, "layer4", "")


@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
def test_a_stream_says_what_calls_say(dtype):
    model = small().cuda()
    batches = [IMAGES.cuda() + number for number in range(5)]
    fast = funcam.prepare(model, example=batches[0], dtype=dtype)
    assert fast.compiled, fast.why
    streamed = list(fast.stream(batches))
    for result, images in zip(streamed, batches, strict=True):
        assert torch.equal(result.maps, fast(images).maps)
        assert torch.equal(result.scores, fast(images).scores)
    broken = batches[2].clone()
    broken[1] = torch.inf
    stream = fast.stream([batches[0], batches[1], broken, batches[3]])
    assert torch.equal(next(stream).maps, streamed[0].maps)
    assert torch.equal(next(stream).maps, streamed[1].maps)
    with pytest.raises(FuncamError, match="image 1"):
        next(stream)


def test_a_call_can_be_put_into_a_cuda_graph():
    model, images = small().cuda(), IMAGES.cuda()
    expected = funcam.explain(model, images).maps  # what is found out once is known then
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = funcam.explain(model, images)
    graph.replay()
    torch.cuda.synchronize()
    torch.testing.assert_close(result.maps, expected, rtol=1e-4, atol=1e-5)


def test_the_fast_path_with_classes_of_each_image():
    model, images = small().cuda(), IMAGES.cuda()
    fast = funcam.prepare(model, example=images, targets=[0, 1, 2])
    for classes in ([0, 1, 2], [3, 4, 0]):
        exact = funcam.explain(model, images, classes).maps
        torch.testing.assert_close(fast(images, classes).maps, exact, rtol=1e-3, atol=1e-4)


def test_metrics_are_what_they_are_on_the_cpu():
    here, there = pair()
    classes = torch.tensor([0, 1, 2])
    maps = funcam.upsample(funcam.explain(here, IMAGES, classes).maps, (32, 32))
    for curve in (metrics.deletion, metrics.insertion):
        found = curve(there, IMAGES.cuda(), maps.cuda(), classes.cuda(), steps=8)
        expected = curve(here, IMAGES, maps, classes, steps=8)
        torch.testing.assert_close(found.area.cpu(), expected.area, rtol=1e-3, atol=1e-4)


def test_the_command(tmp_path):
    generator = np.random.default_rng(0)
    for number in range(3):
        Image.fromarray(generator.integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(tmp_path / f"{number}.png")
    names = {}
    for device in ("cpu", "cuda"):
        out = tmp_path / "out" / device
        line = ["explain", *map(str, sorted(tmp_path.glob("*.png"))), "--net", "scenes", "--out", str(out)]
        done = subprocess.run(
            [sys.executable, "-m", "funcam", *line, "--device", device], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        names[device] = sorted(path.name for path in out.iterdir())
    assert names["cuda"] == names["cpu"]
    assert len(names["cpu"]) > 3


def test_a_model_on_the_gpu_says_where_it_is():
    assert isinstance(small().cuda(), Small)
    with pytest.raises(FuncamError, match="cuda"):
        funcam.split(small().cuda())(IMAGES)
