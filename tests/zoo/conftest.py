"""A small network, its file, and a cache that no download of a test outlives."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision import models


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of torch hub's; nothing that a test downloads lands in the real one."""
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    return tmp_path / "hub" / "checkpoints"


@pytest.fixture(scope="module")
def own() -> nn.Module:
    torch.manual_seed(5)
    model: nn.Module = models.shufflenet_v2_x0_5(weights=None)
    return model.eval()


@pytest.fixture(scope="module")
def own_file(own: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("weights") / "own.pth"
    torch.save(own.state_dict(), file)
    return file
