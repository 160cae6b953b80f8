"""What the tests share: hypothesis without clocks, the tiers, the assets folder and the real networks in it."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
import torchvision
from hypothesis import HealthCheck, settings
from torch import nn

# No time in tests: what is slow on a busy machine is not wrong. (CI's own profile, if it is in force, is what this
# one inherits from.)
settings.register_profile("funcam", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("funcam")

NOT_FAST = {"assets": "real", "browser": "browser", "process": "process"}
"""Fixtures that take long by what they are, and the marks of the tests that use them."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by the fixtures they use, so that `-m` picks the tiers of bin/test."""
    for item in items:
        for fixture in NOT_FAST.keys() & set(getattr(item, "fixturenames", ())):
            item.add_marker(NOT_FAST[fixture])


@pytest.fixture(scope="session")
def assets() -> Path:
    """The folder of real weights and photos; without it the test is skipped, in CI it fails.

    FUNCAM_ASSETS names the folder; `FUNCAM_ASSETS=none` says that there is none on purpose, in CI too.
    """
    beside = Path(__file__).parents[2] / "shared" / "assets"
    named = os.environ.get("FUNCAM_ASSETS")
    if named == "none":
        pytest.skip("FUNCAM_ASSETS=none")
    folder = Path(named or beside)
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
