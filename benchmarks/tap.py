"""What Grad-CAM through a tap costs in forward passes, in processor time; and the first call of a model.

    python benchmarks/tap.py --rounds 31 --threads 1

Each round runs a `no_grad` forward pass of ResNet-50 and the case right behind it; the median of their ratios is
printed, with the least and the largest. The first call is that of a new model of an architecture that was seen before,
beside its second and a forward pass.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
import torchvision
from torch import Tensor, nn

import funcam

FIRST_CALLS = ("resnet18", "resnet50", "mobilenet_v2", "vit_b_16", "swin_t", "convnext_tiny", "densenet121")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    images = torch.rand(1, 3, 224, 224)
    model = torchvision.models.resnet50().eval()
    cases = {
        "forward (no_grad)": lambda: _forward(model, images),
        "Grad-CAM, fx": lambda: funcam.explain(model, images, layer="layer4"),
        "Grad-CAM, tap": _tapped(model, images),
    }
    for name, run in cases.items():
        ratios = _ratios(cases["forward (no_grad)"], run, options.rounds)
        print(f"{name:20} {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})", flush=True)
    for name in FIRST_CALLS:
        net = torchvision.models.get_model(name, weights=None).eval()
        forward = statistics.median(_seconds(lambda net=net: _forward(net, images)) for _ in range(3))
        first, second = (_seconds(lambda net=net: funcam.explain(net, images)) for _ in range(2))
        print(f"{name:20} first {first:.2f} s, second {second:.2f} s, forward {forward:.2f} s", flush=True)


def _forward(model: nn.Module, images: Tensor) -> None:
    with torch.no_grad():
        model(images)


def _tapped(model: nn.Module, images: Tensor) -> Callable[[], object]:
    split = funcam.split(model, "layer4", via="tap", example=images)
    assert split.way == "tap"
    return lambda: funcam.explain(split, images)


def _ratios(forward: Callable[[], object], run: Callable[[], object], rounds: int) -> list[float]:
    run()  # what is found out once
    return [_seconds(run) / _seconds(forward) for _ in range(rounds)]


def _seconds(run: Callable[[], object]) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


if __name__ == "__main__":
    main()
