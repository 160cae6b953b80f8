"""The layer that `list_layers` marks as the default is the one that `explain` takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn

import funcam

IMAGES = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))


class Base(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.norm = nn.Conv2d(3, 8, 8, 8), nn.LayerNorm(8)
        self.body, self.fc = nn.Conv2d(8, 8, 3, padding=1), nn.Linear(8, 5)


class Lost(Base):
    """The axes are lost in the last map: the one before is explained."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.stem(x).relu()
        order = torch.arange(y.shape[-1] * y.shape[-2] - 1, -1, -1)
        z = self.body(y).flatten(2)[:, :, order].unflatten(2, y.shape[2:])
        return self.fc(z.tanh().mean((2, 3)))


class Written(Base):
    """The graph isn't believed: it leaves out what `no_grad` does."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.stem(x).relu()
        with torch.no_grad():
            z = self.body(y)
        return self.fc((y + z).mean((2, 3)))


class Untraced(Base):
    def forward(self, x: Tensor) -> Tensor:
        y = self.body(self.stem(x)).relu()
        return self.fc((y if y.sum() > 0 else -y).mean((2, 3)))


class Choosy(Base):
    """Its graph is of one size, its code takes others."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.stem(x[..., : x.shape[-1] // 8 * 8]).relu()
        return self.fc(self.body(y).relu().mean((2, 3)))


class Recurrent(Base):
    """What is explained is a part of what a module returns."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = Pair()

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.rnn(self.stem(x))[0].mean((2, 3)))


class Pair(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(8, 8, 3, padding=1)

    def forward(self, x: Tensor) -> Any:
        return torch.tanh(self.conv(x)), x


MODELS: dict[str, Callable[[], nn.Module]] = {
    "lost axes": Lost,
    "without gradients": Written,
    "untraced": Untraced,
    "choosy": Choosy,
    "a part of what is returned": Recurrent,
    "resnet": lambda: torchvision.models.resnet18(),
    "squeezenet": lambda: torchvision.models.squeezenet1_1(),
    "vision transformer": lambda: torchvision.models.VisionTransformer(64, 16, 2, 2, 32, 64),
    "swin": lambda: torchvision.models.SwinTransformer([4, 4], 16, [1, 1], [1, 2], [2, 2]),
}


@pytest.mark.filterwarnings("ignore:no layer carries all")
@pytest.mark.parametrize("case", MODELS)
def test_the_default_that_is_listed_is_the_one_that_is_explained(case: str) -> None:
    model = MODELS[case]().eval()
    images = IMAGES[..., :64] if case == "vision transformer" else IMAGES
    explained = funcam.explain(model, images, 1, method="eigen-cam").layer
    for asked in (images, tuple(images.shape)):
        listed = [layer.name for layer in funcam.list_layers(model, asked) if layer.default]
        assert listed == [explained]
    assert listed[0] in [layer.name for layer in funcam.list_layers(model, images)]


def test_a_model_without_values_is_listed_by_its_graph() -> None:
    with torch.device("meta"):
        model = torchvision.models.resnet18()
    assert [layer.name for layer in funcam.list_layers(model) if layer.default] == ["layer4"]


def test_a_volumes_network_is_run_on_no_more_voxels_than_a_clip_has() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv3d(1, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(4, 5)
    )
    voxels: list[int] = []

    class Counted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, x: Tensor) -> Tensor:
            if type(x) is Tensor and not x.is_meta:
                voxels.append(x.numel())
            out: Tensor = self.network(x)
            return out

    (default,) = (layer for layer in funcam.list_layers(Counted().eval()) if layer.default)
    assert default.name == "network.1"
    assert len(default.shape) == 5
    assert voxels
    assert max(voxels) <= 16 * 224 * 224


def test_sizes_that_do_not_fit_are_told_by_their_sides() -> None:
    network = nn.Sequential(nn.Conv3d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 8 * 8 * 8, 5)).eval()
    with pytest.raises(funcam.FuncamError, match=r"none of the usual image sizes 64x64x64, 16x112x112, .*32x32x32"):
        funcam.list_layers(network)
    listed = funcam.list_layers(network, torch.rand(1, 1, 10, 10, 10))
    assert [layer.name for layer in listed if layer.default] == ["1"]


def test_a_signals_network_that_needs_a_second_of_sound_is_listed() -> None:
    torch.manual_seed(0)
    parts = [nn.Conv1d(1, 8, 80, 16), nn.ReLU(), nn.MaxPool1d(4), nn.Conv1d(8, 8, 9), nn.ReLU()]
    network = nn.Sequential(*parts, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(8, 5)).eval()
    assert [layer.shape for layer in funcam.list_layers(network) if layer.default] == [(1, 8, 7)]  # of 1,024 numbers
