"""What the tests share: the assets folder, and the real networks in it."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn


@pytest.fixture(scope="session")
def assets() -> Path:
    """The folder of real weights and photos; without it the test is skipped, in CI it fails."""
    beside = Path(__file__).parents[2] / "shared" / "assets"
    folder = Path(os.environ.get("FUNCAM_ASSETS", beside))
    if not (folder / "weights").is_dir():
        reason = f"no assets at {folder}; set FUNCAM_ASSETS"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return folder


@pytest.fixture(scope="session")
def real_network(assets: Path) -> Callable[[str], nn.Module]:
    """A torchvision network with the assets' ImageNet weights, loaded by torch and torchvision alone."""

    @cache
    def load(name: str) -> nn.Module:
        model: nn.Module = torchvision.models.get_model(name, weights=None)
        model.load_state_dict(torch.load(assets / "weights" / f"{name}.pth", weights_only=True))
        return model.eval()

    return load
