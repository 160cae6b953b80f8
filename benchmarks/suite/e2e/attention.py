"""LeGrad, which needs attention maps, beside torchcam's."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from torchvision.models import VisionTransformer

from benchmarks.suite.case import Case, Group, Setting
from benchmarks.suite.networks import network
from benchmarks.suite.peers import FORWARD, le_grad_cases

TITLE = "LeGrad beside torchcam's"
FOR = "any"
TAKES: tuple[str, ...] = ("nets",)


def groups(setting: Setting) -> Iterator[Group]:
    """ViT-B/16, in a quick run a small one; of networks that were asked for, the transformers."""
    for name in setting.nets or ("vit_b_16",):
        if name.startswith("vit_"):
            yield Group(f"{name}, batch 1", partial(_cases, setting, name), FORWARD)


def _cases(setting: Setting, name: str) -> dict[str, Case]:
    model = _small() if setting.quick else network(name, setting)
    assert isinstance(model, VisionTransformer)
    images = setting.images(1)
    calls = le_grad_cases(model.to(setting.device))
    return {title: Case(call(images), images=1) for title, call in calls.items()}


def _small() -> VisionTransformer:
    return VisionTransformer(64, 16, num_layers=2, num_heads=2, hidden_dim=32, mlp_dim=64, num_classes=10).eval()
