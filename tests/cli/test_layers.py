"""``funcam layers``: where a network can be cut."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import Funcam


@pytest.mark.parametrize(
    ("net", "shown", "default"),
    [
        ("resnet18", {"layer1": "64x56x56", "layer3.1.conv1": "256x14x14", "layer4": "512x7x7"}, "layer4"),
        ("SqueezeNet1-1", {"features.12": "512x13x13", "classifier.1": "1000x13x13"}, "features.12"),
        ("inception", {"Mixed_7c": "2048x8x8"}, "Mixed_7c"),
    ],
)
def test_layers_have_a_name_a_shape_and_one_is_the_default(
    funcam: Funcam, net: str, shown: dict[str, str], default: str
) -> None:
    ran = funcam("layers", net)
    rows = [line.split() for line in ran.out.splitlines()[:-1]]

    assert (ran.code, ran.err) == (0, "")
    assert rows[0][:2] == ["layer", "shape"]
    assert shown.items() <= {row[0]: row[1] for row in rows}.items()
    assert [row[0] for row in rows if row[2:] == ["default"]] == [default]


def test_layers_are_shown_as_a_cut_finds_them(funcam: Funcam) -> None:
    import torch

    from funcam import split
    from funcam.zoo.nets import build_net

    net = build_net("scenes")
    rows = [line.split() for line in funcam("layers", "scenes").out.splitlines()[1:-1]]
    assert len(rows) > 10
    for name, shape, *_ in rows[::5]:
        features, _ = split(net.model, name)(torch.zeros(1, 3, 128, 128))
        assert "x".join(map(str, features.shape[1:])) == shape, name


def test_an_unknown_network(funcam: Funcam) -> None:
    funcam("layers", "resnet5").error(2, "network 'resnet5' is not in the zoo; nearest: 'resnet50'")


def test_the_shapes_are_those_of_the_weights(funcam: Funcam) -> None:
    import torch

    from funcam.zoo.nets import build_net

    torch.save(build_net("squeezenet1_1", num_classes=7).model.state_dict(), "seven.pth")
    ran = funcam("layers", "mine:squeezenet1_1=seven.pth", "--json")
    assert (ran.code, ran.err) == (0, "")
    assert {layer["name"]: layer["shape"] for layer in json.loads(ran.out)}["classifier.1"] == [7, 13, 13]


@pytest.mark.parametrize("more", [(), ("--json",)])
def test_weights_that_cannot_be_used(funcam: Funcam, more: tuple[str, ...]) -> None:
    Path("text.pth").write_text("no weights")
    funcam("layers", "scenes=none.pth", *more).error(2, "there is no file 'none.pth'")
    funcam("layers", "scenes=text.pth", *more).error(1, "text.pth")


@pytest.mark.slow
def test_a_network_whose_usual_weights_take_larger_images(funcam: Funcam) -> None:
    assert funcam("layers", "vit_h_14").out.endswith("of an image of 518x518 pixels\n")
