"""``funcam nets``: what it prints of the networks."""

from __future__ import annotations

import pytest
from command_line import Funcam
from torchvision import models


def rows(out: str) -> dict[str, list[str]]:
    """The words of each line, by the first of them."""
    return {line.split()[0]: line.split() for line in out.splitlines() if line.strip()}


def test_a_network_has_its_parameters_its_input_and_its_layer(funcam: Funcam) -> None:
    ran = funcam("nets", "resnet18")

    assert (ran.code, ran.err) == (0, "")
    assert rows(ran.out)["resnet18"][:4] == ["resnet18", "11,689,512", "224+", "layer4"]
    assert "wide_resnet50_2" not in ran.out


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("ShuffleNet_v2_x1_0", {"shufflenet_v2_x1_0"}),
        ("inception", {"inception_v3"}),
        ("densenet", {"densenet121", "densenet161", "densenet169", "densenet201"}),
        ("scenes", {"scenes"}),
    ],
)
def test_a_pattern_picks_networks(funcam: Funcam, pattern: str, expected: set[str]) -> None:
    found = rows(funcam("nets", pattern).out)

    assert {name for name in found if name in {*models.list_models(), "scenes"}} == expected


def test_without_a_pattern_every_network_is_there(funcam: Funcam) -> None:
    found = rows(funcam("nets").out)

    assert set(models.list_models(module=models)) | {"scenes"} <= set(found)
    assert found["inception_v3"][2] == "299+"
    assert found["vit_b_16"][2] == "224"  # and no other


def test_a_pattern_without_networks(funcam: Funcam) -> None:
    funcam("nets", "resnet5000").error(1, "no network has 'resnet5000' in its name")
