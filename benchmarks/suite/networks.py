"""The networks of the suites, with random weights: what they cost does not depend on them, but for heads of zeros."""

from __future__ import annotations

import copy
import importlib.util

import torch
import torchvision
from torch import nn

from benchmarks.suite.case import Setting

TIMM = "timm/"


def network(name: str, setting: Setting) -> nn.Module:
    """A torchvision network, or `timm/NAME`, in evaluation mode on the device."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        if name.startswith(TIMM):
            import timm

            model: nn.Module = timm.create_model(name.removeprefix(TIMM), pretrained=False)
        else:
            options = {"init_weights": True} if name in ("googlenet", "inception_v3") else {}
            model = torchvision.models.get_model(name, weights=None, **options)
        for module in model.modules():  # a ViT's head before training: every map would be zero, and be looked into
            if isinstance(module, nn.Linear) and not module.weight.any():
                nn.init.normal_(module.weight, std=0.02)
    return model.eval().to(setting.device)


def there(name: str) -> bool:
    """Whether the package of a network is installed."""
    return not name.startswith(TIMM) or importlib.util.find_spec("timm") is not None


def tuned(model: nn.Module, layer: str) -> nn.Module:
    """A copy for peers that need a graph at the layer: weights frozen, but for the layer's own last ones.

    With every weight frozen autograd would record nothing; so it records from the layer on, and no gradient of a
    weight in front of it or behind it is computed.
    """
    frozen = copy.deepcopy(model).requires_grad_(False)
    own = [
        module
        for module in frozen.get_submodule(layer).modules()
        if any(True for _ in module.parameters(recurse=False))
    ]
    for weight in own[-1].parameters(recurse=False) if own else frozen.parameters():
        weight.requires_grad_(True)
    return frozen
