"""Methods that look at the layer beside a cut, at several cuts at once: that layer may be one of the cuts."""

from __future__ import annotations

import pytest
import torch

from funcam.attribution.explanation import explain, explain_methods
from funcam.zoo.nets import load_net

LAYERS = ["trunk_output", "trunk_output.block1", "stem.2"]


@pytest.mark.parametrize("layers", [LAYERS[:2], LAYERS, LAYERS[::-1], ["trunk_output", "stem.2"]])
def test_each_map_is_that_of_the_layer_alone(layers: list[str]) -> None:
    model, images = load_net("scenes").model, torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    together = explain_methods(model, images, methods=["grad-cam", "prototype-cam"], layer=layers)
    asked = {(method, layer) for method in ("grad-cam", "prototype-cam") for layer in layers}
    assert {(result.method, result.layer) for result in together} == asked
    for result in together:
        alone = explain(model, images, method=result.method, layer=result.layer)
        assert torch.allclose(result.maps, alone.maps, atol=1e-5), (result.method, result.layer)
