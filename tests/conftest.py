"""What the tests share: hypothesis without clocks, the tiers, the assets folder and the real networks in it."""

from __future__ import annotations

import gc
import os
import re
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


def pytest_configure(config: pytest.Config) -> None:
    """Where slow tests are left out hypothesis tries 30 of its hundred examples, but for tests that say how many."""
    if re.search(r"not \(?slow", config.getoption("markexpr")):
        settings.register_profile("funcam", max_examples=30)
        settings.load_profile("funcam")


MARKS = {"assets": "real", "browser": "browser", "process": "long", "checkout": "long"}
"""Fixtures that take long by what they are, and the marks of the tests that use them."""

LONG = {
    "attribution/test_edges.py",
    "attribution/test_explanation_modes.py",
    "attribution/test_explanation_transforms.py",
    "attribution/test_preparing.py",
    "benchmarks/test_models_judge.py",
    "benchmarks/test_models_matrix.py",
    "cli/test_compare.py",
    "cli/test_evaluate.py",
    "cli/test_explain.py",
    "cli/test_lists_as_json.py",
    "cli/test_recipe.py",
    "cli/test_recipe_options.py",
    "comparison/test_comparison.py",
    "comparison/test_resuming.py",
    "comparison/test_scoring.py",
    "exporting/test_exports.py",
    "exporting/test_example.py",
    "live/test_side.py",
    "methods/test_several_layers.py",
    "models/test_every_method.py",
    "models/test_models.py",
    "network/rewrites/test_attention.py",
    "network/test_cutting.py",
    "network/test_cutting_changes.py",
    "network/test_cutting_threads.py",
    "network/test_detection.py",
    "network/test_exported.py",
    "network/test_graph.py",
    "network/test_refusals.py",
    "network/test_taps.py",
    "network/test_wrappers.py",
    "pipeline/test_explaining.py",
    "scenes/test_network.py",
    "scenes/test_scenes.py",
    "searching/test_choosing.py",
    "searching/test_search.py",
    "test_new_method.py",
    "test_purity.py",
    "test_readme.py",
    "test_wheel.py",
    "zoo/test_checkpoints.py",
    "zoo/test_names.py",
    "zoo/test_nets.py",
    "zoo/test_state_dicts.py",
}
"""Files whose tests go through many networks, methods or pictures."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by the fixtures they use and the files they are in, so that `-m` picks the tiers of bin/test."""
    long = {Path(__file__).parent / name for name in LONG}
    for item in items:
        if re.search(r" at 0x[0-9a-f]{6,}", item.nodeid):
            raise pytest.UsageError(f"{item.nodeid}: an address differs between xdist's processes; give other ids")
        if item.path in long:
            item.add_marker("long")
        if item.path.parent.name == "real":
            item.add_marker("real")
        for fixture in MARKS.keys() & set(getattr(item, "fixturenames", ())):
            item.add_marker(MARKS[fixture])


@pytest.fixture(scope="module")
def quick_collections() -> None:
    """For tests that collect garbage often: what the process holds by now is looked through once, here."""
    gc.collect()
    gc.freeze()


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
